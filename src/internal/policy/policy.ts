/**
 * Policies as values: their fields, how they are checked and merged. `RetryPolicy` gives them to users.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Bulkhead from "../../Bulkhead.js"
import * as CircuitBreaker from "../../CircuitBreaker.js"
import { checkDuration, checkKnown, InvalidOption, orThrow } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import type { Retryable } from "../../RpcError.js"
import * as Throttle from "../../Throttle.js"
import type { RetryEvent } from "../event/event.js"
import * as Result from "../result.js"

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
  /** How many retries, and the delay before each. */
  readonly schedule: Schedule.Schedule<unknown, Retryable> | undefined
  /** The bound on one attempt. */
  readonly attemptTimeout: Duration.Duration | undefined
  /** The bound on the whole call: all attempts and delays. */
  readonly deadline: Duration.Duration | undefined
  /** Whether the call may run twice. `false`: only attempts that were not sent are retried. */
  readonly idempotent: boolean | undefined
  /** Which `Retryable` errors are retried. */
  readonly retryIf: Predicate.Predicate<Retryable> | undefined
  /** The shortest delay after a server hint. */
  readonly minServerDelay: Duration.Duration | undefined
  /** The longest delay that a server may ask for. */
  readonly maxServerDelay: Duration.Duration | undefined
  /** The shared allowance that retries are paid from. */
  readonly budget: RetryBudget.RetryBudget | undefined
  /** The circuit breaker that each attempt passes. */
  readonly breaker: CircuitBreaker.CircuitBreaker | "off" | undefined
  /** The bulkhead that each attempt takes a permit of. */
  readonly bulkhead: Bulkhead.Bulkhead | "off" | undefined
  /** The throttle that the call passes before its first attempt. */
  readonly throttle: Throttle.Throttle | "off" | undefined
  /** The handler of the events of the call. */
  readonly onEvent: ((event: RetryEvent) => Effect.Effect<void>) | undefined
  /** Whether the call and each attempt have a span. */
  readonly spans: boolean | undefined
  /** Whether retries and giving up are logged. */
  readonly logs: boolean | undefined
}

/**
 * A policy with a value in every field that must have one. `default` is complete, and so is what is merged onto it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Complete extends RetryPolicy {
  /** How many retries, and the delay before each. */
  readonly schedule: Schedule.Schedule<unknown, Retryable>
  /** The longest delay that a server may ask for. */
  readonly maxServerDelay: Duration.Duration
}

/**
 * The options of {@link make}. A {@link RetryPolicy} can be given too. Every option may be left out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How many retries, and the delay before each: any `Schedule` that takes a `Retryable` and needs no service (provide
   * what it needs first). Its state is per call, and an effect inside it runs once per decision. Default
   * `RetrySchedule.standard`: 3 retries after 100, 150 and 225 ms.
   */
  readonly schedule?: Schedule.Schedule<unknown, Retryable> | undefined
  /**
   * The bound on one attempt: finite, greater than zero, not longer than `deadline`. An attempt that reaches it fails
   * with `Retryable AttemptTimeout`, and the call goes on at once, even when the attempt is slow to be interrupted.
   * Default: none.
   */
  readonly attemptTimeout?: Duration.DurationInput | undefined
  /**
   * The bound on the whole call, all attempts and delays included: finite, greater than zero. A delay that would pass
   * it is not slept; the call ends at once with the reason `DeadlineTooClose`. Default: none.
   */
  readonly deadline?: Duration.DurationInput | undefined
  /**
   * Whether running the call twice is the same as running it once. `false`: only attempts with the delivery `NotSent`
   * are retried. Default: what the call says of itself; where nobody says anything every `Retryable` is retried.
   */
  readonly idempotent?: boolean | undefined
  /**
   * Which `Retryable` errors are retried; for the others the call ends with the reason `NotRetried`. Default: all of
   * them.
   */
  readonly retryIf?: Predicate.Predicate<Retryable> | undefined
  /**
   * The shortest delay after a server hint; a shorter hint is lengthened to it: finite, zero or more. Zero takes every
   * hint as it is. Default: the first delay of the schedule, as `Retry-After: 0`, or a date that has passed, does not
   * say how soon is too soon.
   */
  readonly minServerDelay?: Duration.DurationInput | undefined
  /**
   * The longest delay that a server may ask for: finite, zero or more. For a longer one the call ends with the reason
   * `ServerSaidNo`. Default 30 seconds.
   */
  readonly maxServerDelay?: Duration.DurationInput | undefined
  /**
   * The allowance that retries are paid from, shared with other calls. `RetryBudget.unlimited` frees a call from the
   * budget of the layer. Default: the budget that the layer makes for the destination; none without a layer.
   */
  readonly budget?: RetryBudget.RetryBudget | undefined
  /**
   * The circuit breaker that each attempt passes, shared with other calls. While it is open the call ends before
   * anything is sent, with `CallRejected`; when it opens between two attempts, with `RetryExhausted`, both for the
   * reason `CircuitOpen`. `"off"` frees a call from the breaker of the layer. Default: the breaker that the layer makes
   * for the destination, where it makes any.
   */
  readonly breaker?: CircuitBreaker.CircuitBreaker | "off" | undefined
  /**
   * The bulkhead that each attempt takes a permit of, shared with other calls; no permit is held over a delay. An
   * attempt that it has no place for ends the call for the reason `BulkheadFull`. `"off"` frees a call from the
   * bulkhead of the layer. Default: the bulkhead that the layer makes for the destination, where it makes any.
   */
  readonly bulkhead?: Bulkhead.Bulkhead | "off" | undefined
  /**
   * The throttle that the call passes once, before its first attempt, shared with other calls. A call that it holds
   * back ends with `CallRejected`, reason `Throttled`. `"off"` frees a call from the throttle of the layer. Default:
   * the throttle that the layer makes for the destination, where it makes any.
   */
  readonly throttle?: Throttle.Throttle | "off" | undefined
  /**
   * Runs for each event of the call, one after the other, in a fiber of its own that the call does not wait for. What
   * it dies with is logged as a warning. Calls made in it make no events. Default: none.
   */
  readonly onEvent?: ((event: RetryEvent) => Effect.Effect<void>) | undefined
  /** Whether the call has a span, with a child for each attempt. Default `false`. */
  readonly spans?: boolean | undefined
  /** Whether a retry is logged at DEBUG, and giving up once at WARN. Default `true`. */
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
  "breaker",
  "bulkhead",
  "throttle",
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
): Result.Result<Duration.Duration | undefined, InvalidOption> =>
  input === undefined ? Result.succeed(undefined) : checkDuration(where, field, input, options)

const optionalOf = <A>(
  field: string,
  input: A | undefined,
  is: Predicate.Predicate<A>,
  kind: string
): Result.Result<A | undefined, InvalidOption> =>
  input === undefined || is(input)
    ? Result.succeed(input)
    : Result.fail(new InvalidOption({ where, field, problem: `must be ${kind}, got ${String(input)}` }))

/**
 * The policy, or what is wrong with the first bad field.
 *
 * @since 0.1.0
 * @category constructors
 */
export const validate = (options: Options): Result.Result<RetryPolicy, InvalidOption> =>
  isRetryPolicy(options) ? Result.succeed(options) : Result.gen(function*() {
    yield* checkKnown(where, options, fields)
    const schedule = yield* optionalOf("schedule", options.schedule, Schedule.isSchedule, "a Schedule")
    const attemptTimeout = yield* optionalDuration("attemptTimeout", options.attemptTimeout)
    const deadline = yield* optionalDuration("deadline", options.deadline)
    if (attemptTimeout !== undefined && deadline !== undefined && Duration.greaterThan(attemptTimeout, deadline)) {
      const problem = `must not exceed the deadline of ${Duration.format(deadline)}, got ${
        Duration.format(attemptTimeout)
      }`
      return yield* Result.fail(new InvalidOption({ where, field: "attemptTimeout", problem }))
    }
    const idempotent = yield* optionalOf("idempotent", options.idempotent, Predicate.isBoolean, "a boolean")
    const retryIf = yield* optionalOf("retryIf", options.retryIf, Predicate.isFunction, "a function")
    const minServerDelay = yield* optionalDuration("minServerDelay", options.minServerDelay, { zero: true })
    const maxServerDelay = yield* optionalDuration("maxServerDelay", options.maxServerDelay, { zero: true })
    const budget = yield* optionalOf("budget", options.budget, RetryBudget.isRetryBudget, "a RetryBudget")
    const breaker = yield* optionalOf(
      "breaker",
      options.breaker,
      (u) => u === "off" || CircuitBreaker.isCircuitBreaker(u),
      `a CircuitBreaker or "off"`
    )
    const bulkhead = yield* optionalOf(
      "bulkhead",
      options.bulkhead,
      (u) => u === "off" || Bulkhead.isBulkhead(u),
      `a Bulkhead or "off"`
    )
    const throttle = yield* optionalOf(
      "throttle",
      options.throttle,
      (u) => u === "off" || Throttle.isThrottle(u),
      `a Throttle or "off"`
    )
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
      breaker,
      bulkhead,
      throttle,
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
    breaker: that.breaker ?? self.breaker,
    bulkhead: that.bulkhead ?? self.bulkhead,
    throttle: that.throttle ?? self.throttle,
    onEvent: that.onEvent ?? self.onEvent,
    spans: that.spans ?? self.spans,
    logs: that.logs ?? self.logs
  }))

/**
 * The library default: 4 attempts at most, delays of 100, 150 and 225 milliseconds, no timeouts.
 *
 * @since 0.1.0
 * @category policies
 */
export const default_: Complete = fromFields({
  schedule: RetrySchedule.standard,
  attemptTimeout: undefined,
  deadline: undefined,
  idempotent: undefined,
  retryIf: undefined,
  minServerDelay: undefined,
  maxServerDelay: Duration.seconds(30),
  budget: undefined,
  breaker: undefined,
  bulkhead: undefined,
  throttle: undefined,
  onEvent: undefined,
  spans: undefined,
  logs: undefined
})

/**
 * One attempt, no retries. Use it to switch retries off for a call, a method or a layer.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: RetryPolicy = make({ schedule: Schedule.stop })
