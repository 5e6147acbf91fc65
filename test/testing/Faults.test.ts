import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { assert, describe, it } from "../support/vitest.js"

describe("Faults.script", () => {
  it.effect("runs a step per attempt, the last one again and again, and counts", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Faults.refused, Effect.die("boom"), Effect.succeed(1)])
      assert.strictEqual(yield* call.attempts, 0)
      const first = yield* Effect.flip(call)
      assert.deepStrictEqual([first.reason, first.delivery], ["ConnectionRefused", "NotSent"])
      assert.deepStrictEqual(yield* Effect.exit(call), Exit.die("boom"))
      assert.deepStrictEqual([yield* call, yield* call, yield* call], [1, 1, 1])
      assert.strictEqual(yield* call.attempts, 5)
    }))

  it.effect("counts attempts that were interrupted", () =>
    Effect.gen(function*() {
      const call = yield* Faults.script([Effect.never])
      const fiber = yield* Effect.fork(call)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([yield* call.attempts, yield* call.interrupted], [1, 1])
    }))

  it.effect("two scripts share nothing", () =>
    Effect.gen(function*() {
      const make = Faults.script([Faults.reset, Effect.void])
      const [one, two] = [yield* make, yield* make]
      yield* Effect.flip(one)
      yield* one
      assert.deepStrictEqual([yield* one.attempts, yield* two.attempts], [2, 0])
    }))
})
