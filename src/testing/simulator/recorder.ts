/**
 * Counts what happens in a run, and makes the report of it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Causes from "../../internal/effect/cause.js"
import { isCallRejected, isRpcError } from "../../RpcError.js"
import { recovery } from "./recovery.js"
import type { Valid } from "./scenario.js"

/**
 * A step of a time series. Times and latencies are in milliseconds, and counts are those of the step.
 *
 * @since 0.1.0
 * @category models
 */
export interface Point {
  /** When the step began, since the start of the run. */
  readonly at: number
  /** The calls that started. */
  readonly offered: number
  /** The attempts that were sent. */
  readonly attempts: number
  /** The calls that succeeded. */
  readonly goodput: number
  /** The latency that half of the calls that succeeded were below, their retries included; `null` where none did. */
  readonly p50: number | null
  /** The latency that 95 % of the calls that succeeded were below; `null` where none did. */
  readonly p95: number | null
  /** The latency that 99 % of the calls that succeeded were below; `null` where none did. */
  readonly p99: number | null
  /** The mean level of the clients' retry budgets at the end of the step; `null` where no client has a limited one. */
  readonly budget: number | null
  /** The share of clients whose circuit breaker is not closed at the end; `null` where no client has one. */
  readonly open: number | null
  /** The mean probability with which the throttles reject at the end; `null` where no client has one. */
  readonly throttled: number | null
}

/**
 * What a run came to. All times are in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  /** The name of the scenario. */
  readonly scenario: string
  /** The seed of the run. */
  readonly seed: number
  /** How much virtual time was simulated. */
  readonly duration: number
  /** The length of a step of the series. */
  readonly step: number
  /** The calls that started after the warm-up, those that had no end yet left out. */
  readonly calls: number
  /** The share of these calls that succeeded, from 0 to 1. */
  readonly success: number
  /** The calls that succeeded, per second. */
  readonly goodput: number
  /** The attempts that were sent for each call that sent any: 1 without retries. */
  readonly amplification: number
  /** The latency that half of the calls that succeeded were below, their retries included; `null` where none did. */
  readonly p50: number | null
  /** The latency that 95 % of the calls that succeeded were below; `null` where none did. */
  readonly p95: number | null
  /** The latency that 99 % of the calls that succeeded were below; `null` where none did. */
  readonly p99: number | null
  /** The share of the requests that servers did after the client had given them up. */
  readonly wasted: number
  /**
   * The time from the end of the last fault to the first window of 5 seconds in which as many calls succeed as 95 % of
   * those that start, and after which that holds for 20 seconds. `"never"`: not within the scenario. `null` for a
   * scenario without faults.
   */
  readonly recovery: number | "never" | null
  /** How many calls failed for each reason: of `RetryExhausted`, `CallRejected` and `Fatal`, or `Abandoned`. */
  readonly failures: Readonly<Record<string, number>>
  /** The share of failed calls whose error says why there was no further attempt; 1 where none failed. */
  readonly explained: number
  /** What happened when. */
  readonly series: ReadonlyArray<Point>
}

/**
 * What is read of the clients at the end of each step.
 *
 * @internal
 */
export interface Gauges extends Pick<Point, "budget" | "open" | "throttled"> {}

/** The latency below which this share of a sorted list is. */
const quantile = (sorted: ReadonlyArray<number>, q: number): number | null =>
  sorted.length === 0 ? null : rounded(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!)

/** To the microsecond, or to the sixth decimal: what is beyond is noise. */
const rounded = (n: number) => Math.round(n * 1e6) / 1e6

const ratio = (part: number, whole: number, orElse: number) => whole === 0 ? orElse : rounded(part / whole)

const quantiles = (latencies: ReadonlyArray<number>) => {
  const sorted = latencies.toSorted((a, b) => a - b)
  return { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), p99: quantile(sorted, 0.99) }
}

/** The length of a step, in milliseconds. */
const step = 1_000

/**
 * The counts of one run.
 *
 * @internal
 */
export class Recorder {
  private readonly offered: Float64Array
  private readonly attempts: Float64Array
  private readonly succeeded: Float64Array
  /** Those of each step in which a call succeeded. */
  private readonly latencies: Array<Array<number> | undefined>
  private readonly gauges: Array<Gauges> = []
  private readonly failures = new Map<string, number>()
  private readonly total = { ended: 0, succeeded: 0, shed: 0, failed: 0, explained: 0, attempts: 0, offered: 0 }
  private done = 0
  private wasted = 0
  /** The first defect that a call died with: a mistake in what is simulated. */
  defect: Cause.Cause<unknown> | undefined

  constructor(private readonly scenario: Valid) {
    const steps = Math.ceil(scenario.duration / step) + 1
    this.offered = new Float64Array(steps)
    this.attempts = new Float64Array(steps)
    this.succeeded = new Float64Array(steps)
    this.latencies = Array.from({ length: steps })
  }

  private isCounted(startedAt: number): boolean {
    return startedAt >= this.scenario.warmUp
  }

  started(now: number): void {
    this.offered[Math.floor(now / step)]!++
    if (this.isCounted(now)) {
      this.total.offered++
    }
  }

  sent(now: number): void {
    this.attempts[Math.floor(now / step)]!++
    if (this.isCounted(now)) {
      this.total.attempts++
    }
  }

  served(isWasted: boolean): void {
    this.done++
    this.wasted += isWasted ? 1 : 0
  }

  ended(startedAt: number, now: number, exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isSuccess(exit)) {
      this.succeeded[Math.floor(now / step)]!++
      const latencies = this.latencies[Math.floor(now / step)] ??= []
      latencies.push(now - startedAt)
    } else if (Causes.hasDefect(exit.cause)) {
      this.defect ??= exit.cause
    }
    if (!this.isCounted(startedAt)) {
      return
    }
    const { total } = this
    total.ended++
    if (Exit.isSuccess(exit)) {
      total.succeeded++
      return
    }
    const error = Option.getOrUndefined(Causes.firstFailure(exit.cause))
    const isTyped = isRpcError(error)
    const reason = isTyped ? error.reason : error === undefined ? "Abandoned" : "other"
    this.failures.set(reason, (this.failures.get(reason) ?? 0) + 1)
    if (error !== undefined) {
      total.failed++
      total.explained += isTyped && error._tag !== "Retryable" ? 1 : 0
      total.shed += isCallRejected(error) ? 1 : 0
    }
  }

  /** Keeps what the clients are like at the end of a step. */
  stepEnded(gauges: Gauges): void {
    this.gauges.push(gauges)
  }

  /** The time from the end of the last fault to recovery; `null` without a fault. */
  recovery(now: number): number | "never" | null {
    const { arrivals, faults, faultsEnd } = this.scenario
    if (faultsEnd === undefined) {
      return null
    }
    const before = Math.floor(Math.min(...faults.map(({ from }) => from)) / step)
    const well = this.succeeded.slice(0, before).reduce((sum, n) => sum + n, 0) / Math.max(1, before)
    const leastOffered = arrivals._tag === "Closed" ? well / 2 : 0
    return recovery({ step, offered: this.offered, succeeded: this.succeeded, leastOffered }, faultsEnd, now) ?? "never"
  }

  report(seed: number, now: number): Report {
    const { total } = this
    const seconds = Math.max(1e-3, now - this.scenario.warmUp) / 1000
    const all = this.latencies.slice(Math.floor(this.scenario.warmUp / step)).flatMap((each) => each ?? [])
    return {
      scenario: this.scenario.name,
      seed,
      duration: now,
      step,
      calls: total.ended,
      success: ratio(total.succeeded, total.ended, 1),
      goodput: rounded(total.succeeded / seconds),
      amplification: ratio(total.attempts, total.offered - total.shed, 1),
      ...quantiles(all),
      wasted: ratio(this.wasted, this.done, 0),
      recovery: this.recovery(now),
      failures: Object.fromEntries(Array.from(this.failures).toSorted(([a], [b]) => a < b ? -1 : 1)),
      explained: ratio(total.explained, total.failed, 1),
      series: this.gauges.map((gauges, i) => ({
        at: i * step,
        offered: this.offered[i]!,
        attempts: this.attempts[i]!,
        goodput: this.succeeded[i]!,
        ...quantiles(this.latencies[i] ?? []),
        ...gauges
      }))
    }
  }
}
