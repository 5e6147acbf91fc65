/**
 * The loop that makes the attempts of a call.
 *
 * ```text
 * call span > deadline > throttle > [ breaker > bulkhead > attempt span > attempt timeout > the call's own effect ]
 *                        ^ on Retryable: server said stop? wanted? safe to repeat? schedule goes on?
 *                          deadline far enough? breaker? budget? -> delay -> next attempt
 * ```
 *
 * `decision.ts` answers the questions and does nothing else. Here is what follows from the answers: paying, refunding,
 * waiting, failing. `observe.ts` is told of it, and changes nothing.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import * as Option from "effect/Option"
import {
  CallRejected,
  type ExhaustedReason,
  isCallRejected,
  isRetryable,
  isRpcError,
  type RejectedReason,
  Retryable,
  RetryExhausted
} from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import { AttemptProgress } from "../ambient/progress.js"
import type { Attempt } from "../call/attempt.js"
import * as Call from "../call/call.js"
import * as AttemptContext from "../call/context.js"
import * as Causes from "../effect/cause.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import { retryableOf, withoutRetryable } from "../errors/cause.js"
import * as Gate from "../gate/gate.js"
import { type Rejection, rejectionOf } from "../gate/outcome.js"
import * as Throttling from "../gate/throttle.js"
import * as Logs from "../telemetry/logs.js"
import * as Observe from "../telemetry/observe.js"
import { attemptTimeout } from "./attemptTimeout.js"
import * as Decision from "./decision.js"

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
        call.startedAt >= call.deadline ? reject(call, "DeadlineExceeded") : throttled(call, () => attempts(self, call))
    )
  })

/** The attempts of a call, unless its throttle holds it back. */
const throttled = <A, E, R>(
  call: Call.Call,
  attempts: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E | CallRejected, R> => {
  const { throttle = "off" } = call.policy
  return throttle === "off"
    ? attempts()
    : Throttling.through(throttle.core, call.services, attempts, () => reject(call, "Throttled"))
}

/** The retry loop: makes an attempt and, when it failed and the policy allows it, waits and begins again. */
const attempts = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.catchAllCause(gated(self, call), (cause) => {
    const rejection = rejectionOf(cause)
    if (rejection !== undefined) {
      return turnAway(call, rejection)
    }
    const attempt = call.attempt!
    const error = retryableOf(cause)
    Call.attemptFailed(call, attempt, cause, error)
    Observe.attemptFailed(call, attempt, cause)
    if (error === undefined) {
      const rejected = rejectedInside(call, attempt, cause)
      if (rejected !== undefined) {
        return rejected
      }
      if (isDomainError(cause)) {
        credit(call)
      }
      return endAs(call, cause as Cause.Cause<E>)
    }
    const next = Effect.flatMap(
      afterFailure(call, attempt, error),
      (delay) => Effect.andThen(delay > 0 ? Effect.sleep(delay) : Effect.void, again(self, call, error))
    )
    // once is enough: all later attempts run inside
    return attempt.number === 1 ? Effect.onInterrupt(next, () => Call.refund(call)) : next
  })

/**
 * The end of a call whose attempt was turned away inside, by a breaker or a bulkhead of its own, after another one had
 * been made: it keeps the last error, as something was sent.
 */
const rejectedInside = (
  call: Call.Call,
  { after }: Attempt,
  cause: Cause.Cause<unknown>
): Effect.Effect<never, Ended> | undefined => {
  const failure = Option.getOrUndefined(Causes.onlyFailure(cause))
  if (after === undefined || !isCallRejected(failure) || failure.reason === "Throttled") {
    return undefined
  }
  // it was not made
  call.attempts--
  return giveUp(call, after, failure.reason)
}

/** One attempt, if every gate admits it. */
const gated = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call.Call): Effect.Effect<A, E | Retryable, R> =>
  call.gates.length === 0 ?
    runAttempt(self, call) :
    call.gates.reduceRight<LazyArg<Effect.Effect<A, E | Retryable, R>>>(
      (attempt, gate) => () =>
        Gate.through(gate, {
          attempt,
          services: call.services,
          deadline: call.deadline,
          isCut: () => call.attempt?.isCutByDeadline === true,
          startedAt: () => call.attempt?.startedAt
        }),
      () => admitted(self, call)
    )()

/** The attempt, unless a breaker has opened while it waited behind it for a permit of the bulkhead. */
const admitted = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call.Call): Effect.Effect<A, E | Retryable, R> => {
  const refusal = call.gates.length === 1 ? undefined : Gate.refusalAt(call.gates, Monotonic.now(call.clock))
  return refusal === undefined ? runAttempt(self, call) : Gate.turnAway(refusal)
}

/** The next attempt, unless the deadline passed in the delay: it can take longer than asked for. */
const again = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  error: Retryable
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.suspend(() =>
    Call.isPastDeadline(call)
      ? Effect.andThen(Call.refund(call), giveUp(call, error, "DeadlineExceeded"))
      : attempts(self, call)
  )

/** One attempt: it sees the context of its call, and is cut at its timeout or at the deadline, whichever is first. */
const runAttempt = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call.Call): Effect.Effect<A, E | Retryable, R> => {
  const attempt = Call.nextAttempt(call)
  Observe.attemptStarted(call, attempt)
  const timeout = call.policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(call.policy.attemptTimeout)
  const remaining = call.deadline - attempt.startedAt
  const progress = timeout === Infinity && remaining === Infinity
    ? undefined
    : new AttemptProgress(call.attemptContext.ambientProgress)
  if (call.settings.identity !== undefined) {
    ;(progress ?? call.attemptContext.ambientProgress)?.callStarted(call.settings.identity)
  }
  const logged = call.annotateLogs ? Logs.ofAttempt(call, attempt, self) : self
  const contextOf = (ambient: Context.Context<never>) =>
    AttemptContext.contextOf(call.attemptContext, ambient, attempt.number, progress)
  const bounded = progress === undefined
    ? AttemptContext.isAmbient(call.attemptContext, attempt.number) ? logged : FiberRefs.withContext(logged, contextOf)
    : attemptTimeout(logged, {
      contextOf,
      clock: call.clock,
      millis: Math.min(timeout, remaining),
      onTimeout: () => {
        attempt.isCutByDeadline = remaining <= timeout
        const { method, ...cut } = progress.cut(attempt.isCutByDeadline)
        return new Retryable({ reason: "AttemptTimeout", method: call.method ?? method, ...cut })
      }
    })
  return Observe.attempt(
    call,
    attempt,
    credited(remaining === Infinity ? bounded : arbitrated(bounded, call, attempt), call)
  )
}

/**
 * Treats an attempt that a transport ended in `AttemptTimeout` at or after the deadline of the call as cut by the
 * deadline: the timer of the transport and that of the engine end at the same time, and either may be first.
 */
const arbitrated = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  attempt: Attempt
): Effect.Effect<A, E, R> =>
  Effect.tapError(self, (error) =>
    Effect.sync(() => {
      attempt.isCutByDeadline ||= isRetryable(error) && error.reason === "AttemptTimeout" && Call.isPastDeadline(call)
    }))

/**
 * What follows a failed attempt: the delay before the next one in milliseconds, paid for, or the end of the call.
 */
const afterFailure = Effect.fnUntraced(function*(call: Call.Call, attempt: Attempt, error: Retryable) {
  const ambient = yield* Effect.context<never>()
  Call.learnMethod(call, error, ambient)
  Call.learnEndpoint(call, error, ambient)
  Call.record(call, attempt, error)
  const isWanted = Decision.isWanted(call, error)
  if (!attempt.isCutByDeadline && (isWanted || error.retryAfter === "Never")) {
    charge(call, attempt, error)
  }
  const decision = yield* Decision.decide(call, attempt, error, isWanted)
  if (decision._tag === "Stop") {
    return yield* giveUp(call, error, decision.reason)
  }
  const refusal = Gate.refusalAt(call.gates, attempt.endedAt + decision.delay)
  if (refusal !== undefined) {
    return yield* giveUp(call, error, refusal.reason)
  }
  if (!pay(call, attempt, error)) {
    return yield* giveUp(call, error, "BudgetExhausted")
  }
  call.history!.waits(Duration.millis(decision.delay))
  yield* Observe.retryScheduled(call, attempt, error, decision.delay)
  return decision.delay
})

/** Tells the budget of a failure: that of gRPC charges failures whether they are retried or not. */
const charge = (call: Call.Call, attempt: Attempt, error: Retryable): void => {
  const { budget } = call
  if (budget !== undefined) {
    const left = budget.left(attempt.endedAt)
    budget.failed(attempt.endedAt, error)
    Observe.budgetLowered(call, attempt, left)
  }
}

/** Takes a retry from the budget; whether it allows one. */
const pay = (call: Call.Call, attempt: Attempt, error: Retryable): boolean => {
  const { budget } = call
  if (budget === undefined) {
    return true
  }
  const left = budget.left(attempt.endedAt)
  const cost = budget.withdraw(attempt.endedAt, error)
  if (cost === undefined) {
    return false
  }
  call.retryCost = cost
  call.isRetryPending = true
  Observe.budgetLowered(call, attempt, left)
  return true
}

/** A success feeds the budget. */
const credited = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call.Call): Effect.Effect<A, E, R> =>
  call.budget === undefined ? self : Effect.map(self, (answer) => {
    credit(call)
    return answer
  })

/**
 * An answer feeds the budget, and a domain error is one. None of our own errors is: not `Fatal`, and not what a call
 * inside this one gave up with.
 */
const credit = (call: Call.Call): void => call.budget?.succeeded(Monotonic.now(call.clock), call.retryCost)

const isDomainError = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Causes.firstFailure(cause), (error) => !isRpcError(error))

/** Ends a call that is not retried any more: its attempts have been recorded. */
const giveUp = (
  call: Call.Call,
  last: Retryable,
  reason: ExhaustedReason
): Effect.Effect<never, RetryExhausted> => {
  const error = new RetryExhausted({
    method: call.method ?? last.method,
    reason,
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, Monotonic.now(call.clock))),
    last,
    history: call.history!.attempts()
  })
  return Effect.andThen(Observe.gaveUp(call, error), Effect.fail(error))
}

/** Ends a call whose next attempt was turned away: between two attempts it keeps the last error. */
const turnAway = (call: Call.Call, { reason, retryIn }: Rejection): Effect.Effect<never, Ended> => {
  const last = call.attempt?.error
  return last === undefined
    ? reject(call, reason, retryIn)
    : Effect.andThen(Call.refund(call), giveUp(call, last, reason))
}

/** Ends a call before its first attempt. */
const reject = (
  call: Call.Call,
  reason: RejectedReason,
  retryIn?: Duration.Duration
): Effect.Effect<never, CallRejected> => {
  const error = new CallRejected({ method: call.method, reason, retryIn })
  Observe.shed(call, error)
  return Effect.andThen(Observe.notRetried(call, error), Effect.fail(error))
}

/** Ends the call as its last attempt ended. */
const endAs = <E>(call: Call.Call, cause: Cause.Cause<E>): Effect.Effect<never, Exclude<E, Retryable>> =>
  Effect.andThen(Observe.ended(call, cause), Effect.failCause(withoutRetryable(cause)))
