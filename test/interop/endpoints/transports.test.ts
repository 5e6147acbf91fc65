/** Two servers of each protocol behind one destination: one dies, and no call fails. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { Endpoints, type Fatal, Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as ConnectServer from "../../support/connectServer.js"
import * as EffectRpcServer from "../../support/effectRpcServer.js"
import { eventually } from "../../support/eventually.js"
import * as GrpcClient from "../../support/grpcClient.js"
import * as GrpcServer from "../../support/grpcServer.js"
import * as HttpServer from "../../support/httpServer.js"
import * as ThriftServer from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

/** A server until the scope closes: its address. */
type Serve = Effect.Effect<string, never, Scope.Scope>

type Failure = Retryable | Fatal

/** An echo at one of the endpoints, as `Endpoints.client` makes it. */
type Echo = Effect.Effect<unknown, unknown>

interface Protocol {
  readonly serve: Serve
  /** Makes a call of the endpoints at these addresses. */
  readonly echo: (addresses: ReadonlyArray<string>) => Effect.Effect<Echo, never, Scope.Scope>
}

const at = ({ port }: { readonly port: number }) => `127.0.0.1:${port}`

/** Endpoints by this way to make a client, and a call with it. */
const protocol = <Client, E>(
  serve: Serve,
  connect: (endpoint: Endpoints.Endpoint) => Effect.Effect<Client, never, Scope.Scope>,
  echo: (client: Endpoints.Client<Client>) => Effect.Effect<unknown, E | Failure>
): Protocol => ({
  serve,
  echo: (addresses) =>
    Effect.map(
      Endpoints.make({ source: Endpoints.fromList(addresses), connect }),
      (endpoints) => echo(Endpoints.client(endpoints))
    )
})

const pooled = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(HttpPool.make(), (pool) => Effect.provideService(self, HttpClient.HttpClient, pool))

const protocols: Readonly<Record<string, Protocol>> = {
  GoRpc: protocol(
    Effect.map(FlakyServer.make({ methods: FlakyServer.arith }), ({ address }) => at(address)),
    (endpoint) => GoRpc.make(Endpoints.hostAndPort(endpoint)),
    (rpc) => rpc.call("Arith.Multiply", { A: 6, B: 7 })
  ),
  Grpc: protocol(
    Effect.map(GrpcServer.make, ({ address }) => address),
    ({ address }) => Effect.map(GrpcClient.client(address), (client) => Grpc.client(client)),
    (users) => users.echo({ value: "hi" })
  ),
  "Connect over HTTP/2": protocol(
    Effect.map(ConnectServer.server("gRPC"), at),
    (endpoint) =>
      Effect.map(
        ConnectServer.transport("gRPC", Endpoints.hostAndPort(endpoint).port),
        (transport) => Connect.client(ConnectServer.EchoService, transport)
      ),
    (users) => users.echo({ value: "hi" })
  ),
  "Connect over HTTP/1.1": protocol(
    Effect.map(ConnectServer.server("Connect over HTTP/1.1"), at),
    (endpoint) =>
      Effect.map(
        ConnectServer.transport("Connect over HTTP/1.1", Endpoints.hostAndPort(endpoint).port),
        (transport) => Connect.client(ConnectServer.EchoService, transport)
      ),
    (users) => users.echo({ value: "hi" })
  ),
  Thrift: protocol(
    Effect.map(ThriftServer.makeServer({ transport: "framed", protocol: "binary" }), at),
    (endpoint) =>
      Thrift.make({
        service: "Probe",
        client: ThriftServer.generated.es5.Client,
        ...Endpoints.hostAndPort(endpoint),
        transport: "framed"
      }),
    (probe) => probe.echo("hi")
  ),
  JsonRpc: protocol(
    Effect.map(HttpServer.make, at),
    ({ address }) => pooled(JsonRpc.make({ url: `http://${address}/rpc` })),
    (rpc) => rpc.call("echo", ["hi"])
  ),
  HttpRpc: protocol(
    Effect.map(HttpServer.make, at),
    ({ address }) =>
      Effect.map(HttpPool.make(), (client) => ({
        get: (id: number) => HttpRpc.call(client, HttpClientRequest.get(`http://${address}/users/${id}`))
      })),
    (users) => users.get(1)
  ),
  "EffectRpc over HTTP": protocol(
    Effect.map(EffectRpcServer.ndjson.server, at),
    (endpoint) =>
      Effect.flatMap(
        Layer.build(EffectRpcServer.ndjson.protocol(Endpoints.hostAndPort(endpoint).port)),
        (context) => Effect.provide(EffectRpc.make(EffectRpcServer.Group), context)
      ),
    (texts) => texts.Echo({ text: "hi" })
  ),
  "EffectRpc over TCP": protocol(
    Effect.map(EffectRpcServer.tcp.server, at),
    (endpoint) =>
      Effect.flatMap(
        Layer.build(EffectRpcServer.tcp.protocol(Endpoints.hostAndPort(endpoint).port)),
        (context) => Effect.provide(EffectRpc.make(EffectRpcServer.Group), context)
      ),
    (texts) => texts.Echo({ text: "hi" })
  )
}

describe("endpoints of two servers, one of which dies", () => {
  for (const [name, { echo, serve }] of Object.entries(protocols)) {
    it.scopedLive(`lose none of 100 calls, and errors name the dead one: ${name}`, () =>
      Effect.gen(function*() {
        const life = yield* Scope.make()
        const dead = yield* Scope.extend(serve, life)
        const call = yield* echo([dead, yield* serve])
        let answered = 0
        const failedAt: Array<string | undefined> = []
        const kept = call.pipe(
          Effect.tapError((error) =>
            Effect.sync(() => {
              failedAt.push(error instanceof Retryable ? error.endpoint : String(error))
            })
          ),
          withRpcRetry,
          Effect.tap(() => Effect.sync(() => answered++))
        )
        yield* Effect.forEach(Array.from({ length: 20 }), () => kept, { concurrency: 5 })
        const all = yield* Effect.fork(Effect.forEach(Array.from({ length: 100 }), () => kept, { concurrency: 5 }))
        yield* eventually(() => answered >= 30)
        yield* Scope.close(life, Exit.void)
        assert.strictEqual((yield* Fiber.join(all)).length, 100)
        assert.strictEqual(answered, 120)
        // all of them went elsewhere in time, or some have failed there first
        assert.isTrue(failedAt.every((address) => address === dead), failedAt.join())
        yield* eventually(Effect.map(kept, () => failedAt.length > 0))
      }))
  }
})
