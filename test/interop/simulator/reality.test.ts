/**
 * What the simulator predicts, against real clients and a real server of grpc-go on loopback.
 */
import { RpcRetry, type RpcRetry as Layers, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import { performance } from "node:perf_hooks"
import { recovery } from "../../../src/testing/simulator/recovery.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { client } from "../../support/grpcClient.js"
import { assert, describe, it } from "../../support/vitest.js"

const perSecond = 20
const seconds = 55
const holdAt = 5
const holdFor = 10
const concurrency = 20
const serviceMillis = 500

const scenario: Simulator.Scenario = {
  name: "held, of a server that can do 40 per second",
  duration: `${seconds} seconds`,
  arrivals: { constant: perSecond },
  servers: { concurrency, service: serviceMillis },
  faults: [{ kind: "outage", requests: "held", at: `${holdAt} seconds`, for: `${holdFor} seconds` }]
}

const bounds = { attemptTimeout: "2 seconds", deadline: "6 seconds" } as const

const policies: Readonly<Record<string, Layers.LayerOptions>> = {
  "with the budget of a layer": { default: bounds },
  "without a budget": { default: bounds, budget: "off" }
}

interface Measured {
  readonly goodput: number
  readonly recovery: number | "never"
  readonly amplification: number
  /** By how much the calls were made too late, at worst, in milliseconds. */
  readonly late: number
}

const { serve } = GoProgram.make("limitedserver")

/** Makes the calls of the scenario, each at its instant, and counts them as the simulator does. */
const measured = (options: Layers.LayerOptions) =>
  Effect.gen(function*() {
    const server = yield* serve(
      `-concurrency=${concurrency}`,
      `-service=${serviceMillis}ms`,
      `-hold-at=${holdAt}s`,
      `-hold-for=${holdFor}s`
    )
    const read = Grpc.unary(yield* client(server.address), "Read")
    yield* Effect.orDie(read({ value: "connect" }))
    let attempts = 0
    const attempt = Effect.suspend(() => {
      attempts++
      return read({ value: "work" })
    })
    const offered = new Float64Array(seconds + 1)
    const succeeded = new Float64Array(seconds + 1)
    const service = RpcRetry.make({ ...options, metrics: "off" })
    const start = performance.now()
    const second = () => Math.floor((performance.now() - start) / 1000)
    const call = attempt.pipe(
      withRpcRetry({ method: "Echo.Read", logs: false }),
      Effect.provideService(RpcRetry.RpcRetry, service),
      Effect.tap(() => Effect.sync(() => succeeded[Math.min(seconds, second())]!++)),
      Effect.ignore
    )
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    let late = 0
    for (let i = 1; i < perSecond * seconds; i++) {
      const due = start + i * 1000 / perSecond
      yield* Effect.sleep(Math.max(0, due - performance.now()))
      late = Math.max(late, performance.now() - due)
      offered[Math.floor(i / perSecond)]!++
      run(call)
    }
    yield* Effect.sleep(Math.max(0, start + seconds * 1000 - performance.now()))
    const counts = { step: 1000, offered, succeeded, leastOffered: 0 }
    const all = succeeded.slice(0, seconds).reduce((sum, n) => sum + n, 0)
    return {
      goodput: all / seconds,
      recovery: recovery(counts, (holdAt + holdFor) * 1000, seconds * 1000) ?? "never",
      amplification: attempts / (perSecond * seconds - 1),
      late
    } satisfies Measured
  }).pipe(Effect.scoped)

/** A machine on which calls are later than this was too busy to measure on. */
const tooLate = 250

/** Measures all side by side, again where the machine was too busy; `undefined` when it was each time. */
const measuredAll = (tries: number): Effect.Effect<ReadonlyArray<Measured> | undefined> =>
  Effect.flatMap(
    Effect.all(Object.values(policies).map(measured), { concurrency: "unbounded" }),
    (all) =>
      all.every(({ late }) => late <= tooLate)
        ? Effect.succeed(all)
        : tries > 1
        ? measuredAll(tries - 1)
        : Effect.succeed(undefined)
  )

describe.skipIf(GoServer.skipped !== undefined)("the simulator and a server of grpc-go", () => {
  it(
    "agree on goodput, attempts and recovery: with a budget it recovers, without one it never does",
    async (context) => {
      const predicted = await Effect.runPromise(
        Effect.all(Object.values(policies).map((options) => Simulator.run(Simulator.layer(options), scenario)))
      )
      const real = await Effect.runPromise(measuredAll(3))
      if (real === undefined) {
        return context.skip(`the machine was too busy: calls were made more than ${tooLate} ms late, three times`)
      }
      const report = JSON.stringify({ predicted: predicted.map(({ series: _, ...rest }) => rest), real }, null, 2)
      real.forEach(({ amplification, goodput, recovery }, i) => {
        const simulated = predicted[i]!
        assert.approximately(goodput, simulated.goodput, 0.1 * simulated.goodput, report)
        assert.approximately(amplification, simulated.amplification, 0.1 * simulated.amplification, report)
        if (typeof simulated.recovery === "number") {
          // it is counted in whole seconds
          const least = Math.max(1000, 0.1 * simulated.recovery)
          assert.approximately(Number(recovery), simulated.recovery, least, report)
        } else {
          assert.strictEqual(recovery, simulated.recovery, report)
        }
      })
      assert.isNumber(real[0]!.recovery)
      assert.strictEqual(real[1]!.recovery, "never")
    },
    600_000
  )
})
