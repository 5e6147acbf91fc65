/**
 * Circuit breakers, bulkheads and throttles as documents.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Bulkheads from "../../Bulkhead.js"
import * as CircuitBreaker from "../../CircuitBreaker.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import * as Throttles from "../../Throttle.js"
import * as Result from "../result.js"
import * as documents from "./decode.js"

const Rate = Schema.Struct({
  threshold: Schema.optional(Schema.Number),
  window: Schema.optional(Schema.Union(
    documents.DurationText,
    Schema.Struct({ calls: Schema.Number })
  )),
  minimumCalls: Schema.optional(Schema.Number),
  slow: Schema.optional(Schema.Struct({
    longerThan: documents.DurationText,
    threshold: Schema.optional(Schema.Number)
  }))
})

/**
 * The options of a circuit breaker. `trip` is `{ consecutive: n }` or `{ rate: ... }`; `openFor` a duration, or an
 * exponential backoff.
 *
 * @internal
 */
export const Breaker = Schema.Struct({
  trip: Schema.optional(
    Schema.Struct({ consecutive: Schema.optional(Schema.Number), rate: Schema.optional(Rate) }).pipe(
      Schema.filter(({ consecutive, rate }) => (consecutive === undefined) !== (rate === undefined), {
        message: () => "must have either consecutive or rate"
      })
    )
  ),
  openFor: Schema.optional(Schema.Union(
    documents.DurationText,
    Schema.Struct({
      base: Schema.optional(documents.DurationText),
      factor: Schema.optional(Schema.Number),
      cap: Schema.optional(documents.DurationText)
    })
  )),
  jitter: Schema.optional(Schema.Number),
  maxRetryAfter: Schema.optional(documents.DurationText),
  probes: Schema.optional(Schema.Number),
  probeLease: Schema.optional(documents.DurationText),
  rampUp: Schema.optional(documents.DurationText)
})

/** The options of a bulkhead. @internal */
export const Bulkhead = Schema.Struct({
  concurrency: Schema.Number,
  queue: Schema.Number,
  adaptive: Schema.optional(Schema.Union(
    Schema.Boolean,
    Schema.Struct({
      floor: Schema.optional(Schema.Number),
      start: Schema.optional(Schema.Number),
      decrease: Schema.optional(Schema.Number)
    })
  ))
})

/** The options of a throttle. @internal */
export const Throttle = Schema.Struct({
  k: Schema.optional(Schema.Number),
  window: Schema.optional(documents.DurationText)
})

const toTrip = (
  where: string,
  trip: NonNullable<typeof Breaker.Type["trip"]>
): Result.Result<CircuitBreaker.Trip, InvalidOption> =>
  Result.gen(function*() {
    const { consecutive } = trip
    if (consecutive !== undefined) {
      return yield* documents.attempt(where, "breaker.trip.consecutive", () => CircuitBreaker.consecutive(consecutive))
    }
    const { window, ...rate } = trip.rate ?? {}
    const counted = window !== undefined && "calls" in window
      ? yield* documents.attempt(where, "breaker.trip.rate.window.calls", () => CircuitBreaker.calls(window.calls))
      : window
    return yield* documents.attempt(
      where,
      "breaker.trip.rate",
      () => CircuitBreaker.rate({ ...rate, window: counted })
    )
  })

/** Takes from the end of a field the name of a constructor's parameter, which a document does not have. */
const withoutParameter = ({ field, problem, where }: InvalidOption) =>
  new InvalidOption({ where, field: field.replace(/\.n$/, ""), problem })

const checked = <Options>(
  where: string,
  path: string,
  validate: (where: string, options: Options) => Result.Result<unknown, InvalidOption>,
  options: Options
): Result.Result<Options, InvalidOption> =>
  Result.map(
    Result.mapError(validate(where, options), (error) => documents.at(where, path, error)),
    () => options
  )

/**
 * Converts the document of a circuit breaker to its options. They are valid. Errors name the path, from `breaker` on.
 *
 * - `where`: the function that was given the document, for errors.
 *
 * @internal
 */
export const toBreaker = (
  where: string,
  { openFor, trip, ...rest }: typeof Breaker.Type
): Result.Result<CircuitBreaker.Options, InvalidOption> =>
  Result.gen(function*() {
    const options: CircuitBreaker.Options = {
      ...rest,
      trip: trip === undefined ? undefined : yield* Result.mapError(toTrip(where, trip), withoutParameter),
      openFor: openFor === undefined || Duration.isDuration(openFor)
        ? openFor
        : yield* documents.attempt(where, "breaker.openFor", () => toOpenings(openFor))
    }
    return yield* checked(where, "breaker", CircuitBreaker.validate, options)
  })

/** From 5 seconds on twice as long each time, up to a minute, where the document says nothing else. */
const toOpenings = ({ base = Duration.seconds(5), cap, factor = 2 }: {
  readonly base?: Duration.Duration | undefined
  readonly cap?: Duration.Duration | undefined
  readonly factor?: number | undefined
}) => RetrySchedule.exponential({ base, factor, cap: cap ?? Duration.max(base, Duration.minutes(1)) })

/**
 * Checks the options of a bulkhead. Errors name the path, from `bulkhead` on.
 *
 * @internal
 */
export const toBulkhead = (
  where: string,
  options: typeof Bulkhead.Type
): Result.Result<Bulkheads.Options, InvalidOption> => checked(where, "bulkhead", Bulkheads.validate, options)

/**
 * Checks the options of a throttle. Errors name the path, from `throttle` on.
 *
 * @internal
 */
export const toThrottle = (
  where: string,
  options: typeof Throttle.Type
): Result.Result<Throttles.Options, InvalidOption> => checked(where, "throttle", Throttles.validate, options)
