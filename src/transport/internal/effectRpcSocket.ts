/**
 * A socket that says whether it is being opened.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import * as Effect from "effect/Effect"

/**
 * - `opened`: waits for the end of a dial that is under way, however it ends.
 *
 * @internal
 */
export interface Observed {
  readonly socket: Socket.Socket
  readonly opened: Effect.Effect<void>
}

/** @internal */
export const observe = (socket: Socket.Socket): Effect.Effect<Observed> =>
  Effect.map(Effect.makeLatch(true), (idle) => ({
    opened: idle.await,
    socket: {
      ...socket,
      runRaw: (handler, options) =>
        idle.close.pipe(
          Effect.zipRight(
            socket.runRaw(handler, { onOpen: Effect.zipRight(options?.onOpen ?? Effect.void, idle.open) })
          ),
          Effect.ensuring(idle.open)
        )
    }
  }))
