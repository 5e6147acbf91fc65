/**
 * The memory that metrics take when methods are without number.
 */
import { type Fatal, type Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "../support/vitest.js"

const ok: Effect.Effect<number, Retryable | Fatal> = Effect.succeed(1)

describe("metrics", () => {
  it.effect("100,000 different methods take no more memory than the first thousand", () =>
    Effect.gen(function*() {
      setFlagsFromString("--expose-gc")
      const gc: () => void = runInNewContext("gc")
      const heap = () => {
        gc()
        return process.memoryUsage().heapUsed
      }
      const call = (i: number) =>
        Effect.suspend(() => ok.pipe(withRpcRetry({ method: `Service${i}.Get`, onEvent: undefined })))
      const calls = (from: number, to: number) =>
        Effect.suspend(() => {
          let i = from
          return Effect.whileLoop({ while: () => i < to, body: () => call(i), step: () => i++ })
        })
      yield* Effect.gen(function*() {
        yield* calls(0, 2_000)
        const pairs = yield* Metric.snapshot
        const series = pairs.length
        const methods = pairs
          .filter(({ metricKey }) => metricKey.name === "rpc.client.attempt.started")
          .flatMap(({ metricKey }) =>
            metricKey.tags.filter(({ key, value }) => key === "rpc.method" && value.startsWith("Service"))
          )
        assert.strictEqual(methods.length, 1_000)
        const before = heap()
        yield* calls(2_000, 102_000)
        const grown = heap() - before
        assert.strictEqual((yield* Metric.snapshot).length, series)
        assert.isBelow(grown, 4 * 1024 * 1024)
      }).pipe(Effect.provide(RpcRetry.layer()))
    }))
})
