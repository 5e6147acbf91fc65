/**
 * The types of events. `RetryEvent` gives them to users.
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
 * - `retryable`: only an attempt ends so; a call that gives up is `exhausted`.
 * - `domain`: an error of the user's own, which counts as an answer.
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
  /** The number of the call: the same in all its events, different for each call of a service. */
  readonly call: number
  /** `"Service.Method"`; `undefined` for a call without a name. */
  readonly method: string | undefined
  /** The service part of the method; `""` where the method has none. */
  readonly destination: string
  /** When it happened, in milliseconds since 1970, to show. Within one call it never goes back. */
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
  /** How the attempt before it failed; `undefined` for the first one. */
  readonly after: Retryable | undefined
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
 * An attempt failed: in a way that is worth another one or not, with a domain error, or with a defect.
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
  /** Everything that the attempt failed with. */
  readonly cause: Cause.Cause<unknown>
}

/**
 * Another attempt follows a failed one, after a delay.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryScheduled extends OfCall {
  readonly _tag: "RetryScheduled"
  /** The number of the attempt that failed. */
  readonly attempt: number
  /** The time until the next attempt. Where the `retryAfter` of `error` names a delay, that of the server. */
  readonly delay: Duration.Duration
  /** How the attempt failed. */
  readonly error: Retryable
}

/**
 * No attempt follows one that failed with a `Retryable`.
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
  /** How many attempts were made. */
  readonly attempts: number
  /** The time from the start of the call to its end. */
  readonly elapsed: Duration.Duration
  /** How much of `elapsed` was delays. */
  readonly waited: Duration.Duration
  /** How many retries the budget of the call holds now; `undefined` for a call without one. */
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
 * The call ended in an error, one of this package or of the user's own, or was rejected before its first attempt.
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
  /** Everything that the call failed with. */
  readonly cause: Cause.Cause<unknown>
}

/**
 * The caller was interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallInterrupted extends EndOfCall {
  readonly _tag: "CallInterrupted"
  /** What was interrupted. */
  readonly during: "attempt" | "delay"
  /** How long the attempt or the delay had been going on. */
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
 * What is left of a budget fell below a quarter of the retries that it allows when it is full.
 *
 * @since 0.1.0
 * @category models
 */
export interface BudgetLow extends OfCall {
  readonly _tag: "BudgetLow"
  /** How many retries the budget holds after the step that lowered it. */
  readonly level: number
  /** How many it can hold. */
  readonly capacity: number
}

/**
 * A policy of the service was changed while the program runs. Only a `stream` sees it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyUpdated {
  readonly _tag: "PolicyUpdated"
  /** A method or a pattern; `undefined` when all policies were replaced at once. */
  readonly name: string | undefined
  /** What was done to the policy. */
  readonly change: "updated" | "removed" | "replaced"
  /** When it happened, in milliseconds since 1970. */
  readonly at: number
}

/**
 * A reader was too slow: the events before this one were dropped from its buffer.
 *
 * @since 0.1.0
 * @category models
 */
export interface EventsDropped {
  readonly _tag: "EventsDropped"
  /** How many events were dropped. */
  readonly count: number
}
