/**
 * A service that makes calls, as programs have it.
 */
import { CallRejected, type Fatal, type Retryable, RetryExhausted, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"

/** What production has. */
export const policies: RpcRetry.LayerOptions = {
  default: { attemptTimeout: "1 second", deadline: "3 seconds" },
  methods: { "Stock.Take": { idempotent: false } }
}

type Call<A> = Effect.Effect<A, Retryable | Fatal>

/** How many there are of an item; `undefined` where the stock does not answer, and the page is shown without it. */
export const available = (call: Call<number>): Effect.Effect<number | undefined, Fatal> =>
  call.pipe(
    withRpcRetry({ method: "Stock.Get" }),
    Effect.catchIf(
      (error): error is RetryExhausted | CallRejected =>
        error instanceof RetryExhausted || error instanceof CallRejected,
      () => Effect.succeed(undefined)
    )
  )

/** Takes one: an order that may have been made is not made again. */
export const take = (call: Call<void>): Effect.Effect<void, Fatal | RetryExhausted | CallRejected> =>
  call.pipe(withRpcRetry({ method: "Stock.Take" }))
