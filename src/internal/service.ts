/**
 * The services behind `RpcRetry`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { InvalidOption } from "../InvalidOption.js"
import * as RetryBudget from "../RetryBudget.js"
import * as RetryPolicy from "../RetryPolicy.js"
import type { InForce, LayerOptions, Service } from "../RpcRetry.js"
import * as internal from "./policies.js"

/**
 * A service all of whose policies can be replaced. `budgetKey` says the budget of the options in text: only when it is
 * another one than before are the budgets made anew.
 *
 * @internal
 */
export interface Replaceable extends Service {
  readonly replace: (options: LayerOptions, budgetKey: string) => Effect.Effect<void, InvalidOption>
}

const validateNamed = (
  where: string,
  name: string,
  policy: RetryPolicy.Options | "off"
): Either.Either<RetryPolicy.RetryPolicy, InvalidOption> => {
  const valid = policy === "off"
    ? Either.right(RetryPolicy.none)
    : Either.mapLeft(
      RetryPolicy.validate(policy),
      (error) => new InvalidOption({ where, field: `${name}.${error.field}`, problem: error.problem })
    )
  return Either.flatMap(internal.checkName(where, "", name), () => valid)
}

const validateTable = (options: LayerOptions, exclusive: boolean): Either.Either<internal.Table, InvalidOption> =>
  Either.gen(function*() {
    const base = yield* RetryPolicy.validate(options.default ?? {})
    const named = new Map<string, RetryPolicy.RetryPolicy>()
    for (const [name, policy] of Object.entries(options.methods ?? {})) {
      named.set(name, yield* validateNamed("RpcRetry.layer", name, policy))
    }
    return { base, named, exclusive }
  })

/** Budgets are made while a call starts: how they are made is tried once before. */
const validateBudgets = (
  budget: LayerOptions["budget"] = RetryBudget.make()
): Either.Either<internal.Budgets | undefined, InvalidOption> => {
  if (budget === "off") {
    return Either.right(undefined)
  }
  const problem = "must be an effect that makes a budget at once, without waiting or failing"
  return Effect.runSyncExit(budget)._tag === "Success"
    ? Either.right(internal.makeBudgets(budget))
    : Either.left(new InvalidOption({ where: "RpcRetry.layer", field: "budget", problem }))
}

const fromTable = (table: internal.Table, budgets: internal.Budgets | undefined): Replaceable => {
  const policies = internal.make(table, budgets)
  let budgetKey = ""
  const replaceNamed = (change: (named: Map<string, RetryPolicy.RetryPolicy>) => void) =>
    Effect.sync(() => {
      const { budgets, table } = policies.state()
      const named = new Map(table.named)
      change(named)
      policies.replace({ table: { ...table, named }, budgets })
    })
  return {
    policy: policies.policy,
    policies: Effect.sync(() =>
      ["default", ...policies.state().table.named.keys()].map((name): InForce => {
        const method = name === "default" ? undefined : name
        return { name, policy: policies.policy(method), from: policies.origins(method) }
      })
    ),
    update: (name, policy) =>
      Effect.flatMap(
        validateNamed("RpcRetry.update", name, policy),
        (valid) => replaceNamed((named) => named.set(name, valid))
      ),
    remove: (name) => replaceNamed((named) => named.delete(name)),
    replace: (next, nextKey) =>
      Effect.gen(function*() {
        const table = yield* validateTable(next, false)
        const budgets = nextKey === budgetKey ? policies.state().budgets : yield* validateBudgets(next.budget)
        budgetKey = nextKey
        policies.replace({ table, budgets })
      })
  }
}

/**
 * The service of a layer. `exclusive`: see `Table`.
 *
 * @internal
 */
export const make = (options: LayerOptions, exclusive = false): Either.Either<Service, InvalidOption> =>
  Either.gen(function*() {
    return fromTable(yield* validateTable(options, exclusive), yield* validateBudgets(options.budget))
  })

const nothing: internal.Table = { base: RetryPolicy.make({}), named: new Map(), exclusive: false }

/**
 * The service of a layer that is still to be told its policies.
 *
 * @internal
 */
export const replaceable = (): Replaceable => fromTable(nothing, internal.makeBudgets(RetryBudget.make()))

/**
 * The service of calls without a layer. There is nothing to update, but what all programs share.
 *
 * @internal
 */
export const withoutLayer = (): Service => {
  const noLayer = (where: string) => () =>
    Effect.fail(new InvalidOption({ where, field: "RpcRetry", problem: "is not provided by a layer" }))
  return {
    ...fromTable(nothing, undefined),
    update: noLayer("RpcRetry.update"),
    remove: noLayer("RpcRetry.remove")
  }
}
