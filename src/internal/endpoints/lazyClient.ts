/**
 * An object that has a method of any name, as the clients behind it are not made yet.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/** Makes the call of a method: the path to it in a client, and its arguments. @internal */
export type MakeCall = (path: ReadonlyArray<string>, args: ReadonlyArray<unknown>) => unknown

const lazies = new WeakSet<object>()

/**
 * Returns whether any name is a member of an object.
 *
 * @internal
 */
export const isLazy = (self: object): boolean => lazies.has(self)

/**
 * Makes the object. It has no member `then`, so that it can be returned where a promise may be, and no symbols.
 *
 * @internal
 */
export const make = (call: MakeCall, path: ReadonlyArray<string> = []): object => {
  const members = new Map<string, object>()
  const lazy = new Proxy(() => {}, {
    apply: (_target, _owner, args: ReadonlyArray<unknown>) => call(path, args),
    get: (_, key) => {
      if (Predicate.isSymbol(key) || key === "then") {
        return undefined
      }
      const member = members.get(key) ?? make(call, [...path, key])
      members.set(key, member)
      return member
    },
    has: () => false
  })
  lazies.add(lazy)
  return lazy
}

/**
 * Calls the method at a path of a client. Throws a `TypeError` where there is none.
 *
 * @internal
 */
export const apply = (
  client: unknown,
  path: ReadonlyArray<string>,
  args: ReadonlyArray<unknown>
): Effect.Effect<unknown, unknown, unknown> => {
  let owner: unknown
  let member = client
  for (const key of path) {
    owner = member
    member = Predicate.hasProperty(owner, key) ? owner[key] : undefined
  }
  if (!Predicate.isFunction(member)) {
    throw new TypeError(`the client of the endpoint has no method ${path.join(".")}`)
  }
  return Reflect.apply(member, owner, args) as Effect.Effect<unknown, unknown, unknown>
}
