/**
 * Attempts with a timeout or a deadline on the clock that programs run on, where a timer of JavaScript ends them. Tests on virtual time
 * never meet it.
 */
import { Deadline, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { vi } from "vitest"
import { eventually, settle, turn } from "../../support/eventually.js"
import { exhaustedOf } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

const once = { schedule: Schedule.stop }
const hour = { ...once, attemptTimeout: "1 hour", deadline: "2 hours" } as const

/** Runs on real time; beside it nothing of the test makes a timer. */
const withoutTimers = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    yield* eventually(() => timers() === 0)
    const value = yield* self
    assert.strictEqual(timers(), 0)
    return value
  })

describe("an attempt with a timeout on the live clock", () => {
  it.live("that answers at once makes no timer and waits for no turn", () =>
    Effect.sync(() => {
      const set = vi.spyOn(globalThis, "setTimeout")
      const answer = Effect.runSync(Effect.succeed(1).pipe(withRpcRetry(hour)))
      const made = set.mock.calls.length
      set.mockRestore()
      assert.deepStrictEqual([answer, made], [1, 0])
    }))

  it.live("that answers later leaves no timer", () =>
    withoutTimers(Effect.andThen(Effect.as(turn, 1).pipe(withRpcRetry(hour)), Effect.void)))

  it.live("that fails later leaves no timer, nor do the attempts after it", () =>
    withoutTimers(
      Effect.andThen(turn, Faults.refused).pipe(
        withRpcRetry({ ...hour, schedule: Schedule.recurs(3) }),
        Effect.exit,
        Effect.map((exit) => assert.strictEqual(exhaustedOf(exit).attempts, 4))
      )
    ))

  it.live("that takes too long ends in AttemptTimeout, is retried, and runs its finalizers", () =>
    Effect.gen(function*() {
      let released = 0
      const call = yield* Faults.script([
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => released++)),
        Effect.succeed("answer")
      ])
      const answer = yield* call.pipe(withRpcRetry({ schedule: Schedule.recurs(1), attemptTimeout: "10 millis" }))
      assert.deepStrictEqual([answer, yield* call.attempts], ["answer", 2])
      yield* eventually(() => released === 1)
    }))

  it.live("that will not be interrupted does not keep the call", () =>
    Effect.gen(function*() {
      const stuck = Effect.uninterruptible(Effect.async<never, RpcError.Retryable>(() => {}))
      const error = exhaustedOf(yield* Effect.exit(stuck.pipe(withRpcRetry({ ...once, attemptTimeout: "10 millis" }))))
      assert.strictEqual(error.last.reason, "AttemptTimeout")
      const late = exhaustedOf(yield* Effect.exit(stuck.pipe(withRpcRetry({ ...once, deadline: "10 millis" }))))
      assert.strictEqual(late.reason, "DeadlineExceeded")
    }))

  it.live("that fails is not logged as a fiber whose error nobody sees", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(message))
      yield* Effect.all([Faults.refused, Effect.andThen(turn, Faults.refused), Effect.die("a defect")]).pipe(
        withRpcRetry({ ...hour, logs: false }),
        Effect.exit,
        Logger.withMinimumLogLevel(LogLevel.All),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.deepStrictEqual(lines, [])
    }))

  it.live("whose caller is interrupted at any moment: finalizers have run, no timer is left", () =>
    withoutTimers(Effect.gen(function*() {
      for (let turns = 0; turns < 12; turns++) {
        let running = 0
        const attempt = Effect.acquireUseRelease(
          Effect.sync(() => running++),
          () => Effect.andThen(Effect.replicateEffect(turn, 3), Faults.refused),
          () => Effect.sync(() => running--)
        )
        const fiber = yield* Effect.fork(
          attempt.pipe(withRpcRetry({ ...hour, schedule: Schedule.forever }))
        )
        yield* Effect.replicateEffect(turn, turns)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        assert.deepStrictEqual([running, timers()], [0, 0], `after ${turns} turns`)
      }
    })))

  it.live("that interrupts its own caller before it waits is interrupted itself", () =>
    withoutTimers(Effect.gen(function*() {
      let released = false
      const call = Effect.withFiberRuntime<never, RpcError.Retryable>((caller) => {
        const attempt = Effect.suspend(() => {
          caller.unsafeInterruptAsFork(caller.id())
          return Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (released = true)))
        })
        return attempt.pipe(withRpcRetry(hour)) as Effect.Effect<never, never>
      })
      const exit = yield* Fiber.await(yield* Effect.fork(call))
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isTrue(released)
    })))
})

describe("timeouts of more than 25 days", () => {
  it("are waited for, though setTimeout takes no such delay", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    let exit: Exit.Exit<unknown, unknown> | undefined
    Effect.runFork(Effect.never.pipe(withRpcRetry({ ...once, attemptTimeout: "60 days" }))).addObserver((ended) => {
      exit = ended
    })
    const days = (n: number) => vi.advanceTimersByTimeAsync(n * 86_400_000)
    await days(59.9)
    const early = exit
    await days(0.2)
    vi.useRealTimers()
    assert.isUndefined(early)
    assert.strictEqual(exhaustedOf(exit!).last.reason, "AttemptTimeout")
  })

  it("leave no timer when the attempt ends after 25 days", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    const fiber = Effect.runFork(Effect.never.pipe(withRpcRetry({ ...once, attemptTimeout: "60 days" })))
    await vi.advanceTimersByTimeAsync(26 * 86_400_000)
    const during = vi.getTimerCount()
    await Effect.runPromise(Fiber.interrupt(fiber))
    const after = vi.getTimerCount()
    vi.useRealTimers()
    assert.deepStrictEqual([during, after], [1, 0])
  })
})

describe("an attempt with a timeout, on any clock", () => {
  class Own extends Context.Tag("Own")<Own, number>() {}

  for (const clock of ["live", "effect"] as const) {
    it[clock](
      `hands on what it changed of FiberRefs, but not its context, on the clock of ${clock} tests`,
      () =>
        Effect.gen(function*() {
          const ref = FiberRef.unsafeMake(0)
          const keys = Effect.map(Effect.context<never>(), (context) => Array.from(context.unsafeMap.keys()))
          const before = yield* keys
          for (const waits of [Effect.void, turn]) {
            const change = FiberRef.update(ref, (n) => n + 1)
            yield* Effect.all([change, waits, Effect.withSpan(change, "span"), Effect.logDebug("")]).pipe(
              Effect.annotateLogs("request", 1),
              Effect.provideService(Own, 1),
              withRpcRetry({ attemptTimeout: "1 second" })
            )
          }
          assert.strictEqual(yield* FiberRef.get(ref), 4)
          assert.deepStrictEqual(yield* keys, before)
          assert.strictEqual(HashMap.size(yield* FiberRef.get(FiberRef.currentLogAnnotations)), 0)
        })
    )
  }

  it.effect("can be made inside thousands of others", () =>
    Effect.gen(function*() {
      const within = (depth: number): Effect.Effect<number, RpcError.Fatal> =>
        depth === 0
          ? Effect.succeed(0)
          : Effect.suspend(() => Effect.map(within(depth - 1), (n) => n + 1)).pipe(
            withRpcRetry(hour)
          ) as Effect.Effect<number, RpcError.Fatal>
      assert.strictEqual(yield* within(3000), 3000)
    }))

  it.effect("is bounded by the clock in force, not by that of the machine", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.never.pipe(withRpcRetry({ ...once, attemptTimeout: "5 millis" })))
      yield* settle(40)
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("5 millis")
      assert.strictEqual(exhaustedOf(yield* Fiber.await(fiber)).last.reason, "AttemptTimeout")
    }))

  it.effect("tells its calls the deadline, and the caller nothing", () =>
    Effect.gen(function*() {
      const seen = yield* Deadline.CurrentDeadline.pipe(withRpcRetry({ deadline: "1 second" }))
      assert.isTrue(Number.isFinite(seen))
      assert.strictEqual(yield* Deadline.CurrentDeadline, Infinity)
    }))
})
