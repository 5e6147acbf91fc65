/**
 * A proxy that does to connections what networks and deployments do: it resets, stalls, splits, delays, truncates, and is
 * restarted.
 */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Random from "./random.js"

const faults = ["reset", "stall", "split", "delay", "truncate", "restart"] as const

export type Fault = typeof faults[number]

export interface ChaosProxy {
  readonly port: number
  readonly counts: Readonly<Record<Fault | "connections", number>>
}

class Proxy {
  readonly counts = { connections: 0, reset: 0, stall: 0, split: 0, delay: 0, truncate: 0, restart: 0 }
  private readonly random: (n: number) => number
  private readonly pairs = new Set<{ readonly client: Net.Socket; readonly upstream: Net.Socket }>()
  private readonly timers = new Set<NodeJS.Timeout>()
  private readonly server = Net.createServer((client) => this.serve(client))
  port = 0

  constructor(private readonly target: { readonly host: string; readonly port: number }, options: {
    readonly seed: number
    /** About how many bytes pass from one fault to the next. */
    readonly bytes: number
  }) {
    this.random = Random.make(options.seed)
    this.bytes = options.bytes
  }
  private readonly bytes: number

  listen(then: () => void): void {
    this.server.listen(this.port, "127.0.0.1", () => {
      this.port = (this.server.address() as Net.AddressInfo).port
      then()
    })
  }

  stop(): void {
    this.timers.forEach(clearTimeout)
    this.pairs.forEach(({ client, upstream }) => {
      client.destroy()
      upstream.destroy()
    })
    this.server.close()
  }

  private later(millis: number, f: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      f()
    }, millis)
    this.timers.add(timer)
  }

  private serve(client: Net.Socket): void {
    this.counts.connections++
    const upstream = Net.connect(this.target)
    const pair = { client, upstream }
    this.pairs.add(pair)
    const end = () => {
      this.pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      socket.on("error", () => {})
      socket.on("close", end)
    }
    let passed = 0
    let limit = this.limit()
    const forward = (from: Net.Socket, to: Net.Socket) =>
      from.on("data", (chunk) => {
        passed += chunk.length
        if (passed < limit) {
          to.write(chunk)
        } else {
          passed = 0
          limit = this.limit()
          this.hurt(pair, to, chunk)
        }
      })
    forward(client, upstream)
    forward(upstream, client)
  }

  private limit(): number {
    return this.bytes / 2 + this.random(this.bytes)
  }

  private hurt(
    pair: { readonly client: Net.Socket; readonly upstream: Net.Socket },
    to: Net.Socket,
    chunk: Buffer
  ): void {
    const { client, upstream } = pair
    const fault = faults[this.random(faults.length)]!
    this.counts[fault]++
    switch (fault) {
      case "reset":
        client.resetAndDestroy()
        return
      case "stall":
        client.pause()
        upstream.pause()
        return
      case "split":
        for (let i = 0; i < chunk.length; i += 7) {
          to.write(chunk.subarray(i, i + 7))
        }
        return
      case "delay":
        client.pause()
        upstream.pause()
        this.later(5 + this.random(40), () => {
          to.write(chunk)
          client.resume()
          upstream.resume()
        })
        return
      case "truncate":
        to.end(chunk.subarray(0, this.random(chunk.length)))
        return
      case "restart":
        this.server.close()
        this.pairs.forEach(({ client }) => client.resetAndDestroy())
        this.later(20 + this.random(100), () => this.listen(() => {}))
    }
  }
}

export const make = (
  target: { readonly host: string; readonly port: number },
  options: { readonly seed: number; readonly bytes: number }
) =>
  Effect.acquireRelease(
    Effect.async<Proxy>((resume) => {
      const proxy = new Proxy(target, options)
      proxy.listen(() => resume(Effect.succeed(proxy)))
    }),
    (proxy) => Effect.sync(() => proxy.stop())
  ).pipe(Effect.map((proxy): ChaosProxy => proxy))
