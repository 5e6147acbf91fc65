/**
 * The clock of the wall is set while calls run: deadlines, delays and budgets do not follow it.
 */
import { Deadline, Retryable, RetryBudget, type RetryEvent, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const hour = 3_600_000

/** A clock that runs with `TestClock` and whose time of day can be set. */
const makeWall = Effect.map(Effect.clock, (test) => {
  let offset = 0
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => test.unsafeCurrentTimeMillis() + offset,
    unsafeCurrentTimeNanos: () => test.unsafeCurrentTimeNanos(),
    currentTimeMillis: Effect.sync(() => test.unsafeCurrentTimeMillis() + offset),
    currentTimeNanos: test.currentTimeNanos,
    sleep: (duration) => test.sleep(duration)
  }
  return {
    clock,
    set: (by: number) =>
      Effect.sync(() => {
        offset += by
      })
  }
})

const unavailable = new Retryable({ reason: "Unavailable", delivery: "Unknown" })

for (const [direction, by] of [["back", -hour], ["forward", hour]] as const) {
  describe(`the wall clock is set an hour ${direction}`, () => {
    it.effect("a deadline of 500 ms ends the attempt after 500 ms", () =>
      Effect.gen(function*() {
        const wall = yield* makeWall
        const call = Effect.zipRight(wall.set(by), Effect.never).pipe(
          withRpcRetry({ deadline: "500 millis" }),
          Effect.withClock(wall.clock)
        )
        const { exit, took } = yield* play(call)
        const error = exhaustedOf(exit)
        assert.deepStrictEqual([error.reason, Duration.toMillis(error.elapsed), took], ["DeadlineExceeded", 500, 500])
      }))

    it.effect("retries are made after their delays, and the story has the right times", () =>
      Effect.gen(function*() {
        const wall = yield* makeWall
        const call = Effect.zipRight(wall.set(by), Effect.fail(unavailable)).pipe(
          withRpcRetry({ deadline: "1 minute" }),
          Effect.withClock(wall.clock)
        )
        const { exit, took } = yield* play(call)
        const error = exhaustedOf(exit)
        assert.deepStrictEqual([error.reason, error.attempts, took], ["AttemptsExhausted", 4, 475])
        assert.deepStrictEqual(error.history.map(({ startedAt }) => Duration.toMillis(startedAt)), [0, 100, 250, 475])
        assert.deepStrictEqual(error.history.map(({ took }) => Duration.toMillis(took)), [0, 0, 0, 0])
      }))

    it.effect("servers are told the time that really remains", () =>
      Effect.gen(function*() {
        const wall = yield* makeWall
        const remaining = yield* wall.set(by).pipe(
          Effect.zipRight(Effect.sleep("150 millis")),
          Effect.zipRight(Effect.all([Deadline.remaining, Deadline.facts])),
          Deadline.within("500 millis"),
          Effect.withClock(wall.clock),
          Effect.fork,
          Effect.tap(() => TestClock.adjust("150 millis")),
          Effect.flatMap(Fiber.join)
        )
        assert.deepStrictEqual(Option.map(remaining[0], Duration.toMillis), Option.some(350))
        assert.strictEqual(remaining[1].remaining, 350)
      }))

    it.effect("a drained budget stays drained, and regains at its own pace", () =>
      Effect.gen(function*() {
        const wall = yield* makeWall
        const budget = yield* RetryBudget.make({ capacity: 1, regainEvery: "30 minutes" })
        const call = Effect.fail(unavailable).pipe(withRpcRetry({ budget }), Effect.withClock(wall.clock))
        yield* play(call)
        yield* wall.set(by)
        assert.strictEqual(exhaustedOf((yield* play(call)).exit).attempts, 1)
        // the two calls were given ten minutes each
        const level = Effect.withClock(budget.level, wall.clock)
        assert.approximately(yield* level, 2 / 3, 0.01)
        yield* TestClock.adjust("11 minutes")
        assert.strictEqual(yield* level, 1)
      }))

    it.effect("events show the time of day, and go on from it while the call runs", () =>
      Effect.gen(function*() {
        const wall = yield* makeWall
        yield* wall.set(by)
        const start = wall.clock.unsafeCurrentTimeMillis()
        const seen: Array<number> = []
        const call = Effect.zipRight(wall.set(by), Effect.fail(unavailable)).pipe(
          withRpcRetry({
            onEvent: (event: RetryEvent.RetryEvent) =>
              Effect.sync(() => void (event._tag === "AttemptStarted" && seen.push(event.at - start)))
          }),
          Effect.provide(RpcRetry.layer({ budget: "off" })),
          Effect.withClock(wall.clock)
        )
        yield* play(call)
        assert.deepStrictEqual(seen, [0, 100, 250, 475])
      }))
  })
}
