/**
 * What is logged: giving up once at WARN, a retry, or that there will be none for an error of ours, at DEBUG. The annotations
 * are the method and the reason.
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

/** @internal */
export const ofAttempt = <A, E, R>(
  call: Call,
  attempt: Attempt,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(IdempotencyKey, (idempotencyKey) => {
    const own = { method: call.method, attempt: attempt.number, idempotencyKey: Option.getOrUndefined(idempotencyKey) }
    // what it says nothing of is not left to a call around it
    return FiberRefs.annotateLogs(self, own)
  })

/** @internal */
export const retryScheduled = (call: Call, attempt: Attempt, error: Retryable, delay: number): Effect.Effect<void> =>
  line(call, LogLevel.Debug, error.reason, () => {
    const wait = showDuration(Duration.millis(delay))
    return `${call.method ?? "call"}: attempt ${attempt.number} failed, the next in ${wait}: ${outcome(error)}`
  })

/** @internal */
export const notRetried = (call: Call, error: RpcError): Effect.Effect<void> =>
  line(call, LogLevel.Debug, error.reason, () =>
    error._tag === "Fatal"
      ? `${error.method ?? call.method ?? "call"}: not retried: ${oneLine(error.message)} [${error.reason}]`
      : error.message)

/** @internal */
export const gaveUp = (call: Call, error: RetryExhausted): Effect.Effect<void> =>
  line(call, LogLevel.Warning, error.reason, () => error.message)

const line = (call: Call, level: LogLevel.LogLevel, reason: string, message: LazyArg<string>): Effect.Effect<void> =>
  call.policy.logs === false ? Effect.void : Effect.withFiberRuntime((fiber) =>
    // asked first: most programs run without DEBUG, and making the line costs more than the decision to retry
    FiberRefs.isLogged(fiber, level)
      ? Effect.logWithLevel(level, message()).pipe(
        Effect.annotateLogs(call.method === undefined ? { reason } : { method: call.method, reason })
      )
      : Effect.void
  ).pipe(
    // a logger that throws must not harm the call
    Effect.catchAllDefect(() => Effect.void)
  )
