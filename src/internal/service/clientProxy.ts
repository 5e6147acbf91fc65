/**
 * Client objects, seen so that their calls are something else.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as RpcCall from "../../RpcCall.js"
import { isLazy } from "../endpoints/lazyClient.js"
import * as Result from "../result.js"

type AnyCall = Effect.Effect<unknown, unknown, unknown>

/** What is made of a call, given the path to the member that it comes from. */
type Change = (path: ReadonlyArray<string>) => (call: AnyCall) => AnyCall

type AnyFunction = (...args: ReadonlyArray<unknown>) => unknown

const isFunction = (u: unknown): u is AnyFunction => Predicate.isFunction(u)

/** An `Option` and an `Either` are effects too, but nobody who returns one means a call. */
const isCall = (u: unknown): u is AnyCall => Effect.isEffect(u) && !Option.isOption(u) && !Result.isResult(u)

/** Objects that are no value of the language's, nor one of Effect's, all of which can be piped. */
const isGroup = (u: unknown): u is object =>
  Object.prototype.toString.call(u) === "[object Object]" && !Predicate.hasProperty(u, "pipe")

/**
 * A function keeps its properties, and a class can still be constructed. What any name is a member of may be a group or
 * a function.
 */
const changedFunction = (
  self: AnyFunction,
  owner: unknown,
  path: ReadonlyArray<string>,
  change: Change
): AnyFunction => {
  const changed = change(path)
  const apply = (target: AnyFunction, _: unknown, args: ReadonlyArray<unknown>) => {
    const result: unknown = Reflect.apply(target, owner, args)
    return isCall(result) ? changed(result) : result
  }
  if (!isLazy(self)) {
    return new Proxy(self, { apply })
  }
  const members = changedMembers(self, path, change)
  return new Proxy(self, { apply, get: (_, key) => Reflect.get(members, key) })
}

const changedMember = (owner: object, member: unknown, path: ReadonlyArray<string>, change: Change): unknown =>
  isFunction(member)
    ? changedFunction(member, owner, path, change)
    : RpcCall.isRpcCall(member)
    ? change(path)(member)
    : isGroup(member)
    ? changedMembers(member, path, change)
    : member

/**
 * The members are asked for one by one, as they are then. The proxy is not one of `self` itself, which may be frozen:
 * what is set on it is its own.
 */
const changedMembers = (self: object, path: ReadonlyArray<string>, change: Change): object => {
  const changed = new Map<string | symbol, { readonly from: unknown; readonly to: unknown }>()
  const memberOf = (key: string | symbol): unknown => {
    const from: unknown = Reflect.get(self, key)
    const known = changed.get(key)
    if (known !== undefined && known.from === from) {
      return known.to
    }
    const to = changedMember(self, from, [...path, String(key)], change)
    changed.set(key, { from, to })
    return to
  }
  return new Proxy<object>(Object.create(Object.getPrototypeOf(self) as object | null) as object, {
    get: (own, key) => key === "constructor" || Object.hasOwn(own, key) ? Reflect.get(own, key) : memberOf(key),
    set: (own, key, value: unknown) =>
      Reflect.defineProperty(own, key, { value, enumerable: true, configurable: true, writable: true }),
    has: (own, key) => Reflect.has(own, key) || Reflect.has(self, key),
    ownKeys: (own) => Array.from(new Set([...Reflect.ownKeys(self), ...Reflect.ownKeys(own)])),
    getOwnPropertyDescriptor: (own, key) => {
      const descriptor = Reflect.getOwnPropertyDescriptor(self, key)
      return Reflect.getOwnPropertyDescriptor(own, key) ?? (descriptor && {
        value: memberOf(key),
        enumerable: descriptor.enumerable ?? false,
        configurable: true,
        writable: true
      })
    }
  })
}

/** @internal */
export const changedClient = (self: object, change: Change): object =>
  isFunction(self) ? changedFunction(self, undefined, [], change) : changedMembers(self, [], change)
