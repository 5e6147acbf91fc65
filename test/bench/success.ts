/**
 * What is added to a call that succeeds at once.
 */
import * as Cockatiel from "cockatiel"
import { Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import pRetry from "p-retry"
import { beyond, calls, type Group, promises } from "./case.js"

export const succeeding: Effect.Effect<number, Retryable> = Effect.sync(() => 1)
export const succeedingPromise = () => Promise.resolve(1)

export const schedule = Schedule.exponential("100 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.intersect(Schedule.recurs(3))
)

const named = succeeding.pipe(withRpcRetry({ method: "Users.Get" }))
const methods = { "Users.Get": { idempotent: true } }
const off = { methods, metrics: "off", budget: "off" } as const

const fields = { reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" } as const
class DataError extends Data.TaggedError("DataError")<typeof fields> {}

const cockatiel = Cockatiel.retry(Cockatiel.handleAll, { maxAttempts: 3, backoff: new Cockatiel.ExponentialBackoff() })

const bulkhead = { concurrency: 10, queue: 10 }
const all = "layer, method policy, budget, breaker, metrics"
const everything = `${all}, bulkhead`

export const group: Group = {
  title: "A call that succeeds",
  unit: "nanoseconds of processor time for a call",
  rounds: 21,
  cases: {
    bare: calls(succeeding),
    "Effect.retry(schedule)": calls(Effect.retry(succeeding, schedule)),
    "Effect.retry({ times })": calls(Effect.retry(succeeding, { times: 3 })),
    withRpcRetry: calls(succeeding.pipe(withRpcRetry)),
    "withRpcRetry, made for each call": calls(Effect.suspend(() => succeeding.pipe(withRpcRetry))),
    "{ method }, made for each call": calls(
      Effect.suspend(() => succeeding.pipe(withRpcRetry({ method: "Users.Get" })))
    ),
    "{ method, idempotent }, made for each call": calls(
      Effect.suspend(() => succeeding.pipe(withRpcRetry({ method: "Users.Get", idempotent: true })))
    ),
    "layer, method policy": calls(named, () => RpcRetry.make(off)),
    "layer, method policy, budget": calls(named, () => RpcRetry.make({ methods, metrics: "off" })),
    "layer, method policy, breaker": calls(named, () => RpcRetry.make({ ...off, breaker: {} })),
    "layer, method policy, metrics": calls(named, () => RpcRetry.make({ methods, budget: "off" })),
    [all]: calls(named, () => RpcRetry.make({ methods, breaker: {} })),
    "layer, method policy, bulkhead": calls(named, () => RpcRetry.make({ ...off, bulkhead })),
    [everything]: calls(named, () => RpcRetry.make({ methods, breaker: {}, bulkhead })),
    "layer, onEvent": calls(
      succeeding.pipe(withRpcRetry({ method: "Users.Get", onEvent: () => Effect.void })),
      () => RpcRetry.make(off)
    ),
    "layer, spans": calls(
      succeeding.pipe(withRpcRetry({ method: "Users.Get", spans: true })),
      () => RpcRetry.make(off)
    ),
    "two spans of Effect.withSpan": calls(succeeding.pipe(
      Effect.withSpan("attempt", { captureStackTrace: false }),
      Effect.withSpan("call", { captureStackTrace: false })
    )),
    "new Retryable": calls(Effect.sync(() => new Retryable(fields))),
    "new Data.TaggedError": calls(Effect.sync(() => new DataError(fields))),
    "bare promise": promises(succeedingPromise),
    "p-retry": promises(() => pRetry(succeedingPromise)),
    "cockatiel retry": promises(() => cockatiel.execute(succeedingPromise))
  },
  rows: [
    {
      what: "`withRpcRetry` / `Effect.retry(schedule)`",
      ratio: (of) => beyond(of, "withRpcRetry") / beyond(of, "Effect.retry(schedule)"),
      atMost: 0.04
    },
    {
      what: "`withRpcRetry` / `Effect.retry({ times })`",
      ratio: (of) => beyond(of, "withRpcRetry") / beyond(of, "Effect.retry({ times })")
    },
    {
      what: "`withRpcRetry({ method })` made for each call / `Effect.retry(schedule)`",
      ratio: (of) => beyond(of, "{ method }, made for each call") / beyond(of, "Effect.retry(schedule)"),
      atMost: 0.1
    },
    {
      what: "`withRpcRetry({ method, idempotent })` made for each call / `Effect.retry(schedule)`",
      ratio: (of) => beyond(of, "{ method, idempotent }, made for each call") / beyond(of, "Effect.retry(schedule)"),
      atMost: 0.1
    },
    {
      what: "with a layer and a policy of the method / `Effect.retry(schedule)`",
      ratio: (of) => beyond(of, "layer, method policy") / beyond(of, "Effect.retry(schedule)")
    },
    {
      what: "with a layer, a policy of the method, a budget, a breaker and metrics / `Effect.retry(schedule)`",
      ratio: (of) => beyond(of, all) / beyond(of, "Effect.retry(schedule)"),
      atMost: 0.45
    },
    {
      what: "the same, with a bulkhead / `Effect.retry(schedule)`",
      ratio: (of) => beyond(of, everything) / beyond(of, "Effect.retry(schedule)"),
      atMost: 0.5
    },
    {
      what: "spans / two of `Effect.withSpan`",
      ratio: (of) => beyond(of, "layer, spans", "layer, method policy") / beyond(of, "two spans of Effect.withSpan")
    },
    {
      what: "`new Retryable` / a `Data.TaggedError`",
      ratio: (of) => of("new Retryable") / of("new Data.TaggedError")
    },
    {
      what: "`withRpcRetry` / p-retry",
      ratio: (of) => beyond(of, "withRpcRetry") / beyond(of, "p-retry", "bare promise")
    },
    {
      what: "`withRpcRetry` / cockatiel's retry",
      ratio: (of) => beyond(of, "withRpcRetry") / beyond(of, "cockatiel retry", "bare promise")
    }
  ]
}
