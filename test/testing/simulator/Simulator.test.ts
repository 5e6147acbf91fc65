import {
  CircuitBreaker,
  Deadline,
  Hedge,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { assert, describe, it } from "../../support/vitest.js"

const small: Simulator.Scenario = {
  name: "small",
  duration: "40 seconds",
  clients: 3,
  arrivals: { poisson: 12 },
  servers: { nodes: 2, service: { exponential: "40 millis" }, cancel: "queued" },
  network: { uniform: ["1 millis", "3 millis"] },
  faults: [{ kind: "restart", at: "5 seconds", for: "3 seconds" }]
}

const everything = Simulator.layer({
  default: { schedule: RetrySchedule.standard.pipe(RetrySchedule.fullJitter) },
  breaker: { trip: CircuitBreaker.consecutive(5) },
  throttle: { window: "10 seconds" },
  bulkhead: { concurrency: 5, queue: 10 }
})

const invalid = (scenario: object) => {
  const checked = Simulator.validate(scenario as Simulator.Scenario)
  assert(Either.isLeft(checked))
  return checked.left.message
}

describe("Simulator.run", () => {
  it.effect("gives the same bytes for the same seed, and others for another one", () =>
    Effect.gen(function*() {
      const run = (seed: number) => Effect.map(Simulator.run(everything, small, { seed }), (x) => JSON.stringify(x))
      assert.strictEqual(yield* run(7), yield* run(7))
      assert.notStrictEqual(yield* run(7), yield* run(8))
    }))

  it.effect("offers the same calls at the same instants to every policy", () =>
    Effect.gen(function*() {
      const offered = (policy: Simulator.Policy) =>
        Effect.map(Simulator.run(policy, small), ({ series }) => series.map(({ offered }) => offered))
      assert.deepStrictEqual(yield* offered(RetryPolicy.none), yield* offered(everything))
    }))

  it.effect("counts calls, attempts, answers and latencies where nothing goes wrong", () =>
    Effect.gen(function*() {
      const result = yield* Simulator.run(RetryPolicy.default, {
        name: "calm",
        duration: "10 seconds",
        arrivals: { constant: 10 },
        servers: { service: "20 millis" },
        network: "5 millis"
      })
      assert.deepInclude(result, {
        calls: 99,
        success: 1,
        amplification: 1,
        p50: 30,
        p99: 30,
        wasted: 0,
        recovery: null,
        failures: {},
        explained: 1
      })
      assert.deepInclude(result.series[5], { at: 5_000, offered: 10, attempts: 10, goodput: 10, p95: 30, budget: null })
    }))

  it.effect("shows budgets that drain and breakers that open in an outage, and that all is well later", () =>
    Effect.gen(function*() {
      const { explained, recovery, series } = yield* Simulator.run(
        Simulator.layer({
          budget: RetryBudget.make({ capacity: 10 }),
          breaker: { trip: CircuitBreaker.consecutive(5) }
        }),
        {
          ...small,
          duration: "70 seconds",
          faults: [{ kind: "outage", requests: "refused", at: "5 seconds", for: "10 seconds" }]
        }
      )
      assert.strictEqual(series[3]!.budget, 10)
      assert.strictEqual(series[3]!.open, 0)
      assert.isBelow(series[12]!.budget!, 8)
      assert.strictEqual(series[12]!.open, 1)
      assert.strictEqual(series[68]!.open, 0)
      assert.isNumber(recovery)
      assert.strictEqual(explained, 1)
    }))

  it.effect("gives each client a budget of its own when the policy is an effect, and all of them one when it is a value", () =>
    Effect.gen(function*() {
      const down: Simulator.Scenario = {
        ...small,
        clients: 10,
        faults: [{ kind: "outage", requests: "refused", at: 0, for: "40 seconds" }]
      }
      const make = RetryBudget.make({ capacity: 5, regainEvery: "1 hour" })
      const options = Effect.map(make, (budget): RetryPolicy.Options => ({ budget }))
      const own = yield* Simulator.run(options, down)
      const shared = yield* Simulator.run(yield* options, down)
      // 50 retries, and 5
      assert.approximately((own.amplification - 1) * own.calls, 50, 1)
      assert.approximately((shared.amplification - 1) * shared.calls, 5, 1)
    }))

  it.effect("frees what a client gives up only as far as the servers look at cancellations", () =>
    Effect.gen(function*() {
      const wasted = (cancel: "nothing" | "queued" | "all") =>
        Effect.map(
          Simulator.run(RetryPolicy.none, {
            name: "overload",
            duration: "60 seconds",
            arrivals: { poisson: 15 },
            servers: { service: "100 millis", cancel }
          }),
          (result) => result
        )
      const nothing = yield* wasted("nothing")
      const queued = yield* wasted("queued")
      const all = yield* wasted("all")
      assert.isAbove(nothing.wasted, 0.8)
      assert.isBelow(queued.wasted, 0.7)
      assert.strictEqual(all.wasted, 0)
      assert.isAbove(queued.goodput, 2 * nothing.goodput)
    }))

  it.effect("refuses what does not fit into the queue of a server", () =>
    Effect.gen(function*() {
      const { p99, success } = yield* Simulator.run(RetryPolicy.none, {
        name: "bounded",
        duration: "60 seconds",
        arrivals: { poisson: 20 },
        servers: { service: "100 millis", queue: 2 }
      })
      assert.approximately(success, 0.5, 0.03)
      // two before it, and its own
      assert.isAtMost(p99!, 300)
    }))

  it.effect("runs what stands around withRpcRetry: a hedge, a choice of servers, a loop of the caller's own", () =>
    Effect.gen(function*() {
      const slow: Simulator.Scenario = {
        ...small,
        faults: [{ kind: "slow", factor: 20, node: 0, at: 0, for: "40 seconds" }],
        arrivals: { poisson: 2 }
      }
      const plain = yield* Simulator.run(RetryPolicy.default, slow)
      const hedged = yield* Simulator.run(
        Simulator.client(Effect.map(Hedge.make({ after: "100 millis", load: 1 }), (hedge) => ({
          retrying: ({ call }) => call.pipe(Hedge.hedge(hedge, { idempotent: true }), withRpcRetry)
        }))),
        slow
      )
      const choosing = yield* Simulator.run(
        Simulator.client(Effect.succeed({ retrying: ({ nodes }) => withRpcRetry(nodes[1]!) })),
        slow
      )
      assert.isAbove(plain.p95!, 700)
      assert.isBelow(hedged.p50!, plain.p50! + 1)
      assert.isAbove(hedged.amplification, 1.2)
      assert.isBelow(choosing.p95!, 200)
      const retry = yield* Simulator.run(
        Simulator.client(Effect.succeed({
          retrying: ({ attemptTimeout, call }) =>
            call.pipe(Effect.timeout(attemptTimeout), Effect.retry({ schedule: Schedule.recurs(3) }))
        })),
        { ...small, faults: [{ kind: "errors", rate: 1, at: 0, for: "40 seconds" }] }
      )
      assert.strictEqual(retry.amplification, 4)
      assert.strictEqual(retry.explained, 0)
    }))

  it.effect("lets clients choose servers by Endpoints: a slow one gets fewer attempts, with hedges as without", () =>
    Effect.gen(function*() {
      const slow: Simulator.Scenario = {
        ...small,
        faults: [{ kind: "slow", factor: 20, node: 0, at: 0, for: "40 seconds" }],
        arrivals: { poisson: 10 }
      }
      const hedging: RpcRetry.LayerOptions = {
        default: { idempotent: true, hedge: { after: "150 millis", load: 0.1 } }
      }
      const random = yield* Simulator.run(Simulator.layer({}), slow)
      for (const options of [{}, hedging]) {
        const chosen = yield* Simulator.run(Simulator.layer(options, { endpoints: {} }), slow)
        assert.isAbove(chosen.success, random.success)
        assert.isBelow(chosen.p95!, random.p95!)
      }
      assert.throws(() => Simulator.layer({}, { endpoint: {} } as never), "did you mean endpoints?")
    }))

  it("refuses the options of a layer, of a policy and of endpoints when they are given, before anything runs", () => {
    assert.throws(
      () => Simulator.layer({ default: { deadline: -1 } }),
      "RpcRetry.layer: default.deadline must not be negative, got -1"
    )
    assert.throws(() => Simulator.layer({ budgt: "off" } as never), "did you mean budget?")
    assert.throws(() => Simulator.layer({ metrics: { maxMethods: 0 } }), "metrics.maxMethods")
    assert.throws(() => Simulator.layer({}, { endpoints: { pick: "any" as never } }), "Endpoints.make: pick must be")
    assert.throws(() => Simulator.run({ deadline: -1 }, small), "deadline must not be negative")
  })

  it.effect("has as many evenly spaced calls after a time of very few as before it", () =>
    Effect.gen(function*() {
      const { series } = yield* Simulator.run(RetryPolicy.none, {
        name: "few",
        duration: "10 seconds",
        arrivals: { constant: 10 },
        servers: { service: "1 millis" },
        faults: [{ kind: "load", factor: 0.001, at: "2 seconds", for: "3 seconds" }]
      })
      assert.deepStrictEqual(series.map(({ offered }) => offered), [9, 10, 1, 0, 0, 10, 10, 10, 10, 10])
    }))

  it.effect("dies, and does not hang, when retries go on without a delay and without an end", () =>
    Effect.gen(function*() {
      const down: Simulator.Scenario = {
        ...small,
        network: 0,
        faults: [{ kind: "outage", requests: "refused", at: 0, for: "10 seconds" }]
      }
      for (
        const policy of [
          { schedule: Schedule.forever },
          Simulator.client(Effect.succeed({ retrying: ({ call }) => Effect.retry(call, Schedule.forever) }))
        ]
      ) {
        const exit = yield* Effect.exit(Simulator.run(policy, down))
        assert.include(String(exit), "Die")
        assert.include(Cause.pretty(exit._tag === "Failure" ? exit.cause : Cause.empty), "retries without a delay")
      }
    }))

  it.effect("makes clients when they call: a hundred thousand of them do not hold up the program", () =>
    Effect.gen(function*() {
      let made = 0
      const counted = Simulator.client(Effect.sync(() => {
        made++
        return { retrying: ({ call }) => call }
      }))
      const { calls } = yield* Simulator.run(counted, { ...small, clients: 100_000, faults: [] })
      assert.isAtMost(made, calls)
    }))

  it.effect("gives the same bytes side by side, and after a run that was interrupted", () =>
    Effect.gen(function*() {
      const text = (policy: Simulator.Policy) => Effect.map(Simulator.run(policy, small), (x) => JSON.stringify(x))
      const choosing = Simulator.layer({ default: { idempotent: true, hedge: { after: "100 millis", load: 0.2 } } }, {
        endpoints: {}
      })
      const alone = [yield* text(everything), yield* text(choosing)]
      yield* Effect.timeoutOption(text(everything), 0)
      const together = yield* Effect.all([text(everything), text(choosing), text(everything)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(together, [...alone, alone[0]!])
    }))

  it.effect("ends calls that a caller has no patience for", () =>
    Effect.gen(function*() {
      const { failures } = yield* Simulator.run(RetryPolicy.default, {
        ...small,
        patience: "1500 millis",
        faults: [{ kind: "outage", requests: "lost", at: "10 seconds", for: "5 seconds" }]
      })
      assert.isAbove(failures["Abandoned"]!, 30)
    }))

  it.effect("does not see the layer, the deadline or the clock of the program that simulates", () =>
    Effect.gen(function*() {
      const run = Effect.map(Simulator.run(RetryPolicy.default, small), (result) => JSON.stringify(result))
      assert.strictEqual(
        yield* run.pipe(
          Deadline.within("1 millis"),
          Effect.provide(RpcRetry.layer({ default: { schedule: Schedule.stop } }))
        ),
        yield* run
      )
    }))

  it.live("says how far it is, and can be interrupted", () =>
    Effect.gen(function*() {
      const seen: Array<Simulator.Progress> = []
      const fiber = yield* Effect.fork(
        Simulator.run(everything, { ...small, duration: "30 days" }, {
          onProgress: (progress) => Effect.sync(() => seen.push(progress))
        })
      )
      yield* Effect.iterate(0, {
        while: () => seen.length < 3,
        body: () => Effect.as(Effect.sleep("5 millis"), 0)
      })
      yield* Fiber.interrupt(fiber)
      assert.isTrue(seen.every(({ at, of }, i) => at > (seen[i - 1]?.at ?? 0) && of === 30 * 86_400_000))
    }))

  it.effect("dies with the defect of a call: a mistake in what is simulated is not counted as a failure", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Simulator.run(Simulator.client(Effect.succeed({ retrying: () => Effect.dieMessage("mistake") })), small)
      )
      assert.include(String(exit), "mistake")
    }))

  it("names the field of a scenario that is wrong", () => {
    const message = invalid({ ...small, servers: { ...small.servers, cancel: "some" } })
    assert.strictEqual(message, `Simulator: servers.cancel must be "nothing" or "queued" or "all", got "some"`)
    assert.include(invalid({ ...small, arivals: {} }), "did you mean arrivals?")
    assert.include(invalid({ ...small, arrivals: { poisson: 0 } }), "arrivals.poisson")
    assert.include(invalid({ ...small, arrivals: { closed: { workers: 0, pause: 1 } } }), "arrivals.closed.workers")
    assert.include(
      invalid({ ...small, arrivals: { trace: [{ at: 5 }, { at: 4 }] } }),
      "arrivals.trace[1].at must not be before"
    )
    assert.include(
      invalid({ ...small, servers: { service: { normal: { mean: 1 } } } }),
      "servers.service.normal.deviation"
    )
    assert.include(invalid({ ...small, servers: { service: { lognormal: { median: 1, sigma: -1 } } } }), "sigma")
    assert.include(
      invalid({ ...small, servers: { service: { poisson: 1 } } }),
      "servers.service.poisson is not an option"
    )
    assert.include(invalid({ ...small, faults: [{ kind: "slow", at: 0, for: 1, factor: 0 }] }), "faults[0].factor")
    assert.include(invalid({ ...small, faults: [{ kind: "slwo", at: 0, for: 1 }] }), "faults[0].kind")
    assert.include(invalid({ ...small, faults: [{ kind: "restart", node: 2, at: 0, for: 1 }] }), "faults[0].node")
    // it would never happen, and the recovery from it would never come
    const late = { kind: "restart", at: small.duration, for: 1 } as const
    assert.include(invalid({ ...small, faults: [late] }), "faults[0].at must be before the end")
    assert.include(invalid({ ...small, faults: {} }), "faults must be a list")
    const many = Array.from({ length: 200_000 }, () => ({ kind: "restart", at: 0, for: 1 }))
    assert.include(invalid({ ...small, faults: many }), "faults must be at most 1000, got 200000")
    assert.include(invalid({ ...small, arrivals: { trace: {} } }), "arrivals.trace must be a list of calls")
    assert.include(invalid({ ...small, arrivals: { trace: [null] } }), "arrivals.trace[0] must be an object")
    for (const at of [-1e308, 1e308, Number.NaN, "5"]) {
      assert.include(
        invalid({ ...small, arrivals: { trace: [{ at }] } }),
        "arrivals.trace[0].at must be a number from 0"
      )
    }
    assert.include(invalid({ ...small, arrivals: { trace: [{ at: 0, method: 5 }] } }), "arrivals.trace[0].method")
    assert.include(invalid({ ...small, duration: "400 days" }), "duration must be at most 31 days")
    assert.include(invalid({ ...small, network: { uniform: [5, 1] } }), "network.uniform must have the least first")
    assert.include(invalid({ ...small, network: { uniform: [5] } }), "network.uniform must be a list of the least")
    assert.include(
      invalid({ ...small, faults: [{ kind: "load", factor: 1e5, at: 0, for: 1 }] }),
      "faults must not add up to more than 1000000 calls per second"
    )
    assert.isBelow(invalid({ ...small, name: Array.from({ length: 1e5 }, () => "x") }).length, 200)
    assert.include(invalid({ ...small, warmUp: "40 seconds" }), "warmUp must be shorter than the duration")
    assert.throws(() => Simulator.run(RetryPolicy.none, { ...small, clients: 0 }), "clients")
    assert.throws(() => Simulator.run(RetryPolicy.none, small, { seed: -1 }), "seed")
  })

  it("has scenarios that are valid, each with a fault that ends", () => {
    for (const scenario of Object.values(Simulator.scenarios)) {
      assert(Either.isRight(Simulator.validate(scenario)))
      assert.isAbove(scenario.faults!.length, 0)
    }
  })
})

const storm: Simulator.Scenario = {
  ...Simulator.scenarios.outage,
  duration: "90 seconds",
  clients: 2,
  arrivals: { poisson: 9 },
  servers: { service: 1000 / 20 }
}

describe("Simulator.assertRecovers", () => {
  it.effect("passes a layer, and fails when a change takes its budget away", () =>
    Effect.gen(function*() {
      yield* Simulator.assertRecovers(Simulator.layer({}), storm, {
        within: "40 seconds",
        failIf: ["amplification > 1.2"]
      })
      const error = yield* Effect.flip(Simulator.assertRecovers(Simulator.layer({ budget: "off" }), storm, {
        failIf: ["amplification > 1.2"]
      }))
      assert.strictEqual(error._tag, "NotRecovered")
      assert.match(
        error.message,
        /^outage: the system never recovers; amplification is 3\.\d+, and must not be > 1\.2\n/
      )
      assert.include(error.message, "per second:")
    }))

  it.effect("fails a recovery that takes too long", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Simulator.assertRecovers(Simulator.layer({}), storm, { within: "1 seconds" }))
      assert.match(error.message, /^outage: the system recovers after \d+s/)
    }))

  it("refuses a scenario without a fault, one that ends too soon after it, and bounds that it cannot read", () => {
    assert.throws(
      () => Simulator.assertRecovers(RetryPolicy.none, { ...small, duration: "32 seconds" }),
      "Simulator.assertRecovers: duration must end at least 25 seconds after the last fault, to show a recovery"
    )
    assert.throws(() => Simulator.assertRecovers(RetryPolicy.none, small, { failIf: ["success < 95"] }), "from 0 to 1")
    assert.throws(() => Simulator.assertRecovers(RetryPolicy.none, { ...small, faults: [] }), "faults must have one")
    assert.throws(
      () => Simulator.assertRecovers(RetryPolicy.none, small, { failIf: ["recvery > 1s"] }),
      "names no metric, did you mean recovery?; there are recovery, amplification,"
    )
    assert.throws(() => Simulator.assertRecovers(RetryPolicy.none, small, { failIf: ["recovery > 60"] }), "a duration")
    assert.throws(() => Simulator.assertRecovers(RetryPolicy.none, small, { failIf: ["success < many"] }), "a share")
    assert.throws(() => Simulator.assertRecovers(RetryPolicy.none, small, { failIf: ["headroom < 5"] }), "headroom")
    assert.throws(() => Simulator.assertRecovers(RetryPolicy.none, small, { failIf: ["constructor > 1"] }), "no metric")
  })
})

describe("Simulator.headroom", () => {
  it.effect("finds that the load at which retries recover is far below that of no retries", () =>
    Effect.gen(function*() {
      // with fewer calls chance alone breaks a recovery
      const scenario: Simulator.Scenario = {
        ...storm,
        duration: "70 seconds",
        arrivals: { poisson: 14 },
        servers: { service: 1000 / 30 }
      }
      const none = yield* Simulator.headroom(RetryPolicy.none, scenario)
      const retries = yield* Simulator.headroom(RetryPolicy.default, scenario)
      assert.deepInclude(none, { capacity: 30, of: 14 })
      assert.isAbove(none.load, 18)
      assert.isBelow(retries.load, 12)
    }))
})

describe("Simulator.trace", () => {
  const line = (event: object) => JSON.stringify(event)
  const text = [
    line({ _tag: "AttemptStarted", call: 1, method: "Users.Get", attempt: 1, at: 1_000_500 }),
    line({ _tag: "AttemptStarted", call: 1, method: "Users.Get", attempt: 2, at: 1_000_700 }),
    "",
    line({ _tag: "CallFailed", attempts: 0, elapsed: { _id: "Duration", _tag: "Millis", millis: 30 }, at: 1_000_430 }),
    line({ _tag: "CallFailed", attempts: 2, at: 1_000_800 })
  ].join("\n")

  it.effect("replays the calls of recorded events, with their methods", () =>
    Effect.gen(function*() {
      const calls = yield* Simulator.trace(text)
      assert.deepStrictEqual(calls, [{ at: 0 }, { at: 100, method: "Users.Get" }])
      const result = yield* Simulator.run(Simulator.layer({ methods: { "Users.*": "off" } }), {
        name: "replay",
        duration: "3 seconds",
        arrivals: { trace: calls },
        servers: { service: "10 millis" },
        faults: [{ kind: "errors", rate: 1, at: 0, for: "3 seconds" }]
      })
      // four attempts of the call without a policy of its own, one of the other
      assert.strictEqual(result.amplification, 2.5)
    }))

  it.effect("reads the ends of lines and the mark at the start that Windows writes", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* Simulator.trace(`\uFEFF${text.replaceAll("\n", "\r\n")}\r\n`),
        yield* Simulator.trace(text)
      )
    }))

  it("names the line that is no event", () => {
    const problem = (text: string) => String(Either.flip(Simulator.trace(text)).pipe(Either.getOrThrow))
    assert.include(problem(`${text}\n{`), "line 6 is not JSON")
    assert.include(problem("5"), "line 1 must be an event")
    assert.include(problem(""), "must hold the start of a call")
  })
})
