/**
 * What the tests of `EffectRpc` share: how failures are told, and peers that say what a server of the library would not.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Socket from "@effect/platform/Socket"
import type * as RpcClient from "@effect/rpc/RpcClient"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { Fatal, Retryable, RetrySchedule } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import * as Server from "./effectRpcServer.js"
import { eventually } from "./eventually.js"
import * as Peer from "./peer.js"
import { it } from "./vitest.js"

export type Failed = Retryable | Fatal

/** What a failed attempt says, in one line. */
export const says = (error: unknown): string =>
  error instanceof Retryable
    ? `Retryable ${error.reason} ${error.delivery}${error.code === undefined ? "" : ` ${error.code}`}`
    : error instanceof Fatal
    ? `Fatal ${error.reason}${error.code === undefined ? "" : ` ${error.code}`}`
    : `neither: ${String(error)}`

export const failure = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.flip(self)

export const quick = { schedule: RetrySchedule.exponential({ base: "20 millis" }).pipe(RetrySchedule.retries(6)) }

export const start = (way: Server.Way) =>
  Effect.gen(function*() {
    const server = yield* way.server
    const rpc = yield* Server.connect(way.protocol(server.port), EffectRpc.make(Server.Group, { service: "Texts" }))
    return {
      server,
      rpc,
      received: (count: number) => eventually(Effect.map(server.seen, (all) => all.length >= count))
    }
  })

export const sockets = [Server.tcp, Server.webSocket]
export const https = [Server.ndjson, Server.json]
export const all = [...https, ...sockets]
/** JSON over HTTP is one answer: its elements come together, at the end. */
export const streaming = [Server.ndjson, ...sockets]

export const each = (
  ways: ReadonlyArray<Server.Way>,
  title: string,
  body: (
    subject: Effect.Effect.Success<ReturnType<typeof start>>,
    way: Server.Way
  ) => Effect.Effect<void, unknown, Scope.Scope>
) => {
  for (const way of ways) {
    it.scopedLive(`${way.name}: ${title}`, () => Effect.flatMap(start(way), (subject) => body(subject, way)))
  }
}

export type Sent = RpcMessage.FromClientEncoded

/** A peer over TCP that says line by line what it is told to, to each message but pings. */
export const lines = (answer: (message: Sent, socket: Net.Socket) => void) =>
  Effect.gen(function*() {
    const seen: Array<Sent> = []
    const sockets: Array<Net.Socket> = []
    const { port } = yield* Peer.listen((socket) => {
      let text = ""
      sockets.push(socket)
      socket.on("error", () => {})
      socket.on("data", (data) => {
        text += String(data)
        const parts = text.split("\n")
        text = parts.pop() ?? ""
        for (const part of parts) {
          const message = JSON.parse(part) as Sent
          if (message._tag !== "Ping") {
            seen.push(message)
            answer(message, socket)
          }
        }
      })
    })
    return { port, seen: seen as ReadonlyArray<Sent>, sockets: sockets as ReadonlyArray<Net.Socket> }
  })

export const line = (message: unknown): string => `${JSON.stringify(message)}\n`

/** The answer to a request, as a server of the library gives it. */
export const exit = ({ id }: RpcMessage.RequestEncoded, exit: unknown) => line({ _tag: "Exit", requestId: id, exit })

export const success = (request: RpcMessage.RequestEncoded, value: unknown) => exit(request, { _tag: "Success", value })

export const overTcp = (port: number, serialization = RpcSerialization.layerNdjson): Layer.Layer<RpcClient.Protocol> =>
  EffectRpc.layerProtocolSocket().pipe(
    Layer.provide(Layer.orDie(NodeSocket.layerNet({ port, host: "127.0.0.1" }))),
    Layer.provide(serialization)
  )

export const overHttp = (url: string, serialization = RpcSerialization.layerNdjson): Layer.Layer<RpcClient.Protocol> =>
  EffectRpc.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization))

/** A socket whose connections are what `dial` makes of them. */
export const socket = (
  dial: (
    onOpen: Effect.Effect<void>,
    message: (data: string) => Effect.Effect<void, Socket.SocketError>
  ) => Effect.Effect<void, Socket.SocketError>
): Layer.Layer<Socket.Socket> =>
  Layer.succeed(
    Socket.Socket,
    Socket.Socket.of({
      [Socket.TypeId]: Socket.TypeId as typeof Socket.TypeId,
      run: () => Effect.never,
      runRaw:
        ((handler: (data: string) => Effect.Effect<void, Socket.SocketError> | void, { onOpen = Effect.void } = {}) =>
          dial(onOpen, (data) => Effect.suspend(() => handler(data) ?? Effect.void))) as Socket.Socket["runRaw"],
      writer: Effect.succeed(() => Effect.void)
    })
  )
