/**
 * What the protocol of `@effect/rpc` knows of one attempt, and its caller does not.
 *
 * @internal
 */
import * as Context from "effect/Context"

/**
 * - `tag`: of its rpc.
 * - `id`: of its request, once there is one.
 * - `refused`: it was turned away, as there is no connection: nothing of it was written.
 *
 * @internal
 */
export interface Attempt {
  readonly tag: string
  id: string | undefined
  refused: boolean
}

/** @internal */
export const unsent = { id: undefined, refused: false }

/** @internal */
export const make = (tag: string): Attempt => ({ tag, ...unsent })

/**
 * The attempt that a request belongs to. The library hands the context of the caller on to the protocol, and to all that runs
 * before it: a middleware that makes calls itself, too.
 *
 * @internal
 */
export class CurrentAttempt extends Context.Reference<CurrentAttempt>()("effect-rpc-retry/EffectRpc/CurrentAttempt", {
  defaultValue: (): Attempt | undefined => undefined
}) {}

/**
 * The defect that ends calls which the library would leave waiting. It decodes defects, and keeps what it was given as the
 * `cause`.
 *
 * - `requestId`: of the request whose answer cannot be taken in, `cause` why.
 * - `unknownTag`: what the server has no rpc for.
 *
 * @internal
 */
export class Ended {
  constructor(
    readonly message: string,
    readonly why: { readonly requestId: string; readonly cause: unknown } | { readonly unknownTag: string }
  ) {}
}
