/**
 * Connections that end before anything of a request was written, over each of the platform's clients.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import undici from "@effect/platform-node/Undici"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { type Fatal, type Retryable, RetryExhausted, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { eventually } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import * as Loopback from "../../support/loopback.js"
import * as Peer from "../../support/peer.js"
import { cert, key } from "../../support/thriftTls.js"
import { assert, describe, it } from "../../support/vitest.js"

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

describe("an attempt timeout over HttpPool", () => {
  const cut = withRpcRetry({ attemptTimeout: "60 millis", schedule: Schedule.recurs(1), idempotent: false })

  /** Why the call ended, and how its attempts did. */
  const story = <A, E>(call: Effect.Effect<A, E>) =>
    Effect.map(Effect.flip(call), (error) => {
      assert.instanceOf(error, RetryExhausted)
      return [error.reason, ...error.history.map(({ error }) => `${error.reason} ${error.delivery}`)]
    })

  const notSent = ["AttemptsExhausted", "AttemptTimeout NotSent", "AttemptTimeout NotSent"]
  const mayHaveRun = ["NotIdempotent", "AttemptTimeout Unknown"]

  it.scopedLive("in a TLS handshake that gets no answer is not sent", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => socket.resume())
      const url = `https://127.0.0.1:${port}/`
      const rpc = yield* JsonRpc.make({ url })
      assert.deepStrictEqual(yield* story(rpc.call("Orders.Place", {}).pipe(cut)), notSent)
      const client = yield* HttpClient.HttpClient
      assert.deepStrictEqual(yield* story(HttpRpc.call(client, HttpClientRequest.post(url)).pipe(cut)), notSent)
    }).pipe(Effect.provide(HttpPool.layer())))

  it.scopedLive("while all connections are in use is not sent, and says so; on one of them it may have run", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url })
      server.script(HttpServer.stall)
      // long enough to be sent, however busy the machine is
      const sent = withRpcRetry({ attemptTimeout: "2 seconds", schedule: Schedule.recurs(1), idempotent: false })
      assert.deepStrictEqual(yield* story(rpc.call("Orders.Place", {}).pipe(sent)), mayHaveRun)
      server.script(HttpServer.stall)
      const slow = yield* Effect.fork(rpc.call("Slow.Work", {}))
      yield* eventually(() => server.seen.length === 2)
      const waiting = rpc.call("Orders.Place", {}).pipe(cut)
      assert.deepStrictEqual(yield* story(waiting), notSent)
      assert.include(
        (yield* Effect.flip(waiting)).message,
        `attempt timed out, not sent: all 1 connections to http://127.0.0.1:${server.port} are in use`
      )
      yield* Fiber.interrupt(slow)
      assert.strictEqual(server.seen.length, 2)
    }).pipe(Effect.provide(HttpPool.layer({ connections: 1 }))))

  it.scopedLive("after which the call was said to be not sent: its request is not written later", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      let connect = () => {}
      const held: HttpPool.Connector = ({ hostname, port }, callback) => {
        const socket = Net.connect(Number(port), hostname)
        socket.once("connect", () => {
          connect = () => callback(null, socket)
        })
        return socket
      }
      const client = yield* HttpPool.make({ connect: held })
      const rpc = yield* JsonRpc.make({ url: server.url }).pipe(Effect.provideService(HttpClient.HttpClient, client))
      // it does not want to be interrupted, and goes on after it was cut
      const exits: Array<string> = []
      const attempt = Effect.uninterruptible(
        Effect.onExit(rpc.call("Orders.Place", {}), ({ _tag }) => Effect.sync(() => exits.push(_tag)))
      )
      const once = withRpcRetry({ attemptTimeout: "60 millis", schedule: Schedule.stop })
      assert.deepStrictEqual(yield* story(attempt.pipe(once)), ["AttemptsExhausted", "AttemptTimeout NotSent"])
      assert.deepStrictEqual(exits, [])
      connect()
      yield* eventually(() => exits.length > 0)
      assert.deepStrictEqual([exits, server.seen.length], [["Failure"], 0])
    }))

  it.scopedLive("in the window of a batch is not sent, and what waits in it with others is left out", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url, batch: { maxCalls: 2, window: "1 hour" } })
      const once = withRpcRetry({ attemptTimeout: "60 millis", schedule: Schedule.stop })
      const notOnce = ["AttemptsExhausted", "AttemptTimeout NotSent"]
      assert.deepStrictEqual(yield* story(rpc.call("Orders.Place", [1]).pipe(once)), notOnce)
      // one that does not want to be interrupted stays in its batch
      const other = yield* JsonRpc.make({ url: server.url, batch: { maxCalls: 2, window: "1 hour" } })
      const stays = Effect.uninterruptible(other.call("Orders.Place", [1]))
      assert.deepStrictEqual(yield* story(stays.pipe(once)), notOnce)
      assert.deepStrictEqual(yield* other.call("Orders.Place", [2]), [2])
      assert.deepStrictEqual(server.requests().map(({ params }) => params), [[2]])
      server.script(HttpServer.stall)
      const third = yield* JsonRpc.make({ url: server.url, batch: { maxCalls: 2, window: "1 hour" } })
      const both = Effect.forEach([3, 4], (i) => story(third.call("Orders.Place", [i]).pipe(cut)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* both, [mayHaveRun, mayHaveRun])
    }).pipe(Effect.provide(HttpPool.layer())))

  it.scopedLive("of the call that a client was made in does not hold up its batches later", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      let rpc: JsonRpc.Client | undefined
      const made = Effect.gen(function*() {
        rpc = yield* JsonRpc.make({ url: server.url, batch: { maxCalls: 2, window: 0 } })
        return yield* Effect.never
      })
      yield* Effect.flip(made.pipe(withRpcRetry({ attemptTimeout: "20 millis", schedule: Schedule.stop })))
      assert.deepStrictEqual(yield* rpc!.call("Echo", [1]), [1])
    }).pipe(Effect.provide(HttpPool.layer())))
})
