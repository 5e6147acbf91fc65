/**
 * One attempt of a call while it runs. With hedging a call has several at once, so nothing of an attempt is kept in the call.
 *
 * @internal
 */
import type { Retryable } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"

/**
 * Instants are in milliseconds of the monotonic clock.
 *
 * @internal
 */
export interface Attempt {
  /** The first one is 1. */
  readonly number: number
  readonly startedAt: number
  /** What the attempt before it failed with; `undefined` for the first one. */
  readonly after: Retryable | undefined
  /** When it failed; meaningful once `isRunning` is `false`. */
  endedAt: number
  /** Until it has failed. One that was interrupted is running until its call has ended. */
  isRunning: boolean
  /** Whether it was the deadline of the call that cut it, not its own timeout. */
  isCutByDeadline: boolean
  /** What it failed with, if that is worth another attempt. */
  error: Retryable | undefined
}

/** @internal */
export const make = (number: number, startedAt: number, after: Retryable | undefined): Attempt => ({
  number,
  startedAt,
  after,
  endedAt: startedAt,
  isRunning: true,
  isCutByDeadline: false,
  error: undefined
})

/**
 * How long a failed attempt took, in milliseconds.
 *
 * @internal
 */
export const took = (attempt: Attempt): number => Monotonic.between(attempt.startedAt, attempt.endedAt)
