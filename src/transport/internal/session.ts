/**
 * Concurrent calls over one socket: each request carries a sequence id, answers come in any order.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Classify from "../../Classify.js"
import { Fatal, Retryable } from "../../RpcError.js"

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
  readonly encode: (id: number, request: Request) => Either.Either<void, Fatal>
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
  readonly result: Either.Either<unknown, Fatal>
}

/** @internal */
export interface Session<in Request> {
  readonly call: (request: Request) => Effect.Effect<unknown, Retryable | Fatal>
  /** How many calls wait for their answer. */
  readonly pending: () => number
}

/**
 * What is asked of a peer that was silent for `every`; any answer within `timeout` will do.
 *
 * @internal
 */
export interface Ping<out Request> {
  readonly every: Duration.Duration
  readonly timeout: Duration.Duration
  readonly request: Request
}

interface Entry<Request> {
  readonly id: number
  readonly request: Request
  readonly resume: (result: Effect.Effect<unknown, Retryable | Fatal>) => void
  sent: boolean
}

/** Requests are written together up to about this many bytes; those behind stay unsent, and so can be withdrawn. */
const maxBatch = 65_536

/**
 * Why a connection ended, as the calls that were sent on it are told. An interruption is not theirs: somebody ended the
 * socket, not the call.
 */
const lossOf = (exit: Exit.Exit<unknown, unknown>): Retryable | Fatal => {
  if (Exit.isSuccess(exit)) {
    return new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "EOF" })
  }
  return Cause.isInterruptedOnly(exit.cause)
    ? new Retryable({ reason: "Unavailable", delivery: "Unknown", code: "INTERRUPTED" })
    : Classify.classify(Cause.squash(exit.cause))
}

/** The same for a call that was not sent on it: no server has seen it, and another connection will do. */
const unsent = (loss: Retryable | Fatal): Retryable | Fatal =>
  loss.reason === "Cancelled"
    ? loss
    : new Retryable({
      reason: loss._tag === "Retryable" ? loss.reason : "ConnectionLost",
      delivery: "NotSent",
      code: loss.code,
      cause: loss
    })

/** @internal */
export const closed = (): Fatal => new Fatal({ reason: "Cancelled", message: "the client is closed" })

/**
 * Opens the socket and serves calls on it until it breaks or the scope closes. When it breaks, `discard` runs before any
 * call hears of it, so that no next attempt comes back here.
 *
 * @internal
 */
export const open = <Request>(
  socket: Socket.Socket,
  wire: Wire<Request>,
  connection: { readonly discard: Effect.Effect<void>; readonly healthy: Effect.Effect<void> },
  ping: Ping<Request> | undefined
): Effect.Effect<Session<Request>, Retryable | Fatal, Scope.Scope> =>
  Effect.gen(function*() {
    const opened = yield* Deferred.make<void, Retryable | Fatal>()
    const pending = new Map<number, Entry<Request>>()
    // what is still to be written: a call that is withdrawn leaves nothing here either
    const outbox = new Map<number, Entry<Request>>()
    const outboxFilled = Effect.unsafeMakeLatch(false)
    let nextId = 0
    let hasAnswered = false
    let isHealthy = false
    /** Whether anything came since the last look. */
    let wasHeard = false
    let loss: Retryable | Fatal | undefined

    const lose = (reason: Retryable | Fatal) =>
      Effect.suspend(() => {
        if (loss !== undefined) {
          return Effect.void
        }
        loss = reason
        return Effect.zipRight(
          connection.discard,
          Effect.sync(() => {
            const entries = Array.from(pending.values())
            pending.clear()
            outbox.clear()
            entries.forEach((entry) => entry.resume(Effect.fail(entry.sent ? reason : unsent(reason))))
          })
        )
      })

    const answered = (answer: Answer): string | undefined => {
      if (answer.id < 0 || answer.id >= nextId) {
        return `an answer to request ${answer.id}, which was never made`
      }
      // an answer to a call that was abandoned finds no entry, and is dropped
      const entry = pending.get(answer.id)
      pending.delete(answer.id)
      entry?.resume(Either.match(answer.result, { onLeft: Effect.fail, onRight: Effect.succeed }))
      return undefined
    }

    const received = (chunk: Uint8Array): Effect.Effect<void, Fatal> | void => {
      wasHeard = true
      // this runs in a listener of the socket, where a throw would end the process
      const violation = Either.merge(Either.try({
        try: () => {
          const { answers, problem } = wire.decode(chunk)
          hasAnswered ||= answers.length > 0
          const stranger = answers.map(answered).find((problem) => problem !== undefined)
          return stranger ?? problem
        },
        catch: (error) => `what cannot be read: ${String(error)}`
      }))
      if (violation !== undefined) {
        return Effect.fail(new Fatal({ reason: "Protocol", message: `the peer sent ${violation}` }))
      }
      if (hasAnswered && !isHealthy) {
        isHealthy = true
        return connection.healthy
      }
    }

    const reader = socket.run(received, { onOpen: Effect.asVoid(Deferred.succeed(opened, undefined)) }).pipe(
      Effect.onExit((exit) => {
        const reason = lossOf(exit)
        return Effect.zipRight(lose(reason), Deferred.fail(opened, reason._tag === "Fatal" ? reason : unsent(reason)))
      }),
      Effect.exit
    )

    const nextBatch = (): Uint8Array | string => {
      for (const entry of outbox.values()) {
        if (wire.size() >= maxBatch) {
          break
        }
        outbox.delete(entry.id)
        const encoded = wire.encode(entry.id, entry.request)
        entry.sent = Either.isRight(encoded)
        if (Either.isLeft(encoded)) {
          pending.delete(entry.id)
          entry.resume(Effect.fail(encoded.left))
        }
      }
      return wire.take()
    }

    const writer = Effect.gen(function*() {
      const write = yield* socket.writer
      while (true) {
        const batch = nextBatch()
        if (batch.length > 0) {
          yield* write(batch)
        } else {
          outboxFilled.unsafeClose()
          yield* outboxFilled.await
        }
      }
    }).pipe(
      Effect.scoped,
      Effect.onExit((exit) => lose(lossOf(exit))),
      Effect.exit
    )

    const call = (request: Request): Effect.Effect<unknown, Retryable | Fatal> =>
      Effect.async((resume) => {
        if (loss !== undefined) {
          return resume(Effect.fail(unsent(loss)))
        }
        const id = nextId++
        const entry: Entry<Request> = { id, request, resume, sent: false }
        pending.set(id, entry)
        outbox.set(id, entry)
        outboxFilled.unsafeOpen()
        return Effect.sync(() => {
          pending.delete(id)
          outbox.delete(id)
        })
      })

    const pinging = (ping: Ping<Request>): Effect.Effect<void> =>
      Effect.gen(function*() {
        wasHeard = false
        yield* Effect.sleep(ping.every)
        const answer = wasHeard
          ? Option.none()
          : yield* Effect.timeoutOption(Effect.ignore(call(ping.request)), ping.timeout)
        // a peer that is in the middle of a long answer is there too
        return yield* wasHeard || Option.isSome(answer)
          ? pinging(ping)
          : lose(new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "PING_TIMEOUT" }))
      })

    yield* Effect.forkScoped(reader)
    yield* Deferred.await(opened)
    yield* Effect.forkScoped(writer)
    if (ping !== undefined) {
      yield* Effect.forkScoped(pinging(ping))
    }
    // added last, so it runs first: what ends with the scope was closed, not lost
    yield* Effect.addFinalizer(() => lose(closed()))

    return { pending: () => pending.size, call }
  })
