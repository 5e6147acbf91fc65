/**
 * What runs everywhere, in a browser too: the core, and the transports over `fetch`.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { Fatal, Retryable, RetrySchedule, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Result from "../../src/internal/result.js"

export interface Ports {
  readonly connect: number
  readonly connectNode: number
  readonly consul: number
  readonly dns: number
  readonly effectRpc: number
  readonly etcd: number
  readonly goRpc: number
  readonly grpc: number
  readonly http: number
  readonly kubernetes: number
  readonly thrift: number
}

/** Succeeds with what was expected, or says what is wrong. */
export type Case = Effect.Effect<void, unknown>

export const expect = <A>(expected: A) => (actual: A): Effect.Effect<void, Error> =>
  JSON.stringify(actual) === JSON.stringify(expected)
    ? Effect.void
    : Effect.fail(new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`))

const failing = (times: number, error = new Retryable({ reason: "Unavailable", delivery: "NotSent" })) => {
  let attempts = 0
  return Effect.suspend(() => ++attempts <= times ? Effect.fail(error) : Effect.succeed(attempts))
}

const core: Case = Effect.gen(function*() {
  yield* failing(2).pipe(withRpcRetry, Effect.flatMap(expect(3)))
  yield* failing(9).pipe(
    withRpcRetry({ schedule: RetrySchedule.exponential({ base: 1 }).pipe(RetrySchedule.retries(2)) }),
    Effect.flip,
    Effect.flatMap((error) => expect(["RetryExhausted", "AttemptsExhausted"])([error._tag, error.reason]))
  )
  yield* Effect.fail(new Fatal({ reason: "NotFound", message: "none" })).pipe(
    withRpcRetry,
    Effect.flip,
    Effect.flatMap((error) => expect("Fatal")(error._tag))
  )
  yield* Effect.never.pipe(
    withRpcRetry({ attemptTimeout: 20, deadline: 100 }),
    Effect.flip,
    Effect.flatMap((error) => expect("RetryExhausted")(error._tag))
  )
  const call = yield* Effect.fork(withRpcRetry(failing(9), { method: "Users.Get" }))
  yield* Effect.sleep(20)
  const exit = yield* Fiber.interrupt(call)
  yield* expect("Failure")(exit._tag)
}).pipe(
  Effect.provide(RpcRetry.layer({ budget: "off", breaker: {}, bulkhead: { concurrency: 5, queue: 5 }, throttle: {} }))
)

const Point = Schema.Struct({ X: Gob.Int, Y: Schema.String })

const gob: Case = Effect.suspend(() =>
  expect(true)(
    Result.isSuccess(Result.flatMap(Gob.encode(Point)({ X: 1, Y: "y" }), Gob.decode(Point)))
  )
)

/** Over an `HttpClient`, each client with a path of its own. */
export const overHttp = (ports: Ports, path: string) => ({
  httpRpc: Effect.gen(function*() {
    const client = HttpRpc.retrying(yield* HttpClient.HttpClient, withRpcRetry)
    const response = yield* client.get(`http://127.0.0.1:${ports.http}/${path}/http`)
    yield* expect(200)(response.status)
  }),
  jsonRpc: Effect.gen(function*() {
    const rpc = yield* JsonRpc.make({ url: `http://127.0.0.1:${ports.http}/${path}/json` })
    const call = rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number })
    yield* Effect.flatMap(withRpcRetry(call), expect(42))
  })
})

export const cases = (ports: Ports, path = "fetch"): Readonly<Record<string, Case>> => {
  const { httpRpc, jsonRpc } = overHttp(ports, path)
  return {
    "core": core,
    "`Gob`": gob,
    "`HttpRpc`": Effect.provide(httpRpc, FetchHttpClient.layer),
    "`JsonRpc`": Effect.provide(jsonRpc, FetchHttpClient.layer)
  }
}

/** Runs all cases, and returns what is wrong with each, `""` for nothing. */
export const run = (cases: Readonly<Record<string, Case>>): Promise<Record<string, string>> =>
  Effect.runPromise(
    Effect.forEach(Object.entries(cases), ([name, self]) =>
      Effect.timeout(self, "30 seconds").pipe(
        Effect.match({ onFailure: (error) => [name, String(error)] as const, onSuccess: () => [name, ""] as const }),
        Effect.catchAllDefect((defect) => Effect.succeed([name, `defect: ${String(defect)}`] as const))
      )).pipe(Effect.map(Object.fromEntries))
  )
