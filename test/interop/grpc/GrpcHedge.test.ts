/**
 * The hedging policies of gRPC's service configs, against servers of grpc-js and of `google.golang.org/grpc`. Neither the
 * client of grpc-go nor that of Kitex has hedging.
 */
import { Fatal, RetryExhausted, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Contract from "../../support/contract.js"
import { eventually } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { client, textOf } from "../../support/grpcClient.js"
import * as GrpcGo from "../../support/grpcGo.js"
import * as GrpcServer from "../../support/grpcServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const ofGo = Effect.gen(function*() {
  const server = yield* GrpcGo.make(GoProgram.make("grpcserver").serve)
  return {
    ...server,
    script: (...steps: ReadonlyArray<Contract.Step>) => server.script(...steps.map(GrpcGo.ofContract))
  }
})

const ofNode = Effect.map(GrpcServer.make, (server) => ({
  ...server,
  script: (...steps: ReadonlyArray<Contract.Step>) => server.script(...steps.map(GrpcServer.ofContract))
}))

const never = { _tag: "Hint", delay: "Never" } as const
const [answer, fatal, retryable, stall] = (["Answer", "Fatal", "Retryable", "Stall"] as const).map((_tag) => ({
  _tag
})) as [
  Contract.Step,
  Contract.Step,
  Contract.Step,
  Contract.Step
]

const hedging = (policy: object, more: object = {}) =>
  RpcRetry.layerServiceConfig({
    methodConfig: [{ name: [{}], hedgingPolicy: { maxAttempts: 3, nonFatalStatusCodes: ["UNAVAILABLE"], ...policy } }],
    ...more
  })

for (const [name, server, skipped] of [["grpc-js", ofNode, undefined], ["grpc-go", ofGo, GoServer.skipped]] as const) {
  describe.skipIf(skipped !== undefined)(`a hedging policy and a server of ${name} ${skipped ?? ""}`, () => {
    /** The exit of a call under a policy when the server does so with its requests, and the requests that the server saw. */
    const calling = (layer: Layer.Layer<never, unknown>, ...steps: ReadonlyArray<Contract.Step>) =>
      Effect.gen(function*() {
        const { address, script, seen } = yield* server
        const echo = textOf(Grpc.unary(yield* client(address, Grpc.channelOptions), "Echo")({ value: "x" }))
        yield* echo
        yield* script(...steps)
        const exit = yield* Effect.either(echo.pipe(withRpcRetry, Effect.provide(layer)))
        return { exit, seen: Effect.map(seen, (all) => all.slice(1)) }
      })

    it.scopedLive("12. without a delay three requests are sent, one answers, and the others are cancelled", () =>
      Effect.gen(function*() {
        const { exit, seen } = yield* calling(hedging({}), stall, stall, answer)
        assert.strictEqual(exit._tag === "Right" && exit.right, "x")
        const [first, second, ...rest] = yield* seen
        yield* first!.cancelled
        yield* second!.cancelled
        assert.strictEqual(rest.length, 1)
      }))

    it.scopedLive("13. a call succeeds when only its third request does", () =>
      Effect.gen(function*() {
        const { exit, seen } = yield* calling(hedging({ hedgingDelay: "60s" }), retryable, retryable, answer)
        assert.strictEqual(exit._tag === "Right" && exit.right, "x")
        assert.deepStrictEqual((yield* seen).map(({ previousAttempts }) => previousAttempts), [0, 1, 2])
      }))

    it.scopedLive("14. when all three requests fail, no other is sent", () =>
      Effect.gen(function*() {
        const { exit, seen } = yield* calling(hedging({}), retryable, retryable, retryable)
        const error = exit._tag === "Left" ? exit.left : undefined
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.attempts], ["AttemptsExhausted", 3])
        assert.strictEqual((yield* seen).length, 3)
      }))

    it.scopedLive("15. a final status ends the call, and cancels the requests beside it", () =>
      Effect.gen(function*() {
        const { exit, seen } = yield* calling(hedging({}), stall, stall, fatal)
        assert.instanceOf(exit._tag === "Left" ? exit.left : undefined, Fatal)
        const [first, second] = yield* seen
        yield* first!.cancelled
        yield* second!.cancelled
      }))

    it.scopedLive("16. of maxAttempts 10 five requests are sent", () =>
      Effect.gen(function*() {
        const { exit, seen } = yield* calling(hedging({ maxAttempts: 10 }), ...Array(10).fill(retryable))
        assert.instanceOf(exit._tag === "Left" ? exit.left : undefined, RetryExhausted)
        assert.strictEqual((yield* seen).length, 5)
      }))

    it.scopedLive("107. told not to retry, no other request is sent, and the one in flight goes on", () =>
      Effect.gen(function*() {
        const { address, script, seen } = yield* server
        const echo = textOf(Grpc.unary(yield* client(address, Grpc.channelOptions), "Echo")({ value: "x" }))
        yield* script(stall, never)
        const policy = hedging({ hedgingDelay: "0.05s" })
        const fiber = yield* Effect.fork(
          echo.pipe(withRpcRetry({ deadline: "1 second", logs: false }), Effect.provide(policy), Effect.flip)
        )
        yield* eventually(Effect.map(seen, (all) => all.length >= 2))
        const error = yield* fiber
        assert.instanceOf(error, RetryExhausted)
        const all = yield* seen
        assert.strictEqual(all.length, 2)
        assert.deepStrictEqual(error.history.map(({ error }) => error.retryAfter), ["Never", undefined])
        yield* all[0]!.cancelled
      }))
  })
}
