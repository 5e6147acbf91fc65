/**
 * Concurrent calls over one socket. Each request has a sequence id, and answers come in any order.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal, Retryable } from "../../RpcError.js"
import { unsent } from "../connection/loss.js"
import type { Dialled } from "../connection/model.js"
import * as Duplex from "../connection/session.js"

/**
 * The wire format of one connection. It may depend on the messages before, as that of gob does.
 *
 * @internal
 */
export interface Wire<in Request> {
  /** Adds a request to the output. A failure is of that request alone. */
  readonly encode: (id: number, request: Request) => Result.Result<void, Fatal>
  /** Returns the approximate size of the output, in bytes. */
  readonly size: () => number
  /** Returns the output and empties it. */
  readonly take: () => Uint8Array | string
  /** Reads the next bytes of the input. */
  readonly decode: (chunk: Uint8Array) => Decoded
}

/**
 * What the bytes that were read so far contain.
 *
 * @internal
 */
export interface Decoded {
  /** The answers that are complete, in their order. */
  readonly answers: ReadonlyArray<Answer>
  /** Why the input after them cannot be read; `undefined` if it can. */
  readonly problem: string | undefined
}

/** @internal */
export interface Answer {
  /** The sequence id of its request. */
  readonly id: number
  /** The reply, or the error that the server answered with. */
  readonly result: Result.Result<unknown, Fatal>
}

/** @internal */
export interface Session<in Request> {
  /** Makes a call. Its `end` must run when the call has ended, however it ends. */
  readonly call: (call: Call<Request>) => Effect.Effect<unknown, Retryable | Fatal>
  /** Returns the number of calls that wait for their answer. */
  readonly pending: () => number
}

/**
 * When and how a silent peer is pinged. Any answer counts.
 *
 * A server may answer one request after the other, and so a ping only after the calls that were sent before it.
 *
 * @internal
 */
export interface Ping<out Request> {
  /** How long the peer must be silent before a ping is sent. */
  readonly every: Duration.Duration
  /** How long the answer may take. */
  readonly timeout: Duration.Duration
  /** The request that is sent. */
  readonly request: Request
  /**
   * Whether the server was seen to answer a request while an earlier one waited: a ping need not wait for calls then.
   */
  outOfOrder: boolean
}

type Resume = (result: Effect.Effect<unknown, Retryable | Fatal>) => void

/**
 * A call on a session. It is made anew for each attempt. Its `end` is no finalizer of an effect: those are most of what
 * a pending call holds in memory.
 *
 * @internal
 */
export class Call<out Request> {
  id = -1
  resume: Resume | undefined
  /** Whether it was given to the socket: the server may have it. */
  sent = false
  /** The calls of its session, while it is one of them. */
  private pending: Map<number, unknown> | undefined

  constructor(
    /** The request; `undefined` once it is written, so that a call that waits does not hold it. */
    public request: Request | undefined,
    /** Is asked before the request is written whether that is still wanted; `undefined` for a ping, which is no call. */
    readonly progress: Deadline.Progress | undefined
  ) {}

  /** Begins to wait for the answer, among the calls of a session. */
  begin(id: number, resume: Resume, pending: Map<number, Call<Request>>): void {
    this.id = id
    this.resume = resume
    this.pending = pending
    pending.set(id, this)
  }

  /**
   * Takes the call out of those of its session. It lets go of what it holds: V8 keeps what was in a map until it
   * collects old objects.
   */
  end(): void {
    this.pending?.delete(this.id)
    this.pending = undefined
    this.request = undefined
    this.resume = undefined
  }
}

/** The approximate size of one write, in bytes. Requests beyond it stay unsent, and so can still be withdrawn. */
const maxBatch = 65_536

const utf8 = new TextEncoder()

class SessionImpl<Request> extends Duplex.Session implements Session<Request> {
  private readonly pendingRequests = new Map<number, Call<Request>>()
  private nextId = 0
  /** Pending requests with an id from here on are not written yet. */
  private nextUnsent = 0
  /** The last id that was given to the socket. Ids are written in ascending order. */
  private lastSent = -1
  /** The last id that was written completely. */
  private lastWritten = -1
  private isViolated = false
  private hasAnswered = false
  /** When the peer last sent something or took a part of a long request, in milliseconds of the monotonic clock. */
  private aliveAt: number

  constructor(
    socket: Socket.Socket,
    private readonly wire: Wire<Request>,
    connection: Dialled,
    private readonly ping: Ping<Request> | undefined,
    private readonly clock: Clock.Clock
  ) {
    super(socket, connection)
    this.aliveAt = Deadline.unsafeNow(clock)
  }

  pending(): number {
    return Array.from(this.pendingRequests.values()).filter(({ progress }) => progress !== undefined).length
  }

  protected failPending(reason: Retryable | Fatal): Effect.Effect<void> {
    return Effect.sync(() => {
      const pending = Array.from(this.pendingRequests.values())
      this.pendingRequests.clear()
      pending.forEach(({ resume, sent }) => resume?.(Effect.fail(sent ? reason : unsent(reason))))
    })
  }

  readonly call: Session<Request>["call"] = (call) =>
    Effect.async((resume) => {
      if (this.loss !== undefined) {
        return resume(Effect.fail(unsent(this.loss)))
      }
      call.begin(this.nextId++, resume, this.pendingRequests)
      this.outboxFilled.unsafeOpen()
    })

  private answered({ id, result }: Answer): string | undefined {
    if (id < 0 || id > this.lastSent) {
      return `an answer to request ${id}, which was not sent`
    }
    this.hasAnswered = true
    if (this.ping !== undefined && this.isBehindCall(id)) {
      this.ping.outOfOrder = true
    }
    // drop the answer to a call that was abandoned
    const pending = this.pendingRequests.get(id)
    const resume = pending?.resume
    pending?.end()
    resume?.(
      Result.isSuccess(result) ? Effect.succeed(Result.successOf(result)) : Effect.fail(Result.failureOf(result))
    )
    return undefined
  }

  /** Returns whether a call that was written completely, and before this request, still waits for its answer. */
  private isBehindCall(id: number): boolean {
    for (const pending of this.pendingRequests.values()) {
      if (pending.progress !== undefined) {
        return pending.id < id && pending.id <= this.lastWritten
      }
    }
    return false
  }

  /** Handles a chunk: the answers in it, then returns the problem with the rest, if any. */
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

  protected received(chunk: Uint8Array): Effect.Effect<void, Fatal> | void {
    if (this.isViolated) {
      return
    }
    this.aliveAt = Deadline.unsafeNow(this.clock)
    // a throw here would end the process
    const violation = Result.merge(Result.try({
      try: () => this.read(chunk),
      catch: (error) => `what cannot be read: ${Excerpt.explain(error).words}`
    }))
    if (violation !== undefined) {
      this.isViolated = true
      return Effect.fail(new Fatal({ reason: "Protocol", message: `the peer sent ${violation}` }))
    }
    if (this.hasAnswered && !this.isHealthy) {
      return this.healthy
    }
  }

  private nextBatch(): Uint8Array | string {
    for (; this.nextUnsent < this.nextId && this.wire.size() < maxBatch; this.nextUnsent++) {
      const pending = this.pendingRequests.get(this.nextUnsent)
      if (pending !== undefined) {
        this.encode(pending)
      }
    }
    return this.wire.take()
  }

  /** Encodes a request, or fails its call. */
  private encode(pending: Call<Request>): void {
    const { id, resume } = pending
    const encoded: Result.Result<void, Retryable | Fatal> = pending.progress?.sending() === false
      ? Result.fail(new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" }))
      : this.wire.encode(id, pending.request!)
    if (Result.isFailure(encoded)) {
      pending.end()
      return resume?.(Effect.fail(Result.failureOf(encoded)))
    }
    pending.request = undefined
    pending.sent = true
    this.lastSent = id
  }

  /** Writes a long request in parts. Each part that the peer has room for is a sign of life. */
  private writeLong(write: Duplex.Write, batch: Uint8Array) {
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

  protected writeAll(write: Duplex.Write): Effect.Effect<never, Socket.SocketError> {
    return Effect.gen(this, function*() {
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
    })
  }

  /** Returns how long the peer may still be silent before it is asked, in milliseconds. */
  private patience(ping: Ping<Request>): number {
    return this.aliveAt + Duration.toMillis(ping.every) - Deadline.unsafeNow(this.clock)
  }

  // a loop, as an effect that ends by running itself again keeps a frame of each round
  readonly pinging = (ping: Ping<Request>): Effect.Effect<void> =>
    Effect.gen(this, function*() {
      let before: number
      do {
        for (let wait = this.patience(ping); wait > 0; wait = this.patience(ping)) {
          yield* Effect.sleep(wait)
        }
        before = this.aliveAt
        const id = this.nextId
        const call = new Call(ping.request, undefined)
        yield* this.call(call).pipe(
          Effect.ignore,
          Effect.timeoutOption(ping.timeout),
          Effect.ensuring(Effect.sync(() => call.end()))
        )
        // wait for calls that the server may still work on: cutting them would repeat them
        while (this.aliveAt === before && !ping.outOfOrder && this.isBehindCall(id)) {
          yield* Effect.sleep(ping.every)
        }
        // a peer that is sending a long answer is alive too
      } while (this.aliveAt > before)
      yield* this.lose(new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "PING_TIMEOUT" }))
    })
}

/** Opens the socket and serves calls on it until it breaks or the scope closes. @internal */
export const open = <Request>(
  socket: Socket.Socket,
  wire: Wire<Request>,
  connection: Dialled,
  ping: Ping<Request> | undefined
): Effect.Effect<Session<Request>, Retryable | Fatal, Scope.Scope> =>
  Effect.gen(function*() {
    const session = new SessionImpl(socket, wire, connection, ping, yield* Effect.clock)
    yield* session.start
    if (ping !== undefined) {
      yield* Effect.forkScoped(session.pinging(ping))
    }
    return session
  })
