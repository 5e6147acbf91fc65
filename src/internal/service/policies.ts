/**
 * The policies of a service by method, and the budgets by destination.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { InvalidOption } from "../../InvalidOption.js"
import type { RetryBudget } from "../../RetryBudget.js"
import { destinationOf } from "../budget/destination.js"
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
  /** Whether of the names the most specific one alone holds, as in gRPC, or what it leaves open is said by the others. */
  readonly exclusive: boolean
}

/** A policy, and the name of where it was said. */
interface Layer {
  readonly from: string
  readonly policy: RetryPolicy.RetryPolicy
}

const isPattern = (name: string) => name.endsWith("*")

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

/** All that is said of a method, the most general first. */
const layersOf = (table: Table, method: string | undefined): ReadonlyArray<Layer> => {
  const patterns = Array.from(table.named.keys())
    .filter((name) => isPattern(name) && method?.startsWith(name.slice(0, -1)) === true)
    .toSorted((a, b) => b.length - a.length)
  const names = ["*", ...patterns.slice(0, 1), ...(method === undefined ? [] : [method])]
  const said = names.flatMap((name) => {
    const policy = table.named.get(name)
    return policy === undefined ? [] : [{ from: name, policy }]
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

/** So many destinations have a budget of their own; all beyond share one. */
const maxDestinations = 1_000

/**
 * One budget for each destination, made when it is first called.
 *
 * @internal
 */
export const makeBudgets = (make: Effect.Effect<RetryBudget>) => {
  const budgets = new Map<string, RetryBudget>()
  const made = new WeakSet<RetryBudget>()
  return {
    has: (budget: RetryBudget): boolean => made.has(budget),
    all: (): ReadonlyMap<string, RetryBudget> => budgets,
    of: (destination: string): RetryBudget => {
      const key = budgets.has(destination) || budgets.size < maxDestinations ? destination : "*"
      const budget = budgets.get(key) ?? Effect.runSync(make)
      budgets.set(key, budget)
      made.add(budget)
      return budget
    }
  }
}

/** @internal */
export type Budgets = ReturnType<typeof makeBudgets>

/** Resolved policies are kept for so many methods; those beyond are resolved for each call. */
const maxCached = 1_000

/**
 * The service's state: a table and its budgets, replaced whole, so that a call sees the old ones or the new ones.
 *
 * @internal
 */
export const make = (table: Table, budgets: Budgets | undefined) => {
  let state = { table, budgets }
  let cache = new Map<string | undefined, RetryPolicy.Complete>()

  const resolved = (method: string | undefined): RetryPolicy.Complete => {
    const policy = resolve(state.table, method)
    return policy.budget !== undefined || state.budgets === undefined
      ? policy
      : RetryPolicy.merge(policy, RetryPolicy.make({ budget: state.budgets.of(destinationOf(method)) }))
  }

  return {
    state: () => state,
    replace: (next: { readonly table: Table; readonly budgets: Budgets | undefined }) => {
      state = next
      cache = new Map()
    },
    policy: (method: string | undefined): RetryPolicy.Complete => {
      const cached = cache.get(method)
      if (cached !== undefined) {
        return cached
      }
      const policy = resolved(method)
      if (cache.size < maxCached) {
        cache.set(method, policy)
      }
      return policy
    },
    origins: (method: string | undefined): Partial<Record<RetryPolicy.Field, string>> => {
      const from = origins(state.table, method)
      return from.budget === undefined && state.budgets !== undefined ? { ...from, budget: "layer" } : from
    }
  }
}
