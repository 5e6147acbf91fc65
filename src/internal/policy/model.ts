/**
 * What a policy is, and what it is made of. `RetryPolicy` gives it to users.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Pipeable } from "effect/Pipeable"
import type * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import type * as Bulkhead from "../../Bulkhead.js"
import type * as CircuitBreaker from "../../CircuitBreaker.js"
import type * as Hedge from "../../Hedge.js"
import type * as RetryBudget from "../../RetryBudget.js"
import type { Retryable } from "../../RpcError.js"
import type * as Throttle from "../../Throttle.js"
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
  /** The hedge of the call. It is in force only where `idempotent` is `true`. */
  readonly hedge: Hedge.Hedge | "off" | undefined
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
 * The options of a policy but for `hedge`, and for what a hedge asks of `idempotent`. Every option may be left out.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommonOptions {
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
 * The options of a policy that says of no hedge.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnhedgedOptions extends CommonOptions {
  /**
   * Whether running the call twice is the same as running it once. `false`: only attempts with the delivery `NotSent`
   * are retried. Default: what the call says of itself; where nobody says anything every `Retryable` is retried.
   */
  readonly idempotent?: boolean | undefined
  /** `"off"` frees a call from the hedge of the layer. Default: the hedge that the layer says, if any. */
  readonly hedge?: "off" | undefined
}

/**
 * The options of a policy with a hedge.
 *
 * @since 0.1.0
 * @category models
 */
export interface HedgedOptions extends CommonOptions {
  /** Has to be `true`, beside the hedge: a hedged call runs twice on purpose. Anything else is an `InvalidOption`. */
  readonly idempotent: true
  /**
   * Starts an attempt beside one that is slow, and takes the answer that comes first. Attempts and retries together are
   * not more than the schedule allows.
   *
   * Options make a hedge: in a layer one for each method, elsewhere one for all calls that are given them. A
   * `Hedge.make` is shared as it is. It is in force only for a call whose `idempotent` is still `true` when all that is
   * said of it has been merged. Default: none.
   */
  readonly hedge: Hedge.Hedge | Hedge.Options
}

/**
 * The options of {@link make}. A {@link RetryPolicy} can be given too. Every option may be left out.
 *
 * @since 0.1.0
 * @category models
 */
export type Options = UnhedgedOptions | HedgedOptions | RetryPolicy

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
  "hedge",
  "onEvent",
  "spans",
  "logs"
]
