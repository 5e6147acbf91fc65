/**
 * The services behind `RpcRetry`.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import type { PolicyUpdated } from "../event/event.js"
import * as RetryPolicy from "../policy/policy.js"
import * as Result from "../result.js"
import * as Telemetry from "../telemetry/hub.js"
import { inspect } from "./inspect.js"
import type { InForce, LayerOptions, Service } from "./model.js"
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
): Result.Result<RetryPolicy.RetryPolicy, InvalidOption> => {
  const problem = `must be "off" or a policy, got ${
    Predicate.isString(policy) ? JSON.stringify(policy) : String(policy)
  }`
  const valid = policy === "off"
    ? Result.succeed(RetryPolicy.none)
    : !Predicate.isRecord(policy)
    ? Result.fail(new InvalidOption({ where, field: name, problem }))
    : Result.mapError(
      RetryPolicy.validate(policy),
      (error) => new InvalidOption({ where, field: `${name}.${error.field}`, problem: error.problem })
    )
  return Result.flatMap(internal.checkName(where, "", name), () => valid)
}

const where = "RpcRetry.layer"

/** The policies that the options name, each merged onto what `said` has of that name. */
const validateMethods = (
  methods: LayerOptions["methods"] = {},
  said: ReadonlyMap<string, RetryPolicy.RetryPolicy> = new Map()
): Result.Result<ReadonlyMap<string, RetryPolicy.RetryPolicy>, InvalidOption> =>
  Result.gen(function*() {
    if (!Predicate.isRecord(methods)) {
      return yield* Result.fail(new InvalidOption({ where, field: "methods", problem: "must be an object" }))
    }
    const named = new Map(said)
    for (const [name, policy] of Object.entries(methods)) {
      named.set(name, mergedOnto(said.get(name), yield* validateNamed(where, name, policy)))
    }
    return named
  })

const mergedOnto = (
  said: RetryPolicy.RetryPolicy | undefined,
  policy: RetryPolicy.RetryPolicy
): RetryPolicy.RetryPolicy => said === undefined ? policy : RetryPolicy.merge(said, policy)

const validateTable = (options: LayerOptions, exclusive: boolean): Result.Result<internal.Table, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, ["default", "methods", "budget", "metrics"])
    const base = yield* RetryPolicy.validate(options.default ?? {})
    const said = yield* validateMethods(options.methods)
    return { base, named: said, said, exclusive }
  })

/**
 * The options of a layer that are said in two places: the second's, field by field, and the first's where it says nothing.
 *
 * @internal
 */
export const mergedOptions = (
  first: LayerOptions,
  second: LayerOptions
): Result.Result<LayerOptions, InvalidOption> =>
  Result.gen(function*() {
    const base = yield* RetryPolicy.validate(first.default ?? {})
    const methods = yield* validateMethods(second.methods, yield* validateMethods(first.methods))
    return {
      default: RetryPolicy.merge(base, yield* RetryPolicy.validate(second.default ?? {})),
      methods: Object.fromEntries(methods),
      budget: second.budget ?? first.budget,
      metrics: second.metrics ?? first.metrics
    }
  })

/** Budgets are made while a call starts: how they are made is tried once before. */
const validateBudgets = (
  budget: LayerOptions["budget"] = RetryBudget.make()
): Result.Result<internal.Budgets | undefined, InvalidOption> => {
  if (budget === "off") {
    return Result.succeed(undefined)
  }
  const problem = "must be an effect that makes a budget at once, without waiting or failing"
  return Effect.runSyncExit(budget)._tag === "Success"
    ? Result.succeed(internal.makeBudgets(budget))
    : Result.fail(new InvalidOption({ where, field: "budget", problem }))
}

const validateMetrics = (metrics: LayerOptions["metrics"] = {}): Result.Result<number | undefined, InvalidOption> =>
  metrics === "off"
    ? Result.succeed(undefined)
    : !Predicate.isRecord(metrics)
    ? Result.fail(
      new InvalidOption({
        where,
        field: "metrics",
        problem: `must be "off" or { maxMethods }, got ${JSON.stringify(metrics)}`
      })
    )
    : Result.flatMap(
      checkKnown(where, metrics, ["maxMethods"], "metrics."),
      () => {
        const range = { min: 1, max: 100_000, integer: true }
        return checkNumber(where, "metrics.maxMethods", metrics.maxMethods ?? defaultMaxMethods, range)
      }
    )

const defaultMaxMethods = 1_000

const fromTable = (
  table: internal.Table,
  budgets: internal.Budgets | undefined,
  maxMethods: number | undefined
): Replaceable => {
  const policies = internal.make(table, budgets)
  const telemetry = Telemetry.make({
    maxMethods,
    isOfDestination: (budget) => policies.state().budgets?.has(budget) === true
  })
  const updated = (name: string | undefined, change: PolicyUpdated["change"]) =>
    Effect.andThen(
      Effect.map(
        Clock.currentTimeMillis,
        (at) => telemetry.publish({ _tag: "PolicyUpdated", name, change, at })
      ),
      // the policy is in force already: a logger that throws does not change that
      Effect.catchAllDefect(
        Effect.logInfo(`RpcRetry: ${name === undefined ? "all policies" : `the policy of ${name}`} ${change}`),
        () => Effect.void
      )
    )
  let budgetKey = ""
  const replaceNamed = (change: (named: Map<string, RetryPolicy.RetryPolicy>) => void) =>
    Effect.sync(() => {
      const { budgets, table } = policies.state()
      const named = new Map(table.named)
      change(named)
      policies.replace({ table: { ...table, named }, budgets })
    })
  const inForce = Effect.sync(() =>
    ["default", ...policies.state().table.named.keys()].map((name): InForce => {
      const method = name === "default" ? undefined : name
      return { name, policy: policies.policy(method), from: policies.origins(method) }
    })
  )
  return {
    policy: policies.policy,
    policies: inForce,
    inspect: inspect(inForce, () => policies.state().budgets?.all() ?? new Map()),
    telemetry,
    update: (name, policy, options) =>
      validateNamed("RpcRetry.update", name, policy).pipe(
        Effect.flatMap((valid) =>
          replaceNamed((named) =>
            named.set(name, options?.replace === true ? valid : mergedOnto(named.get(name), valid))
          )
        ),
        Effect.andThen(updated(name, "updated")),
        // what is in force was told of
        Effect.uninterruptible
      ),
    remove: (name) =>
      Effect.suspend(() => {
        const { named, said } = policies.state().table
        const before = said.get(name)
        return named.get(name) === before
          ? Effect.void
          : Effect.uninterruptible(Effect.andThen(
            replaceNamed((named) => before === undefined ? named.delete(name) : named.set(name, before)),
            updated(name, "removed")
          ))
      }),
    replace: (next, nextKey) =>
      Effect.gen(function*() {
        const table = yield* validateTable(next, false)
        const budgets = nextKey === budgetKey ? policies.state().budgets : yield* validateBudgets(next.budget)
        budgetKey = nextKey
        policies.replace({ table, budgets })
        yield* updated(undefined, "replaced")
      })
  }
}

/**
 * The service of a layer. `exclusive`: see `Table`.
 *
 * @internal
 */
export const make = (options: LayerOptions, exclusive = false): Result.Result<Replaceable, InvalidOption> =>
  Result.gen(function*() {
    const table = yield* validateTable(options, exclusive)
    return fromTable(table, yield* validateBudgets(options.budget), yield* validateMetrics(options.metrics))
  })

const nothing: internal.Table = { base: RetryPolicy.make({}), named: new Map(), said: new Map(), exclusive: false }

/**
 * The service of calls without a layer. There is nothing to update, but what all programs share.
 *
 * @internal
 */
export const withoutLayer = (): Service => {
  const noLayer = (where: string) => () =>
    Effect.fail(new InvalidOption({ where, field: "RpcRetry", problem: "is not provided by a layer" }))
  return {
    ...fromTable(nothing, undefined, undefined),
    update: noLayer("RpcRetry.update"),
    remove: noLayer("RpcRetry.remove")
  }
}
