/**
 * Clients of the service in `grpcEcho.proto`, as `@grpc/proto-loader` makes them.
 */
import * as grpc from "@grpc/grpc-js"
import * as protoLoader from "@grpc/proto-loader"
import { RpcCall } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Path from "node:path"

export interface Text {
  readonly value: string
}

/** As the type generator of proto-loader writes a unary method. */
interface UnaryMethod {
  (
    argument: Text,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Text>
  ): grpc.ClientUnaryCall
  (argument: Text, metadata: grpc.Metadata, callback: grpc.requestCallback<Text>): grpc.ClientUnaryCall
  (argument: Text, options: grpc.CallOptions, callback: grpc.requestCallback<Text>): grpc.ClientUnaryCall
  (argument: Text, callback: grpc.requestCallback<Text>): grpc.ClientUnaryCall
}

interface StreamMethod {
  (argument: Text, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<Text>
  (argument: Text, options?: grpc.CallOptions): grpc.ClientReadableStream<Text>
}

export interface EchoClient extends grpc.Client {
  Echo: UnaryMethod
  echo: UnaryMethod
  Read: UnaryMethod
  read: UnaryMethod
  List: StreamMethod
  list: StreamMethod
  Script: UnaryMethod
  Seen: UnaryMethod
  Cancelled: UnaryMethod
}

interface EchoConstructor {
  new(address: string, credentials: grpc.ChannelCredentials, options?: grpc.ClientOptions): EchoClient
  readonly service: grpc.ServiceDefinition
}

const loaded = grpc.loadPackageDefinition(
  protoLoader.loadSync(Path.join(import.meta.dirname, "grpcEcho.proto"))
) as unknown as { readonly interop: { readonly v1: { readonly Echo: EchoConstructor } } }

export const Echo = loaded.interop.v1.Echo

/** Closed with the scope. */
export const client = (address: string, options: grpc.ClientOptions = {}) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new Echo(address, grpc.credentials.createInsecure(), {
        // each client has connections of its own
        "grpc.use_local_subchannel_pool": 1,
        ...options
      })
    ),
    (client) => Effect.sync(() => client.close())
  )

/** The same call, of the text alone. */
export const textOf = <E, R>(call: RpcCall.RpcCall<Text, E, R>): RpcCall.RpcCall<string, E, R> =>
  RpcCall.make(Effect.map(call, ({ value }) => value), call)
