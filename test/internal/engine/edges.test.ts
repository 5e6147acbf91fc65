/**
 * The engine where two things meet: a timeout and the deadline, a failed attempt and a rejection inside the next one.
 */
import { CallRejected, Retryable, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Effect from "effect/Effect"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", method: "Users.Get" })

describe("a call at its edges", () => {
  it.effect("whose attempt timeout ends with its deadline has exceeded the deadline", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* play(withRpcRetry(Effect.never, { attemptTimeout: 100, deadline: 100 }))
      const { attempts, last, reason } = exhaustedOf(exit)
      assert.deepStrictEqual([reason, attempts, last.reason, took], ["DeadlineExceeded", 1, "AttemptTimeout", 100])
      const before = yield* play(withRpcRetry(Effect.never, { attemptTimeout: 99, deadline: 100 }))
      assert.deepStrictEqual([exhaustedOf(before.exit).reason, before.took], ["DeadlineTooClose", 99])
    }))

  const rejected = (reason: RpcError.RejectedReason) => Effect.fail(new CallRejected({ reason }))

  it.effect("that is turned away inside after an attempt keeps the error of that attempt, and counts no other", () =>
    Effect.gen(function*() {
      for (const reason of ["BulkheadFull", "CircuitOpen", "DeadlineExceeded"] as const) {
        const call = yield* Faults.script([Effect.fail(refused), rejected(reason)])
        const { exit, took } = yield* play(withRpcRetry(call))
        const error = exhaustedOf(exit)
        assert.deepStrictEqual([error.reason, error.attempts, error.last, took], [reason, 1, refused, 100])
      }
    }))

  it.effect("that a throttle inside holds back ends with what the throttle says", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.fail(refused), rejected("Throttled")])
      const { exit, took } = yield* play(withRpcRetry(call))
      assert.deepStrictEqual([failureOf(exit), took], [new CallRejected({ reason: "Throttled" }), 100])
    }))

  it.effect("that is turned away inside its first attempt ends as that", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* play(withRpcRetry(rejected("BulkheadFull")))
      assert.deepStrictEqual([failureOf(exit), took], [new CallRejected({ reason: "BulkheadFull" }), 0])
    }))

  it.effect("has the name that it is given, else the one of its last error", () =>
    Effect.gen(function*() {
      const named = yield* play(withRpcRetry(Effect.fail(refused), { method: "Users.List" }))
      assert.strictEqual(exhaustedOf(named.exit).method, "Users.List")
      const nameless = yield* play(withRpcRetry(Effect.fail(refused)))
      assert.strictEqual(exhaustedOf(nameless.exit).method, "Users.Get")
      const late = yield* play(withRpcRetry(Effect.never, { method: "Users.List", attemptTimeout: 10 }))
      assert.strictEqual(exhaustedOf(late.exit).last.method, "Users.List")
    }))

  it.effect("that a transport cuts before its deadline is retried", () =>
    Effect.gen(function*() {
      const cut = new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" })
      const early = yield* Faults.script([Effect.delay(Effect.fail(cut), 50), Effect.succeed("ok")])
      const { exit, took } = yield* play(withRpcRetry(early, { deadline: 1000 }))
      assert.deepStrictEqual([exit._tag, took], ["Success", 150])
    }))
})
