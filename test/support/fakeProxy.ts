/**
 * A TCP proxy that can make all its connections fake: they look open, and the next byte is answered with a reset, as after
 * a restart behind a load balancer, or when a router forgot them.
 */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Loopback from "./loopback.js"

export const make = (target: number) =>
  Effect.gen(function*() {
    const open = new Set<Net.Socket>()
    let accepted = 0
    let resets = 0
    const swallowed = new Set<Net.Socket>()
    const fakes = new WeakSet<Net.Socket>()
    const silent = new WeakSet<Net.Socket>()
    const server = Net.createServer((client) => {
      accepted++
      open.add(client)
      const upstream = Net.connect(target, "127.0.0.1")
      client.on("data", (chunk) => {
        if (silent.has(client)) {
          swallowed.add(client)
        } else if (fakes.has(client)) {
          resets++
          client.resetAndDestroy()
        } else {
          upstream.write(chunk)
        }
      })
      upstream.on("data", (chunk) => client.write(chunk))
      client.on("error", () => {})
      upstream.on("error", () => {})
      client.on("close", () => {
        open.delete(client)
        upstream.destroy()
      })
      upstream.on("close", () => {
        if (!fakes.has(client)) {
          client.destroy()
        }
      })
      client.once("fake", () => upstream.destroy())
    })
    const port = yield* Loopback.listen(server, () => open.forEach((socket) => socket.destroy()))
    return {
      port,
      url: `http://127.0.0.1:${port}/rpc`,
      open: () => open.size,
      accepted: () => accepted,
      /** How many fake connections were found out. */
      resets: () => resets,
      /** On how many connections a request went nowhere. */
      swallowed: () => swallowed.size,
      /** From now on the connections that are open lead nowhere, and nothing says so. */
      silence: () => open.forEach((client) => silent.add(client)),
      fake: () => {
        open.forEach((client) => {
          fakes.add(client)
          client.emit("fake")
        })
      }
    }
  })
