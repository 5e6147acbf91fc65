/**
 * Sends one HTTP request with a JSON body and reads the whole response. It is never repeated here.
 *
 * @internal
 */
import type * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Result from "../../internal/result.js"
import type { Fatal, Retryable } from "../../RpcError.js"
import type { ServerHint } from "../../ServerHint.js"
import * as Json from "../shared/json.js"
import * as Limit from "../shared/limit.js"
import * as HttpFailure from "./failure.js"

/** A whole HTTP response. `body` is a failure, with the problem, when it was too large to be read. @internal */
export interface Reply {
  readonly status: number
  readonly retryAfter: ServerHint | undefined
  /** The `content-encoding` of the response. A client that decodes such responses has done so already. */
  readonly encoding: string | undefined
  readonly body: Result.Result<Uint8Array, string>
  /** The limit of the body, in bytes. */
  readonly limit: number
}

interface Options {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly maxResponseBytes: number
}

/** @internal */
export type Exchange = (
  body: string,
  headers: Readonly<Record<string, string>>
) => Effect.Effect<Reply, Retryable | Fatal>

/** @internal */
export const make = (client: HttpClient.HttpClient, options: Options): Exchange => {
  const { "content-type": contentType = "application/json", ...common } = {
    accept: "application/json",
    ...options.headers
  }
  return (body, headers) =>
    client.execute(
      HttpClientRequest.post(options.url, {
        headers: { ...common, ...headers },
        body: HttpBody.text(body, contentType)
      })
    ).pipe(
      // a client that fails on statuses still has the response
      Effect.catchTag("ResponseError", (error) =>
        error.reason === "StatusCode" ? Effect.succeed(error.response) : Effect.fail(error)),
      Effect.flatMap((response) =>
        replyOf(response, options.maxResponseBytes)
      ),
      Effect.mapError(HttpFailure.classify)
    )
}

const replyOf = (
  response: HttpClientResponse.HttpClientResponse,
  maxResponseBytes: number
): Effect.Effect<Reply, HttpClientError.HttpClientError> => {
  const body = HttpFailure.decides(response.status)
    ? Effect.map(excerptOf(response), Result.succeed)
    : bodyOf(response, maxResponseBytes)
  return Effect.zipWith(body, Clock.currentTimeMillis, (body, now) => ({
    status: response.status,
    retryAfter: HttpFailure.retryAfterOf(response, now),
    encoding: headerOf(response.headers, "content-encoding"),
    body,
    limit: maxResponseBytes
  }))
}

const headerOf = (headers: Headers.Headers, name: string): string | undefined => headers[name]

/** Reads the body up to a limit; returns `false` when there is more, which is not read. */
const take = (response: HttpClientResponse.HttpClientResponse, chunks: Array<Uint8Array>, limit: number) =>
  Effect.suspend(() => {
    let size = 0
    return response.stream.pipe(
      Stream.runFoldWhile(true, (fits) => fits, (_, chunk) => {
        size += chunk.length
        chunks.push(chunk)
        return size <= limit
      }),
      // `fetch` fails when there is no body
      Effect.catchIf((error) => error.reason === "EmptyBody", () => Effect.succeed(true))
    )
  })

const maxExcerpt = 65_536

/** How long an excerpt is waited for: much less than any attempt timeout, which would hide the status. */
const excerptWait = "100 millis"

/**
 * Returns the part of an unneeded body that arrives soon, as it may explain the error. It is empty when a client has
 * read the body already.
 */
const excerptOf = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Uint8Array> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    return take(response, chunks, maxExcerpt).pipe(
      // also where the caller cannot be interrupted
      Effect.interruptible,
      Effect.timeoutOption(excerptWait),
      Effect.catchAllDefect(() => Effect.void),
      Effect.ignore,
      Effect.map(() => concat(chunks))
    )
  })

/**
 * Returns the error for a response that is refused by its status. Its body is read, so that the connection can be used
 * again, and the beginning is kept as `description`.
 *
 * @internal
 */
export const statusError = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientError.ResponseError> =>
  Effect.map(excerptOf(response), (body) =>
    new HttpFailure.StatusError({
      request: response.request,
      response,
      reason: "StatusCode",
      cause: Json.excerpt(body)
    }))

/** Reads the body. When the announced length is above the limit, nothing is read. */
const bodyOf = (
  response: HttpClientResponse.HttpClientResponse,
  maxResponseBytes: number
): Effect.Effect<Reply["body"], HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    const tooLarge = Result.fail(Limit.tooLong("a body", { bytes: maxResponseBytes, option: "maxResponseBytes" }))
    return Number(headerOf(response.headers, "content-length") ?? 0) > maxResponseBytes
      // start and cancel the read, so that the connection is closed
      ? Effect.as(Effect.ignore(Effect.timeoutOption(Effect.interruptible(take(response, chunks, 0)), 0)), tooLarge)
      : Effect.map(take(response, chunks, maxResponseBytes), (fits) => fits ? Result.succeed(concat(chunks)) : tooLarge)
  })

const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  if (chunks.length === 1) {
    return chunks[0]!
  }
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
