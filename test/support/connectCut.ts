/**
 * What stands between a client and a server, and does not do as it should.
 */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Loopback from "./loopback.js"

/** Tells what connects, and what it says. */
export const peer = (onSocket: (socket: Net.Socket) => void) =>
  Effect.suspend(() => {
    const sockets = new Set<Net.Socket>()
    const server = Net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => sockets.delete(socket))
      onSocket(socket)
    })
    return Effect.map(
      Loopback.listen(server, () => sockets.forEach((socket) => socket.destroy())),
      (port) => ({ port, sockets })
    )
  })

/** Lets so many bytes of each connection through to the server, and then cuts both sides. */
export const after = (target: number, bytes: () => number) =>
  peer((client) => {
    let left = bytes()
    const upstream = Net.connect(target, "127.0.0.1")
    upstream.on("error", () => {})
    upstream.on("data", (chunk) => client.write(chunk))
    upstream.on("close", () => client.destroy())
    client.on("close", () => upstream.destroy())
    client.on("data", (chunk) => {
      const part = chunk.subarray(0, left)
      left -= part.length
      upstream.write(part, () => {
        if (left === 0) {
          upstream.destroy()
          client.destroy()
        }
      })
    })
  })

/** Lets all through, and tells of the connections and of what the client says. */
export const through = (target: number, onBytes: (chunk: Buffer) => void, onConnection: () => void) =>
  peer((client) => {
    onConnection()
    const upstream = Net.connect(target, "127.0.0.1")
    upstream.on("error", () => {})
    upstream.on("close", () => client.destroy())
    client.on("close", () => upstream.destroy())
    client.on("data", onBytes)
    client.pipe(upstream).pipe(client)
  })
