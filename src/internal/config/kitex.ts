/**
 * Decodes the documents of Kitex: retry policies and circuit breakers.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as CircuitBreaker from "../../CircuitBreaker.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import type * as RetryPolicy from "../policy/policy.js"
import * as internal from "../policy/schedule.js"
import * as Result from "../result.js"
import * as documents from "./decode.js"

const where = "RetryPolicy.fromKitex"

const within = (min: number, max: number) =>
  Schema.Number.pipe(Schema.filter((n) => Number.isInteger(n) && n >= min && n <= max, {
    message: (issue) => `must be an integer from ${min} to ${max}, got ${String(issue.actual)}`
  }))

const positive = within(1, 4_294_967_295)

const BackOff = Schema.Union(
  Schema.Struct({ backoff_type: Schema.Literal("none") }),
  Schema.Struct({ backoff_type: Schema.Literal("fixed"), cfg_items: Schema.Struct({ fix_ms: positive }) }),
  Schema.Struct({
    backoff_type: Schema.Literal("random"),
    cfg_items: Schema.Struct({ min_ms: positive, max_ms: positive })
  })
)

const FailurePolicy = Schema.Struct({
  stop_policy: Schema.Struct({
    max_retry_times: within(0, 5),
    max_duration_ms: Schema.optional(within(0, 4_294_967_295)),
    cb_policy: Schema.optional(Schema.Struct({
      error_rate: Schema.Number.pipe(Schema.filter((rate) => rate > 0 && rate <= 0.3, {
        message: (issue) => `must be greater than 0 and at most 0.3, got ${String(issue.actual)}`
      }))
    }))
  }),
  backoff_policy: Schema.optional(BackOff)
})

const Document = Schema.Struct({
  enable: Schema.Boolean,
  type: Schema.optional(Schema.Number),
  failure_policy: Schema.optional(Schema.NullOr(Schema.Unknown))
})

const toSchedule = (backOff: typeof BackOff.Type): Schedule.Schedule<unknown> => {
  switch (backOff.backoff_type) {
    case "none":
      return Schedule.forever
    case "fixed":
      return Schedule.spaced(backOff.cfg_items.fix_ms)
    case "random": {
      const { max_ms, min_ms } = backOff.cfg_items
      return internal.unfoldDelays(
        undefined,
        () => Effect.map(Random.nextRange(min_ms, max_ms), (delay) => [Duration.millis(delay), undefined] as const)
      )
    }
  }
}

/**
 * Decodes a document into the options of a policy and the ratio of its budget. A disabled document makes no retries.
 *
 * @internal
 */
export const fromDocument = (json: unknown): Result.Result<{
  readonly options: RetryPolicy.Options
  readonly retryRatio: number
}, InvalidOption> =>
  Result.gen(function*() {
    const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))
    const input = yield* documents.parsed(where, json)
    const document = yield* documents.decode(where, Document, input, { extra: true })
    if (!document.enable) {
      return { options: { schedule: Schedule.stop }, retryRatio: 0.1 }
    }
    if (document.type === 1) {
      return yield* invalid("type", "1, a backup policy, is not supported: there is no hedging yet")
    }
    if (document.type === 2) {
      return yield* invalid("type", "2, a mixed policy, is not supported: there is no hedging yet")
    }
    if (document.type !== undefined && document.type !== 0) {
      return yield* invalid("type", `must be 0, a failure policy, got ${document.type}`)
    }
    if (document.failure_policy === undefined || document.failure_policy === null) {
      return yield* invalid("failure_policy", "is missing, and the type is 0")
    }
    const { backoff_policy, stop_policy } = yield* Result.mapError(
      documents.decode(where, FailurePolicy, document.failure_policy, { extra: true }),
      (error) => documents.at(where, "failure_policy", error)
    )
    const backOff = backoff_policy ?? { backoff_type: "none" }
    if (backOff.backoff_type === "random" && backOff.cfg_items.min_ms >= backOff.cfg_items.max_ms) {
      return yield* invalid("failure_policy.backoff_policy.cfg_items.max_ms", "must be greater than min_ms")
    }
    const maxDuration = stop_policy.max_duration_ms ?? 0
    return {
      options: {
        schedule: RetrySchedule.retries(toSchedule(backOff), stop_policy.max_retry_times),
        deadline: maxDuration === 0 ? undefined : maxDuration,
        retryIf: (error) => error.reason === "AttemptTimeout"
      },
      retryRatio: stop_policy.cb_policy?.error_rate ?? 0.1
    }
  })

const BreakerDocument = Schema.Struct({
  enable: Schema.Boolean,
  err_rate: Schema.optional(Schema.Number.pipe(Schema.filter((rate) => rate > 0 && rate <= 1, {
    message: (issue) => `must be greater than 0 and at most 1, got ${String(issue.actual)}`
  }))),
  min_sample: Schema.optional(within(1, Number.MAX_SAFE_INTEGER))
})

/**
 * Decodes the document of a circuit breaker into its options. What Kitex does not let a document say, its window, how
 * long it opens and how many probes close it, is as in Kitex. Errors name the path, from `breaker` on.
 *
 * @internal
 */
export const fromBreakerDocument = (json: unknown): Result.Result<CircuitBreaker.Options | "off", InvalidOption> =>
  documents.parsed(where, json).pipe(
    Result.flatMap((input) => documents.decode(where, BreakerDocument, input, { extra: true })),
    Result.map(({ enable, err_rate = 0.5, min_sample = 200 }) =>
      enable
        ? {
          trip: CircuitBreaker.rate({ threshold: err_rate, window: "10 seconds", minimumCalls: min_sample }),
          openFor: "5 seconds",
          probes: 2
        } as const
        : "off"
    ),
    Result.mapError((error) => documents.at(where, "breaker", error))
  )
