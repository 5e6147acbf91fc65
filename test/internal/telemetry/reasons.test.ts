/**
 * One reason, one word for it: in the error, the event, the spans, the metrics and the log.
 */
import {
  Bulkhead,
  CallRejected,
  CircuitBreaker,
  Deadline,
  Fatal,
  Retryable,
  RetryBudget,
  RetryExhausted,
  RpcError,
  Throttle,
  withRpcRetry
} from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Lab from "../../support/lab.js"
import { failureOf } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const retryable = (reason: RpcError.RetryableReason) => new Retryable({ reason, delivery: "Unknown" })

const failing = Effect.fail(retryable("Unavailable"))

const opensAtOnce = CircuitBreaker.make({ trip: CircuitBreaker.consecutive(1), openFor: "1 hour" })

const makeBulkhead = Bulkhead.make({ concurrency: 1, queue: 0 })

/** Holds the permit of a bulkhead for an hour, from `after` on. */
const occupied = (bulkhead: Bulkhead.Bulkhead, after: number) =>
  Effect.fork(Effect.delay(Effect.sleep("1 hour").pipe(Bulkhead.protect(bulkhead), Effect.ignore), after))

/** How each end of a call comes about. */
const exhausting: Record<RpcError.ExhaustedReason, Effect.Effect<never, RpcError.RpcError>> = {
  AttemptsExhausted: failing.pipe(withRpcRetry({ method: "Exhausted.AttemptsExhausted" })),
  BudgetExhausted: Effect.fail(new Retryable({ reason: "Unavailable", delivery: "Unknown", code: "DEAR" })).pipe(
    withRpcRetry({ method: "Exhausted.BudgetExhausted" })
  ),
  DeadlineExceeded: Effect.never.pipe(withRpcRetry({ method: "Exhausted.DeadlineExceeded", deadline: 50 })),
  DeadlineTooClose: failing.pipe(withRpcRetry({ method: "Exhausted.DeadlineTooClose", deadline: 50 })),
  ServerSaidNo: Effect.fail(new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: "Never" })).pipe(
    withRpcRetry({ method: "Exhausted.ServerSaidNo" })
  ),
  NotIdempotent: failing.pipe(withRpcRetry({ method: "Exhausted.NotIdempotent", idempotent: false })),
  NotRetried: failing.pipe(withRpcRetry({ method: "Exhausted.NotRetried", retryIf: () => false })),
  CircuitOpen: Effect.flatMap(
    opensAtOnce,
    (breaker) => failing.pipe(withRpcRetry({ method: "Exhausted.CircuitOpen", breaker }))
  ),
  BulkheadFull: Effect.flatMap(makeBulkhead, (bulkhead) =>
    Effect.andThen(
      occupied(bulkhead, 1),
      failing.pipe(withRpcRetry({ method: "Exhausted.BulkheadFull", bulkhead }))
    ))
}

/** Draws 0, which a throttle that rejects anything rejects. */
const unlucky = Effect.withRandom({
  ...Random.make(1),
  next: Effect.succeed(0),
  [Random.RandomTypeId]: Random.RandomTypeId
})

const sent = Effect.dieMessage("sent")

/** How each call that is not sent comes about. */
const rejecting: Record<RpcError.RejectedReason, Effect.Effect<never, RpcError.RpcError>> = {
  DeadlineExceeded: Effect.zipRight(Effect.sleep(5), sent.pipe(withRpcRetry({ method: "Rejected.DeadlineExceeded" })))
    .pipe(Deadline.within(1)),
  CircuitOpen: Effect.flatMap(
    opensAtOnce,
    (breaker) => Effect.andThen(breaker.open, sent.pipe(withRpcRetry({ method: "Rejected.CircuitOpen", breaker })))
  ),
  BulkheadFull: Effect.flatMap(makeBulkhead, (bulkhead) =>
    Effect.andThen(
      occupied(bulkhead, 0),
      Effect.delay(sent.pipe(withRpcRetry({ method: "Rejected.BulkheadFull", bulkhead })), 1)
    )),
  Throttled: Effect.flatMap(Throttle.make(), (throttle) =>
    Effect.andThen(
      Effect.replicateEffect(Effect.ignore(failing.pipe(Throttle.protect(throttle))), 20),
      sent.pipe(withRpcRetry({ method: "Rejected.Throttled", throttle }), unlucky)
    ))
}

/** More than the budget holds. */
const cost = (error: Retryable) => error.code === "DEAR" ? 11 : 0

const table: ReadonlyArray<{
  readonly kind: string
  readonly reason: string
  readonly call: Effect.Effect<unknown, unknown>
  /** The reason as the caller's error has it. */
  readonly ofError: (error: unknown) => unknown
  /** Metrics that are to have it. */
  readonly metrics: ReadonlyArray<string>
}> = [
  ...RpcError.RetryableReason.literals.map((reason) => ({
    kind: "Retryable",
    reason,
    call: Effect.fail(retryable(reason)).pipe(withRpcRetry({ method: `Retryable.${reason}` })),
    ofError: (error: unknown) => error instanceof RetryExhausted ? error.last.reason : undefined,
    metrics: ["rpc.client.attempt.duration", "rpc.client.retry.started"]
  })),
  ...RpcError.FatalReason.literals.map((reason) => ({
    kind: "Fatal",
    reason,
    call: Effect.fail(new Fatal({ reason, message: "no" })).pipe(withRpcRetry({ method: `Fatal.${reason}` })),
    ofError: (error: unknown) => error instanceof Fatal ? error.reason : undefined,
    metrics: ["rpc.client.attempt.duration", "rpc.client.call.duration"]
  })),
  ...RpcError.ExhaustedReason.literals.map((reason) => ({
    kind: "Exhausted",
    reason,
    call: exhausting[reason],
    ofError: (error: unknown) => error instanceof RetryExhausted ? error.reason : undefined,
    metrics: ["rpc.client.call.duration", "rpc.client.call.exhausted", "rpc.client.retry.refused"]
  })),
  ...RpcError.RejectedReason.literals.map((reason) => ({
    kind: "Rejected",
    reason,
    call: rejecting[reason],
    ofError: (error: unknown) => error instanceof CallRejected ? error.reason : undefined,
    metrics: ["rpc.client.call.duration", "rpc.client.call.rejected"]
  }))
]

describe("the same reason everywhere", () => {
  for (const { call, kind, metrics, ofError, reason } of table) {
    it.effect(`${kind} ${reason}`, () =>
      Effect.gen(function*() {
        const { events, exit, logs, spans } = yield* Lab.watching(call, {
          default: { spans: true },
          budget: RetryBudget.make({ cost })
        })
        assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(ofError(failureOf(exit)), reason)
        assert.isNotEmpty(events.filter((event) => event.includes(` reason=${reason} `)))
        assert.isNotEmpty(spans.filter((span) => span.includes(`error.type=${reason}`)))
        assert.isNotEmpty(logs.filter((log) => log.includes(`{reason=${reason} method=${kind}.${reason}}`)))
        const series = (yield* Lab.metrics(kind)).filter((line) => line.includes(`error.type=${reason} `))
        for (const name of metrics) {
          assert.isNotEmpty(series.filter((line) => line.startsWith(`${name} {`)), name)
        }
      }))
  }
})
