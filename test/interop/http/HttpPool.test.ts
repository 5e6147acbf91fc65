/**
 * `HttpPool` against real servers, behind a proxy whose connections can all turn out to be dead.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import undici from "@effect/platform-node/Undici"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { Connections, InvalidOption, type RpcError, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Net from "node:net"
import { eventually, settle } from "../../support/eventually.js"
import * as FakeProxy from "../../support/fakeProxy.js"
import * as HttpServer from "../../support/httpServer.js"
import * as Loopback from "../../support/loopback.js"
import { assert, describe, it } from "../../support/vitest.js"

const connections = 16

const range = (length: number) => Array.from({ length }, (_, i) => i)

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
  yield* settle()
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

/** A client of its own scope, and what closes that. */
const scoped = (options: HttpPool.Options, url: string) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const client = yield* Scope.extend(HttpPool.make(options), scope)
    const rpc = yield* JsonRpc.make({ url }).pipe(Effect.provideService(HttpClient.HttpClient, client))
    return { rpc, close: Scope.close(scope, Exit.void) }
  })

const isOver = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

/** A TCP server that accepts, and says nothing. */
const mute = Effect.gen(function*() {
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("close", () => sockets.delete(socket)).resume()
  })
  const port = yield* Loopback.listen(server, () => sockets.forEach((socket) => socket.destroy()))
  return { port, open: () => sockets.size }
})

const pooled = Effect.provide(HttpPool.layer())

describe("HttpPool and connections that only look alive", () => {
  it.scopedLive("16 calls, one after the other, pay one failed attempt in all", () =>
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

  it.scopedLive("16 calls at the same time pay at most one failed attempt each, and the new pool stays", () =>
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

  it.scopedLive("16 calls over fewer connections pay at most one failed attempt each", () =>
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
      yield* settle()
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
      yield* settle()
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
      yield* eventually(() => a.open() === 0)
      assert.strictEqual(b.open(), 1)
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

  it.scopedLive("interim answers come before the answer, and count as a sign of life", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      const interim: HttpServer.Step = (response, seen) => {
        response.writeProcessing()
        response.writeEarlyHints({ link: "</a>; rel=preload" })
        HttpServer.serve(response, seen)
      }
      const silent: HttpServer.Step = (response) => response.writeProcessing()
      server.script(interim, interim, silent)
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }), 42)
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 8 }), 48)
      const before = server.seen.length
      const call = yield* Effect.fork(rpc.call("Echo", []))
      yield* eventually(() => server.seen.length > before)
      // longer than a call waits before it counts as one that got nothing
      yield* settle(200)
      yield* Fiber.interrupt(call)
      yield* eventually(() => server.seen.at(-1)!.aborted)
      yield* eventually(() => proxy.open() === connections - 1)
    }).pipe(pooled))

  it.scopedLive("after a dial that failed the limit holds, and nothing outlives the scope", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      let dials = 0
      const connect: HttpPool.Connector = ({ hostname, port }, callback) => {
        if (++dials === 1) {
          setTimeout(() => callback(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }), null), 20)
        } else {
          const socket = Net.connect(Number(port), hostname)
          socket.once("connect", () => callback(null, socket))
        }
      }
      const { close, rpc } = yield* scoped({ connections: 1, connect }, server.url)
      server.script(HttpServer.stall, HttpServer.stall, HttpServer.stall)
      const calls = yield* Effect.forEach(range(3), () => Effect.fork(Effect.either(rpc.call("Echo", []))))
      yield* eventually(() => server.seen.length === 1)
      const later = yield* Effect.fork(Effect.either(rpc.call("Echo", [])))
      yield* settle(50)
      assert.deepStrictEqual([server.accepted(), server.seen.length], [1, 1])
      yield* close
      yield* eventually(() => server.open() === 0)
      yield* eventually(() => [...calls, later].every(isOver))
    }))

  it.scopedLive("nothing outlives the scope when a server comes up while calls wait for it", () =>
    Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const sockets = new Set<Net.Socket>()
      let most = 0
      const server = Net.createServer((socket) => {
        sockets.add(socket)
        most = Math.max(most, sockets.size)
        socket.on("error", () => {}).on("close", () => sockets.delete(socket)).resume()
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      const { close, rpc } = yield* scoped({ connections: 4 }, `http://127.0.0.1:${port}`)
      let refused = 0
      const call = Effect.tapError(rpc.call("Echo", []), ({ reason }) =>
        Effect.sync(() => {
          if (reason === "ConnectionRefused" && ++refused === 20) {
            server.listen(port, "127.0.0.1")
          }
        }))
      const calls = yield* Effect.forEach(range(400), () => Effect.fork(Effect.either(call)))
      yield* eventually(() => sockets.size === 4)
      const later = yield* Effect.forEach(range(6), () => Effect.fork(Effect.either(call)))
      yield* settle(50)
      assert.strictEqual(most, 4)
      yield* close
      yield* eventually(() => sockets.size === 0)
      yield* eventually(() => [...calls, ...later].every(isOver))
    }))

  it.scopedLive("a dial in progress ends with the scope", () =>
    Effect.gen(function*() {
      const { open, port } = yield* mute
      const own: HttpPool.Connector = ({ hostname, port }) => Net.connect(Number(port), hostname)
      for (const [options, scheme] of [[{}, "https"], [{ connect: own }, "http"]] as const) {
        const { close, rpc } = yield* scoped(options, `${scheme}://127.0.0.1:${port}`)
        const call = yield* Effect.fork(Effect.flip(rpc.call("Echo", [])))
        yield* eventually(() => open() === 1)
        yield* close
        yield* eventually(() => open() === 0)
        assert.strictEqual((yield* Fiber.join(call)).reason, "Cancelled")
      }
    }))

  it.scopedLive("a call that is given up during its dial makes room", () =>
    Effect.gen(function*() {
      const { open, port } = yield* mute
      const rpc = yield* JsonRpc.make({ url: `https://127.0.0.1:${port}` })
      yield* Effect.option(Effect.timeout(rpc.call("Echo", []), 50))
      yield* eventually(() => open() === 0)
      const next = yield* Effect.fork(Effect.either(rpc.call("Echo", [])))
      yield* eventually(() => open() === 1)
      yield* Fiber.interrupt(next)
    }).pipe(Effect.provide(HttpPool.layer({ connections: 1 }))))

  it.scopedLive("a call that is given up just after another one's answer costs those behind it nothing", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      // undici has not done with the connection yet when the caller has the answer, and the next call is on it already
      const won = yield* Effect.fork(rpc.call("Echo", ["won"]))
      const lost = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), rpc.call("Echo", ["lost"])))
      const giveUp = yield* Effect.fork(Effect.zipRight(Fiber.await(won), Fiber.interrupt(lost)))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      const innocent = yield* Effect.forEach(range(8), (i) => Effect.fork(Effect.either(rpc.call("Echo", [i]))))
      yield* Fiber.join(giveUp)
      const answers = yield* Effect.forEach(innocent, Fiber.join)
      assert.deepStrictEqual(answers, range(8).map((i) => Either.right([i])))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(lost)))
    }).pipe(Effect.provide(HttpPool.layer({ connections: 1 }))))

  it.scopedLive("whenever calls are given up, the others are answered", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      const yields = (n: number) => Effect.repeatN(Effect.yieldNow(), n)
      for (const ticks of range(12)) {
        const calls = yield* Effect.forEach(range(24), (i) => Effect.fork(Effect.either(rpc.call("Echo", [i]))))
        // the first waits for an answer, so that the others are given up at all stages
        yield* Fiber.await(calls[0]!)
        for (const call of calls.filter((_, i) => i % 3 === 1)) {
          yield* yields(ticks)
          yield* Fiber.interruptFork(call)
        }
        const innocent = calls.filter((_, i) => i % 3 !== 1)
        const answers = yield* Effect.forEach(innocent, Fiber.join)
        assert.isTrue(answers.every(Either.isRight), JSON.stringify(answers.find(Either.isLeft)))
      }
    }).pipe(Effect.provide(HttpPool.layer({ connections: 2 }))))

  it.scopedLive("calls that are given up while they wait cost nothing", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      let answer = () => {}
      server.script((response, seen) => {
        answer = () => HttpServer.serve(response, seen)
      })
      const head = yield* Effect.fork(rpc.call("Arith.Multiply", { A: 6, B: 7 }))
      yield* eventually(() => server.seen.length === 1)
      const waiting = Effect.option(Effect.timeout(rpc.call("Echo", []), 150))
      yield* Effect.all(range(500).map(() => waiting), { concurrency: "unbounded", discard: true })
      const last = yield* Effect.fork(rpc.call("Arith.Multiply", { A: 6, B: 8 }))
      answer()
      assert.strictEqual(yield* Fiber.join(head), 42)
      assert.strictEqual(yield* Fiber.join(last), 48)
      assert.deepStrictEqual([server.accepted(), server.seen.length], [1, 2])
    }).pipe(Effect.provide(HttpPool.layer({ connections: 1 }))))

  it.scopedLive("what is in flight on dropped connections counts towards the limit", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      let answer = () => {}
      server.script((response, seen) => {
        answer = () => HttpServer.serve(response, seen)
      }, HttpServer.reset)
      const long = yield* Effect.fork(rpc.call("Arith.Multiply", { A: 6, B: 7 }))
      yield* eventually(() => server.seen.length === 1)
      assert.strictEqual((yield* Effect.flip(rpc.call("Echo", []))).reason, "ConnectionLost")
      server.script(HttpServer.stall)
      yield* Effect.fork(Effect.either(rpc.call("Echo", [])))
      const waits = yield* Effect.fork(rpc.call("Arith.Multiply", { A: 6, B: 8 }))
      yield* eventually(() => server.seen.length === 3)
      yield* settle()
      assert.deepStrictEqual([server.open(), server.seen.length], [2, 3])
      answer()
      assert.strictEqual(yield* Fiber.join(long), 42)
      assert.strictEqual(yield* Fiber.join(waits), 48)
      assert.strictEqual(server.open(), 2)
    }).pipe(Effect.provide(HttpPool.layer({ connections: 2 }))))

  it.scoped("calls that are given up drop what they waited for 100 ms in all, or one of them, and not sooner", () =>
    Effect.gen(function*() {
      const { proxy, rpc, server } = yield* warm
      // the waits are on virtual time, the connections are not
      const giveUp = (after: number, left: number) =>
        Effect.gen(function*() {
          const before = server.seen.length
          server.script(HttpServer.stall)
          const call = yield* Effect.fork(Effect.option(Effect.timeout(rpc.call("Echo", []), Duration.millis(after))))
          yield* eventually(() => server.seen.length > before)
          yield* TestClock.adjust(after)
          yield* Fiber.join(call)
          yield* eventually(() => proxy.open() <= left)
          yield* settle()
          assert.strictEqual(proxy.open(), left)
        })
      yield* giveUp(5, connections - 1)
      yield* giveUp(60, connections - 2)
      // an answer begins the count anew
      server.script(HttpServer.serve)
      yield* rpc.call("Echo", [])
      yield* giveUp(60, connections - 3)
      yield* giveUp(60, 0)
    }).pipe(pooled))

  it.scopedLive("the failure of what a request was sending is not one of its connection", () =>
    Effect.gen(function*() {
      const { proxy } = yield* warm
      const client = yield* HttpClient.HttpClient
      const other = Object.assign(new Error("upstream"), { code: "ECONNRESET" })
      const body = Stream.concat(Stream.make(new Uint8Array(3)), Stream.fail(other))
      yield* Effect.flip(client.execute(HttpClientRequest.post(proxy.url).pipe(HttpClientRequest.bodyStream(body))))
      yield* eventually(() => proxy.open() === connections - 1)
    }).pipe(pooled))

  it.scopedLive("a request that undici refuses costs no connection, and those behind it go on", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const client = yield* HttpClient.HttpClient
      const rpc = yield* JsonRpc.make({ url: server.url })
      yield* rpc.call("Echo", [])
      const bad = client.execute(HttpClientRequest.get(server.url, { headers: { "x y": "z" } }))
      const calls = range(1000).map((i) => i % 100 === 99 ? rpc.call("Echo", []) : Effect.flip(bad))
      yield* Effect.all(calls, { concurrency: "unbounded", discard: true })
      assert.deepStrictEqual([server.accepted(), server.seen.length], [1, 11])
    }).pipe(Effect.provide(HttpPool.layer({ connections: 1 }))))

  it.scopedLive("a server that closes after each answer is asked over one connection at a time", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      const step: HttpServer.Step = (response, seen) => {
        response.setHeader("connection", "close")
        HttpServer.serve(response, seen)
      }
      server.script(...range(20).map(() => step))
      const call = (i: number) => rpc.call("Arith.Multiply", { A: i, B: 2 })
      const answers = yield* Effect.forEach(range(20), call, { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, range(20).map((i) => i * 2))
      assert.deepStrictEqual([server.accepted(), server.seen.length], [20, 20])
    }).pipe(Effect.provide(HttpPool.layer({ connections: 1 }))))

  it("says on Bun that it cannot be used there, and what can", () => {
    // what `undici` of Bun 1.4.5 is: the classes are there, and this is not
    const { request } = undici.Dispatcher.prototype
    Object.assign(undici.Dispatcher.prototype, { request: undefined })
    try {
      assert.throws(() => HttpPool.layer(), InvalidOption, /HttpPool.make: runtime .* Bun, .* FetchHttpClient.layer/)
    } finally {
      Object.assign(undici.Dispatcher.prototype, { request })
    }
    assert.doesNotThrow(() => HttpPool.layer())
  })

  it("refuses options that cannot be used", () => {
    const bad: ReadonlyArray<[options: unknown, field: string]> = [
      [null, "options"],
      [5, "options"],
      [{ connections: 0 }, "connections"],
      [{ connections: 1.5 }, "connections"],
      [{ connectTimeout: -1 }, "connectTimeout"],
      [{ keepAliveTimeout: Number.NaN }, "keepAliveTimeout"],
      [{ autoSelectFamily: "x" }, "autoSelectFamily"],
      [{ localAddress: "bogus" }, "localAddress"],
      [{ socketPath: 7 }, "socketPath"],
      [{ connect: { ca: 7 } }, "connect"],
      [{ connect: 7 }, "connect"],
      [{ connect: { timeout: "x" } }, "connect.timeout"],
      [{ connect: { lookup: 5 } }, "connect.lookup"],
      [{ connect: { servername: 5 } }, "connect.servername"],
      [{ connect: { localAddress: "bogus" } }, "connect.localAddress"],
      [{ connect: { allowH2: true } }, "connect.allowH2"],
      [{ clientTtl: 50 }, "clientTtl"],
      [{ pipelining: 3 }, "pipelining"]
    ]
    for (const [options, field] of bad) {
      assert.throws(() => HttpPool.layer(options as HttpPool.Options), InvalidOption, `HttpPool.make: ${field} `)
    }
    // @ts-expect-error undici's pool waits for ever with it
    assert.throws(() => HttpPool.layer({ clientTtl: 50 }))
    // @ts-expect-error HTTP/2 is not used
    assert.throws(() => HttpPool.layer({ connect: { allowH2: true } }))
    assert.doesNotThrow(() => HttpPool.layer({ connections: null, connect: { ca: "", timeout: 5 } }))
  })
})
