/**
 * Servers of `@effect/rpc` over HTTP, TCP and WebSocket, told what to do with each call.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import type * as Headers from "@effect/platform/Headers"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Rpc from "@effect/rpc/Rpc"
import type * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import { Fatal, Retryable } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import * as Http from "node:http"
import type * as Net from "node:net"
import type { Seen, Step as ContractStep } from "./contract.js"
import * as HttpServer from "./httpServer.js"

export class Gone extends Schema.TaggedError<Gone>()("Gone", { text: Schema.String }) {}

const error = Schema.Union(Gone, Retryable, Fatal)

const payload = { text: Schema.String.pipe(Schema.maxLength(100)) }

export class Group extends RpcGroup.make(
  Rpc.make("Echo", { payload, success: Schema.String, error }),
  Rpc.make("Once", { payload, success: Schema.String, error }).annotate(EffectRpc.Idempotent, false),
  Rpc.make("Raw", { payload: { value: Schema.Unknown }, success: Schema.Void }),
  Rpc.make("Words", { payload, success: RpcSchema.Stream({ success: Schema.String, failure: error }) })
).merge(
  RpcGroup.make(
    Rpc.make("get", { payload, success: Schema.String, error }),
    Rpc.make("list", { payload, success: Schema.String, error, stream: true })
  ).prefix("users.")
) {}

/** Beyond those of the contract: an effect of the test's own; of a stream some words, and what comes after them. */
export type Step =
  | ContractStep
  | { readonly _tag: "Run"; readonly run: Effect.Effect<string, typeof error.Type> }
  | { readonly _tag: "Words"; readonly words: ReadonlyArray<string>; readonly after: ContractStep }

const make = (serve: (port: number, handlers: Handlers) => Layer.Layer<never, unknown>) =>
  Effect.gen(function*() {
    const port = yield* HttpServer.refusedPort
    const seen: Array<Seen> = []
    const steps: Array<Step> = []
    const sockets = new Set<Net.Socket>()
    let stopping = false

    const onSocket = (message: unknown) => {
      const { socket } = message as { readonly socket: Net.Socket }
      if (socket.localPort !== port) {
        return
      }
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      if (stopping) {
        socket.destroy()
      }
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => DiagnosticsChannel.subscribe("net.server.socket", onSocket)),
      () => Effect.sync(() => DiagnosticsChannel.unsubscribe("net.server.socket", onSocket))
    )

    const hangUp = Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
    const reset = Effect.sync(() => sockets.forEach((socket) => socket.resetAndDestroy()))

    const run = (text: string, step: Step): Effect.Effect<string, typeof error.Type> => {
      switch (step._tag) {
        case "Answer":
          return Effect.succeed(text)
        case "Fatal":
          return new Fatal({ reason: "ServerError", message: "no" })
        case "Retryable":
          return Effect.failCause(Cause.interrupt(RpcServer.fiberIdTransientInterrupt))
        case "Hint":
          return new Retryable({
            reason: "Throttled",
            delivery: "Unknown",
            retryAfter: step.delay === "Never" ? "Never" : Duration.millis(step.delay)
          })
        case "Stall":
          return Effect.never
        case "Reset":
          return Effect.zipRight(reset, Effect.never)
        case "Domain":
          return new Gone({ text })
        case "Run":
          return step.run
        case "Words":
          return run(text, step.after)
      }
    }

    const heard: Array<Headers.Headers> = []

    const hear = ({ text }: Payload, { headers }: Sent) =>
      Effect.map(Deferred.make<void>(), (cancelled) => {
        const remaining = headers["x-envoy-expected-rq-timeout-ms"]
        heard.push(headers)
        seen.push({
          text,
          previousAttempts: Number(headers["x-retry-attempt"] ?? 0),
          idempotencyKey: headers["idempotency-key"],
          remaining: remaining === undefined ? undefined : Number(remaining),
          cancelled: Deferred.await(cancelled)
        })
        return { cancelled, step: steps.shift() ?? { _tag: "Answer" } }
      })

    const handle = (payload: Payload, sent: Sent) =>
      Effect.flatMap(
        hear(payload, sent),
        ({ cancelled, step }) => Effect.onInterrupt(run(payload.text, step), () => Deferred.succeed(cancelled, void 0))
      )

    const words = (payload: Payload, sent: Sent) =>
      Stream.unwrap(
        Effect.map(hear(payload, sent), ({ cancelled, step }) =>
          Stream.fromIterable(step._tag === "Words" ? step.words : []).pipe(
            Stream.concat(
              Stream.unwrap(
                // what was sent is to arrive before the connection is reset
                Effect.map(
                  Effect.delay(run(payload.text, step), step._tag === "Words" ? 50 : 0),
                  (text) => Stream.fromIterable(text.split(" ")).pipe(Stream.rechunk(1))
                )
              )
            ),
            Stream.ensuring(Deferred.succeed(cancelled, void 0))
          ))
      )

    const handlers = Group.toLayer({
      Echo: handle,
      Once: handle,
      Raw: () => Effect.void,
      Words: words,
      "users.get": handle,
      "users.list": words
    })

    const live = serve(port, handlers)
    const start = Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(live, scope)
      return scope
    })
    let scope = yield* Effect.orDie(start)
    const stop = Effect.suspend(() => {
      stopping = true
      return Effect.zipRight(hangUp, Scope.close(scope, Exit.void))
    })
    yield* Effect.addFinalizer(() => stop)
    return {
      port,
      seen: Effect.sync((): ReadonlyArray<Seen> => [...seen]),
      /** The headers of each call. */
      heard: heard as ReadonlyArray<Headers.Headers>,
      script: (...next: ReadonlyArray<Step>) => Effect.sync(() => void steps.push(...next)),
      reset,
      stop,
      /** Stops as a server does that is told to: calls in flight are interrupted, and their callers told. */
      stopGracefully: Effect.suspend(() => Scope.close(scope, Exit.void)),
      start: Effect.suspend(() => {
        stopping = false
        return Effect.map(Effect.orDie(start), (started) => {
          scope = started
        })
      }),
      /** The connections that are open now. */
      open: () => sockets.size
    }
  })

interface Payload {
  readonly text: string
}

interface Sent {
  readonly headers: Headers.Headers
}

type Handlers = Layer.Layer<Rpc.ToHandler<RpcGroup.Rpcs<typeof Group>>>

export type Server = Effect.Effect.Success<ReturnType<typeof make>>

const host = "127.0.0.1"

const overHttp = (protocol: "http" | "websocket", serialization: Serialization) =>
  make((port, handlers) =>
    HttpLayerRouter.serve(RpcServer.layerHttpRouter({ group: Group, path: "/rpc", protocol }), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(
      Layer.provide(handlers),
      Layer.provide(serialization),
      Layer.provide(NodeHttpServer.layer(() => Http.createServer(), { port, host }))
    )
  )

type Serialization = Layer.Layer<RpcSerialization.RpcSerialization>

/** A server, and the way to it. */
export interface Way {
  readonly name: string
  readonly server: Effect.Effect<Server, never, Scope.Scope>
  readonly protocol: (port: number) => Layer.Layer<RpcClient.Protocol>
}

const http = (name: string, serialization: Serialization): Way => ({
  name,
  server: overHttp("http", serialization),
  protocol: (port) =>
    EffectRpc.layerProtocolHttp({ url: `http://${host}:${port}/rpc` }).pipe(
      Layer.provide(HttpPool.layer()),
      Layer.provide(serialization)
    )
})

export const ndjson = http("HTTP, NDJSON", RpcSerialization.layerNdjson)

export const json = http("HTTP, JSON", RpcSerialization.layerJson)

export const tcp: Way = {
  name: "TCP",
  server: make((port, handlers) =>
    RpcServer.layer(Group).pipe(
      Layer.provide(handlers),
      Layer.provide(RpcServer.layerProtocolSocketServer),
      Layer.provide(RpcSerialization.layerNdjson),
      Layer.provide(NodeSocketServer.layer({ port, host }))
    )
  ),
  protocol: (port) =>
    EffectRpc.layerProtocolSocket().pipe(
      Layer.provide(Layer.orDie(NodeSocket.layerNet({ port, host }))),
      Layer.provide(RpcSerialization.layerNdjson)
    )
}

export const webSocket: Way = {
  name: "WebSocket",
  server: overHttp("websocket", RpcSerialization.layerJson),
  protocol: (port) =>
    EffectRpc.layerProtocolSocket().pipe(
      Layer.provide(NodeSocket.layerWebSocket(`ws://${host}:${port}/rpc`)),
      Layer.provide(RpcSerialization.layerJson)
    )
}

/** A client of the group over this protocol, for the life of the scope. */
export const connect = <A, E, R>(
  protocol: Layer.Layer<RpcClient.Protocol>,
  make: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, RpcClient.Protocol> | Scope.Scope> =>
  Effect.flatMap(Layer.build(protocol), (context) => Effect.provide(make, context))
