/**
 * Connections that end before anything of a request was written, over each of the platform's clients.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import undici from "@effect/platform-node/Undici"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import * as Loopback from "../support/loopback.js"
import * as Peer from "../support/peer.js"
import { cert, key } from "../support/thriftTls.js"

const clients: ReadonlyArray<[name: string, layer: Layer.Layer<HttpClient.HttpClient>]> = [
  ["HttpPool", HttpPool.layer()],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layer],
  ["fetch", FetchHttpClient.layer]
]

const summary = (error: Retryable | Fatal) =>
  error._tag === "Retryable" ? [error.reason, error.delivery] : [error._tag, error.reason]

/** `fetch` may have followed a redirect before, unless it is told not to. */
const manual = Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })

/** What becomes of a call of each transport at a peer that does this with a ClientHello. */
const calls = (onHello: (socket: Net.Socket) => void) =>
  Effect.gen(function*() {
    const { port } = yield* Peer.listen((socket) => socket.once("data", () => onHello(socket)))
    const url = `https://127.0.0.1:${port}/`
    const rpc = yield* JsonRpc.make({ url })
    const client = yield* HttpClient.HttpClient
    const request = HttpClientRequest.post(url)
    return [
      summary(yield* Effect.flip(rpc.call("A.B", {}))),
      summary(yield* Effect.flip(manual(HttpRpc.call(client, request))))
    ]
  }).pipe(Effect.scoped)

const serverHello = Buffer.from("160303007a020000760303", "hex")

const ends: ReadonlyArray<[name: string, onHello: (socket: Net.Socket) => void]> = [
  ["closed", (socket) => socket.end()],
  ["reset", (socket) => socket.resetAndDestroy()],
  ["reset in the middle of the answer", (socket) => socket.write(serverHello, () => socket.resetAndDestroy())]
]

for (const [name, layer] of clients) {
  describe(`over ${name}`, () => {
    for (const [how, onHello] of ends) {
      it.scopedLive(`a TLS handshake that is ${how} by the peer is not sent`, () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* calls(onHello), [["ConnectionLost", "NotSent"], ["ConnectionLost", "NotSent"]])
        }).pipe(Effect.provide(layer)))
    }

    it.scopedLive("https to a port that speaks plain HTTP is not sent", () =>
      Effect.gen(function*() {
        const plain = (socket: Net.Socket) => socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        assert.deepStrictEqual(yield* calls(plain), [["Unavailable", "NotSent"], ["Unavailable", "NotSent"]])
      }).pipe(Effect.provide(layer)))

    it.scopedLive("a call that must not run twice is made again after a handshake that was reset", () =>
      Effect.gen(function*() {
        let dials = 0
        const { port } = yield* Peer.listen((socket) => {
          dials++
          socket.once("data", () => socket.resetAndDestroy())
        })
        const rpc = yield* JsonRpc.make({ url: `https://127.0.0.1:${port}` })
        const error = yield* Effect.flip(
          rpc.call("Orders.Place", {}, { idempotent: false }).pipe(withRpcRetry({ schedule: Schedule.recurs(3) }))
        )
        assert.deepStrictEqual([error.reason, dials], ["AttemptsExhausted", 4])
      }).pipe(Effect.provide(layer)))
  })
}

/** Clients that trust the server of these tests. */
const trusting: ReadonlyArray<[name: string, layer: Layer.Layer<HttpClient.HttpClient>]> = [
  ["HttpPool", HttpPool.layer({ connect: { ca: cert } })],
  [
    "undici",
    NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
      Layer.provide(Layer.succeed(NodeHttpClient.Dispatcher, new undici.Agent({ connect: { ca: cert } })))
    )
  ],
  [
    "node:http",
    NodeHttpClient.layerWithoutAgent.pipe(Layer.provide(NodeHttpClient.makeAgentLayer({ ca: cert })))
  ]
]

for (const [name, layer] of trusting) {
  it.scopedLive(`over ${name} a request that is reset after the handshake may have run`, () =>
    Effect.gen(function*() {
      const sockets = new Set<Tls.TLSSocket>()
      const server = Tls.createServer({ cert, key }, (socket) => {
        sockets.add(socket)
        socket.on("error", () => {}).once("data", () => socket.destroy())
      })
      const port = yield* Loopback.listen(server, () => sockets.forEach((socket) => socket.destroy()))
      const rpc = yield* JsonRpc.make({ url: `https://127.0.0.1:${port}` })
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("A.B", {}))), ["ConnectionLost", "Unknown"])
    }).pipe(Effect.provide(layer)))
}
