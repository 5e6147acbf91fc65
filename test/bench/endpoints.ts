/**
 * What endpoints add to a call, with 3 and with 1,000 of them. Alone:
 * `npm run --silent build && node --import tsx test/bench/endpoints.ts`.
 */
import { Endpoints } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Url from "node:url"
import { measure, nanos, print } from "./support.js"

const answer = Effect.succeed(1)

const picks = ["powerOfTwo", "roundRobin", "weighted", "pickFirst"] as const

const of = (count: number, pick: Endpoints.Pick) =>
  Effect.map(
    Endpoints.make({
      source: Endpoints.fromList(
        Array.from({ length: count }, (_, i) => ({ address: `10.0.0.1:${i}`, weight: 1 + i % 3 }))
      ),
      connect: () => Effect.succeed(answer),
      pick,
      metrics: "off"
    }),
    (endpoints) => endpoints.call((client) => client)
  )

export const program = Effect.gen(function*() {
  const calls: Record<string, Effect.Effect<unknown, unknown>> = { bare: answer }
  for (const pick of picks) {
    for (const count of [3, 1_000]) {
      const call = yield* of(count, pick)
      // clients are made on first use
      yield* Effect.replicateEffect(call, 20 * count)
      calls[`${pick} of ${count}`] = call
    }
  }
  const took = yield* measure(calls, { runs: 2_000 })
  const added = (name: string) => took[name]! - took["bare"]!
  yield* print(
    "What endpoints add to a call that succeeds",
    picks.map((pick) => {
      const [few, many] = [added(`${pick} of 3`), added(`${pick} of 1000`)]
      return [pick, `3: ${nanos(few)}, 1,000: ${nanos(many)}, ${(many / few).toFixed(2)}x`]
    })
  )
}).pipe(Effect.scoped)

if (process.argv[1] === Url.fileURLToPath(import.meta.url)) {
  void Effect.runPromise(program)
}
