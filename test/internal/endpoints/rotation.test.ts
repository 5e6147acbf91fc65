import { Health } from "../../../src/internal/endpoints/health.js"
import type { AnyMember } from "../../../src/internal/endpoints/member.js"
import * as Picker from "../../../src/internal/endpoints/picker.js"
import * as Rotation from "../../../src/internal/endpoints/rotation.js"
import * as Random from "../../support/random.js"
import { assert, describe, it } from "../../support/vitest.js"

const member = (name: string, { isOut = false, priority = 0, zone = "z" } = {}): AnyMember => {
  const health = new Health(0, false, 0)
  if (isOut) {
    health.eject(0, 1_000, 1_000)
  }
  return {
    endpoint: { address: name, zone },
    health,
    breaker: undefined,
    name,
    inFlight: 0,
    isGone: false,
    weight: 1,
    priority
  }
}

const levelsOf = ({ levels }: Rotation.Rotation<AnyMember>) =>
  levels.map(({ members }) => members.map(({ name }) => name).join(""))

describe("the endpoints in use", () => {
  for (
    const [endpoints, mostOut] of [[1, 0], [2, 1], [3, 1], [4, 2], [5, 2], [10, 5], [11, 5]] as const
  ) {
    it(`are without those that are out, up to ${mostOut} of ${endpoints}; with more, all are used`, () => {
      for (let out = 0; out <= endpoints; out++) {
        const all = Array.from({ length: endpoints }, (_, i) => member(`m${i}`, { isOut: i < out }))
        const rotation = Rotation.make(all, undefined, 500)
        assert.strictEqual(rotation.isPanicking, out > mostOut)
        assert.strictEqual(rotation.used.size, out > mostOut ? endpoints : endpoints - out)
        assert.strictEqual(rotation.until, out > 0 ? 1_000 : Infinity)
        assert.isFalse(Rotation.make(all, undefined, 1_000).isPanicking, "they are back in time")
      }
    })
  }

  it("are in the order of priority, a healthy one before one of which all are out", () => {
    const first = [member("a"), member("b")]
    const second = [member("x", { priority: 7 }), member("y", { priority: 7 })]
    assert.deepStrictEqual(levelsOf(Rotation.make([...second, ...first], undefined, 0)), ["ab", "xy"])
    const out = [member("a", { isOut: true }), member("b", { isOut: true }), member("c", { isOut: true })]
    assert.deepStrictEqual(levelsOf(Rotation.make([...out, ...second], undefined, 0)), ["xy", "abc"])
    assert.deepStrictEqual(levelsOf(Rotation.make([...out, ...second, member("d", { priority: 7 })], undefined, 0)), [
      "xyd"
    ])
  })

  it("are those of the zone first, while enough of it are left", () => {
    const here = [member("a", { zone: "here" }), member("b", { zone: "here" }), member("c", { zone: "here" })]
    const there = [member("x"), member("y"), member("z")]
    const prefer = { zone: "here", spillBelow: 0.7 }
    assert.deepStrictEqual(levelsOf(Rotation.make([...there, ...here], prefer, 0)), ["abc", "xyzabc"])
    const fewer = [member("a", { zone: "here", isOut: true }), ...here.slice(1)]
    assert.deepStrictEqual(levelsOf(Rotation.make([...there, ...fewer], prefer, 0)), ["xyzbc"])
    assert.deepStrictEqual(levelsOf(Rotation.make([...there, ...fewer], { ...prefer, spillBelow: 0.6 }, 0)), [
      "bc",
      "xyzbc"
    ])
    assert.deepStrictEqual(levelsOf(Rotation.make(there, prefer, 0)), ["xyz"])
    assert.deepStrictEqual(levelsOf(Rotation.make(here, prefer, 0)), ["abc"])
  })
})

describe("an attempt of a call that has tried some endpoints", () => {
  it("goes to one that it has not tried while there is one, whatever the set, and then anywhere", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const next = Random.make(seed)
      const all = Array.from(
        { length: 1 + next(6) },
        (_, i) => member(`m${i}`, { isOut: next(4) === 0, priority: next(2), zone: next(2) === 0 ? "here" : "there" })
      )
      const rotation = Rotation.make(all, next(2) === 0 ? { zone: "here", spillBelow: 0.5 } : undefined, 500)
      const pick = (["powerOfTwo", "roundRobin", "weighted", "pickFirst"] as const)[next(4)]!
      const picker = Picker.make(pick, () => next(1 << 20) / (1 << 20))
      const byName = new Map(all.map((one) => [one.name, one]))
      const names: Array<string> = []
      for (let attempt = 0; attempt < 3 * rotation.used.size; attempt++) {
        const tried = Rotation.triedOf(rotation, names, (name) => byName.get(name))
        const chosen = Rotation.pick(rotation, picker, 500, tried, new Set())
        assert.isDefined(chosen)
        assert.isTrue(rotation.used.has(chosen!))
        const round = names.slice(names.length - names.length % rotation.used.size)
        assert.notInclude(round, chosen!.name, `${pick}, seed ${seed}`)
        names.push(chosen!.name)
      }
    }
  })

  it("is not kept from any by names that are not in the set", () => {
    const all = [member("a"), member("b")]
    const rotation = Rotation.make(all, undefined, 0)
    assert.strictEqual(Rotation.triedOf(rotation, ["gone", "x"], () => undefined).size, 0)
  })
})

describe("an ejection", () => {
  it("is longer each time in a row, up to a bound, and starts over after as long a time without one", () => {
    const health = new Health(0, false, 0)
    let now = 0
    const eject = () => {
      const length = health.eject(now, 30, 100)
      now += length
      return length
    }
    assert.deepStrictEqual([eject(), eject(), eject(), eject(), eject()], [30, 60, 90, 100, 100])
    now += 99
    assert.strictEqual(eject(), 100)
    now += 100
    assert.strictEqual(eject(), 30)
  })
})
