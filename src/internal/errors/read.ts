/**
 * Reads foreign values safely: a getter or a proxy may throw when a property is read.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import * as Result from "../result.js"

/**
 * Returns the result of `get`, or `undefined` when it throws.
 *
 * @internal
 */
export const attempt = <A>(get: () => A): A | undefined => Result.getOrUndefined(Result.try(get))

/**
 * Returns the value of a property, `undefined` when there is none or it cannot be read.
 *
 * @internal
 */
export const property = (value: unknown, key: string): unknown =>
  Predicate.isObject(value) ? attempt(() => (value as { readonly [key: string]: unknown })[key]) : undefined

/**
 * Returns the value of a property that is a string, `undefined` when it is anything else.
 *
 * @internal
 */
export const text = (value: unknown, key: string): string | undefined => {
  const found = property(value, key)
  return typeof found === "string" ? found : undefined
}
