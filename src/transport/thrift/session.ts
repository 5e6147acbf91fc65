/**
 * One connection to a Thrift server, which makes one call at a time.
 *
 * Thrift servers answer the requests of a connection one after another, so a second request would wait behind the
 * first. The protocol cannot cancel a request, so a call that is given up closes its connection: the server notices it,
 * and no late answer can be mistaken for another one.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Result from "../../internal/result.js"
import { Fatal, Retryable } from "../../RpcError.js"
import { Inbox } from "../connection/inbox.js"
import { unsent } from "../connection/loss.js"
import type { Dialled } from "../connection/model.js"
import * as Duplex from "../connection/session.js"
import type { Incomplete } from "./frames.js"
import { problemOf } from "./message.js"

/**
 * A complete answer.
 *
 * @internal
 */
export interface Read<out A> {
  readonly answer: A
  /** How many bytes it took, the messages that were skipped before it included. */
  readonly length: number
  /** Whether the peer takes no further request on this connection. */
  readonly isLast: boolean
}

/** @internal */
export interface Request<out A> {
  /** Greater than the ids of all requests before. */
  readonly id: number
  /** The bytes to write. */
  readonly bytes: Uint8Array
  /** Asked right before they are written; `false` when the call was cut in the meantime, so that they must not be. */
  readonly sending: () => boolean
  /**
   * Reads the answer from all bytes received since the request was written, and throws the problem with them.
   * `wantedNone` returns whether the request of an id was oneway: a server that does not know such a method answers it
   * nevertheless. `undefined` for a oneway request, which is done once it is written.
   */
  readonly read: ((bytes: Uint8Array, wantedNone: (id: number) => boolean) => Read<A> | Incomplete) | undefined
}

/** @internal */
export interface Session<in out A> {
  /** Makes a call. Completes with `undefined` for a oneway request. */
  readonly call: (request: Request<A>) => Effect.Effect<A | undefined, Retryable | Fatal>
  /** Returns whether it can take a call. */
  readonly isOpen: () => boolean
  /** Closes a connection that may be broken. */
  readonly drop: Effect.Effect<void>
  /** Returns when the peer last sent something, in nanoseconds of the clock. */
  readonly aliveAt: () => bigint
}

/**
 * Told what happens on a connection, by the pool that has other connections to the same peer. `startedAt` is when the
 * call was made, in nanoseconds of the clock.
 *
 * @internal
 */
export interface Watcher {
  /** The peer sent something. */
  readonly onHeard: () => void
  /** The connection broke during a call. */
  readonly onLost: (startedAt: bigint) => Effect.Effect<void>
  /** A call was given up without an answer. */
  readonly onAbandoned: (startedAt: bigint) => Effect.Effect<void>
}

interface PendingRequest<A> {
  readonly request: Request<A>
  readonly resume: (result: Effect.Effect<A | undefined, Retryable | Fatal>) => void
  /** In nanoseconds of the clock. */
  readonly startedAt: bigint
  /** Whether it was given to the socket: the server may have it. */
  isSent: boolean
}

const cut = () => new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" })

const dropped = () => new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "DROPPED" })

class SessionImpl<A> extends Duplex.Session implements Session<A> {
  private readonly inbox = new Inbox()
  private pending: PendingRequest<A> | undefined
  /** The id of the first oneway request since the last answer. */
  private oneway: number | undefined
  private heardAt: bigint

  constructor(
    socket: Socket.Socket,
    connection: Dialled,
    private readonly watcher: Watcher,
    private readonly clock: Clock.Clock
  ) {
    super(socket, connection)
    this.heardAt = clock.unsafeCurrentTimeNanos()
  }

  readonly isOpen = () => this.loss === undefined

  readonly aliveAt = () => this.heardAt

  protected failPending(reason: Retryable | Fatal): Effect.Effect<void> {
    const { pending } = this
    this.pending = undefined
    return pending === undefined ? Effect.void : Effect.ensuring(
      reason._tag === "Retryable" ? this.watcher.onLost(pending.startedAt) : Effect.void,
      Effect.sync(() => pending.resume(Effect.fail(pending.isSent ? reason : unsent(reason))))
    )
  }

  readonly drop = Effect.suspend(() => this.lose(dropped()))

  readonly call = (request: Request<A>) =>
    Effect.async<A | undefined, Retryable | Fatal>((resume) => {
      if (this.loss !== undefined) {
        return resume(Effect.fail(unsent(this.loss)))
      }
      const pending: PendingRequest<A> = {
        request,
        resume,
        startedAt: this.clock.unsafeCurrentTimeNanos(),
        isSent: false
      }
      this.pending = pending
      this.outboxFilled.unsafeOpen()
      return Effect.suspend(() => this.pending === pending ? this.abandon(pending) : Effect.void)
    })

  private abandon({ startedAt }: PendingRequest<A>): Effect.Effect<void> {
    this.pending = undefined
    // the caller gave up, the peer did not fail: do not delay the next dial
    return this.healthy.pipe(
      Effect.andThen(this.lose(dropped())),
      Effect.andThen(this.watcher.onAbandoned(startedAt))
    )
  }

  /** Ends the call with its answer, and the connection if its next answer could be misread. */
  private answered(pending: PendingRequest<A>, { answer, isLast, length }: Read<A>): Effect.Effect<void> | void {
    this.inbox.take(length)
    this.pending = undefined
    // answers come in the order of the requests, so no oneway request is unanswered any more
    this.oneway = undefined
    const isAgreed = this.inbox.length === 0 && !isLast
    if (isAgreed && this.isHealthy) {
      return pending.resume(Effect.succeed(answer))
    }
    const before = isAgreed ? this.healthy : Effect.andThen(this.healthy, this.lose(dropped()))
    return Effect.uninterruptible(
      Effect.andThen(before, Effect.sync(() => pending.resume(Effect.succeed(answer))))
    )
  }

  protected received(chunk: Uint8Array): Effect.Effect<void, Fatal> | void {
    if (this.loss !== undefined) {
      return
    }
    this.heardAt = this.clock.unsafeCurrentTimeNanos()
    this.watcher.onHeard()
    const { pending } = this
    const read = pending?.isSent === true ? pending.request.read : undefined
    if (pending === undefined || read === undefined) {
      // nothing was asked: a call that is about to be written is not concerned
      return this.lose(dropped())
    }
    this.inbox.push(chunk)
    const wantedNone = (id: number) => this.oneway !== undefined && id >= this.oneway && id < pending.request.id
    // a throw here would end the process
    const result = Result.try({ try: () => read(this.inbox.peek(), wantedNone), catch: problemOf })
    if (Result.isFailure(result)) {
      return this.violated(Result.failureOf(result))
    }
    const answer = Result.successOf(result)
    return "needed" in answer ? undefined : this.answered(pending, answer)
  }

  private violated(what: string): Effect.Effect<void> {
    return this.lose(new Fatal({ reason: "Protocol", message: `the peer sent ${what}` }))
  }

  protected writeAll(write: Duplex.Write): Effect.Effect<never, Socket.SocketError> {
    return Effect.andThen(
      Effect.whileLoop({ while: () => true, body: () => this.writeNext(write), step: () => {} }),
      Effect.never
    )
  }

  /** Writes the request, or waits until there is one. */
  private writeNext(write: Duplex.Write): Effect.Effect<void, Socket.SocketError> {
    this.outboxFilled.unsafeClose()
    const { pending } = this
    if (pending === undefined || pending.isSent) {
      return this.outboxFilled.await
    }
    const { bytes, id, read, sending } = pending.request
    if (!sending()) {
      this.pending = undefined
      pending.resume(Effect.fail(cut()))
      return Effect.void
    }
    pending.isSent = true
    return read === undefined ? Effect.andThen(write(bytes), this.onewayWritten(pending, id)) : write(bytes)
  }

  /** Ends a oneway request that was written. */
  private onewayWritten(pending: PendingRequest<A>, id: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.pending !== pending) {
        return Effect.void
      }
      this.oneway ??= id
      // a oneway request gets no other sign that the peer is there
      return Effect.andThen(
        this.healthy,
        Effect.sync(() => {
          this.pending = undefined
          pending.resume(Effect.succeed(undefined))
        })
      )
    })
  }
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
    const session = new SessionImpl<A>(socket, connection, watcher, yield* Effect.clock)
    yield* session.start
    return session
  })
