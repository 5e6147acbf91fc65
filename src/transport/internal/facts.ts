/**
 * The ambient facts of an attempt, as the headers of HTTP they are sent in.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Deadline from "../../Deadline.js"

/** @internal */
export interface Facts {
  readonly idempotencyKey: string | undefined
  /** The attempts before this one. */
  readonly previousAttempts: number
  /** Whole milliseconds until the deadline, at least 1 so that it is a time; `undefined` without a deadline. */
  readonly remaining: number | undefined
}

/** @internal */
export const facts: Effect.Effect<Facts> = Effect.zipWith(
  Effect.zip(Deadline.IdempotencyKey, Deadline.CurrentAttempt),
  Deadline.remaining,
  ([key, attempt], remaining) => ({
    idempotencyKey: Option.getOrUndefined(key),
    previousAttempts: attempt - 1,
    remaining: Option.getOrUndefined(
      Option.map(remaining, (duration) => Math.max(1, Math.floor(Duration.toMillis(duration))))
    )
  })
)

/**
 * The key as the IETF draft names its header, and the number of the retry as `go-grpc-middleware` does: 1 is the first.
 *
 * @internal
 */
export const headersOf = ({ idempotencyKey, previousAttempts }: Facts): Readonly<Record<string, string>> => ({
  ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
  ...(previousAttempts > 0 ? { "x-retry-attempt": String(previousAttempts) } : {})
})
