/**
 * The ends of a call that does not succeed: each makes the error, and reports it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import {
  CallRejected,
  type ExhaustedReason,
  type RejectedReason,
  type Retryable,
  RetryExhausted
} from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import * as Call from "../call/call.js"
import * as History from "../call/history.js"
import { withoutRetryable } from "../errors/cause.js"
import type { Rejection } from "../gate/outcome.js"
import * as Logs from "../telemetry/logs.js"
import * as Observe from "../telemetry/observe.js"

/** The errors that a call ends with in place of `Retryable`. @internal */
export type Ended = RetryExhausted | CallRejected

/**
 * Ends a call that is not retried any more: its attempts have been recorded. A retry that was paid for is not made.
 *
 * @internal
 */
export const giveUp = (
  call: Call.Call,
  last: Retryable,
  reason: ExhaustedReason
): Effect.Effect<never, RetryExhausted> => {
  Call.refund(call)
  const error = new RetryExhausted({
    method: call.method ?? last.method,
    reason,
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, Monotonic.now(call.clock))),
    last,
    history: History.shown(call.history!, call.startedAt)
  })
  return Logs.andThen(Observe.gaveUp(call, error), Effect.fail(error))
}

/**
 * Ends a call whose next attempt was turned away: between two attempts it keeps the last error.
 *
 * @internal
 */
export const turnAway = (call: Call.Call, { reason, retryIn }: Rejection): Effect.Effect<never, Ended> => {
  const last = call.attempt?.error
  return last === undefined
    ? reject(call, reason, retryIn)
    : giveUp(call, last, reason)
}

/**
 * Ends a call before its first attempt.
 *
 * @internal
 */
export const reject = (
  call: Call.Call,
  reason: RejectedReason,
  retryIn?: Duration.Duration
): Effect.Effect<never, CallRejected> => {
  const error = new CallRejected({ method: call.method, reason, retryIn })
  Observe.shed(call, error)
  return Logs.andThen(Observe.notRetried(call, error), Effect.fail(error))
}

/**
 * Ends the call as its last attempt ended.
 *
 * @internal
 */
export const endAs = <E>(call: Call.Call, cause: Cause.Cause<E>): Effect.Effect<never, Exclude<E, Retryable>> =>
  Logs.andThen(Observe.ended(call, cause), Effect.failCause(withoutRetryable(cause)))
