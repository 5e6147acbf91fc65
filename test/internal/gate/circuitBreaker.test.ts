/**
 * The state machine of the circuit breaker, with a clock of the test's own.
 */
import { Fatal, Retryable } from "effect-rpc-retry"
import { liveServices as live } from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Circuit from "../../../src/internal/gate/circuit.js"
import * as Breaker from "../../../src/internal/gate/circuitBreaker.js"
import type * as Gate from "../../../src/internal/gate/gate.js"
import type { Outcome } from "../../../src/internal/gate/outcome.js"
import * as Random from "../../support/random.js"
import { assert, describe, epoch, it } from "../../support/vitest.js"

const unavailable = Exit.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent" }))

const exits: Record<Outcome, Exit.Exit<unknown, unknown>> = {
  Success: Exit.void,
  Failure: unavailable,
  Ignored: Exit.void
}

const setup = (settings: Partial<Breaker.Settings> = {}) => {
  const clock = { now: epoch }
  const breaker = Breaker.make({
    rule: { _tag: "Consecutive", failures: 3 },
    enter: () => {},
    openings: { next: () => 1000, startOver: () => {} },
    jitter: 0,
    maxRetryAfter: 300_000,
    probes: 1,
    probeLease: 10_000,
    rampUp: 0,
    classify: undefined,
    now: () => clock.now,
    random: () => 0.5,
    ...settings
  })
  const admitted = (): Gate.Permit | undefined => Either.getOrUndefined(breaker.request())
  const attempt = (outcome: Outcome, exit = exits[outcome]): boolean => {
    const permit = admitted()
    permit?.end(outcome, exit, live)
    return permit !== undefined
  }
  const retryIn = () => {
    const request = breaker.request()
    return Either.isLeft(request) && request.left.retryIn !== undefined
      ? Duration.toMillis(request.left.retryIn)
      : undefined
  }
  return {
    breaker,
    clock,
    admitted,
    attempt,
    retryIn,
    state: () => breaker.snapshot().state,
    fail: (n: number) => Array.from({ length: n }, () => attempt("Failure")),
    pass: (millis: number) => {
      clock.now += millis
    }
  }
}

describe("a circuit breaker", () => {
  it("opens after n failures in a row, half-opens when the opening is over, and closes when the probe succeeds", () => {
    const { attempt, breaker, fail, pass, retryIn, state } = setup()
    assert.deepStrictEqual(fail(2), [true, true])
    assert.strictEqual(state(), "Closed")
    attempt("Success")
    fail(2)
    assert.strictEqual(state(), "Closed")
    fail(1)
    assert.strictEqual(state(), "Open")
    assert.isFalse(attempt("Success"))
    pass(300)
    assert.strictEqual(retryIn(), 700)
    pass(699)
    assert.isFalse(attempt("Success"))
    pass(1)
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "Closed")
    assert.deepStrictEqual(breaker.snapshot().failures, 0)
  })

  it("opens again when the probe fails", () => {
    const { fail, pass, retryIn, state } = setup()
    fail(3)
    pass(1000)
    fail(1)
    assert.strictEqual(state(), "Open")
    assert.strictEqual(retryIn(), 1000)
  })

  it("says how long it is still open in whole milliseconds, never less than it is", () => {
    const { attempt, fail, pass, retryIn } = setup()
    fail(3)
    pass(0.4)
    const wait = retryIn()!
    assert.strictEqual(wait, 1000)
    pass(wait)
    assert.isTrue(attempt("Success"))
  })

  it("a call that was admitted before it opened changes nothing when it ends late, be it while it is open, half-open or closed again", () => {
    const { admitted, attempt, breaker, fail, pass, state } = setup({ probes: 2 })
    const late = Array.from({ length: 6 }, () => admitted()!)
    fail(3)
    late[0]!.end("Success", exits.Success, live)
    late[1]!.end("Failure", exits.Failure, live)
    assert.strictEqual(state(), "Open")
    pass(1000)
    const probe = admitted()!
    late[2]!.end("Success", exits.Success, live)
    late[3]!.end("Failure", exits.Failure, live)
    assert.strictEqual(state(), "HalfOpen")
    probe.end("Success", exits.Success, live)
    assert.strictEqual(state(), "HalfOpen")
    attempt("Success")
    assert.strictEqual(state(), "Closed")
    late[4]!.end("Failure", exits.Failure, live)
    late[5]!.end("Failure", exits.Failure, live)
    assert.strictEqual(breaker.snapshot().failures, 0)
  })

  it("a probe of an earlier round changes nothing in a later one", () => {
    const { admitted, fail, pass, state } = setup({ probes: 2 })
    fail(3)
    pass(1000)
    const [first, second] = [admitted()!, admitted()!]
    first.end("Failure", exits.Failure, live)
    assert.strictEqual(state(), "Open")
    pass(1000)
    const third = admitted()!
    second.end("Success", exits.Success, live)
    assert.strictEqual(state(), "HalfOpen")
    assert.isDefined(admitted())
    assert.isUndefined(admitted())
    third.end("Success", exits.Success, live)
    assert.strictEqual(state(), "HalfOpen")
  })

  it("gets the place of an ignored probe back at once", () => {
    const { attempt, fail, pass, state } = setup()
    fail(3)
    pass(1000)
    for (let i = 0; i < 100; i++) {
      assert.isTrue(attempt("Ignored"))
    }
    assert.strictEqual(state(), "HalfOpen")
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "Closed")
  })

  it("gets the place of a probe that never ends back when its lease is over", () => {
    const { admitted, attempt, fail, pass, state } = setup({ probes: 2, probeLease: 500 })
    fail(3)
    pass(1000)
    assert.isDefined(admitted())
    pass(100)
    assert.isDefined(admitted())
    pass(399)
    assert.isUndefined(admitted())
    pass(1)
    assert.isTrue(attempt("Success"))
    // one of the two is still held, the other has ended
    assert.isUndefined(admitted())
    pass(100)
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "Closed")
  })

  it("counts a probe that ends after its lease: a server that is slower than it still closes the breaker", () => {
    const { admitted, fail, pass, state } = setup({ probeLease: 500 })
    fail(3)
    pass(1000)
    const slow = admitted()!
    pass(600)
    assert.isDefined(admitted())
    slow.end("Success", exits.Success, live)
    assert.strictEqual(state(), "Closed")
  })

  it("admits as many probes as it is to, of a thousand callers at the instant of half-open", () => {
    for (const probes of [1, 3, 10]) {
      const { admitted, fail, pass } = setup({ probes })
      fail(3)
      pass(1000)
      const sent = Array.from({ length: 1000 }, admitted).filter((permit) => permit !== undefined)
      assert.strictEqual(sent.length, probes)
    }
  })

  it("judges a round of probes by the threshold of its rate, and opens as soon as that is certain", () => {
    const { admitted, fail, pass, state } = setup({
      probes: 10,
      rule: { _tag: "Rate", threshold: 0.3, window: { _tag: "Calls", size: 10 }, minimumCalls: 3, slow: undefined }
    })
    fail(3)
    pass(1000)
    const probes = Array.from({ length: 10 }, () => admitted()!)
    probes.slice(0, 2).forEach((probe) => probe.end("Failure", exits.Failure, live))
    assert.strictEqual(state(), "HalfOpen")
    probes[2]!.end("Failure", exits.Failure, live)
    assert.strictEqual(state(), "Open")
  })

  it("an outage and a recovery with one failure in a hundred: it closes with the first round of probes", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const next = Random.make(seed)
      const { attempt, fail, pass, state } = setup({ probes: 10 })
      fail(3)
      pass(1000)
      for (let i = 0; i < 10; i++) {
        attempt(next(100) === 0 ? "Failure" : "Success")
      }
      assert.strictEqual(state(), "Closed", `seed ${seed}`)
    }
  })

  it("opens for slow answers by their own rate, and a slow probe opens it again", () => {
    const { admitted, attempt, breaker, pass, state } = setup({
      rule: {
        _tag: "Rate",
        threshold: 0.9,
        window: { _tag: "Calls", size: 10 },
        minimumCalls: 4,
        slow: { longerThan: 100, threshold: 0.5 }
      }
    })
    const answer = (took: number) => {
      const permit = admitted()!
      pass(took)
      permit.end("Success", exits.Success, live)
    }
    answer(100)
    answer(101)
    answer(100)
    assert.deepStrictEqual([breaker.snapshot().rate, breaker.snapshot().slowRate], [0, 1 / 3])
    assert.strictEqual(state(), "Closed")
    answer(200)
    assert.strictEqual(state(), "Open")
    pass(1000)
    answer(101)
    assert.strictEqual(state(), "Open")
    pass(1000)
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "Closed")
  })

  it("an attempt is as slow as it took since it began, not since it was admitted", () => {
    const rule: Breaker.Settings["rule"] = {
      _tag: "Rate",
      threshold: 0.9,
      window: { _tag: "Calls", size: 10 },
      minimumCalls: 1,
      slow: { longerThan: 100, threshold: 0.5 }
    }
    for (
      const [waits, state] of [[100, "Closed"], [99, "Open"], [-1000, "Open"]] as const
    ) {
      const { admitted, breaker, clock, pass } = setup({ rule })
      const attempt = () => {
        const permit = admitted()!
        const began = clock.now + waits
        pass(200)
        permit.end("Success", exits.Success, live, began)
      }
      attempt()
      assert.strictEqual(breaker.snapshot().state, state)
      if (state === "Open") {
        pass(1000)
        attempt()
        // a probe that is slow
        assert.strictEqual(breaker.snapshot().state, "Open")
      }
    }
    const { admitted, breaker, clock, pass } = setup({ rule })
    breaker.open()
    breaker.close()
    admitted()!.end("Failure", exits.Failure, live)
    pass(1000)
    const probe = admitted()!
    const began = clock.now + 100
    pass(200)
    probe.end("Success", exits.Success, live, began)
    assert.strictEqual(breaker.snapshot().state, "Closed")
  })

  it("an interrupted call that took long is not slow", () => {
    const { admitted, breaker, pass } = setup({
      rule: {
        _tag: "Rate",
        threshold: 0.9,
        window: { _tag: "Time", millis: 60_000 },
        minimumCalls: 1,
        slow: { longerThan: 100, threshold: 0.1 }
      }
    })
    const permit = admitted()!
    pass(1000)
    permit.end("Ignored", exits.Ignored, live)
    assert.deepStrictEqual([breaker.snapshot().state, breaker.snapshot().slowRate], ["Closed", undefined])
  })

  it("closes by a ramp: 10, 20, then 50 of a hundred attempts, and all of them", () => {
    const { admitted, attempt, fail, pass, state } = setup({ rampUp: 3000 })
    fail(3)
    pass(1000)
    attempt("Success")
    assert.strictEqual(state(), "Ramping")
    const shares = Array.from({ length: 4 }, () => {
      const share = Array.from({ length: 100 }, admitted).filter((permit) => permit !== undefined).length
      pass(1000)
      return share
    })
    assert.deepStrictEqual(shares, [10, 20, 50, 100])
    assert.strictEqual(state(), "Closed")
  })

  it("a failure of the whole server in the ramp opens it again; what was admitted in the ramp counts after it", () => {
    const ramping = () => {
      const self = setup({ rampUp: 3000, random: () => 0.99 })
      self.fail(3)
      self.pass(1000)
      self.attempt("Success")
      self.pass(2500)
      return self
    }
    const failing = ramping()
    Array.from({ length: 6 }, () => failing.attempt("Failure"))
    assert.strictEqual(failing.state(), "Open")
    const { admitted, attempt, breaker, pass, state } = ramping()
    const permits = Array.from({ length: 4 }, admitted).filter((permit) => permit !== undefined)
    pass(500)
    assert.strictEqual(state(), "Closed")
    permits.forEach((permit) => permit.end("Failure", exits.Failure, live))
    assert.strictEqual(breaker.snapshot().failures, 2)
    attempt("Failure")
    assert.strictEqual(state(), "Open")
  })

  it("remembers its openings over a short closing, and starts over after one as long as the last opening", () => {
    const lengths = [1000, 2000, 4000]
    let n = 0
    const { attempt, fail, pass, retryIn } = setup({
      openings: {
        next: () => lengths[Math.min(n++, 2)]!,
        startOver: () => {
          n = 0
        }
      }
    })
    const recover = () => {
      pass(retryIn()!)
      attempt("Success")
    }
    fail(3)
    assert.strictEqual(retryIn(), 1000)
    recover()
    pass(999)
    fail(3)
    assert.strictEqual(retryIn(), 2000)
    pass(2000)
    fail(1)
    assert.strictEqual(retryIn(), 4000)
    pass(4000)
    // a round that fails is no closing, however long ago the last one was
    fail(1)
    assert.strictEqual(retryIn(), 4000)
    recover()
    pass(4000)
    fail(3)
    assert.strictEqual(retryIn(), 1000)
  })

  it("draws each opening anew, from as long as it is to be to as much longer as its jitter says", () => {
    const next = Random.make(7)
    const { breaker, clock, fail, retryIn } = setup({ jitter: 0.3, random: () => next(1 << 20) / (1 << 20) })
    const lengths = Array.from({ length: 200 }, () => {
      breaker.reset()
      fail(3)
      return retryIn()!
    })
    assert.isTrue(lengths.every((each) => each >= 1000 && each <= 1300))
    assert.isAtLeast(Math.max(...lengths) - Math.min(...lengths), 280)
    assert.strictEqual(clock.now, epoch)
  })

  it("stays open for as long as the server asks for, jittered all the same, but not longer than it may", () => {
    const after = (retryAfter: Duration.DurationInput | "Never") =>
      Exit.fail(new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter }))
    for (
      const [hint, length] of [["20 seconds", 22_000], ["200 millis", 1100], ["1 hour", 66_000], [
        "Never",
        1100
      ]] as const
    ) {
      const { attempt, fail, retryIn } = setup({ jitter: 0.2, maxRetryAfter: 60_000 })
      fail(2)
      attempt("Failure", after(hint))
      assert.strictEqual(retryIn(), length, hint)
    }
  })

  it("asks a classification of its own, but not about an attempt that its caller ended", () => {
    const asked: Array<string> = []
    const { attempt, state } = setup({
      classify: (exit) => {
        asked.push(exit._tag)
        return Exit.isFailure(exit) ? "Failure" : "Success"
      }
    })
    const fatal = Exit.fail(new Fatal({ reason: "ServerError", message: "no" }))
    attempt("Ignored")
    assert.deepStrictEqual(asked, [])
    attempt("Success", fatal)
    attempt("Success", fatal)
    attempt("Success", fatal)
    assert.strictEqual(state(), "Open")
  })

  it("a classification that throws, or says what is none, takes no place from a probe", () => {
    let says: () => Outcome = () => "Failure"
    const { admitted, attempt, fail, pass, state } = setup({ classify: () => says() })
    fail(3)
    pass(1000)
    says = () => {
      throw new Error("boom")
    }
    assert.throws(() => admitted()!.end("Success", exits.Success, live), "boom")
    says = () => "Sucess" as Outcome
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "HalfOpen")
    says = () => "Success"
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "Closed")
  })

  it("opened by hand it stays open until it is closed or reset by hand", () => {
    const { attempt, breaker, pass, retryIn, state } = setup()
    breaker.open()
    pass(1e9)
    assert.isFalse(attempt("Success"))
    assert.strictEqual(retryIn(), undefined)
    assert.deepStrictEqual(breaker.refuses(Number.MAX_VALUE), { reason: "CircuitOpen" })
    breaker.close()
    assert.isTrue(attempt("Success"))
    breaker.open()
    breaker.reset()
    assert.strictEqual(state(), "Closed")
  })

  it("closed by hand it forgets what it counted, and keeps the length of its next opening; reset, it forgets that too", () => {
    let n = 1
    const { breaker, fail, retryIn } = setup({
      openings: {
        next: () => 1000 * n++,
        startOver: () => {
          n = 1
        }
      }
    })
    fail(3)
    breaker.close()
    fail(2)
    breaker.close()
    fail(2)
    assert.strictEqual(breaker.snapshot().state, "Closed")
    fail(1)
    assert.strictEqual(retryIn(), 2000)
    breaker.reset()
    fail(3)
    assert.strictEqual(retryIn(), 1000)
  })

  it("knows beforehand that it will be open, and until when", () => {
    const { breaker, clock, fail } = setup()
    assert.isUndefined(breaker.refuses(clock.now))
    fail(3)
    assert.strictEqual(breaker.refuses(clock.now + 999)?.reason, "CircuitOpen")
    assert.isUndefined(breaker.refuses(clock.now + 1000))
  })

  it("tells each change once, after it, with the time until which it is open", () => {
    const seen: Array<Circuit.Change> = []
    const { attempt, breaker, clock, fail, pass, state } = setup({ rampUp: 300 })
    const stop = breaker.onChange((change) => {
      assert.strictEqual(breaker.snapshot().state, change.to)
      seen.push(change)
    })
    fail(3)
    pass(1000)
    attempt("Success")
    pass(300)
    state()
    breaker.open()
    breaker.open()
    assert.deepStrictEqual(seen, [
      { from: "Closed", to: "Open", at: epoch, openUntil: epoch + 1000 },
      { from: "Open", to: "HalfOpen", at: epoch + 1000 },
      { from: "HalfOpen", to: "Ramping", at: epoch + 1000 },
      { from: "Ramping", to: "Closed", at: epoch + 1300 },
      { from: "Closed", to: "Open", at: epoch + 1300, openUntil: Infinity }
    ])
    stop()
    breaker.reset()
    assert.deepStrictEqual([seen.length, clock.now], [5, epoch + 1300])
  })

  it("is not stuck by a clock that is set back: the opening, a ramp and a lease last as long as ever", () => {
    const { admitted, attempt, breaker, clock, fail, pass, retryIn, state } = setup({ rampUp: 300, probeLease: 500 })
    fail(3)
    pass(400)
    assert.strictEqual(retryIn(), 600)
    clock.now = 12
    assert.strictEqual(retryIn(), 600)
    assert.isDefined(breaker.refuses(12 + 599))
    assert.isUndefined(breaker.refuses(12 + 600))
    pass(600)
    assert.isDefined(admitted())
    clock.now = 1
    assert.isUndefined(admitted())
    pass(500)
    assert.isTrue(attempt("Success"))
    assert.strictEqual(state(), "Ramping")
    clock.now = 0
    assert.strictEqual(state(), "Ramping")
    pass(300)
    assert.strictEqual(state(), "Closed")
  })

  it("is idle where nothing is lost with it but counts", () => {
    const { admitted, attempt, breaker, fail, pass, state } = setup({ probes: 2, rampUp: 300 })
    assert.isTrue(breaker.isIdle())
    fail(2)
    assert.isTrue(breaker.isIdle())
    fail(1)
    assert.isFalse(breaker.isIdle())
    pass(999)
    assert.isFalse(breaker.isIdle())
    pass(1)
    assert.isTrue(breaker.isIdle())
    const probe = admitted()!
    assert.isFalse(breaker.isIdle())
    probe.end("Success", exits.Success, live)
    assert.isTrue(breaker.isIdle())
    attempt("Success")
    assert.strictEqual(state(), "Ramping")
    assert.isFalse(breaker.isIdle())
    pass(300)
    assert.isTrue(breaker.isIdle())
  })

  it("its snapshot has the counts of its state, and rates only where there are any", () => {
    const none = { rate: undefined, slowRate: undefined, retryIn: undefined }
    const inARow = setup({ probes: 3 })
    inARow.fail(2)
    assert.deepStrictEqual(inARow.breaker.snapshot(), { state: "Closed", generation: 0, failures: 2, ...none })
    inARow.fail(1)
    inARow.pass(250)
    const retryIn = Duration.millis(750)
    assert.deepStrictEqual(inARow.breaker.snapshot(), { state: "Open", generation: 1, failures: 0, ...none, retryIn })
    inARow.pass(750)
    inARow.attempt("Success")
    inARow.attempt("Failure")
    assert.deepStrictEqual(inARow.breaker.snapshot(), { state: "HalfOpen", generation: 2, failures: 1, ...none })
    const byRate = setup({
      probes: 4,
      rule: { _tag: "Rate", threshold: 0.6, window: { _tag: "Calls", size: 10 }, minimumCalls: 3, slow: undefined }
    })
    assert.deepStrictEqual(byRate.breaker.snapshot(), { state: "Closed", generation: 0, failures: 0, ...none })
    byRate.attempt("Success")
    byRate.attempt("Failure")
    assert.deepStrictEqual(byRate.breaker.snapshot(), {
      state: "Closed",
      generation: 0,
      failures: 1,
      ...none,
      rate: 0.5
    })
    byRate.fail(1)
    byRate.pass(1000)
    byRate.attempt("Failure")
    assert.deepStrictEqual(byRate.breaker.snapshot(), {
      state: "HalfOpen",
      generation: 2,
      failures: 1,
      ...none,
      rate: 1
    })
  })

  it("a tenth of the calls of many clients is made from the first moment of the ramp on", () => {
    const firstCalls = Array.from({ length: 100 }, (_, client) => {
      const { admitted, attempt, fail, pass } = setup({ rampUp: 3000, random: () => client / 100 })
      fail(3)
      pass(1000)
      attempt("Success")
      return admitted() !== undefined
    })
    assert.strictEqual(firstCalls.filter(Boolean).length, 10)
  })

  it("a ramp that a failure ended counts as no closing", () => {
    let n = 0
    const { attempt, fail, pass, retryIn } = setup({
      rampUp: 3000,
      random: () => 0.99,
      openings: {
        next: () => 1000 * ++n,
        startOver: () => {
          n = 0
        }
      }
    })
    fail(3)
    pass(1000)
    attempt("Success")
    pass(2900)
    Array.from({ length: 6 }, () => attempt("Failure"))
    assert.strictEqual(retryIn(), 2000)
  })

  it("admits all from the end of its ramp on, the first one too", () => {
    for (const [after, isAdmitted] of [[2999, false], [3000, true]] as const) {
      const { admitted, attempt, fail, pass } = setup({ rampUp: 3000, random: () => 0 })
      fail(3)
      pass(1000)
      attempt("Success")
      pass(after)
      assert.strictEqual(admitted() !== undefined, isAdmitted)
    }
  })

  it("without a ramp is closed by its probe, and by nothing in between", () => {
    const seen: Array<Circuit.State> = []
    const { attempt, breaker, fail, pass } = setup({ rampUp: 0 })
    breaker.onChange(({ to }) => seen.push(to))
    fail(3)
    pass(1000)
    attempt("Success")
    assert.deepStrictEqual(seen, ["Open", "HalfOpen", "Closed"])
  })

  it("closed by hand it is certain of nothing, though its opening would have lasted longer", () => {
    const { breaker, clock, fail } = setup()
    fail(3)
    assert.isDefined(breaker.refuses(clock.now))
    breaker.close()
    assert.isUndefined(breaker.refuses(clock.now))
  })

  it("closed by hand it has been closed since then: openings start over after as long as the last one", () => {
    for (const [after, length] of [[999, 2000], [1000, 1000]] as const) {
      let n = 0
      const { breaker, fail, pass, retryIn } = setup({
        openings: {
          next: () => 1000 * ++n,
          startOver: () => {
            n = 0
          }
        }
      })
      fail(3)
      pass(100)
      breaker.close()
      pass(500)
      // it is closed already
      breaker.close()
      pass(after - 500)
      fail(3)
      assert.strictEqual(retryIn(), length)
    }
  })

  it("judges slow probes by the threshold for them, and opens at exactly that share", () => {
    const { admitted, fail, pass, state } = setup({
      probes: 4,
      rule: {
        _tag: "Rate",
        threshold: 0.9,
        window: { _tag: "Calls", size: 10 },
        minimumCalls: 3,
        slow: { longerThan: 100, threshold: 0.5 }
      }
    })
    fail(3)
    pass(1000)
    const [first, second, third] = [admitted()!, admitted()!, admitted()!]
    pass(101)
    first.end("Success", exits.Success, live)
    assert.strictEqual(state(), "HalfOpen")
    const quick = admitted()!
    quick.end("Success", exits.Success, live)
    assert.strictEqual(state(), "HalfOpen")
    second.end("Success", exits.Success, live)
    assert.strictEqual(state(), "Open")
    third.end("Success", exits.Success, live)
    assert.strictEqual(state(), "Open")
  })

  it("counts failures of its window of time, and forgets them with it", () => {
    const { attempt, fail, pass, state } = setup({
      rule: { _tag: "Rate", threshold: 0.5, window: { _tag: "Time", millis: 1000 }, minimumCalls: 3, slow: undefined }
    })
    fail(2)
    pass(1000)
    attempt("Failure")
    assert.strictEqual(state(), "Closed")
    fail(2)
    assert.strictEqual(state(), "Open")
  })

  it("gives all attempts of a closed breaker the same permit: one that succeeds costs no allocation", () => {
    const { breaker } = setup()
    assert.strictEqual(breaker.request(), breaker.request())
  })
})
