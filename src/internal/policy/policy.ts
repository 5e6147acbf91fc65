/**
 * Policies as values: their fields, how they are checked and merged. `RetryPolicy` gives them to users.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import { checkDuration, checkKnown, InvalidOption, orThrow } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import type { Retryable, RetryableReason } from "../../RpcError.js"
import type { RetryEvent } from "../event/event.js"

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
  readonly minServerDelay: Duration.Duration | undefined
  readonly maxServerDelay: Duration.Duration | undefined
  readonly budget: RetryBudget.RetryBudget | undefined
  readonly onEvent: ((event: RetryEvent) => Effect.Effect<void>) | undefined
  readonly spans: boolean | undefined
  readonly logs: boolean | undefined
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
 * - `minServerDelay`: finite, zero or more. `Retry-After: 0`, or a date that has passed, says nothing of how soon is too soon, so
 *   by default no hint is waited for a shorter time than the schedule waits first. Zero takes every hint as it is.
 * - `maxServerDelay`: finite, zero or more.
 * - `budget`: one that is shared with other calls; `RetryBudget.unlimited` to be free of the layer's.
 * - `onEvent`: run for each event of a call, one after the other, in a fiber beside the call. The call does not wait for it,
 *   and goes on when it dies, which is logged as a warning. See `RetryEvent`.
 * - `spans`: a span for the call, a child of it for each attempt.
 * - `logs`: a retry is logged at DEBUG, giving up once at WARN.
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
  readonly minServerDelay?: Duration.DurationInput | undefined
  readonly maxServerDelay?: Duration.DurationInput | undefined
  readonly budget?: RetryBudget.RetryBudget | undefined
  readonly onEvent?: ((event: RetryEvent) => Effect.Effect<void>) | undefined
  readonly spans?: boolean | undefined
  readonly logs?: boolean | undefined
}

/**
 * The name of a field of a policy.
 *
 * @since 0.1.0
 * @category models
 */
export type Field = Exclude<keyof RetryPolicy, TypeId | keyof Pipeable>

/**
 * The names of all fields.
 *
 * @since 0.1.0
 * @category models
 */
export const fields: ReadonlyArray<Field> = [
  "schedule",
  "attemptTimeout",
  "deadline",
  "idempotent",
  "retryIf",
  "minServerDelay",
  "maxServerDelay",
  "budget",
  "onEvent",
  "spans",
  "logs"
]

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

type Fields = Pick<RetryPolicy, Field>

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
  isRetryPolicy(options) ? Either.right(options) : Either.gen(function*() {
    yield* checkKnown(where, options, fields)
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
    const minServerDelay = yield* optionalDuration("minServerDelay", options.minServerDelay, { zero: true })
    const maxServerDelay = yield* optionalDuration("maxServerDelay", options.maxServerDelay, { zero: true })
    const budget = yield* optionalOf("budget", options.budget, RetryBudget.isRetryBudget, "a RetryBudget")
    const onEvent = yield* optionalOf("onEvent", options.onEvent, Predicate.isFunction, "a function")
    const spans = yield* optionalOf("spans", options.spans, Predicate.isBoolean, "a boolean")
    const logs = yield* optionalOf("logs", options.logs, Predicate.isBoolean, "a boolean")
    return fromFields({
      schedule,
      attemptTimeout,
      deadline,
      idempotent,
      retryIf,
      minServerDelay,
      maxServerDelay,
      budget,
      onEvent,
      spans,
      logs
    })
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
export const make = (options: Options): RetryPolicy => orThrow(validate(options))

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
    minServerDelay: that.minServerDelay ?? self.minServerDelay,
    maxServerDelay: that.maxServerDelay ?? self.maxServerDelay,
    budget: that.budget ?? self.budget,
    onEvent: that.onEvent ?? self.onEvent,
    spans: that.spans ?? self.spans,
    logs: that.logs ?? self.logs
  }))

/** @internal */
export const default_: Complete = fromFields({
  schedule: RetrySchedule.standard,
  attemptTimeout: undefined,
  deadline: undefined,
  idempotent: undefined,
  retryIf: undefined,
  minServerDelay: undefined,
  maxServerDelay: Duration.seconds(30),
  budget: undefined,
  onEvent: undefined,
  spans: undefined,
  logs: undefined
})

/**
 * A policy in numbers.
 *
 * - `delays`: the delay before each retry, as a range where there is jitter; up to 1000 of them. Where the schedule chooses
 *   by the failure, those for the reason with the most retries. A deadline ends them.
 * - `totalWait`: all delays together.
 * - `longestCall`: attempts and delays at their longest, as far as timeout and deadline bound them. Delays that a server asks
 *   for are not counted.
 * - `amplification`: attempts per call when every attempt fails, without a budget; and what the budget allows lastingly.
 * - `retried`, `notRetried`: the reasons that `retryIf` and the schedule let through, and the others.
 * - `onlyNotSent`: whether only what was not sent is retried.
 *
 * @since 0.1.0
 * @category inspection
 */
export interface Description {
  readonly attempts: number
  readonly retries: number
  readonly delays: ReadonlyArray<{ readonly shortest: Duration.Duration; readonly longest: Duration.Duration }>
  readonly totalWait: { readonly shortest: Duration.Duration; readonly longest: Duration.Duration }
  readonly attemptTimeout: Duration.Duration | undefined
  readonly deadline: Duration.Duration | undefined
  readonly longestCall: Duration.Duration
  readonly amplification: { readonly withoutBudget: number; readonly withBudget: number | undefined }
  readonly retried: ReadonlyArray<RetryableReason>
  readonly notRetried: ReadonlyArray<RetryableReason>
  readonly onlyNotSent: boolean
}

/**
 * One attempt, no retries. Use it to switch retries off for a call, a method or a layer.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: RetryPolicy = make({ schedule: Schedule.stop })
