/**
 * Calls in programs that batch requests: Effect moves what follows such a request to another fiber.
 */
import { Bulkhead, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import { assert, describe, it } from "../../support/vitest.js"

class Get extends Request.TaggedClass("Get")<number, never, { readonly id: number }> {}

const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<Get>) =>
  Effect.forEach(requests, (request) => Request.succeed(request, request.id), { discard: true })
)

const each = <A, E>(one: (id: number) => Effect.Effect<A, E>) =>
  Effect.forEach([1, 2], one, { batching: true, concurrency: "unbounded" })

describe("a call whose attempt is a batched request", () => {
  it.effect("leaves no place in a bulkhead to the calls after it", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 2, queue: 0 })
      const inFlight = yield* each((id) =>
        Effect.request(new Get({ id }), resolver).pipe(
          withRpcRetry({ bulkhead }),
          Effect.andThen(bulkhead.inFlight.pipe(withRpcRetry({ bulkhead })))
        )
      )
      assert.isAtLeast(Math.min(...inFlight), 1)
    }))
})
