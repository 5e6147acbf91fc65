/**
 * What the protocol of `@effect/rpc` knows of one attempt, and its caller does not.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as FiberId from "effect/FiberId"
import type { Progress } from "../../Deadline.js"

/**
 * - `tag`: of its rpc.
 * - `spoiled`: ends it with a defect, where the library can only end all calls of the client.
 * - `id`: of its request, once there is one.
 * - `refused`: it was turned away, as there is no connection: nothing of it was written.
 *
 * @internal
 */
export interface AttemptState {
  readonly tag: string
  readonly spoiled: Deferred.Deferred<never>
  id: string | undefined
  refused: boolean
}

/** @internal */
export const unsent = { id: undefined, refused: false }

/** @internal */
export const make = (tag: string): AttemptState => ({ tag, spoiled: Deferred.unsafeMake(FiberId.none), ...unsent })

/**
 * The attempt that a request belongs to. The library hands the context of the caller on to the protocol, and to all that runs
 * before it: a middleware that makes calls itself, too.
 *
 * @internal
 */
export class CurrentAttemptState
  extends Context.Reference<CurrentAttemptState>()("effect-rpc-retry/EffectRpc/CurrentAttemptState", {
    defaultValue: (): AttemptState | undefined => undefined
  })
{}

/**
 * Of the request that is being sent, for whoever writes it.
 *
 * @internal
 */
export class CurrentProgress
  extends Context.Reference<CurrentProgress>()("effect-rpc-retry/EffectRpc/CurrentProgress", {
    defaultValue: (): Progress | undefined => undefined
  })
{}

/**
 * The defect that ends calls which the library would leave waiting. It decodes defects, and keeps what it was given as the
 * `cause`.
 *
 * - `requestId`: of the request whose answer cannot be taken in, `cause` why; `isMessage`: whether it is an answer of RPC at all.
 * - `unknownTag`: what the server has no rpc for.
 *
 * @internal
 */
export class CallDefect {
  constructor(
    readonly message: string,
    readonly why:
      | { readonly requestId: string; readonly cause: unknown; readonly isMessage: boolean }
      | { readonly unknownTag: string }
  ) {}
}
