/**
 * Interrupting a call over real sockets, at whatever moment, leaves no timer and no socket. `test/stress/interruption.test.ts` does it
 * at every virtual millisecond.
 */
import { Deadline, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { eventually, settle } from "../../support/eventually.js"
import { assert, describe, it } from "../../support/vitest.js"
import * as Watch from "../../support/watch.js"

describe("an interruption over real sockets", () => {
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP"))

  it.live("during the dial, an attempt, a delay: the timers and sockets of the call are gone", () =>
    Effect.gen(function*() {
      const watch = yield* Watch.make
      assert.deepStrictEqual(sockets(), [])
      yield* Effect.gen(function*() {
        const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
        for (const at of [0, 1, 2, 5, 10, 20, 40, 60, 80, 100, 120, 140]) {
          yield* Effect.gen(function*() {
            const rpc = yield* GoRpc.make(server.address)
            yield* server.script(FlakyServer.reset, FlakyServer.stall, FlakyServer.stall, FlakyServer.stall)
            const call = yield* Faults.script([rpc.call("Arith.Multiply", { A: 6, B: 7 })])
            const fiber = yield* Effect.fork(call.pipe(withRpcRetry({ attemptTimeout: "30 millis" }), watch.watch))
            yield* Effect.sleep(at)
            const attempts = yield* call.attempts
            yield* Fiber.interrupt(fiber)
            assert.strictEqual(yield* rpc.pending, 0)
            yield* settle(30)
            assert.strictEqual(yield* call.attempts, attempts)
            assert.strictEqual(yield* watch.timers, 0)
          }).pipe(Effect.scoped)
          assert.strictEqual(yield* watch.fibers, 0)
        }
        yield* eventually(Effect.map(server.connections, (open) => open === 0))
      }).pipe(Effect.scoped)
      yield* eventually(() => sockets().length === 0)
    }))

  it.live("a deadline is the caller's too: nothing of the call outlives it", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const rpc = yield* GoRpc.make(server.address)
      yield* server.script(...Array.from({ length: 10 }, () => FlakyServer.stall))
      const error = yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(
        withRpcRetry({ attemptTimeout: "20 millis" }),
        Deadline.within("60 millis"),
        Effect.flip
      )
      assert.strictEqual(error._tag, "RetryExhausted")
      // the attempt that was cut lets go in the background
      yield* eventually(Effect.map(rpc.pending, (pending) => pending === 0))
    }).pipe(Effect.scoped))
})
