/**
 * The state of an attempt inside the protocol of `@effect/rpc`, which the caller cannot see.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Progress } from "../../Deadline.js"
import * as FiberRefs from "../../internal/effect/fiberRefs.js"

/**
 * The state of an attempt.
 *
 * - `tag`: the tag of its rpc.
 * - `spoil`: ends the attempt alone with a defect, where the library could only end all calls of the client.
 * - `id`: the id of its request, once it has one.
 * - `refused`: whether there was no connection, so that nothing was written.
 *
 * @internal
 */
export interface AttemptState {
  readonly tag: string
  readonly spoil: (defect: unknown) => void
  id: string | undefined
  refused: boolean
}

/** @internal */
export const unsent = { id: undefined, refused: false }

/** @internal */
export const make = (tag: string, spoil: (defect: unknown) => void): AttemptState => ({ tag, spoil, ...unsent })

/**
 * The attempt that a request belongs to. The library passes the context of the caller to the protocol, and to a
 * middleware before it, which may make calls itself.
 *
 * @internal
 */
export class CurrentAttemptState
  extends Context.Reference<CurrentAttemptState>()("effect-rpc-retry/EffectRpc/CurrentAttemptState", {
    defaultValue: (): AttemptState | undefined => undefined
  })
{}

/** The progress of the request that is being sent, for the code that writes it. @internal */
export class CurrentProgress
  extends Context.Reference<CurrentProgress>()("effect-rpc-retry/EffectRpc/CurrentProgress", {
    defaultValue: (): Progress | undefined => undefined
  })
{}

/**
 * Sends a request out of sight of its attempt: the calls that sending it makes are not the attempt.
 *
 * - `progress`: is asked right before it is written; `undefined` for a protocol that cannot ask.
 *
 * @internal
 */
export const alone = <A, E>(send: Effect.Effect<A, E>, progress?: Progress): Effect.Effect<A, E> =>
  FiberRefs.withContext(
    send,
    (ambient) => Context.add(Context.add(ambient, CurrentAttemptState, undefined), CurrentProgress, progress)
  )

/**
 * A defect that ends calls which the library would leave pending. The library decodes defects, and keeps the original
 * as `cause`.
 *
 * - `requestId`: the request whose answer cannot be read, for the reason `cause`; `isMessage`: whether the answer is a
 *   message of RPC at all.
 * - `unknownTag`: the tag of an rpc that the server does not have.
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
