/**
 * Requests that a server has turned away unseen, or that never reached one.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/**
 * Repeats a request once and at once, where its failure proves that no server has processed it: gRPC calls that a transparent
 * retry. It is part of the same attempt: nothing counts it, delays it or pays for it. What fails a second time is the failure
 * of the attempt.
 *
 * - `isUnprocessed`: whether the failure is such a proof.
 *
 * @internal
 */
export const repeatUnprocessed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  isUnprocessed: (error: E) => boolean
): Effect.Effect<A, E, R> => Effect.catchAll(self, (error) => isUnprocessed(error) ? self : Effect.fail(error))
