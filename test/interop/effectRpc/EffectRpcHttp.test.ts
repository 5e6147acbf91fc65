/**
 * What responses of HTTP mean.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { each, type Failed, failure, quick, says } from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const unanswered = "Retryable Unavailable Unknown"

/** An answer to the request as the server of the library would give it. */
const exit = (exit: unknown): HttpServer.Step =>
  HttpServer.json((request: { readonly id: string }) => [{ _tag: "Exit", requestId: request.id, exit }])

/** What a client can be made of: this adapter's, and the library's own. */
const clients = {
  "make, layerProtocolHttp": (url: string, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
    Server.connect(
      EffectRpc.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization)),
      EffectRpc.make(Server.Group, { service: "Texts" })
    ),
  "client, layerProtocolHttp": (url: string, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
    Server.connect(
      EffectRpc.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization)),
      Effect.map(RpcClient.make(Server.Group), (client) => EffectRpc.client(client, Server.Group, { service: "Texts" }))
    ),
  "make, the library's layer": (url: string, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
    Server.connect(
      RpcClient.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization)),
      EffectRpc.make(Server.Group, { service: "Texts" })
    )
}

const { layerJson, layerNdjson } = RpcSerialization

type Row = readonly [title: string, step: HttpServer.Step, expected: string]

const rows = (
  of: keyof typeof clients,
  serialization: Layer.Layer<RpcSerialization.RpcSerialization>,
  table: ReadonlyArray<Row>
) => {
  for (const [title, step, expected] of table) {
    it.scopedLive(`${of}, ${serialization === layerJson ? "JSON" : "NDJSON"}: ${title}: ${expected}`, () =>
      Effect.gen(function*() {
        const server = yield* HttpServer.make
        const rpc = yield* clients[of](server.url, serialization)
        server.script(step)
        const error = yield* failure(rpc.Echo({ text: "x" }))
        assert.strictEqual(says(error), expected)
        assert.strictEqual((error as Failed).method, "Texts.Echo")
        assert.strictEqual(server.seen.length, 1)
      }))
  }
}

const html = (status: number, headers = {}) =>
  HttpServer.respond(status, "<html>\n<h1>Sorry</h1>\n</html>\n", { "content-type": "text/html", ...headers })

const object = (status: number) => HttpServer.json({ error: "sorry" }, status)

describe("EffectRpc: what HTTP says", () => {
  for (const  of of["make, layerProtocolHttp", "client, layerProtocolHttp"] as const) {
    for (const serialization of [layerJson, layerNdjson]) {
      rows(of, serialization, [
        ["503 with a page of HTML", html(503), "Retryable Unavailable Unknown 503"],
        ["503 with a JSON object", object(503), "Retryable Unavailable Unknown 503"],
        ["503 without a body", HttpServer.respond(503), "Retryable Unavailable Unknown 503"],
        ["502", html(502), "Retryable Unavailable Unknown 502"],
        ["429", object(429), "Retryable Throttled NotSent 429"],
        ["401", object(401), "Fatal Unauthenticated 401"],
        ["404 with a page of HTML", html(404), "Fatal NotFound 404"],
        ["500", object(500), "Fatal ServerError 500"],
        ["200 without a body", HttpServer.respond(200), serialization === layerJson ? "Fatal Protocol" : unanswered],
        [
          "200 with no answer in it",
          HttpServer.respond(200, serialization === layerJson ? "[]" : "\n"),
          serialization === layerJson ? unanswered : "Fatal Protocol"
        ],
        [
          "200 with another call's answer",
          serialization === layerJson
            ? HttpServer.json([{ _tag: "Exit", requestId: "999999999", exit: { _tag: "Success", value: "x" } }])
            : HttpServer.respond(
              200,
              "{\"_tag\":\"Exit\",\"requestId\":\"999999999\",\"exit\":{\"_tag\":\"Success\",\"value\":\"x\"}}\n"
            ),
          unanswered
        ],
        ["200 with a page of HTML", html(200), "Fatal Protocol"],
        [
          "the connection closed without a response",
          HttpServer.close,
          "Retryable ConnectionLost Unknown UND_ERR_SOCKET"
        ]
      ])
    }
    rows(of, layerJson, [["200 with a JSON object", object(200), "Fatal Protocol"]])
    rows(of, layerNdjson, [[
      "200 with a JSON object",
      HttpServer.respond(200, "{\"error\":\"sorry\"}\n"),
      "Fatal Protocol"
    ]])
    rows(of, layerJson, [[
      "200 with an array of something else",
      HttpServer.json([{ error: "sorry" }]),
      "Fatal Protocol"
    ]])
    rows(of, layerNdjson, [[
      "a body that was cut",
      HttpServer.cut(true),
      "Retryable ConnectionLost Unknown UND_ERR_SOCKET"
    ]])
  }

  rows("make, the library's layer", layerJson, [
    ["503 with a page of HTML", html(503), "Retryable Unavailable Unknown 503"],
    ["503 with a JSON object", object(503), "Retryable Unavailable Unknown"]
  ])
  rows("make, the library's layer", layerNdjson, [[
    "503 with a page of HTML",
    html(503),
    "Retryable Unavailable Unknown"
  ]])

  it.scopedLive("Retry-After is the server's hint, in seconds or as a date", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerJson)
      const hint = (value: string, status = 503) =>
        Effect.suspend(() => {
          server.script(html(status, { "retry-after": value }))
          return Effect.map(failure(rpc.Echo({ text: "x" })), (error) => (error as Retryable).retryAfter)
        })
      assert.deepStrictEqual(yield* hint("2"), Duration.seconds(2))
      assert.deepStrictEqual(yield* hint("3", 429), Duration.seconds(3))
      assert.strictEqual(yield* hint("soon"), "Never")
      const inAMinute = yield* hint(new Date(Date.now() + 60_000).toUTCString())
      assert.closeTo(Duration.toMillis(inAMinute as Duration.Duration), 60_000, 10_000)
    }))

  it.scopedLive("the library's layer reads it too, where the body is not JSON", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, the library's layer"](server.url, layerJson)
      server.script(html(503, { "retry-after": "2" }))
      assert.deepStrictEqual(
        (yield* failure(rpc.Echo({ text: "x" })) as never as Effect.Effect<Retryable>).retryAfter,
        Duration.seconds(2)
      )
    }))

  it.scopedLive("a 503 is retried, on the connection that it came on", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerJson)
      server.script(html(503), object(503), exit({ _tag: "Success", value: "x" }))
      assert.strictEqual(yield* rpc.Echo({ text: "x" }).pipe(withRpcRetry(quick)), "x")
      assert.strictEqual(server.accepted(), 1)
      // a request id is the attempt's own
      assert.strictEqual(new Set(server.requests().map(({ id }) => id)).size, 3)
    }))

  it.scopedLive("the body of a 503 is read, so that its connection is free again", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const protocol = EffectRpc.layerProtocolHttp({ url: server.url }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(layerJson)
      )
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      for (let i = 0; i < 10; i++) {
        server.script(HttpServer.respond(503, "x".repeat(50_000)))
        yield* failure(rpc.Echo({ text: "x" }))
      }
      assert.isBelow(server.accepted(), 5)
    }))

  it.scopedLive("nobody listens: not sent", () =>
    Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const rpc = yield* clients["make, layerProtocolHttp"](`http://127.0.0.1:${port}`, layerJson)
      assert.strictEqual(
        says(yield* failure(rpc.Echo({ text: "x" }))),
        "Retryable ConnectionRefused NotSent ECONNREFUSED"
      )
    }))

  it.scopedLive("the client of HTTP can be transformed", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const protocol = EffectRpc.layerProtocolHttp({
        url: server.url,
        transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-tenant", "acme"))
      }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(layerJson))
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      server.script(exit({ _tag: "Success", value: "x" }))
      assert.strictEqual(yield* rpc.Echo({ text: "x" }), "x")
      assert.strictEqual(server.seen[0]!.headers["x-tenant"], "acme")
    }))
})

describe("EffectRpc: what is encoded and decoded", () => {
  each(
    [Server.json, Server.tcp],
    "a payload that does not fit its schema is Fatal, and nothing is sent",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        const text = "x".repeat(101)
        assert.strictEqual(says(yield* failure(rpc.Echo({ text }))), "Fatal InvalidArgument")
        assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.Words({ text })))), "Fatal InvalidArgument")
        assert.strictEqual(says(yield* failure(rpc.Raw({ value: 1n }))), "Fatal InvalidArgument")
        assert.deepStrictEqual(yield* server.seen, [])
      })
  )

  it.scopedLive("an answer that does not fit is Fatal Protocol", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerJson)
      server.script(exit({ _tag: "Success", value: 1 }))
      const error = yield* failure(rpc.Echo({ text: "x" }))
      assert.strictEqual(says(error), "Fatal Protocol")
      assert.strictEqual((error as Fatal).message, "the answer does not fit the schema of the rpc")
      // also where it does not look like one
      server.script(exit("x"))
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Protocol")
    }))

  it.scopedLive("an answer that does not fit the schema is Fatal Protocol where nobody saw the request leave", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const protocol = RpcClient.layerProtocolHttp({ url: server.url }).pipe(
        Layer.provide(HttpPool.layer()),
        Layer.provide(layerJson)
      )
      const original = yield* Server.connect(protocol, RpcClient.make(Server.Group))
      const rpc = EffectRpc.client(original, Server.Group)
      server.script(exit({ _tag: "Success", value: 1 }))
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Protocol")
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x".repeat(101) }))), "Fatal InvalidArgument")
      server.script(
        HttpServer.json(({ id }: { readonly id: string }) => [{ _tag: "Chunk", requestId: id, values: [1] }])
      )
      assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.Words({ text: "x" })))), "Fatal Protocol")
    }))
})

describe("EffectRpc: an answer that is too large", () => {
  const serialization = Layer.succeed(
    RpcSerialization.RpcSerialization,
    RpcSerialization.makeNdjson({ maxBufferSize: 100 })
  )
  for (const  of of["make, layerProtocolHttp", "make, the library's layer"] as const) {
    rows(of, serialization, [[
      "more than the serialization takes",
      HttpServer.respond(200, "x".repeat(101)),
      "Fatal Protocol"
    ]])
  }
})
