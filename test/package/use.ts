// Installed from the tarball into an empty project: type-checked there, then run from ESM.
import { type CallRejected, type Fatal, type RetryExhausted, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as RetrySchedule from "effect-rpc-retry/RetrySchedule"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const program: Effect.Effect<number, Fatal | RetryExhausted | CallRejected> = Effect.gen(function*() {
  const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
  const rpc = yield* GoRpc.make(server.address)
  yield* server.script(FlakyServer.reset)
  return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number }).pipe(
    withRpcRetry({ schedule: RetrySchedule.standard, attemptTimeout: "1 second" })
  )
}).pipe(Effect.scoped, Effect.provide(RpcRetry.layer({ default: { deadline: "5 seconds" } })))

const product = await Effect.runPromise(program)
if (product !== 42) {
  throw new Error(`expected 42, got ${product}`)
}
process.stdout.write(`the packed package retried a reset connection and got ${product}\n`)
