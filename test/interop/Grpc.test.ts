/**
 * `Grpc` against real servers in Go: `google.golang.org/grpc`, in `go/grpcserver`, and Kitex with Protobuf over gRPC, in
 * `go/kitexgrpc`.
 */
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import { contract } from "../support/contract.js"
import * as GoProgram from "../support/goProgram.js"
import * as GoServer from "../support/goServer.js"
import { client, textOf } from "../support/grpcClient.js"
import * as GrpcGo from "../support/grpcGo.js"

const servers = [["grpc-go", "grpcserver"], ["Kitex", "kitexgrpc"]] as const

for (const [name, directory] of servers) {
  const { serve } = GoProgram.make(directory)
  contract(`Grpc and a server of ${name}`, {
    skipped: GoServer.skipped,
    make: Effect.gen(function*() {
      const { address, restart, script, seen } = yield* GrpcGo.make(serve)
      const echo = yield* client(address)
      return {
        echo: (text, options) => textOf(Grpc.unary(echo, "Echo", options)({ value: text })),
        script: (...steps) => script(...steps.map(GrpcGo.ofContract)),
        seen,
        restart
      }
    })
  })
}
