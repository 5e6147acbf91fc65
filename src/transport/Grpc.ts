/**
 * Calls of a client of `@grpc/grpc-js`, as it is generated or loaded: the client, its credentials and its interceptors
 * stay as they are.
 *
 * ```ts
 * import * as grpc from "@grpc/grpc-js"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Grpc from "effect-rpc-retry/Grpc"
 *
 * interface UserClient extends grpc.Client {
 *   getUser(request: { id: string }, callback: grpc.requestCallback<{ name: string }>): grpc.ClientUnaryCall
 * }
 * declare const UserClient: new(address: string, credentials: grpc.ChannelCredentials, options?: object) => UserClient
 *
 * const users = Grpc.client(new UserClient("127.0.0.1:50051", grpc.credentials.createInsecure(), Grpc.channelOptions))
 *
 * const program = users.getUser({ id: "1" }).pipe(withRpcRetry)
 * ```
 *
 * An attempt is one call of the library. A request that no server has processed, because its stream was refused or the
 * connection had just closed, is repeated at once within its attempt, at most once, so that replacing a server loses no
 * call. See {@link channelOptions} for the retries that the library makes itself.
 *
 * | what happens                                                    | error of the call                                       |
 * | --------------------------------------------------------------- | ------------------------------------------------------- |
 * | no stream was opened: the connection is refused                 | `Retryable ConnectionRefused`, not sent                 |
 * | no stream was opened: no address, no connection                 | `Retryable Unavailable`, not sent                       |
 * | no stream was opened: the certificate does not verify           | `Fatal Protocol`                                        |
 * | no stream was opened: the connection has just gone, twice       | `Retryable ConnectionLost`, not sent                    |
 * | no stream was opened: headers that HTTP/2 forbids               | `Fatal InvalidArgument`                                 |
 * | the stream was refused (`REFUSED_STREAM`) twice                 | `Retryable Unavailable`, not sent with `channelOptions` |
 * | HTTP 429 of a proxy                                             | `Retryable Throttled`, not sent with `channelOptions`   |
 * | HTTP 502, 503, 504 of a proxy, with a body or without           | `Retryable Unavailable`, may have run                   |
 * | the connection or the stream broke (reset, `RST_STREAM`)        | `Retryable ConnectionLost`, may have run                |
 * | `ENHANCE_YOUR_CALM`, such as for too many pings                 | `Retryable Throttled`, may have run                     |
 * | `PROTOCOL_ERROR` and other disagreements over HTTP/2            | `Fatal Protocol`                                        |
 * | `UNAVAILABLE`                                                   | `Retryable Unavailable`, may have run                   |
 * | `RESOURCE_EXHAUSTED` with a delay from the server               | `Retryable Throttled`, may have run                     |
 * | `DEADLINE_EXCEEDED`, or a reset, as the ambient deadline passes | `Retryable AttemptTimeout`, may have run                |
 * | an attempt is cut before its stream is opened                   | `Retryable AttemptTimeout`, not sent                    |
 * | a status that `retryOn` accepts                                 | `Retryable Custom` or `Throttled`, may have run         |
 * | the same, and nothing was sent, such as credentials that fail   | `Retryable Custom` or `Throttled`, not sent             |
 * | `CANCELLED`; the client is closed                               | `Fatal Cancelled`                                       |
 * | `INVALID_ARGUMENT`, `OUT_OF_RANGE`                              | `Fatal InvalidArgument`                                 |
 * | a request that cannot be written, or is too large to send       | `Fatal InvalidArgument`                                 |
 * | `NOT_FOUND`                                                     | `Fatal NotFound`                                        |
 * | `PERMISSION_DENIED` / `UNAUTHENTICATED`                         | `Fatal PermissionDenied` / `Unauthenticated`            |
 * | `UNIMPLEMENTED`                                                 | `Fatal Unimplemented`                                   |
 * | an answer that cannot be read, is too large, or none            | `Fatal Protocol`                                        |
 * | any other status, and codes that gRPC does not have             | `Fatal ServerError`                                     |
 *
 * `code` is the name of the status, or the number where it has none; of a broken stream the error code of HTTP/2, such
 * as `"INTERNAL_ERROR"`. The `cause` is the `ServiceError`.
 *
 * The peer of the call shows that nothing was sent: it is the target of the channel until a stream is opened. Whether a
 * refused request was not sent is known only with `channelOptions`: without them an attempt that the library made
 * before or beside it may have run. The other failures of the transport are recognized by the text that grpc-js puts in
 * `details`, where no answer of a server came with it.
 *
 * `retryAfter` is, in this order: the trailer `grpc-retry-pushback-ms`; a `google.rpc.RetryInfo` in
 * `grpc-status-details-bin`; and of a proxy `Retry-After`.
 *
 * Sent with each attempt: the time that remains until the ambient deadline as `grpc-timeout`, of unary methods; on a
 * retry `grpc-previous-rpc-attempts`, 1 for the first one; `idempotency-key`, for a call that asks for one. Keys of
 * these that are in your own metadata are sent as you set them. A call that is interrupted resets its stream.
 *
 * @since 0.1.0
 */
import type * as grpc from "@grpc/grpc-js"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import type { Fatal, Retryable } from "../RpcError.js"
import * as Call from "./grpc/call.js"
import * as Method from "./grpc/method.js"
import * as GrpcOptions from "./grpc/options.js"
import type { ClientOptions, Options } from "./grpc/options.js"
import * as GrpcStream from "./grpc/stream.js"

export type { ClientOptions, Options, StatusCode } from "./grpc/options.js"

/** The parameters of a method. For overloads those of the last, which has the request first and the callback last. */
type ParametersOf<F> = F extends (...args: infer P) => unknown ? P : never

type AnswerOf<Callback> = Callback extends (error: never, answer: infer A) => unknown ? Exclude<A, undefined> : never

/**
 * The request and the answer of a unary method, from its type on the client. `unknown` for a client without types.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Unary<F> = Function extends F ? { readonly request: unknown; readonly answer: unknown }
  : F extends (...args: never) => grpc.ClientUnaryCall
    ? ReturnType<F> extends { readonly serialize: unknown } | { readonly deserialize: unknown } ? never
    : ParametersOf<F> extends [infer Request, ...unknown[], infer Callback]
      ? { readonly request: Request; readonly answer: AnswerOf<Callback> }
    : never
  : never

/**
 * The request and the message of a method that streams its answer.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ServerStream<F> = Function extends F ? { readonly request: unknown; readonly answer: unknown }
  : F extends (...args: never) => { readonly deserialize: (chunk: Buffer) => infer Answer }
    ? ReturnType<F> extends { readonly serialize: unknown } ? never
    : ParametersOf<F> extends [infer Request, ...unknown[]] ? { readonly request: Request; readonly answer: Answer }
    : never
  : never

/**
 * The names of the unary methods of a client.
 *
 * @since 0.1.0
 * @category type-level
 */
export type UnaryNames<C extends grpc.Client> = {
  readonly [K in Exclude<keyof C, keyof grpc.Client>]: [Unary<C[K]>] extends [never] ? never : K
}[Exclude<keyof C, keyof grpc.Client>]

/**
 * The names of the methods of a client that stream their answer.
 *
 * @since 0.1.0
 * @category type-level
 */
export type ServerStreamNames<C extends grpc.Client> = {
  readonly [K in Exclude<keyof C, keyof grpc.Client>]: [ServerStream<C[K]>] extends [never] ? never : K
}[Exclude<keyof C, keyof grpc.Client>]

/**
 * A unary method as a function that returns calls.
 *
 * @since 0.1.0
 * @category models
 */
export type UnaryCall<F> = (request: Unary<F>["request"]) => RpcCall.RpcCall<Unary<F>["answer"], Retryable | Fatal>

/**
 * A method that streams its answer, as a function that returns calls. See {@link serverStream}.
 *
 * @since 0.1.0
 * @category models
 */
export type ServerStreamCall<F> = (
  request: ServerStream<F>["request"]
) => RpcCall.RpcCall<Stream.Stream<ServerStream<F>["answer"], Retryable | Fatal>, Retryable | Fatal, Scope.Scope>

/**
 * A method as a function that returns calls. On a client without types any method may be one that streams its answer,
 * which needs a scope.
 *
 * @since 0.1.0
 * @category models
 */
export type MethodCall<F> = Function extends F
  ? (request: unknown) => RpcCall.RpcCall<unknown, Retryable | Fatal, Scope.Scope>
  : [Unary<F>] extends [never] ? ServerStreamCall<F>
  : UnaryCall<F>

/**
 * The methods of a client, each as a function that returns calls. Methods that stream their request are left out.
 *
 * @since 0.1.0
 * @category models
 */
export type Calls<C extends grpc.Client> = {
  readonly [K in UnaryNames<C> | ServerStreamNames<C>]: MethodCall<C[K]>
}

/**
 * Channel options that switch off the retries of grpc-js, for the constructor of a client: they cannot be switched off
 * later, nor for one call. A client without them retries itself where its service config has a `retryPolicy`; then each
 * attempt made here is up to five on the wire. It also repeats at once what never left the client, and once what the
 * server refused unseen. When it does not, that is repeated here, once; what fails again is `Retryable`, delivery
 * `NotSent`. When it does, what was refused may have run.
 *
 * @example
 * ```ts
 * import * as grpc from "@grpc/grpc-js"
 * import * as Grpc from "effect-rpc-retry/Grpc"
 *
 * const client = new grpc.Client("127.0.0.1:50051", grpc.credentials.createInsecure(), {
 *   ...Grpc.channelOptions,
 *   "grpc.keepalive_time_ms": 30_000
 * })
 * ```
 *
 * @since 0.1.0
 * @category options
 */
export const channelOptions: { readonly "grpc.enable_retries": 0 } = { "grpc.enable_retries": 0 }

const callOf = (client: grpc.Client, method: Method.Method, settings: GrpcOptions.Checked) => (request: unknown) =>
  RpcCall.make(
    method.kind === "unary"
      ? Call.unary(client, method, settings, request)
      : GrpcStream.open(client, method, settings, request),
    { method: method.name, idempotent: settings.idempotent ?? method.idempotent }
  )

/**
 * Makes a function that returns calls of one unary method of a client. The calls are not retried: pipe them through
 * `withRpcRetry`. Their method is `package.Service.Method`, as service configs name it.
 *
 * Throws `InvalidOption` when the client has no such method, or is one of another copy of `@grpc/grpc-js`, and for an
 * option that cannot be used.
 *
 * @example
 * ```ts
 * import type * as grpc from "@grpc/grpc-js"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Grpc from "effect-rpc-retry/Grpc"
 *
 * interface UserClient extends grpc.Client {
 *   getUser(request: { id: string }, callback: grpc.requestCallback<{ name: string }>): grpc.ClientUnaryCall
 * }
 * declare const client: UserClient
 *
 * const getUser = Grpc.unary(client, "getUser", { idempotent: true, retryOn: ["ABORTED"] })
 *
 * const program = getUser({ id: "1" }).pipe(withRpcRetry)
 * //    Effect<{ name: string }, Fatal | RetryExhausted | CallRejected>
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const unary = <C extends grpc.Client, K extends UnaryNames<C> & string>(
  client: C,
  method: K,
  options: Options = {}
): UnaryCall<C[K]> =>
  callOf(
    client,
    orThrow(Method.get("Grpc.unary", client, method, "unary")),
    orThrow(GrpcOptions.check("Grpc.unary", options))
  ) as UnaryCall<C[K]>

/**
 * Makes a function that returns calls of one method that streams its answer. A call completes with the stream when the
 * first message or the end has arrived: `withRpcRetry` retries until then, and never after, so no message is received
 * twice. A later failure is a failure of the stream.
 *
 * - The stream can be run once: after that it fails with `Fatal Custom`. It asks for a message when its consumer pulls
 *   one.
 * - The call on the wire is cancelled when the stream ends or is interrupted, and when the scope is closed.
 * - `attemptTimeout` and `deadline` bound the time until the first message. The deadline is not sent, or the server
 *   would cut the stream by it; a `deadline` in the `callOptions` bounds the whole of the stream, as in gRPC.
 *
 * Throws as {@link unary} does.
 *
 * @example
 * ```ts
 * import type * as grpc from "@grpc/grpc-js"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Grpc from "effect-rpc-retry/Grpc"
 * import * as Stream from "effect/Stream"
 *
 * interface UserClient extends grpc.Client {
 *   listUsers(request: { team: string }, options?: grpc.CallOptions): grpc.ClientReadableStream<{ name: string }>
 * }
 * declare const client: UserClient
 *
 * const listUsers = Grpc.serverStream(client, "listUsers", { idempotent: true })
 *
 * const names = Stream.unwrapScoped(listUsers({ team: "a" }).pipe(withRpcRetry)).pipe(Stream.map(({ name }) => name))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const serverStream = <C extends grpc.Client, K extends ServerStreamNames<C> & string>(
  client: C,
  method: K,
  options: Options = {}
): ServerStreamCall<C[K]> =>
  callOf(
    client,
    orThrow(Method.get("Grpc.serverStream", client, method, "serverStream")),
    orThrow(GrpcOptions.check("Grpc.serverStream", options))
  ) as ServerStreamCall<C[K]>

/**
 * Makes functions that return calls of all methods of a client that are unary or stream their answer, under the same
 * names.
 *
 * Throws `InvalidOption` for an option that cannot be used, and for a client that has no such method, or is one of
 * another copy of `@grpc/grpc-js`.
 *
 * @example
 * ```ts
 * import * as grpc from "@grpc/grpc-js"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Grpc from "effect-rpc-retry/Grpc"
 *
 * interface UserClient extends grpc.Client {
 *   getUser(request: { id: string }, callback: grpc.requestCallback<{ name: string }>): grpc.ClientUnaryCall
 *   addUser(request: { name: string }, callback: grpc.requestCallback<{ id: string }>): grpc.ClientUnaryCall
 * }
 * declare const client: UserClient
 * declare const token: () => string
 *
 * const users = Grpc.client(client, {
 *   metadata: () => {
 *     const metadata = new grpc.Metadata()
 *     metadata.set("authorization", `Bearer ${token()}`)
 *     return metadata
 *   },
 *   methods: { getUser: { idempotent: true }, addUser: { idempotent: false } }
 * })
 *
 * const program = users.addUser({ name: "Ada" }).pipe(withRpcRetry)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const client = <C extends grpc.Client>(
  client: C,
  options: ClientOptions<Extract<UnaryNames<C> | ServerStreamNames<C>, string>> = {}
): Calls<C> => {
  const methods = orThrow(Method.all("Grpc.client", client))
  const settingsOf = orThrow(GrpcOptions.checkAll("Grpc.client", options, methods))
  return Object.fromEntries(
    methods.map((method) => [method.key, callOf(client, method, settingsOf(method))])
  ) as Calls<C>
}
