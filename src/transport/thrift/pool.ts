/**
 * Connections to one server, each of which makes one call at a time. A call takes the one that was used last, so that those
 * that are not needed grow idle and can be closed.
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
import { repeatUnprocessed } from "../shared/transparent.js"
import * as Line from "./session.js"

interface Options {
  readonly socket: Effect.Effect<Socket.Socket>
  readonly name: string
  readonly size: number
  readonly dialTimeout: Duration.Duration
  readonly lifetime: Connection.Lifetime
}

/**
 * - `progress`: is told why the call has no connection yet.
 *
 * @internal
 */
export type Pool<A> = <B>(
  progress: Progress,
  f: (line: Line.Line<A>) => Effect.Effect<B, Retryable | Fatal>
) => Effect.Effect<B, Retryable | Fatal>

/** What the last dial of a place has come to: the connection that was opened, or why none was. */
interface Last<A> {
  line: Line.Line<A> | undefined
  failure: Retryable | Fatal | undefined
}

/** A place for one connection. */
interface Place<A> {
  readonly connection: Connection.Connection<Line.Line<A>, Retryable | Fatal>
  readonly last: Last<A>
}

/** A call, from when it asks for a connection until it has ended. */
class Turn<A> {
  place: Place<A> | undefined
  /** Where it waits for one. */
  begin: ((place: Place<A>) => void) | undefined
}

/** First come, first served; who does not want to wait any more is taken out at once. */
class Queue<A> {
  private readonly entries = new Set<A>()
  // kept, as a new one would go by all that were taken out before
  private oldest = this.entries.values()

  add(entry: A): void {
    this.entries.add(entry)
  }

  delete(entry: A): void {
    this.entries.delete(entry)
  }

  poll(): A | undefined {
    let next = this.oldest.next()
    if (next.done === true) {
      // an iterator that has come to the end sees nothing new
      this.oldest = this.entries.values()
      next = this.oldest.next()
    }
    this.entries.delete(next.value!)
    return next.value
  }
}

/** Why a call waits that has no place. */
const busy = () => new Retryable({ reason: "Unavailable", delivery: "NotSent", code: "ALL_CONNECTIONS_BUSY" })

/** For how long the peer must have left calls without an answer before that is held against its connections. */
const patience = 100

class PoolImpl<A> {
  /** Those that no call has now; the one that was used last is the last. */
  readonly free: Array<Place<A>> = []
  /** They wait only while none is free. */
  private readonly waiting = new Queue<Turn<A>>()

  /** How long calls have waited that were given up since the peer last said something, in milliseconds. */
  private waited = 0

  constructor(private readonly clock: Clock.Clock) {}

  /** Those that are not in use, and on which the peer said nothing since then, may not work either. */
  private drop(since: bigint): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.forEach(
        this.free.flatMap(({ last: { line } }) => line !== undefined && line.aliveAt() < since ? [line] : []),
        (line) => line.drop,
        { discard: true }
      )
    )
  }

  readonly watcher: Line.Watcher = {
    onHeard: () => {
      this.waited = 0
    },
    // a server that was restarted has forgotten all of them: that costs one attempt, not one for each
    onLost: (startedAt) => this.drop(startedAt),
    // behind a network that drops what it is given no connection ever breaks
    onAbandoned: (startedAt) =>
      Effect.suspend(() => {
        this.waited += Number(this.clock.unsafeCurrentTimeNanos() - startedAt) / 1e6
        return this.waited < patience ? Effect.void : this.drop(startedAt)
      })
  }

  private take(): Place<A> | undefined {
    const ready = this.free.findLastIndex(({ last }) => last.line?.isOpen())
    // -1, the last one, where none is open
    return this.free.splice(ready, 1)[0]
  }

  private acquire(turn: Turn<A>, progress: Progress): Effect.Effect<Place<A>> {
    return Effect.suspend(() => {
      turn.place = this.take()
      return turn.place === undefined
        ? Effect.async((resume) => {
          progress.failed(busy())
          turn.begin = (place) => resume(Effect.succeed(place))
          this.waiting.add(turn)
        })
        : Effect.succeed(turn.place)
    })
  }

  /**
   * A connection that was there before the call, and broke before a byte of the request was written, was broken all along: the
   * call is made on a new one. A new one that breaks is the server's failure.
   */
  private useAt<B>(
    { connection, last }: Place<A>,
    progress: Progress,
    f: (line: Line.Line<A>) => Effect.Effect<B, Retryable | Fatal>
  ): Effect.Effect<B, Retryable | Fatal> {
    const wasOpen = last.line?.isOpen() === true
    if (!wasOpen && last.failure !== undefined) {
      progress.failed(last.failure)
    }
    return repeatUnprocessed(
      connection.use(f),
      (error) => wasOpen && isRetryable(error) && error.delivery === "NotSent"
    )
  }

  /** To whoever waits the longest: one that comes just now does not go before them. */
  private release(turn: Turn<A>): void {
    const { place } = turn
    if (place === undefined) {
      return this.waiting.delete(turn)
    }
    const next = this.waiting.poll()
    if (next === undefined) {
      this.free.push(place)
    } else {
      next.place = place
      next.begin?.(place)
    }
  }

  readonly use: Pool<A> = (progress, f) =>
    Effect.suspend(() => {
      const turn = new Turn<A>()
      return Effect.ensuring(
        Effect.flatMap(this.acquire(turn, progress), (place) => this.useAt(place, progress, f)),
        // a call can be interrupted between when it was given a place and when it goes on
        Effect.sync(() => this.release(turn))
      )
    })
}

const dial = <A>(options: Options, last: Last<A>, watcher: Line.Watcher) => (dialled: Connection.Dialled) =>
  options.socket.pipe(
    Effect.flatMap((socket) => Line.open<A>(socket, dialled, watcher)),
    Effect.tap((line) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          last.line = line
          last.failure = undefined
        }),
        // what has come of an answer goes with it
        () =>
          Effect.sync(() => {
            last.line = last.line === line ? undefined : last.line
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

/** What is true of any of them, the best first. */
const order = ["ready", "draining", "connecting", "broken", "idle", "closed"] as const

/** All of them as one. */
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
    // so that the end of the scope waits for all of them at the same time
    const scope = yield* Effect.flatMap(Effect.scope, (scope) => Scope.fork(scope, ExecutionStrategy.parallel))
    for (let i = 0; i < options.size; i++) {
      const last: Last<A> = { line: undefined, failure: undefined }
      const connection = yield* Connection.make<Line.Line<A>, Retryable | Fatal, Scope.Scope>({
        ...options.lifetime,
        dial: dial(options, last, pool.watcher),
        closed,
        name: options.name,
        afterWait: (error, waited) => isRetryable(error) ? withWait(error, waited) : error
      }).pipe(
        Effect.provideService(Connections.Connections, parts),
        Scope.extend(yield* Scope.fork(scope, ExecutionStrategy.sequential))
      )
      pool.free.push({ connection, last })
    }
    return pool.use
  })
