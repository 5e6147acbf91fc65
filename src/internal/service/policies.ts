/**
 * The policies of a service by method, and what calls share by destination.
 *
 * @internal
 */
import type { Bulkhead } from "../../Bulkhead.js"
import type { CircuitBreaker } from "../../CircuitBreaker.js"
import * as Hedge from "../../Hedge.js"
import { InvalidOption } from "../../InvalidOption.js"
import type { RetryBudget } from "../../RetryBudget.js"
import type { Throttle } from "../../Throttle.js"
import { destinationOf } from "../budget/destination.js"
import { isSame } from "../hedge/core.js"
import * as RetryPolicy from "../policy/policy.js"
import * as Result from "../result.js"

/** @internal */
export interface Table {
  /** What holds for every method: what was given as `default`. */
  readonly base: RetryPolicy.RetryPolicy
  /** What is in force by name, `Users.Get`, `Users.*`, `*`: what the layer said, with the updates since. */
  readonly named: ReadonlyMap<string, RetryPolicy.RetryPolicy>
  /** What the layer said by name, for when an update is taken back. */
  readonly said: ReadonlyMap<string, RetryPolicy.RetryPolicy>
  /**
   * Whether names are read as gRPC reads them: the most specific one alone holds, where otherwise the others say what it
   * leaves open, and one of a service fits its own methods, not those of `Service.Other`.
   */
  readonly exclusive: boolean
}

/** A policy, and the name of where it was said. */
interface Layer {
  readonly from: string
  readonly policy: RetryPolicy.RetryPolicy
}

/**
 * Whether a name can be one: a method, or a prefix that ends in `.*`, or `*`.
 *
 * @internal
 */
export const isName = (name: string): boolean => name !== "default" && /^(\*|[^*\s]+\.\*|[^*\s]+)$/.test(name)

/** @internal */
export const checkName = (where: string, path: string, name: string): Result.Result<void, InvalidOption> => {
  const problem = `is not a method ("Users.Get"), a pattern ("Users.*") or "*"`
  return isName(name)
    ? Result.void
    : Result.fail(new InvalidOption({ where, field: `${path}${JSON.stringify(name)}`, problem }))
}

/**
 * Returns the longest of the patterns that fit a method, but for `*`; `undefined` where none does. It looks each dotted
 * prefix up, as there may be thousands of names.
 */
const patternOf = ({ exclusive, named }: Table, method: string): string | undefined => {
  for (let dot = method.lastIndexOf("."); dot > 0; dot = exclusive ? 0 : method.lastIndexOf(".", dot - 1)) {
    const pattern = `${method.slice(0, dot)}.*`
    if (named.has(pattern)) {
      return pattern
    }
  }
  return undefined
}

/** All that is said of a method, the most general first. */
const layersOf = (table: Table, method: string | undefined): ReadonlyArray<Layer> => {
  const names = method === undefined ? ["*"] : ["*", patternOf(table, method), method]
  const said = names.flatMap((name) => {
    const policy = name === undefined ? undefined : table.named.get(name)
    return name === undefined || policy === undefined ? [] : [{ from: name, policy }]
  })
  return [
    { from: "library", policy: RetryPolicy.default_ },
    { from: "default", policy: table.base },
    ...(table.exclusive ? said.slice(-1) : said)
  ]
}

const resolve = (table: Table, method: string | undefined): RetryPolicy.Complete =>
  layersOf(table, method).reduce<RetryPolicy.Complete>(
    (policy, layer) => RetryPolicy.merge(policy, layer.policy),
    RetryPolicy.default_
  )

/** Where each field of a method's policy was said. */
const origins = (table: Table, method: string | undefined): Partial<Record<RetryPolicy.Field, string>> => {
  const from: Partial<Record<RetryPolicy.Field, string>> = {}
  for (const layer of layersOf(table, method)) {
    for (const field of RetryPolicy.fields) {
      if (layer.policy[field] !== undefined) {
        from[field] = layer.from
      }
    }
  }
  return from
}

/** So many destinations have one of their own; all beyond share one. */
const maxDestinations = 1_000

/**
 * One of something for each destination, made when it is first called.
 *
 * @internal
 */
export interface PerDestination<A> {
  readonly has: (one: A) => boolean
  readonly all: () => ReadonlyMap<string, A>
  /** Returns the one of a destination; beyond 1000 destinations one that the others share. */
  readonly of: (destination: string) => A
  /** Returns the one of a destination; `undefined` beyond 1000 destinations. */
  readonly ofItsOwn: (destination: string) => A | undefined
}

/** @internal */
export const perDestination = <A extends object>(make: (destination: string) => A): PerDestination<A> => {
  const all = new Map<string, A>()
  const made = new WeakSet<A>()
  const isOwn = (destination: string) => all.has(destination) || all.size < maxDestinations
  const keyed = (key: string): A => {
    const one = all.get(key) ?? make(key)
    all.set(key, one)
    made.add(one)
    return one
  }
  return {
    has: (one) => made.has(one),
    all: () => all,
    of: (destination) => keyed(isOwn(destination) ? destination : "*"),
    ofItsOwn: (destination) => isOwn(destination) ? keyed(destination) : undefined
  }
}

/**
 * What calls to one destination share, where the layer makes it.
 *
 * @internal
 */
export interface Shared {
  readonly budget: PerDestination<RetryBudget> | undefined
  readonly breaker: PerDestination<CircuitBreaker> | undefined
  readonly bulkhead: PerDestination<Bulkhead> | undefined
  readonly throttle: PerDestination<Throttle> | undefined
}

/** @internal */
export const nothingShared: Shared = { budget: undefined, breaker: undefined, bulkhead: undefined, throttle: undefined }

const sharedFields = ["budget", "breaker", "bulkhead", "throttle"] as const

/** So many methods have a hedge of their own; those beyond have none. */
const maxHedges = 1_000

/**
 * One hedge for each method whose policy has the options of one. It stays that of its method until the policy has other
 * options, whatever else is updated.
 */
const perMethod = () => {
  const all = new Map<string | undefined, Hedge.Hedge>()
  return {
    all: (): ReadonlyMap<string | undefined, Hedge.Hedge> => all,
    of: (method: string | undefined, { core }: Hedge.Hedge): Hedge.Hedge | undefined => {
      const known = all.get(method)
      if (known !== undefined && isSame(known.core.settings, core.settings)) {
        return known
      }
      if (known === undefined && all.size >= maxHedges) {
        return undefined
      }
      const made = Hedge.fromValid(core.settings)
      all.set(method, made)
      return made
    }
  }
}

/** Resolved policies are kept for so many destinations; for those beyond they are resolved for each call. */
const maxCached = 1_000

/**
 * The service's state: a table and what destinations share, replaced whole, so that a call sees the old ones or the new
 * ones.
 *
 * @internal
 */
export const make = (table: Table, shared: Shared) => {
  let state = { table, shared }
  // methods that are named have policies of their own
  let named = new Map<string, RetryPolicy.Complete>()
  // all others of a destination have the same one, as a pattern ends with a dot
  let others = new Map<string | undefined, RetryPolicy.Complete>()
  const hedges = perMethod()
  let withHedges = new Map<
    string | undefined,
    { readonly base: RetryPolicy.Complete; readonly policy: RetryPolicy.Complete }
  >()

  /** A policy that has only the options of a hedge, with that of its method in their place. */
  const hedged = (base: RetryPolicy.Complete, method: string | undefined): RetryPolicy.Complete => {
    if (!Hedge.isHedge(base.hedge) || !base.hedge.core.isOfOptions) {
      return base
    }
    const known = withHedges.get(method)
    if (known?.base === base) {
      return known.policy
    }
    const hedge = hedges.of(method, base.hedge)
    const policy = RetryPolicy.withHedge(base, hedge ?? "off")
    if (hedge !== undefined) {
      withHedges.set(method, { base, policy })
    }
    return policy
  }

  const resolved = (method: string | undefined): RetryPolicy.Complete => {
    const policy = resolve(state.table, method)
    const { breaker, budget, bulkhead, throttle } = state.shared
    const destination = destinationOf(method)
    // a call without a name may be to any server, and one of them is not to stop the calls to another
    const gated = method === undefined ? nothingShared : { breaker, bulkhead, throttle }
    return RetryPolicy.merge(
      policy,
      RetryPolicy.make({
        budget: policy.budget ?? budget?.of(destination),
        breaker: policy.breaker ?? gated.breaker?.ofItsOwn(destination),
        bulkhead: policy.bulkhead ?? gated.bulkhead?.ofItsOwn(destination),
        throttle: policy.throttle ?? gated.throttle?.ofItsOwn(destination)
      })
    )
  }

  return {
    state: () => state,
    hedges: hedges.all,
    replace: (next: { readonly table: Table; readonly shared: Shared }) => {
      state = next
      named = new Map()
      others = new Map()
      withHedges = new Map()
    },
    policy: (method: string | undefined): RetryPolicy.Complete => {
      const isNamed = method !== undefined && state.table.named.has(method)
      const destination = method === undefined ? undefined : destinationOf(method)
      const cached = isNamed ? named.get(method) : others.get(destination)
      if (cached !== undefined) {
        return hedged(cached, method)
      }
      const policy = resolved(method)
      if (isNamed) {
        named.set(method, policy)
      } else if (others.size < maxCached) {
        others.set(destination, policy)
      }
      return hedged(policy, method)
    },
    origins: (method: string | undefined): Partial<Record<RetryPolicy.Field, string>> => {
      const from = origins(state.table, method)
      for (const field of sharedFields) {
        if (state.shared[field] !== undefined) {
          from[field] ??= "layer"
        }
      }
      return from
    }
  }
}
