/**
 * What follows a failed attempt. The order of the questions is the order of the reasons: the first "no" is the one that the
 * caller is told.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { InheritedAttempt } from "../Deadline.js"
import type { ExhaustedReason, Retryable } from "../RpcError.js"
import * as Call from "./call.js"
import * as History from "./history.js"
import * as Monotonic from "./monotonic.js"
import * as Observe from "./observe.js"
import * as RetrySchedule from "./schedule.js"

/**
 * The delay before the next attempt, in milliseconds, or the end of the call.
 *
 * @internal
 */
export const decide = Effect.fnUntraced(function*(call: Call.Call, error: Retryable) {
  Call.learn(call, error, yield* Effect.context<never>())
  const { budget, deadline, policy } = call
  const now = call.attemptEndedAt
  const history = call.history ??= History.make()
  history.failed({
    attempt: call.attempts,
    startedAt: Duration.millis(Monotonic.between(call.startedAt, call.attemptStartedAt)),
    took: Duration.millis(Monotonic.between(call.attemptStartedAt, now)),
    error
  })
  const stop = (reason: ExhaustedReason) => Observe.giveUp(call, error, reason)

  if (call.deadlineExceeded) {
    return yield* stop("DeadlineExceeded")
  }
  const hint = error.retryAfter
  const wanted = policy.retryIf?.(error) ?? true
  if (wanted || hint === "Never") {
    const left = budget?.left(now)
    budget?.failed(now, error)
    Observe.budgetLowered(call, left)
  }
  if (hint === "Never" || (hint !== undefined && Duration.greaterThan(hint, policy.maxServerDelay))) {
    return yield* stop("ServerSaidNo")
  }
  if (!wanted || (yield* InheritedAttempt) !== 1) {
    return yield* stop("NotRetried")
  }
  if (error.delivery === "Unknown" && !Call.mayRepeat(call, error)) {
    return yield* stop("NotIdempotent")
  }
  const schedule = call.schedule ??= RetrySchedule.start(policy.schedule, (error) => error.reason)
  const delay = yield* schedule.next(now, error, hint === undefined ? undefined : Duration.toMillis(hint))
  if (delay === undefined || delay === Infinity) {
    return yield* stop("AttemptsExhausted")
  }
  const left = budget?.left(now)
  if (budget !== undefined) {
    const cost = budget.withdraw(now, error)
    if (cost === undefined) {
      return yield* stop("BudgetExhausted")
    }
    call.paid = cost
    call.owed = true
  }
  if (now + delay >= deadline) {
    yield* Call.refund(call)
    return yield* stop("DeadlineTooClose")
  }
  history.waits(Duration.millis(delay))
  Observe.budgetLowered(call, left)
  yield* Observe.retryScheduled(call, error, delay)
  return delay
})
