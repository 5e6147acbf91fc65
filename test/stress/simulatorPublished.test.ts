/**
 * The simulator against numbers that others have published, or that runs of their simulators gave. `docs/simulator.md` has
 * them all; these are some of them, on fewer calls. Where it says what these runs give, it says just that.
 */
import { Retryable, RetryBudget, RetryPolicy, RetrySchedule, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { breakerOfRetries, envoy, finagle, onStart } from "../support/budgets.js"
import * as Markdown from "../support/markdown.js"
import * as VirtualTime from "../support/virtualTime.js"
import { assert, describe, it } from "../support/vitest.js"

const threeRetries: RetryPolicy.Options = { schedule: RetrySchedule.standard.pipe(RetrySchedule.fullJitter) }

/** Servers that answer at once, of which a share of answers are errors. */
const failing = (clients: number, perSecond: number, rate: number, seconds = 45): Simulator.Scenario => ({
  name: "failing",
  duration: seconds * 1000,
  clients,
  arrivals: { poisson: perSecond },
  servers: { service: "1 millis", concurrency: 1_000 },
  faults: rate === 0 ? [] : [{ kind: "errors", rate, at: 0, for: seconds * 1000 }],
  warmUp: "20 seconds"
})

const near = (actual: number, published: number, tolerance: number, what: string) =>
  assert.approximately(actual, published, tolerance, what)

const rows = Markdown.read("docs/simulator.md").split("\n").filter((line) => line.startsWith("|")).map((line) =>
  line.split("|").slice(1, -1).map((cell) => cell.trim())
)

/** A cell of `docs/simulator.md`, in the row that begins with these cells. */
const onPage = (begin: ReadonlyArray<string>, column: number): string | undefined =>
  rows.find((cells) => begin.every((cell, i) => cells[i] === cell))?.[column]

describe("Brooker's simulator of retry strategies (2022)", () => {
  const cases: ReadonlyArray<
    readonly [name: string, policy: Simulator.Policy, rate: number, success: number, amplification: number]
  > = [
    ["no retries", RetryPolicy.none, 0.1, 0.901, 1],
    ["no retries", RetryPolicy.none, 0.5, 0.5, 1],
    ["3 retries", threeRetries, 0.1, 0.9999, 1.111],
    ["3 retries", threeRetries, 0.5, 0.938, 1.875],
    ["3 retries", threeRetries, 1, 0, 4],
    ["a bucket that calls fill, 0.1 and 5", onStart(threeRetries, 0.1, 5), 0.1, 0.984, 1.093],
    ["a bucket that calls fill, 0.1 and 5", onStart(threeRetries, 0.1, 5), 0.5, 0.551, 1.102],
    ["a bucket that calls fill, 0.1 and 5", onStart(threeRetries, 0.1, 5), 1, 0, 1.102],
    ["a breaker of retries at 10 %", breakerOfRetries(threeRetries, 0.1), 0.05, 0.999, 1.053],
    ["a breaker of retries at 10 %", breakerOfRetries(threeRetries, 0.1), 0.1, 0.934, 1.036],
    ["a breaker of retries at 10 %", breakerOfRetries(threeRetries, 0.1), 0.2, 0.799, 1],
    ["a breaker of retries at 10 %", breakerOfRetries(threeRetries, 0.1), 0.5, 0.501, 1]
  ]
  for (const [name, policy, rate, success, amplification] of cases) {
    it.effect(`${name}: ${success} of calls succeed, with ${amplification} attempts each, where ${rate} of attempts fail`, () =>
      Effect.gen(function*() {
        const result = yield* Simulator.run(policy, failing(4, 80, rate))
        near(result.success, success, 0.02, "success")
        near(result.amplification, amplification, 0.03 * amplification, "amplification")
        const ours = `${Number((100 * result.success).toFixed(1))} %, ${result.amplification.toFixed(3)}`
        assert.strictEqual(onPage([String(rate), name], 3), ours)
      }))
  }
})

describe("budgets of others, for one client and for many small ones", () => {
  const cases: ReadonlyArray<
    readonly [name: string, policy: Simulator.Policy, one: number, hundred: number, tolerance: number]
  > = [
    ["Finagle, 20 % and 10 /s", finagle(threeRetries, 0.2, 10), 1.3, 4, 0.06],
    ["Finagle, 20 % alone", finagle(threeRetries, 0.2, 0), 1.2, 1.17, 0.08],
    ["Envoy, 20 %, at least 3", envoy(threeRetries, 0.2, 3), 1.32, 3.99, 0.1],
    ["fed by successes (0.1, 5)", Effect.map(brooker(), (budget) => ({ ...threeRetries, budget })), 1, 1, 0.06]
  ]
  for (const [name, policy, one, hundred, tolerance] of cases) {
    it.effect(`${name}: ${one} attempts per call of one client when all fails, ${hundred} for a hundred`, () =>
      Effect.gen(function*() {
        const busy = yield* Simulator.run(policy, failing(1, 100, 1))
        const small = yield* Simulator.run(policy, failing(100, 100, 1))
        near(busy.amplification, one, tolerance * one, "one client")
        near(small.amplification, hundred, tolerance * hundred, "a hundred clients")
        assert.strictEqual(onPage([name], 2), busy.amplification.toFixed(2))
        assert.strictEqual(onPage([name], 4), small.amplification.toFixed(2))
      }))
  }
})

function brooker() {
  return RetryBudget.make({ ratio: 0.1, capacity: 5, regainEvery: "100 days" })
}

/** The server of the paper and its outage, at a fifth of the rate. */
const hotOs = (busy: number, seconds: number): Simulator.Scenario => ({
  name: "HotOS 2021",
  duration: seconds * 1000,
  arrivals: { poisson: 60 * busy },
  servers: { service: 1000 / 60 },
  faults: [{ kind: "outage", requests: "held", at: "10 seconds", for: "10 seconds" }]
})

describe("metastable failures (HotOS 2021)", () => {
  it.effect("one retry for good doubles the load of a server that is 93 % busy, long after the outage", () =>
    Effect.gen(function*() {
      const result = yield* Simulator.run({ schedule: Schedule.recurs(1) }, hotOs(280 / 300, 90))
      assert.strictEqual(result.recovery, "never")
      const late = result.series.slice(50, 85)
      const attempts = late.reduce((sum, { attempts }) => sum + attempts, 0)
      const offered = late.reduce((sum, { offered }) => sum + offered, 0)
      const goodput = late.reduce((sum, { goodput }) => sum + goodput, 0)
      near(attempts / offered, 2, 0.05, "attempts per call")
      assert.isBelow(goodput / offered, 0.03)
    }))

  it.effect("at 47 % it recovers without retries in about 7 seconds, with ours soon, and never with three retries", () =>
    Effect.gen(function*() {
      const none = yield* Simulator.run(RetryPolicy.none, hotOs(140 / 300, 60))
      const ours = yield* Simulator.run(
        Effect.map(brooker(), (budget) => ({ ...threeRetries, budget })),
        hotOs(140 / 300, 60)
      )
      const three = yield* Simulator.run(threeRetries, hotOs(140 / 300, 60))
      near(none.recovery as number, 7_000, 3_000, "no retries")
      near(ours.recovery as number, 7_000, 4_000, "ours")
      assert.strictEqual(three.recovery, "never")
    }))
})

describe("a server whose answers take longer the more it has to do (Brooker's collapse)", () => {
  // the source counts the request itself: 1 second, and 10 ms for it
  const collapse: Simulator.Scenario = {
    name: "collapse",
    duration: "60 seconds",
    arrivals: { poisson: 40 },
    servers: { service: { collapse: { base: "1010 millis", perRequest: "10 millis" } }, concurrency: 100_000 },
    network: { exponential: "100 millis" },
    attemptTimeout: "3 seconds",
    faults: [{ kind: "load", factor: 2, at: "20 seconds", for: "5 seconds" }]
  }

  it.effect("stays collapsed after a spike of twice the load, in most runs, with retries at once; long random waits end it", () =>
    Effect.gen(function*() {
      const spread = RetrySchedule.exponential({ base: "20 seconds", factor: 2, cap: "40 seconds" }).pipe(
        RetrySchedule.fullJitter,
        RetrySchedule.retries(2)
      )
      // of each of some seeds: the calls per second that succeed from the 40th second on
      const tails = (policy: RetryPolicy.Options) =>
        Effect.forEach(
          [1, 2, 3, 4, 5],
          (seed) =>
            Effect.map(Simulator.run(policy, collapse, { seed }), ({ series }) =>
              series.slice(40).reduce((sum, { goodput }) => sum + goodput, 0) / 20)
        )
      const atOnce = yield* tails({ schedule: Schedule.recurs(2) })
      // each either stays collapsed or was never
      assert.isTrue(atOnce.every((tail) => tail < 1 || tail > 35), String(atOnce))
      assert.isAtLeast(atOnce.filter((tail) => tail < 1).length, 3)
      const waiting = yield* tails({ schedule: spread })
      near(waiting.reduce((sum, tail) => sum + tail, 0) / waiting.length, 43.8, 3, "goodput")
    }))
})

describe("a closed loop that meets a total outage", () => {
  it.effect("goes on after it with the budget of a layer, with that of gRPC and with that of the AWS SDKs", () =>
    Effect.gen(function*() {
      const policies: ReadonlyArray<Simulator.Policy> = [
        Simulator.layer({}),
        Simulator.layer({ budget: RetryBudget.grpc({ maxTokens: 10, tokenRatio: 0.1 }) }),
        Simulator.layer({ budget: RetryBudget.aws2026() })
      ]
      for (const policy of policies) {
        const { recovery, series } = yield* Simulator.run(policy, {
          ...Simulator.scenarios.closedLoop,
          duration: "50 seconds"
        })
        assert.strictEqual(recovery, 0)
        assert.isAbove(series.at(-1)!.goodput, 30)
      }
    }))
})

describe("a slow node, of clients that choose servers and that do not", () => {
  const hedged = { default: { hedge: { after: "150 millis", load: 0.1 }, idempotent: true } } as const
  const cases: ReadonlyArray<
    readonly [options: RpcRetry.LayerOptions, endpoints: boolean, begin: ReadonlyArray<string>]
  > = [
    [{}, false, ["a layer, servers at random", "96.1 %"]],
    [hedged, false, ["the same, a hedge after 150 ms with a load of 0.1", "95.7 %"]],
    [{}, true, ["a layer, servers by `Endpoints`", "100 %"]],
    [hedged, true, ["the same, a hedge after 150 ms with a load of 0.1", "100 %"]]
  ]
  for (const [options, endpoints, begin] of cases) {
    it.effect(`${begin.join(": ")} of calls succeed, with the attempts and in the time that the page says`, () =>
      Effect.gen(function*() {
        const policy = Simulator.layer(options, endpoints ? { endpoints: {} } : {})
        const { amplification, p95, p99, success } = yield* Simulator.run(policy, Simulator.scenarios.slowNode)
        const ours = [
          `${Number((100 * success).toFixed(1))} %`,
          amplification.toFixed(2),
          `${Math.round(p95!)} ms`,
          `${Math.round(p99!)} ms`
        ]
        assert.deepStrictEqual([1, 2, 3, 4].map((column) => onPage(begin, column)), ours)
      }))
  }
})

/** From 1000 on, as in `35 154`. */
const thousands = (number: number): string => String(Math.round(number)).replace(/(?=\d{3}$)/, " ")

describe("Exponential Backoff and Jitter (AWS, 2015)", () => {
  const network = Random.nextRange(0, 1).pipe(
    Effect.zip(Random.nextRange(0, 1)),
    Effect.map(([a, b]) => Math.max(0, 10 + 2 * Math.sqrt(-2 * Math.log(1 - a)) * Math.cos(2 * Math.PI * b))),
    Effect.flatMap((millis) => Effect.sleep(millis))
  )

  /** Clients that write one row at once, each until it has: how many writes there were, and when the last was done. */
  const contend = (clients: number, schedule: Schedule.Schedule<unknown, Retryable>, seed: number) =>
    Effect.promise(() =>
      VirtualTime.run(
        Effect.gen(function*() {
          const clock = yield* Effect.clock
          const startedAt = clock.unsafeCurrentTimeMillis()
          let version = 0
          let writes = 0
          const attempt = Effect.gen(function*() {
            yield* network
            const read = version
            yield* network
            yield* network
            writes++
            const isNew = read === version
            version += isNew ? 1 : 0
            yield* network
            if (!isNew) {
              return yield* new Retryable({ reason: "Custom", delivery: "Unknown" })
            }
          })
          yield* Effect.forEach(
            Array.from({ length: clients }),
            () => withRpcRetry(attempt, { schedule, logs: false }),
            { concurrency: "unbounded", discard: true }
          )
          return { writes, millis: clock.unsafeCurrentTimeMillis() - startedAt }
        }).pipe(Effect.withRandom(Random.make(seed)))
      )
    ).pipe(Effect.flatten)

  // the source waits 5 ms times two to the number of failures, and after the first of them that is 10 ms
  const doubling = RetrySchedule.exponential({ base: 10, factor: 2, cap: 2_000 })
  type Published = readonly [writes: number, millis: number]
  const cases: ReadonlyArray<
    readonly [name: string, schedule: Schedule.Schedule<unknown, Retryable>, fifty: Published, hundred: Published]
  > = [
    ["no jitter", doubling, [623, 36_463], [1854, 63_287]],
    ["equal jitter", doubling.pipe(RetrySchedule.equalJitter), [347, 4_189], [813, 6_644]],
    ["full jitter", doubling.pipe(RetrySchedule.fullJitter), [333, 2_881], [796, 4_944]],
    ["decorrelated", RetrySchedule.decorrelated({ base: 5, cap: 2_000 }), [374, 2_216], [997, 4_601]]
  ]
  for (const [name, schedule, fifty, hundred] of cases) {
    for (const [clients, seeds, [writes, millis]] of [[50, 10, fifty], [100, 4, hundred]] as const) {
      it.effect(`${name}: ${clients} clients need about ${writes} writes and ${millis} ms`, () =>
        Effect.gen(function*() {
          const trials = yield* Effect.forEach(
            Array.from({ length: seeds }, (_, i) => i),
            (seed) => contend(clients, schedule, seed)
          )
          const mean = (of: (trial: { readonly writes: number; readonly millis: number }) => number) =>
            trials.reduce((sum, trial) => sum + of(trial), 0) / trials.length
          near(mean((trial) => trial.writes), writes, 0.05 * writes, "writes")
          near(mean((trial) => trial.millis), millis, 0.15 * millis, "millis")
          const ours = `${Math.round(mean((trial) => trial.writes))}, ${thousands(mean((trial) => trial.millis))}`
          assert.strictEqual(onPage([name], clients === 50 ? 2 : 4), ours)
        }))
    }
  }
})
