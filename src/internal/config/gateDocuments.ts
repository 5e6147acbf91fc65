/**
 * Circuit breakers, bulkheads and throttles as documents.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as CircuitBreaker from "../../CircuitBreaker.js"
import type { InvalidOption } from "../../InvalidOption.js"
import * as RetrySchedule from "../../RetrySchedule.js"
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
 * The options of a circuit breaker. `trip` is `{ consecutive: n }` or `{ rate: ... }`; `openFor` a duration, or an exponential backoff.
 *
 * @internal
 */
export const Breaker = Schema.Struct({
  trip: Schema.optional(Schema.Union(
    Schema.Struct({ consecutive: Schema.Number }),
    Schema.Struct({ rate: Rate })
  )),
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

const toTrip = (trip: NonNullable<typeof Breaker.Type["trip"]>): CircuitBreaker.Trip => {
  if ("consecutive" in trip) {
    return CircuitBreaker.consecutive(trip.consecutive)
  }
  const { window, ...rate } = trip.rate
  return CircuitBreaker.rate({
    ...rate,
    window: window !== undefined && "calls" in window ? CircuitBreaker.calls(window.calls) : window
  })
}

/**
 * The options that a document of a circuit breaker stands for.
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
    return {
      ...rest,
      trip: trip === undefined ? undefined : yield* documents.attempt(where, "breaker.trip", () => toTrip(trip)),
      openFor: openFor === undefined || Duration.isDuration(openFor)
        ? openFor
        : yield* documents.attempt(where, "breaker.openFor", () => RetrySchedule.exponential(openFor))
    }
  })
