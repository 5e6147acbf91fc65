/**
 * The types of a connection that is dialled anew when it is lost. `Connection` gives them to users.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { State } from "../../Connections.js"
import type { Progress } from "../../Deadline.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Connection<out A, out E> {
  /**
   * Gives the connection, dialled if need be, to the function for as long as its effect runs.
   *
   * - `progress`: of the request that waits for the connection. While it waits it is told how the last dial failed.
   */
  readonly use: <B, E2, R>(
    f: (connection: A) => Effect.Effect<B, E2, R>,
    options?: { readonly progress?: Progress | undefined }
  ) => Effect.Effect<B, E | E2, R>
  /** How it is now. */
  readonly state: Effect.Effect<State>
  /** How it is and becomes; the stream ends when it is closed. */
  readonly states: Stream.Stream<State>
  /** Takes no more calls, and ends when those that are running have ended and the connection is closed. */
  readonly close: Effect.Effect<void>
}

/**
 * What a dial is given of the connection it opens.
 *
 * - `discard`: to be run as soon as the connection is known to be broken, and before anybody who uses it is told.
 * - `healthy`: to be run when the peer has answered for the first time: the next dial then need not wait.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dialled {
  readonly discard: Effect.Effect<void>
  readonly healthy: Effect.Effect<void>
}
