/**
 * Whether a failed attempt is followed by another one. It only decides: what follows from it is the engine's to do.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import { InheritedAttempt } from "../../Deadline.js"
import type { ExhaustedReason, Retryable } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import type { Attempt } from "../call/attempt.js"
import * as Call from "../call/call.js"
import * as Step from "../effect/step.js"
import type * as RetrySchedule from "../policy/schedule.js"

/**
 * What follows a failed attempt: another one after `delay` milliseconds, or the end of the call.
 *
 * @internal
 */
export type Decision =
  | { readonly _tag: "Retry"; readonly delay: number }
  | { readonly _tag: "Stop"; readonly reason: ExhaustedReason }

const stop = (reason: ExhaustedReason): Decision => ({ _tag: "Stop", reason })

/**
 * Whether the policy retries such an error at all.
 *
 * @internal
 */
export const isWanted = (call: Call.Call, error: Retryable): boolean => call.policy.retryIf?.(error) ?? true

const hintOf = ({ policy }: Call.Call, hint: Duration.Duration | undefined): RetrySchedule.Hint | undefined =>
  hint === undefined ? undefined : {
    delay: Duration.toMillis(hint),
    atLeast: policy.minServerDelay === undefined ? undefined : Duration.toMillis(policy.minServerDelay)
  }

/**
 * Returns whether a server hint forbids another attempt: it says so, or asks for a longer delay than is waited for.
 *
 * @internal
 */
export const forbids = ({ policy }: Call.Call, hint: Retryable["retryAfter"]): boolean =>
  hint === "Never" || (hint !== undefined && Duration.greaterThan(hint, policy.maxServerDelay))

/**
 * Returns whether the request may be sent again after such an error.
 *
 * @internal
 */
export const isSafe = (call: Call.Call, error: Retryable): boolean =>
  error.delivery !== "Unknown" || Call.mayRepeat(call, error)

/**
 * Decides what follows a failed attempt. The order of the questions is the order of the reasons: the first "no" is the
 * one that the caller is told.
 *
 * - `isWanted`: what {@link isWanted} has said of the error.
 *
 * @internal
 */
export const decide = (
  call: Call.Call,
  attempt: Attempt,
  error: Retryable,
  isWanted: boolean
): Step.Now<Decision> => {
  const { hint } = attempt
  if (attempt.isCutByDeadline) {
    return stop("DeadlineExceeded")
  }
  if (hint === "Never" || forbids(call, hint)) {
    return stop("ServerSaidNo")
  }
  if (!isWanted || read(call.fiber.currentContext, InheritedAttempt, 1) !== 1) {
    return stop("NotRetried")
  }
  if (!isSafe(call, error)) {
    return stop("NotIdempotent")
  }
  const delay = Call.schedule(call).next(attempt.endedAt, error, hintOf(call, hint))
  return Step.map(delay, (delay) => after(call, attempt, delay))
}

const after = (call: Call.Call, attempt: Attempt, delay: number | undefined): Decision =>
  delay === undefined || delay === Infinity
    ? stop("AttemptsExhausted")
    : attempt.endedAt + delay >= call.deadline
    ? stop("DeadlineTooClose")
    : { _tag: "Retry", delay }
