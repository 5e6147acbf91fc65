/**
 * Rules 1 to 5 and 14 to 16: what is retried, and what an attempt sees.
 */
import {
  Deadline,
  Fatal,
  Retryable,
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
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"
import * as Watch from "../../support/watch.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}

const fatal = new Fatal({ reason: "ServerError", message: "no" })

const fast = RetryPolicy.make({ schedule: Schedule.recurs(3) })

describe("only Retryable is retried", () => {
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

describe("the default", () => {
  it.effect("4 attempts at most, delays of 100, 150, 225 ms", () =>
    Effect.gen(function*() {
      const started: Array<number> = []
      const start = yield* Clock.currentTimeMillis
      const call = Effect.zipRight(
        Effect.map(Clock.currentTimeMillis, (now) => started.push(now - start)),
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

  it.effect("without a delay there is no timer between the attempts", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const untimed: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
        sleep: () => Effect.dieMessage("slept")
      })
      const { exit } = yield* play(withRpcRetry(Faults.refused, fast).pipe(Effect.withClock(untimed)))
      assert.strictEqual(exhaustedOf(exit).attempts, 4)
    }))

  it.effect("none: one attempt", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const { exit } = yield* play(withRpcRetry(call, RetryPolicy.none))
      assert.strictEqual(exhaustedOf(exit).attempts, 1)
      assert.strictEqual(yield* call.attempts, 1)
    }))
})

describe("schedules", () => {
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

describe("the success path", () => {
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

describe("an answer that is not wanted", () => {
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

describe("idempotency", () => {
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

describe("layers of retry do not multiply", () => {
  it.effect("three of them make 4 attempts, not 64", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const { exit } = yield* play(call.pipe(withRpcRetry, withRpcRetry, withRpcRetry))
      assert.strictEqual(exhaustedOf(exit).attempts, 4)
      assert.strictEqual(yield* call.attempts, 4)
    }))

  it.effect("layers of retry do not multiply when the inner one is a promise in between", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const outer = RpcCall.fromPromise({ method: "A.B", try: () => Effect.runPromise(withRpcRetry(call, fast)) })
      const error = failureOf(yield* Effect.exit(withRpcRetry(outer, fast)))
      assert.instanceOf(error, Fatal)
      assert.include(error.message, "failed after 4 attempts")
      assert.strictEqual(yield* call.attempts, 4)
    }))
})

describe("what an attempt knows of its call", () => {
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
