/**
 * What a breaker counts while it is closed, against the plain list of all outcomes.
 */
import * as Window from "../../../src/internal/gate/window.js"
import * as Random from "../../support/random.js"
import { assert, describe, it } from "../../support/vitest.js"

interface Seen {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

const countsOf = (seen: ReadonlyArray<Seen>): Window.Counts => ({
  calls: seen.length,
  failures: seen.filter(({ failed }) => failed).length,
  slow: seen.filter(({ slow }) => slow).length
})

const rate = (window: Window.Rate["window"], more: Partial<Window.Rate> = {}): Window.Rate => ({
  _tag: "Rate",
  threshold: 0.5,
  minimumCalls: 1,
  slow: undefined,
  ...more,
  window
})

describe("the window of a breaker", () => {
  it("of calls holds the last n outcomes, and no others", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const next = Random.make(seed)
      const size = 1 + next(20)
      const detector = Window.make(rate({ _tag: "Calls", size }), () => 0)
      let seen: ReadonlyArray<Seen> = []
      for (let i = 0; i < 200; i++) {
        if (next(50) === 0) {
          detector.clear()
          seen = []
        }
        const outcome = { at: 0, failed: next(3) === 0, slow: next(4) === 0 }
        seen = [...seen, outcome].slice(-size)
        detector.record(outcome.failed, outcome.slow)
        assert.deepStrictEqual(detector.counts(), countsOf(seen), `seed ${seed}, step ${i}`)
      }
    }
  })

  it("of time holds what ended in it, give or take a twentieth, whatever gaps there are", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const next = Random.make(seed)
      const millis = 20 * (1 + next(50))
      let now = seed % 2 === 0 ? 0 : 1_764_153_755_123
      const detector = Window.make(rate({ _tag: "Time", millis }), () => now)
      let seen: ReadonlyArray<Seen> = []
      for (let i = 0; i < 200; i++) {
        now += next(20) === 0 ? next(3 * millis) : next(Math.ceil(millis / 10))
        if (next(50) === 0) {
          detector.clear()
          seen = []
        }
        const outcome = { at: now, failed: next(3) === 0, slow: next(4) === 0 }
        detector.record(outcome.failed, outcome.slow)
        const width = millis / 20
        // the part of this moment, and the nineteen before it
        seen = [...seen, outcome].filter(({ at }) => Math.floor(at / width) > Math.floor(now / width) - 20)
        assert.deepStrictEqual(detector.counts(), countsOf(seen), `seed ${seed}, step ${i}`)
        assert.isTrue(seen.every(({ at }) => now - at < millis))
      }
    }
  })

  it("of time is empty when all of it has passed", () => {
    let now = 5
    const detector = Window.make(rate({ _tag: "Time", millis: 1000 }), () => now)
    detector.record(true, true)
    now += 1000
    assert.deepStrictEqual(detector.counts(), { calls: 0, failures: 0, slow: 0 })
  })

  it("takes no more memory for more outcomes", () => {
    const detector = Window.make(rate({ _tag: "Time", millis: 1000 }, { threshold: 1 }), () => 7)
    for (let i = 0; i < 1_000_000; i++) {
      detector.record(i % 2 === 0, false)
    }
    assert.deepStrictEqual(detector.counts(), { calls: 1_000_000, failures: 500_000, slow: 0 })
  })

  for (const share of [0.07, 0.29, 0.3, 0.57, 0.7]) {
    it(`opens at a share of exactly ${share}, and at no less`, () => {
      const detector = Window.make(rate({ _tag: "Calls", size: 100 }, { threshold: share, minimumCalls: 100 }), () => 0)
      const failures = Math.round(share * 100)
      for (let i = 0; i < 101 - failures; i++) {
        assert.isFalse(detector.record(false, false))
      }
      for (let i = 1; i < failures; i++) {
        assert.isFalse(detector.record(true, false))
      }
      assert.isTrue(detector.record(true, false))
    })
  }

  it("of failures in a row starts again with each success", () => {
    const detector = Window.make({ _tag: "Consecutive", failures: 3 }, () => 0)
    const record = (outcomes: string) => Array.from(outcomes, (each) => detector.record(each === "F", false))
    assert.deepStrictEqual(record("FFSFFSFFF"), [...Array.from({ length: 8 }, () => false), true])
  })

  it("of failures in a row counts them, and nothing once it is cleared", () => {
    const detector = Window.make({ _tag: "Consecutive", failures: 3 }, () => 0)
    detector.record(true, false)
    detector.record(true, true)
    assert.deepStrictEqual(detector.counts(), { calls: 2, failures: 2, slow: 0 })
    detector.clear()
    assert.deepStrictEqual(detector.counts(), { calls: 0, failures: 0, slow: 0 })
    assert.isFalse(detector.record(true, false))
  })

  it("opens at its share of slow calls, whether they failed or not, and at no less", () => {
    for (const failed of [true, false]) {
      const slow = { longerThan: 100, threshold: 0.3 }
      const detector = Window.make(
        rate({ _tag: "Calls", size: 10 }, { threshold: 1, minimumCalls: 10, slow }),
        () => 0
      )
      const seen = Array.from({ length: 10 }, (_, i) => detector.record(failed && i > 0 && i < 3, i > 0 && i < 3))
      assert.notInclude(seen, true)
      // the third of the last ten
      assert.isTrue(detector.record(failed, true))
      assert.isFalse(detector.record(true, false), "a failure opens at the share of failures")
    }
  })

  it("without a limit for them opens for no slow calls", () => {
    const detector = Window.make(rate({ _tag: "Calls", size: 10 }), () => 0)
    assert.notInclude(Array.from({ length: 20 }, () => detector.record(false, true)), true)
  })

  it("opens with no fewer calls than it has to have seen", () => {
    for (const window of [{ _tag: "Calls", size: 20 }, { _tag: "Time", millis: 1000 }] as const) {
      const detector = Window.make(rate(window, { threshold: 0.5, minimumCalls: 5 }), () => 7)
      const seen = Array.from({ length: 6 }, () => detector.record(true, false))
      assert.deepStrictEqual(seen, [false, false, false, false, true, true])
    }
  })

  it("is not opened by the success that makes the calls enough", () => {
    const detector = Window.make(rate({ _tag: "Calls", size: 20 }, { threshold: 0.5, minimumCalls: 5 }), () => 0)
    assert.deepStrictEqual(Array.from("FFFFS", (each) => detector.record(each === "F", false)), Array(5).fill(false))
    assert.isTrue(detector.record(true, false))
  })
})
