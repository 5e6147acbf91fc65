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
 * An attempt is exactly one request, so four attempts are four requests, provided that the `HttpClient` does not retry.
 * One that was made with `HttpClient.retry` or `retryTransient` repeats requests unseen by this module: with
 * `retryTransient({ times: 3 })` the four attempts can be 16 requests.
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
 * `GET`, `HEAD`, `PUT`, `DELETE` and `OPTIONS` may run twice. `POST` and `PATCH` may not, unless
 * {@link Options.idempotent} says so: they are retried only when nothing was sent. A request that fails after a
 * redirect was sent. As `fetch` follows redirects itself, no failure of it is known to be not sent, unless
 * `FetchHttpClient.RequestInit` sets `redirect: "manual"` where the call runs.
 *
 * Sent as headers with each attempt, unless the request has them already: `idempotency-key`, for a call that asks for
 * one; `x-retry-attempt` on a retry, 1 for the first, as `go-grpc-middleware` counts; and the milliseconds that remain
 * until the deadline as `x-envoy-expected-rq-timeout-ms`, as Envoy tells the servers behind it. See {@link headers}.
 *
 * A body that can be read only once, such as a stream, is never sent a second time: when an attempt fails after it has
 * begun to read such a body, the call ends, also with a failure that would be retried otherwise. See
 * {@link repeatableBody}.
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
import * as HttpStatus from "../internal/errors/httpStatus.js"
import * as Wiring from "../internal/service/reference.js"
import { checkKnown, orThrow } from "../InvalidOption.js"
import type * as RpcCall from "../RpcCall.js"
import type { CallRejected, Fatal, Retryable, RetryExhausted } from "../RpcError.js"
import type { ServerHint } from "../ServerHint.js"
import { repeatable } from "./http/body.js"
import * as internal from "./http/call.js"
import type { Options } from "./http/call.js"
import * as HttpFailure from "./http/failure.js"
import { httpHeadersOf } from "./shared/callHeaders.js"

export type { Options } from "./http/call.js"

/**
 * The type of `withRpcRetry`, with options or without, as {@link retrying} takes it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Retry {
  /** Retries a call, and removes `Retryable` from its errors. */
  <A, E, R>(
    self: Effect.Effect<A, E, R>
  ): Effect.Effect<A, Exclude<E, Retryable> | RetryExhausted | CallRejected, R>
}

/**
 * Makes a client that retries its requests. Statuses stay responses, except those of the table above and of
 * {@link Options.retryOn}: when the last attempt still gets one of these, the request fails with `RetryExhausted`.
 *
 * - `retry`: `withRpcRetry`, or `withRpcRetry({ ... })`.
 *
 * A layer of `RpcRetry` that is provided where the client is made (to the fiber that runs this function) holds for all
 * its requests, wherever they run.
 *
 * An attempt ends when the head of a response has arrived. A body that breaks off later fails in the code that reads
 * it, and is not retried; to read the body as a part of the attempt, see {@link call}. Failures of the client that are
 * no `HttpClientError` pass unchanged.
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
 * The errors of a client that retries.
 *
 * @since 0.1.0
 * @category models
 */
export type Failure<E> = Exclude<E, HttpClientError.HttpClientError | Retryable> | Fatal | RetryExhausted | CallRejected

/**
 * Makes a call of one request, and reads its response with `read` as a part of the attempt. It is not retried: pipe it
 * through `withRpcRetry`.
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
  options: Options & {
    /**
     * Reads the response, as a part of the attempt: a body that breaks off is retried, and one that does not fit is
     * `Fatal`. Its other failures, such as the `ParseError` of a schema, pass unchanged.
     */
    readonly read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, E2, R2>
  }
): RpcCall.RpcCall<A, Exclude<E | E2, HttpClientError.HttpClientError> | Retryable | Fatal, R | R2>
/**
 * Makes a call of one request that returns the response itself, with its body not read yet. It is not retried: pipe it
 * through `withRpcRetry`.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @since 0.1.0
 * @category constructors
 */
export function call<E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: HttpClientRequest.HttpClientRequest,
  options?: Options
): RpcCall.RpcCall<
  HttpClientResponse.HttpClientResponse,
  Exclude<E, HttpClientError.HttpClientError> | Retryable | Fatal,
  R
>
/** The implementation of both signatures. */
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
 * The headers that describe a body before it is made.
 *
 * @since 0.1.0
 * @category models
 */
export interface BodyOptions {
  /** The header `content-type`, unless the request has one. Default `application/octet-stream`. */
  readonly contentType?: string
  /** The length in bytes, for the header `content-length`. Default not known: the body is sent in chunks. */
  readonly contentLength?: number
}

/**
 * Makes a body that can be sent again, as each attempt makes its stream anew.
 *
 * Any other stream counts as one that can be read only once: a second run of an async generator or of an open file is
 * empty, and would be sent as an empty body. An attempt that fails after it has begun to read such a stream ends its
 * call, as the table above says. Text, bytes, forms and blobs can always be sent again.
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
 * Makes the headers that each attempt sends about itself, unless {@link Options.headers} makes others:
 * `idempotency-key`, `x-retry-attempt` and `x-envoy-expected-rq-timeout-ms`.
 *
 * @since 0.1.0
 * @category headers
 */
export const headers: (facts: Deadline.Facts) => Readonly<Record<string, string>> = httpHeadersOf

/**
 * Classifies the failures of any `HttpClient`: those of the connection by their cause, statuses by {@link fromStatus}.
 * It does not read `Retry-After`, as a date needs the time of day.
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
 * Returns the error for a status that is not that of an answer:
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
    /** The delay that the server asks for before the next attempt. A `Fatal` ignores it. Default none. */
    readonly retryAfter?: ServerHint | undefined
    /** Text after `HTTP <status>` in the message of a `Fatal`. Default none. */
    readonly message?: string | undefined
    /** The `cause` of the error. Default none. */
    readonly cause?: unknown
  }
): Retryable | Fatal => HttpStatus.fromStatus(status, details)
