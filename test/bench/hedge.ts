/**
 * What a hedge adds to a call that succeeds at once, beside `Effect.timeoutFail`. Alone:
 * `npm run --silent build && node --import tsx test/bench/hedge.ts`.
 */
import { Hedge, type Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Url from "node:url"
import { measure, nanos, print } from "./support.js"

const succeeding: Effect.Effect<number, Retryable> = Effect.sync(() => 1)

const after = "1 second"

const call = succeeding.pipe(withRpcRetry({ method: "Users.Get" }))

const layer = (options: RpcRetry.LayerOptions["default"]) =>
  RpcRetry.make({ default: options, metrics: "off", budget: "off" })

export const program = Effect.gen(function*() {
  const hedge = yield* Hedge.make({ after })
  const took = yield* measure({
    bare: succeeding,
    timeout: Effect.timeoutFail(succeeding, { duration: after, onTimeout: () => "late" }),
    function: Hedge.hedge(succeeding, hedge, { idempotent: true }),
    alone: { call, service: layer({ idempotent: true }) },
    policy: { call, service: layer({ idempotent: true, hedge: { after } }) },
    quantile: { call, service: layer({ idempotent: true, hedge: { after: Hedge.quantile(0.95) } }) }
  }, { runs: 1000 })
  const added = (name: string, to = "bare") => took[name]! - took[to]!
  const ratio = (name: string, to?: string) => `${(added(name, to) / added("timeout")).toFixed(2)}x (at most 0.6x)`
  yield* print("What a hedge adds to a call that succeeds at once", [
    ["Effect.timeoutFail", nanos(added("timeout"))],
    ["Hedge.hedge", nanos(added("function"))],
    ["  ratio to Effect.timeoutFail", ratio("function")],
    ["hedge of a policy", nanos(added("policy", "alone"))],
    ["  ratio to Effect.timeoutFail", ratio("policy", "alone")],
    ["hedge of a policy, at a quantile", nanos(added("quantile", "alone"))],
    ["  ratio to Effect.timeoutFail", ratio("quantile", "alone")]
  ])
})

if (process.argv[1] === Url.fileURLToPath(import.meta.url)) {
  void Effect.runPromise(program)
}
