/**
 * What the throttle counts and when it begins to reject. What comes of it at a server is in `test/stress/throttle.test.ts`.
 */
import { CallRejected, Fatal, Retryable, RetryExhausted } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Throttle from "../../../src/internal/gate/throttle.js"
import * as Random from "../../support/random.js"
import { assert, describe, epoch, it } from "../../support/vitest.js"

const window = 120_000

/** A throttle that has let through `n` calls at once, which have all ended. */
const after = (n: number, verdict: Throttle.Verdict, { k = 2, at = epoch } = {}) => {
  const throttle = Throttle.make(k, window)
  for (let i = 0; i < n; i++) {
    throttle.admit(at, 0.99)
    throttle.ended(verdict, at, at)
  }
  return throttle
}

describe("the window of a throttle", () => {
  it("counts as a list does of all that happened in it and in its last quarter, to one bucket", () => {
    const starts = [0, 7, 60_000, epoch]
    for (let seed = 1; seed <= 50; seed++) {
      const random = Random.make(seed)
      const counts = new Throttle.Window(60_000)
      const calls: Array<number> = []
      const accepts: Array<number> = []
      let now = starts[seed % 4]!
      const within = (all: ReadonlyArray<number>, buckets: number) =>
        all.filter((at) => Math.floor(at / 1000) > Math.floor(now / 1000) - buckets).length
      for (let i = 0; i < 500; i++) {
        now += [0, 1, 300, 1000, 7000, 59_000, 60_000, 61_000, 70_000][random(random(20) === 0 ? 9 : 4)]!
        const what = random(3)
        if (what === 0 && calls.length > 0) {
          const [gone] = calls.splice(random(calls.length), 1)
          counts.uncalled(gone!, now)
        } else if (what === 1) {
          counts.accepted(now)
          accepts.push(now)
        } else {
          counts.called(now)
          calls.push(now)
        }
        assert.deepStrictEqual(counts.whole(now), { calls: within(calls, 60), accepts: within(accepts, 60) })
        assert.deepStrictEqual(counts.lastQuarter(now), { calls: within(calls, 15), accepts: within(accepts, 15) })
      }
    }
  })

  it("sees that time has passed, whichever of its counts is asked for first", () => {
    const counts = new Throttle.Window(60_000)
    counts.called(epoch)
    assert.deepStrictEqual(counts.lastQuarter(epoch + 15_000), { calls: 0, accepts: 0 })
    assert.deepStrictEqual(counts.whole(epoch + 60_000), { calls: 0, accepts: 0 })
    counts.called(epoch + 60_000)
    counts.uncalled(epoch + 60_000, epoch + 75_000)
    assert.deepStrictEqual(counts.whole(epoch + 75_000), { calls: 0, accepts: 0 })
    assert.deepStrictEqual(counts.lastQuarter(epoch + 75_000), { calls: 0, accepts: 0 })
  })
})

describe("how much a throttle rejects", () => {
  it("is nothing before the tenth call, and 90 % at most", () => {
    assert.strictEqual(after(9, "Refused").snapshot(epoch).rejecting, 0)
    // ten of eleven
    assert.strictEqual(after(10, "Refused").snapshot(epoch).rejecting, 0.9)
    assert.strictEqual(after(1000, "Refused").snapshot(epoch).rejecting, 0.9)
  })

  it("is what k times the accepts do not cover, of one call more than there were", () => {
    const throttle = after(20, "Refused")
    for (let i = 0; i < 5; i++) {
      throttle.admit(epoch, 0.99)
      throttle.ended("Accepted", epoch, epoch)
    }
    assert.deepStrictEqual(throttle.snapshot(epoch), { calls: 25, accepts: 5, rejecting: 15 / 26 })
    assert.strictEqual(Throttle.rejection({ calls: 25, accepts: 5 }, 3, 2), 12 / 26)
    assert.strictEqual(Throttle.rejection({ calls: 25, accepts: 5 }, 0, 1.5), 17.5 / 26)
    assert.strictEqual(Throttle.rejection({ calls: 25, accepts: 20 }, 0, 2), 0)
    assert.strictEqual(after(20, "Accepted").snapshot(epoch).rejecting, 0)
  })

  it("holds nothing against calls in flight, until they have ended", () => {
    const throttle = Throttle.make(2, window)
    for (let i = 0; i < 20; i++) {
      assert.isTrue(throttle.admit(epoch, 0))
    }
    assert.strictEqual(throttle.snapshot(epoch).rejecting, 0)
    for (let i = 0; i < 10; i++) {
      throttle.ended("Refused", epoch, epoch)
    }
    assert.strictEqual(throttle.snapshot(epoch).rejecting, 10 / 21)
  })

  it("ends with the last quarter of the window, in which calls were accepted", () => {
    const throttle = after(20, "Refused")
    const later = epoch + window / 2
    assert.strictEqual(throttle.snapshot(later).rejecting, 0)
    throttle.admit(later, 0.99)
    throttle.ended("Refused", later, later)
    assert.strictEqual(throttle.snapshot(later).rejecting, 1 / 2)
    throttle.admit(later, 0.99)
    throttle.ended("Accepted", later, later)
    assert.strictEqual(throttle.snapshot(later).rejecting, 0)
  })

  it("counts no call that says nothing, and every one that it rejects itself", () => {
    assert.deepStrictEqual(after(20, "Ignored").snapshot(epoch), { calls: 0, accepts: 0, rejecting: 0 })
    const throttle = after(20, "Refused")
    assert.isFalse(throttle.admit(epoch, 0))
    assert.strictEqual(throttle.snapshot(epoch).calls, 21)
  })
})

describe("whether a throttle lets a call through", () => {
  it("depends on the dice, from the share that it rejects on", () => {
    const throttle = after(20, "Refused")
    assert.isFalse(throttle.admit(epoch, 0.899))
    assert.isTrue(throttle.admit(epoch, 0.9))
  })

  it("does not, a second after the last one that was", () => {
    const throttle = after(20, "Refused")
    assert.isFalse(throttle.admit(epoch + 999, 0))
    assert.isTrue(throttle.admit(epoch + 1000, 0))
    assert.isFalse(throttle.admit(epoch + 1001, 0))
    assert.isFalse(throttle.admit(epoch + 1999, 0))
    assert.isTrue(throttle.admit(epoch + 2000, 0))
  })
})

describe("what the end of a call says to a throttle", () => {
  const refused = new Retryable({ reason: "Throttled", delivery: "NotSent" })
  const custom = new Retryable({ reason: "Custom", delivery: "NotSent" })
  const exhausted = (reason: RetryExhausted["reason"], last: Retryable) =>
    Cause.fail(new RetryExhausted({ reason, last, attempts: 1, elapsed: Duration.zero, history: [] }))
  const interruption = Cause.interrupt(FiberId.none)
  const ends: ReadonlyArray<[name: string, cause: Cause.Cause<unknown>, verdict: Throttle.Verdict]> = [
    [
      "a Retryable beside work that was interrupted for it",
      Cause.parallel(Cause.fail(refused), interruption),
      "Refused"
    ],
    ["a domain error beside work that was interrupted", Cause.parallel(Cause.fail("no"), interruption), "Ignored"],
    ["a domain error beside a Retryable", Cause.parallel(Cause.fail("no"), Cause.fail(refused)), "Refused"],
    ["two domain errors", Cause.parallel(Cause.fail("no"), Cause.fail("no")), "Accepted"],
    ["a circuit that opened after an unwanted answer", exhausted("CircuitOpen", custom), "Refused"],
    ["unwanted answers to the end", exhausted("AttemptsExhausted", custom), "Accepted"],
    ["a throttle inside", Cause.fail(new CallRejected({ reason: "Throttled" })), "Refused"],
    ["a full bulkhead inside", Cause.fail(new CallRejected({ reason: "BulkheadFull" })), "Ignored"],
    ["Fatal", Cause.fail(new Fatal({ reason: "NotFound", message: "no" })), "Accepted"]
  ]
  for (const [name, cause, verdict] of ends) {
    it(`${name}: ${verdict}`, () => {
      assert.strictEqual(Throttle.verdict(Exit.failCause(cause)), verdict)
    })
  }
})
