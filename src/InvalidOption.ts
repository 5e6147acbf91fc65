/**
 * The error of a constructor that was given something it cannot use.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as duration from "./internal/options/duration.js"
import { suggestion } from "./internal/options/suggest.js"
import * as Result from "./internal/result.js"

/**
 * Thrown by the constructors of this package (`RetryPolicy.make`, `RetrySchedule.exponential`, `withRpcRetry`, ...) when
 * an option is out of range. It is a mistake in the program, so it is thrown where it was made, before any call; nothing
 * is clamped. `RetryPolicy.validate` gives the same error as a value.
 *
 * - `where`: the constructor.
 * - `field`: the option.
 * - `problem`: what is wrong with it, with the value.
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
  readonly where: string
  readonly field: string
  readonly problem: string
}> {
  override get message(): string {
    return `${this.where}: ${this.field} ${this.problem}`
  }
}

/**
 * Checks one duration option: finite, not negative, not `NaN`, and greater than zero unless `zero` is allowed.
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
 * Checks one number option against a range, both ends included.
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
  const problem = range.max === Number.MAX_VALUE || range.max === Number.MAX_SAFE_INTEGER
    ? `must be ${kind} of at least ${range.min}, got ${input}`
    : `must be ${kind} from ${range.min} to ${range.max}, got ${input}`
  return Result.fail(new InvalidOption({ where, field, problem }))
}

/**
 * Checks that options are an object with no other keys than those that are known, and names the one that was meant where a key is
 * not. A key whose value is `undefined` counts too.
 *
 * - `path`: what to put before the key in the error, as in `"metrics."`. Default: nothing.
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

/** What is no object: text in quotes, so that `"5"` is seen not to be 5. */
const shown = (input: unknown): string =>
  typeof input === "string" ? JSON.stringify(input) : Array.isArray(input) ? "an array" : String(input)

/**
 * The value, or the error thrown: how a constructor ends.
 *
 * @since 0.1.0
 * @category validation
 */
export const orThrow = <A>(result: Result.Result<A, InvalidOption>): A =>
  Result.getOrThrowWith(result, (error) => error)
