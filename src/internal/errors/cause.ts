/**
 * The errors of ours in a `Cause`.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { isRetryable, type Retryable } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"

/**
 * The `Retryable` that an attempt ended with, if that is all it ended with: a defect, an interruption on its own, or
 * another failure beside it (work in parallel can fail in several ways) make it none.
 *
 * Of several `Retryable`s it is the one that allows least: a request that may have run outweighs one that was not sent.
 *
 * @internal
 */
export const retryableOf = <E>(cause: Cause.Cause<E>): Retryable | undefined => {
  const only: Option.Option<unknown> = Causes.onlyFailure(cause)
  if (Option.isSome(only)) {
    return isRetryable(only.value) ? only.value : undefined
  }
  if (Causes.hasDefect(cause)) {
    return undefined
  }
  const failures: ReadonlyArray<unknown> = Causes.failures(cause)
  const retryables = failures.filter(isRetryable)
  return retryables.length < failures.length
    ? undefined
    : retryables.find((error) => error.retryAfter === "Never") ??
      retryables.find((error) => error.delivery === "Unknown") ??
      retryables[0]
}

/**
 * The cause of a call that is not retried, less any `Retryable` in it.
 *
 * @internal
 */
export const withoutRetryable = <E>(cause: Cause.Cause<E>): Cause.Cause<Exclude<E, Retryable>> =>
  Causes.withoutFailures(cause, (error): error is E & Retryable => isRetryable(error)) as Cause.Cause<
    Exclude<E, Retryable>
  >
