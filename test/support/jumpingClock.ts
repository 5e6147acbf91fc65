/**
 * A clock whose wall time is set, as NTP or a person does it, while its monotonic time goes on with that of the clock in force.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export const make = Effect.map(Effect.clock, (clock) => {
  let ahead = 0
  const unsafeCurrentTimeMillis = () => clock.unsafeCurrentTimeMillis() + ahead
  // all else is as it was: a `TestClock` can still be adjusted
  const jumping: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
    unsafeCurrentTimeMillis,
    currentTimeMillis: Effect.sync(unsafeCurrentTimeMillis),
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeNanos: clock.currentTimeNanos
  })
  return {
    clock: jumping,
    /** Sets the wall time forward by so many milliseconds, or back. */
    jump: (millis: number) =>
      Effect.sync(() => {
        ahead += millis
      })
  }
})
