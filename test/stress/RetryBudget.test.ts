/**
 * Long runs of `RetryBudget`: its laws over random faults, policies and interleavings, and outages of many clients.
 */
import { Fatal, Retryable, RetryBudget, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { assert, describe, it } from "../support/vitest.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}

const fatal = new Fatal({ reason: "ServerError", message: "no" })
const unavailable = new Retryable({ reason: "Unavailable", delivery: "Unknown" })

/** As many retries as the budget allows, without delays. */
const calls = (budget: RetryBudget.RetryBudget) => withRpcRetry({ schedule: Schedule.recurs(1000), budget })

describe("RetryBudget.make: properties, over random faults, policies and interleavings", () => {
  const step = FastCheck.constantFrom(...(["retry", "hint", "never", "hang", "ok", "fatal", "domain"] as const))
  const scripts = FastCheck.array(FastCheck.array(step, { minLength: 1, maxLength: 6 }), {
    minLength: 1,
    maxLength: 20
  })

  const failing = (retryAfter: Duration.Duration | "Never") =>
    Effect.fail(new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter }))

  const effects: Record<"retry" | "hint" | "never" | "hang" | "ok" | "fatal" | "domain", Effect.Effect<void, unknown>> =
    {
      retry: Effect.fail(unavailable),
      hint: failing(Duration.millis(2)),
      never: failing("Never"),
      hang: Effect.never,
      ok: Effect.void,
      fatal: Effect.fail(fatal),
      domain: new UserNotFound()
    }

  const property = FastCheck.asyncProperty(
    scripts,
    FastCheck.double({ min: 1, max: 5, noNaN: true }),
    FastCheck.double({ min: 0, max: 1, noNaN: true }),
    FastCheck.integer({ min: 0, max: 6 }),
    FastCheck.option(FastCheck.integer({ min: 5, max: 40 }), { nil: undefined }),
    FastCheck.integer({ min: 1, max: 3 }),
    FastCheck.boolean(),
    (scripts, capacity, ratio, retries, deadline, layers, interrupt) =>
      Effect.gen(function*() {
        const budget = yield* RetryBudget.make({ capacity, ratio, regainEvery: "10000 days" })
        let attempts = 0
        let answers = 0
        let atMost = 0
        const levelIsIn = Effect.map(budget.level, (level) =>
          assert.isTrue(level >= 0 && level <= capacity, `level ${level}`))
        const fibers = yield* Effect.forEach(scripts, (script, i) =>
          Effect.gen(function*() {
            let made = 0
            const attempt: Effect.Effect<void, unknown> = Effect.suspend(() => {
              attempts++
              made++
              const name = script[Math.min(made - 1, script.length - 1)]!
              answers += name === "ok" || name === "domain" ? 1 : 0
              return Effect.zipRight(Effect.sleep(i % 3), Effect.zipRight(levelIsIn, effects[name]))
            })
            const schedule = Schedule.spaced(1 + i % 4).pipe(Schedule.intersect(Schedule.recurs(retries)))
            // layers of retries around it change nothing
            let call: Effect.Effect<void, unknown> = attempt.pipe(
              withRpcRetry({ schedule, budget, deadline, attemptTimeout: 3 })
            )
            for (let layer = 1; layer < layers; layer++) {
              call = call.pipe(withRpcRetry({ schedule, budget, deadline }))
            }
            const fiber = yield* Effect.fork(Effect.exit(call))
            return {
              fiber,
              made: () =>
                made
            }
          }))
        if (interrupt) {
          yield* TestClock.adjust(3)
          yield* Fiber.interruptAll(
            fibers.filter((_, i) => i % 2 === 0).map(({ fiber }) => fiber)
          )
        }
        yield* TestClock.adjust(1000)
        yield* Effect.forEach(fibers, ({ fiber }) => fiber.await)
        fibers.forEach(({ made }) => {
          atMost = Math.max(atMost, made())
        })
        assert.isAtMost(atMost, retries + 1)
        const first = fibers.filter(({ made }) => made() > 0).length
        // an answer is one to each call that it goes through
        assert.isAtMost(attempts, first + capacity + ratio * answers * layers + 1e-6)
        yield* levelIsIn
      }).pipe(Effect.provide(TestContext.TestContext), Effect.runPromise)
  )

  it(
    "attempts stay within the policy and within first attempts + capacity + ratio x answers; the level in [0, capacity]",
    () => FastCheck.assert(property, { numRuns: 60 })
  )

  it("Fatal never moves the level; an interrupted call leaves it as if it had not asked", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.integer({ min: 0, max: 20 }),
        FastCheck.integer({ min: 1, max: 99 }),
        (fatals, at) =>
          Effect.gen(function*() {
            const budget = yield* RetryBudget.make({ capacity: 10, regainEvery: "10000 days" })
            yield* Effect.ignore(calls(budget)(Effect.zipRight(Effect.void, Faults.reset)).pipe(Effect.timeout(1)))
            const before = yield* budget.level
            yield* Effect.replicateEffect(Effect.ignore(calls(budget)(Effect.fail(fatal))), fatals)
            assert.strictEqual(yield* budget.level, before)
            const full = yield* RetryBudget.make({ capacity: 10, regainEvery: "10000 days" })
            const fiber = yield* Effect.fork(withRpcRetry(Faults.reset, { budget: full }))
            yield* TestClock.adjust(at)
            assert.strictEqual(yield* full.level, 9)
            yield* Fiber.interrupt(fiber)
            assert.strictEqual(yield* full.level, 10)
          }).pipe(Effect.provide(TestContext.TestContext), Effect.runPromise)
      ),
      { numRuns: 30 }
    ))
})

describe("RetryBudget in an outage", () => {
  /** One client: a budget of its own, calls at a fixed pace, failing as `fails` says. */
  const client = (
    budget: RetryBudget.RetryBudget,
    fails: () => boolean,
    count: { calls: number; attempts: number }
  ) => {
    const attempt = Effect.suspend(() => {
      count.attempts++
      return fails() ? Effect.fail(unavailable) : Effect.void
    })
    return Effect.suspend(() => {
      count.calls++
      return Effect.ignore(attempt.pipe(withRpcRetry({ schedule: Schedule.recurs(3), budget })))
    })
  }

  it.effect("100 clients at 1 call/s: load at most 1.01 after the first minute; then retries resume within 10 calls", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(Array.from({ length: 100 }), () =>
        Effect.gen(function*() {
          const budget = yield* RetryBudget.make({ capacity: 10 })
          const count = { calls: 0, attempts: 0 }
          let down = true
          let failures = 0
          const call = client(budget, () => down || failures-- > 0, count)
          const seconds = (n: number) => Effect.forEach(Array.from({ length: n }), () => call, { discard: true })
          // each call is a second of virtual time; the budget looks at the clock only when it is used
          for (let i = 0; i < 60; i++) {
            yield* seconds(1)
          }
          const { attempts, calls } = count
          assert.isAtMost(attempts, 60 + 10 + 60 / 120)
          yield* seconds(600)
          assert.isAtMost((count.attempts - attempts) / (count.calls - calls), 1.01)
          down = false
          yield* seconds(10)
          const before = count.attempts
          failures = 1
          yield* seconds(1)
          assert.strictEqual(count.attempts - before, 2, "a call that failed once was not retried")
        }), { discard: true })
    }))

  it.effect("100 clients at 1 call/s that share the seconds: load at most 1.01 after the first minute, and retries resume", () =>
    Effect.gen(function*() {
      const clients = yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => Effect.map(RetryBudget.make({ capacity: 10 }), (budget) => ({ budget, count: { calls: 0, attempts: 0 } }))
      )
      let down = true
      const second = Effect.zipRight(
        Effect.forEach(clients, ({ budget, count }) => client(budget, () => down, count), { discard: true }),
        TestClock.adjust("1 second")
      )
      const sum = (key: "calls" | "attempts") => clients.reduce((n, { count }) => n + count[key], 0)
      yield* Effect.replicateEffect(second, 60)
      const [calls, attempts] = [sum("calls"), sum("attempts")]
      assert.isAtMost(attempts, calls + 100 * 11)
      yield* Effect.replicateEffect(second, 240)
      const amplification = (sum("attempts") - attempts) / (sum("calls") - calls)
      assert.isAtMost(amplification, 1.01)
      assert.isAbove(amplification, 1)

      // back, with 1 % of failures: from the 10th call on every call that failed once is retried
      down = false
      yield* Effect.replicateEffect(second, 10)
      const random = yield* Effect.random
      let failed = 0
      let lost = 0
      yield* Effect.replicateEffect(
        Effect.zipRight(
          Effect.forEach(clients, ({ budget, count }) =>
            Effect.gen(function*() {
              const fails = (yield* random.next) < 0.01
              let failures = fails ? 1 : 0
              const before = count.attempts
              yield* client(budget, () => failures-- > 0, count)
              failed += fails ? 1 : 0
              lost += fails && count.attempts - before !== 2 ? 1 : 0
            }), { discard: true }),
          TestClock.adjust("1 second")
        ),
        60
      )
      assert.isAbove(failed, 20)
      assert.strictEqual(lost, 0)
      const refused: Array<number> = []
      yield* Effect.forEach(clients, ({ budget, count }, i) =>
        Effect.gen(function*() {
          let failures = 1
          const before = count.attempts
          yield* client(budget, () => failures-- > 0, count)
          if (count.attempts - before !== 2) {
            refused.push(i)
          }
        }), { discard: true })
      assert.deepStrictEqual(refused, [])
    }).pipe(Effect.withRandom(Random.make("outage"))))

  it.effect("one client with 1 call a minute still gets its retries after an outage of an hour", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 10 })
      const count = { calls: 0, attempts: 0 }
      let down = true
      let failures = 0
      const minute = Effect.zipRight(client(budget, () => down || failures-- > 0, count), TestClock.adjust("1 minute"))
      yield* Effect.replicateEffect(minute, 60)
      down = false
      // within two minutes a call that fails once is retried again
      yield* Effect.replicateEffect(minute, 2)
      const before = count.attempts
      failures = 1
      yield* minute
      assert.strictEqual(count.attempts - before, 2)
    }))
})
