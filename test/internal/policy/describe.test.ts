import { RetryBudget, RetryPolicy, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const retries = (n: number) => ({ schedule: Schedule.recurs(n) })

describe("RetryPolicy.describe and show", () => {
  const printed = (policy: RetryPolicy.RetryPolicy) => Effect.map(RetryPolicy.describe(policy), RetryPolicy.show)

  it.effect("the default", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* printed(RetryPolicy.default),
        `attempts        4 (3 retries)
delays          100ms, 150ms, 225ms
total wait      475ms
attempt timeout none
deadline        none
longest call    forever
load at worst   x4
retried         ConnectionRefused, ConnectionLost, AttemptTimeout, Unavailable,
                Throttled, Custom
not retried     Fatal, domain errors, defects`
      )
    }))

  it.effect("with jitter, timeouts, a budget, conditions", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make()
      const policy = RetryPolicy.make({
        schedule: RetrySchedule.exponential({ base: 200, factor: 2 }).pipe(
          RetrySchedule.equalJitter,
          RetrySchedule.retries(8)
        ),
        attemptTimeout: "500 millis",
        deadline: "1 minute",
        idempotent: false,
        retryIf: (error) => error.reason !== "Throttled",
        budget
      })
      const description = yield* RetryPolicy.describe(policy)
      assert.deepStrictEqual([description.attempts, description.retries, description.amplification], [9, 8, {
        withoutBudget: 9,
        withBudget: 1.1
      }])
      const text = RetryPolicy.show(description)
      assert.strictEqual(
        text,
        `attempts        9 (8 retries)
delays          100ms to 200ms, 200ms to 400ms, 400ms to 800ms, 500ms to 1s,
                500ms to 1s, 500ms to 1s, ...
total wait      3s 200ms to 6s 400ms
attempt timeout 500ms
deadline        1m
longest call    10s 900ms
load at worst   x1.1 lasting; x9 without the budget
retried         ConnectionRefused, ConnectionLost, AttemptTimeout, Unavailable,
                Custom, if not sent
not retried     Fatal, domain errors, defects, Throttled`
      )
      assert.isTrue(text.split("\n").every((line) => line.length <= 80))
    }))

  it.effect("a deadline ends the retries, as it does in a call", () =>
    Effect.gen(function*() {
      const short = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make({ deadline: 200 }))
      const description = yield* RetryPolicy.describe(short)
      const { exit, took } = yield* play(withRpcRetry(Faults.refused, short))
      assert.strictEqual(description.attempts, exhaustedOf(exit).attempts)
      assert.strictEqual(Duration.toMillis(description.totalWait.longest), took)
      const forever = yield* printed(RetryPolicy.make({ schedule: RetrySchedule.exponential(), deadline: "2 seconds" }))
      assert.include(forever, "attempts        6 (5 retries)")
      assert.include(forever, "longest call    2s")
    }))

  it.effect("where the schedule chooses by the failure, the worst of the reasons", () =>
    Effect.gen(function*() {
      const schedule = RetrySchedule.byReason({
        Throttled: Schedule.spaced(10).pipe(Schedule.intersect(Schedule.recurs(7)))
      })
      const description = yield* RetryPolicy.describe(RetryPolicy.make({ schedule }))
      assert.deepStrictEqual([description.attempts, description.retried], [8, ["Throttled"]])
      assert.strictEqual(Duration.toMillis(description.totalWait.longest), 70)
    }))

  it.effect("none, without an end, and the many in between", () =>
    Effect.gen(function*() {
      for (const policy of [RetryPolicy.none, RetryPolicy.make({ retryIf: () => false })]) {
        const { amplification, attempts, delays, retried } = yield* RetryPolicy.describe(policy)
        assert.deepStrictEqual([attempts, delays, amplification.withoutBudget, retried], [1, [], 1, []])
      }
      const budget = yield* RetryBudget.make({ ratio: 1 })
      const { amplification } = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: Schedule.stop, budget }))
      assert.strictEqual(amplification.withBudget, 1)
      const forever = yield* printed(RetryPolicy.make({ schedule: RetrySchedule.exponential() }))
      assert.include(forever, "attempts        no limit")
      assert.include(forever, "delays          100ms, 150ms, 225ms, 337.5ms, 506.25ms, 759.38ms, ...")
      assert.include(forever, "longest call    forever")
      assert.include(forever, "load at worst   without bound")
      for (const n of [999, 1000]) {
        assert.strictEqual((yield* RetryPolicy.describe(RetryPolicy.make(retries(n)))).attempts, n + 1)
      }
    }))
})
