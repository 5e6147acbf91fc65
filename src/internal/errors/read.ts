/**
 * Reads values that others made, which may throw when they are looked at: getters, proxies, proxies that were revoked.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import * as Result from "../result.js"

/**
 * What `get` gives, or `undefined` when it throws.
 *
 * @internal
 */
export const attempt = <A>(get: () => A): A | undefined => Result.getOrUndefined(Result.try(get))

/**
 * The value of a property, `undefined` when there is none or it cannot be read.
 *
 * @internal
 */
export const property = (value: unknown, key: string): unknown =>
  Predicate.isObject(value) ? attempt(() => (value as { readonly [key: string]: unknown })[key]) : undefined

/**
 * The value of a property that is text, `undefined` when it is anything else.
 *
 * @internal
 */
export const text = (value: unknown, key: string): string | undefined => {
  const found = property(value, key)
  return typeof found === "string" ? found : undefined
}
