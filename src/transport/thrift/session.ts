/**
 * A connection that makes one call at a time.
 *
 * Servers of Thrift answer the requests of a connection one after another, so a second one would wait behind the first; and the
 * protocol has no way to say that an answer is not wanted any more. So a call that is given up closes its connection: the
 * server learns of it, and nothing can come late.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Result from "../../internal/result.js"
import { Fatal, Retryable } from "../../RpcError.js"
import { Inbox } from "../connection/inbox.js"
import { closed, lossOf, unsent } from "../connection/loss.js"
import type { Dialled } from "../connection/model.js"
import type { Incomplete } from "./frames.js"
import { problemOf } from "./message.js"

/**
 * A whole answer.
 *
 * - `length`: how many bytes it took.
 * - `isLast`: the peer takes no other request on this connection.
 *
 * @internal
 */
export interface Read<out A> {
  readonly answer: A
  readonly length: number
  readonly isLast: boolean
}

/**
 * - `id`: greater than those of the requests before.
 * - `bytes`: are written.
 * - `sending`: is asked right before that; `false` where the call was cut meanwhile, and must not be written.
 * - `read`: is given what came after that, until it is enough, and which requests wanted no answer: a server that does not know
 *   such a method answers that. It throws what is wrong with it.
 *
 * @internal
 */
export interface Request<out A> {
  readonly id: number
  readonly bytes: Uint8Array
  readonly sending: () => boolean
  /** Without it there is no answer: the request is done when it is written. */
  readonly read: ((bytes: Uint8Array, wantedNone: (id: number) => boolean) => Read<A> | Incomplete) | undefined
}

/** @internal */
export interface Session<in out A> {
  readonly call: (request: Request<A>) => Effect.Effect<A | undefined, Retryable | Fatal>
  readonly isOpen: () => boolean
  /** Closes it, as one that is not to be trusted any more. */
  readonly drop: Effect.Effect<void>
  /** When the peer last said something, in nanoseconds of the clock. */
  readonly aliveAt: () => bigint
}

/**
 * What became of a call that was made at this time, for who has other connections to the same peer.
 *
 * - `onHeard`: the peer said something on a connection.
 * - `onLost`: the connection broke under the call.
 * - `onAbandoned`: the call was given up.
 *
 * @internal
 */
export interface Watcher {
  readonly onHeard: () => void
  readonly onLost: (startedAt: bigint) => Effect.Effect<void>
  readonly onAbandoned: (startedAt: bigint) => Effect.Effect<void>
}

interface Entry<A> {
  readonly request: Request<A>
  readonly resume: (result: Effect.Effect<A | undefined, Retryable | Fatal>) => void
  readonly startedAt: bigint
  isSent: boolean
}

const cut = () => new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" })

const dropped = () => new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "DROPPED" })

class SessionImpl<A> implements Session<A> {
  private readonly inbox = new Inbox()
  private entry: Entry<A> | undefined
  private readonly outboxFilled = Effect.unsafeMakeLatch(false)
  private loss: Retryable | Fatal | undefined
  private isHealthy = false
  /** The first request since the last answer that wanted none. */
  private oneway: number | undefined
  private heardAt: bigint

  constructor(
    private readonly socket: Socket.Socket,
    private readonly connection: Dialled,
    private readonly watcher: Watcher,
    private readonly clock: Clock.Clock
  ) {
    this.heardAt = clock.unsafeCurrentTimeNanos()
  }

  readonly isOpen = () => this.loss === undefined

  readonly aliveAt = () => this.heardAt

  private readonly healthy = Effect.suspend(() => {
    const wasHealthy = this.isHealthy
    this.isHealthy = true
    return wasHealthy ? Effect.void : this.connection.healthy
  })

  /** The connection is discarded before the call hears of it, so that no next attempt comes back here. */
  readonly lose = (reason: Retryable | Fatal): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (this.loss !== undefined) {
        return Effect.void
      }
      this.loss = reason
      const { entry } = this
      this.entry = undefined
      return this.connection.discard.pipe(
        Effect.andThen(
          entry !== undefined && reason._tag === "Retryable" ? this.watcher.onLost(entry.startedAt) : Effect.void
        ),
        Effect.ensuring(
          Effect.sync(() => entry?.resume(Effect.fail(entry.isSent ? reason : unsent(reason))))
        )
      )
    })

  readonly drop = Effect.suspend(() => this.lose(dropped()))

  readonly call = (request: Request<A>) =>
    Effect.async<A | undefined, Retryable | Fatal>((resume) => {
      if (this.loss !== undefined) {
        return resume(Effect.fail(unsent(this.loss)))
      }
      const entry: Entry<A> = {
        request,
        resume,
        startedAt: this.clock.unsafeCurrentTimeNanos(),
        isSent: false
      }
      this.entry = entry
      this.outboxFilled.unsafeOpen()
      return Effect.suspend(() => this.entry === entry ? this.abandon(entry) : Effect.void)
    })

  private abandon({ startedAt }: Entry<A>): Effect.Effect<void> {
    this.entry = undefined
    // that nobody waited for the answer says nothing against the peer: the next dial need not wait
    return this.healthy.pipe(
      Effect.andThen(this.lose(dropped())),
      Effect.andThen(this.watcher.onAbandoned(startedAt))
    )
  }

  /** Done with the call: the answer goes out, and the connection stays unless that is not safe. */
  private answered(entry: Entry<A>, { answer, isLast, length }: Read<A>): Effect.Effect<void> | void {
    this.inbox.take(length)
    this.entry = undefined
    // answers come in the order of the requests
    this.oneway = undefined
    const isAgreed = this.inbox.length === 0 && !isLast
    if (isAgreed && this.isHealthy) {
      return entry.resume(Effect.succeed(answer))
    }
    const before = isAgreed ? this.healthy : Effect.andThen(this.healthy, this.lose(dropped()))
    return Effect.uninterruptible(
      Effect.andThen(before, Effect.sync(() => entry.resume(Effect.succeed(answer))))
    )
  }

  private readonly received = (chunk: Uint8Array): Effect.Effect<void, Fatal> | void => {
    if (this.loss !== undefined) {
      return
    }
    this.heardAt = this.clock.unsafeCurrentTimeNanos()
    this.watcher.onHeard()
    const { entry } = this
    const read = entry?.isSent === true ? entry.request.read : undefined
    if (entry === undefined || read === undefined) {
      // a call that is on its way has nothing to do with it
      return this.lose(dropped())
    }
    this.inbox.push(chunk)
    // this runs in a listener of the socket, where a throw would end the process
    const wantedNone = (id: number) => this.oneway !== undefined && id >= this.oneway && id < entry.request.id
    const result = Result.try({ try: () => read(this.inbox.peek(), wantedNone), catch: problemOf })
    if (Result.isFailure(result)) {
      return this.violated(Result.failureOf(result))
    }
    const answer = Result.successOf(result)
    return "needed" in answer ? undefined : this.answered(entry, answer)
  }

  private violated(what: string): Effect.Effect<void> {
    return this.lose(new Fatal({ reason: "Protocol", message: `the peer sent ${what}` }))
  }

  reader(opened: Deferred.Deferred<void, Retryable | Fatal>) {
    return this.socket.run(this.received, { onOpen: Effect.asVoid(Deferred.succeed(opened, undefined)) }).pipe(
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

  readonly writer = Effect.gen(this, function*() {
    const write = yield* this.socket.writer
    while (true) {
      this.outboxFilled.unsafeClose()
      const { entry } = this
      if (entry === undefined || entry.isSent) {
        yield* this.outboxFilled.await
        continue
      }
      if (!entry.request.sending()) {
        this.entry = undefined
        entry.resume(Effect.fail(cut()))
        continue
      }
      entry.isSent = true
      yield* write(entry.request.bytes)
      if (entry.request.read === undefined && this.entry === entry) {
        this.oneway ??= entry.request.id
        // there is no other sign that the peer is there
        yield* this.healthy
        this.entry = undefined
        entry.resume(Effect.succeed(undefined))
      }
    }
  }).pipe(
    Effect.scoped,
    Effect.onExit((exit) => this.lose(lossOf(exit))),
    Effect.exit
  )
}

/**
 * Opens the socket and makes calls on it until it breaks or the scope closes.
 *
 * @internal
 */
export const open = <A>(
  socket: Socket.Socket,
  connection: Dialled,
  watcher: Watcher
): Effect.Effect<Session<A>, Retryable | Fatal, Scope.Scope> =>
  Effect.gen(function*() {
    const opened = yield* Deferred.make<void, Retryable | Fatal>()
    const session = new SessionImpl<A>(socket, connection, watcher, yield* Effect.clock)
    yield* Effect.forkScoped(session.reader(opened))
    yield* Deferred.await(opened)
    yield* Effect.forkScoped(session.writer)
    // added last, so it runs first: what ends with the scope was closed, not lost
    yield* Effect.addFinalizer(() => session.lose(closed()))
    return session
  })
