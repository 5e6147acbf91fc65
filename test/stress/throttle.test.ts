/**
 * The numbers of the throttle: how much it sends to a server that takes a part of it, and how soon it sends everything again.
 */
import * as Throttle from "../../src/internal/gate/throttle.js"
import * as Random from "../support/random.js"
import { assert, describe, epoch, it } from "../support/vitest.js"

const window = 120_000
const demand = 1000
const second = 1000

interface Client {
  /** Whether it sends the call. */
  readonly admit: (now: number) => boolean
  readonly ended: (verdict: Throttle.Verdict, now: number) => void
}

/**
 * Makes 1000 calls a second, of which the server accepts `capacity` for ten minutes, and then all: how many were sent a second in the
 * last of the ten minutes, and after how many seconds 95 % of all are sent.
 */
const play = (client: Client, capacity: number): readonly [sent: number, recovery: number] => {
  const sent: Array<number> = []
  const outage = 600
  let recovery = 0
  for (let s = 0; s < outage * 2 && recovery === 0; s++) {
    let admitted = 0
    let left = s < outage ? capacity : demand
    for (let i = 0; i < demand; i++) {
      const now = epoch + s * second + i
      if (client.admit(now)) {
        admitted++
        client.ended(left-- > 0 ? "Accepted" : "Refused", now)
      }
    }
    sent.push(admitted)
    if (s > outage && admitted >= 0.95 * demand) {
      recovery = s - outage
    }
  }
  const before = sent.slice(outage - 60, outage)
  return [before.reduce((a, b) => a + b) / before.length, recovery || Infinity]
}

const makeRandom = (seed: number) => {
  const next = Random.make(seed)
  return () => next(2 ** 20) / 2 ** 20
}

/** The formula alone, on the shipped counters. */
const byFormula = (k: number, countsLocal: boolean): Client => {
  const counts = new Throttle.Window(window)
  const random = makeRandom(7)
  return {
    admit: (now) => {
      const admits = random() >= Throttle.rejection(counts.whole(now), 0, k)
      if (admits || countsLocal) {
        counts.called(now)
      }
      return admits
    },
    ended: (verdict, now) => {
      if (verdict === "Accepted") {
        counts.accepted(now)
      }
    }
  }
}

const shipped = (k: number, seed = 7): Client => {
  const throttle = Throttle.make(k, window)
  const random = makeRandom(seed)
  return {
    admit: (now) => throttle.admit(now, random()),
    ended: (verdict, now) => throttle.ended(verdict, now, now)
  }
}

/** A call to a server that refuses it at once: whether it was sent. */
const refused = (throttle: Throttle.Throttle, now: number, random: number): boolean => {
  const sent = throttle.admit(now, random)
  if (sent) {
    throttle.ended("Refused", now, now)
  }
  return sent
}

describe("the formula, at a server that accepts 100 of 1000 calls a second", () => {
  const lines: ReadonlyArray<[k: number, countsLocal: boolean, sent: number, recovery: number]> = [
    [2, true, 199, 128],
    [1.1, true, 109, Infinity],
    [2, false, 448, 29],
    [1.11, false, 334, 80],
    [1.05, false, 325, 86]
  ]
  for (const [k, countsLocal, sent, recovery] of lines) {
    const what = `k = ${k}, ${countsLocal ? "local rejections counted" : "only what is sent counted"}`
    it(`${what}: ${sent} are sent, 95 % again ${recovery === Infinity ? "not in ten minutes" : `after ${recovery} s`}`, () => {
      const [actualSent, actualRecovery] = play(byFormula(k, countsLocal), 100)
      assert.approximately(actualSent, sent, sent * 0.04)
      if (recovery === Infinity) {
        assert.isAbove(actualRecovery, 590)
      } else {
        assert.approximately(actualRecovery, recovery, 10)
      }
    })
  }
})

describe("a throttle", () => {
  it("sends k times what is accepted, and 95 % of all within a third of the window after the server took all again", () => {
    const [sent, recovery] = play(shipped(2), 100)
    assert.approximately(sent, 199, 8)
    assert.isBelow(recovery, 40)
    assert.approximately(play(shipped(1.5), 100)[0], 150, 8)
  })

  for (const seed of [1, 2, 3, 4, 5]) {
    it(`sends 95 % of all within one window after a total failure (seed ${seed})`, () => {
      const [sent, recovery] = play(shipped(2, seed), 0)
      assert.approximately(sent, 100, 10)
      assert.isBelow(recovery, window / second)
    })
  }

  it("recovers within one window from a total failure at k = 1.5 too", () => {
    assert.isBelow(play(shipped(1.5), 0)[1], window / second)
  })

  it("rejects 90 % at most, and then one of ten calls is sent", () => {
    const throttle = Throttle.make(2, window)
    for (let i = 0; i < 1000; i++) {
      refused(throttle, epoch + i, 0.95)
    }
    assert.strictEqual(throttle.snapshot(epoch + 1000).rejecting, 0.9)
    assert.isTrue(throttle.admit(epoch + 1000, 0.9))
    assert.isFalse(throttle.admit(epoch + 1000, 0.899))
  })

  it("lets one call a second through, whatever the dice say", () => {
    const throttle = Throttle.make(2, window)
    let sent = 0
    for (let i = 0; i < 60_000; i++) {
      sent += refused(throttle, epoch + i, 0) ? 1 : 0
    }
    // the first ten are too few to reject any
    assert.isAtLeast(sent, 10 + 59)
    assert.isAtMost(sent, 10 + 60)
  })

  it("does not reject while there are fewer than 10 calls in the window", () => {
    const throttle = Throttle.make(2, window)
    const admitted = Array.from({ length: 12 }, (_, i) => refused(throttle, epoch + i, 0))
    assert.deepStrictEqual(admitted, [...Array.from({ length: 10 }, () => true), false, false])
    assert.isTrue(throttle.admit(epoch + window + 5000, 0), "they are forgotten after the window")
    assert.strictEqual(throttle.snapshot(epoch + window + 5000).calls, 1)
  })

  it("never rejects a call of a client that makes at most one a second", () => {
    const throttle = Throttle.make(2, window)
    for (let i = 0; i < 600; i++) {
      assert.isTrue(refused(throttle, epoch + i * second, 0))
    }
  })

  it("counts calls when they start, and holds nothing against those in flight", () => {
    const throttle = Throttle.make(2, window)
    for (let i = 0; i < 100; i++) {
      throttle.admit(epoch, 0.99)
    }
    assert.deepStrictEqual(throttle.snapshot(epoch), { calls: 100, accepts: 0, rejecting: 0 })
    for (let i = 0; i < 100; i++) {
      throttle.ended("Refused", epoch, epoch + 1)
    }
    assert.deepStrictEqual(throttle.snapshot(epoch + 1), { calls: 100, accepts: 0, rejecting: 0.9 })
  })

  it("counts the calls that it rejects itself", () => {
    const throttle = Throttle.make(2, window)
    for (let i = 0; i < 100; i++) {
      refused(throttle, epoch, 0)
    }
    assert.strictEqual(throttle.snapshot(epoch).calls, 100)
  })

  for (
    const [name, takes, perMilli] of [
      ["a start with 1,000 calls at once", 50, (ms: number) => ms === 0 ? 1000 : 1],
      ["calls longer than the last quarter of the window", 45 * second, () => 0.01],
      ["calls longer than the window", 150 * second, () => 0.01],
      ["ten times the calls from one moment to the next", 100, (ms: number) => ms < 150_000 ? 0.1 : 1]
    ] as const
  ) {
    it(`rejects nothing while the server accepts everything: ${name}`, () => {
      const throttle = Throttle.make(1.5, window)
      const started: Array<number> = []
      let due = 0
      let first = 0
      for (let ms = 0; ms < 400_000; ms += 10) {
        const now = epoch + ms
        for (; first < started.length && started[first]! + takes <= now; first++) {
          throttle.ended("Accepted", started[first]!, now)
        }
        for (due += perMilli(ms) * 10; due >= 1; due--) {
          assert.isTrue(throttle.admit(now, 0), `after ${ms} ms`)
          started.push(now)
        }
      }
    })
  }

  it("rejects where calls are refused after a long time, as by their timeouts", () => {
    const throttle = Throttle.make(2, window)
    const random = makeRandom(5)
    const started: Array<number> = []
    let sent = 0
    let first = 0
    for (let ms = 0; ms < 600_000; ms += 10) {
      const now = epoch + ms
      for (; first < started.length && started[first]! + 30 * second <= now; first++) {
        throttle.ended("Refused", started[first]!, now)
      }
      if (throttle.admit(now, random())) {
        started.push(now)
        sent += ms >= 540_000 ? 1 : 0
      }
    }
    assert.approximately(sent / 60, 10, 4)
  })

  it("forgets what says nothing, also where it was counted long before", () => {
    const throttle = Throttle.make(2, window)
    for (let i = 0; i < 100; i++) {
      throttle.admit(epoch, 0.99)
    }
    for (let i = 0; i < 40; i++) {
      throttle.ended("Ignored", epoch, epoch + 60 * second)
    }
    assert.strictEqual(throttle.snapshot(epoch + 60 * second).calls, 60)
    throttle.ended("Ignored", epoch, epoch + window + second)
    assert.strictEqual(throttle.snapshot(epoch + window + second).calls, 0)
  })

  it("counts the same on a clock that starts at 0", () => {
    const throttle = Throttle.make(2, window)
    for (let now = 0; now < 400_000; now += 100) {
      throttle.admit(now, 0.99)
      throttle.ended("Accepted", now, now)
      const { accepts, calls } = throttle.snapshot(now)
      assert.isAtMost(calls, 1200)
      assert.strictEqual(calls, accepts)
    }
  })
})
