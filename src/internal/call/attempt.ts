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
  /** The error of the attempt that this one follows; `undefined` for one that follows no failure. */
  readonly after: Retryable | undefined
  /** The number of the attempt among the legs of its race, from 1; `undefined` for a call without a hedge. */
  readonly leg: number | undefined
  /** What the attempt has cost of the retry budget. */
  readonly cost: number
  /** The instant at which it failed; valid once `isRunning` is `false`. */
  endedAt: number
  /** `false` once the attempt has failed. It stays `true` for an interrupted attempt. */
  isRunning: boolean
  /** Whether the deadline of the call ended it, rather than its own timeout. */
  isCutByDeadline: boolean
  /** The error, when the attempt failed with a `Retryable`. */
  error: Retryable | undefined
  /** The server hint of the error, as of `endedAt`. */
  hint: Retryable["retryAfter"]
  /** The delay that follows it, in milliseconds; `undefined` for none. */
  delay: number | undefined
}

/**
 * Makes the state of an attempt that starts now.
 *
 * @internal
 */
export const make = (
  number: number,
  startedAt: number,
  after: Retryable | undefined,
  leg: number | undefined,
  cost: number
): Attempt => new Made(number, startedAt, after, leg, cost)

class Made implements Attempt {
  declare readonly number: number
  declare readonly startedAt: number
  declare readonly after: Retryable | undefined
  declare readonly leg: number | undefined
  declare readonly cost: number
  declare endedAt: number
  declare isRunning: boolean
  declare isCutByDeadline: boolean
  declare error: Retryable | undefined
  declare hint: Retryable["retryAfter"]
  declare delay: number | undefined

  constructor(
    number: number,
    startedAt: number,
    after: Retryable | undefined,
    leg: number | undefined,
    cost: number
  ) {
    this.number = number
    this.startedAt = startedAt
    this.after = after
    this.leg = leg
    this.cost = cost
    this.endedAt = startedAt
    this.isRunning = true
    this.isCutByDeadline = false
    this.error = undefined
    this.hint = undefined
    this.delay = undefined
  }
}

/**
 * Returns how long a failed attempt took, in milliseconds.
 *
 * @internal
 */
export const took = (attempt: Attempt): number => Monotonic.between(attempt.startedAt, attempt.endedAt)
