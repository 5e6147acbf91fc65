/**
 * What is in force, as values that can be written as JSON.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Connections } from "../Connections.js"
import type * as RetryBudget from "../RetryBudget.js"
import * as RetryPolicy from "../RetryPolicy.js"
import type { InForce, Inspection } from "../RpcRetry.js"
import { showDuration } from "./report.js"

const inspectBudget = ({ capacity, level }: RetryBudget.RetryBudget) =>
  capacity === Infinity
    ? Effect.succeed("unlimited" as const)
    : Effect.map(level, (level) => ({ level, capacity }))

const duration = (duration: Duration.Duration | undefined) => duration === undefined ? null : showDuration(duration)

const shown = 20

const inspectPolicy = (policy: RetryPolicy.Complete) =>
  Effect.gen(function*() {
    const { attempts, delays, retried, totalWait } = yield* RetryPolicy.describe(policy)
    return {
      attempts: attempts === Infinity ? "unlimited" as const : attempts,
      delays: delays.slice(0, shown).map(({ longest, shortest }) =>
        Duration.equals(shortest, longest)
          ? showDuration(shortest)
          : `${showDuration(shortest)} to ${showDuration(longest)}`
      ),
      totalWait: showDuration(totalWait.longest),
      attemptTimeout: duration(policy.attemptTimeout),
      deadline: duration(policy.deadline),
      idempotent: policy.idempotent ?? null,
      maxServerDelay: showDuration(policy.maxServerDelay),
      retried,
      budget: policy.budget === undefined ? null : yield* inspectBudget(policy.budget),
      spans: policy.spans ?? false,
      logs: policy.logs ?? true
    }
  })

/** @internal */
export const inspect = (
  policies: Effect.Effect<ReadonlyArray<InForce>>,
  budgets: () => ReadonlyMap<string, RetryBudget.RetryBudget>
): Effect.Effect<Inspection> =>
  Effect.gen(function*() {
    return {
      policies: yield* Effect.forEach(yield* policies, ({ from, name, policy }) =>
        Effect.map(inspectPolicy(policy), (policy) => ({ name, from, ...policy }))),
      budgets: yield* Effect.forEach(budgets(), ([destination, { capacity, level }]) =>
        Effect.map(level, (level) => ({ destination, level, capacity }))),
      connections: yield* Effect.flatMap(Connections, ({ all }) =>
        all)
    }
  })
