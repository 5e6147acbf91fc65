/**
 * The clock that durations are measured with.
 *
 * The wall clock of a machine is set forward and back: by NTP, by a person, when a virtual machine wakes up. Deadlines, delays
 * and budgets must not follow it, so nothing but what is shown to people is read from `Clock.currentTimeMillis`.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"

/**
 * Milliseconds since a moment that does not change while the process runs, to the microsecond. `TestClock` gives its own
 * instant.
 *
 * The rounding makes whole milliseconds whole: a `bigint` of nanoseconds loses its last digits as a number.
 *
 * @internal
 */
export const now = (clock: Clock.Clock): number => Math.round(Number(clock.unsafeCurrentTimeNanos()) / 1_000) / 1_000

/**
 * The milliseconds between two readings, without the noise that a subtraction leaves in the last digits.
 *
 * @internal
 */
export const between = (start: number, end: number): number => Math.round((end - start) * 1_000) / 1_000
