/**
 * What every gate can rely on: each attempt passes it, holds its permit while it runs and no longer, and says how it ended.
 */
import { CallRejected, Fatal, Retryable, RetryBudget, RetryExhausted, RetryPolicy } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Monotonic from "../../../src/internal/ambient/monotonic.js"
import * as engine from "../../../src/internal/engine/engine.js"
import * as Gate from "../../../src/internal/gate/gate.js"
import { type Outcome, outcomeOf, Rejected } from "../../../src/internal/gate/outcome.js"
import * as Service from "../../../src/internal/service/service.js"
import { exhaustedOf, failureOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })

/** Admits what it is told to, and writes down what it sees. */
const testGate = (
  admits: (n: number) => boolean = () => true,
  refuses: Gate.Gate["refuses"] = () => undefined,
  isFree = false
) => {
  const seen: Array<string> = []
  let asked = 0
  let held = 0
  const gate: Gate.Gate = {
    isFree: () => isFree,
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
  return { gate, seen, held: () => held, asked: () => asked }
}

/** Lets each attempt wait until it is told `admission`, which no interruption cuts short. */
const waitingGate = () => {
  const seen: Array<string> = []
  let tell: (admission: Effect.Effect<Gate.Admission>) => void = () => {}
  const gate: Gate.Gate = {
    isFree: () => false,
    refuses: () => undefined,
    admit: () =>
      Effect.async<Gate.Admission>((resume) => {
        tell = resume
      })
  }
  const permit: Gate.Permit = { end: (outcome) => void seen.push(outcome) }
  return {
    gate,
    seen,
    admits: () => tell(Effect.succeed(Either.right(permit))),
    turnsAway: () => tell(Effect.succeed(Either.left({ reason: "BulkheadFull" })))
  }
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

  it.effect("behind another one is asked too what it will refuse", () =>
    Effect.gen(function*() {
      const start = yield* Effect.map(Effect.clock, Monotonic.now)
      const { gate } = testGate(undefined, (at) => at - start < 200 ? undefined : { reason: "CircuitOpen" })
      const { exit } = yield* play(run(Effect.fail(unavailable), [testGate().gate, gate]))
      assert.deepStrictEqual(exhaustedOf(exit).attempts, 2)
    }))

  for (const becomes of ["admits", "turnsAway"] as const) {
    it.effect(`that ${becomes === "admits" ? "admits" : "turns away"} a call whose caller has gone meanwhile: it is interrupted, and nothing is sent`, () =>
      Effect.gen(function*() {
        const waiting = waitingGate()
        const fiber = yield* Effect.fork(run(Effect.die("sent"), waiting.gate))
        yield* TestClock.adjust(10)
        fiber.unsafeInterruptAsFork(fiber.id())
        waiting[becomes]()
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause), String(exit))
        assert.deepStrictEqual(waiting.seen, becomes === "admits" ? ["Ignored"] : [])
      }))
  }

  it.effect("is told to ignore an attempt that waited for another one, while it came to refuse it", () =>
    Effect.gen(function*() {
      let isOpen = false
      const outer = testGate(undefined, () => isOpen ? { reason: "CircuitOpen" } : undefined)
      const inner = waitingGate()
      const fiber = yield* Effect.fork(run(Effect.die("sent"), [outer.gate, inner.gate]))
      yield* TestClock.adjust(10)
      isOpen = true
      inner.admits()
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.instanceOf(error, CallRejected)
      assert.deepStrictEqual([error.reason, outer.held()], ["CircuitOpen", 0])
      assert.deepStrictEqual([outer.seen, inner.seen], [["Ignored"], ["Ignored"]])
    }))

  it.effect("that keeps a place for an attempt is not asked by one within it, however deep; one that keeps none is", () =>
    Effect.gen(function*() {
      const [first, second, free] = [testGate(), testGate(), testGate(undefined, undefined, true)]
      const gates = [first.gate, second.gate, free.gate]
      const innermost = run(Gate.HeldGates, [])
      const held = run(run(innermost, second.gate), [free.gate, first.gate])
      assert.deepStrictEqual(yield* held, gates.slice(0, 2))
      yield* run(run(run(Effect.void, gates), second.gate), [free.gate, first.gate])
      assert.deepStrictEqual([first.asked(), second.asked(), free.asked()], [2, 2, 3])
    }))

  it("is told to ignore what was turned away inside", () => {
    const rejection = { reason: "CircuitOpen" } as const
    assert.strictEqual(outcomeOf(Exit.fail(new Rejected(rejection))), "Ignored")
    assert.strictEqual(outcomeOf(Exit.fail(new CallRejected(rejection))), "Ignored")
    const last = { attempts: 1, elapsed: Duration.zero, last: unavailable, history: [] }
    assert.strictEqual(outcomeOf(Exit.fail(new RetryExhausted({ reason: "DeadlineExceeded", ...last }))), "Ignored")
  })
})
