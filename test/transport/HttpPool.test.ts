/**
 * `HttpPool` against real servers, behind a proxy whose connections can all turn out to be dead.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Connections, InvalidOption, type RpcError, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as FakeProxy from "../support/fakeProxy.js"
import * as HttpServer from "../support/httpServer.js"

const connections = 16

const range = (length: number) => Array.from({ length }, (_, i) => i)

/** Asks again and again, for a while, until it is so. */
const eventually = (is: () => boolean) =>
  Effect.sync(is).pipe(
    Effect.repeat({ until: (so) => so, schedule: Schedule.spaced(5).pipe(Schedule.intersect(Schedule.recurs(400))) }),
    Effect.map(() => assert.isTrue(is()))
  )

/** A server behind a proxy, and a client with so many idle connections to it. */
const warm = Effect.gen(function*() {
  const server = yield* HttpServer.make
  const proxy = yield* FakeProxy.make(server.port)
  const rpc = yield* JsonRpc.make({ url: proxy.url })
  const held: Array<() => void> = []
  const hold: HttpServer.Step = (response, seen) => {
    held.push(() => HttpServer.serve(response, seen))
  }
  server.script(...range(connections).map(() => hold))
  const calls = yield* Effect.forEach(range(connections), () => Effect.fork(rpc.call("Echo", [])))
  yield* eventually(() => held.length === connections)
  held.forEach((answer) => answer())
  yield* Fiber.joinAll(calls)
  assert.strictEqual(proxy.open(), connections)
  // the last connections are free once the client has seen the end of their answers
  yield* Effect.sleep(20)
  return { server, proxy, rpc }
})

/** A call that counts its failed attempts, retried at once. */
const counted = (rpc: JsonRpc.Client, i: number) => {
  const failures: Array<RpcError.Retryable | RpcError.Fatal> = []
  return rpc.call("Arith.Multiply", { A: i, B: 10 }).pipe(
    Effect.tapError((error) => Effect.sync(() => failures.push(error))),
    withRpcRetry({ method: "Arith.Multiply", schedule: Schedule.recurs(3) }),
    Effect.either,
    Effect.map((answer) => ({ answer: Either.getOrElse(answer, ({ _tag }) => _tag), failed: failures.length }))
  )
}

const pooled = Effect.provide(HttpPool.layer())

describe("HttpPool and connections that only look alive", () => {
  it.scopedLive("one after the other, 16 calls pay one failed attempt in all", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      proxy.fake()
      const results = yield* Effect.forEach(range(connections), (i) => counted(rpc, i))
      assert.deepStrictEqual(results.map(({ answer }) => answer), range(connections).map((i) => i * 10))
      assert.deepStrictEqual(results.map(({ failed }) => failed), range(connections).map((i) => i === 0 ? 1 : 0))
      assert.strictEqual(proxy.resets(), 1)
      // none of them ran twice
      assert.strictEqual(server.seen.length, 2 * connections)
    }).pipe(pooled))

  it.scopedLive("at the same time, 16 calls pay at most one each, and the new pool stays", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      proxy.fake()
      const results = yield* Effect.forEach(range(connections), (i) => counted(rpc, i), { concurrency: "unbounded" })
      assert.deepStrictEqual(results.map(({ answer }) => answer), range(connections).map((i) => i * 10))
      assert.isAtMost(Math.max(...results.map(({ failed }) => failed)), 1)
      assert.strictEqual(server.seen.length, 2 * connections)
      // had each of the 16 failures dropped the pool of that moment, there were more
      assert.isAtMost(proxy.accepted(), 2 * connections)
      assert.isAtMost(proxy.open(), connections)
    }).pipe(pooled))

  it.scopedLive("with fewer connections than calls too", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const proxy = yield* FakeProxy.make(server.port)
      const rpc = yield* JsonRpc.make({ url: proxy.url })
      const calls = Effect.forEach(range(connections), (i) => counted(rpc, i), { concurrency: "unbounded" })
      yield* calls
      assert.strictEqual(proxy.accepted(), 4)
      proxy.fake()
      const results = yield* calls
      assert.deepStrictEqual(results.map(({ answer }) => answer), range(connections).map((i) => i * 10))
      assert.isAtMost(Math.max(...results.map(({ failed }) => failed)), 1)
    }).pipe(Effect.provide(HttpPool.layer({ connections: 4 }))))

  it.scopedLive("connections that are silently dead cost one attempt timeout", () =>
    Effect.gen(function*() {
      const { proxy, rpc } = yield* warm
      proxy.silence()
      // a timeout interrupts its attempt in the background: a retry without any delay would start before that
      const patient = withRpcRetry({
        attemptTimeout: "200 millis",
        schedule: Schedule.spaced("10 millis").pipe(Schedule.intersect(Schedule.recurs(3)))
      })
      for (const i of range(connections)) {
        assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: i, B: 10 }).pipe(patient), i * 10)
      }
      assert.strictEqual(proxy.swallowed(), 1)
    }).pipe(pooled))

  /** After each failed attempt another call, a long one, takes the connection that was dialled anew. */
  const underLoad = Effect.gen(function*() {
    const { proxy, rpc, server } = yield* warm
    proxy.fake()
    const long = Effect.gen(function*() {
      const before = server.seen.length
      server.script(HttpServer.stall)
      yield* Effect.fork(Effect.ignore(rpc.call("Echo", [])))
      yield* eventually(() => server.seen.length > before)
    })
    let failed = 0
    const call = rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(
      Effect.tapError(() => Effect.zipRight(Effect.sync(() => failed++), long))
    )
    const exit = yield* Effect.exit(call.pipe(withRpcRetry({ schedule: Schedule.recurs(3) })))
    return { failed, succeeded: Exit.isSuccess(exit) }
  })

  it.scopedLive("under load a call pays one failed attempt", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* underLoad, { failed: 1, succeeded: true })
    }).pipe(pooled))

  it.scopedLive("under load, over undici alone, each retry meets the next dead connection", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* underLoad, { failed: 4, succeeded: false })
    }).pipe(Effect.provide(NodeHttpClient.layerUndici)))

  it.scopedLive("over node:http alone each retry does, with no load at all", () =>
    Effect.gen(function*() {
      const { proxy, rpc } = yield* warm
      proxy.fake()
      assert.deepStrictEqual(yield* counted(rpc, 1), { answer: "RetryExhausted", failed: 4 })
    }).pipe(
      Effect.provide(
        NodeHttpClient.layerWithoutAgent.pipe(Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: true })))
      )
    ))
})

describe("HttpPool", () => {
  it.scopedLive("requests in flight on a dropped pool finish there, idle connections are closed", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      let answer = () => {}
      server.script((response, seen) => {
        answer = () => HttpServer.serve(response, seen)
      }, HttpServer.reset)
      const slow = yield* Effect.fork(rpc.call("Arith.Multiply", { A: 6, B: 7 }))
      yield* eventually(() => server.seen.length === connections + 1)
      assert.strictEqual((yield* Effect.flip(rpc.call("Echo", []))).reason, "ConnectionLost")
      yield* eventually(() => proxy.open() === 1)
      yield* rpc.call("Echo", [])
      assert.strictEqual(proxy.accepted(), connections + 1)
      answer()
      assert.strictEqual(yield* Fiber.join(slow), 42)
      yield* eventually(() => proxy.open() === 1)
    }).pipe(pooled))

  it.scopedLive("a failure of an old pool leaves the new one alone", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      let fail = () => {}
      server.script((response) => {
        fail = () => response.socket!.resetAndDestroy()
      }, HttpServer.reset)
      const old = yield* Effect.fork(Effect.flip(rpc.call("Echo", [])))
      yield* eventually(() => server.seen.length === connections + 1)
      yield* Effect.flip(rpc.call("Echo", []))
      yield* rpc.call("Echo", [])
      const before = proxy.accepted()
      fail()
      yield* Fiber.join(old)
      yield* Effect.sleep(20)
      yield* rpc.call("Echo", [])
      assert.strictEqual(proxy.accepted(), before)
    }).pipe(pooled))

  it.scopedLive("answers of any status drop nothing, nor does a call that is given up while others are answered", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      server.script(
        HttpServer.stall,
        HttpServer.respond(503),
        HttpServer.respond(500),
        HttpServer.respond(200, "garbage")
      )
      const stalled = yield* Effect.fork(rpc.call("Echo", []))
      yield* eventually(() => server.seen.length === connections + 1)
      yield* Effect.flip(rpc.call("Echo", []))
      yield* Effect.flip(rpc.call("Echo", []))
      yield* Effect.flip(rpc.call("Echo", []))
      yield* Fiber.interrupt(stalled)
      yield* eventually(() => server.seen[connections]!.aborted)
      yield* Effect.sleep(20)
      // undici may dial for a request that is gone by then, in place of the connection that it was on
      assert.isAtLeast(proxy.open(), connections - 1)
      assert.isAtMost(proxy.accepted(), connections + 1)
      assert.strictEqual(server.seen.length, connections + 4)
    }).pipe(pooled))

  it.scopedLive("one origin's failure is not another's", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* HttpServer.make, yield* HttpServer.make]
      const [first, second] = [yield* JsonRpc.make({ url: a.url }), yield* JsonRpc.make({ url: b.url })]
      yield* first.call("Echo", [])
      yield* second.call("Echo", [])
      a.script(HttpServer.reset)
      yield* Effect.flip(first.call("Echo", []))
      yield* Effect.sleep(20)
      assert.deepStrictEqual([a.open(), b.open()], [0, 1])
    }).pipe(pooled))

  it.scopedLive("the body of an answer that breaks off drops the pool too", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      server.script(HttpServer.cut(true))
      assert.strictEqual((yield* Effect.flip(rpc.call("Echo", []))).reason, "ConnectionLost")
      yield* eventually(() => proxy.open() === 0)
    }).pipe(pooled))

  it.scopedLive("calls that wait for a connection to nobody all fail, and none hangs", () =>
    Effect.gen(function*() {
      const rpc = yield* JsonRpc.make({ url: `http://127.0.0.1:${yield* HttpServer.refusedPort}` })
      const errors = yield* Effect.all(range(connections).map(() => Effect.flip(rpc.call("Echo", []))), {
        concurrency: "unbounded"
      })
      errors.forEach((error) => assert.strictEqual(error.reason, "ConnectionRefused"))
    }).pipe(Effect.provide(HttpPool.layer({ connections: 4 }))))

  it.scopedLive("closing the scope closes every connection; calls in flight and later are Fatal Cancelled", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const scope = yield* Scope.make()
      const client = yield* Scope.extend(HttpPool.make(), scope)
      const rpc = yield* JsonRpc.make({ url: server.url }).pipe(Effect.provideService(HttpClient.HttpClient, client))
      server.script(HttpServer.serve, HttpServer.stall)
      yield* rpc.call("Echo", [])
      const flying = yield* Effect.fork(Effect.flip(rpc.call("Echo", [])))
      yield* eventually(() => server.seen.length === 2)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(flying)).reason, "Cancelled")
      yield* eventually(() => server.open() === 0)
      assert.strictEqual((yield* Effect.flip(rpc.call("Echo", []))).reason, "Cancelled")
      assert.strictEqual(server.seen.length, 2)
    }))

  it.scopedLive("inspect shows the origins; those without a connection make room for another", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const name = `http://127.0.0.1:${server.port}`
      const nobody = `http://127.0.0.1:${yield* HttpServer.refusedPort}`
      const rpc = yield* JsonRpc.make({ url: server.url })
      const refused = yield* JsonRpc.make({ url: nobody })
      const shown = Effect.map(RpcRetry.inspect, ({ connections }) => connections)
      assert.deepStrictEqual(yield* shown, [])
      yield* Effect.flip(refused.call("Echo", []))
      yield* Effect.flip(refused.call("Echo", []))
      assert.deepStrictEqual(yield* shown, [{ name: nobody, state: "idle", dials: 2, failedDials: 2 }])
      yield* rpc.call("Echo", [])
      assert.deepStrictEqual(yield* shown, [{ name, state: "ready", dials: 1, failedDials: 0 }])
      server.script(HttpServer.reset)
      yield* Effect.flip(rpc.call("Echo", []))
      yield* rpc.call("Echo", [])
      const [status] = yield* shown
      assert.deepStrictEqual([status?.name, status?.state, status?.failedDials], [name, "ready", 0])
      assert.isAtLeast(status!.dials, 2)
      yield* Effect.flip(refused.call("Echo", []))
      assert.deepStrictEqual((yield* shown).map((status) => status.name), [name, nobody])
    }).pipe(
      Effect.provide(HttpPool.layer()),
      Effect.provideService(Connections.Connections, Connections.make())
    ))

  it.scopedLive("100 origins, one after the other, leave no pools behind", () =>
    Effect.gen(function*() {
      const registry = yield* Connections.Connections
      for (let i = 0; i < 100; i++) {
        const url = `http://127.0.0.1:${yield* HttpServer.refusedPort}`
        const rpc = yield* JsonRpc.make({ url })
        yield* Effect.flip(rpc.call("Echo", []))
        assert.deepStrictEqual((yield* registry.all).map((status) => status.name), [url])
      }
    }).pipe(
      Effect.provide(HttpPool.layer()),
      Effect.provideService(Connections.Connections, Connections.make())
    ))

  it("refuses options that cannot be used", () => {
    const bad: ReadonlyArray<[options: unknown, field: string]> = [
      [{ connections: 0 }, "connections"],
      [{ connections: 1.5 }, "connections"],
      [{ connectTimeout: -1 }, "connectTimeout"],
      [{ keepAliveTimeout: Number.NaN }, "keepAliveTimeout"],
      [{ connect: { ca: 7 } }, "connect"],
      [{ connect: 7 }, "connect"]
    ]
    for (const [options, field] of bad) {
      assert.throws(() => HttpPool.layer(options as HttpPool.Options), InvalidOption, `HttpPool.make: ${field} `)
    }
  })
})
