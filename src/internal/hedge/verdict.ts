/**
 * What the end of a leg means for its race.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { isCallRejected, isRetryExhausted, type Retryable } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import { rejectionOf } from "../gate/outcome.js"

/**
 * - `Answer`: the race ends as the leg ended: a success, a `Fatal`, a domain error.
 * - `Broken`: the race ends too, but the server has not answered: a defect, an interruption.
 * - `Failed`: a `Retryable`. Another leg may start after `wait` milliseconds, or none when `wait` is `Infinity`.
 * - `GaveUp`: retries within the leg have ended without an answer. No other leg starts.
 * - `TurnedAway`: nothing was sent. No other leg starts.
 *
 * @internal
 */
export type Verdict =
  | { readonly _tag: "Answer" | "Broken" | "GaveUp" | "TurnedAway" }
  | { readonly _tag: "Failed"; readonly wait: number; readonly error: Retryable }

/** @internal */
export const verdictOf = (exit: Exit.Exit<unknown, unknown>): Verdict => {
  if (Exit.isSuccess(exit)) {
    return { _tag: "Answer" }
  }
  const { cause } = exit
  const failure = Option.getOrUndefined(Causes.onlyFailure(cause))
  if (rejectionOf(cause) !== undefined || isCallRejected(failure)) {
    return { _tag: "TurnedAway" }
  }
  if (isRetryExhausted(failure)) {
    return { _tag: "GaveUp" }
  }
  const error = retryableOf(cause)
  if (error !== undefined) {
    const { retryAfter } = error
    const wait = retryAfter === undefined ? 0 : retryAfter === "Never" ? Infinity : Duration.toMillis(retryAfter)
    return { _tag: "Failed", wait, error }
  }
  return { _tag: Causes.hasDefect(cause) || Causes.hasInterruption(cause) ? "Broken" : "Answer" }
}

/**
 * Returns whether a leg that has ended so ends the race.
 *
 * @internal
 */
export const isEnd = ({ _tag }: Verdict): boolean => _tag === "Answer" || _tag === "Broken"

/**
 * Returns whether the failure of a leg restricts what may follow the race more than that of another one. Of several
 * failures, the race ends with the one that restricts most: one after which nothing may be retried, one that may have
 * run, one that was not sent.
 *
 * @internal
 */
export const isWorse = (verdict: Verdict, than: Verdict): boolean => restriction(verdict) > restriction(than)

const restriction = (verdict: Verdict): number =>
  verdict._tag === "GaveUp"
    ? 4
    : verdict._tag !== "Failed"
    ? 0
    : verdict.wait === Infinity
    ? 3
    : verdict.error.delivery === "NotSent"
    ? 1
    : 2
