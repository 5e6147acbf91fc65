/**
 * Attempts over a Connect transport.
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
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Classify from "../../Classify.js"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
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

/** How an attempt of a method is made. @internal */
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
  readonly headers: Headers
  /** `Infinity` is none, and `undefined` what the transport has. */
  readonly timeoutMs: number | undefined
  /** On the scale of `Deadline.now`. */
  readonly startedAt: number
  /** The time until the deadline of the call, in whole milliseconds; `undefined` when it is not sent. */
  readonly remaining: number | undefined
  /** The deadline of the call, on the scale of `Deadline.now`. */
  readonly deadline: number
  /** Starts the request where the transport tells what it has written of it. */
  readonly start: <A>(request: () => A) => A
  /** Whether nothing of the request can have been written. `false` where the transport does not tell. */
  readonly isUnsent: () => boolean
}

/** What gRPC can write, in eight digits: 27 hours. A timer of more than 24 days would end at once. */
const maxTimeout = 99_999_999

/** What the user gave, in the whole milliseconds that the protocols can write. Zero is no bound, for the library too. */
const bound = (timeoutMs: number): Effect.Effect<number, Fatal> => {
  if (typeof timeoutMs !== "number" || !(timeoutMs >= 0)) {
    const message = `timeoutMs must be a number of milliseconds of at least 0, got ${timeoutMs}`
    return Effect.fail(new Fatal({ reason: "InvalidArgument", message }))
  }
  return Effect.succeed(timeoutMs === 0 || timeoutMs > maxTimeout ? Infinity : Math.max(1, Math.floor(timeoutMs)))
}

const smaller = (own: number | undefined, remaining: number | undefined): number | undefined =>
  own === undefined || remaining === undefined ? own ?? remaining : Math.min(own, remaining)

/** As the library takes it. */
const timeoutOf = ({ timeoutMs }: Attempt): number | undefined => timeoutMs === Infinity ? 0 : timeoutMs

const factsOf = (facts: Deadline.Facts): Readonly<Record<string, string>> => ({
  ...headersOf(facts),
  ...(facts.previousAttempts > 0 ? { "grpc-previous-rpc-attempts": String(facts.previousAttempts) } : {})
})

/** What the user set stays. */
const headers = (options: CallOptions | undefined, facts: Deadline.Facts): Effect.Effect<Headers, Fatal> =>
  Effect.try({
    try: () => {
      const headers = new Headers(options?.headers)
      Object.entries(factsOf(facts)).forEach(([name, value]) => headers.has(name) || headers.set(name, value))
      return headers
    },
    catch: (cause) =>
      new Fatal({ reason: "InvalidArgument", message: "a header cannot be written as HTTP", cause: Excerpt.of(cause) })
  })

/** What an attempt knows of its request while it is made. */
const watch = (transport: Transport, progress: Deadline.Progress): Pick<Attempt, "start" | "isUnsent"> => {
  const watch = ConnectWatch.of(transport)
  if (watch === undefined) {
    // it says nothing, so it may have written the request
    progress.sending()
    return { start: (request) => request(), isUnsent: () => false }
  }
  let isSent = false
  const sending = () => {
    const may = progress.sending()
    isSent ||= may
    return may
  }
  return { start: (request) => watch({ ...progress, sending }, request), isUnsent: () => !isSent }
}

const begin = (
  transport: Transport,
  progress: Deadline.Progress,
  settings: Settings,
  options: CallOptions | undefined,
  isStream: boolean
) =>
  Effect.gen(function*() {
    const known = yield* Deadline.facts
    const own = options?.timeoutMs === undefined ? undefined : yield* bound(options.timeoutMs)
    const written = yield* headers(options, known)
    const remaining = isStream || known.remaining === undefined || known.remaining > maxTimeout
      ? undefined
      : known.remaining
    const attempt: Attempt = {
      ...settings,
      headers: written,
      remaining,
      timeoutMs: smaller(own, remaining),
      startedAt: yield* Deadline.now,
      deadline: yield* Deadline.CurrentDeadline,
      ...watch(transport, progress)
    }
    return attempt
  }).pipe(Effect.mapError((error) => withMethod(error, settings.method)))

/**
 * Timers are not exact, those of the server less than ours: an attempt that ends so shortly before its time has timed out. Of a short
 * time a part, or all of it would be its end.
 */
const slackOf = (timeoutMs: number): number => Math.min(50, timeoutMs / 10)

/** What fails before anything was written was not sent, whatever it is. */
const unsent = ({ isUnsent }: Attempt, found: Retryable | Fatal): Retryable | Fatal =>
  found._tag === "Retryable" && isUnsent() ? withDelivery(found, "NotSent") : found

/**
 * Returns the failure of an attempt that ended because its time had passed, `undefined` for another failure. When the time was that
 * of the deadline, it waits until then: an attempt that ends in `AttemptTimeout` at the deadline counts as cut by the deadline.
 */
const timedOut = (
  attempt: Attempt,
  clock: Clock.Clock,
  cause: unknown
): Effect.Effect<never, Retryable | Fatal> | undefined => {
  const { method, remaining, startedAt, timeoutMs } = attempt
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

/** What a promise of the library rejects with, as what it means. */
const run = <A>(
  attempt: Attempt,
  answer: ConnectFailure.Answer,
  start: (signal: AbortSignal) => PromiseLike<A>
): Effect.Effect<A, Retryable | Fatal> =>
  Effect.catchAll(
    Effect.tryPromise({ try: (signal) => attempt.start(() => start(signal)), catch: (failure) => ({ failure }) }),
    ({ failure }) =>
      Effect.flatMap(Effect.clock, (clock) =>
        timedOut(attempt, clock, failure) ?? Effect.fail(
          withMethod(
            unsent(
              attempt,
              // a date of the server's is one of the wall
              ConnectFailure.classify({ now: clock.unsafeCurrentTimeMillis(), retryOn: attempt.retryOn, answer })(
                failure
              )
            ),
            attempt.method
          )
        ))
  )

/** What a callback throws comes after the answer, and is no failure of the request, whatever it looks like. */
const tell = ({ method }: Attempt, told: () => void): Effect.Effect<void, Retryable | Fatal> =>
  Effect.try({ try: told, catch: (thrown) => withMethod(Classify.unknown(thrown), method) })

/** One request, one answer. @internal */
export const unary = <I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  method: DescMethodUnary<I, O>,
  settings: Settings,
  request: MessageInitShape<I>,
  options: CallOptions | undefined
): Effect.Effect<MessageShape<O>, Retryable | Fatal> =>
  Deadline.whileUnsent((progress) =>
    Effect.gen(function*() {
      const attempt = yield* begin(transport, progress, settings, options, false)
      const { header, message, trailer } = yield* run(
        attempt,
        "NotKnown",
        (signal) =>
          transport.unary(method, signal, timeoutOf(attempt), attempt.headers, request, options?.contextValues)
      )
      yield* tell(attempt, () => {
        options?.onHeader?.(header)
        options?.onTrailer?.(trailer)
      })
      return message
    })
  )

/**
 * One request, and its answers as they come. Done with the first of them, or the end. A request that fails before that is over;
 * one that does not ends with the scope, or with the stream.
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
        const messages = response.message[Symbol.asyncIterator]()
        const ended = Effect.andThen(tell(attempt, () => options?.onTrailer?.(response.trailer)), Effect.succeedNone)
        return run(attempt, "Begun", () => messages.next()).pipe(
          Effect.flatMap((result) => result.done === true ? ended : Effect.succeedSome(Chunk.of(result.value))),
          Effect.mapError(Option.some),
          Effect.flatMap(Option.match({ onNone: () => Effect.fail(Option.none()), onSome: Effect.succeed }))
        )
      })
    )
  )
