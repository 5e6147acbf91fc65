/**
 * `Grpc` against real servers in Go: `google.golang.org/grpc`, in `go/grpcserver`.
 */
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import { contract } from "../support/contract.js"
import * as GoProgram from "../support/goProgram.js"
import * as GoServer from "../support/goServer.js"
import { client, textOf } from "../support/grpcClient.js"
import * as GrpcGo from "../support/grpcGo.js"

const program = GoProgram.make("grpcserver")

const subject = Effect.gen(function*() {
  const server = yield* GrpcGo.make(program.serve)
  return { ...server, echo: yield* client(server.address) }
})

contract("Grpc and a server of grpc-go", {
  skipped: GoServer.skipped,
  make: Effect.gen(function*() {
    const { echo, restart, script, seen } = yield* subject
    return {
      echo: (text, options) => textOf(Grpc.unary(echo, "Echo", options)({ value: text })),
      script: (...steps) => script(...steps.map(GrpcGo.ofContract)),
      seen,
      restart
    }
  })
})
