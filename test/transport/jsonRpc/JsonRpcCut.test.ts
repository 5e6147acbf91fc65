/**
 * Answers that are cut, that never end, that are compressed or no HTTP at all, as bytes on the wire, over each of the
 * platform's clients.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import undici from "@effect/platform-node/Undici"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { Deadline, type Fatal, type Retryable } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Net from "node:net"
import { gzipSync } from "node:zlib"
import * as HttpServer from "../../support/httpServer.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const clients: ReadonlyArray<[name: string, layer: Layer.Layer<HttpClient.HttpClient>]> = [
  ["HttpPool", HttpPool.layer()],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layer],
  ["fetch", FetchHttpClient.layer]
]

/** One call of a server that says these bytes, and then does what it does. */
const call = (
  answer: string | Uint8Array,
  then: (socket: Net.Socket) => void = () => {},
  options: Omit<JsonRpc.Options, "url"> = {}
) =>
  Effect.gen(function*() {
    const { port } = yield* Peer.listen((socket) => {
      socket.once("data", () => socket.write(answer, () => then(socket)))
    })
    const rpc = yield* JsonRpc.make({ url: `http://127.0.0.1:${port}/rpc`, ...options })
    return yield* Effect.flip(rpc.call("A.B", {}))
  }).pipe(Effect.scoped)

const summary = (error: Retryable | Fatal) =>
  error._tag === "Retryable" ? [error.reason, error.delivery] : [error._tag, error.reason]

const end = (socket: Net.Socket) => socket.end()

for (const [name, layer] of clients) {
  describe(`JsonRpc over ${name}, byte by byte`, () => {
    const provided = Effect.provide(layer)

    it.scopedLive("an answer that is cut is a lost connection, however its end was to be known", () =>
      Effect.gen(function*() {
        for (
          const head of [
            "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 1000\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3e8\r\n"
          ]
        ) {
          assert.deepStrictEqual(summary(yield* call(`${head}{"id":`, end)), ["ConnectionLost", "Unknown"], head)
        }
      }).pipe(provided))

    it.scopedLive("what is not HTTP is Fatal Protocol", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(summary(yield* call("SSH-2.0-OpenSSH_9.6\r\n\r\n", end)), ["Fatal", "Protocol"])
      }).pipe(provided))

    it.scopedLive("a body that does not matter is not waited for, and does not matter", () =>
      Effect.gen(function*() {
        const head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\nslow"
        for (const then of [() => {}, end]) {
          const throttled = yield* call(head, then)
          assert.deepStrictEqual(summary(throttled), ["Throttled", "NotSent"])
          assert.deepStrictEqual((throttled as Retryable).retryAfter, Duration.seconds(7))
        }
        const denied = yield* call("HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\n\r\nno", end)
        assert.deepStrictEqual(summary(denied), ["Fatal", "Unauthenticated"])
        const large = yield* call("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n", () => {}, {
          maxResponseBytes: 10
        })
        assert.include((large as Fatal).message, "a body of more than 10 bytes")
      }).pipe(provided))
  })
}

describe("JsonRpc, byte by byte", () => {
  const pooled = Effect.provide(HttpPool.layer())

  it.scopedLive("an answer that is compressed, which nobody asked for, is named", () =>
    Effect.gen(function*() {
      const body = gzipSync("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}")
      const head = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`)
      const error = yield* call(Buffer.concat([head, body]))
      assert.strictEqual((error as Fatal).message, "the answer is not UTF-8, with content-encoding gzip")
    }).pipe(pooled))

  it.scopedLive("a connection that undici gives up is a lost one: nobody said that the client was closed", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const dispatcher = new undici.Client(new URL(server.url).origin)
      const rpc = yield* JsonRpc.make({ url: server.url }).pipe(
        Effect.provideService(HttpClient.HttpClient, NodeHttpClient.makeUndici(dispatcher))
      )
      server.script((response) => {
        void dispatcher.destroy()
        response.end()
      })
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("A.B", {}))), ["ConnectionLost", "Unknown"])
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("A.B", {}))), ["ConnectionLost", "Unknown"])
    }))

  it.scopedLive("headers that HTTP libraries keep for themselves are InvalidArgument", () =>
    Effect.gen(function*() {
      const error = yield* call("HTTP/1.1 200 OK\r\n\r\n", end, { headers: { expect: "100-continue" } })
      assert.deepStrictEqual(summary(error), ["Fatal", "InvalidArgument"])
    }).pipe(pooled))

  it.scopedLive("what is written of the arguments counts, not what they are", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      const bad: ReadonlyArray<unknown> = [
        () => 1,
        { toJSON: () => undefined },
        { toJSON: () => null },
        new Date(0),
        Object(1),
        Symbol("a"),
        "text",
        null
      ]
      for (const params of bad) {
        const error = yield* Effect.flip(rpc.call("A.B", params))
        assert.deepStrictEqual(summary(error), ["Fatal", "InvalidArgument"])
      }
      const older = yield* JsonRpc.make({ url: server.url, dialect: "1.0" })
      const error = yield* Effect.flip(older.call("A.B", () => 1))
      assert.deepStrictEqual(summary(error), ["Fatal", "InvalidArgument"])
      assert.strictEqual(server.seen.length, 0)
    }).pipe(pooled))

  it.scopedLive("a batch is nobody's: what was known when the client was made is not of it", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const withTime = HttpClient.mapRequestEffect((request: HttpClientRequest.HttpClientRequest) =>
        Effect.map(Deadline.remaining, (time) => HttpClientRequest.setHeader(request, "x-time", time._tag))
      )
      const trace = yield* Effect.gen(function*() {
        const rpc = yield* JsonRpc.make({ url: server.url, batch: { maxCalls: 2, window: 1 } })
        yield* Effect.ignore(rpc.call("A.B", {}))
        return yield* Effect.map(Effect.currentSpan, (span) => span.traceId)
      }).pipe(
        Effect.provideServiceEffect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, withTime)),
        Deadline.within("1 minute"),
        Effect.withSpan("made here")
      )
      const [{ headers }] = server.seen as [typeof server.seen[number]]
      assert.strictEqual(headers["x-time"], "None")
      assert.notInclude(headers["traceparent"], trace)
    }).pipe(pooled))
})
