/**
 * What the protocol of `@effect/rpc` knows of one attempt, and its caller does not.
 *
 * @internal
 */
import * as Context from "effect/Context"

/**
 * - `sent`: the request was encoded, and given to the connection.
 * - `refused`: it was turned away there, as there is no connection: nothing of it was written.
 *
 * @internal
 */
export interface Attempt {
  sent: boolean
  refused: boolean
}

/**
 * The attempt that a request belongs to. The library hands the context of the caller on to the protocol.
 *
 * @internal
 */
export class CurrentAttempt extends Context.Reference<CurrentAttempt>()("effect-rpc-retry/EffectRpc/CurrentAttempt", {
  defaultValue: (): Attempt | undefined => undefined
}) {}
