import { assert, describe, it } from "@effect/vitest"
import { Fatal, RetryPolicy, RpcCall, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"

const fast = RetryPolicy.make({ schedule: Schedule.recurs(3) })

describe("RpcCall.fromPromise", () => {
  it.effect("runs, retries and classifies", () =>
    Effect.gen(function*() {
      let calls = 0
      const call = RpcCall.fromPromise({
        method: "Users.Get",
        try: () => {
          calls++
          return calls < 3
            ? Promise.reject(Object.assign(new Error(), { code: "ECONNRESET", syscall: "read" }))
            : Promise.resolve("ok")
        }
      })
      assert.isTrue(RpcCall.isRpcCall(call))
      assert.isFalse(RpcCall.isRpcCall(Effect.void))
      assert.strictEqual(yield* withRpcRetry(call, fast), "ok")
      assert.strictEqual(calls, 3)
    }))

  it.effect("takes a classifier, and names the method in the error", () =>
    Effect.gen(function*() {
      const call = RpcCall.fromPromise({
        method: "Users.Get",
        try: () => Promise.reject(404),
        classify: (failure) => new Fatal({ reason: "NotFound", code: failure as number, message: "no such user" })
      })
      const error = yield* Effect.flip(withRpcRetry(call))
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.code, error.method], ["NotFound", 404, "Users.Get"])
    }))

  it.effect("a client that throws before it returns a promise is a failure too", () =>
    Effect.gen(function*() {
      const call = RpcCall.fromPromise({
        method: "A.B",
        try: (): Promise<void> => {
          throw new TypeError("bad argument")
        }
      })
      const error = yield* Effect.flip(withRpcRetry(call))
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.message, "bad argument")
    }))

  it.effect("aborts the signal on a timeout and on interruption", () =>
    Effect.gen(function*() {
      const signals: Array<AbortSignal> = []
      const call = RpcCall.fromPromise({
        method: "A.B",
        try: (signal) => {
          signals.push(signal)
          return new Promise<never>(() => {})
        }
      })
      const fiber = yield* Effect.fork(withRpcRetry(call, { attemptTimeout: "1 second" }))
      yield* TestClock.adjust(1150)
      assert.deepStrictEqual(signals.map((signal) => signal.aborted), [true, false])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(signals.map((signal) => signal.aborted), [true, true])
    }))
})
