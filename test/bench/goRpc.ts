/**
 * Calls per second on one connection, beside Go's own client, against the same Go server.
 */
import { withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import * as GoServer from "../support/goServer.js"
import { print } from "./support.js"

type Codec = "gob" | "json"

const Args = Schema.Struct({ A: Gob.Int, B: Gob.Int })

const rounds = 3

/** So many callers, each with one call after the other; in calls per second. */
const ours = (call: (i: number) => Effect.Effect<number, unknown>, callers: number, calls: number) => {
  const run = (n: number) =>
    Effect.forEach(Array.from({ length: callers }), (_, caller) => {
      let i = caller
      return Effect.whileLoop({
        while: () => i < n,
        body: () => call(i),
        step: () => {
          i += callers
        }
      })
    }, { concurrency: "unbounded", discard: true })
  return Effect.gen(function*() {
    yield* run(calls / 10)
    const start = yield* Clock.currentTimeNanos
    yield* run(calls)
    return calls / (Number((yield* Clock.currentTimeNanos) - start) / 1e9)
  })
}

const median = (numbers: ReadonlyArray<number>) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

const compare = (server: string, bench: string, codec: Codec, callers: number) =>
  Effect.gen(function*() {
    const calls = callers === 1 ? 10_000 : 60_000
    const { address, host, port } = yield* GoServer.start(server, "-codec", codec)
    const rpc = yield* GoRpc.make({ host, port, codec })
    const call = (i: number) => rpc.call("Arith.Multiply", { A: i, B: 2 }, { args: Args, reply: Gob.Int })
    const go: Array<number> = []
    const bare: Array<number> = []
    const retried: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const out = spawnSync(bench, [
        "-codec",
        codec,
        "-address",
        address,
        "-callers",
        `${callers}`,
        "-calls",
        `${calls}`
      ])
      go.push(Number(out.stdout.toString()))
      bare.push(yield* ours(call, callers, calls))
      retried.push(yield* ours((i) => call(i).pipe(withRpcRetry), callers, calls))
    }
    const perSecond = (numbers: ReadonlyArray<number>) => `${Math.round(median(numbers))} calls/s`
    const ratio = (numbers: ReadonlyArray<number>) => `${(median(numbers) / median(go)).toFixed(2)}x`
    const asked = callers === 64 ? " (at least 0.5x)" : ""
    yield* print(`net/rpc with ${codec}, ${callers === 1 ? "one call" : `${callers} calls`} at once`, [
      ["Go's client", perSecond(go)],
      ["GoRpc", perSecond(bare)],
      ["  ratio to Go's client", ratio(bare) + asked],
      ["GoRpc and withRpcRetry", perSecond(retried)],
      ["  ratio to Go's client", ratio(retried) + asked]
    ])
  }).pipe(Effect.scoped)

export const program = GoServer.skipped !== undefined
  ? print(`net/rpc beside Go's client: ${GoServer.skipped}`, [])
  : Effect.gen(function*() {
    const server = yield* GoServer.build("netrpc")
    const bench = yield* GoServer.build("netrpcbench")
    for (const codec of ["gob", "json"] as const) {
      for (const callers of [1, 64]) {
        yield* compare(server.binary, bench.binary, codec, callers)
      }
    }
  }).pipe(Effect.scoped)
