/**
 * The limit of an adaptive bulkhead at its edges; its laws are in `test/stress/bulkhead.test.ts`.
 */
import { CallRejected, Retryable, RetryExhausted } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Limit from "../../../src/internal/gate/limit.js"
import { outcomeOf } from "../../../src/internal/gate/outcome.js"
import { assert, describe, it } from "../../support/vitest.js"

const unavailable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })
const exhausted = (reason: RetryExhausted["reason"], last: Retryable) =>
  new RetryExhausted({ reason, last, attempts: 1, elapsed: Duration.zero, history: [] })

const adaptive = (start: number) => Limit.adaptive({ floor: 1, ceiling: 100, start, decrease: 0.5 })

describe("an adaptive limit at its edges", () => {
  const signals: ReadonlyArray<[name: string, cause: Cause.Cause<unknown>, signal: Limit.Signal]> = [
    ["an answer beside Unavailable", Cause.parallel(Cause.fail("no"), Cause.fail(unavailable)), "Neither"],
    ["two answers", Cause.parallel(Cause.fail("no"), Cause.fail("no")), "Answered"],
    ["a call inside that gave up on Unavailable", Cause.fail(exhausted("AttemptsExhausted", unavailable)), "Neither"],
    [
      "a call inside that its deadline cut, after it was throttled",
      Cause.fail(exhausted("DeadlineExceeded", throttled)),
      "Neither"
    ],
    [
      "a call inside whose deadline was too close, after it was throttled",
      Cause.fail(exhausted("DeadlineTooClose", throttled)),
      "Overloaded"
    ],
    ["a deadline inside that had passed", Cause.fail(new CallRejected({ reason: "DeadlineExceeded" })), "Neither"]
  ]
  for (const [name, cause, signal] of signals) {
    it(`${name}: ${signal}`, () => {
      const exit = Exit.failCause(cause)
      assert.strictEqual(Limit.signalOf(outcomeOf(exit), exit), signal)
    })
  }

  it("grows when it is used to the half, and not when it is used less", () => {
    const [half, less] = [adaptive(2), adaptive(10)]
    for (const inFlight of [1, 2, 2]) {
      half.ended("Answered", 0, inFlight)
    }
    for (let i = 0; i < 100; i++) {
      less.ended("Answered", 0, 4)
    }
    assert.deepStrictEqual([half.current(), less.current()], [3, 10])
  })

  it("does not change for an end that says nothing of it", () => {
    const limit = adaptive(10)
    for (let i = 0; i < 100; i++) {
      limit.ended("Neither", 0, 10)
    }
    assert.deepStrictEqual([limit.current(), limit.epoch()], [10, 0])
  })

  it("counts how often it was lowered", () => {
    const limit = adaptive(10)
    limit.ended("Overloaded", 0, 10)
    limit.ended("Overloaded", 0, 10)
    assert.deepStrictEqual([limit.current(), limit.epoch()], [5, 1])
    limit.ended("Overloaded", 1, 5)
    assert.deepStrictEqual([limit.current(), limit.epoch()], [2, 2])
  })

  it("one that is fixed never changes", () => {
    const limit = Limit.fixed(7)
    limit.ended("Overloaded", limit.epoch(), 7)
    assert.deepStrictEqual([limit.floor, limit.ceiling, limit.current(), limit.epoch()], [7, 7, 7, 0])
  })
})
