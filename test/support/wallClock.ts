/**
 * A clock whose time of day is set forward and back while its monotonic time goes on.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The real clock, set by so many milliseconds from now on. */
export const make = () => {
  const real = Clock.make()
  let offset = 0
  const unsafeCurrentTimeMillis = () => real.unsafeCurrentTimeMillis() + offset
  const clock: Clock.Clock = {
    ...real,
    sleep: (duration) => real.sleep(duration),
    unsafeCurrentTimeMillis,
    unsafeCurrentTimeNanos: () => real.unsafeCurrentTimeNanos(),
    currentTimeMillis: Effect.sync(unsafeCurrentTimeMillis),
    currentTimeNanos: real.currentTimeNanos
  }
  return {
    clock,
    set: (millis: number) =>
      Effect.sync(() => {
        offset = millis
      })
  }
}
