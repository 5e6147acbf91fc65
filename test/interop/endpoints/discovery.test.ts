/** Endpoints whose addresses are discovered: calls go on, whatever becomes of what is asked for them. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import { Endpoints, withRpcRetry } from "effect-rpc-retry"
import * as Consul from "effect-rpc-retry/Consul"
import * as Dns from "effect-rpc-retry/Dns"
import * as Etcd from "effect-rpc-retry/Etcd"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Kubernetes from "effect-rpc-retry/Kubernetes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as ConsulApi from "../../support/consulApi.js"
import * as Http from "../../support/discoveryHttp.js"
import * as DnsServer from "../../support/dnsServer.js"
import { ask, servers } from "../../support/endpoints.js"
import * as EtcdGateway from "../../support/etcdGateway.js"
import { eventually } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import * as KubernetesApi from "../../support/kubernetesApi.js"
import { assert, describe, it } from "../../support/vitest.js"

const netrpc = GoProgram.make("netrpc")
const { a } = DnsServer
const name = "users.example.org"

describe.skipIf(GoServer.skipped !== undefined)("Go servers that a name server lists", () => {
  it.scopedLive("have calls one refresh after a pod has come in a quiet time, and none when it has gone", () =>
    Effect.gen(function*() {
      const dns = yield* DnsServer.make
      const [host, other] = ["127.0.0.1", "127.0.0.2"]
      const first = yield* netrpc.serve()
      const added = yield* netrpc.serve("-address", `${other}:${first.port}`)
      dns.answer(`A ${name}`, [a(host, 0)])
      const endpoints = yield* Endpoints.make({
        source: Dns.hosts({
          name,
          port: first.port,
          servers: [dns.server],
          every: "100 millis",
          atMostEvery: "50 millis"
        }),
        connect: (endpoint) =>
          GoRpc.make({ ...Endpoints.hostAndPort(endpoint), dialBackoff: Schedule.spaced("1 millis") }),
        slowStart: 0
      })
      const at: Array<string> = []
      const call = endpoints.call((rpc, { address }) => {
        at.push(address)
        return rpc.call("Arith.Multiply", { A: 6, B: 7 })
      }).pipe(withRpcRetry)
      const calls = Effect.forEach(Array.from({ length: 60 }), () => call)
      yield* calls
      assert.deepStrictEqual(Array.from(new Set(at)), [first.address])
      // nobody calls, and nothing fails: only the time makes it ask again
      const quiet = dns.asked.length
      yield* eventually(() => dns.asked.length > quiet + 10)
      dns.answer(`A ${name}`, [a(host, 0), a(other, 0)])
      const changed = dns.asked.length
      const isThere = (wanted: ReadonlyArray<string>) =>
        eventually(Effect.map(endpoints.state, (states) => {
          const listed = states.filter(({ state }) => state !== "Leaving").map(({ address }) => address)
          return listed.join() === wanted.join()
        }))
      yield* isThere([first.address, added.address])
      // a question that was on its way may have the old answer; a refresh asks for A and for AAAA
      assert.isAtMost(dns.asked.length - changed, 6)
      at.length = 0
      yield* calls
      assert.include(at, added.address)
      yield* first.kill
      dns.answer(`A ${name}`, [a(other, 0)])
      yield* calls
      yield* isThere([added.address])
      at.length = 0
      yield* calls
      assert.deepStrictEqual(Array.from(new Set(at)), [added.address])
    }))
})

const ok = (...addresses: ReadonlyArray<string>) => Effect.succeed(addresses.map((address) => ({ address, ttl: 30 })))

/** Makes 50 calls, so many that chance leaves out none of two endpoints, and returns by which they were answered. */
const fiftyCalls = (
  endpoints: Endpoints.Endpoints<Effect.Effect.Success<ReturnType<ReturnType<typeof servers>["connect"]>>>
) =>
  Effect.map(
    Effect.forEach(Array.from({ length: 50 }), () => endpoints.call(ask).pipe(withRpcRetry)),
    (at) => Array.from(new Set(at)).toSorted().join()
  )

describe("calls of endpoints, while their name", () => {
  it.scoped("has an emptied answer, go on at the last list for a minute, and are not sent after that", () =>
    Effect.gen(function*() {
      let answer = ok("10.0.0.1", "10.0.0.2")
      const resolver: Dns.Queries = {
        a: () => Effect.suspend(() => answer),
        aaaa: () => Effect.succeed([]),
        srv: () => Effect.succeed([])
      }
      const { connect } = servers()
      const endpoints = yield* Endpoints.make({ source: Dns.hosts({ name, port: 80 }), connect }).pipe(
        Effect.provideService(Dns.Resolver, resolver)
      )
      assert.strictEqual(yield* fiftyCalls(endpoints), "10.0.0.1:80,10.0.0.2:80")
      yield* TestClock.adjust("1 hour")
      answer = ok()
      // within a refresh it is known to be empty, and is not believed for a minute
      for (let second = 0; second < 60; second++) {
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* fiftyCalls(endpoints), "10.0.0.1:80,10.0.0.2:80", `after ${second} s`)
      }
      yield* TestClock.adjust("37 seconds")
      const error = yield* Effect.flip(endpoints.call(ask))
      assert.deepStrictEqual([error.reason, error._tag === "Retryable" && error.delivery], ["Unavailable", "NotSent"])
      answer = ok("10.0.0.3")
      yield* TestClock.adjust("36 seconds")
      assert.strictEqual(yield* fiftyCalls(endpoints), "10.0.0.3:80")
    }))
})

interface Discovery {
  readonly source: Endpoints.Source<HttpClient.HttpClient | FileSystem.FileSystem>
  readonly handler: { readonly handle: Http.Handler }
  /** Lists the endpoint with this host, and no other. */
  readonly list: (host: string) => void
  readonly die: () => void
  readonly revive: () => void
}

const kubernetes = (): Discovery => {
  const api = KubernetesApi.make()
  return {
    source: Kubernetes.service({ namespace: "shop", service: "users", url: "https://api", tokenFile: Http.tokenFile }),
    handler: api,
    list: (ip) => api.put(KubernetesApi.slice("a", [{ ip }])),
    die: () => {
      api.state.isDead = true
      api.cutWatches()
    },
    revive: () => {
      api.state.isDead = false
    }
  }
}

const consul = (): Discovery => {
  const agent = ConsulApi.make()
  return {
    source: Consul.service({ service: "users" }),
    handler: agent,
    list: (host) => agent.set(ConsulApi.instance("users-1", host, 8080)),
    die: () => {
      agent.state.isDead = true
      agent.wake()
    },
    revive: () => {
      agent.state.isDead = false
    }
  }
}

const etcd = (): Discovery => {
  const gateway = EtcdGateway.make()
  return {
    source: Etcd.prefix({ prefix: "users/" }),
    handler: gateway,
    list: (host) => gateway.put("users/1", `${host}:8080`),
    die: () => {
      gateway.state.isDead = true
      gateway.cutWatches()
    },
    revive: () => {
      gateway.state.isDead = false
    }
  }
}

describe("calls of endpoints, while what lists them is dead for an hour", () => {
  for (const [of, make] of Object.entries({ kubernetes, consul, etcd })) {
    it.scoped(`never fail, and go to the new list within half a minute of its return: ${of}`, () =>
      Effect.gen(function*() {
        const { die, handler, list, revive, source } = make()
        list("10.0.0.1")
        const { connect } = servers()
        const provided = Layer.merge(Http.memory(handler).layer, Http.files({ [Http.tokenFile]: "token" }))
        const endpoints = yield* Effect.provide(Endpoints.make({ source, connect }), provided)
        const waiting = yield* Effect.fork(fiftyCalls(endpoints))
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* waiting, "10.0.0.1:8080")
        die()
        for (let minute = 0; minute < 60; minute++) {
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(yield* fiftyCalls(endpoints), "10.0.0.1:8080", `in minute ${minute}`)
        }
        revive()
        list("10.0.0.2")
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual(yield* fiftyCalls(endpoints), "10.0.0.2:8080")
      }))
  }
})
