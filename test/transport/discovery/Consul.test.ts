import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { InvalidOption } from "../../../src/InvalidOption.js"
import * as Consul from "../../../src/transport/Consul.js"
import * as Agent from "../../support/consulApi.js"
import * as Http from "../../support/discoveryHttp.js"
import { eventually } from "../../support/eventually.js"
import { follow, listed } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const { instance } = Agent

const inMemory = () => {
  const agent = Agent.make()
  const { layer, seen } = Http.memory(agent)
  return {
    agent,
    seen,
    follow: (more: Partial<Consul.Options> = {}) =>
      Effect.provide(follow(Consul.service({ service: "users", ...more })), layer)
  }
}

const settle = TestClock.adjust("1 millis")
const second = TestClock.adjust("1 second")

describe("Consul.service at a real HTTP server", () => {
  it.scopedLive("lists what passes, with weight, metadata and the address of the node where there is no other", () =>
    Effect.gen(function*() {
      const agent = Agent.make()
      agent.set(
        instance("users-1", "10.0.0.1", 80),
        instance("users-2", "", 81, { Weights: null, Meta: null, Locality: { Region: "r", Zone: "z1" } })
      )
      const server = yield* Http.served(agent)
      const followed = yield* follow(
        Consul.service({
          service: "users",
          url: server.url,
          token: Redacted.make("hunter2"),
          tag: "v2",
          datacenter: "dc2"
        })
      ).pipe(Effect.provide(server.layer))
      yield* eventually(() => agent.waiting() === 1)
      assert.deepStrictEqual(followed.updates, [
        listed(
          {
            address: "10.0.0.1:80",
            weight: 10,
            attributes: { version: "4.0", id: "users-1", node: "node-1" }
          },
          { address: "10.1.10.12:81", zone: "z1", attributes: { id: "users-2", node: "node-1" } }
        )
      ])
      const [first, blocking] = server.seen
      assert.strictEqual(first?.path, "/v1/health/service/users")
      assert.strictEqual(first?.params.toString(), "passing=1&tag=v2&dc=dc2")
      assert.strictEqual(first?.headers["x-consul-token"], "hunter2")
      assert.strictEqual(blocking?.params.get("index"), "101")
      assert.strictEqual(blocking?.params.get("wait"), "55s")
      agent.set(instance("users-3", "10.0.0.3", 80))
      yield* eventually(() => followed.updates.length === 2)
      assert.deepStrictEqual(followed.lists()[1], ["10.0.0.3:80"])
      yield* eventually(() => agent.waiting() === 1)
      // the query is given up on the wire
      yield* followed.stop
      yield* eventually(() => server.seen.at(-1)!.isOver)
    }))
})

describe("Consul.service", () => {
  it.scoped("gives no new list for a query that wakes without a change, and sends at most one a second", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      const followed = yield* follow()
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => Effect.andThen(Effect.sync(() => agent.wake()), TestClock.adjust("100 millis"))
      )
      assert.lengthOf(followed.updates, 1)
      assert.isAtMost(seen.length, 12)
      assert.isAbove(seen.length, 8)
    }))

  it.scoped("starts over without an index when the index goes back", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      const followed = yield* follow()
      yield* second
      agent.restore(5, instance("users-2", "10.0.0.2", 80))
      yield* second
      yield* second
      yield* settle
      assert.deepStrictEqual(seen.map(({ params }) => params.get("index")), [null, "101", null, "5"])
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"], ["10.0.0.2:80"]])
      agent.set(instance("users-3", "10.0.0.3", 80))
      yield* settle
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.3:80"])
      assert.deepStrictEqual(followed.problems(), [])
    }))

  it.scoped("waits with an index of 1 where the agent says 0, and fails where it says none", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.state.header = "0"
      const followed = yield* follow()
      yield* second
      assert.strictEqual(seen.at(-1)?.params.get("index"), "1")
      agent.state.header = ""
      agent.wake()
      yield* second
      agent.state.header = "many"
      agent.wake()
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(followed.problems().at(-1), "consul users: the answer has no index")
    }))

  it.scoped("notices a connection that has gone silent", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      agent.state.isSilent = true
      const followed = yield* follow()
      yield* second
      agent.forget()
      agent.set(instance("users-2", "10.0.0.2", 80))
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual(followed.updates.length, 1)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(followed.problems().at(-1), "consul users: no answer within 68437.5 ms")
      assert.isTrue(seen[1]!.isOver)
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:80"])
    }))

  it.scoped("keeps its list while the agent is dead for an hour, and is right within half a minute when it is back", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      const followed = yield* follow()
      yield* second
      agent.state.isDead = true
      agent.wake()
      yield* TestClock.adjust("30 minutes")
      assert.include(followed.problems().at(-1), "consul users: the request failed with ECONNREFUSED")
      Object.assign(agent.state, { isDead: false, status: 500 })
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(followed.problems().at(-1), "consul users: answered with status 500")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"]])
      assert.isBelow(seen.length, 250)
      agent.state.status = 0
      agent.set(instance("users-2", "10.0.0.2", 80))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:80"])
    }))

  it.scoped("gives an empty list once, when a query without an index has said the same", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      const followed = yield* follow()
      yield* second
      agent.set()
      yield* TestClock.adjust("3 seconds")
      agent.wake()
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(followed.updates.length, 2)
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"], []])
      assert.deepStrictEqual(seen.map(({ params }) => params.has("index")), [false, true, false, true, true])
    }))

  it.scoped("keeps its list where the token may not read the instances any more, which Consul tells as an empty list", () =>
    Effect.gen(function*() {
      const { agent, follow } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      const followed = yield* follow({ token: Redacted.make("hunter2") })
      yield* second
      agent.state.isFiltered = true
      agent.wake()
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(followed.problems().at(-1), "consul users: the token may not read the instances")
      agent.state.isFiltered = false
      agent.set(instance("users-2", "10.0.0.2", 80))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:80"], ["10.0.0.2:80"]])
    }))

  it.scoped("shows its token in no error", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.state.isDead = true
      const followed = yield* follow({ token: Redacted.make("hunter2") })
      yield* settle
      agent.state.isDead = false
      agent.state.status = 403
      yield* second
      assert.strictEqual(seen[0]?.headers["x-consul-token"], "hunter2")
      assert.isAbove(followed.updates.length, 1)
      assert.notInclude(Inspectable.format(followed.updates) + JSON.stringify(followed.updates), "hunter2")
    }))

  it.scoped("shows its token in no span: its queries have none", () =>
    Effect.gen(function*() {
      const { agent, follow, seen } = inMemory()
      agent.set(instance("users-1", "10.0.0.1", 80))
      const spans: Array<string> = []
      const tracer = yield* Effect.tracer
      const noting = Tracer.make({
        span: (name, ...rest) => {
          spans.push(name)
          return tracer.span(name, ...rest)
        },
        context: (f, fiber) => tracer.context(f, fiber)
      })
      yield* follow({ token: Redacted.make("hunter2") }).pipe(Effect.withSpan("start"), Effect.withTracer(noting))
      yield* second
      yield* second
      assert.isAbove(seen.length, 1)
      assert.deepStrictEqual(spans, ["start"])
    }))

  it.scoped("says the status of an answer also where the client fails for it", () =>
    Effect.gen(function*() {
      const agent = Agent.make()
      agent.state.status = 403
      const { layer } = Http.memory(agent)
      const filtered = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, HttpClient.filterStatusOk)
      )
      const followed = yield* Effect.provide(
        follow(Consul.service({ service: "users" })),
        Layer.provide(filtered, layer)
      )
      yield* settle
      assert.strictEqual(followed.problems()[0], "consul users: answered with status 403")
    }))

  it("refuses options that cannot be used", () => {
    for (
      const [more, message] of [
        [{ service: "" }, "service must be a name, got \"\""],
        [{ tag: "" }, "tag must be a name, got \"\""],
        [{ token: "hunter2" }, "token must be a Redacted text"],
        [{ token: Redacted.make("hunter2\n") }, "token must have only characters that a header can have"],
        [{ wait: 0 }, "wait must be greater than zero, got 0"],
        [{ wait: "11 minutes" }, "wait in seconds must be an integer from 1 to 600, got 660"],
        [{ url: "http://agent?x" }, "url must have a host, and neither a query nor a fragment"],
        [{ wiat: 1 }, "wiat is not an option, did you mean wait?"]
      ] as ReadonlyArray<[object, string]>
    ) {
      let thrown: unknown
      try {
        Consul.service({ service: "users", ...more })
      } catch (error) {
        thrown = error
      }
      assert.instanceOf(thrown, InvalidOption)
      assert.include((thrown as InvalidOption).message, `Consul.service: ${message}`)
    }
  })
})
