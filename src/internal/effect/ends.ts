/**
 * Handlers of both ends of an effect.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"

/**
 * The handlers that `Effect.matchCauseEffect` takes. It is a class, as an object literal may come to be allocated in the
 * old generation of JavaScript's heap: each then keeps alive what its functions refer to, and calls take twice as long.
 *
 * @internal
 */
export class Handlers<A, E, A2, E2, R2> {
  declare readonly onSuccess: (value: A) => Effect.Effect<A2, E2, R2>
  declare readonly onFailure: (cause: Cause.Cause<E>) => Effect.Effect<A2, E2, R2>

  constructor(
    onSuccess: (value: A) => Effect.Effect<A2, E2, R2>,
    onFailure: (cause: Cause.Cause<E>) => Effect.Effect<A2, E2, R2>
  ) {
    this.onSuccess = onSuccess
    this.onFailure = onFailure
  }
}
