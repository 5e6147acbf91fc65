/**
 * Calls over plain HTTP: any `HttpClient` of `@effect/platform`, with its failures and statuses typed, and retried.
 *
 * ```ts
 * import * as HttpClient from "@effect/platform/HttpClient"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const client = HttpRpc.retrying(yield* HttpClient.HttpClient, withRpcRetry)
 *   // Effect<HttpClientResponse, Fatal | RetryExhausted | CallRejected>
 *   return yield* client.get("http://127.0.0.1:8080/users/1")
 * })
 * ```
 *
 * An attempt is exactly one request: four attempts are four requests. That holds for an `HttpClient` that does not retry. One
 * that was made with `HttpClient.retry` or `retryTransient` repeats requests where nobody here can see it;
 * `retryTransient({ times: 3 })` alone can make 16.
 *
 * | what happens                                          | becomes                                            |
 * | ----------------------------------------------------- | -------------------------------------------------- |
 * | the connection is refused, reset, closed, ...         | as `Classify.classify` says of the cause           |
 * | the TLS handshake is cut or reset                     | `Retryable ConnectionLost`, not sent               |
 * | the peer speaks no TLS, or not ours                   | `Retryable Unavailable`, not sent                  |
 * | the connection breaks in the middle of the answer     | `Retryable ConnectionLost`, may have run           |
 * | the URL, a header or the body cannot be written       | `Fatal InvalidArgument`, nothing sent              |
 * | the attempt fails, and its body can be read only once | `Fatal InvalidArgument`, with the failure as cause |
 * | 429                                                   | `Retryable Throttled`, not sent                    |
 * | 408, 502, 503, 504                                    | `Retryable Unavailable`, may have run              |
 * | a status that `retryOn` names                         | `Retryable Custom`, may have run                   |
 * | any other status                                      | a response, as before                              |
 * | any other status, of a client that fails on statuses  | `Fatal`, as `fromStatus` says                      |
 * | a body that is not what was asked for                 | `Fatal Protocol`                                   |
 * | the `HttpPool` is closed                              | `Fatal Cancelled`                                  |
 *
 * `Retry-After`, in seconds or as a date, becomes the `retryAfter` of a `Retryable`. The `cause` of a status is a
 * `ResponseError` with the response and, as its description, the beginning of the body.
 *
 * `GET`, `HEAD`, `PUT`, `DELETE` and `OPTIONS` may run twice. `POST` and `PATCH` may not, unless they are said to be `idempotent`:
 * they are retried only when nothing was sent. A redirect that fails was sent; and as `fetch` follows redirects itself, nothing
 * that fails there is known not to be, unless `FetchHttpClient.RequestInit` says `redirect: "manual"` where the call runs.
 *
 * Sent as headers with each attempt, unless the request has them already: `idempotency-key`, for a call that asks for one;
 * `x-retry-attempt` on a retry, 1 for the first, as `go-grpc-middleware` counts; and the milliseconds that remain until the
 * deadline as `x-envoy-expected-rq-timeout-ms`, as Envoy tells the servers behind it. See `headers`.
 *
 * A body that can be read only once, such as a stream, is never sent a second time: the attempt that has begun to read it ends its
 * call when it fails, also with what would be retried otherwise. See `repeatableBody`.
 *
 * A call that is interrupted aborts its request.
 *
 * @since 0.1.0
 */
import type * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import { dual, type LazyArg } from "effect/Function"
import * as Predicate from "effect/Predicate"
import type * as Stream from "effect/Stream"
import type * as Classify from "../Classify.js"
import type * as Deadline from "../Deadline.js"
import * as Wiring from "../internal/wiring.js"
import { checkKnown, orThrow } from "../InvalidOption.js"
import type * as RpcCall from "../RpcCall.js"
import type { CallRejected, Fatal, Retryable, RetryExhausted } from "../RpcError.js"
import type { ServerHint } from "../ServerHint.js"
import { httpHeadersOf } from "./internal/facts.js"
import { repeatable } from "./internal/httpBody.js"
import * as HttpFailure from "./internal/httpFailure.js"
import * as internal from "./internal/httpRpc.js"

/**
 * - `method`: the name of the call, `"Service.Method"`; made of the request where it is a function. Default: the host and the
 *   method of the request, as in `"127.0.0.1:8080.GET"`, so that each host is a destination; `"http.GET"` where a client puts
 *   the host before the URL later.
 * - `idempotent`: whether the request may run twice; made of the request where it is a function. Default, also where that gives
 *   `undefined`: by its method, see above.
 * - `retryOn`: statuses that are worth another attempt besides those of the table, or a predicate of the responses that says
 *   which. Default none.
 * - `headers`: what is sent of an attempt. Default `headers`. For another origin that does not allow them a browser refuses
 *   the request: say `() => ({})` there.
 *
 * Functions among them must not throw: that would be a defect.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly method?: string | ((request: HttpClientRequest.HttpClientRequest) => string) | undefined
  readonly idempotent?: boolean | ((request: HttpClientRequest.HttpClientRequest) => boolean | undefined) | undefined
  readonly retryOn?:
    | ReadonlyArray<number>
    | ((response: HttpClientResponse.HttpClientResponse) => boolean)
    | undefined
  readonly headers?: ((facts: Deadline.Facts) => Readonly<Record<string, string>>) | undefined
}

/**
 * What `withRpcRetry` is, with options or without.
 *
 * @since 0.1.0
 * @category models
 */
export interface Retry {
  <A, E, R>(
    self: Effect.Effect<A, E, R>
  ): Effect.Effect<A, Exclude<E, Retryable> | RetryExhausted | CallRejected, R>
}

/**
 * A client that retries its requests. Its statuses stay responses, except those of the table and of `retryOn`: when they do not
 * go away the request fails with `RetryExhausted`.
 *
 * - `retry`: `withRpcRetry`, or `withRpcRetry({ ... })`.
 *
 * Where a layer of `RpcRetry` is in force where the client is made (in the fiber that runs this line), it is that of all its
 * requests, wherever they run.
 *
 * What is retried is the request, until the head of a response is there. A body that breaks off later is the reader's; to
 * have it read as a part of the attempt see `call`. Failures of the client's own that are no `HttpClientError` pass as they
 * are.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as HttpClient from "@effect/platform/HttpClient"
 * import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Effect from "effect/Effect"
 *
 * const users = Effect.map(HttpClient.HttpClient, (client) =>
 *   client.pipe(
 *     HttpClient.mapRequest(HttpClientRequest.prependUrl("https://users.example.org")),
 *     HttpRpc.retrying(withRpcRetry({ attemptTimeout: "1 second" }), { method: ({ method }) => `Users.${method}` })
 *   ))
 *
 * const program = Effect.flatMap(users, (client) => client.get("/users/1"))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const retrying: {
  (
    retry: Retry,
    options?: Options
  ): <E, R>(self: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<Failure<E>, R>
  <E, R>(
    self: HttpClient.HttpClient.With<E, R>,
    retry: Retry,
    options?: Options
  ): HttpClient.HttpClient.With<Failure<E>, R>
} = dual(
  (args) => !Predicate.isFunction(args[0]),
  <E, R>(self: HttpClient.HttpClient.With<E, R>, retry: Retry, options: Options = {}) => {
    const calls = internal.calling(self, orThrow(internal.check("HttpRpc.retrying", options)), Effect.succeed)
    const withService = Wiring.captured()
    return internal.client((request) => withService(retry(calls(request))))
  }
)

/**
 * What a client fails with that retries.
 *
 * @since 0.1.0
 * @category models
 */
export type Failure<E> = Exclude<E, HttpClientError.HttpClientError | Retryable> | Fatal | RetryExhausted | CallRejected

/**
 * One request as a call, not retried: pipe it through `withRpcRetry`.
 *
 * - `read`: what to make of the response, as a part of the attempt: a body that breaks off is retried, one that does not fit
 *   is `Fatal`. Failures of its own, as the `ParseError` of a schema, pass as they are. Default: the response itself, with its
 *   body yet to be read.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as HttpClient from "@effect/platform/HttpClient"
 * import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
 * import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const User = Schema.Struct({ name: Schema.String })
 *
 * const getUser = (id: number) =>
 *   Effect.flatMap(HttpClient.HttpClient, (client) =>
 *     HttpRpc.call(client, HttpClientRequest.get(`https://users.example.org/users/${id}`), {
 *       method: "Users.Get",
 *       read: HttpClientResponse.schemaBodyJson(User)
 *     }).pipe(withRpcRetry))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function call<E, R, A, E2, R2>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest,
  options: Options & { readonly read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, E2, R2> }
): RpcCall.RpcCall<A, Exclude<E | E2, HttpClientError.HttpClientError> | Retryable | Fatal, R | R2>
export function call<E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest,
  options?: Options
): RpcCall.RpcCall<
  HttpClientResponse.HttpClientResponse,
  Exclude<E, HttpClientError.HttpClientError> | Retryable | Fatal,
  R
>
export function call<E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest,
  { read = Effect.succeed, ...options }: Options & {
    readonly read?: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown, unknown>
  } = {}
) {
  return internal.calling(client, orThrow(internal.check("HttpRpc.call", options)), read)(request)
}

/**
 * What is known of a body before it is made.
 *
 * @since 0.1.0
 * @category models
 */
export interface BodyOptions {
  /**
   * What the header `content-type` says, unless the request has one. Default `application/octet-stream`.
   */
  readonly contentType?: string
  /**
   * Its length in bytes, for the header `content-length`. Default not known: it is sent in chunks.
   */
  readonly contentLength?: number
}

/**
 * A body that can be sent again, as each attempt makes it anew.
 *
 * Without it a stream is taken for one that can be read only once, as nobody can tell of a stream: a second run of an async
 * generator or of an open file is empty, and would be sent as an empty body. An attempt that fails when it has begun to read one
 * ends its call, as the table above says. Text, bytes, forms and blobs can always be sent again.
 *
 * - `make`: makes the stream, once for each attempt.
 *
 * @example
 * ```ts
 * import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Stream from "effect/Stream"
 *
 * declare const lines: () => AsyncGenerator<string>
 *
 * // a new generator for each attempt
 * const upload = HttpClientRequest.put("https://files.example.org/report.csv").pipe(
 *   HttpClientRequest.setBody(
 *     HttpRpc.repeatableBody(
 *       () => Stream.fromAsyncIterable(lines(), (error) => error).pipe(Stream.encodeText),
 *       { contentType: "text/csv" }
 *     )
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category bodies
 */
export const repeatableBody = (
  make: LazyArg<Stream.Stream<Uint8Array, unknown>>,
  options: BodyOptions = {}
): HttpBody.Stream => {
  orThrow(checkKnown("HttpRpc.repeatableBody", options, ["contentType", "contentLength"]))
  return repeatable(make, options)
}

/**
 * What is sent of an attempt, unless `Options.headers` says otherwise.
 *
 * @since 0.1.0
 * @category headers
 */
export const headers: (facts: Deadline.Facts) => Readonly<Record<string, string>> = httpHeadersOf

/**
 * The failures of any `HttpClient`: those of the connection by their cause, statuses by `fromStatus`. `Retry-After` is not
 * among what it reads: a date needs the time of day.
 *
 * @example
 * ```ts
 * import * as HttpClient from "@effect/platform/HttpClient"
 * import { Classify, withRpcRetry } from "effect-rpc-retry"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Effect from "effect/Effect"
 *
 * const classify = Classify.firstOf(HttpRpc.httpClientError, ...Classify.rules)
 *
 * const program = HttpClient.get("http://127.0.0.1:8080/users/1").pipe(
 *   Effect.flatMap((response) => response.json),
 *   Effect.mapError(classify),
 *   withRpcRetry
 * )
 * ```
 *
 * @since 0.1.0
 * @category rules
 */
export const httpClientError: Classify.Rule = HttpFailure.rule

/**
 * What a status means that is not that of an answer:
 *
 * | status                                | becomes                                      |
 * | ------------------------------------- | -------------------------------------------- |
 * | 429                                   | `Retryable Throttled`, not sent              |
 * | 408, 502, 503, 504                    | `Retryable Unavailable`, may have run        |
 * | 400, 413, 414, 422, 431               | `Fatal InvalidArgument`                      |
 * | 401, 407 / 403                        | `Fatal Unauthenticated` / `PermissionDenied` |
 * | 404, 410 / 405, 501                   | `Fatal NotFound` / `Unimplemented`           |
 * | 3xx, 406, 415                         | `Fatal Protocol`                             |
 * | 500, and what is left of 4xx and 5xx  | `Fatal ServerError`                          |
 *
 * @example
 * ```ts
 * import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
 * import { ServerHint } from "effect-rpc-retry"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Clock from "effect/Clock"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const error = HttpRpc.fromStatus(503) // Retryable Unavailable, delivery Unknown
 *
 * // with what the server says of the delay
 * const failure = ({ headers, status }: HttpClientResponse.HttpClientResponse) =>
 *   Effect.flatMap(Clock.currentTimeMillis, (now) => {
 *     const hint = ServerHint.fromRetryAfter(headers["retry-after"], now)
 *     return Effect.fail(HttpRpc.fromStatus(status, { retryAfter: Option.getOrUndefined(hint) }))
 *   })
 * ```
 *
 * @since 0.1.0
 * @category classifiers
 */
export const fromStatus = (
  status: number,
  details?: {
    readonly retryAfter?: ServerHint | undefined
    readonly message?: string | undefined
    readonly cause?: unknown
  }
): Retryable | Fatal => HttpFailure.fromStatus(status, details)
