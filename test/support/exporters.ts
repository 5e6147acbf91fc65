/**
 * The other side of real exporters: a collector of OTLP, and what Prometheus scrapes.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as Otlp from "@effect/opentelemetry/Otlp"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import type * as Net from "node:net"

/** An HTTP server on loopback. */
const serve = (handle: Http.RequestListener) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<Http.Server>((resume) => {
        const server = Http.createServer(handle)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    (server) => `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`
  )

export interface KeyValue {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: number; readonly doubleValue?: number }
}

interface DataPoint {
  readonly attributes: ReadonlyArray<KeyValue>
  readonly asDouble?: number
  readonly asInt?: number
  readonly count?: number
  readonly sum?: number
}

export interface OtlpMetric {
  readonly name: string
  readonly unit: string
  readonly description: string
  readonly sum?: { readonly isMonotonic: boolean; readonly dataPoints: ReadonlyArray<DataPoint> }
  readonly gauge?: { readonly dataPoints: ReadonlyArray<DataPoint> }
  readonly histogram?: { readonly dataPoints: ReadonlyArray<DataPoint> }
}

export interface OtlpSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly attributes: ReadonlyArray<KeyValue>
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: ReadonlyArray<KeyValue> }>
  readonly status: { readonly code: number; readonly message?: string }
}

export interface OtlpLog {
  readonly severityText: string
  readonly body: { readonly stringValue?: string }
  readonly attributes: ReadonlyArray<KeyValue>
  readonly traceId?: string
  readonly spanId?: string
}

/** What an OTLP collector was sent. */
export interface Collected {
  readonly metrics: Array<OtlpMetric>
  readonly spans: Array<OtlpSpan>
  readonly logs: Array<OtlpLog>
}

interface Sent {
  readonly resourceMetrics?: ReadonlyArray<{ readonly scopeMetrics: ReadonlyArray<{ metrics: Array<OtlpMetric> }> }>
  readonly resourceSpans?: ReadonlyArray<{ readonly scopeSpans: ReadonlyArray<{ spans: Array<OtlpSpan> }> }>
  readonly resourceLogs?: ReadonlyArray<{ readonly scopeLogs: ReadonlyArray<{ logRecords: Array<OtlpLog> }> }>
}

/**
 * Sends once, when the program has ended, and waits for it: what is on its way at the end of an interval when the exporters shut
 * down is lost, which on a busy machine is the rule.
 */
const atTheEnd = {
  loggerExportInterval: "1 hour",
  metricsExportInterval: "1 hour",
  tracerExportInterval: "1 hour",
  maxBatchSize: 100_000,
  shutdownTimeout: "1 minute"
} as const

/** Runs a program with OTLP exporters, and gives what the collector was sent once they have shut down. */
export const collecting = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const collected: Collected = { metrics: [], spans: [], logs: [] }
    const baseUrl = yield* serve((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const sent: Sent = JSON.parse(Buffer.concat(chunks).toString())
        for (const { scopeMetrics } of sent.resourceMetrics ?? []) {
          // the last report is the whole
          collected.metrics.splice(0, Infinity, ...scopeMetrics.flatMap(({ metrics }) => metrics))
        }
        for (const { scopeSpans } of sent.resourceSpans ?? []) {
          collected.spans.push(...scopeSpans.flatMap(({ spans }) => spans))
        }
        for (const { scopeLogs } of sent.resourceLogs ?? []) {
          collected.logs.push(...scopeLogs.flatMap(({ logRecords }) => logRecords))
        }
        response.end("{}")
      })
    })
    yield* program.pipe(
      Effect.provide(
        Otlp.layerJson({ baseUrl, resource: { serviceName: "test" }, ...atTheEnd }).pipe(
          Layer.provide(FetchHttpClient.layer)
        )
      )
    )
    return collected
  }))

/** Runs a program with a Prometheus exporter, and gives the text that is scraped from it afterwards. */
export const scraping = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const exporter = new PrometheusExporter({ preventServerStart: true })
    const url = yield* serve((request, response) => exporter.getMetricsRequestHandler(request, response))
    return yield* program.pipe(
      Effect.zipRight(Effect.promise(() => fetch(`${url}/metrics`).then((response) => response.text()))),
      Effect.provide(NodeSdk.layer(() => ({ resource: { serviceName: "test" }, metricReader: exporter })))
    )
  }))
