import {
  CallRejected,
  CircuitBreaker,
  Fatal,
  InvalidOption,
  Retryable,
  RetryExhausted,
  RetryPolicy,
  RetrySchedule,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as engine from "../src/internal/engine/engine.js"
import * as Service from "../src/internal/service/service.js"
import { exhaustedOf, failureOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
const timeout = new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" })

/** Opens after the third failure, for exactly a second, and closes at once. */
const plain: CircuitBreaker.Options = {
  trip: CircuitBreaker.consecutive(3),
  openFor: "1 second",
  jitter: 0,
  rampUp: 0
}

const trip = (breaker: CircuitBreaker.CircuitBreaker, error = unavailable) =>
  Effect.replicateEffect(Effect.ignore(CircuitBreaker.protect(Effect.fail(error), breaker)), 3)

const opened = (options?: CircuitBreaker.Options) =>
  Effect.tap(CircuitBreaker.make({ ...plain, ...options }), (breaker) => trip(breaker))

const isRejected = <A, E>(exit: Exit.Exit<A, E>): boolean =>
  Exit.isFailure(exit) && Cause.isFailType(exit.cause) && exit.cause.error instanceof CallRejected

/** How each of `n` calls in a row ends: through, or turned away. */
const sequence = <A, E>(n: number, call: Effect.Effect<A, E>) =>
  Effect.replicateEffect(Effect.map(Effect.exit(call), (exit) => isRejected(exit) ? "rejected" : "made"), n)

describe("CircuitBreaker.protect", () => {
  it.effect("runs the effect while it is closed, and passes on its value, error and defect", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      const protect = CircuitBreaker.protect(breaker)
      assert.strictEqual(yield* protect(Effect.succeed(5)), 5)
      assert.instanceOf(yield* Effect.flip(protect(Effect.fail(new UserNotFound()))), UserNotFound)
      assert.deepStrictEqual(yield* Effect.exit(protect(Effect.die("boom"))), Exit.die("boom"))
      assert.strictEqual(yield* CircuitBreaker.protect(Effect.succeed(6), breaker), 6)
    }))

  it.effect("turns calls away while it is open: nothing runs, and retryIn says how long", () =>
    Effect.gen(function*() {
      const breaker = yield* opened()
      yield* TestClock.adjust(250)
      const error = yield* Effect.flip(CircuitBreaker.protect(Effect.die("sent"), breaker))
      assert.instanceOf(error, CallRejected)
      assert.deepStrictEqual([error.reason, Duration.toMillis(error.retryIn!)], ["CircuitOpen", 750])
      yield* TestClock.adjust(error.retryIn!)
      assert.strictEqual(yield* CircuitBreaker.protect(Effect.succeed("ok"), breaker), "ok")
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  const last = new RetryExhausted({
    reason: "AttemptsExhausted",
    attempts: 4,
    elapsed: Duration.zero,
    last: unavailable,
    history: []
  })
  const beside = <E>(self: Effect.Effect<never, E>) => Effect.zip(self, Effect.never, { concurrent: true })
  for (
    const [name, self, opens] of [
      ["successes", Effect.void, false],
      ["Retryables (Kitex breaker 91)", Effect.fail(unavailable), true],
      ["attempts that timed out (Kitex breaker 91)", Effect.fail(timeout), true],
      ["Fatals, which are answers", Effect.fail(new Fatal({ reason: "ServerError", message: "no" })), false],
      ["domain errors, which are answers", new UserNotFound(), false],
      ["defects", Effect.die("boom"), false],
      ["interruptions from inside", Effect.interrupt, false],
      ["calls that gave up on a Retryable", Effect.fail(last), true],
      [
        "calls that their deadline cut in the first attempt",
        Effect.fail(new RetryExhausted({ ...last, reason: "DeadlineExceeded", attempts: 1 })),
        false
      ],
      [
        "calls that their deadline cut after a Retryable",
        Effect.fail(new RetryExhausted({ ...last, reason: "DeadlineExceeded", attempts: 2 })),
        true
      ],
      ["calls that gave up on their only attempt", Effect.fail(new RetryExhausted({ ...last, attempts: 1 })), true],
      ["Retryables beside work that was interrupted for them", beside(Effect.fail(unavailable)), true],
      ["answers beside work that was interrupted for them", beside(new UserNotFound()), false],
      [
        "calls that another gate turned away (Kitex breaker 105)",
        Effect.fail(new CallRejected({ reason: "BulkheadFull" })),
        false
      ]
    ] as const
  ) {
    it.effect(`is ${opens ? "opened" : "not opened"} by ${name}`, () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make(plain)
        yield* Effect.replicateEffect(Effect.exit(CircuitBreaker.protect<void, unknown, never>(self, breaker)), 10)
        assert.strictEqual(yield* breaker.state, opens ? "Open" : "Closed")
      }))
  }

  it.effect("a classification of one's own takes the place of the default (Kitex breaker 94, 104)", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        ...plain,
        classify: (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause) ? "Failure" : "Success"
      })
      yield* trip(breaker)
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* Effect.replicateEffect(Effect.exit(CircuitBreaker.protect(Effect.die("boom"), breaker)), 3)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("a call that its caller interrupts is no failure, nor a success", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(plain)
      yield* Effect.replicateEffect(Effect.ignore(CircuitBreaker.protect(Effect.fail(unavailable), breaker)), 2)
      for (let i = 0; i < 10; i++) {
        const fiber = yield* Effect.fork(CircuitBreaker.protect(Effect.never, breaker))
        yield* TestClock.adjust(10)
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual([yield* breaker.state, (yield* breaker.snapshot).failures], ["Closed", 2])
    }))

  it.effect("a timeout inside counts, one around it does not", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ ...plain, trip: CircuitBreaker.consecutive(1) })
      yield* play(Effect.timeout(CircuitBreaker.protect(Effect.never, breaker), 100))
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* play(
        CircuitBreaker.protect(Effect.timeoutFail(Effect.never, { duration: 100, onTimeout: () => timeout }), breaker)
      )
      assert.notStrictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("the attempt timeout of a policy around it interrupts, and so does not count", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ ...plain, trip: CircuitBreaker.consecutive(1) })
      const { exit } = yield* play(withRpcRetry(CircuitBreaker.protect(Effect.never, breaker), { attemptTimeout: 100 }))
      assert.strictEqual(exhaustedOf(exit).attempts, 4)
      assert.strictEqual((yield* breaker.snapshot).generation, 0)
    }))

  it.effect("a rejection ends a retry around it, and is not retried", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(plain)
      const call = yield* Faults.script([Faults.refused])
      const retried = call.pipe(
        CircuitBreaker.protect(breaker),
        withRpcRetry({ schedule: Schedule.recurs(20) })
      )
      const { exit } = yield* play(retried)
      const { attempts, reason } = exhaustedOf(exit)
      assert.deepStrictEqual([reason, attempts, yield* call.attempts], ["CircuitOpen", 3, 3])
    }))

  it.effect("of 1,000 callers at the instant of half-open exactly the probes are sent (Kitex breaker 105e)", () =>
    Effect.forEach([1, 3], (probes) =>
      Effect.gen(function*() {
        const breaker = yield* opened({ probes })
        let sent = 0
        const release = yield* Deferred.make<void>()
        const call = CircuitBreaker.protect(
          Effect.suspend(() => {
            sent++
            return Deferred.await(release)
          }),
          breaker
        )
        yield* TestClock.adjust(1000)
        const fibers = yield* Effect.replicateEffect(Effect.fork(Effect.exit(call)), 1000)
        yield* Effect.yieldNow()
        assert.strictEqual(sent, probes)
        yield* Deferred.succeed(release, undefined)
        const exits = yield* Effect.forEach(fibers, Fiber.join)
        assert.strictEqual(exits.filter(isRejected).length, 1000 - probes)
        assert.strictEqual(yield* breaker.state, "Closed")
      })))

  it.effect("a probe that is interrupted gives its place back at once, at whatever virtual millisecond that is", () =>
    Effect.gen(function*() {
      for (let at = 0; at <= 30; at++) {
        const breaker = yield* opened()
        yield* TestClock.adjust(990)
        // half-open at 10, the probe ends at 25
        const fiber = yield* Effect.fork(CircuitBreaker.protect(Effect.sleep(15), breaker).pipe(Effect.delay(10)))
        yield* TestClock.adjust(at)
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust(at < 10 ? 10 - at : 0)
        assert.strictEqual(yield* breaker.state, at < 25 ? "HalfOpen" : "Closed", `interrupted at ${at}`)
        assert.strictEqual(yield* CircuitBreaker.protect(Effect.succeed("ok"), breaker), "ok")
      }
    }))

  it.effect("a probe whose fiber is interrupted before it could begin holds no place", () =>
    Effect.gen(function*() {
      const breaker = yield* opened()
      yield* TestClock.adjust(1000)
      for (let i = 0; i < 100; i++) {
        const fiber = yield* Effect.fork(CircuitBreaker.protect(Effect.never, breaker))
        // gives way between any two of its steps
        yield* Effect.replicateEffect(Effect.yieldNow(), i % 5)
        yield* Fiber.interrupt(fiber)
      }
      assert.strictEqual(yield* CircuitBreaker.protect(Effect.succeed("ok"), breaker), "ok")
    }))

  it.effect("a probe that never ends gives way after its lease, so that the breaker is never half-open for days", () =>
    Effect.gen(function*() {
      const breaker = yield* opened()
      yield* TestClock.adjust(1000)
      const stuck = yield* Effect.fork(CircuitBreaker.protect(Effect.never, breaker))
      yield* TestClock.adjust(9999)
      const call = CircuitBreaker.protect(Effect.succeed("ok"), breaker)
      assert.instanceOf(yield* Effect.flip(call), CallRejected)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* call, "ok")
      yield* Fiber.interrupt(stuck)
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("a call that was sent before it opened does not close it with a late success, nor keep it closed with a late failure", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(plain)
      const early = (self: Effect.Effect<void, Retryable>) =>
        Effect.fork(Effect.ignore(CircuitBreaker.protect(Effect.delay(self, 1500), breaker)))
      yield* early(Effect.void)
      yield* Effect.replicateEffect(early(Effect.fail(unavailable)), 5)
      yield* TestClock.adjust(10)
      yield* trip(breaker)
      yield* TestClock.adjust(1490)
      assert.deepStrictEqual([yield* breaker.state, (yield* breaker.snapshot).failures], ["HalfOpen", 0])
    }))

  it.effect("counts the runs of one effect after an outage too, and with the random numbers that each has", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ ...plain, trip: CircuitBreaker.consecutive(1), jitter: 0.5 })
      let isUp = true
      const call = Effect.suspend(() => isUp ? Effect.void : Effect.fail(unavailable)).pipe(
        CircuitBreaker.protect(breaker),
        Effect.ignore
      )
      yield* call
      for (let outage = 0; outage < 2; outage++) {
        isUp = false
        yield* call
        assert.strictEqual(yield* breaker.state, "Open")
        isUp = true
        yield* TestClock.adjust("2 seconds")
        yield* call
        assert.strictEqual(yield* breaker.state, "Closed")
      }
      yield* Effect.withRandom(call, Random.fixed([0.5]))
      isUp = false
      yield* Effect.withRandom(call, Random.fixed([0]))
      assert.deepStrictEqual((yield* breaker.snapshot).retryIn, Duration.seconds(1))
    }))
})

describe("a circuit breaker that trips by a rate", () => {
  for (const [errorRate, minimumCalls, made] of [[0.5, 200, 200], [0.1, 100, 100], [0.5, 100, 100]] as const) {
    it.effect(`of ${errorRate} with at least ${minimumCalls} calls turns calls away after ${made} timeouts (Kitex breaker 95, 98, 99)`, () =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({
          trip: CircuitBreaker.rate({ threshold: errorRate, minimumCalls, window: "10 seconds" })
        })
        const calls = yield* sequence(300, CircuitBreaker.protect(Effect.fail(timeout), breaker))
        assert.strictEqual(calls.indexOf("rejected"), made)
        assert.strictEqual(calls.filter((each) => each === "made").length, made)
      }))
  }

  it.effect("counts failures and timeouts together, which successes do not reset: 5 of the last 20 (Kitex breaker 105b)", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        trip: CircuitBreaker.rate({ threshold: 5 / 20, minimumCalls: 20, window: CircuitBreaker.calls(20) })
      })
      const call = <E>(effect: Effect.Effect<void, E>) => Effect.exit(CircuitBreaker.protect(effect, breaker))
      yield* Effect.replicateEffect(call(Effect.void), 20)
      for (const failure of [unavailable, timeout, unavailable, timeout]) {
        yield* call(Effect.fail(failure))
        yield* call(Effect.void)
        yield* call(Effect.void)
        assert.strictEqual(yield* breaker.state, "Closed")
      }
      yield* call(Effect.fail(unavailable))
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("at exactly half of 1,000 calls (Kitex breaker 105c)", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        trip: CircuitBreaker.rate({ threshold: 0.5, minimumCalls: 1000, window: CircuitBreaker.calls(1000) })
      })
      const protect = CircuitBreaker.protect(breaker)
      yield* Effect.replicateEffect(protect(Effect.void), 500)
      yield* Effect.replicateEffect(Effect.ignore(protect(Effect.fail(unavailable))), 499)
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* Effect.ignore(protect(Effect.fail(unavailable)))
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("forgets failures that are older than its window of time", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        trip: CircuitBreaker.rate({ threshold: 1, minimumCalls: 4, window: "10 seconds" })
      })
      const fail = Effect.ignore(CircuitBreaker.protect(Effect.fail(unavailable), breaker))
      yield* Effect.replicateEffect(fail, 3)
      yield* TestClock.adjust("10 seconds")
      yield* Effect.replicateEffect(fail, 3)
      assert.deepStrictEqual([yield* breaker.state, (yield* breaker.snapshot).failures], ["Closed", 3])
      yield* fail
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("is not opened by one of three instances that fails, but by all of them", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      const instances = (bad: number) =>
        Effect.forEach(Array.from({ length: 300 }, (_, i) => i % 3), (i) =>
          Effect.ignore(CircuitBreaker.protect(i < bad ? Effect.fail(unavailable) : Effect.void, breaker)))
      yield* instances(1)
      assert.strictEqual((yield* breaker.snapshot).generation, 0)
      yield* TestClock.adjust("1 minute")
      yield* instances(3)
      assert.strictEqual(yield* breaker.state, "Open")
    }))

  it.effect("opens for answers that are slow, though none of them failed", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        trip: CircuitBreaker.rate({ minimumCalls: 5, slow: { longerThan: "1 second", threshold: 0.6 } })
      })
      const calls = (n: number, took: number) =>
        Effect.gen(function*() {
          const fibers = yield* Effect.replicateEffect(
            Effect.fork(CircuitBreaker.protect(Effect.sleep(took), breaker)),
            n
          )
          yield* TestClock.adjust(took)
          yield* Effect.forEach(fibers, Fiber.join)
        })
      yield* calls(4, 1000)
      yield* calls(5, 1001)
      assert.deepStrictEqual([yield* breaker.state, (yield* breaker.snapshot).slowRate], ["Closed", 5 / 9])
      yield* calls(1, 1001)
      assert.strictEqual(yield* breaker.state, "Open")
    }))
})

describe("a circuit breaker that trips by failures in a row", () => {
  it.effect("lets 999 failures pass and opens with the 1000th; one probe closes it or opens it again (Kitex breaker 105a)", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ ...plain, trip: CircuitBreaker.consecutive(1000) })
      const fail = Effect.ignore(CircuitBreaker.protect(Effect.fail(unavailable), breaker))
      yield* Effect.replicateEffect(fail, 999)
      assert.strictEqual(yield* breaker.state, "Closed")
      yield* fail
      assert.strictEqual(yield* breaker.state, "Open")
      yield* TestClock.adjust("1 second")
      yield* fail
      assert.strictEqual(yield* breaker.state, "Open")
      yield* TestClock.adjust("1 second")
      yield* CircuitBreaker.protect(Effect.void, breaker)
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("with two probes it stays half-open until both have succeeded (Kitex breaker 97, 105a)", () =>
    Effect.gen(function*() {
      const breaker = yield* opened({ probes: 2 })
      yield* TestClock.adjust("1 second")
      const slow = yield* Effect.fork(CircuitBreaker.protect(Effect.sleep(100), breaker))
      yield* TestClock.adjust(0)
      const call = CircuitBreaker.protect(Effect.void, breaker)
      assert.deepStrictEqual(yield* sequence(3, call), ["made", "rejected", "rejected"])
      yield* TestClock.adjust(100)
      yield* Fiber.join(slow)
      assert.deepStrictEqual(yield* sequence(3, call), ["made", "made", "made"])
    }))
})

describe("how long a circuit breaker stays open", () => {
  const lengthOf = (breaker: CircuitBreaker.CircuitBreaker) =>
    Effect.map(breaker.snapshot, ({ retryIn }) => retryIn && Duration.toMillis(retryIn))

  /** Lets the opening pass, and the probe end as it does. */
  const probe = (breaker: CircuitBreaker.CircuitBreaker, self: Effect.Effect<void, Retryable>) =>
    Effect.gen(function*() {
      yield* TestClock.adjust((yield* breaker.snapshot).retryIn!)
      yield* Effect.ignore(CircuitBreaker.protect(self, breaker))
    })

  it.effect("follows a schedule, over short closings too, which starts over after a long one", () =>
    Effect.gen(function*() {
      const breaker = yield* opened({
        openFor: RetrySchedule.exponential({ base: "1 second", factor: 2, cap: "5 seconds" })
      })
      const lengths = [yield* lengthOf(breaker)]
      for (const end of [Effect.fail(unavailable), Effect.void, Effect.fail(unavailable)]) {
        yield* probe(breaker, end)
        yield* trip(breaker)
        lengths.push(yield* lengthOf(breaker))
      }
      assert.deepStrictEqual(lengths, [1000, 2000, 4000, 5000])
      yield* probe(breaker, Effect.void)
      yield* TestClock.adjust(4999)
      yield* trip(breaker)
      assert.strictEqual(yield* lengthOf(breaker), 5000)
      yield* probe(breaker, Effect.void)
      yield* TestClock.adjust(5000)
      yield* trip(breaker)
      assert.strictEqual(yield* lengthOf(breaker), 1000)
    }))

  it.effect("stays at the last delay of a schedule that ends, and is 5 seconds without any", () =>
    Effect.gen(function*() {
      const ends = yield* opened({
        openFor: RetrySchedule.retries(RetrySchedule.exponential({ base: "1 second", factor: 3, cap: "1 minute" }), 2)
      })
      const lengths = [yield* lengthOf(ends)]
      for (let i = 0; i < 3; i++) {
        yield* probe(ends, Effect.fail(unavailable))
        lengths.push(yield* lengthOf(ends))
      }
      assert.deepStrictEqual(lengths, [1000, 3000, 3000, 3000])
      for (
        const openFor of [
          Schedule.stop,
          Schedule.mapEffect(Schedule.spaced(10), () => Effect.sleep(1)),
          Schedule.mapEffect(Schedule.spaced(10), () => Effect.die("boom"))
        ]
      ) {
        assert.strictEqual(yield* lengthOf(yield* opened({ openFor })), 5000)
      }
    }))

  it.effect("is drawn from the Random in force where it was made: a seed repeats it", () =>
    Effect.gen(function*() {
      const lengths = Effect.forEach([1, 2, 3, 4, 5], () => Effect.flatMap(opened({ jitter: 0.5 }), lengthOf))
      const seeded = Effect.suspend(() => Effect.withRandom(lengths, Random.make("seed")))
      const once = yield* seeded
      assert.deepStrictEqual(yield* seeded, once)
      assert.isAbove(new Set(once).size, 1)
      assert.isTrue(once.every((each) => each! >= 1000 && each! <= 1500))
    }))

  it.effect("is as long as the server asks for, if that is longer, but at most maxRetryAfter", () =>
    Effect.gen(function*() {
      for (const [retryAfter, length] of [["20 seconds", 20_000], [500, 1000], ["1 hour", 60_000]] as const) {
        const breaker = yield* CircuitBreaker.make({ ...plain, maxRetryAfter: "1 minute" })
        yield* trip(breaker, new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter }))
        assert.strictEqual(yield* lengthOf(breaker), length)
      }
    }))

  it.effect("is as long as the server asked a call for that has given up", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(plain)
      const asks = new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: "20 seconds" })
      const call = Effect.fail(asks).pipe(withRpcRetry(RetryPolicy.none), CircuitBreaker.protect(breaker))
      yield* Effect.replicateEffect(Effect.ignore(call), 3)
      assert.strictEqual(yield* lengthOf(breaker), 20_000)
    }))

  it.effect("of 200 breakers that open together with the defaults the ends spread over a fifth of the opening", () =>
    Effect.gen(function*() {
      const lengths = yield* Effect.forEach(
        Array.from({ length: 200 }),
        () =>
          Effect.gen(function*() {
            const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(3) })
            yield* trip(breaker)
            return yield* lengthOf(breaker)
          })
      ).pipe(Effect.withRandom(Random.make("200 clients")))
      const sorted = lengths.map((each) => each!).toSorted((a, b) => a - b)
      assert.isAtLeast(sorted[0]!, 5000)
      assert.isAtLeast(sorted[189]! - sorted[10]!, 1000)
    }))
})

describe("a circuit breaker as a value", () => {
  it.effect("gives its changes as a stream, to each reader", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ ...plain, rampUp: "3 seconds" })
      const read = Effect.fork(Stream.runCollect(Stream.take(breaker.changes, 4)))
      const [one, other] = [yield* read, yield* read]
      yield* TestClock.adjust(0)
      yield* trip(breaker)
      yield* TestClock.adjust("1 second")
      yield* CircuitBreaker.protect(Effect.void, breaker)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* breaker.state, "Closed")
      const seen = Chunk.toReadonlyArray(yield* Fiber.join(one))
      assert.deepStrictEqual(seen.map(({ from, to }) => `${from} ${to}`), [
        "Closed Open",
        "Open HalfOpen",
        "HalfOpen Ramping",
        "Ramping Closed"
      ])
      assert.strictEqual(seen[0]!.openUntil! - seen[0]!.at, 1000)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(other)), seen)
    }))

  it.effect("is opened, closed and reset by hand (Kitex breaker 105d)", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(plain)
      yield* breaker.open
      yield* TestClock.adjust("1 hour")
      const error = yield* Effect.flip(CircuitBreaker.protect(Effect.void, breaker))
      assert.deepStrictEqual([error.reason, error.retryIn], ["CircuitOpen", undefined])
      yield* breaker.close
      yield* CircuitBreaker.protect(Effect.void, breaker)
      yield* trip(breaker)
      yield* breaker.reset
      const { failures, generation, state } = yield* breaker.snapshot
      assert.deepStrictEqual([state, failures, generation], ["Closed", 0, 4])
    }))

  it.effect("is told apart from other values, and can be piped", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      assert.isTrue(breaker.pipe(CircuitBreaker.isCircuitBreaker))
      assert.isFalse(CircuitBreaker.isCircuitBreaker({ state: "Closed" }))
    }))

  it("refuses options that are none", () => {
    const refuses = (options: unknown, message: string) =>
      assert.throws(() => CircuitBreaker.make(options as CircuitBreaker.Options), InvalidOption, message)
    const where = "CircuitBreaker.make: "
    refuses({ openfor: 5 }, `${where}openfor is not an option, did you mean openFor?`)
    refuses({ openFor: -1 }, `${where}openFor must not be negative, got -1`)
    refuses({ openFor: "soon" }, `${where}openFor must be a duration`)
    refuses({ jitter: 1.1 }, `${where}jitter must be a number from 0 to 1, got 1.1`)
    refuses({ probes: 0 }, `${where}probes must be an integer from 1 to 1000, got 0`)
    refuses({ probeLease: 0 }, `${where}probeLease must be greater than zero, got 0`)
    refuses({ rampUp: Infinity }, `${where}rampUp must be finite`)
    refuses({ maxRetryAfter: -5 }, `${where}maxRetryAfter must not be negative, got -5`)
    refuses({ trip: 5 }, `${where}trip must be one of CircuitBreaker.consecutive or CircuitBreaker.rate, got 5`)
    refuses({ classify: "Failure" }, `${where}classify must be a function, got Failure`)
    assert.throws(() => CircuitBreaker.keyed({ maxKeys: 0 }), InvalidOption, "CircuitBreaker.keyed: maxKeys must be")
    assert.throws(() => CircuitBreaker.keyed({ probes: 0 }), InvalidOption, "CircuitBreaker.keyed: probes must be")
    assert.throws(() => CircuitBreaker.consecutive(0), InvalidOption, "CircuitBreaker.consecutive: n must be")
    assert.throws(() => CircuitBreaker.calls(1.5), InvalidOption, "CircuitBreaker.calls: n must be")
    const rate = (options: CircuitBreaker.RateOptions, message: string) =>
      assert.throws(() => CircuitBreaker.rate(options), InvalidOption, `CircuitBreaker.rate: ${message}`)
    rate({ threshold: 0 }, "threshold must be")
    rate({ window: 0 }, "window must be greater than zero, got 0")
    rate({ window: CircuitBreaker.calls(10), minimumCalls: 11 }, "minimumCalls must be an integer from 1 to 10, got 11")
    rate({ slow: { longerThan: 0 } }, "slow.longerThan must be greater than zero, got 0")
    rate({ slow: { longerThan: 5, threshold: 2 } }, "slow.threshold must be")
    rate({ slow: { longerThan: 5, thresold: 1 } as never }, "slow.thresold is not an option, did you mean threshold?")
  })
})

describe("CircuitBreaker.keyed", () => {
  it.effect("opens for the key that fails, and for no other: one bad shard is not the whole server", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed(plain)
      const call = (shard: string) =>
        (shard === "b" ? Effect.fail(unavailable) : Effect.void).pipe(breakers.protect(shard))
      yield* Effect.replicateEffect(Effect.all([call("a"), call("b"), call("c")], { mode: "either" }), 5)
      const states = yield* Effect.forEach(
        ["a", "b", "c"],
        (key) => Effect.flatMap(breakers.get(key), ({ state }) => state)
      )
      assert.deepStrictEqual(states, ["Closed", "Open", "Closed"])
      assert.instanceOf(yield* Effect.flip(call("b")), CallRejected)
    }))

  it.effect("keeps no more than maxKeys; the least recently used closed ones leave first", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed({ ...plain, maxKeys: 3 })
      const use = (key: string, self: Effect.Effect<void, Retryable> = Effect.void) =>
        Effect.ignore(breakers.protect(key)(self))
      yield* Effect.replicateEffect(use("open", Effect.fail(unavailable)), 3)
      const [open, a, b] = yield* Effect.forEach(["open", "a", "b"], breakers.get)
      yield* use("a")
      yield* use("c")
      assert.strictEqual(yield* breakers.size, 3)
      assert.strictEqual(yield* breakers.get("open"), open)
      assert.strictEqual(yield* breakers.get("a"), a)
      assert.notStrictEqual(yield* breakers.get("b"), b)
    }))

  it.effect("10,000 keys take no more room than maxKeys, be they all open", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed({ ...plain, trip: CircuitBreaker.consecutive(1), maxKeys: 50 })
      for (let i = 0; i < 10_000; i++) {
        yield* Effect.ignore(breakers.protect(`key ${i}`)(i < 1000 ? Effect.fail(unavailable) : Effect.void))
        if (i % 1000 === 0) {
          assert.isAtMost(yield* breakers.size, 50)
          yield* Effect.yieldNow()
        }
      }
      assert.strictEqual(yield* breakers.size, 50)
    }))

  it.effect("one whose opening is over, and which nobody uses any more, leaves like a closed one", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed({ ...plain, maxKeys: 2 })
      yield* Effect.replicateEffect(Effect.ignore(breakers.protect("gone")(Effect.fail(unavailable))), 3)
      const used = yield* breakers.get("used")
      yield* TestClock.adjust("1 second")
      yield* breakers.get("new")
      assert.strictEqual(yield* breakers.get("used"), used)
    }))

  it.effect("forgets a key that is removed, as when an instance is gone (Kitex breaker 101)", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed(plain)
      yield* trip(yield* breakers.get("10.0.0.1"))
      yield* breakers.remove("10.0.0.1")
      assert.strictEqual(yield* breakers.size, 0)
      yield* breakers.protect("10.0.0.1")(Effect.void)
    }))
})

describe("a circuit breaker as the gate of a call", () => {
  const run = <A, E>(
    self: Effect.Effect<A, E>,
    breaker: CircuitBreaker.CircuitBreaker,
    policy: RetryPolicy.Options
  ) => {
    const complete = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make(policy))
    const telemetry = Service.withoutLayer().telemetry
    return engine.run(self, () => ({
      gates: [breaker.gate],
      telemetry,
      method: "A.B",
      idempotencyKey: false,
      idempotent: undefined,
      policyOf: () => complete
    }))
  }
  const schedule = Schedule.spaced(100)

  it.effect("that opens with an attempt ends the call at once, before the delay, with the last error", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(plain)
      const { exit, took } = yield* play(run(Effect.fail(unavailable), breaker, { schedule }))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, error.last, took], ["CircuitOpen", 3, unavailable, 200])
    }))

  it.effect("that is open turns the call away before anything is sent; it makes one when the opening is over", () =>
    Effect.gen(function*() {
      const breaker = yield* opened()
      const exit = yield* Effect.exit(run(Effect.die("sent"), breaker, { schedule }))
      const error = failureOf(exit)
      assert.instanceOf(error, CallRejected)
      assert.deepStrictEqual([error.reason, Duration.toMillis(error.retryIn!)], ["CircuitOpen", 1000])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* run(Effect.succeed("ok"), breaker, { schedule }), "ok")
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("gets its probe back from a call that is interrupted at whatever virtual millisecond", () =>
    Effect.gen(function*() {
      for (let at = 0; at <= 40; at++) {
        const breaker = yield* opened()
        yield* TestClock.adjust("1 second")
        const fiber = yield* Effect.fork(run(Effect.delay(Effect.fail(unavailable), 30), breaker, { schedule }))
        yield* TestClock.adjust(at)
        yield* Fiber.interrupt(fiber)
        const expected = at < 30 ? "HalfOpen" : "Open"
        assert.strictEqual(yield* breaker.state, expected, `interrupted at ${at}`)
        if (expected === "HalfOpen") {
          assert.strictEqual(yield* run(Effect.succeed("ok"), breaker, { schedule }), "ok")
        }
      }
    }))

  it.effect("counts an attempt that timed out, and not one that the deadline of the call cut", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ ...plain, trip: CircuitBreaker.consecutive(100) })
      yield* play(run(Effect.never, breaker, { schedule, attemptTimeout: 100, deadline: 250 }))
      assert.strictEqual((yield* breaker.snapshot).failures, 1)
    }))
})
