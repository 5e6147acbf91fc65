/**
 * How the benches measure and print.
 */
import { RpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { Bench } from "tinybench"

/** A call, and the service that it finds. */
export interface Served {
  readonly call: Effect.Effect<unknown, unknown>
  readonly service: RpcRetry.Service
}

/** A peer in plain JavaScript. */
export type Peer = () => Promise<unknown>

const effectOf = (one: Effect.Effect<unknown, unknown> | Served, runs: number): Effect.Effect<unknown, unknown> => {
  const effect = Effect.isEffect(one) ? one : one.call
  const many = Effect.suspend(() => {
    let i = 0
    return Effect.whileLoop({ while: () => i < runs, body: () => effect, step: () => i++ })
  })
  return Effect.isEffect(one) ? many : Effect.provideService(many, RpcRetry.RpcRetry, one.service)
}

/** Nanoseconds for one run of each effect, or of each peer: the median of rounds in which all take their turn. */
export const measure = (
  cases: Readonly<Record<string, Effect.Effect<unknown, unknown> | Served | Peer>>,
  options: { readonly runs: number }
) =>
  Effect.promise(async () => {
    const bench = new Bench({ time: 1500, warmupTime: 300 })
    for (const [name, one] of Object.entries(cases)) {
      if (typeof one === "function") {
        bench.add(name, async () => {
          for (let i = 0; i < options.runs; i++) {
            // oxlint-disable-next-line no-await-in-loop
            await one()
          }
        })
      } else {
        const many = effectOf(one, options.runs)
        bench.add(name, async () => {
          await Effect.runPromise(many as Effect.Effect<void>)
        })
      }
    }
    await bench.run()
    return Object.fromEntries(
      bench.tasks.map((task) => [
        task.name,
        task.result.state === "completed" ? task.result.latency.p50 * 1e6 / options.runs : NaN
      ])
    )
  })

export const nanos = (n: number) => n < 1000 ? `${n.toFixed(0)} ns` : `${(n / 1000).toFixed(2)} µs`

export const print = (title: string, rows: ReadonlyArray<readonly [string, string]>) =>
  Effect.sync(() => {
    process.stdout.write(`\n${title}\n`)
    const width = Math.max(...rows.map(([name]) => name.length))
    rows.forEach(([name, value]) => process.stdout.write(`  ${name.padEnd(width)}  ${value}\n`))
  })
