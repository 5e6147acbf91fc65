/**
 * One HTTP request with a JSON body, and its whole response: exactly one, never repeated here.
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

/**
 * A whole HTTP response. `body` is `Left`, with what is wrong, where it was too large to be read.
 *
 * @internal
 */
export interface Reply {
  readonly status: number
  readonly retryAfter: ServerHint | undefined
  /** How it says that it is compressed. A client that reads such answers has undone it. */
  readonly encoding: string | undefined
  readonly body: Result.Result<Uint8Array, string>
  /** The most bytes it may have. */
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
      // a client that was told to fail on statuses has the response all the same
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

/** Takes what comes of the body up to a limit; `false` where there is more. The rest is not asked for. */
const take = (response: HttpClientResponse.HttpClientResponse, chunks: Array<Uint8Array>, limit: number) =>
  Effect.suspend(() => {
    let size = 0
    return response.stream.pipe(
      Stream.runFoldWhile(true, (fits) => fits, (_, chunk) => {
        size += chunk.length
        chunks.push(chunk)
        return size <= limit
      }),
      // how `fetch` says that there is no body
      Effect.catchIf((error) => error.reason === "EmptyBody", () => Effect.succeed(true))
    )
  })

const maxExcerpt = 65_536

/** Short beside any attempt timeout, which would otherwise end the attempt before its status has been told. */
const excerptWait = "100 millis"

/**
 * Of a body that does not matter, what comes of it soon: it may say more to who reads the error. A client that has read it
 * already leaves nothing.
 */
const excerptOf = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Uint8Array> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    return take(response, chunks, maxExcerpt).pipe(
      Effect.timeoutOption(excerptWait),
      Effect.catchAllDefect(() => Effect.void),
      Effect.ignore,
      Effect.map(() => concat(chunks))
    )
  })

/**
 * A response that is turned away by its status: its body is read, so that the connection can be used again, and its beginning
 * kept as the `description`.
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

/** Of a body whose announced length is above the limit nothing is waited for. */
const bodyOf = (
  response: HttpClientResponse.HttpClientResponse,
  maxResponseBytes: number
): Effect.Effect<Reply["body"], HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    const tooLarge = Result.fail(Limit.tooLong("a body", { bytes: maxResponseBytes, option: "maxResponseBytes" }))
    return Number(headerOf(response.headers, "content-length") ?? 0) > maxResponseBytes
      // begun and given up, so that the connection it was to come on is closed
      ? Effect.as(Effect.ignore(Effect.timeoutOption(take(response, chunks, 0), 0)), tooLarge)
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
