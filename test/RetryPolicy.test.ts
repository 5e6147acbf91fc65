import { InvalidOption, RetryPolicy, RetrySchedule, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { pipe } from "effect/Function"
import { assert, describe, it } from "./support/vitest.js"

/** Options that do not compile. */
const hedging = (options: { readonly hedge: unknown; readonly idempotent?: boolean }) => options as RetryPolicy.Options

describe("RetryPolicy", () => {
  const bad: ReadonlyArray<[RetryPolicy.Options, field: string, problem: string]> = [
    [{ attemptTimeout: -1 }, "attemptTimeout", "must not be negative, got -1"],
    [{ attemptTimeout: "-5 millis" }, "attemptTimeout", "must not be negative, got -5 millis"],
    [{ attemptTimeout: 0 }, "attemptTimeout", "must be greater than zero, got 0"],
    [{ attemptTimeout: NaN }, "attemptTimeout", "must be a duration, such as \"250 millis\", got NaN"],
    [{ attemptTimeout: Infinity }, "attemptTimeout", "must be finite, got Infinity"],
    [{ attemptTimeout: Duration.infinity }, "attemptTimeout", "must be finite, got Infinity"],
    [{ attemptTimeout: [-1, 0] }, "attemptTimeout", "must not be negative, got -1,0"],
    [{ attemptTimeout: -1n }, "attemptTimeout", "must not be negative, got -1"],
    [{ deadline: "soon" as "1 second" }, "deadline", "must be a duration, such as \"250 millis\", got soon"],
    [{ deadline: Duration.zero }, "deadline", "must be greater than zero, got 0"],
    [{ maxServerDelay: -0.5 }, "maxServerDelay", "must not be negative, got -0.5"],
    [{ attemptTimeout: 2000, deadline: 1000 }, "attemptTimeout", "must not exceed the deadline of 1s, got 2s"],
    [{ idempotent: "yes" as unknown as boolean }, "idempotent", "must be a boolean, got yes"],
    [{ retryIf: true as unknown as () => boolean }, "retryIf", "must be a function, got true"],
    [hedging({ hedge: { after: 10 } }), "hedge", "needs idempotent: true beside it, got undefined"],
    [hedging({ hedge: { after: 10 }, idempotent: false }), "hedge", "needs idempotent: true beside it, got false"],
    [hedging({ hedge: "on", idempotent: true }), "hedge", "must be a Hedge, its options or \"off\", got on"],
    [{ hedge: { after: 10, max: 1 }, idempotent: true }, "hedge.max", "must be an integer from 2 to 5, got 1"],
    [
      hedging({ hedge: { after: 10, delay: 10 }, idempotent: true }),
      "hedge.delay",
      "is not an option: there are after, max, load"
    ],
    [{ schedule: 3 as unknown as typeof RetrySchedule.standard }, "schedule", "must be a Schedule, got 3"]
  ]

  for (const [options, field, problem] of bad) {
    it(`refuses ${field}: ${problem}`, () => {
      const message = `RetryPolicy.make: ${field} ${problem}`
      const error = Either.getOrThrow(Either.flip(RetryPolicy.validate(options)))
      assert.instanceOf(error, InvalidOption)
      assert.strictEqual(error.field, field)
      assert.strictEqual(error.message, message)
      // at construction, wherever a policy is given
      assert.throws(() => RetryPolicy.make(options), InvalidOption, message)
      assert.throws(() => withRpcRetry(options), InvalidOption, message)
      assert.throws(() => withRpcRetry(Effect.void, options), InvalidOption, message)
      assert.throws(() => RpcRetry.layer({ default: options }), InvalidOption, message)
    })
  }

  it("accepts every way to write a duration", () => {
    const policy = RetryPolicy.make({ attemptTimeout: 250, deadline: "2 seconds", maxServerDelay: [1, 500_000_000] })
    assert.deepStrictEqual(
      [policy.attemptTimeout, policy.deadline, policy.maxServerDelay].map((d) => Duration.toMillis(d!)),
      [250, 2000, 1500]
    )
  })

  it("holds what it was given and nothing else", () => {
    const policy = RetryPolicy.make({ deadline: "1 second" })
    const { attemptTimeout, idempotent, maxServerDelay, retryIf, schedule } = policy
    assert.deepStrictEqual([schedule, attemptTimeout, idempotent, retryIf, maxServerDelay], Array(5).fill(undefined))
    assert.isTrue(RetryPolicy.isRetryPolicy(policy))
    assert.isFalse(RetryPolicy.isRetryPolicy({ deadline: 1 }))
    assert.strictEqual(RetryPolicy.make(policy), policy)
    assert.strictEqual(policy.pipe((p) => p.deadline), policy.deadline)
  })

  it("property: merging takes each field from the last policy that has it", () => {
    const duration = FastCheck.option(FastCheck.integer({ min: 1, max: 1000 }), { nil: undefined })
    const options = FastCheck.record({
      attemptTimeout: duration,
      maxServerDelay: duration,
      idempotent: FastCheck.option(FastCheck.boolean(), { nil: undefined })
    })
    FastCheck.assert(FastCheck.property(options, options, options, (a, b, c) => {
      const [pa, pb, pc] = [a, b, c].map(RetryPolicy.make) as [
        RetryPolicy.RetryPolicy,
        RetryPolicy.RetryPolicy,
        RetryPolicy.RetryPolicy
      ]
      const merged = pipe(pa, RetryPolicy.merge(pb), RetryPolicy.merge(pc))
      assert.deepStrictEqual({ ...merged }, { ...RetryPolicy.merge(pa, RetryPolicy.merge(pb, pc)) })
      const timeout = c.attemptTimeout ?? b.attemptTimeout ?? a.attemptTimeout
      assert.strictEqual(merged.attemptTimeout && Duration.toMillis(merged.attemptTimeout), timeout)
      assert.strictEqual(merged.idempotent, c.idempotent ?? b.idempotent ?? a.idempotent)
    }))
  })

  it("the default is complete", () => {
    assert.strictEqual(RetryPolicy.default.schedule, RetrySchedule.standard)
    assert.strictEqual(Duration.toMillis(RetryPolicy.default.maxServerDelay), 30_000)
  })
})
