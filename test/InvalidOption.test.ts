/**
 * Options that do not exist.
 */
import {
  InvalidOption,
  RetryBudget,
  RetryEvent,
  RetryPolicy,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Invalid from "effect-rpc-retry/InvalidOption"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { assert, describe, it } from "./support/vitest.js"

/** What plain JavaScript, or a cast, lets through. */
const any = (value: unknown) => value as never

describe("an option that does not exist", () => {
  const refused: ReadonlyArray<[name: string, make: () => unknown, message: string]> = [
    [
      "RetryPolicy.make",
      () => RetryPolicy.make(any({ attemptTimeot: 1 })),
      "attemptTimeot is not an option, did you mean attemptTimeout?"
    ],
    ["withRpcRetry", () => withRpcRetry(any({ methd: "A.B" })), "methd is not an option, did you mean method?"],
    [
      "withRpcRetry",
      () => withRpcRetry(Effect.void, any({ timeout: 1 })),
      "timeout is not an option, did you mean attemptTimeout?"
    ],
    [
      "withRpcRetry",
      () => withRpcRetry(any({ retries: 3 })),
      "retries is not an option: there are schedule, attemptTimeout, deadline, idempotent, retryIf, minServerDelay, maxServerDelay, budget, breaker, bulkhead, throttle, hedge, onEvent, spans, logs, method, idempotencyKey"
    ],
    [
      "RpcRetry.client",
      () => RpcRetry.client({}, any({ servce: "A" })),
      "servce is not an option, did you mean service?"
    ],
    [
      "RpcRetry.client",
      () => RpcRetry.client({}, any({ method: "A.B" })),
      "method is not an option: there are schedule,"
    ],
    ["RpcRetry.layer", () => RpcRetry.layer(any({ method: {} })), "method is not an option, did you mean methods?"],
    ["RpcRetry.layer", () => RpcRetry.layer(any([])), "options must be an object, got an array"],
    ["RpcRetry.layer", () => RpcRetry.layer(any({ methods: 5 })), "methods must be an object"],
    [
      "RpcRetry.layer",
      () => RpcRetry.layer(any({ methods: { "A.B": { dedline: 1 } } })),
      "A.B.dedline is not an option, did you mean deadline?"
    ],
    [
      "RpcRetry.layer",
      () => RpcRetry.layer(any({ methods: { "A.B": "of" } })),
      "A.B must be \"off\" or a policy, got \"of\""
    ],
    ["RpcRetry.layer", () => RpcRetry.layer(any({ methods: { "A.B": 5 } })), "A.B must be \"off\" or a policy, got 5"],
    [
      "RpcRetry.layer",
      () => RpcRetry.layer(any({ metrics: { methods: 5 } })),
      "metrics.methods is not an option, did you mean maxMethods?"
    ],
    [
      "RpcRetry.layer",
      () => RpcRetry.layerConfig(any({ budgets: "off" })),
      "budgets is not an option, did you mean budget?"
    ],
    ["RpcRetry.layer", () => RpcRetry.layer(any({ default: "off" })), "default must be a policy, got \"off\""],
    [
      "RetrySchedule.retries",
      () => RetrySchedule.retries(RetrySchedule.standard, any("3")),
      "n must be an integer of at least 0, got \"3\""
    ],
    ["RetryPolicy.make", () => RetryPolicy.make(any(undefined)), "options must be an object, got undefined"],
    [
      "RetryBudget.make",
      () => RetryBudget.make(any({ capcity: 1 })),
      "capcity is not an option, did you mean capacity?"
    ],
    ["RetryBudget.make", () => RetryBudget.make(any(5)), "options must be an object, got 5"],
    [
      "RetryBudget.grpc",
      () => RetryBudget.grpc(any({ maxTokens: 1, ratio: 1 })),
      "ratio is not an option, did you mean tokenRatio?"
    ],
    [
      "RetrySchedule.exponential",
      () => RetrySchedule.exponential(any({ bsae: 1 })),
      "bsae is not an option, did you mean base?"
    ],
    [
      "RetrySchedule.decorrelated",
      () => RetrySchedule.decorrelated(any({ factor: 2 })),
      "factor is not an option: there are base, cap"
    ],
    [
      "RetrySchedule.byReason",
      () => RetrySchedule.byReason(any({ throtled: RetrySchedule.standard })),
      "throtled is not an option, did you mean Throttled?"
    ],
    [
      "RetrySchedule.grpcA6",
      () =>
        RetrySchedule.grpcA6(
          any({ maxAttempts: 2, initialBackoff: 1, maxBackoff: 1, backoffMultiplier: 1, factor: 1 })
        ),
      "factor is not an option: there are"
    ],
    ["RetryEvent.stream", () => RetryEvent.stream(any({ size: 5 })), "size is not an option: there is capacity"]
  ]
  for (const [where, make, message] of refused) {
    it(`is refused by ${where}: ${message}`, () => {
      assert.throws(make, InvalidOption, `${where}: ${message}`)
    })
  }

  it.effect("is refused where an effect takes it, too", () =>
    Effect.gen(function*() {
      const update = yield* Effect.flip(RpcRetry.update("A.B", {}, any({ replaces: true })))
      assert.strictEqual(update.message, "RpcRetry.update: replaces is not an option, did you mean replace?")
      const policy = yield* Effect.flip(RpcRetry.update("A.B", any("of")))
      assert.strictEqual(policy.message, "RpcRetry.update: A.B must be \"off\" or a policy, got \"of\"")
      const layer = yield* Effect.flip(Layer.build(RpcRetry.layerServiceConfig({}, any({ maxAttemps: 3 }))))
      assert.include(layer.message, "maxAttemps is not an option, did you mean maxAttempts?")
    }).pipe(Effect.scoped, Effect.provide(RpcRetry.layer())))

  it("is not what a policy is made of, given again, whole or spread", () => {
    const policy = RetryPolicy.make({ deadline: 1 })
    for (const options of [policy, { ...policy }, { ...policy, method: "A.B" }]) {
      assert.isFunction(withRpcRetry(options))
    }
    RpcRetry.layer({ default: policy, methods: { "A.B": policy } })
  })
})

describe("checkKnown", () => {
  const problem = (options: unknown, known: ReadonlyArray<string>, path?: string) =>
    Either.match(Invalid.checkKnown("Users.make", options, known, path), {
      onLeft: ({ message }) => message,
      onRight: () => "fine"
    })

  it("names what was meant: letters left out, added, changed, swapped; in another case; a part of a name", () => {
    const known = ["attemptTimeout", "deadline", "idle"]
    for (
      const key of ["attempTimeout", "atttemptTimeout", "attemptTimeoud", "attemptTimeuot", "ATTEMPTTIMEOUT", "timeout"]
    ) {
      assert.strictEqual(
        problem({ [key]: 1 }, known),
        `Users.make: ${key} is not an option, did you mean attemptTimeout?`
      )
    }
    assert.strictEqual(problem({ idel: 1 }, known), "Users.make: idel is not an option, did you mean idle?")
  })

  it("names all there are where none is near, or the name is endless", () => {
    const all = "there are attemptTimeout, deadline, idle"
    for (const key of ["xyz", "retries", "a".repeat(100_000)]) {
      assert.strictEqual(
        problem({ [key]: 1 }, ["attemptTimeout", "deadline", "idle"]),
        `Users.make: ${key} is not an option: ${all}`
      )
    }
  })

  it("takes what it knows, also absent; not what is undefined and unknown, and no other thing than an object", () => {
    assert.strictEqual(problem({}, ["a"]), "fine")
    assert.strictEqual(problem({ a: 1, b: undefined }, ["a", "b"]), "fine")
    assert.strictEqual(problem({ c: undefined }, ["a"], "tls."), "Users.make: tls.c is not an option, did you mean a?")
    assert.strictEqual(problem(null, ["a"]), "Users.make: options must be an object, got null")
    assert.strictEqual(problem("5", ["a"], "tls."), "Users.make: tls must be an object, got \"5\"")
    assert.strictEqual(problem([5], ["a"], "tls."), "Users.make: tls must be an object, got an array")
  })
})
