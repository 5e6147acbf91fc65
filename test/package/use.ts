// Installed from the tarball into an empty project: type-checked there, then run from ESM.
import * as grpc from "@grpc/grpc-js"
import { type CallRejected, type Fatal, type RetryExhausted, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as ConnectNode from "effect-rpc-retry/ConnectNode"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as RetrySchedule from "effect-rpc-retry/RetrySchedule"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

const program: Effect.Effect<number, Fatal | RetryExhausted | CallRejected> = Effect.gen(function*() {
  const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
  const rpc = yield* GoRpc.make(server.address)
  yield* server.script(FlakyServer.reset)
  return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number }).pipe(
    withRpcRetry({ schedule: RetrySchedule.standard, attemptTimeout: "1 second" })
  )
}).pipe(Effect.scoped, Effect.provide(RpcRetry.layer({ default: { deadline: "5 seconds" } })))

const product = await Effect.runPromise(program)
if (product !== 42) {
  throw new Error(`expected 42, got ${product}`)
}
process.stdout.write(`the packed package retried a reset connection and got ${product}\n`)

// gob, there and back
const Point = Schema.Struct({ X: Gob.Int, Y: Gob.Int64 })
const point = Either.flatMap(Gob.encode(Point)({ X: 1, Y: 2n }), Gob.decode(Point))
if (Either.isLeft(point) || point.right.Y !== 2n) {
  throw new Error(`expected a point, got ${point}`)
}

// the same over HTTP: unavailable first, then the answer
let requests = 0
const http = createServer((_, response) => {
  requests++
  response.writeHead(requests === 1 ? 503 : 200).end(JSON.stringify({ jsonrpc: "2.0", id: requests, result: 42 }))
})
await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve))

const overHttp: Effect.Effect<number, Fatal | RetryExhausted | CallRejected> = Effect.gen(function*() {
  const rpc = yield* JsonRpc.make({ url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` })
  return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number }).pipe(withRpcRetry)
}).pipe(Effect.provide(HttpPool.layer()))

const answer = await Effect.runPromise(overHttp)
http.close()
if (answer !== 42) {
  throw new Error(`expected 42 over HTTP, got ${answer}`)
}
process.stdout.write(`and an unavailable HTTP server, and got ${answer}\n`)

// the clients one has: each entry point loads beside its library, and its types need no others
for (
  const constructor of [
    Grpc.client,
    Connect.client,
    ConnectNode.sessionManager,
    EffectRpc.make,
    Thrift.make,
    HttpRpc.retrying
  ]
) {
  if (typeof constructor !== "function") {
    throw new Error(`expected a function, got ${constructor}`)
  }
}
const bytes = (message: Buffer) => message
const GrpcClient = grpc.makeGenericClientConstructor({
  getUser: {
    path: "/users.v1.Users/GetUser",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes
  }
}, "Users")
interface UsersClient extends grpc.Client {
  getUser(request: Buffer, callback: grpc.requestCallback<Buffer>): grpc.ClientUnaryCall
}
const grpcClient = new GrpcClient(
  "127.0.0.1:1",
  grpc.credentials.createInsecure(),
  Grpc.channelOptions
) as unknown as UsersClient
const users = RpcRetry.client(Grpc.client(grpcClient))
grpcClient.close()
process.stdout.write(`and the adapters load; a client has ${Object.keys(users).join()}\n`)
