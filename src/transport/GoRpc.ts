/**
 * A client of Go's `net/rpc` servers, with either of its codecs: gob, and JSON as in `net/rpc/jsonrpc`; over TCP, TLS,
 * a Unix socket, or HTTP as `rpc.DialHTTP` does.
 *
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Gob from "effect-rpc-retry/Gob"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Schema from "effect/Schema"
 *
 * const Arith = GoRpc.service("Arith", {
 *   Divide: {
 *     args: Schema.Struct({ A: Gob.Int, B: Gob.Int }),
 *     reply: Schema.Struct({ Quo: Gob.Int, Rem: Gob.Int })
 *   }
 * })
 *
 * const program = Arith.Divide({ A: 17, B: 5 }).pipe(withRpcRetry)
 * ```
 *
 * One connection carries all calls at the same time. It is dialled when the first call needs it, and anew after it
 * broke: a connection that failed is never used again, and its calls in flight fail with `Retryable ConnectionLost`.
 * See `Connection`.
 *
 * | what happens                                                | error of the call                                   |
 * | ----------------------------------------------------------- | --------------------------------------------------- |
 * | nobody listens, no such host, no answer to the dial         | `Retryable`, not sent                               |
 * | the connection breaks before the request is written         | `Retryable`, mostly `ConnectionLost`, not sent      |
 * | the connection breaks after that                            | `Retryable ConnectionLost`, may have run            |
 * | the attempt timeout or the deadline passes before that      | `Retryable AttemptTimeout`, not sent                |
 * | ... after that                                              | `Retryable AttemptTimeout`, may have run            |
 * | a ping is not answered in time                              | `Retryable ConnectionLost`, may have run            |
 * | the server answers with an error string                     | `Fatal ServerError`, the string as `message`        |
 * | the server does not know the service or the method          | `Fatal Unimplemented`                               |
 * | the arguments do not fit their schema, or cannot be written | `Fatal InvalidArgument`, nothing sent               |
 * | the answer is too large, too deep, or not readable          | `Fatal Protocol`; the connection stays              |
 * | the peer sends no answer, or one whose end is not known     | `Fatal Protocol`, and the connection is closed      |
 * | the peer answers `CONNECT` with 502, 503, 504 or 429        | `Retryable Unavailable`, not sent                   |
 * | ... with anything else but Go's words                       | `Fatal Protocol`                                    |
 * | the certificate of the peer does not verify                 | `Fatal Protocol`                                    |
 * | the answer does not fit the `reply` schema                  | `Fatal Protocol`; the connection stays              |
 * | the client is closed                                        | `Fatal Cancelled`                                   |
 *
 * `net/rpc` has no way to cancel a call: after an interruption the server may go on, and its late answer is dropped.
 *
 * With JSON, numbers are JavaScript numbers: integers beyond 2^53 lose precision. With gob, `Gob.Int64` keeps them
 * exact; and a call needs a schema for its `args`, since a value alone does not determine its type in Go.
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { NoInfer } from "effect/Types"
import * as Classify from "../Classify.js"
import type { State } from "../Connections.js"
import * as Deadline from "../Deadline.js"
import * as Causes from "../internal/effect/cause.js"
import { checkKnown, orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import { type Fatal, Retryable, withDelivery, withWait } from "../RpcError.js"
import * as Connection from "./Connection.js"
import { closed } from "./connection/loss.js"
import * as NodeSocket from "./connection/socket.js"
import type { Codec } from "./goRpc/codec.js"
import * as gob from "./goRpc/gobCodec.js"
import * as json from "./goRpc/jsonCodec.js"
import * as GoOptions from "./goRpc/options.js"
import type { Options } from "./goRpc/options.js"
import * as Session from "./goRpc/session.js"

export type { Address, Options, Ping, Settings } from "./goRpc/options.js"

/**
 * The options of a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  /** Says whether the method may run twice: `true` or `false`; see {@link RpcCall.RpcCall}. Default: not known. */
  readonly idempotent?: boolean | undefined
}

/**
 * A client of one server, over one connection. It is made with {@link make} or {@link layer}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  /**
   * Makes one call of `"Service.Method"`, which is not retried: pipe it through `withRpcRetry`. With a schema for the
   * `reply` the answer is decoded by it; without one it is `unknown`. With a schema for the `args` they are encoded by
   * it; gob needs one.
   */
  readonly call: {
    /** Calls a method without schemas: the arguments are sent as they are, and the answer is `unknown`. */
    (
      method: string,
      args: unknown,
      options?: CallOptions & { readonly args?: undefined; readonly reply?: undefined }
    ): RpcCall.RpcCall<unknown, Retryable | Fatal>
    /** Calls a method and decodes the answer by the schema `reply`; the arguments are sent as they are. */
    <A, I, R>(
      method: string,
      args: unknown,
      options: CallOptions & { readonly args?: undefined; readonly reply: Schema.Schema<A, I, R> }
    ): RpcCall.RpcCall<A, Retryable | Fatal, R>
    /** Calls a method and encodes the arguments by the schema `args`; the answer is `unknown`. */
    <Args, AI, AR>(
      method: string,
      args: NoInfer<Args>,
      options: CallOptions & { readonly args: Schema.Schema<Args, AI, AR>; readonly reply?: undefined }
    ): RpcCall.RpcCall<unknown, Retryable | Fatal, AR>
    // last: the compiler reports the last overload when none fits
    /** Calls a method, encodes the arguments by the schema `args` and decodes the answer by the schema `reply`. */
    <Args, AI, AR, A, I, R>(
      method: string,
      args: NoInfer<Args>,
      options: CallOptions & {
        readonly args: Schema.Schema<Args, AI, AR>
        readonly reply: Schema.Schema<A, I, R>
      }
    ): RpcCall.RpcCall<A, Retryable | Fatal, AR | R>
  }
  /** Counts the calls that wait for their answer now. */
  readonly pending: Effect.Effect<number>
  /** Returns the {@link State} of the connection now. */
  readonly state: Effect.Effect<State>
  /** Emits the {@link State} of the connection now, and each later one; it ends when the client is closed. */
  readonly states: Stream.Stream<State>
  /**
   * Takes no more calls, and completes when the calls in flight have ended and the connection is closed. The end of the
   * scope closes at once, unless `drainTimeout` gives calls in flight more time.
   */
  readonly close: Effect.Effect<void>
}

/**
 * The tag of a {@link Client} in the context; {@link layer} provides it, and {@link service} uses it by default.
 *
 * @since 0.1.0
 * @category tags
 */
export class GoRpc extends Context.Tag("effect-rpc-retry/GoRpc")<GoRpc, Client>() {}

/**
 * Makes a client that lives as long as the scope. The first call dials the connection.
 *
 * Throws `InvalidOption` for an invalid address, TLS options that Node refuses, or a setting out of range.
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
export const make = (options: Options): Effect.Effect<Client, never, Scope.Scope> =>
  options.codec === "gob" ? client(options, gob.codec) : client(options, json.codec)

/**
 * Provides the client as a service. Throws as {@link make} does.
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

/**
 * The types of a method, as in its signature in Go: `func (t *Arith) Divide(args *Args, reply *Quotient) error`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Method extends CallOptions {
  /** The schema that encodes the arguments: the first parameter of the method in Go. */
  readonly args: Schema.Schema.Any
  /** The schema that decodes the answer: the second parameter of the method in Go. */
  readonly reply: Schema.Schema.Any
}

/**
 * The methods of a Go service, as functions that return calls.
 *
 * @since 0.1.0
 * @category models
 */
export type Service<Methods extends Readonly<Record<string, Method>>, E = never, R = GoRpc> = {
  readonly [Name in keyof Methods]: (args: Schema.Schema.Type<Methods[Name]["args"]>) => RpcCall.RpcCall<
    Schema.Schema.Type<Methods[Name]["reply"]>,
    Retryable | Fatal | E,
    Schema.Schema.Context<Methods[Name]["args"]> | Schema.Schema.Context<Methods[Name]["reply"]> | R
  >
}

/** Rejects unknown fields, so that a misspelt `idempotent` is a compile error. */
type NoOthers<Methods> = {
  readonly [Name in keyof Methods]: { readonly [Key in Exclude<keyof Methods[Name], keyof Method>]: never }
}

/**
 * Describes a Go service by its name and the types of its methods, and returns its methods as functions that return
 * calls.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Gob from "effect-rpc-retry/Gob"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Args = Schema.Struct({ A: Gob.Int, B: Gob.Int })
 * const Quotient = Schema.Struct({ Quo: Gob.Int, Rem: Gob.Int })
 *
 * const Arith = GoRpc.service("Arith", {
 *   Multiply: { args: Args, reply: Gob.Int, idempotent: true },
 *   Divide: { args: Args, reply: Quotient, idempotent: true }
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { Quo, Rem } = yield* Arith.Divide({ A: 17, B: 5 }).pipe(withRpcRetry)
 *   yield* Effect.log(`${Quo} remainder ${Rem}`)
 * })
 *
 * const main = program.pipe(Effect.provide(GoRpc.layer({ host: "127.0.0.1", port: 1234, codec: "gob" })))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const service = <const Methods extends Readonly<Record<string, Method>>, E = never, R = GoRpc>(
  name: string,
  methods: Methods & NoOthers<Methods>,
  options?: {
    /**
     * The client to call the service with, for programs with several servers. Default: the {@link GoRpc} of the
     * context.
     */
    readonly client?: Effect.Effect<Client, E, R> | undefined
  }
): Service<Methods, E, R> => {
  orThrow(checkKnown("GoRpc.service", options ?? {}, ["client"]))
  const client: Effect.Effect<Client, E, R | GoRpc> = options?.client ?? GoRpc
  const calls = Object.entries(methods as Readonly<Record<string, Method>>).map(([key, options]) => {
    const method = `${name}.${key}`
    orThrow(checkKnown("GoRpc.service", options, callFields, `${key}.`))
    const { args, idempotent, reply } = options as
      & CallOptions
      & { readonly [Key in "args" | "reply"]: Schema.Schema<unknown, unknown, unknown> }
    const call = (value: unknown) =>
      RpcCall.make(
        Effect.flatMap(client, ({ call }) => call(method, value, { args, reply })),
        { method, idempotent }
      )
    return [key, call] as const
  })
  return Object.fromEntries(calls) as unknown as Service<Methods, E, R>
}

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const client = <Request>(options: Options, codec: Codec<Request>): Effect.Effect<Client, never, Scope.Scope> => {
  const { dialTimeout, lifetime, maxFrameBytes, ping } = orThrow(GoOptions.check(options))
  const socket = "socket" in options ? options.socket : NodeSocket.make(options)
  const pinging = ping === undefined
    ? undefined
    : { ...ping, request: codec.ping(ping.method) }
  return Effect.gen(function*() {
    const sessions = new Set<Session.Session<Request>>()
    const open = (socket: Socket.Socket, dialled: Connection.Dialled) =>
      Effect.tap(Session.open(socket, codec.wire(maxFrameBytes), dialled, pinging), (session) =>
        Effect.acquireRelease(
          Effect.sync(() => sessions.add(session)),
          () => Effect.sync(() => sessions.delete(session))
        ))
    const connection = yield* Connection.make<Session.Session<Request>, Retryable | Fatal, Scope.Scope>({
      ...lifetime,
      dial: (dialled) =>
        socket.pipe(
          Effect.mapError(Classify.classify),
          Effect.flatMap((socket) => open(socket, dialled)),
          Effect.timeoutFail({ duration: dialTimeout, onTimeout: () => notDialled("DIAL_TIMEOUT") }),
          // whatever happened, no request was written yet
          Effect.mapError((error) => error._tag === "Retryable" ? withDelivery(error, "NotSent") : error),
          // an interruption that does not come from the client must fail the waiting calls, not interrupt them
          Effect.catchAllCause((cause) =>
            Causes.isInterruption(cause) ? Effect.fail(notDialled("INTERRUPTED")) : Effect.failCause(cause)
          )
        ),
      closed,
      name: nameOf(options),
      afterWait: (error, waited) => error._tag === "Retryable" ? withWait(error, waited) : error
    })
    const call = (
      method: string,
      args: unknown,
      options?: CallOptions & {
        readonly args?: Schema.Schema<unknown, unknown, unknown>
        readonly reply?: Schema.Schema<unknown, unknown, unknown>
      }
    ) => {
      if (options !== undefined) {
        orThrow(checkKnown("GoRpc.call", options, callFields))
      }
      const schemas = { args: options?.args, reply: options?.reply }
      const answer = codec.request(method, args, schemas).pipe(
        Effect.flatMap((request) =>
          Deadline.whileUnsent((progress) => {
            const call = new Session.Call(request, progress)
            return connection.use((session) => session.call(call), { progress, ended: () => call.end() })
          })
        ),
        Effect.flatMap((answer) => codec.reply(answer, schemas))
      )
      return RpcCall.make(answer, { method, idempotent: options?.idempotent })
    }
    return {
      call: call as Client["call"],
      pending: Effect.sync(() => Array.from(sessions).reduce((sum, session) => sum + session.pending(), 0)),
      state: connection.state,
      states: connection.states,
      close: connection.close
    }
  })
}

const callFields = ["args", "reply", "idempotent"]

const notDialled = (code: string) => new Retryable({ reason: "Unavailable", delivery: "NotSent", code })

const nameOf = (options: Options): string =>
  "socket" in options
    ? "socket"
    : `${options.tls === undefined ? "" : "tls+"}${
      "path" in options
        ? `unix:${options.path}`
        : `${options.http === undefined || options.http === false ? "tcp" : "http"}://${options.host}:${options.port}`
    }`
