/**
 * Runs a `Schedule` step by step. Kept in one file because Effect 4 renames the parts of a schedule.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Decision from "effect/ScheduleDecision"
import * as Interval from "effect/ScheduleInterval"
import * as Intervals from "effect/ScheduleIntervals"
import * as Monotonic from "../ambient/monotonic.js"

/** The result of one step of a schedule. @internal */
export interface Step {
  /** The state to pass to the next step. */
  readonly state: unknown
  /** The delay in milliseconds; `undefined` when the schedule is done. */
  readonly delay: number | undefined
}

/** What is known at once or, where a schedule runs an effect, once that has ended. @internal */
export type Now<A, R = never> = A | Effect.Effect<A, never, R>

/** Maps what is known, at once where it is. @internal */
export const map = <A, B, R>(self: Now<A, R>, f: (value: A) => B): Now<B, R> =>
  Effect.isEffect(self) ? Effect.map(self, f) : f(self)

/** Does what follows from what is known, at once where it is. @internal */
export const andThen = <A, R, B, E2, R2>(
  self: Now<A, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E2, R | R2> => Effect.isEffect(self) ? Effect.flatMap(self, f) : f(self)

/** Returns the effect that ends with what is known. @internal */
export const toEffect = <A, R>(self: Now<A, R>): Effect.Effect<A, never, R> =>
  Effect.isEffect(self) ? self : Effect.succeed(self)

/** Returns the state of a schedule before its first step. @internal */
export const initial = (schedule: Schedule.Schedule<unknown, never, unknown>): unknown => schedule.initial

/**
 * Makes one step of a schedule at the instant `now`, in milliseconds. Unlike `Schedule.driver` it does not sleep: the
 * caller decides whether to sleep once the delay is known.
 *
 * @internal
 */
export const next = <In, R>(
  schedule: Schedule.Schedule<unknown, In, R>,
  now: number,
  input: In,
  state: unknown
): Effect.Effect<Step, never, R> =>
  Effect.map(schedule.step(now, input, state), ([state, _, decision]) => ({ state, delay: delayOf(decision, now) }))

/** The difference to an instant is rounded, for it loses the last digits of the delay. */
const delayOf = (decision: Decision.ScheduleDecision, now: number): number | undefined =>
  Decision.isDone(decision) ? undefined : Math.max(0, Monotonic.between(now, Intervals.start(decision.intervals)))

/** Runs a schedule step by step, and keeps its state. @internal */
export interface Stepper<In, R> {
  /**
   * Makes a step at the instant `now`, in milliseconds. Returns the delay, also in milliseconds; `undefined` when it is
   * done.
   */
  readonly next: (now: number, input: In) => Effect.Effect<number | undefined, never, R>
  /** Starts over. */
  readonly reset: () => void
}

/** @internal */
export const stepper = <In, R>(schedule: Schedule.Schedule<unknown, In, R>): Stepper<In, R> => {
  let state = initial(schedule)
  return {
    next: (now, input) =>
      Effect.map(schedule.step(now, input, state), ([stepped, _, decision]) => {
        state = stepped
        return delayOf(decision, now)
      }),
    reset: () => {
      state = initial(schedule)
    }
  }
}

/** Makes a schedule from a state and a function that returns the next delay; an `undefined` delay ends it. @internal */
export const unfold = <S, In, R>(
  initial: S,
  next: (now: number, input: In, state: S) => Effect.Effect<
    { readonly state: S; readonly delay: Duration.Duration | undefined },
    never,
    R
  >
): Schedule.Schedule<Duration.Duration, In, R> =>
  Schedule.makeWithState(initial, (now, input: In, state) =>
    Effect.map(next(now, input, state), ({ delay, state }) =>
      [
        state,
        delay ?? Duration.zero,
        delay === undefined ? Decision.done : Decision.continueWith(Interval.after(now + Duration.toMillis(delay)))
      ] as const))

/** Resets a schedule to its initial state before each step for which `restarts` returns `true`. @internal */
export const startingOver = <Out, In, R>(
  schedule: Schedule.Schedule<Out, In, R>,
  restarts: Effect.Effect<boolean>
): Schedule.Schedule<Out, In, R> =>
  Schedule.makeWithState(
    schedule.initial,
    (now, input: In, state) =>
      Effect.flatMap(restarts, (restarts) => schedule.step(now, input, restarts ? schedule.initial : state))
  )
