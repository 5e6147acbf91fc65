/**
 * One of something for each key, of which only so many are kept.
 *
 * @internal
 */
import type { LazyArg } from "effect/Function"

/** @internal */
export interface Keyed<A> {
  /** Returns the one of a key, made if there is none, and counts as its use. */
  readonly get: (key: string) => A
  readonly remove: (key: string) => void
  readonly size: () => number
}

/**
 * Makes an empty one. Where there would be more than `maxKeys`, the least recently used one leaves of those that are
 * idle, or of all where none is.
 *
 * @internal
 */
export const make = <A>(maxKeys: number, make: LazyArg<A>, isIdle: (one: A) => boolean): Keyed<A> => {
  /** The least recently used first. */
  const all = new Map<string, A>()
  const leaving = (): string | undefined => {
    for (const [key, one] of all) {
      if (isIdle(one)) {
        return key
      }
    }
    return all.keys().next().value
  }
  return {
    get: (key) => {
      const known = all.get(key)
      const one = known ?? make()
      if (known !== undefined) {
        all.delete(key)
      } else if (all.size >= maxKeys) {
        all.delete(leaving()!)
      }
      all.set(key, one)
      return one
    },
    remove: (key) => {
      all.delete(key)
    },
    size: () => all.size
  }
}
