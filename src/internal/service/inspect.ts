/**
 * What is in force, as values that can be written as JSON.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import type { CircuitBreaker } from "../../CircuitBreaker.js"
import { Connections } from "../../Connections.js"
import type { Hedge } from "../../Hedge.js"
import type * as RetryBudget from "../../RetryBudget.js"
import type { Throttle } from "../../Throttle.js"
import * as Monotonic from "../ambient/monotonic.js"
import { Registry } from "../endpoints/registry.js"
import { showDuration } from "../errors/message.js"
import { describe as describePolicy } from "../policy/describe.js"
import { showAfter } from "../policy/describeGates.js"
import type * as RetryPolicy from "../policy/policy.js"
import type { InForce, Inspection } from "./model.js"
import type { PerDestination, Shared } from "./policies.js"

const inspectBudget = ({ capacity, level }: RetryBudget.RetryBudget) =>
  capacity === Infinity
    ? Effect.succeed("unlimited" as const)
    : Effect.map(level, (level) => ({ level, capacity }))

/** What a policy's own functions do to a dry run is not known: they may read a cause that is not there. */
const describe = (policy: RetryPolicy.Complete) =>
  Effect.map(describePolicy(policy), ({ attempts, delays, hedge, retried, totalWait }) => ({
    attempts: attempts === Infinity ? "unlimited" as const : attempts,
    delays: delays.slice(0, shown).map(({ longest, shortest }) =>
      Duration.equals(shortest, longest)
        ? showDuration(shortest)
        : `${showDuration(shortest)} to ${showDuration(longest)}`
    ),
    totalWait: showDuration(totalWait.longest),
    hedge: hedge === undefined ? null : { after: showAfter(hedge), max: hedge.max, load: hedge.load },
    retried
  })).pipe(
    Effect.catchAllDefect(() =>
      Effect.succeed({ attempts: "unknown" as const, delays: [], totalWait: "unknown", hedge: null, retried: [] })
    )
  )

const duration = (duration: Duration.Duration | undefined) => duration === undefined ? null : showDuration(duration)

const shown = 20

const inspectPolicy = (policy: RetryPolicy.Complete) =>
  Effect.gen(function*() {
    return {
      ...(yield* describe(policy)),
      attemptTimeout: duration(policy.attemptTimeout),
      deadline: duration(policy.deadline),
      idempotent: policy.idempotent ?? null,
      minServerDelay: duration(policy.minServerDelay),
      maxServerDelay: showDuration(policy.maxServerDelay),
      budget: policy.budget === undefined ? null : yield* inspectBudget(policy.budget),
      spans: policy.spans ?? false,
      logs: policy.logs ?? true
    }
  })

/** What each destination has of something, as it is now. */
const each = <A, B>(all: PerDestination<A> | undefined, now: (one: A) => Effect.Effect<B>) =>
  Effect.forEach(
    Array.from(all?.all() ?? []),
    ([destination, one]) => Effect.map(now(one), (state) => ({ destination, ...state }))
  )

const breaker = ({ snapshot }: CircuitBreaker) =>
  Effect.map(snapshot, ({ failures, rate = null, retryIn, state }) => ({
    state,
    failures,
    rate,
    retryIn: duration(retryIn)
  }))

const budget = ({ capacity, level }: RetryBudget.RetryBudget) => Effect.map(level, (level) => ({ level, capacity }))

const throttle = ({ core }: Throttle) =>
  Effect.map(Effect.clock, (clock) => {
    const { accepts, calls, rejecting } = core.snapshot(Monotonic.now(clock))
    return { calls, accepts, rejecting }
  })

const hedge = ([method, { core }]: readonly [string | undefined, Hedge]): Inspection["hedges"][number] => {
  const after = core.after(method)
  const { calls, extra, refused, won } = core
  return {
    method: method ?? null,
    after: after === undefined ? null : showDuration(Duration.millis(after)),
    calls,
    extraLegs: extra,
    refused,
    won,
    level: core.load.level === Infinity ? "unlimited" : core.load.level
  }
}

/** @internal */
export const inspect = (
  policies: Effect.Effect<ReadonlyArray<InForce>>,
  shared: LazyArg<Shared>,
  hedges: LazyArg<ReadonlyMap<string | undefined, Hedge>>
): Effect.Effect<Inspection> =>
  Effect.gen(function*() {
    const { breaker: breakers, budget: budgets, bulkhead: bulkheads, throttle: throttles } = shared()
    return {
      policies: yield* Effect.forEach(yield* policies, ({ from, name, policy }) =>
        Effect.map(inspectPolicy(policy), (policy) => ({ name, from, ...policy }))),
      budgets: (yield* each(budgets, budget)).filter(({ capacity }) =>
        capacity !== Infinity
      ),
      breakers: yield* each(breakers, breaker),
      bulkheads: yield* each(bulkheads, ({ gate }) => Effect.sync(() => gate.snapshot())),
      throttles: yield* each(throttles, throttle),
      hedges: Array.from(hedges(), hedge).filter(({ calls }) => calls > 0),
      connections: yield* Effect.flatMap(Connections, ({ all }) => all),
      endpoints: yield* Effect.flatMap(Registry, (all) =>
        Effect.forEach(all, ({ destination, endpoints }) =>
          Effect.map(endpoints, (endpoints) => ({ destination, endpoints }))))
    }
  })
