/**
 * Tells request bodies that can be sent again from those that can be read only once.
 *
 * @internal
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { LazyArg } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Deadline from "../../Deadline.js"
import { Fatal, isRetryable, Retryable } from "../../RpcError.js"

/** Bodies that are made anew each time they are read. */
const madeAnew = new WeakSet<HttpBody.HttpBody>()

/** The attempt that reads a source, or has read it. */
interface Reader {
  /** The call of the attempt. */
  readonly call: object
  /** Completes when the attempt has ended, with whether it was interrupted. */
  readonly ended: Deferred.Deferred<boolean>
}

/** The readers of sources that cannot be read again. */
const readers = new WeakMap<object, Reader>()

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

/**
 * Fails an attempt whose body another one reads. While that is an attempt of the same call, this one is an extra leg of
 * a hedge: it waits, as the call ends with the other one, and its failure does not end the call before.
 */
const notSent = ({ call, ended }: Reader, ownCall: object): Effect.Effect<never, Retryable | Fatal> =>
  Effect.flatMap(
    Deferred.isDone(ended),
    (isDone) =>
      isDone || call !== ownCall ?
        Effect.fail(alreadyRead()) :
        Deadline.whileUnsent(() =>
          Effect.flatMap(Deferred.await(ended), (isCut) =>
            Effect.fail(
              isCut
                ? alreadyRead()
                : new Retryable({ reason: "Custom", delivery: "NotSent", retryAfter: "Never", cause: alreadyRead() })
            ))
        )
  )

/** Returns the failure of an attempt that has read its body. */
const notAgain = (cause: Retryable): Fatal => {
  const { code, method, reason } = cause
  const what = code === undefined ? reason : `${reason} (${code})`
  return new Fatal({
    reason: "InvalidArgument",
    method,
    code,
    message: `the attempt failed with ${what}, and the body of the request ${readOnce}`,
    cause
  })
}

/** Enters the reader of a stream when the stream runs: a client may fail before that, without a connection. */
const noting = (body: HttpBody.Stream, reader: Reader): HttpBody.Stream =>
  HttpBody.stream(
    Stream.suspend(() => {
      if (readers.has(body.stream)) {
        return Stream.fail(alreadyRead())
      }
      readers.set(body.stream, reader)
      return body.stream
    }),
    body.contentType,
    body.contentLength
  )

/** Returns the request of an attempt, whose body notes that it is read. */
const noted = (
  request: HttpClientRequest.HttpClientRequest,
  source: object,
  reader: Reader
): HttpClientRequest.HttpClientRequest => {
  const { body, headers } = request
  if (body._tag !== "Stream") {
    readers.set(source, reader)
    return request
  }
  // keep the headers that the request has for its body
  return HttpClientRequest.setHeaders(HttpClientRequest.setBody(request, noting(body, reader)), headers)
}

/**
 * Makes an attempt of a request. It fails with a `Fatal` when its body was read and cannot be read again.
 *
 * - `call`: the identity of the call, the same for all its attempts.
 * - `send`: sends the request of this attempt, and reads the answer.
 *
 * @internal
 */
export const attempt = <A, E, R>(
  request: HttpClientRequest.HttpClientRequest,
  call: object,
  send: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Retryable | Fatal, R> => {
  const source = sourceOf(request.body)
  return source === undefined ? send(request) : Effect.suspend(() => {
    const before = readers.get(source)
    if (before !== undefined) {
      return notSent(before, call)
    }
    const own: Reader = { call, ended: Deferred.unsafeMake(FiberId.none) }
    return send(noted(request, source, own)).pipe(
      Effect.catchAll((error): Effect.Effect<never, E | Retryable | Fatal> => {
        const reader = readers.get(source)
        return reader !== undefined && reader !== own && reader.call === call
          ? notSent(reader, call)
          : Effect.fail(reader !== undefined && isRetryable(error) ? notAgain(error) : error)
      }),
      Effect.onExit((exit) => Deferred.succeed(own.ended, Exit.isInterrupted(exit)))
    )
  })
}
