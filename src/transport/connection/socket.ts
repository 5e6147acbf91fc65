/**
 * Sockets of Node that are destroyed as soon as they are not wanted any more. `NodeSocket.makeNet` leaves a socket that
 * is connecting, or whose peer does not read, open until the operating system closes it.
 *
 * @internal
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Socket from "@effect/platform/Socket"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as Result from "../../internal/result.js"
import { handshake } from "./httpUpgrade.js"

/** @internal */
export type Address = ({ readonly host: string; readonly port: number } | { readonly path: string }) & {
  readonly tls?: Tls.ConnectionOptions | undefined
  readonly http?: boolean | string | undefined
}

/** The path of Go's `rpc.HandleHTTP`. */
const defaultPath = "/_goRPC_"

/** Sends small requests at once, and probes a silent peer after 15 seconds. */
const common = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 }

const connect = ({ http: _, tls, ...address }: Address): { readonly connection: Net.Socket; readonly ready: string } =>
  tls === undefined
    ? { connection: Net.connect({ ...address, ...common }), ready: "connect" }
    : { connection: Tls.connect({ ...tls, ...address, ...common }), ready: "secureConnect" }

/** Checks TLS options with Node, without connecting. @internal */
export const validateTls = (options: Tls.ConnectionOptions): Result.Result<void, string> =>
  Result.try({
    try: () => void Tls.createSecureContext(options),
    catch: (error) => `is not usable: ${error instanceof Error ? error.message : String(error)}`
  })

const open = (address: Address): Effect.Effect<Net.Socket, Socket.SocketError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => connect(address)),
    ({ connection }) => Effect.sync(() => connection.destroy())
  ).pipe(
    Effect.flatMap(({ connection, ready }) =>
      Effect.async<Net.Socket, Socket.SocketError>((resume) => {
        connection.once(ready, () => resume(Effect.succeed(connection)))
        // never removed: an error without a listener ends the process
        connection.on("error", (cause) => {
          resume(Effect.fail(new Socket.SocketGenericError({ reason: "Open", cause })))
        })
      })
    )
  )

const openHttp = (address: Address, path: string) =>
  Effect.tap(open(address), (connection) =>
    Effect.mapError(
      handshake(connection, path),
      (cause) => new Socket.SocketGenericError({ reason: "Open", cause })
    ))

/** @internal */
export const make = (address: Address): Effect.Effect<Socket.Socket> => {
  const { http = false } = address
  return NodeSocket.fromDuplex(
    http === false ? open(address) : openHttp(address, http === true ? defaultPath : http)
  )
}
