/**
 * The delays of `RetrySchedule.exponential` and `retries` are computed, those of all other schedules are asked of the schedule. A call
 * cannot tell the one from the other.
 */
import { Retryable, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Schedule from "effect/Schedule"
import { vi } from "vitest"
import { eventually } from "../../support/eventually.js"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

/** The same schedule as an operator makes it: its delays are not computed. */
const stepped = <Out>(schedule: Schedule.Schedule<Out>) => Schedule.map(schedule, (out) => out)

const schedules = FastCheck.record({
  base: FastCheck.integer({ min: 1, max: 500 }),
  factor: FastCheck.constantFrom(1, 1.25, 1.5, 2, 3.3),
  above: FastCheck.integer({ min: 0, max: 2000 }),
  retries: FastCheck.array(FastCheck.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 3 })
}).map(({ above, base, factor, retries }) =>
  retries.reduce(
    (schedule, n) => RetrySchedule.retries(schedule, n),
    RetrySchedule.exponential({ base, factor, cap: base + above })
  )
)

const hints = FastCheck.constantFrom(undefined, undefined, undefined, 0, 7, 70, 700, "Never" as const)

const faults = FastCheck.array(
  FastCheck.record({
    reason: FastCheck.constantFrom("Unavailable" as const, "Throttled" as const),
    retryAfter: hints,
    isSlow: FastCheck.boolean(),
    ends: FastCheck.constantFrom("retryable", "retryable", "retryable", "retryable", "domain", "success")
  }),
  { minLength: 1, maxLength: 10 }
).map((faults) =>
  faults.map(({ ends, isSlow, reason, retryAfter }) => {
    const end = ends === "success"
      ? Effect.succeed("answer")
      : Effect.fail(ends === "domain" ? "domain" : new Retryable({ reason, retryAfter, delivery: "NotSent" }))
    return isSlow ? Effect.delay(end, 33) : end
  })
)

const options = FastCheck.record({
  deadline: FastCheck.constantFrom(undefined, 400, 3000),
  attemptTimeout: FastCheck.constantFrom(undefined, 20, 50),
  minServerDelay: FastCheck.constantFrom(undefined, 0, 10)
}).filter(({ attemptTimeout, deadline }) => deadline === undefined || (attemptTimeout ?? 0) <= deadline)

/** What a user can see of a call, to the thousandth of a millisecond that instants are rounded to. */
const seen = (exit: Exit.Exit<unknown, unknown>, took: number, attempts: number) => {
  const rounded = (duration: Duration.Duration | undefined) =>
    duration && Math.round(Duration.toMillis(duration) * 100) / 100
  const failure = Exit.isFailure(exit) ? failureOf(exit) : undefined
  const error = failure === "domain" || failure === undefined ? undefined : exhaustedOf(exit)
  return {
    took,
    attempts,
    answer: Exit.isSuccess(exit) ? exit.value : undefined,
    error: error ? [error.reason, error.last, error.attempts, rounded(error.elapsed)] : failure,
    history: error?.history.map((
      { attempt, delay, error, startedAt, took }
    ) => [attempt, rounded(delay), error, rounded(startedAt), rounded(took)])
  }
}

describe("a schedule whose delays are computed", () => {
  it.effect("gives the delays of the schedule itself", () =>
    Effect.forEach(FastCheck.sample(schedules, { numRuns: 200, seed: 1 }), (schedule) =>
      Effect.gen(function*() {
        const millis = (delays: ReadonlyArray<Duration.Duration>) =>
          delays.map((delay) => Math.round(Duration.toMillis(delay) * 100) / 100)
        const computed = millis(yield* RetrySchedule.delays(schedule, 20))
        assert.deepStrictEqual(computed, millis(yield* RetrySchedule.delays(stepped(schedule), 20)))
      }), { discard: true }))

  it.effect(
    "makes the attempts, waits the delays and ends in the errors of the schedule itself, whatever fails",
    () =>
      Effect.forEach(
        FastCheck.sample(FastCheck.tuple(schedules, faults, options), { numRuns: 150, seed: 1 }),
        ([schedule, faults, options]) =>
          Effect.gen(function*() {
            const run = (schedule: Schedule.Schedule<Duration.Duration>) =>
              Effect.gen(function*() {
                const script = yield* Faults.script(faults as [(typeof faults)[number]])
                const { exit, took } = yield* play(script.pipe(withRpcRetry({ ...options, schedule, logs: false })))
                return seen(exit, took, yield* script.attempts)
              })
            assert.deepStrictEqual(yield* run(schedule), yield* run(stepped(schedule)))
          }),
        { discard: true }
      ),
    600_000
  )

  it.effect("runs what an operator adds to it", () =>
    Effect.gen(function*() {
      let taps = 0
      const schedule = RetrySchedule.standard.pipe(Schedule.tapOutput(() => Effect.sync(() => taps++)))
      yield* play(Faults.refused.pipe(withRpcRetry({ schedule, logs: false })))
      // three retries, and the step that ends it
      assert.strictEqual(taps, 4)
    }))
})

describe("a delay on the live clock", () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

  it.live("is waited for, and leaves no timer", () =>
    Effect.gen(function*() {
      yield* eventually(() => timers() === 0)
      const script = yield* Faults.script([Faults.refused, Faults.refused, Effect.succeed("up")])
      const schedule = RetrySchedule.exponential({ base: "5 millis" })
      const [took, answer] = yield* Effect.timed(script.pipe(withRpcRetry({ schedule, logs: false })))
      assert.strictEqual(answer, "up")
      assert.isAtLeast(Duration.toMillis(took), 11)
      assert.strictEqual(timers(), 0)
    }))

  it.live("ends at its interruption, with its timer, and no further attempt is made", () =>
    Effect.gen(function*() {
      yield* eventually(() => timers() === 0)
      const script = yield* Faults.script([Faults.refused, Faults.refused, Effect.dieMessage("made")])
      const schedule = Schedule.fromDelays("1 millis", "30 days")
      const fiber = Effect.runFork(script.pipe(withRpcRetry({ schedule, logs: false })))
      yield* eventually(Effect.map(script.attempts, (attempts) => attempts === 2))
      assert.strictEqual(timers(), 1)
      fiber.unsafeInterruptAsFork(fiber.id())
      yield* eventually(() => fiber.unsafePoll() !== null)
      assert.deepStrictEqual([timers(), yield* script.attempts], [0, 2])
    }))

  it.live("makes one timer", () =>
    Effect.gen(function*() {
      const set = vi.spyOn(globalThis, "setTimeout")
      const script = yield* Faults.script([Faults.refused, Effect.succeed("up")])
      yield* script.pipe(withRpcRetry({ schedule: Schedule.spaced("1 millis"), logs: false }))
      const made = set.mock.calls.filter(([_, millis]) => millis === 1).length
      set.mockRestore()
      assert.strictEqual(made, 1)
    }))
})
