/**
 * Reads a `Cause` through its failures and defects, not by the shape of its tree, which Effect 4 changes.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import { isRetryable, type Retryable } from "../RpcError.js"

/**
 * The `Retryable` that an attempt ended with, if that is all it ended with: a defect, an interruption on its own, or
 * another failure beside it (work in parallel can fail in several ways) make it none.
 *
 * Of several `Retryable`s it is the one that allows least: a request that may have run outweighs one that was not sent.
 *
 * @internal
 */
export const retryableOf = <E>(cause: Cause.Cause<E>): Retryable | undefined => {
  if (Cause.isFailType(cause)) {
    return isRetryable(cause.error) ? cause.error : undefined
  }
  if (!Chunk.isEmpty(Cause.defects(cause))) {
    return undefined
  }
  const failures: ReadonlyArray<unknown> = Chunk.toReadonlyArray(Cause.failures(cause))
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
  Cause.flatMap(cause, (error) => isRetryable(error) ? Cause.empty : Cause.fail(error as Exclude<E, Retryable>))
