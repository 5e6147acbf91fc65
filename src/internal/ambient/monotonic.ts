/**
 * The monotonic clock, which deadlines, delays, durations and budgets are measured with.
 *
 * The wall clock of a machine jumps when NTP or a person corrects it and when a virtual machine resumes. So
 * `Clock.currentTimeMillis` is read only for times that are shown to people.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"

/**
 * Returns the milliseconds since a fixed moment of the process, rounded to the microsecond. Under `TestClock` it is the
 * virtual time.
 *
 * The rounding keeps whole milliseconds whole: converting a `bigint` of nanoseconds to a number loses its last digits.
 *
 * @internal
 */
export const now = (clock: Clock.Clock): number => Math.round(Number(clock.unsafeCurrentTimeNanos()) / 1_000) / 1_000

/**
 * Returns the milliseconds from `start` to `end`, rounded to the microsecond to remove floating point noise.
 *
 * @internal
 */
export const between = (start: number, end: number): number => Math.round((end - start) * 1_000) / 1_000
