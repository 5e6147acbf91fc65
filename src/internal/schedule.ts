/**
 * The one place that takes a `Schedule` apart: Effect 4 has other names for these parts.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Decision from "effect/ScheduleDecision"
import * as Interval from "effect/ScheduleInterval"
import * as Intervals from "effect/ScheduleIntervals"

/**
 * A schedule that goes on for ever and says its delays, each computed from the one before.
 *
 * @internal
 */
export const unfoldDelays = <S>(
  initial: S,
  next: (state: S) => Effect.Effect<readonly [delay: Duration.Duration, state: S]>
): Schedule.Schedule<Duration.Duration> =>
  Schedule.makeWithState(initial, (now, _, state) =>
    Effect.map(
      next(state),
      ([delay, state]) => [state, delay, Decision.continueWith(Interval.after(now + Duration.toMillis(delay)))] as const
    ))

/**
 * The schedule of one call. `next` gives the delay in milliseconds before the next attempt, or `undefined` when the
 * schedule is done. Unlike `Schedule.driver` it does not sleep: whether to sleep is decided after the delay is known.
 *
 * @internal
 */
export interface Run<In, R> {
  readonly next: (now: number, input: In) => Effect.Effect<number | undefined, never, R>
}

/** @internal */
export const start = <In, R>(schedule: Schedule.Schedule<unknown, In, R>): Run<In, R> => {
  let state = schedule.initial
  return {
    next: (now, input) =>
      Effect.map(schedule.step(now, input, state), ([newState, _, decision]) => {
        state = newState
        return Decision.isDone(decision) ? undefined : Math.max(0, Intervals.start(decision.intervals) - now)
      })
  }
}
