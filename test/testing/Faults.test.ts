import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { play } from "../support/play.js"
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

describe("the laws of latency", () => {
  /** So many draws in milliseconds, from the shortest. */
  const draws = (law: Faults.Law, seed = "a seed") =>
    Effect.runSync(Effect.replicateEffect(law, 10_000).pipe(Effect.withRandom(Random.make(seed))))
      .map(Duration.toMillis).toSorted((a, b) => a - b)
  const at = (law: Faults.Law, share: number) => draws(law)[Math.floor(share * 10_000)]!

  it("draw the same with the same seed", () => {
    const law = Faults.lognormal({ median: 5 })
    assert.deepStrictEqual(draws(law), draws(law))
    assert.notDeepEqual(draws(law), draws(law, "another"))
  })

  it("lognormal: half take less than the median, one in a hundred twice as long", () => {
    const law = Faults.lognormal({ median: "5 millis" })
    assert.approximately(at(law, 0.5), 5, 0.1)
    assert.approximately(at(law, 0.99), 10, 0.5)
    assert.approximately(at(Faults.lognormal({ median: 5, spread: 0 }), 0.99), 5, 1e-9)
  })

  it("pareto: none takes less than the shortest, one in a hundred 21 times as long", () => {
    const law = Faults.pareto({ shortest: "4 millis" })
    assert.isAtLeast(draws(law)[0]!, 4)
    assert.approximately(at(law, 0.5), 4 * 2 ** (2 / 3), 0.2)
    assert.approximately(at(law, 0.99), 4 * 21.5, 12)
  })

  it("stragglers: the share of a law that is replaced by long draws, between two bounds", () => {
    const slow = draws(
      Faults.constant(5).pipe(
        Faults.stragglers({ share: 0.02, shortest: "50 millis", longest: "500 millis" })
      )
    ).filter((millis) => millis !== 5)
    assert.approximately(slow.length, 200, 45)
    assert.isAtLeast(slow[0]!, 50)
    assert.isAtMost(slow.at(-1)!, 500)
    assert.approximately(slow[Math.floor(slow.length / 2)]!, 275, 50)
  })

  it.effect("latency delays a call by a draw, each run anew", () =>
    Effect.gen(function*() {
      const call = Effect.succeed("hello").pipe(Faults.latency(Faults.constant("7 millis")))
      const { exit, took } = yield* play(Effect.replicateEffect(call, 3))
      assert.deepStrictEqual([Effect.runSync(exit), took], [["hello", "hello", "hello"], 21])
    }))

  it("a value out of range is refused with its name", () => {
    for (
      const [make, message] of [
        [() => Faults.constant(0), "Faults.constant: duration must be greater than zero"],
        [() => Faults.lognormal({ median: -1 }), "Faults.lognormal: median must not be negative"],
        [() => Faults.lognormal({ median: 1, spread: 9 }), "Faults.lognormal: spread must be a number from 0 to 5"],
        [() => Faults.pareto({ shortest: 1, alpha: 0 }), "Faults.pareto: alpha must be a number from 0.5 to 20"],
        [() => Faults.stragglers({ share: 2, shortest: 1, longest: 2 }), "Faults.stragglers: share must be"],
        [() => Faults.stragglers({ share: 0, shortest: 3, longest: 2 }), "Faults.stragglers: longest must be"]
      ] as const
    ) {
      assert.throws(make, message)
    }
  })
})
