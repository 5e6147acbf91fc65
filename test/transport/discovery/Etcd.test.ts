import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { InvalidOption } from "../../../src/InvalidOption.js"
import * as Etcd from "../../../src/transport/Etcd.js"
import * as Http from "../../support/discoveryHttp.js"
import * as Gateway from "../../support/etcdGateway.js"
import { follow, listed } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const prefix = "users/"

const inMemory = () => {
  const etcd = Gateway.make()
  const { layer, seen } = Http.memory(etcd)
  return {
    etcd,
    seen,
    starts: () =>
      seen.filter(({ path }) => path === "/v3/watch").map(({ body }) => JSON.parse(body).create_request.start_revision),
    follow: (more: Partial<Etcd.Options> = {}) => Effect.provide(follow(Etcd.prefix({ prefix, ...more })), layer)
  }
}

const settle = TestClock.adjust("1 millis")

describe("Etcd.prefix", () => {
  it.scoped("watches from the revision after the one that it has read", () =>
    Effect.gen(function*() {
      const { etcd, follow, seen, starts } = inMemory()
      etcd.put("users/1", "10.0.0.1:80")
      const followed = yield* follow()
      yield* settle
      etcd.put("users/2", "10.0.0.2:80")
      yield* settle
      etcd.delete("users/1")
      yield* settle
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"], ["10.0.0.1:80", "10.0.0.2:80"], ["10.0.0.2:80"]])
      assert.deepStrictEqual(starts(), ["12"])
      assert.deepStrictEqual(JSON.parse(seen[0]!.body), { key: "dXNlcnMv", range_end: "dXNlcnMw" })
      yield* followed.stop
      assert.isTrue(seen.at(-1)!.isOver)
    }))

  it.scoped("takes addresses, its own JSON, that of etcd's resolver of gRPC, and leaves out what is no endpoint", () =>
    Effect.gen(function*() {
      const { etcd, follow } = inMemory()
      etcd.put("users/1", " 10.0.0.1:80\n")
      etcd.put(
        "users/2",
        "{\"address\":\"10.0.0.2:80\",\"weight\":5,\"priority\":1,\"zone\":\"a\",\"network\":\"tcp\"}"
      )
      etcd.put("users/3", "{\"Op\":0,\"Addr\":\"10.0.0.3:80\",\"Metadata\":null}")
      etcd.put("users/4", "{\"weight\":1}")
      etcd.put("users/5", "{\"addr")
      etcd.put("users/6", "")
      const followed = yield* follow()
      yield* settle
      assert.deepStrictEqual(followed.updates, [
        listed(
          { address: "10.0.0.1:80" },
          { address: "10.0.0.2:80", weight: 5, priority: 1, zone: "a" },
          { address: "10.0.0.3:80" }
        )
      ])
    }))

  it.scoped("keeps its list when no value is an endpoint, and takes a decoder that throws for one that leaves out", () =>
    Effect.gen(function*() {
      const { etcd, follow } = inMemory()
      etcd.put("users/1", "{\"host\":\"a\"}")
      const followed = yield* follow({ decode: (value, key) => `${JSON.parse(value).host}:${key.length}` })
      yield* settle
      etcd.put("users/2", "no JSON")
      yield* settle
      etcd.put("users/1", "no JSON")
      yield* settle
      assert.deepStrictEqual(followed.lists(), [["a:7"], ["a:7"]])
      assert.deepStrictEqual(followed.problems(), ["etcd users/: none of 2 values is an endpoint"])
    }))

  it.scoped("gives an empty list when there are no keys", () =>
    Effect.gen(function*() {
      const { follow } = inMemory()
      assert.deepStrictEqual((yield* follow()).lists(), [[]])
    }))

  it.scoped("reads again when its revision was compacted while it was away", () =>
    Effect.gen(function*() {
      const { etcd, follow } = inMemory()
      etcd.put("users/1", "10.0.0.1:80")
      etcd.state.compacted = 1_000
      const followed = yield* follow()
      yield* settle
      assert.deepStrictEqual(followed.problems(), ["etcd users/: the revision to watch from was compacted"])
      etcd.state.compacted = 0
      etcd.put("users/1", "10.0.0.2:80")
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"], ["10.0.0.2:80"]])
      yield* settle
      assert.strictEqual(etcd.watches(), 1)
    }))

  it.scoped("reads again within a minute when a watch is silent, or waits for a revision that a restore took away", () =>
    Effect.gen(function*() {
      const { etcd, follow, starts } = inMemory()
      etcd.put("users/1", "10.0.0.1:80")
      const followed = yield* follow()
      etcd.state.isSilent = true
      etcd.put("users/1", "10.0.0.2:80")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:80"])
      etcd.restore(3, ["users/1", "10.0.0.3:80"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.3:80"])
      assert.strictEqual(starts().at(-1), "4")
      assert.deepStrictEqual(followed.problems(), [])
    }))

  it.scoped("fails when watches are refused, and does not read more than once a second at a server that ends them", () =>
    Effect.gen(function*() {
      const { etcd, follow, seen } = inMemory()
      etcd.put("users/1", "10.0.0.1:80")
      const followed = yield* follow()
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => Effect.andThen(Effect.sync(etcd.endWatches), TestClock.adjust("100 millis"))
      )
      assert.isAtMost(seen.length, 24)
      etcd.state.refusesWatches = true
      etcd.endWatches()
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(followed.problems()[0], "etcd users/: the watch was refused")
    }))

  it.scoped("keeps its list while etcd is dead for an hour, and is right within half a minute when it is back", () =>
    Effect.gen(function*() {
      const { etcd, follow, seen } = inMemory()
      etcd.put("users/1", "10.0.0.1:80")
      const followed = yield* follow()
      yield* settle
      etcd.state.isDead = true
      etcd.cutWatches()
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"]])
      assert.include(followed.problems().at(-1), "etcd users/: the request failed with ECONNREFUSED")
      assert.isBelow(seen.length, 250)
      etcd.state.isDead = false
      etcd.restore(2, ["users/1", "10.0.0.2:80"])
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:80"])
    }))

  it.scoped("asks the next member when one fails, and logs in without showing password or token", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const etcd = Gateway.make()
      etcd.put("users/1", "10.0.0.1:80")
      const { layer, seen } = Http.memory({
        handle: (request) => {
          asked.push(request.path)
          if (asked.length === 1) {
            throw new Error("refused hunter2")
          }
          return etcd.handle(request)
        }
      })
      const login = { name: "me", password: Redacted.make("password-hunter2") }
      const followed = yield* follow(Etcd.prefix({ prefix, login, url: ["http://a", "http://b"] })).pipe(
        Effect.provide(layer)
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"]])
      assert.deepStrictEqual(JSON.parse(seen[1]!.body), { name: "me", password: "password-hunter2" })
      assert.strictEqual(seen[2]?.headers["authorization"], "token-hunter2")
      assert.notInclude(followed.problems().join("\n"), "hunter2")
      assert.notInclude(Inspectable.format(followed.updates), "password-hunter2")
    }))

  it.scoped("shows no token that the server gives out and no header can have", () =>
    Effect.gen(function*() {
      const { layer } = Http.memory({ handle: () => Http.json({ token: "hunter2\nhunter2" }) })
      const login = { name: "me", password: Redacted.make("x") }
      const followed = yield* Effect.provide(follow(Etcd.prefix({ prefix, login })), layer)
      yield* settle
      assert.strictEqual(followed.problems()[0], "etcd users/: the token has characters that no header can have")
      assert.notInclude(Inspectable.format(followed.updates), "hunter2")
    }))

  it("refuses options that cannot be used", () => {
    for (
      const [more, message] of [
        [{ prefix: "" }, "prefix must be text that is not empty, got \"\""],
        [{ url: [] }, "url must have at least one URL"],
        [{ url: 2379 }, "url must be the URL of the server, got 2379"],
        [{ url: ["etcd:2379"] }, "url must be a URL of http or https"],
        [{ login: { name: "", password: Redacted.make("x") } }, "login.name must be a name, got \"\""],
        [{ login: { name: "me", password: "x" } }, "login.password must be a Redacted text"],
        [{ decode: 1 }, "decode must be a function"],
        [{ watchFor: 0 }, "watchFor must be greater than zero, got 0"],
        [{ prefx: 1 }, "prefx is not an option, did you mean prefix?"]
      ] as ReadonlyArray<[object, string]>
    ) {
      let thrown: unknown
      try {
        Etcd.prefix({ prefix, ...more })
      } catch (error) {
        thrown = error
      }
      assert.instanceOf(thrown, InvalidOption)
      assert.include((thrown as InvalidOption).message, `Etcd.prefix: ${message}`)
    }
  })
})
