/**
 * What bounds cost on a call that succeeds in time.
 */
import { Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { beyond, calls, type Group } from "./case.js"
import { succeeding } from "./success.js"

const late = new Retryable({ reason: "AttemptTimeout", delivery: "Unknown" })
const timeoutFail = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.timeoutFail(self, { duration: "1 second", onTimeout: () => late })

const both = withRpcRetry({ attemptTimeout: "1 second", deadline: "5 seconds" })

const waiting: Effect.Effect<number, Retryable> = Effect.async((resume) => {
  queueMicrotask(() => resume(Effect.succeed(1)))
})

export const group: Group = {
  title: "A call with bounds, in time",
  unit: "nanoseconds of processor time for a call",
  rounds: 21,
  cases: {
    bare: calls(succeeding),
    "Effect.timeoutFail": calls(timeoutFail(succeeding)),
    attemptTimeout: calls(succeeding.pipe(withRpcRetry({ attemptTimeout: "1 second" }))),
    "attemptTimeout, deadline": calls(both(succeeding)),
    "bare, asynchronous": calls(waiting),
    "Effect.timeoutFail, asynchronous": calls(timeoutFail(waiting)),
    "attemptTimeout, deadline, asynchronous": calls(both(waiting))
  },
  rows: [
    {
      what: "attempt timeout and deadline / `Effect.timeoutFail`, synchronous",
      ratio: (of) => beyond(of, "attemptTimeout, deadline") / beyond(of, "Effect.timeoutFail"),
      atMost: 0.17
    },
    {
      what: "the same, asynchronous",
      ratio: (of) =>
        beyond(of, "attemptTimeout, deadline, asynchronous", "bare, asynchronous") /
        beyond(of, "Effect.timeoutFail, asynchronous", "bare, asynchronous"),
      atMost: 0.33
    },
    {
      what: "attempt timeout alone / `Effect.timeoutFail`, synchronous",
      ratio: (of) => beyond(of, "attemptTimeout") / beyond(of, "Effect.timeoutFail")
    }
  ]
}
