import { Latency } from "../../../src/internal/hedge/latency.js"
import * as Random from "../../support/random.js"
import { assert, describe, it } from "../../support/vitest.js"

const uniform = (seed: number) => {
  const next = Random.make(seed)
  return () => (next(1 << 20) + 0.5) / (1 << 20)
}

const exponential = (random: () => number) => -10 * Math.log(random())
const exact = (quantile: number) => -10 * Math.log(1 - quantile)

describe("the latency estimate of a hedge", () => {
  for (const quantile of [0.5, 0.9, 0.95, 0.99]) {
    it(`is the quantile ${quantile} to a few percent`, () => {
      const random = uniform(1)
      const latency = new Latency(quantile)
      for (let i = 0; i < 50_000; i++) {
        latency.add(0, exponential(random), true)
      }
      assert.approximately(latency.value()!, exact(quantile), exact(quantile) * 0.05)
    })

    it(`is not misled by attempts that were cancelled: quantile ${quantile}`, () => {
      const random = uniform(2)
      const latency = new Latency(quantile)
      for (let i = 0; i < 50_000; i++) {
        // each is cancelled at a moment of its own, half of them before their answer
        const [takes, cancelledAt] = [exponential(random), exponential(random)]
        latency.add(0, Math.min(takes, cancelledAt), takes <= cancelledAt)
      }
      assert.approximately(latency.value()!, exact(quantile), exact(quantile) * 0.1)
    })
  }

  it("is at least as long as the longest attempt when all beyond were cancelled", () => {
    const latency = new Latency(0.9)
    for (let i = 0; i < 50; i++) {
      latency.add(0, 5, true)
      latency.add(0, 20, false)
    }
    assert.approximately(latency.value()!, 20, 2)
  })

  it("is unknown until there are samples enough, and takes any duration", () => {
    const latency = new Latency(0.9)
    const durations = [0, 0.001, 0.5, 1e9, Number.MAX_VALUE]
    for (let i = 0; i < 49; i++) {
      latency.add(0, durations[i % durations.length]!, true)
      assert.isUndefined(latency.value())
    }
    latency.add(0, 1, true)
    assert.isTrue(Number.isFinite(latency.value()))
  })

  it("follows a service that becomes slower within two windows", () => {
    const latency = new Latency(0.9)
    const second = (from: number, seconds: number, millis: number) => {
      for (let at = from; at < from + seconds * 1000; at += 10) {
        latency.add(at, millis, true)
      }
    }
    second(0, 60, 5)
    assert.approximately(latency.value()!, 5, 0.5)
    second(60_000, 60, 50)
    assert.approximately(latency.value()!, 50, 5)
    second(120_000, 70, 5)
    assert.approximately(latency.value()!, 5, 0.5)
  })

  it("of a method that is called rarely does not disappear", () => {
    const latency = new Latency(0.9)
    for (let i = 0; i < 500; i++) {
      latency.add(i * 60_000, 5, true)
      assert.strictEqual(latency.value() !== undefined, i >= 49)
    }
  })
})
