/**
 * Sends requests of Connect transports over HTTP/2.
 *
 * The client of `@connectrpc/connect-node` ends a request that is given up, and the server takes the part that it has
 * received, often nothing, for the whole message. This one resets the request, writes the message together with its
 * headers, and sends its length, so that a server notices a message that was cut.
 *
 * @internal
 */
import { Code, ConnectError } from "@connectrpc/connect"
import { getAbortSignalReason, type UniversalClientFn, type UniversalClientRequest } from "@connectrpc/connect/protocol"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { AsyncLocalStorage } from "node:async_hooks"
import * as Http2 from "node:http2"
import type { Progress } from "../../Deadline.js"
import * as Causes from "../../internal/effect/cause.js"
import * as Result from "../../internal/result.js"
import { Retryable } from "../../RpcError.js"
import { http2Codes } from "../shared/http2Codes.js"
import type { Http2Connection, Sessions } from "./sessions.js"

type Response = Awaited<ReturnType<UniversalClientFn>>

/** The progress of the attempt that a request is part of; `undefined` outside attempts of `Connect`. */
const attempts = new AsyncLocalStorage<Progress>()

/** @internal */
export const watch = <A>(progress: Progress, start: () => A): A => attempts.run(progress, start)

/** The body of a request: none, complete, or in parts. */
type Body = Uint8Array | AsyncIterable<Uint8Array> | undefined

/**
 * Returns whether the body is the bare message, as in unary requests of the protocol Connect. All others have a length
 * before it.
 */
const isBare = ({ header }: UniversalClientRequest): boolean =>
  /^application\/(?!connect\+|grpc)/.test(header.get("content-type") ?? "")

const collect = (parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> => {
  const iterator = parts[Symbol.asyncIterator]()
  const chunks: Array<Uint8Array> = []
  const next = (): Promise<Uint8Array> =>
    iterator.next().then((result) => {
      if (result.done === true) {
        return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      }
      chunks.push(result.value)
      return next()
    })
  return next()
}

const headersOf = (request: UniversalClientRequest, body: Body): Http2.OutgoingHttpHeaders => {
  const { pathname, search } = new URL(request.url)
  return {
    ...Object.fromEntries(request.header),
    ...(body instanceof Uint8Array && isBare(request) ? { "content-length": String(body.length) } : {}),
    ":method": request.method,
    ":path": pathname + search
  }
}

const webHeaders = (headers: Http2.IncomingHttpHeaders): Headers => {
  const web = new Headers()
  Object.entries(headers).forEach(([name, value]) => {
    if (!name.startsWith(":")) {
      ;[value ?? []].flat().forEach((one) => web.append(name, one))
    }
  })
  return web
}

/** The failure of a request that the server has certainly not processed. */
class Unsent {
  constructor(readonly error: ConnectError) {}
}

const codeOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** Makes an error as the library does of an error of Node, so that it is classified in the same way. */
const fromNode = (cause: unknown, code: Code): ConnectError =>
  cause instanceof ConnectError ? cause : new ConnectError(messageOf(cause), code, undefined, undefined, cause)

const notSent = (cause: unknown, reason: "ConnectionLost" | "Unavailable", code: string | undefined): ConnectError =>
  new ConnectError(
    messageOf(cause),
    Code.Unavailable,
    undefined,
    undefined,
    new Retryable({ reason, delivery: "NotSent", code, cause })
  )

/** Returns why a stream ended without a complete answer. */
const endOf = (
  { lastStreamId }: Http2Connection,
  stream: Http2.ClientHttp2Stream,
  error: unknown,
  isAnswered: boolean
): ConnectError | Unsent => {
  const name = http2Codes[stream.rstCode ?? 0] ?? stream.rstCode
  const cause = error === undefined || codeOf(error) === "ERR_STREAM_PREMATURE_CLOSE"
    ? new Error(`http/2 stream closed with error code ${name}`)
    : error
  if (isAnswered) {
    return fromNode(cause, Code.Aborted)
  }
  if (lastStreamId !== undefined && stream.id !== undefined && stream.id > lastStreamId) {
    return new Unsent(notSent(cause, "ConnectionLost", "NGHTTP2_REFUSED_STREAM"))
  }
  // a stream that ended with its connection has the code of the connection
  if (name === "REFUSED_STREAM" && codeOf(error) === "ERR_HTTP2_STREAM_ERROR") {
    return new Unsent(notSent(cause, "Unavailable", "NGHTTP2_REFUSED_STREAM"))
  }
  return fromNode(cause, Code.Aborted)
}

/**
 * Writes the parts of a message. When one fails, the request is reset, so that the message does not end as if it were
 * complete.
 */
const pump = (
  stream: Http2.ClientHttp2Stream,
  parts: AsyncIterator<Uint8Array>,
  fail: (error: unknown) => void
): void => {
  parts.next().then((result) => {
    if (result.done === true) {
      stream.end()
      return
    }
    stream.write(result.value, (error) => {
      if (error === null || error === undefined) {
        pump(stream, parts, fail)
      } else {
        parts.throw?.(error).catch(() => {})
      }
    })
  }, fail)
}

/**
 * Returns the body of the answer. It fails when the stream was reset. `onEnd` is called when nothing more will arrive.
 */
const bodyOf = (
  connection: Http2Connection,
  stream: Http2.ClientHttp2Stream,
  { onEnd, reset }: { readonly onEnd: () => void; readonly reset: () => void }
): AsyncIterable<Uint8Array> => ({
  [Symbol.asyncIterator]: () => {
    const chunks: AsyncIterator<Uint8Array> = stream[Symbol.asyncIterator]()
    const cut = (error: unknown): Promise<never> => {
      onEnd()
      return Promise.reject(endOf(connection, stream, error, true))
    }
    return {
      next: () =>
        chunks.next().then((result) => {
          if (result.done !== true) {
            return result
          }
          if (stream.rstCode !== undefined && stream.rstCode !== Http2.constants.NGHTTP2_NO_ERROR) {
            return cut(undefined)
          }
          onEnd()
          return result
        }, cut),
      // the library calls this when it cannot decode what it has received
      throw: (error: unknown) => {
        onEnd()
        reset()
        return Promise.reject(error)
      }
    }
  }
})

const closedCodes: ReadonlySet<string> = new Set([
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_OUT_OF_STREAMS"
])

/** Returns the failure when Node refuses a request at once: the connection takes no more, or a header is invalid. */
const refusal = (connection: Http2Connection, error: unknown): ConnectError | Unsent => {
  const code = codeOf(error)
  if (code !== undefined && closedCodes.has(code)) {
    connection.retire()
    return new Unsent(notSent(error, "ConnectionLost", code))
  }
  return fromNode(error, Code.Internal)
}

/** Sends one request on a connection. Node gets all of it at once, so that headers and message are written together. */
const exchange = (
  connection: Http2Connection,
  request: UniversalClientRequest,
  body: Body
): Effect.Effect<Response, ConnectError | Unsent> =>
  Effect.async((resume) => {
    const abort = new AbortController()
    // an abort makes Node reset the stream; its `close` would end it first
    const reset = () => abort.abort()
    const opened = Result.try({
      try: () =>
        connection.session.request(headersOf(request, body), { endStream: body === undefined, signal: abort.signal }),
      catch: (error) => refusal(connection, error)
    })
    if (Result.isFailure(opened)) {
      resume(Effect.fail(Result.failureOf(opened)))
      return
    }
    const stream = Result.successOf(opened)
    connection.add(stream)
    const trailer = new Headers()
    let error: unknown
    let isAnswered = false
    stream.on("error", (found) => {
      error ??= found
    })
    stream.on("trailers", (headers) => webHeaders(headers).forEach((value, name) => trailer.set(name, value)))
    stream.once("response", (headers) => {
      isAnswered = true
      request.signal?.addEventListener("abort", reset)
      resume(Effect.succeed({
        status: headers[":status"] ?? 0,
        header: webHeaders(headers),
        body: bodyOf(connection, stream, { reset, onEnd: () => request.signal?.removeEventListener("abort", reset) }),
        trailer
      }))
    })
    stream.once("close", () => {
      if (!isAnswered) {
        resume(Effect.fail(endOf(connection, stream, error, false)))
      }
    })
    if (body instanceof Uint8Array) {
      stream.end(body)
    } else if (body !== undefined) {
      pump(stream, body[Symbol.asyncIterator](), (found) => {
        error = found
        reset()
      })
    }
    return Effect.sync(reset)
  })

const givenUp = new ConnectError("the request was given up before it was sent", Code.Canceled)

/**
 * Sends a request, and once more at once when the server has certainly not processed it: a transparent retry, as gRPC
 * calls it. It is no attempt of its own.
 */
const request = (
  sessions: Sessions,
  request: UniversalClientRequest,
  progress: Progress | undefined
): Effect.Effect<Response, ConnectError> => {
  const once = (body: Body) =>
    Effect.flatMap(
      Effect.tryPromise({ try: () => sessions.acquire(), catch: (error) => fromNode(error, Code.Unavailable) }),
      (connection) =>
        progress === undefined || progress.sending() ? exchange(connection, request, body) : Effect.fail(givenUp)
    )
  const parts = request.body
  // the message of a `Connect` attempt is finite and can be sent again; other bodies may depend on answers
  const body: Effect.Effect<Body, ConnectError> = parts !== undefined && (progress !== undefined || isBare(request))
    ? Effect.tryPromise({ try: () => collect(parts), catch: (error) => fromNode(error, Code.Internal) })
    : Effect.succeed(parts)
  return Effect.flatMap(body, (body) => {
    const repeated = body === undefined || body instanceof Uint8Array
      ? Effect.catchAll(once(body), (error) => error instanceof Unsent ? once(body) : Effect.fail(error))
      : once(body)
    return Effect.mapError(repeated, (error) => error instanceof Unsent ? error.error : error)
  })
}

/** @internal */
export const client = (sessions: Sessions): UniversalClientFn => (universal) => {
  const { signal } = universal
  if (signal?.aborted === true) {
    return Promise.reject(getAbortSignalReason(signal))
  }
  return Effect.runPromiseExit(request(sessions, universal, attempts.getStore()), signal && { signal }).then(
    Exit.match({
      onSuccess: (response): Response | Promise<Response> => response,
      onFailure: (cause) =>
        Promise.reject(
          Causes.isInterruption(cause) && signal !== undefined
            ? getAbortSignalReason(signal)
            : Cause.squash(cause)
        )
    })
  )
}
