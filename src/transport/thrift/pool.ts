/**
 * The connections to one Thrift server, each of which makes one call at a time.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Scope from "effect/Scope"
import * as Connections from "../../Connections.js"
import type { Progress } from "../../Deadline.js"
import { type Fatal, isRetryable, Retryable, withWait } from "../../RpcError.js"
import * as Connection from "../Connection.js"
import { closed } from "../connection/loss.js"
import * as ConnectionPool from "../connection/pool.js"
import { repeatUnprocessed } from "../shared/attempt.js"
import * as Session from "./session.js"

interface Options {
  readonly socket: Effect.Effect<Socket.Socket>
  readonly name: string
  readonly size: number
  readonly dialTimeout: Duration.Duration
  readonly lifetime: Connection.Lifetime
}

/**
 * Makes a call on a connection of its own. `progress` is told why the call has no connection yet.
 *
 * @internal
 */
export type Pool<A> = <B>(
  progress: Progress,
  f: (session: Session.Session<A>) => Effect.Effect<B, Retryable | Fatal>
) => Effect.Effect<B, Retryable | Fatal>

/** How the last dial of a connection ended. */
interface Last<A> {
  /** The session that it opened, while that is in use. */
  session: Session.Session<A> | undefined
  /** Why it failed, until a dial succeeds. */
  failure: Retryable | Fatal | undefined
}

/** A connection of the pool, and how its last dial ended. */
interface Pooled<A> {
  readonly connection: Connection.Connection<Session.Session<A>, Retryable | Fatal>
  readonly last: Last<A>
}

/** A call that uses a connection, or waits for one. */
class Waiter<A> {
  /** The connection that it was granted. */
  pooled: Pooled<A> | undefined
  /** Ends its wait. */
  wake: ((pooled: Pooled<A>) => void) | undefined
}

/** The error of a call that waits because every connection serves another one. */
const busy = new Retryable({ reason: "Unavailable", delivery: "NotSent", code: "ALL_CONNECTIONS_BUSY" })

class PoolImpl<A> {
  private readonly stall = new ConnectionPool.StallDetector()
  readonly shared = new ConnectionPool.Pool<Pooled<A>, Waiter<A>>({
    open: () => undefined,
    isReady: ({ last }) => last.session?.isOpen() === true,
    grant: (pooled, waiter) => {
      waiter.pooled = pooled
      waiter.wake?.(pooled)
    }
  })

  constructor(private readonly clock: Clock.Clock) {}

  /** Closes the idle connections on which the peer has sent nothing since then: they may be dead too. */
  private drop(since: bigint): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach(
        this.shared.idle.flatMap(({ last: { session } }) =>
          session !== undefined && session.aliveAt() < since ? [session] : []
        ),
        (session) => session.drop,
        { discard: true }
      )
    )
  }

  readonly watcher: Session.Watcher = {
    onHeard: () => this.stall.reset(),
    // a server that restarted has lost all of them: that costs one attempt, not one for each
    onLost: (startedAt) => this.drop(startedAt),
    onAbandoned: (startedAt) =>
      Effect.suspend(() => {
        const waited = Number(this.clock.unsafeCurrentTimeNanos() - startedAt) / 1e6
        return this.stall.gaveUp(waited) ? this.drop(startedAt) : Effect.void
      })
  }

  /** Waits until a waiter of the queue is granted a connection. */
  private granted(waiter: Waiter<A>, progress: Progress): Effect.Effect<Pooled<A>> {
    return Effect.async((resume) => {
      progress.failed(busy)
      waiter.wake = (pooled) => resume(Effect.succeed(pooled))
      // granted since it joined
      if (waiter.pooled !== undefined) {
        waiter.wake(waiter.pooled)
      }
    })
  }

  /**
   * Makes a call on a connection. When an open connection fails before a byte of the request was written, it was broken
   * before the call, and the call is made once more on a new one. A new one that breaks is a failure of the server.
   */
  private useAt<B>(
    { connection, last }: Pooled<A>,
    progress: Progress,
    f: (session: Session.Session<A>) => Effect.Effect<B, Retryable | Fatal>
  ): Effect.Effect<B, Retryable | Fatal> {
    const wasOpen = last.session?.isOpen() === true
    if (!wasOpen && last.failure !== undefined) {
      progress.failed(last.failure)
    }
    return repeatUnprocessed(
      connection.use(f),
      (error) => wasOpen && isRetryable(error) && error.delivery === "NotSent"
    )
  }

  private release(waiter: Waiter<A>): void {
    if (waiter.pooled === undefined) {
      this.shared.leave(waiter)
    } else {
      this.shared.release(waiter.pooled)
    }
  }

  // an `ensuring` whose end is no effect: every call passes here
  readonly use: Pool<A> = (progress, f) =>
    Effect.uninterruptibleMask((restore) => {
      const waiter = new Waiter<A>()
      const used = this.shared.join(waiter)
        ? Effect.suspend(() => this.useAt(waiter.pooled!, progress, f))
        : Effect.flatMap(this.granted(waiter, progress), (pooled) => this.useAt(pooled, progress, f))
      return Effect.matchCauseEffect(restore(used), {
        onFailure: (cause) => {
          // a call can be interrupted after it was granted a connection and before it goes on
          this.release(waiter)
          return Effect.failCause(cause)
        },
        onSuccess: (value) => {
          this.release(waiter)
          return Effect.succeed(value)
        }
      })
    })
}

const dial = <A>(options: Options, last: Last<A>, watcher: Session.Watcher) => (dialled: Connection.Dialled) =>
  options.socket.pipe(
    Effect.flatMap((socket) => Session.open<A>(socket, dialled, watcher)),
    Effect.tap((session) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          last.session = session
          last.failure = undefined
        }),
        // do not keep a closed session and the bytes that it received
        () =>
          Effect.sync(() => {
            last.session = last.session === session ? undefined : last.session
          })
      )
    ),
    Effect.timeoutFail({
      duration: options.dialTimeout,
      onTimeout: () => new Retryable({ reason: "Unavailable", delivery: "NotSent", code: "DIAL_TIMEOUT" })
    }),
    Effect.tapError((failure) =>
      Effect.sync(() => {
        last.failure = failure
      })
    )
  )

/** The states from best to worst: the pool has the best state of its connections. */
const order = ["ready", "draining", "connecting", "broken", "idle", "closed"] as const

/** The status of the whole pool: the best state, and the sums of the dials. */
const status = (name: string, parts: Connections.Registry): Effect.Effect<Connections.Status> =>
  Effect.map(parts.all, (all) => ({
    name,
    state: order.find((state) => all.some((part) => part.state === state)) ?? "closed",
    dials: all.reduce((sum, part) => sum + part.dials, 0),
    failedDials: all.reduce((sum, part) => sum + part.failedDials, 0)
  }))

/** @internal */
export const make = <A>(options: Options): Effect.Effect<Pool<A>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pool = new PoolImpl<A>(yield* Effect.clock)
    const parts = Connections.make()
    yield* Effect.flatMap(Connections.Connections, ({ add }) => add(status(options.name, parts)))
    // connections drain side by side when the scope closes
    const scope = yield* Effect.flatMap(Effect.scope, (scope) => Scope.fork(scope, ExecutionStrategy.parallel))
    for (let i = 0; i < options.size; i++) {
      const last: Last<A> = { session: undefined, failure: undefined }
      const connection = yield* Connection.make<Session.Session<A>, Retryable | Fatal, Scope.Scope>({
        ...options.lifetime,
        dial: dial(options, last, pool.watcher),
        closed,
        name: options.name,
        afterWait: (error, waited) => isRetryable(error) ? withWait(error, waited) : error
      }).pipe(
        Effect.provideService(Connections.Connections, parts),
        Scope.extend(yield* Scope.fork(scope, ExecutionStrategy.sequential))
      )
      pool.shared.put({ connection, last })
    }
    return pool.use
  })
