import { Retryable, RetryExhausted, withRpcRetry } from "effect-rpc-retry"
import * as Deadline from "effect-rpc-retry/Deadline"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { assert, describe, it } from "../../support/vitest.js"

/** Keeps the event loop busy until the deadline, so that no timer can end before, and fails as a transport does. */
const failing = (reason: Retryable["reason"]) =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const deadline = yield* Deadline.CurrentDeadline
    while (Deadline.unsafeNow(clock) < deadline) {
      // busy
    }
    return yield* new Retryable({ reason, delivery: "Unknown" })
  })

describe("an attempt that fails at the deadline before the timer of the engine ends", () => {
  const outcome = (reason: Retryable["reason"]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        failing(reason).pipe(withRpcRetry({ schedule: Schedule.recurs(3), deadline: "20 millis", idempotent: false }))
      )
      assert.instanceOf(error, RetryExhausted)
      return [error.reason, error.attempts]
    })

  it.live("with AttemptTimeout is cut by the deadline", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* outcome("AttemptTimeout"), ["DeadlineExceeded", 1])
    }))

  it.live("with another reason is judged as any failure", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* outcome("Unavailable"), ["NotIdempotent", 1])
    }))
})
