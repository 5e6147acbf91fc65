/**
 * Many calls that share one `AbortSignal`.
 */
import { type Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { type Case, cpu, type Group, isQuick } from "./case.js"

const waiting: Effect.Effect<number, Retryable> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.succeed(1)))
})
const call = waiting.pipe(withRpcRetry)

type Run = (call: Effect.Effect<number, unknown>, options: { readonly signal: AbortSignal }) => Promise<number>

const sharing = (run: Run, n: number): Case => () => async () => {
  const { signal } = new AbortController()
  const took = await cpu(() => Promise.all(Array.from({ length: n }, () => run(call, { signal }))))
  return took / n
}

const few = isQuick ? 50 : 5_000
const many = isQuick ? 400 : 40_000

export const group: Group = {
  title: "Calls that share one `AbortSignal`",
  unit: "nanoseconds of processor time for a call",
  rounds: 7,
  cases: {
    "RpcRetry.runPromise, 5,000 at once": sharing(RpcRetry.runPromise, few),
    "RpcRetry.runPromise, 40,000 at once": sharing(RpcRetry.runPromise, many),
    "Effect.runPromise, 5,000 at once": sharing(Effect.runPromise, few),
    "Effect.runPromise, 40,000 at once": sharing(Effect.runPromise, many)
  },
  rows: [
    {
      what: "`RpcRetry.runPromise`, 40,000 at once / 5,000 at once",
      ratio: (of) => of("RpcRetry.runPromise, 40,000 at once") / of("RpcRetry.runPromise, 5,000 at once"),
      atMost: 1.2
    },
    {
      what: "`Effect.runPromise`, 40,000 at once / 5,000 at once",
      ratio: (of) => of("Effect.runPromise, 40,000 at once") / of("Effect.runPromise, 5,000 at once")
    },
    {
      what: "`RpcRetry.runPromise` / `Effect.runPromise`, 40,000 at once",
      ratio: (of) => of("RpcRetry.runPromise, 40,000 at once") / of("Effect.runPromise, 40,000 at once")
    }
  ]
}
