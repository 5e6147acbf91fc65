/**
 * Interruption that nobody waits for. Kept in one file because Effect 4 has no `Effect.disconnect`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

/** Makes an interruption of an effect return at once, also where the effect is slow to end. @internal */
export const disconnect: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.disconnect
