/**
 * `Grpc` against real servers in Go: `google.golang.org/grpc`, in `go/grpcserver`, and Kitex with Protobuf over gRPC, in
 * `go/kitexgrpc`.
 */
import { RetryPolicy, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import { contract } from "../../support/contract.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { client, textOf } from "../../support/grpcClient.js"
import * as GrpcGo from "../../support/grpcGo.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

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

/** Passes everything on, and counts connections. */
const counting = (address: string) =>
  Effect.gen(function*() {
    let connections = 0
    const { port } = yield* Peer.listen((socket) => {
      connections++
      const server = Net.connect(Number(address.split(":")[1]), "127.0.0.1")
      server.on("error", () => socket.destroy())
      socket.on("close", () => server.destroy())
      socket.pipe(server).pipe(socket)
    })
    return { address: `127.0.0.1:${port}`, connections: () => connections }
  })

describe.skipIf(GoServer.skipped !== undefined)(
  "Grpc and a server of grpc-go that ends connections by their age",
  () => {
    const { serve } = GoProgram.make("grpcserver")

    it.scopedLive("a stream of calls loses none, and none is counted as a retry", () =>
      Effect.gen(function*() {
        const server = yield* GrpcGo.make((...args) => serve("-max-connection-age", "30ms", ...args))
        const between = yield* counting(server.address)
        const echo = Grpc.unary(yield* client(between.address, Grpc.channelOptions), "Echo", { idempotent: false })
        let calls = 0
        const caller = Effect.suspend(() => echo({ value: String(calls++) })).pipe(
          withRpcRetry(RetryPolicy.none),
          Effect.repeat({ until: () => between.connections() >= 20 })
        )
        yield* Effect.all(Array.from({ length: 20 }, () => caller), { concurrency: "unbounded" })
        const seen = yield* server.seen
        assert.strictEqual(seen.length, calls)
        assert.deepStrictEqual(seen.filter(({ previousAttempts }) => previousAttempts > 0), [])
      }))
  }
)
