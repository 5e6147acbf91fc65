/**
 * gRPC's retries, as configured by a service config. Cases are numbered as in `test/interop/grpc/GrpcCases.test.ts`.
 */
import {
  Fatal,
  InvalidOption,
  Retryable,
  RetryExhausted,
  RetryPolicy,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const retryPolicy = {
  maxAttempts: 3,
  initialBackoff: "0.01s",
  maxBackoff: "0.1s",
  backoffMultiplier: 1.5,
  retryableStatusCodes: [14, "RESOURCE_EXHAUSTED"]
}

const config = (policy: object, more: object = {}) => ({
  methodConfig: [{ name: [{ service: "Echo", method: "Unary" }], retryPolicy: { ...retryPolicy, ...policy } }],
  ...more
})

/** An answer with a status, as an adapter would classify it: what gRPC may retry is `Retryable`. */
const status = (code: number | string): Effect.Effect<never, Retryable | Fatal> => {
  switch (code) {
    case 14:
    case "UNAVAILABLE":
      return Effect.fail(new Retryable({ reason: "Unavailable", delivery: "Unknown", code }))
    case 8:
    case "RESOURCE_EXHAUSTED":
      return Effect.fail(new Retryable({ reason: "Throttled", delivery: "Unknown", code }))
    case 10:
      return Effect.fail(new Retryable({ reason: "Custom", delivery: "Unknown", code }))
    default:
      return Effect.fail(new Fatal({ reason: code === 5 ? "NotFound" : "Custom", code, message: `status ${code}` }))
  }
}

const ok = Effect.succeed("ok")

/** A service config with attempts side by side. */
const hedging = (hedgingPolicy: object, more: object = {}) => ({
  methodConfig: [{ name: [{ service: "Echo" }], hedgingPolicy }],
  ...more
})

/** Runs a call whose attempts end so, under a service config: how it ended and in how many attempts. */
const run = (
  config: unknown,
  attempts: readonly [Effect.Effect<string, Retryable | Fatal>, ...Array<Effect.Effect<string, Retryable | Fatal>>],
  options?: RpcRetry.Options
) =>
  Effect.gen(function*() {
    const call = yield* Faults.script(attempts)
    const { exit } = yield* play(
      call.pipe(withRpcRetry({ method: "Echo.Unary", ...options }), Effect.provide(RpcRetry.layerServiceConfig(config)))
    )
    const error = exit._tag === "Failure" ? failureOf(exit) : undefined
    const end = error === undefined
      ? "ok"
      : error instanceof RetryExhausted
      ? `${error.reason} ${error.last.code}`
      : error instanceof Fatal
      ? `Fatal ${error.code}`
      : String(error)
    return [end, yield* call.attempts]
  })

describe("behaviour under a service config", () => {
  const cases: ReadonlyArray<
    [name: string, policy: object, attempts: ReadonlyArray<number>, end: string, made: number]
  > = [
    ["case 5: success at once", {}, [], "ok", 1],
    ["case 6: RESOURCE_EXHAUSTED twice, then success", {}, [8, 8], "ok", 3],
    ["case 7: three failures, the last error is kept", {}, [14, 14, 8, 14], "AttemptsExhausted 8", 3],
    ["case 8: NOT_FOUND", {}, [5], "Fatal 5", 1],
    [
      "case 9, with our meaning: maxAttempts 10 is 10",
      { maxAttempts: 10 },
      Array(20).fill(14),
      "AttemptsExhausted 14",
      10
    ],
    ["case 10: success at attempt 8", { maxAttempts: 10 }, Array(7).fill(14), "ok", 8],
    ["case 11: code 300 is kept", {}, [300], "Fatal 300", 1],
    ["case 35: success first", { maxAttempts: 4 }, [], "ok", 1],
    ["case 36: one failure", { maxAttempts: 4 }, [14], "ok", 2],
    ["case 37: two failures", { maxAttempts: 4 }, [14, 14], "ok", 3],
    ["case 38: not retryable at first", { maxAttempts: 4 }, [3], "Fatal 3", 1],
    ["case 39: not retryable after one failure", { maxAttempts: 4 }, [14, 3], "Fatal 3", 2],
    ["case 40: not retryable after two failures", { maxAttempts: 4 }, [14, 14, 3], "Fatal 3", 3],
    ["case 41: failures only", { maxAttempts: 4 }, [14, 14, 14, 14, 14], "AttemptsExhausted 14", 4],
    ["a Retryable whose code is not in the list", {}, [10], "NotRetried 10", 1]
  ]
  for (const [name, policy, failures, end, made] of cases) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const [first = ok, ...rest] = [...failures.map(status), ok]
        assert.deepStrictEqual(yield* run(config(policy), [first, ...rest]), [end, made])
      }))
  }

  it.effect("cases 60 to 62: the limits of the service and of the client, the smaller one holds", () =>
    Effect.gen(function*() {
      for (const [service, client, made] of [[9, 4, 4], [9, 7, 7], [3, 10, 3], [9, 1, 1]] as const) {
        const call = yield* Faults.script([status(14)])
        const layer = RpcRetry.layerServiceConfig(config({ maxAttempts: service }), { maxAttempts: client })
        const { exit } = yield* play(call.pipe(withRpcRetry({ method: "Echo.Unary" }), Effect.provide(layer)))
        assert.deepStrictEqual([exhaustedOf(exit).reason, yield* call.attempts], ["AttemptsExhausted", made])
      }
    }))

  it.effect("cases 63, 64, with our meaning: a limit below 1 is an error, and not 5", () =>
    Effect.gen(function*() {
      for (const maxAttempts of [-1, 0, 1.5, NaN]) {
        const layer = RpcRetry.layerServiceConfig(config({}), { maxAttempts })
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
        assert.strictEqual(error.field, "maxAttempts")
      }
    }))

  it.effect("delays are those of the config, below its maxBackoff", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layerServiceConfig(
        config({ maxAttempts: 6, initialBackoff: "0.04s", backoffMultiplier: 2 })
      )
      const { exit } = yield* play(withRpcRetry(status(14), { method: "Echo.Unary" }).pipe(Effect.provide(layer)))
      const delays = exhaustedOf(exit).history.flatMap(({ delay }) =>
        delay === undefined ? [] : Duration.toMillis(delay)
      )
      const nominal = [40, 80, 100, 100, 100]
      assert.strictEqual(delays.length, 5)
      delays.forEach((delay, i) => assert.isTrue(delay >= nominal[i]! * 0.8 && delay <= nominal[i]! * 1.2, `${delay}`))
    }))

  it.effect("case 104: a fatal failure has no room for a hint, and ends the call", () =>
    Effect.gen(function*() {
      const hint = new Retryable({
        reason: "Unavailable",
        delivery: "Unknown",
        code: 14,
        retryAfter: Duration.millis(1)
      })
      assert.deepStrictEqual(yield* run(config({ maxAttempts: 5 }), [Effect.fail(hint), status(3), ok]), ["Fatal 3", 2])
      // @ts-expect-error: a hint never makes a Fatal retryable
      assert.isUndefined(new Fatal({ reason: "Custom", message: "" }).retryAfter)
    }))

  it.effect("T4: a failure that the policy would not retry costs the throttle nothing", () =>
    Effect.gen(function*() {
      const throttled = config({ retryableStatusCodes: ["UNAVAILABLE"] }, {
        retryThrottling: { maxTokens: 4, tokenRatio: 0.1 }
      })
      const [, inForce] = yield* Effect.gen(function*() {
        yield* Effect.replicateEffect(Effect.ignore(withRpcRetry(status(10), { method: "Echo.Unary" })), 3)
        return yield* RpcRetry.policies
      }).pipe(Effect.provide(RpcRetry.layerServiceConfig(throttled)))
      assert.strictEqual(yield* inForce!.policy.budget!.level, 4)
    }))

  it.effect("a method without a policy is not retried; names go from exact to general", () =>
    Effect.gen(function*() {
      const layered = {
        methodConfig: [
          { name: [{}], retryPolicy: { ...retryPolicy, maxAttempts: 2 } },
          { name: [{ service: "pkg.Echo" }], retryPolicy: { ...retryPolicy, maxAttempts: 3 } },
          {
            name: [{ service: "pkg.Echo", method: "Unary" }, { service: "pkg.Echo", method: "Other" }],
            timeout: "0.005s"
          }
        ]
      }
      const made = (method: string, config: unknown) =>
        Effect.map(run(config, [status(14)], { method }), ([, attempts]) => attempts)
      assert.strictEqual(yield* made("pkg.Echo.Stream", layered), 3)
      assert.strictEqual(yield* made("Other.Unary", layered), 2)
      assert.strictEqual(yield* made("Other.Unary", config({})), 1)
      // a service is named as a whole, also where others have longer names
      assert.strictEqual(yield* made("pkg.Echo.Admin.Stream", layered), 2)
      // the entry that names the method holds alone: its timeout, and no retries
      assert.strictEqual(yield* made("pkg.Echo.Unary", layered), 1)
      const { exit, took } = yield* play(
        withRpcRetry(Effect.never, { method: "pkg.Echo.Unary" }).pipe(
          Effect.provide(RpcRetry.layerServiceConfig(layered))
        )
      )
      assert.deepStrictEqual([exhaustedOf(exit).reason, took], ["DeadlineExceeded", 5])
      // and a timeout of a more general one is not its own
      const general = {
        methodConfig: [
          { name: [{}], timeout: "0.02s" },
          { name: [{ service: "Echo" }], retryPolicy: { ...retryPolicy, initialBackoff: "0.1s" } }
        ]
      }
      assert.strictEqual(yield* made("Echo.Unary", general), 3)
    }))

  it.effect("an update that says no schedule does not switch retries on", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("Other.Unary", { deadline: "1 minute" })
      const { exit } = yield* play(withRpcRetry(Faults.refused, { method: "Other.Unary" }))
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts], ["AttemptsExhausted", 1])
    }).pipe(Effect.provide(RpcRetry.layerServiceConfig(config({})))))

  it.effect("a failure without a status counts as the one it would have been", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(config({}), [Faults.refused, Faults.reset, ok]), ["ok", 3])
      const timeout = Effect.fail(new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" }))
      assert.deepStrictEqual(yield* run(config({}), [timeout]), ["NotRetried undefined", 1])
      const codes = { retryableStatusCodes: ["deadline_exceeded"] }
      assert.deepStrictEqual(yield* run(config(codes), [timeout, ok]), ["ok", 2])
    }))

  it.effect("retryThrottling is one bucket for all methods", () =>
    Effect.gen(function*() {
      const throttled = {
        methodConfig: [{ name: [{}], retryPolicy: { ...retryPolicy, maxAttempts: 4 } }],
        retryThrottling: { maxTokens: 4, tokenRatio: 0.1 }
      }
      const ends = yield* Effect.forEach(["A.B", "C.D"], (method) =>
        Effect.map(play(withRpcRetry(status(14), { method })), ({ exit }) => {
          const error = exhaustedOf(exit)
          return [error.reason, error.attempts]
        })).pipe(Effect.provide(RpcRetry.layerServiceConfig(throttled)))
      assert.deepStrictEqual(ends, [["BudgetExhausted", 2], ["BudgetExhausted", 1]])
    }))

  it.effect("cases 99, 100: a deadline inside a delay ends the call before it, and the error is kept", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([status(14)])
      const { exit, took } = yield* play(
        call.pipe(
          withRpcRetry({ method: "Echo.Unary", deadline: "1 second" }),
          Effect.provide(RpcRetry.layerServiceConfig(config({ initialBackoff: "2s", maxBackoff: "2s" })))
        )
      )
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.last.code, error.attempts, took], ["DeadlineTooClose", 14, 1, 0])
    }))

  it("case 102: delays stay within [0.8, 1.2] of their nominal value, over the cap too", () => {
    const schedule = RetrySchedule.grpcA6({
      maxAttempts: 8,
      initialBackoff: 100,
      maxBackoff: 1000,
      backoffMultiplier: 2
    })
    const nominal = [100, 200, 400, 800, 1000, 1000, 1000]
    let above = 0
    FastCheck.assert(FastCheck.property(FastCheck.integer(), (seed) => {
      const delays = Effect.runSync(RetrySchedule.delays(schedule, 20).pipe(Effect.withRandom(Random.make(seed))))
        .map(Duration.toMillis)
      above += delays.filter((delay) => delay > 1000).length
      return delays.length === 7 && delays.every((delay, i) => delay >= nominal[i]! * 0.8 && delay <= nominal[i]! * 1.2)
    }))
    assert.isAbove(above, 0)
  })

  it.effect("case 106: a hanging attempt is cut alone, and the call is retried within its deadline", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.never, ok])
      const { exit, took } = yield* play(
        withRpcRetry(call, { attemptTimeout: "100 millis", deadline: "1 second", schedule: RetrySchedule.standard })
      )
      assert.deepStrictEqual([exit._tag, took, yield* call.interrupted], ["Success", 200, 1])
    }))

  it.effect("case 110: exhaustion says so by type, with attempts, last error and delays", () =>
    Effect.gen(function*() {
      const { exit } = yield* play(withRpcRetry(status(14), { method: "Echo.Unary" }))
      const error = exhaustedOf(exit)
      const delays = error.history.map((attempt) => attempt.delay === undefined ? 0 : Duration.toMillis(attempt.delay))
      assert.deepStrictEqual([error.attempts, error.last.code, delays], [4, 14, [100, 150, 225, 0]])
    }))

  it.effect("the preset is the example of the proposal", () =>
    Effect.gen(function*() {
      const description = yield* RetryPolicy.describe(RetryPolicy.grpcA6)
      const nominal = [100, 200, 400]
      assert.strictEqual(description.attempts, 4)
      description.delays.forEach(({ longest, shortest }, i) => {
        assert.deepStrictEqual([Duration.toMillis(shortest), Duration.toMillis(longest)], [
          nominal[i]! * 0.8,
          nominal[i]! * 1.2
        ])
      })
      assert.deepStrictEqual(description.retried, ["ConnectionRefused", "ConnectionLost", "Unavailable"])
    }))
})

describe("a hedging policy of a service config", () => {
  const build = RpcRetry.layerServiceConfig
  const three = (more: object = {}) => hedging({ maxAttempts: 3, nonFatalStatusCodes: [14, 8], ...more })

  /** An attempt that ends so after so long. */
  const after = (millis: number, end: Effect.Effect<string, Retryable | Fatal>) => Effect.delay(end, millis)

  const pushback = (hint: Duration.DurationInput | "Never") =>
    Effect.fail(
      new Retryable({
        reason: "Unavailable",
        delivery: "Unknown",
        code: 14,
        retryAfter: hint === "Never" ? hint : Duration.decode(hint)
      })
    )

  /** How a call of such attempts ends, how many of them are made and interrupted, and how long it takes. */
  const hedged = (
    config: unknown,
    attempts: readonly [Effect.Effect<string, Retryable | Fatal>, ...Array<Effect.Effect<string, Retryable | Fatal>>],
    options?: RpcRetry.Options
  ) =>
    Effect.gen(function*() {
      const call = yield* Faults.script(attempts)
      const { exit, took } = yield* play(
        call.pipe(withRpcRetry({ method: "Echo.Unary", ...options }), Effect.provide(build(config)))
      )
      const error = exit._tag === "Failure" ? failureOf(exit) : undefined
      const end = error === undefined ? "ok" : error instanceof RetryExhausted
        ? `${error.reason} ${error.last.code}`
        : error instanceof Fatal
        ? `Fatal ${error.code}`
        : String(error)
      return { end, attempts: yield* call.attempts, cut: yield* call.interrupted, took }
    })

  it.effect("case 12: without a delay all attempts start at once, and the first answer is taken", () =>
    Effect.gen(function*() {
      const calls = [after(30, ok), after(10, ok), after(20, ok)] as const
      assert.deepStrictEqual(yield* hedged(three(), calls), { end: "ok", attempts: 3, cut: 2, took: 10 })
    }))

  it.effect("case 13: a call succeeds when only its third attempt does", () =>
    Effect.gen(function*() {
      const calls = [status(14), status(8), ok] as const
      const result = { end: "ok", attempts: 3, cut: 0, took: 0 }
      assert.deepStrictEqual(yield* hedged(three(), calls), result)
      assert.deepStrictEqual(yield* hedged(three({ hedgingDelay: "1s" }), calls), result)
    }))

  it.effect("case 14: when all attempts have failed, no other follows", () =>
    Effect.gen(function*() {
      const calls = [status(14), status(14), status(14), status(8), ok] as const
      const { attempts, end } = yield* hedged(three(), calls)
      assert.deepStrictEqual([end, attempts], ["AttemptsExhausted 14", 3])
    }))

  it.effect("case 15: a final failure ends the call, and cancels the others", () =>
    Effect.gen(function*() {
      const calls = [after(50, ok), after(10, status(5)), after(50, ok)] as const
      assert.deepStrictEqual(yield* hedged(three(), calls), { end: "Fatal 5", attempts: 3, cut: 2, took: 10 })
    }))

  it.effect("case 16: maxAttempts above 5 is 5", () =>
    Effect.gen(function*() {
      const fails = Array(6).fill(status(14)) as Array<ReturnType<typeof status>>
      const { attempts, end } = yield* hedged(three({ maxAttempts: 10 }), [status(14), ...fails])
      assert.deepStrictEqual([end, attempts], ["AttemptsExhausted 14", 5])
    }))

  it.effect("each delay without an answer starts another attempt", () =>
    Effect.gen(function*() {
      const slow = [after(1000, ok), after(1000, ok), after(50, ok)] as const
      const result = yield* hedged(three({ hedgingDelay: "0.1s" }), slow)
      assert.deepStrictEqual(result, { end: "ok", attempts: 3, cut: 2, took: 250 })
    }))

  it.effect("every call of many at once has all its attempts: nothing but the config bounds the extra load", () =>
    Effect.gen(function*() {
      let attempts = 0
      const call = Effect.suspend(() => {
        attempts++
        return Effect.delay(ok, 10)
      }).pipe(withRpcRetry({ method: "Echo.Unary", logs: false }))
      const all = Effect.replicateEffect(call, 100, { concurrency: "unbounded" })
      const { exit } = yield* play(Effect.andThen(all, RpcRetry.inspect).pipe(Effect.provide(build(three()))))
      assert.strictEqual(attempts, 300)
      const inspection = JSON.parse(JSON.stringify(Effect.runSync(exit)))
      const [{ level, ...hedge }] = inspection.hedges
      assert.strictEqual(level, "unlimited")
      assert.deepStrictEqual([hedge.method, hedge.calls, hedge.extraLegs, hedge.refused], ["Echo.Unary", 100, 200, 0])
      const named = inspection.policies.find(({ name }: { readonly name: string }) => name === "Echo.*")
      assert.deepStrictEqual([named.idempotent, named.hedge], [true, { after: "0ms", max: 3, load: 2 }])
    }))

  it.effect("a failure that is not listed starts no attempt; the answer of one in flight is taken", () =>
    Effect.gen(function*() {
      const delay = { hedgingDelay: "0.02s" }
      assert.deepStrictEqual(yield* hedged(hedging({ maxAttempts: 3, ...delay }), [status(14), ok]), {
        end: "NotRetried 14",
        attempts: 1,
        cut: 0,
        took: 0
      })
      const result = yield* hedged(three(delay), [after(50, ok), after(10, status(10)), ok])
      assert.deepStrictEqual(result, { end: "ok", attempts: 2, cut: 0, took: 50 })
    }))

  it.effect("case 107: told not to retry, a call starts no other attempt, and those in flight go on", () =>
    Effect.gen(function*() {
      const delay = { hedgingDelay: "0.02s" }
      const result = yield* hedged(three(delay), [after(50, ok), after(10, pushback("Never")), ok])
      assert.deepStrictEqual(result, { end: "ok", attempts: 2, cut: 0, took: 50 })
      assert.strictEqual((yield* hedged(three(delay), [pushback("Never"), ok])).end, "ServerSaidNo 14")
    }))

  it.effect("a pushback is waited exactly before the next attempt, with others in flight and without", () =>
    Effect.gen(function*() {
      const alone = yield* hedged(three({ hedgingDelay: "0.2s" }), [pushback("600 millis"), ok])
      assert.deepStrictEqual([alone.attempts, alone.took], [2, 600])
      const beside = yield* hedged(three({ hedgingDelay: "0.2s" }), [
        after(5000, ok),
        pushback("600 millis"),
        after(10, ok)
      ])
      assert.deepStrictEqual([beside.attempts, beside.took], [3, 810])
    }))

  it.effect("retryThrottling counts: below half of the tokens the first attempt is made, and no other", () =>
    Effect.gen(function*() {
      const config = three()
      const layer = build({ ...config, retryThrottling: { maxTokens: 4, tokenRatio: 0.1 } })
      const failing = yield* Faults.script([Effect.delay(status(14), 10)])
      const slow = yield* Faults.script([Effect.delay(ok, 10)])
      const retried = withRpcRetry({ method: "Echo.Unary", logs: false })
      yield* play(
        Effect.ignore(failing.pipe(retried)).pipe(Effect.andThen(slow.pipe(retried)), Effect.provide(layer))
      )
      assert.deepStrictEqual([yield* failing.attempts, yield* slow.attempts], [3, 1])
    }))

  it.effect("the deadline bounds all attempts, and a call that must not run twice has one", () =>
    Effect.gen(function*() {
      const config = { methodConfig: [{ ...three({ hedgingDelay: "0.1s" }).methodConfig[0], timeout: "0.25s" }] }
      const late = yield* hedged(config, [Effect.never])
      assert.deepStrictEqual([late.attempts, late.took], [3, 250])
      assert.strictEqual((yield* hedged(three(), [after(10, ok)], { idempotent: false })).attempts, 1)
    }))

  it.effect("the limit of the client bounds a hedge too", () =>
    Effect.gen(function*() {
      const attempts = (maxAttempts: number) =>
        Effect.gen(function*() {
          const call = yield* Faults.script([Effect.delay(ok, 10)])
          const layer = RpcRetry.layerServiceConfig(three(), { maxAttempts })
          yield* play(call.pipe(withRpcRetry({ method: "Echo.Unary" }), Effect.provide(layer)))
          return yield* call.attempts
        })
      assert.deepStrictEqual(yield* Effect.forEach([1, 2, 3, 9], attempts), [1, 2, 3, 3])
    }))
})

describe("validation of a service config", () => {
  const build = (config: unknown) => Effect.scoped(Layer.build(RpcRetry.layerServiceConfig(config)))

  const valid: ReadonlyArray<[string, unknown]> = [
    ["case 17: a full policy, codes as numbers and names", config({})],
    ["case 32: throttling 100 / 0.1", { retryThrottling: { maxTokens: 100, tokenRatio: 0.1 } }],
    ["case 33: maxTokens 1000", { retryThrottling: { maxTokens: 1000, tokenRatio: 0.1 } }],
    [
      "a multiplier below 1, and a first backoff above the last",
      config({ backoffMultiplier: 0.5, initialBackoff: "5s" })
    ],
    ["what is not about retries", { loadBalancingConfig: [{ round_robin: {} }], ...config({}) }],
    ["JSON text", JSON.stringify(config({}))],
    ["case 28: a hedge that says only how many attempts", hedging({ maxAttempts: 2 })],
    ["case 28: a hedge after 1s", hedging({ maxAttempts: 2, hedgingDelay: "1s" })],
    [
      "case 28: a hedge after 0s, with codes",
      hedging({ maxAttempts: 2, hedgingDelay: "0s", nonFatalStatusCodes: [14, "aborted"] })
    ],
    ["a hedge without any code", hedging({ maxAttempts: 2, nonFatalStatusCodes: [] })],
    ["nothing", {}],
    ["a policy for nobody", { methodConfig: [{ name: [], retryPolicy }, { name: [{}] }] }]
  ]
  for (const [name, config] of valid) {
    it.effect(`accepts ${name}`, () => build(config))
  }

  const without = (field: keyof typeof retryPolicy) => ({
    methodConfig: [{ name: [{ service: "Echo" }], retryPolicy: { ...retryPolicy, [field]: undefined } }]
  })
  const policy = "methodConfig[0].retryPolicy"
  const hedge = "methodConfig[0].hedgingPolicy"
  const invalid: ReadonlyArray<[string, unknown, path: string]> = [
    ["case 18: no maxAttempts", without("maxAttempts"), `${policy}.maxAttempts`],
    ["case 19: maxAttempts 1", config({ maxAttempts: 1 }), `${policy}.maxAttempts`],
    ["case 19: maxAttempts -1", config({ maxAttempts: -1 }), `${policy}.maxAttempts`],
    ["maxAttempts 2.5", config({ maxAttempts: 2.5 }), `${policy}.maxAttempts`],
    ["case 20: no initialBackoff", without("initialBackoff"), `${policy}.initialBackoff`],
    ["case 21: initialBackoff abcs", config({ initialBackoff: "abcs" }), `${policy}.initialBackoff`],
    ["case 21: initialBackoff 123", config({ initialBackoff: "123" }), `${policy}.initialBackoff`],
    ["case 22: no maxBackoff", without("maxBackoff"), `${policy}.maxBackoff`],
    ["case 23: maxBackoff abcs", config({ maxBackoff: "abcs" }), `${policy}.maxBackoff`],
    ["case 23: maxBackoff 123", config({ maxBackoff: "123" }), `${policy}.maxBackoff`],
    ["case 24: initialBackoff 0s", config({ initialBackoff: "0s" }), `${policy}.initialBackoff`],
    ["case 24: maxBackoff 0s", config({ maxBackoff: "0s" }), `${policy}.maxBackoff`],
    ["case 25: no backoffMultiplier", without("backoffMultiplier"), `${policy}.backoffMultiplier`],
    ["case 25: backoffMultiplier -1", config({ backoffMultiplier: -1 }), `${policy}.backoffMultiplier`],
    ["case 25: backoffMultiplier 0", config({ backoffMultiplier: 0 }), `${policy}.backoffMultiplier`],
    ["case 26: no retryableStatusCodes", without("retryableStatusCodes"), `${policy}.retryableStatusCodes`],
    ["case 26: an empty list", config({ retryableStatusCodes: [] }), `${policy}.retryableStatusCodes[0]`],
    ["case 27: abcd", config({ retryableStatusCodes: ["abcd"] }), `${policy}.retryableStatusCodes[0]`],
    ["case 27: 12345", config({ retryableStatusCodes: [14, 12345] }), `${policy}.retryableStatusCodes[1]`],
    ["case 29: a hedge of no said number of attempts", hedging({ hedgingDelay: "1s" }), `${hedge}.maxAttempts`],
    ["case 29: a hedge of one attempt", hedging({ maxAttempts: 1 }), `${hedge}.maxAttempts`],
    ["a hedge of \"2\" attempts", hedging({ maxAttempts: "2" }), `${hedge}.maxAttempts`],
    ["case 30: a hedge after abcs", hedging({ maxAttempts: 2, hedgingDelay: "abcs" }), `${hedge}.hedgingDelay`],
    ["case 30: a hedge after 123", hedging({ maxAttempts: 2, hedgingDelay: "123" }), `${hedge}.hedgingDelay`],
    [
      "case 31: a hedge with the code abcd",
      hedging({ maxAttempts: 2, nonFatalStatusCodes: [14, "abcd"] }),
      `${hedge}.nonFatalStatusCodes[1]`
    ],
    [
      "case 31: a hedge with the code 12345",
      hedging({ maxAttempts: 2, nonFatalStatusCodes: [12345] }),
      `${hedge}.nonFatalStatusCodes[0]`
    ],
    [
      "hedging and retries of one method",
      { methodConfig: [{ name: [{}], retryPolicy, hedgingPolicy: { maxAttempts: 2 } }] },
      hedge
    ],
    ["case 33: no maxTokens", { retryThrottling: { tokenRatio: 0.1 } }, "retryThrottling.maxTokens"],
    ["case 33: maxTokens 0", { retryThrottling: { maxTokens: 0, tokenRatio: 0.1 } }, "retryThrottling.maxTokens"],
    ["case 33: maxTokens 1001", { retryThrottling: { maxTokens: 1001, tokenRatio: 0.1 } }, "retryThrottling.maxTokens"],
    ["case 34: no tokenRatio", { retryThrottling: { maxTokens: 10 } }, "retryThrottling.tokenRatio"],
    ["case 34: tokenRatio 0", { retryThrottling: { maxTokens: 10, tokenRatio: 0 } }, "retryThrottling.tokenRatio"],
    ["a method without a service", { methodConfig: [{ name: [{ method: "Unary" }] }] }, "methodConfig[0].name[0]"],
    [
      "a name that was said before",
      { methodConfig: [{ name: [{ service: "A" }] }, { name: [{ service: "B" }, { service: "A" }] }] },
      "methodConfig[1].name[1]"
    ],
    ["a bad timeout beside no names", { methodConfig: [{ name: [], timeout: "1" }] }, "methodConfig[0].timeout"],
    ["a bad timeout", { methodConfig: [{ name: [{}], timeout: "1" }] }, "methodConfig[0].timeout"],
    ["maxAttempts beyond 32 bits", config({ maxAttempts: 1e16 }), `${policy}.maxAttempts`],
    ["a backoff beyond all bounds", config({ initialBackoff: `${"9".repeat(400)}s` }), `${policy}.initialBackoff`],
    [
      "a timeout beyond all bounds",
      { methodConfig: [{ name: [{}], timeout: `${"9".repeat(400)}s` }] },
      "methodConfig[0].timeout"
    ],
    ["a service that is no name", { methodConfig: [{ name: [{ service: "a b" }] }] }, "methodConfig[0].name[0]"],
    ["what is no JSON", "{", "the document"]
  ]
  for (const [name, config, path] of invalid) {
    it.effect(`refuses ${name}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(build(config))
        assert.instanceOf(error, InvalidOption)
        assert.strictEqual(error.field, path)
        assert.include(error.message, "RpcRetry.layerServiceConfig: ")
      }))
  }
})
