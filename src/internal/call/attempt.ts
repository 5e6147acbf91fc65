/**
 * The state of one attempt. It is kept apart from the state of the call, so that a call can have several attempts in
 * flight.
 *
 * @internal
 */
import type { Retryable } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"

/**
 * One attempt of a call. Instants are in milliseconds of the monotonic clock.
 *
 * @internal
 */
export interface Attempt {
  /** The number of the attempt; the first one is 1. */
  readonly number: number
  /** The instant at which it started. */
  readonly startedAt: number
  /** The error of the previous attempt; `undefined` for the first one. */
  readonly after: Retryable | undefined
  /** The instant at which it failed; valid once `isRunning` is `false`. */
  endedAt: number
  /** `false` once the attempt has failed. It stays `true` for an interrupted attempt. */
  isRunning: boolean
  /** Whether the deadline of the call ended it, rather than its own timeout. */
  isCutByDeadline: boolean
  /** The error, when the attempt failed with a `Retryable`. */
  error: Retryable | undefined
}

/**
 * Makes the state of an attempt that starts now.
 *
 * @internal
 */
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
 * Returns how long a failed attempt took, in milliseconds.
 *
 * @internal
 */
export const took = (attempt: Attempt): number => Monotonic.between(attempt.startedAt, attempt.endedAt)
