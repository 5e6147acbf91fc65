import { CallRejected, Fatal, InvalidOption, Retryable, RetryExhausted, Throttle, withRpcRetry } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/TestClock"
import { assert, describe, it } from "./support/vitest.js"

/** What plain JavaScript, or a cast, lets through. */
const any = (value: unknown) => value as never

const retryable = (reason: Retryable["reason"]) => new Retryable({ reason, delivery: "NotSent" })
const history = { attempts: 1, elapsed: Duration.zero, history: [] }

describe("Throttle.make", () => {
  const refused: ReadonlyArray<[options: unknown, message: string]> = [
    [{ k: 1.4 }, "k must be a number of at least 1.5, got 1.4"],
    [{ k: Infinity }, "k must be a number of at least 1.5, got Infinity"],
    [{ window: 0 }, "window must be greater than zero, got 0"],
    [{ windw: 1 }, "windw is not an option, did you mean window?"],
    [5, "options must be an object, got 5"]
  ]
  for (const [options, message] of refused) {
    it(`refuses ${JSON.stringify(options)}: ${message}`, () => {
      assert.throws(() => Throttle.make(any(options)), InvalidOption, `Throttle.make: ${message}`)
    })
  }

  it.effect("makes a throttle that has seen nothing", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make({ k: 2, window: "1 minute" })
      assert.isTrue(throttle.pipe(Throttle.isThrottle))
      assert.isFalse(Throttle.isThrottle({}))
      assert.deepStrictEqual(yield* Effect.all([throttle.calls, throttle.accepts, throttle.rejecting]), [0, 0, 0])
    }))
})

describe("Throttle.protect", () => {
  const ends: ReadonlyArray<[name: string, exit: Exit.Exit<unknown, unknown>, calls: number, accepts: number]> = [
    ["a success is accepted", Exit.void, 1, 1],
    ["a domain error is accepted", Exit.fail("no such user"), 1, 1],
    ["Fatal is accepted", Exit.fail(new Fatal({ reason: "ServerError", message: "no" })), 1, 1],
    ["a defect is accepted", Exit.die("boom"), 1, 1],
    ["Retryable Custom, an answer that is not wanted, is accepted", Exit.fail(retryable("Custom")), 1, 1],
    ["Retryable Throttled is refused", Exit.fail(retryable("Throttled")), 1, 0],
    ["Retryable Unavailable is refused", Exit.fail(retryable("Unavailable")), 1, 0],
    ["Retryable AttemptTimeout is refused", Exit.fail(retryable("AttemptTimeout")), 1, 0],
    ["Retryable ConnectionRefused is refused", Exit.fail(retryable("ConnectionRefused")), 1, 0],
    ["Retryable ConnectionLost is refused", Exit.fail(retryable("ConnectionLost")), 1, 0],
    [
      "RetryExhausted is what its last error is: refused",
      Exit.fail(new RetryExhausted({ reason: "AttemptsExhausted", last: retryable("Unavailable"), ...history })),
      1,
      0
    ],
    [
      "RetryExhausted is what its last error is: accepted",
      Exit.fail(new RetryExhausted({ reason: "AttemptsExhausted", last: retryable("Custom"), ...history })),
      1,
      1
    ],
    ["an open circuit is refused", Exit.fail(new CallRejected({ reason: "CircuitOpen" })), 1, 0],
    ["a full bulkhead is no call at all", Exit.fail(new CallRejected({ reason: "BulkheadFull" })), 0, 0],
    ["a deadline that had passed is no call at all", Exit.fail(new CallRejected({ reason: "DeadlineExceeded" })), 0, 0],
    ["an interruption is no call at all", Exit.interrupt(any({ _tag: "None" })), 0, 0]
  ]
  for (const [name, exit, calls, accepts] of ends) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make()
        yield* Effect.exit(Throttle.protect(exit, throttle))
        assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [calls, accepts])
      }))
  }

  it.effect("rejects with CallRejected Throttled, without running the effect, and counts that as a call", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const fail = Effect.ignore(Throttle.protect(Effect.fail(retryable("Throttled")), throttle))
      yield* Effect.replicateEffect(fail, 10)
      assert.strictEqual(yield* throttle.rejecting, 0.9)
      let ran = 0
      const call = Effect.sync(() => ran++).pipe(Throttle.protect(throttle), Effect.withRandom(Random.fixed([0])))
      assert.deepStrictEqual(yield* Effect.flip(call), new CallRejected({ reason: "Throttled" }))
      assert.deepStrictEqual([ran, yield* throttle.calls], [0, 11])
      yield* TestClock.adjust("1 second")
      yield* call
      assert.strictEqual(ran, 1, "one a second is let through")
    }).pipe(Effect.withRandom(Random.fixed([0.95]))))

  it.effect("is not retried, and lets retries be: it is told of calls", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const call = Effect.fail(retryable("Unavailable")).pipe(withRpcRetry, Throttle.protect(throttle))
      const fiber = yield* Effect.fork(Effect.exit(call))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [1, 0])
    }))

  it.effect("forgets a call that is interrupted in flight", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const fiber = yield* Effect.fork(Throttle.protect(Effect.never, throttle))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* throttle.calls, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* throttle.calls, 0)
    }))

  it.effect(
    "on virtual time: sends twice what is accepted, and almost all again soon after the server recovers",
    () =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make({ k: 2, window: "20 seconds" })
        let sent = 0
        let accepts = 2
        const call = Effect.suspend(() => ++sent <= accepts ? Effect.void : Effect.fail(retryable("Throttled"))).pipe(
          Throttle.protect(throttle),
          Effect.ignore
        )
        // twenty calls in each tenth of a second
        const tick = Effect.suspend(() => {
          sent = 0
          return Effect.andThen(
            Effect.replicateEffect(call, 20),
            Effect.andThen(TestClock.adjust(100), Effect.sync(() => sent))
          )
        })
        const perTick = (ticks: number) =>
          Effect.map(Effect.replicateEffect(tick, ticks), (all) => all.reduce((sum, n) => sum + n) / ticks)
        yield* perTick(300)
        assert.approximately(yield* perTick(200), 4, 0.4)
        accepts = 20
        // a window later
        yield* perTick(200)
        assert.isAtLeast(yield* perTick(50), 19)
      }).pipe(Effect.withRandom(Random.make("throttle"))),
    600_000
  )
})
