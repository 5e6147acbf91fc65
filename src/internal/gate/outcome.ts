/**
 * What the end of an attempt, or of a whole call, says of the server.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { isCallRejected, isRetryExhausted } from "../../RpcError.js"
import { retryableOf } from "../errors/cause.js"
import { type Outcome, outcomeOf } from "./gate.js"

const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

/**
 * The outcome of an effect that may be a whole call, retries included. A call that gave up is a failure of the server; one that was
 * turned away before anything was sent says nothing, nor does one whose only attempt was cut by the deadline.
 *
 * @internal
 */
export const outcomeOfCall = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  const outcome = outcomeOf(exit)
  const failure = outcome === "Success" ? failureOf(exit) : undefined
  return isRetryExhausted(failure)
    ? failure.reason === "DeadlineExceeded" && failure.attempts === 1 ? "Ignored" : "Failure"
    : isCallRejected(failure)
    ? "Ignored"
    : outcome
}

/**
 * How long the server asked to wait, in milliseconds: 0 where it did not.
 *
 * @internal
 */
export const retryAfterOf = (exit: Exit.Exit<unknown, unknown>): number => {
  const failure = failureOf(exit)
  const error = isRetryExhausted(failure) ? failure.last : Exit.isFailure(exit) ? retryableOf(exit.cause) : undefined
  const hint = error?.retryAfter
  return hint === undefined || hint === "Never" ? 0 : Duration.toMillis(hint)
}
