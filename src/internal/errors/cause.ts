/**
 * The one place that looks into a `Cause`: Effect 4 has flat ones.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { isRetryable, type Retryable } from "../../RpcError.js"

/**
 * Changes every failure of an effect, also those that are beside others. A success pays nothing but the frame.
 *
 * @internal
 */
export const mapFailures = <A, E, R>(self: Effect.Effect<A, E, R>, f: (error: E) => E): Effect.Effect<A, E, R> =>
  Effect.catchAllCause(self, (cause) => Effect.failCause(Cause.map(cause, f)))

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
  Cause.match(cause, {
    onEmpty: Cause.empty,
    onFail: (error) => isRetryable(error) ? Cause.empty : Cause.fail(error as Exclude<E, Retryable>),
    onDie: Cause.die,
    onInterrupt: Cause.interrupt,
    onSequential: (left, right) => both(left, right, Cause.sequential),
    onParallel: (left, right) => both(left, right, Cause.parallel)
  })

const both = <E>(
  left: Cause.Cause<E>,
  right: Cause.Cause<E>,
  combine: (left: Cause.Cause<E>, right: Cause.Cause<E>) => Cause.Cause<E>
): Cause.Cause<E> => Cause.isEmpty(left) ? right : Cause.isEmpty(right) ? left : combine(left, right)
