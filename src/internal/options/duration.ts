/**
 * Checks durations that users pass as options before decoding them, because `Duration.decode` silently turns a negative
 * number and `NaN` into zero.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Result from "../result.js"

/**
 * The range that a duration option must be in.
 *
 * @internal
 */
export interface Bounds {
  /** Whether zero is allowed. */
  readonly zero: boolean
}

const show = (input: unknown): string => Duration.isDuration(input) ? Duration.format(input) : String(input)

/** Shows what is no duration. A text is quoted, so that `"5"`, which has no unit, differs from 5, which is in milliseconds. */
const quoted = (input: unknown): string => typeof input === "string" ? JSON.stringify(input) : show(input)

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
 * Decodes a duration. Fails with a description of the problem when it is not a duration, negative, `NaN`, infinite, or
 * zero where zero is not allowed.
 *
 * - `shown`: the value to name in the description, where that is not `input` itself.
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
    return Result.fail(`must be a duration, such as "250 millis", got ${quoted(shown)}`)
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
