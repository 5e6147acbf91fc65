/**
 * Policies per method, while the program runs, from documents and from the environment.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Deadline,
  InvalidOption,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  RpcCall,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "./support/play.js"

const retries = (n: number) => ({ schedule: Schedule.recurs(n) })

/** How many attempts a call of a method makes under a layer when all of them fail. */
const attemptsOf = (method: string | undefined, options?: RpcRetry.Options) =>
  Effect.map(
    Effect.flip(Faults.refused.pipe(withRpcRetry({ ...options, method }))),
    (error) => error._tag === "RetryExhausted" ? error.attempts : 0
  )

const off = { budget: "off" } as const

describe("policies per method", () => {
  const layer = RpcRetry.layer({
    ...off,
    default: retries(1),
    methods: {
      "*": retries(2),
      "Users.*": retries(3),
      "Users.Admin.*": retries(4),
      "Users.Get": retries(5),
      "Users.Delete": "off"
    }
  })

  it.effect("the exact method, else the longest pattern, else *, and the call itself before all", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.Get"), 6)
      assert.strictEqual(yield* attemptsOf("Users.List"), 4)
      assert.strictEqual(yield* attemptsOf("Users.Admin.List"), 5)
      assert.strictEqual(yield* attemptsOf("Orders.Get"), 3)
      assert.strictEqual(yield* attemptsOf("Users"), 3)
      assert.strictEqual(yield* attemptsOf(undefined), 3)
      assert.strictEqual(yield* attemptsOf("Users.Get", retries(7)), 8)
      assert.strictEqual(yield* attemptsOf("users.get"), 3)
    }).pipe(Effect.provide(layer)))

  it.effect("off for one method shadows * and the patterns", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.Delete"), 1)
      assert.strictEqual(yield* attemptsOf("Users.Delete", retries(1)), 2)
    }).pipe(Effect.provide(layer)))

  it.effect("an RpcCall is found by its own name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Faults.refused.pipe(RpcCall.make({ method: "Users.Get" }), withRpcRetry))
      assert.strictEqual(error._tag === "RetryExhausted" && error.attempts, 6)
    }).pipe(Effect.provide(layer)))

  it.effect("fields merge one by one", () =>
    Effect.gen(function*() {
      const merged = RpcRetry.layer({
        ...off,
        default: { attemptTimeout: 10, maxServerDelay: 1 },
        methods: { "*": { deadline: 1000 }, "A.*": { attemptTimeout: 20 }, "A.B": retries(1) }
      })
      const { exit, took } = yield* play(withRpcRetry(Effect.never, { method: "A.B" }).pipe(Effect.provide(merged)))
      assert.deepStrictEqual([exhaustedOf(exit).attempts, took], [2, 40])
    }))

  it.effect("policies says what is in force, and where each field was said", () =>
    Effect.gen(function*() {
      const inForce = yield* RpcRetry.policies
      const common = { schedule: "*", attemptTimeout: "default", maxServerDelay: "library", budget: "layer" }
      assert.deepStrictEqual(inForce.map(({ from, name }) => [name, from]), [
        ["default", common],
        ["*", common],
        ["A.*", { ...common, deadline: "A.*" }],
        ["A.B", { ...common, attemptTimeout: "A.B", deadline: "A.*" }]
      ])
      assert.strictEqual(Duration.toMillis(inForce[3]!.policy.attemptTimeout!), 5)
      assert.strictEqual(inForce[3]!.policy.budget?.capacity, 10)
    }).pipe(
      Effect.provide(RpcRetry.layer({
        default: { attemptTimeout: 20 },
        methods: { "*": retries(2), "A.*": { deadline: 100 }, "A.B": { attemptTimeout: 5 } }
      }))
    ))

  it("refuses what is no policy and no name, and says where", () => {
    const refuses = (options: RpcRetry.LayerOptions, message: string) =>
      assert.throws(() => RpcRetry.layer(options), InvalidOption, message)
    refuses(
      { methods: { "Users.Get": { deadline: -1 } } },
      "RpcRetry.layer: Users.Get.deadline must not be negative, got -1"
    )
    for (const name of ["", "*.Get", "Us*", "Users. Get", "Users.*.Get", "default"]) {
      refuses({ methods: { [name]: {} } }, `RpcRetry.layer: ${JSON.stringify(name)} is not a method`)
    }
  })
})

describe("budgets of a layer", () => {
  it.effect("one for each destination, shared by its methods", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.Get"), 11)
      assert.strictEqual(yield* attemptsOf("Users.List"), 1)
      assert.strictEqual(yield* attemptsOf("Orders.Get"), 11)
      assert.strictEqual(yield* attemptsOf(undefined), 11)
    }).pipe(Effect.provide(RpcRetry.layer({ default: retries(100) }))))

  it.effect("is made as the layer says; a policy may have another", () =>
    Effect.gen(function*() {
      const shared = yield* RetryBudget.make({ capacity: 5 })
      const layer = RpcRetry.layer({
        default: retries(100),
        budget: RetryBudget.make({ capacity: 2 }),
        methods: { "Users.Get": { budget: shared }, "Orders.*": { budget: RetryBudget.unlimited } }
      })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* attemptsOf("Users.List"), 3)
        assert.strictEqual(yield* attemptsOf("Users.Get"), 6)
        assert.strictEqual(yield* attemptsOf("Orders.Get"), 101)
      }).pipe(Effect.provide(layer))
      assert.strictEqual(yield* shared.level, 0)
    }))

  it("a budget that cannot be made at once is refused", () => {
    for (const budget of [Effect.as(Effect.sleep(1), RetryBudget.unlimited), Effect.die("no")]) {
      assert.throws(
        () => RpcRetry.layer({ budget }),
        InvalidOption,
        "RpcRetry.layer: budget must be an effect that makes"
      )
    }
  })

  it.effect("a thousand destinations have their own, those beyond share one", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(Array.from({ length: 1000 }, (_, i) => i), (i) =>
        Effect.zipRight(withRpcRetry(Effect.void, { method: `S${i}.M` }), Effect.void), { discard: true })
      assert.strictEqual(yield* attemptsOf("S5.M"), 11)
      assert.strictEqual(yield* attemptsOf("S6.M"), 11)
      assert.strictEqual(yield* attemptsOf("S2000.M"), 11)
      assert.strictEqual(yield* attemptsOf("S3000.M"), 1)
    }).pipe(Effect.provide(RpcRetry.layer({ default: retries(100) }))))

  it.effect("each build of a layer has budgets of its own", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({ default: retries(100) })
      assert.strictEqual(yield* attemptsOf("A.B").pipe(Effect.provide(layer)), 11)
      assert.strictEqual(yield* attemptsOf("A.B").pipe(Effect.provide(layer)), 11)
    }))
})

describe("policies while the program runs", () => {
  it.effect("update, off and remove", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("A.B", retries(1))
      assert.strictEqual(yield* attemptsOf("A.B"), 2)
      yield* RpcRetry.update("A.*", "off")
      assert.strictEqual(yield* attemptsOf("A.C"), 1)
      assert.strictEqual(yield* attemptsOf("A.B"), 2)
      yield* RpcRetry.remove("A.B")
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
      yield* RpcRetry.remove("A.*")
      yield* RpcRetry.remove("nothing")
      assert.strictEqual(yield* attemptsOf("A.B"), 4)
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(3) }))))

  it.effect("one call value sees the update at its next run, not before", () =>
    Effect.gen(function*() {
      const started = Effect.unsafeMakeLatch(false)
      const call = Effect.zipRight(started.open, Effect.delay(Faults.refused, 10)).pipe(withRpcRetry({ method: "A.B" }))
      const inFlight = yield* Effect.fork(Effect.flip(call))
      yield* started.await
      yield* RpcRetry.update("A.B", retries(0))
      const next = yield* Effect.fork(Effect.flip(call))
      yield* TestClock.adjust("1 second")
      const attempts = (yield* Fiber.join(Fiber.all([inFlight, next]))).map((e) =>
        e._tag === "RetryExhausted" && e.attempts
      )
      assert.deepStrictEqual(attempts, [4, 1])
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(3) }))))

  it.effect("a bad policy or name is an error and changes nothing", () =>
    Effect.gen(function*() {
      const bad = yield* Effect.flip(RpcRetry.update("A.B", { deadline: NaN }))
      assert.instanceOf(bad, InvalidOption)
      assert.strictEqual(bad.field, "A.B.deadline")
      assert.strictEqual((yield* Effect.flip(RpcRetry.update("*.B", {}))).field, "\"*.B\"")
      assert.strictEqual((yield* RpcRetry.policies).length, 1)
      assert.strictEqual(yield* attemptsOf("A.B"), 4)
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(3) }))))

  it.effect("the level of a budget survives", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("A.B"), 11)
      yield* RpcRetry.update("A.B", retries(50))
      yield* RpcRetry.update("C.D", { deadline: 1000 })
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
    }).pipe(Effect.provide(RpcRetry.layer({ default: retries(100) }))))

  it.effect("without a layer there is nothing to update", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(RpcRetry.update("A.B", "off"))
      assert.strictEqual(error.message, "RpcRetry.update: RpcRetry is not provided by a layer")
      assert.strictEqual((yield* Effect.flip(RpcRetry.remove("A.B"))).where, "RpcRetry.remove")
      assert.strictEqual(yield* attemptsOf("A.B", retries(2)), 3)
    }))

  it.live("1,000 updates under 1,000 concurrent calls: none lost, none sees half a policy", () =>
    Effect.gen(function*() {
      // either both fields are of the one policy or both are of the other
      const one = { ...retries(1), deadline: "1000 seconds" } as const
      const two = { ...retries(2), deadline: "2000 seconds" } as const
      const halves: Array<string> = []
      const call = Effect.suspend(() => {
        let deadline = 0
        const attempt = Effect.flatMap(Deadline.remaining, (left) => {
          deadline ||= left._tag === "Some" ? Math.round(Duration.toSeconds(left.value) / 1000) : 0
          return Effect.delay(Faults.refused, 1)
        })
        return Effect.map(Effect.flip(attempt.pipe(withRpcRetry({ method: "A.B" }))), (error) => {
          const retried = error._tag === "RetryExhausted" ? error.attempts - 1 : -1
          if (retried !== deadline) {
            halves.push(`${retried} retries with the deadline of ${deadline}`)
          }
          return retried
        })
      })
      // a call starts, the policy changes, the next call starts; calls take long enough to be under way together
      const fibers = yield* Effect.forEach(
        Array.from({ length: 1000 }),
        (_, i) =>
          Effect.zipRight(
            RpcRetry.update("A.B", i % 2 === 0 ? one : two),
            Effect.zipLeft(Effect.fork(call), Effect.yieldNow())
          )
      )
      const ended = yield* Fiber.join(Fiber.all(fibers))
      assert.deepStrictEqual(halves, [])
      assert.strictEqual(ended.length, 1000)
      assert.deepStrictEqual(new Set(ended), new Set([1, 2]))
    }).pipe(Effect.provide(RpcRetry.layer(off))))
})

describe("documents", () => {
  const decoded = (document: unknown) => Either.getOrThrow(RetryPolicy.decode(document))
  const delays = (policy: RetryPolicy.RetryPolicy) =>
    Effect.map(RetrySchedule.delays(policy.schedule!, 10), (delays) => delays.map(Duration.toMillis))

  it.effect("a policy, with durations as people write them", () =>
    Effect.gen(function*() {
      const policy = decoded({
        schedule: { base: "50ms", factor: 2, cap: "0.3s", retries: 4 },
        attemptTimeout: "1s",
        deadline: "5 seconds",
        idempotent: false,
        maxServerDelay: 500,
        retryOn: ["Unavailable"]
      })
      assert.deepStrictEqual(yield* delays(policy), [50, 100, 200, 300])
      const millis = [policy.attemptTimeout, policy.deadline, policy.maxServerDelay].map((d) => Duration.toMillis(d!))
      assert.deepStrictEqual(millis, [1000, 5000, 500])
      assert.strictEqual(policy.idempotent, false)
      const { exit } = yield* play(withRpcRetry(Faults.refused, policy))
      assert.strictEqual(exhaustedOf(exit).reason, "NotRetried")
      for (
        const [text, expected] of [["2m", 120_000], ["1h", 3_600_000], ["1.5 minutes", 90_000], ["7 millis", 7], [
          "1us",
          0.001
        ]] as const
      ) {
        assert.strictEqual(Duration.toMillis(decoded({ deadline: text }).deadline!), expected)
      }
      assert.deepStrictEqual(yield* delays(decoded({ schedule: {} })), [100, 150, 225])
      assert.deepStrictEqual(yield* delays(decoded("{ \"schedule\": \"none\" }")), [])
      for (const jitter of ["none", "full", "equal", { proportional: 0.1 }]) {
        assert.strictEqual((yield* delays(decoded({ schedule: { jitter } }))).length, 3)
      }
    }))

  it("property: a document that was decoded is encoded as JSON, and decoded to the same again", () => {
    const duration = FastCheck.option(
      FastCheck.oneof(
        FastCheck.integer({ min: 1, max: 1e9 }),
        FastCheck.constantFrom("1s", "250 millis", "1.5 minutes", "5µs", "7ms")
      ),
      { nil: undefined }
    )
    const document = FastCheck.record({
      schedule: FastCheck.option(
        FastCheck.record({
          base: FastCheck.constantFrom("1ms", 5),
          factor: FastCheck.constantFrom(1, 1.5, 3),
          cap: FastCheck.constantFrom("1s", "2 minutes"),
          retries: FastCheck.integer({ min: 0, max: 9 }),
          jitter: FastCheck.constantFrom("none", "full", "equal", { proportional: 0.25 })
        }),
        { nil: undefined }
      ),
      deadline: duration,
      maxServerDelay: duration,
      idempotent: FastCheck.option(FastCheck.boolean(), { nil: undefined }),
      retryOn: FastCheck.constantFrom(undefined, ["Throttled"], ["Custom", "Unavailable"])
    })
    FastCheck.assert(FastCheck.property(document, (document) => {
      const once = Schema.decodeUnknownSync(RetryPolicy.Document)(document)
      const json = JSON.parse(JSON.stringify(Schema.encodeSync(RetryPolicy.Document)(once)))
      const again = Schema.decodeUnknownSync(RetryPolicy.Document)(json)
      const shown = (value: unknown) => JSON.stringify(value)
      assert.strictEqual(shown(again), shown(once))
      assert.isTrue(Either.isRight(RetryPolicy.decode(json)))
    }))
  })

  const bad: ReadonlyArray<[document: unknown, field: string, problem: string]> = [
    ["{", "the document", "is not JSON"],
    [[], "the document", "Expected"],
    [{ deadine: "1s" }, "deadine", "is unexpected"],
    [{ deadline: "soon" }, "deadline", "must be a duration, such as \"250 millis\", got soon"],
    [{ deadline: -1 }, "deadline", "must not be negative, got -1"],
    [{ deadline: "0s" }, "deadline", "must be greater than zero"],
    [{ schedule: { base: "5s", cap: "1s" } }, "schedule.base", "must not exceed the cap of 1s, got 5s"],
    [{ schedule: { retries: -1 } }, "schedule.retries", "must be an integer of at least 0, got -1"],
    [
      { schedule: { jitter: { proportional: 2 } } },
      "schedule.jitter.proportional",
      "must be a number from 0 to 1, got 2"
    ],
    [{ deadline: "5constructor" }, "deadline", "must be a duration, such as \"250 millis\", got 5constructor"],
    [{ deadline: "1s", attemptTimeout: "2s" }, "attemptTimeout", "must not exceed the deadline of 1s, got 2s"],
    [{ retryOn: ["Boredom"] }, "retryOn[0]", "Boredom"],
    [{ retryOn: [] }, "retryOn[0]", "is missing"],
    [{ idempotent: "yes" }, "idempotent", "Expected boolean"]
  ]
  for (const [document, field, problem] of bad) {
    it(`refuses ${JSON.stringify(document)}`, () => {
      const error = Either.getOrThrow(Either.flip(RetryPolicy.decode(document)))
      assert.strictEqual(error.field, field)
      assert.include(error.problem, problem)
    })
  }

  it.effect("the options of a layer", () =>
    Effect.gen(function*() {
      const options = Either.getOrThrow(RpcRetry.decode({
        default: { schedule: { base: 1, retries: 2 } },
        methods: { "A.*": { schedule: { base: 1, retries: 4 } }, "A.B": "off" },
        budget: { ratio: 0.5, capacity: 3 }
      }))
      const counted = Effect.all([attemptsOf("A.B"), attemptsOf("X.Y"), attemptsOf("A.C")])
      const { exit } = yield* play(counted.pipe(Effect.provide(RpcRetry.layer(options))))
      assert.deepStrictEqual(exit._tag === "Success" && exit.value, [1, 3, 4])
      for (
        const [document, field] of [
          [{ methods: { "A.B": { deadline: "x" } } }, "methods.A.B.deadline"],
          [{ budget: { ratio: 2 } }, "budget.ratio"],
          [{ default: { schedule: { cap: 1 } } }, "default.schedule.base"],
          [{ budgets: {} }, "budgets"],
          [{ default: { deadline: 0 } }, "default.deadline"],
          [{ methods: { "A.B": { deadline: "1s", attemptTimeout: "2s" } } }, "methods.A.B.attemptTimeout"],
          [{ methods: { "*.x": {} } }, "methods.\"*.x\""],
          ["{ \"methods\": { \"__proto__\": { \"deadline\": 1 } } }", "methods.__proto__"]
        ] as const
      ) {
        assert.strictEqual(Either.getOrThrow(Either.flip(RpcRetry.decode(document))).field, field)
      }
    }))
})

describe("layerConfig", () => {
  const withEnv = (env: Readonly<Record<string, string>>) =>
    RpcRetry.layerConfig().pipe(
      Layer.provide(Layer.setConfigProvider(
        ConfigProvider.fromMap(new Map(Object.entries(env)), { pathDelim: "_" }).pipe(ConfigProvider.constantCase)
      ))
    )

  it.effect("reads all keys, and methods as JSON", () =>
    Effect.gen(function*() {
      const layer = withEnv({
        RPC_RETRY_BASE: "10ms",
        RPC_RETRY_FACTOR: "3",
        RPC_RETRY_CAP: "50ms",
        RPC_RETRY_RETRIES: "3",
        RPC_RETRY_JITTER: "none",
        RPC_RETRY_DEADLINE: "5 seconds",
        RPC_RETRY_ATTEMPT_TIMEOUT: "1s",
        RPC_RETRY_MAX_SERVER_DELAY: "2s",
        RPC_RETRY_IDEMPOTENT: "false",
        RPC_RETRY_RETRY_ON: "ConnectionRefused, Unavailable",
        RPC_RETRY_METHODS: `{ "A.B": "off" }`
      })
      const [first, second] = yield* RpcRetry.policies.pipe(Effect.provide(layer))
      const { exit, took } = yield* play(attemptsOf("X.Y").pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exit._tag === "Success" && exit.value, took], [4, 90])
      const { attemptTimeout, deadline, idempotent, maxServerDelay } = first!.policy
      assert.deepStrictEqual([attemptTimeout, deadline, maxServerDelay].map((d) => Duration.toMillis(d!)), [
        1000,
        5000,
        2000
      ])
      assert.strictEqual(idempotent, false)
      assert.strictEqual(second!.name, "A.B")
    }))

  it.effect("without any key it is the default, and an empty one counts as absent", () =>
    Effect.gen(function*() {
      const keys = ["RETRIES", "FACTOR", "BASE", "JITTER", "DEADLINE", "IDEMPOTENT", "RETRY_ON", "METHODS", "BUDGET"]
      const empty = Object.fromEntries(keys.flatMap((key) => [[`RPC_RETRY_${key}`, ""], [`RPC_RETRY_${key}`, " "]]))
      for (const env of [{}, empty]) {
        const { exit, took } = yield* play(attemptsOf("A.B").pipe(Effect.provide(withEnv(env))))
        assert.deepStrictEqual([exit._tag === "Success" && exit.value, took], [4, 475])
      }
    }))

  it.effect("no retries, no budget, a proportional jitter", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("A.B").pipe(Effect.provide(withEnv({ RPC_RETRY_RETRIES: "0" }))), 1)
      const [inForce] = yield* RpcRetry.policies.pipe(
        Effect.provide(withEnv({ RPC_RETRY_BUDGET: "off", RPC_RETRY_JITTER: "0.5" }))
      )
      assert.isUndefined(inForce!.policy.budget)
      const { delays } = yield* RetryPolicy.describe(inForce!.policy)
      assert.deepStrictEqual([delays[0]!.shortest, delays[0]!.longest].map(Duration.toMillis), [50, 100])
    }))

  it.effect("a bad value is a ConfigError that names it", () =>
    Effect.gen(function*() {
      for (
        const [key, value, says] of [
          ["RPC_RETRY_DEADLINE", "-1s", "deadline must not be negative"],
          ["RPC_RETRY_RETRIES", "many", "RETRIES"],
          ["RPC_RETRY_RETRIES", "-2", "must be an integer of at least 0, got -2"],
          ["RPC_RETRY_METHODS", "{", "is not JSON"],
          ["RPC_RETRY_METHODS", `{"*.x":{}}`, "is not a method"]
        ] as const
      ) {
        const error = yield* Effect.flip(Layer.build(withEnv({ [key]: value }))).pipe(Effect.scoped)
        assert.include(String(error), says)
      }
    }))
})

describe("layerReloadable", () => {
  it.effect("follows the stream; a bad document is reported and changes nothing", () =>
    Effect.gen(function*() {
      const documents = yield* Queue.unbounded<unknown>()
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void warnings.push(`${logLevel.label} ${String(message)}`))
      const put = (document: unknown) => Effect.zipRight(Queue.offer(documents, document), TestClock.adjust(0))
      yield* Effect.gen(function*() {
        const attempts = Effect.map(Effect.flip(Faults.refused.pipe(withRpcRetry({ method: "A.B" }))), (error) =>
          error._tag === "RetryExhausted" ? error.attempts : 0)
        const settled = Effect.gen(function*() {
          const fiber = yield* Effect.fork(attempts)
          yield* TestClock.adjust("1 minute")
          return yield* Fiber.join(fiber)
        })
        assert.strictEqual(yield* settled, 4)
        yield* put({ methods: { "A.B": { schedule: { retries: 1 } } } })
        assert.strictEqual(yield* settled, 2)
        yield* put({ methods: { "A.B": { schedule: { retries: -1 } } } })
        yield* put("{")
        assert.strictEqual(yield* settled, 2)
        assert.strictEqual(warnings.length, 2)
        assert.include(warnings[0]!, "WARN RpcRetry: the new configuration is not used: ")
        assert.include(warnings[0]!, "methods.A.B.schedule.retries must be an integer of at least 0, got -1")
        yield* put({ methods: { "*": "off" } })
        assert.strictEqual(yield* settled, 1)
        yield* put({})
        assert.strictEqual(yield* settled, 4)
      }).pipe(
        Effect.provide(RpcRetry.layerReloadable(Stream.fromQueue(documents))),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    }))

  it.effect("a stream that ends or fails leaves the last configuration in force", () =>
    Effect.gen(function*() {
      const stream = Stream.concat(Stream.make({ default: { schedule: "none" } }), Stream.fail("gone"))
      const attempts = Effect.zipRight(TestClock.adjust(1), attemptsOf("A.B"))
      assert.strictEqual(
        yield* attempts.pipe(
          Effect.provide(RpcRetry.layerReloadable(stream)),
          Effect.provide(Logger.remove(Logger.defaultLogger))
        ),
        1
      )
    }))

  /** Runs under a layer that follows the documents, with what it warns of. */
  const following = <A, E>(
    documents: Stream.Stream<unknown, string>,
    use: (warnings: ReadonlyArray<string>) => Effect.Effect<A, E>
  ) => {
    const warnings: Array<string> = []
    const logger = Logger.make(({ message }) => void warnings.push(String(message)))
    return Effect.zipRight(TestClock.adjust(1), use(warnings)).pipe(
      Effect.provide(RpcRetry.layerReloadable(documents)),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
  }

  it.effect("a stream that fails leaves the last configuration in force, and says so", () =>
    following(
      Stream.concat(Stream.make({ default: { schedule: "none" } }), Stream.fail("gone")),
      (warnings) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* attemptsOf("A.B"), 1)
          assert.strictEqual(warnings.length, 1)
          assert.include(warnings[0]!, "the configuration is not followed any more")
        })
    ))

  it.effect("a document that cannot even be looked at is reported, and the next one is followed", () => {
    const trap = Object.defineProperty({}, "default", {
      enumerable: true,
      get: () => {
        throw new Error("trap")
      }
    })
    return following(
      Stream.make<Array<unknown>>(trap, { default: { schedule: "none" } }),
      (warnings) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* attemptsOf("A.B"), 1)
          assert.include(warnings[0]!, "trap")
        })
    )
  })

  it.effect("the budget of a document is used; levels stay unless it is another one", () =>
    Effect.gen(function*() {
      const documents = yield* Queue.unbounded<unknown>()
      const put = (document: object) => Effect.zipRight(Queue.offer(documents, document), TestClock.adjust(1))
      const many = { default: { schedule: { base: 1, cap: 1, retries: 100 } } }
      const attempts = Effect.gen(function*() {
        const fiber = yield* Effect.fork(attemptsOf("A.B"))
        yield* TestClock.adjust(200)
        return yield* Fiber.join(fiber)
      })
      yield* following(Stream.fromQueue(documents), () =>
        Effect.gen(function*() {
          yield* put({ ...many, budget: { capacity: 2 } })
          assert.strictEqual(yield* attempts, 3)
          yield* put({ ...many, budget: { capacity: 2 }, methods: { "C.D": "off" } })
          assert.strictEqual(yield* attempts, 1)
          yield* put({ ...many, budget: { capacity: 4 } })
          assert.strictEqual(yield* attempts, 5)
          yield* put({ ...many, budget: "off" })
          assert.strictEqual(yield* attempts, 101)
        }))
    }))

  it.effect("ends with its scope", () =>
    Effect.gen(function*() {
      let ended = false
      const documents = Stream.never.pipe(Stream.ensuring(Effect.sync(() => void (ended = true))))
      yield* following(documents, () => Effect.sync(() => assert.isFalse(ended)))
      assert.isTrue(ended)
    }))
})

describe("inheritAttempt", () => {
  it.effect("a call made for somebody's retry is not retried; one for a first attempt is", () =>
    Effect.gen(function*() {
      const call = Faults.refused.pipe(withRpcRetry(retries(3)))
      const ends = (attempt: number) =>
        Effect.map(Effect.exit(RpcRetry.inheritAttempt(call, attempt)), (exit) => {
          const { attempts, reason } = exhaustedOf(exit)
          return [attempts, reason]
        })
      assert.deepStrictEqual(yield* ends(1), [4, "AttemptsExhausted"])
      for (const attempt of [2, 0, -1, NaN, 1.5]) {
        assert.deepStrictEqual(yield* ends(attempt), [1, "NotRetried"], `attempt ${attempt}`)
      }
    }))

  it.effect("\"I am a retry\" is not \"my caller was one\"", () =>
    Effect.gen(function*() {
      const seen: Array<readonly [number, number]> = []
      const note = Effect.flatMap(Effect.all([Deadline.CurrentAttempt, Deadline.InheritedAttempt]), (pair) =>
        Effect.sync(() => void seen.push(pair)))
      const call = Effect.zipRight(note, Faults.refused).pipe(withRpcRetry(retries(1)), Effect.ignore)
      yield* call
      yield* RpcRetry.inheritAttempt(call, 3)
      assert.deepStrictEqual(seen, [[1, 1], [2, 1], [1, 3]])
    }))
})

describe("RetryPolicy.describe and show", () => {
  const printed = (policy: RetryPolicy.RetryPolicy) => Effect.map(RetryPolicy.describe(policy), RetryPolicy.show)

  it.effect("the default", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* printed(RetryPolicy.default),
        `attempts        4 (3 retries)
delays          100ms, 150ms, 225ms
total wait      475ms
attempt timeout none
deadline        none
longest call    forever
load at worst   x4
retried         ConnectionRefused, ConnectionLost, AttemptTimeout, Unavailable,
                Throttled, Custom
not retried     Fatal, domain errors, defects`
      )
    }))

  it.effect("with jitter, timeouts, a budget, conditions", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make()
      const policy = RetryPolicy.make({
        schedule: RetrySchedule.exponential({ base: 200, factor: 2 }).pipe(
          RetrySchedule.equalJitter,
          RetrySchedule.retries(8)
        ),
        attemptTimeout: "500 millis",
        deadline: "1 minute",
        idempotent: false,
        retryIf: (error) => error.reason !== "Throttled",
        budget
      })
      const description = yield* RetryPolicy.describe(policy)
      assert.deepStrictEqual([description.attempts, description.retries, description.amplification], [9, 8, {
        withoutBudget: 9,
        withBudget: 1.1
      }])
      const text = RetryPolicy.show(description)
      assert.strictEqual(
        text,
        `attempts        9 (8 retries)
delays          100ms to 200ms, 200ms to 400ms, 400ms to 800ms, 500ms to 1s,
                500ms to 1s, 500ms to 1s, ...
total wait      3s 200ms to 6s 400ms
attempt timeout 500ms
deadline        1m
longest call    10s 900ms
load at worst   x1.1 lasting; x9 without the budget
retried         ConnectionRefused, ConnectionLost, AttemptTimeout, Unavailable,
                Custom, if not sent
not retried     Fatal, domain errors, defects, Throttled`
      )
      assert.isTrue(text.split("\n").every((line) => line.length <= 80))
    }))

  it.effect("a deadline ends the retries, as it does in a call", () =>
    Effect.gen(function*() {
      const short = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make({ deadline: 200 }))
      const description = yield* RetryPolicy.describe(short)
      const { exit, took } = yield* play(withRpcRetry(Faults.refused, short))
      assert.strictEqual(description.attempts, exhaustedOf(exit).attempts)
      assert.strictEqual(Duration.toMillis(description.totalWait.longest), took)
      const forever = yield* printed(RetryPolicy.make({ schedule: RetrySchedule.exponential(), deadline: "2 seconds" }))
      assert.include(forever, "attempts        6 (5 retries)")
      assert.include(forever, "longest call    2s")
    }))

  it.effect("where the schedule chooses by the failure, the worst of the reasons", () =>
    Effect.gen(function*() {
      const schedule = RetrySchedule.byReason({
        Throttled: Schedule.spaced(10).pipe(Schedule.intersect(Schedule.recurs(7)))
      })
      const description = yield* RetryPolicy.describe(RetryPolicy.make({ schedule }))
      assert.deepStrictEqual([description.attempts, description.retried], [8, ["Throttled"]])
      assert.strictEqual(Duration.toMillis(description.totalWait.longest), 70)
    }))

  it.effect("none, without an end, and the many in between", () =>
    Effect.gen(function*() {
      for (const policy of [RetryPolicy.none, RetryPolicy.make({ retryIf: () => false })]) {
        const { amplification, attempts, delays, retried } = yield* RetryPolicy.describe(policy)
        assert.deepStrictEqual([attempts, delays, amplification.withoutBudget, retried], [1, [], 1, []])
      }
      const budget = yield* RetryBudget.make({ ratio: 1 })
      const { amplification } = yield* RetryPolicy.describe(RetryPolicy.make({ schedule: Schedule.stop, budget }))
      assert.strictEqual(amplification.withBudget, 1)
      const forever = yield* printed(RetryPolicy.make({ schedule: RetrySchedule.exponential() }))
      assert.include(forever, "attempts        no limit")
      assert.include(forever, "delays          100ms, 150ms, 225ms, 337.5ms, 506.25ms, 759.38ms, ...")
      assert.include(forever, "longest call    forever")
      assert.include(forever, "load at worst   without bound")
      for (const n of [999, 1000]) {
        assert.strictEqual((yield* RetryPolicy.describe(RetryPolicy.make(retries(n)))).attempts, n + 1)
      }
    }))
})
