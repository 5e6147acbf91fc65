/**
 * One reason, one word for it: in the error, the event, the spans, the metrics and the log.
 */
import {
  CallRejected,
  Deadline,
  Fatal,
  Retryable,
  RetryBudget,
  RetryExhausted,
  RpcError,
  withRpcRetry
} from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Lab from "../../support/lab.js"
import { failureOf } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const retryable = (reason: RpcError.RetryableReason) => new Retryable({ reason, delivery: "Unknown" })

const failing = Effect.fail(retryable("Unavailable"))

const exhaustedInside = (reason: RpcError.ExhaustedReason) =>
  Effect.fail(
    new RetryExhausted({
      method: `Exhausted.${reason}`,
      reason,
      attempts: 1,
      elapsed: Duration.zero,
      last: retryable("Unavailable"),
      history: []
    })
  ).pipe(withRpcRetry({ method: `Exhausted.${reason}` }))

/** How each end of a call comes about. Those that nothing in this package makes yet come from a call inside. */
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
  CircuitOpen: exhaustedInside("CircuitOpen"),
  BulkheadFull: exhaustedInside("BulkheadFull")
}

const rejecting = (reason: RpcError.RejectedReason): Effect.Effect<never, RpcError.RpcError> =>
  reason === "DeadlineExceeded"
    ? Effect.zipRight(Effect.sleep(5), failing.pipe(withRpcRetry({ method: "Rejected.DeadlineExceeded" }))).pipe(
      Deadline.within(1)
    )
    : Effect.fail(new CallRejected({ reason })).pipe(withRpcRetry({ method: `Rejected.${reason}` }))

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
    metrics: [
      "rpc.client.call.duration",
      "rpc.client.call.exhausted",
      ...(reason === "CircuitOpen" || reason === "BulkheadFull" ? [] : ["rpc.client.retry.refused"])
    ]
  })),
  ...RpcError.RejectedReason.literals.map((reason) => ({
    kind: "Rejected",
    reason,
    call: rejecting(reason),
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
