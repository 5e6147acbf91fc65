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
 * A connection that is shared by all callers, and dialled anew when it is lost. It is made with `Connection.make`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connection<out A, out E> {
  /**
   * Runs the function with the connection, which is dialled first if there is none.
   *
   * - `progress`: the progress of the request that waits for the connection. It gets the failure of each dial in that
   *   time.
   * - `ended`: runs once when the use has ended, in whatever way, before the caller goes on. It must not throw. It takes
   *   less memory than a finalizer does.
   */
  readonly use: <B, E2, R>(
    f: (connection: A) => Effect.Effect<B, E2, R>,
    options?: { readonly progress?: Progress | undefined; readonly ended?: (() => void) | undefined }
  ) => Effect.Effect<B, E | E2, R>
  /** Returns the state of the connection now. */
  readonly state: Effect.Effect<State>
  /** Emits the state of the connection now, and each later one; the stream ends when the connection is closed. */
  readonly states: Stream.Stream<State>
  /** Takes no more calls, and completes when the calls in flight have ended and the connection is closed. */
  readonly close: Effect.Effect<void>
}

/**
 * The effects with which a dial reports how the connection it opens is doing.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dialled {
  /**
   * Discards the connection. Run it as soon as the connection is known to be broken, before its calls in flight fail.
   */
  readonly discard: Effect.Effect<void>
  /**
   * Marks the connection as healthy. Run it when the peer has answered for the first time: the next dial is then not
   * delayed.
   */
  readonly healthy: Effect.Effect<void>
}
