import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as Source from "../../../src/internal/endpoints/source.js"
import { InvalidOption } from "../../../src/InvalidOption.js"
import * as Dns from "../../../src/transport/Dns.js"
import * as DnsServer from "../../support/dnsServer.js"
import { eventually } from "../../support/eventually.js"
import { follow, listed } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const { a, aaaa, srv } = DnsServer
const name = "users.example.org"
const port = 8080

/** The next update, in real time. */
const first = <R>(source: Source.Source<R>) =>
  Effect.map(Stream.runHead(source.updates(Stream.never)), (head) => {
    assert.strictEqual(head._tag, "Some")
    return (head as { readonly value: Source.Update }).value
  })

const problemOf = (update: Source.Update): string => {
  assert.strictEqual(update._tag, "Failed")
  return (update as { readonly error: Error }).error.message
}

const hosts = ({ server }: { readonly server: string }, options: Partial<Dns.HostOptions> = {}) =>
  Dns.hosts({ name, port, servers: [server], ...options })

describe("Dns.hosts at a real name server", () => {
  it.scopedLive("lists A and AAAA records, the latter in brackets", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`A ${name}`, [a("10.0.0.1"), a("10.0.0.2")])
      dns.answer(`AAAA ${name}`, [aaaa("fd00::7")])
      assert.deepStrictEqual(
        yield* first(hosts(dns)),
        listed({ address: "10.0.0.1:8080" }, { address: "10.0.0.2:8080" }, { address: "[fd00::7]:8080" })
      )
    }))

  it.scopedLive("takes one kind of record where the other does not exist", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`AAAA ${name}`, [aaaa("fd00::7")])
      assert.deepStrictEqual(yield* first(hosts(dns)), listed({ address: "[fd00::7]:8080" }))
    }))

  it.scopedLive("takes one kind of record where the query for the other fails", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`A ${name}`, [a("10.0.0.1")])
      dns.answer(`AAAA ${name}`, "SERVFAIL")
      assert.deepStrictEqual(yield* first(hosts(dns)), listed({ address: "10.0.0.1:8080" }))
    }))

  it.scopedLive("fails when one query is empty and the other fails: that is no empty list", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`A ${name}`, [])
      dns.answer(`AAAA ${name}`, "SERVFAIL")
      assert.strictEqual(problemOf(yield* first(hosts(dns))), `dns ${name}: the name servers failed`)
    }))

  it.scopedLive("gives an empty list for a name that has no addresses", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`SRV ${name}`, [srv("other.example.org", 1)])
      assert.deepStrictEqual(yield* first(hosts(dns)), listed())
    }))

  it.scopedLive("fails for a name that does not exist", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      assert.strictEqual(problemOf(yield* first(hosts(dns))), `dns ${name}: there is no such name`)
    }))

  it.scopedLive("fails when the name server is silent", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`* ${name}`, "silence")
      const problem = problemOf(yield* first(hosts(dns)))
      assert.strictEqual(problem, `dns ${name}: the name servers do not answer`)
    }))

  it.scopedLive("asks over TCP when the answer is too long for UDP", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      const many = Array.from({ length: 300 }, (_, i) => a(`10.0.${i >> 8}.${i & 255}`))
      dns.answer(`A ${name}`, { cut: many })
      const update = yield* first(hosts(dns))
      assert.lengthOf((update as { readonly endpoints: ReadonlyArray<unknown> }).endpoints, 300)
      assert.include(dns.asked, `tcp A ${name}`)
    }))

  it.scopedLive("sees a changed answer after the time to live", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`A ${name}`, [a("10.0.0.1", 0)])
      const followed = yield* follow(hosts(dns, { every: "10 seconds", atMostEvery: "10 millis" }))
      yield* eventually(() => followed.updates.length > 0)
      dns.answer(`A ${name}`, [a("10.0.0.2", 0)])
      yield* eventually(() => followed.lists().at(-1)?.[0] === "10.0.0.2:8080")
      dns.answer(`* ${name}`, "SERVFAIL")
      dns.answer(`A ${name}`, "SERVFAIL")
      yield* eventually(() => followed.problems().length > 0)
      dns.answer(`A ${name}`, [a("10.0.0.3", 0)])
      yield* eventually(() => followed.lists().at(-1)?.[0] === "10.0.0.3:8080")
    }))

  it.scopedLive("ends its queries at once when it is interrupted", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`* ${name}`, "silence")
      const followed = yield* follow(hosts(dns))
      yield* eventually(() => dns.asked.length >= 2)
      yield* followed.stop
      assert.deepStrictEqual(followed.updates, [])
    }))
})

const service = "_grpc._tcp.users.example.org"

describe("Dns.services at a real name server", () => {
  it.scopedLive("lists the addresses of each target, with priority, weight and the name of the target", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`SRV ${service}`, [srv("b.example.org", 2, 20, 0), srv("a.example.org", 1, 10, 60)])
      dns.answer("A a.example.org", [a("10.0.0.1"), a("10.0.0.2")])
      dns.answer("A b.example.org", [a("10.0.0.3")])
      assert.deepStrictEqual(
        yield* first(Dns.services({ name: service, servers: [dns.server] })),
        listed(
          { address: "10.0.0.1:1", priority: 10, weight: 30, attributes: { host: "a.example.org" } },
          { address: "10.0.0.2:1", priority: 10, weight: 30, attributes: { host: "a.example.org" } },
          { address: "10.0.0.3:2", priority: 20, weight: 0.1, attributes: { host: "b.example.org" } }
        )
      )
    }))

  it.scopedLive("leaves a target out that does not resolve, and fails when none does", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`SRV ${service}`, [srv("a.example.org", 1), srv("b.example.org", 2)])
      dns.answer("* a.example.org", "SERVFAIL")
      dns.answer("A b.example.org", [a("10.0.0.3")])
      const source = Dns.services({ name: service, servers: [dns.server] })
      const update = yield* first(source)
      assert.deepStrictEqual(
        (update as { endpoints: ReadonlyArray<Source.Endpoint> }).endpoints.map((e) => e.address),
        [
          "10.0.0.3:2"
        ]
      )
      dns.answer("A b.example.org", "SERVFAIL")
      assert.strictEqual(problemOf(yield* first(source)), `dns ${service}: the name servers failed`)
    }))

  it.scopedLive("gives an empty list for a service that says that it is not there", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      dns.answer(`SRV ${service}`, [srv("", 0)])
      assert.deepStrictEqual(yield* first(Dns.services({ name: service, servers: [dns.server] })), listed())
    }))
})

type Answers = Readonly<Record<string, Effect.Effect<ReadonlyArray<never>, Dns.QueryFailed>>>

const fail = (code: string) => Effect.fail(new Dns.QueryFailed({ code }))

/** A resolver in memory: its answers can be changed. */
const memory = () => {
  const answers: { of: Answers } = { of: {} }
  const ask = (kind: string) => (name: string) => Effect.suspend(() => answers.of[`${kind} ${name}`] ?? fail("ENODATA"))
  const resolver: Dns.Queries = { a: ask("a"), aaaa: ask("aaaa"), srv: ask("srv") }
  return { answers, resolver }
}

const ok = (...records: ReadonlyArray<unknown>) => Effect.succeed(records as ReadonlyArray<never>)

describe("Dns on virtual time", () => {
  it.scoped("keeps its list while the name servers are dead for an hour, and is right within one refresh when they are back", () =>
    Effect.gen(function*() {
      const { answers, resolver } = memory()
      answers.of = { [`a ${name}`]: ok({ address: "10.0.0.1", ttl: 30 }) }
      const followed = yield* follow(Dns.hosts({ name, port })).pipe(Effect.provideService(Dns.Resolver, resolver))
      for (const dead of [fail("ESERVFAIL"), fail("ECONNREFUSED"), fail("ENOTFOUND"), Effect.never]) {
        answers.of = { [`a ${name}`]: dead, [`aaaa ${name}`]: dead }
        yield* TestClock.adjust("36 seconds")
        const before = followed.lists().length
        yield* TestClock.adjust("15 minutes")
        assert.strictEqual(followed.lists().length, before)
      }
      assert.isAbove(followed.problems().length, 60)
      answers.of = { [`a ${name}`]: ok({ address: "10.0.0.2", ttl: 30 }) }
      yield* TestClock.adjust("36 seconds")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:8080"])
    }))

  it.scoped("sees a pod that comes in a quiet hour within one refresh", () =>
    Effect.gen(function*() {
      const { answers, resolver } = memory()
      answers.of = { [`a ${name}`]: ok({ address: "10.0.0.1", ttl: 30 }) }
      const followed = yield* follow(Dns.hosts({ name, port })).pipe(Effect.provideService(Dns.Resolver, resolver))
      yield* TestClock.adjust("1 hour")
      answers.of = { [`a ${name}`]: ok({ address: "10.0.0.1", ttl: 30 }, { address: "10.0.0.2", ttl: 30 }) }
      yield* TestClock.adjust("36 seconds")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.1:8080", "10.0.0.2:8080"])
    }))

  it.scoped("keeps the addresses of a family, and of a target, whose query has no answer", () =>
    Effect.gen(function*() {
      const { answers, resolver } = memory()
      const targets = ok(
        { name: "a", port: 1, priority: 0, weight: 1 },
        { name: "b", port: 1, priority: 0, weight: 1 }
      )
      answers.of = {
        [`srv ${service}`]: targets,
        "a a": ok({ address: "10.0.0.1", ttl: 30 }),
        "aaaa a": ok({ address: "fd00::1", ttl: 30 }),
        "a b": ok({ address: "10.0.0.2", ttl: 30 })
      }
      const followed = yield* follow(Dns.services({ name: service })).pipe(
        Effect.provideService(Dns.Resolver, resolver)
      )
      answers.of = { ...answers.of, "aaaa a": Effect.never, "a b": fail("ESERVFAIL"), "aaaa b": fail("ESERVFAIL") }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.1:1", "[fd00::1]:1", "10.0.0.2:1"])
      answers.of = { ...answers.of, "a b": fail("ENOTFOUND"), "aaaa b": fail("ENOTFOUND") }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.1:1", "[fd00::1]:1"])
      answers.of = { ...answers.of, [`srv ${service}`]: ok({ name: "b", port: 1, priority: 0, weight: 1 }) }
      answers.of = { ...answers.of, "a b": fail("ESERVFAIL"), "aaaa b": fail("ESERVFAIL") }
      // a refresh that had begun before ends
      yield* TestClock.adjust("36 seconds")
      const before = followed.lists().length
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(followed.lists().length, before)
      assert.include(followed.problems().at(-1), "the name servers failed")
    }))

  it.scoped("drops the addresses of a family that is gone, also where the name servers say that there is no such name", () =>
    Effect.gen(function*() {
      const { answers, resolver } = memory()
      const four = { [`a ${name}`]: ok({ address: "10.0.0.1", ttl: 30 }) }
      answers.of = { ...four, [`aaaa ${name}`]: ok({ address: "fd00::1", ttl: 30 }) }
      const followed = yield* follow(Dns.hosts({ name, port })).pipe(Effect.provideService(Dns.Resolver, resolver))
      for (const code of ["ESERVFAIL", "ENOTFOUND", "ESERVFAIL"]) {
        answers.of = { ...four, [`aaaa ${name}`]: fail(code) }
        yield* TestClock.adjust("1 minute")
      }
      const lists = followed.lists().map(String)
      assert.deepStrictEqual(Array.from(new Set(lists)), ["10.0.0.1:8080,[fd00::1]:8080", "10.0.0.1:8080"])
      assert.strictEqual(lists.at(-1), "10.0.0.1:8080")
    }))

  it.scoped("looks up at once after a connection failure, at most every 5 seconds", () =>
    Effect.gen(function*() {
      const { answers, resolver } = memory()
      answers.of = { [`a ${name}`]: ok({ address: "10.0.0.1", ttl: 30 }) }
      const followed = yield* follow(Dns.hosts({ name, port })).pipe(Effect.provideService(Dns.Resolver, resolver))
      yield* TestClock.adjust("5 seconds")
      yield* Effect.forEach(Array.from({ length: 50 }), () => followed.refresh)
      assert.lengthOf(followed.updates, 2)
      yield* TestClock.adjust("5 seconds")
      assert.lengthOf(followed.updates, 3)
    }))

  it("refuses options that cannot be used", () => {
    for (
      const [make, message] of [
        [() => Dns.hosts(null as never), "Dns.hosts: options must be an object, got null"],
        [() => Dns.hosts({ name: "", port }), "Dns.hosts: name must be a name, got \"\""],
        [() => Dns.hosts({ name: "10.0.0.1", port }), "Dns.hosts: name must be a name, got \"10.0.0.1\""],
        [() => Dns.hosts({ name, port: 0 }), "Dns.hosts: port must be an integer from 1 to 65535, got 0"],
        [() => Dns.hosts({ name, port, every: 0 }), "Dns.hosts: every must be greater than zero, got 0"],
        ...["dns.example.org", "10.0.0.1:99999", ""].map((server) =>
          [
            () => Dns.services({ name, servers: [server] }),
            "Dns.services: servers must be addresses, such as \"10.0.0.10\" or \"10.0.0.10:53\""
          ] as const
        ),
        [() => Dns.services({ name, prot: 1 } as never), "Dns.services: prot is not an option"]
      ] as ReadonlyArray<readonly [() => unknown, string]>
    ) {
      let thrown: unknown
      try {
        make()
      } catch (error) {
        thrown = error
      }
      assert.instanceOf(thrown, InvalidOption)
      assert.include((thrown as InvalidOption).message, message)
    }
    Dns.hosts({ name, port, servers: ["10.0.0.10", "10.0.0.10:53", "fd00::a", "[fd00::a]:53"] })
  })
})
