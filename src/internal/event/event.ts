/**
 * The types of events, which the module `RetryEvent` exports.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type { Retryable } from "../../RpcError.js"
import type { ExhaustedReason, FatalReason, RejectedReason, RetryableReason } from "../errors/reasons.js"

/**
 * Any event. Tell them apart by `_tag`, for instance with `Match.valueTags`.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryEvent =
  | AttemptStarted
  | AttemptSucceeded
  | AttemptFailed
  | AttemptCancelled
  | HedgeWon
  | HedgeRefused
  | RetryScheduled
  | RetryRefused
  | CallSucceeded
  | CallFailed
  | CallInterrupted
  | CallShed
  | BudgetLow
  | CircuitOpened
  | CircuitHalfOpen
  | CircuitClosed
  | PolicyUpdated
  | EventsDropped

/**
 * How an attempt or a call ended.
 *
 * - `success`: with a value.
 * - `retryable`: with a `Retryable`; only an attempt ends this way.
 * - `fatal`: with a `Fatal`.
 * - `domain`: with an error type of the application, which counts as an answer.
 * - `exhausted`: with a `RetryExhausted`, the call having made at least one attempt.
 * - `rejected`: with a `CallRejected`, before the first attempt.
 * - `interrupted`: by interruption alone.
 * - `defect`: with a defect (`Effect.die`).
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome =
  | "success"
  | "retryable"
  | "fatal"
  | "domain"
  | "exhausted"
  | "rejected"
  | "interrupted"
  | "defect"

/**
 * The `reason` of the error that an attempt or a call ended with.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = RetryableReason | FatalReason | ExhaustedReason | RejectedReason

/**
 * The fields of every event that belongs to a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfCall {
  /** The number of the call: the same in all its events, and different for each call of a service. */
  readonly call: number
  /** `"Service.Method"`; `undefined` for a call without a name. */
  readonly method: string | undefined
  /** The service part of the method; `""` where the method has none. */
  readonly destination: string
  /** The time of the event in milliseconds since 1970, for display. It never decreases within one call. */
  readonly at: number
}

/**
 * An attempt starts.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptStarted extends OfCall {
  readonly _tag: "AttemptStarted"
  /** The number of the attempt; the first one is 1. */
  readonly attempt: number
  /** The error of the attempt that this one follows; `undefined` for the first one, and for one beside late ones. */
  readonly after: Retryable | undefined
  /**
   * The number of the attempt among those that run side by side, from 1; those after the first are extra legs.
   * `undefined` for a call without a hedge.
   */
  readonly leg: number | undefined
}

/**
 * An attempt succeeded.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptSucceeded extends OfCall {
  readonly _tag: "AttemptSucceeded"
  /** The number of the attempt; the first one is 1. */
  readonly attempt: number
  /** How long the attempt ran. */
  readonly took: Duration.Duration
}

/**
 * An attempt failed with a `Retryable`, a `Fatal`, a domain error or a defect.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptFailed extends OfCall {
  readonly _tag: "AttemptFailed"
  /** The number of the attempt; the first one is 1. */
  readonly attempt: number
  /** How long the attempt ran. */
  readonly took: Duration.Duration
  /** How the attempt ended. */
  readonly outcome: Outcome
  /** The reason of its error; `undefined` for a domain error and for a defect. */
  readonly reason: Reason | undefined
  /** The full cause of the failure. */
  readonly cause: Cause.Cause<unknown>
}

/**
 * An attempt of a call with a hedge was interrupted, because another leg has ended the call, or because the call was
 * interrupted. Of an interrupted call its `CallInterrupted` tells of the attempt that started last.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptCancelled extends OfCall {
  readonly _tag: "AttemptCancelled"
  /** The number of the attempt. */
  readonly attempt: number
  /** How long the attempt ran. */
  readonly took: Duration.Duration
}

/**
 * An extra leg has ended its call before the first one did.
 *
 * @since 0.1.0
 * @category models
 */
export interface HedgeWon extends OfCall {
  readonly _tag: "HedgeWon"
  /** The number of the attempt. */
  readonly attempt: number
  /** The number of the attempt among those that ran side by side: 2 or more. */
  readonly leg: number
}

/**
 * An extra leg was due and did not start.
 *
 * @since 0.1.0
 * @category models
 */
export interface HedgeRefused extends OfCall {
  readonly _tag: "HedgeRefused"
  /** What did not allow it: the `load` of the hedge, or the retry budget. */
  readonly reason: "LoadExhausted" | "BudgetExhausted"
}

/**
 * A failed attempt will be followed by another one, after a delay.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryScheduled extends OfCall {
  readonly _tag: "RetryScheduled"
  /** The number of the attempt that failed. */
  readonly attempt: number
  /** The time until the next attempt: the `retryAfter` of `error` if it has one, else the delay of the schedule. */
  readonly delay: Duration.Duration
  /** How the attempt failed. */
  readonly error: Retryable
}

/**
 * An attempt failed with a `Retryable`, and no other attempt follows.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryRefused extends OfCall {
  readonly _tag: "RetryRefused"
  /** The number of the attempt that failed, the last one of the call. */
  readonly attempt: number
  /** The reason of the `RetryExhausted` that the call ends with. */
  readonly reason: ExhaustedReason
  /** How the attempt failed. */
  readonly error: Retryable
}

/**
 * The fields of every event that ends a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndOfCall extends OfCall {
  /** The number of attempts made. */
  readonly attempts: number
  /** The time from the start of the call to its end. */
  readonly elapsed: Duration.Duration
  /** The part of `elapsed` spent in delays between attempts. */
  readonly waited: Duration.Duration
  /** The level of the retry budget at the end of the call; `undefined` for a call without one. */
  readonly budget: number | undefined
}

/**
 * The call succeeded.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallSucceeded extends EndOfCall {
  readonly _tag: "CallSucceeded"
}

/**
 * The call failed with an error of this package, a domain error or a defect, or was rejected before its first attempt.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallFailed extends EndOfCall {
  readonly _tag: "CallFailed"
  /** How the call ended. */
  readonly outcome: Outcome
  /** The reason of its error; `undefined` for a domain error and for a defect. */
  readonly reason: Reason | undefined
  /** The full cause of the failure. */
  readonly cause: Cause.Cause<unknown>
}

/**
 * The call was interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallInterrupted extends EndOfCall {
  readonly _tag: "CallInterrupted"
  /** Whether the interruption came during an attempt or during a delay. */
  readonly during: "attempt" | "delay"
  /** How long that attempt or delay had lasted. */
  readonly took: Duration.Duration
}

/**
 * The call was turned away by the client itself, before its first attempt. Its `CallFailed` follows.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallShed extends OfCall {
  readonly _tag: "CallShed"
  /** The reason of the `CallRejected` that the call ends with. */
  readonly reason: Exclude<RejectedReason, "DeadlineExceeded">
  /** When it may be worth another try; `undefined` where that is not known. */
  readonly retryIn: Duration.Duration | undefined
}

/**
 * The fields of every event of a circuit breaker that a layer has made. Only a `stream` sees them.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfCircuit {
  /** The service part of the methods whose calls pass the breaker. */
  readonly destination: string
  /** When it was seen, in milliseconds since 1970. */
  readonly at: number
}

/**
 * A circuit breaker has opened: the calls to its destination are turned away.
 *
 * @since 0.1.0
 * @category models
 */
export interface CircuitOpened extends OfCircuit {
  readonly _tag: "CircuitOpened"
  /** How long it stays open; `undefined` for one that was opened by hand. */
  readonly openFor: Duration.Duration | undefined
}

/**
 * The opening of a circuit breaker is over: it lets its probes pass.
 *
 * @since 0.1.0
 * @category models
 */
export interface CircuitHalfOpen extends OfCircuit {
  readonly _tag: "CircuitHalfOpen"
}

/**
 * The probes of a circuit breaker have found the server well.
 *
 * @since 0.1.0
 * @category models
 */
export interface CircuitClosed extends OfCircuit {
  readonly _tag: "CircuitClosed"
  /** Whether it still turns some of the calls away, fewer and fewer. A `CircuitClosed` without that follows. */
  readonly isRamping: boolean
}

/**
 * The retries that a budget allows fell below a quarter of those that it allows when full.
 *
 * @since 0.1.0
 * @category models
 */
export interface BudgetLow extends OfCall {
  readonly _tag: "BudgetLow"
  /** The level of the budget after the step that lowered it. */
  readonly level: number
  /** The greatest level that the budget can have now. */
  readonly capacity: number
}

/**
 * A policy of the service was changed while the program runs. Only `RetryEvent.stream` reports it, not `onEvent`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyUpdated {
  readonly _tag: "PolicyUpdated"
  /** A method or a pattern; `undefined` when all policies were replaced at once. */
  readonly name: string | undefined
  /** `"updated"` or `"removed"` for one policy, `"replaced"` for all. */
  readonly change: "updated" | "removed" | "replaced"
  /** The time of the change in milliseconds since 1970. */
  readonly at: number
}

/**
 * A reader was too slow, so that events were dropped from its buffer. It takes their place in the stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface EventsDropped {
  readonly _tag: "EventsDropped"
  /** The number of events dropped. */
  readonly count: number
}
