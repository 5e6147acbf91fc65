import {
  Deadline,
  Fatal,
  Retryable,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  RpcCall,
  type RpcError,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

const fast = RetryPolicy.make({ schedule: Schedule.recurs(3) })

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

  it.effect("a signal of the caller's that spans all attempts ends the call when it fires: no attempt is wasted on it", () =>
    Effect.gen(function*() {
      const fetching = (signal: AbortSignal) =>
        new Promise<never>((_, reject) => {
          const fail = () => reject(signal.reason)
          return signal.aborted ? fail() : signal.addEventListener("abort", fail)
        })
      const timedOut = new DOMException("The operation was aborted due to timeout", "TimeoutError")
      const run = Effect.fn(
        function*(
          make: (signal: AbortSignal, count: () => void) => RpcCall.RpcCall<never, RpcError.Retryable | Fatal>
        ) {
          const controller = new AbortController()
          let attempts = 0
          const fiber = yield* Effect.fork(Effect.flip(withRpcRetry(make(controller.signal, () => attempts++))))
          yield* Effect.yieldNow()
          controller.abort(timedOut)
          const error = yield* TestClock.adjust("1 minute").pipe(Effect.zipRight(Fiber.join(fiber)))
          return [attempts, error.reason]
        }
      )
      assert.deepStrictEqual(
        yield* run((own, count) =>
          RpcCall.fromPromise({
            method: "A.B",
            signal: own,
            try: (signal) => {
              count()
              return fetching(signal)
            }
          })
        ),
        [1, "Cancelled"]
      )
      // mixed in by hand it is known by its second rejection
      assert.deepStrictEqual(
        yield* run((own, count) =>
          RpcCall.fromPromise({
            method: "A.B",
            try: (signal) => {
              count()
              return fetching(AbortSignal.any([own, signal]))
            }
          })
        ),
        [2, "Cancelled"]
      )
      const before = RpcCall.fromPromise({ method: "A.B", signal: AbortSignal.abort(timedOut), try: fetching })
      assert.strictEqual((yield* Effect.flip(withRpcRetry(before))).reason, "Cancelled")
    }))

  it.effect("an AbortSignal.timeout made for each attempt is a timeout of the attempt, and retried", () =>
    Effect.gen(function*() {
      let attempts = 0
      const call = RpcCall.fromPromise({
        method: "A.B",
        try: () => {
          attempts++
          return Promise.reject(new DOMException("timed out", "TimeoutError"))
        }
      })
      const error = yield* Effect.flip(withRpcRetry(call, fast))
      assert.deepStrictEqual([attempts, error.reason], [4, "AttemptsExhausted"])
    }))

  it.effect("a client that throws statuses is retried by them", () =>
    Effect.gen(function*() {
      let attempts = 0
      const call = RpcCall.fromPromise({
        method: "A.B",
        try: () => {
          attempts++
          return attempts < 3 ? Promise.reject({ response: { status: 503 } }) : Promise.resolve("ok")
        }
      })
      assert.strictEqual(yield* withRpcRetry(call, fast), "ok")
      assert.strictEqual(attempts, 3)
    }))
})

describe("what a call knows of itself, behind any operator", () => {
  const lost = new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })

  /** Places an order, and counts how often. */
  const orders = (idempotent: boolean | undefined) => {
    let placed = 0
    const place = RpcCall.make(
      Effect.suspend((): Effect.Effect<number, RpcError.Retryable | Fatal> => {
        placed++
        return Effect.fail(lost)
      }),
      { method: "Orders.Place", idempotent }
    )
    return { place, count: () => placed }
  }
  type Call = ReturnType<typeof orders>["place"]

  const operators: ReadonlyArray<
    readonly [string, (call: Call) => Effect.Effect<unknown, RpcError.Retryable | Fatal>]
  > = [
    ["none", (call) => call],
    ["Effect.map", Effect.map((n) => n + 1)],
    ["Effect.withSpan", Effect.withSpan("place")],
    ["Effect.tap", Effect.tap(() => Effect.void)],
    ["Effect.tapError", Effect.tapError(() => Effect.void)],
    ["Effect.scoped", Effect.scoped],
    [
      "Effect.timeout of a minute",
      (call) => Effect.catchTag(Effect.timeout(call, "1 minute"), "TimeoutException", Effect.die)
    ],
    ["Effect.gen of a service method", (call) =>
      Effect.gen(function*() {
        yield* Effect.logDebug("placing")
        return yield* call
      })],
    ["work beside it", (call) => Effect.all([call, Effect.never], { concurrency: 2 })],
    [
      "a finalizer that fails with another Retryable",
      (call) => Effect.catchAllCause(call, (cause) => Effect.failCause(Cause.sequential(cause, Cause.fail(lost))))
    ]
  ]

  for (const [name, operator] of operators) {
    it.effect(`a call that must not run twice runs once, operator: ${name}`, () =>
      Effect.gen(function*() {
        const { count, place } = orders(false)
        const exit = yield* play(withRpcRetry(operator(place)))
        assert.strictEqual(count(), 1)
        assert.deepStrictEqual(
          [exhaustedOf(exit.exit).reason, exhaustedOf(exit.exit).method],
          ["NotIdempotent", "Orders.Place"]
        )
      }))
  }

  it.effect("a call that must not run twice, with retries of its own, runs once within an attempt that times out", () =>
    Effect.forEach([undefined, 1000], (attemptTimeout) =>
      Effect.gen(function*() {
        let calls = 0
        const inner = Effect.suspend(() => {
          calls++
          return Effect.never
        }).pipe(RpcCall.make({ method: "Users.Create", idempotent: false }), withRpcRetry({ attemptTimeout }))
        const { exit } = yield* play(Effect.map(inner, (x) => x).pipe(withRpcRetry({ attemptTimeout: 50 })))
        const error = exhaustedOf(exit)
        assert.deepStrictEqual([error.reason, error.method, calls], ["NotIdempotent", "Users.Create", 1])
      })))

  it.effect("what the options say comes first, then what the call says, then what a layer says of its method", () =>
    Effect.gen(function*() {
      const run = (said: boolean | undefined, options: RpcRetry.Options, layer: boolean | undefined) => {
        const { count, place } = orders(said)
        return place.pipe(
          Effect.map((n) => n),
          withRpcRetry(options),
          Effect.provide(RpcRetry.layer({ methods: { "Orders.Place": { idempotent: layer } }, budget: "off" })),
          play,
          Effect.map(count)
        )
      }
      assert.strictEqual(yield* run(false, { idempotent: true }, undefined), 4)
      assert.strictEqual(yield* run(true, { idempotent: false }, undefined), 1)
      assert.strictEqual(yield* run(true, {}, false), 4)
      assert.strictEqual(yield* run(false, {}, true), 1)
      assert.strictEqual(yield* run(undefined, {}, false), 1)
      assert.strictEqual(yield* run(undefined, { method: "Shop.Buy" }, false), 1)
      assert.strictEqual(yield* run(undefined, {}, undefined), 4)
    }))

  it.effect("the policy of its method holds from the first failure on: schedule, off, deadline, budget", () =>
    Effect.gen(function*() {
      const run = (policy: RetryPolicy.Options | "off", budget: RpcRetry.LayerOptions["budget"] = "off") => {
        const { count, place } = orders(undefined)
        return place.pipe(
          Effect.map((n) => n),
          withRpcRetry,
          Effect.provide(RpcRetry.layer({ methods: { "Orders.Place": policy }, budget })),
          play,
          Effect.map(({ exit, took }) => [count(), exhaustedOf(exit).reason, took])
        )
      }
      assert.deepStrictEqual(yield* run("off"), [1, "AttemptsExhausted", 0])
      assert.deepStrictEqual(yield* run({ schedule: RetrySchedule.retries(Schedule.spaced("1 second"), 1) }), [
        2,
        "AttemptsExhausted",
        1000
      ])
      assert.deepStrictEqual(yield* run({ deadline: "200 millis" }), [2, "DeadlineTooClose", 100])
      assert.deepStrictEqual(yield* run({}, RetryBudget.make({ capacity: 1 })), [2, "BudgetExhausted", 100])
    }))

  it.effect("a deadline that is learned is seen by the attempts after it", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const place = RpcCall.make(
        Effect.flatMap(Deadline.remaining, (remaining) => {
          seen.push(Option.match(remaining, { onNone: () => Infinity, onSome: Duration.toMillis }))
          return Effect.fail(lost)
        }),
        { method: "Orders.Place" }
      )
      yield* place.pipe(
        Effect.asVoid,
        withRpcRetry,
        Effect.provide(RpcRetry.layer({ methods: { "Orders.Place": { deadline: "300 millis" } } })),
        play
      )
      assert.deepStrictEqual(seen, [Infinity, 200, 50])
    }))

  it.effect("a Fatal has the name of its call too", () =>
    Effect.gen(function*() {
      const fatal = RpcCall.make(Effect.fail(new Fatal({ reason: "NotFound", message: "no" })), { method: "A.B" })
      assert.strictEqual((yield* Effect.flip(fatal)).method, "A.B")
    }))
})
