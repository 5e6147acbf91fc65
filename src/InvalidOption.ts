/**
 * The error that constructors throw for an option out of range, and the checks that make it.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as duration from "./internal/options/duration.js"
import { suggestion } from "./internal/options/suggest.js"
import * as Result from "./internal/result.js"

/**
 * Thrown by the constructors of this package (`RetryPolicy.make`, `RetrySchedule.exponential`, `withRpcRetry`, ...)
 * when an option is unknown or out of range. A wrong option is a mistake in the program, so it is reported when the
 * option is given, before any call, and no value is clamped. `RetryPolicy.validate` returns the same error as a value.
 *
 * @example
 * ```ts
 * import { RetryPolicy } from "effect-rpc-retry"
 *
 * // throws InvalidOption: RetryPolicy.make: deadline must not be negative, got -1
 * const program = () => RetryPolicy.make({ deadline: -1 })
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidOption extends Data.TaggedError("InvalidOption")<{
  /** The constructor or function that was given the option. */
  readonly where: string
  /** The name of the option, with the path to it. */
  readonly field: string
  /** What is wrong with the option, with its value. */
  readonly problem: string
}> {
  override get message(): string {
    return `${this.where}: ${this.field} ${this.problem}`
  }
}

/**
 * Checks a duration option: it must be finite, not negative, not `NaN`, and greater than zero unless `zero` is allowed.
 *
 * @since 0.1.0
 * @category validation
 */
export const checkDuration = (
  where: string,
  field: string,
  input: Duration.DurationInput,
  options?: {
    /** Whether zero is allowed. Default `false`. */
    readonly zero?: boolean | undefined
  }
): Result.Result<Duration.Duration, InvalidOption> =>
  Result.mapError(
    duration.decode(input, { zero: options?.zero ?? false }),
    (problem) => new InvalidOption({ where, field, problem })
  )

/**
 * Checks a number option against a range, both ends included.
 *
 * @since 0.1.0
 * @category validation
 */
export const checkNumber = (
  where: string,
  field: string,
  input: number,
  range: {
    /** The least that is allowed. */
    readonly min: number
    /** The most that is allowed. */
    readonly max: number
    /** Whether it must be an integer. Default `false`. */
    readonly integer?: boolean | undefined
  }
): Result.Result<number, InvalidOption> => {
  const valid = Number.isFinite(input) && input >= range.min && input <= range.max &&
    (range.integer !== true || Number.isInteger(input))
  if (valid) {
    return Result.succeed(input)
  }
  const kind = range.integer === true ? "an integer" : "a number"
  const unbounded = range.max === Number.MAX_VALUE || range.max === Number.MAX_SAFE_INTEGER
  const allowed = range.min === Number.MIN_VALUE
    ? `greater than 0${unbounded ? "" : ` and at most ${range.max}`}`
    : unbounded
    ? `of at least ${range.min}`
    : `from ${range.min} to ${range.max}`
  const problem = `must be ${kind} ${allowed}, got ${shown(input)}`
  return Result.fail(new InvalidOption({ where, field, problem }))
}

/**
 * Checks that `options` is an object whose keys are all known. For an unknown key, the error suggests the known one
 * that is nearest. A key whose value is `undefined` is checked too.
 *
 * - `path`: the prefix of the key in the error, as in `"metrics."`. Default `""`.
 *
 * @example
 * ```ts
 * import * as InvalidOption from "effect-rpc-retry/InvalidOption"
 *
 * // Left(InvalidOption: Users.make: timeuot is not an option, did you mean timeout?)
 * const checked = InvalidOption.checkKnown("Users.make", { timeuot: 5 }, ["timeout", "retries"])
 * ```
 *
 * @since 0.1.0
 * @category validation
 */
export const checkKnown = (
  where: string,
  options: unknown,
  known: ReadonlyArray<string>,
  path = ""
): Result.Result<void, InvalidOption> => {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    const field = path === "" ? "options" : path.replace(/\.$/, "")
    return Result.fail(new InvalidOption({ where, field, problem: `must be an object, got ${shown(options)}` }))
  }
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  return unknown === undefined
    ? Result.void
    : Result.fail(
      new InvalidOption({ where, field: `${path}${unknown}`, problem: `is not an option${suggestion(unknown, known)}` })
    )
}

/** Shows a value that is not an object. A text is quoted, so that `"5"` differs from 5. */
const shown = (input: unknown): string =>
  typeof input === "string" ? JSON.stringify(input) : Array.isArray(input) ? "an array" : String(input)

/**
 * Returns the value of a check, or throws its error.
 *
 * @since 0.1.0
 * @category validation
 */
export const orThrow = <A>(result: Result.Result<A, InvalidOption>): A =>
  Result.getOrThrowWith(result, (error) => error)
