/**
 * Concurrent calls over one socket: each request carries a sequence id, answers come in any order.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal, Retryable } from "../../RpcError.js"
import { closed, lossOf, unsent } from "../connection/loss.js"
import type { Dialled } from "../connection/model.js"

/**
 * The wire format of one connection: what was said on it before may be part of it.
 *
 * - `encode`: adds a request to what is to be written. A failure is that request's alone.
 * - `size`: about how many bytes are to be written.
 * - `take`: gives them away.
 *
 * @internal
 */
export interface Wire<in Request> {
  readonly encode: (id: number, request: Request) => Result.Result<void, Fatal>
  readonly size: () => number
  readonly take: () => Uint8Array | string
  readonly decode: (chunk: Uint8Array) => Decoded
}

/**
 * The answers that are complete, and why nothing after them can be read.
 *
 * @internal
 */
export interface Decoded {
  readonly answers: ReadonlyArray<Answer>
  readonly problem: string | undefined
}

/** @internal */
export interface Answer {
  readonly id: number
  readonly result: Result.Result<unknown, Fatal>
}

/** @internal */
export interface Session<in Request> {
  /** `progress` is asked before the request is written. */
  readonly call: (request: Request, progress: Deadline.Progress) => Effect.Effect<unknown, Retryable | Fatal>
  /** How many calls wait for their answer. */
  readonly pending: () => number
}

/**
 * What is asked of a peer that was silent for `every`; any answer within `timeout` will do.
 *
 * A server may answer one request after the other, and then a ping only after the calls that were sent before it.
 *
 * @internal
 */
export interface Ping<out Request> {
  readonly every: Duration.Duration
  readonly timeout: Duration.Duration
  readonly request: Request
  /** The server has answered a request while an earlier one waited, so that a ping need not wait for calls. */
  outOfOrder: boolean
}

interface Entry<Request> {
  readonly id: number
  readonly request: Request
  readonly resume: (result: Effect.Effect<unknown, Retryable | Fatal>) => void
  /** `undefined` of a ping, which is nobody's call. */
  readonly progress: Deadline.Progress | undefined
  sent: boolean
}

/** Requests are written together up to about this many bytes; those behind stay unsent, and so can be withdrawn. */
const maxBatch = 65_536

const utf8 = new TextEncoder()

class SessionImpl<Request> implements Session<Request> {
  private readonly entries = new Map<number, Entry<Request>>()
  // what is still to be written: a call that is withdrawn leaves nothing here either
  private readonly outbox = new Map<number, Entry<Request>>()
  private readonly outboxFilled = Effect.unsafeMakeLatch(false)
  private nextId = 0
  /** The ids are written in their order. */
  private lastSent = -1
  private lastWritten = -1
  private loss: Retryable | Fatal | undefined
  private isViolated = false
  private hasAnswered = false
  private isHealthy = false
  /** When the peer last gave a sign of life, in milliseconds of the monotonic clock. */
  private aliveAt: number

  constructor(
    private readonly socket: Socket.Socket,
    private readonly wire: Wire<Request>,
    private readonly connection: Dialled,
    private readonly ping: Ping<Request> | undefined,
    private readonly clock: Clock.Clock
  ) {
    this.aliveAt = Deadline.unsafeNow(clock)
  }

  pending(): number {
    return Array.from(this.entries.values()).filter((entry) => entry.progress !== undefined).length
  }

  /** The connection is discarded before any call hears of it, so that no next attempt comes back here. */
  readonly lose = (reason: Retryable | Fatal): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (this.loss !== undefined) {
        return Effect.void
      }
      this.loss = reason
      return Effect.ensuring(
        this.connection.discard,
        Effect.sync(() => {
          const entries = Array.from(this.entries.values())
          this.entries.clear()
          this.outbox.clear()
          entries.forEach((entry) => entry.resume(Effect.fail(entry.sent ? reason : unsent(reason))))
        })
      )
    })

  readonly call: Session<Request>["call"] = (request, progress) => this.ask(request, progress)

  private ask(request: Request, progress?: Deadline.Progress): Effect.Effect<unknown, Retryable | Fatal> {
    return Effect.async((resume) => {
      if (this.loss !== undefined) {
        return resume(Effect.fail(unsent(this.loss)))
      }
      const id = this.nextId++
      const entry: Entry<Request> = { id, request, resume, progress, sent: false }
      this.entries.set(id, entry)
      this.outbox.set(id, entry)
      this.outboxFilled.unsafeOpen()
      return Effect.sync(() => {
        this.entries.delete(id)
        this.outbox.delete(id)
      })
    })
  }

  private answered({ id, result }: Answer): string | undefined {
    if (id < 0 || id > this.lastSent) {
      return `an answer to request ${id}, which was not sent`
    }
    this.hasAnswered = true
    if (this.ping !== undefined && this.isBehindCall(id)) {
      this.ping.outOfOrder = true
    }
    // an answer to a call that was abandoned finds no entry, and is dropped
    const entry = this.entries.get(id)
    this.entries.delete(id)
    entry?.resume(Result.match(result, { onFailure: Effect.fail, onSuccess: Effect.succeed }))
    return undefined
  }

  /** Whether a call that the peer has whole, and that was sent before this request, waits for its answer. */
  private isBehindCall(id: number): boolean {
    for (const entry of this.entries.values()) {
      if (entry.progress !== undefined) {
        return entry.id < id && entry.id <= this.lastWritten
      }
    }
    return false
  }

  /** What is wrong with the chunk; answers before that are given out. */
  private read(chunk: Uint8Array): string | undefined {
    const { answers, problem } = this.wire.decode(chunk)
    for (const answer of answers) {
      const strange = this.answered(answer)
      if (strange !== undefined) {
        return strange
      }
    }
    return problem
  }

  private readonly received = (chunk: Uint8Array): Effect.Effect<void, Fatal> | void => {
    if (this.isViolated) {
      return
    }
    this.aliveAt = Deadline.unsafeNow(this.clock)
    // this runs in a listener of the socket, where a throw would end the process
    const violation = Result.merge(Result.try({
      try: () => this.read(chunk),
      catch: (error) => `what cannot be read: ${Excerpt.explain(error).words}`
    }))
    if (violation !== undefined) {
      this.isViolated = true
      return Effect.fail(new Fatal({ reason: "Protocol", message: `the peer sent ${violation}` }))
    }
    if (this.hasAnswered && !this.isHealthy) {
      this.isHealthy = true
      return this.connection.healthy
    }
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

  private nextBatch(): Uint8Array | string {
    for (const entry of this.outbox.values()) {
      if (this.wire.size() >= maxBatch) {
        break
      }
      this.outbox.delete(entry.id)
      const encoded = this.encode(entry)
      if (Result.isFailure(encoded)) {
        this.entries.delete(entry.id)
        entry.resume(Effect.fail(Result.failureOf(encoded)))
      }
    }
    return this.wire.take()
  }

  private encode(entry: Entry<Request>): Result.Result<void, Retryable | Fatal> {
    if (entry.progress?.sending() === false) {
      return Result.fail(new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" }))
    }
    return Result.map(this.wire.encode(entry.id, entry.request), () => {
      entry.sent = true
      this.lastSent = entry.id
    })
  }

  /** A long request goes out in pieces: each that the peer makes room for shows that it is there. */
  private writeLong(write: (chunk: Uint8Array) => Effect.Effect<void, Socket.SocketError>, batch: Uint8Array) {
    let at = 0
    return Effect.whileLoop({
      while: () => at < batch.length,
      body: () => write(batch.subarray(at, at + maxBatch)),
      step: () => {
        at += maxBatch
        this.aliveAt = Deadline.unsafeNow(this.clock)
      }
    })
  }

  readonly writer = Effect.gen(this, function*() {
    const write = yield* this.socket.writer
    while (true) {
      const batch = this.nextBatch()
      if (batch.length > 2 * maxBatch) {
        yield* this.writeLong(write, typeof batch === "string" ? utf8.encode(batch) : batch)
      } else if (batch.length > 0) {
        yield* write(batch)
      } else {
        this.outboxFilled.unsafeClose()
        yield* this.outboxFilled.await
      }
      this.lastWritten = this.lastSent
    }
  }).pipe(
    Effect.scoped,
    Effect.onExit((exit) => this.lose(lossOf(exit))),
    Effect.exit
  )

  readonly pinging = (ping: Ping<Request>): Effect.Effect<void> =>
    Effect.gen(this, function*() {
      const wait = this.aliveAt + Duration.toMillis(ping.every) - Deadline.unsafeNow(this.clock)
      if (wait > 0) {
        yield* Effect.sleep(wait)
        return yield* this.pinging(ping)
      }
      const before = this.aliveAt
      const id = this.nextId
      yield* Effect.timeoutOption(Effect.ignore(this.ask(ping.request)), ping.timeout)
      // what the server still works at would be cut, and made again
      while (this.aliveAt === before && !ping.outOfOrder && this.isBehindCall(id)) {
        yield* Effect.sleep(ping.every)
      }
      // a peer that is in the middle of a long answer is there too
      return yield* this.aliveAt > before
        ? this.pinging(ping)
        : this.lose(new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "PING_TIMEOUT" }))
    })
}

/**
 * Opens the socket and serves calls on it until it breaks or the scope closes.
 *
 * @internal
 */
export const open = <Request>(
  socket: Socket.Socket,
  wire: Wire<Request>,
  connection: Dialled,
  ping: Ping<Request> | undefined
): Effect.Effect<Session<Request>, Retryable | Fatal, Scope.Scope> =>
  Effect.gen(function*() {
    const opened = yield* Deferred.make<void, Retryable | Fatal>()
    const session = new SessionImpl(socket, wire, connection, ping, yield* Effect.clock)
    yield* Effect.forkScoped(session.reader(opened))
    yield* Deferred.await(opened)
    yield* Effect.forkScoped(session.writer)
    if (ping !== undefined) {
      yield* Effect.forkScoped(session.pinging(ping))
    }
    // added last, so it runs first: what ends with the scope was closed, not lost
    yield* Effect.addFinalizer(() => session.lose(closed()))
    return session
  })
