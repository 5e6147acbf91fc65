/**
 * What a hedge adds to a call that succeeds at once.
 */
import { Hedge, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { beyond, calls, type Group } from "./case.js"
import { succeeding } from "./success.js"

const after = "1 second"

const call = succeeding.pipe(withRpcRetry({ method: "Users.Get" }))

const layer = (policy: RpcRetry.LayerOptions["default"]) => () =>
  RpcRetry.make({ default: policy, metrics: "off", budget: "off" })

const hedge = Effect.runSync(Hedge.make({ after }))

export const group: Group = {
  title: "A hedged call that succeeds at once",
  unit: "nanoseconds of processor time for a call",
  rounds: 21,
  cases: {
    bare: calls(succeeding),
    "Effect.timeoutFail": calls(Effect.timeoutFail(succeeding, { duration: after, onTimeout: () => "late" })),
    "Hedge.hedge": calls(Hedge.hedge(succeeding, hedge, { idempotent: true })),
    "layer": calls(call, layer({ idempotent: true })),
    "layer, hedge": calls(call, layer({ idempotent: true, hedge: { after } })),
    "layer, hedge at a quantile": calls(call, layer({ idempotent: true, hedge: { after: Hedge.quantile(0.95) } }))
  },
  rows: [
    {
      what: "`Hedge.hedge` / `Effect.timeoutFail`",
      ratio: (of) => beyond(of, "Hedge.hedge") / beyond(of, "Effect.timeoutFail"),
      atMost: 0.6
    },
    {
      what: "`hedge` of a policy / `Effect.timeoutFail`",
      ratio: (of) => beyond(of, "layer, hedge", "layer") / beyond(of, "Effect.timeoutFail"),
      atMost: 0.6
    },
    {
      what: "`hedge` of a policy, at a quantile / `Effect.timeoutFail`",
      ratio: (of) => beyond(of, "layer, hedge at a quantile", "layer") / beyond(of, "Effect.timeoutFail"),
      atMost: 0.6
    }
  ]
}
