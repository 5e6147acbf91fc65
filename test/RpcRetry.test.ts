import {
  type CallRejected,
  type Fatal,
  InvalidOption,
  Retryable,
  RetryBudget,
  type RetryExhausted,
  RetryPolicy,
  RpcCall,
  RpcError,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { eventually } from "./support/eventually.js"
import { exhaustedOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

const fast = RetryPolicy.make({ schedule: Schedule.recurs(3) })

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
      const exit = yield* Effect.exit(withRpcRetry(call, { schedule: Schedule.recurs(20_000) }))
      assert.strictEqual(exhaustedOf(exit).attempts, 20_001)
      const fiber = yield* Effect.fork(withRpcRetry(call, { schedule: Schedule.forever }))
      yield* eventually(Effect.map(call.attempts, (attempts) => attempts > 20_001))
      yield* Fiber.interrupt(fiber)
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
      const expected = RpcError.ExhaustedReason.literals.filter((reason) =>
        reason !== "CircuitOpen" && reason !== "BulkheadFull"
      )
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

  it("a value that is no options, such as a function that returns a promise, is refused", () => {
    const refused: ReadonlyArray<readonly [unknown, string]> = [
      [null, "null"],
      [3, "3"],
      ["Users.Get", "\"Users.Get\""],
      [["Users.Get"], "an array"],
      [() => 1, "() => 1"]
    ]
    for (const [options, shown] of refused) {
      const message = `withRpcRetry: options must be an object, got ${shown}`
      assert.throws(() => withRpcRetry(options as RpcRetry.Options), InvalidOption, message)
      assert.throws(() => withRpcRetry(Effect.void, options as RpcRetry.Options), InvalidOption, message)
    }
  })
})
