import { Health } from "../../../src/internal/endpoints/health.js"
import * as Level from "../../../src/internal/endpoints/level.js"
import type { AnyMember } from "../../../src/internal/endpoints/member.js"
import * as Picker from "../../../src/internal/endpoints/picker.js"
import * as Random from "../../support/random.js"
import { assert, describe, it } from "../../support/vitest.js"

const random = (seed: number) => {
  const next = Random.make(seed)
  return () => next(1 << 20) / (1 << 20)
}

const member = (name: string, weight = 1, health = new Health(0, false, 0)): AnyMember => ({
  endpoint: { address: name, weight },
  health,
  breaker: undefined,
  name,
  inFlight: 0,
  isGone: false,
  weight,
  priority: 0
})

const members = (...weights: ReadonlyArray<number>) => weights.map((weight, i) => member(`m${i}`, weight))

const never = () => false

/** Counts how often a list of members is read. */
const counting = (all: ReadonlyArray<AnyMember>) => {
  let steps = 0
  const level = Level.make(all)
  const counted = new Proxy(all, {
    get: (target, key) => {
      steps += typeof key === "string" && /^\d+$/.test(key) ? 1 : 0
      return Reflect.get(target, key) as unknown
    }
  })
  return { level: { ...level, members: counted }, steps: () => steps }
}

const shares = (pick: Picker.Pick, all: ReadonlyArray<AnyMember>, calls: number, seed = 1) => {
  const picker = Picker.make(pick, random(seed))
  const level = Level.make(all)
  const counts = new Map<AnyMember, number>()
  for (let i = 0; i < calls; i++) {
    const chosen = picker({ level, now: 0, isLeftOut: never })!
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1)
  }
  return all.map((one) => (counts.get(one) ?? 0) / calls)
}

describe("choosing an endpoint", () => {
  for (const pick of ["powerOfTwo", "roundRobin", "weighted", "pickFirst"] as const) {
    it(`takes as many steps for 1,000 endpoints as for 3: ${pick}`, () => {
      const stepsOf = (count: number, isLeftOut: (member: AnyMember) => boolean) => {
        const { level, steps } = counting(members(...Array.from({ length: count }, () => 1)))
        const picker = Picker.make(pick, random(7))
        for (let i = 0; i < 1_000; i++) {
          picker({ level, now: 0, isLeftOut })
        }
        return steps() / 1_000
      }
      const tried = ({ name }: AnyMember) => name === "m0"
      assert.isAtMost(stepsOf(1_000, never), stepsOf(3, never) + 0.1)
      assert.isAtMost(stepsOf(1_000, tried), stepsOf(3, tried) + 0.1)
      assert.isAtMost(stepsOf(1_000, never), 6)
    })

    it(`gives one that is not left out while there is one, and none then: ${pick}`, () => {
      const all = members(1, 1, 1, 1)
      const picker = Picker.make(pick, random(3))
      const level = Level.make(all)
      for (let i = 0; i < 200; i++) {
        const chosen = picker({ level, now: 0, isLeftOut: (one) => one !== all[i % 4] })
        assert.strictEqual(chosen, all[i % 4])
      }
      assert.isUndefined(picker({ level, now: 0, isLeftOut: () => true }))
    })
  }

  it("of two takes the better one always, for the two choices are never the same", () => {
    const [busy, idle] = members(1, 1)
    busy!.inFlight = 1
    const picker = Picker.make("powerOfTwo", random(5))
    for (let i = 0; i < 1_000; i++) {
      assert.strictEqual(picker({ level: Level.make([busy!, idle!]), now: 0, isLeftOut: never }), idle)
    }
  })

  it("gives each a share by its weight, idle ones too", () => {
    for (const pick of ["powerOfTwo", "weighted"] as const) {
      const [one, two, five] = shares(pick, members(1, 2, 5), 8_000)
      assert.approximately(one!, 1 / 8, 0.02, pick)
      assert.approximately(two!, 2 / 8, 0.02, pick)
      assert.approximately(five!, 5 / 8, 0.02, pick)
    }
  })

  it("gives a busy one a share by its weight too", () => {
    const all = members(1, 3)
    const picker = Picker.make("powerOfTwo", random(11))
    for (let i = 0; i < 400; i++) {
      picker({ level: Level.make(all), now: 0, isLeftOut: never })!.inFlight++
    }
    assert.approximately(all[0]!.inFlight, 100, 5)
  })

  it("depends on weights in relation to each other only: all of 100 are as all of 1", () => {
    const shareOfFailing = (weight: number) => {
      const [failing, busy] = members(weight, weight)
      failing!.health.ended("Failure", 0)
      busy!.inFlight = 50
      return shares("powerOfTwo", [failing!, busy!], 2_000)[0]!
    }
    assert.isAbove(shareOfFailing(1), 0.3)
    assert.strictEqual(shareOfFailing(100), shareOfFailing(1))
    assert.strictEqual(shareOfFailing(0.01), shareOfFailing(1))
  })

  for (const pick of ["roundRobin", "weighted"] as const) {
    it(`takes one after the other where all are new, as after a new release: ${pick}`, () => {
      const all = ["a", "b", "c", "d"].map((name) => member(name, 1, new Health(0, true, 10_000)))
      const picker = Picker.make(pick, random(1))
      const level = Level.make(all)
      const turns = Array.from({ length: 16 }, () => picker({ level, now: 100, isLeftOut: never })!.name)
      for (const { name } of all) {
        assert.strictEqual(turns.filter((turn) => turn === name).length, 4, turns.join(" "))
      }
    })
  }

  it("spreads the turns of a heavy one evenly", () => {
    const all = members(5, 1, 1)
    const picker = Picker.make("weighted", random(1))
    const level = Level.make(all)
    const turns = Array.from({ length: 700 }, () => picker({ level, now: 0, isLeftOut: never })!.name)
    const gaps = turns.join(" ").split(/m[12]/).map((run) => run.trim().split(" ").filter(Boolean).length)
    assert.isAtMost(Math.max(...gaps), 5)
    assert.strictEqual(turns.filter((name) => name === "m0").length, 500)
  })

  it("keeps equal ones equal", () => {
    for (const pick of ["powerOfTwo", "roundRobin", "weighted"] as const) {
      for (const share of shares(pick, members(...Array.from({ length: 10 }, () => 1)), 20_000)) {
        assert.approximately(share, 0.1, 0.01, pick)
      }
    }
  })

  it("stays at the first, fails over when it fails, and goes back when it is well", () => {
    const all = members(1, 1, 1)
    const picker = Picker.make("pickFirst", random(1))
    const level = Level.make(all)
    const at = (now: number) => picker({ level, now, isLeftOut: never })!.name
    assert.strictEqual(at(0), "m0")
    all[0]!.health.ended("Failure", 0)
    assert.strictEqual(at(1), "m1")
    all[1]!.health.ended("Failure", 1)
    all[2]!.health.ended("Failure", 2)
    assert.strictEqual(at(3), "m0", "the least penalty")
    all[0]!.health.ended("Failure", 4)
    assert.strictEqual(at(5), "m1")
    assert.strictEqual(at(10 * 60_000), "m0")
  })
})

describe("the penalty of an endpoint", () => {
  it("doubles by each failure, halves by each success, and passes with time", () => {
    const health = new Health(0, false, 0)
    assert.strictEqual(health.penalty(0), 1)
    health.ended("Failure", 0)
    assert.strictEqual(health.penalty(0), 51)
    health.ended("Failure", 0)
    assert.strictEqual(health.penalty(0), 101)
    assert.strictEqual(health.penalty(20_000), 51, "two failures in a row take twice as long")
    health.ended("Success", 0)
    assert.strictEqual(health.penalty(0), 51)
    assert.strictEqual(health.penalty(10_000), 26)
    assert.strictEqual(health.penalty(3_600_000), 1)
    health.ended("Ignored", 0)
    assert.strictEqual(health.penalty(0), 51)
  })

  it("has a bound", () => {
    const health = new Health(0, false, 0)
    for (let i = 0; i < 100; i++) {
      health.ended("Failure", 0)
    }
    assert.strictEqual(health.penalty(0), 10_001)
  })
})

describe("the slowness of an endpoint", () => {
  const answering = (millis: number, count = 16) => {
    const health = new Health(0, false, 0)
    for (let i = 0; i < count; i++) {
      health.answered(millis, 0)
    }
    return health
  }

  it("is how many times as long its answers take as another one's, and 1 for less than twice", () => {
    assert.strictEqual(answering(500).slowness(answering(50), 0), 10)
    assert.strictEqual(answering(50).slowness(answering(500), 0), 1)
    assert.strictEqual(answering(99).slowness(answering(50), 0), 1)
    assert.strictEqual(answering(1).slowness(answering(0), 0), 1)
  })

  it("is not known before there are enough answers, and is forgotten without new ones", () => {
    assert.strictEqual(answering(500, 15).slowness(answering(50), 0), 1)
    assert.strictEqual(answering(500).slowness(answering(50, 15), 0), 1)
    assert.approximately(answering(800).slowness(answering(50), 10_000), 4, 1e-9)
    assert.strictEqual(answering(800).slowness(answering(50), 30_000), 1)
  })
})
