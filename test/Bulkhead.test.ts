import { Bulkhead, CallRejected, Deadline, InvalidOption, Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { pipe } from "effect/Function"
import * as TestClock from "effect/TestClock"
import { play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

/** What plain JavaScript, or a cast, lets through. */
const any = (value: unknown) => value as never

const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })

const rejected = new CallRejected({ reason: "BulkheadFull" })

const state = (bulkhead: Bulkhead.Bulkhead) => Effect.all([bulkhead.limit, bulkhead.inFlight, bulkhead.waiting])

describe("Bulkhead.make", () => {
  const refused: ReadonlyArray<[options: unknown, message: string]> = [
    [{ concurrency: 0, queue: 0 }, "concurrency must be an integer of at least 1, got 0"],
    [{ concurrency: 1.5, queue: 0 }, "concurrency must be an integer of at least 1, got 1.5"],
    [{ concurrency: NaN, queue: 0 }, "concurrency must be an integer of at least 1, got NaN"],
    [{ queue: 0 }, "concurrency must be an integer of at least 1, got undefined"],
    [{ concurrency: 1 }, "queue must be an integer of at least 0, got undefined"],
    [{ concurrency: 1, queue: -1 }, "queue must be an integer of at least 0, got -1"],
    [{ concurrency: 1, queue: Infinity }, "queue must be an integer of at least 0, got Infinity"],
    [{ concurrency: 1, queu: 1 }, "queu is not an option, did you mean queue?"],
    [{ concurrency: 1, queue: 1, adaptive: 5 }, "adaptive must be an object, got 5"],
    [
      { concurrency: 1, queue: 1, adaptive: { flor: 1 } },
      "adaptive.flor is not an option, did you mean floor?"
    ],
    [{ concurrency: 4, queue: 1, adaptive: { floor: 5 } }, "adaptive.floor must be an integer from 1 to 4, got 5"],
    [
      { concurrency: 4, queue: 1, adaptive: { floor: 2, start: 1 } },
      "adaptive.start must be an integer from 2 to 4, got 1"
    ],
    [
      { concurrency: 4, queue: 1, adaptive: { decrease: 1 } },
      "adaptive.decrease must be a number from 0.1 to 0.9, got 1"
    ],
    [undefined, "options must be an object, got undefined"]
  ]
  for (const [options, message] of refused) {
    it(`refuses ${JSON.stringify(options)}: ${message}`, () => {
      assert.throws(() => Bulkhead.make(any(options)), InvalidOption, message)
    })
  }

  it.effect("makes a bulkhead of its own each time", () =>
    Effect.gen(function*() {
      const make = Bulkhead.make({ concurrency: 1, queue: 0 })
      const [first, second] = [yield* make, yield* make]
      yield* Effect.fork(Bulkhead.protect(Effect.never, first))
      yield* Effect.yieldNow()
      assert.deepStrictEqual([yield* state(first), yield* state(second)], [[1, 1, 0], [1, 0, 0]])
      assert.isTrue(Bulkhead.isBulkhead(first))
      assert.isFalse(Bulkhead.isBulkhead({}))
      assert.strictEqual(first.pipe(Bulkhead.isBulkhead), true)
    }))

  it.effect("an adaptive one tells its floor, its ceiling and the current limit", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({
        concurrency: 10,
        queue: 0,
        adaptive: { floor: 2, start: 8, decrease: 0.5 }
      })
      assert.deepStrictEqual([bulkhead.floor, bulkhead.ceiling, yield* bulkhead.limit], [2, 10, 8])
      yield* Effect.ignore(Bulkhead.protect(Effect.fail(throttled), bulkhead))
      assert.strictEqual(yield* bulkhead.limit, 4)
      const fixed = yield* Bulkhead.make({ concurrency: 10, queue: 0 })
      assert.deepStrictEqual([fixed.floor, fixed.ceiling], [10, 10])
      const byDefault = yield* Bulkhead.make({ concurrency: 10, queue: 0, adaptive: true })
      yield* Effect.ignore(Bulkhead.protect(Effect.fail(throttled), byDefault))
      assert.deepStrictEqual([byDefault.floor, byDefault.ceiling, yield* byDefault.limit], [1, 10, 7])
    }))
})

describe("Bulkhead.protect", () => {
  it.effect("works on any effect, in each of its forms, and leaves its end as it is", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      assert.strictEqual(yield* Effect.succeed(1).pipe(Bulkhead.protect(bulkhead)), 1)
      assert.strictEqual(yield* Effect.flip(Bulkhead.protect(Effect.fail("no"), bulkhead)), "no")
      assert.deepStrictEqual(
        yield* Effect.exit(pipe(Effect.die("boom"), Bulkhead.protect(bulkhead))),
        Exit.die("boom")
      )
      assert.deepStrictEqual(yield* state(bulkhead), [1, 0, 0])
    }))

  it.effect("fails with CallRejected BulkheadFull when the queue is full, without running the effect", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      yield* Effect.fork(Bulkhead.protect(Effect.never, bulkhead))
      yield* Effect.fork(Bulkhead.protect(Effect.never, bulkhead))
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      assert.deepStrictEqual(yield* state(bulkhead), [1, 1, 1])
      assert.deepStrictEqual(yield* Effect.flip(Bulkhead.protect(Effect.die("ran"), bulkhead)), rejected)
    }))

  it.effect("does not run what a permit comes for when its deadline has passed, and hands the permit on", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      let busyFor = 0n
      const busy: typeof clock = Object.assign(Object.create(clock) as typeof clock, {
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() + busyFor
      })
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 2 })
      // it keeps the process busy for a second, so that no timer fires before the permit is back
      const holder = Effect.sync(() => {
        busyFor = 1_000_000_000n
      })
      yield* Effect.fork(holder.pipe(Effect.delay(50), Bulkhead.protect(bulkhead)))
      yield* Effect.yieldNow()
      let ran = 0
      const late = Bulkhead.protect(Effect.sync(() => ran++), bulkhead).pipe(
        Deadline.within(200),
        Effect.withClock(busy),
        Effect.flip
      )
      const rejected = yield* Effect.fork(late)
      yield* Effect.yieldNow()
      const patient = yield* Effect.fork(Bulkhead.protect(Effect.succeed("patient"), bulkhead))
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(
        [(yield* Fiber.join(rejected)).reason, ran, yield* Fiber.join(patient), yield* bulkhead.inFlight],
        ["BulkheadFull", 0, "patient", 0]
      )
    }))

  it.effect("waits until the deadline in force at most", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 10 })
      yield* Effect.fork(Bulkhead.protect(Effect.never, bulkhead))
      yield* Effect.yieldNow()
      const call = Effect.die("ran").pipe(Bulkhead.protect(bulkhead), Deadline.within("300 millis"))
      const { exit, took } = yield* play(call)
      assert.deepStrictEqual([exit, took], [Exit.fail(rejected), 300])
    }))

  it.effect("inside of withRpcRetry each attempt takes a permit of its own, and none is held over a delay", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const call = Effect.delay(Effect.fail(throttled), "10 millis").pipe(Bulkhead.protect(bulkhead), withRpcRetry)
      const fiber = yield* Effect.fork(Effect.flip(call))
      yield* TestClock.adjust(5)
      assert.deepStrictEqual(yield* state(bulkhead), [1, 1, 0])
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(yield* state(bulkhead), [1, 0, 0])
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag === "RetryExhausted" && error.attempts, 4)
    }))

  it.effect("is not retried when it turns away", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      yield* Effect.fork(Bulkhead.protect(Effect.never, bulkhead))
      yield* Effect.yieldNow()
      const { exit, took } = yield* play(Effect.void.pipe(Bulkhead.protect(bulkhead), withRpcRetry))
      assert.deepStrictEqual([exit, took], [Exit.fail(rejected), 0])
    }))

  it.effect("gives the permit back when the effect is interrupted, once its finalizers have run", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 10 })
      const slow = Effect.onInterrupt(Effect.never, () => Effect.sleep(Duration.millis(100)))
      const fiber = yield* Effect.fork(Bulkhead.protect(slow, bulkhead))
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(fiber)
      yield* TestClock.adjust(99)
      assert.strictEqual(yield* bulkhead.inFlight, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* bulkhead.inFlight, 0)
    }))

  it.effect("does not lose a permit that is granted between two steps of joining the queue", () =>
    Effect.forEach(Array.from({ length: 200 }, (_, i) => i), (i) =>
      Effect.gen(function*() {
        const turns = i % 20
        // below ten a fiber only yields
        const steps = 10 + Math.floor(i / 20)
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
        const holder = yield* Effect.fork(Bulkhead.protect(Effect.repeatN(Effect.yieldNow(), turns), bulkhead))
        yield* Effect.yieldNow()
        const waiter = yield* Effect.succeed("ran").pipe(
          Bulkhead.protect(bulkhead),
          Deadline.within("1 minute"),
          Effect.withMaxOpsBeforeYield(steps),
          Effect.fork
        )
        yield* Fiber.join(holder)
        assert.strictEqual(yield* Fiber.join(waiter), "ran")
        assert.deepStrictEqual(yield* state(bulkhead), [1, 0, 0])
      })))

  /** Makes one attempt after the other, of so many milliseconds each. */
  const attempts = (bulkhead: Bulkhead.Bulkhead, times: ReadonlyArray<number>) =>
    Effect.forEach(times, (millis) => play(Bulkhead.protect(Effect.sleep(millis), bulkhead)), { discard: true })

  /** How long a caller with `millis` left waits for a place that it does not get. */
  const waits = (bulkhead: Bulkhead.Bulkhead, millis: number) =>
    Effect.gen(function*() {
      const other = yield* Effect.fork(Bulkhead.protect(Effect.never, bulkhead))
      yield* Effect.yieldNow()
      const { exit, took } = yield* play(Effect.void.pipe(Bulkhead.protect(bulkhead), Deadline.within(millis)))
      assert.deepStrictEqual(exit, Exit.fail(rejected))
      yield* Fiber.interrupt(other)
      return took
    })

  it.effect("turns away at once who has less time than the median of the latest attempts, in whatever order they were", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 10 })
      yield* attempts(bulkhead, [100, 20, 30])
      assert.deepStrictEqual([yield* waits(bulkhead, 29), yield* waits(bulkhead, 30)], [0, 30])
      yield* attempts(bulkhead, Array.from({ length: 31 }, () => 10))
      assert.deepStrictEqual([yield* waits(bulkhead, 9), yield* waits(bulkhead, 10)], [0, 10])
    }))

  it.effect("does not take how long an attempt was interrupted after for how long attempts take", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 10 })
      yield* attempts(bulkhead, [10])
      for (let i = 0; i < 3; i++) {
        const fiber = yield* Effect.fork(Bulkhead.protect(Effect.never, bulkhead))
        yield* TestClock.adjust(500)
        yield* Fiber.interrupt(fiber)
      }
      assert.strictEqual(yield* waits(bulkhead, 50), 50)
    }))

  it.effect("an adaptive one is in use to the half where an attempt begins or ends among so many", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 10, queue: 0, adaptive: { start: 4 } })
      const round = Effect.forEach(
        [1, 2, 3, 4],
        (at) => Effect.delay(Bulkhead.protect(Effect.sleep(10), bulkhead), at),
        { concurrency: "unbounded" }
      )
      yield* play(round)
      yield* play(round)
      assert.strictEqual(yield* bulkhead.limit, 5)
    }))
})
