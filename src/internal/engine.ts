/**
 * The one loop that makes attempts.
 *
 * ```text
 * deadline > [ attempt timeout > the call's own effect ]
 *          ^ on Retryable: server said stop? wanted? safe to repeat? schedule goes on? budget? deadline far enough?
 *            -> delay -> next attempt
 * ```
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { CurrentDeadline, InheritedAttempt } from "../Deadline.js"
import type * as RetryPolicy from "../RetryPolicy.js"
import { CallRejected, type ExhaustedReason, isFatal, isRetryable, Retryable, RetryExhausted } from "../RpcError.js"
import { attemptTimeout } from "./attemptTimeout.js"
import type { Account } from "./budget.js"
import { retryableOf, withoutRetryable } from "./cause.js"
import * as Facts from "./facts.js"
import * as History from "./history.js"
import * as RetrySchedule from "./schedule.js"

/**
 * What a call is made with. `idempotencyKey: true` makes a new key for each call.
 *
 * @internal
 */
export interface Settings {
  readonly policy: RetryPolicy.Complete
  readonly method: string | undefined
  readonly idempotencyKey: string | boolean
}

/** The errors that a call ends with in place of `Retryable`. */
type Ended = RetryExhausted | CallRejected

/** One call while it runs. Instants are in milliseconds of the clock. */
interface Call {
  readonly policy: RetryPolicy.Complete
  readonly method: string | undefined
  readonly clock: Clock.Clock
  readonly facts: Facts.Facts
  readonly startedAt: number
  readonly deadline: number
  readonly budget: Account | undefined
  /** What the last retry cost, and whether it is still to be made. */
  paid: number
  owed: boolean
  attempts: number
  attemptStartedAt: number
  deadlineExceeded: boolean
  /** Made at the first failure: a call that succeeds at once pays for neither. */
  schedule: RetrySchedule.Run<Retryable, never> | undefined
  history: History.History | undefined
}

/**
 * Makes attempts until one ends in something other than `Retryable`, or the policy says stop.
 *
 * @internal
 */
export const run = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: (ambient: Context.Context<never>) => Settings
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.withFiberRuntime((fiber) => {
    const call = start(settings(fiber.currentContext), fiber)
    return call.startedAt >= call.deadline
      ? Effect.fail(new CallRejected({ method: call.method, reason: "DeadlineExceeded" }))
      : attempts(self, call)
  })

const start = (settings: Settings, fiber: Fiber.RuntimeFiber<unknown, unknown>): Call => {
  const { method, policy } = settings
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  const startedAt = clock.unsafeCurrentTimeMillis()
  const ambient = fiber.currentContext
  const deadline = Math.min(
    Context.get(ambient, CurrentDeadline),
    policy.deadline === undefined ? Infinity : startedAt + Duration.toMillis(policy.deadline)
  )
  const facts = Facts.make(ambient, deadline, settings.idempotencyKey)
  return {
    policy,
    method,
    clock,
    facts,
    startedAt,
    deadline,
    budget: policy.budget?.account,
    paid: 0,
    owed: false,
    attempts: 0,
    attemptStartedAt: startedAt,
    deadlineExceeded: false,
    schedule: undefined,
    history: undefined
  }
}

/** The retry loop. */
const attempts = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.catchAllCause(attempt(self, call), (cause) => {
    const error = retryableOf(cause)
    if (error === undefined) {
      return Effect.failCause(withoutRetryable(cause))
    }
    const again = Effect.suspend(() =>
      // a delay can take longer than asked for: the machine slept, the process was busy
      call.clock.unsafeCurrentTimeMillis() >= call.deadline
        ? Effect.zipRight(refund(call), exhausted(call, error, "DeadlineExceeded"))
        : attempts(self, call)
    )
    const next = Effect.flatMap(decide(call, error), (delay) =>
      delay > 0 ? Effect.zipRight(Effect.sleep(delay), again) : again)
    return call.attempts === 1 && call.budget !== undefined
      ? Effect.onInterrupt(next, () =>
        refund(call))
      : next
  })

/** One attempt: it sees the facts of its call, and is cut at its timeout or at the deadline, whichever is first. */
const attempt = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call): Effect.Effect<A, E | Retryable, R> => {
  call.attempts++
  call.owed = false
  if (call.attempts > 1) {
    call.attemptStartedAt = call.clock.unsafeCurrentTimeMillis()
  }
  const informed = counted(Facts.provide(self, call.facts, call.attempts), call)
  const timeout = call.policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(call.policy.attemptTimeout)
  const remaining = call.deadline - call.attemptStartedAt
  return timeout === Infinity && remaining === Infinity
    ? informed
    : attemptTimeout(informed, Math.min(timeout, remaining), () => {
      call.deadlineExceeded = remaining <= timeout
      return new Retryable({ reason: "AttemptTimeout", delivery: "Unknown", method: call.method })
    })
}

/** An answer feeds the budget, and a domain error is one. */
const counted = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call): Effect.Effect<A, E, R> => {
  const { budget } = call
  if (budget === undefined) {
    return self
  }
  const answered = Effect.sync(() => budget.succeeded(call.clock.unsafeCurrentTimeMillis(), call.paid))
  return Effect.tapBoth(self, {
    onSuccess: () => answered,
    onFailure: (error) => isRetryable(error) || isFatal(error) ? Effect.void : answered
  })
}

/** Pays back a retry that was paid for and not made. */
const refund = (call: Call): Effect.Effect<void> =>
  Effect.sync(() => {
    if (call.owed) {
      call.owed = false
      call.budget?.refund(call.clock.unsafeCurrentTimeMillis(), call.paid)
    }
  })

const exhausted = (call: Call, last: Retryable, reason: ExhaustedReason) =>
  new RetryExhausted({
    method: call.method ?? last.method,
    reason,
    attempts: call.attempts,
    elapsed: Duration.millis(call.clock.unsafeCurrentTimeMillis() - call.startedAt),
    last,
    history: call.history?.attempts() ?? []
  })

/** What follows a failed attempt: the delay before the next one, in milliseconds, or the end of the call. */
const decide = Effect.fnUntraced(function*(call: Call, error: Retryable) {
  const { deadline, policy } = call
  const now = call.clock.unsafeCurrentTimeMillis()
  const history = call.history ??= History.make()
  history.failed({
    attempt: call.attempts,
    startedAt: Duration.millis(call.attemptStartedAt - call.startedAt),
    took: Duration.millis(now - call.attemptStartedAt),
    error
  })
  call.budget?.failed(now, error)
  const stop = (reason: ExhaustedReason) => exhausted(call, error, reason)

  if (call.deadlineExceeded) {
    return yield* stop("DeadlineExceeded")
  }
  const hint = error.retryAfter
  if (hint === "Never" || (hint !== undefined && Duration.greaterThan(hint, policy.maxServerDelay))) {
    return yield* stop("ServerSaidNo")
  }
  if ((policy.retryIf !== undefined && !policy.retryIf(error)) || (yield* InheritedAttempt) > 1) {
    return yield* stop("NotRetried")
  }
  if (policy.idempotent === false && error.delivery === "Unknown") {
    return yield* stop("NotIdempotent")
  }
  const schedule = call.schedule ??= RetrySchedule.start(policy.schedule)
  const delay = yield* schedule.next(now, error, hint === undefined ? undefined : Duration.toMillis(hint))
  if (delay === undefined) {
    return yield* stop("AttemptsExhausted")
  }
  if (call.budget !== undefined) {
    const cost = call.budget.withdraw(now, error)
    if (cost === undefined) {
      return yield* stop("BudgetExhausted")
    }
    call.paid = cost
    call.owed = true
  }
  if (now + delay >= deadline) {
    yield* refund(call)
    return yield* stop("DeadlineTooClose")
  }
  history.waits(Duration.millis(delay))
  return delay
})
