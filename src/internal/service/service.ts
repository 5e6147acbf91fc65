/**
 * The services behind `RpcRetry`.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Bulkhead from "../../Bulkhead.js"
import * as CircuitBreaker from "../../CircuitBreaker.js"
import { checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import * as Throttle from "../../Throttle.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { CircuitEvent } from "../call/observer.js"
import type { PolicyUpdated } from "../event/event.js"
import * as RetryPolicy from "../policy/policy.js"
import * as Result from "../result.js"
import * as Hub from "../telemetry/hub.js"
import * as Metrics from "../telemetry/metrics.js"
import * as Bare from "./bare.js"
import { inspect } from "./inspect.js"
import type { InForce, LayerOptions, Service } from "./model.js"
import * as internal from "./policies.js"

/**
 * What a document says of all that destinations share, each as text to compare; absent where it says nothing.
 *
 * @internal
 */
export type SharedKeys = { readonly [Field in keyof internal.Shared]?: string | undefined }

/**
 * A service all of whose policies can be replaced. Budgets, breakers, bulkheads and throttles are made anew only where
 * the keys differ from those of the last time.
 *
 * @internal
 */
export interface Replaceable extends Service {
  readonly replace: (options: LayerOptions, keys: SharedKeys) => Effect.Effect<void, InvalidOption>
}

/** The policy, or what is wrong with it, with the path to it. */
const validatePolicy = (
  where: string,
  path: string,
  policy: RetryPolicy.Options,
  wanted = "a policy"
): Result.Result<RetryPolicy.RetryPolicy, InvalidOption> => {
  const got = Predicate.isString(policy) ? JSON.stringify(policy) : String(policy)
  return Predicate.isRecord(policy)
    ? Result.mapError(
      RetryPolicy.validate(policy),
      (error) => new InvalidOption({ where, field: `${path}.${error.field}`, problem: error.problem })
    )
    : Result.fail(new InvalidOption({ where, field: path, problem: `must be ${wanted}, got ${got}` }))
}

const validateNamed = (
  where: string,
  name: string,
  policy: RetryPolicy.Options | "off"
): Result.Result<RetryPolicy.RetryPolicy, InvalidOption> =>
  Result.flatMap(
    internal.checkName(where, "", name),
    () =>
      policy === "off"
        ? Result.succeed(RetryPolicy.none)
        : validatePolicy(where, name, policy, `"off" or a policy`)
  )

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
    yield* checkKnown(where, options, ["default", "methods", "budget", "breaker", "bulkhead", "throttle", "metrics"])
    const base = yield* validatePolicy(where, "default", options.default ?? {})
    const said = yield* validateMethods(options.methods)
    return { base, named: said, said, exclusive }
  })

/**
 * The options of a layer that are said in two places: the second's, field by field, and the first's where it says
 * nothing.
 *
 * @internal
 */
export const mergedOptions = (
  first: LayerOptions,
  second: LayerOptions
): Result.Result<LayerOptions, InvalidOption> =>
  Result.gen(function*() {
    const base = yield* validatePolicy(where, "default", first.default ?? {})
    const methods = yield* validateMethods(second.methods, yield* validateMethods(first.methods))
    return {
      default: RetryPolicy.merge(base, yield* validatePolicy(where, "default", second.default ?? {})),
      methods: Object.fromEntries(methods),
      budget: second.budget ?? first.budget,
      breaker: second.breaker ?? first.breaker,
      bulkhead: second.bulkhead ?? first.bulkhead,
      throttle: second.throttle ?? first.throttle,
      metrics: second.metrics ?? first.metrics
    }
  })

/** Budgets are made while a call starts: how they are made is tried once before. */
const validateBudgets = (
  budget: LayerOptions["budget"] = RetryBudget.make()
): Result.Result<internal.PerDestination<RetryBudget.RetryBudget> | undefined, InvalidOption> => {
  if (budget === "off") {
    return Result.succeed(undefined)
  }
  const problem = "must be an effect that makes a budget at once, without waiting or failing"
  return Effect.runSyncExit(budget)._tag === "Success"
    ? Result.succeed(internal.perDestination(() => Effect.runSync(budget)))
    : Result.fail(new InvalidOption({ where, field: "budget", problem }))
}

/** What a layer makes for each destination of options that are checked before; nothing where they are not given. */
const validateEach = <Options, Valid>(
  field: string,
  options: Options | "off" = "off",
  validate: (where: string, options: Options) => Result.Result<Valid, InvalidOption>
): Result.Result<Valid | undefined, InvalidOption> =>
  options === "off"
    ? Result.succeed(undefined)
    : !Predicate.isRecord(options)
    ? Result.fail(new InvalidOption({ where, field, problem: `must be "off" or options, got ${String(options)}` }))
    : Result.mapError(
      validate(where, options),
      (error) => new InvalidOption({ where, field: `${field}.${error.field}`, problem: error.problem })
    )

const perDestination = <Valid, A extends object>(
  valid: Valid | undefined,
  make: (valid: Valid, destination: string) => A
): internal.PerDestination<A> | undefined =>
  valid === undefined ? undefined : internal.perDestination((destination) => make(valid, destination))

/** Is told of each breaker that a layer makes, and of its destination. */
type OnBreaker = (breaker: CircuitBreaker.CircuitBreaker, destination: string) => void

const circuitEvent = (change: CircuitBreaker.Change, destination: string, at: number): CircuitEvent => {
  const of = { destination, at }
  switch (change.to) {
    case "Open": {
      const { openUntil = Infinity } = change
      const openFor = openUntil === Infinity ? undefined : Duration.millis(Monotonic.between(change.at, openUntil))
      return { _tag: "CircuitOpened", ...of, openFor }
    }
    case "HalfOpen":
      return { _tag: "CircuitHalfOpen", ...of }
    default:
      return { _tag: "CircuitClosed", ...of, isRamping: change.to === "Ramping" }
  }
}

/** Returns what makes all that destinations share. */
const validateShared = (
  options: LayerOptions
): Result.Result<(onBreaker: OnBreaker) => internal.Shared, InvalidOption> =>
  Result.gen(function*() {
    const budget = yield* validateBudgets(options.budget)
    const breaker = yield* validateEach("breaker", options.breaker, CircuitBreaker.validate)
    const bulkhead = yield* validateEach("bulkhead", options.bulkhead, Bulkhead.validate)
    const throttle = yield* validateEach("throttle", options.throttle, Throttle.validate)
    return (onBreaker) => ({
      budget,
      breaker: perDestination(breaker, (valid, destination) => {
        const made = CircuitBreaker.fromValid(valid)
        onBreaker(made, destination)
        return made
      }),
      bulkhead: perDestination(bulkhead, Bulkhead.fromValid),
      throttle: perDestination(throttle, Throttle.fromValid)
    })
  })

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
  sharedOf: (onBreaker: OnBreaker) => internal.Shared,
  maxMethods: number | undefined
): Replaceable => {
  const telemetry = Hub.make({
    metrics: maxMethods === undefined ? undefined : Metrics.make(maxMethods),
    isOfDestination: (budget) => policies.state().shared.budget?.has(budget) === true
  })
  // calls in flight may still pass a breaker that was replaced: nothing is told of that
  const onBreaker: OnBreaker = (breaker, destination) => {
    breaker.gate.onChange((change) => {
      if (policies.state().shared.breaker?.has(breaker) === true) {
        telemetry.circuitChanged(circuitEvent(change, destination, breaker.clock().unsafeCurrentTimeMillis()))
      }
    })
  }
  /** Tells of breakers that are replaced by closed ones. */
  const closed = (breakers: internal.PerDestination<CircuitBreaker.CircuitBreaker> | undefined) =>
    Effect.map(Clock.currentTimeMillis, (at) =>
      breakers?.all().forEach((breaker, destination) => {
        if (!breaker.gate.isFree()) {
          telemetry.circuitChanged({ _tag: "CircuitClosed", destination, at, isRamping: false })
        }
      }))
  const policies = internal.make(table, sharedOf(onBreaker))
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
  let said: SharedKeys = {}
  const replaceNamed = (change: (named: Map<string, RetryPolicy.RetryPolicy>) => void) =>
    Effect.sync(() => {
      const { shared, table } = policies.state()
      const named = new Map(table.named)
      change(named)
      policies.replace({ table: { ...table, named }, shared })
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
    inspect: inspect(inForce, () => policies.state().shared, policies.hedges),
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
    replace: (next, keys) =>
      Effect.gen(function*() {
        const table = yield* validateTable(next, false)
        const made = (yield* validateShared(next))(onBreaker)
        const before = policies.state().shared
        const kept = <Field extends keyof internal.Shared>(field: Field) =>
          keys[field] === said[field] ? before[field] : made[field]
        const shared: internal.Shared = {
          budget: kept("budget"),
          breaker: kept("breaker"),
          bulkhead: kept("bulkhead"),
          throttle: kept("throttle")
        }
        said = keys
        policies.replace({ table, shared })
        if (shared.breaker !== before.breaker) {
          yield* closed(before.breaker)
        }
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
    return fromTable(table, yield* validateShared(options), yield* validateMetrics(options.metrics))
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
    ...fromTable(nothing, () => internal.nothingShared, undefined),
    ...Bare.service,
    update: noLayer("RpcRetry.update"),
    remove: noLayer("RpcRetry.remove")
  }
}
