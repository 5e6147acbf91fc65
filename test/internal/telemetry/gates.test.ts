/**
 * What is told of calls that are turned away, and of circuit breakers that open and close.
 */
import { Bulkhead, CircuitBreaker, Retryable, RetryEvent, RpcRetry, Throttle, withRpcRetry } from "effect-rpc-retry"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as JumpingClock from "../../support/jumpingClock.js"
import * as Lab from "../../support/lab.js"
import { assert, describe, it } from "../../support/vitest.js"

const failing = Effect.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent" }))
const sent = Effect.dieMessage("sent")

const once = { schedule: Schedule.stop, logs: false } as const

/** Opens at the first failure, for exactly a second. */
const breaker: CircuitBreaker.Options = {
  trip: CircuitBreaker.consecutive(1),
  openFor: "1 second",
  jitter: 0,
  rampUp: "300 millis"
}

const fail = (method: string | undefined) => Effect.ignore(failing.pipe(withRpcRetry({ method })))
const succeed = (method: string) => Effect.ignore(Effect.void.pipe(withRpcRetry({ method })))

/** What a reader of the stream sees. */
const listening = (use: (events: ReadonlyArray<RetryEvent.RetryEvent>) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const events: Array<RetryEvent.RetryEvent> = []
    const listener = yield* Effect.fork(
      Stream.runForEach(RetryEvent.stream(), (event) => Effect.sync(() => void events.push(event)))
    )
    yield* TestClock.adjust(0)
    yield* use(events)
    yield* Fiber.interrupt(listener)
  })

/** Lets the reader of the stream read. */
const read = TestClock.adjust(0)

const ofCircuits = (events: ReadonlyArray<RetryEvent.RetryEvent>) => events.filter((event) => !("call" in event))

/** The series of a destination whose names begin so. */
const series = (destination: string, name: string) =>
  Effect.map(Lab.metrics(destination), (lines) => lines.filter((line) => line.startsWith(name)))

describe("the events of a circuit breaker of a layer", () => {
  it.effect("say when it opens, half-opens and closes, of which destination, on the wall clock", () =>
    Effect.gen(function*() {
      const { clock, jump } = yield* JumpingClock.make
      yield* listening((events) =>
        Effect.gen(function*() {
          const start = yield* Clock.currentTimeMillis
          // the wall clock is an hour off, which lengthens no opening
          yield* jump(3_600_000)
          yield* fail("CircuitEvents.Get")
          yield* TestClock.adjust(1000)
          yield* succeed("CircuitEvents.Get")
          yield* TestClock.adjust(300)
          yield* succeed("CircuitEvents.Get")
          yield* read
          const destination = "CircuitEvents"
          assert.deepStrictEqual(ofCircuits(events), [
            { _tag: "CircuitOpened", destination, at: start + 3_600_000, openFor: Duration.seconds(1) },
            { _tag: "CircuitHalfOpen", destination, at: start + 3_601_000 },
            { _tag: "CircuitClosed", destination, at: start + 3_601_000, isRamping: true },
            { _tag: "CircuitClosed", destination, at: start + 3_601_300, isRamping: false }
          ])
        })
      ).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once, breaker })), Effect.withClock(clock))
    }))

  it.effect("come in the order of those of the calls that make them", () =>
    listening((events) =>
      Effect.gen(function*() {
        yield* fail("CircuitOrder.Get")
        yield* fail("CircuitOrder.Get")
        yield* read
        assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
          "AttemptStarted",
          "CircuitOpened",
          "AttemptFailed",
          "RetryRefused",
          "CallFailed",
          "CallShed",
          "CallFailed"
        ])
      })
    ).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once, breaker }))))

  it.effect("say nothing of breakers that a policy brings along", () =>
    listening((events) =>
      Effect.gen(function*() {
        const own = yield* CircuitBreaker.make(breaker)
        yield* Effect.ignore(failing.pipe(withRpcRetry({ method: "CircuitOwn.Get", breaker: own })))
        yield* read
        assert.strictEqual(yield* own.state, "Open")
        assert.deepStrictEqual(ofCircuits(events), [])
        assert.deepStrictEqual(yield* series("CircuitOwn", "rpc.client.circuit"), [])
      })
    ).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once, breaker }))))

  it.effect("a breaker is told of as half-open when inspect sees that its opening is over", () =>
    listening((events) =>
      Effect.gen(function*() {
        yield* fail("CircuitSeen.Get")
        yield* TestClock.adjust("1 minute")
        yield* RpcRetry.inspect
        yield* read
        assert.deepStrictEqual(ofCircuits(events).map(({ _tag }) => _tag), ["CircuitOpened", "CircuitHalfOpen"])
      })
    ).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once, breaker }))))
})

describe("CallShed", () => {
  /** Draws 0, which a throttle that rejects anything rejects. */
  const unlucky = Effect.withRandom({
    ...Random.make(1),
    next: Effect.succeed(0),
    [Random.RandomTypeId]: Random.RandomTypeId
  })

  const shed = (method: string, options: RpcRetry.Options) =>
    Effect.ignore(sent.pipe(withRpcRetry({ ...options, method })))

  it.effect("says which call was turned away, why, and when to come back; its CallFailed follows", () =>
    listening((events) =>
      Effect.gen(function*() {
        const own = yield* CircuitBreaker.make(breaker)
        yield* Effect.ignore(failing.pipe(CircuitBreaker.protect(own)))
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
        const occupied = yield* Effect.fork(Effect.never.pipe(Bulkhead.protect(bulkhead)))
        const throttle = yield* Throttle.make()
        yield* Effect.replicateEffect(Effect.ignore(failing.pipe(Throttle.protect(throttle))), 20)
        yield* TestClock.adjust(400)
        yield* shed("Shed.Open", { breaker: own })
        yield* shed("Shed.Full", { bulkhead })
        yield* shed("Shed.Throttled", { throttle }).pipe(unlucky)
        yield* read
        const at = yield* Clock.currentTimeMillis
        const calls = new Set(events.map((event) => "call" in event ? event.call : 0))
        assert.strictEqual(calls.size, 3)
        const told = events.map((event) =>
          event._tag === "CallShed"
            ? [
              event._tag,
              event.method,
              event.destination,
              event.at - at,
              event.reason,
              event.retryIn && Duration.toMillis(event.retryIn)
            ]
            : event._tag === "CallFailed"
            ? [event._tag, event.method, event.attempts, event.outcome, event.reason]
            : event
        )
        assert.deepStrictEqual(told, [
          ["CallShed", "Shed.Open", "Shed", 0, "CircuitOpen", 600],
          ["CallFailed", "Shed.Open", 0, "rejected", "CircuitOpen"],
          ["CallShed", "Shed.Full", "Shed", 0, "BulkheadFull", undefined],
          ["CallFailed", "Shed.Full", 0, "rejected", "BulkheadFull"],
          ["CallShed", "Shed.Throttled", "Shed", 0, "Throttled", undefined],
          ["CallFailed", "Shed.Throttled", 0, "rejected", "Throttled"]
        ])
        assert.deepStrictEqual(yield* series("Shed", "rpc.client.call.rejected"), [
          "rpc.client.call.rejected {error.type=BulkheadFull rpc.method=Shed.Full} 1",
          "rpc.client.call.rejected {error.type=CircuitOpen rpc.method=Shed.Open} 1",
          "rpc.client.call.rejected {error.type=Throttled rpc.method=Shed.Throttled} 1"
        ])
        assert.deepStrictEqual(yield* series("Shed", "rpc.client.attempt"), [])
        yield* Fiber.interrupt(occupied)
      })
    ).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once }))))

  it.effect("is seen by onEvent too", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const own = yield* CircuitBreaker.make()
      yield* own.open
      yield* shed("A.B", { ...once, breaker: own, onEvent: ({ _tag }) => Effect.sync(() => void seen.push(_tag)) })
      yield* read
      assert.deepStrictEqual(seen, ["CallShed", "CallFailed"])
    }))

  it.effect("is not of a call that has made an attempt, nor of one that is past its deadline", () =>
    listening((events) =>
      Effect.gen(function*() {
        const own = yield* CircuitBreaker.make(breaker)
        const call = failing.pipe(withRpcRetry({ method: "Unshed.Get", schedule: Schedule.spaced(1), breaker: own }))
        yield* Effect.ignore(call)
        yield* read
        assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
          "AttemptStarted",
          "AttemptFailed",
          "RetryRefused",
          "CallFailed"
        ])
        assert.deepStrictEqual(yield* series("Unshed", "rpc.client.call.rejected"), [])
        assert.deepStrictEqual(yield* series("Unshed", "rpc.client.retry.refused"), [
          "rpc.client.retry.refused {error.type=CircuitOpen rpc.method=Unshed.Get} 1"
        ])
      })
    ).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once }))))

  it.effect("has a span and a log line as other rejected calls do", () =>
    Effect.gen(function*() {
      const { logs, spans } = yield* Lab.watching(
        Effect.andThen(fail("ShedSpan.Get"), fail("ShedSpan.Get")),
        { budget: "off", default: { schedule: Schedule.stop, spans: true }, breaker }
      )
      assert.strictEqual(
        logs.at(-1),
        "DEBUG ShedSpan.Get was not sent, retry in 1s [CircuitOpen] {reason=CircuitOpen method=ShedSpan.Get}"
      )
      assert.include(spans.at(-1), "rpc.attempts=0 rpc.outcome=rejected error.type=CircuitOpen")
    }))
})

describe("the metrics of a circuit breaker of a layer", () => {
  it.effect("are its state, 0 closed, 1 half-open or closing, 2 open, and how often it has opened", () =>
    Effect.gen(function*() {
      const seen = series("CircuitMetrics", "rpc.client.circuit")
      const are = (state: number, opened: number) =>
        Effect.map(seen, (lines) =>
          assert.deepStrictEqual(lines, [
            `rpc.client.circuit.opened {} ${opened}`,
            `rpc.client.circuit.state {} ${state}`
          ]))
      yield* succeed("CircuitMetrics.Get")
      assert.deepStrictEqual(yield* seen, [])
      yield* fail("CircuitMetrics.Get")
      yield* are(2, 1)
      yield* fail("CircuitMetrics.Get")
      yield* are(2, 1)
      yield* TestClock.adjust(1000)
      yield* RpcRetry.inspect
      yield* are(1, 1)
      yield* fail("CircuitMetrics.Get")
      yield* are(2, 2)
      yield* TestClock.adjust(1000)
      yield* succeed("CircuitMetrics.Get")
      yield* are(1, 2)
      yield* TestClock.adjust(300)
      yield* succeed("CircuitMetrics.Get")
      yield* are(0, 2)
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once, breaker }))))

  it.effect("are there without a reader of the stream, and not where metrics are off", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({ budget: "off", default: once, breaker, metrics: "off" })
      yield* Effect.provide(fail("CircuitQuiet.Get"), layer)
      assert.deepStrictEqual(yield* series("CircuitQuiet", "rpc.client"), [])
    }))

  it.effect("are not made of calls without a name, which have no breaker", () =>
    Effect.gen(function*() {
      yield* fail(undefined)
      assert.deepStrictEqual(yield* series("unnamed", "rpc.client.circuit"), [])
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: once, breaker }))))
})
