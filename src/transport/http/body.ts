/**
 * Bodies of requests: those that can be sent again, and those that can be read only once.
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

/** Bodies that are made anew whenever they are read. */
const madeAnew = new WeakSet<HttpBody.HttpBody>()

/** What was read of bodies that are not. */
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

/** What can be read only once of a body, as far as anybody can tell; `undefined` where it can be sent again. */
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
  /** What its failure means: with a body that was read and cannot be read again there is no other attempt. */
  readonly failed: (error: Retryable) => Retryable | Fatal
}

/** A stream counts as read when it is run: a client may fail before, for want of a connection. */
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
  // what the request says of its body stays
  const noted = HttpClientRequest.setHeaders(HttpClientRequest.setBody(request, noting(body)), request.headers)
  return Result.succeed({ request: noted, failed })
}
