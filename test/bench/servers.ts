/**
 * Servers for the adapters, in a process of their own: they answer with the text that they are sent. Prints their ports
 * as JSON.
 */
import * as Library from "@connectrpc/connect-node"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as SocketServer from "@effect/platform/SocketServer"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import thrift from "thrift"
import { EchoService } from "../support/connectServer.js"
import { Echo, type Text } from "../support/grpcClient.js"
import { generated } from "../support/thriftServer.js"

export class Group extends RpcGroup.make(
  Rpc.make("Echo", { payload: { text: Schema.String }, success: Schema.String })
) {}

const listening = (server: Net.Server): Promise<number> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as Net.AddressInfo).port)))

const grpcPort = (): Promise<number> => {
  const server = new grpc.Server()
  server.addService((Echo as unknown as { readonly service: grpc.ServiceDefinition }).service, {
    Echo: (call: grpc.ServerUnaryCall<Text, Text>, answer: grpc.sendUnaryData<Text>) => answer(null, call.request)
  })
  return new Promise((resolve, reject) =>
    server.bindAsync(
      "127.0.0.1:0",
      grpc.ServerCredentials.createInsecure(),
      (error, port) => error === null ? resolve(port) : reject(error)
    )
  )
}

const connectPort = (): Promise<number> =>
  listening(Http2.createServer(
    Library.connectNodeAdapter({
      routes: (router) => void router.service(EchoService, { echo: ({ value }) => ({ value }) })
    }) as Parameters<typeof Http2.createServer>[1]
  ))

const thriftPort = (): Promise<number> =>
  listening(
    thrift.createServer(
      generated.es5 as never,
      { echo: (text: string, answer: (error: null, text: string) => void) => answer(null, text) },
      { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol }
    ) as unknown as Net.Server
  )

const effectRpcPort = async (): Promise<number> => {
  const server = RpcServer.layer(Group).pipe(
    Layer.provide(Group.toLayer({ Echo: ({ text }) => Effect.succeed(text) })),
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide(RpcSerialization.layerNdjson),
    Layer.provideMerge(NodeSocketServer.layer({ port: 0, host: "127.0.0.1" }))
  )
  return new Promise((resolve) => {
    Effect.runFork(
      Layer.launch(
        Layer.effectDiscard(
          Effect.map(SocketServer.SocketServer, ({ address }) => {
            if (address._tag === "TcpAddress") {
              resolve(address.port)
            }
          })
        ).pipe(Layer.provide(server))
      )
    )
  })
}

if (process.argv[2] === "serve") {
  const [grpc, connect, thrift, effectRpc] = await Promise.all([
    grpcPort(),
    connectPort(),
    thriftPort(),
    effectRpcPort()
  ])
  process.stdout.write(`${JSON.stringify({ grpc, connect, thrift, effectRpc })}\n`)
  process.stdin.on("end", () => process.exit()).resume()
}
