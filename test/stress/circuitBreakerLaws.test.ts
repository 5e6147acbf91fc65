/**
 * What holds for a circuit breaker whatever happens, and for many of them at once.
 */
import { Retryable } from "effect-rpc-retry"
import { liveServices as live } from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Breaker from "../../src/internal/gate/circuitBreaker.js"
import type * as Gate from "../../src/internal/gate/gate.js"
import type { Outcome } from "../../src/internal/gate/outcome.js"
import type { Rule } from "../../src/internal/gate/window.js"
import * as Random from "../support/random.js"
import { assert, describe, epoch, it } from "../support/vitest.js"

const unavailable = Exit.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent" }))
const exitOf = (outcome: Outcome) => outcome === "Failure" ? unavailable : Exit.void

const fraction = (next: (n: number) => number) => () => next(1 << 20) / (1 << 20)

const pick = <A>(next: (n: number) => number, ...all: ReadonlyArray<A>): A => all[next(all.length)]!

const randomSettings = (next: (n: number) => number): Omit<Breaker.Settings, "now"> => {
  let n = 0
  const rule: Rule = pick<Rule>(
    next,
    { _tag: "Consecutive", failures: 1 + next(4) },
    {
      _tag: "Rate",
      threshold: pick(next, 0.1, 0.5, 1),
      window: pick(next, { _tag: "Calls", size: 20 } as const, { _tag: "Time", millis: 2000 } as const),
      minimumCalls: 1 + next(10),
      slow: pick(next, undefined, { longerThan: 150, threshold: 0.5 })
    }
  )
  return {
    rule,
    enter: () => {},
    openings: {
      next: () => 500 * Math.min(8, 2 ** n++),
      startOver: () => {
        n = 0
      }
    },
    jitter: pick(next, 0, 0.3, 1),
    maxRetryAfter: 10_000,
    probes: 1 + next(5),
    probeLease: 300 + next(1000),
    rampUp: pick(next, 0, 1, 900),
    classify: undefined,
    random: fraction(next)
  }
}

interface Held {
  readonly permit: Gate.Permit
  readonly generation: number
  readonly isProbe: boolean
  readonly at: number
}

const longestOpening = 4000 * 2

/** A breaker, what is known of it from outside, and things that may happen to it. */
const setup = (seed: number) => {
  const next = Random.make(seed)
  const settings = randomSettings(next)
  const clock = { now: epoch, passed: 0 }
  const breaker = Breaker.make({ ...settings, now: () => clock.now })
  let held: ReadonlyArray<Held> = []
  let byHand = false
  const look = () => breaker.snapshot()

  const request = () => {
    const { generation, retryIn, state } = look()
    const result = breaker.request()
    if (Either.isRight(result)) {
      assert.notStrictEqual(state, "Open")
      held = [...held, { permit: result.right, generation, isProbe: state === "HalfOpen", at: clock.passed }]
      return result.right
    }
    assert.notStrictEqual(state, "Closed")
    assert.deepStrictEqual(result.left.retryIn, retryIn)
    assert.strictEqual(state === "Open" && !byHand, retryIn !== undefined)
    assert.isAtMost(retryIn === undefined ? 0 : Duration.toMillis(retryIn), longestOpening)
    return undefined
  }

  const end = (one: Held, outcome: Outcome) => {
    held = held.filter((each) => each !== one)
    const before = look()
    one.permit.end(outcome, exitOf(outcome), live)
    if (one.generation !== before.generation || outcome === "Ignored") {
      assert.deepStrictEqual(look(), before, "an outcome of an older generation, or none")
    }
    if (look().state === "Open" && before.state !== "Open") {
      byHand = false
    }
  }

  /** Something that a user, a server or a clock does. */
  const happen = (): void => {
    const what = next(100)
    if (what < 45) {
      request()
    } else if (what < 75 && held.length > 0) {
      end(held[next(held.length)]!, pick<Outcome>(next, "Success", "Failure", "Failure", "Ignored"))
    } else if (what < 94) {
      const millis = pick(next, 1, 20, 200, 1000, 5000)
      clock.now += millis
      clock.passed += millis
    } else if (what < 97) {
      clock.now -= pick(next, 1, 500, 3_600_000)
    } else if (next(3) === 0) {
      const move = pick<"open" | "close" | "reset">(next, "open", "close", "reset")
      byHand = move === "open"
      breaker[move]()
    }
    look()
  }

  const probesInFlight = () => {
    const { generation } = look()
    return held.filter((one) =>
      one.isProbe && one.generation === generation && clock.passed - one.at < settings.probeLease
    ).length
  }

  return { breaker, clock, settings, request, happen, look, probesInFlight, isByHand: () => byHand }
}

describe("a circuit breaker, whatever happens", () => {
  it("never has more probes in flight than it may, and counts no outcome of an older generation", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const { happen, look, probesInFlight, settings } = setup(seed)
      for (let i = 0; i < 300; i++) {
        happen()
        if (look().state === "HalfOpen") {
          assert.isAtMost(probesInFlight(), settings.probes, `seed ${seed}, step ${i}`)
        }
      }
    }
  })

  it("is never stuck: when the server is well it is closed soon, however many probes never end", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const { breaker, clock, happen, isByHand, look, request, settings } = setup(seed)
      Array.from({ length: 200 }, happen)
      if (look().state === "Open" && isByHand()) {
        breaker.close()
      }
      const longest = longestOpening + settings.probeLease + settings.rampUp
      const end = clock.now + longest + 1000
      while (look().state !== "Closed" && clock.now < end) {
        request()?.end("Success", Exit.void, live)
        clock.now += 10
      }
      assert.strictEqual(look().state, "Closed", `seed ${seed}`)
    }
  })

  it("what it knows beforehand of an instant is true then", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { breaker, clock, happen, look } = setup(seed)
      Array.from({ length: 150 }, happen)
      for (const later of [1, 100, 500, 2000]) {
        const refused = breaker.refuses(clock.now + later)
        if (refused !== undefined) {
          clock.now += later
          assert.strictEqual(look().state, "Open")
          assert.isTrue(Either.isLeft(breaker.request()))
        }
      }
    }
  })
})

/** Clients that share a server which is down for a while, in steps of a millisecond. */
const fleet = (clients: number, perSecond: number, settings: Partial<Breaker.Settings>) => {
  const next = Random.make(11)
  const random = fraction(next)
  const down = { from: 10_000, until: 32_000 }
  const latency = 20
  let now = 0
  const sent: Array<number> = []
  const probes: Array<ReadonlyArray<number>> = []
  const closings: Array<number> = []
  let afterOwnClosing = 0
  const all = Array.from({ length: clients }, () => {
    const breaker = Breaker.make({
      rule: {
        _tag: "Rate",
        threshold: 0.5,
        window: { _tag: "Time", millis: 10_000 },
        minimumCalls: 20,
        slow: undefined
      },
      enter: () => {},
      openings: { next: () => 5000, startOver: () => {} },
      jitter: 0.3,
      maxRetryAfter: 300_000,
      probes: 1,
      probeLease: 10_000,
      rampUp: 3000,
      classify: undefined,
      now: () => now,
      random,
      ...settings
    })
    const self = { breaker, due: new Map<number, Array<() => void>>(), closedAt: Infinity }
    const own: Array<number> = []
    probes.push(own)
    breaker.onChange(({ at, from, to }) => {
      if (to === "HalfOpen") {
        own.push(at)
      } else if (from === "HalfOpen" && to !== "Open") {
        closings.push(at)
        self.closedAt = at
      }
    })
    return self
  })
  const later = (due: Map<number, Array<() => void>>, at: number, work: () => void) => {
    due.set(at, [...due.get(at) ?? [], work])
  }
  for (; now < 60_000; now++) {
    const isDown = now >= down.from && now < down.until
    for (const client of all) {
      const { breaker, due } = client
      /** A call; who is told when to come back comes back then, once. */
      const call = (isAgain: boolean) => {
        const result = breaker.request()
        if (Either.isRight(result)) {
          sent.push(now)
          afterOwnClosing += now > client.closedAt && now <= client.closedAt + 1000 ? 1 : 0
          const outcome = isDown ? "Failure" : "Success"
          later(due, now + latency, () => result.right.end(outcome, exitOf(outcome), live))
        } else if (!isAgain && result.left.retryIn !== undefined) {
          later(due, now + Duration.toMillis(result.left.retryIn), () => call(true))
        }
      }
      due.get(now)?.forEach((work) => work())
      due.delete(now)
      if (random() < perSecond / 1000) {
        call(false)
      }
    }
  }
  const between = (from: number, until: number) => sent.filter((at) => at >= from && at < until).length
  return { afterOwnClosing, between, closings, down, probes }
}

describe("many circuit breakers of one server", () => {
  it("do not probe together after an outage: those of 200 clients spread over a fifth of the opening", () => {
    const { probes } = fleet(200, 5, { rule: { _tag: "Consecutive", failures: 3 } })
    const together = (round: number) => {
      const at = probes.map((own) => own[round]!).toSorted((a, b) => a - b)
      return at[at.length - 10]! - at[9]!
    }
    // of the first round too, though all clients have failed at the same moment
    assert.isAtLeast(together(0), 5000 * 0.2)
    assert.isAtLeast(together(1), 5000 * 0.2)
  })

  it("send a server that is down next to nothing, and in no second after the recovery more than 1.2 times the demand", () => {
    const demand = 200 * 5
    const { afterOwnClosing, between, closings, down } = fleet(200, 5, {})
    assert.isAtMost(between(down.from + 15_000, down.until) / (down.until - down.from - 15_000) * 1000, demand * 0.05)
    assert.strictEqual(closings.length, 200)
    const first = Math.min(...closings)
    for (let from = first; from < first + 15_000; from += 100) {
      assert.isAtMost(between(from, from + 1000), demand * 1.2, `${from - first} ms after the first closing`)
    }
    // no client comes back with all it has in the second after its own closing
    assert.isAtMost(afterOwnClosing, demand * 0.2)
    assert.isAtLeast(between(55_000, 60_000), 5 * demand * 0.9)
  })

  it("begin to close with a tenth of all calls, also where each client has but one", () => {
    const next = Random.make(5)
    const random = fraction(next)
    let now = 0
    const sent = Array.from({ length: 1000 }, () => {
      const breaker = Breaker.make({
        ...randomSettings(next),
        rule: { _tag: "Consecutive", failures: 1 },
        probes: 1,
        rampUp: 3000,
        random,
        now: () => now
      })
      const end = (outcome: Outcome) => Either.getOrUndefined(breaker.request())?.end(outcome, exitOf(outcome), live)
      end("Failure")
      now += longestOpening
      end("Success")
      return Either.isRight(breaker.request())
    }).filter(Boolean).length
    assert.isAtLeast(sent, 70)
    assert.isAtMost(sent, 130)
  })

  it("are not opened by one instance of three that fails", () => {
    const next = Random.make(3)
    let now = 0
    const settings = randomSettings(next)
    const breaker = Breaker.make({
      ...settings,
      rule: {
        _tag: "Rate",
        threshold: 0.5,
        window: { _tag: "Time", millis: 10_000 },
        minimumCalls: 20,
        slow: undefined
      },
      now: () => now
    })
    for (let i = 0; i < 10_000; i++) {
      now += 10
      const outcome = i % 3 === 0 ? "Failure" : "Success"
      Either.getOrUndefined(breaker.request())?.end(outcome, exitOf(outcome), live)
    }
    assert.strictEqual(breaker.snapshot().generation, 0)
  })
})
