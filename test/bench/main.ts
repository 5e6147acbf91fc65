/**
 * `npm run bench`: what retries cost. Every figure is a ratio to a peer measured in the same run, inside one fiber; the
 * absolute times are of this machine and this moment.
 */
import { Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Endpoints from "./endpoints.js"
import * as Gates from "./gates.js"
import * as Gob from "./gob.js"
import * as GoRpc from "./goRpc.js"
import { measure, nanos, print } from "./support.js"

const succeeding: Effect.Effect<number, Retryable> = Effect.sync(() => 1)

const schedule = Schedule.exponential("100 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.intersect(Schedule.recurs(3))
)

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })

/** Fails twice, then succeeds, and again, without delays. */
let attempts = 0
const flaky = Effect.suspend(() => ++attempts % 3 === 0 ? Effect.succeed(1) : Effect.fail(refused))

const immediately = Schedule.recurs(3)

const fields = { reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" } as const
class DataError extends Data.TaggedError("DataError")<typeof fields> {}
class SchemaError extends Schema.TaggedError<SchemaError>()("SchemaError", {
  reason: Schema.String,
  delivery: Schema.String,
  code: Schema.String
}) {}

const program = Effect.gen(function*() {
  const success = yield* measure({
    bare: succeeding,
    "Effect.retry": Effect.retry(succeeding, schedule),
    withRpcRetry: succeeding.pipe(withRpcRetry),
    "withRpcRetry, made for each call": Effect.suspend(() => succeeding.pipe(withRpcRetry)),
    timeoutFail: Effect.timeoutFail(succeeding, { duration: "1 second", onTimeout: () => refused }),
    "withRpcRetry, attemptTimeout": succeeding.pipe(withRpcRetry({ attemptTimeout: "1 second" }))
  }, { runs: 2000 })
  const added = (name: string) => success[name]! - success["bare"]!
  yield* print("What is added to a call that succeeds", [
    ["Effect.retry(schedule)", nanos(added("Effect.retry"))],
    ["withRpcRetry", nanos(added("withRpcRetry"))],
    ["  ratio to Effect.retry", `${(added("withRpcRetry") / added("Effect.retry")).toFixed(3)}x (at most 0.15x)`],
    ["withRpcRetry, made for each call", nanos(added("withRpcRetry, made for each call"))],
    [
      "  ratio to Effect.retry",
      `${(added("withRpcRetry, made for each call") / added("Effect.retry")).toFixed(3)}x`
    ],
    ["Effect.timeoutFail", nanos(added("timeoutFail"))],
    ["withRpcRetry with attemptTimeout", nanos(added("withRpcRetry, attemptTimeout"))],
    [
      "  ratio to Effect.timeoutFail",
      `${(added("withRpcRetry, attemptTimeout") / added("timeoutFail")).toFixed(2)}x`
    ]
  ])

  const named = succeeding.pipe(withRpcRetry({ method: "Users.Get" }))
  const unwatched = RpcRetry.make({ metrics: "off", budget: "off" })
  const telemetry = yield* measure({
    bare: succeeding,
    "Effect.retry": Effect.retry(succeeding, schedule),
    layer: { call: named, service: unwatched },
    metrics: { call: named, service: RpcRetry.make({ budget: "off" }) },
    "metrics and a budget": { call: named, service: RpcRetry.make() },
    onEvent: {
      call: succeeding.pipe(withRpcRetry({ method: "Users.Get", onEvent: () => Effect.void })),
      service: unwatched
    },
    spans: { call: succeeding.pipe(withRpcRetry({ method: "Users.Get", spans: true })), service: unwatched },
    "two spans": succeeding.pipe(
      Effect.withSpan("attempt", { captureStackTrace: false }),
      Effect.withSpan("call", { captureStackTrace: false })
    )
  }, { runs: 2000 })
  const beyond = (name: string, base: string) => telemetry[name]! - telemetry[base]!
  const retryAdds = beyond("Effect.retry", "bare")
  yield* print("What telemetry adds to a call that succeeds", [
    ["a layer, events without a subscriber", nanos(beyond("layer", "bare"))],
    ["  ratio to Effect.retry(schedule)", `${(beyond("layer", "bare") / retryAdds).toFixed(3)}x (at most 0.15x)`],
    ["metrics", nanos(beyond("metrics", "layer"))],
    ["  ratio to Effect.retry(schedule)", `${(beyond("metrics", "layer") / retryAdds).toFixed(2)}x (at most 1.0x)`],
    ["metrics and a budget", nanos(beyond("metrics and a budget", "layer"))],
    ["onEvent", nanos(beyond("onEvent", "layer"))],
    ["spans", nanos(beyond("spans", "layer"))],
    [
      "  ratio to two spans of Effect.withSpan",
      `${(beyond("spans", "layer") / beyond("two spans", "bare")).toFixed(2)}x`
    ]
  ])

  const failure = yield* measure({
    "Effect.retry": Effect.retry(flaky, immediately),
    withRpcRetry: flaky.pipe(withRpcRetry({ schedule: immediately }))
  }, { runs: 500 })
  yield* print("A call that fails twice, then succeeds, without delays", [
    ["Effect.retry(schedule)", nanos(failure["Effect.retry"]!)],
    ["withRpcRetry", nanos(failure["withRpcRetry"]!)],
    ["  ratio to Effect.retry", `${(failure["withRpcRetry"]! / failure["Effect.retry"]!).toFixed(2)}x`]
  ])

  const errors = yield* measure({
    Retryable: Effect.sync(() => new Retryable(fields)),
    "Data.TaggedError": Effect.sync(() => new DataError(fields)),
    "Schema.TaggedError": Effect.sync(() => new SchemaError(fields))
  }, { runs: 500 })
  yield* print("Making an error", [
    ["new Retryable", nanos(errors["Retryable"]!)],
    ["a Data.TaggedError", nanos(errors["Data.TaggedError"]!)],
    ["a Schema.TaggedError", nanos(errors["Schema.TaggedError"]!)],
    ["  ratio of Retryable to Data.TaggedError", `${(errors["Retryable"]! / errors["Data.TaggedError"]!).toFixed(2)}x`]
  ])
})

Effect.runPromise(
  Effect.all([program, Gates.program, Endpoints.program, Gob.program, GoRpc.program], { discard: true })
)
