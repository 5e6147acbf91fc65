/**
 * Makes attempts over a Connect transport.
 *
 * @internal
 */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape
} from "@bufbuild/protobuf"
import type { ConnectError, Transport } from "@connectrpc/connect"
import { createAsyncIterable } from "@connectrpc/connect/protocol"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Classify from "../../Classify.js"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal, type Retryable, withDelivery, withMethod } from "../../RpcError.js"
import { sleepUntil } from "../shared/attempt.js"
import { headersOf } from "../shared/callHeaders.js"
import { untilFirst } from "../shared/untilFirst.js"
import * as ConnectFailure from "./failure.js"
import type { CallOptions } from "./options.js"
import * as ConnectWatch from "./watch.js"

/** @internal */
export interface Settings {
  readonly method: string
  readonly retryOn: Predicate.Predicate<ConnectError>
}

/** Makes an attempt of a method. @internal */
export interface Start<M, Request, A, R> {
  (
    transport: Transport,
    method: M,
    settings: Settings,
    request: Request,
    options: CallOptions | undefined
  ): Effect.Effect<A, Retryable | Fatal, R>
}

/** One attempt: what is sent with it, and when it began. */
interface Attempt extends Settings {
  /** Its headers; `undefined` for none. */
  readonly headers: Headers | undefined
  /** The timeout that is sent, in milliseconds; `Infinity` for none, `undefined` for the default of the transport. */
  readonly timeoutMs: number | undefined
  readonly clock: Clock.Clock
  /** When it began, on the scale of `Deadline.now`. */
  readonly startedAt: number
  /** The time until the deadline of the call, in whole milliseconds; `undefined` when it is not sent. */
  readonly remaining: number | undefined
  /** The deadline of the call, on the scale of `Deadline.now`. */
  readonly deadline: number
  readonly sending: Sending
}

/** What is known of the request of an attempt. */
interface Sending {
  /** Starts the request so that the transport can report what it has written. */
  readonly start: <A>(request: () => A) => A
  /** Returns whether nothing of the request was written; `false` when the transport does not report it. */
  readonly isUnsent: () => boolean
}

/**
 * The longest timeout that is sent, in milliseconds: the eight digits of gRPC, 27 hours. A timer of more than 24 days
 * would end at once.
 */
const maxTimeout = 99_999_999

/**
 * Returns the timeout of the user in whole milliseconds, as the protocols write it. Zero is no bound, as in the
 * library.
 */
const bound = (timeoutMs: number): Result.Result<number, Fatal> => {
  if (typeof timeoutMs !== "number" || !(timeoutMs >= 0)) {
    const message = `timeoutMs must be a number of milliseconds of at least 0, got ${timeoutMs}`
    return Result.fail(new Fatal({ reason: "InvalidArgument", message }))
  }
  return Result.succeed(timeoutMs === 0 || timeoutMs > maxTimeout ? Infinity : Math.max(1, Math.floor(timeoutMs)))
}

const smaller = (own: number | undefined, remaining: number | undefined): number | undefined =>
  own === undefined || remaining === undefined ? own ?? remaining : Math.min(own, remaining)

/** Returns the timeout in the form of the library, where 0 is no bound. */
const timeoutOf = ({ timeoutMs }: Attempt): number | undefined => timeoutMs === Infinity ? 0 : timeoutMs

const factsOf = (facts: Deadline.Facts): Readonly<Record<string, string>> => ({
  ...headersOf(facts),
  ...(facts.previousAttempts > 0 ? { "grpc-previous-rpc-attempts": String(facts.previousAttempts) } : {})
})

/** Returns the headers of an attempt; those of the user win. Most attempts have none. */
const headers = (own: HeadersInit | undefined, facts: Deadline.Facts): Result.Result<Headers | undefined, Fatal> =>
  own === undefined && facts.previousAttempts === 0 && facts.idempotencyKey === undefined ? noHeaders : Result.try({
    try: () => {
      const headers = new Headers(own)
      Object.entries(factsOf(facts)).forEach(([name, value]) => headers.has(name) || headers.set(name, value))
      return headers
    },
    catch: (cause) =>
      new Fatal({ reason: "InvalidArgument", message: "a header cannot be written as HTTP", cause: Excerpt.of(cause) })
  })

const noHeaders: Result.Result<undefined> = Result.succeed(undefined)

/** Connects an attempt with the transport, which reports what it has written. */
const watch = (transport: Transport, progress: Deadline.Progress): Sending => {
  const watch = ConnectWatch.of(transport)
  if (watch === undefined) {
    // a transport that reports nothing may have written the request
    progress.sending()
    return unreported
  }
  let isSent = false
  const sending = () => {
    const may = progress.sending()
    isSent ||= may
    return may
  }
  return { start: (request) => watch({ ...progress, sending }, request), isUnsent: () => !isSent }
}

const unreported: Sending = { start: (request) => request(), isUnsent: () => false }

const begin = (
  transport: Transport,
  progress: Deadline.Progress,
  { method, retryOn }: Settings,
  options: CallOptions | undefined,
  isStream: boolean
): Effect.Effect<Attempt, Retryable | Fatal> =>
  Effect.flatMap(Deadline.facts, (facts) =>
    Effect.withFiberRuntime(({ currentContext, currentDefaultServices }) => {
      const clock = Context.get(currentDefaultServices, Clock.Clock)
      const remaining = isStream || facts.remaining === undefined || facts.remaining > maxTimeout
        ? undefined
        : facts.remaining
      const made = Result.flatMap(
        options?.timeoutMs === undefined ? noTimeout : bound(options.timeoutMs),
        (own) =>
          Result.map(headers(options?.headers, facts), (headers): Attempt => ({
            method,
            retryOn,
            headers,
            remaining,
            timeoutMs: smaller(own, remaining),
            clock,
            startedAt: Deadline.unsafeNow(clock),
            deadline: Context.get(currentContext, Deadline.CurrentDeadline),
            sending: watch(transport, progress)
          }))
      )
      return Result.mapError(made, (error) => withMethod(error, method))
    }))

const noTimeout: Result.Result<number | undefined> = Result.succeed(undefined)

/**
 * Returns how long before its time, in milliseconds, an attempt that ends counts as timed out: at most 50, and at most
 * a tenth of the time. The timer of the server may end earlier than ours, and a fixed margin could cover all of a short
 * time.
 */
const slackOf = (timeoutMs: number): number => Math.min(50, timeoutMs / 10)

/** Marks a failure as not sent when nothing was written. */
const unsent = ({ sending }: Attempt, found: Retryable | Fatal): Retryable | Fatal =>
  found._tag === "Retryable" && sending.isUnsent() ? withDelivery(found, "NotSent") : found

/**
 * Returns the failure of an attempt that ended because its time had passed, `undefined` for another failure. When the
 * time was that of the deadline, it waits until then: an attempt that ends in `AttemptTimeout` at the deadline counts
 * as cut by the deadline.
 */
const timedOut = (attempt: Attempt, cause: unknown): Effect.Effect<never, Retryable | Fatal> | undefined => {
  const { clock, method, remaining, startedAt, timeoutMs } = attempt
  const took = Deadline.unsafeNow(clock) - startedAt
  if (
    timeoutMs === undefined ||
    !(ConnectFailure.isTimer(cause) || (took >= timeoutMs - slackOf(timeoutMs) && ConnectFailure.mayBeTimeout(cause)))
  ) {
    return undefined
  }
  const error = Effect.fail(withMethod(unsent(attempt, ConnectFailure.timedOut(cause)), method))
  return timeoutMs === remaining ? Effect.andThen(sleepUntil(clock, attempt.deadline), error) : error
}

/** Classifies a rejection of the library. */
const failed = (
  attempt: Attempt,
  answer: ConnectFailure.Answer,
  failure: unknown
): Effect.Effect<never, Retryable | Fatal> =>
  Effect.suspend(() => {
    const { clock, method, retryOn } = attempt
    const late = timedOut(attempt, failure)
    if (late !== undefined) {
      return late
    }
    // a date from the server is wall time
    const classify = ConnectFailure.classify({ now: clock.unsafeCurrentTimeMillis(), retryOn, answer })
    return Effect.fail(withMethod(unsent(attempt, classify(failure)), method))
  })

/** Runs a promise of the library. */
const run = <A>(
  attempt: Attempt,
  answer: ConnectFailure.Answer,
  start: (signal: AbortSignal) => PromiseLike<A>
): Effect.Effect<A, Retryable | Fatal> =>
  Effect.catchAll(
    Effect.tryPromise({
      try: (signal) => attempt.sending.start(() => start(signal)),
      catch: (failure) => ({ failure })
    }),
    ({ failure }) => failed(attempt, answer, failure)
  )

/** Calls a callback of the user. What it throws is no failure of the request, which was answered. */
const tell = ({ method }: Attempt, told: () => void): Result.Result<void, Retryable | Fatal> =>
  Result.try({ try: told, catch: (thrown) => withMethod(Classify.unknown(thrown), method) })

/** Makes a unary call. @internal */
export const unary = <I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: DescMethodUnary<I, O>,
  settings: Settings,
  request: MessageInitShape<I>,
  options: CallOptions | undefined
): Effect.Effect<MessageShape<O>, Retryable | Fatal> =>
  Deadline.whileUnsent((progress) =>
    Effect.flatMap(begin(transport, progress, settings, options, false), (attempt) => {
      const { headers } = attempt
      const values = options?.contextValues
      const answered = run(
        attempt,
        "NotKnown",
        (signal) => transport.unary(method, signal, timeoutOf(attempt), headers, request, values)
      )
      return Effect.flatMap(answered, ({ header, message, trailer }) => {
        const told = tell(attempt, () => {
          options?.onHeader?.(header)
          options?.onTrailer?.(trailer)
        })
        return Result.map(told, () => message)
      })
    })
  )

/**
 * Asks for the next message once until it is taken: when a wait for it is interrupted, the next wait is for the same
 * one.
 */
const oneAtATime = <A>(messages: AsyncIterator<A>) => {
  let asked: Promise<IteratorResult<A>> | undefined
  return {
    ask: () => asked ??= messages.next(),
    taken: () => {
      asked = undefined
    }
  }
}

/**
 * Makes a server-streaming call, which completes with the first message or the end. A failed attempt ends its request;
 * another one ends with the scope, or with the stream.
 *
 * @internal
 */
export const serverStream = <I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: DescMethodServerStreaming<I, O>,
  settings: Settings,
  request: MessageInitShape<I>,
  options: CallOptions | undefined
): Effect.Effect<Stream.Stream<MessageShape<O>, Retryable | Fatal>, Retryable | Fatal, Scope.Scope> =>
  untilFirst(
    settings.method,
    Deadline.whileUnsent((progress) =>
      Effect.gen(function*() {
        const attempt = yield* begin(transport, progress, settings, options, true)
        const controller = yield* Effect.acquireRelease(
          Effect.sync(() => new AbortController()),
          (controller) => Effect.sync(() => controller.abort())
        )
        const response = yield* run(attempt, "Nothing", () =>
          transport.stream(
            method,
            controller.signal,
            timeoutOf(attempt),
            attempt.headers,
            createAsyncIterable([request]),
            options?.contextValues
          ))
        yield* tell(attempt, () => options?.onHeader?.(response.header))
        const next = oneAtATime(response.message[Symbol.asyncIterator]())
        const ended = Effect.andThen(
          Effect.suspend(() => tell(attempt, () => options?.onTrailer?.(response.trailer))),
          Effect.succeedNone
        )
        return run(attempt, "Begun", next.ask).pipe(
          Effect.flatMap((result) => {
            next.taken()
            return result.done === true ? ended : Effect.succeedSome(Chunk.of(result.value))
          }),
          Effect.mapError(Option.some),
          Effect.flatMap(Option.match({ onNone: () => Effect.fail(Option.none()), onSome: Effect.succeed }))
        )
      })
    )
  )
