/**
 * The protocol over an HTTP client that fails on error statuses, so that the body of an error is not taken for an
 * answer.
 *
 * @internal
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as RpcClient from "@effect/rpc/RpcClient"
import { constPing } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Effect from "effect/Effect"
import * as Result from "../../internal/result.js"
import { checkKnown, InvalidOption, orThrow } from "../../InvalidOption.js"
import { statusError } from "../http/exchange.js"
import * as HttpFailure from "../http/failure.js"
import { checkUrl } from "../shared/url.js"
import * as Guard from "./guard.js"
import { readingInParts } from "./serialization.js"

interface Options {
  readonly url: string
  readonly transformClient?:
    | (<E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E, R>)
    | undefined
}

const where = "EffectRpc.layerProtocolHttp"

/**
 * Checks the serialization. The library reads any body of this content type as its own JSON, and would ignore every
 * answer.
 */
const checkSerialization = (serialization: RpcSerialization.RpcSerialization["Type"]) =>
  serialization.contentType === "application/json" &&
    String(serialization.unsafeMake().encode(constPing)).includes("\"jsonrpc\"")
    ? Result.fail(
      new InvalidOption({
        where,
        field: "serialization",
        problem: "must not be layerJsonRpc over HTTP: its answers are never decoded"
      })
    )
    : Result.succeed(serialization)

/** @internal */
export const makeProtocol = (options: Options) => {
  orThrow(checkKnown(where, options, ["url", "transformClient"]))
  const url = orThrow(checkUrl(where, options.url))
  return Effect.gen(function*() {
    orThrow(checkSerialization(yield* RpcSerialization.RpcSerialization))
    const located = HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.prependUrl(url))
    const transformed = options.transformClient === undefined ? located : options.transformClient(located)
    const protocol = yield* readingInParts(RpcClient.makeProtocolHttp(onlyOk(transformed)))
    return yield* Guard.make(protocol, { _tag: "Http" })
  })
}

const onlyOk = <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
  HttpClient.transformResponse(
    client,
    Effect.flatMap((response: HttpClientResponse.HttpClientResponse) =>
      HttpFailure.isOk(response.status)
        ? Effect.succeed(response)
        : Effect.flatMap(statusError(response), Effect.fail)
    )
  )
