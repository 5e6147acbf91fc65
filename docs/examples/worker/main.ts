/**
 * A worker: it works off a queue of jobs, each of them a call at one of the servers that DNS lists.
 *
 * A job that fails is not lost: it is printed at the end, for another run.
 */
import { Endpoints, RetryBudget, RetrySchedule, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Dns from "effect-rpc-retry/Dns"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"

/** How many jobs are worked on at once. */
const workers = 4

const RetryLive = RpcRetry.layer({
  // a job has time: it waits longer, not harder
  default: {
    schedule: RetrySchedule.exponential({ base: "50 millis", factor: 2, cap: "2 seconds" }).pipe(
      RetrySchedule.equalJitter
    ),
    attemptTimeout: "1 second",
    deadline: "20 seconds"
  },
  // at most one retry for each five answers, and ten in hand
  budget: RetryBudget.make({ ratio: 0.2, capacity: 10 })
})

/** `Arith` at whichever servers there are. Each attempt chooses one, so that a retry goes to another. */
const arith = Effect.gen(function*() {
  const endpoints = yield* Endpoints.make({
    name: "Arith",
    source: Dns.services({
      name: yield* Config.withDefault(Config.string("SERVICE"), "_arith._tcp.example.org"),
      // without it, those of the system
      servers: yield* Config.withDefault(Config.array(Config.string(), "NAME_SERVERS"), undefined)
    }),
    connect: (endpoint) => GoRpc.make(Endpoints.hostAndPort(endpoint))
  })
  return (job: number) =>
    endpoints.call(
      (rpc) => rpc.call("Arith.Multiply", { A: job, B: job }, { reply: Schema.Number }),
      { method: "Arith.Multiply", idempotent: true }
    )
})

const program = Effect.gen(function*() {
  const square = yield* arith
  const jobs = yield* Queue.unbounded<number>()
  yield* jobs.offerAll(Array.from({ length: yield* Config.withDefault(Config.integer("JOBS"), 100) }, (_, i) => i))

  const failed: Array<number> = []
  let sum = 0
  const work = (job: number) =>
    square(job).pipe(
      withRpcRetry,
      Effect.map((product) => {
        sum += product
      }),
      Effect.catchAll((error) => {
        failed.push(job)
        return Console.error(error.message)
      })
    )
  yield* Effect.forEach(yield* jobs.takeAll, work, { concurrency: workers, discard: true })

  yield* Console.log(`the sum of the squares is ${sum}; left to do: ${failed.join() || "nothing"}`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(RetryLive)))
