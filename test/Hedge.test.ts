import {
  CallRejected,
  Deadline,
  Fatal,
  Hedge,
  InvalidOption,
  Retryable,
  RetryExhausted,
  RpcCall,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { failureOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"
import * as Watch from "./support/watch.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}

const fatal = new Fatal({ reason: "ServerError", message: "no" })
const unavailable = new Retryable({ reason: "Unavailable", delivery: "Unknown" })
const unsent = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })
const idempotent = { idempotent: true } as const

/** A step of a script that ends so after so many milliseconds. */
const after = <A, E>(millis: number, end: Effect.Effect<A, E>) => Effect.delay(end, millis)
const answer = (millis: number, text: string) => after(millis, Effect.succeed(text))

/** Extra legs whenever one is due, 10 ms after the one before. */
const eager = (max = 2) => Hedge.make({ after: "10 millis", max, load: 1 })

/** Fills the load of a hedge: one extra leg for each call. */
const filled = (hedge: Hedge.Hedge, calls = 10) =>
  Effect.replicateEffect(Hedge.hedge(Effect.void, hedge, idempotent), calls, { discard: true })

/** Runs a script with a hedge that has as much load as it wants: how it ended, when, and with how many legs. */
const race = <E>(
  steps: readonly [Effect.Effect<string, E>, ...ReadonlyArray<Effect.Effect<string, E>>],
  options: Partial<Hedge.Options> = {}
) =>
  Effect.gen(function*() {
    const hedge = yield* Hedge.make({ after: "10 millis", load: 1, ...options })
    yield* filled(hedge)
    const call = yield* Faults.script(steps)
    const { exit, took } = yield* play(Hedge.hedge(call, hedge, idempotent))
    return {
      exit,
      took,
      legs: yield* call.attempts,
      interrupted: yield* call.interrupted,
      state: yield* hedge.state
    }
  })

describe("Hedge.hedge: who wins", () => {
  it.effect("a call that is answered in time has one leg", () =>
    Effect.gen(function*() {
      const { exit, legs, took } = yield* race([answer(9, "first")])
      assert.deepStrictEqual([exit, took, legs], [Exit.succeed("first"), 9, 1])
    }))

  it.effect("a slow first leg gets a second one, whose answer is taken; the first is interrupted", () =>
    Effect.gen(function*() {
      const { exit, interrupted, legs, state, took } = yield* race([answer(50, "first"), answer(5, "second")])
      assert.deepStrictEqual([exit, took, legs, interrupted], [Exit.succeed("second"), 15, 2, 1])
      assert.deepStrictEqual([state.extraLegs, state.won], [1, 1])
    }))

  it.effect("the first leg may still win, and the second is interrupted", () =>
    Effect.gen(function*() {
      const { exit, interrupted, state, took } = yield* race([answer(12, "first"), answer(50, "second")])
      assert.deepStrictEqual([exit, took, interrupted, state.won], [Exit.succeed("first"), 12, 1, 0])
    }))

  it.effect("the first failure does not win: a leg that fails later than the other started waits for it", () =>
    Effect.gen(function*() {
      const { exit, legs, took } = yield* race([after(15, Effect.fail(unavailable)), answer(20, "second")])
      assert.deepStrictEqual([exit, took, legs], [Exit.succeed("second"), 30, 2])
    }))

  it.effect("a Retryable starts the next leg at once", () =>
    Effect.gen(function*() {
      const { exit, legs, took } = yield* race([after(3, Effect.fail(unavailable)), answer(5, "second")])
      assert.deepStrictEqual([exit, took, legs], [Exit.succeed("second"), 8, 2])
    }))

  it.effect("legs are at most max, started after each delay or each Retryable", () =>
    Effect.gen(function*() {
      const slow = answer(100, "slow")
      assert.strictEqual((yield* race([slow], { max: 2 })).legs, 2)
      assert.strictEqual((yield* race([slow], { max: 4 })).legs, 4)
      const failing = yield* race([after(1, Effect.fail(unavailable))], { max: 4 })
      assert.deepStrictEqual([failing.legs, failing.took], [4, 4])
    }))

  it.effect("after zero starts all legs at once", () =>
    Effect.gen(function*() {
      const { legs, took } = yield* race([answer(3, "a")], { after: 0, max: 3 })
      assert.deepStrictEqual([legs, took], [3, 3])
    }))

  it.effect("a Fatal, a domain error and a defect end the call, and interrupt the other leg", () =>
    Effect.gen(function*() {
      const notFound = new UserNotFound()
      const ends: ReadonlyArray<Effect.Effect<never, Fatal | UserNotFound>> = [
        Effect.fail(fatal),
        Effect.fail(notFound),
        Effect.die("broken")
      ]
      for (const end of ends) {
        const { exit, interrupted, took } = yield* race([answer(50, "first"), after(2, end)])
        assert.deepStrictEqual([exit, took, interrupted], [yield* Effect.exit(end), 12, 1])
      }
    }))

  it.effect("when all legs fail, the call fails with the error that restricts most what may follow", () =>
    Effect.gen(function*() {
      const never = new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: "Never" })
      const failures = (first: Retryable, second: Retryable) =>
        Effect.map(
          race([after(20, Effect.fail(first)), after(20, Effect.fail(second))]),
          ({ exit }) => failureOf(exit)
        )
      assert.strictEqual(yield* failures(unavailable, unsent), unavailable)
      assert.strictEqual(yield* failures(unsent, unavailable), unavailable)
      assert.strictEqual(yield* failures(unavailable, never), never)
      assert.strictEqual(yield* failures(unsent, unsent), unsent)
    }))

  it.effect("the answer brings its fiber refs along, a loser does not", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("none")
      const hedge = yield* eager()
      yield* filled(hedge)
      const call = yield* Faults.script([
        Effect.zipRight(FiberRef.set(ref, "first"), Effect.sleep(50)),
        Effect.zipRight(FiberRef.set(ref, "second"), Effect.sleep(5))
      ])
      const { exit } = yield* play(Effect.zipRight(Hedge.hedge(call, hedge, idempotent), FiberRef.get(ref)))
      assert.deepStrictEqual(exit, Exit.succeed("second"))
    }))
})

describe("Hedge.hedge: server hints", () => {
  const hinted = (retryAfter: Duration.DurationInput | "Never") =>
    Effect.fail(new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: retryAfter as "Never" }))

  it.effect("\"do not retry\" starts no other leg, and leaves the one in flight", () =>
    Effect.gen(function*() {
      const alone = yield* race([after(2, hinted("Never")), answer(5, "second")])
      assert.deepStrictEqual([alone.legs, alone.took], [1, 2])
      const beside = yield* race([answer(30, "first"), after(2, hinted("Never"))], { max: 3 })
      assert.deepStrictEqual([beside.exit, beside.legs, beside.took], [Exit.succeed("first"), 2, 30])
    }))

  it.effect("a delay is kept before the next leg, which is not started by the timer sooner", () =>
    Effect.gen(function*() {
      const { exit, legs, took } = yield* race(
        [answer(200, "first"), after(2, hinted(Duration.millis(60))), answer(5, "third")],
        { max: 3 }
      )
      // the hint came at 12 ms
      assert.deepStrictEqual([exit, legs, took], [Exit.succeed("third"), 3, 77])
    }))

  it.effect("a delay holds for the retry also where the failure of another leg, which may have run, restricts more", () =>
    Effect.gen(function*() {
      const retried = (first: Effect.Effect<string, Retryable>, second: Effect.Effect<string, Retryable>) =>
        Effect.gen(function*() {
          const hedge = yield* eager()
          yield* filled(hedge)
          const call = yield* Faults.script([first, second, answer(1, "third")])
          return (yield* play(call.pipe(Hedge.hedge(hedge, idempotent), withRpcRetry))).took
        })
      const asks = (millis: number) => after(5, hinted(Duration.millis(millis)))
      const lost = after(50, Effect.fail(unavailable))
      // asked for at 15 ms
      assert.strictEqual(yield* retried(lost, asks(200)), 216)
      // it counts from the failure that asks for it, also where that is the one that the call fails with
      assert.strictEqual(yield* retried(after(50, Effect.fail(unsent)), asks(200)), 216)
      assert.strictEqual(yield* retried(after(50, hinted(Duration.millis(300))), asks(200)), 351)
      // the longest counts, and one that is over is as one of none: it is lengthened
      assert.strictEqual(yield* retried(after(50, hinted(Duration.millis(120))), asks(200)), 216)
      assert.strictEqual(yield* retried(lost, asks(20)), 151)
    }))

  it.effect("a leg that fails alone hands on its error as it is", () =>
    Effect.gen(function*() {
      const error = new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: Duration.millis(60) })
      assert.strictEqual(failureOf((yield* race([after(2, Effect.fail(error))])).exit), error)
    }))

  it.effect("with no leg in flight a delay is left to the retry", () =>
    Effect.gen(function*() {
      const { exit, legs, took } = yield* race([after(2, hinted(Duration.millis(60)))])
      assert.deepStrictEqual([Exit.isFailure(exit), legs, took], [true, 1, 2])
    }))
})

describe("Hedge.hedge: load", () => {
  it.effect("starts empty: extra legs are earned by calls", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "10 millis", load: 0.05 })
      const slow = yield* Faults.script([Effect.sleep(50)])
      const call = Hedge.hedge(slow, hedge, idempotent)
      yield* play(Effect.replicateEffect(call, 19))
      assert.strictEqual(yield* slow.attempts, 19)
      yield* play(call)
      assert.strictEqual(yield* slow.attempts, 21)
      assert.deepStrictEqual(yield* hedge.state, { calls: 20, extraLegs: 1, refused: 19, won: 0, level: 0 })
    }))

  it.effect("saves up at most twenty extra legs", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge, 100)
      assert.strictEqual((yield* hedge.state).level, 20)
    }))

  it.effect("does not double the load of an outage: a Retryable pays for the next leg too", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "10 millis", load: 0.1 })
      const call = yield* Faults.script([Faults.refused])
      yield* Effect.replicateEffect(Effect.ignore(Hedge.hedge(call, hedge, idempotent)), 100)
      assert.strictEqual(yield* call.attempts, 110)
    }))

  it.effect("a leg that a gate turns away costs nothing and does not end the call", () =>
    Effect.gen(function*() {
      const { exit, legs, state, took } = yield* race<CallRejected>([
        answer(30, "first"),
        Effect.fail(new CallRejected({ reason: "BulkheadFull" }))
      ], { max: 3 })
      assert.deepStrictEqual([exit, took, legs], [Exit.succeed("first"), 30, 2])
      assert.deepStrictEqual([state.extraLegs, state.level], [0, 11])
    }))

  it.effect("a first leg that is turned away ends the call at once, unhedged", () =>
    Effect.gen(function*() {
      const { exit, legs } = yield* race([Effect.fail(new CallRejected({ reason: "CircuitOpen" }))])
      assert.instanceOf(failureOf(exit), CallRejected)
      assert.strictEqual(legs, 1)
    }))
})

describe("Hedge.hedge with retries", () => {
  it.effect("a retry runs without extra legs: hedges and retries do not multiply", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge)
      const call = yield* Faults.script([after(50, Effect.fail(unavailable))])
      const { exit } = yield* play(
        call.pipe(Hedge.hedge(hedge, idempotent), withRpcRetry({ schedule: Schedule.recurs(3) }))
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(yield* call.attempts, 5)
    }))

  it.effect("a call of a caller that retries runs without extra legs", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge)
      const call = yield* Faults.script([answer(50, "a")])
      yield* play(Effect.provideService(Hedge.hedge(call, hedge, idempotent), Deadline.InheritedAttempt, 2))
      assert.strictEqual(yield* call.attempts, 1)
    }))

  it.effect("a leg whose own retries gave up starts no other", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge)
      const call = yield* Faults.script([Faults.refused])
      const { exit } = yield* play(
        call.pipe(withRpcRetry({ schedule: Schedule.recurs(1) }), Hedge.hedge(hedge, idempotent))
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(yield* call.attempts, 2)
    }))

  it.effect("when one leg's own retries gave up and another failed, the call has given up", () =>
    Effect.gen(function*() {
      const gaveUp = withRpcRetry(Faults.refused, { schedule: Schedule.recurs(0) })
      const { exit } = yield* race<Retryable | RetryExhausted | CallRejected>([
        after(20, Effect.fail(unavailable)),
        after(20, gaveUp)
      ])
      assert.instanceOf(failureOf(exit), RetryExhausted)
    }))

  it.effect("each leg has a number of its own, also while the others run", () =>
    Effect.gen(function*() {
      const hedge = yield* eager(3)
      yield* filled(hedge)
      const seen: Array<string> = []
      const leg = Effect.gen(function*() {
        const number = yield* Deadline.CurrentAttempt
        yield* Effect.sleep(40)
        seen.push(`${number} is ${yield* Deadline.CurrentAttempt}`)
        return yield* unavailable
      })
      yield* play(Hedge.hedge(leg, hedge, idempotent))
      assert.deepStrictEqual(seen, ["1 is 1", "2 is 2", "3 is 3"])
    }))

  it.effect("no leg starts after the deadline", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "30 millis", load: 1 })
      yield* filled(hedge)
      const call = yield* Faults.script([answer(50, "a")])
      yield* play(Hedge.hedge(call, hedge, idempotent).pipe(Deadline.within("20 millis")))
      assert.deepStrictEqual([yield* call.attempts, (yield* hedge.state).level], [1, 11])
    }))

  it.effect("an RpcCall keeps its name for the retry around it", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const call = RpcCall.make(Effect.fail(unavailable), { method: "Users.Get" })
      const { exit } = yield* play(
        call.pipe(Hedge.hedge(hedge, idempotent), withRpcRetry, Effect.provide(RpcRetry.layer()))
      )
      assert.propertyVal(failureOf(exit), "method", "Users.Get")
    }))
})

describe("Hedge.hedge: interruption", () => {
  it.effect("the answer does not wait for a loser that is slow to end, which ends by itself", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge)
      const watch = yield* Watch.make
      const mayEnd = yield* Deferred.make<void>()
      let released = 0
      const call = yield* Faults.script([
        Effect.ensuring(answer(500, "first"), Effect.andThen(Deferred.await(mayEnd), Effect.sync(() => released++))),
        answer(5, "second")
      ])
      const fiber = yield* Effect.fork(watch.watch(Hedge.hedge(call, hedge, idempotent)))
      yield* TestClock.adjust(15)
      assert.deepStrictEqual(fiber.unsafePoll(), Exit.succeed("second"))
      assert.deepStrictEqual([released, yield* watch.fibers], [0, 1])
      yield* Deferred.succeed(mayEnd, undefined)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([released, yield* watch.fibers, yield* watch.timers], [1, 0, 0])
    }))

  it.effect("the caller's interruption is not taken for that of a loser", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge)
      const call = yield* Faults.script([Effect.never])
      const fiber = yield* Effect.fork(Hedge.hedge(call, hedge, idempotent))
      yield* TestClock.adjust(15)
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.strictEqual(yield* call.interrupted, 2)
    }))

  it.live("at every virtual millisecond: finalizers have run, no leg starts, no fiber and no timer is left", () =>
    Effect.forEach(
      Array.from({ length: 61 }, (_, at) => at),
      (at) =>
        Effect.gen(function*() {
          const watch = yield* Watch.make
          const hedge = yield* eager(4)
          yield* filled(hedge)
          let open = 0
          const held = <A, E>(millis: number, end: Effect.Effect<A, E>) =>
            Effect.acquireUseRelease(
              Effect.sync(() => open++),
              () => after(millis, end),
              () => Effect.sync(() => open--)
            )
          // legs start at 0, 10, 18 and 28 ms; the third one answers at 58
          const call = yield* Faults.script([
            held(100, Effect.succeed("first")),
            held(8, Effect.fail(unavailable)),
            held(40, Effect.succeed("third")),
            held(100, Effect.succeed("fourth"))
          ])
          const fiber = yield* Effect.fork(watch.watch(Hedge.hedge(call, hedge, idempotent)))
          yield* TestClock.adjust(at)
          const started = [0, 10, 18, 28].filter((start) => start <= at).length
          assert.strictEqual(yield* call.attempts, started, `legs started by ${at}`)

          const exit = yield* Fiber.interrupt(fiber)

          assert.deepStrictEqual(
            Exit.isSuccess(exit) ? exit.value : "interrupted",
            at >= 58 ? "third" : "interrupted",
            `at ${at}`
          )
          assert.deepStrictEqual(
            [open, yield* watch.fibers, yield* watch.timers],
            [0, 0, 0],
            `left after an interruption at ${at}`
          )
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(yield* call.attempts, started, `legs after an interruption at ${at}`)
        }).pipe(Effect.provide(TestContext.TestContext)),
      { concurrency: 64, discard: true }
    ))
})

describe("Hedge.quantile", () => {
  it.effect("hedges no call for being late until there are enough samples", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: Hedge.quantile(0.95), load: 1 })
      const call = Hedge.hedge(Effect.sleep(20), hedge, idempotent)
      yield* play(Effect.replicateEffect(call, 99))
      assert.isTrue(Option.isNone(yield* hedge.delay()))
      yield* play(call)
      assert.approximately(Duration.toMillis(Option.getOrThrow(yield* hedge.delay())), 20, 2)
      assert.strictEqual((yield* hedge.state).extraLegs, 0)
    }))

  it.effect("keeps methods apart: a dear one is not hedged for being slower than a cheap one", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: Hedge.quantile(0.95), load: 1 })
      const call = (method: string, millis: number) => {
        const random = (() => {
          let i = 0
          return () => millis * (1 + (i++ % 20) / 100)
        })()
        return RpcCall.make(Effect.suspend(() => Effect.sleep(random())), { method }).pipe(
          Hedge.hedge(hedge, idempotent)
        )
      }
      const [cheap, dear] = [call("Items.Get", 2), call("Items.Report", 900)]
      yield* play(Effect.replicateEffect(cheap, 100))
      const before = yield* hedge.state
      yield* play(Effect.replicateEffect(dear, 100))
      assert.strictEqual((yield* hedge.state).extraLegs, before.extraLegs)
      assert.isAbove(Duration.toMillis(Option.getOrThrow(yield* hedge.delay("Items.Report"))), 900)
      assert.isBelow(Duration.toMillis(Option.getOrThrow(yield* hedge.delay("Items.Get"))), 3)
    }))

  it.effect("does not shrink because attempts fail fast", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: Hedge.quantile(0.9), load: 0.001 })
      yield* play(Effect.replicateEffect(Hedge.hedge(Effect.sleep(50), hedge, idempotent), 100))
      yield* play(Effect.replicateEffect(Effect.ignore(Hedge.hedge(Faults.refused, hedge, idempotent)), 500))
      assert.isAbove(Duration.toMillis(Option.getOrThrow(yield* hedge.delay())), 45)
    }))
})

describe("Hedge: options", () => {
  const problem = (f: () => unknown): string => {
    try {
      f()
    } catch (error) {
      assert.instanceOf(error, InvalidOption)
      return error.message
    }
    return assert.fail("accepted")
  }

  it("out of range are refused by name", () => {
    const make = (options: object) => problem(() => Hedge.make(options as Hedge.Options))
    assert.include(make({ after: -1 }), "Hedge.make: after must not be negative")
    assert.include(make({}), "Hedge.make: after must be a duration")
    assert.include(
      make({ after: { _tag: "Quantile", quantile: 95 } }),
      "after.quantile must be a number from 0.5 to 0.999"
    )
    assert.include(make({ after: 10, max: 1 }), "max must be an integer from 2 to 5")
    assert.include(make({ after: 10, load: 5 }), "load must be a number from 0.001 to 1")
    assert.include(make({ after: 10, laod: 0.1 }), "laod is not an option, did you mean load?")
    assert.include(problem(() => Hedge.quantile(95)), "Hedge.quantile: share must be")
  })

  it.effect("a call that may not run twice is refused, whatever its types say", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const call = RpcCall.make(Effect.void, { method: "Orders.Place", idempotent: false })
      const said = (options: object) => problem(() => Hedge.hedge(call, hedge, options as Hedge.CallOptions))
      assert.include(said({}), "Hedge.hedge: idempotent must be true, got undefined")
      assert.include(said({ idempotent: false }), "idempotent must be true, got false")
      assert.include(said({ idempotent: true }), "Orders.Place must not run twice")
    }))

  it.effect("are pipeable and guarded", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      assert.isTrue(Hedge.isHedge(hedge))
      assert.isFalse(Hedge.isHedge({}))
      assert.deepStrictEqual(yield* hedge.delay(), Option.some(Duration.millis(10)))
      assert.strictEqual(hedge.pipe((self) => self), hedge)
    }))
})

describe("Hedge.hedge: a leg that needs no wait", () => {
  /** A clock that counts the timers that were asked for. */
  const counting = Effect.map(Effect.clock, (clock) => {
    const timers = { asked: 0 }
    const counted: typeof clock = Object.assign(Object.create(clock) as typeof clock, {
      sleep: (duration: Duration.Duration) => {
        timers.asked++
        return clock.sleep(duration)
      }
    })
    return { timers, counted }
  })

  it.effect("makes no timer and no second leg, whether it is answered or fails for good", () =>
    Effect.gen(function*() {
      const { counted, timers } = yield* counting
      const hedge = yield* eager()
      const calling = <E>(call: Effect.Effect<string, E>) =>
        Effect.exit(Hedge.hedge(call, hedge, idempotent)).pipe(Effect.withClock(counted))
      assert.deepStrictEqual(yield* calling(Effect.succeed("first")), Exit.succeed("first"))
      assert.deepStrictEqual(yield* calling(Effect.fail(fatal)), Exit.fail(fatal))
      assert.deepStrictEqual([timers.asked, (yield* hedge.state).extraLegs], [0, 0])
    }))

  it.effect("is followed by the next at once when it fails with a Retryable, each with a number of its own", () =>
    Effect.gen(function*() {
      const hedge = yield* eager(3)
      yield* filled(hedge)
      const numbers: Array<number> = []
      const call = Effect.flatMap(Deadline.CurrentAttempt, (number) => {
        numbers.push(number)
        return number < 3 ? Effect.fail(unavailable) : Effect.succeed("third")
      })
      assert.strictEqual(yield* Hedge.hedge(call, hedge, idempotent), "third")
      assert.deepStrictEqual(numbers, [1, 2, 3])
    }))

  it.effect("hands on what it has changed of its FiberRefs", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("before")
      yield* Hedge.hedge(FiberRef.set(ref, "after"), yield* eager(), idempotent)
      assert.strictEqual(yield* FiberRef.get(ref), "after")
    }))

  it.effect("takes no stack: ten thousand calls in a row, and a thousand inside of each other", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      yield* filled(hedge, 10_000)
      const nested = Array.from({ length: 1_000 }).reduce<Effect.Effect<string>>(
        (call) => Hedge.hedge(call, hedge, idempotent),
        Effect.succeed("innermost")
      )
      assert.strictEqual(yield* nested, "innermost")
    }))

  it.effect("may interrupt its caller, which then takes no answer", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      let interrupted = 0
      const call = Effect.withFiberRuntime<never>((outer) =>
        Hedge.hedge(
          Effect.onInterrupt(
            Effect.andThen(Fiber.interruptFork(outer), Effect.never),
            () => Effect.sync(() => interrupted++)
          ),
          hedge,
          idempotent
        )
      )
      const fiber = yield* Effect.fork(call)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.strictEqual(interrupted, 1)
    }))
})
