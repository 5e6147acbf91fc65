import {
  Bulkhead,
  CircuitBreaker,
  Hedge,
  type Retryable,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  type RpcError,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const retries = (n: number) => ({ schedule: Schedule.recurs(n) })

describe("RetryPolicy.describe and show", () => {
  const printed = (policy: RetryPolicy.RetryPolicy) => Effect.map(RetryPolicy.describe(policy), RetryPolicy.show)

  it.effect("the default", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* printed(RetryPolicy.default),
        `attempts        4 (3 retries)
delays          100ms, 150ms, 225ms
total wait      475ms
attempt timeout none
deadline        none
longest call    forever
load at worst   x4
retried         ConnectionRefused, ConnectionLost, AttemptTimeout, Unavailable,
                Throttled, Custom
not retried     Fatal, domain errors, defects`
      )
    }))

  it.effect("with jitter, timeouts, a budget, conditions", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make()
      const policy = RetryPolicy.make({
        schedule: RetrySchedule.exponential({ base: 200, factor: 2 }).pipe(
          RetrySchedule.equalJitter,
          RetrySchedule.retries(8)
        ),
        attemptTimeout: "500 millis",
        deadline: "1 minute",
        idempotent: false,
        retryIf: (error) => error.reason !== "Throttled",
        budget
      })
      const description = yield* RetryPolicy.describe(policy)
      assert.deepStrictEqual([description.attempts, description.retries, description.amplification], [9, 8, {
        withoutBudget: 9,
        withBudget: 1.1
      }])
      const text = RetryPolicy.show(description)
      assert.strictEqual(
        text,
        `attempts        9 (8 retries)
delays          100ms to 200ms, 200ms to 400ms, 400ms to 800ms, 500ms to 1s,
                500ms to 1s, 500ms to 1s, ...
total wait      3s 200ms to 6s 400ms
attempt timeout 500ms
deadline        1m
longest call    10s 900ms
load at worst   x1.1 lasting; x9 without the budget
retried         ConnectionRefused, ConnectionLost, AttemptTimeout, Unavailable,
                Custom, if not sent
not retried     Fatal, domain errors, defects, Throttled`
      )
      assert.isTrue(text.split("\n").every((line) => line.length <= 80))
    }))

  it.effect("a hedge has a row, and adds no attempts to those of the schedule", () =>
    Effect.gen(function*() {
      const options = { idempotent: true, hedge: { after: "50 millis", max: 3 } } as const
      const text = yield* printed(RetryPolicy.make(options))
      assert.include(text, "\nhedge           another attempt after 50ms, 3 in flight, adds 5 % at most")
      assert.include(text, "attempts        4 (3 retries)")
      assert.include(text, "load at worst   x4")
      const quantile = yield* RetryPolicy.describe(
        RetryPolicy.make({ idempotent: true, hedge: { after: Hedge.quantile(0.95), load: 0.02 } })
      )
      assert.deepStrictEqual(quantile.hedge, { after: { quantile: 0.95 }, max: 2, load: 0.02 })
      const merged = RetryPolicy.merge(RetryPolicy.make(options), RetryPolicy.make({ idempotent: false }))
      assert.isUndefined((yield* RetryPolicy.describe(merged)).hedge)
      assert.isUndefined((yield* RetryPolicy.describe(RetryPolicy.make({ hedge: "off" }))).hedge)
      const off = RetryPolicy.make({ hedge: "off", idempotent: true })
      assert.isUndefined((yield* RetryPolicy.describe(off)).hedge)
    }))

  it.effect("a breaker, a bulkhead and a throttle have a row each; \"off\" has none", () =>
    Effect.gen(function*() {
      const rows = (options: RetryPolicy.Options) =>
        Effect.map(
          printed(RetryPolicy.make(options)),
          (text) => text.split("\n").filter((line) => /^(breaker|bulkhead|throttle)/.test(line))
        )
      const policy = {
        breaker: yield* CircuitBreaker.make(),
        bulkhead: yield* Bulkhead.make({ concurrency: 20, queue: 100 }),
        throttle: yield* Throttle.make()
      }
      assert.deepStrictEqual(yield* rows(policy), [
        "breaker         opens at 50 % failed of at least 20 in 10s, for 5s to 6s 500ms",
        "bulkhead        20 in flight, 100 wait",
        "throttle        sends 2 for each accepted, over 2m"
      ])
      assert.deepStrictEqual(yield* rows({ breaker: "off", bulkhead: "off", throttle: "off" }), [])
      const rate = CircuitBreaker.rate({
        threshold: 0.125,
        window: CircuitBreaker.calls(50),
        minimumCalls: 10,
        slow: { longerThan: "2 seconds", threshold: 0.8 }
      })
      const other = {
        breaker: yield* CircuitBreaker.make({ trip: rate, jitter: 0 }),
        bulkhead: yield* Bulkhead.make({ concurrency: 20, queue: 0, adaptive: { floor: 3 } }),
        throttle: yield* Throttle.make({ k: 1.5, window: "10 seconds" })
      }
      const text = yield* printed(RetryPolicy.make(other))
      assert.include(
        text,
        `breaker         opens at 12.5 % failed, or 80 % slower than 2s, of at least 10
                of the last 50, for 5s
bulkhead        3 to 20 in flight, 0 wait
throttle        sends 1.5 for each accepted, over 10s`
      )
      assert.isTrue(text.split("\n").every((line) => line.length <= 80))
      const openFor = RetrySchedule.exponential({ base: "5 seconds", factor: 2, cap: "1 minute" })
      const backedOff = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(5), openFor, jitter: 0.5 })
      assert.deepStrictEqual(yield* rows({ breaker: backedOff }), [
        "breaker         opens after 5 failed in a row, for 5s to 1m 30s"
      ])
      const none = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(5), openFor: Schedule.stop })
      const { breaker } = yield* RetryPolicy.describe(RetryPolicy.make({ breaker: none }))
      assert.deepStrictEqual(breaker!.openFor, { shortest: Duration.millis(5000), longest: Duration.millis(6500) })
    }))

  it.effect("a deadline ends the retries, as it does in a call", () =>
    Effect.gen(function*() {
      const short = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make({ deadline: 200 }))
      const description = yield* RetryPolicy.describe(short)
      const { exit, took } = yield* play(withRpcRetry(Faults.refused, short))
      assert.strictEqual(description.attempts, exhaustedOf(exit).attempts)
      assert.strictEqual(Duration.toMillis(description.totalWait.longest), took)
      const forever = yield* printed(RetryPolicy.make({ schedule: RetrySchedule.exponential(), deadline: "2 seconds" }))
      assert.include(forever, "attempts        6 (5 retries)")
      assert.include(forever, "longest call    2s")
    }))

  it.effect("where the schedule chooses by the failure, the worst of the reasons", () =>
    Effect.gen(function*() {
      const schedule = RetrySchedule.byReason({
        Throttled: Schedule.spaced(10).pipe(Schedule.intersect(Schedule.recurs(7)))
      })
      const description = yield* RetryPolicy.describe(RetryPolicy.make({ schedule }))
      assert.deepStrictEqual([description.attempts, description.retried], [8, ["Throttled"]])
      assert.strictEqual(Duration.toMillis(description.totalWait.longest), 70)
    }))

  it.effect("none, without an end, and the many in between", () =>
    Effect.gen(function*() {
      for (const policy of [RetryPolicy.none, RetryPolicy.make({ retryIf: () => false })]) {
        const { amplification, attempts, delays, retried } = yield* RetryPolicy.describe(policy)
        assert.deepStrictEqual([attempts, delays, amplification.withoutBudget, retried], [1, [], 1, []])
      }
      const budget = yield* RetryBudget.make({ ratio: 1 })
      const { amplification } = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: Schedule.stop, budget }))
      assert.strictEqual(amplification.withBudget, 1)
      const forever = yield* printed(RetryPolicy.make({ schedule: RetrySchedule.exponential() }))
      assert.include(forever, "attempts        no limit")
      assert.include(forever, "delays          100ms, 150ms, 225ms, 337.5ms, 506.25ms, 759.38ms, ...")
      assert.include(forever, "longest call    forever")
      assert.include(forever, "load at worst   without bound")
      for (const n of [999, 1000]) {
        assert.strictEqual((yield* RetryPolicy.describe(RetryPolicy.make(retries(n)))).attempts, n + 1)
      }
    }))

  const millis = Duration.toMillis
  const spaced = (delay: number, n: number) => RetrySchedule.retries(Schedule.spaced(delay), n)
  const exponential = (n: number) => RetrySchedule.retries(RetrySchedule.exponential(), n)

  it.effect("of reasons with as many retries, the one that waits longest, wherever it stands", () =>
    Effect.gen(function*() {
      for (
        const [refused, throttled] of [[spaced(10, 2), spaced(20, 2)], [spaced(20, 2), spaced(10, 2)]] as const
      ) {
        const schedule = RetrySchedule.byReason({ ConnectionRefused: refused, Throttled: throttled })
        const { delays, totalWait } = yield* RetryPolicy.describe(RetryPolicy.make({ schedule }))
        assert.deepStrictEqual(delays.map(({ longest }) => millis(longest)), [20, 20])
        assert.strictEqual(millis(totalWait.longest), 40)
      }
      const more = RetrySchedule.byReason({ ConnectionRefused: spaced(10, 3), Throttled: spaced(1000, 2) })
      assert.strictEqual((yield* RetryPolicy.describe(RetryPolicy.make({ schedule: more }))).retries, 3)
      const jittered = RetrySchedule.byReason({
        ConnectionRefused: RetrySchedule.fullJitter(spaced(100, 2)),
        Throttled: spaced(10, 2)
      })
      const { totalWait } = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: jittered }))
      assert.deepStrictEqual([millis(totalWait.shortest), millis(totalWait.longest)], [0, 200])
    }))

  it.effect("a delay that ends at the deadline is not waited", () =>
    Effect.gen(function*() {
      for (const deadline of [249, 250, 251]) {
        const policy = RetryPolicy.make({ deadline, logs: false })
        const { attempts } = yield* RetryPolicy.describe(policy)
        const { exit } = yield* play(withRpcRetry(Faults.refused, policy))
        assert.strictEqual(attempts, exhaustedOf(exit).attempts)
        assert.strictEqual(attempts, deadline > 250 ? 3 : 2)
      }
    }))

  it.effect("the longest call is that of all timeouts and delays, unless the deadline ends it", () =>
    Effect.gen(function*() {
      const longest = (options: RetryPolicy.Options) =>
        Effect.map(RetryPolicy.describe(RetryPolicy.make(options)), ({ longestCall }) => millis(longestCall))
      assert.strictEqual(yield* longest({ attemptTimeout: 1000 }), 4 * 1000 + 475)
      assert.strictEqual(yield* longest({ attemptTimeout: 1000, deadline: 3000 }), 3000)
      assert.strictEqual(yield* longest({ deadline: 3000 }), 3000)
      const endless = RetrySchedule.exponential()
      assert.strictEqual(yield* longest({ schedule: endless, attemptTimeout: 1000 }), Infinity)
      assert.strictEqual(yield* longest({ schedule: endless }), Infinity)
    }))

  it.effect("what never ends waits for ever, and gives the first 1000 delays", () =>
    Effect.gen(function*() {
      const endless = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: Schedule.spaced(10) }))
      assert.deepStrictEqual([endless.retries, endless.attempts, endless.delays.length], [Infinity, Infinity, 1000])
      assert.deepStrictEqual(endless.totalWait, { shortest: Duration.infinity, longest: Duration.infinity })
      const bounded = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: spaced(10, 1000) }))
      assert.deepStrictEqual([bounded.retries, millis(bounded.totalWait.longest)], [1000, 10_000])
      const until = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: Schedule.spaced(1), deadline: 5000 }))
      assert.deepStrictEqual(until.totalWait, { shortest: Duration.seconds(5), longest: Duration.seconds(5) })
      const text = yield* printed(
        RetryPolicy.make({ schedule: Schedule.spaced(10), budget: yield* RetryBudget.make() })
      )
      assert.include(text, "load at worst   x1.1 lasting; without bound without the budget")
    }))

  it.effect("who is retried depends on retryIf, the schedule and the delivery", () =>
    Effect.gen(function*() {
      const schedule = RetrySchedule.byReason({ Throttled: spaced(10, 1), Custom: spaced(10, 1) })
      const policy = RetryPolicy.make({ schedule, retryIf: ({ reason }) => reason !== "Custom", idempotent: true })
      const { notRetried, onlyNotSent, retried } = yield* RetryPolicy.describe(policy)
      assert.deepStrictEqual(retried, ["Throttled"])
      assert.deepStrictEqual(notRetried, [
        "ConnectionRefused",
        "ConnectionLost",
        "AttemptTimeout",
        "Unavailable",
        "Custom"
      ])
      assert.isFalse(onlyNotSent)
      const unsent = RetrySchedule.standard.pipe(
        Schedule.whileInput(({ delivery }: Retryable) => delivery === "NotSent")
      )
      assert.strictEqual((yield* RetryPolicy.describe(RetryPolicy.make({ schedule: unsent }))).retries, 3)
      assert.isFalse((yield* RetryPolicy.describe(RetryPolicy.default)).onlyNotSent)
      const text = yield* printed(RetryPolicy.merge(RetryPolicy.none, RetryPolicy.make({ idempotent: false })))
      assert.include(text, "attempts        1 (0 retries)\ndelays          none\ntotal wait      0ms\n")
      assert.include(text, "retried         nothing, if not sent\n")
    }))

  it.effect("six delays are shown, and dots for more", () =>
    Effect.gen(function*() {
      const six = "delays          100ms, 150ms, 225ms, 337.5ms, 506.25ms, 759.38ms"
      const lines = (n: number) =>
        Effect.map(printed(RetryPolicy.make({ schedule: exponential(n) })), (text) => text.split("\n"))
      assert.strictEqual((yield* lines(6))[1], six)
      assert.strictEqual((yield* lines(7))[1], `${six}, ...`)
    }))

  it.effect("a line is as long as 80 characters, and no longer", () =>
    Effect.gen(function*() {
      const lines = (...refused: ReadonlyArray<RpcError.RetryableReason>) =>
        Effect.map(
          printed(RetryPolicy.make({ retryIf: ({ reason }) => !refused.includes(reason) })),
          (text) => text.split("\n").slice(8)
        )
      const line = "not retried     Fatal, domain errors, defects, ConnectionRefused, ConnectionLost"
      assert.strictEqual(line.length, 80)
      assert.deepStrictEqual(yield* lines("ConnectionRefused", "ConnectionLost"), [line])
      assert.deepStrictEqual(yield* lines("ConnectionRefused", "ConnectionLost", "Custom"), [
        "not retried     Fatal, domain errors, defects, ConnectionRefused,",
        "                ConnectionLost, Custom"
      ])
    }))

  it.effect("the openings of a breaker are those of its schedule, up to the twentieth, with its jitter", () =>
    Effect.gen(function*() {
      const openFor = (options: { readonly openFor: Schedule.Schedule<unknown>; readonly jitter: number }) =>
        Effect.gen(function*() {
          const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(5), ...options })
          const description = yield* RetryPolicy.describe(RetryPolicy.make({ breaker }))
          const { longest, shortest } = description.breaker!.openFor
          return [millis(shortest), millis(longest)]
        })
      assert.deepStrictEqual(yield* openFor({ openFor: Schedule.linear("1 seconds"), jitter: 0 }), [1000, 20_000])
      assert.deepStrictEqual(yield* openFor({ openFor: Schedule.linear("1 seconds"), jitter: 0.25 }), [1000, 25_000])
      const jittered = RetrySchedule.equalJitter(Schedule.spaced("10 seconds"))
      assert.deepStrictEqual(yield* openFor({ openFor: jittered, jitter: 0 }), [5000, 10_000])
      const shorter = Schedule.fromDelays("9 seconds", "1 seconds", "4 seconds")
      assert.deepStrictEqual(yield* openFor({ openFor: shorter, jitter: 0 }), [1000, 9000])
    }))

  it.effect("a breaker is described by the failures in a row, or by its rate", () =>
    Effect.gen(function*() {
      const described = (trip: CircuitBreaker.Trip) =>
        Effect.gen(function*() {
          const breaker = yield* CircuitBreaker.make({ trip })
          const { consecutive, rate } = (yield* RetryPolicy.describe(RetryPolicy.make({ breaker }))).breaker!
          return { consecutive, rate }
        })
      assert.deepStrictEqual(yield* described(CircuitBreaker.consecutive(7)), { consecutive: 7, rate: undefined })
      assert.deepStrictEqual(
        yield* described(CircuitBreaker.rate({ threshold: 0.5, window: "10 seconds", minimumCalls: 20 })),
        {
          consecutive: undefined,
          rate: { threshold: 0.5, slow: undefined, minimumCalls: 20, window: Duration.seconds(10) }
        }
      )
      assert.deepStrictEqual(
        yield* described(CircuitBreaker.rate({
          threshold: 0.5,
          window: CircuitBreaker.calls(50),
          minimumCalls: 20,
          slow: { longerThan: "2 seconds", threshold: 0.8 }
        })),
        {
          consecutive: undefined,
          rate: {
            threshold: 0.5,
            slow: { threshold: 0.8, longerThan: Duration.seconds(2) },
            minimumCalls: 20,
            window: 50
          }
        }
      )
    }))

  it.effect("a hedge adds no more than its legs, and is shown with its quantile", () =>
    Effect.gen(function*() {
      const hedge = { after: Hedge.quantile(0.95), load: 1, max: 2 }
      const policy = RetryPolicy.make({ idempotent: true, hedge })
      assert.strictEqual((yield* RetryPolicy.describe(policy)).hedge!.load, 1)
      assert.include(
        yield* printed(policy),
        "\nhedge           another attempt after quantile 0.95, 2 in flight, adds 100 % at\n                most"
      )
    }))

  it.effect("a bulkhead and a throttle are described in numbers", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 20, queue: 4, adaptive: { floor: 3 } })
      const throttle = yield* Throttle.make({ k: 3, window: "10 seconds" })
      const described = yield* RetryPolicy.describe(RetryPolicy.make({ bulkhead, throttle }))
      assert.deepStrictEqual(described.bulkhead, { floor: 3, ceiling: 20, queue: 4 })
      assert.deepStrictEqual(described.throttle, { k: 3, window: Duration.seconds(10) })
      const none = yield* RetryPolicy.describe(RetryPolicy.default)
      assert.deepStrictEqual([none.breaker, none.bulkhead, none.throttle, none.hedge], Array(4).fill(undefined))
    }))
})
