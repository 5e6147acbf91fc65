/**
 * The reader and the writer of one socket, and the end of the pending requests when it breaks: what the sessions of all
 * protocols have in common.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Fatal, Retryable } from "../../RpcError.js"
import { closed, lossOf, unsent } from "./loss.js"
import type { Dialled } from "./model.js"

/** Writes bytes or text to the socket. @internal */
export type Write = (chunk: Uint8Array | string) => Effect.Effect<void, Socket.SocketError>

/** @internal */
export abstract class Session {
  /** Why the connection ended; `undefined` while it is open. */
  protected loss: Retryable | Fatal | undefined
  /** Whether the dialler was told that the connection is healthy. */
  protected isHealthy = false
  /** Open while there are requests to write. */
  protected readonly outboxFilled = Effect.unsafeMakeLatch(false)

  constructor(private readonly socket: Socket.Socket, private readonly connection: Dialled) {}

  /** Reads a chunk. It runs in a listener of the socket, where a throw would end the process. */
  protected abstract received(chunk: Uint8Array): Effect.Effect<void, Fatal> | void

  /** Writes the pending requests, now and whenever there are more; never completes. */
  protected abstract writeAll(write: Write): Effect.Effect<never, Socket.SocketError>

  /** Called once, when the connection has ended. The effect that it returns fails the pending requests. */
  protected abstract failPending(reason: Retryable | Fatal): Effect.Effect<void>

  /** Tells the dialler, the first time, that the connection is healthy. */
  protected readonly healthy: Effect.Effect<void> = Effect.suspend(() => {
    const wasHealthy = this.isHealthy
    this.isHealthy = true
    return wasHealthy ? Effect.void : this.connection.healthy
  })

  /** Ends the connection. It is discarded before any request fails, so that no next attempt gets it again. */
  protected readonly lose = (reason: Retryable | Fatal): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (this.loss !== undefined) {
        return Effect.void
      }
      this.loss = reason
      const failPending = this.failPending(reason)
      return Effect.ensuring(this.connection.discard, failPending)
    })

  /** Opens the socket and serves requests until it breaks or the scope closes. Completes when the socket is open. */
  readonly start: Effect.Effect<void, Retryable | Fatal, Scope.Scope> = Effect.gen(this, function*() {
    const opened = yield* Deferred.make<void, Retryable | Fatal>()
    yield* Effect.forkScoped(this.reader(opened))
    yield* Deferred.await(opened)
    yield* Effect.forkScoped(this.writer)
    // finalizers run in reverse order: the end of the scope counts as closed, not as lost
    yield* Effect.addFinalizer(() => this.lose(closed()))
  })

  private reader(opened: Deferred.Deferred<void, Retryable | Fatal>) {
    const onOpen = Effect.asVoid(Deferred.succeed(opened, undefined))
    return this.socket.run((chunk) => this.received(chunk), { onOpen }).pipe(
      Effect.onExit((exit) => {
        const reason = lossOf(exit)
        return Effect.andThen(
          this.lose(reason),
          Deferred.fail(opened, reason._tag === "Fatal" ? reason : unsent(reason))
        )
      }),
      Effect.exit
    )
  }

  private readonly writer = Effect.suspend(() => this.socket.writer).pipe(
    Effect.flatMap((write) => this.writeAll(write)),
    Effect.scoped,
    Effect.onExit((exit) => this.lose(lossOf(exit))),
    Effect.exit
  )
}
