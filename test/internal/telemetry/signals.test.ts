/**
 * What can be said of metrics, spans and logs, and where their limits are.
 */
import { Fatal, type Retryable, RetryBudget, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Schedule from "effect/Schedule"
import * as Lab from "../../support/lab.js"
import { play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const ok: Effect.Effect<number, Retryable | Fatal> = Effect.succeed(1)

const names = (lines: ReadonlyArray<string>) => lines.map((line) => line.split(" ")[0])

describe("metrics", () => {
  it.effect("are on in a layer, and off where it says so", () =>
    Effect.gen(function*() {
      yield* ok.pipe(withRpcRetry({ method: "MetricsOn.Get" }), Effect.provide(RpcRetry.layer()))
      yield* ok.pipe(withRpcRetry({ method: "MetricsOff.Get" }), Effect.provide(RpcRetry.layer({ metrics: "off" })))
      yield* ok.pipe(withRpcRetry({ method: "MetricsBare.Get" }))
      assert.deepStrictEqual(names(yield* Lab.metrics("MetricsOn")), [
        "rpc.client.attempt.duration",
        "rpc.client.attempt.started",
        "rpc.client.call.attempts",
        "rpc.client.call.duration",
        "rpc.client.retry.budget"
      ])
      yield* ok.pipe(
        withRpcRetry({ method: "MetricsOff.Get" }),
        Effect.provide(RpcRetry.layerConfig({ metrics: "off" }))
      )
      assert.deepStrictEqual(yield* Lab.metrics("MetricsOff"), [])
      assert.deepStrictEqual(yield* Lab.metrics("MetricsBare"), [])
    }))

  it.effect("are on in layers from documents", () =>
    Effect.gen(function*() {
      yield* ok.pipe(withRpcRetry({ method: "MetricsConfig.Get" }), Effect.provide(RpcRetry.layerConfig()))
      yield* ok.pipe(
        withRpcRetry({ method: "MetricsService.Get" }),
        Effect.provide(RpcRetry.layerServiceConfig({ methodConfig: [] }))
      )
      assert.include(names(yield* Lab.metrics("MetricsConfig")), "rpc.client.call.duration")
      assert.include(names(yield* Lab.metrics("MetricsService")), "rpc.client.call.duration")
    }))

  it.effect("have the boundaries that OpenTelemetry advises, and one for each attempt up to five", () =>
    Effect.gen(function*() {
      yield* ok.pipe(withRpcRetry({ method: "MetricsBounds.Get" }), Effect.provide(RpcRetry.layer()))
      const boundaries = (name: string) =>
        Effect.map(Metric.snapshot, (pairs) => {
          const pair = pairs.find(({ metricKey }) =>
            metricKey.name === name && metricKey.tags.some(({ value }) => value === "MetricsBounds.Get")
          )
          assert.isTrue(pair !== undefined && MetricState.isHistogramState(pair.metricState))
          return (pair!.metricState as MetricState.MetricState.Histogram).buckets.map(([boundary]) => boundary)
        })
      const seconds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, Infinity]
      assert.deepStrictEqual(yield* boundaries("rpc.client.call.duration"), seconds)
      assert.deepStrictEqual(yield* boundaries("rpc.client.attempt.duration"), seconds)
      assert.deepStrictEqual(yield* boundaries("rpc.client.call.attempts"), [1, 2, 3, 4, 5, 10, Infinity])
    }))

  it.effect("carry the labels of Effect.tagMetrics", () =>
    Effect.gen(function*() {
      yield* ok.pipe(
        withRpcRetry({ method: "MetricsTagged.Get" }),
        Effect.tagMetrics("tenant", "blue"),
        Effect.provide(RpcRetry.layer({ budget: "off" }))
      )
      assert.deepStrictEqual(yield* Lab.metrics("MetricsTagged"), [
        "rpc.client.attempt.duration {rpc.method=MetricsTagged.Get rpc.outcome=success tenant=blue} 1 in all 0",
        "rpc.client.attempt.started {rpc.method=MetricsTagged.Get tenant=blue} 1",
        "rpc.client.call.attempts {rpc.method=MetricsTagged.Get rpc.outcome=success tenant=blue} 1 in all 1",
        "rpc.client.call.duration {rpc.method=MetricsTagged.Get rpc.outcome=success tenant=blue} 1 in all 0"
      ])
    }))

  /** How many attempts of this name were counted in this process, by whatever test. */
  const startedOf = (name: string) =>
    Effect.map(Lab.metrics(name), (lines) => {
      const line = lines.find((line) => line.startsWith(`rpc.client.attempt.started {rpc.method=${name}}`))
      return Number(line?.split(" ").at(-1) ?? 0)
    })

  it.effect("of a call without a name are those of unnamed", () =>
    Effect.gen(function*() {
      const before = yield* startedOf("unnamed")
      yield* ok.pipe(withRpcRetry, Effect.provide(RpcRetry.layer({ budget: "off" })))
      yield* ok.pipe(withRpcRetry({ method: "Ping" }), Effect.provide(RpcRetry.layer({ budget: "off" })))
      assert.strictEqual(yield* startedOf("unnamed"), before + 1)
      // its destination is as that of a call without a name
      assert.include(yield* Lab.metrics("unnamed"), "rpc.client.attempt.started {rpc.method=Ping} 1")
    }))

  it.effect("of methods beyond maxMethods are counted as other", () =>
    Effect.gen(function*() {
      const before = yield* startedOf("other")
      const layer = RpcRetry.layer({ metrics: { maxMethods: 2 } })
      yield* Effect.forEach(
        ["A", "B", "C", "D", "A"],
        (name) => ok.pipe(withRpcRetry({ method: `MetricsMany.${name}` })),
        { discard: true }
      ).pipe(Effect.provide(layer))
      assert.deepStrictEqual((yield* Lab.metrics("MetricsMany")).filter((line) => line.includes("attempt.started")), [
        "rpc.client.attempt.started {rpc.method=MetricsMany.A} 2",
        "rpc.client.attempt.started {rpc.method=MetricsMany.B} 1"
      ])
      assert.strictEqual(yield* startedOf("other"), before + 2)
      // many destinations have many budgets, and one gauge would show any of them
      assert.notInclude(names(yield* Lab.metrics("other")), "rpc.client.retry.budget")
    }))

  it.effect("the gauge is of the budget of the destination, not of one that a policy brings along", () =>
    Effect.gen(function*() {
      const own = yield* RetryBudget.make({ capacity: 100 })
      yield* Effect.gen(function*() {
        yield* ok.pipe(withRpcRetry({ method: "MetricsGauge.A" }))
        yield* ok.pipe(withRpcRetry({ method: "MetricsGauge.B", budget: own }))
      }).pipe(Effect.provide(RpcRetry.layer()))
      const gauges = (yield* Lab.metrics("MetricsGauge")).filter((line) => line.includes("retry.budget"))
      assert.deepStrictEqual(gauges, ["rpc.client.retry.budget {} 1.5"])
    }))

  it("refuse what is neither off nor an object", () => {
    for (const metrics of ["on", "OFF", true, false, 5, null]) {
      assert.throws(() => RpcRetry.layer({ metrics: metrics as never }), /RpcRetry.layer: metrics must be "off" or/)
    }
  })

  it("refuse a maxMethods that is out of range", () => {
    for (const maxMethods of [0, -1, 1.5, NaN, 100_001]) {
      assert.throws(() => RpcRetry.layer({ metrics: { maxMethods } }), /RpcRetry.layer: metrics.maxMethods must be/)
    }
  })
})

describe("spans", () => {
  it.effect("are off unless asked for", () =>
    Effect.gen(function*() {
      const { spans } = yield* Lab.watching(ok.pipe(withRpcRetry({ method: "Users.Get" })))
      assert.deepStrictEqual(spans, [])
    }))

  it.effect("can be asked for by method, while the program runs", () =>
    Effect.gen(function*() {
      const { spans } = yield* Lab.watching(Effect.gen(function*() {
        yield* ok.pipe(withRpcRetry({ method: "Users.Get" }))
        yield* RpcRetry.update("Users.*", { spans: true })
        yield* ok.pipe(withRpcRetry({ method: "Users.Get" }))
        yield* ok.pipe(withRpcRetry({ method: "Orders.Get" }))
        yield* ok.pipe(withRpcRetry({ method: "Users.Get", spans: false }))
      }))
      assert.deepStrictEqual(spans.map((line) => line.split(":")[0]), [
        "1 Users.Get (internal) 0-0 ok",
        "2 < 1 Users.Get attempt (client) 0-0 ok"
      ])
    }))

  it.effect("the caller's own span is the parent, and what a transport opens is a child of the attempt", () =>
    Effect.gen(function*() {
      let n = 0
      const request = Effect.suspend(() => n++ === 0 ? Faults.refused : Effect.succeed(1)).pipe(
        Effect.withSpan("http.client GET", { kind: "client" })
      )
      const { spans } = yield* Lab.watching(
        request.pipe(withRpcRetry({ spans: true }), Effect.withSpan("page"))
      )
      assert.deepStrictEqual(spans.filter((line) => !line.startsWith(" ")).map((line) => line.split(" (")[0]), [
        "1 page",
        "2 < 1 rpc call",
        "3 < 2 rpc call attempt",
        "4 < 3 http.client GET",
        "5 < 2 rpc call attempt",
        "6 < 5 http.client GET"
      ])
    }))

  it.effect("the span of a call that is retried for hours keeps a hundred events, and says how many it dropped", () =>
    Effect.gen(function*() {
      const { spans } = yield* Lab.watching(
        Faults.refused.pipe(withRpcRetry({ method: "A.B", spans: true, schedule: Schedule.recurs(5_000) })),
        { budget: "off" }
      )
      const events = spans.filter((line) => line.startsWith(" "))
      assert.strictEqual(events.length, 101)
      assert.strictEqual(
        events.at(-2),
        "  0 retry scheduled rpc.attempt=100 rpc.delay_ms=0 error.type=ConnectionRefused"
      )
      assert.strictEqual(events.at(-1), "  0 retry refused rpc.attempt=5001 error.type=AttemptsExhausted")
      assert.include(spans[0], "otel.dropped_events_count=4900 rpc.attempts=5001")
      const few = yield* Lab.watching(
        Faults.refused.pipe(withRpcRetry({ method: "A.B", spans: true, schedule: Schedule.recurs(100) })),
        { budget: "off" }
      )
      assert.strictEqual(few.spans.filter((line) => line.startsWith(" ")).length, 101)
      assert.notInclude(few.spans[0], "dropped")
    }))

  it.effect("name the destination also where there is no layer and nobody listens", () =>
    Effect.gen(function*() {
      const { lines, tracer } = Lab.recorder(0)
      yield* ok.pipe(withRpcRetry({ method: "Users.Get", spans: true }), Effect.withTracer(tracer))
      assert.deepStrictEqual(lines().map((line) => line.split(": ")[1]), [
        "rpc.method=Users.Get rpc.destination=Users rpc.attempts=1 rpc.outcome=success",
        "rpc.method=Users.Get rpc.destination=Users previous-rpc-attempts=0 rpc.outcome=success"
      ])
    }))

  it.effect("an attempt that is cut at its timeout has a span that ends there", () =>
    Effect.gen(function*() {
      const slow = Effect.uninterruptible(Effect.sleep(1000))
      const { spans } = yield* Lab.watching(
        slow.pipe(withRpcRetry({ method: "A.B", spans: true, attemptTimeout: 50, schedule: Schedule.stop }))
      )
      assert.deepStrictEqual(spans.map((line) => line.split(":")[0]), [
        "1 A.B (internal) 0-50 error",
        "  50 retry refused rpc.attempt=1 error.type=AttemptsExhausted",
        "2 < 1 A.B attempt (client) 0-50 error"
      ])
    }))

  it.effect("nothing is made where tracing is disabled", () =>
    Effect.gen(function*() {
      const { exit, spans } = yield* Lab.watching(
        ok.pipe(withRpcRetry({ spans: true }), Effect.withTracerEnabled(false))
      )
      assert.strictEqual(exit._tag, "Success")
      assert.deepStrictEqual(spans, [])
    }))
})

describe("logs", () => {
  const failing = Faults.refused.pipe(withRpcRetry({ method: "Users.Get" }))

  it.effect("are left out where a policy says so", () =>
    Effect.gen(function*() {
      const { logs } = yield* Lab.watching(failing, { default: { logs: false }, budget: "off" })
      assert.deepStrictEqual(logs, [])
    }))

  it.effect("a call inside a call is given up once", () =>
    Effect.gen(function*() {
      const { logs } = yield* Lab.watching(failing.pipe(withRpcRetry({ method: "Page.Load" })), { budget: "off" })
      assert.strictEqual(logs.filter((line) => line.startsWith("WARN")).length, 1)
    }))

  it.effect("a logger that throws does not harm the call", () =>
    Effect.gen(function*() {
      const logger = Logger.make(() => {
        throw new Error("a bug")
      })
      let n = 0
      const flaky = Effect.suspend(() => n++ === 0 ? Faults.refused : Effect.succeed(n))
      const { exit } = yield* play(flaky.pipe(withRpcRetry)).pipe(
        Logger.withMinimumLogLevel(LogLevel.Debug),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.strictEqual(exit._tag, "Success")
    }))

  it.effect("a logger that throws does not undo an update", () =>
    Effect.gen(function*() {
      const logger = Logger.make(() => {
        throw new Error("a bug")
      })
      yield* Effect.gen(function*() {
        yield* RpcRetry.update("A.B", "off")
        assert.include((yield* RpcRetry.policies).map(({ name }) => name), "A.B")
      }).pipe(Effect.provide(RpcRetry.layer()), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    }))

  it.effect("what a server says stays on one line, and moves no cursor", () =>
    Effect.gen(function*() {
      const fatal = new Fatal({ reason: "ServerError", message: "a\nWARN b\u001b[2J" })
      const { logs } = yield* Lab.watching(Effect.fail(fatal).pipe(withRpcRetry({ method: "Users.Get" })))
      assert.deepStrictEqual(logs, [
        "DEBUG Users.Get: not retried: a WARN b [2J [ServerError] {reason=ServerError method=Users.Get}"
      ])
    }))

  it.effect("are not made where their level is off", () =>
    Effect.gen(function*() {
      const { logs } = yield* Lab.watching(failing.pipe(Logger.withMinimumLogLevel(LogLevel.Warning)), {
        budget: "off"
      })
      assert.deepStrictEqual(logs.map((line) => line.split(" ")[0]), ["WARN"])
    }))
})

describe("annotateLogs", () => {
  const annotationsOf = Effect.map(
    FiberRef.get(FiberRef.currentLogAnnotations),
    (annotations) => Object.fromEntries(HashMap.toEntries(annotations))
  )

  it.effect("puts method, attempt and key on the lines inside an attempt, and on no others", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const note = Effect.flatMap(annotationsOf, (annotations) => Effect.sync(() => seen.push(annotations)))
      let n = 0
      const attempt = Effect.zipRight(note, Effect.suspend(() => n++ === 0 ? Faults.refused : Effect.succeed(n)))
      yield* play(
        attempt.pipe(
          withRpcRetry({ method: "Users.Get", idempotencyKey: "key-1" }),
          Effect.zipLeft(note),
          Effect.annotateLogs("request", 7),
          RpcRetry.annotateLogs
        )
      )
      assert.deepStrictEqual(seen, [
        { request: 7, method: "Users.Get", attempt: 1, idempotencyKey: "key-1" },
        { request: 7, method: "Users.Get", attempt: 2, idempotencyKey: "key-1" },
        { request: 7 }
      ])
    }))

  it.effect("says nothing of a call around it", () =>
    Effect.gen(function*() {
      const inner = annotationsOf.pipe(withRpcRetry)
      const outer = inner.pipe(
        withRpcRetry({ method: "Outer.Get", idempotencyKey: "key-1" }),
        RpcRetry.annotateLogs
      )
      assert.deepStrictEqual(yield* outer, { attempt: 1 })
    }))

  it.effect("says only what there is, and nothing outside of it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* annotationsOf.pipe(withRpcRetry, RpcRetry.annotateLogs), { attempt: 1 })
      assert.deepStrictEqual(yield* annotationsOf.pipe(withRpcRetry), {})
    }))

  it.effect("holds wherever the layer is provided", () =>
    Effect.gen(function*() {
      const call = annotationsOf.pipe(withRpcRetry({ method: "A.B" }))
      const expected = { method: "A.B", attempt: 1 }
      assert.deepStrictEqual(yield* call.pipe(Effect.provide(RpcRetry.layer()), RpcRetry.annotateLogs), expected)
      assert.deepStrictEqual(yield* call.pipe(RpcRetry.annotateLogs, Effect.provide(RpcRetry.layer())), expected)
    }))
})
