import * as grpc from "@grpc/grpc-js"

const bytes = (message: Buffer): Buffer => message

export const service = {
  echo: {
    path: "/runtimes.v1.Echo/Echo",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes
  }
} as const satisfies grpc.ServiceDefinition

interface EchoClient extends grpc.Client {
  echo(request: Buffer, callback: grpc.requestCallback<Buffer>): grpc.ClientUnaryCall
}

export const Client = grpc.makeGenericClientConstructor(service, "Echo") as unknown as new(
  address: string,
  credentials: grpc.ChannelCredentials,
  options: grpc.ClientOptions
) => EchoClient
