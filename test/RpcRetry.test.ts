import { assert, describe, it } from "@effect/vitest"
import {
  CallRejected,
  Deadline,
  Fatal,
  InvalidOption,
  Retryable,
  RetryBudget,
  type RetryExhausted,
  RetryPolicy,
  RetrySchedule,
  RpcCall,
  RpcError,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, failureOf, play } from "./support/play.js"
import * as Watch from "./support/watch.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}

const fatal = new Fatal({ reason: "ServerError", message: "no" })

const fast = RetryPolicy.make({ schedule: Schedule.recurs(3) })

describe("rule 1: only Retryable is retried", () => {
  const once = <A, E>(name: string, step: Effect.Effect<A, E>, check: (exit: Exit.Exit<A, unknown>) => void) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        const call = yield* Faults.script([step])
        const { exit, took } = yield* play(withRpcRetry(call))
        check(exit)
        assert.strictEqual(yield* call.attempts, 1)
        assert.strictEqual(took, 0)
      }))

  once("success", Effect.succeed(1), (exit) => assert.deepStrictEqual(exit, Exit.succeed(1)))
  once("Fatal", Effect.fail(fatal), (exit) => assert.strictEqual(failureOf(exit), fatal))
  once("a domain error", new UserNotFound(), (exit) => assert.instanceOf(failureOf(exit), UserNotFound))
  once("an error without a tag", Effect.fail(undefined), (exit) => assert.strictEqual(failureOf(exit), undefined))
  once("a defect", Effect.die("boom"), (exit) => assert.deepStrictEqual(exit, Exit.die("boom")))
  once(
    "an interruption that is not the caller's",
    Effect.failCause(Cause.interrupt(FiberId.make(7, 0))),
    (exit) => assert.isTrue(Exit.isInterrupted(exit))
  )
  once(
    "Retryable beside a defect: the defect stays, the Retryable goes",
    Effect.failCause(
      Cause.parallel(Cause.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent" })), Cause.die("boom"))
    ),
    (exit) => assert.deepStrictEqual(exit, Exit.die("boom"))
  )
  once(
    "Retryable beside Fatal: a race that lost twice is not retried on its first loser",
    Effect.race(Faults.refused, Effect.fail(fatal)),
    (exit) => assert.strictEqual(failureOf(exit), fatal)
  )

  it.effect("Retryable beside an interruption, as work in parallel leaves it, is retried", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([
        Effect.all([Faults.refused, Effect.never], { concurrency: 2, discard: true }),
        Effect.void
      ])
      const { exit } = yield* play(withRpcRetry(call))
      assert.deepStrictEqual(exit, Exit.void)
    }))

  it.effect("of two Retryables the one that may have run decides", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.race(Faults.refused, Faults.reset)])
      const { exit } = yield* play(withRpcRetry(call, { idempotent: false }))
      assert.strictEqual(exhaustedOf(exit).reason, "NotIdempotent")
      assert.strictEqual(yield* call.attempts, 1)
    }))

  it.effect("a domain error after a Retryable passes through as it is", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused, new UserNotFound()])
      const { exit } = yield* play(withRpcRetry(call))
      assert.instanceOf(failureOf(exit), UserNotFound)
    }))
})

describe("rule 2: the default", () => {
  it.effect("4 attempts at most, delays of 100, 150, 225 ms", () =>
    Effect.gen(function*() {
      const started: Array<number> = []
      const call = Effect.zipRight(
        Effect.map(Clock.currentTimeMillis, (now) => started.push(now)),
        Faults.refused
      )
      const { exit, took } = yield* play(call.pipe(withRpcRetry({ method: "Users.Get" })))
      assert.deepStrictEqual(started, [0, 100, 250, 475])
      assert.strictEqual(took, 475)
      const error = exhaustedOf(exit)
      assert.deepStrictEqual(
        [error.method, error.reason, error.attempts, Duration.toMillis(error.elapsed)],
        ["Users.Get", "AttemptsExhausted", 4, 475]
      )
      assert.strictEqual(error.last.code, "ECONNREFUSED")
      assert.deepStrictEqual(
        error.history.map((a) => [a.attempt, Duration.toMillis(a.startedAt), a.delay && Duration.toMillis(a.delay)]),
        [[1, 0, 100], [2, 100, 150], [3, 250, 225], [4, 475, undefined]]
      )
    }))

  it.effect("remembers how long attempts took", () =>
    Effect.gen(function*() {
      const { exit } = yield* play(Effect.delay(Faults.refused, 7).pipe(withRpcRetry))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual(error.history.map((a) => Duration.toMillis(a.took)), [7, 7, 7, 7])
      assert.strictEqual(Duration.toMillis(error.elapsed), 475 + 4 * 7)
    }))

  it.effect("the history of a long call stays short: its first and its last attempts", () =>
    Effect.gen(function*() {
      const { exit } = yield* play(withRpcRetry(Faults.refused, { schedule: Schedule.recurs(99) }))
      const error = exhaustedOf(exit)
      assert.strictEqual(error.attempts, 100)
      assert.deepStrictEqual(error.history.map((a) => a.attempt), [1, 2, 3, 4, 97, 98, 99, 100])
      assert.include(RpcError.report(error), "... 92 more ...")
    }))

  it.effect("none: one attempt", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const { exit } = yield* play(withRpcRetry(call, RetryPolicy.none))
      assert.strictEqual(exhaustedOf(exit).attempts, 1)
      assert.strictEqual(yield* call.attempts, 1)
    }))
})

describe("rule 3: schedules", () => {
  it.effect("state is per call: a policy used twice starts anew", () =>
    Effect.gen(function*() {
      const retry = withRpcRetry({ schedule: RetrySchedule.standard })
      const once = Effect.flip(retry(Faults.refused))
      const { exit, took } = yield* play(Effect.all([once, once], { concurrency: 2 }))
      assert.strictEqual(took, 475)
      const errors = Exit.getOrElse(exit, () => assert.fail("both were to fail"))
      assert.deepStrictEqual(errors.map((error) => error._tag === "RetryExhausted" && error.attempts), [4, 4])
      const again = yield* play(retry(Faults.refused))
      assert.strictEqual(exhaustedOf(again.exit).attempts, 4)
    }))

  it.effect("effects inside run once per decision, and see the error", () =>
    Effect.gen(function*() {
      const seen = yield* Ref.make<ReadonlyArray<string | number | undefined>>([])
      const schedule = RetrySchedule.standard.pipe(
        Schedule.tapInput((error: Retryable) => Ref.update(seen, (codes) => [...codes, error.code]))
      )
      const call = yield* Faults.script([Faults.refused, Faults.reset])
      yield* play(withRpcRetry(call, { schedule }))
      assert.deepStrictEqual(yield* Ref.get(seen), ["ECONNREFUSED", "ECONNRESET", "ECONNRESET", "ECONNRESET"])
    }))

  it.effect("a schedule may choose by error, and needs what it needs provided first", () =>
    Effect.gen(function*() {
      class Limit extends Context.Tag("Limit")<Limit, number>() {}
      const schedule = Schedule.recurs(10).pipe(
        Schedule.whileInputEffect((error: Retryable) =>
          Effect.map(Limit, (limit) => limit > 0 && error.code !== "ECONNRESET")
        ),
        Schedule.provideService(Limit, 1)
      )
      const call = yield* Faults.script([Faults.refused, Faults.refused, Faults.reset])
      const { exit } = yield* play(withRpcRetry(call, { schedule }))
      assert.strictEqual(exhaustedOf(exit).attempts, 3)
    }))

  it("property: at most n retries, whatever the faults", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.integer({ min: 0, max: 6 }),
        FastCheck.array(FastCheck.constantFrom("retry", "fatal", "domain", "ok"), { minLength: 1, maxLength: 8 }),
        (n, script) => {
          const steps = script.map((step): Effect.Effect<string, Retryable | Fatal | UserNotFound> =>
            step === "retry"
              ? Faults.refused
              : step === "fatal"
              ? Effect.fail(fatal)
              : step === "domain"
              ? new UserNotFound()
              : Effect.succeed("ok")
          )
          const firstEnd = script.findIndex((step) => step !== "retry")
          const expected = Math.min(n + 1, firstEnd === -1 ? Infinity : firstEnd + 1)
          return Effect.gen(function*() {
            const [head, ...tail] = steps
            const call = yield* Faults.script([head!, ...tail])
            const exit = yield* Effect.exit(withRpcRetry(call, { schedule: Schedule.recurs(n) }))
            assert.strictEqual(yield* call.attempts, expected)
            const outcome = script[expected - 1]
            assert.strictEqual(Exit.isSuccess(exit), outcome === "ok")
            if (outcome === "retry") {
              assert.strictEqual(exhaustedOf(exit).attempts, expected)
            }
          }).pipe(Effect.runPromise)
        }
      )
    ))
})

describe("rule 4: the success path", () => {
  it.effect("touches no schedule, makes no error, no fiber, no timer, no context", () =>
    Effect.gen(function*() {
      const trap = Schedule.makeWithState(0, () => Effect.dieMessage("stepped"))
      Object.defineProperty(trap, "initial", {
        get: () => assert.fail("the state of the schedule was read")
      })
      const watch = yield* Watch.make
      const outside = yield* Effect.context<never>()
      const fiber = yield* Effect.withFiberRuntime<FiberId.FiberId>((fiber) => Effect.succeed(fiber.id()))
      const inside = Effect.withFiberRuntime<readonly [FiberId.FiberId, Context.Context<never>]>((fiber) =>
        Effect.succeed([fiber.id(), fiber.currentContext] as const)
      )
      const [id, context] = yield* inside.pipe(withRpcRetry({ schedule: trap }), watch.watch)
      assert.strictEqual(id, fiber)
      assert.strictEqual(context, outside)
    }))
})

describe("rule 5: an answer that is not wanted", () => {
  it.effect("is retried through filterOrFail, and a failure when it runs out", () =>
    Effect.gen(function*() {
      const wanted = (status: string) => (call: Effect.Effect<string, Retryable | Fatal>) =>
        Effect.filterOrFail(
          call,
          (answer) => answer === status,
          () => new Retryable({ reason: "Custom", delivery: "Unknown", code: "PENDING" })
        ).pipe(withRpcRetry(fast))
      const call = yield* Faults.script([Effect.succeed("pending"), Effect.succeed("pending"), Effect.succeed("done")])
      assert.deepStrictEqual((yield* play(wanted("done")(call))).exit, Exit.succeed("done"))
      assert.strictEqual(yield* call.attempts, 3)
      const { exit } = yield* play(wanted("never")(call))
      assert.deepStrictEqual([exhaustedOf(exit).last.code, exhaustedOf(exit).attempts], ["PENDING", 4])
    }))
})

describe("rule 8: the deadline", () => {
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

  it.effect("a delay that ends exactly at it is not slept either", () =>
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
      const call = yield* Faults.script([Faults.refused])
      const budget = yield* RetryBudget.make()
      // a clock whose sleeps overrun, as those of a machine that was suspended
      const clock = yield* Effect.clock
      const late: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
        sleep: (duration: Duration.Duration) => clock.sleep(Duration.sum(duration, Duration.seconds(1)))
      })
      const { exit } = yield* play(withRpcRetry(call, { deadline: "200 millis", budget }).pipe(Effect.withClock(late)))
      assert.deepStrictEqual([exhaustedOf(exit).reason, yield* call.attempts], ["DeadlineExceeded", 1])
      assert.strictEqual(exhaustedOf(exit).last.code, "ECONNREFUSED")
      assert.strictEqual(yield* budget.level, 10)
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

describe("rule 9: the attempt timeout", () => {
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
      const call = yield* Faults.script([Effect.never, Effect.succeed("ok")])
      const { exit } = yield* play(Effect.uninterruptible(withRpcRetry(call, { attemptTimeout: "50 millis" })))
      assert.deepStrictEqual(exit, Exit.succeed("ok"))
    }))
})

describe("rule 10: deadlines nest", () => {
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

describe("rule 11: what the server says", () => {
  const hinted = (retryAfter: Duration.Duration | "Never") =>
    new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter })

  it.effect("a delay is waited exactly", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.fail(hinted(Duration.seconds(7))), Effect.void])
      assert.strictEqual((yield* play(withRpcRetry(call))).took, 7000)
    }))

  it.effect("a hint adds no attempts", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* play(withRpcRetry(Effect.fail(hinted(Duration.millis(10)))))
      assert.deepStrictEqual([exhaustedOf(exit).attempts, took], [4, 30])
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

describe("rule 14: idempotency", () => {
  it.effect("idempotent: false retries what was not sent, and nothing else", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused, Faults.refused, Faults.reset, Effect.void])
      const { exit } = yield* play(withRpcRetry(call, { idempotent: false }))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, error.last.code], ["NotIdempotent", 3, "ECONNRESET"])
    }))

  it.effect("true, or nothing said, retries both", () =>
    Effect.gen(function*() {
      for (const options of [{}, { idempotent: true }]) {
        const call = yield* Faults.script([Faults.refused, Faults.reset, Effect.succeed(1)])
        assert.deepStrictEqual((yield* play(withRpcRetry(call, options))).exit, Exit.succeed(1))
      }
    }))

  it.effect("a call may say it itself; its options come first, then the layer's", () =>
    Effect.gen(function*() {
      const unsafe = RpcCall.make({ method: "Orders.Place", idempotent: false })
      const attempts = (options: RpcRetry.Options) =>
        Effect.map(play(Faults.reset.pipe(unsafe, withRpcRetry(options))), ({ exit }) => exhaustedOf(exit).attempts)
      assert.strictEqual(yield* attempts({}), 1)
      assert.strictEqual(yield* attempts({ idempotent: true }), 4)
      const layer = RpcRetry.layer({ default: { idempotent: true } })
      assert.strictEqual(yield* attempts({}).pipe(Effect.provide(layer)), 1)
      const careful = RpcRetry.layer({ default: { idempotent: false } })
      const { exit } = yield* play(withRpcRetry(Faults.reset).pipe(Effect.provide(careful)))
      assert.strictEqual(exhaustedOf(exit).attempts, 1)
    }))

  it.effect("retryIf has the last word, with a reason of its own", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused, Faults.reset])
      const { exit } = yield* play(withRpcRetry(call, { retryIf: (error) => error.code === "ECONNREFUSED" }))
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts], ["NotRetried", 2])
    }))
})

describe("rule 15: layers of retry do not multiply", () => {
  it.effect("three of them make 4 attempts, not 64", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const { exit } = yield* play(call.pipe(withRpcRetry, withRpcRetry, withRpcRetry))
      assert.strictEqual(exhaustedOf(exit).attempts, 4)
      assert.strictEqual(yield* call.attempts, 4)
    }))

  it.effect("nor when the inner one is a promise in between", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const outer = RpcCall.fromPromise({ method: "A.B", try: () => Effect.runPromise(withRpcRetry(call, fast)) })
      const error = failureOf(yield* Effect.exit(withRpcRetry(outer, fast)))
      assert.instanceOf(error, Fatal)
      assert.include(error.message, "failed after 4 attempts")
      assert.strictEqual(yield* call.attempts, 4)
    }))
})

describe("rule 16: ambient facts", () => {
  const facts = Effect.all([
    Deadline.CurrentAttempt,
    Effect.map(Deadline.IdempotencyKey, Option.getOrUndefined),
    Deadline.CurrentDeadline
  ])

  const record = <A>() => {
    const seen: Array<A> = []
    return { seen, note: (value: A) => Effect.sync(() => void seen.push(value)) }
  }

  it.effect("each attempt sees its number; outside it is 1", () =>
    Effect.gen(function*() {
      const { note, seen } = record<number>()
      const call = Effect.zipRight(Effect.flatMap(Deadline.CurrentAttempt, note), Faults.refused)
      yield* play(Effect.ignore(withRpcRetry(call)))
      yield* play(Effect.ignore(withRpcRetry(call, { attemptTimeout: "1 second" })))
      yield* Effect.ignore(call)
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 1, 2, 3, 4, 1])
    }))

  it.effect("all attempts of a call see the same key, every call another one, none unless asked", () =>
    Effect.gen(function*() {
      const { note, seen } = record<string | undefined>()
      // not as Options: chai finds every two of them deeply equal
      const key = Effect.map(Deadline.IdempotencyKey, Option.getOrUndefined)
      const call = Effect.zipRight(Effect.flatMap(key, note), Faults.refused)
      const keyed = Effect.ignore(withRpcRetry(call, { ...fast, idempotencyKey: true }))
      yield* keyed
      yield* keyed
      const [first, second] = [seen.slice(0, 4), seen.slice(4)].map((keys) => new Set(keys))
      assert.deepStrictEqual([first!.size, second!.size, seen.length], [1, 1, 8])
      assert.notDeepEqual(first, second)
      assert.match([...first!][0]!, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      seen.length = 0
      yield* Effect.ignore(withRpcRetry(call, { ...fast, idempotencyKey: "order-17" }))
      assert.deepStrictEqual(seen, Array(4).fill("order-17"))
      seen.length = 0
      yield* Effect.ignore(withRpcRetry(call, fast))
      assert.deepStrictEqual(seen, Array(4).fill(undefined))
    }))

  it.effect("a call inside an attempt has facts of its own, but not a later deadline", () =>
    Effect.gen(function*() {
      const { note, seen } = record<ReadonlyArray<unknown>>()
      const inner = Effect.zipRight(Effect.flatMap(facts, note), Faults.refused).pipe(
        withRpcRetry({ schedule: Schedule.recurs(1) }),
        Effect.ignore
      )
      const outer = Effect.zipRight(inner, Faults.refused).pipe(
        withRpcRetry({ schedule: Schedule.recurs(1), idempotencyKey: "outer", deadline: "1 second" })
      )
      const start = yield* Clock.currentTimeMillis
      yield* play(Effect.ignore(outer))
      const deadline = start + 1000
      assert.deepStrictEqual(seen, [1, 2, 1, 2].map((attempt) => [attempt, undefined, deadline]))
    }))
})

describe("RpcRetry", () => {
  it.effect("all four forms do the same", () =>
    Effect.gen(function*() {
      const forms = [
        Faults.refused.pipe(withRpcRetry),
        Faults.refused.pipe(withRpcRetry()),
        Faults.refused.pipe(withRpcRetry({})),
        withRpcRetry(Faults.refused),
        withRpcRetry(Faults.refused, {})
      ]
      for (const form of forms) {
        const { exit, took } = yield* play(form)
        assert.deepStrictEqual([exhaustedOf(exit).attempts, took], [4, 475])
      }
    }))

  it.effect("the layer gives the policy, the options of the call come first, field by field", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({ default: { schedule: Schedule.recurs(1), attemptTimeout: "10 millis" } })
      const call = yield* Faults.script([Effect.never])
      const plain = yield* play(withRpcRetry(call).pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exhaustedOf(plain.exit).attempts, plain.took], [2, 20])
      const own = yield* play(withRpcRetry(call, { attemptTimeout: "30 millis" }).pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exhaustedOf(own.exit).attempts, own.took], [2, 60])
      const none = yield* play(withRpcRetry(call, { schedule: Schedule.stop }).pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exhaustedOf(none.exit).attempts, none.took], [1, 10])
    }))

  it.effect("one call value follows the layer it runs under", () =>
    Effect.gen(function*() {
      const call = withRpcRetry(Faults.refused, { method: "A.B" })
      const attempts = (retries: number) =>
        Effect.map(
          play(call.pipe(Effect.provide(RpcRetry.layer({ default: { schedule: Schedule.recurs(retries) } })))),
          ({ exit }) => exhaustedOf(exit).attempts
        )
      assert.deepStrictEqual([yield* attempts(0), yield* attempts(2), yield* attempts(0)], [1, 3, 1])
    }))

  it.effect("a layer is no part of any type, and services can be built on it", () =>
    Effect.gen(function*() {
      class Users extends Context.Tag("Users")<Users, {
        readonly get: (id: number) => Effect.Effect<string, Fatal | RetryExhausted | CallRejected>
      }>() {
        static readonly Live = Layer.succeed(Users, {
          get: (id) => Effect.as(Faults.refused, `user ${id}`).pipe(withRpcRetry({ method: "Users.Get" }))
        })
      }
      const program = Effect.flatMap(Users, (users) => Effect.flip(users.get(1)))
      const error = yield* program.pipe(
        Effect.provide(Users.Live),
        Effect.provide(RpcRetry.layer({ default: RetryPolicy.none }))
      )
      assert.strictEqual((error as RetryExhausted).attempts, 1)
    }))

  it.effect("knows the method of an RpcCall, and of the error where nobody said", () =>
    Effect.gen(function*() {
      const named = yield* play(Faults.refused.pipe(RpcCall.make({ method: "Users.Get" }), withRpcRetry(fast)))
      assert.strictEqual(exhaustedOf(named.exit).method, "Users.Get")
      const renamed = yield* play(
        Faults.refused.pipe(RpcCall.make({ method: "Users.Get" }), withRpcRetry({ ...fast, method: "Users.Find" }))
      )
      assert.strictEqual(exhaustedOf(renamed.exit).method, "Users.Find")
      const said = new Retryable({ reason: "Unavailable", delivery: "NotSent", method: "Users.List" })
      const found = yield* play(withRpcRetry(Effect.fail(said), fast))
      assert.strictEqual(exhaustedOf(found.exit).method, "Users.List")
    }))

  it.live("thousands of attempts without a delay neither overflow nor block", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const exit = yield* Effect.exit(withRpcRetry(call, { schedule: Schedule.recurs(50_000) }))
      assert.strictEqual(exhaustedOf(exit).attempts, 50_001)
      const fiber = yield* Effect.fork(withRpcRetry(call, { schedule: Schedule.forever }))
      yield* Effect.sleep(20)
      yield* Fiber.interrupt(fiber)
      assert.isAbove(yield* call.attempts, 50_001)
    }))
})

describe("every refusal carries its reason, the last error and the history", () => {
  const no = new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: "Never" })
  const table: ReadonlyArray<
    [RpcError.ExhaustedReason, attempts: number, options: RpcRetry.Options, first: Retryable | undefined]
  > = [
    ["AttemptsExhausted", 4, {}, undefined],
    ["DeadlineExceeded", 2, { deadline: 160, attemptTimeout: 150 }, undefined],
    ["DeadlineTooClose", 2, { deadline: 200 }, undefined],
    ["ServerSaidNo", 1, {}, no],
    ["NotIdempotent", 1, { idempotent: false }, new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })],
    ["NotRetried", 1, { retryIf: () => false }, undefined]
  ]
  const check = (
    reason: RpcError.ExhaustedReason,
    attempts: number,
    options: RpcRetry.Options,
    first: Retryable | undefined
  ) =>
    Effect.gen(function*() {
      const refused = yield* Effect.flip(Faults.refused)
      const failure = first ?? refused
      const call = reason === "DeadlineExceeded"
        ? yield* Faults.script([Effect.fail(failure), Effect.never])
        : yield* Faults.script([Effect.fail(failure)])
      const { exit } = yield* play(withRpcRetry(call, { ...options, method: "A.B" }))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, error.method], [reason, attempts, "A.B"])
      assert.strictEqual(error.history.length, attempts)
      assert.strictEqual(error.history[attempts - 1]!.error, error.last)
      assert.strictEqual(error.last.reason, reason === "DeadlineExceeded" ? "AttemptTimeout" : failure.reason)
      assert.include(error.message, `[${reason}]`)
      assert.isUndefined(error.history[attempts - 1]!.delay)
      return reason
    })

  it.effect("each reason once", () =>
    Effect.gen(function*() {
      const seen = yield* Effect.forEach(table, (row) => check(...row))
      const budget = yield* RetryBudget.make({ capacity: 1 })
      seen.push(yield* check("BudgetExhausted", 2, { budget }, undefined))
      // the circuit breaker's reason comes with the circuit breaker
      const expected = RpcError.ExhaustedReason.literals.filter((reason) => reason !== "CircuitOpen")
      assert.deepStrictEqual(seen.toSorted(), expected.toSorted())
    }))
})

describe("options that are none", () => {
  it("are refused by name", () => {
    const refuses = (options: unknown, message: string) =>
      assert.throws(() => withRpcRetry(options as RpcRetry.Options), InvalidOption, `withRpcRetry: ${message}`)
    refuses({ method: 5 }, "method must be text, got 5")
    for (const [key, shown] of [[5, "5"], [{}, "{}"], ["", "\"\""]] as const) {
      refuses({ idempotencyKey: key }, `idempotencyKey must be true, false or a text that is not empty, got ${shown}`)
    }
  })
})

describe("RpcCall.fromPromise", () => {
  it.effect("runs, retries and classifies", () =>
    Effect.gen(function*() {
      let calls = 0
      const call = RpcCall.fromPromise({
        method: "Users.Get",
        try: () => {
          calls++
          return calls < 3
            ? Promise.reject(Object.assign(new Error(), { code: "ECONNRESET", syscall: "read" }))
            : Promise.resolve("ok")
        }
      })
      assert.isTrue(RpcCall.isRpcCall(call))
      assert.isFalse(RpcCall.isRpcCall(Effect.void))
      assert.strictEqual(yield* withRpcRetry(call, fast), "ok")
      assert.strictEqual(calls, 3)
    }))

  it.effect("takes a classifier, and names the method in the error", () =>
    Effect.gen(function*() {
      const call = RpcCall.fromPromise({
        method: "Users.Get",
        try: () => Promise.reject(404),
        classify: (failure) => new Fatal({ reason: "NotFound", code: failure as number, message: "no such user" })
      })
      const error = yield* Effect.flip(withRpcRetry(call))
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.code, error.method], ["NotFound", 404, "Users.Get"])
    }))

  it.effect("a client that throws before it returns a promise is a failure too", () =>
    Effect.gen(function*() {
      const call = RpcCall.fromPromise({
        method: "A.B",
        try: (): Promise<void> => {
          throw new TypeError("bad argument")
        }
      })
      const error = yield* Effect.flip(withRpcRetry(call))
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.message, "bad argument")
    }))

  it.effect("aborts the signal on a timeout and on interruption", () =>
    Effect.gen(function*() {
      const signals: Array<AbortSignal> = []
      const call = RpcCall.fromPromise({
        method: "A.B",
        try: (signal) => {
          signals.push(signal)
          return new Promise<never>(() => {})
        }
      })
      const fiber = yield* Effect.fork(withRpcRetry(call, { attemptTimeout: "1 second" }))
      yield* TestClock.adjust(1150)
      assert.deepStrictEqual(signals.map((signal) => signal.aborted), [true, false])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(signals.map((signal) => signal.aborted), [true, true])
    }))
})
