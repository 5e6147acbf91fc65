/**
 * The hedges that a layer makes, one for each method.
 */
import { Hedge, InvalidOption, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const hedge = { after: "10 millis", load: 0.5 } as const
const hedged = { idempotent: true, hedge } as const

/** So many calls that take so long, one after the other. */
const calls = (method: string | undefined, count: number, millis = 0) =>
  play(Effect.replicateEffect(Effect.sleep(millis).pipe(withRpcRetry({ method, logs: false })), count))

const stateOf = (method: string | null) =>
  Effect.map(RpcRetry.inspect, ({ hedges }) => hedges.find((one) => one.method === method))

const numbers = (method: string | null) =>
  Effect.map(stateOf(method), (state) => state && [state.calls, state.extraLegs, state.won, state.refused, state.level])

describe("a hedge in a layer", () => {
  it.effect("each method has a load of its own, and so have the calls without a name", () =>
    Effect.gen(function*() {
      yield* calls("Users.Get", 10)
      yield* calls("Users.List", 2, 50)
      yield* calls(undefined, 1)
      assert.deepStrictEqual(yield* stateOf("Users.Get"), {
        method: "Users.Get",
        after: "10ms",
        calls: 10,
        extraLegs: 0,
        refused: 0,
        won: 0,
        level: 5
      })
      assert.deepStrictEqual(yield* numbers("Users.List"), [2, 1, 0, 1, 0])
      assert.deepStrictEqual(yield* numbers(null), [1, 0, 0, 0, 0.5])
    }).pipe(Effect.provide(RpcRetry.layer({ default: hedged }))))

  it.effect("one of Hedge.make is shared by all methods that have it", () =>
    Effect.gen(function*() {
      const shared = yield* Hedge.make(hedge)
      const layer = RpcRetry.layer({ default: { idempotent: true, hedge: shared } })
      yield* Effect.andThen(calls("Users.Get", 10), calls("Users.List", 1, 50)).pipe(Effect.provide(layer))
      const { calls: count, extraLegs } = yield* shared.state
      assert.deepStrictEqual([count, extraLegs], [11, 1])
    }))

  it.effect("keeps its state through updates, until its own options change", () =>
    Effect.gen(function*() {
      yield* calls("Users.Get", 10)
      yield* RpcRetry.update("Users.Get", { deadline: "1 minute" })
      yield* RpcRetry.update("Users.*", hedged)
      yield* calls("Users.Get", 1)
      assert.deepStrictEqual(yield* numbers("Users.Get"), [11, 0, 0, 0, 5.5])
      yield* RpcRetry.update("Users.Get", { idempotent: false })
      yield* calls("Users.Get", 1, 50)
      assert.deepStrictEqual(yield* numbers("Users.Get"), [11, 0, 0, 0, 5.5])
      yield* RpcRetry.update("Users.Get", { idempotent: true })
      yield* calls("Users.Get", 1, 50)
      assert.deepStrictEqual(yield* numbers("Users.Get"), [12, 1, 0, 0, 5])
      yield* RpcRetry.update("Users.Get", { idempotent: true, hedge: { ...hedge, load: 0.1 } })
      yield* calls("Users.Get", 1)
      assert.deepStrictEqual(yield* numbers("Users.Get"), [1, 0, 0, 0, 0.1])
    }).pipe(Effect.provide(RpcRetry.layer({ methods: { "Users.Get": hedged } }))))

  it.effect("that is switched off while a call waits stays with that call, and is off for the next one", () =>
    Effect.gen(function*() {
      yield* calls("Users.Get", 10)
      const call = yield* Effect.fork(Effect.sleep(50).pipe(withRpcRetry({ method: "Users.Get", logs: false })))
      yield* TestClock.adjust("5 millis")
      yield* RpcRetry.update("Users.Get", { idempotent: true, hedge: "off" })
      yield* TestClock.adjust("50 millis")
      yield* call
      assert.deepStrictEqual(yield* numbers("Users.Get"), [11, 1, 0, 0, 4.5])
      yield* calls("Users.Get", 1, 50)
      assert.deepStrictEqual(yield* numbers("Users.Get"), [11, 1, 0, 0, 4.5])
    }).pipe(Effect.provide(RpcRetry.layer({ methods: { "Users.Get": hedged } }))))

  it.effect("keeps its state when a document replaces everything else", () =>
    Effect.gen(function*() {
      const documents = yield* Queue.unbounded<unknown>()
      const layer = RpcRetry.layerReloadable(Stream.fromQueue(documents), { default: hedged })
      yield* Effect.gen(function*() {
        yield* calls("Users.Get", 10)
        yield* documents.offer({ default: { deadline: "1 minute" } })
        yield* calls("Users.Get", 1)
        const { policies } = yield* RpcRetry.inspect
        assert.strictEqual(policies[0]!.deadline, "1m")
        assert.deepStrictEqual(yield* numbers("Users.Get"), [11, 0, 0, 0, 5.5])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is shown by inspect, and by describe, only where the call may run twice", () =>
    Effect.gen(function*() {
      const { policies } = yield* RpcRetry.inspect
      assert.deepStrictEqual(policies.map(({ from, hedge, name }) => [name, hedge, from.hedge]), [
        ["default", { after: "quantile 0.9", max: 3, load: 0.1 }, "default"],
        ["Users.Create", null, "default"],
        ["Users.Get", { after: "10ms", max: 2, load: 0.5 }, "Users.Get"]
      ])
    }).pipe(Effect.provide(RpcRetry.layer({
      default: { idempotent: true, hedge: { after: Hedge.quantile(0.9), max: 3, load: 0.1 } },
      methods: { "Users.Create": { idempotent: false }, "Users.Get": hedged }
    }))))

  it.effect("an update with a hedge and without idempotent is refused, and changes nothing", () =>
    Effect.gen(function*() {
      const bad = { hedge } as unknown as RpcRetry.Options
      const error = yield* Effect.flip(RpcRetry.update("Users.Get", bad))
      assert.instanceOf(error, InvalidOption)
      assert.strictEqual(error.field, "Users.Get.hedge")
      assert.strictEqual((yield* RpcRetry.policies).length, 1)
    }).pipe(Effect.provide(RpcRetry.layer())))
})
