/**
 * A service without `protoc`, and a real server of it on `@connectrpc/connect-node` that does as it is told: over HTTP/1.1 and
 * HTTP/2, in all three protocols.
 */
import { create, toBinary } from "@bufbuild/protobuf"
import { fileDesc, type GenService, serviceDesc } from "@bufbuild/protobuf/codegenv2"
import {
  DurationSchema,
  file_google_protobuf_wrappers,
  FileDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel as Level,
  type StringValueSchema
} from "@bufbuild/protobuf/wkt"
import {
  Code,
  ConnectError,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor
} from "@connectrpc/connect"
import * as Library from "@connectrpc/connect-node"
import { RpcCall } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as ConnectNode from "effect-rpc-retry/ConnectNode"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import type * as Net from "node:net"
import type * as Contract from "./contract.js"

type Text = typeof StringValueSchema

const text = ".google.protobuf.StringValue"

const method = (
  name: string,
  idempotencyLevel: Level,
  { clientStreaming = false, serverStreaming = false }: { clientStreaming?: boolean; serverStreaming?: boolean } = {}
) => ({ name, inputType: text, outputType: text, clientStreaming, serverStreaming, options: { idempotencyLevel } })

/** What `protoc-gen-es` would have written, from the same bytes. */
const file = fileDesc(
  Buffer.from(toBinary(
    FileDescriptorProtoSchema,
    create(FileDescriptorProtoSchema, {
      name: "test/v1/echo.proto",
      package: "test.v1",
      syntax: "proto3",
      dependency: ["google/protobuf/wrappers.proto"],
      service: [{
        name: "EchoService",
        method: [
          method("Echo", Level.IDEMPOTENT),
          method("Look", Level.NO_SIDE_EFFECTS),
          method("Change", Level.IDEMPOTENCY_UNKNOWN),
          method("Watch", Level.NO_SIDE_EFFECTS, { serverStreaming: true }),
          method("Collect", Level.IDEMPOTENCY_UNKNOWN, { clientStreaming: true }),
          method("Chat", Level.IDEMPOTENCY_UNKNOWN, { clientStreaming: true, serverStreaming: true })
        ]
      }]
    })
  )).toString("base64"),
  [file_google_protobuf_wrappers]
)

export const EchoService: GenService<{
  echo: { methodKind: "unary"; input: Text; output: Text }
  look: { methodKind: "unary"; input: Text; output: Text }
  change: { methodKind: "unary"; input: Text; output: Text }
  watch: { methodKind: "server_streaming"; input: Text; output: Text }
  collect: { methodKind: "client_streaming"; input: Text; output: Text }
  chat: { methodKind: "bidi_streaming"; input: Text; output: Text }
}> = serviceDesc(file, 0)

/** The bytes of a `google.rpc.RetryInfo`. */
export const retryInfo = (millis: number): Uint8Array => {
  const duration = toBinary(
    DurationSchema,
    create(DurationSchema, {
      seconds: BigInt(Math.trunc(millis / 1000)),
      nanos: Math.round((millis % 1000) * 1e6)
    })
  )
  return Uint8Array.from([0x0a, duration.length, ...duration])
}

export const detail = (value: Uint8Array, type = "google.rpc.RetryInfo") => ({ type, value })

type Request = Http.IncomingMessage | Http2.Http2ServerRequest

const kRequest = createContextKey<Request | undefined>(undefined)

export interface Seen extends Contract.Seen {
  /** The method called: `echo`, `look`, ... */
  readonly method: string
  readonly headers: Headers
  readonly requestMethod: string
  readonly signal: AbortSignal
  /** Ends the connection that the request came on: with a reset, or as a process that ends does. */
  readonly hangUp: (how: "reset" | "close") => void
  readonly responseHeader: Headers
  readonly responseTrailer: Headers
}

/** What the server does with one request in place of the answer; what it throws is the answer. */
export type Step = (seen: Seen) => string | Promise<string>

/** What the server does with one request for a stream. */
export type StreamStep = (seen: Seen) => AsyncIterable<string>

const timeoutOf = (headers: Headers): number | undefined => {
  const millis = headers.get("connect-timeout-ms") ?? /^(\d+)m$/.exec(headers.get("grpc-timeout") ?? "")?.[1]
  return millis === undefined ? undefined : Number(millis)
}

const seenOf = (text: string, context: HandlerContext, hangUp: Seen["hangUp"]): Seen => {
  const headers = context.requestHeader
  const cancelled = Deferred.unsafeMake<void>(FiberId.none)
  context.signal.addEventListener("abort", () => Deferred.unsafeDone(cancelled, Effect.void))
  return {
    text,
    method: context.method.localName,
    previousAttempts: Number(headers.get("grpc-previous-rpc-attempts") ?? 0),
    idempotencyKey: headers.get("idempotency-key") ?? undefined,
    remaining: timeoutOf(headers),
    cancelled: Deferred.await(cancelled),
    headers,
    requestMethod: context.requestMethod,
    signal: context.signal,
    hangUp,
    responseHeader: context.responseHeader,
    responseTrailer: context.responseTrailer
  }
}

/** Never answers, and has an end when nobody waits any more. */
export const stall: Step = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new ConnectError("nobody waits", Code.Canceled)))
  })

export const fails =
  (code: Code, details: ReadonlyArray<ReturnType<typeof detail>> = [], metadata?: HeadersInit): Step => () => {
    const error = new ConnectError("as told", code, metadata)
    error.details.push(...details)
    throw error
  }

export const resets: Step = (seen) => {
  seen.hangUp("reset")
  return stall(seen)
}

/** As the connections of a process that ends. */
export const closes: Step = (seen) => {
  seen.hangUp("close")
  return stall(seen)
}

const stepOf = (step: Contract.Step): Step => {
  switch (step._tag) {
    case "Answer":
      return ({ text }) => text
    case "Fatal":
      return fails(Code.NotFound)
    case "Retryable":
      return fails(Code.Unavailable)
    case "Hint":
      return fails(Code.Unavailable, [detail(retryInfo(step.delay === "Never" ? -1 : step.delay))])
    case "Stall":
      return stall
    case "Reset":
      return resets
    case "Domain":
      throw new Error("Connect declares no domain errors")
  }
}

/** Over transports of ours, and over those of `@connectrpc/connect-node` itself. */
export const http2Kinds = ["Connect over HTTP/2", "gRPC", "gRPC-web over HTTP/2"] as const

export const libraryKinds = [
  "connect-node: Connect over HTTP/2",
  "connect-node: gRPC",
  "connect-node: gRPC-web over HTTP/2"
] as const

export const http1Kinds = ["Connect over HTTP/1.1", "gRPC-web over HTTP/1.1"] as const

export type Kind = typeof http2Kinds[number] | typeof libraryKinds[number] | typeof http1Kinds[number]

export const kinds: ReadonlyArray<Kind> = [...http1Kinds, ...http2Kinds, ...libraryKinds]

export const isHttp1 = (kind: Kind) => kind.endsWith("HTTP/1.1")

/** Whether the transport is one of ours over HTTP/2. */
export const isOurs = (kind: Kind) => !isHttp1(kind) && !kind.startsWith("connect-node: ")

const protocolOf = (kind: Kind) => kind.replace("connect-node: ", "").replace(/ over .*/, "")

export interface TransportOptions {
  readonly interceptors?: Array<Interceptor>
  readonly useHttpGet?: boolean
  readonly useBinaryFormat?: boolean
  readonly defaultTimeoutMs?: number
  readonly readMaxBytes?: number
  readonly writeMaxBytes?: number
}

/** A transport whose connections end with the scope. */
export const transport = (
  kind: Kind,
  port: number,
  { scheme = "http", session = {}, ...options }: TransportOptions & {
    readonly scheme?: string
    readonly session?: ConnectNode.SessionOptions
  } = {}
) =>
  Effect.gen(function*() {
    const baseUrl = `${scheme}://127.0.0.1:${port}`
    if (isHttp1(kind)) {
      const agent = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new (scheme === "https" ? Https : Http).Agent({ keepAlive: true, rejectUnauthorized: false })
        ),
        (agent) => Effect.sync(() => agent.destroy())
      )
      const one = { ...options, baseUrl, httpVersion: "1.1" as const, nodeOptions: { agent } }
      return kind.startsWith("gRPC-web")
        ? ConnectNode.createGrpcWebTransport(one)
        : ConnectNode.createConnectTransport(one)
    }
    if (!isOurs(kind)) {
      const sessionManager = yield* Effect.acquireRelease(
        Effect.sync(() => new Library.Http2SessionManager(baseUrl)),
        (manager) => Effect.sync(() => manager.abort())
      )
      const two = { ...options, baseUrl, httpVersion: "2" as const, sessionManager }
      return {
        Connect: Library.createConnectTransport,
        gRPC: Library.createGrpcTransport,
        "gRPC-web": Library.createGrpcWebTransport
      }[protocolOf(kind)]!(two)
    }
    const sessionManager = yield* Effect.acquireRelease(
      Effect.sync(() => ConnectNode.sessionManager(baseUrl, session)),
      (manager) => Effect.sync(() => manager.abort())
    )
    const two = { ...options, baseUrl, httpVersion: "2" as const, sessionManager }
    return {
      Connect: ConnectNode.createConnectTransport,
      gRPC: ConnectNode.createGrpcTransport,
      "gRPC-web": ConnectNode.createGrpcWebTransport
    }[protocolOf(kind)]!(two)
  })

/** The server alone. */
export const server = (kind: Kind) =>
  Effect.gen(function*() {
    const seen: Array<Seen> = []
    const steps: Array<Step> = []
    const streams: Array<StreamStep> = []
    const sockets = new Set<Net.Socket>()
    const look = (text: string, context: HandlerContext): Seen => {
      const { remotePort } = context.values.get(kRequest)!.socket
      const one = seenOf(text, context, (how) =>
        sockets.forEach((socket) => {
          if (socket.remotePort === remotePort) {
            socket[how === "reset" ? "resetAndDestroy" : "destroy"]()
          }
        }))
      seen.push(one)
      return one
    }
    const unary = async ({ value }: { value: string }, context: HandlerContext) => {
      const one = look(value, context)
      return { value: await (steps.shift() ?? (({ text }) => text))(one) }
    }
    const handler = Library.connectNodeAdapter({
      routes: (router) => {
        router.service(EchoService, {
          echo: unary,
          look: unary,
          change: unary,
          watch: async function*({ value }, context) {
            for await (const text of (streams.shift() ?? counts)(look(value, context))) {
              yield { value: text }
            }
          },
          collect: async (requests) => {
            const texts: Array<string> = []
            for await (const { value } of requests) {
              texts.push(value)
            }
            return { value: texts.join() }
          },
          chat: async function*(requests) {
            for await (const { value } of requests) {
              yield { value }
            }
          }
        })
      },
      contextValues: (request) => createContextValues().set(kRequest, request as Request)
    })
    const start = (port: number) =>
      Effect.async<Net.Server & { readonly port: number }>((resume) => {
        const server: Net.Server = isHttp1(kind) ? Http.createServer(handler) : Http2.createServer(handler)
        server.on("connection", (socket: Net.Socket) => {
          sockets.add(socket)
          socket.on("close", () => sockets.delete(socket))
        })
        server.on("sessionError", () => {})
        server.listen(port, "127.0.0.1", () => {
          resume(Effect.succeed(Object.assign(server, { port: (server.address() as Net.AddressInfo).port })))
        })
      })
    const stop = (server: Net.Server) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        sockets.forEach((socket) => socket.destroy())
      })
    let running = yield* start(0)
    yield* Effect.addFinalizer(() => stop(running))
    return {
      port: running.port,
      /** All requests that reached it, oldest first. */
      seen,
      /** What it does with the next requests; later ones it answers. */
      script: (...next: ReadonlyArray<Step>) => {
        steps.push(...next)
      },
      scriptStream: (...next: ReadonlyArray<StreamStep>) => {
        streams.push(...next)
      },
      connections: () => sockets.size,
      stop: Effect.suspend(() => stop(running)),
      restart: Effect.gen(function*() {
        yield* stop(running)
        running = yield* start(running.port)
      })
    }
  })

/** The stream without a script: three messages. */
const counts: StreamStep = async function*({ text }) {
  yield `${text} 1`
  yield `${text} 2`
  yield `${text} 3`
}

/** A server, and a client of it. */
export const make = (
  kind: Kind,
  options: TransportOptions & { readonly client?: Connect.Options<typeof EchoService> } = {}
) =>
  Effect.gen(function*() {
    const { client: clientOptions, ...transportOptions } = options
    const peer = yield* server(kind)
    const wire = yield* transport(kind, peer.port, transportOptions)
    return { ...peer, transport: wire, client: Connect.client(EchoService, wire, clientOptions) }
  })

/** What the contract asks for. */
export const subject = (kind: Kind): Effect.Effect<Contract.Subject<never>, never, Scope.Scope> =>
  Effect.map(make(kind), (peer) => {
    const careful = Connect.unary(EchoService.method.change, peer.transport, { idempotent: false })
    const read = ({ value }: { value: string }) => value
    return {
      echo: (text, options) => {
        const call = options?.idempotent === false ? careful({ value: text }) : peer.client.echo({ value: text })
        return RpcCall.make(Effect.map(call, read), call)
      },
      script: (...steps) => Effect.sync(() => peer.script(...steps.map(stepOf))),
      seen: Effect.sync(() => peer.seen),
      restart: peer.restart
    }
  })
