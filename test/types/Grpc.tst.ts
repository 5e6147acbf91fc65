import type * as grpc from "@grpc/grpc-js"
import {
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  type RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { describe, expect, it } from "tstyche"

interface UserRequest {
  readonly id: string
}
interface User {
  readonly name: string
}
interface Filter {
  readonly team?: string
}

/** As `proto-loader-gen-types` writes a client. */
interface LoadedClient extends grpc.Client {
  GetUser(
    argument: UserRequest,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<User>
  ): grpc.ClientUnaryCall
  GetUser(argument: UserRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<User>): grpc.ClientUnaryCall
  GetUser(argument: UserRequest, options: grpc.CallOptions, callback: grpc.requestCallback<User>): grpc.ClientUnaryCall
  GetUser(argument: UserRequest, callback: grpc.requestCallback<User>): grpc.ClientUnaryCall
  ListUsers(argument: Filter, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<User>
  ListUsers(argument: Filter, options?: grpc.CallOptions): grpc.ClientReadableStream<User>
  AddUsers(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Filter>
  ): grpc.ClientWritableStream<User>
  AddUsers(callback: grpc.requestCallback<Filter>): grpc.ClientWritableStream<User>
  Chat(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<User, Filter>
  Chat(options?: grpc.CallOptions): grpc.ClientDuplexStream<User, Filter>
}

/** As ts-proto writes one with `outputServices=grpc-js`, and `grpc_tools_node_protoc_ts` much alike. */
interface ProtoClient extends grpc.Client {
  getUser(
    request: UserRequest,
    callback: (error: grpc.ServiceError | null, response: User) => void
  ): grpc.ClientUnaryCall
  getUser(
    request: UserRequest,
    metadata: grpc.Metadata,
    callback: (error: grpc.ServiceError | null, response: User) => void
  ): grpc.ClientUnaryCall
  getUser(
    request: UserRequest,
    metadata: grpc.Metadata,
    options: Partial<grpc.CallOptions>,
    callback: (error: grpc.ServiceError | null, response: User) => void
  ): grpc.ClientUnaryCall
  listUsers(request: Filter, options?: Partial<grpc.CallOptions>): grpc.ClientReadableStream<User>
  listUsers(
    request: Filter,
    metadata?: grpc.Metadata,
    options?: Partial<grpc.CallOptions>
  ): grpc.ClientReadableStream<User>
  addUsers(callback: (error: grpc.ServiceError | null, response: Filter) => void): grpc.ClientWritableStream<User>
  chat(): grpc.ClientDuplexStream<User, Filter>
}

declare const loaded: LoadedClient
declare const proto: ProtoClient
declare const untyped: InstanceType<grpc.ServiceClientConstructor>

type UnaryCall = (request: UserRequest) => RpcCall.RpcCall<User, Retryable | Fatal>
type StreamCall = (
  request: Filter
) => RpcCall.RpcCall<Stream.Stream<User, Retryable | Fatal>, Retryable | Fatal, Scope.Scope>

describe("Grpc", () => {
  it("a unary method of a loaded client", () => {
    expect(Grpc.unary(loaded, "GetUser")).type.toBe<UnaryCall>()
    expect(Grpc.unary(loaded, "GetUser")({ id: "1" }).pipe(withRpcRetry)).type.toBe<
      Effect.Effect<User, Fatal | RetryExhausted | CallRejected>
    >()
    expect(Grpc.unary(loaded, "GetUser")).type.not.toBeCallableWith({ id: 1 })
  })

  it("a unary method of a generated client", () => {
    expect(Grpc.unary(proto, "getUser")).type.toBe<UnaryCall>()
  })

  it("a method that streams its answer", () => {
    expect(Grpc.serverStream(loaded, "ListUsers")).type.toBe<StreamCall>()
    expect(Grpc.serverStream(proto, "listUsers")).type.toBe<StreamCall>()
    expect(Grpc.serverStream(proto, "listUsers")({}).pipe(withRpcRetry)).type.toBe<
      Effect.Effect<Stream.Stream<User, Retryable | Fatal>, Fatal | RetryExhausted | CallRejected, Scope.Scope>
    >()
  })

  it("each by its own function, and no other names", () => {
    expect<Grpc.UnaryNames<LoadedClient>>().type.toBe<"GetUser">()
    expect<Grpc.ServerStreamNames<LoadedClient>>().type.toBe<"ListUsers">()
    expect<Grpc.UnaryNames<ProtoClient>>().type.toBe<"getUser">()
    expect<Grpc.ServerStreamNames<ProtoClient>>().type.toBe<"listUsers">()
    expect(Grpc.unary).type.not.toBeCallableWith(loaded, "ListUsers")
    expect(Grpc.unary).type.not.toBeCallableWith(loaded, "makeUnaryRequest")
    expect(Grpc.unary).type.not.toBeCallableWith(loaded, "nothing")
    expect(Grpc.serverStream).type.not.toBeCallableWith(loaded, "GetUser")
    expect(Grpc.serverStream).type.not.toBeCallableWith(loaded, "Chat")
  })

  it("all of a client", () => {
    const users = Grpc.client(proto)
    expect(users.getUser).type.toBe<UnaryCall>()
    expect(users.listUsers).type.toBe<StreamCall>()
    expect<keyof typeof users>().type.toBe<"getUser" | "listUsers">()
  })

  it("options by the names of methods", () => {
    expect(Grpc.client).type.toBeCallableWith(proto, {
      methods: { getUser: { idempotent: true, retryOn: ["ABORTED", 300] } }
    })
    expect(Grpc.client).type.not.toBeCallableWith(proto, { methods: { addUsers: { idempotent: true } } })
    expect(Grpc.client).type.not.toBeCallableWith(proto, { methods: { nothing: {} } })
    expect(Grpc.unary).type.not.toBeCallableWith(proto, "getUser", { retryOn: ["BUSY"] })
    expect(Grpc.unary).type.not.toBeCallableWith(proto, "getUser", { retries: 3 })
  })

  it("all of a client without types: what may be a stream needs a scope", () => {
    const call = Grpc.client(untyped)["listUsers"]!({})
    expect(call).type.toBe<RpcCall.RpcCall<unknown, Retryable | Fatal, Scope.Scope>>()
    expect(call.pipe(withRpcRetry)).type.toBe<
      Effect.Effect<unknown, Fatal | RetryExhausted | CallRejected, Scope.Scope>
    >()
  })

  it("a client without types", () => {
    expect(Grpc.unary(untyped, "getUser")).type.toBe<
      (request: unknown) => RpcCall.RpcCall<unknown, Retryable | Fatal>
    >()
    expect(Grpc.serverStream(untyped, "listUsers")).type.toBe<
      (
        request: unknown
      ) => RpcCall.RpcCall<Stream.Stream<unknown, Retryable | Fatal>, Retryable | Fatal, Scope.Scope>
    >()
  })
})
