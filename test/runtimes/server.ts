/**
 * One server of each protocol and a stand-in for each registry, in a process of Node. The first request to each fails in
 * a way that is to be retried. It prints the ports as a line of JSON, and ends with its standard input.
 */
import { Code } from "@connectrpc/connect"
import * as grpc from "@grpc/grpc-js"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as ConnectServer from "../support/connectServer.js"
import * as EffectRpcServer from "../support/effectRpcServer.js"
import * as ThriftServer from "../support/thriftServer.js"
import * as Grpc from "./grpc.js"
import * as Registries from "./registries.js"

const http = Effect.async<number>((resume) => {
  const seen = new Set<string>()
  const server = Http.createServer((request, response) => {
    const isFirst = !seen.has(request.url!) && request.method !== "OPTIONS"
    if (isFirst) {
      seen.add(request.url!)
    }
    // pages of the browser have another origin
    const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" }
    let body = ""
    request.setEncoding("utf8").on("data", (chunk: string) => {
      body += chunk
    }).on("end", () => {
      const { id } = JSON.parse(body || "{}") as { readonly id?: unknown }
      response.writeHead(isFirst ? 503 : 200, headers).end(JSON.stringify({ jsonrpc: "2.0", id, result: 42 }))
    })
  })
  server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
})

const grpcServer = Effect.async<number>((resume) => {
  const server = new grpc.Server()
  let calls = 0
  server.addService(Grpc.service, {
    echo: ({ request }: { readonly request: Buffer }, answer: grpc.sendUnaryData<Buffer>) =>
      ++calls === 1 ? answer({ code: grpc.status.UNAVAILABLE, details: "the first one" }) : answer(null, request)
  })
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_, port) => resume(Effect.succeed(port)))
})

const connect = (kind: ConnectServer.Kind) =>
  Effect.map(ConnectServer.server(kind), ({ port, script }) => {
    script(ConnectServer.fails(Code.Unavailable))
    return port
  })

const program = Effect.gen(function*() {
  const goRpc = yield* FlakyServer.make({ methods: FlakyServer.arith })
  yield* goRpc.script(FlakyServer.reset)
  const effectRpc = yield* EffectRpcServer.ndjson.server
  yield* effectRpc.script({ _tag: "Retryable" })
  const thrift = yield* ThriftServer.makeServer({ transport: "framed", protocol: "binary" })
  yield* thrift.script("Retryable")
  const ports = {
    connect: yield* connect("Connect over HTTP/1.1"),
    connectNode: yield* connect("gRPC"),
    effectRpc: effectRpc.port,
    goRpc: goRpc.address.port,
    grpc: yield* grpcServer,
    http: yield* http,
    thrift: thrift.port,
    ...(yield* Registries.ports)
  }
  process.stdout.write(`${JSON.stringify(ports)}\n`)
  yield* Effect.never
})

process.stdin.resume().on("end", () => process.exit(0))
Effect.runFork(Effect.scoped(program))
