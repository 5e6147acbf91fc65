/**
 * What the end of an attempt, or of a whole call, says of the server; and what becomes of one that was not made.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { isCallRejected, isRetryExhausted } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import type { ExhaustedReason, RejectedReason } from "../errors/reasons.js"

/**
 * What a gate is told of an attempt. `Ignored` is one that says nothing of the server: the caller was interrupted.
 *
 * @internal
 */
export type Outcome = "Success" | "Failure" | "Ignored"

/**
 * Why an attempt was turned away.
 *
 * @internal
 */
export interface Rejection {
  readonly reason: RejectedReason & ExhaustedReason
  /** When it may be worth another try, where that is known. */
  readonly retryIn?: Duration.Duration | undefined
}

/**
 * Carries a rejection past the attempt that was not made. It never leaves the gates, and no type says so: what an
 * attempt fails with is the caller's.
 *
 * @internal
 */
export class Rejected {
  constructor(readonly rejection: Rejection) {}
}

const failureOf = (cause: Cause.Cause<unknown>): unknown => Option.getOrUndefined(Causes.onlyFailure(cause))

/**
 * The rejection that a cause is of, if it is of one.
 *
 * @internal
 */
export const rejectionOf = (cause: Cause.Cause<unknown>): Rejection | undefined => {
  const failure = failureOf(cause)
  return failure instanceof Rejected ? failure.rejection : undefined
}

/**
 * What an attempt says of the server: only a `Retryable` is its failure, `Fatal` and domain errors are answers. It may
 * be a call of its own, with retries: one that gave up is a failure, and one that was turned away before anything was
 * sent says nothing, nor does one whose only attempt was cut by its deadline.
 *
 * @internal
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) {
    return "Success"
  }
  if (retryableOf(exit.cause) !== undefined) {
    return "Failure"
  }
  if (Causes.hasInterruption(exit.cause)) {
    return "Ignored"
  }
  const failure = failureOf(exit.cause)
  if (isRetryExhausted(failure)) {
    return failure.reason === "DeadlineExceeded" && failure.attempts === 1 ? "Ignored" : "Failure"
  }
  return failure instanceof Rejected || isCallRejected(failure) ? "Ignored" : "Success"
}

/**
 * How long the server asked to wait, in milliseconds: 0 where it did not.
 *
 * @internal
 */
export const retryAfterOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) {
    return 0
  }
  const failure = failureOf(exit.cause)
  const hint = (isRetryExhausted(failure) ? failure.last : retryableOf(exit.cause))?.retryAfter
  return hint === undefined || hint === "Never" ? 0 : Duration.toMillis(hint)
}
