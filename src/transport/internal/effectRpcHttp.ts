/**
 * A client of HTTP that fails on statuses, so that no body of an error is taken for an answer.
 *
 * @internal
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as HttpFailure from "./httpFailure.js"

/** Of a body that does not matter as much is read as lets the connection be used again. */
const maxDrained = 65_536

/** @internal */
export const onlyOk = <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
  HttpClient.transformResponse(
    client,
    Effect.flatMap((response: HttpClientResponse.HttpClientResponse) =>
      HttpFailure.isOk(response.status)
        ? Effect.succeed(response)
        : Effect.zipRight(
          drained(response),
          Effect.fail(
            new HttpClientError.ResponseError({ request: response.request, response, reason: "StatusCode" })
          )
        )
    )
  )

const drained = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  response.stream.pipe(
    Stream.runFoldWhile(0, (size) => size <= maxDrained, (size, chunk) => size + chunk.length),
    Effect.timeoutOption("1 second"),
    Effect.ignore
  )
