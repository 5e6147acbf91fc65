/**
 * Log lines: giving up at WARN, once per call; each retry, and each error of this package that is not retried, at
 * DEBUG. They are annotated with the method and the reason.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { IdempotencyKey } from "../../Deadline.js"
import type { Retryable, RetryExhausted, RpcError } from "../../RpcError.js"
import type { Attempt } from "../call/attempt.js"
import type { Call } from "../call/call.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import { oneLine, outcome, showDuration } from "../errors/message.js"

/**
 * Annotates the log lines written inside an attempt with its method, number and idempotency key.
 *
 * @internal
 */
export const ofAttempt = <A, E, R>(
  call: Call,
  attempt: Attempt,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(IdempotencyKey, (idempotencyKey) => {
    const own = { method: call.method, attempt: attempt.number, idempotencyKey: Option.getOrUndefined(idempotencyKey) }
    // an undefined value removes the annotation that an outer call may have set
    return FiberRefs.annotateLogs(self, own)
  })

/**
 * Writes a log line; `undefined` for a line that is not written, as its level is off.
 *
 * @internal
 */
export type Line = Effect.Effect<void> | undefined

/**
 * Writes a line, then does what follows.
 *
 * @internal
 */
export const andThen = <A, E, R>(line: Line, next: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  line === undefined ? next : Effect.andThen(line, next)

/**
 * Logs at DEBUG that an attempt failed and after which delay the next one starts, in milliseconds.
 *
 * @internal
 */
export const retryScheduled = (call: Call, attempt: Attempt, error: Retryable, delay: number): Line =>
  line(call, LogLevel.Debug, error.reason, () => {
    const wait = showDuration(Duration.millis(delay))
    return `${call.method ?? "call"}: attempt ${attempt.number} failed, the next in ${wait}: ${outcome(error)}`
  })

/**
 * Logs at DEBUG that an extra leg starts: after the failure of another one, or because the others have not been answered
 * for so many milliseconds.
 *
 * @internal
 */
export const legStarts = (call: Call, failure: Retryable | undefined, after: number | undefined): Line =>
  line(call, LogLevel.Debug, failure?.reason ?? "Late", () => {
    const why = failure === undefined ? `no answer in ${showDuration(Duration.millis(after ?? 0))}` : outcome(failure)
    return `${call.method ?? "call"}: another attempt starts beside those in flight: ${why}`
  })

/**
 * Logs at DEBUG an error that ends the call without a retry.
 *
 * @internal
 */
export const notRetried = (call: Call, error: RpcError): Line =>
  line(call, LogLevel.Debug, error.reason, () =>
    error._tag === "Fatal"
      ? `${error.method ?? call.method ?? "call"}: not retried: ${oneLine(error.message)} [${error.reason}]`
      : error.message)

/**
 * Logs at WARN that the call gave up.
 *
 * @internal
 */
export const gaveUp = (call: Call, error: RetryExhausted): Line =>
  line(call, LogLevel.Warning, error.reason, () => error.message)

/** Most programs run without DEBUG, and building a line costs more than deciding whether to retry. */
const line = (call: Call, level: LogLevel.LogLevel, reason: string, message: LazyArg<string>): Line =>
  call.policy.logs === false || !FiberRefs.isLogged(call.fiber, level)
    ? undefined
    : Effect.suspend(() =>
      Effect.logWithLevel(level, message()).pipe(
        Effect.annotateLogs(call.method === undefined ? { reason } : { method: call.method, reason })
      )
    ).pipe(
      // a logger that throws must not harm the call
      Effect.catchAllDefect(() => Effect.void)
    )
