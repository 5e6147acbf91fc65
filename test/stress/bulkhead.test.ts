/**
 * The bulkhead as a gate of the engine: permits always come back, who waits is served in order or turned away in time, and the limit
 * of an adaptive one follows the server.
 */
import { CallRejected, Fatal, Retryable, RetryExhausted, RetryPolicy, RetrySchedule } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import { liveServices as live } from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import * as Monotonic from "../../src/internal/ambient/monotonic.js"
import * as engine from "../../src/internal/engine/engine.js"
import * as Bulkhead from "../../src/internal/gate/bulkhead.js"
import * as Gate from "../../src/internal/gate/gate.js"
import * as Limit from "../../src/internal/gate/limit.js"
import { outcomeOf, rejectionOf } from "../../src/internal/gate/outcome.js"
import * as Service from "../../src/internal/service/service.js"
import { exhaustedOf, failureOf, play } from "../support/play.js"
import * as Random from "../support/random.js"
import { assert, describe, it } from "../support/vitest.js"
import * as Watch from "../support/watch.js"

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })
const timedOut = new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" })

const run = <A, E>(self: Effect.Effect<A, E>, gate: Gate.Gate, policy: RetryPolicy.Options = {}) => {
  const complete = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make(policy))
  const telemetry = Service.withoutLayer().telemetry
  return engine.run(self, () => ({
    gates: [gate],
    telemetry,
    method: "A.B",
    idempotencyKey: false,
    idempotent: undefined,
    policyOf: () => complete
  }))
}

/** One attempt through the gate, as the engine makes it: whether it was made. */
const attempt = <A, E>(gate: Gate.Gate, self: Effect.Effect<A, E>, deadline = Infinity) =>
  Effect.withFiberRuntime<A, E>((fiber) =>
    Gate.through(gate, new Gate.Passage(fiber.currentDefaultServices, deadline), self, Gate.turnAway)
  )

const isFull = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && rejectionOf(exit.cause)?.reason === "BulkheadFull"

const now = Effect.map(Effect.clock, Monotonic.now)

const idle = (bulkhead: Bulkhead.Bulkhead) => {
  const { inFlight, waiting } = bulkhead.snapshot()
  assert.deepStrictEqual({ inFlight, waiting }, { inFlight: 0, waiting: 0 })
}

/** Runs so many attempts of a second each, one after the other, so that the median is a second. */
const warm = (bulkhead: Bulkhead.Bulkhead, times: number, self: Effect.Effect<unknown> = Effect.sleep("1 second")) =>
  play(Effect.replicateEffect(attempt(bulkhead, self), times))

describe("a bulkhead", () => {
  it.effect("has at most as many attempts in flight as it is said, and turns away what is beyond its queue", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(3), 2)
      let most = 0
      let running = 0
      const work = Effect.acquireUseRelease(
        Effect.sync(() => {
          most = Math.max(most, ++running)
        }),
        () => Effect.sleep("10 millis"),
        () => Effect.sync(() => running--)
      )
      const { exit } = yield* play(Effect.forEach(
        Array.from({ length: 10 }),
        () => Effect.exit(attempt(bulkhead, work)),
        { concurrency: "unbounded" }
      ))
      const exits = yield* exit
      assert.deepStrictEqual(exits.map(isFull), [
        ...Array.from({ length: 5 }, () => false),
        ...Array.from({ length: 5 }, () => true)
      ])
      assert.strictEqual(most, 3)
      idle(bulkhead)
    }))

  it.effect("serves in the order in which they came, also where callers come again at once", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 100)
      const served: Array<number> = []
      const callers = Effect.forEach(
        [1, 2, 3, 4],
        (name) =>
          Effect.replicateEffect(
            attempt(bulkhead, Effect.andThen(Effect.sync(() => served.push(name)), Effect.sleep(10))),
            3
          ),
        { concurrency: "unbounded" }
      )
      yield* play(callers)
      assert.deepStrictEqual(served, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4])
    }))

  it.effect("says nothing of an attempt to come: a place may be free by then", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 0)
      yield* Effect.fork(attempt(bulkhead, Effect.never))
      yield* Effect.yieldNow()
      assert.isUndefined(bulkhead.refuses(yield* now))
    }))

  it.effect("gets its permits back from successes, failures, defects and interruptions", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(2), 0)
      for (
        const self of [Effect.void, Effect.fail("no"), Effect.die("boom"), Effect.interrupt, Effect.fail(throttled)]
      ) {
        yield* Effect.exit(attempt(bulkhead, self as Effect.Effect<void, unknown>))
        idle(bulkhead)
      }
    }))

  it.effect("waiters that gave up take no permit with them: all that come later are admitted", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      const holder = yield* Effect.fork(attempt(bulkhead, Effect.sleep("1 second")))
      yield* Effect.yieldNow()
      for (let i = 0; i < 100; i++) {
        const waiter = yield* Effect.fork(attempt(bulkhead, Effect.die("sent")))
        yield* Effect.yieldNow()
        yield* Effect.yieldNow()
        assert.strictEqual(bulkhead.snapshot().waiting, 1)
        yield* Fiber.interrupt(waiter)
        assert.strictEqual(bulkhead.snapshot().waiting, 0)
      }
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(holder)
      idle(bulkhead)
      assert.strictEqual(yield* attempt(bulkhead, Effect.succeed("admitted")), "admitted")
    }))

  it.effect("one that is interrupted in the moment in which it is granted a permit passes it on", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      const permit = Either.getOrThrow(bulkhead.admit(live, Infinity, (self) => self) as Either.Either<Gate.Permit>)
      const second = yield* Effect.fork(attempt(bulkhead, Effect.die("sent")))
      const third = yield* Effect.fork(attempt(bulkhead, Effect.succeed("served")))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      assert.strictEqual(bulkhead.snapshot().waiting, 2)
      // both before the second can go on
      permit.end("Success", Exit.void, live)
      second.unsafeInterruptAsFork(FiberId.none)
      assert.strictEqual(yield* Fiber.join(third), "served")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(second)))
      idle(bulkhead)
    }))

  it.live("100,000 waiters that are interrupted at random: every permit comes back", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(20), 100_000)
      const random = Random.make(11)
      let made = 0
      const work = Effect.suspend(() => {
        made++
        return random(2) === 0 ? Effect.void : Effect.yieldNow()
      })
      const deadline = (yield* now) + 600_000
      const waiters: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
      for (let i = 0; i < 100_000; i++) {
        waiters.push(yield* Effect.forkDaemon(attempt(bulkhead, work, random(10) === 0 ? deadline : Infinity)))
        if (random(3) === 0) {
          yield* Fiber.interruptFork(waiters[random(waiters.length)]!)
        }
      }
      while (bulkhead.snapshot().waiting > 0) {
        yield* Fiber.interruptFork(waiters[random(waiters.length)]!)
        yield* Effect.yieldNow()
      }
      const exits = yield* Fiber.awaitAll(waiters)
      idle(bulkhead)
      const interrupted = exits.filter(Exit.isInterrupted).length
      assert.isAbove(interrupted, 1000)
      assert.isAtLeast(made, 100_000 - interrupted)
      assert.isTrue(exits.every((exit) => Exit.isSuccess(exit) || Exit.isInterrupted(exit)))
    }), 600_000)

  it.live("no permit is lost where an interruption falls between two steps of admission", () =>
    Effect.gen(function*() {
      for (let maxOps = 12; maxOps < 60; maxOps++) {
        for (let yields = 0; yields < 12; yields++) {
          const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
          const holder = yield* Effect.forkDaemon(attempt(bulkhead, Effect.yieldNow()))
          // it lets others run after so many steps, wherever it is then
          const waiter = yield* Effect.forkDaemon(Effect.withMaxOpsBeforeYield(attempt(bulkhead, Effect.never), maxOps))
          yield* Effect.replicateEffect(Effect.yieldNow(), yields, { discard: true })
          waiter.unsafeInterruptAsFork(FiberId.none)
          yield* Fiber.awaitAll([holder, waiter])
          const { inFlight, waiting } = bulkhead.snapshot()
          assert.deepStrictEqual({ maxOps, yields, inFlight, waiting }, { maxOps, yields, inFlight: 0, waiting: 0 })
        }
      }
    }))
})

describe("a bulkhead and deadlines", () => {
  it.effect("one whose deadline passes in the queue is turned away at that instant, and no timer is left", () =>
    Effect.gen(function*() {
      const watch = yield* Watch.make
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      yield* Effect.fork(attempt(bulkhead, Effect.never))
      yield* Effect.yieldNow()
      const start = yield* now
      const waiter = yield* Effect.fork(
        watch.watch(Effect.zip(Effect.exit(attempt(bulkhead, Effect.die("sent"), start + 250)), now))
      )
      yield* TestClock.adjust(249)
      assert.isNull(waiter.unsafePoll())
      yield* TestClock.adjust(1)
      const [exit, at] = yield* Fiber.join(waiter)
      assert.isTrue(isFull(exit))
      assert.strictEqual(at - start, 250)
      assert.deepStrictEqual([bulkhead.snapshot().waiting, bulkhead.snapshot().inFlight], [0, 1])
      assert.deepStrictEqual([yield* watch.fibers, yield* watch.timers], [0, 0])
    }))

  it.effect("leaves no timer behind for one that is served, nor for one that is interrupted", () =>
    Effect.gen(function*() {
      const watch = yield* Watch.make
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      const deadline = (yield* now) + 60_000
      yield* Effect.fork(attempt(bulkhead, Effect.sleep(10)))
      yield* Effect.yieldNow()
      const served = yield* Effect.fork(watch.watch(attempt(bulkhead, Effect.succeed("served"), deadline)))
      const given = yield* Effect.fork(watch.watch(attempt(bulkhead, Effect.die("sent"), deadline)))
      yield* TestClock.adjust(5)
      assert.strictEqual(yield* watch.timers, 2)
      yield* Fiber.interrupt(given)
      yield* TestClock.adjust(5)
      assert.strictEqual(yield* Fiber.join(served), "served")
      assert.deepStrictEqual([yield* watch.fibers, yield* watch.timers], [0, 0])
      idle(bulkhead)
    }))

  it.effect("one that would not be answered in time does not wait: its time is shorter than the median attempt", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      yield* warm(bulkhead, 5)
      const holder = yield* Effect.fork(attempt(bulkhead, Effect.sleep("1 second")))
      yield* TestClock.adjust(100)
      const start = yield* now
      assert.isTrue(isFull(yield* Effect.exit(attempt(bulkhead, Effect.die("sent"), start + 999))))
      const inTime = yield* Effect.fork(attempt(bulkhead, Effect.succeed("served"), start + 1000))
      yield* TestClock.adjust(900)
      yield* Fiber.join(holder)
      assert.strictEqual(yield* Fiber.join(inTime), "served")
    }))

  it.effect("one that finds a permit free is admitted, however little time it has", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      yield* warm(bulkhead, 5)
      assert.strictEqual(yield* attempt(bulkhead, Effect.succeed("admitted"), (yield* now) + 1), "admitted")
    }))

  it.effect("goes by the latest attempts, and not by those that were interrupted", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      const admits = (remaining: number) =>
        Effect.gen(function*() {
          const holder = yield* Effect.fork(attempt(bulkhead, Effect.never))
          yield* Effect.yieldNow()
          const waiter = yield* Effect.fork(attempt(bulkhead, Effect.never, (yield* now) + remaining))
          yield* Effect.yieldNow()
          yield* Effect.yieldNow()
          const waits = bulkhead.snapshot().waiting === 1
          yield* Fiber.interruptAll([holder, waiter])
          return waits
        })
      yield* warm(bulkhead, 31)
      assert.deepStrictEqual([yield* admits(999), yield* admits(1000)], [false, true])
      // 16 of 31 are quicker
      yield* warm(bulkhead, 16, Effect.sleep(10))
      assert.deepStrictEqual([yield* admits(9), yield* admits(10)], [false, true])
      yield* warm(bulkhead, 40, Effect.ignore(Effect.timeout(Effect.never, "5 seconds")))
      assert.isFalse(yield* admits(4999))
    }))
})

describe("a bulkhead in the engine", () => {
  it.effect("turns a call away that finds no place, and nothing is sent", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 0)
      yield* Effect.fork(attempt(bulkhead, Effect.never))
      yield* Effect.yieldNow()
      const error = failureOf((yield* play(run(Effect.die("sent"), bulkhead))).exit)
      assert.instanceOf(error, CallRejected)
      assert.strictEqual(error.reason, "BulkheadFull")
    }))

  it.effect("holds no permit over a delay; a retry that finds no place ends the call with the last error", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 0)
      const call = yield* Effect.fork(Effect.exit(run(Effect.delay(Effect.fail(unavailable), 10), bulkhead)))
      yield* TestClock.adjust(50)
      idle(bulkhead)
      yield* Effect.fork(attempt(bulkhead, Effect.never))
      yield* TestClock.adjust("1 second")
      const error = exhaustedOf(yield* Fiber.join(call))
      assert.deepStrictEqual([error.reason, error.attempts, error.last], ["BulkheadFull", 1, unavailable])
    }))

  it.effect("waits until the deadline of the call at most", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
      yield* Effect.fork(attempt(bulkhead, Effect.never))
      yield* Effect.yieldNow()
      const { exit, took } = yield* play(run(Effect.die("sent"), bulkhead, { deadline: "2 seconds" }))
      const error = failureOf(exit)
      assert.instanceOf(error, CallRejected)
      assert.deepStrictEqual([error.reason, took], ["BulkheadFull", 2000])
    }))

  it.live(
    "interrupted at every virtual millisecond of a run: no permit, no waiter, no fiber, no timer is left",
    () =>
      Effect.forEach(
        Array.from({ length: 300 }, (_, at) => at),
        (at) =>
          Effect.gen(function*() {
            const watch = yield* Watch.make
            const bulkhead = Bulkhead.make(Limit.fixed(1), 10)
            // it waits for its turn, makes an attempt, waits for the next one, and for its turn again
            const other = yield* Effect.fork(Effect.replicateEffect(
              Effect.andThen(attempt(bulkhead, Effect.sleep(50)), Effect.sleep(20)),
              10
            ))
            yield* TestClock.adjust(10)
            const call = yield* Effect.fork(
              run(Effect.delay(Effect.fail(unavailable), 30), bulkhead, {
                schedule: RetrySchedule.exponential({ base: 25 }),
                deadline: "10 seconds",
                attemptTimeout: "1 second"
              }).pipe(watch.watch)
            )
            yield* TestClock.adjust(at)
            yield* Fiber.interrupt(call)
            assert.deepStrictEqual([at, yield* watch.fibers, yield* watch.timers], [at, 0, 0])
            assert.strictEqual(bulkhead.snapshot().waiting, 0)
            yield* TestClock.adjust("10 seconds")
            yield* Fiber.join(other)
            idle(bulkhead)
          }).pipe(Effect.provide(TestContext.TestContext)),
        { concurrency: 32, discard: true }
      ),
    600_000
  )
})

describe("what the end of an attempt says of the limit", () => {
  const history = { attempts: 1, elapsed: Duration.zero, history: [] }
  const ends: ReadonlyArray<[name: string, exit: Exit.Exit<unknown, unknown>, signal: Limit.Signal]> = [
    ["a success", Exit.void, "Answered"],
    ["a domain error", Exit.fail("no such user"), "Answered"],
    ["Fatal", Exit.fail(new Fatal({ reason: "NotFound", message: "no" })), "Answered"],
    ["Throttled", Exit.fail(throttled), "Overloaded"],
    ["AttemptTimeout", Exit.fail(timedOut), "Overloaded"],
    [
      "Throttled beside another failure",
      Exit.failCause(Cause.parallel(Cause.fail("no"), Cause.fail(throttled))),
      "Overloaded"
    ],
    ["an open circuit inside", Exit.fail(new CallRejected({ reason: "CircuitOpen" })), "Overloaded"],
    ["a throttle inside", Exit.fail(new CallRejected({ reason: "Throttled" })), "Overloaded"],
    [
      "a circuit that opened inside",
      Exit.fail(new RetryExhausted({ reason: "CircuitOpen", last: unavailable, ...history })),
      "Overloaded"
    ],
    [
      "retries inside that were throttled to the end",
      Exit.fail(new RetryExhausted({ reason: "AttemptsExhausted", last: throttled, ...history })),
      "Overloaded"
    ],
    [
      "a call inside that its deadline cut",
      Exit.fail(new RetryExhausted({ reason: "DeadlineExceeded", last: timedOut, ...history })),
      "Neither"
    ],
    ["a full bulkhead inside", Exit.fail(new CallRejected({ reason: "BulkheadFull" })), "Neither"],
    ["Unavailable", Exit.fail(unavailable), "Neither"],
    ["a defect", Exit.die("boom"), "Neither"]
  ]
  for (const [name, exit, signal] of ends) {
    it(`${name}: ${signal}`, () => {
      assert.strictEqual(Limit.signalOf(outcomeOf(exit), exit), signal)
    })
  }
})

const adaptive = (options: Partial<Parameters<typeof Limit.adaptive>[0]> = {}) =>
  Limit.adaptive({ floor: 1, ceiling: 100, start: 10, decrease: 0.5, ...options })

describe("an adaptive limit", () => {
  const answered = (limit: Limit.Limit, times: number, inFlight: number) => {
    for (let i = 0; i < times; i++) {
      limit.ended("Answered", limit.epoch(), inFlight)
    }
  }

  it("grows by one for as many answers as it is", () => {
    const limit = adaptive()
    answered(limit, 11, 10)
    assert.strictEqual(limit.current(), 11)
    answered(limit, 12, 11)
    assert.strictEqual(limit.current(), 12)
  })

  it("does not grow while less than half of it is in use, not in the longest time", () => {
    const limit = adaptive()
    answered(limit, 100_000, 4)
    assert.strictEqual(limit.current(), 10)
    answered(limit, 11, 6)
    assert.strictEqual(limit.current(), 11)
  })

  it("is lowered once by all the attempts of one round trip that fail", () => {
    const limit = adaptive({ start: 64 })
    const epoch = limit.epoch()
    for (let i = 0; i < 64; i++) {
      limit.ended("Overloaded", epoch, 64)
    }
    assert.strictEqual(limit.current(), 32)
    limit.ended("Overloaded", limit.epoch(), 32)
    assert.strictEqual(limit.current(), 16)
  })

  it("is not raised by answers to attempts that were admitted before it was lowered", () => {
    const limit = adaptive()
    const epoch = limit.epoch()
    limit.ended("Overloaded", epoch, 10)
    for (let i = 0; i < 100; i++) {
      limit.ended("Answered", epoch, 10)
    }
    assert.strictEqual(limit.current(), 5)
  })

  it("stays between floor and ceiling", () => {
    const limit = adaptive({ floor: 3, ceiling: 12 })
    for (let i = 0; i < 100; i++) {
      limit.ended("Overloaded", limit.epoch(), 10)
      assert.isAtLeast(limit.current(), 3)
    }
    assert.strictEqual(limit.current(), 3)
    answered(limit, 10_000, 100)
    assert.strictEqual(limit.current(), 12)
    assert.deepStrictEqual([limit.floor, limit.ceiling], [3, 12])
  })

  it.effect("is not changed by an attempt that is interrupted, nor by one that the deadline of its call cut", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(adaptive({ start: 1 }), 0)
      for (let i = 0; i < 20; i++) {
        const fiber = yield* Effect.fork(attempt(bulkhead, Effect.never))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        yield* play(run(Effect.never, bulkhead, { deadline: 10 }))
      }
      assert.strictEqual(bulkhead.snapshot().limit, 1)
      idle(bulkhead)
    }))

  it.effect("admits no more than the lowered limit, and who waits gets the places of the raised one", () =>
    Effect.gen(function*() {
      const bulkhead = Bulkhead.make(adaptive({ start: 4, decrease: 0.5 }), 10)
      const slow = yield* Effect.forkAll(Array.from({ length: 3 }, () => attempt(bulkhead, Effect.sleep(100))))
      yield* Effect.fork(Effect.ignore(attempt(bulkhead, Effect.delay(Effect.fail(throttled), 10))))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual([bulkhead.snapshot().limit, bulkhead.snapshot().inFlight], [2, 3])
      const later = yield* Effect.forkAll(Array.from({ length: 4 }, () => attempt(bulkhead, Effect.sleep(100))))
      yield* TestClock.adjust(89)
      assert.strictEqual(bulkhead.snapshot().waiting, 4)
      yield* TestClock.adjust(1)
      assert.strictEqual(bulkhead.snapshot().inFlight, 2)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual([bulkhead.snapshot().limit, bulkhead.snapshot().inFlight], [2, 2])
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll([slow, later])
      idle(bulkhead)
    }))
})

describe("the limit under load", () => {
  interface Answer {
    readonly takes: number
    readonly signal: Limit.Signal
  }

  /**
   * Makes an attempt every few milliseconds, of which up to 50 wait; others are turned away. Returns the limits after each second.
   *
   * - `server`: what it does with an attempt that is sent at an instant.
   */
  const load = (limit: Limit.Limit, every: number, seconds: number, server: (now: number) => Answer) => {
    const limits: Array<number> = []
    const ends = new Map<number, Array<() => void>>()
    let inFlight = 0
    let waiting = 0
    const start = (now: number) => {
      const epoch = limit.epoch()
      const startedWith = ++inFlight
      const { signal, takes } = server(now)
      const at = now + Math.ceil(takes)
      ends.set(at, [...(ends.get(at) ?? []), () => {
        limit.ended(signal, epoch, Math.max(startedWith, inFlight))
        inFlight--
      }])
    }
    for (let now = 0; now < seconds * 1000; now++) {
      ends.get(now)?.forEach((end) => end())
      ends.delete(now)
      waiting = Math.min(50, waiting + (now % every === 0 ? 1 : 0))
      for (; waiting > 0 && inFlight < limit.current(); waiting--) {
        start(now)
      }
      if (now % 1000 === 999) {
        limits.push(limit.current())
      }
    }
    return limits
  }

  /** A server that works on ten at a time, for 100 ms each, and has others wait: 100 a second. */
  const makeServer = () => {
    const freeAt = Array.from({ length: 10 }, () => 0)
    return {
      /** How long an attempt would wait. */
      delay: (now: number) => Math.max(0, Math.min(...freeAt) - now),
      /** When an attempt is done with. */
      serve: (now: number) => {
        const worker = freeAt.indexOf(Math.min(...freeAt))
        freeAt[worker] = Math.max(now, freeAt[worker]!) + 100
        return freeAt[worker] - now
      }
    }
  }

  it("does not grow without end under a modest overload of a server that refuses what is too much", () => {
    const server = makeServer()
    // 125 a second; ten may wait
    const limits = load(adaptive({ ceiling: 1000, decrease: 0.7 }), 8, 600, (now) =>
      server.delay(now) >= 100
        ? { takes: 1, signal: "Overloaded" }
        : { takes: server.serve(now), signal: "Answered" })
    assert.isAtMost(Math.max(...limits), 22)
    assert.isAtLeast(Math.min(...limits.slice(20)), 10)
  })

  it("does not grow without end under a modest overload of a server that only becomes slower", () => {
    const server = makeServer()
    const limits = load(adaptive({ ceiling: 1000, decrease: 0.7 }), 8, 600, (now) => {
      const takes = server.serve(now)
      return takes > 1000 ? { takes: 1000, signal: "Overloaded" } : { takes, signal: "Answered" }
    })
    // within the second of the timeout it does 100
    assert.isAtMost(Math.max(...limits), 110)
    assert.isAtLeast(Math.min(...limits.slice(20)), 10)
  })

  it("goes to the floor under constant timeouts, stays there, and comes back when the server does", () => {
    const limit = adaptive({ start: 100, floor: 2, decrease: 0.7 })
    const limits = load(limit, 5, 120, () => ({ takes: 500, signal: "Overloaded" }))
    assert.deepStrictEqual(new Set(limits.slice(20)), new Set([2]))
    // 200 a second, 100 ms each, are 20 in flight
    const recovered = load(limit, 5, 60, () => ({ takes: 100, signal: "Answered" }))
    assert.isAtLeast(recovered.at(-1)!, 20)
    assert.isAtMost(recovered.at(-1)!, 41)
  })

  it("does not grow by timeouts in place of answers, as a limit does that is led by how long attempts take", () => {
    const limits = load(adaptive(), 5, 600, () => ({ takes: 500, signal: "Overloaded" }))
    assert.isAtMost(Math.max(...limits), 10)
    assert.strictEqual(limits.at(-1), 1)
  })
})
