/**
 * What the adapters add to the calls of their libraries, 64 at once on one connection. The server is another process,
 * and only the processor time of the client counts.
 */
import * as Connect from "@connectrpc/connect"
import * as ConnectNode from "@connectrpc/connect-node"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as grpc from "@grpc/grpc-js"
import { RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as OurConnect from "effect-rpc-retry/Connect"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as Path from "node:path"
import thrift from "thrift"
import { EchoService } from "../support/connectServer.js"
import { Echo, type Text } from "../support/grpcClient.js"
import { generated } from "../support/thriftServer.js"
import { type Case, concurrently, concurrentPromises, each, type Group, type Round, type Row } from "./case.js"
import { Group as EffectGroup } from "./servers.js"

const host = "127.0.0.1"
const callers = 64

/** Processor time of a call, once it gets no faster. */
const measured = async (run: (callers: number, calls: number) => Promise<unknown>): Promise<Round> => {
  const round = await each((n) => run(callers, n * callers))
  return async () => Number(await round()) / callers
}

/** Keeps what is made until the process ends. */
const kept = <A, E>(self: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.flatMap(Scope.make(), (scope) => Scope.extend(self, scope)))

const layer = () => RpcRetry.make({ default: { attemptTimeout: "1 second", deadline: "5 seconds" } })

type Call = (i: number) => Effect.Effect<unknown, unknown>

/** The calls of an adapter: bare, and with a layer and both timeouts. */
const adapter = (port: string, make: (port: number) => Promise<Call>): readonly [Case, Case] => [
  async (prepared) => measured(concurrently(await make(Number(prepared[port])))),
  async (prepared) => {
    const call = await make(Number(prepared[port]))
    const service = layer()
    return measured(concurrently((i) => withRpcRetry(call(i)), service))
  }
]

const library = (port: string, make: (port: number) => (i: number) => Promise<unknown>): Case => (prepared) =>
  measured(concurrentPromises(make(Number(prepared[port]))))

const grpcClient = (port: number, options?: grpc.ClientOptions) =>
  new Echo(`${host}:${port}`, grpc.credentials.createInsecure(), options)

const grpcCall = (options?: grpc.ClientOptions) => (port: number) => {
  const client = grpcClient(port, options)
  return (i: number) =>
    new Promise<Text | undefined>((resolve, reject) =>
      client.echo({ value: `${i}` }, (error, answer) => error === null ? resolve(answer) : reject(error))
    )
}

const retryPolicy = {
  maxAttempts: 4,
  initialBackoff: "0.1s",
  maxBackoff: "1s",
  backoffMultiplier: 1.5,
  retryableStatusCodes: ["UNAVAILABLE"]
}

const connectTransport = (port: number) =>
  ConnectNode.createConnectTransport({ baseUrl: `http://${host}:${port}`, httpVersion: "2" })

const socket = (port: number) =>
  Layer.mergeAll(Layer.orDie(NodeSocket.layerNet({ host, port })), RpcSerialization.layerNdjson)

const [grpcOurs, grpcLayer] = adapter("grpc", (port) => {
  const client = Grpc.client(grpcClient(port))
  return Promise.resolve((i) => client.echo({ value: `${i}` }))
})
const [connectOurs, connectLayer] = adapter("connect", (port) => {
  const client = OurConnect.client(EchoService, connectTransport(port))
  return Promise.resolve((i) => client.echo({ value: `${i}` }))
})
const [effectOurs, effectLayer] = adapter("effectRpc", (port) =>
  kept(
    Effect.map(
      Effect.flatMap(
        Layer.build(EffectRpc.layerProtocolSocket().pipe(Layer.provide(socket(port)))),
        (context) => Effect.provide(EffectRpc.make(EffectGroup), context)
      ),
      (client) => (i: number) => client.Echo({ text: `${i}` })
    )
  ))
const [thriftOurs, thriftLayer] = adapter("thrift", (port) =>
  kept(
    Effect.map(
      Thrift.make({
        service: "Probe",
        client: generated.es5.Client,
        host,
        port,
        transport: "framed",
        protocol: "binary"
      }),
      (probe) => (i: number) => probe.echo(`${i}`)
    )
  ))

const thriftCall = (port: number) => {
  const connection = thrift.createConnection(host, port, {
    transport: thrift.TFramedTransport,
    protocol: thrift.TBinaryProtocol
  })
  const client = thrift.createClient(generated.es5 as never, connection) as unknown as {
    readonly echo: (text: string, answer: (error: unknown, text?: string) => void) => void
  }
  return (i: number) =>
    new Promise((resolve, reject) =>
      client.echo(`${i}`, (error, text) => error === null ? resolve(text) : reject(error))
    )
}

const effectLibrary: Case = async (prepared) => {
  const client = await kept(
    Effect.flatMap(
      Layer.build(RpcClient.layerProtocolSocket().pipe(Layer.provide(socket(Number(prepared["effectRpc"]))))),
      (context) => Effect.provide(RpcClient.make(EffectGroup), context)
    )
  )
  return measured(concurrently((i) => client.Echo({ text: `${i}` })))
}

const names = ["Grpc", "Connect", "EffectRpc", "Thrift"]

export const group: Group = {
  title: "Adapters, beside the libraries they stand on",
  unit: "nanoseconds of processor time of the client for a call, 64 at once",
  rounds: 11,
  setup: () =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [Path.join(import.meta.dirname, "servers.js"), "serve"], {
        stdio: ["pipe", "pipe", "inherit"]
      })
      child.stdout.once("data", (line: Buffer) =>
        resolve({
          prepared: JSON.parse(line.toString()) as Record<string, string>,
          close: () => child.kill()
        }))
    }),
  cases: {
    "Grpc: the library": library("grpc", grpcCall()),
    "Grpc: the library, with its own retries": library(
      "grpc",
      grpcCall({
        "grpc.service_config": JSON.stringify({ methodConfig: [{ name: [{}], retryPolicy }] })
      })
    ),
    "Grpc: ours": grpcOurs,
    "Grpc: ours, layer, both timeouts": grpcLayer,
    "Connect: the library": library("connect", (port) => {
      const client = Connect.createClient(EchoService, connectTransport(port))
      return (i) => client.echo({ value: `${i}` })
    }),
    "Connect: ours": connectOurs,
    "Connect: ours, layer, both timeouts": connectLayer,
    "EffectRpc: the library": effectLibrary,
    "EffectRpc: ours": effectOurs,
    "EffectRpc: ours, layer, both timeouts": effectLayer,
    "Thrift: the library": library("thrift", thriftCall),
    "Thrift: the library, 16 connections with a call each": library("thrift", (port) => {
      const calls = Array.from({ length: 16 }, () => thriftCall(port))
      const waiting: Array<(call: ReturnType<typeof thriftCall>) => void> = []
      return async (i) => {
        const call = calls.pop() ?? await new Promise<ReturnType<typeof thriftCall>>((resolve) => waiting.push(resolve))
        const answer = await call(i)
        const next = waiting.shift()
        if (next === undefined) {
          calls.push(call)
        } else {
          next(call)
        }
        return answer
      }
    }),
    "Thrift: ours": thriftOurs,
    "Thrift: ours, layer, both timeouts": thriftLayer
  },
  rows: names.flatMap((name): ReadonlyArray<Row> => [
    {
      what: `calls of \`${name}\` in the same processor time / of the library`,
      ratio: (of) => of(`${name}: the library`) / of(`${name}: ours`),
      atLeast: 0.9
    },
    {
      what: `the same, with a layer and both timeouts`,
      ratio: (of) => of(`${name}: the library`) / of(`${name}: ours, layer, both timeouts`),
      atLeast: 0.65
    }
  ]).concat([
    {
      what: "calls of `Thrift` / of the library, where it has 16 connections with a call each, as `Thrift` has",
      ratio: (of) => of("Thrift: the library, 16 connections with a call each") / of("Thrift: ours")
    },
    {
      what: "calls of `Grpc` with a layer and both timeouts / of grpc-js with its own retries",
      ratio: (of) => of("Grpc: the library, with its own retries") / of("Grpc: ours, layer, both timeouts")
    }
  ])
}
