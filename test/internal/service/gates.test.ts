/**
 * The circuit breakers, bulkheads and throttles that a layer makes, one for each destination.
 */
import {
  Bulkhead,
  type CallRejected,
  CircuitBreaker,
  InvalidOption,
  Retryable,
  RetryEvent,
  RpcRetry,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Lab from "../../support/lab.js"
import { assert, describe, it } from "../../support/vitest.js"

const failing = Effect.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent" }))

/** Opens at the first failure, for an hour. */
const breaker: CircuitBreaker.Options = {
  trip: CircuitBreaker.consecutive(1),
  openFor: "1 hour",
  jitter: 0,
  rampUp: 0
}
const bulkhead: Bulkhead.Options = { concurrency: 1, queue: 0 }

/** One attempt, without a budget. */
const plain = { budget: "off", default: { schedule: Schedule.stop, logs: false } } as const

const once = { schedule: Schedule.stop, logs: false } as const

type Options = RpcRetry.Options

/** A failure, as the server's. */
const fail = (method: string | undefined, options?: Options) =>
  Effect.ignore(failing.pipe(withRpcRetry({ ...options, method })))

/** What becomes of a call to a server that is well: `sent`, or why it was turned away. */
const outcome = (method: string | undefined, options?: Options) =>
  Effect.succeed("sent").pipe(
    withRpcRetry({ ...options, method }),
    Effect.catchAll((error: { readonly reason: string }) => Effect.succeed(error.reason))
  )

const rejected = <E>(self: Effect.Effect<unknown, E>) =>
  Effect.map(Effect.flip(self), (error) => error as unknown as CallRejected)

/** A call that is in flight until its fiber is interrupted. */
const inFlight = (method: string, options?: Options) =>
  Effect.tap(Effect.fork(Effect.never.pipe(withRpcRetry({ ...options, method }))), () => TestClock.adjust(0))

describe("a layer", () => {
  it.effect("makes a breaker for each destination, shared by its methods", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      assert.strictEqual(yield* outcome("Users.List"), "CircuitOpen")
      assert.strictEqual(yield* outcome("Users.Admin.List"), "sent")
      assert.strictEqual(yield* outcome("Orders.Get"), "sent")
      assert.strictEqual(yield* outcome(undefined), "sent")
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker }))))

  it.effect("makes a bulkhead for each destination, shared by its methods", () =>
    Effect.gen(function*() {
      const fiber = yield* inFlight("Users.Get")
      assert.strictEqual(yield* outcome("Users.List"), "BulkheadFull")
      assert.strictEqual(yield* outcome("Orders.Get"), "sent")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* outcome("Users.List"), "sent")
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, bulkhead }))))

  it.effect("makes a throttle for each destination, shared by its methods", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      yield* outcome("Users.List")
      yield* outcome("Orders.Get")
      const { throttles } = yield* RpcRetry.inspect
      assert.deepStrictEqual(
        throttles.filter(({ calls }) => calls > 0),
        [{ destination: "Users", calls: 2, accepts: 1, rejecting: 0 }, {
          destination: "Orders",
          calls: 1,
          accepts: 1,
          rejecting: 0
        }]
      )
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, throttle: {} }))))

  it.effect("makes none of them unless it is told to", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 100; i++) {
        yield* fail("Users.Get")
      }
      assert.strictEqual(yield* outcome("Users.Get"), "sent")
      const { breakers, bulkheads, throttles } = yield* RpcRetry.inspect
      assert.deepStrictEqual([breakers, bulkheads, throttles], [[], [], []])
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker: "off", bulkhead: "off", throttle: "off" }))))

  it.effect("lets calls pass an allowing breaker, which is told of them (Kitex breaker 89)", () =>
    Effect.gen(function*() {
      yield* outcome("Users.Get")
      yield* fail("Users.Get")
      const { breakers } = yield* RpcRetry.inspect
      assert.deepStrictEqual(breakers.find(({ destination }) => destination === "Users"), {
        destination: "Users",
        state: "Closed",
        failures: 1,
        rate: 0.5,
        retryIn: null
      })
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker: {} }))))

  it.effect("turns a call away whose breaker does not allow it: nothing is sent, and the error says why (Kitex breaker 90)", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      yield* TestClock.adjust("15 minutes")
      const call = yield* Faults.script([Effect.succeed("sent")])
      const error = yield* rejected(call.pipe(withRpcRetry({ method: "Users.List" })))
      assert.deepStrictEqual(
        [error._tag, error.method, error.reason, Duration.toMinutes(error.retryIn!)],
        ["CallRejected", "Users.List", "CircuitOpen", 45]
      )
      assert.strictEqual(yield* call.attempts, 0)
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker }))))

  it.effect("off frees a method, whose calls the breaker is not asked about (Kitex breaker 88)", () =>
    Effect.gen(function*() {
      yield* fail("Users.Ping")
      assert.strictEqual(yield* outcome("Users.Get"), "sent")
      yield* fail("Users.Get")
      assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
      assert.strictEqual(yield* outcome("Users.Ping"), "sent")
      assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
      const fiber = yield* inFlight("Orders.Get")
      assert.strictEqual(yield* outcome("Orders.Get"), "BulkheadFull")
      assert.strictEqual(yield* outcome("Orders.Ping"), "sent")
      assert.strictEqual(yield* outcome("Orders.Get", { bulkhead: "off" }), "sent")
      yield* Fiber.interrupt(fiber)
      const calls = Effect.map(
        RpcRetry.inspect,
        ({ throttles }) => throttles.find(({ destination }) => destination === "Orders")?.calls
      )
      const before = yield* calls
      yield* outcome("Orders.Ping")
      yield* outcome("Orders.Get", { throttle: "off" })
      assert.strictEqual(yield* calls, before)
    }).pipe(
      Effect.provide(RpcRetry.layer({
        ...plain,
        breaker,
        bulkhead,
        throttle: {},
        methods: {
          "Users.Ping": { breaker: "off" },
          "Orders.Ping": { breaker: "off", bulkhead: "off", throttle: "off" }
        }
      }))
    ))

  it.effect("off for the retries of a method does not free it of its breaker", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
    }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", breaker, methods: { "Users.Get": "off" } }))))

  it.effect("an own one of a policy comes before that of the layer, and one in the options of a call before both", () =>
    Effect.gen(function*() {
      const ofPolicy = yield* CircuitBreaker.make(breaker)
      const ofCall = yield* CircuitBreaker.make(breaker)
      const ownBulkhead = yield* Bulkhead.make(bulkhead)
      const ownThrottle = yield* Throttle.make()
      const layer = RpcRetry.layer({
        ...plain,
        breaker,
        bulkhead,
        throttle: {},
        methods: { "Users.Get": { breaker: ofPolicy, bulkhead: ownBulkhead, throttle: ownThrottle } }
      })
      yield* Effect.gen(function*() {
        yield* ofPolicy.open
        assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
        assert.strictEqual(yield* outcome("Users.List"), "sent")
        assert.strictEqual(yield* outcome("Users.Get", { breaker: ofCall }), "sent")
        yield* ofCall.open
        yield* ofPolicy.close
        assert.strictEqual(yield* outcome("Users.Get", { breaker: ofCall }), "CircuitOpen")
        assert.strictEqual(yield* outcome("Users.Get"), "sent")
        const fiber = yield* inFlight("Users.List")
        assert.strictEqual(yield* outcome("Users.List"), "BulkheadFull")
        assert.strictEqual(yield* outcome("Users.Get"), "sent")
        assert.strictEqual(yield* outcome("Users.List", { bulkhead: ownBulkhead }), "sent")
        yield* Fiber.interrupt(fiber)
        // two were turned away by a breaker, and the one with a bulkhead of its own had another throttle
        assert.strictEqual(yield* ownThrottle.calls, 5)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("a thousand destinations have their own, those beyond have none", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, i) => i),
        (i) => outcome(`S${i}.M`),
        { discard: true }
      )
      yield* fail("S5.M")
      assert.strictEqual(yield* outcome("S5.N"), "CircuitOpen")
      assert.strictEqual(yield* outcome("S6.M"), "sent")
      yield* fail("S2000.M")
      assert.strictEqual(yield* outcome("S2000.M"), "sent")
      assert.strictEqual(yield* outcome("S6.M"), "sent")
      const { breakers } = yield* RpcRetry.inspect
      assert.deepStrictEqual([breakers.length, breakers.at(-1)?.destination], [1000, "S999"])
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker }))))

  it.effect("makes them lazily, and each build has its own (Kitex breaker 93)", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({ ...plain, breaker, bulkhead, throttle: {} })
      const twice = Effect.gen(function*() {
        const { breakers, bulkheads, throttles } = yield* RpcRetry.inspect
        assert.deepStrictEqual(
          [breakers, bulkheads, throttles].map((all) => all.some(({ destination }) => destination === "Users")),
          [false, false, false]
        )
        yield* fail("Users.Get")
        return yield* outcome("Users.Get")
      })
      assert.strictEqual(yield* twice.pipe(Effect.provide(layer)), "CircuitOpen")
      assert.strictEqual(yield* twice.pipe(Effect.provide(layer)), "CircuitOpen")
    }))
})

describe("bad options of the gates of a layer", () => {
  const refused: ReadonlyArray<[options: object, message: string]> = [
    [{ breaker: { trip: 5 } }, "breaker.trip must be one of CircuitBreaker.consecutive or CircuitBreaker.rate, got 5"],
    [{ breaker: { openFor: -1 } }, "breaker.openFor must not be negative, got -1"],
    [{ breaker: { jitter: 2 } }, "breaker.jitter must be a number"],
    [{ breaker: { probes: 0 } }, "breaker.probes must be an integer"],
    [{ breaker: { treshold: 1 } }, "breaker.treshold is not an option"],
    [{ breaker: "on" }, "breaker must be \"off\" or options, got on"],
    [{ breaker: null }, "breaker must be \"off\" or options, got null"],
    [{ bulkhead: { concurrency: 0, queue: 1 } }, "bulkhead.concurrency must be an integer"],
    [{ bulkhead: { concurrency: 1 } }, "bulkhead.queue must be"],
    [{ bulkhead: { concurrency: 1, queue: 1, adaptive: { floor: 2 } } }, "bulkhead.adaptive.floor must be"],
    [{ bulkhead: 10 }, "bulkhead must be \"off\" or options, got 10"],
    [{ throttle: { k: 1 } }, "throttle.k must be a number of at least 1.5, got 1"],
    [{ throttle: { window: 0 } }, "throttle.window must be greater than zero, got 0"],
    [{ throttle: true }, "throttle must be \"off\" or options, got true"],
    [{ default: { breaker: {} } }, "breaker must be a CircuitBreaker or \"off\", got [object Object]"],
    [{ methods: { "A.B": { bulkhead: "on" } } }, "A.B.bulkhead must be a Bulkhead or \"off\", got on"],
    [{ methods: { "A.*": { throttle: {} } } }, "A.*.throttle must be a Throttle or \"off\", got [object Object]"]
  ]
  for (const [options, message] of refused) {
    it(`${JSON.stringify(options)}: ${message}`, () => {
      assert.throws(() => RpcRetry.layer(options as never), InvalidOption, message)
      assert.throws(() => RpcRetry.make(options as never), InvalidOption, message)
      assert.throws(() => RpcRetry.layerConfig(options as never), InvalidOption, message)
      assert.throws(() => RpcRetry.layerReloadable(Stream.empty, options as never), InvalidOption, message)
    })
  }

  it.effect("of a method are an error of update, which changes nothing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(RpcRetry.update("Users.Get", { breaker: {} as never }))
      assert.deepStrictEqual([error._tag, error.field], ["InvalidOption", "Users.Get.breaker"])
      assert.strictEqual((yield* RpcRetry.policies).length, 1)
    }).pipe(Effect.provide(RpcRetry.layer(plain))))
})

describe("gates while the program runs", () => {
  it.effect("an update and a remove of other things keep the state of breakers, bulkheads and throttles", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      const fiber = yield* inFlight("Orders.Get")
      const calls = Effect.map(
        RpcRetry.inspect,
        ({ throttles }) => throttles.find(({ destination }) => destination === "Users")?.calls
      )
      const before = (yield* calls)!
      for (
        const change of [
          RpcRetry.update("Users.Get", { deadline: "1 second" }),
          RpcRetry.update("*", "off"),
          RpcRetry.remove("Users.Get")
        ]
      ) {
        yield* change
        assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
        assert.strictEqual(yield* outcome("Orders.Get"), "BulkheadFull")
      }
      assert.strictEqual(yield* calls, before + 3)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* outcome("Orders.Get"), "sent")
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker, bulkhead, throttle: {} }))))

  it.effect("calls reach the server once the breaker of a method is off, and do not once it is back (Kitex breaker 96)", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
      yield* RpcRetry.update("Users.Get", { breaker: "off" })
      assert.strictEqual(yield* outcome("Users.Get"), "sent")
      assert.strictEqual(yield* outcome("Users.List"), "CircuitOpen")
      yield* RpcRetry.remove("Users.Get")
      assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker }))))

  it.effect("a call in flight passes the breaker that it started with, though it is off by now", () =>
    Effect.gen(function*() {
      const call = yield* Effect.fork(
        Effect.exit(Effect.delay(failing, 10).pipe(withRpcRetry({ method: "Users.Get", schedule: Schedule.spaced(1) })))
      )
      yield* TestClock.adjust(5)
      yield* RpcRetry.update("Users.Get", { breaker: "off" })
      yield* TestClock.adjust(5)
      assert.include(String(yield* Fiber.join(call)), "CircuitOpen")
    }).pipe(Effect.provide(RpcRetry.layer({ ...plain, breaker }))))

  const documentOf = {
    breaker: { trip: { consecutive: 1 }, openFor: "1 hour", jitter: 0 },
    bulkhead: { concurrency: 1, queue: 0 },
    throttle: { window: "1 hour" },
    budget: { capacity: 5 }
  }

  /** Runs with a layer that follows the documents that are put. */
  const reloading = <A, E>(
    use: (put: (document: object) => Effect.Effect<void>) => Effect.Effect<A, E>,
    inCode: RpcRetry.LayerOptions = {}
  ) =>
    Effect.gen(function*() {
      const documents = yield* Queue.unbounded<unknown>()
      const put = (document: object) => Effect.zipRight(Queue.offer(documents, document), TestClock.adjust(0))
      return yield* use(put).pipe(
        Effect.provide(RpcRetry.layerReloadable(Stream.fromQueue(documents), inCode))
      )
    })

  /** What is known of `Users`, after a failure and with a call in flight elsewhere. */
  const state = Effect.map(RpcRetry.inspect, ({ breakers, budgets, bulkheads, throttles }) => {
    const of = <One extends { readonly destination: string }>(all: ReadonlyArray<One>) =>
      all.find(({ destination }) => destination === "Users")
    return {
      budget: Math.round(of(budgets)?.level ?? NaN),
      breaker: of(breakers)?.state,
      bulkhead: of(bulkheads)?.inFlight,
      throttle: of(throttles)?.calls
    }
  })
  const used = { budget: 4, breaker: "Open", bulkhead: 1, throttle: 3 } as const
  const fresh = { budget: 5, breaker: "Closed", bulkhead: 0, throttle: 0 } as const

  /** Uses each of the four of `Users`: a retry, a failure, a call in flight, calls. */
  const use = Effect.gen(function*() {
    const twice = yield* Faults.script([failing, Effect.void])
    yield* twice.pipe(
      withRpcRetry({ method: "Users.Get", schedule: Schedule.recurs(1), breaker: "off", logs: false })
    )
    const fiber = yield* inFlight("Users.Get", { ...once, breaker: "off" })
    yield* fail("Users.Get", { ...once, bulkhead: "off" })
    return fiber
  })

  for (
    const [kind, other] of [
      ["budget", { capacity: 5, ratio: 0.2 }],
      ["breaker", { trip: { consecutive: 2 }, openFor: "1 hour", jitter: 0 }],
      ["bulkhead", { concurrency: 2, queue: 0 }],
      ["throttle", { window: "2 hours" }]
    ] as const
  ) {
    it.effect(`a document with another ${kind} makes new ones of that kind, and keeps the others`, () =>
      reloading((put) =>
        Effect.gen(function*() {
          yield* put(documentOf)
          const fiber = yield* use
          assert.deepStrictEqual(yield* state, used)
          yield* put({ ...documentOf, methods: { "Orders.Get": "off" }, default: { deadline: "1 minute" } })
          yield* outcome("Users.Get", { throttle: "off", bulkhead: "off" })
          assert.deepStrictEqual(yield* state, used)
          yield* put({ ...documentOf, [kind]: other })
          yield* outcome("Users.Get", { ...once, throttle: "off", bulkhead: "off", breaker: "off", budget: undefined })
          assert.deepStrictEqual(yield* state, { ...used, [kind]: fresh[kind] })
          yield* Fiber.interrupt(fiber)
        })
      ))
  }

  it.effect("a document that says nothing of them leaves those of the code, with their state", () =>
    reloading(
      (put) =>
        Effect.gen(function*() {
          yield* fail("Users.Get", once)
          yield* put({ default: { deadline: "1 minute" } })
          assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
          yield* put({ breaker: "off" })
          assert.strictEqual(yield* outcome("Users.Get"), "sent")
          yield* put({})
          assert.strictEqual(yield* outcome("Users.Get"), "sent")
          yield* fail("Users.Get", once)
          assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
        }),
      { breaker }
    ))

  it.effect("an open breaker that a document replaces is told of as closed, and no more after that", () =>
    reloading((put) =>
      Effect.gen(function*() {
        const events: Array<string> = []
        const listener = yield* Effect.fork(
          Stream.runForEach(
            RetryEvent.stream(),
            (event) => Effect.sync(() => void (event._tag.startsWith("Circuit") && events.push(event._tag)))
          )
        )
        yield* put(documentOf)
        const late = yield* Effect.fork(Effect.delay(failing, 10).pipe(withRpcRetry({ ...once, method: "Idle.Get" })))
        yield* fail("Users.Get", { ...once, bulkhead: "off" })
        yield* put({ ...documentOf, breaker: { trip: { consecutive: 100 } } })
        assert.include(
          (yield* Lab.metrics("Users")).find((line) => line.includes("circuit.state")),
          "rpc.client.circuit.state {} 0"
        )
        // it ends under the breaker that it started with
        yield* TestClock.adjust(10)
        yield* Fiber.await(late)
        yield* put({ ...documentOf, breaker: "off" })
        yield* TestClock.adjust(0)
        yield* Fiber.interrupt(listener)
        assert.deepStrictEqual(events, ["CircuitOpened", "CircuitClosed"])
      })
    ))
})

describe("inspect", () => {
  it.effect("lists breakers, bulkheads and throttles as JSON has them, and follows updates (Kitex breaker 102)", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get")
      yield* TestClock.adjust("20 minutes")
      const fiber = yield* inFlight("Orders.Get")
      const seen = Effect.map(RpcRetry.inspect, (inspection) => {
        const { breakers, bulkheads, policies, throttles } = JSON.parse(
          JSON.stringify(inspection)
        ) as RpcRetry.Inspection
        const named = <One extends { readonly destination: string }>(all: ReadonlyArray<One>) =>
          all.filter(({ destination }) => destination !== "")
        return {
          breakers: named(breakers),
          bulkheads: named(bulkheads),
          throttles: named(throttles),
          from: policies.map(({ from, name }) => [name, from.breaker, from.bulkhead, from.throttle])
        }
      })
      const ofBulkhead = { limit: 3, floor: 3, ceiling: 3, inFlight: 0, waiting: 0, queue: 7 }
      assert.deepStrictEqual(yield* seen, {
        breakers: [
          { destination: "Users", state: "Open", failures: 0, rate: null, retryIn: "40m" },
          { destination: "Orders", state: "Closed", failures: 0, rate: null, retryIn: null }
        ],
        bulkheads: [
          { destination: "Users", ...ofBulkhead },
          { destination: "Orders", ...ofBulkhead, inFlight: 1 }
        ],
        throttles: [
          { destination: "Users", calls: 0, accepts: 0, rejecting: 0 },
          { destination: "Orders", calls: 1, accepts: 0, rejecting: 0 }
        ],
        from: [["default", "layer", "layer", "layer"]]
      })
      yield* RpcRetry.update("Users.Get", { breaker: "off" })
      yield* TestClock.adjust("41 minutes")
      const after = yield* seen
      assert.deepStrictEqual(after.from, [
        ["default", "layer", "layer", "layer"],
        ["Users.Get", "Users.Get", "layer", "layer"]
      ])
      assert.deepStrictEqual(after.breakers[0], {
        destination: "Users",
        state: "HalfOpen",
        failures: 0,
        rate: null,
        retryIn: null
      })
      yield* Fiber.interrupt(fiber)
    }).pipe(
      Effect.provide(RpcRetry.layer({ ...plain, breaker, bulkhead: { concurrency: 3, queue: 7 }, throttle: {} }))
    ))
})

describe("gates in configuration and code", () => {
  it.effect("the breaker of the code is that of layerConfig, which says nothing of it", () =>
    Effect.gen(function*() {
      yield* fail("Users.Get", once)
      assert.strictEqual(yield* outcome("Users.Get"), "CircuitOpen")
    }).pipe(Effect.provide(Layer.orDie(RpcRetry.layerConfig({ breaker })))))
})
