/**
 * Reads references from a context. Kept in one file because Effect 4 renames the map inside a `Context`.
 *
 * @internal
 */
import type * as Context from "effect/Context"

/**
 * Reads a reference that is usually not provided, and returns `orElse` when it is missing. A call reads five references
 * before its first attempt, and `Context.get` takes about 150 ns for each missing one; this lookup avoids that cost.
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
