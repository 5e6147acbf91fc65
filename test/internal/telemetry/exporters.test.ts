/**
 * Calls over real sockets, seen through real exporters; and what the documents and the dashboard say of that.
 */
import {
  CircuitBreaker,
  Deadline,
  Endpoints,
  Fallback,
  Hedge,
  RetryBudget,
  RpcError,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import * as Yaml from "yaml"
import * as Exporters from "../../support/exporters.js"
import { ask } from "../../support/promql.js"
import { assert, describe, it } from "../../support/vitest.js"

/** A call that the layer turns away, whatever the call is. */
const failing = (options?: RpcRetry.Options) =>
  Faults.refused.pipe(withRpcRetry({ method: "Users.Get", logs: false, ...options }), Effect.either)

/** A call whose second attempt finds its place in the bulkhead taken, and one that finds it taken at once. */
const crowded = Effect.gen(function*() {
  const held = yield* Deferred.make<void>()
  const holder = Effect.andThen(Deferred.succeed(held, undefined), Effect.never).pipe(
    withRpcRetry({ method: "Users.Get" })
  )
  const holding = yield* FiberSet.make()
  const schedule = Schedule.recurs(1).pipe(
    Schedule.tapOutput(() => Effect.andThen(FiberSet.run(holding, holder), Deferred.await(held)))
  )
  yield* failing({ schedule })
  yield* failing()
}).pipe(Effect.scoped)

/** Calls that breakers, bulkheads and throttles turn away, before their first attempt and between two. */
const shedding = Effect.gen(function*() {
  const once = { default: { schedule: Schedule.recurs(1), logs: false }, budget: "off" } as const
  yield* Effect.replicateEffect(failing(), 2).pipe(
    Effect.provide(RpcRetry.layer({ ...once, breaker: { trip: CircuitBreaker.consecutive(1) } }))
  )
  yield* crowded.pipe(Effect.provide(RpcRetry.layer({ ...once, bulkhead: { concurrency: 1, queue: 0 } })))
  yield* Effect.replicateEffect(failing(), 100).pipe(Effect.provide(RpcRetry.layer({ ...once, throttle: {} })))
})

/** Calls with extra legs that win, that the load does not allow, and that the retry budget does not allow. */
const hedging = Effect.gen(function*() {
  const slow = Effect.never.pipe(Effect.timeoutTo({ duration: 5, onSuccess: () => 0, onTimeout: () => 0 }))
  const call = (options: RpcRetry.Options) => slow.pipe(withRpcRetry({ method: "Arith.Multiply", ...options }))
  const hedge = yield* Hedge.make({ after: 1, load: 1 })
  const first = yield* Faults.script([Effect.never, Effect.void])
  yield* first.pipe(withRpcRetry({ method: "Arith.Multiply", hedge, idempotent: true, budget: RetryBudget.unlimited }))
  yield* call({ hedge: { after: 1, load: 0.01 }, idempotent: true })
  yield* call({ hedge, idempotent: true })
})

/** Attempts at endpoints, one of which is taken out, of a source that fails after its first list. */
const atEndpoints = Effect.gen(function*() {
  const endpoints = yield* Endpoints.make({
    name: "users",
    source: Endpoints.makeSource(() =>
      Stream.make<[Endpoints.Update, Endpoints.Update]>(
        { _tag: "Listed", endpoints: [{ address: "bad" }, { address: "a" }, { address: "b" }] },
        { _tag: "Failed", error: "down" }
      )
    ),
    connect: Effect.succeed,
    pick: "roundRobin",
    metrics: { endpointLabels: 2 }
  })
  const call = endpoints.call(({ address }) => address === "bad" ? Faults.refused : Effect.void)
  yield* Effect.replicateEffect(Effect.ignore(call), 15)
}).pipe(Effect.scoped)

/** Calls that end in every way that the dashboard shows. */
const program = Effect.gen(function*() {
  const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
  const rpc = yield* GoRpc.make(server.address)
  const call = (options: RpcRetry.Options = {}) =>
    rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry(options), Effect.either)
  yield* call()
  yield* server.script(FlakyServer.reset)
  yield* call()
  yield* server.script(FlakyServer.reset, FlakyServer.reset, FlakyServer.reset)
  yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(
    withRpcRetry({ schedule: Schedule.recurs(1) }),
    Fallback.withFallback(() => Effect.succeed(42)),
    Effect.either
  )
  yield* call()
  yield* Effect.sleep(5).pipe(Effect.zipRight(call()), Deadline.within(1))
  yield* rpc.call("Arith.Divide", { A: 1, B: 0 }).pipe(withRpcRetry, Effect.either)
  yield* shedding
  yield* hedging
  yield* atEndpoints
}).pipe(
  Effect.scoped,
  Effect.provide(RpcRetry.layer({
    default: { schedule: Schedule.spaced(10).pipe(Schedule.intersect(Schedule.recurs(3))), spans: true },
    budget: RetryBudget.make({ capacity: 2, ratio: 0 })
  })),
  Effect.provide(Logger.remove(Logger.defaultLogger))
)

const docs = (name: string) => readFileSync(Path.join(import.meta.dirname, "..", "..", "..", "docs", name), "utf8")

const attributesOf = (attributes: ReadonlyArray<Exporters.KeyValue>) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

const pointsOf = (metric: Exporters.OtlpMetric) => (metric.sum ?? metric.gauge ?? metric.histogram)!.dataPoints

const kindOf = (metric: Exporters.OtlpMetric) => metric.sum ? "counter" : metric.gauge ? "gauge" : "histogram"

/** A series as Prometheus stores it. */
interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

const seriesOf = (text: string): ReadonlyArray<Series> =>
  text.split("\n").flatMap((line) => {
    const match = /^(\w+)\{(.*)\} \S+$/.exec(line)
    return match === null ? [] : [{
      name: match[1]!,
      labels: Object.fromEntries(Array.from(match[2]!.matchAll(/(\w+)="([^"]*)"/g), ([, key, value]) => [key!, value!]))
    }]
  })

/** The names that Prometheus gives to metrics that it receives by OTLP. */
const received = (metrics: ReadonlyArray<Exporters.OtlpMetric>): ReadonlyArray<Series> =>
  metrics.flatMap((metric) => {
    const unit = metric.unit === "s" ? "_seconds" : metric.gauge && metric.unit === "1" ? "_ratio" : ""
    const base = `${metric.name.replaceAll(".", "_")}${unit}`
    const names = metric.histogram
      ? [`${base}_bucket`, `${base}_count`, `${base}_sum`]
      : [metric.sum?.isMonotonic === true ? `${base}_total` : base]
    return pointsOf(metric).flatMap(({ attributes }) =>
      names.map((name) => ({
        name,
        labels: Object.fromEntries(
          Object.entries({ ...attributesOf(attributes), ...(name.endsWith("_bucket") ? { le: "1" } : {}) })
            .map(([key, value]) => [key.replaceAll(".", "_"), String(value)])
        )
      }))
    )
  })

/** What is wrong with an expression, when these are all the series there are. */
const problems = (expression: string, series: ReadonlyArray<Series>): ReadonlyArray<string> => {
  const asked = ask(expression)
  const matching = asked.metrics.map((pattern) =>
    series.filter(({ name }) => new RegExp(`^(?:${pattern})$`).test(name))
  )
  const found = matching.flat()
  return [
    ...asked.errors,
    ...(asked.metrics.length === 0 ? ["asks for no metric"] : []),
    ...asked.metrics.filter((_, i) => matching[i]!.length === 0).map((pattern) => `no series is named ${pattern}`),
    ...asked.labels.filter((label) => !found.some(({ labels }) => label in labels)).map((label) =>
      `no series has ${label}`
    ),
    ...asked.values.filter(([label, value]) => !found.some(({ labels }) => labels[label] === value)).map(
      ([label, value]) => `no series has ${label}="${value}"`
    )
  ]
}

interface Dashboard {
  readonly panels: ReadonlyArray<
    { readonly title: string; readonly targets?: ReadonlyArray<{ readonly expr: string }> }
  >
}

interface Alerts {
  readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<{ readonly alert: string; readonly expr: string }> }>
}

const expressions: ReadonlyArray<readonly [name: string, expression: string]> = [
  ...(JSON.parse(docs("observability/grafana-dashboard.json")) as Dashboard).panels.flatMap(({ targets = [], title }) =>
    targets.map(({ expr }) => [`the panel ${title}`, expr] as const)
  ),
  ...(Yaml.parse(docs("observability/alerts.yaml")) as Alerts).groups.flatMap(({ rules }) =>
    rules.map(({ alert, expr }) => [`the alert ${alert}`, expr] as const)
  ),
  ...Array.from(
    docs("observability.md").matchAll(/^```promql\n([\s\S]*?)^```$/gm),
    ([, expression], i) => [`query ${i + 1} of docs/observability.md`, expression!] as const
  )
]

describe("Prometheus", () => {
  it.live("a scrape has what the dashboard, the alerts and the document ask for", () =>
    Effect.gen(function*() {
      const series = seriesOf(yield* Exporters.scraping(program))
      assert.isAbove(expressions.length, 20)
      assert.deepStrictEqual(
        expressions.flatMap(([name, expression]) =>
          problems(expression, series).map((problem) => `${name}: ${problem}`)
        ),
        []
      )
    }))

  it("what is not there is found to be missing", () => {
    const series: ReadonlyArray<Series> = [{ name: "a_total", labels: { x: "1" } }]
    assert.deepStrictEqual(problems("sum by (x) (rate(a_total[5m]))", series), [])
    assert.deepStrictEqual(problems("sum by (y) (rate(a_total[5m]))", series), ["no series has y"])
    assert.deepStrictEqual(problems("rate(b_total[5m])", series), ["no series is named b_total"])
    assert.deepStrictEqual(problems("{__name__=~\"a(_b)?_total\"}", series), [])
    assert.deepStrictEqual(problems("{__name__=~\"a(_b)?\"}", series), ["no series is named a(_b)?"])
    assert.deepStrictEqual(problems("a_total{x=\"2\"}", series), ["no series has x=\"2\""])
    assert.isNotEmpty(problems("sum by ( a_total", series))
  })
})

describe("OTLP", () => {
  it.live("a collector is sent metrics, spans and logs of the run", () =>
    Effect.gen(function*() {
      const { logs, metrics, spans } = yield* Exporters.collecting(program)
      const own = metrics.filter(({ name }) => name.startsWith("rpc.client."))

      const series = received(own)
      assert.deepStrictEqual(
        expressions.flatMap(([name, expression]) =>
          problems(expression, series).map((problem) => `${name}: ${problem}`)
        ),
        []
      )

      // the table of the document is what is sent: name, kind, unit, labels
      const documented = docs("observability.md").split("\n").flatMap((line) => {
        const match = /^\| `(rpc\.client\.[\w.]+)` +\| (\w+) +\| `([^`]+)` +\|([^|]*)\|/.exec(line)
        return match === null ? [] : [
          [match[1], match[2], match[3], Array.from(match[4]!.matchAll(/`([^`]+)`/g), ([, label]) => label!).toSorted()]
        ]
      })
      const sent = own.map((metric) => {
        const labels = new Set(pointsOf(metric).flatMap(({ attributes }) => Object.keys(attributesOf(attributes))))
        labels.delete("unit")
        return [metric.name, kindOf(metric), metric.unit, Array.from(labels).toSorted()]
      })
      const byName = (rows: ReadonlyArray<ReadonlyArray<unknown>>) =>
        rows.toSorted(([a], [b]) => String(a) < String(b) ? -1 : 1)
      assert.deepStrictEqual(byName(sent), byName(documented))

      // every reason that is sent is one of an error
      const reasons: ReadonlyArray<unknown> = [
        RpcError.RetryableReason,
        RpcError.FatalReason,
        RpcError.ExhaustedReason,
        RpcError.RejectedReason
      ].flatMap(({ literals }) => literals)
      const ofCalls = own.filter(({ name }) => name !== "rpc.client.endpoints.out")
      const types = ofCalls.flatMap(pointsOf).flatMap(({ attributes }) => attributesOf(attributes)["error.type"] ?? [])
      assert.includeMembers([...types], [
        "ConnectionLost",
        "AttemptsExhausted",
        "BudgetExhausted",
        "DeadlineExceeded",
        "CircuitOpen",
        "BulkheadFull",
        "Throttled"
      ])
      assert.includeMembers([...reasons], types)

      // the call that gave up: its span, those of its attempts below it, and its log line in it
      const given = spans.find(({ attributes }) => attributesOf(attributes)["error.type"] === "AttemptsExhausted")!
      assert.deepStrictEqual(
        [given.name, given.kind, given.status.code, given.events.map(({ name }) => name)],
        [
          "Arith.Multiply",
          1,
          2,
          // a line that is logged inside a span is an event of that too
          ["retry budget low", "retry scheduled", "retry refused", given.status.message, "exception"]
        ]
      )
      assert.match(given.status.message!, /^Arith.Multiply failed after 2 attempts in [\d.]+ms: connection lost/)
      const attempts = spans.filter(({ parentSpanId }) => parentSpanId === given.spanId)
      assert.deepStrictEqual(
        attempts.map(({ attributes, kind, name, traceId }) => [
          name,
          kind,
          traceId === given.traceId,
          attributesOf(attributes)["previous-rpc-attempts"],
          attributesOf(attributes)["error.type"]
        ]),
        [
          ["Arith.Multiply attempt", 3, true, 0, "ConnectionLost"],
          ["Arith.Multiply attempt", 3, true, 1, "ConnectionLost"]
        ]
      )
      const line = logs.find(({ attributes }) => attributesOf(attributes)["reason"] === "AttemptsExhausted")!
      assert.deepStrictEqual(
        [line.severityText, line.traceId, line.spanId, attributesOf(line.attributes)["method"]],
        ["WARN", given.traceId, given.spanId, "Arith.Multiply"]
      )
      assert.strictEqual(line.body.stringValue, given.status.message)
    }))
})
