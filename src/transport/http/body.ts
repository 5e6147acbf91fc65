/**
 * Tells request bodies that can be sent again from those that can be read only once.
 *
 * @internal
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { LazyArg } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Result from "../../internal/result.js"
import { Fatal, type Retryable } from "../../RpcError.js"

/** Bodies that are made anew each time they are read. */
const madeAnew = new WeakSet<HttpBody.HttpBody>()

/** Sources that were read and cannot be read again. */
const taken = new WeakSet<object>()

/** @internal */
export const repeatable = (
  make: LazyArg<Stream.Stream<Uint8Array, unknown>>,
  { contentLength, contentType }: { readonly contentType?: string; readonly contentLength?: number }
): HttpBody.Stream => {
  const body = HttpBody.stream(Stream.suspend(make), contentType, contentLength)
  madeAnew.add(body)
  return body
}

const isData = (body: object): boolean =>
  ArrayBuffer.isView(body) ||
  ["ArrayBuffer", "SharedArrayBuffer", "Blob", "File", "FormData", "URLSearchParams"].some((tag) =>
    Object.prototype.toString.call(body) === `[object ${tag}]`
  )

/**
 * Returns the source of a body that can be read only once, as far as that can be known; `undefined` if it can be sent
 * again.
 */
const sourceOf = (body: HttpBody.HttpBody): object | undefined =>
  body._tag === "Stream"
    ? madeAnew.has(body) ? undefined : body.stream
    : body._tag === "Raw" && Predicate.isObject(body.body) && !isData(body.body)
    ? body.body
    : undefined

const readOnce = "can be read only once: it is not sent again"

const alreadyRead = (): Fatal =>
  new Fatal({
    reason: "InvalidArgument",
    message: `the body of the request was read by an attempt before, and ${readOnce}`
  })

/** One attempt of a request. @internal */
export interface Attempt {
  readonly request: HttpClientRequest.HttpClientRequest
  /** Returns the failure of the attempt: `Fatal` when its body was read and cannot be read again. */
  readonly failed: (error: Retryable) => Retryable | Fatal
}

/** Marks the source of a stream as read when the stream runs: a client may fail before that, without a connection. */
const noting = (body: HttpBody.Stream): HttpBody.Stream =>
  HttpBody.stream(
    Stream.suspend(() => {
      if (taken.has(body.stream)) {
        return Stream.fail(alreadyRead())
      }
      taken.add(body.stream)
      return body.stream
    }),
    body.contentType,
    body.contentLength
  )

/** @internal */
export const attempt = (request: HttpClientRequest.HttpClientRequest): Result.Result<Attempt, Fatal> => {
  const { body } = request
  const source = sourceOf(body)
  if (source === undefined) {
    return Result.succeed({ request, failed: (error) => error })
  }
  if (taken.has(source)) {
    return Result.fail(alreadyRead())
  }
  const failed = (cause: Retryable): Retryable | Fatal => {
    const { code, method, reason } = cause
    const what = code === undefined ? reason : `${reason} (${code})`
    return taken.has(source)
      ? new Fatal({
        reason: "InvalidArgument",
        method,
        code,
        message: `the attempt failed with ${what}, and the body of the request ${readOnce}`,
        cause
      })
      : cause
  }
  if (body._tag !== "Stream") {
    taken.add(source)
    return Result.succeed({ request, failed })
  }
  // keep the headers that the request has for its body
  const noted = HttpClientRequest.setHeaders(HttpClientRequest.setBody(request, noting(body)), request.headers)
  return Result.succeed({ request: noted, failed })
}
