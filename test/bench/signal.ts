/**
 * Many calls that share one `AbortSignal`.
 */
import { type Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { type Case, cpu, type Group, isQuick } from "./case.js"

const waiting: Effect.Effect<number, Retryable> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.succeed(1)))
})
const call = waiting.pipe(withRpcRetry)

const sharing = (n: number): Case => () => async () => {
  const { signal } = new AbortController()
  const took = await cpu(() => Promise.all(Array.from({ length: n }, () => Effect.runPromise(call, { signal }))))
  return took / n
}

export const group: Group = {
  title: "Calls that share one `AbortSignal`, run with `Effect.runPromise`",
  unit: "nanoseconds of processor time for a call",
  rounds: 7,
  cases: {
    "5,000 at once": sharing(isQuick ? 50 : 5_000),
    "40,000 at once": sharing(isQuick ? 400 : 40_000)
  },
  rows: [
    { what: "40,000 at once / 5,000 at once", ratio: (of) => of("40,000 at once") / of("5,000 at once"), atMost: 1.2 }
  ]
}
