import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import {
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  type RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import type * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { describe, expect, test } from "tstyche"

interface Db {
  readonly _: unique symbol
}
declare class Denied {
  readonly _tag: "Denied"
}

declare const plain: HttpClient.HttpClient
declare const own: HttpClient.HttpClient.With<HttpClientError.HttpClientError | Denied, Db>

type Failure = Fatal | RetryExhausted | CallRejected

describe("HttpRpc", () => {
  test("a client that retries has no HttpClientError and no Retryable; what is its own stays", () => {
    expect(HttpRpc.retrying(plain, withRpcRetry)).type.toBe<HttpClient.HttpClient.With<Failure>>()
    expect(plain.pipe(HttpRpc.retrying(withRpcRetry({ deadline: "1 second" })))).type.toBe<
      HttpClient.HttpClient.With<Failure>
    >()
    expect<HttpRpc.Failure<HttpClientError.HttpClientError | Retryable | Denied>>().type.toBe<Failure | Denied>()
    expect(HttpRpc.retrying(own, withRpcRetry, { method: "Users.Get" })).type.toBe<
      HttpClient.HttpClient.With<Failure | Denied, Db>
    >()
  })

  test("a call is of the response, or of what is read of it", () => {
    const request = HttpClientRequest.get("/")
    expect(HttpRpc.call(plain, request)).type.toBe<
      RpcCall.RpcCall<HttpClientResponse.HttpClientResponse, Retryable | Fatal>
    >()
    const User = Schema.Struct({ name: Schema.String })
    const user = HttpRpc.call(own, request, { read: HttpClientResponse.schemaBodyJson(User) })
    expect(user).type.toBe<
      RpcCall.RpcCall<{ readonly name: string }, Retryable | Fatal | Denied | ParseResult.ParseError, Db>
    >()
    expect(user.pipe(withRpcRetry)).type.toBe<
      Effect.Effect<{ readonly name: string }, Failure | Denied | ParseResult.ParseError, Db>
    >()
  })

  test("options that do not exist are errors", () => {
    expect(HttpRpc.retrying).type.not.toBeCallableWith(plain, withRpcRetry, { methods: "x" })
    expect(HttpRpc.retrying).type.not.toBeCallableWith(plain, withRpcRetry, { retryOn: ["500"] })
    expect(HttpRpc.call).type.not.toBeCallableWith(plain)
  })
})
