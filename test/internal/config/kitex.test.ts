/**
 * Kitex's failure, backup and mixed policies, by the cases of Kitex's own tests, which are numbered here; where the meaning here differs it says so.
 */
import {
  InvalidOption,
  Retryable,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const stopPolicy = { max_retry_times: 2, max_duration_ms: 0, disable_chain_stop: false, cb_policy: { error_rate: 0.1 } }

const failure = (stop: object = {}, more: object = {}) => ({
  enable: true,
  type: 0,
  failure_policy: { stop_policy: { ...stopPolicy, ...stop }, ...more }
})

const backOff = (backoff_type: string, cfg_items?: object) =>
  failure({}, { backoff_policy: { backoff_type, cfg_items } })

const decoded = (document: unknown) => Either.getOrThrow(RetryPolicy.fromKitex(document))

const timeout = Effect.fail(new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" }))

const attemptsOf = (method: string, call: Effect.Effect<unknown, Retryable> = timeout) =>
  Effect.gen(function*() {
    const script = yield* Faults.script([call])
    yield* Effect.ignore(script.pipe(withRpcRetry({ method })))
    return yield* script.attempts
  })

const refuses = (document: unknown, field: string, problem: string) => {
  const error = Either.getOrThrow(Either.flip(RetryPolicy.fromKitex(document)))
  assert.instanceOf(error, InvalidOption)
  assert.strictEqual(error.field, field)
  assert.include(error.problem, problem)
}

describe("failure policies as documents", () => {
  it("case 25: a valid failure policy", () => {
    assert.strictEqual(decoded(failure()).retryRatio, 0.1)
    assert.strictEqual(decoded(JSON.stringify(failure({ cb_policy: { error_rate: 0.3 } }))).retryRatio, 0.3)
  })

  it("case 26, stricter here: an empty failure policy is refused, as it says nothing", () => {
    refuses({ enable: true, type: 0, failure_policy: {} }, "failure_policy.stop_policy", "is missing")
  })

  it("cases 27, 28: a policy of another kind, or none", () => {
    refuses({ enable: true, type: 0, mixed_policy: { retry_delay_ms: 10 } }, "failure_policy", "is missing")
    refuses({ enable: true, type: 0 }, "failure_policy", "is missing")
    refuses({ enable: true, type: 0, failure_policy: null }, "failure_policy", "is missing")
  })

  it("a failure policy that is no object, and a type that does not exist, are refused", () => {
    refuses({ ...failure(), failure_policy: [] }, "failure_policy", "must be")
    refuses({ ...failure(), failure_policy: 5 }, "failure_policy", "must be")
    refuses({ ...failure(), type: 3 }, "type", "must be 0, 1 or 2: a failure, backup or mixed policy; got 3")
  })

  it.effect("cases 30, 31, 52: with policies of other kinds and unknown keys beside it the failure policy is used", () =>
    Effect.gen(function*() {
      const { policy } = decoded({ ...failure(), backup_policy: { retry_delay_ms: 10 }, unknown: [1] })
      const { exit } = yield* play(withRpcRetry(timeout, policy))
      assert.strictEqual(exhaustedOf(exit).attempts, 3)
    }))

  it("cases 57, 63: retries from 0 to 5", () => {
    for (const [n, path] of [[-1, "-1"], [6, "6"], [1.5, "1.5"]] as const) {
      refuses(failure({ max_retry_times: n }), "failure_policy.stop_policy.max_retry_times", `from 0 to 5, got ${path}`)
    }
    decoded(failure({ max_retry_times: 0 }))
    decoded(failure({ max_retry_times: 5 }))
  })

  it("cases 57, 62, stricter here: an error rate out of range is refused, not replaced", () => {
    for (const error_rate of [0.5, 0.4, -0.1, 0]) {
      refuses(
        failure({ cb_policy: { error_rate } }),
        "failure_policy.stop_policy.cb_policy.error_rate",
        `must be greater than 0 and at most 0.3, got ${error_rate}`
      )
    }
  })

  it("case 64, stricter here: a backoff without its numbers is refused", () => {
    const cfg = "failure_policy.backoff_policy.cfg_items"
    refuses(backOff("fixed"), cfg, "must be")
    refuses(backOff("fixed", { fix_ms: 0 }), `${cfg}.fix_ms`, "must be an integer from 1")
    refuses(backOff("fixed", { fix_ms: -5 }), `${cfg}.fix_ms`, "must be an integer from 1")
    refuses(backOff("random"), cfg, "must be")
    refuses(backOff("random", { min_ms: 20, max_ms: 10 }), `${cfg}.max_ms`, "must be greater than min_ms")
    refuses(backOff("random", { min_ms: 20, max_ms: 20 }), `${cfg}.max_ms`, "must be greater than min_ms")
    refuses(
      backOff("exponential", { initial_ms: 1, multiplier: 2 }),
      "failure_policy.backoff_policy.backoff_type",
      "exponential"
    )
  })

  it("case 65, and 1 to 3: the delays of the three backoffs", () => {
    const delays = (document: unknown, seed: string) =>
      Effect.runSync(
        RetrySchedule.delays(decoded(document).policy.schedule!, 9).pipe(Effect.withRandom(Random.make(seed)))
      )
        .map(Duration.toMillis)
    assert.deepStrictEqual(delays(failure(), ""), [0, 0])
    assert.deepStrictEqual(delays(backOff("none"), ""), [0, 0])
    assert.deepStrictEqual(delays(backOff("fixed", { fix_ms: 50 }), ""), [50, 50])
    for (let seed = 0; seed < 100; seed++) {
      assert.isTrue(
        delays(backOff("random", { min_ms: 10, max_ms: 20 }), String(seed)).every((d) => d >= 10 && d <= 20)
      )
    }
  })

  it.effect("case 24: a timeout, then success: exactly 2 attempts", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([timeout, Effect.succeed("ok")])
      assert.strictEqual(yield* call.pipe(withRpcRetry(decoded(failure()).policy)), "ok")
      assert.strictEqual(yield* call.attempts, 2)
    }))

  it.effect("case 56: only timeouts are retried, unless a condition says otherwise", () =>
    Effect.gen(function*() {
      const { policy } = decoded(failure())
      const ends = (call: Effect.Effect<never, Retryable>, options: RpcRetry.Options) =>
        Effect.map(
          play(withRpcRetry(call, options)),
          ({ exit }) => [exhaustedOf(exit).attempts, exhaustedOf(exit).reason]
        )
      assert.deepStrictEqual(yield* ends(timeout, policy), [3, "AttemptsExhausted"])
      assert.deepStrictEqual(yield* ends(Faults.reset, policy), [1, "NotRetried"])
      const notForTimeout = (error: Retryable) => error.reason !== "AttemptTimeout"
      assert.deepStrictEqual(yield* ends(timeout, { ...policy, retryIf: notForTimeout }), [1, "NotRetried"])
    }))

  it.effect("max_duration_ms is the deadline, and bounds the last delay and attempt too", () =>
    Effect.gen(function*() {
      const document = failure({ max_duration_ms: 120 }, {
        backoff_policy: { backoff_type: "fixed", cfg_items: { fix_ms: 100 } }
      })
      const { exit, took } = yield* play(withRpcRetry(Effect.delay(timeout, 50), decoded(document).policy))
      assert.deepStrictEqual([exhaustedOf(exit).reason, took], ["DeadlineTooClose", 50])
    }))

  it.effect("cases 70, 71: a call that must not be retried is made exactly once", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([timeout])
      yield* Effect.ignore(call.pipe(withRpcRetry({ ...decoded(failure()).policy, retryIf: () => false })))
      assert.strictEqual(yield* call.attempts, 1)
      yield* Effect.ignore(call.pipe(withRpcRetry(decoded(failure({ max_retry_times: 0 })).policy)))
      assert.strictEqual(yield* call.attempts, 2)
    }))
})

const hedging = (type: 1 | 2, delay: number, stop: object = {}, more: object = {}) => ({
  enable: true,
  type,
  [type === 1 ? "backup_policy" : "mixed_policy"]: {
    retry_delay_ms: delay,
    stop_policy: { ...stopPolicy, ...stop },
    ...more
  }
})

const backup = (delay: number, stop?: object) => hedging(1, delay, stop)

const fixed = (fix_ms: number) => ({ backoff_policy: { backoff_type: "fixed", cfg_items: { fix_ms } } })

/** Attempts that end so after so long. */
type Attempts = ReadonlyArray<readonly [millis: number, end: Effect.Effect<string, Retryable>]>

const ok = Effect.succeed("ok")

/** How a call of such attempts ends once there is load for its legs, how many are made and cut, and how long it takes. */
const hedged = (document: unknown, attempts: Attempts, options: RpcRetry.Options = {}) =>
  Effect.gen(function*() {
    const call = yield* Faults.script(
      attempts.map(([millis, end]) => Effect.delay(end, millis)) as [Effect.Effect<string, Retryable>]
    )
    const layer = RpcRetry.layer({ default: decoded(document).policy, budget: "off" })
    const retried = withRpcRetry({ ...options, logs: false })
    const { exit, took } = yield* Effect.replicateEffect(ok.pipe(retried), 50).pipe(
      Effect.andThen(play(call.pipe(retried))),
      Effect.provide(layer)
    )
    const end = exit._tag === "Success" ? exit.value : exhaustedOf(exit).reason
    return { end, attempts: yield* call.attempts, cut: yield* call.interrupted, took }
  })

describe("backup and mixed policies as documents", () => {
  it("cases 35, 50, 75: are read with their delay and their retries, whatever stands beside them", () => {
    decoded(backup(10))
    decoded(hedging(2, 10))
    decoded({ ...failure(), ...hedging(2, 10), backup_policy: {}, unknown: [1] })
    assert.strictEqual(decoded(backup(10, { cb_policy: { error_rate: 0.2 } })).retryRatio, 0.2)
    assert.strictEqual(decoded(JSON.stringify(hedging(2, 10, {}, fixed(5)))).retryRatio, 0.1)
  })

  it("cases 29, 35, 50, 60: the policy of another type, or none, is refused with the name of the one that is missing", () => {
    refuses({ ...failure(), type: 1 }, "backup_policy", "is missing, and the type is 1")
    refuses({ ...hedging(2, 10), type: 1 }, "backup_policy", "is missing, and the type is 1")
    refuses({ ...failure(), type: 2 }, "mixed_policy", "is missing, and the type is 2")
    refuses({ enable: true, type: 2, backup_policy: {} }, "mixed_policy", "is missing, and the type is 2")
    refuses({ enable: true, type: 2, mixed_policy: null }, "mixed_policy", "is missing, and the type is 2")
  })

  it("case 61: a delay of zero, or none, is refused with its path", () => {
    for (const [type, field] of [[1, "backup_policy"], [2, "mixed_policy"]] as const) {
      refuses(hedging(type, 0), `${field}.retry_delay_ms`, "must be an integer from 1")
      refuses(hedging(type, -5), `${field}.retry_delay_ms`, "must be an integer from 1")
      refuses({ enable: true, type, [field]: { stop_policy: stopPolicy } }, `${field}.retry_delay_ms`, "is missing")
      refuses({ enable: true, type, [field]: { retry_delay_ms: 5 } }, `${field}.stop_policy`, "is missing")
      refuses({ enable: true, type, [field]: [] }, field, "must be")
    }
  })

  it("case 57: a backup policy has 2 retries at most, a mixed one 3", () => {
    decoded(backup(5, { max_retry_times: 2 }))
    decoded(hedging(2, 5, { max_retry_times: 3 }))
    refuses(backup(5, { max_retry_times: 3 }), "backup_policy.stop_policy.max_retry_times", "from 0 to 2, got 3")
    refuses(hedging(2, 5, { max_retry_times: 4 }), "mixed_policy.stop_policy.max_retry_times", "from 0 to 3, got 4")
    refuses(hedging(2, 5, { max_retry_times: -1 }), "mixed_policy.stop_policy.max_retry_times", "from 0 to 3, got -1")
  })

  it("cases 62, 64, stricter here: a bad error rate or backoff is refused with its path", () => {
    const rate = { cb_policy: { error_rate: 0.4 } }
    refuses(backup(5, rate), "backup_policy.stop_policy.cb_policy.error_rate", "at most 0.3, got 0.4")
    const backoff_policy = { backoff_type: "random", cfg_items: { min_ms: 20, max_ms: 10 } }
    refuses(
      hedging(2, 5, {}, { backoff_policy }),
      "mixed_policy.backoff_policy.cfg_items.max_ms",
      "must be greater than min_ms"
    )
  })

  it.effect("case 50: a disabled one makes one attempt", () =>
    Effect.gen(function*() {
      const result = yield* hedged({ ...backup(10), enable: false }, [[50, ok]])
      assert.deepStrictEqual(result, { end: "ok", attempts: 1, cut: 0, took: 50 })
    }))

  it.effect("say in numbers what they come to, and that the method may run twice", () =>
    Effect.gen(function*() {
      const { policy } = decoded(hedging(2, 30, { cb_policy: { error_rate: 0.2 } }, fixed(5)))
      assert.strictEqual(policy.idempotent, true)
      const description = yield* RetryPolicy.describe(policy)
      assert.deepStrictEqual(description.hedge, { after: Duration.millis(30), max: 3, load: 0.2 })
      assert.include(RetryPolicy.show(description), "another attempt after 30ms, 3 in flight, adds 20 % at most")
      assert.deepStrictEqual(description.retried, ["AttemptTimeout"])
      assert.deepStrictEqual((yield* RetryPolicy.describe(decoded(backup(30)).policy)).retried, [])
    }))
})

describe("a call with a backup policy", () => {
  it.effect("cases 9, 33, 34: a slow first attempt is made twice, and the first answer is taken", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* hedged(backup(10), [[15, ok], [100, ok]]),
        { end: "ok", attempts: 2, cut: 1, took: 15 }
      )
      assert.deepStrictEqual(
        yield* hedged(backup(10, { max_retry_times: 1 }), [[100, ok], [100, ok]]),
        { end: "ok", attempts: 2, cut: 1, took: 100 }
      )
      assert.deepStrictEqual(
        yield* hedged(backup(30), [[50, ok], [10, Effect.succeed("second")]]),
        { end: "second", attempts: 2, cut: 1, took: 40 }
      )
      const third = yield* hedged(backup(30), [[200, ok], [100, Effect.succeed("second")], [90, ok]])
      assert.deepStrictEqual(third, { end: "second", attempts: 3, cut: 2, took: 130 })
    }))

  it.effect("cases 11, 16: a failure is not retried, whatever it is", () =>
    Effect.gen(function*() {
      const result = yield* hedged(backup(10), [[5, timeout], [5, ok]])
      assert.deepStrictEqual(result, { end: "NotRetried", attempts: 1, cut: 0, took: 5 })
    }))

  it.effect("a failure does not end a call whose other attempt is in flight, as it does in Kitex", () =>
    Effect.gen(function*() {
      const result = yield* hedged(backup(10, { max_retry_times: 1 }), [[30, Faults.reset], [60, ok]])
      assert.deepStrictEqual(result, { end: "ok", attempts: 2, cut: 0, took: 70 })
    }))

  it.effect("case 71: with 0 retries a slow call is made exactly once", () =>
    Effect.gen(function*() {
      const result = yield* hedged(backup(10, { max_retry_times: 0 }), [[500, ok]])
      assert.deepStrictEqual(result, { end: "ok", attempts: 1, cut: 0, took: 500 })
    }))

  it.effect("makes one attempt of a call that must not run twice", () =>
    Effect.gen(function*() {
      const result = yield* hedged(backup(10), [[500, ok]], { idempotent: false })
      assert.deepStrictEqual(result, { end: "ok", attempts: 1, cut: 0, took: 500 })
    }))

  it.effect("case 142: all of 300 calls succeed where one in ten is slow", () =>
    Effect.gen(function*() {
      let calls = 0
      const call = Effect.suspend(() => Effect.delay(ok, ++calls % 10 === 0 ? 100 : 1))
      const all = Effect.replicateEffect(call.pipe(withRpcRetry({ ...decoded(backup(5)).policy, logs: false })), 300)
      const { exit } = yield* play(all)
      assert.deepStrictEqual(new Set(Effect.runSync(exit)), new Set(["ok"]))
      assert.isAtMost(calls, 330)
      assert.isAtLeast(calls, 320)
    }))

  it.effect("cases 145, 146, by its load: of slow calls a tenth is made twice, and more when an update raises it", () =>
    Effect.gen(function*() {
      let attempts = 0
      const slow = Effect.suspend(() => {
        attempts++
        return Effect.delay(ok, 100)
      }).pipe(withRpcRetry({ method: "A.B", logs: false }))
      const limited = (error_rate: number) =>
        RpcRetry.update("A.B", decoded(backup(10, { cb_policy: { error_rate } })).policy, { replace: true })
      const calls = (count: number) => Effect.replicateEffect(slow, count, { discard: true })
      const { exit } = yield* play(
        limited(0.1).pipe(
          Effect.andThen(calls(50)),
          Effect.andThen(Effect.sync(() => attempts)),
          Effect.tap(limited(0.3)),
          Effect.flatMap((before) => Effect.map(calls(50), () => [before, attempts - before])),
          Effect.provide(RpcRetry.layer({ budget: "off" }))
        )
      )
      assert.deepStrictEqual(exit, Exit.succeed([55, 65]))
    }))
})

describe("a call with a mixed policy", () => {
  const timed = { attemptTimeout: "200 millis" } as const

  it.effect("cases 42, 43: is hedged when it is slow, where a failure policy would wait for the timeout", () =>
    Effect.gen(function*() {
      const attempts: Attempts = [[300, ok], [150, ok]]
      const mixed = yield* hedged(hedging(2, 100, { max_retry_times: 1 }), attempts, timed)
      assert.deepStrictEqual(mixed, { end: "ok", attempts: 2, cut: 1, took: 250 })
      assert.strictEqual((yield* hedged(failure(), attempts, timed)).took, 350)
      const later = { attemptTimeout: "300 millis" } as const
      const slower: Attempts = [[310, ok], [150, ok]]
      assert.strictEqual((yield* hedged(hedging(2, 100, { max_retry_times: 1 }), slower, later)).took, 250)
      assert.strictEqual((yield* hedged(backup(100, { max_retry_times: 1 }), slower, later)).took, 250)
      assert.strictEqual((yield* hedged(failure(), slower, later)).took, 450)
    }))

  it.effect("case 44: makes no more attempts than a failure policy when all of them time out, in less time", () =>
    Effect.gen(function*() {
      const never: Attempts = [[1000, ok]]
      const mixed = yield* hedged(hedging(2, 60), never, { attemptTimeout: "100 millis" })
      assert.deepStrictEqual([mixed.end, mixed.attempts, mixed.took], ["AttemptsExhausted", 3, 200])
      const retried = yield* hedged(failure(), never, { attemptTimeout: "100 millis" })
      assert.deepStrictEqual([retried.end, retried.attempts, retried.took], ["AttemptsExhausted", 3, 300])
    }))

  it.effect("cases 46 to 49: delays retries by its backoff, and answers by nothing", () =>
    Effect.gen(function*() {
      const document = hedging(2, 300, {}, fixed(100))
      const first = yield* hedged(document, [[100, ok]])
      assert.deepStrictEqual([first.attempts, first.took], [1, 100])
      const second = yield* hedged(document, [[150, timeout], [100, ok]])
      assert.deepStrictEqual([second.attempts, second.took], [2, 350])
      const third = yield* hedged(document, [[150, timeout], [150, timeout], [100, ok]])
      assert.deepStrictEqual([third.attempts, third.took], [3, 600])
      const none = yield* hedged(document, [[150, timeout]])
      assert.deepStrictEqual([none.end, none.attempts, none.took], ["AttemptsExhausted", 3, 650])
      // Kitex delivers this answer after 330 ms
      const beside = yield* hedged(hedging(2, 30, {}, fixed(300)), [[55, ok]])
      assert.deepStrictEqual([beside.attempts, beside.took], [2, 55])
    }))

  it.effect("cases 38 to 40, 45: retries timeouts only, unless a condition says otherwise", () =>
    Effect.gen(function*() {
      const lost = yield* hedged(hedging(2, 100), [[5, Faults.reset], [5, ok]])
      assert.deepStrictEqual([lost.end, lost.attempts], ["NotRetried", 1])
      const wider = yield* hedged(hedging(2, 100), [[5, Faults.reset], [5, ok]], { retryIf: () => true })
      assert.deepStrictEqual([wider.end, wider.attempts], ["ok", 2])
      const each: Attempts = [[250, Faults.reset], [250, Faults.reset], [250, ok]]
      const three = yield* hedged(hedging(2, 100, { max_retry_times: 3 }), each, { retryIf: () => true })
      assert.deepStrictEqual([three.end, three.took], ["ok", 450])
    }))

  it.effect("max_duration_ms abandons no attempt that is in flight before it has passed", () =>
    Effect.gen(function*() {
      const result = yield* hedged(hedging(2, 25, { max_duration_ms: 80 }), [[60, ok]])
      assert.deepStrictEqual([result.end, result.took], ["ok", 60])
    }))
})

describe("policies in a container", () => {
  it.effect("case 68: one method is retried by its failure policy, another is hedged by the backup policy of *", () =>
    Effect.gen(function*() {
      const slow = yield* Faults.script([Effect.delay(ok, 100)])
      yield* Effect.replicateEffect(ok.pipe(withRpcRetry({ method: "A.C" })), 20)
      yield* play(slow.pipe(withRpcRetry({ method: "A.C", logs: false })))
      assert.strictEqual(yield* slow.attempts, 3)
      assert.strictEqual(yield* attemptsOf("A.B"), 3)
      const late = yield* Faults.script([Effect.delay(ok, 100)])
      yield* play(late.pipe(withRpcRetry({ method: "A.B", hedge: "off" })))
      assert.strictEqual(yield* late.attempts, 1)
    }).pipe(
      Effect.provide(RpcRetry.layer({
        budget: "off",
        methods: {
          "*": decoded(backup(10)).policy,
          "A.B": RetryPolicy.merge(decoded(failure()).policy, RetryPolicy.make({ hedge: "off" }))
        }
      }))
    ))

  it.effect("case 59: an update changes the type of a policy while the program runs", () =>
    Effect.gen(function*() {
      const slow = (expected: number) =>
        Effect.gen(function*() {
          const call = yield* Faults.script([Effect.delay(ok, 100)])
          yield* Effect.replicateEffect(ok.pipe(withRpcRetry({ method: "A.B" })), 20)
          yield* play(call.pipe(withRpcRetry({ method: "A.B", logs: false })))
          assert.strictEqual(yield* call.attempts, expected)
        })
      yield* RpcRetry.update("A.B", decoded(failure()).policy, { replace: true })
      yield* slow(1)
      yield* RpcRetry.update("A.B", decoded(backup(10)).policy, { replace: true })
      yield* slow(3)
      yield* RpcRetry.update("A.B", decoded({ ...backup(10), enable: false }).policy, { replace: true })
      yield* slow(1)
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off" }))))

  const enabled = decoded(failure()).policy
  const disabled = decoded({ enable: false }).policy

  it.effect("cases 52, 58: enabled, disabled in place, enabled again", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("A.B", enabled)
      assert.strictEqual(yield* attemptsOf("A.B"), 3)
      yield* RpcRetry.update("A.B", disabled)
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
      yield* RpcRetry.update("A.B", enabled)
      assert.strictEqual(yield* attemptsOf("A.B"), 3)
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: RetryPolicy.none }))))

  it.effect("case 53: a disabled policy has an entry, and shadows *", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("A.B", disabled)
      assert.deepStrictEqual((yield* RpcRetry.policies).map(({ name }) => name), ["default", "*", "A.B"])
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
      assert.strictEqual(yield* attemptsOf("A.C"), 3)
    }).pipe(Effect.provide(RpcRetry.layer({ methods: { "*": enabled } }))))

  it.effect("case 54: an update of retries and backoff is in effect", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("A.B", enabled)
      const updated = decoded({
        enable: true,
        failure_policy: {
          stop_policy: { max_retry_times: 3 },
          backoff_policy: { backoff_type: "fixed", cfg_items: { fix_ms: 40 } }
        }
      })
      yield* RpcRetry.update("A.B", updated.policy)
      const { took } = yield* play(withRpcRetry(timeout, { method: "A.B" }))
      assert.strictEqual(took, 120)
    }).pipe(Effect.provide(RpcRetry.layer())))

  it.effect("case 66: a bad policy is an error, and removing what is not there is harmless", () =>
    Effect.gen(function*() {
      yield* RpcRetry.remove("No.Such")
      const error = yield* Effect.flip(RpcRetry.update("A.B", { attemptTimeout: -1 }))
      assert.strictEqual(error.field, "A.B.attemptTimeout")
      assert.deepStrictEqual((yield* RpcRetry.policies).map(({ name }) => name), ["default"])
    }).pipe(Effect.provide(RpcRetry.layer())))

  it.effect("case 67: the dump shows each policy and where it was said", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("A.B", enabled)
      const dump = (yield* RpcRetry.policies).map((
        { from, name }
      ) => [name, from.schedule, from.retryIf, from.deadline])
      assert.deepStrictEqual(dump, [
        ["default", "library", undefined, "default"],
        ["A.B", "A.B", "A.B", "default"]
      ])
    }).pipe(Effect.provide(RpcRetry.layer({ default: { deadline: 1000 } }))))

  it.effect("case 68: one policy for a method, another for *", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("A.B"), 3)
      assert.strictEqual(yield* attemptsOf("C.D"), 2)
    }).pipe(
      Effect.provide(
        RpcRetry.layer({ methods: { "A.B": enabled, "*": decoded(failure({ max_retry_times: 1 })).policy } })
      )
    ))

  it.effect("case 69: without a policy a success passes, and a timeout is returned after exactly 1 call", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("A.B", Effect.void), 1)
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: RetryPolicy.none }))))

  it.effect("case 14: with a budget the first calls are retried, those after it are refused", () =>
    Effect.gen(function*() {
      const call = Effect.flatMap(Faults.script([timeout, Effect.void]), withRpcRetry({ method: "A.B" }))
      const ends = yield* Effect.replicateEffect(
        Effect.map(
          Effect.either(call),
          (end) => end._tag === "Right" ? "ok" : String(end.left._tag === "RetryExhausted" && end.left.reason)
        ),
        10
      )
      assert.deepStrictEqual(ends, [...Array<string>(5).fill("ok"), ...Array<string>(5).fill("BudgetExhausted")])
    }).pipe(
      Effect.provide(RpcRetry.layer({
        default: enabled,
        budget: RetryBudget.make({ ratio: decoded(failure()).retryRatio, capacity: 5 })
      }))
    ))
})

describe("circuit breakers as documents", () => {
  const disabled = { enable: false }
  const breakerOf = (breaker?: unknown) => Either.getOrThrow(RetryPolicy.fromKitex(disabled, breaker)).breaker
  const timeouts = (n: number, method = "A.B") =>
    Effect.replicateEffect(
      Effect.map(Effect.flip(timeout.pipe(withRpcRetry({ method }))), (end) => end._tag),
      n
    )
  const withBreaker = (breaker: unknown) =>
    Effect.provide(RpcRetry.layer({ default: RetryPolicy.none, budget: "off", breaker: breakerOf(breaker) }))

  it("a document that is disabled, or none, is no breaker (Kitex breaker 88)", () => {
    assert.strictEqual(breakerOf(), "off")
    assert.strictEqual(breakerOf({ enable: false, err_rate: 0.1, min_sample: 1 }), "off")
    assert.strictEqual(breakerOf("{ \"enable\": false }"), "off")
  })

  it.effect("a document that is enabled lets calls pass while it is closed, and turns them away when it is open (Kitex breaker 89, 90)", () =>
    Effect.gen(function*() {
      const ends = yield* timeouts(12).pipe(withBreaker({ enable: true, err_rate: 0.5, min_sample: 10, extra: 1 }))
      assert.deepStrictEqual(ends, [
        ...Array<string>(10).fill("RetryExhausted"),
        ...Array<string>(2).fill("CallRejected")
      ])
    }))

  for (
    const [number, document, made] of [
      [95, { enable: true }, 200],
      [98, { enable: true, err_rate: 0.1, min_sample: 100 }, 100],
      [99, JSON.stringify({ enable: true, err_rate: 0.5, min_sample: 100 }), 100]
    ] as const
  ) {
    it.effect(`of ${made} timeouts the last opens the breaker of ${JSON.stringify(document)} (Kitex breaker ${number})`, () =>
      Effect.gen(function*() {
        const ends = yield* timeouts(300).pipe(withBreaker(document))
        assert.strictEqual(ends.indexOf("CallRejected"), made)
        assert.strictEqual(ends.filter((end) => end === "RetryExhausted").length, made)
      }))
  }

  it.effect("failures that leave its window of 10 seconds do not count", () =>
    Effect.gen(function*() {
      yield* timeouts(9)
      yield* TestClock.adjust("11 seconds")
      assert.notInclude(yield* timeouts(10), "CallRejected")
      assert.deepStrictEqual(yield* timeouts(1), ["CallRejected"])
    }).pipe(withBreaker({ enable: true, min_sample: 10 })))

  it.effect("switched off for a method while it is open, calls are made again; switched on again it is still open (Kitex breaker 96)", () =>
    Effect.gen(function*() {
      yield* timeouts(10)
      assert.deepStrictEqual(yield* timeouts(1), ["CallRejected"])
      yield* RpcRetry.update("A.B", { breaker: "off" })
      assert.deepStrictEqual(yield* timeouts(2), ["RetryExhausted", "RetryExhausted"])
      yield* RpcRetry.remove("A.B")
      assert.deepStrictEqual(yield* timeouts(1), ["CallRejected"])
    }).pipe(withBreaker({ enable: true, min_sample: 10 })))

  it.effect("it opens for 5 seconds, and up to 30 % more; two probes that succeed close it (Kitex breaker 97, 105a)", () =>
    Effect.gen(function*() {
      const stateOf = Effect.map(
        RpcRetry.inspect,
        ({ breakers }) => breakers.find(({ destination }) => destination === "A")!.state
      )
      const ok = Effect.void.pipe(withRpcRetry({ method: "A.B" }))
      yield* timeouts(10)
      yield* TestClock.adjust(4999)
      assert.strictEqual(yield* stateOf, "Open")
      yield* TestClock.adjust(1501)
      yield* ok
      assert.strictEqual(yield* stateOf, "HalfOpen")
      yield* ok
      assert.strictEqual(yield* stateOf, "Ramping")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* stateOf, "Closed")
    }).pipe(withBreaker({ enable: true, min_sample: 10 })))

  it.effect("a probe that fails opens it again (Kitex breaker 105a)", () =>
    Effect.gen(function*() {
      yield* timeouts(10)
      yield* TestClock.adjust(6500)
      assert.deepStrictEqual(yield* timeouts(2), ["RetryExhausted", "CallRejected"])
    }).pipe(withBreaker({ enable: true, min_sample: 10 })))

  it("stricter here: numbers out of range are refused, with the path", () => {
    for (
      const [document, field, problem] of [
        ["{", "breaker", "is not JSON"],
        [{}, "breaker.enable", "is missing"],
        [[], "breaker", "must be an object"],
        [{ enable: true, err_rate: 0 }, "breaker.err_rate", "must be greater than 0 and at most 1, got 0"],
        [{ enable: true, err_rate: 1.1 }, "breaker.err_rate", "must be greater than 0 and at most 1, got 1.1"],
        [{ enable: true, err_rate: "0.5" }, "breaker.err_rate", "must be a number"],
        [{ enable: true, min_sample: 0 }, "breaker.min_sample", "must be an integer from 1 to"],
        [{ enable: true, min_sample: 1.5 }, "breaker.min_sample", "must be an integer from 1 to"]
      ] as const
    ) {
      const error = Either.getOrThrow(Either.flip(RetryPolicy.fromKitex(disabled, document)))
      assert.strictEqual(error.field, field)
      assert.include(error.problem, problem)
    }
  })

  it("a failure policy that is wrong is told of first", () => {
    const error = Either.getOrThrow(Either.flip(RetryPolicy.fromKitex({}, {})))
    assert.strictEqual(error.field, "enable")
  })
})

describe("presets against the numbers of their sources", () => {
  const described = (policy: RetryPolicy.RetryPolicy) =>
    Effect.map(RetryPolicy.describe(policy), ({ attempts, delays, retried }) => ({
      attempts,
      delays: delays.map(({ longest, shortest }) => [Duration.toMillis(shortest), Duration.toMillis(longest)]),
      retried
    }))

  it.effect("kitexFailure: 2 retries at once, after timeouts", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* described(RetryPolicy.kitexFailure), {
        attempts: 3,
        delays: [[0, 0], [0, 0]],
        retried: ["AttemptTimeout"]
      })
    }))

  it.effect("aws2026: 3 attempts, below 50 and 100 ms; throttled below 1 and 2 s; the exponent counts all", () =>
    Effect.gen(function*() {
      const aws = yield* described(RetryPolicy.aws2026)
      // described by its worst: throttled
      assert.deepStrictEqual([aws.attempts, aws.delays], [3, [[0, 1000], [0, 2000]]])
      const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })
      const longest = RetrySchedule.delays(RetrySchedule.aws2026, 9).pipe(Effect.withRandom(Random.fixed([1])))
      assert.deepStrictEqual((yield* longest).map(Duration.toMillis), [50, 100])
      const call = yield* Faults.script([Faults.reset, Effect.fail(throttled), Effect.void])
      const { took } = yield* play(call.pipe(withRpcRetry(RetryPolicy.aws2026), Effect.withRandom(Random.fixed([1]))))
      assert.strictEqual(took, 50 + 2000)
    }))

  it.effect("sreTenPercent: 3 attempts a call, and a tenth of retries", () =>
    Effect.gen(function*() {
      const sre = yield* described(RetryPolicy.sreTenPercent)
      assert.deepStrictEqual([sre.attempts, sre.delays], [3, [[0, 100], [0, 200]]])
      // every second call fails once: the budget allows a retry for ten answers, after the 10 it starts with
      let attempts = 0
      const policy = {
        ...RetryPolicy.sreTenPercent,
        schedule: RetrySchedule.retries(RetrySchedule.exponential({ base: 1, cap: 1 }), 2)
      }
      const calls = 1000
      yield* play(
        Effect.forEach(Array.from({ length: calls }), (_, i) =>
          Effect.gen(function*() {
            const call = yield* Faults.script(i % 2 === 0 ? [Faults.reset, Effect.void] : [Effect.void])
            yield* Effect.ignore(call.pipe(withRpcRetry(policy)))
            attempts += yield* call.attempts
          }), { discard: true }).pipe(Effect.provide(RpcRetry.layer({ budget: RetryBudget.make({ capacity: 10 }) })))
      )
      assert.isAtMost(attempts, calls * 1.1 + 10)
      assert.isAtLeast(attempts, calls * 1.04)
    }))
})
