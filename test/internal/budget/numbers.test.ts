/**
 * What budgets come to for fleets of clients: the numbers that the default was chosen by, which the guide shows.
 */
import { RetryBudget } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import * as Fleet from "../../support/fleet.js"
import { assert, describe, it } from "../../support/vitest.js"

const of = (options?: RetryBudget.Options): Fleet.Make => () => Effect.runSync(RetryBudget.make(options)).account

const ten = of({ capacity: 10 })
const byDefault = of()

const guide = readFileSync(Path.join(import.meta.dirname, "..", "..", "..", "docs", "guide.md"), "utf8")

/** The cells of a table row, whatever it is padded with. */
const isInTheGuide = (cells: ReadonlyArray<string>) => {
  const rows = guide.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  )
  assert.deepInclude(rows, cells)
}

const times = (n: number) => `x${n.toFixed(2)}`
const percent = (share: number) => `${(share * 100).toFixed(1)} %`

describe("the default capacity, which follows the traffic, against a fixed one of 10", () => {
  const fleets: ReadonlyArray<[name: string, clients: number, perSecond: number]> = [
    ["10 clients, 10 calls a second each", 10, 10],
    ["100 clients, 1 call a second each", 100, 1],
    ["1,000 clients, 1 call in 10 seconds each", 1_000, 0.1],
    ["5,000 clients, 1 call in 50 seconds each", 5_000, 0.02]
  ]
  for (const [name, clients, perSecond] of fleets) {
    it(`${name}: the load of an outage`, () => {
      const fixed = Fleet.outage(ten, clients, perSecond)
      const following = Fleet.outage(byDefault, clients, perSecond)
      isInTheGuide([name, ...fixed.map(times), ...following.map(times)])
      assert.isBelow(following[0], 2)
      assert.isBelow(following[1], clients <= 1_000 ? 1.21 : 1.65)
    })
  }

  const failing: ReadonlyArray<[name: string, clients: number, perSecond: number]> = [
    ["10 calls a second", 2, 10],
    ["1 call a second", 10, 1],
    ["1 call in 10 seconds", 100, 0.1]
  ]
  for (const [name, clients, perSecond] of failing) {
    it(`${name}: the calls that succeed while some attempts fail, which is the price`, () => {
      const shares = [0.01, 0.1].flatMap((share) =>
        [ten, byDefault].map((make) => Fleet.background(make, clients, perSecond, share))
      )
      isInTheGuide([name, ...shares.map(percent)])
      assert.isAbove(shares[1]!, 0.998)
      assert.isAbove(shares[3]!, 0.96)
    })
  }

  const restarts: ReadonlyArray<[name: string, options: Parameters<typeof Fleet.restart>[1]]> = [
    ["200 callers, answers in 10 ms", { callers: 200, latency: 10, pause: 100, down: 300 }],
    ["200 callers, answers in 100 ms", { callers: 200, latency: 100, pause: 10, down: 300 }],
    ["200 callers, answers in 1 s", { callers: 200, latency: 1_000, pause: 10, down: 300 }],
    ["20 callers, answers in 100 ms", { callers: 20, latency: 100, pause: 900, down: 300 }]
  ]
  for (const [name, options] of restarts) {
    it(`${name}: the calls that give up in a restart of 300 ms`, () => {
      const shares = [ten, of({ capacity: 500 }), byDefault].map((make) => Fleet.restart(make, options))
      isInTheGuide([name, ...shares.map(percent)])
      assert.strictEqual(shares[2], 0)
      assert.strictEqual(Fleet.restart(() => undefined, options), 0)
    })
  }
})
