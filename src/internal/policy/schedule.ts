/**
 * The delays of a call: what schedules are made of, and how one is run.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as Step from "../effect/step.js"

/**
 * A schedule that goes on for ever and says its delays, each computed from the one before.
 *
 * @internal
 */
export const unfoldDelays = <S, In = unknown>(
  initial: S,
  next: (state: S, input: In) => Effect.Effect<readonly [delay: Duration.Duration, state: S]>
): Schedule.Schedule<Duration.Duration, In> =>
  Step.unfold(initial, (_, input: In, state) => Effect.map(next(state, input), ([delay, state]) => ({ delay, state })))

/**
 * Several schedules side by side, each with its own state; each input goes to one of them, and that one decides.
 *
 * @internal
 */
export const choose = <In, R>(
  schedules: ReadonlyMap<string, Schedule.Schedule<unknown, In, R>>,
  keyOf: (input: In) => string
): Schedule.Schedule<Duration.Duration, In, R> =>
  Step.unfold(new Map<string, unknown>(), (now, input: In, states) => {
    const key = keyOf(input)
    const schedule = schedules.get(key)
    if (schedule === undefined) {
      return Effect.succeed({ state: states, delay: undefined })
    }
    const state = states.has(key) ? states.get(key) : Step.initial(schedule)
    return Effect.map(Step.next(schedule, now, input, state), ({ delay, state }) => ({
      state: new Map(states).set(key, state),
      delay: delay === undefined ? undefined : Duration.millis(delay)
    }))
  })

/**
 * The schedule of one call. `next` gives the delay in milliseconds before the next attempt, or `undefined` when the
 * schedule is done.
 *
 * A `hint` of the server's takes the place of the delay, and after it the delays start over: those the schedule has
 * given before, for failures of the same kind, come again. The schedule itself goes on, for it also counts.
 *
 * @internal
 */
export interface Run<In, R> {
  readonly next: (now: number, input: In, hint?: Hint) => Effect.Effect<number | undefined, never, R>
  /** Takes the next step for an attempt that does not wait for its delay. Returns whether there is one. */
  readonly take: (now: number, input: In) => Effect.Effect<boolean, never, R>
}

/**
 * The delay that a server asks for, in milliseconds, and the shortest one that is waited for it: by default the first
 * that the schedule gave for a failure of the same kind.
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
  const steps = Step.stepper(schedule)
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
      Effect.map(
        steps.next(now, input),
        (delay) => delay === undefined ? undefined : follow(delay, kindOf(input), hint)
      ),
    take: (now, input) => Effect.map(steps.next(now, input), (delay) => delay !== undefined && delay !== Infinity)
  }
}
