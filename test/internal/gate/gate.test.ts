/**
 * What every gate can rely on: each attempt passes it, holds its permit while it runs and no longer, and says how it ended.
 */
import { CallRejected, Fatal, Retryable, RetryBudget, RetryPolicy } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Monotonic from "../../../src/internal/ambient/monotonic.js"
import * as engine from "../../../src/internal/engine/engine.js"
import type * as Gate from "../../../src/internal/gate/gate.js"
import type { Outcome } from "../../../src/internal/gate/outcome.js"
import * as Service from "../../../src/internal/service/service.js"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })

/** Admits what it is told to, and writes down what it sees. */
const testGate = (
  admits: (n: number) => boolean = () => true,
  refuses: Gate.Gate["refuses"] = () => undefined
) => {
  const seen: Array<string> = []
  let asked = 0
  let held = 0
  const gate: Gate.Gate = {
    isFree: () => false,
    refuses,
    admit: () => {
      if (!admits(++asked)) {
        return Either.left({ reason: "CircuitOpen", retryIn: Duration.seconds(5) })
      }
      held++
      return Either.right({
        end: (outcome: Outcome) => {
          held--
          seen.push(outcome)
        }
      })
    }
  }
  return { gate, seen, held: () => held }
}

const run = <A, E>(
  self: Effect.Effect<A, E>,
  gate: Gate.Gate | ReadonlyArray<Gate.Gate>,
  policy: RetryPolicy.Options = {}
) => {
  const complete = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make(policy))
  const telemetry = Service.withoutLayer().telemetry
  return engine.run(self, () => ({
    gates: Array.isArray(gate) ? gate : [gate],
    telemetry,
    method: "A.B",
    idempotencyKey: false,
    idempotent: undefined,
    policyOf: () => complete
  }))
}

describe("a gate", () => {
  it.effect("admits each attempt, and holds no permit over a delay", () =>
    Effect.gen(function*() {
      const { gate, held, seen } = testGate()
      const call = Effect.suspend(() => {
        assert.strictEqual(held(), 1)
        return Effect.fail(unavailable)
      })
      const fiber = yield* Effect.fork(Effect.exit(run(call, gate)))
      yield* TestClock.adjust(50)
      assert.deepStrictEqual([held(), seen], [0, ["Failure"]])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(exhaustedOf(yield* Fiber.join(fiber)).attempts, 4)
      assert.deepStrictEqual([held(), seen.length], [0, 4])
    }))

  for (
    const [name, self, outcome] of [
      ["a success", Effect.void, "Success"],
      ["a domain error, which is an answer", Effect.fail("no such user"), "Success"],
      ["a Fatal, which is an answer", Effect.fail(new Fatal({ reason: "NotFound", message: "no" })), "Success"],
      ["a defect", Effect.die("boom"), "Success"],
      ["a Retryable", Effect.fail(unavailable), "Failure"],
      ["an attempt that is cut at its timeout", Effect.never, "Failure"]
    ] as const
  ) {
    it.effect(`is told of ${name}`, () =>
      Effect.gen(function*() {
        const { gate, seen } = testGate()
        yield* play(run<void, unknown>(self, gate, { schedule: RetryPolicy.none.schedule, attemptTimeout: "1 second" }))
        assert.deepStrictEqual(seen, [outcome])
      }))
  }

  it.effect("gets the permit of an interrupted attempt back, ignored", () =>
    Effect.gen(function*() {
      const { gate, held, seen } = testGate()
      const fiber = yield* Effect.fork(run(Effect.never, gate))
      yield* TestClock.adjust(10)
      assert.strictEqual(held(), 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([held(), seen], [0, ["Ignored"]])
    }))

  it.effect("turns a call away before anything is sent, and says when to come back", () =>
    Effect.gen(function*() {
      const { gate, held } = testGate(() => false)
      const { exit, took } = yield* play(run(Effect.die("sent"), gate))
      const error = failureOf(exit)
      assert.instanceOf(error, CallRejected)
      assert.deepStrictEqual([error.reason, Duration.toMillis(error.retryIn!), took], ["CircuitOpen", 5000, 0])
      assert.strictEqual(held(), 0)
    }))

  it.effect("between two attempts it ends the call with the last error, and what was paid comes back", () =>
    Effect.gen(function*() {
      const { gate } = testGate((n) => n < 3)
      const budget = yield* RetryBudget.make({ capacity: 10, regainEvery: "1000 days" })
      const { exit, took } = yield* play(run(Effect.fail(unavailable), gate, { budget }))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, error.last, took], ["CircuitOpen", 2, unavailable, 250])
      assert.approximately(yield* budget.level, 9, 0.001)
    }))

  it.effect("ends a call before the delay whose next attempt it would turn away, and nothing is paid", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const start = yield* Effect.map(Effect.clock, Monotonic.now)
      const { gate } = testGate(undefined, (at) => {
        asked.push(at - start)
        return at - start < 200 ? undefined : { reason: "CircuitOpen" }
      })
      const budget = yield* RetryBudget.make({ capacity: 10, regainEvery: "1000 days" })
      const { exit, took } = yield* play(run(Effect.fail(unavailable), gate, { budget }))
      const error = exhaustedOf(exit)
      assert.deepStrictEqual([error.reason, error.attempts, took, asked], ["CircuitOpen", 2, 100, [100, 250]])
      assert.approximately(yield* budget.level, 9, 0.001)
    }))

  it.effect("is told to ignore an attempt that the deadline of the call cut", () =>
    Effect.gen(function*() {
      const { gate, seen } = testGate()
      yield* play(run(Effect.never, gate, { deadline: "1 second" }))
      assert.deepStrictEqual(seen, ["Ignored"])
    }))

  it.effect("in front of another one is told to ignore an attempt that the other turns away, and gets its permit back", () =>
    Effect.gen(function*() {
      const outer = testGate()
      const inner = testGate((n) => n < 2)
      const { exit } = yield* play(run(Effect.fail(unavailable), [outer.gate, inner.gate]))
      assert.strictEqual(exhaustedOf(exit).reason, "CircuitOpen")
      assert.deepStrictEqual([outer.held(), outer.seen], [0, ["Failure", "Ignored"]])
      assert.deepStrictEqual([inner.held(), inner.seen], [0, ["Failure"]])
    }))

  it.effect("is left without a trace by a call that is interrupted while it waits for a permit", () =>
    Effect.gen(function*() {
      let waiting = 0
      const gate: Gate.Gate = {
        isFree: () => false,
        refuses: () => undefined,
        admit: (_, __, restore) =>
          restore(Effect.async<Gate.Admission>(() => {
            waiting++
            return Effect.sync(() => waiting--)
          }))
      }
      const fiber = yield* Effect.fork(run(Effect.die("sent"), gate))
      yield* TestClock.adjust(10)
      assert.strictEqual(waiting, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(waiting, 0)
    }))
})
