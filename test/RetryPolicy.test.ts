import {
  Bulkhead,
  CircuitBreaker,
  Hedge,
  InvalidOption,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  RpcRetry,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { pipe } from "effect/Function"
import { assert, describe, it } from "./support/vitest.js"

/** Options that do not compile. */
const wrong = (options: object) => options as RetryPolicy.Options
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
    [{ deadline: "soon" as "1 second" }, "deadline", "must be a duration, such as \"250 millis\", got \"soon\""],
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
    [{ schedule: 3 as unknown as typeof RetrySchedule.standard }, "schedule", "must be a Schedule, got 3"],
    [wrong({ budget: 10 }), "budget", "must be a RetryBudget, got 10"],
    [wrong({ breaker: "on" }), "breaker", "must be a CircuitBreaker or \"off\", got on"],
    [wrong({ bulkhead: 20 }), "bulkhead", "must be a Bulkhead or \"off\", got 20"],
    [wrong({ throttle: 2 }), "throttle", "must be a Throttle or \"off\", got 2"],
    [wrong({ onEvent: "log" }), "onEvent", "must be a function, got log"],
    [wrong({ spans: "yes" }), "spans", "must be a boolean, got yes"],
    [wrong({ logs: 0 }), "logs", "must be a boolean, got 0"],
    [{ minServerDelay: -1 }, "minServerDelay", "must not be negative, got -1"]
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
      assert.throws(
        () => RpcRetry.layer({ default: options }),
        InvalidOption,
        `RpcRetry.layer: default.${field} ${problem}`
      )
    })
  }

  it("refuses an option that there is none of, and says which one it may be", () => {
    assert.throws(
      () => RetryPolicy.make(wrong({ onEvents: 1 })),
      InvalidOption,
      "RetryPolicy.make: onEvents is not an option, did you mean onEvent?"
    )
  })

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

  it("accepts delays of the server from zero on, and a timeout as long as the deadline", () => {
    const policy = RetryPolicy.make({ minServerDelay: 0, maxServerDelay: 0, attemptTimeout: 100, deadline: 100 })
    const { attemptTimeout, deadline, maxServerDelay, minServerDelay } = policy
    assert.deepStrictEqual(
      [minServerDelay, maxServerDelay, attemptTimeout, deadline].map((d) => Duration.toMillis(d!)),
      [0, 0, 100, 100]
    )
  })

  it.effect("merging keeps every field that the second policy says nothing of, and takes every one that it says", () =>
    Effect.gen(function*() {
      const every = Effect.gen(function*() {
        const options = {
          schedule: RetrySchedule.exponential(),
          attemptTimeout: Duration.millis(100),
          deadline: Duration.seconds(1),
          idempotent: true,
          retryIf: () => true,
          minServerDelay: Duration.millis(5),
          maxServerDelay: Duration.seconds(5),
          budget: yield* RetryBudget.make(),
          breaker: yield* CircuitBreaker.make(),
          bulkhead: yield* Bulkhead.make({ concurrency: 1, queue: 0 }),
          throttle: yield* Throttle.make(),
          hedge: yield* Hedge.make({ after: 10 }),
          onEvent: () => Effect.void,
          spans: true,
          logs: true
        } as const
        return [options, RetryPolicy.make(options)] as const
      })
      const [options, first] = yield* every
      const [, second] = yield* every
      const nothing = RetryPolicy.make({})
      const fields = Object.keys(options) as ReadonlyArray<keyof typeof options>
      for (const field of fields) {
        assert.strictEqual(first[field], options[field], field)
        assert.strictEqual(RetryPolicy.merge(first, nothing)[field], first[field], field)
        assert.strictEqual(RetryPolicy.merge(nothing, first)[field], first[field], field)
        assert.strictEqual(RetryPolicy.merge(first, second)[field], second[field], field)
      }
      assert.sameMembers(Object.keys(nothing), fields.slice())
    }))

  it("the default is complete", () => {
    assert.strictEqual(RetryPolicy.default.schedule, RetrySchedule.standard)
    assert.strictEqual(Duration.toMillis(RetryPolicy.default.maxServerDelay), 30_000)
  })
})
