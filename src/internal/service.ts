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
 * A service all of whose policies can be replaced.
 *
 * @internal
 */
export interface Replaceable extends Service {
  readonly replace: (options: LayerOptions) => Effect.Effect<void, InvalidOption>
}

const validateNamed = (
  where: string,
  name: string,
  policy: RetryPolicy.Options | "off"
): Either.Either<RetryPolicy.RetryPolicy, InvalidOption> => {
  if (!internal.isName(name)) {
    const problem = `is not a method ("Users.Get"), a pattern ("Users.*") or "*"`
    return Either.left(new InvalidOption({ where, field: JSON.stringify(name), problem }))
  }
  return policy === "off"
    ? Either.right(RetryPolicy.none)
    : Either.mapLeft(
      RetryPolicy.validate(policy),
      (error) => new InvalidOption({ where, field: `${name}.${error.field}`, problem: error.problem })
    )
}

const validateTable = (options: LayerOptions): Either.Either<internal.Table, InvalidOption> =>
  Either.gen(function*() {
    const base = yield* RetryPolicy.validate(options.default ?? {})
    const named = new Map<string, RetryPolicy.RetryPolicy>()
    for (const [name, policy] of Object.entries(options.methods ?? {})) {
      named.set(name, yield* validateNamed("RpcRetry.layer", name, policy))
    }
    return { base, named }
  })

const fromTable = (table: internal.Table, budget: Effect.Effect<RetryBudget.RetryBudget> | undefined): Replaceable => {
  const policies = internal.make(table, budget === undefined ? undefined : internal.makeBudgets(budget))
  const replaceNamed = (change: (named: Map<string, RetryPolicy.RetryPolicy>) => void) =>
    Effect.sync(() => {
      const named = new Map(policies.table().named)
      change(named)
      policies.replace({ ...policies.table(), named })
    })
  return {
    policy: policies.policy,
    policies: Effect.sync(() => {
      const table = policies.table()
      return ["default", ...table.named.keys()].map((name): InForce => {
        const method = name === "default" ? undefined : name
        return { name, policy: policies.policy(method), from: internal.origins(table, method) }
      })
    }),
    update: (name: string, policy: RetryPolicy.Options | "off") =>
      Effect.flatMap(
        validateNamed("RpcRetry.update", name, policy),
        (valid) => replaceNamed((named) => named.set(name, valid))
      ),
    remove: (name: string) => replaceNamed((named) => named.delete(name)),
    replace: (next: LayerOptions) => Effect.map(validateTable(next), policies.replace)
  }
}

/**
 * The service of a layer.
 *
 * @internal
 */
export const make = (options: LayerOptions): Either.Either<Service, InvalidOption> =>
  Either.map(validateTable(options), (table) => {
    const budget = options.budget ?? RetryBudget.make()
    return fromTable(table, budget === "off" ? undefined : budget)
  })

const nothing: internal.Table = { base: RetryPolicy.make({}), named: new Map() }

/**
 * The service of a layer that is still to be told its policies.
 *
 * @internal
 */
export const replaceable = (): Replaceable => fromTable(nothing, RetryBudget.make())

/**
 * The service of calls without a layer. There is nothing to update, but what all programs share.
 *
 * @internal
 */
export const withoutLayer = (): Service => {
  const noLayer = () =>
    Effect.fail(
      new InvalidOption({ where: "RpcRetry.update", field: "RpcRetry", problem: "is not provided by a layer" })
    )
  return { ...fromTable(nothing, undefined), update: noLayer, remove: noLayer }
}
