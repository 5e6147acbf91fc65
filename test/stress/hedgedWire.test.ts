/**
 * Ten thousand hedged calls over real sockets: what they leave behind at the server, in the process and among the fibers.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as grpc from "@grpc/grpc-js"
import { Fatal, Hedge, Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import * as Http from "node:http"
import * as ConnectServer from "../support/connectServer.js"
import { eventually } from "../support/eventually.js"
import { client as grpcClient, Echo, type Text } from "../support/grpcClient.js"
import * as Loopback from "../support/loopback.js"
import * as Random from "../support/random.js"
import * as ThriftServer from "../support/thriftServer.js"
import { assert, describe, it } from "../support/vitest.js"

const calls = 10_000

/** The calls in flight. Each may have two legs, and where a connection carries one request at a time, each leg needs one. */
const atOnce = 20

/** What a server does with its requests, and what becomes of them. */
const makeLedger = () => {
  const random = Random.make(15)
  const seen = new Set<string>()
  let open = 0
  let stalled = 0
  let cancelled = 0
  return {
    /** How many requests have neither been answered nor cancelled. */
    open: () => open,
    stalled: () => stalled,
    /** How many of those that were left without an answer were cancelled. */
    cancelled: () => cancelled,
    /**
     * Answers a request, or leaves it without an answer: one first request in twenty, as a server of Node closes a connection on which
     * a thousand are reset in a short time. Returns what to call when it is cancelled.
     */
    request: (text: string, answer: () => void): () => void => {
      open++
      const isFirst = !seen.has(text)
      seen.add(text)
      if (isFirst && random(20) === 0) {
        stalled++
        return () => {
          open--
          cancelled++
        }
      }
      open--
      answer()
      return () => {}
    }
  }
}

type Ledger = ReturnType<typeof makeLedger>

/** Makes a server that asks the ledger what to do, and a client of it. */
type Peer = (
  ledger: Ledger
) => Effect.Effect<(text: string) => Effect.Effect<string, Retryable | Fatal>, never, Scope.Scope>

/** More than there are requests. */
const always = <Step>(step: Step): ReadonlyArray<Step> => Array<Step>(3 * calls).fill(step)

const overGrpc: Peer = (ledger) =>
  Effect.gen(function*() {
    const server = new grpc.Server()
    server.addService((Echo as unknown as { readonly service: grpc.ServiceDefinition }).service, {
      Echo: (call: grpc.ServerUnaryCall<Text, Text>, answer: grpc.sendUnaryData<Text>) => {
        const cancelled = ledger.request(call.request.value, () => answer(null, call.request))
        call.on("cancelled", cancelled)
      }
    })
    const port = yield* Effect.acquireRelease(
      Effect.async<number>((resume) => {
        server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_, port) => {
          resume(Effect.succeed(port))
        })
      }),
      () => Effect.sync(() => server.forceShutdown())
    )
    const echo = Grpc.unary(yield* grpcClient(`127.0.0.1:${port}`, Grpc.channelOptions), "Echo")
    return (value: string) => Effect.map(echo({ value }), (answer) => answer.value)
  })

const overHttp: Peer = (ledger) =>
  Effect.gen(function*() {
    const server = Http.createServer((request, response) => {
      const text = request.url!.slice(1)
      response.on("close", ledger.request(text, () => response.end(text)))
    })
    const port = yield* Loopback.listen(server, () => server.closeAllConnections())
    const client = yield* HttpPool.make({ connections: 2 * atOnce })
    return (text: string) =>
      HttpRpc.call(client, HttpClientRequest.get(`http://127.0.0.1:${port}/${text}`), {
        method: "Echo.Echo",
        read: ({ text }) => text
      })
  })

const overConnect: Peer = (ledger) =>
  Effect.gen(function*() {
    const { client, script } = yield* ConnectServer.make("Connect over HTTP/2")
    script(...always<ConnectServer.Step>(({ signal, text }) =>
      new Promise((resolve, reject) => {
        const cancelled = ledger.request(text, () => resolve(text))
        signal.addEventListener("abort", () => {
          cancelled()
          reject(new Error("nobody waits"))
        })
      })
    ))
    return (value: string) => Effect.map(client.echo({ value }), (answer) => answer.value)
  })

/** A loser is cancelled by the end of its connection: Thrift has no other way. */
const overThrift: Peer = (ledger) =>
  Effect.gen(function*() {
    const { port, script } = yield* ThriftServer.makeServer({ transport: "framed", protocol: "binary" })
    yield* script(...always<ThriftServer.Behaviour>((text, answer, socket) => {
      const cancelled = ledger.request(text, () => answer(null, text))
      socket.once("close", cancelled)
    }))
    const { echo } = yield* Thrift.make({
      service: "Probe",
      client: ThriftServer.generated.es5.Client,
      host: "127.0.0.1",
      port,
      transport: "framed",
      connections: 2 * atOnce
    })
    // the server declares an error that it never answers with
    return (text: string) =>
      Effect.catchAll(echo(text), (error) =>
        error instanceof Retryable || error instanceof Fatal ? Effect.fail(error) : Effect.die(error))
  })

/** What keeps the process alive: sockets, servers, timers. */
const handles = () => process.getActiveResourcesInfo().filter((name) => /TCP|Timeout|HTTP/i.test(name)).toSorted()

const peers: Readonly<Record<string, Peer>> = {
  gRPC: overGrpc,
  HTTP: overHttp,
  Connect: overConnect,
  Thrift: overThrift
}

describe("ten thousand hedged calls over real sockets", () => {
  for (const [name, peer] of Object.entries(peers)) {
    it.live(`leave no request, handle or fiber, and the server sees each loser cancelled: ${name}`, () =>
      Effect.gen(function*() {
        const before = handles()
        const ledger = makeLedger()
        const supervisor = yield* Supervisor.track
        const running = Effect.map(
          supervisor.value,
          (fibers) => fibers.filter((one) => one.unsafePoll() === null).length
        )
        yield* Effect.gen(function*() {
          const echo = yield* peer(ledger)
          const hedge = yield* Hedge.make({ after: "100 millis", load: 1 })
          const call = (text: string) => echo(text).pipe(withRpcRetry({ hedge, idempotent: true, logs: false }))
          const texts = Array.from({ length: calls }, (_, i) => `call-${i}`)
          const answers = yield* Effect.forEach(texts, call, { concurrency: atOnce })
          assert.deepStrictEqual(answers, texts)
          yield* eventually(() => ledger.open() === 0)
          const { extraLegs } = yield* hedge.state
          assert.isAtLeast(extraLegs, calls / 30)
        }).pipe(Effect.scoped, Effect.supervised(supervisor))
        yield* eventually(() => handles().length <= before.length)
        // those of pools end with the scope; a leg belongs to nobody, and would be left
        yield* eventually(Effect.map(running, (now) => now === 0))
        assert.isAbove(ledger.stalled(), calls / 30)
        assert.strictEqual(ledger.cancelled(), ledger.stalled())
      }))
  }
})
