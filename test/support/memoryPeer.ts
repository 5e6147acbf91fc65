/**
 * A peer in memory, for tests of the transport on virtual time: a `Socket` of `@effect/platform` whose other end is an
 * effect per request.
 */
import * as Socket from "@effect/platform/Socket"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Runtime from "effect/Runtime"

export interface Line {
  readonly id: number
  readonly method: string
  readonly params: ReadonlyArray<unknown>
}

/** What the peer can do while it serves a request. */
export interface Peer {
  readonly send: (text: string) => Effect.Effect<void>
  readonly close: Effect.Effect<void>
}

export interface MemoryPeer {
  readonly socket: Effect.Effect<Socket.Socket>
  /** Sockets that are open now, and how many were opened in all. */
  readonly open: Effect.Effect<number>
  readonly opened: Effect.Effect<number>
  /** Ends every socket that is open. */
  readonly closeAll: Effect.Effect<void>
}

export const make = (serve: (line: Line, peer: Peer) => Effect.Effect<void>): Effect.Effect<MemoryPeer> =>
  Effect.map(Effect.runtime<never>(), (runtime) => {
    // the peer runs where it was made, so that who watches a caller does not see the peer's fibers and timers
    const fork = Runtime.runFork(runtime)
    const encoder = new TextEncoder()
    let open = 0
    let opened = 0
    const ends = new Set<Effect.Effect<void>>()
    const socket = Effect.sync(() => {
      let deliver: ((text: string) => Effect.Effect<void>) | undefined
      const run: Socket.Socket["run"] = (handler, options) =>
        Effect.scoped(Effect.gen(function*() {
          const end = yield* Deferred.make<void, never>()
          const serving = yield* FiberSet.make<void>()
          const peer: Peer = {
            send: (text) =>
              Effect.suspend(() => {
                const effect = handler(encoder.encode(text))
                return Effect.isEffect(effect) ? Effect.asVoid(effect as Effect.Effect<unknown>) : Effect.void
              }),
            close: Effect.asVoid(Deferred.succeed(end, undefined))
          }
          ends.add(peer.close)
          deliver = (text) =>
            Effect.sync(() => {
              text.trim().split("\n").forEach((line) =>
                FiberSet.unsafeAdd(serving, fork(serve(JSON.parse(line), peer)))
              )
            })
          yield* Effect.acquireRelease(
            Effect.sync(() => {
              open++
              opened++
            }),
            () => Effect.sync(() => open--)
          )
          if (options?.onOpen !== undefined) {
            yield* options.onOpen
          }
          yield* Deferred.await(end)
        }))
      return Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId,
        run,
        runRaw: run,
        writer: Effect.succeed((chunk) => typeof chunk === "string" && deliver ? deliver(chunk) : Effect.void)
      })
    })
    return {
      socket,
      open: Effect.sync(() => open),
      opened: Effect.sync(() => opened),
      closeAll: Effect.suspend(() => Effect.all(ends, { discard: true }))
    }
  })
