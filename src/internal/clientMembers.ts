/**
 * Copies of client objects, with what their calls are made into.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as RpcCall from "../RpcCall.js"

type AnyCall = Effect.Effect<unknown, unknown, unknown>

/** What is made of a call, given the path to the member that it comes from. */
type Change = (path: ReadonlyArray<string>) => (call: AnyCall) => AnyCall

/** An `Option` and an `Either` are effects too, but nobody who returns one means a call. */
const isCall = (u: unknown): u is AnyCall => Effect.isEffect(u) && !Option.isOption(u) && !Either.isEither(u)

type AnyFunction = (...args: ReadonlyArray<unknown>) => unknown

const isFunction = (u: unknown): u is AnyFunction => Predicate.isFunction(u)

/** Objects that are nothing but their members: those of a group of calls. */
const isGroup = (u: unknown): u is object => {
  const prototype: unknown = Predicate.isObject(u) ? Object.getPrototypeOf(u) : undefined
  return prototype === Object.prototype || prototype === null
}

const changedMember = (owner: object, member: unknown, path: ReadonlyArray<string>, change: Change): unknown => {
  if (RpcCall.isRpcCall(member)) {
    return change(path)(member)
  }
  if (isFunction(member)) {
    const changed = change(path)
    return (...args: ReadonlyArray<unknown>) => {
      const result: unknown = Reflect.apply(member, owner, args)
      return isCall(result) ? changed(result) : result
    }
  }
  return isGroup(member) ? changedMembers(member, path, change) : member
}

/** Own members and those of classes, the most derived first. */
const membersOf = (object: object): ReadonlyMap<string | symbol, PropertyDescriptor> => {
  const members = new Map<string | symbol, PropertyDescriptor>()
  for (
    let link: object | null = object;
    link !== null && link !== Object.prototype;
    link = Object.getPrototypeOf(link) as object | null
  ) {
    for (const key of Reflect.ownKeys(link)) {
      if (key !== "constructor" && !members.has(key)) {
        members.set(key, Object.getOwnPropertyDescriptor(link, key)!)
      }
    }
  }
  return members
}

const changedMembers = (self: object, path: ReadonlyArray<string>, change: Change): object => {
  const copy = {}
  for (const [key, { enumerable = false, get, value }] of membersOf(self)) {
    const here = [...path, String(key)]
    Object.defineProperty(copy, key, {
      enumerable,
      // what is computed when it is asked for still is
      ...(get === undefined
        ? { value: changedMember(self, value, here, change) }
        : { get: () => changedMember(self, Reflect.get(self, key), here, change) })
    })
  }
  return copy
}

/** @internal */
export const changedClient = (self: object, change: Change): object =>
  isFunction(self) ? changedMember(self, self, [], change) as AnyFunction : changedMembers(self, [], change)
