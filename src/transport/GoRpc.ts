/**
 * A client of Go's `net/rpc` servers that use the JSON codec (`net/rpc/jsonrpc`), over TCP, TLS or a Unix socket.
 *
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const rpc = yield* GoRpc.make({ host: "127.0.0.1", port: 1234 })
 *   return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)
 * })
 * ```
 *
 * One connection serves all calls at once. It is dialled when the first call needs it, and again after it broke: a
 * connection that failed is never used again, and its calls fail with `Retryable ConnectionLost`.
 *
 * | what happens                                                | error of the call                                   |
 * | ----------------------------------------------------------- | --------------------------------------------------- |
 * | nobody listens, no such host, no answer to the dial         | `Retryable`, not sent                               |
 * | the connection breaks before the request is written         | `Retryable`, mostly `ConnectionLost`, not sent      |
 * | the connection breaks after that                            | `Retryable ConnectionLost`, may have run            |
 * | the server answers with an error string                     | `Fatal ServerError`, the string as `message`        |
 * | the server does not know the service or the method          | `Fatal Unimplemented`                               |
 * | `JSON.stringify` throws on the arguments (bigints, cycles)  | `Fatal InvalidArgument`, nothing sent               |
 * | the peer sends no answer, or one too large or too deep      | `Fatal Protocol`, and the connection is closed      |
 * | the certificate of the peer does not verify                 | `Fatal Protocol`                                    |
 * | the answer does not fit the `reply` schema                  | `Fatal Protocol`; the connection stays              |
 * | the client is closed                                        | `Fatal Cancelled`                                   |
 *
 * A call that is interrupted is forgotten: `net/rpc` has no way to cancel, so the server may go on, and its late answer is
 * dropped. JSON numbers are JavaScript numbers: integers beyond 2^53 lose precision.
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import * as Array from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ConnectionOptions } from "node:tls"
import * as Classify from "../Classify.js"
import { checkDuration, checkNumber, InvalidOption, orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import { Fatal, Retryable, withMethod } from "../RpcError.js"
import * as Connection from "./Connection.js"
import * as JsonFrames from "./internal/jsonFrames.js"
import * as Session from "./internal/session.js"
import * as NodeSocket from "./internal/socket.js"

/**
 * Where the server is.
 *
 * - `host` and `port`, or the `path` of a Unix socket.
 * - `tls`: Node's options; an empty object trusts what Node trusts.
 * - `socket`: instead of these, anything that makes a `Socket` of `@effect/platform`. It is made anew for every dial.
 *
 * TCP connections send small requests at once (no delay), and probe a silent peer after 15 seconds (keep-alive).
 *
 * @since 0.1.0
 * @category models
 */
export type Address =
  | {
    readonly host: string
    readonly port: number
    readonly tls?: ConnectionOptions | undefined
  }
  | {
    readonly path: string
    readonly tls?: ConnectionOptions | undefined
  }
  | {
    readonly socket: Effect.Effect<Socket.Socket, Socket.SocketError>
  }

/**
 * - `dialTimeout`: bound on one dial. Default 5 seconds.
 * - `maxFrameBytes`: the largest answer that is read. Default 64 MiB. One nested deeper than 1000 levels is not read either.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  readonly dialTimeout?: Duration.DurationInput | undefined
  readonly maxFrameBytes?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Options = Address & Limits

/**
 * - `idempotent`: whether the method may run twice. See `RpcCall`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  readonly idempotent?: boolean | undefined
}

/**
 * - `call`: one call of `"Service.Method"`, not retried: pipe it through `withRpcRetry`. With a schema for the `reply` the
 *   answer is decoded by it; without one it is `unknown`.
 * - `pending`: how many calls wait for their answer now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly call: {
    <A, I, R>(
      method: string,
      args: unknown,
      options: CallOptions & { readonly reply: Schema.Schema<A, I, R> }
    ): RpcCall.RpcCall<A, Retryable | Fatal, R>
    (method: string, args: unknown, options?: CallOptions): RpcCall.RpcCall<unknown, Retryable | Fatal>
  }
  readonly pending: Effect.Effect<number>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class GoRpc extends Context.Tag("effect-rpc-retry/GoRpc")<GoRpc, Client>() {}

/**
 * A client that lives as long as the scope. It does not connect before the first call.
 *
 * Throws `InvalidOption` for an address that is none, TLS options that Node refuses, or a limit out of range.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Quotient = Schema.Struct({ Quo: Schema.Int, Rem: Schema.Int })
 *
 * const program = Effect.gen(function*() {
 *   const rpc = yield* GoRpc.make({ host: "127.0.0.1", port: 1234 })
 *   const { Quo, Rem } = yield* rpc.call("Arith.Divide", { A: 17, B: 5 }, { reply: Quotient }).pipe(withRpcRetry)
 *   yield* Effect.log(`${Quo} remainder ${Rem}`)
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Client, never, Scope.Scope> => {
  const { dialTimeout, maxFrameBytes } = orThrow(limits(options))
  const socket = "socket" in options ? options.socket : NodeSocket.make(options)
  return Effect.gen(function*() {
    let session: Session.Session | undefined
    const connection = yield* Connection.make<Session.Session, Retryable | Fatal, Scope.Scope>({
      dial: (discard) =>
        socket.pipe(
          Effect.mapError(Classify.classify),
          Effect.flatMap((socket) => Session.open(socket, codec(maxFrameBytes), discard)),
          Effect.timeoutFail({ duration: dialTimeout, onTimeout: () => notDialled("DIAL_TIMEOUT") }),
          // an interruption that is not the client's own: nobody has asked these callers to stop
          Effect.catchAllCause((cause) =>
            Cause.isInterruptedOnly(cause) ? Effect.fail(notDialled("INTERRUPTED")) : Effect.failCause(cause)
          ),
          Effect.tap((opened) => {
            session = opened
          })
        ),
      closed: Session.closed,
      name: nameOf(options)
    })
    const answer = (method: string, args: unknown) =>
      connection.get.pipe(
        Effect.flatMap((session) => session.call(method, args)),
        Effect.mapError((error) => withMethod(error, method))
      )
    const call = (
      method: string,
      args: unknown,
      options?: CallOptions & { readonly reply?: Schema.Schema<unknown, unknown, unknown> }
    ) =>
      RpcCall.make(
        options?.reply === undefined ? answer(method, args) : decoded(answer(method, args), options.reply, method),
        { method, idempotent: options?.idempotent }
      )
    return {
      call: call as Client["call"],
      pending: Effect.sync(() => session?.pending() ?? 0)
    }
  })
}

/**
 * The client as a service. Throws as `make` does.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.flatMap(GoRpc.GoRpc, (rpc) => rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry))
 *
 * const main = program.pipe(Effect.provide(GoRpc.layer({ host: "127.0.0.1", port: 1234 })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<GoRpc> => Layer.scoped(GoRpc, make(options))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const notDialled = (code: string) => new Retryable({ reason: "Unavailable", delivery: "NotSent", code })

const nameOf = (options: Options): string =>
  "socket" in options
    ? "socket"
    : `${options.tls === undefined ? "" : "tls+"}${
      "path" in options ? `unix:${options.path}` : `tcp://${options.host}:${options.port}`
    }`

const limits = (options: Options) =>
  Either.gen(function*() {
    const where = "GoRpc.make"
    const dialTimeout = yield* checkDuration(where, "dialTimeout", options.dialTimeout ?? "5 seconds")
    const maxFrameBytes = yield* checkNumber(where, "maxFrameBytes", options.maxFrameBytes ?? 64 * 1024 * 1024, {
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      integer: true
    })
    const invalid = (field: string, problem: string) => Either.left(new InvalidOption({ where, field, problem }))
    if ("socket" in options) {
      return { dialTimeout, maxFrameBytes }
    }
    if ("path" in options) {
      if (!Predicate.isString(options.path) || options.path === "") {
        return yield* invalid("path", `must be the path of a socket, got ${JSON.stringify(options.path)}`)
      }
    } else {
      if (!Predicate.isString(options.host) || options.host === "") {
        return yield* invalid("host", `must be a name or an address, got ${JSON.stringify(options.host)}`)
      }
      yield* checkNumber(where, "port", options.port, { min: 1, max: 65_535, integer: true })
    }
    if (options.tls !== undefined) {
      yield* Either.mapLeft(
        NodeSocket.validateTls(options.tls),
        (problem) => new InvalidOption({ where, field: "tls", problem })
      )
    }
    return { dialTimeout, maxFrameBytes }
  })

const decoded = <A, I, R>(
  answer: Effect.Effect<unknown, Retryable | Fatal>,
  schema: Schema.Schema<A, I, R>,
  method: string
): Effect.Effect<A, Retryable | Fatal, R> => {
  const decode = Schema.decodeUnknown(schema)
  const unexpected = (cause: unknown) => {
    const problem = (cause instanceof Error ? cause.message : String(cause)).slice(0, maxProblem)
    return new Fatal({ reason: "Protocol", method, message: `the reply is not as expected: ${problem}`, cause })
  }
  return Effect.flatMap(answer, (value) =>
    Effect.suspend(() => decode(value)).pipe(
      Effect.mapError(unexpected),
      Effect.catchAllDefect((defect) => Effect.fail(unexpected(defect)))
    ))
}

/** A schema quotes what it does not expect, and that may be all of a large reply. */
const maxProblem = 1_000

/**
 * The JSON codec of `net/rpc/jsonrpc`: `{ method, params: [args], id }` one way, `{ id, result, error }` the other.
 */
const codec = (maxFrameBytes: number): Session.Codec => ({
  encode: (id, method, params) =>
    Either.try({
      try: () => JSON.stringify({ method, params: [params], id }) + "\n",
      catch: (cause) =>
        new Fatal({ reason: "InvalidArgument", method, message: "the arguments cannot be written as JSON", cause })
    }),
  decoder: () => {
    const splitter = JsonFrames.make(maxFrameBytes)
    return (chunk) => {
      const { frames, problem } = splitter.push(chunk)
      const [strange, answers] = Array.partitionMap(frames, answerOf)
      return { answers, problem: strange[0] ?? problem }
    }
  }
})

const answerOf = (frame: unknown): Either.Either<Session.Answer, string> => {
  if (!Predicate.hasProperty(frame, "id") || !Predicate.isNumber(frame.id) || !Number.isInteger(frame.id)) {
    return Either.left("an answer without a request id")
  }
  const error = Predicate.hasProperty(frame, "error") ? frame.error : null
  const result = Predicate.hasProperty(frame, "result") ? frame.result : null
  return Either.right({
    id: frame.id,
    result: error === null ? Either.right(result) : Either.left(serverError(error))
  })
}

/** How `net/rpc` itself says that it has no such method; the words are part of its protocol. */
const unimplemented = [
  "rpc: can't find service ",
  "rpc: can't find method ",
  "rpc: service/method request ill-formed: "
]

const serverError = (error: unknown): Fatal => {
  const message = typeof error === "string" ? error || "unspecified error" : "an error that is not a string"
  return new Fatal({
    reason: unimplemented.some((words) => message.startsWith(words)) ? "Unimplemented" : "ServerError",
    message
  })
}
