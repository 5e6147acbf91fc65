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
export const unfoldDelays = <S, In = unknown>(
  initial: S,
  next: (state: S, input: In) => Effect.Effect<readonly [delay: Duration.Duration, state: S]>
): Schedule.Schedule<Duration.Duration, In> =>
  Schedule.makeWithState(initial, (now, input, state) =>
    Effect.map(
      next(state, input),
      ([delay, state]) => [state, delay, Decision.continueWith(Interval.after(now + Duration.toMillis(delay)))] as const
    ))

/**
 * Several schedules side by side, each with its own state; each input goes to one of them, and that one decides.
 *
 * @internal
 */
export const choose = <In, R>(
  schedules: ReadonlyMap<string, Schedule.Schedule<unknown, In, R>>,
  keyOf: (input: In) => string
): Schedule.Schedule<Duration.Duration, In, R> =>
  Schedule.makeWithState(new Map<string, unknown>(), (now, input: In, states) => {
    const key = keyOf(input)
    const schedule = schedules.get(key)
    if (schedule === undefined) {
      return Effect.succeed([states, Duration.zero, Decision.done] as const)
    }
    const state = states.has(key) ? states.get(key) : schedule.initial
    return Effect.map(schedule.step(now, input, state), ([next, _, decision]) => {
      const delay = Decision.isDone(decision) ? 0 : Math.max(0, Intervals.start(decision.intervals) - now)
      return [new Map(states).set(key, next), Duration.millis(delay), decision] as const
    })
  })

/**
 * The schedule of one call. `next` gives the delay in milliseconds before the next attempt, or `undefined` when the
 * schedule is done. Unlike `Schedule.driver` it does not sleep: whether to sleep is decided after the delay is known.
 *
 * A `hint` of the server's takes the place of the delay, and after it the delays start over: those the schedule has given
 * before, for failures of the same kind, come again. The schedule itself goes on, for it also counts.
 *
 * @internal
 */
export interface Run<In, R> {
  readonly next: (now: number, input: In, hint?: Hint) => Effect.Effect<number | undefined, never, R>
}

/**
 * The delay that a server asks for, in milliseconds, and the shortest one that is waited for it: by default the first that the
 * schedule gave for a failure of the same kind.
 *
 * @internal
 */
export interface Hint {
  readonly delay: number
  readonly atLeast: number | undefined
}

/** How many delays are remembered, of each kind, to start over from; after them the last one stays. */
const remembered = 64

/** The delays that were given for failures of one kind, and how many have come again since the last hint. */
interface Given {
  readonly delays: Array<number>
  again: number
}

/** @internal */
export const start = <In, R>(
  schedule: Schedule.Schedule<unknown, In, R>,
  kindOf: (input: In) => string
): Run<In, R> => {
  let state = schedule.initial
  let hinted = false
  const given = new Map<string, Given>()

  const follow = (delay: number, kind: string, hint: Hint | undefined): number => {
    const { delays } = given.get(kind) ?? given.set(kind, { delays: [], again: 0 }).get(kind)!
    if (delays.length < remembered) {
      delays.push(delay)
    }
    if (hint !== undefined) {
      hinted = true
      given.forEach((each) => {
        each.again = 0
      })
      return Math.max(hint.delay, hint.atLeast ?? delays[0]!)
    }
    return hinted ? delays[Math.min(given.get(kind)!.again++, delays.length - 1)]! : delay
  }

  return {
    next: (now, input, hint) =>
      Effect.map(schedule.step(now, input, state), ([newState, _, decision]) => {
        state = newState
        return Decision.isDone(decision)
          ? undefined
          : follow(Math.max(0, Intervals.start(decision.intervals) - now), kindOf(input), hint)
      })
  }
}
