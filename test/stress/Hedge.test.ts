/**
 * What a hedge does for latency, and what it costs, with tens of thousands of real calls on virtual time. Random, but the same each time.
 */
import { Hedge, Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as EffectRandom from "effect/Random"
import * as Random from "../support/random.js"
import * as VirtualTime from "../support/virtualTime.js"
import { assert, describe, it } from "../support/vitest.js"
import * as Watch from "../support/watch.js"

type Law = (random: () => number) => number

const uniform = (seed: number) => {
  const next = Random.make(seed)
  return () => (next(1 << 20) + 0.5) / (1 << 20)
}

const normal = (random: () => number) => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random())

/** Median 5 ms; 2 % of the attempts are stragglers of 50 to 500 ms. */
const stragglers: Law = (random) => random() < 0.02 ? 50 + 450 * random() : 5 * Math.exp(0.3 * normal(random))
const exponential: Law = (random) => -10 * Math.log(random())
/** Long tails: one attempt in a hundred takes more than twenty times the shortest. */
const pareto: Law = (random) => 4 * random() ** (-1 / 1.5)

const laws = { stragglers, exponential, pareto }

interface Outcome {
  /** What each call took, from the shortest. */
  readonly sorted: ReadonlyArray<number>
  readonly state: Hedge.State
  /** Extra legs beyond what the load promises, at the worst moment. */
  readonly excess: number
  /** The state before the service slowed down. */
  readonly before: Hedge.State
}

/** A call every 2 ms. From the middle of the run on, the service is `slower` times slower. */
const simulate = async (
  options: Hedge.Options | undefined,
  law: Law,
  { calls = 10_000, failing = 0, inPolicy = false, seed = 1, slower = 1 }: {
    readonly calls?: number
    readonly seed?: number
    readonly slower?: number
    /** Whether the hedge is in a policy, or a function around the attempt. */
    readonly inPolicy?: boolean
    /** The share of attempts that fail. */
    readonly failing?: number
  } = {}
): Promise<Outcome> => {
  const random = uniform(seed)
  const took: Array<number> = []
  const load = options?.load ?? 0.05
  const exit = await VirtualTime.run(Effect.gen(function*() {
    const clock = yield* Effect.clock
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
    const hedge = yield* Hedge.make(options ?? { after: "1 hour" })
    let factor = 1
    const answer = Effect.suspend(() => Effect.sleep(Duration.millis(factor * law(random))))
    const attempt = Effect.suspend(() => failing > 0 && random() < failing ? lost : answer)
    const call = options === undefined
      ? answer
      : inPolicy
      ? Effect.ignore(attempt.pipe(withRpcRetry({ hedge, idempotent: true, logs: false })))
      : Hedge.hedge(answer, hedge, { idempotent: true })
    let excess = -Infinity
    let before = yield* hedge.state
    const timed = Effect.suspend(() => {
      const start = now()
      return Effect.map(call, () => {
        took.push(now() - start)
      })
    })
    const fibers = []
    for (let i = 0; i < calls; i++) {
      if (i === calls / 2) {
        before = yield* hedge.state
        factor = slower
      }
      fibers.push(yield* Effect.fork(timed))
      yield* Effect.sleep("2 millis")
      const state = yield* hedge.state
      excess = Math.max(excess, state.extraLegs - load * state.calls)
    }
    yield* Fiber.joinAll(fibers)
    return { sorted: took.toSorted((a, b) => a - b), state: yield* hedge.state, excess, before }
  }))
  return Exit.getOrElse(exit, () => assert.fail("the simulation failed"))
}

const lost = Effect.fail(new Retryable({ reason: "ConnectionLost", delivery: "Unknown" }))

const percentile = ({ sorted }: Outcome, share: number): number => sorted[Math.floor(sorted.length * share)]!

const extraLoad = ({ state }: Outcome): number => state.extraLegs / state.calls

// tens of thousands of calls for each of a hundred runs: a busy machine takes its time
describe("a hedge in a simulated service", { timeout: 600_000 }, () => {
  it("makes the 99th percentile at least ten times lower, with 2 % of stragglers", async () => {
    const pairs = await Promise.all([1, 2, 3].map(async (seed) => ({
      alone: await simulate(undefined, stragglers, { seed }),
      hedged: await simulate({ after: Hedge.quantile(0.95) }, stragglers, { seed })
    })))
    for (const { alone, hedged } of pairs) {
      assert.isAbove(percentile(alone, 0.99), 10 * percentile(hedged, 0.99))
      assert.isAtMost(percentile(hedged, 0.5), 1.05 * percentile(alone, 0.5))
    }
  })

  it("does the same as the field of a policy", async () => {
    const alone = await simulate(undefined, stragglers)
    const outcomes = await Promise.all(
      [11, 12, 13].map((seed) =>
        simulate({ after: Hedge.quantile(0.95) }, stragglers, { inPolicy: true, seed, calls: 20_000 })
      )
    )
    for (const hedged of outcomes) {
      assert.isAbove(percentile(alone, 0.99), 10 * percentile(hedged, 0.99))
      assert.isAtMost(hedged.excess, 1e-6)
    }
    const mean = outcomes.reduce((sum, outcome) => sum + extraLoad(outcome), 0) / outcomes.length
    assert.approximately(mean, 0.05, 0.005)
  })

  it("as the field of a policy keeps what was promised when attempts fail, and when the service becomes slow", async () => {
    const outcome = await simulate({ after: Hedge.quantile(0.95), max: 3 }, stragglers, {
      inPolicy: true,
      failing: 0.1,
      slower: 10
    })
    assert.isAtMost(outcome.excess, 1e-6)
    assert.isAbove(outcome.state.extraLegs, 100)
  })

  /** A call every 2 ms of a service of such a law, which becomes slower in the middle of the run, by the policy of a layer. */
  const inService = async (law: Faults.Law, options: Hedge.Options | undefined, slower = 1) => {
    const took: Array<number> = []
    let excess = -Infinity
    let factor = 1
    const call = Effect.void.pipe(
      Faults.latency(Effect.map(law, (duration) => Duration.times(duration, factor))),
      withRpcRetry({ method: "Users.Get", logs: false })
    )
    const exit = await VirtualTime.run(
      Effect.gen(function*() {
        const hedge = yield* Hedge.make(options ?? { after: "1 hour" })
        const policy = options === undefined ? {} : { idempotent: true, hedge } as const
        yield* Effect.gen(function*() {
          const fibers = []
          for (let i = 0; i < 10_000; i++) {
            factor = i < 5_000 ? 1 : slower
            fibers.push(
              yield* Effect.fork(Effect.map(Effect.timed(call), ([duration]) => took.push(Duration.toMillis(duration))))
            )
            yield* Effect.sleep("2 millis")
            const { calls, extraLegs } = yield* hedge.state
            excess = Math.max(excess, extraLegs - (options?.load ?? 0.05) * calls)
          }
          yield* Fiber.joinAll(fibers)
        }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: policy, metrics: "off" })))
        const { calls, extraLegs } = yield* hedge.state
        return extraLegs / calls
      }).pipe(Effect.withRandom(EffectRandom.make("hedge")))
    )
    const sorted = took.toSorted((a, b) => a - b)
    return {
      p99: sorted[Math.floor(sorted.length * 0.99)]!,
      load: Exit.getOrElse(exit, () => assert.fail("the simulation failed")),
      excess
    }
  }

  it("in the policy of a layer makes the 99th percentile of Faults.stragglers ten times lower, within its load", async () => {
    const law = Faults.lognormal({ median: "5 millis" }).pipe(
      Faults.stragglers({ share: 0.02, shortest: "50 millis", longest: "500 millis" })
    )
    const alone = await inService(law, undefined)
    const hedged = await inService(law, { after: Hedge.quantile(0.95), load: 0.05 })
    assert.isAbove(alone.p99, 10 * hedged.p99)
    assert.approximately(hedged.load, 0.05, 0.005)
    assert.isAtMost(hedged.excess, 1e-6)
    const slower = await inService(law, { after: Hedge.quantile(0.95), load: 0.05 }, 10)
    assert.isAtMost(slower.excess, 1e-6)
  })

  for (const [form, inPolicy] of [["as a function", false], ["in a policy", true]] as const) {
    for (const [name, law] of Object.entries(laws)) {
      for (const load of [0.01, 0.02, 0.05]) {
        it(`${form} adds the load that was asked for, within a tenth: ${load * 100} %, ${name}`, async () => {
          // a run of this length has a few hundred stragglers, a number that by itself varies by a twentieth
          const calls = load < 0.02 ? 40_000 : 20_000
          const outcomes = await Promise.all(
            [11, 12, 13].map((seed) =>
              simulate({ after: Hedge.quantile(1 - load), load }, law, { seed, calls, inPolicy })
            )
          )
          const mean = outcomes.reduce((sum, outcome) => sum + extraLoad(outcome), 0) / outcomes.length
          assert.approximately(mean, load, load / 10)
          outcomes.forEach(({ excess }) => assert.isAtMost(excess, 1e-6))
        })
      }
    }
  }

  for (const share of [0.9, 0.95]) {
    it(`adds no more than the load when the quantile ${share} asks for more`, async () => {
      const outcome = await simulate({ after: Hedge.quantile(share), load: 0.02 }, stragglers)
      assert.approximately(extraLoad(outcome), 0.02, 0.002)
      assert.isAtMost(outcome.excess, 1e-6)
      assert.isAbove(outcome.state.refused, 0)
    })
  }

  for (const [form, inPolicy] of [["as a function", false], ["in a policy", true]] as const) {
    for (const [name, law] of Object.entries(laws)) {
      for (const load of [0.01, 0.02, 0.05]) {
        it(`${form} never adds more than ${load * 100} % when the service becomes ten times slower, ${name}`, async () => {
          const delays = [Hedge.quantile(1 - load), "20 millis"] as const
          const outcomes = await Promise.all(
            delays.map((after) => simulate({ after, load }, law, { slower: 10, inPolicy }))
          )
          for (const { before, excess, state } of outcomes) {
            assert.isAtMost(excess, 1e-6)
            // what was saved up before is at most twenty legs
            assert.isAtMost(state.extraLegs - before.extraLegs, load * (state.calls - before.calls) + 20)
          }
        })
      }
    }
  }

  it("estimates the quantile as if no loser had been cancelled", async () => {
    // of an exponential law with a mean of 10 ms, five in a hundred take longer than this
    const expected = -10 * Math.log(0.05)
    const exit = await VirtualTime.run(Effect.gen(function*() {
      const random = uniform(7)
      const hedge = yield* Hedge.make({ after: Hedge.quantile(0.95) })
      const call = Hedge.hedge(Effect.suspend(() => Effect.sleep(exponential(random))), hedge, { idempotent: true })
      yield* Effect.replicateEffect(call, 20_000)
      return Duration.toMillis(Option.getOrThrow(yield* hedge.delay()))
    }))
    assert.approximately(Exit.getOrElse(exit, () => 0), expected, expected / 20)
  })

  it("leaves no fiber and no timer after ten thousand calls", async () => {
    const random = uniform(3)
    let open = 0
    const exit = await VirtualTime.run(Effect.gen(function*() {
      const watch = yield* Watch.make
      const hedge = yield* Hedge.make({ after: "6 millis", max: 3, load: 1 })
      const attempt = Effect.acquireUseRelease(
        Effect.sync(() => open++),
        () => Effect.suspend(() => Effect.sleep(stragglers(random))),
        () => Effect.sync(() => open--)
      )
      const call = Hedge.hedge(attempt, hedge, { idempotent: true })
      yield* watch.watch(Effect.all(Array.from({ length: 10_000 }, () => call), { concurrency: 50, discard: true }))
      yield* Effect.yieldNow()
      return { fibers: yield* watch.fibers, timers: yield* watch.timers, state: yield* hedge.state }
    }))
    const left = Exit.getOrElse(exit, () => assert.fail("the calls failed"))
    assert.deepStrictEqual([left.fibers, left.timers, open], [0, 0, 0])
    assert.isAbove(left.state.extraLegs, 1000)
  })
})
