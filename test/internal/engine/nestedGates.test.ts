/**
 * Gates around calls that are made within attempts of other calls, and attempts that wait behind one gate for another.
 */
import {
  Bulkhead,
  CallRejected,
  CircuitBreaker,
  Retryable,
  RetryPolicy,
  RpcRetry,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })
const once = { schedule: Schedule.stop }

describe("calls within attempts of other calls to the same destination", () => {
  it.effect("let a breaker recover: the inner call does not wait for the probe that the outer one holds", () =>
    Effect.gen(function*() {
      let isUp = false
      const inner = Effect.suspend(() => isUp ? Effect.succeed("up") : Effect.fail(refused)).pipe(
        withRpcRetry({ method: "Users.Get", ...once })
      )
      const outer = inner.pipe(Effect.map((answer) => answer), withRpcRetry({ method: "Users.List", ...once }))
      const program = Effect.gen(function*() {
        yield* Effect.replicateEffect(Effect.exit(outer), 5)
        assert.instanceOf(yield* Effect.flip(outer), CallRejected)
        isUp = true
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* outer, "up")
      })
      yield* program.pipe(
        Effect.provide(RpcRetry.layer({ breaker: { trip: CircuitBreaker.consecutive(3), rampUp: 0 } }))
      )
    }))

  it.effect("do not wait in a bulkhead for the permit that is held for them", () =>
    Effect.gen(function*() {
      const inner = Effect.succeed(1).pipe(withRpcRetry({ method: "Users.Get" }))
      const outer = inner.pipe(Effect.map((n) => n + 1), withRpcRetry({ method: "Users.List" }))
      const { exit } = yield* play(
        Effect.all([outer, outer, outer], { concurrency: 3 }).pipe(
          Effect.provide(RpcRetry.layer({ bulkhead: { concurrency: 1, queue: 10 } }))
        )
      )
      assert.deepStrictEqual(exit._tag === "Success" ? exit.value : exit.cause, [2, 2, 2])
    }))

  it.effect("do not wait in a bulkhead that protects both", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const both = Effect.succeed(1).pipe(Bulkhead.protect(bulkhead), Bulkhead.protect(bulkhead))
      assert.strictEqual(yield* both, 1)
      assert.strictEqual(yield* bulkhead.inFlight, 0)
    }))
})

describe("gates and what fails in parallel", () => {
  it.effect("an attempt that fails beside others, which are interrupted for it, counts as failed", () =>
    Effect.gen(function*() {
      const parallel = Effect.all([Effect.andThen(Effect.sleep(5), Effect.fail(refused)), Effect.never], {
        concurrency: 2
      })
      const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(3), openFor: "1 day" })
      const throttle = yield* Throttle.make({ window: "30 days" })
      yield* play(Effect.exit(parallel.pipe(withRpcRetry({ breaker, throttle }))))
      assert.strictEqual(yield* breaker.state, "Open")
      assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [1, 0])
    }))
})

describe("an attempt that waits behind its breaker for a permit of the bulkhead", () => {
  it.effect("is not slow for the time in the queue", () =>
    Effect.gen(function*() {
      const call = Effect.sleep(100).pipe(withRpcRetry({ method: "Users.Get" }))
      const trip = CircuitBreaker.rate({ slow: { longerThan: 500, threshold: 0.5 }, minimumCalls: 10 })
      const program = Effect.gen(function*() {
        const { exit } = yield* play(Effect.all(Array.from({ length: 40 }, () => call), { concurrency: "unbounded" }))
        assert.strictEqual(exit._tag, "Success")
        assert.strictEqual((yield* RpcRetry.inspect).breakers.at(-1)!.state, "Closed")
      })
      yield* program.pipe(
        Effect.provide(RpcRetry.layer({ breaker: { trip }, bulkhead: { concurrency: 1, queue: 100 } }))
      )
    }))

  it.effect("is retried after the delay, as behind the breaker alone", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      let sent = 0
      const call = Effect.suspend(() => ++sent < 3 ? Effect.fail(refused) : Effect.succeed(sent))
      const { exit, took } = yield* play(call.pipe(withRpcRetry({ breaker, bulkhead })))
      assert.deepStrictEqual([exit, took], [Exit.succeed(3), 250])
    }))

  it.effect("is not sent when the breaker has opened meanwhile", () =>
    Effect.gen(function*() {
      let sent = 0
      const call = Effect.suspend(() => {
        sent++
        return Effect.andThen(Effect.sleep(10), Effect.fail(refused))
      }).pipe(withRpcRetry({ method: "Users.Get", ...once }))
      const { exit } = yield* play(
        Effect.all(Array.from({ length: 20 }, () => Effect.exit(call)), { concurrency: "unbounded" }).pipe(
          Effect.provide(RpcRetry.layer({
            breaker: { trip: CircuitBreaker.consecutive(2) },
            bulkhead: { concurrency: 1, queue: 100 }
          }))
        )
      )
      assert.strictEqual(exit._tag, "Success")
      assert.strictEqual(sent, 2)
    }))
})

describe("calls that no gate may mix up", () => {
  it.effect("calls without a name have no breaker of the layer: they may be to any server", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        yield* Effect.replicateEffect(Effect.exit(Effect.fail(refused).pipe(withRpcRetry(once))), 5)
        assert.strictEqual(yield* Effect.succeed("another server").pipe(withRpcRetry), "another server")
      })
      yield* program.pipe(Effect.provide(RpcRetry.layer({ breaker: { trip: CircuitBreaker.consecutive(3) } })))
    }))

  it.effect("calls to a destination beyond the first 1000 have none either", () =>
    Effect.gen(function*() {
      const call = (n: number, self: Effect.Effect<string, Retryable>) =>
        self.pipe(withRpcRetry({ method: `S${n}.Get`, ...once }))
      const program = Effect.gen(function*() {
        yield* Effect.forEach(Array.from({ length: 1000 }, (_, i) => i), (i) => call(i, Effect.succeed("up")))
        yield* Effect.replicateEffect(Effect.exit(call(1001, Effect.fail(refused))), 5)
        assert.strictEqual(yield* call(1002, Effect.succeed("up")), "up")
      })
      yield* program.pipe(Effect.provide(RpcRetry.layer({ breaker: { trip: CircuitBreaker.consecutive(3) } })))
    }))
})

describe("a breaker that is piped into each attempt", () => {
  it.effect("that opens between two attempts ends the call with the last error: something was sent", () =>
    Effect.gen(function*() {
      const lost = new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })
      const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(1) })
      const { exit } = yield* play(Effect.fail(lost).pipe(CircuitBreaker.protect(breaker), withRpcRetry))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, error.last], ["CircuitOpen", 1, lost])
    }))

  it.effect("that is open before the first attempt rejects the call", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      yield* breaker.open
      const { exit } = yield* play(Effect.succeed(1).pipe(CircuitBreaker.protect(breaker), withRpcRetry))
      assert.instanceOf(failureOf(exit), CallRejected)
    }))
})

describe("circuit breakers at their edges", () => {
  it("a window below a millisecond is refused", () => {
    assert.throws(() => CircuitBreaker.rate({ window: "1 micros" }), "window")
  })

  it.effect("closing one that is closed leaves the next opening as short as it would have been", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        trip: CircuitBreaker.consecutive(1),
        openFor: Schedule.exponential("5 seconds", 2),
        jitter: 0,
        rampUp: 0
      })
      const fail = Effect.exit(Effect.fail(refused).pipe(CircuitBreaker.protect(breaker)))
      yield* fail
      yield* TestClock.adjust("6 seconds")
      yield* Effect.void.pipe(CircuitBreaker.protect(breaker))
      yield* TestClock.adjust("1 hour")
      yield* breaker.close
      yield* fail
      assert.deepStrictEqual((yield* breaker.snapshot).retryIn, Duration.seconds(5))
    }))

  it("a backoff of openings in a document begins at 5 seconds and ends at a minute", () =>
    Effect.runSync(Effect.gen(function*() {
      const options = yield* RpcRetry.decode({ breaker: { trip: { consecutive: 1 }, openFor: { factor: 3 } } })
      const { openFor } = options.breaker as CircuitBreaker.Options
      const policy = RetryPolicy.make({
        schedule: (openFor as Schedule.Schedule<unknown>).pipe(Schedule.intersect(Schedule.recurs(4)))
      })
      const { delays } = yield* RetryPolicy.describe(policy)
      assert.deepStrictEqual(delays.map(({ longest }) => Duration.toSeconds(longest)), [5, 15, 45, 60])
    })))
})
