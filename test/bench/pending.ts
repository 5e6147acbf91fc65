/**
 * Many calls that wait for their next attempt: the memory that they hold, and what it takes to cancel them all.
 */
// oxlint-disable no-await-in-loop, no-unmodified-loop-condition -- one after the other is what is measured
import { Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import { type Case, cpu, type Group, isQuick } from "./case.js"

const few = isQuick ? 100 : 10_000
const many = isQuick ? 1_000 : 100_000
/** Run in the full table only: a million takes gigabytes. */
const most = isQuick ? 2_000 : 1_000_000

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })
const schedule = Schedule.spaced("1 hour")

let attempts = 0
const failing = Effect.suspend(() => {
  attempts++
  return Effect.fail(refused)
})

const used = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const held =
  (call: Effect.Effect<unknown, unknown>, n: number, service?: () => RpcRetry.Service): Case => () => async () => {
    const before = used()
    attempts = 0
    const made = service?.()
    // provided once to all fibers, as a program provides its layer
    const fork = made === undefined
      ? Effect.runFork
      : Runtime.runFork(Runtime.provideService(Runtime.defaultRuntime, RpcRetry.RpcRetry, made))
    const fibers: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
    const start = await cpu(async () => {
      for (let i = 0; i < n; i++) {
        fibers.push(fork(call as Effect.Effect<unknown, unknown>))
      }
      while (attempts < n) {
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    })
    const heap = used() - before
    const cancel = await cpu(() => Effect.runPromise(Fiber.interruptAll(fibers)))
    if (attempts !== n) {
      throw new Error(`${attempts - n} attempts after the calls were cancelled`)
    }
    return { heap: heap / n, start: start / n, cancel: cancel / n }
  }

const ours = failing.pipe(withRpcRetry({ schedule }))
const named = failing.pipe(withRpcRetry({ method: "Users.Get", schedule }))
const layer = () => RpcRetry.make({ budget: "off" })

export const group: Group = {
  title: "Calls that wait for their next attempt",
  unit: "for a call: bytes of the heap; nanoseconds of processor time to make its first attempt, and to cancel it",
  rounds: 5,
  cases: {
    "Effect.retry(schedule)": held(Effect.retry(failing, schedule), many),
    withRpcRetry: held(ours, many),
    "withRpcRetry, layer, metrics": held(named, many, layer),
    "withRpcRetry, few": held(ours, few),
    "withRpcRetry, most": held(ours, most)
  },
  rows: [
    {
      what: "heap of a waiting call, 100,000 of them / `Effect.retry(schedule)`",
      ratio: (of) => of("withRpcRetry: heap") / of("Effect.retry(schedule): heap"),
      atMost: 0.5
    },
    {
      what: "the same with a layer and metrics",
      ratio: (of) => of("withRpcRetry, layer, metrics: heap") / of("Effect.retry(schedule): heap"),
      atMost: 0.7
    },
    {
      what: "cancelling them all / `Effect.retry(schedule)`",
      ratio: (of) => of("withRpcRetry: cancel") / of("Effect.retry(schedule): cancel"),
      atMost: 0.62
    },
    {
      what: "the same with a layer and metrics",
      ratio: (of) => of("withRpcRetry, layer, metrics: cancel") / of("Effect.retry(schedule): cancel"),
      atMost: 0.8
    },
    {
      what: "a call to start and cancel among 1,000,000 / among 10,000",
      ratio: (of) =>
        (of("withRpcRetry, most: start") + of("withRpcRetry, most: cancel")) /
        (of("withRpcRetry, few: start") + of("withRpcRetry, few: cancel")),
      atMost: 2
    }
  ]
}
