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
 * Over HTTP/2 make the transport with `effect-rpc-retry/ConnectNode`: over those of `@connectrpc/connect-node` 2.2 a call that is
 * given up may reach its handler as an empty message, and a call whose connection has gone may wait for ever.
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
 * `google.rpc.RetryInfo` among them, the trailer `grpc-retry-pushback-ms` and the header `Retry-After` become the `retryAfter`.
 *
 * Sent with each attempt: the time that remains until the deadline, as the `timeoutMs` of the library; `idempotency-key`, for a
 * call that asks for one; and on a retry `grpc-previous-rpc-attempts` and `x-retry-attempt`, 1 for the first. A header of these that
 * is among yours stays as you set it.
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
  DescService,
  MessageInitShape,
  MessageShape
} from "@bufbuild/protobuf"
import type { Code, ConnectError, ContextValues, Transport } from "@connectrpc/connect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Classify from "../Classify.js"
import { orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import type { Fatal, Retryable } from "../RpcError.js"
import * as ConnectCall from "./internal/connectCall.js"
import * as ConnectFailure from "./internal/connectFailure.js"
import * as ConnectOptions from "./internal/connectOptions.js"

/**
 * What else the server may say that is worth another attempt: codes, or a predicate. It becomes `Retryable Custom`, delivery
 * `Unknown`; `resource_exhausted` becomes `Throttled`. A predicate must not throw: what it throws is a defect of the call.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryOn = ReadonlyArray<Code> | ((error: ConnectError) => boolean)

/**
 * - `idempotent`: whether the method may run twice. Without it the descriptor is asked: `true` for `IDEMPOTENT` and
 *   `NO_SIDE_EFFECTS`, nothing for a method without the option `idempotency_level`.
 * - `retryOn`: see `RetryOn`. Default none.
 *
 * @since 0.1.0
 * @category models
 */
export interface MethodOptions {
  readonly idempotent?: boolean | undefined
  readonly retryOn?: RetryOn | undefined
}

/**
 * - `retryOn`: see `RetryOn`. For methods that say nothing else.
 * - `methods`: what is otherwise for single methods, by the names of the client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<S extends DescService = DescService> {
  readonly retryOn?: RetryOn | undefined
  readonly methods?: { readonly [K in keyof Client<S>]?: MethodOptions | undefined } | undefined
}

/**
 * The options of the library, without `signal`: interrupt the fiber, or give the signal to `Effect.runPromise`.
 *
 * - `timeoutMs`: bounds one attempt; of a stream its whole life. Of it and the time that remains the smaller one is sent. The
 *   `defaultTimeoutMs` of a transport holds only for attempts without either. Whole milliseconds, at least 1; 0, `Infinity` and
 *   more than 99999999 are no bound. The call fails with `Fatal InvalidArgument` for what is no number, or negative.
 * - `headers`, `contextValues`: go with each attempt.
 * - `onHeader`, `onTrailer`: called by the attempt that is answered.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  readonly timeoutMs?: number | undefined
  readonly headers?: HeadersInit | undefined
  readonly contextValues?: ContextValues | undefined
  readonly onHeader?: ((headers: Headers) => void) | undefined
  readonly onTrailer?: ((trailers: Headers) => void) | undefined
}

/**
 * One request, one answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unary<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, options?: CallOptions): RpcCall.RpcCall<MessageShape<O>, Retryable | Fatal>
}

/**
 * One request, many answers. The call is done when the first answer has come, or the end: until then it can be retried, and
 * never after. What fails later fails the stream.
 *
 * The request ends with the scope, or with the stream if that is earlier. The stream asks for a message when it is wanted. It can
 * be run once: after that it fails with `Fatal Custom`. The deadline bounds the call and not the stream, so it is not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerStream<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, options?: CallOptions): RpcCall.RpcCall<
    Stream.Stream<MessageShape<O>, Retryable | Fatal>,
    Retryable | Fatal,
    Scope.Scope
  >
}

/**
 * The unary and the server-streaming methods of a service. The others take a stream of requests, which cannot be sent again.
 *
 * @since 0.1.0
 * @category models
 */
export type Client<S extends DescService> = {
  readonly [
    K in keyof S["method"] as S["method"][K] extends { methodKind: "unary" | "server_streaming" } ? K : never
  ]: S["method"][K] extends DescMethodUnary<infer I, infer O> ? Unary<I, O>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O> ? ServerStream<I, O>
    : never
}

/**
 * A client with the arguments of the library's `createClient`. Nothing is retried in it: pipe a call through `withRpcRetry`.
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
  // the descriptor says so of each method, one by one
  return Object.fromEntries(methods) as Client<S>
}

/**
 * One unary method.
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
 * One server-streaming method.
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

/** What is the same for all methods, whatever an attempt of theirs is. */
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
 * A `ConnectError` of any client, as in the table above. `Retry-After` is not among what it reads: a date needs the time of day.
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
