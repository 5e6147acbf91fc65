/**
 * Checks of options that several transports have.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"

/** Fails with an `InvalidOption`. @internal */
export const invalid = (where: string, field: string, problem: string): Result.Result<never, InvalidOption> =>
  Result.fail(new InvalidOption({ where, field, problem }))

/** Returns the end of a message that shows the value: text in quotes, so that `"5"` differs from 5. @internal */
export const got = (value: unknown): string =>
  `got ${Predicate.isString(value) ? JSON.stringify(value) : String(value)}`

/** Returns whether a value is text that is not empty. @internal */
export const isName = (value: unknown): value is string => Predicate.isString(value) && value !== ""

/** Checks an option that is `true`, `false` or not given. @internal */
export const checkFlag = (
  where: string,
  field: string,
  value: unknown
): Result.Result<boolean | undefined, InvalidOption> =>
  value === undefined || Predicate.isBoolean(value)
    ? Result.succeed(value)
    : invalid(where, field, `must be true or false, got ${JSON.stringify(value)}`)

/**
 * Checks the option `retryOn`: a list of codes, or a predicate. Returns the predicate, `undefined` when the option is
 * not given.
 *
 * - `codeOf`: returns the code that an item of the list stands for, `undefined` for an item that is none.
 * - `onInvalid`: returns the error for a value that is neither.
 *
 * @internal
 */
export const checkRetryOn = <E extends { readonly code: unknown }>(
  retryOn: ReadonlyArray<unknown> | Predicate.Predicate<E> | undefined,
  codeOf: (item: unknown) => unknown,
  onInvalid: (retryOn: unknown) => Result.Result<never, InvalidOption>
): Result.Result<Predicate.Predicate<E> | undefined, InvalidOption> => {
  if (retryOn === undefined || Predicate.isFunction(retryOn)) {
    return Result.succeed(retryOn)
  }
  const codes: ReadonlyArray<unknown> = Array.isArray(retryOn) ? retryOn.map(codeOf) : [undefined]
  return codes.includes(undefined)
    ? onInvalid(retryOn)
    : Result.succeed(({ code }) => code !== undefined && codes.includes(code))
}

/** The predicate of a client without the option `retryOn`. @internal */
export const never = (): boolean => false
