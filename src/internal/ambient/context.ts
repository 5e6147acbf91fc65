/**
 * The one place that reads a context by key: Effect 4 calls the map otherwise.
 *
 * @internal
 */
import type * as Context from "effect/Context"

/**
 * `Context.get` of a reference that is mostly not provided. A call reads five of them before its first attempt, and
 * `Context.get` takes 150 ns to find that one is not there.
 *
 * @internal
 */
export const read = <S>(
  context: Context.Context<never>,
  reference: { readonly key: string; readonly Service: S },
  orElse: S
): S => {
  const value: S | undefined = context.unsafeMap.get(reference.key)
  return value === undefined ? orElse : value
}
