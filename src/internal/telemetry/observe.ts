/**
 * Turns the steps of the engine into events for the observer of a call, and into log lines and spans. It makes no
 * errors, and changes nothing in a call but its observer.
 *
 * Each event is one object literal, because spreading the common fields takes ten times as long.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import type { CallRejected, Retryable, RetryExhausted, RpcError } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import { destinationOf } from "../budget/destination.js"
import * as Attempt from "../call/attempt.js"
import * as Call from "../call/call.js"
import { both, type Observer } from "../call/observer.js"
import * as Ends from "../effect/ends.js"
import type { HedgeRefused } from "../event/event.js"
import { endOf, rpcErrorOf } from "../event/outcome.js"
import * as Logs from "./logs.js"
import type * as Metrics from "./metrics.js"
import * as Spans from "./spans.js"

/**
 * Opens a span for a call, if its policy asks for spans, and reports its end.
 *
 * @internal
 */
export const call = <A, E, R>(call: Call.Call, self: LazyArg<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> =>
  call.policy.spans === true
    ? Spans.ofCall(call, (observer) => {
      call.observer = both(call.observer, observer)
      return ending(call, self)
    })
    : ending(call, self)

/**
 * Reports how what is left of a call ends, and so how the call does, unless that is reported around it. Until then the
 * engine sees to it that the end of a first attempt leads here, or to {@link succeeded}.
 *
 * @internal
 */
export const ending = <A, E, R>(call: Call.Call, self: LazyArg<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> => {
  if (!isUnreported(call)) {
    return self()
  }
  call.isReported = true
  return Effect.uninterruptibleMask((restore) =>
    Effect.matchCauseEffect(
      restore(self()),
      new Ends.Handlers<A, E, A, E, never>(
        (value) => {
          succeeded(call)
          return Exit.succeed(value)
        },
        (cause) => {
          callEnded(call, Monotonic.now(call.clock), cause)
          return Exit.failCause(cause)
        }
      )
    )
  )
}

/**
 * Returns whether a call has an observer, and nothing around its attempt reports how the call ends.
 *
 * @internal
 */
export const isUnreported = ({ isReported, observer }: Call.Call): boolean => observer !== undefined && !isReported

/**
 * Tells the instants of a call on the wall clock, which an observer shows. The metrics show none.
 *
 * @internal
 */
export const started = (call: Call.Call): void => {
  if (call.policy.spans === true || (call.observer !== undefined && !isRecorder(call.observer))) {
    call.wallOffset = call.clock.unsafeCurrentTimeMillis() - call.startedAt
  }
}

/** Returns whether only the metrics observe a call: then most of its steps need no event. */
const isRecorder = (observer: Observer): observer is Metrics.Recorder => "succeeded" in observer

/**
 * Reports the success of an observed call and of its last attempt.
 *
 * @internal
 */
export const succeeded = (call: Call.Call): void => {
  const observer = call.observer!
  const attempt = call.attempt!
  const now = call.answeredAt ?? Monotonic.now(call.clock)
  if (isRecorder(observer)) {
    const took = Monotonic.between(attempt.startedAt, now)
    const elapsed = Monotonic.between(call.startedAt, now)
    observer.succeeded(took, elapsed, call.attempts, call.waited, Call.budgetLevel(call, now))
  } else {
    attemptSucceeded(call, attempt, now)
    callSucceeded(call, now)
  }
}

/**
 * Opens a span for an attempt, if the policy asks for spans.
 *
 * @internal
 */
export const attempt = <A, E, R>(
  call: Call.Call,
  attempt: Attempt.Attempt,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => call.policy.spans === true ? Spans.ofAttempt(call, attempt, self) : self

/** Converts a monotonic instant of the call to wall clock time, in milliseconds since 1970. */
const shown = (call: Call.Call, instant: number): number => Monotonic.between(-call.wallOffset, instant)

/**
 * Reports the start of an attempt.
 *
 * @internal
 */
export const attemptStarted = (call: Call.Call, attempt: Attempt.Attempt): void => {
  const { observer } = call
  if (observer === undefined) {
    return
  }
  if (attempt.after === undefined && attempt.leg === undefined && isRecorder(observer)) {
    return observer.firstAttempt()
  }
  observer({
    _tag: "AttemptStarted",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, attempt.startedAt),
    attempt: attempt.number,
    after: attempt.after,
    leg: attempt.leg
  })
}

const attemptSucceeded = (call: Call.Call, { number, startedAt }: Attempt.Attempt, now: number): void =>
  call.observer?.({
    _tag: "AttemptSucceeded",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, now),
    attempt: number,
    took: Duration.millis(Monotonic.between(startedAt, now))
  })

/**
 * Reports a failed attempt, unless it was interrupted.
 *
 * @internal
 */
export const attemptFailed = (call: Call.Call, attempt: Attempt.Attempt, cause: Cause.Cause<unknown>): void => {
  if (call.observer === undefined) {
    return
  }
  const { outcome, reason } = endOf(cause)
  // an interruption is reported by `CallInterrupted`
  if (outcome !== "interrupted") {
    call.observer({
      _tag: "AttemptFailed",
      call: call.id,
      method: call.method,
      destination: destinationOf(call.method),
      at: shown(call, attempt.endedAt),
      attempt: attempt.number,
      took: Duration.millis(Attempt.took(attempt)),
      outcome,
      reason,
      cause
    })
  }
}

/**
 * Reports that an attempt was interrupted at `now` because another one of its call has ended the call, or the call was
 * interrupted.
 *
 * @internal
 */
export const attemptCancelled = (call: Call.Call, { number, startedAt }: Attempt.Attempt, now: number): void =>
  call.observer?.({
    _tag: "AttemptCancelled",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, now),
    attempt: number,
    took: Duration.millis(Monotonic.between(startedAt, now))
  })

/**
 * Reports that an extra leg has ended its call.
 *
 * @internal
 */
export const hedgeWon = (call: Call.Call, { leg, number }: Attempt.Attempt): void =>
  call.observer?.({
    _tag: "HedgeWon",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, Monotonic.now(call.clock)),
    attempt: number,
    leg: leg!
  })

/**
 * Reports that an extra leg was due at `now` and did not start.
 *
 * @internal
 */
export const hedgeRefused = (call: Call.Call, now: number, reason: HedgeRefused["reason"]): void =>
  call.observer?.({
    _tag: "HedgeRefused",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, now),
    reason
  })

/**
 * Reports a budget that falls below {@link low}.
 *
 * - `before`: the share of retries that the budget allowed before the step that lowered it, from 0 to 1.
 *
 * @internal
 */
export const budgetLowered = (call: Call.Call, now: number, before: number): void => {
  const { budget } = call
  if (budget !== undefined && budget === call.observedBudget && before >= low && budget.left(now) < low) {
    call.observer?.({
      _tag: "BudgetLow",
      call: call.id,
      method: call.method,
      destination: destinationOf(call.method),
      at: shown(call, now),
      level: budget.level(now),
      capacity: budget.capacity
    })
  }
}

/** The share of its retries, from 0 to 1, below which a budget is reported as low. */
const low = 0.25

/**
 * Reports and logs that another attempt follows after `delay` milliseconds.
 *
 * @internal
 */
export const retryScheduled = (
  call: Call.Call,
  attempt: Attempt.Attempt,
  error: Retryable,
  delay: number
): Logs.Line => {
  call.observer?.({
    _tag: "RetryScheduled",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, attempt.endedAt),
    attempt: attempt.number,
    delay: Duration.millis(delay),
    error
  })
  return Logs.retryScheduled(call, attempt, error, delay)
}

/**
 * Reports and logs that the call gave up.
 *
 * @internal
 */
export const gaveUp = (call: Call.Call, error: RetryExhausted): Logs.Line => {
  call.observer?.({
    _tag: "RetryRefused",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, Monotonic.now(call.clock)),
    attempt: call.attempts,
    reason: error.reason,
    error: error.last
  })
  return Logs.gaveUp(call, error)
}

/** Tells that the client itself turned the call away. @internal */
export const shed = (call: Call.Call, { reason, retryIn }: CallRejected): void => {
  if (reason !== "DeadlineExceeded") {
    call.observer?.({
      _tag: "CallShed",
      call: call.id,
      method: call.method,
      destination: destinationOf(call.method),
      at: shown(call, Monotonic.now(call.clock)),
      reason,
      retryIn
    })
  }
}

/**
 * Logs an error that ends the call without a retry.
 *
 * @internal
 */
export const notRetried = (call: Call.Call, error: RpcError): Logs.Line => Logs.notRetried(call, error)

/**
 * Logs the error of this package that a call ended with; logs nothing for domain errors and defects.
 *
 * @internal
 */
export const ended = (call: Call.Call, cause: Cause.Cause<unknown>): Logs.Line => {
  const error = rpcErrorOf(cause)
  return error === undefined ? undefined : notRetried(call, error)
}

const callSucceeded = (call: Call.Call, now: number): void =>
  call.observer?.({
    _tag: "CallSucceeded",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, now),
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, now)),
    waited: Duration.millis(call.waited),
    budget: Call.budgetLevel(call, now)
  })

/** Returns the attempt that is running, `undefined` during a delay. */
const running = ({ attempt }: Call.Call): Attempt.Attempt | undefined =>
  attempt?.isRunning === true ? attempt : undefined

const callEnded = (call: Call.Call, now: number, cause: Cause.Cause<unknown>): void => {
  const { outcome, reason } = endOf(cause)
  if (outcome === "interrupted") {
    return callInterrupted(call, now)
  }
  const attempt = running(call)
  if (attempt !== undefined) {
    // the call was interrupted and a finalizer of the attempt failed, so the retry loop did not record the end
    attemptFailed(call, { ...attempt, endedAt: now }, cause)
  }
  const delayed = attempt === undefined && call.attempt !== undefined ? Monotonic.between(call.attempt.endedAt, now) : 0
  call.observer?.({
    _tag: "CallFailed",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, now),
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, now)),
    waited: Duration.millis(call.waited + delayed),
    budget: Call.budgetLevel(call, now),
    outcome,
    reason,
    cause
  })
}

const callInterrupted = (call: Call.Call, now: number): void => {
  const attempt = running(call)
  const took = Monotonic.between(attempt?.startedAt ?? call.attempt?.endedAt ?? call.startedAt, now)
  call.observer?.({
    _tag: "CallInterrupted",
    call: call.id,
    method: call.method,
    destination: destinationOf(call.method),
    at: shown(call, now),
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, now)),
    waited: Duration.millis(call.waited + (attempt === undefined ? took : 0)),
    budget: Call.budgetLevel(call, now),
    during: attempt === undefined ? "delay" : "attempt",
    took: Duration.millis(took)
  })
}
