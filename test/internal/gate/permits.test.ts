/**
 * The queue of permits by itself: who is served, and in how many steps.
 */
import { Permits, Waiter } from "../../../src/internal/gate/permits.js"
import * as Random from "../../support/random.js"
import { assert, describe, it } from "../../support/vitest.js"

/** A waiter that writes down when it is woken. */
const named = (name: number, woken: Array<number>): Waiter => {
  const waiter = new Waiter()
  waiter.wake = () => woken.push(name)
  return waiter
}

describe("a queue of permits", () => {
  it("serves who waits in the order in which they came", () => {
    const permits = new Permits(2, 10)
    const woken: Array<number> = []
    assert.deepStrictEqual([permits.take(), permits.take(), permits.take()], [true, true, false])
    for (let i = 1; i <= 4; i++) {
      assert.isTrue(permits.join(named(i, woken)))
    }
    permits.release()
    assert.isFalse(permits.take(), "one that comes just now does not go before those that wait")
    permits.release()
    permits.release()
    assert.deepStrictEqual(woken, [1, 2, 3])
    assert.deepStrictEqual([permits.inFlight, permits.waiting], [2, 1])
  })

  it("turns away what is beyond the permits and the queue together, and nothing before", () => {
    const permits = new Permits(3, 2)
    const admitted = Array.from({ length: 10 }, () => permits.take() || permits.join(new Waiter()))
    assert.strictEqual(admitted.filter(Boolean).length, 5)
    assert.deepStrictEqual([permits.inFlight, permits.waiting], [3, 2])
  })

  it("takes the largest numbers there are, whose sum is no integer any more", () => {
    const permits = new Permits(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    assert.isTrue(permits.take())
    const one = new Permits(1, Number.MAX_SAFE_INTEGER)
    assert.deepStrictEqual([one.take(), one.take(), one.join(new Waiter())], [true, false, true])
  })

  it("gives the place in the queue of one that left to another", () => {
    const permits = new Permits(1, 1)
    permits.take()
    const waiter = new Waiter()
    permits.join(waiter)
    assert.isFalse(permits.join(new Waiter()))
    permits.leave(waiter)
    assert.isTrue(permits.join(new Waiter()))
  })

  it("gives no permit to one that left: neither the first, nor the last, nor one in between", () => {
    const permits = new Permits(1, 10)
    const woken: Array<number> = []
    permits.take()
    const waiters = Array.from({ length: 5 }, (_, i) => named(i, woken))
    waiters.forEach((waiter) => permits.join(waiter))
    for (const i of [0, 2, 4]) {
      permits.leave(waiters[i]!)
      permits.leave(waiters[i]!)
    }
    assert.strictEqual(permits.waiting, 2)
    permits.release()
    permits.release()
    permits.release()
    assert.deepStrictEqual(woken, [1, 3])
    assert.deepStrictEqual([permits.inFlight, permits.waiting], [0, 0])
    assert.isTrue(permits.take(), "a queue that all have left rejects nobody")
  })

  it("passes on the permit of one that was granted it and left before it went on", () => {
    const permits = new Permits(1, 10)
    const woken: Array<number> = []
    permits.take()
    const [first, second] = [named(1, woken), named(2, woken)]
    permits.join(first)
    permits.join(second)
    permits.release()
    permits.leave(first)
    permits.leave(first)
    assert.deepStrictEqual(woken, [1, 2])
    assert.strictEqual(permits.inFlight, 1)
  })

  it("wakes one whose time is over without a permit, and leaves one alone that has one", () => {
    const permits = new Permits(1, 10)
    const woken: Array<number> = []
    permits.take()
    const [first, second] = [named(1, woken), named(2, woken)]
    permits.join(first)
    permits.join(second)
    permits.release()
    permits.expire(first)
    permits.expire(second)
    assert.deepStrictEqual([first.state, second.state], ["Granted", "Gone"])
    assert.deepStrictEqual([woken, permits.inFlight, permits.waiting], [[1, 2], 1, 0])
  })

  it("hands out new permits when there are more of them, and none for a while when there are fewer", () => {
    const permits = new Permits(1, 10)
    const woken: Array<number> = []
    permits.take()
    for (let i = 1; i <= 5; i++) {
      permits.join(named(i, woken))
    }
    permits.resize(3)
    assert.deepStrictEqual([woken, permits.inFlight], [[1, 2], 3])
    permits.resize(1)
    permits.release()
    permits.release()
    assert.deepStrictEqual([woken, permits.inFlight], [[1, 2], 1])
    permits.release()
    assert.deepStrictEqual([woken, permits.inFlight], [[1, 2, 3], 1])
  })

  it("does as a list does that is searched from its start, whatever happens", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = Random.make(seed)
      const permits = new Permits(1 + random(3), 1 + random(5))
      const woken: Array<number> = []
      const expected: Array<number> = []
      const waiters: Array<Waiter> = []
      let queue: Array<number> = []
      let held = 0
      const serve = () => {
        while (queue.length > 0 && held < permits.limit) {
          held++
          expected.push(queue.shift()!)
        }
      }
      const ask = () => {
        if (permits.take()) {
          assert.isEmpty(queue)
          held++
          return
        }
        const name = waiters.length
        const waiter = named(name, woken)
        if (permits.join(waiter)) {
          waiters.push(waiter)
          queue.push(name)
        } else {
          assert.strictEqual(queue.length, permits.capacity)
        }
      }
      const leave = () => {
        const name = random(waiters.length)
        // one that has its permit gives it back by `release` here
        if (waiters[name]?.state === "Waiting") {
          permits.leave(waiters[name])
          queue = queue.filter((each) => each !== name)
        }
      }
      const release = () => {
        if (held > 0) {
          held--
          permits.release()
        }
      }
      const resize = () => permits.resize(1 + random(4))
      for (let i = 0; i < 200; i++) {
        ;[ask, ask, ask, leave, release, release, resize][random(7)]!()
        serve()
        assert.deepStrictEqual([woken, permits.inFlight, permits.waiting], [expected, held, queue.length])
      }
    }
  })
})
