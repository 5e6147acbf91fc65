/**
 * The one loop that makes attempts.
 *
 * ```text
 * call span > deadline > [ attempt span > attempt timeout > the call's own effect ]
 *                      ^ on Retryable: server said stop? wanted? safe to repeat? schedule goes on? budget? deadline far enough?
 *                        -> delay -> next attempt
 * ```
 *
 * The questions are in `decision.ts`, the state of a call is in `call.ts`, what others are told of it in `observe.ts`.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type CallRejected, Retryable, type RetryExhausted } from "../RpcError.js"
import { attemptTimeout } from "./attemptTimeout.js"
import * as Call from "./call.js"
import { retryableOf } from "./cause.js"
import { decide } from "./decision.js"
import * as Facts from "./facts.js"
import * as Logs from "./logs.js"
import * as Observe from "./observe.js"
import { Cell } from "./progress.js"

/** The errors that a call ends with in place of `Retryable`. */
type Ended = RetryExhausted | CallRejected

/**
 * Makes attempts until one ends in something other than `Retryable`, or the policy says stop.
 *
 * @internal
 */
export const run = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: (ambient: Context.Context<never>) => Call.Settings
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.withFiberRuntime((fiber) => {
    const call = Call.start(settings(fiber.currentContext), fiber)
    return Observe.call(
      call,
      () =>
        call.startedAt >= call.deadline
          ? Observe.reject(call, "DeadlineExceeded")
          : attempts(self, call)
    )
  })

/** The retry loop. */
const attempts = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.catchAllCause(attempt(self, call), (cause) => {
    const error = retryableOf(cause)
    Call.attemptFailed(call, error)
    Observe.attemptFailed(call, cause)
    if (error === undefined) {
      return Observe.end(call, cause)
    }
    const again = Effect.suspend(() =>
      Call.isOver(call)
        ? Effect.zipRight(Call.refund(call), Observe.giveUp(call, error, "DeadlineExceeded"))
        : attempts(self, call)
    )
    const next = Effect.flatMap(decide(call, error), (delay) =>
      delay > 0 ? Effect.zipRight(Effect.sleep(delay), again) : again)
    // once is enough: all later attempts run inside
    return call.attempts === 1 && call.budget !== undefined
      ? Effect.onInterrupt(next, () =>
        Call.refund(call))
      : next
  })

/** One attempt: it sees the facts of its call, and is cut at its timeout or at the deadline, whichever is first. */
const attempt = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call.Call): Effect.Effect<A, E | Retryable, R> => {
  Call.nextAttempt(call)
  Observe.attemptStarted(call)
  const timeout = call.policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(call.policy.attemptTimeout)
  const remaining = call.deadline - call.attemptStartedAt
  const cell = timeout === Infinity && remaining === Infinity ? undefined : new Cell(call.facts.ambientCell)
  const informed = Facts.provide(call.annotateLogs ? Logs.ofAttempt(call, self) : self, call.facts, call.attempts, cell)
  const bounded = cell === undefined
    ? informed
    : attemptTimeout(informed, Math.min(timeout, remaining), () => {
      call.deadlineExceeded = remaining <= timeout
      const { method, ...cut } = cell.cut()
      return new Retryable({ reason: "AttemptTimeout", method: call.method ?? method, ...cut })
    })
  return Observe.attempt(call, Call.counted(bounded, call))
}
