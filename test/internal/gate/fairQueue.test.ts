/**
 * The queue by itself: who leaves, who is next, and in how many steps.
 */
import { FairQueue, type Node } from "../../../src/internal/gate/fairQueue.js"
import * as Random from "../../support/random.js"
import { assert, describe, it } from "../../support/vitest.js"

/** Counts what is done to it; to go through all of it counts as many steps as it has members. */
class CountingMap extends Map<number, Node<number>> {
  steps = 0
  override get(key: number) {
    this.steps++
    return super.get(key)
  }
  override set(key: number, node: Node<number>) {
    this.steps++
    return super.set(key, node)
  }
  override delete(key: number) {
    this.steps++
    return super.delete(key)
  }
  override [Symbol.iterator]() {
    this.steps += this.size
    return super[Symbol.iterator]()
  }
  override values() {
    this.steps += this.size
    return super.values()
  }
  override keys() {
    this.steps += this.size
    return super.keys()
  }
}

describe("a fair queue", () => {
  it("takes as few steps to join, leave and be served among 100,000 as among 10", () => {
    const most = (n: number) => {
      const nodes = new CountingMap()
      const queue = new FairQueue(nodes)
      const random = Random.make(1)
      const worst = { join: 0, leave: 0, poll: 0 }
      const measure = (what: keyof typeof worst, f: () => void) => {
        nodes.steps = 0
        f()
        worst[what] = Math.max(worst[what], nodes.steps)
      }
      Array.from({ length: n }, (_, i) => measure("join", () => queue.join(i)))
      for (let i = 0; i < n / 2; i++) {
        measure("leave", () => queue.leave(random(n)))
      }
      while (queue.size > 0) {
        measure("poll", () => queue.poll())
      }
      return worst
    }
    assert.deepStrictEqual(most(100_000), most(10))
    assert.deepStrictEqual(most(10), { join: 1, leave: 2, poll: 2 })
  })

  it("serves in the order of arrival those that have not left, whatever happens", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = Random.make(seed)
      const queue = new FairQueue<number>()
      let list: Array<number> = []
      for (let i = 0; i < 50; i++) {
        switch (random(3)) {
          case 0:
            assert.strictEqual(queue.poll(), list.shift(), `seed ${seed}, step ${i}`)
            break
          case 1: {
            const one = random(i + 1)
            assert.strictEqual(queue.leave(one), list.includes(one))
            list = list.filter((other) => other !== one)
            break
          }
          default:
            queue.join(i)
            list.push(i)
        }
        assert.deepStrictEqual([queue.all(), queue.size], [list, list.length])
        const some = random(i + 1)
        assert.strictEqual(queue.has(some), list.includes(some))
      }
    }
  })
})
