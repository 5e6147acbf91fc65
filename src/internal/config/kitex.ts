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
import * as Hedge from "../../Hedge.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import type { Retryable } from "../../RpcError.js"
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

/** How long a policy goes on. Each type of policy allows another number of retries. */
const stopPolicy = (maxRetries: number) =>
  Schema.Struct({
    max_retry_times: within(0, maxRetries),
    max_duration_ms: Schema.optional(within(0, 4_294_967_295)),
    cb_policy: Schema.optional(Schema.Struct({
      error_rate: Schema.Number.pipe(Schema.filter((rate) => rate > 0 && rate <= 0.3, {
        message: (issue) => `must be greater than 0 and at most 0.3, got ${String(issue.actual)}`
      }))
    }))
  })

const FailurePolicy = Schema.Struct({ stop_policy: stopPolicy(5), backoff_policy: Schema.optional(BackOff) })

const BackupPolicy = Schema.Struct({ retry_delay_ms: positive, stop_policy: stopPolicy(2) })

const MixedPolicy = Schema.Struct({
  retry_delay_ms: positive,
  stop_policy: stopPolicy(3),
  backoff_policy: Schema.optional(BackOff)
})

const Document = Schema.Struct({
  enable: Schema.Boolean,
  type: Schema.optional(Schema.Number),
  failure_policy: Schema.optional(Schema.NullOr(Schema.Unknown)),
  backup_policy: Schema.optional(Schema.NullOr(Schema.Unknown)),
  mixed_policy: Schema.optional(Schema.NullOr(Schema.Unknown))
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

/** The share of attempts that Kitex lets be retries where a document does not say it. */
const defaultRate = 0.1

const rateOf = ({ cb_policy }: StopPolicy): number => cb_policy?.error_rate ?? defaultRate

type StopPolicy = (typeof FailurePolicy.Type)["stop_policy"]

interface Decoded<Options = RetryPolicy.Options> {
  readonly options: Options
  readonly retryRatio: number
}

const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))

/** Retries of a failure or a mixed policy. */
const retries = (
  field: string,
  { backoff_policy: backOff = { backoff_type: "none" }, stop_policy }: typeof FailurePolicy.Type
): Result.Result<Decoded<RetryPolicy.CommonOptions>, InvalidOption> => {
  if (backOff.backoff_type === "random" && backOff.cfg_items.min_ms >= backOff.cfg_items.max_ms) {
    return invalid(`${field}.backoff_policy.cfg_items.max_ms`, "must be greater than min_ms")
  }
  const maxDuration = stop_policy.max_duration_ms ?? 0
  return Result.succeed({
    options: {
      schedule: RetrySchedule.retries(toSchedule(backOff), stop_policy.max_retry_times),
      deadline: maxDuration === 0 ? undefined : maxDuration,
      retryIf: (error: Retryable) => error.reason === "AttemptTimeout"
    },
    retryRatio: rateOf(stop_policy)
  })
}

/**
 * Adds the hedge of a backup or a mixed policy, which shares its attempts with retries. Whoever writes such a policy says
 * that the method may run twice.
 */
const hedged = (
  options: RetryPolicy.CommonOptions,
  { retry_delay_ms, stop_policy }: { readonly retry_delay_ms: number; readonly stop_policy: StopPolicy }
): RetryPolicy.Options => {
  const { max_retry_times } = stop_policy
  const load = rateOf(stop_policy)
  return max_retry_times === 0
    ? options
    : {
      ...options,
      idempotent: true,
      hedge: Hedge.ofOptions({ after: retry_delay_ms, max: max_retry_times + 1, load })
    }
}

/** A backup policy retries no failure: the steps of its schedule are those of its legs. */
const backup = (policy: typeof BackupPolicy.Type): Result.Result<Decoded, InvalidOption> =>
  Result.succeed({
    options: hedged({ schedule: Schedule.recurs(policy.stop_policy.max_retry_times), retryIf: () => false }, policy),
    retryRatio: rateOf(policy.stop_policy)
  })

const mixed = (policy: typeof MixedPolicy.Type): Result.Result<Decoded, InvalidOption> =>
  Result.map(
    retries("mixed_policy", policy),
    ({ options, retryRatio }) => ({ options: hedged(options, policy), retryRatio })
  )

/**
 * Decodes a document into the options of a policy and the ratio of its budget. A disabled document makes no retries.
 *
 * @internal
 */
export const fromDocument = (json: unknown): Result.Result<Decoded, InvalidOption> =>
  Result.gen(function*() {
    const input = yield* documents.parsed(where, json)
    const document = yield* documents.decode(where, Document, input, { extra: true })
    if (!document.enable) {
      return { options: { schedule: Schedule.stop }, retryRatio: defaultRate }
    }
    const part = <A, I>(
      field: "failure_policy" | "backup_policy" | "mixed_policy",
      schema: Schema.Schema<A, I>,
      options: (policy: A) => Result.Result<Decoded, InvalidOption>
    ): Result.Result<Decoded, InvalidOption> =>
      document[field] === undefined || document[field] === null
        ? invalid(field, `is missing, and the type is ${document.type ?? 0}`)
        : documents.decode(where, schema, document[field], { extra: true }).pipe(
          Result.mapError((error) => documents.at(where, field, error)),
          Result.flatMap(options)
        )
    switch (document.type ?? 0) {
      case 0:
        return yield* part("failure_policy", FailurePolicy, (policy) => retries("failure_policy", policy))
      case 1:
        return yield* part("backup_policy", BackupPolicy, backup)
      case 2:
        return yield* part("mixed_policy", MixedPolicy, mixed)
      default:
        return yield* invalid("type", `must be 0, 1 or 2: a failure, backup or mixed policy; got ${document.type}`)
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
