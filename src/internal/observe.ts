/**
 * The one place that events are made at. The engine says what happens; whoever is told of it is in `telemetry.ts`.
 *
 * Each event is one literal: made by spreading what they have in common it takes ten times as long.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import {
  CallRejected,
  type ExhaustedReason,
  type RejectedReason,
  type Retryable,
  type RetryExhausted
} from "../RpcError.js"
import * as Call from "./call.js"
import { withoutRetryable } from "./cause.js"
import * as Logs from "./logs.js"
import * as Monotonic from "./monotonic.js"
import { endOf, rpcErrorOf } from "./outcome.js"
import * as Spans from "./spans.js"
import { both } from "./telemetry.js"

/**
 * Tells how the call ends. One that nobody watches is passed through; one that is starts when it is watched already, or an
 * interruption between the two would leave an attempt without an end.
 *
 * @internal
 */
export const call = <A, E, R>(call: Call.Call, self: LazyArg<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> => {
  if (call.policy.spans === true) {
    return Spans.ofCall(call, (observer) => {
      call.observer = both(call.observer, observer)
      return watched(call, Effect.suspend(self))
    })
  }
  return call.observer === undefined ? self() : watched(call, Effect.suspend(self))
}

const watched = <A, E, R>(call: Call.Call, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onExit(self, (exit) => {
    const now = Monotonic.now(call.clock)
    if (Exit.isSuccess(exit)) {
      attemptSucceeded(call, now)
      callSucceeded(call, now)
    } else {
      callEnded(call, now, exit.cause)
    }
    return Effect.void
  })

/** @internal */
export const attempt = <A, E, R>(call: Call.Call, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  call.policy.spans === true ? Spans.ofAttempt(call, self) : self

/** An instant of the call by the clock of the wall. */
const shown = (call: Call.Call, instant: number): number => Monotonic.between(-call.wall, instant)

/** @internal */
export const attemptStarted = (call: Call.Call): void =>
  call.observer?.({
    _tag: "AttemptStarted",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, call.attemptStartedAt),
    attempt: call.attempts,
    after: call.last
  })

const attemptSucceeded = (call: Call.Call, now: number): void =>
  call.observer?.({
    _tag: "AttemptSucceeded",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, now),
    attempt: call.attempts,
    took: Duration.millis(Monotonic.between(call.attemptStartedAt, now))
  })

/** @internal */
export const attemptFailed = (call: Call.Call, cause: Cause.Cause<unknown>): void => {
  if (call.observer === undefined) {
    return
  }
  const { outcome, reason } = endOf(cause)
  // an interruption ends the call, and is told as that
  if (outcome !== "interrupted") {
    call.attempting = false
    call.observer({
      _tag: "AttemptFailed",
      call: call.id,
      method: call.method,
      destination: call.destination,
      at: shown(call, call.attemptEndedAt),
      attempt: call.attempts,
      took: Duration.millis(Monotonic.between(call.attemptStartedAt, call.attemptEndedAt)),
      outcome,
      reason,
      cause
    })
  }
}

/**
 * Tells when a budget falls below what is called low: `before` is what was left of it before the step that lowered it.
 *
 * @internal
 */
export const budgetLowered = (call: Call.Call, before: number | undefined): void => {
  const { attemptEndedAt: now, budget } = call
  if (
    budget !== undefined && budget === call.observedBudget && before !== undefined && before >= low &&
    budget.left(now) < low
  ) {
    call.observer?.({
      _tag: "BudgetLow",
      call: call.id,
      method: call.method,
      destination: call.destination,
      at: shown(call, now),
      level: budget.level(now),
      capacity: budget.capacity
    })
  }
}

/** The share of what a budget allows below which it is called low. */
const low = 0.25

/** @internal */
export const retryScheduled = (call: Call.Call, error: Retryable, delay: number): Effect.Effect<void> => {
  call.observer?.({
    _tag: "RetryScheduled",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, call.attemptEndedAt),
    attempt: call.attempts,
    delay: Duration.millis(delay),
    error
  })
  return Logs.retryScheduled(call, error, delay)
}

/**
 * Gives up: the end of a call that is not retried any more.
 *
 * @internal
 */
export const giveUp = (
  call: Call.Call,
  last: Retryable,
  reason: ExhaustedReason
): Effect.Effect<never, RetryExhausted> => {
  call.observer?.({
    _tag: "RetryRefused",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, Monotonic.now(call.clock)),
    attempt: call.attempts,
    reason,
    error: last
  })
  const error = Call.exhausted(call, last, reason)
  return Effect.zipRight(Logs.gaveUp(call, error), Effect.fail(error))
}

/**
 * Turns the call away: its end before it began.
 *
 * @internal
 */
export const reject = (call: Call.Call, reason: RejectedReason): Effect.Effect<never, CallRejected> => {
  const error = new CallRejected({ method: call.method, reason })
  return Effect.zipRight(Logs.notRetried(call, error), Effect.fail(error))
}

/**
 * Ends the call as its last attempt ended.
 *
 * @internal
 */
export const end = <E>(call: Call.Call, cause: Cause.Cause<E>): Effect.Effect<never, Exclude<E, Retryable>> => {
  const error = rpcErrorOf(cause)
  const failed = Effect.failCause(withoutRetryable(cause))
  return error === undefined ? failed : Effect.zipRight(Logs.notRetried(call, error), failed)
}

const callSucceeded = (call: Call.Call, now: number): void =>
  call.observer?.({
    _tag: "CallSucceeded",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, now),
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, now)),
    waited: Duration.millis(call.waited),
    budget: Call.budgetLevel(call, now)
  })

const callEnded = (call: Call.Call, now: number, cause: Cause.Cause<unknown>): void => {
  const { outcome, reason } = endOf(cause)
  if (outcome === "interrupted") {
    return callInterrupted(call, now)
  }
  if (call.attempting) {
    // the caller went and a finalizer of the attempt failed: the loop did not see it
    call.attemptEndedAt = now
    attemptFailed(call, cause)
  }
  call.observer?.({
    _tag: "CallFailed",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, now),
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, now)),
    waited: Duration.millis(call.waited + (call.attempts > 0 ? Monotonic.between(call.attemptEndedAt, now) : 0)),
    budget: Call.budgetLevel(call, now),
    outcome,
    reason,
    cause
  })
}

const callInterrupted = (call: Call.Call, now: number): void => {
  const took = Monotonic.between(call.attempting ? call.attemptStartedAt : call.attemptEndedAt, now)
  call.observer?.({
    _tag: "CallInterrupted",
    call: call.id,
    method: call.method,
    destination: call.destination,
    at: shown(call, now),
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, now)),
    waited: Duration.millis(call.waited + (call.attempting ? 0 : took)),
    budget: Call.budgetLevel(call, now),
    during: call.attempting ? "attempt" : "delay",
    took: Duration.millis(took)
  })
}
