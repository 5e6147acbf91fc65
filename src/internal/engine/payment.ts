/**
 * What attempts cost, and what answers earn: the retry budget of a call.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Retryable } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { Attempt } from "../call/attempt.js"
import * as Call from "../call/call.js"
import * as Observe from "../telemetry/observe.js"
import * as Decision from "./decision.js"

/**
 * Records a failed attempt, and tells the budget of it. Returns whether the policy retries such an error at all.
 *
 * @internal
 */
export const failed = (call: Call.Call, attempt: Attempt, error: Retryable): boolean => {
  Call.record(call, attempt)
  const isWanted = Decision.isWanted(call, error)
  if (!attempt.isCutByDeadline && (isWanted || error.retryAfter === "Never")) {
    charge(call, attempt, error)
  }
  return isWanted
}

/** The budget of gRPC charges failures whether they are retried or not. */
const charge = (call: Call.Call, attempt: Attempt, error: Retryable): void => {
  const { budget } = call
  if (budget !== undefined) {
    const left = budget.left(attempt.endedAt)
    budget.failed(attempt.endedAt, error)
    Observe.budgetLowered(call, attempt.endedAt, left)
  }
}

/**
 * Takes the cost of another attempt from the budget. Returns it; `undefined` when the budget does not allow it.
 *
 * @internal
 */
export const withdraw = (call: Call.Call, now: number, error: Retryable): number | undefined => {
  const { budget } = call
  if (budget === undefined) {
    return 0
  }
  const left = budget.left(now)
  const cost = budget.withdraw(now, error)
  if (cost !== undefined) {
    Observe.budgetLowered(call, now, left)
  }
  return cost
}

/**
 * Takes the cost of a retry. Returns whether the budget allows it.
 *
 * @internal
 */
export const payRetry = (call: Call.Call, now: number, error: Retryable): boolean => {
  const cost = withdraw(call, now, error)
  call.retryCost = cost ?? 0
  call.isRetryPending = cost !== undefined && call.budget !== undefined
  return cost !== undefined
}

/**
 * Feeds the budget with an answer. A domain error is one. None of our own errors is: not `Fatal`, and not what a call
 * inside this one gave up with.
 *
 * @internal
 */
export const credit = (call: Call.Call, { cost }: Attempt): void => {
  if (call.budget !== undefined) {
    call.answeredAt = Monotonic.now(call.clock)
    call.budget.succeeded(call.answeredAt, cost)
  }
}

/**
 * Feeds the budget with the success of a leg.
 *
 * @internal
 */
export const credited = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  attempt: Attempt
): Effect.Effect<A, E, R> =>
  call.budget === undefined ? self : Effect.map(self, (answer) => {
    call.budget!.succeeded(Monotonic.now(call.clock), attempt.cost)
    return answer
  })
