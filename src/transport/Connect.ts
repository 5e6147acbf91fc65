/**
 * Clients of `@connectrpc/connect` 2 as calls, over any of its transports: the protocols Connect, gRPC and gRPC-web.
 *
 * ```ts
 * import type { GenService } from "@bufbuild/protobuf/codegenv2"
 * import type { StringValueSchema } from "@bufbuild/protobuf/wkt"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Connect from "effect-rpc-retry/Connect"
 * import * as ConnectNode from "effect-rpc-retry/ConnectNode"
 *
 * type Text = typeof StringValueSchema
 * // what protoc-gen-es writes for your service
 * declare const UserService: GenService<{ getUser: { methodKind: "unary"; input: Text; output: Text } }>
 *
 * const transport = ConnectNode.createConnectTransport({ baseUrl: "http://127.0.0.1:8080", httpVersion: "2" })
 *
 * const users = Connect.client(UserService, transport)
 *
 * const program = users.getUser({ value: "u1" }).pipe(withRpcRetry)
 * ```
 *
 * Over HTTP/2 make the transport with `effect-rpc-retry/ConnectNode`: with the transports of `@connectrpc/connect-node`
 * 2.2 an interrupted call may reach its handler as an empty message, and a call whose connection is lost may wait for
 * ever.
 *
 * An attempt is one RPC, and runs the interceptors of the transport once.
 *
 * | what happens                                                   | error of the call                                     |
 * | -------------------------------------------------------------- | ----------------------------------------------------- |
 * | the connection is refused, reset, closed, ...                  | as `Classify.classify` says of the cause              |
 * | HTTP/2: the connection closes, or the stream is reset          | `Retryable ConnectionLost`, may have run              |
 * | ... with `REFUSED_STREAM` / `ENHANCE_YOUR_CALM`                | `Retryable Unavailable` / `Throttled`, may have run   |
 * | `REFUSED_STREAM` before anything of a server stream has come   | `Retryable Unavailable`, not sent                     |
 * | over a `ConnectNode` transport: before anything of any answer  | that, once it has been refused a second time          |
 * | HTTP/1.1: a TLS handshake that fails, but for the certificate  | `Retryable`, not sent                                 |
 * | over a `ConnectNode` transport: before anything was written    | that failure, not sent                                |
 * | ... with `PROTOCOL_ERROR` and others about the protocol        | `Fatal Protocol`                                      |
 * | `unavailable`, which a bare 429, 502, 503 or 504 is too        | `Retryable Unavailable`, may have run                 |
 * | `resource_exhausted` with a delay from the server              | `Retryable Throttled`, may have run                   |
 * | no answer in the time that was sent, or that the transport has | `Retryable AttemptTimeout`, may have run              |
 * | a code that `retryOn` names                                    | `Retryable Custom`, may have run                      |
 * | `canceled`                                                     | `Fatal Cancelled`                                     |
 * | `invalid_argument`, `out_of_range`                             | `Fatal InvalidArgument`                               |
 * | `not_found` / `permission_denied` / `unauthenticated`          | `Fatal` of that name                                  |
 * | `unimplemented`, which a bare 404 is too                       | `Fatal Unimplemented`                                 |
 * | any other code                                                 | `Fatal ServerError`                                   |
 * | the request or a header cannot be written, or is too large     | `Fatal InvalidArgument`, nothing sent                 |
 * | what arrives is not as the protocol says, or is too large      | `Fatal Protocol`                                      |
 * | an answer ends before its status, cut with `NO_ERROR` or not   | `Fatal Protocol`                                      |
 * | an interceptor throws a `Retryable` or a `Fatal`               | that one; after the answer of a stream may have run   |
 * | an interceptor throws anything else                            | as its cause says, may have run; or `Fatal`           |
 * | `onHeader` or `onTrailer` throws                               | `Fatal Custom`                                        |
 *
 * `code` is the name that gRPC gives the code, as in `"UNAVAILABLE"`; `cause` is the `ConnectError`, with its details.
 * `google.rpc.RetryInfo` among them, the trailer `grpc-retry-pushback-ms` and the header `Retry-After` become the
 * `retryAfter`.
 *
 * Sent with each attempt: the time that remains until the deadline, as the `timeoutMs` of the library;
 * `idempotency-key`, for a call that asks for one; and on a retry `grpc-previous-rpc-attempts` and `x-retry-attempt`, 1
 * for the first. One of these headers that you set yourself is sent as you set it.
 *
 * A call that is interrupted aborts its request.
 *
 * @since 0.1.0
 */
import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService
} from "@bufbuild/protobuf"
import type { Transport } from "@connectrpc/connect"
import type * as Classify from "../Classify.js"
import { orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import type { Fatal, Retryable } from "../RpcError.js"
import * as ConnectCall from "./connect/call.js"
import * as ConnectFailure from "./connect/failure.js"
import * as ConnectOptions from "./connect/options.js"
import type { CallOptions, MethodOptions, Options } from "./connect/options.js"
import type { Client, ServerStream, Unary } from "./connect/options.js"

export type { Client, ServerStream, Unary } from "./connect/options.js"

export type { CallOptions, MethodOptions, Options, RetryOn } from "./connect/options.js"

/**
 * Makes a client, with the arguments of the library's `createClient`. Its calls are not retried: pipe them through
 * `withRpcRetry`.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import type { GenService } from "@bufbuild/protobuf/codegenv2"
 * import type { StringValueSchema } from "@bufbuild/protobuf/wkt"
 * import { Code, type Transport } from "@connectrpc/connect"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Connect from "effect-rpc-retry/Connect"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * type Text = typeof StringValueSchema
 * declare const transport: Transport
 * declare const UserService: GenService<{
 *   getUser: { methodKind: "unary"; input: Text; output: Text }
 *   watchUsers: { methodKind: "server_streaming"; input: Text; output: Text }
 * }>
 *
 * const users = Connect.client(UserService, transport, {
 *   methods: { getUser: { idempotent: true, retryOn: [Code.Aborted] } }
 * })
 *
 * const user = users.getUser({ value: "u1" }, { timeoutMs: 500 }).pipe(withRpcRetry)
 *
 * const watching = Effect.scoped(Effect.gen(function*() {
 *   const changes = yield* users.watchUsers({ value: "u1" }).pipe(withRpcRetry)
 *   yield* Stream.runForEach(changes, ({ value }) => Effect.log(value))
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const client = <S extends DescService>(service: S, transport: Transport, options?: Options<S>): Client<S> => {
  const settings = orThrow(ConnectOptions.check(service, options))
  const methods = service.methods.flatMap((method): ReadonlyArray<readonly [string, unknown]> => {
    const own = settings(method.localName)
    return ConnectOptions.isUnary(method)
      ? [[method.localName, callOf(ConnectCall.unary<DescMessage, DescMessage>, method, transport, own)]]
      : ConnectOptions.isServerStream(method)
      ? [[method.localName, callOf(ConnectCall.serverStream<DescMessage, DescMessage>, method, transport, own)]]
      : []
  })
  // the type of each method comes from its descriptor
  return Object.fromEntries(methods) as Client<S>
}

/**
 * Makes a function that returns calls of one unary method.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import type { DescMethodUnary } from "@bufbuild/protobuf"
 * import type { StringValueSchema } from "@bufbuild/protobuf/wkt"
 * import type { Transport } from "@connectrpc/connect"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Connect from "effect-rpc-retry/Connect"
 *
 * type Text = typeof StringValueSchema
 * declare const transport: Transport
 * // `UserService.method.getUser`
 * declare const method: DescMethodUnary<Text, Text>
 *
 * const getUser = Connect.unary(method, transport, { idempotent: true })
 *
 * const program = getUser({ value: "u1" }).pipe(withRpcRetry)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const unary = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  transport: Transport,
  options?: MethodOptions
): Unary<I, O> =>
  callOf(
    ConnectCall.unary<I, O>,
    method,
    transport,
    orThrow(ConnectOptions.checkOne("Connect.unary", method, "unary", options))
  )

/**
 * Makes a function that returns calls of one server-streaming method. See {@link ServerStream}.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import type { DescMethodServerStreaming } from "@bufbuild/protobuf"
 * import type { StringValueSchema } from "@bufbuild/protobuf/wkt"
 * import type { Transport } from "@connectrpc/connect"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Connect from "effect-rpc-retry/Connect"
 * import * as Stream from "effect/Stream"
 *
 * type Text = typeof StringValueSchema
 * declare const transport: Transport
 * // `UserService.method.watchUsers`
 * declare const method: DescMethodServerStreaming<Text, Text>
 *
 * const watchUsers = Connect.serverStream(method, transport)
 *
 * const changes = Stream.unwrapScoped(watchUsers({ value: "u1" }).pipe(withRpcRetry))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const serverStream = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  transport: Transport,
  options?: MethodOptions
): ServerStream<I, O> =>
  callOf(
    ConnectCall.serverStream<I, O>,
    method,
    transport,
    orThrow(ConnectOptions.checkOne("Connect.serverStream", method, "server_streaming", options))
  )

/** Makes the calls of a method, unary or streaming. */
const callOf = <M extends DescMethod, Request, A, R>(
  attempt: ConnectCall.Start<M, Request, A, R>,
  method: M,
  transport: Transport,
  own: ConnectOptions.Checked
) => {
  const name = ConnectOptions.nameOf(method)
  const named = { method: name, idempotent: own.idempotent ?? ConnectOptions.idempotencyOf(method) }
  const settings = { method: name, retryOn: own.retryOn }
  return (request: Request, options?: CallOptions): RpcCall.RpcCall<A, Retryable | Fatal, R> => {
    if (options !== undefined) {
      orThrow(ConnectOptions.checkCall(options))
    }
    return RpcCall.make(attempt(transport, method, settings, request, options), named)
  }
}

/**
 * Classifies a `ConnectError` of any client, as in the table above. It does not read `Retry-After`, as a date needs the
 * time of day.
 *
 * @example
 * ```ts
 * import { Classify, RpcCall, withRpcRetry } from "effect-rpc-retry"
 * import * as Connect from "effect-rpc-retry/Connect"
 *
 * declare const upload: (options: { signal: AbortSignal }) => Promise<string>
 *
 * const program = RpcCall.fromPromise({
 *   method: "files.v1.FileService.Upload",
 *   try: (signal) => upload({ signal }),
 *   classify: Classify.firstOf(Connect.connectError, ...Classify.rules)
 * }).pipe(withRpcRetry)
 * ```
 *
 * @since 0.1.0
 * @category rules
 */
export const connectError: Classify.Rule = ConnectFailure.rule()
