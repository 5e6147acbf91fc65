/**
 * Timers of JavaScript. On the live clock one takes the place of a fiber that sleeps, which costs several times as
 * much. On every other clock, such as `TestClock`, it is the `sleep` of that clock that decides.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"
import * as Runtime from "./runtime.js"

/** The clock that programs run on by default: its `sleep` is a timer of JavaScript. */
const live = Context.get(DefaultServices.liveServices, Clock.Clock)

/** The longest delay of `setTimeout` in milliseconds, about 25 days: it takes a longer one for 1. */
const longest = 2 ** 31 - 1

/**
 * Stops a timer at once, where it is one of JavaScript; otherwise the effect returned stops it. It has no effect on one
 * that has ended.
 *
 * @internal
 */
export type Stop = LazyArg<Effect.Effect<unknown>>

/**
 * Runs `onEnd` after `millis` milliseconds by `clock`, unless it is stopped before.
 *
 * - `settings`: those of the fiber that runs this line.
 *
 * @internal
 */
export const start = (
  settings: Runtime.Settings,
  clock: Clock.Clock,
  millis: number,
  onEnd: () => void
): Stop => {
  if (clock === live) {
    return bare(millis, onEnd)
  }
  const sleeping = Runtime.start(settings, settings.context, Effect.interruptible(clock.sleep(Duration.millis(millis))))
  sleeping.addObserver(onEnd)
  return () => Fiber.interrupt(sleeping)
}

/**
 * Waits for `millis` milliseconds by `clock`.
 *
 * - `onStart`: given what stops the timer of JavaScript, if one is made, for whoever sees the interruption of the fiber:
 *   a handler of its own for each wait takes as much memory as a fiber does.
 *
 * @internal
 */
export const sleep = (clock: Clock.Clock, millis: number, onStart: (stop: Stop) => void): Effect.Effect<void> =>
  clock === live
    ? Effect.async((resume) => onStart(bare(millis, () => resume(Effect.void))))
    : clock.sleep(Duration.millis(millis))

const bare = (millis: number, onEnd: () => void): Stop => {
  if (millis > longest) {
    return long(millis, onEnd)
  }
  const handle = setTimeout(onEnd, millis)
  return () => {
    clearTimeout(handle)
    return Effect.void
  }
}

const long = (millis: number, onEnd: () => void): Stop => {
  let stop = bare(longest, () => {
    stop = bare(millis - longest, onEnd)
  })
  return () => stop()
}
