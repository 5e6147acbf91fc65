/**
 * The options of `GoRpc`, checked.
 *
 * @internal
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ConnectionOptions } from "node:tls"
import * as Result from "../../internal/result.js"
import { checkDuration, checkKnown, checkNumber } from "../../InvalidOption.js"
import * as Connection from "../Connection.js"
import * as Addresses from "../connection/address.js"
import { lifetimeFields } from "../connection/connection.js"
import * as Limit from "../shared/limit.js"
import { got, invalid as invalidOption } from "../shared/options.js"

/**
 * The address of the server: `host` and `port`, the `path` of a Unix socket, or a `socket` of your own.
 *
 * TCP connections send small requests at once (no delay), and probe a silent peer after 15 seconds (keep-alive).
 *
 * @since 0.1.0
 * @category models
 */
export type Address =
  | {
    /** The host name or the IP address of the server. */
    readonly host: string
    /** The TCP port of the server: an integer from 1 to 65535. */
    readonly port: number
    /**
     * Turns TLS on, with Node's options; an empty object trusts the certificate authorities that Node trusts. Default:
     * no TLS.
     */
    readonly tls?: ConnectionOptions | undefined
    /**
     * Connects to a server that uses `rpc.HandleHTTP`: `true`, or the path if it is not `/_goRPC_`. Default `false`.
     */
    readonly http?: boolean | string | undefined
  }
  | {
    /** The path of the server's Unix socket. */
    readonly path: string
    /**
     * Turns TLS on, with Node's options; an empty object trusts the certificate authorities that Node trusts. Default:
     * no TLS.
     */
    readonly tls?: ConnectionOptions | undefined
    /**
     * Connects to a server that uses `rpc.HandleHTTP`: `true`, or the path if it is not `/_goRPC_`. Default `false`.
     */
    readonly http?: boolean | string | undefined
  }
  | {
    /** Makes a `Socket` of `@effect/platform`, in place of an address. It runs anew for every dial. */
    readonly socket: Effect.Effect<Socket.Socket, Socket.SocketError>
  }

/**
 * The options of a client besides its {@link Address} and the {@link Connection.Lifetime} of its connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  /**
   * The codec that the server speaks: `"gob"` is Go's default (`rpc.ServeConn`), `"json"` that of `net/rpc/jsonrpc`.
   * Default `"json"`.
   */
  readonly codec?: "json" | "gob" | undefined
  /** Bounds one dial; more than zero. Default 5 seconds. */
  readonly dialTimeout?: Duration.DurationInput | undefined
  /**
   * Limits the answer that is read, in bytes. Default 4 MiB. An answer that would take more than 3.5 times as much
   * memory once decoded, and more than 1 MiB, or that is nested deeper than 1000 levels, is not read either. Its call
   * fails with `Fatal Protocol`; the other calls on the connection go on.
   */
  readonly maxFrameBytes?: number | undefined
  /** Checks with a ping that a silent peer is still there; see {@link Ping}. Default: no ping. */
  readonly ping?: Ping | undefined
}

/**
 * Sends a ping to a peer that has been silent, to check that it is still there. The server needs no special method: any
 * answer counts, also one that says that the method is unknown. When no answer of any kind comes in time, the
 * connection counts as broken, and its calls in flight fail with `Retryable ConnectionLost`.
 *
 * A server that answers one request after the other (a loop of `rpc.ServeRequest`) answers a ping after the calls
 * before it. So an unanswered ping does not break the connection while a call that was sent before it still waits,
 * unless the server is known to answer out of order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ping {
  /** How long the peer must be silent before a ping is sent; more than zero. */
  readonly every: Duration.DurationInput
  /** How long the answer to a ping may take; more than zero. Default 5 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /** The method that a ping calls, without arguments. Default `"Ping"`. */
  readonly method?: string | undefined
  /**
   * `true`: the server works on several calls at once and answers the one that is ready first, as with `rpc.Accept`,
   * `rpc.ServeConn` and `jsonrpc.ServeConn`; then an unanswered ping breaks the connection also while calls wait.
   * Default `false`, until the server is seen to answer out of order.
   */
  readonly outOfOrder?: boolean | undefined
}

/**
 * Everything that a client of `net/rpc` is made with: the {@link Address} of the server, the {@link Settings} of the
 * client, and the {@link Connection.Lifetime} of its connection.
 *
 * @since 0.1.0
 * @category models
 */
export type Options = Address & Settings & Connection.Lifetime

const where = "GoRpc.make"

const invalid = (field: string, problem: string) => invalidOption(where, field, problem)

const checkAddress = (address: Address) =>
  Result.gen(function*() {
    if ("socket" in address) {
      return Effect.isEffect(address.socket)
        ? undefined
        : yield* invalid("socket", `must be an effect that makes a socket, ${got(address.socket)}`)
    }
    yield* Addresses.checkAddress(where, address)
    const { http } = address
    if (http !== undefined && !Predicate.isBoolean(http) && !(Predicate.isString(http) && /^\/[!-~]*$/.test(http))) {
      return yield* invalid("http", `must be true, or a path that starts with /, ${got(http)}`)
    }
  })

const checkPing = (ping: NonNullable<Options["ping"]>) =>
  Result.gen(function*() {
    yield* checkKnown(where, ping, ["every", "timeout", "method", "outOfOrder"], "ping.")
    const { every, method = "Ping", outOfOrder = false, timeout = "5 seconds" } = ping
    return {
      every: yield* checkDuration(where, "ping.every", every),
      timeout: yield* checkDuration(where, "ping.timeout", timeout),
      method: Predicate.isString(method) ? method : yield* invalid("ping.method", `must be a string, ${got(method)}`),
      outOfOrder: Predicate.isBoolean(outOfOrder)
        ? outOfOrder
        : yield* invalid("ping.outOfOrder", `must be true or false, ${got(outOfOrder)}`)
    }
  })

const ofAddress = ["host", "port", "path", "tls", "http", "socket"]

const fields = [...ofAddress, "codec", "dialTimeout", "maxFrameBytes", "ping", ...lifetimeFields]

/** @internal */
export const check = (options: Options) =>
  Result.gen(function*() {
    yield* checkKnown(where, options, fields)
    const { codec, dialTimeout = "5 seconds", maxFrameBytes = Limit.defaultBytes, ping } = options
    yield* checkAddress(options)
    if (codec !== undefined && codec !== "json" && codec !== "gob") {
      return yield* invalid("codec", `must be "json" or "gob", ${got(codec)}`)
    }
    return {
      lifetime: yield* Connection.checkLifetime(where, options),
      ping: ping === undefined ? undefined : yield* checkPing(ping),
      dialTimeout: yield* checkDuration(where, "dialTimeout", dialTimeout),
      maxFrameBytes: yield* checkNumber(where, "maxFrameBytes", maxFrameBytes, {
        min: 1,
        max: Number.MAX_SAFE_INTEGER,
        integer: true
      })
    }
  })
