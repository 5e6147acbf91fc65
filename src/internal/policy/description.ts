/**
 * What a policy comes to in numbers. `RetryPolicy` gives it to users.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type { RetryableReason } from "../../RpcError.js"

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
   * The delay before each retry, as a range where there is jitter; up to 1000 of them. Where the schedule chooses by the failure,
   * those for the reason with the most retries. A deadline ends them.
   */
  readonly delays: ReadonlyArray<{
    /** The delay at its shortest. */
    readonly shortest: Duration.Duration
    /** The delay at its longest. */
    readonly longest: Duration.Duration
  }>
  /** All delays together. */
  readonly totalWait: {
    /** All delays at its shortest. */
    readonly shortest: Duration.Duration
    /** All delays at its longest. */
    readonly longest: Duration.Duration
  }
  /** The bound on one attempt. */
  readonly attemptTimeout: Duration.Duration | undefined
  /** The bound on a call. */
  readonly deadline: Duration.Duration | undefined
  /**
   * Attempts and delays at their longest, as far as timeout and deadline bound them. Delays that a server asks for are not counted.
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
}
