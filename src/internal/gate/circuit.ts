/**
 * What there is to see of a circuit breaker. `CircuitBreaker` gives it to users.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"

/**
 * The state of a circuit breaker.
 *
 * | state      | attempts                                                                        |
 * | ---------- | ------------------------------------------------------------------------------- |
 * | `Closed`   | are all made                                                                    |
 * | `Open`     | are all turned away                                                             |
 * | `HalfOpen` | are turned away but for the probes, whose outcomes close the breaker or open it |
 * | `Ramping`  | are made in part, more and more of them: it is closing                          |
 *
 * @since 0.1.0
 * @category models
 */
export type State = "Closed" | "Open" | "HalfOpen" | "Ramping"

/**
 * A change of the state of a circuit breaker.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  /** The state before. */
  readonly from: State
  /** The state since. */
  readonly to: State
  /** When it was seen, in milliseconds of the monotonic clock. */
  readonly at: number
  /**
   * Until when the breaker stays open, in milliseconds of the monotonic clock: `Infinity` if by hand, absent if it is
   * not open.
   */
  readonly openUntil?: number | undefined
}

/**
 * What is known of a circuit breaker at a moment.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  /** Its state. */
  readonly state: State
  /** How often it was opened, half-opened, closed or moved by hand: outcomes of an older generation do not count. */
  readonly generation: number
  /** The failures that it counts now: in a row, or in the window. In `HalfOpen` those of the probes. */
  readonly failures: number
  /** The share of failures in the window, from 0 to 1. Absent without a window or with nothing in it. */
  readonly rate?: number | undefined
  /**
   * The share of slow calls in the window, from 0 to 1. Absent where they are not counted or with nothing in the
   * window.
   */
  readonly slowRate?: number | undefined
  /** How long it will still be open. Absent when it is not open, or open by hand. */
  readonly retryIn?: Duration.Duration | undefined
}
