import { Fatal, Retryable, RetryBudget, RetryEvent, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Lab from "./support/lab.js"
import { play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

const tags = (events: Iterable<RetryEvent.RetryEvent>) => Array.from(events, ({ _tag }) => _tag)

/** Refused, then well, after 100 ms. */
const flaky = Effect.sync(() => {
  let n = 0
  return Effect.suspend(() => n++ === 0 ? Faults.refused : Effect.succeed(1))
})

const flakyCall = (options: RpcRetry.Options) => Effect.flatMap(flaky, (call) => call.pipe(withRpcRetry(options)))

const all: Array<string> = [
  "AttemptStarted",
  "AttemptFailed",
  "RetryScheduled",
  "AttemptStarted",
  "AttemptSucceeded",
  "CallSucceeded"
]

/** A layer with nothing but the stream. */
const quiet = RpcRetry.layer({ metrics: "off", budget: "off" })

/** Reads until a policy is updated. */
const listen = (options?: { readonly capacity?: number }) =>
  Effect.tap(
    Effect.fork(
      Stream.runCollect(Stream.takeUntil(RetryEvent.stream(options), ({ _tag }) => _tag === "PolicyUpdated"))
    ),
    () => TestClock.adjust(0)
  )

describe("stream", () => {
  it.effect("gives every subscriber every event, in order", () =>
    Effect.gen(function*() {
      const first = yield* listen()
      yield* play(flakyCall({ method: "Users.Get" }))
      const second = yield* listen()
      yield* play(flakyCall({ method: "Users.Get" }))
      yield* RpcRetry.update("Users.Get", "off")
      assert.deepStrictEqual(tags(yield* Fiber.join(first)), [...all, ...all, "PolicyUpdated"])
      assert.deepStrictEqual(tags(yield* Fiber.join(second)), [...all, "PolicyUpdated"])
    }).pipe(Effect.provide(quiet)))

  it.effect("numbers calls: the same for one, another for each", () =>
    Effect.gen(function*() {
      const listener = yield* listen()
      yield* play(Effect.all([flakyCall({}), flakyCall({})], { concurrency: 2 }))
      yield* RpcRetry.update("Users.Get", "off")
      const numbers = Array.from(yield* Fiber.join(listener), (event) => "call" in event ? event.call : 0)
      const counts = new Map<number, number>()
      numbers.forEach((n) => counts.set(n, (counts.get(n) ?? 0) + 1))
      assert.deepStrictEqual(Array.from(counts.values()), [all.length, all.length, 1])
    }).pipe(Effect.provide(quiet)))

  it.effect("hears of calls without a layer too", () =>
    Effect.gen(function*() {
      const listener = yield* Effect.fork(Stream.runCollect(Stream.take(RetryEvent.stream(), all.length)))
      yield* TestClock.adjust(0)
      yield* play(flakyCall({ method: "Bare.Get" }))
      const events = yield* Fiber.join(listener)
      assert.deepStrictEqual(tags(events), all)
      assert.isTrue(Chunk.every(events, (event) => "method" in event && event.method === "Bare.Get"))
    }))

  it.effect("a reader that is too slow loses the oldest, and is told how many", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const seen: Array<RetryEvent.RetryEvent> = []
      const listener = yield* Effect.fork(Stream.runForEach(RetryEvent.stream({ capacity: 3 }), (event) =>
        Effect.zipRight(
          Deferred.await(gate),
          Effect.sync(() => seen.push(event))
        )))
      yield* TestClock.adjust(0)
      yield* play(Effect.succeed(1).pipe(withRpcRetry))
      // the reader has taken the events of the first call, and waits with the first of them in its hand
      yield* play(Effect.repeatN(flakyCall({}), 9))
      yield* RpcRetry.update("Users.Get", "off")
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(listener)
      assert.deepStrictEqual(tags(seen.slice(-4)), [
        "EventsDropped",
        "AttemptSucceeded",
        "CallSucceeded",
        "PolicyUpdated"
      ])
      const lost = seen.reduce((sum, event) =>
        sum + (event._tag === "EventsDropped" ? event.count : 0), 0)
      const told = seen.filter(({ _tag }) => _tag !== "EventsDropped").length
      assert.strictEqual(lost + told, 3 + 10 * all.length + 1)
      assert.isAbove(lost, 50)
    }).pipe(Effect.provide(quiet)))

  it.effect("nothing watches a call where nobody reads, not before and not after somebody did", () =>
    Effect.gen(function*() {
      const service = yield* RpcRetry.RpcRetry
      const watched = Effect.withFiberRuntime<boolean>((fiber) =>
        Effect.succeed(service.telemetry.observer("Users.Get", service.policy("Users.Get"), fiber) !== undefined)
      )
      assert.isFalse(yield* watched)
      const reader = yield* listen()
      assert.isTrue(yield* watched)
      yield* Fiber.interrupt(reader)
      assert.isFalse(yield* watched)
    }).pipe(Effect.provide(quiet)))

  it.effect("a reader that comes in the middle of a call hears of the next one", () =>
    Effect.gen(function*() {
      const first = yield* listen()
      const call = yield* Effect.fork(Effect.sleep(100).pipe(withRpcRetry))
      yield* TestClock.adjust(50)
      const second = yield* listen()
      yield* TestClock.adjust(50)
      yield* Fiber.join(call)
      yield* RpcRetry.update("Users.Get", "off")
      assert.strictEqual((yield* Fiber.join(first)).length, 4)
      assert.deepStrictEqual(tags(yield* Fiber.join(second)), ["PolicyUpdated"])
    }).pipe(Effect.provide(quiet)))

  it.effect("a reader that never reads does not slow a call", () =>
    Effect.gen(function*() {
      const listener = yield* Effect.fork(Stream.runForEach(RetryEvent.stream(), () => Effect.never))
      yield* TestClock.adjust(0)
      const { exit, took } = yield* play(flakyCall({}))
      yield* Fiber.interrupt(listener)
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(took, 100)
    }).pipe(Effect.provide(quiet)))

  it("refuses a capacity that is none", () => {
    for (const capacity of [0, 1.5, -1, NaN, Infinity]) {
      assert.throws(() => RetryEvent.stream({ capacity }), /RetryEvent.stream: capacity must be an integer/)
    }
  })
})

describe("onEvent", () => {
  it.effect("is given each event of its calls, in order, one at a time", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      let running = 0
      const { took } = yield* play(flakyCall({
        onEvent: (event) =>
          Effect.sync(() => assert.strictEqual(++running, 1)).pipe(
            // the later ones come sooner
            Effect.zipRight(Effect.sleep(10_000 / (seen.length + 1))),
            Effect.zipRight(Effect.sync(() => {
              seen.push(event._tag)
              running--
            }))
          )
      }))
      assert.strictEqual(took, 100)
      assert.deepStrictEqual(seen, all)
    }))

  const harmful: ReadonlyArray<[name: string, onEvent: () => Effect.Effect<void>]> = [
    ["dies", () => Effect.die("a bug")],
    ["throws", () => {
      throw new Error("a bug")
    }],
    ["interrupts itself", () => Effect.interrupt],
    ["never ends", () => Effect.never],
    ["takes hours", () => Effect.sleep("3 hours")]
  ]
  for (const [name, onEvent] of harmful) {
    it.effect(`one that ${name} neither fails nor slows the call`, () =>
      Effect.gen(function*() {
        let given = 0
        const warnings: Array<string> = []
        const logger = Logger.make(({ logLevel, message }) =>
          void (logLevel._tag === "Warning" && warnings.push(String(message)))
        )
        const { exit, took } = yield* play(flakyCall({
          onEvent: () => {
            given++
            return onEvent()
          }
        })).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        assert.deepStrictEqual(exit, Exit.succeed(1))
        assert.strictEqual(took, 100)
        const ends = name !== "never ends" && name !== "takes hours"
        assert.strictEqual(given, ends ? all.length : 1)
        assert.deepStrictEqual(
          warnings,
          ends ? all.map((tag) => `onEvent failed for ${tag}`) : []
        )
      }))
  }

  it.effect("one that is too slow loses all but 1024 events, and is told how many", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const seen: Array<RetryEvent.RetryEvent> = []
      yield* play(Faults.refused.pipe(
        withRpcRetry({
          schedule: Schedule.recurs(999),
          logs: false,
          onEvent: (event) => Effect.zipRight(Deferred.await(gate), Effect.sync(() => void seen.push(event)))
        }),
        Effect.either
      ))
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      const lost = seen.reduce((sum, event) => sum + (event._tag === "EventsDropped" ? event.count : 0), 0)
      const told = seen.filter(({ _tag }) => _tag !== "EventsDropped").length
      // three for each attempt, and the end of the call
      assert.strictEqual(lost + told, 3 * 1_000 + 1)
      const dropped = seen.findIndex(({ _tag }) => _tag === "EventsDropped")
      assert.strictEqual(seen.length - dropped - 1, 1024)
      assert.strictEqual(seen.at(-1)?._tag, "CallFailed")
    }))

  it.effect("hears that the call was interrupted, after it was", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const fiber = yield* Effect.fork(flakyCall({
        onEvent: (event) => Effect.sync(() => seen.push(event._tag))
      }))
      yield* TestClock.adjust(50)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(0)
      assert.strictEqual(seen.at(-1), "CallInterrupted")
    }))

  it.effect("of the layer, of a method, of a call: the nearest one", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const to = (name: string) => () => Effect.sync(() => void seen.push(name))
      yield* Effect.gen(function*() {
        const nearer: ReadonlyArray<RpcRetry.Options> = [{}, { method: "Users.Get" }, {
          method: "Users.Get",
          onEvent: to("call")
        }]
        for (const options of nearer) {
          yield* play(Effect.succeed(1).pipe(withRpcRetry(options)))
        }
      }).pipe(Effect.provide(RpcRetry.layer({
        default: { onEvent: to("layer") },
        methods: { "Users.*": { onEvent: to("method") } }
      })))
      assert.deepStrictEqual(seen, ["layer", "method", "call"].flatMap((name) => [name, name, name]))
    }))

  it.effect("one that makes a call under the same layer is not told of that call, and neither is a reader", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      let reported = 0
      const report = Effect.suspend(() => ++reported % 2 === 0 ? Effect.void : Faults.refused).pipe(
        withRpcRetry({ method: "Audit.Report", schedule: Schedule.recurs(1) }),
        Effect.ignore
      )
      const onEvent = ({ _tag }: RetryEvent.RetryEvent) =>
        // where it is told of its own calls it never ends
        Effect.zipRight(Effect.sync(() => seen.push(_tag)), seen.length > 100 ? Effect.void : report)
      yield* Effect.gen(function*() {
        const reader = yield* listen()
        yield* play(flakyCall({}))
        assert.deepStrictEqual(seen, all)
        assert.strictEqual(reported, 2 * all.length)
        yield* RpcRetry.update("Users.Get", "off")
        assert.deepStrictEqual(tags(yield* Fiber.join(reader)), [...all, "PolicyUpdated"])
        // they are measured like others
        assert.include(
          yield* Lab.metrics("Audit"),
          `rpc.client.attempt.started {rpc.method=Audit.Report} ${2 * all.length}`
        )
      }).pipe(Effect.provide(RpcRetry.layer({ budget: "off", default: { onEvent } })))
    }))

  it.effect("sees the context of the call", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ annotations, message }) => {
        lines.push([String(message), Object.fromEntries(HashMap.toEntries(annotations))])
      })
      yield* play(
        Effect.succeed(1).pipe(
          withRpcRetry({ onEvent: ({ _tag }) => _tag === "CallSucceeded" ? Effect.log("done") : Effect.void }),
          Effect.annotateLogs("request", 7)
        )
      ).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      assert.deepStrictEqual(lines, [["done", { request: 7 }]])
    }))

  it.effect("one that dies is given the next event also where the logger throws", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const logger = Logger.make(() => {
        throw new Error("a bug")
      })
      yield* play(flakyCall({
        onEvent: ({ _tag }) => {
          seen.push(_tag)
          return Effect.zipRight(Effect.sleep(1), Effect.die("another"))
        }
      })).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      assert.deepStrictEqual(seen, all)
    }))

  it("refuses what is no function", () => {
    assert.throws(
      () => withRpcRetry({ onEvent: "log" as never }),
      /RetryPolicy.make: onEvent must be a function, got log/
    )
  })
})

/** Interrupts a fiber before its operation number k. */
class InterruptAt extends Scheduler.MixedScheduler {
  hit = false
  private n = 0
  private readonly k: number
  constructor(k: number) {
    super(2048)
    this.k = k
  }
  override shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>) {
    if (++this.n !== this.k) {
      return false as const
    }
    this.hit = true
    fiber.unsafeInterruptAsFork(FiberId.none)
    return 1
  }
}

describe("what events say in rare cases", () => {
  for (const spans of [false, true]) {
    it.live(`every attempt and every call has one end, interrupted before any operation${spans ? ", with spans" : ""}`, () =>
      Effect.gen(function*() {
        const service = RpcRetry.make({ budget: "off" })
        let k = 0
        for (let hit = true; hit;) {
          const scheduler = new InterruptAt(++k)
          const seen: Array<string> = []
          yield* Effect.gen(function*() {
            const reader = yield* Effect.fork(
              Stream.runForEach(RetryEvent.stream(), ({ _tag }) => Effect.sync(() => seen.push(_tag)))
            )
            yield* Effect.sleep(1)
            const call = Faults.refused.pipe(
              withRpcRetry({ method: "Op.Get", spans, logs: false, schedule: Schedule.recurs(1) })
            )
            yield* Effect.exit(Fiber.join(yield* Effect.fork(Effect.withScheduler(call, scheduler))))
            yield* Effect.sleep(1)
            yield* Fiber.interrupt(reader)
          }).pipe(Effect.provideService(RpcRetry.RpcRetry, service))
          const count = (tags: ReadonlyArray<string>) => seen.filter((tag) => tags.includes(tag)).length
          const ends = count(["CallSucceeded", "CallFailed", "CallInterrupted"])
          assert.isTrue(ends === 1 || seen.length === 0, `before operation ${k}: ${seen.join(", ")}`)
          hit = scheduler.hit
        }
        assert.isAbove(k, 20)
      }))
  }

  it.effect("a retried call inside another has events of its own, and is an answer's end for the outer one", () =>
    Effect.gen(function*() {
      const inner = Faults.refused.pipe(withRpcRetry({ method: "Inner.Get", schedule: Schedule.stop }))
      const { events } = yield* Lab.watching(inner.pipe(withRpcRetry({ method: "Outer.Get" })), { budget: "off" })
      assert.deepStrictEqual(events.map((line) => line.split(" ").slice(1, 3).join(" ")), [
        "AttemptStarted Outer.Get#1",
        "AttemptStarted Inner.Get#2",
        "AttemptFailed Inner.Get#2",
        "RetryRefused Inner.Get#2",
        "CallFailed Inner.Get#2",
        "AttemptFailed Outer.Get#1",
        "CallFailed Outer.Get#1"
      ])
      assert.include(events[5], "outcome=exhausted reason=AttemptsExhausted")
    }))

  it.effect("a Retryable beside a Fatal is not what the call is said to have failed with", () =>
    Effect.gen(function*() {
      const fatal = new Fatal({ reason: "NotFound", message: "no such table" })
      const call = Effect.failCause(
        Cause.parallel(Cause.fail(new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })), Cause.fail(fatal))
      ).pipe(
        withRpcRetry({ method: "Users.Get" })
      )
      const { events, logs } = yield* Lab.watching(call, { budget: "off" })
      assert.include(events[1], "AttemptFailed Users.Get#1 attempt=1 took=0 outcome=fatal reason=NotFound")
      assert.include(events[2], "CallFailed Users.Get#1 attempts=1 elapsed=0 waited=0 outcome=fatal reason=NotFound")
      assert.deepStrictEqual(logs, [
        "DEBUG Users.Get: not retried: no such table [NotFound] {reason=NotFound method=Users.Get}"
      ])
    }))

  it.effect("a delay that took longer than asked for counts as waited", () =>
    Effect.gen(function*() {
      const schedule = Schedule.spaced(50).pipe(Schedule.tapInput(() => Effect.sleep(200)))
      const { events } = yield* Lab.watching(
        Faults.refused.pipe(withRpcRetry({ method: "Users.Get", schedule, deadline: 100 })),
        { budget: "off" }
      )
      assert.include(events.at(-1), "CallFailed Users.Get#1 attempts=1 elapsed=250 waited=250 outcome=exhausted")
    }))

  it.effect("BudgetLow is said once each time a budget falls below a quarter, whichever step lowers it", () =>
    Effect.gen(function*() {
      const low = (events: ReadonlyArray<string>) => events.filter((line) => line.includes("BudgetLow"))
      const call = Effect.exit(Faults.refused.pipe(withRpcRetry({ method: "Users.Get" })))
      // gRPC's is lowered by failures, the last of which no retry follows
      const grpc = yield* Lab.watching(Effect.repeatN(call, 5), {
        budget: RetryBudget.grpc({ maxTokens: 10, tokenRatio: 0.1 }),
        default: { schedule: Schedule.recurs(1) }
      })
      assert.deepStrictEqual(low(grpc.events), ["0 BudgetLow Users.Get#2 level=6 capacity=10"])
      // a fed one by retries that are paid for: 9 of 12 leave a quarter, which is not low
      const alone = yield* Lab.watching(call, {
        budget: RetryBudget.make({ capacity: 12, ratio: 0, regainEvery: "100000000 days" }),
        default: { schedule: Schedule.recurs(100) }
      })
      assert.deepStrictEqual(low(alone.events), ["0 BudgetLow Users.Get#1 level=2 capacity=12"])
      // others spend while the schedule takes its time
      const slow = Schedule.recurs(1).pipe(Schedule.tapInput(() => Effect.sleep(5)))
      const fed = yield* Lab.watching(Effect.all([call, call, call, call], { concurrency: "unbounded" }), {
        budget: RetryBudget.make({ capacity: 4, ratio: 0, regainEvery: "100000000 days" }),
        default: { schedule: slow }
      })
      assert.strictEqual(low(fed.events).length, 1)
    }))

  it.effect("an attempt that interrupts itself interrupts the call", () =>
    Effect.gen(function*() {
      const { events } = yield* Lab.watching(Effect.interrupt.pipe(withRpcRetry({ method: "Users.Get" })), {
        budget: "off"
      })
      assert.deepStrictEqual(events, [
        "0 AttemptStarted Users.Get#1 attempt=1",
        "0 CallInterrupted Users.Get#1 attempts=1 elapsed=0 waited=0 during=attempt took=0"
      ])
    }))

  it.effect("an interrupted attempt whose finalizer dies has failed", () =>
    Effect.gen(function*() {
      const call = Effect.never.pipe(
        Effect.onInterrupt(() => Effect.die("a bug")),
        withRpcRetry({ method: "Users.Get" })
      )
      const { events } = yield* Lab.watching(
        Effect.fork(call).pipe(Effect.tap(() => Effect.sleep(10)), Effect.flatMap(Fiber.interrupt)),
        { budget: "off" }
      )
      assert.deepStrictEqual(events, [
        "0 AttemptStarted Users.Get#1 attempt=1",
        "10 AttemptFailed Users.Get#1 attempt=1 took=10 outcome=defect cause=Error: a bug",
        "10 CallFailed Users.Get#1 attempts=1 elapsed=10 waited=0 outcome=defect cause=Error: a bug"
      ])
    }))

  it.effect("of attempts that fail in several ways the reason is that of the error which decides", () =>
    Effect.gen(function*() {
      const sent = new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })
      const notSent = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })
      const call = Effect.failCause(Cause.parallel(Cause.fail(notSent), Cause.fail(sent))).pipe(
        withRpcRetry({ method: "Users.Get", idempotent: false })
      )
      const { events, logs } = yield* Lab.watching(call, { budget: "off" })
      assert.include(events[1], "reason=ConnectionLost")
      assert.include(events[2], "reason=NotIdempotent error=connection lost")
      assert.include(logs[0], "connection lost")
    }))
})
