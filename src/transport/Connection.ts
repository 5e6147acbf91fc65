/**
 * One connection, shared by all callers: dialled when the first one asks, dialled anew after it was discarded.
 *
 * - Callers that ask while it is being dialled wait for that dial, and all get its result.
 * - A dial that fails is forgotten before its waiters hear of it: who asks next dials again.
 * - A connection that was discarded is never given out again. It is closed at once, in the background.
 * - A caller that is interrupted while it waits leaves at once. The dial goes on: it is the connection's, not the caller's.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import type { LazyArg } from "effect/Function"
import type * as Scope from "effect/Scope"
import { Connections } from "../Connections.js"

/**
 * - `get`: the connection, dialled if need be.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connection<out A, out E> {
  readonly get: Effect.Effect<A, E>
}

/**
 * One dial and what became of it.
 */
interface Held<A, E> {
  readonly ready: Deferred.Deferred<A, E>
  readonly discarded: Effect.Latch
  /** Set once dialled. */
  opened: Effect.Effect<A> | undefined
}

/**
 * Makes a connection that lives as long as the scope it is made in.
 *
 * - `dial`: opens it, in a scope of its own that closes when it is discarded. It is given the effect that discards it, to
 *   be run as soon as the connection is known to be broken, and before anybody who uses it is told.
 * - `closed`: the error for a caller that asks after the end of the scope, or is waiting at that moment.
 * - `name`: under which `RpcRetry.inspect` shows it. Default `"connection"`.
 *
 * A dial sees the context that the connection was made in. Its failure is the failure of all who wait for it; make a
 * `Retryable` of an interruption that comes from outside, or they are interrupted.
 *
 * @example
 * ```ts
 * import { Retryable } from "effect-rpc-retry"
 * import * as Connection from "effect-rpc-retry/Connection"
 * import * as Effect from "effect/Effect"
 *
 * declare const connect: (onClose: () => void) => Promise<{ close(): void }>
 *
 * const unavailable = () => new Retryable({ reason: "Unavailable", delivery: "NotSent" })
 *
 * const connection = Connection.make({
 *   dial: (discard) =>
 *     Effect.acquireRelease(
 *       Effect.tryPromise({ try: () => connect(() => Effect.runSync(discard)), catch: unavailable }),
 *       (client) => Effect.sync(() => client.close())
 *     ),
 *   closed: unavailable
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, E, R>(options: {
  readonly dial: (discard: Effect.Effect<void>) => Effect.Effect<A, E, R>
  readonly closed: LazyArg<E>
  readonly name?: string | undefined
}): Effect.Effect<Connection<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    // a dial is nobody's in particular: it sees the context the connection was made in, not that of who asked first
    const run = yield* FiberSet.makeRuntime<Exclude<R, Scope.Scope>>()
    let current: Held<A, E> | undefined
    let closed = false
    let dials = 0
    let failedDials = 0
    const { add } = yield* Connections
    yield* add(Effect.sync(() => ({
      name: options.name ?? "connection",
      state: current === undefined ? "idle" : current.opened === undefined ? "connecting" : "ready",
      dials,
      failedDials
    })))
    // added last, so it runs before the fibers are interrupted
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
      })
    )

    const forget = (held: Held<A, E>) => {
      if (current === held) {
        current = undefined
      }
    }

    /** From the dial until the connection is discarded, or the scope closes. */
    const life = (held: Held<A, E>) => {
      const discard = Effect.sync(() => {
        forget(held)
        held.discarded.unsafeOpen()
      })
      return options.dial(discard).pipe(
        Effect.tap((connection) => {
          held.opened = Effect.succeed(connection)
          return Deferred.succeed(held.ready, connection)
        }),
        Effect.zipRight(held.discarded.await),
        Effect.scoped,
        Effect.onError((cause) => {
          forget(held)
          failedDials += held.opened === undefined ? 1 : 0
          return closed ? Deferred.failSync(held.ready, options.closed) : Deferred.failCause(held.ready, cause)
        }),
        Effect.exit
      )
    }

    const dial = Effect.suspend(() => {
      if (closed) {
        return Effect.failSync(options.closed)
      }
      const held: Held<A, E> = {
        ready: Deferred.unsafeMake(FiberId.none),
        discarded: Effect.unsafeMakeLatch(false),
        opened: undefined
      }
      current = held
      dials++
      run(life(held))
      return Deferred.await(held.ready)
    })

    return {
      get: Effect.suspend(() => current === undefined ? dial : current.opened ?? Deferred.await(current.ready))
    }
  })
