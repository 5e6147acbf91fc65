/**
 * Durations of the user's, checked before they are decoded: `Duration.decode` turns a negative number or `NaN` into
 * zero without a word.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Result from "../result.js"

/** @internal */
export interface Bounds {
  /** Whether zero is a meaningful value of the field. */
  readonly zero: boolean
}

const show = (input: unknown): string => Duration.isDuration(input) ? Duration.format(input) : String(input)

const isNegative = (input: Duration.DurationInput): boolean =>
  typeof input === "number" || typeof input === "bigint"
    ? input < 0
    : typeof input === "string"
    ? input.trimStart().startsWith("-")
    : Array.isArray(input)
    ? input.some((part) => part < 0)
    : false

const isNaN = (input: Duration.DurationInput): boolean =>
  Array.isArray(input) ? input.some(Number.isNaN) : Number.isNaN(input)

/**
 * The duration, or what is wrong with it.
 *
 * @internal
 */
export const decode = (
  input: unknown,
  bounds: Bounds,
  shown: unknown = input
): Result.Result<Duration.Duration, string> => {
  const decoded = Duration.decodeUnknown(input)
  if (decoded._tag === "None" || isNaN(input as Duration.DurationInput)) {
    return Result.fail(`must be a duration, such as "250 millis", got ${show(shown)}`)
  }
  if (isNegative(input as Duration.DurationInput)) {
    return Result.fail(`must not be negative, got ${show(shown)}`)
  }
  if (!Duration.isFinite(decoded.value)) {
    return Result.fail(`must be finite, got ${show(shown)}`)
  }
  if (!bounds.zero && Duration.toMillis(decoded.value) === 0) {
    return Result.fail(`must be greater than zero, got ${show(shown)}`)
  }
  return Result.succeed(decoded.value)
}
