import {
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  type RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import type * as JsonRpc from "effect-rpc-retry/JsonRpc"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "tstyche"

declare const rpc: JsonRpc.Client

class Key extends Schema.Class<Key>("Key")({ key: Schema.DateFromString }) {}

declare class Service extends Context.Tag("Service")<Service, string>() {}
declare const NeedsService: Schema.Schema<Date, string, Service>

describe("JsonRpc", () => {
  it("a call without a schema is unknown", () => {
    expect(rpc.call("A.B", { any: "thing" })).type.toBe<RpcCall.RpcCall<unknown, Retryable | Fatal>>()
    expect(rpc.call("A.B", [1], { idempotent: true })).type.toBe<RpcCall.RpcCall<unknown, Retryable | Fatal>>()
  })

  it("with one for the reply it is that", () => {
    const call = rpc.call("A.B", {}, { reply: Schema.DateFromString, idempotent: true })
    expect(call).type.toBe<RpcCall.RpcCall<Date, Retryable | Fatal>>()
    expect(call.pipe(withRpcRetry)).type.toBe<Effect.Effect<Date, Fatal | RetryExhausted | CallRejected>>()
  })

  it("with one for the arguments it takes only those", () => {
    expect(rpc.call("A.B", { key: new Date() }, { params: Key })).type.toBe<
      RpcCall.RpcCall<unknown, Retryable | Fatal>
    >()
    expect(rpc.call).type.not.toBeCallableWith("A.B", { key: "text" }, { params: Key })
    expect(rpc.call).type.not.toBeCallableWith("A.B", { key: "text" }, { params: Key, reply: Schema.Number })
    expect(rpc.notify).type.not.toBeCallableWith("A.B", { key: "text" }, { params: Key })
    expect(rpc.notify("A.B", { key: new Date() }, { params: Key })).type.toBe<
      RpcCall.RpcCall<void, Retryable | Fatal>
    >()
  })

  it("what the schemas need, the call needs", () => {
    expect(rpc.call("A.B", new Date(), { params: NeedsService })).type.toBe<
      RpcCall.RpcCall<unknown, Retryable | Fatal, Service>
    >()
    expect(rpc.call("A.B", {}, { reply: NeedsService })).type.toBe<RpcCall.RpcCall<Date, Retryable | Fatal, Service>>()
  })

  it("has no other options", () => {
    expect(rpc.call).type.not.toBeCallableWith("A.B", {}, { retries: 3 })
  })
})
