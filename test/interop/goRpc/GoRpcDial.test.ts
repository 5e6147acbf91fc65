/**
 * The dials of `GoRpc` over real sockets: when they are made, and what the calls that wait for them are told. The delays are on
 * virtual time, the sockets are not.
 */
import * as Socket from "@effect/platform/Socket"
import { Retryable, RpcError, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import type * as Connection from "effect-rpc-retry/Connection"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import type * as Net from "node:net"
import { exhausted, isRefused, outcomesOf, play, timesOf } from "../../support/dials.js"
import { eventually, turns } from "../../support/eventually.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const multiply = { A: 6, B: 7 }

/** A client of a port where nobody listens, and how its calls fail. */
const nobody = (settings: Connection.Lifetime = {}) =>
  Effect.gen(function*() {
    const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
    yield* server.stop
    const rpc = yield* GoRpc.make({ ...server.address, ...settings })
    const call = rpc.call("Arith.Multiply", multiply, { idempotent: false })
    const fail = (options: RpcRetry.Options) => exhausted(call.pipe(withRpcRetry(options)))
    return { server, rpc, call, fail }
  })

describe("GoRpc and a port where nobody listens", () => {
  it.scoped("the attempts of the default policy are at 0, 100, 250, 475 ms, and none waits for its dial", () =>
    play(Effect.gen(function*() {
      const { fail } = yield* nobody()
      const error = yield* fail({})
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 0], [250, 0], [475, 0]])
      assert.deepStrictEqual(outcomesOf(error), [isRefused, isRefused, isRefused, isRefused])
    })))

  it.scoped("the report says which attempts waited for their dial, and how long", () =>
    play(Effect.gen(function*() {
      const { fail } = yield* nobody({ dialBackoff: Schedule.spaced("300 millis") })
      const error = yield* fail({})
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 200], [450, 150], [825, 75]])
      const report = RpcError.report(error).split("\n").slice(2)
      assert.deepStrictEqual(report, [
        "  attempt  started   took  delay  outcome",
        `        1      0ms    0ms  100ms  ${isRefused}`,
        `        2    100ms  200ms  150ms  ${isRefused}, waited 200ms to dial`,
        `        3    450ms  150ms  225ms  ${isRefused}, waited 150ms to dial`,
        `        4    825ms   75ms      -  ${isRefused}, waited 75ms to dial`
      ])
    })))
})

describe("GoRpc and an attempt that is cut", () => {
  const cut = `attempt timed out, not sent: ${isRefused}`

  it.scoped("while it waits to dial was not sent, says how the last dial failed, and is made again", () =>
    play(Effect.gen(function*() {
      const { call, fail, server } = yield* nobody({ dialBackoff: Schedule.spaced("1 second") })
      const error = yield* fail({ attemptTimeout: "300 millis" })
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 300], [550, 300], [1075, 0]])
      assert.deepStrictEqual(outcomesOf(error), [isRefused, cut, cut, isRefused])
      const { cause } = error.history[1]!.error
      assert.instanceOf(cause, Retryable)
      assert.deepStrictEqual([cause.reason, cause.code], ["ConnectionRefused", "ECONNREFUSED"])
      // what must not run twice runs once when the server is back
      yield* server.start
      assert.strictEqual(yield* call.pipe(withRpcRetry({ attemptTimeout: "300 millis" })), 42)
      assert.strictEqual((yield* server.requests).length, 1)
    })))

  it.scoped("by the deadline while it waits to dial was not sent", () =>
    play(Effect.gen(function*() {
      const { fail } = yield* nobody({ dialBackoff: Schedule.spaced("1 second") })
      const error = yield* fail({ deadline: "300 millis" })
      assert.deepStrictEqual([error.reason, ...outcomesOf(error)], ["DeadlineExceeded", isRefused, cut])
    })))

  it.scoped("as not sent is not written when the dial succeeds after all, though it could not be interrupted", () =>
    play(Effect.gen(function*() {
      const { call, fail, server } = yield* nobody({ dialBackoff: Schedule.spaced("1 second") })
      yield* fail({ schedule: Schedule.stop })
      yield* server.start
      const ended = yield* Deferred.make<unknown>()
      const stubborn = Effect.uninterruptible(Effect.tapError(call, (error) => Deferred.succeed(ended, error)))
      const options = { attemptTimeout: "300 millis", schedule: Schedule.stop } as const
      const error = yield* Effect.flip(stubborn.pipe(withRpcRetry(options)))
      assert.include(error.message, cut)
      assert.instanceOf(yield* Deferred.await(ended), Retryable)
      assert.deepStrictEqual(yield* server.requests, [])
      assert.strictEqual(yield* call, 42)
    })))

  it.scoped("after its request was written may have run", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      yield* server.script(FlakyServer.stall)
      const rpc = yield* GoRpc.make(server.address)
      const call = rpc.call("Arith.Multiply", multiply, { idempotent: false })
      const fiber = yield* Effect.fork(Effect.flip(call.pipe(withRpcRetry({ attemptTimeout: "300 millis" }))))
      yield* eventually(Effect.map(server.requests, (requests) => requests.length === 1))
      yield* TestClock.adjust("300 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason, "NotIdempotent")
      assert.include(error.message, "attempt timed out, may have run")
    }))
})

describe("GoRpc and an attempt that is cut, in real time", () => {
  const once = { attemptTimeout: "100 millis", schedule: Schedule.stop } as const

  const deliveries = (settings: GoRpc.Options) =>
    Effect.gen(function*() {
      const rpc = yield* GoRpc.make(settings)
      const call = rpc.call("Arith.Multiply", multiply, { idempotent: false })
      const error = yield* Effect.flip(call.pipe(withRpcRetry(once)))
      return error._tag === "RetryExhausted" ? `${error.last.reason} ${error.last.delivery}` : error._tag
    })

  it.scopedLive("before the peer has said a word of TLS or of HTTP was not sent", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => socket.resume())
      const address = { host: "127.0.0.1", port }
      assert.strictEqual(yield* deliveries({ ...address, tls: {} }), "AttemptTimeout NotSent")
      assert.strictEqual(yield* deliveries({ ...address, http: true, codec: "json" }), "AttemptTimeout NotSent")
    }))

  it.scopedLive("behind a request that the peer does not take was not sent", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => socket.pause())
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
      yield* Effect.fork(Effect.ignore(rpc.call("Arith.Multiply", "x".repeat(50_000_000))))
      yield* eventually(Effect.map(rpc.pending, (n) => n === 1))
      yield* turns(1)
      const behind = yield* Effect.flip(rpc.call("Arith.Multiply", multiply).pipe(withRpcRetry(once)))
      assert.include(behind.message, "attempt timed out, not sent")
    }))
})

describe("GoRpc and a dial that fails", () => {
  it.scopedLive("in the handshake of TLS, cut or answered in another protocol: not sent", () =>
    Effect.gen(function*() {
      const ends: ReadonlyArray<(socket: Net.Socket) => void> = [
        (socket) => socket.once("data", () => socket.resetAndDestroy()),
        (socket) => socket.once("data", () => socket.end()),
        (socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      ]
      for (const end of ends) {
        const { port } = yield* Peer.listen(end)
        const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, tls: {} })
        const error = yield* Effect.flip(rpc.call("Arith.Multiply", multiply))
        assert.strictEqual(error._tag === "Retryable" ? error.delivery : error.message, "NotSent")
      }
    }))

  it.scoped("in whatever way the socket says: not sent", () =>
    Effect.gen(function*() {
      const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
      const rpc = yield* GoRpc.make({ socket: new Socket.SocketGenericError({ reason: "Read", cause }) })
      const error = yield* Effect.flip(rpc.call("Arith.Multiply", multiply))
      assert.strictEqual(error.message, "Arith.Multiply: connection lost (ECONNRESET), not sent")
    }))
})
