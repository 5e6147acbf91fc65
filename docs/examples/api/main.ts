/**
 * An HTTP API in front of a `net/rpc` server in Go and a gRPC server.
 *
 * `GET /net-rpc/multiply?a=6&b=7` and `GET /grpc/multiply?a=6&b=7` answer with the product. Prometheus scrapes `/metrics` at
 * `METRICS_PORT`. SIGTERM stops it: it takes no more requests, answers those that it has, and closes its connections.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus"
import {
  type CallRejected,
  Deadline,
  type Fatal,
  type RetryExhausted,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Http from "node:http"
import { NetRpc, OverGrpc } from "./arith.js"

/** What is retried, how often and for how long: here, and nowhere else. Each service has a budget and a breaker of its own. */
const RetryLive = RpcRetry.layer({
  default: { attemptTimeout: "500 millis", deadline: "2 seconds" },
  methods: {
    "Arith.*": { schedule: RetrySchedule.exponential().pipe(RetrySchedule.fullJitter, RetrySchedule.retries(5)) },
    "arith.v1.Arith.Multiply": { attemptTimeout: "200 millis", deadline: "1 second" }
  },
  breaker: { openFor: "2 seconds" }
})

/** Gives a handler the time that its caller has, and makes no retries for a caller that retries itself. */
const asAsked = <A, E, R>(handler: Effect.Effect<A, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
    const millis = Number(headers["x-envoy-expected-rq-timeout-ms"])
    return handler.pipe(
      millis > 0 && millis < Infinity ? Deadline.within(millis) : identity,
      RpcRetry.inheritAttempt(1 + Number(headers["x-retry-attempt"] ?? 0))
    )
  })

/** The status that tells the caller whether it may try again. The log has the rest. */
const statusOf = (error: Fatal | RetryExhausted | CallRejected): number => {
  switch (error.reason) {
    case "InvalidArgument":
      return 400
    case "DeadlineExceeded":
    case "DeadlineTooClose":
      return 504
    default:
      return error._tag === "Fatal" ? 502 : 503
  }
}

const Factors = Schema.Struct({ a: Schema.NumberFromString, b: Schema.NumberFromString })

/** A route whose answer is the product. A client that hangs up interrupts its call. */
const multiply = <R>(
  call: (a: number, b: number) => Effect.Effect<number, Fatal | RetryExhausted | CallRejected, R>
) =>
  HttpServerRequest.schemaSearchParams(Factors).pipe(
    Effect.flatMap(({ a, b }) => call(a, b)),
    asAsked,
    Effect.flatMap((product) => HttpServerResponse.json({ product })),
    Effect.catchTags({
      ParseError: () => HttpServerResponse.json({ error: "a and b must be numbers" }, { status: 400 }),
      Fatal: (error) => HttpServerResponse.json({ error: error.reason }, { status: statusOf(error) }),
      RetryExhausted: (error) => HttpServerResponse.json({ error: error.reason }, { status: statusOf(error) }),
      CallRejected: (error) => HttpServerResponse.json({ error: error.reason }, { status: statusOf(error) })
    })
  )

const Api = HttpRouter.empty.pipe(
  HttpRouter.get(
    "/net-rpc/multiply",
    multiply((a, b) => Effect.flatMap(NetRpc, (arith) => arith.Multiply({ A: a, B: b }).pipe(withRpcRetry)))
  ),
  HttpRouter.get(
    "/grpc/multiply",
    multiply((a, b) =>
      Effect.flatMap(OverGrpc, (arith) => Effect.map(arith.multiply({ a, b }).pipe(withRpcRetry), (_) => _.product))
    )
  )
)

const ServerLive = NodeHttpServer.layerConfig(() => Http.createServer(), {
  host: Config.succeed("127.0.0.1"),
  port: Config.withDefault(Config.port("PORT"), 8080)
})

const MetricsLive = NodeSdk.layer(
  Effect.map(Config.withDefault(Config.port("METRICS_PORT"), 9464), (port) => ({
    resource: { serviceName: "arith-api" },
    metricReader: new PrometheusExporter({ host: "127.0.0.1", port })
  }))
)

// what is provided last is closed last: first the server, which waits for the answers, then the clients and the metrics
Api.pipe(
  HttpServer.serve(),
  HttpServer.withLogAddress,
  Layer.provide(ServerLive),
  Layer.provide([NetRpc.Default, OverGrpc.Default]),
  Layer.provide(RetryLive),
  Layer.provide(MetricsLive),
  Layer.launch,
  NodeRuntime.runMain
)
