/**
 * Policies from documents, from the environment, and from a stream of documents.
 */
import { type Retryable, RetryBudget, RetryPolicy, RetrySchedule, RpcRetry, withRpcRetry } from "effect-rpc-retry"
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
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

/** How many attempts a call of a method makes under a layer when all of them fail. */
const attemptsOf = (method: string | undefined, options?: RpcRetry.Options) =>
  Effect.map(
    Effect.flip(Faults.refused.pipe(withRpcRetry({ ...options, method }))),
    (error) => error._tag === "RetryExhausted" ? error.attempts : 0
  )

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
        retryOn: ["Unavailable"],
        spans: true,
        logs: false
      })
      assert.deepStrictEqual(yield* delays(policy), [50, 100, 200, 300])
      const millis = [policy.attemptTimeout, policy.deadline, policy.maxServerDelay].map((d) => Duration.toMillis(d!))
      assert.deepStrictEqual(millis, [1000, 5000, 500])
      assert.deepStrictEqual([policy.idempotent, policy.spans, policy.logs], [false, true, false])
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
      // as editors and shells of Windows begin a file
      assert.deepStrictEqual(yield* delays(decoded("\uFEFF{ \"schedule\": \"none\" }")), [])
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
      retryOn: FastCheck.constantFrom(undefined, ["Throttled"], ["Custom", "Unavailable"]),
      hedge: FastCheck.constantFrom(undefined, "off"),
      spans: FastCheck.constantFrom(undefined, true, false),
      logs: FastCheck.constantFrom(undefined, true, false)
    })
    const hedged = FastCheck.record({
      idempotent: FastCheck.constant(true),
      hedge: FastCheck.record({
        after: FastCheck.oneof(
          FastCheck.constantFrom(0, 5, "1s", "250 millis"),
          FastCheck.record({ quantile: FastCheck.constantFrom(0.5, 0.95, 0.999) })
        ),
        max: FastCheck.constantFrom(undefined, 2, 5),
        load: FastCheck.constantFrom(undefined, 0.001, 1)
      })
    })
    const either = FastCheck.oneof(
      document,
      FastCheck.tuple(document, hedged).map(([document, hedged]) => Object.assign(document, hedged))
    )
    FastCheck.assert(FastCheck.property(either, (document) => {
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
    [[], "the document", "must be an object, got []"],
    [{ deadine: "1s" }, "deadine", "is not an option, did you mean deadline?"],
    [{ deadline: "soon" }, "deadline", "must be a duration, such as \"250 millis\", got \"soon\""],
    // numbers are milliseconds, and text needs a unit
    [{ deadline: "5" }, "deadline", "must be a duration, such as \"250 millis\", got \"5\""],
    [{ deadline: -1 }, "deadline", "must not be negative, got -1"],
    [{ deadline: "0s" }, "deadline", "must be greater than zero"],
    [{ schedule: { base: "5s", cap: "1s" } }, "schedule.base", "must not exceed the cap of 1s, got 5s"],
    [{ schedule: { retries: -1 } }, "schedule.retries", "must be an integer of at least 0, got -1"],
    [
      { schedule: { jitter: { proportional: 2 } } },
      "schedule.jitter.proportional",
      "must be a number from 0 to 1, got 2"
    ],
    [{ deadline: "5constructor" }, "deadline", "must be a duration, such as \"250 millis\", got \"5constructor\""],
    [{ deadline: "1s", attemptTimeout: "2s" }, "attemptTimeout", "must not exceed the deadline of 1s, got 2s"],
    [
      { retryOn: ["Boredom"] },
      "retryOn[0]",
      "must be \"ConnectionRefused\", \"ConnectionLost\", \"AttemptTimeout\", \"Unavailable\", \"Throttled\" or \"Custom\", got \"Boredom\""
    ],
    [{ retryOn: [] }, "retryOn[0]", "is missing"],
    [{ idempotent: "yes" }, "idempotent", "must be true or false, got \"yes\""],
    [{ hedge: { after: "5ms" } }, "hedge", "needs idempotent: true beside it, got undefined"],
    [{ idempotent: false, hedge: { after: "5ms" } }, "hedge", "needs idempotent: true beside it, got false"],
    [{ idempotent: true, hedge: {} }, "hedge.after", "is missing"],
    [{ idempotent: true, hedge: { after: "soon" } }, "hedge.after", "must be a duration"],
    [{ idempotent: true, hedge: { after: { quantile: 2 } } }, "hedge.after.quantile", "from 0.5 to 0.999, got 2"],
    [{ idempotent: true, hedge: { after: 5, max: 9 } }, "hedge.max", "from 2 to 5, got 9"],
    [{ idempotent: true, hedge: { after: 5, load: 0 } }, "hedge.load", "from 0.001 to 1, got 0"],
    [{ idempotent: true, hedge: { after: 5, lod: 1 } }, "hedge.lod", "did you mean load?"],
    [{ idempotent: true, hedge: "of" }, "hedge", "must be \"off\" or an object, got \"of\", did you mean off?"],
    [{ spans: 1 }, "spans", "must be true or false, got 1"],
    [{ logs: "no" }, "logs", "must be true or false, got \"no\""],
    [
      { retries: 5 },
      "retries",
      "is not an option: there are schedule, attemptTimeout, deadline, idempotent, minServerDelay, maxServerDelay, retryOn"
    ],
    [{ schedule: { bse: 1 } }, "schedule.bse", "is not an option, did you mean base?"],
    [{ schedule: "nune" }, "schedule", "must be \"none\" or an object, got \"nune\", did you mean none?"],
    [{ retryOn: "Throttled" }, "retryOn", "must be a list, got \"Throttled\""],
    [{ deadline: true }, "deadline", "must be text or a number, got true"],
    [
      { schedule: { jitter: "fulll" } },
      "schedule.jitter",
      "must be \"none\", \"full\", \"equal\" or an object, got \"fulll\", did you mean full?"
    ]
  ]
  for (const [document, field, problem] of bad) {
    it(`refuses ${JSON.stringify(document)}`, () => {
      const error = Either.getOrThrow(Either.flip(RetryPolicy.decode(document)))
      assert.strictEqual(error.field, field)
      assert.include(error.problem, problem)
    })
  }

  it.effect("a hedge is that of the same options in code", () =>
    Effect.gen(function*() {
      const hedge = { after: { quantile: 0.9 }, max: 3, load: 0.1 }
      const { policies } = yield* RpcRetry.inspect.pipe(
        Effect.provide(RpcRetry.layer(Either.getOrThrow(RpcRetry.decode({
          default: { idempotent: true, hedge: { after: "20ms" } },
          methods: { "A.B": { idempotent: true, hedge }, "A.C": { hedge: "off" } }
        }))))
      )
      const inForce = new Map(policies.map(({ hedge, name }) => [name, hedge]))
      assert.deepStrictEqual(inForce.get("default"), { after: "20ms", max: 2, load: 0.05 })
      assert.deepStrictEqual(inForce.get("A.B"), { after: "quantile 0.9", max: 3, load: 0.1 })
      assert.strictEqual(inForce.get("A.C"), null)
    }))

  it("a hedge needs idempotent: true in its own policy, and the path says in which one", () => {
    const problem = "needs idempotent: true beside it, got undefined"
    const methods = { "A.B": { hedge: { after: "20ms" } } }
    for (
      const [document, message] of [
        [{ default: { idempotent: true }, methods }, `methods.A.B.hedge ${problem}`],
        [{ default: { hedge: { after: "20ms" } } }, `default.hedge ${problem}`]
      ] as const
    ) {
      const error = Either.getOrThrow(Either.flip(RpcRetry.decode(document)))
      assert.strictEqual(error.message, `RpcRetry.decode: ${message}`)
    }
  })

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

describe("circuit breakers, bulkheads and throttles in the document of a layer", () => {
  const decoded = (document: unknown) => Either.getOrThrow(RpcRetry.decode(document))

  /** What calls of a method end with, one after the other. */
  const endsOf = (n: number, method: string, call: Effect.Effect<string, Retryable>) =>
    Effect.replicateEffect(
      Effect.map(
        Effect.either(call.pipe(withRpcRetry({ method, schedule: Schedule.stop }))),
        (end) => Either.isRight(end) ? end.right : `${end.left._tag} ${end.left.reason}`
      ),
      n
    )

  const exhausted = "RetryExhausted AttemptsExhausted"

  it.effect("a breaker of failures in a row opens for the length of the n-th delay of its backoff", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer(decoded({
        breaker: {
          trip: { consecutive: 2 },
          openFor: { base: "1s", factor: 3, cap: "2s" },
          jitter: 0,
          maxRetryAfter: "1m",
          probes: 1,
          probeLease: "5s",
          rampUp: 0
        }
      }))
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(yield* endsOf(3, "A.B", Faults.refused), [
          exhausted,
          exhausted,
          "CallRejected CircuitOpen"
        ])
        const openFor = Effect.map(
          RpcRetry.inspect,
          ({ breakers }) => breakers.find(({ destination }) => destination === "A")?.retryIn
        )
        assert.strictEqual(yield* openFor, "1s")
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* endsOf(1, "A.B", Faults.refused), [exhausted])
        assert.strictEqual(yield* openFor, "2s")
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(yield* endsOf(2, "A.B", Effect.succeed("ok")), ["ok", "ok"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("a breaker of a rate counts failures and slow calls, in a window of calls or of time", () =>
    Effect.gen(function*() {
      const opened = (rate: unknown, call: Effect.Effect<string, Retryable>) =>
        Effect.gen(function*() {
          const { exit } = yield* play(
            Effect.map(endsOf(5, "A.B", call), (ends) => ends.indexOf("CallRejected CircuitOpen")).pipe(
              Effect.provide(RpcRetry.layer(decoded({ breaker: { trip: { rate } } })))
            )
          )
          return exit._tag === "Success" && exit.value
        })
      assert.strictEqual(yield* opened({ threshold: 1, window: { calls: 3 } }, Faults.refused), 3)
      assert.strictEqual(yield* opened({ threshold: 1, window: "1m", minimumCalls: 4 }, Faults.refused), 4)
      assert.strictEqual(yield* opened({}, Faults.refused), -1)
      const slow = { longerThan: "50ms", threshold: 0.5 }
      const late = Effect.delay(Effect.succeed("late"), 60)
      assert.strictEqual(yield* opened({ window: "1m", minimumCalls: 2, slow }, late), 2)
    }))

  it.effect("a bulkhead bounds what is in flight, and adapts its limit if told to", () =>
    Effect.gen(function*() {
      const bulkheadOf = (bulkhead: unknown) =>
        Effect.gen(function*() {
          yield* endsOf(1, "A.B", Effect.succeed("ok"))
          const { bulkheads: [one] } = yield* RpcRetry.inspect
          return [one!.floor, one!.limit, one!.ceiling, one!.queue]
        }).pipe(Effect.provide(RpcRetry.layer(decoded({ bulkhead }))))
      assert.deepStrictEqual(yield* bulkheadOf({ concurrency: 3, queue: 4 }), [3, 3, 3, 4])
      assert.deepStrictEqual(yield* bulkheadOf({ concurrency: 3, queue: 0, adaptive: true }), [1, 3, 3, 0])
      const adaptive = { floor: 2, start: 5, decrease: 0.5 }
      assert.deepStrictEqual(yield* bulkheadOf({ concurrency: 9, queue: 1, adaptive }), [2, 5, 9, 1])
    }))

  it.effect("a throttle rejects calls when few of them were accepted", () =>
    Effect.gen(function*() {
      const ends = yield* endsOf(100, "A.B", Faults.refused).pipe(
        Effect.provide(RpcRetry.layer(decoded({ budget: "off", throttle: { k: 1.5, window: "10s" } })))
      )
      assert.include(ends, "CallRejected Throttled")
    }))

  it.effect("\"off\" in the document is none for all, and in a policy none for its methods", () =>
    Effect.gen(function*() {
      const breaker = { trip: { consecutive: 1 } }
      const open = (document: unknown, method: string) =>
        Effect.map(
          endsOf(2, method, Faults.refused),
          ([, second]) => second === "CallRejected CircuitOpen"
        ).pipe(Effect.provide(RpcRetry.layer(decoded(document))))
      const methods = { "A.B": { breaker: "off", bulkhead: "off", throttle: "off" } }
      assert.isTrue(yield* open({ breaker, methods }, "A.C"))
      assert.isFalse(yield* open({ breaker, methods }, "A.B"))
      assert.isFalse(yield* open({ breaker, default: { breaker: "off" } }, "A.C"))
      assert.isFalse(yield* open({ breaker: "off", bulkhead: "off", throttle: "off" }, "A.C"))
      const policy = Either.getOrThrow(RetryPolicy.decode(methods["A.B"]))
      assert.deepStrictEqual([policy.breaker, policy.bulkhead, policy.throttle], ["off", "off", "off"])
    }))

  const bad: ReadonlyArray<[document: unknown, message: string]> = [
    [
      { breaker: { trip: { rate: { threshold: 2 } } } },
      "breaker.trip.rate.threshold must be a number greater than 0 and at most 1, got 2"
    ],
    [
      { breaker: { trip: { rate: { treshold: 0.2 } } } },
      "breaker.trip.rate.treshold is not an option, did you mean threshold?"
    ],
    [
      { breaker: { trip: { rate: { window: { calls: 0 } } } } },
      "breaker.trip.rate.window.calls must be an integer from 1 to 1000000, got 0"
    ],
    [
      { breaker: { trip: { rate: { window: "soon" } } } },
      "breaker.trip.rate.window must be a duration, such as \"250 millis\", got \"soon\""
    ],
    [
      { breaker: { trip: { rate: { window: { calls: 10 }, minimumCalls: 20 } } } },
      "breaker.trip.rate.minimumCalls must be an integer from 1 to 10, got 20"
    ],
    [{ breaker: { trip: { rate: { slow: {} } } } }, "breaker.trip.rate.slow.longerThan is missing"],
    [
      { breaker: { trip: { rate: { slow: { longerThan: 0 } } } } },
      "breaker.trip.rate.slow.longerThan must be greater than zero, got 0"
    ],
    [{ breaker: { trip: { consecutive: 0 } } }, "breaker.trip.consecutive must be an integer of at least 1, got 0"],
    [{ breaker: { trip: { consecutiv: 5 } } }, "breaker.trip.consecutiv is not an option, did you mean consecutive?"],
    [{ breaker: { trip: {} } }, "breaker.trip must have either consecutive or rate"],
    [{ breaker: { trip: { consecutive: 5, rate: {} } } }, "breaker.trip must have either consecutive or rate"],
    [{ breaker: { openFor: "soon" } }, "breaker.openFor must be a duration, such as \"250 millis\", got \"soon\""],
    [{ breaker: { openFor: 0 } }, "breaker.openFor must be greater than zero, got 0"],
    [
      { breaker: { openFor: { base: "5s", cap: "1s" } } },
      "breaker.openFor.base must not exceed the cap of 1s, got 5s"
    ],
    [{ breaker: { jitter: 2 } }, "breaker.jitter must be a number from 0 to 1, got 2"],
    [{ breaker: "of" }, "breaker must be \"off\" or an object, got \"of\", did you mean off?"],
    [{ bulkhead: {} }, "bulkhead.concurrency is missing"],
    [{ bulkhead: { concurrency: 0, queue: 1 } }, "bulkhead.concurrency must be an integer of at least 1, got 0"],
    [
      { bulkhead: { concurrency: 1, queue: 1, adaptive: { flor: 2 } } },
      "bulkhead.adaptive.flor is not an option, did you mean floor?"
    ],
    [
      { bulkhead: { concurrency: 3, queue: 1, adaptive: { floor: 4 } } },
      "bulkhead.adaptive.floor must be an integer from 1 to 3, got 4"
    ],
    [{ throttle: { k: 1 } }, "throttle.k must be a number of at least 1.5, got 1"],
    [{ throttle: { windw: "1m" } }, "throttle.windw is not an option, did you mean window?"],
    [{ methods: { "A.B": { breaker: {} } } }, "methods.A.B.breaker must be \"off\", got {}"],
    [{ default: { throtle: "off" } }, "default.throtle is not an option, did you mean throttle?"],
    [{ bulkhed: "off" }, "bulkhed is not an option, did you mean bulkhead?"]
  ]
  for (const [document, message] of bad) {
    it(`refuses ${JSON.stringify(document)}, with the path`, () => {
      const error = Either.getOrThrow(Either.flip(RpcRetry.decode(document)))
      assert.strictEqual(error.message, `RpcRetry.decode: ${message}`)
    })
  }
})

describe("layerConfig", () => {
  const withEnv = (env: Readonly<Record<string, string>>, inCode: RpcRetry.LayerOptions = {}) =>
    RpcRetry.layerConfig(inCode).pipe(
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
        RPC_RETRY_HEDGE: "off",
        RPC_RETRY_SPANS: "true",
        RPC_RETRY_LOGS: "false",
        RPC_RETRY_RETRY_ON: "ConnectionRefused, Unavailable",
        RPC_RETRY_METHODS: `{ "A.B": "off" }`
      })
      const [first, second] = yield* RpcRetry.policies.pipe(Effect.provide(layer))
      const { exit, took } = yield* play(attemptsOf("X.Y").pipe(Effect.provide(layer)))
      assert.deepStrictEqual([exit._tag === "Success" && exit.value, took], [4, 90])
      const { attemptTimeout, deadline, idempotent, logs, maxServerDelay, spans } = first!.policy
      assert.deepStrictEqual([attemptTimeout, deadline, maxServerDelay].map((d) => Duration.toMillis(d!)), [
        1000,
        5000,
        2000
      ])
      assert.deepStrictEqual([idempotent, spans, logs], [false, true, false])
      assert.strictEqual(second!.name, "A.B")
    }))

  it.effect("what code says of a method holds under a configuration that says something else of it", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layerConfig({
        default: { deadline: 500, attemptTimeout: 100 },
        budget: "off",
        methods: { "Orders.Place": { idempotent: false }, "A.B": { deadline: 700 } }
      }).pipe(Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(
        new Map([
          ["RPC_RETRY.DEADLINE", "1s"],
          ["RPC_RETRY.METHODS", `{ "Orders.Place": { "deadline": "2s" }, "X.*": "off" }`]
        ])
      ))))
      const inForce = yield* RpcRetry.policies.pipe(Effect.provide(layer))
      const shown = inForce.map(({ name, policy: { attemptTimeout, budget, deadline, idempotent } }) => [
        name,
        Duration.toMillis(deadline!),
        Duration.toMillis(attemptTimeout!),
        idempotent,
        budget
      ])
      assert.deepStrictEqual(shown, [
        ["default", 1000, 100, undefined, undefined],
        ["Orders.Place", 2000, 100, false, undefined],
        ["A.B", 700, 100, undefined, undefined],
        ["X.*", 1000, 100, undefined, undefined]
      ])
      assert.throws(() => RpcRetry.layerConfig({ default: { deadline: -1 } }), "deadline must not be negative")
    }))

  it.effect("without any key it is the default, and an empty one counts as absent", () =>
    Effect.gen(function*() {
      const keys = [
        "RETRIES",
        "FACTOR",
        "BASE",
        "JITTER",
        "DEADLINE",
        "IDEMPOTENT",
        "RETRY_ON",
        "METHODS",
        "BUDGET",
        "BREAKER"
      ]
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

  it.effect("blanks and line ends around a value do not count, whichever key it is", () =>
    Effect.gen(function*() {
      const values = {
        BASE: "10ms",
        FACTOR: "3",
        CAP: "50 millis",
        RETRIES: "5",
        JITTER: "full",
        ATTEMPT_TIMEOUT: "1s",
        DEADLINE: "5 seconds",
        IDEMPOTENT: "false",
        MAX_SERVER_DELAY: "2s",
        RETRY_ON: "Throttled, Unavailable",
        SPANS: "true",
        LOGS: "false",
        METHODS: `{ "A.B": "off" }`,
        BUDGET: "off",
        BREAKER: "{}",
        BULKHEAD: "off",
        THROTTLE: "off"
      }
      const inspected = (around: (value: string) => string) =>
        RpcRetry.inspect.pipe(
          Effect.map(({ policies }) => policies),
          Effect.provide(withEnv(
            Object.fromEntries(Object.entries(values).map(([key, value]) => [`RPC_RETRY_${key}`, around(value)]))
          ))
        )
      const plain = yield* inspected((value) => value)
      assert.deepStrictEqual([plain.length, plain[0]!.budget], [2, null])
      for (const blank of [" ", "\n", "\r\n", "\t"]) {
        assert.deepStrictEqual(yield* inspected((value) => `${blank}${value}${blank}`), plain)
      }
    }))

  it.effect("a number is the capacity of the budgets", () =>
    Effect.gen(function*() {
      const [inForce] = yield* RpcRetry.policies.pipe(Effect.provide(withEnv({ RPC_RETRY_BUDGET: " 25\n" })))
      assert.strictEqual(inForce!.policy.budget?.capacity, 25)
      const fixed = RpcRetry.layerConfig({ budget: RetryBudget.make({ capacity: 7 }) }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["RPC_RETRY.BUDGET", "traffic"]]))))
      )
      const [following] = yield* RpcRetry.policies.pipe(Effect.provide(fixed))
      assert.strictEqual(following!.policy.budget?.capacity, 3)
    }))

  it.effect("BREAKER, BULKHEAD and THROTTLE are options as JSON, or off", () =>
    Effect.gen(function*() {
      const json = {
        RPC_RETRY_BREAKER: `{ "trip": { "consecutive": 1 } }`,
        RPC_RETRY_BULKHEAD: `{ "concurrency": 2, "queue": 3 }`,
        RPC_RETRY_THROTTLE: "{}"
      }
      const from = (env: Readonly<Record<string, string>>, inCode: RpcRetry.LayerOptions = {}) =>
        Effect.map(RpcRetry.policies, ([inForce]) => {
          const { breaker, bulkhead, throttle } = inForce!.from
          return [breaker, bulkhead, throttle]
        }).pipe(Effect.provide(withEnv(env, inCode)))
      assert.deepStrictEqual(yield* from(json), ["layer", "layer", "layer"])
      assert.deepStrictEqual(yield* from({}), [undefined, undefined, undefined])
      // the configuration comes before the code
      assert.deepStrictEqual(yield* from({}, { breaker: {}, throttle: {} }), ["layer", undefined, "layer"])
      const off = { RPC_RETRY_BREAKER: "off", RPC_RETRY_THROTTLE: `"off"` }
      assert.deepStrictEqual(yield* from(off, { breaker: {}, throttle: {} }), [undefined, undefined, undefined])
      const ends = yield* Effect.replicateEffect(
        Effect.flip(Faults.refused.pipe(withRpcRetry({ method: "Users.Get" }))),
        2
      ).pipe(
        Effect.provide(withEnv({ ...json, RPC_RETRY_RETRIES: "0" }))
      )
      assert.deepStrictEqual(ends.map(({ reason }) => reason), ["AttemptsExhausted", "CircuitOpen"])
    }))

  it.effect("HEDGE is options as JSON, or off", () =>
    Effect.gen(function*() {
      const hedgeFrom = (env: Readonly<Record<string, string>>, inCode?: RpcRetry.LayerOptions) =>
        Effect.map(RpcRetry.inspect, ({ policies }) => policies[0]!.hedge).pipe(Effect.provide(withEnv(env, inCode)))
      const env = { RPC_RETRY_IDEMPOTENT: "true", RPC_RETRY_HEDGE: `{ "after": { "quantile": 0.9 }, "load": 0.1 }` }
      assert.deepStrictEqual(yield* hedgeFrom(env), { after: "quantile 0.9", max: 2, load: 0.1 })
      const inCode = { default: { idempotent: true, hedge: { after: "1 second" } } } as const
      assert.strictEqual((yield* hedgeFrom({}, inCode))?.after, "1s")
      assert.isNull(yield* hedgeFrom({ RPC_RETRY_HEDGE: "off" }, inCode))
    }))

  /** What building the layer warns of. */
  const warningsOf = (provider: ConfigProvider.ConfigProvider) =>
    Effect.suspend(() => {
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        warnings.push(`${logLevel.label} ${String(message)}`)
      })
      return Layer.build(RpcRetry.layerConfig()).pipe(
        Effect.scoped,
        Effect.as(warnings),
        Effect.withConfigProvider(provider),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    })

  it.effect("a key that does not exist is a warning that names the one that was meant", () =>
    Effect.gen(function*() {
      const keys = [
        "DEADLNE",
        "ATTEMPT_TIMOUT",
        "MAX",
        "BUDGETS",
        "BASE",
        "RETRY_ON",
        "DEADLINE",
        "METHODS",
        "BUDGET",
        "BREAKR"
      ]
      const values = ["1s", "1s", "1", "off", "1ms", "Throttled", "1s", "{}", "off", "off"]
      const env = keys.map((key, i) => [`RPC_RETRY_${key}`, values[i]!] as const)
      const expected = [
        "ATTEMPT_TIMOUT is not an option, did you mean ATTEMPT_TIMEOUT?",
        "BREAKR is not an option, did you mean BREAKER?",
        "BUDGETS is not an option, did you mean BUDGET?",
        "DEADLNE is not an option, did you mean DEADLINE?",
        "MAX is not an option: there are BASE, FACTOR, CAP, RETRIES, JITTER, ATTEMPT_TIMEOUT, DEADLINE, IDEMPOTENT, "
        + "MIN_SERVER_DELAY, MAX_SERVER_DELAY, RETRY_ON, HEDGE, SPANS, LOGS, METHODS, BUDGET, BREAKER, BULKHEAD, THROTTLE"
      ].map((line) => `WARN RpcRetry.layerConfig: RPC_RETRY_${line}`)
      const others = [["RPC_RETRYING", "1"], ["HOME", "/"]] as const
      const flat = new Map([...env, ...others])
      const dotted = new Map(env.map(([key, value]) => [key.replace("RPC_RETRY_", "RPC_RETRY."), value] as const))
      const providers = [
        ConfigProvider.fromMap(flat, { pathDelim: "_" }),
        ConfigProvider.fromMap(flat, { pathDelim: "_" }).pipe(ConfigProvider.constantCase),
        ConfigProvider.fromMap(dotted)
      ]
      for (const provider of providers) {
        const warnings = yield* warningsOf(provider)
        assert.deepStrictEqual(warnings.toSorted(), expected)
      }
    }))

  it.effect("no key that exists is warned of, nested or not, and a provider that cannot list its keys is none to warn of", () =>
    Effect.gen(function*() {
      const values = {
        DEADLINE: "1s",
        RETRY_ON: "Custom",
        ATTEMPT_TIMEOUT: "1s",
        MAX_SERVER_DELAY: "1s",
        BREAKER: "off",
        BULKHEAD: "off",
        THROTTLE: "off",
        HEDGE: "off"
      }
      const env = new Map(Object.entries(values).map(([key, value]) => [`APP_RPC_RETRY_${key}`, value]))
      const nested = ConfigProvider.fromMap(env, { pathDelim: "_" }).pipe(ConfigProvider.nested("APP"))
      assert.deepStrictEqual(yield* warningsOf(nested), [])
      const empty = ConfigProvider.fromMap(new Map())
      assert.deepStrictEqual(yield* warningsOf(empty), [])
      const unlisted = ConfigProvider.fromFlat(ConfigProvider.makeFlat({
        ...empty.flattened,
        enumerateChildren: () => Effect.die("no list")
      }))
      assert.deepStrictEqual(yield* warningsOf(unlisted), [])
    }))

  it.effect("a bad value is a ConfigError that names it", () =>
    Effect.gen(function*() {
      for (
        const [key, value, says] of [
          ["RPC_RETRY_DEADLINE", "-1s", "deadline must not be negative"],
          ["RPC_RETRY_RETRIES", "many", "RETRIES"],
          [
            "RPC_RETRY_JITTER",
            "fulll",
            `must be "none", "full", "equal" or an object, got "fulll", did you mean full?`
          ],
          ["RPC_RETRY_IDEMPOTENT", "maybe", "must be true or false, got maybe"],
          ["RPC_RETRY_RETRY_ON", "Refused", `must be "ConnectionRefused", "ConnectionLost"`],
          ["RPC_RETRY_BUDGET", "of", `must be "off", "traffic" or a number, got of`],
          ["RPC_RETRY_BUDGET", "0", "capacity must be a number from 1 to"],
          ["RPC_RETRY_RETRIES", "-2", "must be an integer of at least 0, got -2"],
          ["RPC_RETRY_METHODS", "{", "is not JSON"],
          ["RPC_RETRY_METHODS", `{"*.x":{}}`, "is not a method"],
          [
            "RPC_RETRY_BREAKER",
            "of",
            `(Invalid data at RPC_RETRY.BREAKER: "must be "off" or options as JSON, but is not JSON`
          ],
          [
            "RPC_RETRY_BREAKER",
            `{"openFor":0}`,
            "BREAKER: \"RpcRetry.decode: breaker.openFor must be greater than zero"
          ],
          ["RPC_RETRY_BULKHEAD", `{"concurrency":1}`, "bulkhead.queue is missing"],
          [
            "RPC_RETRY_HEDGE",
            `{"after":"5ms"}`,
            "HEDGE: \"RpcRetry.decode: default.hedge needs idempotent: true beside it"
          ],
          [
            "RPC_RETRY_HEDGE",
            "on",
            `(Invalid data at RPC_RETRY.HEDGE: "must be "off" or options as JSON, but is not JSON`
          ],
          ["RPC_RETRY_THROTTLE", `{"k":1}`, "throttle.k must be a number of at least 1.5, got 1"]
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
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel._tag === "Warning" && String(message).startsWith("RpcRetry: ")) {
          warnings.push(`${logLevel.label} ${String(message)}`)
        }
      })
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
        Effect.provide(RpcRetry.layerReloadable(Stream.fromQueue(documents), { budget: "off" })),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    }))

  it.effect("what code says of a method holds before the first document, and under each", () =>
    Effect.gen(function*() {
      const documents = yield* Queue.unbounded<unknown>()
      const put = (document: unknown) => Effect.zipRight(Queue.offer(documents, document), TestClock.adjust(0))
      const inForce = Effect.map(RpcRetry.policies, (policies) =>
        policies.map(({ name, policy: { deadline, idempotent } }) => [
          name,
          idempotent,
          deadline && Duration.toMillis(deadline)
        ]))
      yield* Effect.gen(function*() {
        assert.deepStrictEqual((yield* inForce)[1], ["A.B", false, undefined])
        yield* put({ methods: { "A.B": { deadline: "1s" } } })
        assert.deepStrictEqual((yield* inForce)[1], ["A.B", false, 1000])
        yield* RpcRetry.update("A.B", { deadline: "3 seconds" })
        yield* RpcRetry.remove("A.B")
        assert.deepStrictEqual((yield* inForce)[1], ["A.B", false, 1000])
        yield* put({})
        assert.deepStrictEqual((yield* inForce)[1], ["A.B", false, undefined])
      }).pipe(
        Effect.provide(RpcRetry.layerReloadable(Stream.fromQueue(documents), {
          methods: { "A.B": { idempotent: false } }
        }))
      )
      assert.throws(() =>
        RpcRetry.layerReloadable(Stream.empty, { default: { deadline: -1 } }), "deadline must not")
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
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning" && String(message).startsWith("RpcRetry: ")) {
        warnings.push(String(message))
      }
    })
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

  it.effect("a breaker that is open stays open under a document that says the same of it", () =>
    Effect.gen(function*() {
      const documents = yield* Queue.unbounded<unknown>()
      const put = (document: object) => Effect.zipRight(Queue.offer(documents, document), TestClock.adjust(1))
      const breaker = { trip: { consecutive: 1 }, openFor: "1m", rampUp: "2s" }
      const reason = Effect.map(Effect.flip(Faults.refused.pipe(withRpcRetry({ method: "A.B" }))), (end) => end.reason)
      const default_ = { schedule: "none" }
      yield* following(Stream.fromQueue(documents), () =>
        Effect.gen(function*() {
          yield* put({ default: default_, breaker })
          assert.deepStrictEqual([yield* reason, yield* reason], ["AttemptsExhausted", "CircuitOpen"])
          yield* put({ default: { ...default_, deadline: "1s" }, breaker: { ...breaker, rampUp: 2000 }, throttle: {} })
          assert.strictEqual(yield* reason, "CircuitOpen")
          yield* put({ default: default_, breaker: { ...breaker, openFor: "2m" } })
          assert.strictEqual(yield* reason, "AttemptsExhausted")
          yield* put({ default: default_, breaker: "off" })
          assert.deepStrictEqual([yield* reason, yield* reason], ["AttemptsExhausted", "AttemptsExhausted"])
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
