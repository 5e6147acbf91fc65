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
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Fatal, Retryable } from "../../RpcError.js"
import * as ServerHint from "../../ServerHint.js"
import * as HttpFailure from "./httpFailure.js"
import type { Reply } from "./jsonRpc.js"

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
): Effect.Effect<Reply, HttpClientError.HttpClientError> =>
  Effect.zipWith(bodyOf(response, maxResponseBytes), Clock.currentTimeMillis, (body, now) => ({
    status: response.status,
    retryAfter: Option.getOrUndefined(ServerHint.fromRetryAfter(headerOf(response.headers, "retry-after"), now)),
    body
  }))

const headerOf = (headers: Headers.Headers, name: string): string | undefined => headers[name]

/**
 * Read up to the limit, and no further: the rest is not asked for, and the connection it was to come on is closed. Of a body
 * whose announced length is above the limit nothing is kept.
 */
const bodyOf = (
  response: HttpClientResponse.HttpClientResponse,
  maxResponseBytes: number
): Effect.Effect<Reply["body"], HttpClientError.HttpClientError> => {
  const announced = Number(headerOf(response.headers, "content-length") ?? 0)
  const limit = announced > maxResponseBytes ? 0 : maxResponseBytes
  return Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return response.stream.pipe(
      Stream.runFoldWhile(true, (fits) => fits, (_, chunk) => {
        size += chunk.length
        chunks.push(chunk)
        return size <= limit
      }),
      // how `fetch` says that there is no body
      Effect.catchIf((error) => error.reason === "EmptyBody", () => Effect.succeed(true)),
      Effect.map((fits) =>
        fits ? Either.right(concat(chunks, size)) : Either.left(`a body of more than ${maxResponseBytes} bytes`)
      )
    )
  })
}

const concat = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  if (chunks.length === 1) {
    return chunks[0]!
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
