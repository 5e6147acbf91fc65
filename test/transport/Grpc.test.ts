import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import { contract } from "../support/contract.js"
import { client, textOf } from "../support/grpcClient.js"
import * as GrpcServer from "../support/grpcServer.js"

contract("Grpc and a server of grpc-js", {
  make: Effect.gen(function*() {
    const server = yield* GrpcServer.make
    const echo = yield* client(server.address)
    return {
      echo: (text, options) =>
        textOf(Grpc.unary(echo, "echo", options)({ value: text })),
      script: (...steps) => server.script(...steps.map(GrpcServer.ofContract)),
      seen: server.seen,
      restart: server.restart
    }
  })
})
