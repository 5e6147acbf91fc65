/**
 * A call whose policy has a hedge: when its legs start, what ends the call, and what the legs cost.
 */
import {
  Bulkhead,
  type CallRejected,
  CircuitBreaker,
  Deadline,
  Fatal,
  Hedge,
  Retryable,
  RetryBudget,
  type RetryPolicy,
  RetrySchedule,
  RpcCall,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"
import * as Watch from "../../support/watch.js"

class NoSuchUser extends Data.TaggedError("NoSuchUser")<{}> {}

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
const lost = new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })
const fatal = new Fatal({ reason: "ServerError", message: "no" })

/** A step of a script that ends so after so many milliseconds. */
const after = <A, E>(millis: number, end: Effect.Effect<A, E>) => Effect.delay(end, millis)
const answer = (millis: number, text: string) => after(millis, Effect.succeed(text))
const fails = (millis: number, error: Retryable | Fatal | NoSuchUser = unavailable) => after(millis, Effect.fail(error))

type Options = Partial<RetryPolicy.CommonOptions>

/** A hedge after 10 ms that has saved up for many legs. */
const eager = (options: Partial<Hedge.Options> = {}) =>
  Effect.tap(
    Hedge.make({ after: "10 millis", load: 1, ...options }),
    (hedge) => Effect.replicateEffect(Effect.void.pipe(withRpcRetry({ hedge, idempotent: true })), 20)
  )

const hedged = (hedge: Hedge.Hedge, options: Options = {}) =>
  withRpcRetry({ logs: false, ...options, hedge, idempotent: true })

type Steps<E> = readonly [Effect.Effect<string, E>, ...ReadonlyArray<Effect.Effect<string, E>>]

/** Runs a script in a policy with a hedge: how it ended, when, and what it came to. */
const race = <E>(steps: Steps<E>, options: Options = {}, hedging: Partial<Hedge.Options> = {}) =>
  Effect.gen(function*() {
    const hedge = yield* eager(hedging)
    const before = yield* hedge.state
    const call = yield* Faults.script(steps)
    const { exit, took } = yield* play(call.pipe(hedged(hedge, options)))
    const state = yield* hedge.state
    return {
      exit,
      took,
      attempts: yield* call.attempts,
      interrupted: yield* call.interrupted,
      extra: state.extraLegs - before.extraLegs,
      won: state.won,
      level: state.level
    }
  })

const makeBudget = (capacity = 10) => RetryBudget.make({ capacity, ratio: 0.1, regainEvery: "100000 days" })

const levelOf = (budget: RetryBudget.RetryBudget) => Effect.map(budget.level, (level) => Math.round(level * 1e6) / 1e6)

const millis = (duration: Duration.Duration | undefined) => duration && Duration.toMillis(duration)

describe("a hedge in a policy: who wins", () => {
  it.effect("a call that is answered in time has one attempt", () =>
    Effect.gen(function*() {
      const { attempts, exit, extra, took } = yield* race([answer(9, "first")])
      assert.deepStrictEqual([exit, took, attempts, extra], [Exit.succeed("first"), 9, 1, 0])
    }))

  it.effect("a slow attempt gets another beside it, whose answer is taken; the slow one is interrupted", () =>
    Effect.gen(function*() {
      const { attempts, exit, interrupted, took, won } = yield* race([answer(50, "first"), answer(5, "second")])
      assert.deepStrictEqual([exit, took, attempts, interrupted, won], [Exit.succeed("second"), 15, 2, 1, 1])
    }))

  it.effect("a Fatal, a domain error and a defect of a leg end the call, and interrupt the other", () =>
    Effect.gen(function*() {
      const notFound = new NoSuchUser()
      for (const error of [fatal, notFound]) {
        const { exit, interrupted, took } = yield* race([answer(50, "first"), fails(5, error)])
        assert.deepStrictEqual([exit, took, interrupted], [Exit.fail(error), 15, 1])
      }
      const { exit, took } = yield* race([answer(50, "first"), after(5, Effect.die("broken"))])
      assert.deepStrictEqual([exit, took], [Exit.die("broken"), 15])
    }))

  it.effect("a Retryable starts the next leg at once while another is in flight", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race(
        [answer(100, "first"), fails(2), answer(5, "third")],
        {},
        { max: 3 }
      )
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("third"), 17, 3])
    }))

  it.effect("a Retryable beside which something was interrupted is a Retryable, as without a hedge", () =>
    Effect.gen(function*() {
      const cut = Effect.failCause(Cause.parallel(Cause.fail(unavailable), Cause.interrupt(FiberId.none)))
      const alone = yield* race([after(3, cut), answer(5, "second")])
      assert.deepStrictEqual([alone.exit, alone.took, alone.attempts], [Exit.succeed("second"), 108, 2])
      const beside = yield* race([answer(100, "first"), after(2, cut), answer(5, "third")], {}, { max: 3 })
      assert.deepStrictEqual([beside.exit, beside.took, beside.attempts], [Exit.succeed("third"), 17, 3])
    }))

  it.effect("a Retryable with nothing beside it is retried after the delay of the schedule, and costs no load", () =>
    Effect.gen(function*() {
      const { attempts, exit, extra, took } = yield* race([fails(3), answer(5, "second")])
      assert.deepStrictEqual([exit, took, attempts, extra], [Exit.succeed("second"), 108, 2, 0])
    }))

  it.effect("a defect in what a policy is made of ends the call, and interrupts all legs", () =>
    Effect.gen(function*() {
      const broken = () => {
        throw new Error("broken")
      }
      const budget = yield* RetryBudget.make({ cost: broken, capacity: 5 })
      const policies: ReadonlyArray<Options> = [
        { retryIf: broken },
        { budget },
        { schedule: Schedule.tapInput(schedule(3), () => Effect.die("broken")) }
      ]
      for (const policy of policies) {
        const { exit, interrupted } = yield* race([answer(100, "first"), fails(5)], policy)
        assert.deepStrictEqual([Exit.isFailure(exit) && Cause.isDie(exit.cause), interrupted], [true, 1])
      }
    }))

  it.effect("an answer is not kept waiting by the loser", () =>
    Effect.gen(function*() {
      const stubborn = Effect.uninterruptible(answer(50, "first"))
      const { exit, took } = yield* race([stubborn, answer(5, "second")])
      assert.deepStrictEqual([exit, took], [Exit.succeed("second"), 15])
    }))
})

describe("a hedge in a policy: one limit for legs and retries", () => {
  it.effect("after all legs have failed the next round begins after the delay; legs use up the retries", () =>
    Effect.gen(function*() {
      const started: Array<number> = []
      const start = yield* Clock.currentTimeMillis
      const hedge = yield* eager()
      const slow = Effect.andThen(
        Effect.map(Clock.currentTimeMillis, (now) => started.push(now - start)),
        fails(30)
      )
      const { exit, took } = yield* play(slow.pipe(hedged(hedge, { schedule: schedule(3) })))
      const error = exhaustedOf(exit)
      // legs at 0 and 10, which fail at 30 and 40; the next round 100 ms later
      assert.deepStrictEqual(started, [0, 10, 140, 150])
      assert.deepStrictEqual([error.reason, error.attempts, took], ["AttemptsExhausted", 4, 180])
      assert.deepStrictEqual(
        error.history.map(({ attempt, delay, startedAt }) => [attempt, millis(startedAt), millis(delay)]),
        [[1, 0, undefined], [2, 10, 100], [3, 140, undefined], [4, 150, undefined]]
      )
    }))

  /** When the attempts of a script with legs started, in milliseconds. */
  const starts = <E>(steps: Steps<E>, options: Options) =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const call = yield* Faults.script(steps)
      const started: Array<number> = []
      const start = yield* Clock.currentTimeMillis
      const attempt = Effect.andThen(Effect.map(Clock.currentTimeMillis, (now) => started.push(now - start)), call)
      yield* play(Effect.exit(attempt.pipe(hedged(hedge, options))))
      return started
    })

  const growing = RetrySchedule.exponential().pipe(RetrySchedule.retries(6))

  it.effect("the delays between rounds grow as the schedule says, while no server has asked for one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* starts([fails(5)], { schedule: growing, minServerDelay: "5 seconds" }),
        [0, 105, 260, 490, 832.5, 1343.75, 2108.125]
      )
    }))

  it.effect("a call with two rounds earns the load of one", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const { calls } = yield* hedge.state
      yield* play((yield* Faults.script([fails(30), fails(30), answer(1, "third")])).pipe(hedged(hedge)))
      assert.strictEqual((yield* hedge.state).calls, calls + 1)
    }))

  it.effect("a leg asks schedule as a retry after a timeout does, or after what has failed", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const recording = schedule(3).pipe(Schedule.tapInput((error: Retryable) => Effect.sync(() => asked.push(error))))
      yield* race([answer(50, "first"), fails(5), answer(5, "third")], { schedule: recording }, { max: 3 })
      assert.deepStrictEqual(asked, [
        new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" }),
        unavailable
      ])
    }))

  it.effect("without retries there are no legs, and with n retries at most n of them", () =>
    Effect.gen(function*() {
      const attempts = (retries: number) =>
        Effect.map(race([answer(100, "slow")], { schedule: schedule(retries) }, { max: 5 }), ({ attempts }) => attempts)
      assert.deepStrictEqual(yield* Effect.forEach([0, 1, 2, 3, 9], attempts), [1, 2, 3, 4, 5])
    }))

  it.effect("a leg that the schedule has no place for costs neither load nor budget", () =>
    Effect.gen(function*() {
      const budget = yield* makeBudget()
      const { extra, level } = yield* race([answer(100, "slow")], { schedule: schedule(0), budget })
      assert.deepStrictEqual([extra, level, yield* levelOf(budget)], [0, 20, 10])
    }))

  it.effect("an answer is not kept waiting by a schedule that is slow to decide on the next leg", () =>
    Effect.gen(function*() {
      const budget = yield* makeBudget()
      const slow = schedule(3).pipe(Schedule.tapInput(() => Effect.sleep(100)))
      const { attempts, exit, extra, level, took } = yield* race([answer(50, "first")], { schedule: slow, budget })
      assert.deepStrictEqual([exit, took, attempts, extra, level], [Exit.succeed("first"), 50, 1, 0, 20])
      assert.strictEqual(yield* levelOf(budget), 10)
    }))

  it.effect("a slow schedule decides, and keeps no answer waiting, also where the caller cannot be interrupted", () =>
    Effect.gen(function*() {
      const slow = schedule(3).pipe(Schedule.tapInput(() => Effect.sleep(20)))
      const took = (first: number) =>
        Effect.gen(function*() {
          const call = yield* Faults.script([answer(first, "first"), answer(5, "second")])
          const { exit, took } = yield* play(
            Effect.uninterruptible(call.pipe(hedged(yield* eager(), { schedule: slow })))
          )
          return [exit, took]
        })
      assert.deepStrictEqual(yield* took(50), [Exit.succeed("second"), 35])
      assert.deepStrictEqual(yield* took(15), [Exit.succeed("first"), 15])
    }))

  it.effect("a leg that a slow schedule decides on does not start after the deadline", () =>
    Effect.gen(function*() {
      const slow = schedule(3).pipe(Schedule.tapInput(() => Effect.sleep(20)))
      const { attempts, exit, level } = yield* race([Effect.never], { schedule: slow, deadline: 25 })
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, attempts, level], ["DeadlineExceeded", 1, 1, 20])
    }))

  it.effect("a leg that a slow schedule decides on starts when it has, also where another one has failed by then", () =>
    Effect.gen(function*() {
      const slow = schedule(3).pipe(Schedule.tapInput(() => Effect.sleep(20)))
      const late = yield* race([answer(50, "first"), answer(5, "second")], { schedule: slow })
      assert.deepStrictEqual([late.exit, late.took, late.attempts], [Exit.succeed("second"), 35, 2])
      const failed = yield* race([fails(20), answer(5, "second")], { schedule: slow })
      assert.deepStrictEqual([failed.exit, failed.took, failed.attempts], [Exit.succeed("second"), 35, 2])
    }))

  it.effect("a call that has lost its name is hedged as its method says once that is known, and records each attempt once", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const call = yield* Faults.script([fails(5), fails(50), fails(1)])
      const history = (layer: RpcRetry.LayerOptions) =>
        Effect.gen(function*() {
          const unnamed = call.pipe(RpcCall.make({ method: "A.B" }), Effect.map((x) => x), withRpcRetry)
          const { exit } = yield* play(Effect.provide(unnamed, RpcRetry.layer({ budget: "off", ...layer })))
          return exhaustedOf(exit).history.map((
            { attempt, delay, startedAt }
          ) => [attempt, millis(startedAt), millis(delay)])
        })
      const common = { schedule: schedule(2), logs: false }
      // the leg starts 10 ms after the second attempt
      assert.deepStrictEqual(
        yield* history({ default: common, methods: { "A.B": { hedge, idempotent: true } } }),
        [[1, 0, 100], [3, 115, undefined], [2, 105, undefined]]
      )
      assert.deepStrictEqual(
        yield* history({ default: { ...common, hedge, idempotent: true }, methods: { "A.B": { hedge: "off" } } }),
        [[1, 0, 100], [2, 101, 100], [3, 202, undefined]]
      )
    }))

  it.effect("a layer's methods can switch the hedge off together with retries", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const call = yield* Faults.script([answer(50, "first"), answer(5, "second")])
      const { took } = yield* play(
        call.pipe(
          withRpcRetry({ method: "A.B" }),
          Effect.provide(RpcRetry.layer({ default: { hedge, idempotent: true }, methods: { "A.B": "off" } }))
        )
      )
      assert.deepStrictEqual([took, yield* call.attempts], [50, 1])
    }))
})

/** So many retries, 100 ms apart. */
const schedule = (retries: number) => Schedule.intersect(Schedule.spaced(100), Schedule.recurs(retries))

describe("a hedge in a policy: what the server asks for", () => {
  const never = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: "Never" })
  const hinted = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: Duration.millis(200) })

  it.effect("\"do not retry\" stops legs and retries; the leg in flight may still be answered", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([answer(30, "first"), fails(5, never)], {}, { max: 4 })
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("first"), 30, 2])
    }))

  it.effect("\"do not retry\" ends the call when the leg in flight fails too", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([fails(30), fails(5, never)], {}, { max: 4 })
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.last, took, attempts], ["ServerSaidNo", never, 30, 2])
    }))

  it.effect("a delay counts from the answer that asks for it, also for the round after the race", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([fails(50), fails(5, hinted), answer(1, "third")])
      // asked for at 15, by a leg whose failure is not the last one
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("third"), 216, 3])
    }))

  it.effect("a delay holds for the round after the race also where another leg, which may have run, decides", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([fails(50, lost), fails(5, hinted), answer(1, "third")])
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("third"), 216, 3])
    }))

  it.effect("a delay that is over when the race ends is as one of none: it is lengthened, and delays start over", () =>
    Effect.gen(function*() {
      const started: Array<number> = []
      const start = yield* Clock.currentTimeMillis
      const short = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: Duration.millis(5) })
      const call = yield* Faults.script([fails(50), fails(5, short), fails(1), answer(1, "fourth")])
      const attempt = Effect.andThen(Effect.map(Clock.currentTimeMillis, (now) => started.push(now - start)), call)
      yield* play(attempt.pipe(hedged(yield* eager())))
      // the leg has taken the place of the first delay, and the next one is 150 ms
      assert.deepStrictEqual(started, [0, 10, 200, 351])
    }))

  it.effect("a delay is lengthened to the policy's shortest one for the next leg too", () =>
    Effect.gen(function*() {
      const short = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: Duration.millis(20) })
      const took = (error: Retryable, options: Options) =>
        Effect.map(
          race([answer(500, "first"), fails(5, error), answer(1, "third")], options, { max: 4 }),
          ({ took }) => took
        )
      assert.strictEqual(yield* took(short, {}), 36)
      assert.strictEqual(yield* took(short, { minServerDelay: 100 }), 116)
      assert.strictEqual(yield* took(hinted, { minServerDelay: 100 }), 216)
      assert.strictEqual(yield* took(unavailable, { minServerDelay: 100 }), 16)
    }))

  it.effect("a delay also holds for the next leg", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([answer(500, "first"), fails(5, hinted), answer(1, "third")], {}, {
        max: 4
      })
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("third"), 216, 3])
    }))

  it.effect("a delay that is longer than allowed stops legs and retries", () =>
    Effect.gen(function*() {
      const options = { maxServerDelay: 100 }
      const { exit } = yield* race([fails(30), fails(5, hinted)], options, { max: 4 })
      assert.strictEqual(exhaustedOf(exit).reason, "ServerSaidNo")
    }))

  it.effect("a Retryable that the policy does not retry starts no leg, and ends the call when all have failed", () =>
    Effect.gen(function*() {
      const { attempts, exit } = yield* race([fails(30), fails(5, lost)], {
        retryIf: ({ reason }) => reason !== "ConnectionLost"
      }, { max: 4 })
      assert.deepStrictEqual([exhaustedOf(exit).reason, attempts], ["NotRetried", 2])
    }))
})

describe("a hedge in a policy: what legs cost", () => {
  it.effect("an extra leg is paid from the retry budget as a retry is", () =>
    Effect.gen(function*() {
      const budget = yield* makeBudget()
      yield* race([answer(50, "first"), answer(5, "second")], { budget })
      assert.strictEqual(yield* levelOf(budget), 9.1)
    }))

  it.effect("a drained retry budget starts no leg, and does not fail the call", () =>
    Effect.gen(function*() {
      const budget = yield* makeBudget(1)
      yield* Effect.ignore(fails(0).pipe(withRpcRetry({ budget, schedule: schedule(1), logs: false }), play))
      const { attempts, exit, level, took } = yield* race([answer(50, "first")], { budget })
      assert.deepStrictEqual([exit, took, attempts, level], [Exit.succeed("first"), 50, 1, 20])
    }))

  it.effect("a new hedge has no load saved up, and starts no leg", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "10 millis", load: 0.5 })
      const took = Effect.map(play(answer(50, "slow").pipe(hedged(hedge))), ({ took }) => took)
      assert.strictEqual(yield* took, 50)
      const { calls, extraLegs, level, refused } = yield* hedge.state
      assert.deepStrictEqual([calls, extraLegs, refused, level], [1, 0, 1, 0.5])
    }))

  it.effect("the promised load holds when everything fails, whatever the schedule allows", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "10 millis", load: 0.05, max: 3 })
      const call = fails(30).pipe(hedged(hedge, { schedule: schedule(9) }), Effect.exit)
      yield* play(Effect.all(Array.from({ length: 100 }, () => call), { concurrency: "unbounded" }))
      const { calls, extraLegs } = yield* hedge.state
      assert.deepStrictEqual([calls, extraLegs], [100, 5])
    }))
})

describe("a hedge in a policy: what it learns of the latencies", () => {
  /** After how long a leg would start, once so many attempts were made with a policy of this hedge. */
  const learned = <A, E>(n: number, call: Effect.Effect<A, E>, hedge: Hedge.Hedge) =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(play(Effect.exit(call.pipe(hedged(hedge, { schedule: Schedule.stop })))), n)
      return Option.map(yield* hedge.delay(), Duration.toMillis)
    })

  /** Half of the attempts take longer. */
  const make = Hedge.make({ after: Hedge.quantile(0.5), load: 1 })

  it.effect("an answer took as long as it did, whether it is a success or an error", () =>
    Effect.gen(function*() {
      for (const end of [Effect.succeed("first"), Effect.fail(fatal)]) {
        const hedge = yield* make
        assert.isTrue(Option.isNone(yield* learned(9, after(10, end), hedge)))
        assert.approximately(Option.getOrThrow(yield* learned(1, after(500, end), hedge)), 10, 2)
      }
    }))

  it.effect("an attempt that failed would have taken longer", () =>
    Effect.gen(function*() {
      const hedge = yield* make
      yield* learned(20, fails(10), hedge)
      assert.approximately(Option.getOrThrow(yield* learned(10, answer(100, "first"), hedge)), 100, 10)
    }))

  it.effect("an attempt that was cancelled would have taken longer", () =>
    Effect.gen(function*() {
      const hedge = yield* make
      const cancelled = Effect.timeoutOption(Effect.never.pipe(hedged(hedge, { schedule: Schedule.stop })), 10)
      yield* Effect.replicateEffect(play(cancelled), 20)
      assert.approximately(Option.getOrThrow(yield* learned(10, answer(100, "first"), hedge)), 100, 10)
    }))
})

describe("a hedge in a policy: time", () => {
  it.effect("no leg starts after the deadline, and the call ends there", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([Effect.never], { deadline: 25 }, { max: 5 })
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, took, attempts], ["DeadlineExceeded", 3, 25, 3])
    }))

  it.effect("the deadline is the reason also where another leg has failed before", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* race([Effect.never, fails(5, lost)], { deadline: 40 })
      assert.deepStrictEqual([exhaustedOf(exit).reason, took], ["DeadlineExceeded", 40])
    }))

  it.effect("each leg has an attempt timeout of its own", () =>
    Effect.gen(function*() {
      const { attempts, exit, took } = yield* race([Effect.never, answer(25, "second")], { attemptTimeout: 30 })
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("second"), 35, 2])
    }))

  it.effect("each leg has a number and a progress of its own, and the deadline and the key of the call", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const seen: Array<readonly [number, string, number]> = []
      const attempt = Effect.gen(function*() {
        const number = yield* Deadline.CurrentAttempt
        const key = Option.getOrThrow(yield* Deadline.IdempotencyKey)
        seen.push([number, key, millis(Option.getOrThrow(yield* Deadline.remaining))!])
        // a leg whose request is not written is cut as not sent, whatever the other leg has written
        return yield* Deadline.whileUnsent((progress) => {
          if (number === 1) {
            progress.sending()
          }
          return Effect.never
        })
      })
      const { exit } = yield* play(
        attempt.pipe(
          withRpcRetry({
            hedge,
            idempotent: true,
            deadline: 100,
            attemptTimeout: 50,
            schedule: schedule(1),
            idempotencyKey: "k"
          })
        )
      )
      assert.deepStrictEqual(seen, [[1, "k", 100], [2, "k", 90]])
      assert.deepStrictEqual(exhaustedOf(exit).history.map(({ error }) => error.delivery), ["Unknown", "NotSent"])
    }))
})

describe("a hedge in a policy: gates", () => {
  it.effect("the circuit breaker is told of a race once", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(100) })
      yield* race([fails(30)], { breaker, schedule: schedule(1) })
      assert.strictEqual((yield* breaker.snapshot).failures, 1)
      yield* race([fails(30), answer(1, "second")], { breaker })
      assert.strictEqual((yield* breaker.snapshot).failures, 0)
    }))

  it.effect("no leg starts once the circuit breaker is open; the one in flight goes on", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      const hedge = yield* eager()
      const call = yield* Faults.script([answer(50, "first"), answer(5, "second")])
      const fiber = yield* Effect.fork(call.pipe(hedged(hedge, { breaker })))
      yield* TestClock.adjust(5)
      yield* breaker.open
      yield* TestClock.adjust(45)
      assert.deepStrictEqual([yield* Fiber.join(fiber), yield* call.attempts], ["first", 1])
    }))

  it.effect("each leg takes a permit of the bulkhead, and all come back", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 5, queue: 0 })
      const hedge = yield* eager({ max: 3 })
      const fiber = yield* Effect.fork(answer(50, "slow").pipe(hedged(hedge, { bulkhead })))
      const inFlight: Array<number> = []
      for (const step of [5, 10, 10, 10, 20]) {
        yield* TestClock.adjust(step)
        inFlight.push(yield* bulkhead.inFlight)
      }
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(inFlight, [1, 2, 3, 3, 0])
    }))

  it.effect("a leg that the bulkhead turns away is dropped, and what it has cost comes back", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const budget = yield* makeBudget()
      const { attempts, exit, extra, level, took } = yield* race([answer(50, "first")], { bulkhead, budget })
      assert.deepStrictEqual([exit, took, attempts, extra, level], [Exit.succeed("first"), 50, 1, 0, 20])
      assert.strictEqual(yield* levelOf(budget), 10)
    }))

  it.effect("a leg that loses while it waits for the bulkhead gives back what it has cost", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const budget = yield* makeBudget()
      const { attempts, extra, level, took } = yield* race([answer(50, "first")], { bulkhead, budget }, { max: 3 })
      assert.deepStrictEqual([took, attempts, extra, level], [50, 1, 0, 20])
      assert.deepStrictEqual([yield* levelOf(budget), yield* bulkhead.waiting, yield* bulkhead.inFlight], [10, 0, 0])
    }))

  it.effect("a leg is not made that is granted a permit by the end of the call, be it an answer, an error or a defect", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      for (const end of [Effect.succeed("first"), Effect.fail(fatal), Effect.die("broken"), Effect.interrupt]) {
        const hedge = yield* eager()
        const call = yield* Faults.script([after(50, end)])
        // it cannot be interrupted, and so sees that it was granted the permit
        yield* play(Effect.uninterruptible(call.pipe(hedged(hedge, { bulkhead }))))
        assert.deepStrictEqual([yield* call.attempts, yield* bulkhead.inFlight], [1, 0])
      }
    }))

  it.effect("a leg that waits for the bulkhead starts when another one has failed", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const { attempts, exit, took } = yield* race([fails(30), answer(5, "second")], { bulkhead })
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("second"), 35, 2])
    }))

  it.effect("a race goes on after a leg that was turned away, and fails as the other one", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const { attempts, exit, took } = yield* race([fails(30), answer(5, "second")], { bulkhead })
      // the leg has taken the place of the first delay, and the next one is 150 ms
      assert.deepStrictEqual([exit, took, attempts], [Exit.succeed("second"), 185, 2])
    }))

  it.effect("a leg that waits for the bulkhead is not made once the circuit breaker is open", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const breaker = yield* CircuitBreaker.make()
      const call = yield* Faults.script([fails(50), answer(5, "second")])
      const fiber = yield* Effect.fork(Effect.flip(call.pipe(hedged(yield* eager(), { bulkhead, breaker }))))
      yield* TestClock.adjust(20)
      yield* breaker.open
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "RetryExhausted")
      assert.strictEqual(yield* call.attempts, 1)
    }))

  it.effect("a first leg that is interrupted while it waits for the bulkhead gives nothing back: it has cost nothing", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const other = yield* Effect.fork(Effect.never.pipe(withRpcRetry({ bulkhead })))
      yield* TestClock.adjust(0)
      const hedge = yield* eager()
      yield* play(answer(50, "first").pipe(hedged(hedge)))
      const { extraLegs, level } = yield* hedge.state
      const fiber = yield* Effect.fork(answer(5, "first").pipe(hedged(hedge, { bulkhead })))
      yield* TestClock.adjust(5)
      yield* Fiber.interrupt(fiber)
      const state = yield* hedge.state
      assert.deepStrictEqual([state.extraLegs, state.level], [extraLegs, Math.min(20, level + 1)])
      yield* Fiber.interrupt(other)
    }))

  it.effect("no leg starts beside one that waits for the bulkhead", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 5 })
      yield* Effect.fork(Effect.sleep(100).pipe(withRpcRetry({ bulkhead })))
      yield* TestClock.adjust(0)
      const hedge = yield* eager()
      const call = yield* Faults.script([answer(5, "first")])
      const fiber = yield* Effect.fork(call.pipe(hedged(hedge, { bulkhead })))
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* bulkhead.waiting, 1)
      yield* TestClock.adjust(55)
      assert.strictEqual(yield* Fiber.join(fiber), "first")
    }))

  it.effect("a first leg that the bulkhead turns away ends the call, as without a hedge", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const fiber = yield* Effect.fork(Effect.never.pipe(withRpcRetry({ bulkhead })))
      yield* TestClock.adjust(0)
      const { exit } = yield* race([answer(5, "first")], { bulkhead })
      assert.strictEqual((failureOf(exit) as CallRejected).reason, "BulkheadFull")
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("a call inside takes no permit of a bulkhead that its leg holds", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 2, queue: 0 })
      const { exit, took } = yield* race([
        answer(50, "first").pipe(withRpcRetry({ bulkhead })) as Effect.Effect<string>,
        answer(5, "second").pipe(withRpcRetry({ bulkhead })) as Effect.Effect<string>
      ], { bulkhead })
      assert.deepStrictEqual([exit, took], [Exit.succeed("second"), 15])
    }))
})

describe("a hedge in a policy: calls that must not run twice", () => {
  const attempts = (wrap: (call: Effect.Effect<string, Retryable>) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const call = yield* Faults.script([answer(50, "first"), answer(5, "second")])
      yield* play(wrap(call as Effect.Effect<string, Retryable>))
      return yield* call.attempts
    })

  it.effect("are not hedged where a policy that is merged over the hedge says so", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const layer = RpcRetry.layer({
        default: { hedge, idempotent: true },
        methods: { "Users.Create": { idempotent: false } }
      })
      const run = (options: RpcRetry.Options) =>
        attempts((call) => call.pipe(withRpcRetry(options), Effect.provide(layer)))
      assert.strictEqual(yield* run({ method: "Users.Get" }), 2)
      assert.strictEqual(yield* run({ method: "Users.Create" }), 1)
      assert.strictEqual(yield* run({ method: "Users.Get", idempotent: false }), 1)
      assert.strictEqual(yield* run({ method: "Users.Get", hedge: "off" }), 1)
      assert.strictEqual(yield* run({ method: "Users.Create", idempotent: true }), 2)
    }))

  it.effect("are not hedged where the RpcCall says so of itself, also one that has lost its name", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      const layer = RpcRetry.layer({ default: { hedge, idempotent: true } })
      const named = (idempotent: boolean) => RpcCall.make({ method: "A.B", idempotent })
      const plain = (idempotent: boolean) =>
        attempts((call) => call.pipe(named(idempotent), withRpcRetry, Effect.provide(layer)))
      const mapped = (idempotent: boolean) =>
        attempts((call) => call.pipe(named(idempotent), Effect.map((x) => x), withRpcRetry, Effect.provide(layer)))
      assert.deepStrictEqual([yield* plain(true), yield* mapped(true)], [2, 2])
      assert.deepStrictEqual([yield* plain(false), yield* mapped(false)], [1, 1])
    }))

  it.effect("are hedged when the call itself is said to be idempotent", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      assert.strictEqual(
        yield* attempts((call) =>
          call.pipe(RpcCall.make({ method: "A.B", idempotent: false }), Effect.map((x) => x), hedged(hedge))
        ),
        2
      )
    }))

  it.effect("get no leg more, once any of their legs says so", () =>
    Effect.gen(function*() {
      const hedge = yield* eager({ max: 4 })
      const layer = RpcRetry.layer({ default: { hedge, idempotent: true } })
      const call = yield* Faults.script([answer(50, "first")])
      const attempt = Effect.flatMap(
        Deadline.CurrentAttempt,
        (number) => call.pipe(RpcCall.make({ method: "A.B", idempotent: number === 1 }), Effect.map((x) => x))
      )
      yield* play(attempt.pipe(withRpcRetry, Effect.provide(layer)))
      assert.strictEqual(yield* call.attempts, 2)
    }))

  it.effect("a call that is part of a retry, of this process or of its caller, has no extra legs", () =>
    Effect.gen(function*() {
      const hedge = yield* eager()
      assert.strictEqual(
        yield* attempts((call) => call.pipe(hedged(hedge), RpcRetry.inheritAttempt(2))),
        1
      )
      const script = yield* Faults.script([fails(1), answer(50, "retried"), answer(1, "leg")])
      const inner = script.pipe(
        hedged(hedge, { schedule: Schedule.stop }),
        Effect.catchTag("RetryExhausted", ({ last }) => Effect.fail(last))
      )
      yield* play(inner.pipe(withRpcRetry))
      assert.strictEqual(yield* script.attempts, 2)
    }))
})

describe("a hedge in a policy: interruption", () => {
  it.live(
    "at every virtual millisecond: no leg starts, no fiber, timer, permit or token is left, finalizers have run",
    () =>
      Effect.forEach(
        Array.from({ length: 190 }, (_, at) => at),
        (at) =>
          Effect.gen(function*() {
            const watch = yield* Watch.make
            const hedge = yield* eager({ max: 3 })
            const bulkhead = yield* Bulkhead.make({ concurrency: 2, queue: 1 })
            const budget = yield* makeBudget()
            const before = yield* hedge.state
            let open = 0
            const attempt = Effect.acquireUseRelease(
              Effect.sync(() => open++),
              () => fails(40),
              () => Effect.sync(() => open--)
            )
            const call = yield* Faults.script([attempt])
            const policy = { bulkhead, budget, attemptTimeout: 60, deadline: 1000, schedule: schedule(5) }
            const fiber = yield* Effect.fork(call.pipe(hedged(hedge, policy), watch.watch))
            yield* TestClock.adjust(at)
            const started = yield* call.attempts
            const exit = yield* Fiber.interrupt(fiber)
            assert.isTrue(Exit.isInterrupted(exit), `interrupted at ${at}`)
            assert.deepStrictEqual([yield* watch.fibers, yield* watch.timers, open], [0, 0, 0], `left at ${at}`)
            assert.deepStrictEqual([yield* bulkhead.inFlight, yield* bulkhead.waiting], [0, 0], `permits at ${at}`)
            // every attempt but the first one has cost a token, and nothing else has
            assert.strictEqual(yield* levelOf(budget), 10 - Math.max(0, started - 1), `tokens at ${at}`)
            const state = yield* hedge.state
            assert.strictEqual(state.level, Math.min(20, 20 - (state.extraLegs - before.extraLegs)), `load at ${at}`)
            yield* TestClock.adjust("1 hour")
            assert.strictEqual(yield* call.attempts, started, `attempts after ${at}`)
          }).pipe(Effect.provide(TestContext.TestContext)),
        { concurrency: 16, discard: true }
      ),
    600_000
  )
})
