/**
 * A call whose policy has a throttle, a circuit breaker and a bulkhead: in which order it passes them, and what each turns away.
 */
import {
  Bulkhead,
  CallRejected,
  CircuitBreaker,
  Deadline,
  Hedge,
  Retryable,
  RetryBudget,
  type RetryEvent,
  RpcCall,
  RpcRetry,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { eventually } from "../../support/eventually.js"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"
import * as Watch from "../../support/watch.js"

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
const failing = Effect.fail(unavailable)
const sent = Effect.dieMessage("sent")

const once = { schedule: Schedule.stop, logs: false } as const
const spaced = { schedule: Schedule.spaced(100), logs: false } as const

/** Opens at the first failure, for a second, and closes at the first success. */
const makeBreaker = (options: CircuitBreaker.Options = {}) =>
  CircuitBreaker.make({ trip: CircuitBreaker.consecutive(1), openFor: "1 second", jitter: 0, rampUp: 0, ...options })

const makeBudget = RetryBudget.make({ capacity: 10, regainEvery: "100000 days" })

/** What a budget holds, but for what time gives it. */
const levelOf = (budget: RetryBudget.RetryBudget) => Effect.map(budget.level, (level) => Math.round(level * 1e6) / 1e6)

const rejectedOf = <A, E>(exit: Exit.Exit<A, E>): CallRejected => {
  const error = failureOf(exit)
  assert.instanceOf(error, CallRejected)
  return error
}

const millis = (duration: Duration.Duration | undefined) => duration && Duration.toMillis(duration)

/** The throttle draws this number. */
const drawing = (number: number) =>
  Effect.withRandom({ ...Random.make(1), next: Effect.succeed(number), [Random.RandomTypeId]: Random.RandomTypeId })

/** A throttle that has seen nothing but refusals: it rejects every call that draws less than 0.9. */
const throttled = Effect.gen(function*() {
  const throttle = yield* Throttle.make()
  yield* failing.pipe(withRpcRetry({ ...once, throttle }), Effect.ignore, drawing(0.99), Effect.repeatN(99))
  return throttle
})

/** Holds all permits of a bulkhead for so long. */
const occupy = (bulkhead: Bulkhead.Bulkhead, millis: number) =>
  Effect.tap(
    Effect.fork(Effect.sleep(millis).pipe(withRpcRetry({ bulkhead }))),
    () => Effect.yieldNow()
  )

/** An attempt that writes down when it starts, in milliseconds since `start`. */
const noting = <A, E>(start: number, started: Array<number>, attempt: Effect.Effect<A, E>) =>
  Effect.andThen(Effect.map(Clock.currentTimeMillis, (now) => started.push(now - start)), attempt)

describe("the order", () => {
  it.effect("a call that the throttle rejects takes no probe of the breaker and no permit of the bulkhead", () =>
    Effect.gen(function*() {
      const throttle = yield* throttled
      const breaker = yield* makeBreaker()
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      yield* breaker.open
      yield* occupy(bulkhead, 50)
      const call = sent.pipe(withRpcRetry({ ...once, throttle, breaker, bulkhead }), drawing(0))
      assert.strictEqual(rejectedOf(yield* Effect.exit(call)).reason, "Throttled")
      assert.strictEqual(yield* bulkhead.waiting, 0)
    }))

  it.effect("a call that the open breaker rejects counts as one that the throttle has let through in vain", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const breaker = yield* makeBreaker()
      yield* breaker.open
      const call = sent.pipe(withRpcRetry({ ...once, throttle, breaker }))
      assert.strictEqual(rejectedOf(yield* Effect.exit(call)).reason, "CircuitOpen")
      assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [1, 0])
    }))

  it.effect("an attempt that the open breaker rejects does not wait for the bulkhead", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker()
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      yield* breaker.open
      yield* occupy(bulkhead, 50)
      const { exit, took } = yield* play(sent.pipe(withRpcRetry({ ...once, breaker, bulkhead })))
      assert.deepStrictEqual([rejectedOf(exit).reason, took], ["CircuitOpen", 0])
    }))

  it.effect("an attempt that the bulkhead turns away gives its probe back, and the breaker does not count it", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ classify: () => "Failure" })
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      yield* Effect.ignore(failing.pipe(withRpcRetry({ ...once, breaker })))
      yield* TestClock.adjust("1 second")
      yield* occupy(bulkhead, 50)
      const call = sent.pipe(withRpcRetry({ ...once, breaker, bulkhead }))
      assert.strictEqual(rejectedOf(yield* Effect.exit(call)).reason, "BulkheadFull")
      assert.strictEqual(rejectedOf(yield* Effect.exit(call)).reason, "BulkheadFull")
      assert.strictEqual(yield* breaker.state, "HalfOpen")
    }))

  it.effect("an attempt that waits in the queue of the bulkhead is not made when the breaker has opened meanwhile", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker()
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      yield* occupy(bulkhead, 50)
      const fiber = yield* Effect.fork(Effect.exit(sent.pipe(withRpcRetry({ ...once, breaker, bulkhead }))))
      yield* TestClock.adjust(10)
      yield* breaker.open
      yield* TestClock.adjust(40)
      assert.strictEqual(rejectedOf(yield* Fiber.join(fiber)).reason, "CircuitOpen")
      assert.strictEqual(yield* bulkhead.inFlight, 0)
    }))

  it.effect("the attempt timeout begins when the bulkhead has given its permit", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      yield* occupy(bulkhead, 500)
      const { exit, took } = yield* play(
        Effect.delay(Effect.succeed("in time"), 90).pipe(withRpcRetry({ ...once, bulkhead, attemptTimeout: 100 }))
      )
      assert.deepStrictEqual([exit, took], [Exit.succeed("in time"), 590])
      yield* occupy(bulkhead, 500)
      const slow = yield* play(Effect.never.pipe(withRpcRetry({ ...once, bulkhead, attemptTimeout: 100 })))
      assert.deepStrictEqual([exhaustedOf(slow.exit).last.reason, slow.took], ["AttemptTimeout", 600])
    }))
})

describe("a circuit breaker in a policy", () => {
  it.effect("that an attempt opens ends the call before the delay, with the last error, and no retry is paid", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ trip: CircuitBreaker.consecutive(2) })
      const budget = yield* makeBudget
      const { exit, took } = yield* play(failing.pipe(withRpcRetry({ ...spaced, breaker, budget })))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, error.last, took], ["CircuitOpen", 2, unavailable, 100])
      assert.deepStrictEqual(error.history.map(({ delay }) => millis(delay)), [100, undefined])
      assert.strictEqual(yield* levelOf(budget), 9)
    }))

  it.effect("whose opening is shorter than the delay lets the call go on, as a probe", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ openFor: 100 })
      const call = yield* Faults.script([failing, Effect.succeed("up")])
      const { exit, took } = yield* play(call.pipe(withRpcRetry({ ...spaced, breaker })))
      assert.deepStrictEqual([exit, took], [Exit.succeed("up"), 100])
      assert.strictEqual(yield* breaker.state, "Closed")
    }))

  it.effect("that another call opens during the delay ends the call at that moment, with the last error, and what was paid comes back", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ trip: CircuitBreaker.consecutive(2) })
      const budget = yield* makeBudget
      const call = yield* Faults.script([failing, sent])
      const fiber = yield* Effect.fork(Effect.exit(call.pipe(withRpcRetry({ ...spaced, breaker, budget }))))
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* levelOf(budget), 9)
      yield* Effect.ignore(failing.pipe(withRpcRetry({ ...once, breaker })))
      assert.strictEqual(yield* breaker.state, "Open")
      const error = exhaustedOf(yield* Fiber.join(fiber))
      assert.deepStrictEqual([error.reason, error.attempts, error.last], ["CircuitOpen", 1, unavailable])
      assert.deepStrictEqual([millis(error.elapsed), yield* call.attempts], [50, 1])
      assert.strictEqual(yield* levelOf(budget), 10)
    }))

  it.effect("that opens by hand during the delay ends the call at that moment", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ trip: CircuitBreaker.consecutive(2) })
      const fiber = yield* Effect.fork(Effect.exit(failing.pipe(withRpcRetry({ ...spaced, breaker }))))
      yield* TestClock.adjust(99)
      yield* breaker.open
      const error = exhaustedOf(yield* Fiber.join(fiber))
      assert.deepStrictEqual([error.reason, error.attempts, millis(error.elapsed)], ["CircuitOpen", 1, 99])
    }))

  it.effect("that another call opens during the delay, but not beyond its end, lets the call go on", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ trip: CircuitBreaker.consecutive(2), openFor: 50 })
      const call = yield* Faults.script([failing, Effect.succeed("up")])
      const fiber = yield* Effect.fork(call.pipe(withRpcRetry({ ...spaced, breaker })))
      yield* TestClock.adjust(50)
      yield* Effect.ignore(failing.pipe(withRpcRetry({ ...once, breaker })))
      assert.strictEqual(yield* breaker.state, "Open")
      yield* TestClock.adjust(49)
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(fiber), "up")
    }))

  /** Counts those that wait for a change of the breaker. */
  const counted = Effect.map(makeBreaker({ trip: CircuitBreaker.consecutive(2) }), (breaker) => {
    const gate = breaker.gate as { onChange: (listener: () => void) => () => void }
    const onChange = gate.onChange.bind(gate)
    let watching = 0
    gate.onChange = (listener) => {
      const leave = onChange(listener)
      watching++
      return () => {
        watching--
        leave()
      }
    }
    return { breaker, watching: () => watching }
  })

  it.effect("is not watched any more once the delay is over, or has ended the call", () =>
    Effect.gen(function*() {
      const { breaker, watching } = yield* counted
      const call = yield* Faults.script([failing, Effect.delay(Effect.succeed("up"), 10), failing])
      const retried = call.pipe(withRpcRetry({ ...spaced, breaker }))
      const fiber = yield* Effect.fork(retried)
      yield* TestClock.adjust(99)
      assert.strictEqual(watching(), 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(watching(), 0)
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(fiber), "up")
      const ended = yield* Effect.fork(Effect.exit(retried))
      yield* TestClock.adjust(10)
      assert.strictEqual(watching(), 1)
      yield* breaker.open
      assert.strictEqual(exhaustedOf(yield* Fiber.join(ended)).reason, "CircuitOpen")
      assert.strictEqual(watching(), 0)
    }))

  it.effect("is left without a trace by a call that is interrupted at any millisecond of its delay", () =>
    Effect.forEach(Array.from({ length: 100 }, (_, at) => at), (at) =>
      Effect.gen(function*() {
        const watch = yield* Watch.make
        const { breaker, watching } = yield* counted
        const budget = yield* makeBudget
        const fiber = yield* Effect.fork(watch.watch(failing.pipe(withRpcRetry({ ...spaced, breaker, budget }))))
        yield* TestClock.adjust(at)
        assert.deepStrictEqual([watching(), yield* watch.timers, yield* levelOf(budget)], [1, 1, 9])
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual([watching(), yield* watch.timers, yield* watch.fibers], [0, 0, 0])
        assert.strictEqual(yield* levelOf(budget), 10)
      }), { discard: true }))

  it.live("that opens during the delay ends the call at that moment on the live clock too, and leaves no timer", () =>
    Effect.gen(function*() {
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
      yield* eventually(() => timers() === 0)
      const { breaker, watching } = yield* counted
      const retried = failing.pipe(withRpcRetry({ schedule: Schedule.spaced("30 days"), logs: false, breaker }))
      const [ended, interrupted] = [yield* Effect.fork(Effect.exit(retried)), yield* Effect.fork(retried)]
      yield* eventually(() => watching() === 2)
      yield* Fiber.interrupt(interrupted)
      assert.strictEqual(watching(), 1)
      yield* breaker.reset
      yield* Effect.ignore(failing.pipe(withRpcRetry({ ...once, breaker })))
      yield* breaker.open
      assert.strictEqual(exhaustedOf(yield* Fiber.join(ended)).reason, "CircuitOpen")
      assert.deepStrictEqual([watching(), timers()], [0, 0])
    }))

  it.effect("whose probe another call has ends a retry at once", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ openFor: 100 })
      const call = yield* Faults.script([failing, sent])
      const fiber = yield* Effect.fork(Effect.exit(call.pipe(withRpcRetry({ ...spaced, breaker }))))
      yield* TestClock.adjust(99)
      const probe = yield* Effect.fork(
        Effect.sleep(1).pipe(Effect.andThen(Effect.never.pipe(withRpcRetry({ ...once, breaker }))))
      )
      yield* TestClock.adjust(1)
      const error = exhaustedOf(yield* Fiber.join(fiber))
      assert.strictEqual(error.reason, "CircuitOpen")
      yield* Fiber.interrupt(probe)
    }))

  it.effect("whose classification throws ends the call with what it throws, and the end is reported", () =>
    Effect.gen(function*() {
      const defect = new Error("no such case")
      for (const attempt of [Effect.succeed("up"), failing]) {
        const breaker = yield* makeBreaker({
          classify: () => {
            throw defect
          }
        })
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
        const events: Array<string> = []
        const onEvent = ({ _tag }: RetryEvent.RetryEvent) => Effect.sync(() => void events.push(_tag))
        const { exit } = yield* play(attempt.pipe(withRpcRetry({ ...once, breaker, bulkhead, onEvent })))
        assert.deepStrictEqual(exit, Exit.die(defect))
        assert.deepStrictEqual(events, ["AttemptStarted", "AttemptFailed", "CallFailed"])
        assert.strictEqual(yield* bulkhead.inFlight, 0)
      }
    }))

  it.effect("that is half-open lets a call pass inside of its probe, which may be a race", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "1 second" })
      for (const isRace of [false, true]) {
        const breaker = yield* makeBreaker()
        yield* Effect.exit(CircuitBreaker.protect(failing, breaker))
        yield* TestClock.adjust("1 second")
        const inner = Effect.succeed("up").pipe(withRpcRetry({ ...once, breaker }))
        const outer = isRace
          ? inner.pipe(withRpcRetry({ ...once, breaker, idempotent: true, hedge }))
          : inner.pipe(withRpcRetry({ ...once, breaker }))
        const { exit } = yield* play(outer)
        assert.deepStrictEqual(exit, Exit.succeed("up"))
      }
    }))

  it.effect("that is open rejects the call before its first attempt, and says when to come back", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker()
      const budget = yield* makeBudget
      yield* Effect.ignore(failing.pipe(withRpcRetry({ ...once, breaker })))
      yield* TestClock.adjust(300)
      const call = yield* Faults.script([sent])
      const { exit, took } = yield* play(call.pipe(withRpcRetry({ ...spaced, method: "A.B", breaker, budget })))
      const error = rejectedOf(exit)
      assert.deepStrictEqual([error.method, error.reason, millis(error.retryIn), took], ["A.B", "CircuitOpen", 700, 0])
      assert.deepStrictEqual([yield* call.attempts, yield* levelOf(budget)], [0, 10])
    }))

  it.effect("that is open is not asked again by a withRpcRetry around the call", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker()
      yield* breaker.open
      let runs = 0
      const inner = Effect.suspend(() => {
        runs++
        return sent.pipe(withRpcRetry({ ...spaced, breaker }))
      })
      const { exit, took } = yield* play(inner.pipe(withRpcRetry(spaced)))
      assert.deepStrictEqual([rejectedOf(exit).reason, runs, took], ["CircuitOpen", 1, 0])
    }))

  it.effect("counts an attempt that timed out, not one that the deadline cut or that was interrupted", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker({ trip: CircuitBreaker.consecutive(100) })
      yield* play(Effect.never.pipe(withRpcRetry({ ...spaced, breaker, attemptTimeout: 100, deadline: 250 })))
      yield* play(Effect.never.pipe(withRpcRetry({ ...once, breaker }), Effect.timeoutOption(50)))
      assert.strictEqual((yield* breaker.snapshot).failures, 1)
    }))
})

describe("a bulkhead in a policy", () => {
  it.effect("a call whose caller is interrupted while its attempt fails is not retried, unless nothing may interrupt it", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const run = Effect.fnUntraced(function*<E1>(
        error: E1,
        around: <A, E>(call: Effect.Effect<A, E>) => Effect.Effect<A, E>
      ) {
        let attempts = 0
        const events: Array<string> = []
        const attempt = Effect.withFiberRuntime<string, E1>((fiber) => {
          fiber.unsafeInterruptAsFork(fiber.id())
          return ++attempts === 1 ? Effect.fail(error) : Effect.succeed("again")
        })
        const onEvent = ({ _tag }: RetryEvent.RetryEvent) => Effect.sync(() => events.push(_tag))
        const call = Effect.uninterruptible(attempt).pipe(withRpcRetry({ ...spaced, bulkhead, onEvent }))
        const fiber = yield* Effect.fork(around(call))
        yield* TestClock.adjust("1 second")
        yield* Fiber.await(fiber)
        assert.strictEqual(yield* bulkhead.inFlight, 0)
        return [attempts, events.at(-1)]
      })
      assert.deepStrictEqual(yield* run(unavailable, (call) => call), [1, "CallInterrupted"])
      assert.deepStrictEqual(yield* run("no such user", (call) => call), [1, "CallInterrupted"])
      assert.deepStrictEqual(yield* run(unavailable, Effect.uninterruptible), [2, "CallSucceeded"])
      assert.deepStrictEqual(yield* run("no such user", Effect.uninterruptible), [1, "CallFailed"])
    }))

  it.effect("that is full rejects the call before its first attempt", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      yield* occupy(bulkhead, 50)
      const error = rejectedOf(yield* Effect.exit(sent.pipe(withRpcRetry({ ...spaced, bulkhead }))))
      assert.deepStrictEqual([error.reason, error.retryIn], ["BulkheadFull", undefined])
    }))

  it.effect("that is full between two attempts ends the call with the last error, and what was paid comes back", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const budget = yield* makeBudget
      const call = yield* Faults.script([failing, sent])
      const fiber = yield* Effect.fork(Effect.exit(call.pipe(withRpcRetry({ ...spaced, bulkhead, budget }))))
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* levelOf(budget), 9)
      yield* occupy(bulkhead, 1000)
      yield* TestClock.adjust(50)
      const error = exhaustedOf(yield* Fiber.join(fiber))
      assert.deepStrictEqual([error.reason, error.attempts, error.last], ["BulkheadFull", 1, unavailable])
      assert.strictEqual(yield* levelOf(budget), 10)
    }))

  it.effect("is free during the delays of a call", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const call = yield* Faults.script([Effect.delay(failing, 10)])
      const fiber = yield* Effect.fork(Effect.exit(call.pipe(withRpcRetry({ bulkhead, logs: false }))))
      yield* TestClock.adjust(0)
      const seen: Array<number> = []
      for (let at = 0; at < 520; at++) {
        seen.push(yield* bulkhead.inFlight)
        yield* TestClock.adjust(1)
      }
      assert.strictEqual(exhaustedOf(yield* Fiber.join(fiber)).attempts, 4)
      assert.strictEqual(seen.reduce((a, b) => a + b), 4 * 10)
    }))

  it.effect("its queue is left at the deadline, and at once where nobody before it can be done by then", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 10 })
      yield* occupy(bulkhead, 200)
      const late = yield* play(sent.pipe(withRpcRetry({ ...once, bulkhead, deadline: 150 })))
      assert.deepStrictEqual([rejectedOf(late.exit).reason, late.took], ["BulkheadFull", 150])
      assert.deepStrictEqual([yield* bulkhead.waiting, yield* bulkhead.inFlight], [0, 0])
      // attempts take 200 ms, as is known by now
      yield* occupy(bulkhead, 200)
      const hopeless = yield* play(sent.pipe(withRpcRetry({ ...once, bulkhead, deadline: 150 })))
      assert.deepStrictEqual([rejectedOf(hopeless.exit).reason, hopeless.took], ["BulkheadFull", 0])
    }))

  it.effect("the time in its queue is of the deadline: the attempt after it is cut where the deadline is", () =>
    Effect.gen(function*() {
      for (const attemptTimeout of [undefined, 450] as const) {
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
        yield* occupy(bulkhead, 600)
        const { exit, took } = yield* play(
          Effect.never.pipe(withRpcRetry({ ...spaced, bulkhead, deadline: 1000, attemptTimeout }))
        )
        const error = exhaustedOf(exit)
        assert.deepStrictEqual([error.reason, error.attempts, took], ["DeadlineExceeded", 1, 1000])
      }
    }))

  it.effect("the time in its queue is not of the attempt, in the error and in the events", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const events: Array<RetryEvent.RetryEvent> = []
      yield* occupy(bulkhead, 30)
      const start = yield* Clock.currentTimeMillis
      const onEvent = (event: RetryEvent.RetryEvent) => Effect.sync(() => void events.push(event))
      const { exit } = yield* play(
        Effect.delay(failing, 7).pipe(withRpcRetry({ ...once, bulkhead, onEvent }))
      )
      const error = exhaustedOf(exit)
      assert.deepStrictEqual(
        error.history.map(({ startedAt, took }) => [millis(startedAt), millis(took)]),
        [[30, 7]]
      )
      assert.strictEqual(millis(error.elapsed), 37)
      const started = events.find(({ _tag }) => _tag === "AttemptStarted") as RetryEvent.AttemptStarted
      const failed = events.find(({ _tag }) => _tag === "AttemptFailed") as RetryEvent.AttemptFailed
      assert.deepStrictEqual([started.at - start, millis(failed.took)], [30, 7])
    }))

  it.effect("a call that has waited in its queue reports its end once, however it ends", () =>
    Effect.gen(function*() {
      const ends = Effect.fnUntraced(function*(attempt: Effect.Effect<string, Retryable>, interruptAfter?: number) {
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
        const events: Array<string> = []
        yield* occupy(bulkhead, 30)
        const onEvent = ({ _tag }: RetryEvent.RetryEvent) => Effect.sync(() => void events.push(_tag))
        const fiber = yield* Effect.fork(attempt.pipe(withRpcRetry({ ...once, bulkhead, onEvent })))
        yield* TestClock.adjust(interruptAfter ?? 100)
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust(100)
        return events.filter((tag) => tag.startsWith("Call"))
      })
      assert.deepStrictEqual(yield* ends(Effect.succeed("in time")), ["CallSucceeded"])
      assert.deepStrictEqual(yield* ends(failing), ["CallFailed"])
      assert.deepStrictEqual(yield* ends(sent, 10), ["CallInterrupted"])
      assert.deepStrictEqual(yield* ends(Effect.never, 40), ["CallInterrupted"])
    }))

  it.effect("a call that is granted a permit while it is interrupted makes no attempt, and what it paid for a retry comes back", () =>
    Effect.gen(function*() {
      for (let yields = 0; yields < 8; yields++) {
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
        const budget = yield* makeBudget
        const events: Array<RetryEvent.RetryEvent> = []
        const onEvent = (event: RetryEvent.RetryEvent) => Effect.sync(() => void events.push(event))
        let sent = 0
        const attempt = Effect.suspend(() => ++sent === 1 ? failing : Effect.yieldNow())
        const fiber = yield* Effect.fork(
          attempt.pipe(withRpcRetry({ ...spaced, bulkhead, budget, deadline: "1 minute", onEvent }))
        )
        yield* TestClock.adjust(50)
        const held = yield* Effect.makeLatch()
        yield* Effect.fork(Bulkhead.protect(held.await, bulkhead))
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* bulkhead.waiting, 1)
        yield* held.open
        yield* Effect.replicateEffect(Effect.yieldNow(), yields)
        const sentBefore = sent
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust(0)
        const last = events.at(-1)
        const started = events.filter(({ _tag }) => _tag === "AttemptStarted").length
        assert.deepStrictEqual([started, yield* bulkhead.inFlight, yield* bulkhead.waiting], [sent, 0, 0])
        if (last?._tag === "CallInterrupted") {
          assert.deepStrictEqual([sent, last.attempts], [sentBefore, sent])
          assert.strictEqual(yield* levelOf(budget), sent === 1 ? 10 : 9)
        } else {
          assert.deepStrictEqual([last?._tag, sent], ["CallSucceeded", 2])
        }
      }
    }))

  it.effect("of one permit keeps it when a leg that has waited for it comes too late, also where nothing may interrupt", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const hedge = yield* Hedge.make({ after: 10, load: 1 })
      const call = Effect.delay(Effect.succeed("first"), 50).pipe(
        withRpcRetry({ ...spaced, idempotent: true, bulkhead, hedge })
      )
      const { exit } = yield* play(Effect.uninterruptible(call))
      assert.deepStrictEqual(exit, Exit.succeed("first"))
      assert.deepStrictEqual([yield* bulkhead.inFlight, yield* bulkhead.waiting], [0, 0])
    }))

  it.effect("a call that is interrupted in its queue takes no permit, and what it paid for a retry comes back", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      const budget = yield* makeBudget
      const events: Array<string> = []
      const onEvent = ({ _tag }: RetryEvent.RetryEvent) => Effect.sync(() => void events.push(_tag))
      yield* occupy(bulkhead, 50)
      const first = yield* Effect.fork(sent.pipe(withRpcRetry({ ...spaced, bulkhead, budget, onEvent })))
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* bulkhead.waiting, 1)
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust(40)
      assert.deepStrictEqual([yield* bulkhead.waiting, yield* bulkhead.inFlight], [0, 0])
      assert.deepStrictEqual(events, ["CallInterrupted"])

      const call = yield* Faults.script([failing, sent])
      const second = yield* Effect.fork(call.pipe(withRpcRetry({ ...spaced, bulkhead, budget })))
      yield* TestClock.adjust(50)
      yield* occupy(bulkhead, 100)
      yield* TestClock.adjust(60)
      assert.deepStrictEqual([yield* bulkhead.waiting, yield* levelOf(budget)], [1, 9])
      yield* Fiber.interrupt(second)
      assert.deepStrictEqual([yield* bulkhead.waiting, yield* levelOf(budget)], [0, 10])
    }))
})

describe("a throttle in a policy", () => {
  it.effect("counts calls, not attempts", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const call = yield* Faults.script([failing, failing, Effect.void])
      const well = yield* Effect.fork(call.pipe(withRpcRetry({ ...spaced, throttle })))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(well)
      assert.strictEqual(yield* call.attempts, 3)
      assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [1, 1])
      const down = yield* Effect.fork(Effect.flip(failing.pipe(withRpcRetry({ throttle, logs: false }))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(down))._tag, "RetryExhausted")
      assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [2, 1])
    }))

  it.effect("holds no retry of a call back that it has let through", () =>
    Effect.gen(function*() {
      const throttle = yield* throttled
      const call = yield* Faults.script([failing, failing, Effect.succeed("ok")])
      const { exit } = yield* play(
        Effect.suspend(() => call).pipe(drawing(0), withRpcRetry({ ...spaced, throttle }), drawing(0.99))
      )
      assert.deepStrictEqual(exit, Exit.succeed("ok"))
    }))

  it.effect("forgets a call that the bulkhead turned away, or that was interrupted", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      yield* occupy(bulkhead, 50)
      yield* Effect.ignore(sent.pipe(withRpcRetry({ ...once, throttle, bulkhead })))
      yield* play(Effect.never.pipe(withRpcRetry({ ...once, throttle }), Effect.timeoutOption(50)))
      assert.deepStrictEqual([yield* throttle.calls, yield* throttle.accepts], [0, 0])
    }))

  it.effect("is not asked about a call that comes after the deadline of its caller", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      const late = Effect.andThen(Effect.sleep(2), sent.pipe(withRpcRetry({ ...once, throttle })))
      const { exit } = yield* play(late.pipe(Deadline.within(1)))
      assert.strictEqual(rejectedOf(exit).reason, "DeadlineExceeded")
      assert.strictEqual(yield* throttle.calls, 0)
    }))
})

describe("a call without a name", () => {
  const named = (method: string) => RpcCall.make({ method })

  it.effect("passes no gate that the layer makes for destinations", () =>
    Effect.gen(function*() {
      yield* Effect.ignore(failing.pipe(withRpcRetry(once)))
      assert.strictEqual(yield* Effect.succeed("ok").pipe(withRpcRetry(once)), "ok")
      assert.strictEqual(yield* Effect.succeed("ok").pipe(withRpcRetry({ ...once, method: "A.B" })), "ok")
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", breaker: { trip: CircuitBreaker.consecutive(1) } }))))

  it.effect("that learns its method from its first failure passes the gates of the method from then on", () =>
    Effect.gen(function*() {
      const ofMethod = yield* makeBreaker({ trip: CircuitBreaker.consecutive(2), openFor: "1 day" })
      const ofUnnamed = yield* makeBreaker({ trip: CircuitBreaker.consecutive(100) })
      const layer = RpcRetry.layer({
        budget: "off",
        default: { ...spaced, breaker: ofUnnamed },
        methods: { "A.B": { breaker: ofMethod } }
      })
      // an operator between the call and withRpcRetry loses its name
      const call = failing.pipe(named("A.B"), Effect.map((x) => x), withRpcRetry)
      const { exit, took } = yield* play(call.pipe(Effect.provide(layer)))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.method, error.reason, error.attempts, took], ["A.B", "CircuitOpen", 3, 200])
      assert.deepStrictEqual([(yield* ofUnnamed.snapshot).failures, yield* ofMethod.state], [1, "Open"])
    }))

  it.effect("that learns a method whose breaker is open ends before the delay, with the last error", () =>
    Effect.gen(function*() {
      const breaker = yield* makeBreaker()
      yield* breaker.open
      const layer = RpcRetry.layer({ budget: "off", default: spaced, methods: { "A.B": { breaker } } })
      const call = failing.pipe(named("A.B"), Effect.map((x) => x), withRpcRetry)
      const { exit, took } = yield* play(call.pipe(Effect.provide(layer)))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, took], ["CircuitOpen", 1, 0])
    }))

  it.effect("that learns a method with its gates off passes none from then on", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({
        budget: "off",
        default: { schedule: Schedule.recurs(3), logs: false },
        breaker: { trip: CircuitBreaker.consecutive(2) },
        methods: { "A.B": { breaker: "off" } }
      })
      const call = failing.pipe(named("A.B"), Effect.map((x) => x), withRpcRetry)
      const { exit } = yield* play(call.pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts], ["AttemptsExhausted", 4])
    }))

  it.effect("waits in the queue of its method, before the retry", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
      yield* occupy(bulkhead, 250)
      const start = yield* Clock.currentTimeMillis
      const started: Array<number> = []
      const script = yield* Faults.script([failing, Effect.succeed("ok")])
      const call = noting(start, started, script).pipe(named("A.B"), Effect.map((x) => x), withRpcRetry)
      const layer = RpcRetry.layer({ budget: "off", default: spaced, methods: { "A.B": { bulkhead } } })
      const { exit } = yield* play(call.pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exit, started], [Exit.succeed("ok"), [0, 250]])
    }))
})
