/**
 * A call that fails twice and then succeeds, and again, without delays.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cockatiel from "cockatiel"
import { Retryable, RetrySchedule, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import pRetry from "p-retry"
import { calls, type Group, promises } from "./case.js"

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })

let attempts = 0
const flaky = Effect.suspend(() => ++attempts % 3 === 0 ? Effect.succeed(1) : Effect.fail(refused))

/** The error is made once, as that of the others is: making one takes longer than to retry. */
const failure = new Error("refused")
const flakyPromise = () => ++attempts % 3 === 0 ? Promise.resolve(1) : Promise.reject(failure)

const any = Schedule.recurs(3)
const named = RetrySchedule.exponential().pipe(RetrySchedule.retries(3))

/** A clock on which delays are over at once: named schedules have none of zero. */
const instant: Clock.Clock = Object.assign(Object.create(Clock.make()) as Clock.Clock, { sleep: () => Effect.void })
const failing = (call: Effect.Effect<unknown, unknown>, service?: () => RpcRetry.Service) =>
  calls(call, service, instant)

const handLoop = Effect.suspend(() => {
  let left = 3
  const loop: Effect.Effect<number, Retryable> = Effect.catchAll(
    flaky,
    (error) => left-- > 0 ? loop : Effect.fail(error)
  )
  return loop
})

const http = HttpClient.make((request) =>
  Effect.sync(() =>
    HttpClientResponse.fromWeb(request, new Response(null, { status: ++attempts % 3 === 0 ? 200 : 503 }))
  )
)
const transient = HttpClient.retryTransient(http, { schedule: any, times: 3 })

const cockatiel = Cockatiel.retry(Cockatiel.handleAll, { maxAttempts: 3, backoff: new Cockatiel.ConstantBackoff(0) })

export const group: Group = {
  title: "A call that fails twice and then succeeds, without delays",
  unit: "nanoseconds of processor time for a call",
  rounds: 21,
  cases: {
    "Effect.retry(schedule)": failing(Effect.retry(flaky, any)),
    "Effect.retry({ times })": failing(Effect.retry(flaky, { times: 3 })),
    "a loop by hand": failing(handLoop),
    "withRpcRetry, named schedule": failing(flaky.pipe(withRpcRetry({ schedule: named }))),
    "withRpcRetry, any schedule": failing(flaky.pipe(withRpcRetry({ schedule: any }))),
    "withRpcRetry, named schedule, layer, metrics": failing(
      flaky.pipe(withRpcRetry({ method: "Users.Get" })),
      () => RpcRetry.make({ default: { schedule: named }, budget: "off" })
    ),
    "HttpClient.retryTransient": failing(transient.get("http://localhost/")),
    "p-retry": promises(() => pRetry(flakyPromise, { retries: 3, minTimeout: 0 })),
    "cockatiel retry": promises(() => cockatiel.execute(flakyPromise))
  },
  rows: [
    {
      what: "named schedule / `Effect.retry(schedule)`",
      ratio: (of) => of("withRpcRetry, named schedule") / of("Effect.retry(schedule)"),
      atMost: 0.17
    },
    {
      what: "any schedule / `Effect.retry(schedule)`",
      ratio: (of) => of("withRpcRetry, any schedule") / of("Effect.retry(schedule)"),
      atMost: 0.56
    },
    {
      what: "named schedule, with a layer and metrics / `Effect.retry(schedule)`",
      ratio: (of) => of("withRpcRetry, named schedule, layer, metrics") / of("Effect.retry(schedule)"),
      atMost: 0.4
    },
    {
      what: "named schedule / `Effect.retry({ times })`",
      ratio: (of) => of("withRpcRetry, named schedule") / of("Effect.retry({ times })")
    },
    {
      what: "named schedule / p-retry, whose delays are timers of 0 ms",
      ratio: (of) => of("withRpcRetry, named schedule") / of("p-retry")
    },
    {
      what: "named schedule / cockatiel's retry, whose delays are timers of 0 ms",
      ratio: (of) => of("withRpcRetry, named schedule") / of("cockatiel retry")
    },
    {
      what: "named schedule / `HttpClient.retryTransient`, its responses included",
      ratio: (of) => of("withRpcRetry, named schedule") / of("HttpClient.retryTransient")
    }
  ]
}
