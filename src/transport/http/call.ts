/**
 * Runs a request of an `HttpClient` as an attempt of a call.
 *
 * @internal
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Deadline from "../../Deadline.js"
import * as HttpStatus from "../../internal/errors/httpStatus.js"
import * as Result from "../../internal/result.js"
import { checkKnown, InvalidOption } from "../../InvalidOption.js"
import * as RpcCall from "../../RpcCall.js"
import { type Fatal, isFatal, isRetryable, Retryable, withDelivery, withMethod } from "../../RpcError.js"
import { httpHeadersOf } from "../shared/callHeaders.js"
import * as Json from "../shared/json.js"
import * as HttpBody from "./body.js"
import { statusError } from "./exchange.js"
import * as HttpFailure from "./failure.js"
import { writable } from "./headers.js"

/**
 * The options of a call, or of all calls of a client. A function among them must not throw: what it throws is a defect.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Names the call: `"Service.Method"`, or a function that makes the name from the request. Default: the host and the
   * method of the request, as in `"127.0.0.1:8080.GET"`, so that each host is a destination; `"http.GET"` where a
   * client puts the host before the URL later.
   */
  readonly method?: string | ((request: HttpClientRequest.HttpClientRequest) => string) | undefined
  /**
   * Says whether the request may run twice, or is a function of the request that does. Default, also where the function
   * returns `undefined`: `true` for `GET`, `HEAD`, `PUT`, `DELETE` and `OPTIONS`, `false` for any other method.
   */
  readonly idempotent?: boolean | ((request: HttpClientRequest.HttpClientRequest) => boolean | undefined) | undefined
  /**
   * Makes more responses worth another attempt than the table of this module names: a list of statuses, or a predicate
   * of the response. They become `Retryable Custom`, delivery `Unknown`. Default none.
   */
  readonly retryOn?:
    | ReadonlyArray<number>
    | ((response: HttpClientResponse.HttpClientResponse) => boolean)
    | undefined
  /**
   * Makes the headers that each attempt sends about itself. Default `HttpRpc.headers`. A browser refuses a request to
   * another origin that does not allow these headers: use `() => ({})` there.
   */
  readonly headers?: ((facts: Deadline.Facts) => Readonly<Record<string, string>>) | undefined
}

type Request = HttpClientRequest.HttpClientRequest

type Response = HttpClientResponse.HttpClientResponse

/** @internal */
export interface Checked {
  readonly method: (request: Request) => string
  readonly idempotent: (request: Request) => boolean
  readonly retryOn: (response: Response) => boolean
  readonly headers: (facts: Deadline.Facts) => Readonly<Record<string, string>>
}

const mayRunTwice: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])

/** Names a call by host and method. A client may add the host to a URL without one. */
const hostAndMethod = ({ method, url }: Request): string =>
  `${Result.getOrElse(Result.try(() => new URL(url).host), () => "http")}.${method}`

const isStatus = (u: unknown): u is number => Number.isInteger(u) && (u as number) >= 100 && (u as number) <= 599

/** @internal */
export const check = (
  where: string,
  options: Options
): Result.Result<Checked, InvalidOption> =>
  Result.flatMap(
    checkKnown(where, options, ["method", "idempotent", "retryOn", "headers"]),
    () => checkValues(where, options)
  )

const checkValues = (
  where: string,
  { headers = httpHeadersOf, idempotent, method, retryOn = [] }: Options
): Result.Result<Checked, InvalidOption> => {
  const invalid = (field: string, problem: string, got: unknown) =>
    Result.fail(new InvalidOption({ where, field, problem: `${problem}, got ${Json.describe(got)}` }))
  if (method !== undefined && !Predicate.isFunction(method) && (!Predicate.isString(method) || method === "")) {
    return invalid("method", "must be a text that is not empty, or a function", method)
  }
  if (idempotent !== undefined && !Predicate.isFunction(idempotent) && !Predicate.isBoolean(idempotent)) {
    return invalid("idempotent", "must be true, false or a function", idempotent)
  }
  if (!Predicate.isFunction(headers)) {
    return invalid("headers", "must be a function", headers)
  }
  const bad = Predicate.isFunction(retryOn)
    ? undefined
    : Array.isArray(retryOn)
    ? retryOn.find((one) => !isStatus(one))
    : retryOn
  if (bad !== undefined) {
    return invalid("retryOn", "must be statuses from 100 to 599, or a function", bad)
  }
  return Result.succeed({
    headers,
    method: Predicate.isFunction(method) ? method : method === undefined ? hostAndMethod : () => method,
    idempotent: (request) =>
      (Predicate.isFunction(idempotent) ? idempotent(request) : idempotent) ?? mayRunTwice.has(request.method),
    retryOn: Predicate.isFunction(retryOn) ? retryOn : ({ status }) => retryOn.includes(status)
  })
}

/** Returns a response that is not worth another attempt; closes one that is, and fails. */
const accepted = (response: Response, retryOn: Checked["retryOn"]): Effect.Effect<Response, Retryable | Fatal> => {
  const { status } = response
  const isRetryable = HttpStatus.isRetryableStatus(status)
  if (!isRetryable && !retryOn(response)) {
    return Effect.succeed(response)
  }
  return Effect.zipWith(statusError(response), Clock.currentTimeMillis, (cause, now) => {
    const retryAfter = HttpFailure.retryAfterOf(response, now)
    return isRetryable
      ? HttpStatus.fromStatus(status, { retryAfter, cause })
      : new Retryable({ reason: "Custom", delivery: "Unknown", code: status, retryAfter, cause })
  }).pipe(Effect.flatMap(Effect.fail))
}

/** Adds headers; those that the caller has set win. */
const withHeaders = (request: Request, headers: Readonly<Record<string, string>>): Result.Result<Request, Fatal> =>
  Result.map(writable(headers), () => HttpClientRequest.setHeaders(request, { ...headers, ...request.headers }))

/** Returns the response of an error from a client that fails on statuses, or that reads bodies itself. */
const refusedOf = (error: unknown): Response | undefined =>
  HttpClientError.isHttpClientError(error) && error._tag === "ResponseError" ? error.response : undefined

/** Returns whether a request is the first one of its attempt. Each redirect sets a URL and parameters of its own. */
const isFirst = (sent: Request, first: Request): boolean => sent.url === first.url && sent.urlParams === first.urlParams

const at = (u: unknown, key: string): unknown => Predicate.hasProperty(u, key) ? u[key] : undefined

/**
 * Returns whether `fetch` may have followed a redirect. It does so itself unless told otherwise, and reveals it only in
 * the response that the platform wraps.
 */
const mayHaveFollowed = (failure: unknown, init: Option.Option<RequestInit>): boolean => {
  const followed = refusedOf(failure)
  return followed === undefined
    ? HttpClientError.isHttpClientError(failure) && failure.cause instanceof TypeError &&
      !Option.exists(init, ({ redirect }) => redirect === "manual" || redirect === "error")
    : at(at(at(followed, "original") ?? followed, "source"), "redirected") === true
}

/**
 * Returns whether a failure may be of another request, to which a redirect has led: then the first request was sent.
 */
const isOther = (failure: unknown, first: Request, init: Option.Option<RequestInit>): boolean =>
  HttpClientError.isHttpClientError(failure) && (!isFirst(failure.request, first) || mayHaveFollowed(failure, init))

/** Makes attempts of requests. @internal */
export const calling = <E, R, A, E2, R2>(
  client: HttpClient.HttpClient.With<E, R>,
  { headers, idempotent, method, retryOn }: Checked,
  read: (response: Response) => Effect.Effect<A, E2, R2>
) =>
(request: Request) => {
  const name = method(request)
  const send = (client: HttpClient.HttpClient.With<E, R>, request: Request) =>
    Effect.flatMap(
      Effect.flatMap(Deadline.facts, (facts) => withHeaders(request, headers(facts))),
      (request) => client.execute(request)
    )
  const answered = (request: Request) => {
    let first = request
    // told after the client has changed the request, as by a base URL, and before it follows a redirect
    const noting = HttpClient.tapRequest(client, (request) =>
      Effect.sync(() => {
        first = request
      }))
    return send(noting, request).pipe(
      Effect.tapError((error) => {
        const response = refusedOf(error)
        return response === undefined ? Effect.void : accepted(response, retryOn)
      }),
      Effect.flatMap((response) => accepted(response, retryOn)),
      Effect.catchAll((error) =>
        Effect.flatMap(Effect.serviceOption(FetchHttpClient.RequestInit), (init) => {
          const failure = typed(error, name)
          const isUncertain = isOther(isRetryable(error) ? error.cause : error, first, init)
          return Effect.fail(isUncertain && isRetryable(failure) ? withDelivery(failure, "Unknown") : failure)
        })
      )
    )
  }
  // a failure of `read` comes after the request was answered
  const done = (request: Request) =>
    Effect.flatMap(answered(request), (response) =>
      Effect.mapError(read(response), (error) => {
        const failure = typed(error, name)
        return HttpClientError.isHttpClientError(error) && isRetryable(failure)
          ? withDelivery(failure, "Unknown")
          : failure
      }))
  const attempted = HttpBody.attempt(request, {}, done)
  return RpcCall.make(attempted, { method: name, idempotent: idempotent(request) })
}

/** Returns the typed failure of an HTTP error; other errors stay as they are. */
const typed = <E>(error: E, method: string): Exclude<E, HttpClientError.HttpClientError> | Retryable | Fatal =>
  HttpClientError.isHttpClientError(error) || isRetryable(error) || isFatal(error)
    ? withMethod(HttpFailure.classify(error), method)
    : error as Exclude<E, HttpClientError.HttpClientError>

/** Returns a client that makes its requests with a function. @internal */
export const client = <E, R>(
  execute: (request: Request) => Effect.Effect<Response, E, R>
): HttpClient.HttpClient.With<E, R> =>
  HttpClient.makeWith<never, never, E, R>((request) => Effect.flatMap(request, execute), Effect.succeed)
