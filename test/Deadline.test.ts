/**
 * Rules 8 to 11: deadlines, attempt timeouts, the delays that servers ask for.
 */
import { CallRejected, Deadline, Fatal, Retryable, RetryBudget, RetryPolicy, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, failureOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

const fatal = new Fatal({ reason: "ServerError", message: "no" })

describe("the deadline", () => {
  it.effect("a delay that would pass it is not slept, and the last error is kept", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const { exit, took } = yield* play(withRpcRetry(call, { deadline: "200 millis" }))
      const error = exhaustedOf(exit)
      // at 100 the next delay is 150
      assert.strictEqual(took, 100)
      assert.deepStrictEqual([error.reason, error.attempts, error.last.code], ["DeadlineTooClose", 2, "ECONNREFUSED"])
      assert.isUndefined(error.history[1]!.delay)
    }))

  it.effect("a delay that ends exactly at the deadline is not slept", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* play(withRpcRetry(Faults.refused, { deadline: "250 millis" }))
      assert.deepStrictEqual([exhaustedOf(exit).reason, took], ["DeadlineTooClose", 100])
      const after = yield* play(withRpcRetry(Faults.refused, { deadline: "251 millis" }))
      assert.deepStrictEqual([exhaustedOf(after.exit).attempts, after.took], [3, 250])
    }))

  it.effect("an attempt is cut by it", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused, Effect.never])
      const { exit, took } = yield* play(withRpcRetry(call, { deadline: "300 millis" }))
      const error = exhaustedOf(exit)
      assert.strictEqual(took, 300)
      assert.deepStrictEqual(
        [error.reason, error.attempts, error.last.reason, error.last.delivery],
        ["DeadlineExceeded", 2, "AttemptTimeout", "Unknown"]
      )
      assert.strictEqual(error.history[0]!.error.code, "ECONNREFUSED")
      assert.strictEqual(yield* call.interrupted, 1)
    }))

  it.effect("bounds all attempts together, shorter than the attempt timeout at the end", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.never])
      const { exit, took } = yield* play(
        withRpcRetry(call, { attemptTimeout: "100 millis", deadline: "250 millis" })
      )
      // 0..100 cut, 100 delay, 200..250 cut by the deadline
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts, took], ["DeadlineExceeded", 2, 250])
    }))

  it.effect("no attempt is sent after it, when a delay took longer than asked for", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      // by a second, or just as long as the deadline is off
      for (const by of [1_000, 100]) {
        const call = yield* Faults.script([Faults.refused])
        const budget = yield* RetryBudget.make({ capacity: 10, regainEvery: "10000 days" })
        // a clock whose sleeps overrun, as those of a machine that was suspended
        const late: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
          sleep: (duration: Duration.Duration) => clock.sleep(Duration.sum(duration, Duration.millis(by)))
        })
        const { exit } = yield* play(
          withRpcRetry(call, { deadline: "200 millis", budget }).pipe(Effect.withClock(late))
        )
        assert.deepStrictEqual([exhaustedOf(exit).reason, yield* call.attempts], ["DeadlineExceeded", 1])
        assert.strictEqual(exhaustedOf(exit).last.code, "ECONNREFUSED")
        assert.approximately(yield* budget.level, 10, 1e-6)
      }
    }))

  it.effect("a delay without end is the end of the schedule", () =>
    Effect.gen(function*() {
      const schedule = Schedule.spaced(Duration.infinity)
      const { exit, took } = yield* play(withRpcRetry(Faults.refused, { schedule }))
      assert.deepStrictEqual([exhaustedOf(exit).reason, took], ["AttemptsExhausted", 0])
    }))

  it.effect("an attempt timeout of the same length is not what ended the call", () =>
    Effect.gen(function*() {
      const { exit } = yield* play(withRpcRetry(Effect.never, { deadline: 100, attemptTimeout: 100 }))
      assert.strictEqual(exhaustedOf(exit).reason, "DeadlineExceeded")
    }))

  it.effect("when it has passed before the first attempt nothing is sent", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.succeed(1)])
      const { exit } = yield* play(
        Effect.delay(withRpcRetry(call, { method: "A.B" }), 50).pipe(Deadline.within("50 millis"))
      )
      const error = failureOf(exit)
      assert.instanceOf(error, CallRejected)
      assert.deepStrictEqual([error.reason, error.method], ["DeadlineExceeded", "A.B"])
      assert.strictEqual(yield* call.attempts, 0)
    }))
})

describe("the attempt timeout", () => {
  it.effect("ends one attempt, and the next one follows", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.never, Effect.delay(Effect.succeed("ok"), 49)])
      const { exit, took } = yield* play(withRpcRetry(call, { attemptTimeout: "50 millis" }))
      assert.deepStrictEqual(exit, Exit.succeed("ok"))
      assert.strictEqual(took, 50 + 100 + 49)
      assert.strictEqual(yield* call.interrupted, 1)
    }))

  it.effect("is Retryable AttemptTimeout, which may have run", () =>
    Effect.gen(function*() {
      const { exit } = yield* play(
        withRpcRetry(Effect.never, { method: "A.B", attemptTimeout: "50 millis", schedule: Schedule.stop })
      )
      const { last } = exhaustedOf(exit)
      assert.deepStrictEqual([last.reason, last.delivery, last.method], ["AttemptTimeout", "Unknown", "A.B"])
    }))

  it.effect("does not wait for an attempt that will not be interrupted, nor for slow finalizers", () =>
    Effect.gen(function*() {
      const stubborn = Effect.uninterruptible(Effect.sleep("1 minute"))
      const slow = Effect.onInterrupt(Effect.never, () => Effect.sleep("1 minute"))
      const call = yield* Faults.script([stubborn, slow, Effect.succeed("ok")])
      const { exit, took } = yield* play(withRpcRetry(call, { attemptTimeout: "50 millis" }))
      assert.deepStrictEqual(exit, Exit.succeed("ok"))
      assert.strictEqual(took, 50 + 100 + 50 + 150)
    }))

  it.scoped("passes on the success, the failure and the fiber refs of an attempt in time", () =>
    Effect.gen(function*() {
      const ref = yield* FiberRef.make(0)
      const timed = withRpcRetry({ attemptTimeout: "50 millis" })
      assert.strictEqual(yield* timed(Effect.zipRight(FiberRef.set(ref, 7), Effect.succeed("ok"))), "ok")
      assert.strictEqual(yield* FiberRef.get(ref), 7)
      assert.strictEqual(yield* Effect.flip(timed(Effect.fail(fatal))), fatal)
      assert.deepStrictEqual(yield* Effect.exit(timed(Effect.die("boom"))), Exit.die("boom"))
    }))

  it.effect("when the caller is interrupted the finalizers of the attempt have run, slow ones too", () =>
    Effect.gen(function*() {
      let released = false
      const attempt = Effect.onInterrupt(
        Effect.never,
        () => Effect.delay(Effect.sync(() => void (released = true)), "1 second")
      )
      const fiber = yield* Effect.fork(withRpcRetry(attempt, { attemptTimeout: "1 minute" }))
      yield* TestClock.adjust(1)
      const interrupted = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("999 millis")
      assert.isNull(interrupted.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.isNotNull(interrupted.unsafePoll())
      assert.isTrue(released)
    }))

  it.effect("works where the caller cannot be interrupted", () =>
    Effect.gen(function*() {
      // it is never interrupted, and `Effect.never` would keep a timer for good
      const stuck = Effect.async<never>(() => {})
      const call = yield* Faults.script([stuck, Effect.succeed("ok")])
      const { exit } = yield* play(Effect.uninterruptible(withRpcRetry(call, { attemptTimeout: "50 millis" })))
      assert.deepStrictEqual(exit, Exit.succeed("ok"))
    }))
})

describe("deadlines nest", () => {
  it.effect("the smaller wins, and the attempts see what remains", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const call = Effect.zipRight(
        Effect.map(Deadline.remaining, (left) =>
          seen.push(Option.match(left, { onNone: () => -1, onSome: Duration.toMillis }))),
        Faults.refused
      )
      const inner = withRpcRetry(call, { deadline: "10 seconds" })
      yield* play(inner.pipe(Effect.ignore, Deadline.within("1 second")))
      assert.deepStrictEqual(seen.splice(0), [1000, 900, 750, 525])
      yield* play(withRpcRetry(call, { deadline: "400 millis" }).pipe(Effect.ignore, Deadline.within("1 second")))
      assert.deepStrictEqual(seen.splice(0), [400, 300, 150])
      yield* play(Effect.ignore(withRpcRetry(call)))
      assert.deepStrictEqual(seen.splice(0), [-1, -1, -1, -1])
      yield* play(call.pipe(Effect.ignore, Deadline.within("10 seconds"), Deadline.within("2 seconds")))
      assert.deepStrictEqual(seen, [2000])
    }))

  it.effect("a call inside an attempt has no longer than the attempt's call", () =>
    Effect.gen(function*() {
      const inner = withRpcRetry(Effect.never)
      const { exit, took } = yield* play(
        withRpcRetry(Effect.delay(inner, 30), { deadline: "100 millis" })
      )
      assert.strictEqual(took, 100)
      assert.include(["DeadlineExceeded"], exhaustedOf(exit).reason)
    }))

  it("refuses a deadline that is none", () => {
    assert.throws(() => Deadline.within(Effect.void, -1), "Deadline.within: duration must not be negative, got -1")
  })
})

describe("what the server says", () => {
  const hinted = (retryAfter: Duration.Duration | "Never") =>
    new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter })

  it.effect("a delay is waited exactly", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.fail(hinted(Duration.seconds(7))), Effect.void])
      assert.strictEqual((yield* play(withRpcRetry(call))).took, 7000)
    }))

  it.effect("a hint adds no attempts", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* play(withRpcRetry(Effect.fail(hinted(Duration.millis(200)))))
      assert.deepStrictEqual([exhaustedOf(exit).attempts, took], [4, 600])
    }))

  it.effect("Retry-After: 0 makes no four attempts at once: the first delay of the schedule is waited", () =>
    Effect.gen(function*() {
      const run = (options: RetryPolicy.Options, hint: Duration.DurationInput = 0) =>
        Effect.map(play(withRpcRetry(Effect.fail(hinted(Duration.decode(hint))), options)), ({ took }) => took)
      assert.strictEqual(yield* run({}), 300)
      assert.strictEqual(yield* run({}, 99), 300)
      assert.strictEqual(yield* run({}, 101), 303)
      assert.strictEqual(yield* run({ minServerDelay: "20 millis" }), 60)
      assert.strictEqual(yield* run({ minServerDelay: 0 }), 0)
      assert.strictEqual(yield* run({ minServerDelay: 0 }, 7), 21)
      assert.strictEqual(yield* run({ minServerDelay: RetryPolicy.grpcA6.minServerDelay }, 7), 21)
    }))

  it.effect("\"do not retry\", and more than maxServerDelay, end the call", () =>
    Effect.gen(function*() {
      for (
        const [hint, options] of [
          ["Never", {}],
          [Duration.millis(30_001), {}],
          [Duration.millis(11), { maxServerDelay: 10 }]
        ] as const
      ) {
        const { exit, took } = yield* play(withRpcRetry(Effect.fail(hinted(hint)), options))
        assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts, took], ["ServerSaidNo", 1, 0])
      }
    }))

  it.effect("exactly maxServerDelay is waited", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.fail(hinted(Duration.seconds(30))), Effect.void])
      assert.strictEqual((yield* play(withRpcRetry(call))).took, 30_000)
    }))

  it.effect("of several Retryables one that says never decides", () =>
    Effect.gen(function*() {
      const both = Effect.failCause(Cause.parallel(Cause.fail(hinted(Duration.millis(1))), Cause.fail(hinted("Never"))))
      const { exit } = yield* play(withRpcRetry(both))
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts], ["ServerSaidNo", 1])
    }))

  it.effect("a hint past the deadline ends the call", () =>
    Effect.gen(function*() {
      const { exit } = yield* play(withRpcRetry(Effect.fail(hinted(Duration.seconds(2))), { deadline: "2 seconds" }))
      assert.strictEqual(exhaustedOf(exit).reason, "DeadlineTooClose")
    }))
})

describe("Deadline.facts", () => {
  it.effect("outside a call there is nothing to tell", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Deadline.facts, {
        idempotencyKey: undefined,
        previousAttempts: 0,
        remaining: undefined
      })
    }))

  it.effect("inside one: the attempts before, the key, the whole milliseconds that remain, never none", () =>
    Effect.gen(function*() {
      const seen: Array<Deadline.Facts> = []
      const call = Effect.flatMap(Deadline.facts, (facts) => {
        seen.push(facts)
        return Faults.refused
      })
      yield* play(
        withRpcRetry(call, {
          idempotencyKey: "k",
          deadline: 25.5,
          schedule: Schedule.intersect(Schedule.spaced(10), Schedule.recurs(2))
        })
      )
      assert.deepStrictEqual(seen, [
        { idempotencyKey: "k", previousAttempts: 0, remaining: 25 },
        { idempotencyKey: "k", previousAttempts: 1, remaining: 15 },
        { idempotencyKey: "k", previousAttempts: 2, remaining: 5 }
      ])
      const late = Effect.zipRight(TestClock.adjust("2 seconds"), Deadline.facts).pipe(Deadline.within("1 second"))
      assert.strictEqual((yield* late).remaining, 1)
    }))
})
