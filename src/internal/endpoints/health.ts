/**
 * What is known of how well an endpoint answers: the penalty of its recent failures, whether it is ejected, and how far
 * it is ramped up. Instants are in milliseconds of the monotonic clock.
 *
 * @internal
 */
import type { Outcome } from "../gate/outcome.js"

/** The penalty after a failure at least, as a multiple of the cost of an endpoint that does not fail. */
const least = 50

/** The greatest penalty: more than an overloaded endpoint ever has attempts in flight. */
const most = 10_000

/** Below this the penalty is over. */
const negligible = 0.05

/** How long it takes for a penalty to halve, in milliseconds, for each failure in a row. */
const halfLife = 10_000

/** The most failures in a row that lengthen it. */
const longest = 6

/** The weight of a new answer in the mean of the times that answers take. */
const newest = 1 / 16

/** So many answers it takes to say how long they take. */
const enough = 16

/** Answers that take less than so many times as long are not slower, but other ones. */
const slower = 2

/** How long it takes until what is known of the slowness of an endpoint without answers is half as much. */
const forgotten = 10_000

/** The share of its load that an endpoint has at first. */
const firstShare = 0.1

/** @internal */
export class Health {
  /** The failures since the last success. */
  failuresInARow = 0
  /** The attempts that have ended since the last comparison of success rates. */
  calls = 0
  /** The failed ones among {@link calls}. */
  failures = 0
  /** Until when it is ejected; in the past when it is not. */
  ejectedUntil = -Infinity
  /** Until when its circuit breaker is open; in the past when it is not. */
  openUntil = -Infinity
  /** Whether its circuit breaker lets probes pass. */
  isHalfOpen = false

  /** The mean time that its last answers took, at least 1 ms. */
  private latency = 0
  private answers = 0
  private answeredAt = 0
  private extra = 0
  private extraAt = 0
  private ejections = 0
  private ejectedFor = 0

  /** Since when it is ramped up; `-Infinity` when it never was. */
  rampFrom: number

  constructor(now: number, isNew: boolean, private readonly slowStart: number) {
    this.rampFrom = isNew ? now : -Infinity
  }

  /**
   * Returns what the cost of the endpoint is multiplied by: 1 without recent failures. It doubles by each failure, from
   * 51; it halves by each success, and in 10 seconds for each failure in a row.
   */
  penalty(now: number): number {
    const extra = this.decayed(now)
    return extra < negligible ? 1 : 1 + extra
  }

  /**
   * Returns how many times as long answers take here as at another endpoint: 1 for less than twice as long. Without new
   * answers it goes back to 1, so that a slow endpoint is asked now and then.
   */
  slowness(other: Health, now: number): number {
    if (this.answers < enough || other.answers < enough || this.latency < slower * other.latency) {
      return 1
    }
    const times = (this.latency / other.latency) ** (2 ** -(Math.max(0, now - this.answeredAt) / forgotten))
    return times < slower ? 1 : times
  }

  /** Counts an answer that took so many milliseconds. Failures are no answers, or one that fails fast would look quick. */
  answered(millis: number, now: number): void {
    const latency = Math.max(1, millis)
    this.latency = this.answers === 0 ? latency : this.latency + newest * (latency - this.latency)
    this.answers++
    this.answeredAt = now
  }

  /**
   * Counts an attempt that was cut after so many milliseconds, as a hedge cuts the leg that has lost: an answer would
   * have taken longer. One that was cut much sooner than answers come says nothing.
   */
  cut(millis: number, now: number): void {
    if (slower * millis >= this.latency) {
      this.answered(Math.max(millis, this.latency), now)
    }
  }

  /** Returns the share of its load that it takes, from 0.1 when it is new to 1. */
  ramp(now: number): number {
    const elapsed = now - this.rampFrom
    return elapsed >= this.slowStart ? 1 : Math.max(firstShare, elapsed / this.slowStart)
  }

  /** Returns whether no attempt is made at it, unless too many endpoints are in that state. */
  isOut(now: number): boolean {
    return now < this.ejectedUntil || now < this.openUntil
  }

  /** Returns the instant at which it is back. */
  outUntil(): number {
    return Math.max(this.ejectedUntil, this.openUntil)
  }

  /** Counts an attempt that has ended. `Ignored` says nothing. */
  ended(outcome: Outcome, now: number): void {
    if (outcome === "Ignored") {
      return
    }
    this.calls++
    const extra = this.decayed(now)
    if (outcome === "Failure") {
      this.failures++
      this.failuresInARow++
      this.extra = Math.min(most, Math.max(least, 2 * extra))
    } else {
      this.failuresInARow = 0
      this.extra = extra / 2
    }
    this.extraAt = now
  }

  /**
   * Takes it out for `base` milliseconds, twice that the second time, and so on up to `max`. The count starts over when
   * it was back for as long as it was last out.
   */
  eject(now: number, base: number, max: number): number {
    this.ejections = now - this.ejectedUntil >= this.ejectedFor ? 1 : this.ejections + 1
    this.ejectedFor = Math.min(max, base * this.ejections)
    this.ejectedUntil = now + this.ejectedFor
    return this.ejectedFor
  }

  /** Ends an ejection. */
  readmit(now: number): void {
    this.ejectedUntil = Math.min(this.ejectedUntil, now)
  }

  /** Begins anew after it was out: without a penalty, and ramped up when it was ejected. */
  comeBack(now: number): void {
    if (this.ejectedUntil >= this.openUntil) {
      this.rampFrom = now
    }
    this.failuresInARow = 0
    this.extra = 0
  }

  private decayed(now: number): number {
    if (this.extra === 0) {
      return 0
    }
    const halves = Math.max(0, now - this.extraAt) / (halfLife * Math.max(1, Math.min(longest, this.failuresInARow)))
    return this.extra * 2 ** -halves
  }
}
