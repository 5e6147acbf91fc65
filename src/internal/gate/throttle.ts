/**
 * Adaptive throttling of calls at the client, as in Google's book on site reliability engineering: of the calls of a
 * while some are accepted by the server; when that is less than one in `k`, the client itself rejects so many that it
 * would be.
 *
 * Each operation is one synchronous step. `now` is in milliseconds of the monotonic clock.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import * as Random from "effect/Random"
import { isRpcError, type RpcError } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import type { Services } from "./gate.js"

/**
 * How many calls there were in a while, and how many of them were accepted.
 *
 * @internal
 */
export interface Counts {
  readonly calls: number
  readonly accepts: number
}

const buckets = 60

/** Of them the latest, which tell whether the server has recovered. */
const recentBuckets = buckets / 4

/**
 * The calls and accepts of the last `millis` milliseconds, and of the last quarter of them, to a sixtieth.
 *
 * @internal
 */
export class Window {
  private readonly calls = new Float64Array(buckets)
  private readonly accepts = new Float64Array(buckets)
  private readonly width: number
  private current = -Infinity
  private all = { calls: 0, accepts: 0 }
  private recent = { calls: 0, accepts: 0 }

  constructor(millis: number) {
    this.width = millis / buckets
  }

  /** Those of the whole window. */
  whole(now: number): Counts {
    this.advance(now)
    return this.all
  }

  /** Those of its last quarter. */
  lastQuarter(now: number): Counts {
    this.advance(now)
    return this.recent
  }

  /** Counts a call that starts. */
  called(now: number): void {
    this.advance(now)
    this.add("calls", this.current, 1)
  }

  /** Counts an accept. */
  accepted(now: number): void {
    this.advance(now)
    this.add("accepts", this.current, 1)
  }

  /** Takes back a call that was counted at the instant `startedAt`, unless the window has passed it. */
  uncalled(startedAt: number, now: number): void {
    this.advance(now)
    const bucket = this.bucketOf(startedAt)
    if (bucket > this.current - buckets) {
      this.add("calls", bucket, -1)
    }
  }

  private bucketOf(at: number): number {
    return Math.floor(at / this.width)
  }

  /** Where it is kept. A clock may start at 0, with buckets before that. */
  private slot(bucket: number): number {
    return ((bucket % buckets) + buckets) % buckets
  }

  private add(field: "calls" | "accepts", bucket: number, n: number): void {
    this[field][this.slot(bucket)]! += n
    this.all[field] += n
    if (bucket > this.current - recentBuckets) {
      this.recent[field] += n
    }
  }

  private advance(now: number): void {
    const bucket = this.bucketOf(now)
    if (bucket - this.current >= buckets) {
      this.calls.fill(0)
      this.accepts.fill(0)
      this.all = { calls: 0, accepts: 0 }
      this.recent = { calls: 0, accepts: 0 }
      this.current = bucket
    }
    while (this.current < bucket) {
      this.current++
      this.leave(this.recent, this.current - recentBuckets)
      this.leave(this.all, this.current - buckets)
      this.calls[this.slot(this.current)] = 0
      this.accepts[this.slot(this.current)] = 0
    }
  }

  private leave(sum: { calls: number; accepts: number }, bucket: number): void {
    sum.calls -= this.calls[this.slot(bucket)]!
    sum.accepts -= this.accepts[this.slot(bucket)]!
  }
}

/**
 * The probability with which a call is rejected so that the server sees `k` times what it accepts.
 *
 * - `inFlight`: how many of the calls have not ended. They are neither accepted nor refused yet.
 *
 * @internal
 */
export const rejection = ({ accepts, calls }: Counts, inFlight: number, k: number): number =>
  Math.max(0, (calls - inFlight - k * accepts) / (calls + 1))

/** Fewer calls in the window say nothing. */
const minimumCalls = 10

/** A server that recovers is to be noticed. */
const mostRejected = 0.9

/** The longest time in milliseconds between two calls that are let through, while there are calls. */
const probeEvery = 1000

/**
 * What there is to see of a throttle at one instant.
 *
 * @internal
 */
export interface Snapshot extends Counts {
  /** With which probability a call is rejected, from 0 to 0.9. */
  readonly rejecting: number
}

/**
 * What a call says of the server: it accepted the call, it did not, or neither.
 *
 * @internal
 */
export type Verdict = "Accepted" | "Refused" | "Ignored"

/** @internal */
export interface Throttle {
  /**
   * Counts a call that starts, and returns whether it is let through.
   *
   * - `random`: from 0 to 1, without 1.
   */
  readonly admit: (now: number, random: number) => boolean
  /**
   * A call that was let through has ended. To be called once for each.
   *
   * - `startedAt`: when it was let through.
   */
  readonly ended: (verdict: Verdict, startedAt: number, now: number) => void
  readonly snapshot: (now: number) => Snapshot
}

/**
 * - `k`: how many calls the server sees for each that it accepts.
 * - `window`: the time that is looked back to, in milliseconds.
 *
 * Calls that the throttle itself rejects count as calls: without them it would send more, in proportion to the square
 * root of the demand. The price is slow recovery, as they count for a whole window. So the last quarter of it is asked
 * too, and the lower probability holds: the throttle begins as late as the window says, and ends as early as the last
 * quarter of it does.
 *
 * In the last quarter it is accepts that count: of calls that time out after a time longer than that all are in flight
 * in it, and they would seem to be none at all.
 *
 * @internal
 */
export const make = (k: number, window: number): Throttle => {
  const counts = new Window(window)
  let letThroughAt = -Infinity
  let inFlight = 0
  const rejecting = (now: number): number => {
    const whole = counts.whole(now)
    return whole.calls < minimumCalls
      ? 0
      : Math.min(mostRejected, rejection(whole, inFlight, k), rejection(counts.lastQuarter(now), 0, k))
  }
  return {
    admit: (now, random) => {
      const admits = random >= rejecting(now) || now - letThroughAt >= probeEvery
      counts.called(now)
      if (admits) {
        letThroughAt = now
        inFlight++
      }
      return admits
    },
    ended: (verdict, startedAt, now) => {
      inFlight--
      if (verdict === "Accepted") {
        counts.accepted(now)
      } else if (verdict === "Ignored") {
        counts.uncalled(startedAt, now)
      }
    },
    snapshot: (now) => ({ ...counts.whole(now), rejecting: rejecting(now) })
  }
}

const verdictOf = (error: RpcError): Verdict => {
  switch (error._tag) {
    case "Retryable":
      return error.reason === "Custom" ? "Accepted" : "Refused"
    case "Fatal":
      return "Accepted"
    case "RetryExhausted":
      return error.reason === "CircuitOpen" ? "Refused" : verdictOf(error.last)
    case "CallRejected":
      return error.reason === "CircuitOpen" || error.reason === "Throttled" ? "Refused" : "Ignored"
  }
}

/**
 * Returns what the end of a call says of the server. Everything that is an answer is accepted, and so is a defect: it
 * did not come from a server that is overloaded.
 *
 * @internal
 */
export const verdict = (exit: Exit.Exit<unknown, unknown>): Verdict => {
  if (Exit.isSuccess(exit)) {
    return "Accepted"
  }
  if (Causes.hasInterruption(exit.cause) && retryableOf(exit.cause) === undefined) {
    return "Ignored"
  }
  const verdicts = Causes.failures(exit.cause).map((error) => isRpcError(error) ? verdictOf(error) : "Accepted")
  return verdicts.find((each) => each !== "Accepted") ?? "Accepted"
}

/**
 * Runs `self` unless the throttle holds it back, and tells the throttle how it ended; `rejected` otherwise.
 *
 * @internal
 */
export const through = <A, E, R, E2>(
  throttle: Throttle,
  services: Services,
  self: LazyArg<Effect.Effect<A, E, R>>,
  rejected: LazyArg<Effect.Effect<never, E2>>
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) => {
    const clock = Context.get(services, Clock.Clock)
    return Effect.flatMap(Context.get(services, Random.Random).next, (random): Effect.Effect<A, E | E2, R> => {
      const startedAt = Monotonic.now(clock)
      const end = (exit: Exit.Exit<A, E>) => {
        throttle.ended(verdict(exit), startedAt, Monotonic.now(clock))
        return exit
      }
      return throttle.admit(startedAt, random)
        ? Effect.matchCauseEffect(restore(Effect.suspend(self)), {
          onSuccess: (value) => end(Exit.succeed(value)),
          onFailure: (cause) => end(Exit.failCause(cause))
        })
        : rejected()
    })
  })
