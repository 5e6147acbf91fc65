/**
 * The clients of the two servers.
 */
import * as grpc from "@grpc/grpc-js"
import * as protoLoader from "@grpc/proto-loader"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Path from "node:path"

/** `Arith` over `net/rpc`. */
export class NetRpc extends Effect.Service<NetRpc>()("NetRpc", {
  scoped: Effect.gen(function*() {
    const rpc = yield* GoRpc.make({
      host: yield* Config.withDefault(Config.string("NET_RPC_HOST"), "127.0.0.1"),
      port: yield* Config.withDefault(Config.port("NET_RPC_PORT"), 1234),
      codec: yield* Config.withDefault(Config.literal("gob", "json")("NET_RPC_CODEC"), "gob")
    })
    return GoRpc.service("Arith", {
      Multiply: { args: Schema.Struct({ A: Gob.Int, B: Gob.Int }), reply: Gob.Int, idempotent: true }
    }, { client: Effect.succeed(rpc) })
  })
}) {}

// what `proto-loader-gen-types` writes
interface ArithClient extends grpc.Client {
  multiply(
    request: { readonly a: number; readonly b: number },
    callback: grpc.requestCallback<{ readonly product: number }>
  ): grpc.ClientUnaryCall
}
interface Loaded {
  readonly arith: {
    readonly v1: {
      readonly Arith: new(target: string, credentials: grpc.ChannelCredentials, options: object) => ArithClient
    }
  }
}

const loaded = grpc.loadPackageDefinition(
  protoLoader.loadSync(Path.join(import.meta.dirname, "arith.proto"), { longs: Number, defaults: true })
) as unknown as Loaded

/** `arith.v1.Arith` over gRPC. That `multiply` is idempotent is said in `arith.proto`. */
export class OverGrpc extends Effect.Service<OverGrpc>()("OverGrpc", {
  scoped: Effect.gen(function*() {
    const target = yield* Config.withDefault(Config.string("GRPC_TARGET"), "127.0.0.1:50051")
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new loaded.arith.v1.Arith(target, grpc.credentials.createInsecure(), Grpc.channelOptions)),
      (client) => Effect.sync(() => client.close())
    )
    return Grpc.client(client)
  })
}) {}
