/**
 * Interrupting a call whose policy has a throttle, a circuit breaker and a bulkhead, at every virtual millisecond of its run, loses no
 * permit and no probe, and leaves no timer and no fiber.
 */
import {
  Bulkhead,
  CircuitBreaker,
  Retryable,
  RetryBudget,
  type RpcRetry,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { assert, atEpoch, describe, it } from "../support/vitest.js"
import * as Watch from "../support/watch.js"

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
const tenMillis = <A, E>(end: Effect.Effect<A, E>) => Effect.andThen(Effect.sleep(10), end)

/** The permit of the bulkhead is held by another call from the one instant to the other. */
const occupied = [[0, 20], [125, 150]] as const

/**
 * 0 to 20 in the queue, the first attempt to 30, a delay to 130, in the queue to 150, the second attempt, which opens the breaker, to 160, a
 * delay to 310, in which the opening ends, and the third attempt, a probe, to 320.
 */
const attempts = [[20, 30], [150, 160], [310, 320]] as const
const runTakes = 320

const within = (at: number, spans: ReadonlyArray<readonly [from: number, to: number]>) =>
  spans.filter(([from, to]) => from <= at && at < to).length
const startedBy = (at: number) => attempts.filter(([from]) => from <= at).length
/** A retry is paid before its delay, and what is paid for one that is not made comes back. */
const paidBy = (at: number) => Math.max(0, startedBy(at) - 1)

const gates = Effect.gen(function*() {
  const throttle = yield* Throttle.make()
  const breaker = yield* CircuitBreaker.make({
    trip: CircuitBreaker.consecutive(2),
    openFor: "100 millis",
    jitter: 0,
    rampUp: 0,
    probeLease: "1 hour"
  })
  const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
  const budget = yield* RetryBudget.make({ capacity: 10, regainEvery: "100000 days" })
  for (const [from, to] of occupied) {
    yield* Effect.fork(Effect.delay(Effect.sleep(to - from).pipe(Bulkhead.protect(bulkhead)), from))
  }
  yield* TestClock.adjust(0)
  const script = yield* Faults.script([
    tenMillis(Effect.fail(unavailable)),
    tenMillis(Effect.fail(unavailable)),
    tenMillis(Effect.succeed("answer"))
  ])
  return { throttle, breaker, bulkhead, budget, script }
})

const schedule = Schedule.fromDelays(100, 150)

const policies: Record<string, RpcRetry.Options> = {
  "no timeouts": { schedule, logs: false },
  "attempt timeout and deadline": { schedule, logs: false, attemptTimeout: "15 millis", deadline: "2 seconds" }
}

describe("an interruption at every virtual millisecond of a call with a throttle, a breaker and a bulkhead", () => {
  for (const [name, policy] of Object.entries(policies)) {
    it.live(`${name}: no permit, no probe, no retry paid, no timer, no fiber is left`, () =>
      Effect.forEach(
        Array.from({ length: runTakes }, (_, i) => i),
        (at) =>
          Effect.provide(
            atEpoch(() =>
              Effect.gen(function*() {
                const watch = yield* Watch.make
                const { breaker, budget, bulkhead, script, throttle } = yield* gates
                const call = script.pipe(withRpcRetry({ ...policy, throttle, breaker, bulkhead, budget }))
                const fiber = yield* Effect.fork(watch.watch(call))
                yield* TestClock.adjust(at)
                assert.strictEqual(yield* script.attempts, startedBy(at), `attempts started by ${at}`)
                const before = yield* breaker.state
                assert.strictEqual(before, at < 160 ? "Closed" : at < 260 ? "Open" : "HalfOpen", `state at ${at}`)

                const exit = yield* Fiber.interrupt(fiber)

                assert.isTrue(Exit.isInterrupted(exit), `interrupted at ${at}`)
                assert.strictEqual(yield* watch.fibers, 0, `fibers left at ${at}`)
                assert.strictEqual(yield* watch.timers, 0, `timers left at ${at}`)
                assert.strictEqual(yield* bulkhead.waiting, 0, `waiting in the bulkhead at ${at}`)
                assert.strictEqual(yield* bulkhead.inFlight, within(at, occupied), `permits held by others at ${at}`)
                assert.strictEqual(yield* throttle.calls, 0, `calls that the throttle has counted at ${at}`)
                assert.approximately(yield* budget.level, 10 - paidBy(at), 1e-6, `budget at ${at}`)
                if (before === "HalfOpen") {
                  // the only probe, whose lease is not over for long
                  const probe = Effect.succeed("up").pipe(withRpcRetry({ breaker }))
                  assert.strictEqual(yield* probe, "up", `the probe at ${at}`)
                  assert.strictEqual(yield* breaker.state, "Closed")
                }
                yield* TestClock.adjust("1 hour")
                assert.strictEqual(yield* script.attempts, startedBy(at), `attempts after an interruption at ${at}`)
                assert.strictEqual(yield* bulkhead.inFlight, 0, `permits in the end, interrupted at ${at}`)
                const next = Effect.succeed("next").pipe(withRpcRetry({ breaker, bulkhead, throttle }))
                assert.strictEqual(yield* next, "next")
              })
            ),
            TestContext.TestContext
          ),
        { concurrency: 32, discard: true }
      ))
  }

  for (const [name, policy] of Object.entries(policies)) {
    it.effect(`${name}: the run itself is as these tests take it to be`, () =>
      Effect.gen(function*() {
        const { breaker, budget, bulkhead, script, throttle } = yield* gates
        const call = script.pipe(withRpcRetry({ ...policy, throttle, breaker, bulkhead, budget }))
        const fiber = yield* Effect.fork(call)
        for (let at = 0; at < runTakes; at++) {
          yield* TestClock.adjust(at === 0 ? 0 : 1)
          assert.strictEqual(yield* bulkhead.inFlight, within(at, [...occupied, ...attempts]), `in flight at ${at}`)
          assert.strictEqual(yield* bulkhead.waiting, within(at, [[0, 20], [130, 150]]), `waiting at ${at}`)
        }
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(fiber.unsafePoll(), Exit.succeed("answer"))
        assert.deepStrictEqual([yield* breaker.state, yield* throttle.calls, yield* throttle.accepts], ["Closed", 1, 1])
      }))
  }
})
