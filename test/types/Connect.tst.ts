import type { DescService } from "@bufbuild/protobuf"
import type { StringValue } from "@bufbuild/protobuf/wkt"
import { Code, type Transport } from "@connectrpc/connect"
import {
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  type RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { describe, expect, it } from "tstyche"
import { EchoService } from "../support/connectServer.js"

declare const transport: Transport
declare const client: Connect.Client<typeof EchoService>

type Messages = Stream.Stream<StringValue, Retryable | Fatal>

describe("Connect", () => {
  it("a unary method is a call of its answer", () => {
    expect(Connect.client(EchoService, transport)).type.toBe<Connect.Client<typeof EchoService>>()
    expect(client.echo({ value: "x" })).type.toBe<RpcCall.RpcCall<StringValue, Retryable | Fatal>>()
    expect(client.echo({ value: "x" }).pipe(withRpcRetry)).type.toBe<
      Effect.Effect<StringValue, Fatal | RetryExhausted | CallRejected>
    >()
  })

  it("a server-streaming method is a call of a stream", () => {
    expect(client.watch({ value: "x" })).type.toBe<RpcCall.RpcCall<Messages, Retryable | Fatal, Scope.Scope>>()
    expect(client.watch({ value: "x" }).pipe(withRpcRetry)).type.toBe<
      Effect.Effect<Messages, Fatal | RetryExhausted | CallRejected, Scope.Scope>
    >()
  })

  it("a method that takes a stream is not there", () => {
    expect<keyof typeof client>().type.toBe<"echo" | "look" | "change" | "watch">()
    expect(client).type.not.toHaveProperty("collect")
    expect(client).type.not.toHaveProperty("chat")
  })

  it("of a service that is known at run time only there are no methods", () => {
    expect<keyof Connect.Client<DescService>>().type.toBe<never>()
  })

  it("a request has the fields of its message", () => {
    expect(client.echo).type.not.toBeCallableWith({ value: 1 })
    expect(client.echo).type.not.toBeCallableWith({ text: "x" })
    expect(client.watch).type.not.toBeCallableWith({ value: 1 })
    expect(client.echo).type.toBeCallableWith({})
  })

  it("a call has the options of the library, without the signal", () => {
    expect(client.echo).type.toBeCallableWith({}, { timeoutMs: 5, headers: { a: "b" }, onHeader: () => {} })
    expect(client.echo).type.not.toBeCallableWith({}, { signal: new AbortController().signal })
    expect(client.echo).type.not.toBeCallableWith({}, { retries: 3 })
  })

  it("options name the methods of the client", () => {
    const options: Connect.Options<typeof EchoService> = {
      retryOn: [Code.Aborted],
      methods: { echo: { idempotent: false, retryOn: ({ code }) => code === Code.Internal } }
    }
    expect(Connect.client(EchoService, transport, options)).type.toBe<typeof client>()
    const inferred = Connect.client(EchoService, transport, {
      methods: { echo: { retryOn: (error) => error.code === Code.Internal } }
    })
    expect(inferred).type.toBe<typeof client>()
    expect(Connect.client).type.not.toBeCallableWith(EchoService, transport, { methods: { collect: {} } })
    expect(Connect.client).type.not.toBeCallableWith(EchoService, transport, { methods: { Echo: {} } })
    expect(Connect.client).type.not.toBeCallableWith(EchoService, transport, { retryOn: ["aborted"] })
  })

  it("single methods are of one kind", () => {
    expect(Connect.unary(EchoService.method.echo, transport)({ value: "x" })).type.toBe<
      RpcCall.RpcCall<StringValue, Retryable | Fatal>
    >()
    expect(Connect.serverStream(EchoService.method.watch, transport)({ value: "x" })).type.toBe<
      RpcCall.RpcCall<Messages, Retryable | Fatal, Scope.Scope>
    >()
    expect(Connect.unary).type.not.toBeCallableWith(EchoService.method.watch, transport)
    expect(Connect.serverStream).type.not.toBeCallableWith(EchoService.method.echo, transport)
    expect(Connect.serverStream).type.not.toBeCallableWith(EchoService.method.chat, transport)
    expect(Connect.unary).type.not.toBeCallableWith(EchoService.method.collect, transport)
  })
})
