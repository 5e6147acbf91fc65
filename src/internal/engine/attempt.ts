/**
 * One attempt of a call.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { isRetryable, Retryable } from "../../RpcError.js"
import { AttemptProgress } from "../ambient/progress.js"
import type { Attempt } from "../call/attempt.js"
import * as Call from "../call/call.js"
import * as AttemptContext from "../call/context.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import type { Region } from "../gate/gate.js"
import * as Logs from "../telemetry/logs.js"
import * as Observe from "../telemetry/observe.js"
import { attemptTimeout } from "./attemptTimeout.js"
import * as Payment from "./payment.js"

/**
 * Makes the next attempt of a call: it sees the context of its call, and is cut at its timeout or at the deadline,
 * whichever is first.
 *
 * - `region`: where the gates have admitted it to.
 * - `leg`: the leg of a race that it is.
 *
 * @internal
 */
export const run = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  { held, isMasked, restore }: Region,
  leg?: Call.Leg
): Effect.Effect<A, E | Retryable, R> => {
  const attempt = Call.nextAttempt(call, leg)
  Observe.attemptStarted(call, attempt)
  const timeout = call.policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(call.policy.attemptTimeout)
  const remaining = call.deadline - attempt.startedAt
  const progress = timeout === Infinity && remaining === Infinity && leg === undefined
    ? undefined
    : new AttemptProgress(call.attemptContext.ambientProgress)
  if (leg !== undefined) {
    leg.progress = progress
  }
  if (call.settings.identity !== undefined) {
    ;(progress ?? call.attemptContext.ambientProgress)?.callStarted(call.settings.identity)
  }
  const logged = call.annotateLogs ? Logs.ofAttempt(call, attempt, self) : self
  const contextOf = (ambient: Context.Context<never>) =>
    AttemptContext.contextOf(call.attemptContext, ambient, attempt.number, held, progress)
  const bounded = progress === undefined || (timeout === Infinity && remaining === Infinity)
    ? progress === undefined && held.length === 0 && AttemptContext.isAmbient(call.attemptContext, attempt.number)
      ? restore(logged)
      : isMasked
      ? FiberRefs.swapContext(restore(logged), contextOf)
      : FiberRefs.withContext(logged, contextOf)
    : restore(attemptTimeout(logged, {
      contextOf,
      clock: call.clock,
      millis: Math.min(timeout, remaining),
      onTimeout: () => {
        attempt.isCutByDeadline = remaining <= timeout
        const { method, ...cut } = progress.cut(attempt.isCutByDeadline)
        return new Retryable({ reason: "AttemptTimeout", method: call.method ?? method, ...cut })
      }
    }))
  const judged = remaining === Infinity ? bounded : arbitrated(bounded, call, attempt)
  return Observe.attempt(call, attempt, leg === undefined ? judged : Payment.credited(judged, call, attempt))
}

/**
 * Treats an attempt that a transport ended in `AttemptTimeout` at or after the deadline of the call as cut by the
 * deadline: the timer of the transport and that of the engine end at the same time, and either may be first.
 */
const arbitrated = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  attempt: Attempt
): Effect.Effect<A, E, R> =>
  Effect.tapError(self, (error) =>
    Effect.sync(() => {
      attempt.isCutByDeadline ||= isRetryable(error) && error.reason === "AttemptTimeout" && Call.isPastDeadline(call)
    }))
