/**
 * The tests of `stock.ts`: on virtual time with scripted faults, over a socket with a server that misbehaves, and of the policies in
 * an outage.
 */
import { assert, describe, it } from "@effect/vitest"
import { RpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { available, policies, take } from "./stock.js"

const RetryLive = RpcRetry.layer(policies)

describe("the stock, with scripted faults", () => {
  it.effect("is known after a refused and a lost connection", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused, Faults.reset, Effect.succeed(3)])
      const fiber = yield* Effect.fork(available(call))
      yield* TestClock.adjust("250 millis")
      assert.strictEqual(yield* Fiber.join(fiber), 3)
      assert.strictEqual(yield* call.attempts, 3)
    }).pipe(Effect.provide(RetryLive)))

  it.effect("is left out of the page after three seconds without an answer", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.never])
      const fiber = yield* Effect.fork(available(call))
      yield* TestClock.adjust("3 seconds")
      assert.isUndefined(yield* Fiber.join(fiber))
      assert.strictEqual(yield* call.attempts, yield* call.interrupted)
    }).pipe(Effect.provide(RetryLive)))

  it.effect("is not taken twice: an order that may have been made is not repeated", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.reset])
      const error = yield* Effect.flip(take(call))
      assert.strictEqual(error.reason, "NotIdempotent")
      assert.strictEqual(yield* call.attempts, 1)
    }).pipe(Effect.provide(RetryLive)))

  it.effect("is asked no more when the caller has gone", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused])
      const fiber = yield* Effect.fork(available(call))
      yield* TestClock.adjust("50 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* call.attempts, 1)
    }).pipe(Effect.provide(RetryLive)))
})

describe("the stock, over a socket", () => {
  it.scopedLive("is known although the connection is reset once", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: { "Stock.Get": () => Effect.succeed(3) } })
      const rpc = yield* GoRpc.make(server.address)
      yield* server.script(FlakyServer.reset)
      assert.strictEqual(yield* available(rpc.call("Stock.Get", {}, { reply: Schema.Number })), 3)
      assert.lengthOf(yield* server.requests, 2)
    }).pipe(Effect.provide(RetryLive)))
})

describe("the policies", () => {
  it.effect("survive an outage, at no more than half again the load", () =>
    Simulator.assertRecovers(Simulator.layer(policies), Simulator.scenarios.outage, {
      within: "60 seconds",
      failIf: ["amplification > 1.5"]
    }))
})
