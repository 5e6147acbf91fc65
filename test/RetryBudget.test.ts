import { Fatal, InvalidOption, Retryable, RetryBudget, type RpcError, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as Call from "../src/internal/call/call.js"
import { exhaustedOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}

const fatal = new Fatal({ reason: "ServerError", message: "no" })
const unavailable = new Retryable({ reason: "Unavailable", delivery: "Unknown" })

/** As many retries as the budget allows, without delays. */
const always = Schedule.recurs(1000)

const calls = (budget: RetryBudget.RetryBudget) => withRpcRetry({ schedule: always, budget })

describe("RetryBudget.make", () => {
  it.effect("starts full; a retry costs 1, an answer earns 0.1", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10 })
      assert.strictEqual(yield* budget.level, 10)
      const call = yield* Faults.script([Faults.reset, Faults.reset, Faults.reset, Effect.void])
      yield* calls(budget)(call)
      assert.strictEqual(yield* budget.level, 7.1)
      yield* calls(budget)(call)
      assert.strictEqual(yield* budget.level, 7.2)
    }))

  it.effect("a drained budget really refuses: at once, before the delay, with the error of the attempt", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 2 })
      const call = yield* Faults.script([Faults.refused])
      const { exit, took } = yield* play(
        withRpcRetry(call, { schedule: Schedule.spaced("1 second"), budget, method: "A.B" })
      )
      const error = exhaustedOf(exit)
      assert.strictEqual(took, 2000)
      assert.deepStrictEqual([error.reason, error.attempts, error.last.code], ["BudgetExhausted", 3, "ECONNREFUSED"])
      assert.deepStrictEqual(error.history.map((attempt) => attempt.delay && Duration.toMillis(attempt.delay)), [
        1000,
        1000,
        undefined
      ])
    }))

  it.effect("first attempts are always made", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 1 })
      const call = yield* Faults.script([Faults.refused])
      yield* Effect.replicateEffect(Effect.ignore(calls(budget)(call)), 50)
      assert.strictEqual(yield* call.attempts, 51)
    }))

  it.effect("a drained budget really recovers: ten answers, exactly, are a retry", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10 })
      yield* Effect.ignore(calls(budget)(Faults.refused))
      assert.strictEqual(yield* budget.level, 0)
      const failOnce = Effect.map(Faults.script([Faults.reset, Effect.void]), calls(budget))
      yield* Effect.replicateEffect(calls(budget)(Effect.void), 9)
      assert.strictEqual((yield* Effect.flip(Effect.flatten(failOnce)))._tag, "RetryExhausted")
      yield* calls(budget)(Effect.void)
      assert.strictEqual(yield* budget.level, 1)
      yield* Effect.flatten(failOnce)
    }))

  it.effect("recovers by time for one client that calls rarely", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10 })
      yield* Effect.ignore(calls(budget)(Faults.refused))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* budget.level, 0.5)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* budget.level, 1)
      const call = yield* Faults.script([Faults.reset, Effect.succeed("ok")])
      assert.strictEqual(yield* calls(budget)(call), "ok")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* budget.level, 10)
      // and no more than that
      yield* TestClock.adjust("1 hour")
      yield* Effect.ignore(calls(budget)(Faults.refused))
      assert.strictEqual(yield* budget.level, 0)
    }))

  it.effect("Fatal neither costs nor earns; a domain error earns, for it is an answer", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 2 })
      yield* Effect.ignore(calls(budget)(Faults.refused))
      yield* Effect.replicateEffect(Effect.ignore(calls(budget)(Effect.fail(fatal))), 20)
      assert.strictEqual(yield* budget.level, 0)
      yield* Effect.replicateEffect(Effect.ignore(calls(budget)(new UserNotFound())), 3)
      assert.strictEqual(yield* budget.level, 0.3)
      yield* Effect.ignore(Effect.sandbox(calls(budget)(Effect.die("boom"))))
      assert.strictEqual(yield* budget.level, 0.3)
    }))

  it.effect("what a call inside gave up with is no answer: nested retries do not feed the budget they drain", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({ default: { schedule: Schedule.recurs(3) } })
      yield* Effect.forEach([1, 2, 3], (layers) =>
        Effect.gen(function*() {
          const call = yield* Faults.script([Faults.refused])
          let nested: Effect.Effect<never, Retryable | RpcError.RpcError> = call
          for (let i = 0; i < layers; i++) {
            nested = nested.pipe(withRpcRetry({ method: "A.B" }))
          }
          yield* Effect.replicateEffect(Effect.ignore(nested), 20)
          const before = yield* call.attempts
          yield* Effect.replicateEffect(Effect.ignore(nested), 100)
          assert.strictEqual((yield* call.attempts) - before, 100, `${layers} layers`)
        }).pipe(Effect.provide(layer)))
    }))

  it.effect("an answer that came after its attempt had timed out earns nothing", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.aws2026()
      const late = Effect.delay(Effect.void, 100)
      const call = Effect.uninterruptible(
        withRpcRetry(late, { attemptTimeout: 40, schedule: Schedule.recurs(1), budget })
      )
      const { exit } = yield* play(call)
      assert.strictEqual(exhaustedOf(exit).reason, "AttemptsExhausted")
      assert.strictEqual(yield* budget.level, 500 - 14)
    }))

  it.effect("levels are exact: three thirds are one, small gains count, the clock may be set back", () =>
    Effect.gen(function*() {
      const thirds = yield* RetryBudget.make({ ratio: 1 / 3, capacity: 1 })
      yield* Effect.ignore(calls(thirds)(Faults.refused))
      yield* Effect.replicateEffect(calls(thirds)(Effect.void), 3)
      const call = yield* Faults.script([Faults.refused, Effect.succeed("ok")])
      assert.strictEqual(yield* calls(thirds)(call), "ok")
      const slow = yield* RetryBudget.make({ regainEvery: "30 days", capacity: 1 })
      yield* Effect.ignore(calls(slow)(Faults.refused))
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("1 days")
        yield* slow.level
        yield* slow.level
      }
      assert.approximately(yield* slow.level, 1 / 3, 1e-6)
      yield* TestClock.setTime(0)
      yield* slow.level
      yield* TestClock.adjust("15 days")
      assert.approximately(yield* slow.level, 1 / 3 + 1 / 2, 1e-6)
    }))

  it.effect("an interruption in the delay pays back the retry that was not made, and no other", () =>
    Effect.gen(function*() {
      // attempts at 0, 110, 270, 505; delays in between
      for (const [at, level] of [[5, 10], [50, 10], [115, 9], [200, 9], [275, 8], [400, 8], [510, 7]] as const) {
        const budget = yield* RetryBudget.make({ capacity: 10, regainEvery: "10000 days" })
        const fiber = yield* Effect.fork(withRpcRetry(Effect.delay(Faults.refused, 10), { budget }))
        yield* TestClock.adjust(at)
        yield* Fiber.interrupt(fiber)
        assert.approximately(yield* budget.level, level, 1e-6, `interrupted at ${at}`)
      }
    }))

  it.effect("a retry that the deadline rules out is paid back", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10 })
      const { exit } = yield* play(withRpcRetry(Faults.refused, { budget, deadline: "120 millis" }))
      assert.strictEqual(exhaustedOf(exit).reason, "DeadlineTooClose")
      // one retry was made; ten minutes have passed since
      assert.isAtLeast(yield* budget.level, 9)
      const fresh = yield* RetryBudget.make({ capacity: 10 })
      yield* Effect.ignore(withRpcRetry(Faults.refused, { budget: fresh, deadline: "50 millis" }))
      assert.strictEqual(yield* fresh.level, 10)
    }))

  it.effect("costs may differ by error; throttling may cost less", () =>
    Effect.gen(function*() {
      const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })
      const budget = yield* RetryBudget.make({ capacity: 10, cost: (error) => error.reason === "Throttled" ? 0.25 : 2 })
      const call = yield* Faults.script([Effect.fail(throttled), Faults.refused, Effect.void])
      yield* calls(budget)(call)
      assert.strictEqual(yield* budget.level, 10 - 0.25 - 2 + 0.1)
    }))

  it.effect("a cost that is no number is said, and takes nothing", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10, cost: () => NaN })
      const exit = yield* Effect.exit(calls(budget)(Faults.refused))
      assert.include(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        "RetryBudget.make: cost of ConnectionRefused must be a number of at least 0, got NaN"
      )
      assert.strictEqual(yield* budget.level, 10)
    }))

  it.effect("a retry that was paid for is paid back once, however often that is asked", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10, ratio: 0 })
      yield* Effect.exit(withRpcRetry(Faults.refused, { budget, schedule: Schedule.recurs(5) }))
      assert.strictEqual(yield* budget.level, 5)
      const clock = yield* Effect.clock
      const call = { isRetryPending: true, retryCost: 1, budget: budget.account, clock } as Call.Call
      Call.refund(call)
      Call.refund(call)
      assert.strictEqual(yield* budget.level, 6)
    }))

  it.effect("says how many retries for each call it allows lastingly, as far as that is known", () =>
    Effect.gen(function*() {
      const budgets = yield* Effect.all([
        RetryBudget.make(),
        RetryBudget.make({ ratio: 0.2, cost: 2 }),
        RetryBudget.make({ cost: () => 1 }),
        RetryBudget.grpc({ maxTokens: 10, tokenRatio: 0.5 }),
        RetryBudget.aws2026()
      ])
      assert.deepStrictEqual(budgets.map(({ sustained }) => sustained), [0.1, 0.1, Infinity, 0.5, Infinity])
      assert.strictEqual(RetryBudget.unlimited.sustained, Infinity)
    }))

  it("refuses options that are none", () => {
    const refuses = (options: RetryBudget.Options, message: string) =>
      assert.throws(() => RetryBudget.make(options), InvalidOption, `RetryBudget.make: ${message}`)
    refuses({ ratio: -0.1 }, "ratio must be a number from 0 to 1, got -0.1")
    refuses({ ratio: NaN }, "ratio must be a number from 0 to 1, got NaN")
    refuses({ capacity: 0 }, "capacity must be a number from 1 to 1000000000, got 0")
    refuses({ capacity: Infinity }, "capacity must be a number from 1 to 1000000000, got Infinity")
    refuses({ cost: 0 }, "cost must be")
    refuses({ capacity: 10, cost: 11 }, "cost must be")
    refuses({ capacity: "trafic" as "traffic" }, "capacity must be a number or \"traffic\", got trafic")
    refuses({ regainEvery: 0 }, "regainEvery must be greater than zero, got 0")
  })

  it.effect("unlimited allows everything, in a layer too", () =>
    Effect.gen(function*() {
      const call = withRpcRetry(Faults.refused, { schedule: always })
      const attempts = (self: typeof call) =>
        Effect.map(Effect.flip(self), (error) => "attempts" in error && error.attempts)
      const layer = RpcRetry.layer({ methods: { "*": { budget: RetryBudget.unlimited } } })
      assert.strictEqual(yield* attempts(call).pipe(Effect.provide(layer)), 1001)
      assert.strictEqual(yield* attempts(call).pipe(Effect.provide(RpcRetry.layer())), 4)
      assert.strictEqual(yield* attempts(call).pipe(Effect.provide(RpcRetry.layer({ budget: "off" }))), 1001)
      assert.strictEqual(yield* attempts(call), 1001)
    }))

  it.effect("unlimited is always full", () =>
    Effect.gen(function*() {
      yield* Effect.ignore(withRpcRetry(Faults.refused, { schedule: always, budget: RetryBudget.unlimited }))
      assert.strictEqual(yield* RetryBudget.unlimited.level, Infinity)
      assert.strictEqual(RetryBudget.unlimited.account.left(0), 1)
    }))
})

describe("RetryBudget.make with a capacity that follows the traffic, the default", () => {
  const shown = (budget: RetryBudget.RetryBudget) =>
    Effect.map(budget.level, (level) => [level, budget.capacity].map((n) => Math.round(n * 1000) / 1000))
  const answers = (budget: RetryBudget.RetryBudget, n: number) => Effect.replicateEffect(calls(budget)(Effect.void), n)

  it.effect("a client that was never answered has the retries of one call; the first answer shows how small it is", () =>
    Effect.gen(function*() {
      for (const budget of yield* Effect.all([RetryBudget.make(), RetryBudget.make({ capacity: "traffic" })])) {
        assert.deepStrictEqual(yield* shown(budget), [3, 3])
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* shown(budget), [3, 3])
        yield* answers(budget, 1)
        assert.deepStrictEqual(yield* shown(budget), [1.5, 1.5])
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* shown(budget), [1, 1])
      }
    }))

  it.effect("grows with the answers of ten seconds, as full as it is greater than ever before, and fades with them", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ regainEvery: "10000 days" })
      yield* answers(budget, 100)
      assert.deepStrictEqual(yield* shown(budget), [51, 51])
      yield* Effect.ignore(calls(budget)(Faults.refused))
      assert.deepStrictEqual(yield* shown(budget), [0, 51])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* shown(budget), [0, 1 + Math.round(50_000 / Math.E) / 1000])
      // back to what it was, it is not filled again: what is earned is a tenth
      yield* answers(budget, 60)
      assert.deepStrictEqual(yield* shown(budget), [6, Math.round((31 + 50 / Math.E) * 1000) / 1000])
      // but what is beyond that is
      yield* answers(budget, 100)
      const capacity = 81 + 50 / Math.E
      assert.deepStrictEqual(
        yield* shown(budget),
        [16 + capacity - 51, capacity].map((n) => Math.round(n * 1000) / 1000)
      )
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* shown(budget), [1, 1])
    }))

  it("property: its retries are bounded by its greatest capacity, what answers earn, and the time", () => {
    const step = FastCheck.record({
      after: FastCheck.constantFrom(0, 1, 50, 1_000, 20_000, 600_000),
      answers: FastCheck.integer({ min: 0, max: 40 }),
      failures: FastCheck.integer({ min: 0, max: 40 })
    })
    FastCheck.assert(FastCheck.property(FastCheck.array(step, { maxLength: 40 }), (steps) => {
      const { account } = Effect.runSync(RetryBudget.make())
      let [now, answers, retries, greatest] = [0, 0, 0, account.capacity]
      for (const step of steps) {
        now += step.after
        for (let i = 0; i < step.answers; i++) {
          account.succeeded(now, 0)
          greatest = Math.max(greatest, account.capacity)
        }
        for (let i = 0; i < step.failures; i++) {
          retries += account.withdraw(now, unavailable) ?? 0
        }
        answers += step.answers
        assert.isTrue(account.level(now) >= 0 && account.level(now) <= account.capacity)
        assert.isAtMost(retries, greatest + 0.1 * answers + now / 120_000 + 1e-6)
      }
    }))
  })

  it.effect("holds 10,000 at most", () =>
    Effect.gen(function*() {
      const { account } = yield* RetryBudget.make()
      for (let i = 0; i < 30_000; i++) {
        account.succeeded(0, 0)
      }
      assert.deepStrictEqual([account.level(0), account.capacity], [10_000, 10_000])
    }))

  it.effect("a cost above 1 makes it greater, so that there is a retry at all; one below does not make it smaller", () =>
    Effect.gen(function*() {
      const dear = yield* RetryBudget.make({ cost: 5 })
      assert.deepStrictEqual(yield* shown(dear), [15, 15])
      yield* answers(dear, 2)
      assert.deepStrictEqual(yield* shown(dear), [7.6, 10])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* shown(dear), [5, 5])
      for (const cost of [0.5, () => 5]) {
        const other = yield* RetryBudget.make({ cost })
        assert.deepStrictEqual(yield* shown(other), [3, 3])
      }
    }))

  it.effect("a clock that is set back neither fades nor fills it", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const budget = yield* RetryBudget.make()
      yield* answers(budget, 20)
      yield* TestClock.setTime(0)
      assert.deepStrictEqual(yield* shown(budget), [11, 11])
    }))

  it.effect("200 callers come through a restart of the server under a layer", () =>
    Effect.gen(function*() {
      let down = false
      const inFlight = Effect.unsafeMakeLatch(true)
      const call = inFlight.await.pipe(
        Effect.zipRight(Effect.suspend((): Effect.Effect<void, Retryable> => down ? Faults.reset : Effect.void)),
        withRpcRetry({ method: "Users.Get" })
      )
      // a second of their traffic
      yield* Effect.replicateEffect(call, 1000)
      yield* inFlight.close
      const callers = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.fork(Effect.either(call)))
      yield* TestClock.adjust(0)
      down = true
      yield* inFlight.open
      yield* TestClock.adjust(240)
      down = false
      yield* TestClock.adjust(1000)
      const gaveUp = (yield* Fiber.join(Fiber.all(callers))).filter(Either.isLeft)
      assert.strictEqual(gaveUp.length, 0)
    }).pipe(Effect.provide(RpcRetry.layer({ metrics: "off" }))))
})

describe("RetryBudget.grpc, as gRPC's own tests of throttling have it", () => {
  const setup = Effect.gen(function*() {
    const budget = yield* RetryBudget.grpc({ maxTokens: 10, tokenRatio: 0.5 })
    let failures = 0
    let attempts = 0
    const attempt = Effect.suspend(() => {
      attempts++
      return failures-- > 0 ? Effect.fail(unavailable) : Effect.succeed("ok")
    })
    // as grpc-go's test: up to 4 attempts a call
    const call = attempt.pipe(withRpcRetry({ schedule: Schedule.recurs(3), budget }))
    return {
      budget,
      /** The next call fails so often: whether it succeeds in the end, in how many attempts, and the level after it. */
      fails: (n: number) =>
        Effect.gen(function*() {
          failures = n
          attempts = 0
          const exit = yield* Effect.exit(call)
          return [exit._tag === "Success" ? "ok" : exhaustedOf(exit).reason, attempts, yield* budget.level]
        })
    }
  })

  it.effect("the level of gRPC's worked example, call by call", () =>
    Effect.gen(function*() {
      const { budget, fails } = yield* setup
      assert.strictEqual(yield* budget.level, 10)
      assert.deepStrictEqual(yield* fails(0), ["ok", 1, 10])
      assert.deepStrictEqual(yield* fails(2), ["ok", 3, 8.5])
      assert.deepStrictEqual(yield* fails(2), ["ok", 3, 7])
      assert.deepStrictEqual(yield* fails(4), ["BudgetExhausted", 2, 5])
      // case 43: at the threshold a failure is not retried, and the level still falls
      assert.deepStrictEqual(yield* fails(4), ["BudgetExhausted", 1, 4])
      for (const level of [4.5, 5, 5.5, 6, 6.5]) {
        assert.deepStrictEqual(yield* fails(0), ["ok", 1, level])
      }
      // case 44: above the threshold again, one failure is retried
      assert.deepStrictEqual(yield* fails(1), ["ok", 2, 6])
      assert.deepStrictEqual(yield* fails(4), ["BudgetExhausted", 1, 5])
    }))

  it.effect("a throttled retry fails at once, without the delay", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.grpc({ maxTokens: 2, tokenRatio: 0.1 })
      const { exit, took } = yield* play(
        withRpcRetry(Faults.refused, { schedule: Schedule.spaced("1 second"), budget })
      )
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts, took], ["BudgetExhausted", 1, 0])
    }))

  it.effect("a do-not-retry hint counts, Fatal does not; the level stays in range", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.grpc({ maxTokens: 3, tokenRatio: 1 })
      const no = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: "Never" })
      yield* Effect.ignore(calls(budget)(Effect.fail(no)))
      assert.strictEqual(yield* budget.level, 2)
      yield* Effect.ignore(calls(budget)(Effect.fail(fatal)))
      assert.strictEqual(yield* budget.level, 2)
      yield* Effect.replicateEffect(Effect.ignore(calls(budget)(Effect.fail(no))), 5)
      assert.strictEqual(yield* budget.level, 0)
      yield* Effect.replicateEffect(calls(budget)(Effect.void), 5)
      assert.strictEqual(yield* budget.level, 3)
    }))

  it.effect("a do-not-retry hint counts also on an error that the policy does not want; without one it does not", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.grpc({ maxTokens: 10, tokenRatio: 1 })
      const unwanted = withRpcRetry({ schedule: always, budget, retryIf: () => false })
      yield* Effect.ignore(unwanted(Faults.refused))
      assert.strictEqual(yield* budget.level, 10)
      const no = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: "Never" })
      yield* Effect.ignore(unwanted(Effect.fail(no)))
      assert.strictEqual(yield* budget.level, 9)
    }))

  it.effect("half is not more than half, whatever the additions of a ratio leave in the last digits", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.grpc({ maxTokens: 10, tokenRatio: 0.2 })
      yield* Effect.replicateEffect(Effect.ignore(withRpcRetry(Faults.refused, { schedule: Schedule.stop, budget })), 8)
      yield* Effect.replicateEffect(calls(budget)(Effect.void), 20)
      assert.strictEqual(yield* budget.level, 6)
      const { exit } = yield* play(calls(budget)(Faults.refused))
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts], ["BudgetExhausted", 1])
    }))

  it.effect("decimals of the ratio beyond the third are dropped", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.grpc({ maxTokens: 10, tokenRatio: 0.5466 })
      yield* Effect.ignore(withRpcRetry(Faults.refused, { schedule: Schedule.stop, budget }))
      yield* calls(budget)(Effect.void)
      assert.strictEqual(yield* budget.level, 9.546)
    }))

  it("refuses numbers out of range", () => {
    for (const maxTokens of [0, -1, 1001, NaN]) {
      assert.throws(
        () => RetryBudget.grpc({ maxTokens, tokenRatio: 0.1 }),
        InvalidOption,
        "RetryBudget.grpc: maxTokens must be"
      )
    }
    for (const tokenRatio of [0, -1, NaN, Infinity]) {
      assert.throws(
        () => RetryBudget.grpc({ maxTokens: 10, tokenRatio }),
        InvalidOption,
        "RetryBudget.grpc: tokenRatio must be"
      )
    }
  })
})

describe("RetryBudget.aws2026, by the tables of @smithy/core", () => {
  const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })
  const run = (budget: RetryBudget.RetryBudget, steps: ReadonlyArray<Effect.Effect<void, Retryable>>) =>
    Effect.gen(function*() {
      const levels: Array<number> = []
      const [first, ...rest] = steps.map((step) =>
        Effect.zipRight(Effect.map(budget.level, (level) => levels.push(level)), step)
      )
      const call = yield* Faults.script([first!, ...rest])
      yield* Effect.ignore(withRpcRetry(call, { schedule: Schedule.recurs(2), budget }))
      return [...levels, yield* budget.level]
    })

  it.effect("two failures and a success: 500, 486, 472, 486", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.aws2026()
      const fail = Effect.fail(unavailable)
      assert.deepStrictEqual(yield* run(budget, [fail, fail, Effect.void]), [500, 486, 472, 486])
      // a success without a retry earns 1, never above the capacity
      assert.deepStrictEqual(yield* run(budget, [Effect.void]), [486, 487])
      // three failures: 472 + 1
      assert.deepStrictEqual(yield* run(budget, [fail, fail, fail]), [487, 473, 459, 459])
    }))

  it.effect("throttling costs 5", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.aws2026()
      const levels = yield* run(budget, [Effect.fail(throttled), Effect.fail(unavailable), Effect.void])
      assert.deepStrictEqual(levels, [500, 495, 481, 495])
    }))

  it.effect("only failures: 35 retries, then none, and without a delay", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.aws2026()
      const call = yield* Faults.script([Effect.fail(unavailable)])
      yield* Effect.ignore(withRpcRetry(call, { schedule: always, budget }))
      assert.strictEqual(yield* call.attempts, 36)
      assert.strictEqual(yield* budget.level, 500 - 35 * 14)
    }))
})
