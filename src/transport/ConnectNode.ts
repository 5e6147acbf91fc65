/**
 * Transports for `effect-rpc-retry/Connect` on Node: the protocols Connect, gRPC and gRPC-web, with the names and the
 * options of `@connectrpc/connect-node`.
 *
 * ```ts
 * import type { GenService } from "@bufbuild/protobuf/codegenv2"
 * import type { StringValueSchema } from "@bufbuild/protobuf/wkt"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Connect from "effect-rpc-retry/Connect"
 * import * as ConnectNode from "effect-rpc-retry/ConnectNode"
 *
 * type Text = typeof StringValueSchema
 * // what protoc-gen-es writes for your service
 * declare const OrderService: GenService<{ place: { methodKind: "unary"; input: Text; output: Text } }>
 *
 * const transport = ConnectNode.createConnectTransport({ baseUrl: "http://127.0.0.1:8080", httpVersion: "2" })
 *
 * const orders = Connect.client(OrderService, transport, { methods: { place: { idempotent: false } } })
 *
 * const program = orders.place({ value: "o1" }).pipe(withRpcRetry({ attemptTimeout: "2 seconds" }))
 * ```
 *
 * What they do that those of `@connectrpc/connect-node` 2.2 do not, over HTTP/2:
 *
 * - The stream of an interrupted request is reset. The library ends it instead: the server then takes the part that has
 *   arrived for the whole message, and an empty message is a valid one, so that an interrupted `Orders.Place` places a
 *   default order.
 * - The length of a unary message of the protocol Connect is sent, so that a server recognizes one that was cut short
 *   on its way.
 * - A call whose connection is lost fails with `ConnectionLost`. The library may leave it waiting.
 * - An error of a connection fails the calls on it, and does not end the process.
 * - A call that ends before anything of its request was written counts as not sent: in a dial, a TLS handshake, or a
 *   wait for either.
 * - A request that the server has certainly not looked at (`REFUSED_STREAM`, or a GOAWAY that names an earlier one) is
 *   made once more at once, which is no attempt: the transparent retry of gRPC.
 *
 * Over HTTP/1.1 they are those of the library.
 *
 * @since 0.1.0
 */
import type { Transport } from "@connectrpc/connect"
import { compressionBrotli, compressionGzip, createNodeHttpClient } from "@connectrpc/connect-node"
import { type CommonTransportOptions, validateReadWriteMaxBytes } from "@connectrpc/connect/protocol"
import * as ProtocolConnect from "@connectrpc/connect/protocol-connect"
import * as ProtocolGrpc from "@connectrpc/connect/protocol-grpc"
import * as ProtocolGrpcWeb from "@connectrpc/connect/protocol-grpc-web"
import type * as Http from "node:http"
import type * as Http2 from "node:http2"
import type * as Https from "node:https"
import * as Result from "../internal/result.js"
import { checkKnown, InvalidOption, orThrow } from "../InvalidOption.js"
import * as ConnectHttp2 from "./connect/http2.js"
import * as ConnectSessions from "./connect/sessions.js"
import * as ConnectWatch from "./connect/watch.js"

/**
 * How HTTP/2 connections are dialled, kept alive and closed. All times are in milliseconds; `Infinity` means never.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionOptions {
  /**
   * How long a connection with waiting requests may be silent before a PING is sent on it; and how long an idle
   * connection may have been silent and still be used again without a PING first. In milliseconds, more than 0. Default
   * `Infinity`.
   */
  readonly pingIntervalMs?: number | undefined
  /**
   * How long a PING may be unanswered before the connection and its calls fail, in milliseconds. Default 15 seconds.
   */
  readonly pingTimeoutMs?: number | undefined
  /** Sends a PING every `pingIntervalMs` on connections without requests too. Default `false`. */
  readonly pingIdleConnection?: boolean | undefined
  /** How long a connection without requests is kept, in milliseconds. Default 15 minutes. */
  readonly idleConnectionTimeoutMs?: number | undefined
  /** Bounds one dial, TLS handshake included, in milliseconds. Default 20 seconds. */
  readonly connectTimeoutMs?: number | undefined
  /** Options for `connect` of `node:http2`, as in `{ ca, servername }`. Default none. */
  readonly nodeOptions?: Http2.ClientSessionOptions | Http2.SecureClientSessionOptions | undefined
}

/**
 * Makes HTTP/2 connections to one server, and keeps one of them open. A transport makes its own, unless it is given one
 * that several share.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionManager {
  /** The origin of the server, as in `"https://api.example.com"`. */
  readonly authority: string
  /** Ends all connections, and the calls on them with `ConnectionLost`. A later call makes a new connection. */
  readonly abort: () => void
}

/**
 * The options that all protocols take, over any version of HTTP.
 *
 * @since 0.1.0
 * @category models
 */
export type TransportOptions =
  & {
    /** The URL before `/package.Service/Method`, as in `"https://api.example.com"` or `"https://example.com/api"`. */
    readonly baseUrl: string
  }
  & Partial<Omit<CommonTransportOptions, "baseUrl" | "httpClient" | "useHttpGet">>

/**
 * HTTP/1.1 by Node's `http` and `https`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Http1Options {
  /** Chooses HTTP/1.1. Its connections are those of Node's agent. */
  readonly httpVersion: "1.1"
  /** Options for `request` of `node:http`, as in `{ agent }`. Default none. */
  readonly nodeOptions?: Omit<Http.RequestOptions, "signal"> | Omit<Https.RequestOptions, "signal"> | undefined
}

/**
 * HTTP/2, without TLS for a `baseUrl` that begins with `http:`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Http2Options extends SessionOptions {
  /** Chooses HTTP/2; see {@link SessionOptions} for its connections. */
  readonly httpVersion: "2"
  /** The connections to use, made with {@link sessionManager}. The options of connections have no effect beside it. */
  readonly sessionManager?: SessionManager | undefined
}

/**
 * Options of {@link createConnectTransport}: those of the library.
 *
 * @since 0.1.0
 * @category models
 */
export type ConnectTransportOptions =
  & TransportOptions
  & (Http1Options | Http2Options)
  & {
    /** Calls methods with `NO_SIDE_EFFECTS` with GET. Default `false`. */
    readonly useHttpGet?: boolean | undefined
  }

/**
 * Options of {@link createGrpcWebTransport}: those of the library.
 *
 * @since 0.1.0
 * @category models
 */
export type GrpcWebTransportOptions = TransportOptions & (Http1Options | Http2Options)

/**
 * Options of {@link createGrpcTransport}: those of the library. gRPC is always on HTTP/2.
 *
 * @since 0.1.0
 * @category models
 */
export type GrpcTransportOptions = TransportOptions & Omit<Http2Options, "httpVersion">

class SessionManagerImpl implements SessionManager {
  constructor(readonly sessions: ConnectSessions.Sessions) {}
  get authority(): string {
    return this.sessions.authority
  }
  readonly abort = (): void => this.sessions.abort()
}

const originOf = (where: string, url: string): Result.Result<string, InvalidOption> => {
  const problem = "must be a URL that begins with http: or https:"
  return Result.try({
    try: () => new URL(url),
    catch: () => new InvalidOption({ where, field: "baseUrl", problem })
  }).pipe(
    Result.filterOrFail(
      ({ protocol }) => protocol === "http:" || protocol === "https:",
      () => new InvalidOption({ where, field: "baseUrl", problem })
    ),
    Result.map(({ origin }) => origin)
  )
}

/** Lists the names of all options; the compiler reports one that is missing. */
const namesOf = <Options>(names: { readonly [Name in keyof Options]-?: true }): ReadonlyArray<string> =>
  Object.keys(names)

const ofSession = namesOf<SessionOptions>({
  pingIntervalMs: true,
  pingTimeoutMs: true,
  pingIdleConnection: true,
  idleConnectionTimeoutMs: true,
  connectTimeoutMs: true,
  nodeOptions: true
})

const ofTransport = namesOf<TransportOptions>({
  baseUrl: true,
  acceptCompression: true,
  binaryOptions: true,
  compressMinBytes: true,
  defaultTimeoutMs: true,
  interceptors: true,
  jsonOptions: true,
  readMaxBytes: true,
  sendCompression: true,
  useBinaryFormat: true,
  writeMaxBytes: true
})

/**
 * Checks the options of a transport. Over HTTP/1.1 the library checks the connection options and `nodeOptions` itself.
 */
const checkTransport = (
  where: string,
  options: TransportOptions & { readonly httpVersion?: string },
  others: ReadonlyArray<string>
): Result.Result<void, InvalidOption> =>
  checkKnown(where, options, [
    ...ofTransport,
    ...(options.httpVersion === "1.1" ? ["nodeOptions"] : [...ofSession, "sessionManager"]),
    ...others
  ])

const times = ["pingIntervalMs", "pingTimeoutMs", "idleConnectionTimeoutMs", "connectTimeoutMs"] as const

const make = (
  where: string,
  url: string,
  options: SessionOptions
): Result.Result<SessionManagerImpl, InvalidOption> =>
  Result.gen(function*() {
    const origin = yield* originOf(where, url)
    for (const field of times) {
      const millis = options[field]
      if (millis !== undefined && !(typeof millis === "number" && millis > 0)) {
        const problem = `must be a number of milliseconds greater than 0, got ${millis}`
        return yield* Result.fail(new InvalidOption({ where, field, problem }))
      }
    }
    const limits: ConnectSessions.Limits = {
      pingIntervalMs: options.pingIntervalMs ?? Infinity,
      pingTimeoutMs: options.pingTimeoutMs ?? 15_000,
      pingIdleConnection: options.pingIdleConnection ?? false,
      idleConnectionTimeoutMs: options.idleConnectionTimeoutMs ?? 900_000,
      connectTimeoutMs: options.connectTimeoutMs ?? 20_000
    }
    return new SessionManagerImpl(new ConnectSessions.Sessions(origin, limits, options.nodeOptions))
  })

/**
 * Connections for several transports to the same server, or to end by hand.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as ConnectNode from "effect-rpc-retry/ConnectNode"
 * import * as Effect from "effect/Effect"
 *
 * const baseUrl = "https://api.example.com"
 *
 * // a transport whose connections end with the scope
 * const transport = Effect.map(
 *   Effect.acquireRelease(
 *     Effect.sync(() => ConnectNode.sessionManager(baseUrl, { pingIntervalMs: 30_000 })),
 *     (manager) => Effect.sync(() => manager.abort())
 *   ),
 *   (sessionManager) => ConnectNode.createConnectTransport({ baseUrl, httpVersion: "2", sessionManager })
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const sessionManager = (url: string, options: SessionOptions = {}): SessionManager => {
  const where = "ConnectNode.sessionManager"
  orThrow(checkKnown(where, options, ofSession))
  return orThrow(make(where, url, options))
}

const sessionsOf = (
  where: string,
  options: TransportOptions & Omit<Http2Options, "httpVersion">
): Result.Result<ConnectSessions.Sessions, InvalidOption> => {
  const { baseUrl, sessionManager } = options
  if (sessionManager === undefined) {
    return Result.map(make(where, baseUrl, options), ({ sessions }) => sessions)
  }
  const fail = (problem: string) => Result.fail(new InvalidOption({ where, field: "sessionManager", problem }))
  return sessionManager instanceof SessionManagerImpl
    ? Result.flatMap(originOf(where, baseUrl), (origin) =>
      origin === sessionManager.authority
        ? Result.succeed(sessionManager.sessions)
        : fail(`must be for the origin of baseUrl, ${origin}, got one for ${sessionManager.authority}`))
    : fail("must be made with ConnectNode.sessionManager")
}

/** Returns the options as the library completes them. */
const common = (
  { acceptCompression, interceptors, sendCompression, useBinaryFormat, ...options }: TransportOptions,
  httpClient: CommonTransportOptions["httpClient"]
): CommonTransportOptions => ({
  ...options,
  ...validateReadWriteMaxBytes(options.readMaxBytes, options.writeMaxBytes, options.compressMinBytes),
  httpClient,
  interceptors: interceptors ?? [],
  useBinaryFormat: useBinaryFormat ?? true,
  sendCompression: sendCompression ?? null,
  acceptCompression: acceptCompression ?? [compressionGzip, compressionBrotli]
})

const transport = (
  where: string,
  options: TransportOptions & (Http1Options | Http2Options),
  create: (options: CommonTransportOptions) => Transport
): Transport => {
  if (options.httpVersion === "1.1") {
    return create(common(
      options,
      createNodeHttpClient({
        httpVersion: "1.1",
        ...(options.nodeOptions === undefined ? {} : { nodeOptions: options.nodeOptions })
      })
    ))
  }
  const sessions = orThrow(sessionsOf(where, options))
  return ConnectWatch.register(create(common(options, ConnectHttp2.client(sessions))), ConnectHttp2.watch)
}

/**
 * A transport of the protocol Connect.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as ConnectNode from "effect-rpc-retry/ConnectNode"
 *
 * const transport = ConnectNode.createConnectTransport({ baseUrl: "https://api.example.com", httpVersion: "2" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const createConnectTransport = (options: ConnectTransportOptions): Transport => {
  const where = "ConnectNode.createConnectTransport"
  orThrow(checkTransport(where, options, ["httpVersion", "useHttpGet"]))
  return transport(
    where,
    options,
    (common) => ProtocolConnect.createTransport({ ...common, useHttpGet: options.useHttpGet ?? false })
  )
}

/**
 * A transport of the protocol gRPC.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as ConnectNode from "effect-rpc-retry/ConnectNode"
 *
 * const transport = ConnectNode.createGrpcTransport({ baseUrl: "https://api.example.com" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const createGrpcTransport = (options: GrpcTransportOptions): Transport => {
  const where = "ConnectNode.createGrpcTransport"
  // accepted because the other transports have it, and options may be shared
  orThrow(checkTransport(where, options, ["httpVersion"]))
  return transport(where, { ...options, httpVersion: "2" }, ProtocolGrpc.createTransport)
}

/**
 * A transport of the protocol gRPC-web.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as ConnectNode from "effect-rpc-retry/ConnectNode"
 *
 * const transport = ConnectNode.createGrpcWebTransport({ baseUrl: "https://api.example.com", httpVersion: "1.1" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const createGrpcWebTransport = (options: GrpcWebTransportOptions): Transport => {
  const where = "ConnectNode.createGrpcWebTransport"
  orThrow(checkTransport(where, options, ["httpVersion"]))
  return transport(where, options, ProtocolGrpcWeb.createTransport)
}
