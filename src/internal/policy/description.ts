/**
 * What a policy comes to in numbers. `RetryPolicy` gives it to users.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type { RetryableReason } from "../../RpcError.js"

/**
 * A duration that is not the same each time.
 *
 * @since 0.1.0
 * @category inspection
 */
export interface Range {
  /** The shortest that it can be. */
  readonly shortest: Duration.Duration
  /** The longest that it can be. */
  readonly longest: Duration.Duration
}

/**
 * A policy in numbers.
 *
 * @since 0.1.0
 * @category inspection
 */
export interface Description {
  /** The most attempts that a call makes; `Infinity` when the schedule never ends. */
  readonly attempts: number
  /** The most retries: `attempts` less 1. */
  readonly retries: number
  /**
   * The delay before each retry, as a range where there is jitter; up to 1000 of them. Where the schedule chooses by
   * the failure, those for the reason with the most retries. A deadline ends them.
   */
  readonly delays: ReadonlyArray<Range>
  /** All delays together. */
  readonly totalWait: Range
  /** The bound on one attempt. */
  readonly attemptTimeout: Duration.Duration | undefined
  /** The bound on a call. */
  readonly deadline: Duration.Duration | undefined
  /**
   * Attempts and delays at their longest, as far as timeout and deadline bound them. Delays that a server asks for are
   * not counted.
   */
  readonly longestCall: Duration.Duration
  /** Attempts per call when every attempt fails. */
  readonly amplification: {
    /** What the schedule allows. */
    readonly withoutBudget: number
    /** What the budget allows lastingly; `undefined` without a budget. */
    readonly withBudget: number | undefined
  }
  /** The reasons that `retryIf` and the schedule let through. */
  readonly retried: ReadonlyArray<RetryableReason>
  /** The reasons that they do not let through. */
  readonly notRetried: ReadonlyArray<RetryableReason>
  /** Whether only attempts that were not sent are retried. */
  readonly onlyNotSent: boolean
  /** When the circuit breaker opens, and for how long; `undefined` without one. */
  readonly breaker: {
    /** The failures in a row that open it; `undefined` for one that opens by a rate. */
    readonly consecutive: number | undefined
    /** The rate that opens it; `undefined` for one that opens after failures in a row. */
    readonly rate: {
      /** The share of failures that opens it, from 0 to 1. */
      readonly threshold: number
      /** The share of slow attempts that opens it; `undefined` where they are not counted. */
      readonly slow: {
        /** The share, from 0 to 1. */
        readonly threshold: number
        /** An attempt that takes longer is slow. */
        readonly longerThan: Duration.Duration
      } | undefined
      /** The attempts that have to be in the window before it can open. */
      readonly minimumCalls: number
      /** What is counted: the attempts of that time, or the last so many. */
      readonly window: Duration.Duration | number
    } | undefined
    /**
     * How long it stays open, with its jitter; where a schedule says so, of the first 20 openings. A server's
     * `retryAfter` may lengthen it.
     */
    readonly openFor: Range
  } | undefined
  /** How many attempts the bulkhead admits; `undefined` without one. */
  readonly bulkhead: {
    /** The least that its limit becomes. */
    readonly floor: number
    /** The most that its limit becomes; `floor` where it does not change. */
    readonly ceiling: number
    /** The attempts that can wait. */
    readonly queue: number
  } | undefined
  /** When attempts start beside slow ones; `undefined` without a hedge, and where `idempotent` is not `true`. */
  readonly hedge: {
    /** The time without an answer after which another leg starts: a duration, or the quantile of the latencies. */
    readonly after: Duration.Duration | {
      /** The share of attempts that are answered sooner, as in 0.95. */
      readonly quantile: number
    }
    /** The legs that run side by side at most, the first one included. Never more than `attempts`. */
    readonly max: number
    /** The extra legs per call at most, as a share: what the hedge adds to the load of the server. */
    readonly load: number
  } | undefined
  /** How much the throttle lets through; `undefined` without one. */
  readonly throttle: {
    /** How many calls are sent for each that the server accepts. */
    readonly k: number
    /** The time that it looks back to. */
    readonly window: Duration.Duration
  } | undefined
}
