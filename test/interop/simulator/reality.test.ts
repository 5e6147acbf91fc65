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
  // in place of it, those of the real clients
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
  /** When the calls were made, in milliseconds since the start: a machine that is busy makes them later than they are due. */
  readonly arrivals: ReadonlyArray<Simulator.Arrival>
}

const { serve } = GoProgram.make("limitedserver")

/** Makes the calls of the scenario, each as near to its instant as the machine does, and counts them as the simulator does. */
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
    const second = () => Math.min(seconds, Math.floor((performance.now() - start) / 1000))
    const call = attempt.pipe(
      withRpcRetry({ method: "Echo.Read", logs: false }),
      Effect.provideService(RpcRetry.RpcRetry, service),
      Effect.tap(() => Effect.sync(() => succeeded[second()]!++)),
      Effect.ignore
    )
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    const arrivals: Array<Simulator.Arrival> = []
    for (let i = 1; i < perSecond * seconds; i++) {
      const due = start + i * 1000 / perSecond
      yield* Effect.sleep(Math.max(0, due - performance.now()))
      offered[second()]!++
      arrivals.push({ at: performance.now() - start, method: "Echo.Read" })
      run(call)
    }
    yield* Effect.sleep(Math.max(0, start + seconds * 1000 - performance.now()))
    const counts = { step: 1000, offered, succeeded, leastOffered: 0 }
    const all = succeeded.slice(0, seconds).reduce((sum, n) => sum + n, 0)
    return {
      goodput: all / seconds,
      recovery: recovery(counts, (holdAt + holdFor) * 1000, seconds * 1000) ?? "never",
      amplification: attempts / arrivals.length,
      arrivals
    } satisfies Measured
  }).pipe(Effect.scoped)

/** What the simulator says of calls that are made when the real ones were. */
const predicted = (options: Layers.LayerOptions, { arrivals }: Measured) =>
  Simulator.run(Simulator.layer(options), {
    ...scenario,
    arrivals: { trace: arrivals },
    // the server counts from the first call
    faults: scenario.faults!.map((fault) => Object.assign({}, fault, { at: arrivals[0]!.at + holdAt * 1000 }))
  })

const isWithin = (actual: number, expected: number, tolerance: number) => Math.abs(actual - expected) <= tolerance

const agree = (real: Measured, simulated: Simulator.Report): boolean =>
  isWithin(real.goodput, simulated.goodput, 0.1 * simulated.goodput) &&
  isWithin(real.amplification, simulated.amplification, 0.1 * simulated.amplification) &&
  (typeof simulated.recovery === "number"
    // it is counted in whole seconds
    ? isWithin(Number(real.recovery), simulated.recovery, Math.max(1000, 0.1 * simulated.recovery))
    : real.recovery === simulated.recovery)

interface Compared {
  readonly name: string
  readonly real: Measured
  readonly simulated: Simulator.Report
}

/** From this lateness on, in milliseconds, it is the machine that is measured. */
const slow = 250

/** By how much calls were made too late, at worst, in milliseconds. */
const lateness = ({ arrivals }: Measured) =>
  arrivals.reduce((most, { at }, i) => Math.max(most, at - (i + 1) * 1000 / perSecond), 0)

/**
 * Compares all side by side. A machine that stood still for a while does so to the answers and timeouts of the real
 * clients too: then it is done again.
 */
const comparedAll = (tries: number): Effect.Effect<ReadonlyArray<Compared>> =>
  Effect.forEach(
    Object.entries(policies),
    ([name, options]) =>
      Effect.gen(function*() {
        const real = yield* measured(options)
        return { name, real, simulated: yield* predicted(options, real) }
      }),
    { concurrency: "unbounded" }
  ).pipe(
    Effect.flatMap((all) =>
      tries > 1 && all.some(({ real, simulated }) => !agree(real, simulated) && lateness(real) > slow)
        ? comparedAll(tries - 1)
        : Effect.succeed(all)
    )
  )

const report = (all: ReadonlyArray<Compared>): string =>
  all.map(({ name, real: { arrivals: _, ...real }, simulated: { series: __, ...simulated } }, i) =>
    `${name}, calls made up to ${Math.round(lateness(all[i]!.real))} ms late:\n${
      JSON.stringify({ real, simulated }, null, 2)
    }`
  ).join("\n")

describe.skipIf(GoServer.skipped !== undefined)("the simulator and a server of grpc-go", () => {
  it(
    "agree on goodput, attempts and recovery, of calls that are made at the same instants, and recover with a budget",
    async () => {
      const all = await Effect.runPromise(comparedAll(3))
      assert.isTrue(all.every(({ real, simulated }) => agree(real, simulated)), report(all))
      // with a budget the real clients recover by themselves, unless the machine was too slow to make their calls
      const [{ real }] = all as readonly [Compared, Compared]
      assert.isTrue(typeof real.recovery === "number" || lateness(real) > slow, report(all))
      // a machine that makes all calls in time shows the same
      const inTime = await Effect.runPromise(
        Effect.all(Object.values(policies).map((options) => Simulator.run(Simulator.layer(options), scenario)))
      )
      assert.deepStrictEqual(inTime.map(({ recovery }) => typeof recovery), ["number", "string"])
    },
    600_000
  )
})
