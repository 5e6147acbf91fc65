/**
 * What to retry, when, and within which limits, as a value.
 *
 * | field            | means                                                                | default                  |
 * | ---------------- | -------------------------------------------------------------------- | ------------------------ |
 * | `schedule`       | how many retries, and the delay before each                          | `RetrySchedule.standard` |
 * | `attemptTimeout` | bound on one attempt                                                 | none                     |
 * | `deadline`       | bound on the whole call: all attempts and delays                     | none                     |
 * | `idempotent`     | `false`: retry only what was not sent. See below                     | not said                 |
 * | `retryIf`        | a `Retryable` for which this is `false` is not retried               | all are                  |
 * | `maxServerDelay` | the longest delay a server may ask for; above it the call ends       | 30 seconds               |
 *
 * Of a call that is said to be idempotent, or of which nothing is said, every `Retryable` is retried, also when the
 * request may have run. Mark the calls for which running twice is harmful with `idempotent: false`.
 *
 * A policy holds the fields it was given and no others, so that policies merge field by field.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import { checkDuration, InvalidOption, orThrow } from "./InvalidOption.js"
import * as RetrySchedule from "./RetrySchedule.js"
import type { Retryable } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/RetryPolicy"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A policy: made with `make`, merged with `merge`. Every field may be absent, which means: not said here.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryPolicy extends Pipeable {
  readonly [TypeId]: TypeId
  readonly schedule: Schedule.Schedule<unknown, Retryable> | undefined
  readonly attemptTimeout: Duration.Duration | undefined
  readonly deadline: Duration.Duration | undefined
  readonly idempotent: boolean | undefined
  readonly retryIf: Predicate.Predicate<Retryable> | undefined
  readonly maxServerDelay: Duration.Duration | undefined
}

/**
 * A policy with a value in every field that must have one. `default` is complete, and so is what is merged onto it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Complete extends RetryPolicy {
  readonly schedule: Schedule.Schedule<unknown, Retryable>
  readonly maxServerDelay: Duration.Duration
}

/**
 * What `make` takes. A `RetryPolicy` is one too.
 *
 * - `schedule`: any `Schedule` that takes a `Retryable` and needs nothing (provide what it needs first). Its state is
 *   per call, and effects inside it run once per decision.
 * - `attemptTimeout`: finite, greater than zero, not longer than `deadline`. An attempt that reaches it fails with
 *   `Retryable AttemptTimeout`; the call goes on at once, even when the attempt is slow to let go.
 * - `deadline`: finite, greater than zero. A delay that would pass it is not slept: the call ends at once.
 * - `maxServerDelay`: finite, zero or more.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly schedule?: Schedule.Schedule<unknown, Retryable> | undefined
  readonly attemptTimeout?: Duration.DurationInput | undefined
  readonly deadline?: Duration.DurationInput | undefined
  readonly idempotent?: boolean | undefined
  readonly retryIf?: Predicate.Predicate<Retryable> | undefined
  readonly maxServerDelay?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isRetryPolicy = (u: unknown): u is RetryPolicy => Predicate.hasProperty(u, TypeId)

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

type Fields = Omit<RetryPolicy, TypeId | keyof Pipeable>

const fromFields = <P extends RetryPolicy = RetryPolicy>(fields: Fields): P =>
  Object.assign(Object.create(Proto), fields)

const where = "RetryPolicy.make"

const optionalDuration = (
  field: string,
  input: Duration.DurationInput | undefined,
  options?: { readonly zero: boolean }
): Either.Either<Duration.Duration | undefined, InvalidOption> =>
  input === undefined ? Either.right(undefined) : checkDuration(where, field, input, options)

const optionalOf = <A>(
  field: string,
  input: A | undefined,
  is: Predicate.Predicate<A>,
  kind: string
): Either.Either<A | undefined, InvalidOption> =>
  input === undefined || is(input)
    ? Either.right(input)
    : Either.left(new InvalidOption({ where, field, problem: `must be ${kind}, got ${String(input)}` }))

/**
 * The policy, or what is wrong with the first bad field.
 *
 * @since 0.1.0
 * @category constructors
 */
export const validate = (options: Options): Either.Either<RetryPolicy, InvalidOption> =>
  Either.gen(function*() {
    const schedule = yield* optionalOf("schedule", options.schedule, Schedule.isSchedule, "a Schedule")
    const attemptTimeout = yield* optionalDuration("attemptTimeout", options.attemptTimeout)
    const deadline = yield* optionalDuration("deadline", options.deadline)
    if (attemptTimeout !== undefined && deadline !== undefined && Duration.greaterThan(attemptTimeout, deadline)) {
      const problem = `must not exceed the deadline of ${Duration.format(deadline)}, got ${
        Duration.format(attemptTimeout)
      }`
      return yield* Either.left(new InvalidOption({ where, field: "attemptTimeout", problem }))
    }
    const idempotent = yield* optionalOf("idempotent", options.idempotent, Predicate.isBoolean, "a boolean")
    const retryIf = yield* optionalOf("retryIf", options.retryIf, Predicate.isFunction, "a function")
    const maxServerDelay = yield* optionalDuration("maxServerDelay", options.maxServerDelay, { zero: true })
    return fromFields({ schedule, attemptTimeout, deadline, idempotent, retryIf, maxServerDelay })
  })

/**
 * Makes a policy. Throws `InvalidOption`, which names the field and the value, for one that is out of range.
 *
 * @example
 * ```ts
 * import { RetryPolicy, RetrySchedule } from "effect-rpc-retry"
 *
 * const policy = RetryPolicy.make({
 *   schedule: RetrySchedule.exponential({ base: "50 millis" }).pipe(
 *     RetrySchedule.fullJitter,
 *     RetrySchedule.retries(5)
 *   ),
 *   attemptTimeout: "500 millis",
 *   deadline: "3 seconds"
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): RetryPolicy => isRetryPolicy(options) ? options : orThrow(validate(options))

/**
 * The second policy's fields, and the first one's where the second says nothing.
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge: {
  (that: RetryPolicy): <P extends RetryPolicy>(self: P) => P
  <P extends RetryPolicy>(self: P, that: RetryPolicy): P
} = dual(2, <P extends RetryPolicy>(self: P, that: RetryPolicy): P =>
  fromFields<P>({
    schedule: that.schedule ?? self.schedule,
    attemptTimeout: that.attemptTimeout ?? self.attemptTimeout,
    deadline: that.deadline ?? self.deadline,
    idempotent: that.idempotent ?? self.idempotent,
    retryIf: that.retryIf ?? self.retryIf,
    maxServerDelay: that.maxServerDelay ?? self.maxServerDelay
  }))

const default_: Complete = fromFields({
  schedule: RetrySchedule.standard,
  attemptTimeout: undefined,
  deadline: undefined,
  idempotent: undefined,
  retryIf: undefined,
  maxServerDelay: Duration.seconds(30)
})

export {
  /**
   * The library default: 4 attempts at most, delays of 100, 150 and 225 milliseconds, no timeouts.
   *
   * @since 0.1.0
   * @category policies
   */
  default_ as default
}

/**
 * One attempt, no retries. Use it to switch retries off for a call, a method or a layer.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: RetryPolicy = make({ schedule: Schedule.stop })
