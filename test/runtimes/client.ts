/**
 * Calls the servers of `server.ts` through each transport and discovers endpoints, in the runtime that runs it, and
 * prints what is wrong with each as JSON.
 */
import { createConnectTransport } from "@connectrpc/connect-node"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as grpc from "@grpc/grpc-js"
import { withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as ConnectNode from "effect-rpc-retry/ConnectNode"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createRequire } from "node:module"
import * as Path from "node:path"
import { EchoService } from "../support/connectServer.js"
import * as EffectRpcServer from "../support/effectRpcServer.js"
import type * as Probe from "../support/thriftGen/es6/Probe.js"
import * as Core from "./core.js"
import * as Discovery from "./discovery.js"
import * as Generated from "./grpc.js"

const { expect } = Core

const cases = (ports: Core.Ports): Readonly<Record<string, Core.Case>> => ({
  ...Core.cases(ports),
  "`GoRpc`": Effect.gen(function*() {
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port: ports.goRpc })
    const call = rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number })
    yield* Effect.flatMap(withRpcRetry(call, { attemptTimeout: "5 seconds" }), expect(42))
  }).pipe(Effect.scoped),
  // it says itself that it is not for Bun
  ...("Bun" in globalThis
    ? {}
    : { "`HttpPool`": Core.overHttp(ports, "pool").httpRpc.pipe(Effect.provide(HttpPool.layer())) }),
  "`Grpc`": Effect.gen(function*() {
    const client = new Generated.Client(
      `127.0.0.1:${ports.grpc}`,
      grpc.credentials.createInsecure(),
      Grpc.channelOptions
    )
    const answer = yield* withRpcRetry(Grpc.client(client).echo(Buffer.from("x")))
    yield* expect("x")(answer.toString())
    client.close()
  }),
  "`Connect`": Effect.suspend(() => {
    const transport = createConnectTransport({ baseUrl: `http://127.0.0.1:${ports.connect}`, httpVersion: "1.1" })
    const call = Connect.client(EchoService, transport).echo({ value: "x" })
    return Effect.flatMap(withRpcRetry(call), ({ value }) => expect("x")(value))
  }),
  "`ConnectNode`": Effect.suspend(() => {
    const baseUrl = `http://127.0.0.1:${ports.connectNode}`
    const sessionManager = ConnectNode.sessionManager(baseUrl)
    const transport = ConnectNode.createGrpcTransport({ baseUrl, sessionManager })
    const call = Connect.client(EchoService, transport).echo({ value: "x" })
    return Effect.flatMap(withRpcRetry(call), ({ value }) => expect("x")(value)).pipe(
      Effect.ensuring(Effect.sync(() => sessionManager.abort()))
    )
  }),
  "`EffectRpc`": Effect.gen(function*() {
    const client = yield* EffectRpc.make(EffectRpcServer.Group)
    yield* Effect.flatMap(withRpcRetry(client.Echo({ text: "x" })), expect("x"))
  }).pipe(
    Effect.scoped,
    Effect.provide(
      EffectRpc.layerProtocolHttp({ url: `http://127.0.0.1:${ports.effectRpc}/rpc` }).pipe(
        Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson])
      )
    )
  ),
  "`Thrift`": Effect.gen(function*() {
    const { Client } = createRequire(Path.resolve("test/support/thriftServer.ts"))(
      "./thriftGen/es6/Probe.js"
    ) as typeof Probe
    const probe = yield* Thrift.make({
      service: "Probe",
      client: Client,
      host: "127.0.0.1",
      port: ports.thrift,
      transport: "framed",
      protocol: "binary",
      retryOn: () => true
    })
    yield* Effect.flatMap(withRpcRetry(probe.echo("x")), expect("x"))
  }).pipe(Effect.scoped),
  ...Discovery.cases(ports)
})

const wrong = await Core.run(cases(JSON.parse(process.argv[2]!) as Core.Ports))
process.stdout.write(`${JSON.stringify(wrong)}\n`, () => process.exit(0))
