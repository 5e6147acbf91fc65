/**
 * Finds and removes `Retryable`s in a `Cause`.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { isRetryable, type Retryable } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"

/**
 * Returns the `Retryable` that an attempt ended with; `undefined` when the cause has a defect, any other failure
 * (parallel work can fail in several ways), or no failure at all.
 *
 * Of several `Retryable`s it returns the most restrictive: one that says "do not retry", else one whose delivery is
 * `Unknown`, else the first.
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
 * Removes the `Retryable`s from the cause of a call that is not retried.
 *
 * @internal
 */
export const withoutRetryable = <E>(cause: Cause.Cause<E>): Cause.Cause<Exclude<E, Retryable>> =>
  Causes.withoutFailures(cause, (error): error is E & Retryable => isRetryable(error)) as Cause.Cause<
    Exclude<E, Retryable>
  >
