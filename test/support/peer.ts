/**
 * A TCP server of the tests' own, and one that speaks `net/rpc` with gob.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Net from "node:net"
import * as Loopback from "./loopback.js"

/** Listens for the life of the scope; connections that are open then are ended. */
export const listen = (serve: (socket: Net.Socket) => void) =>
  Effect.suspend(() => {
    const sockets = new Set<Net.Socket>()
    const server = Net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      serve(socket)
    })
    return Effect.map(
      Loopback.listen(server, () => sockets.forEach((socket) => socket.destroy())),
      (port) => ({ server, port, sockets: sockets as ReadonlySet<Net.Socket> })
    )
  })

const Request = Schema.Struct({ ServiceMethod: Schema.String, Seq: Gob.Uint })

const Response = Schema.Struct({ ServiceMethod: Schema.String, Seq: Gob.Uint, Error: Schema.String }).annotations({
  identifier: "Response"
})

export interface GobRequest {
  readonly seq: number
  readonly method: string
  readonly body: Gob.Value
}

/** What a gob server can say. */
export interface GobPeer {
  readonly header: (seq: number, error?: string) => Uint8Array
  readonly body: <A, I>(schema: Schema.Schema<A, I>, value: A) => Uint8Array
  readonly socket: Net.Socket
}

/** Serves each request that comes on a connection. */
export const gob = (serve: (request: GobRequest, peer: GobPeer) => void) => (socket: Net.Socket) => {
  const decoder = Gob.makeDecoder()
  const encoder = Gob.makeEncoder()
  const body: GobPeer["body"] = (schema, value) => Either.getOrThrow(encoder.encode(schema, value))
  const header: GobPeer["header"] = (Seq, Error = "") => body(Response, { ServiceMethod: "", Seq, Error })
  let request: typeof Request.Type | undefined
  socket.on("data", (chunk) => {
    for (const value of decoder.push(chunk).values) {
      if (request === undefined) {
        request = Either.getOrThrow(value.as(Request))
      } else {
        const { Seq: seq, ServiceMethod: method } = request
        request = undefined
        serve({ seq, method, body: value }, { header, body, socket })
      }
    }
  })
}
