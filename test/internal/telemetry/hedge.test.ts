/**
 * What is told of a call with a hedge: events, spans, log lines, metrics.
 */
import { Bulkhead, Hedge, Retryable, RetryBudget, type RetryPolicy, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Lab from "../../support/lab.js"
import { assert, describe, it } from "../../support/vitest.js"

const lost = new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })

/** Watches a script in a policy with a hedge that can pay for each leg. */
const watching = (
  method: string,
  steps: readonly [Effect.Effect<string, Retryable>, ...ReadonlyArray<Effect.Effect<string, Retryable>>],
  options: Partial<RetryPolicy.CommonOptions> = {},
  wrap: (call: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown> = (call) => call
) =>
  Effect.gen(function*() {
    const hedge = yield* Hedge.make({ after: "10 millis", load: 1, max: 3 })
    yield* Effect.replicateEffect(Effect.void.pipe(withRpcRetry({ hedge, idempotent: true })), 5)
    const call = yield* Faults.script(steps)
    return yield* Lab.watching(
      wrap(call.pipe(withRpcRetry({ ...options, method, hedge, idempotent: true }))),
      { budget: "off", default: { spans: true } }
    )
  })

const answer = (millis: number) => Effect.delay(Effect.succeed("answer"), millis)
const fails = (millis: number) => Effect.delay(Effect.fail(lost), millis)

describe("a hedge that wins", () => {
  it.effect("is told of in events, spans, log lines and metrics; so are the losers", () =>
    Effect.gen(function*() {
      const { events, logs, spans } = yield* watching("HedgeWon.Get", [answer(100), fails(5), answer(7)])
      assert.deepStrictEqual(events, [
        "0 AttemptStarted HedgeWon.Get#1 attempt=1 leg=1",
        "10 AttemptStarted HedgeWon.Get#1 attempt=2 leg=2",
        `15 AttemptFailed HedgeWon.Get#1 attempt=2 took=5 outcome=retryable reason=ConnectionLost cause=${lost}`,
        `15 AttemptStarted HedgeWon.Get#1 attempt=3 after=${lost.message} leg=3`,
        "22 HedgeWon HedgeWon.Get#1 attempt=3 leg=3",
        "22 AttemptCancelled HedgeWon.Get#1 attempt=1 took=22",
        "22 AttemptSucceeded HedgeWon.Get#1 attempt=3 took=7",
        "22 CallSucceeded HedgeWon.Get#1 attempts=3 elapsed=22 waited=0"
      ])
      const of = "rpc.method=HedgeWon.Get rpc.destination=HedgeWon"
      assert.deepStrictEqual(spans, [
        `1 HedgeWon.Get (internal) 0-22 ok: ${of} rpc.attempts=3 rpc.outcome=success`,
        "  22 hedge won rpc.attempt=3 rpc.leg=3",
        `2 < 1 HedgeWon.Get attempt (client) 0-22 interrupted: ${of} previous-rpc-attempts=0 rpc.leg=1 rpc.outcome=interrupted`,
        `3 < 1 HedgeWon.Get attempt (client) 10-15 error: ${of} previous-rpc-attempts=1 rpc.leg=2 rpc.outcome=retryable error.type=ConnectionLost`,
        `4 < 1 HedgeWon.Get attempt (client) 15-22 ok: ${of} previous-rpc-attempts=2 rpc.leg=3 rpc.outcome=success`
      ])
      assert.deepStrictEqual(logs, [
        "DEBUG HedgeWon.Get: another attempt starts beside those in flight: no answer in 10ms {reason=Late method=HedgeWon.Get}",
        "DEBUG HedgeWon.Get: another attempt starts beside those in flight: connection lost, may have run {reason=ConnectionLost method=HedgeWon.Get}"
      ])
      const metrics = yield* Lab.metrics("HedgeWon")
      assert.includeMembers([...metrics], [
        "rpc.client.attempt.duration {rpc.method=HedgeWon.Get rpc.outcome=interrupted} 1 in all 0.022",
        "rpc.client.attempt.started {rpc.method=HedgeWon.Get} 3",
        "rpc.client.call.attempts {rpc.method=HedgeWon.Get rpc.outcome=success} 1 in all 3",
        "rpc.client.hedge.started {rpc.method=HedgeWon.Get} 2",
        "rpc.client.hedge.won {rpc.method=HedgeWon.Get} 1"
      ])
      assert.isUndefined(metrics.find((line) => line.startsWith("rpc.client.retry.started")))
    }))
})

describe("a hedge that is refused", () => {
  it.effect("is told of, with what did not allow it", () =>
    Effect.gen(function*() {
      const call = answer(30).pipe(
        withRpcRetry({ method: "HedgeRefused.Get", hedge: { after: 10 }, idempotent: true })
      )
      const { events, spans } = yield* Lab.watching(call, { default: { spans: true } })
      assert.strictEqual(events[1], "10 HedgeRefused HedgeRefused.Get#1 reason=LoadExhausted")
      assert.strictEqual(spans[1], "  10 hedge refused rpc.hedge.reason=LoadExhausted")
      assert.includeMembers([...yield* Lab.metrics("HedgeRefused")], [
        "rpc.client.hedge.refused {rpc.hedge.reason=LoadExhausted rpc.method=HedgeRefused.Get} 1"
      ])
    }))
})

describe("a hedge that the retry budget refuses", () => {
  it.effect("is told of so", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 1, regainEvery: "1000 days" })
      yield* Effect.ignore(
        Effect.fail(lost).pipe(withRpcRetry({ budget, schedule: Schedule.recurs(1), logs: false }))
      )
      const { events } = yield* watching("HedgeUnpaid.Get", [answer(30)], { budget })
      assert.strictEqual(events[1], "10 HedgeRefused HedgeUnpaid.Get#1 reason=BudgetExhausted")
    }))
})

describe("a leg that a bulkhead turns away", () => {
  it.effect("is told of nowhere as an attempt: no event, no span, no log line, no count", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 0 })
      const { events, logs, spans } = yield* watching("HedgeKept.Get", [answer(30)], { bulkhead })
      assert.deepStrictEqual(events, [
        "0 AttemptStarted HedgeKept.Get#1 attempt=1 leg=1",
        "30 AttemptSucceeded HedgeKept.Get#1 attempt=1 took=30",
        "30 CallSucceeded HedgeKept.Get#1 attempts=1 elapsed=30 waited=0"
      ])
      assert.lengthOf(spans, 2)
      assert.deepStrictEqual(logs, [])
      assert.includeMembers([...yield* Lab.metrics("HedgeKept")], [
        "rpc.client.attempt.started {rpc.method=HedgeKept.Get} 1"
      ])
    }))
})

describe("a race that fails, and one that is interrupted", () => {
  it.effect("the delay after a race counts from its last leg", () =>
    Effect.gen(function*() {
      const { events } = yield* watching("HedgeFailed.Get", [fails(30)], {
        schedule: Schedule.intersect(Schedule.spaced(100), Schedule.recurs(3))
      })
      assert.deepStrictEqual(
        events.filter((line) => /RetryScheduled|RetryRefused|CallFailed|AttemptStarted/.test(line)).map((line) =>
          line.replace(/ (error|after|cause)=.*/, "")
        ),
        [
          "0 AttemptStarted HedgeFailed.Get#1 attempt=1 leg=1",
          "10 AttemptStarted HedgeFailed.Get#1 attempt=2 leg=2",
          "20 AttemptStarted HedgeFailed.Get#1 attempt=3 leg=3",
          "50 RetryScheduled HedgeFailed.Get#1 attempt=1 delay=100",
          "150 AttemptStarted HedgeFailed.Get#1 attempt=4",
          "180 RetryRefused HedgeFailed.Get#1 attempt=4 reason=AttemptsExhausted",
          "180 CallFailed HedgeFailed.Get#1 attempts=4 elapsed=180 waited=100 outcome=exhausted reason=AttemptsExhausted"
        ]
      )
    }))

  it.effect("an interrupted call tells of each of its legs once", () =>
    Effect.gen(function*() {
      const { events } = yield* watching("HedgeCut.Get", [answer(100)], {}, Effect.timeoutOption(15))
      assert.deepStrictEqual(events, [
        "0 AttemptStarted HedgeCut.Get#1 attempt=1 leg=1",
        "10 AttemptStarted HedgeCut.Get#1 attempt=2 leg=2",
        "15 AttemptCancelled HedgeCut.Get#1 attempt=1 took=15",
        "15 CallInterrupted HedgeCut.Get#1 attempts=2 elapsed=15 waited=0 during=attempt took=5"
      ])
      assert.includeMembers([...yield* Lab.metrics("HedgeCut")], [
        "rpc.client.attempt.duration {rpc.method=HedgeCut.Get rpc.outcome=interrupted} 2 in all 0.02"
      ])
    }))

  it.effect("a call that is interrupted after its latest leg has failed was interrupted during an attempt", () =>
    Effect.gen(function*() {
      const never = new Retryable({ reason: "Unavailable", delivery: "NotSent", retryAfter: "Never" })
      const { events } = yield* watching(
        "HedgeLate.Get",
        [answer(100), Effect.fail(never)],
        {},
        Effect.timeoutOption(15)
      )
      assert.strictEqual(
        events.at(-1),
        "15 CallInterrupted HedgeLate.Get#1 attempts=2 elapsed=15 waited=0 during=attempt took=15"
      )
    }))
})
