/**
 * The loop that makes the attempts of a call.
 *
 * ```text
 * call span > deadline > throttle > [ breaker > hedge > { bulkhead > attempt span > attempt timeout > the call's own effect } ]
 *                        ^ on Retryable: server said stop? wanted? safe to repeat? schedule goes on?
 *                          deadline far enough? breaker? budget? -> delay, unless the breaker opens -> next round
 * ```
 *
 * A round is one attempt or, with a hedge, a race of several: see `hedge.ts`.
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
import * as Exit from "effect/Exit"
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
import * as History from "../call/history.js"
import * as Causes from "../effect/cause.js"
import * as Ends from "../effect/ends.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import * as Step from "../effect/step.js"
import { retryableOf, withoutRetryable } from "../errors/cause.js"
import * as Gate from "../gate/gate.js"
import { type Rejection, rejectionOf } from "../gate/outcome.js"
import * as Throttling from "../gate/throttle.js"
import * as Logs from "../telemetry/logs.js"
import * as Observe from "../telemetry/observe.js"
import { attemptTimeout } from "./attemptTimeout.js"
import * as Decision from "./decision.js"
import * as Delay from "./delay.js"
import * as Hedging from "./hedge.js"
import * as Payment from "./payment.js"

/** The errors that a call ends with in place of `Retryable`. */
type Ended = RetryExhausted | CallRejected

/**
 * Makes attempts until one ends in something other than `Retryable`, or the policy says stop. A plain call has no state
 * before its first attempt has failed: most calls succeed at once, and making the state takes as long as all else.
 *
 * @internal
 */
export const run = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: (ambient: Context.Context<never>) => Call.Settings
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Effect.withFiberRuntime((fiber) => {
    const begun = new Call.Start(settings(fiber.currentContext), fiber)
    if (Call.isPlain(begun)) {
      return Effect.catchAllCause(self, (cause) => {
        const call = new Call.Call(begun)
        Call.nextAttempt(call)
        return failed(self, call, cause)
      })
    }
    const call = new Call.Call(begun)
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

/**
 * The retry loop: makes an attempt and, when it failed and the policy allows it, waits and begins again.
 *
 * A closed breaker around a single attempt admits it, and is told of its end, in the steps of the loop itself.
 */
const attempts = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const permit = call.hedge === undefined ? Gate.passFree(call.gates, call.services) : undefined
  const round = gated(self, call, permit === undefined ? call.gates : call.gates.slice(1))
  if (permit === undefined && call.budget === undefined) {
    return Effect.catchAllCause(round, (cause) => failed(self, call, cause))
  }
  const end = permit === undefined
    ? undefined
    : Gate.ending<A, E | Retryable>(permit, new Gate.Passage(call.services, call.deadline, call))
  const ends = new Ends.Handlers<A, E | Retryable, A, Exclude<E, Retryable> | Ended, R>(
    (answer) => {
      if (call.hedge === undefined) {
        Payment.credit(call, call.attempt!)
      }
      return end === undefined ? Exit.succeed(answer) : end.onSuccess(answer) as Exit.Exit<A>
    },
    (cause) => {
      end?.onFailure(cause)
      return failed(self, call, cause)
    }
  )
  return Effect.matchCauseEffect(round, ends)
}

/** What follows a round that failed: the end of the call, or the next attempt. */
const failed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  cause: Cause.Cause<E | Retryable>
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const rejection = rejectionOf(cause)
  if (rejection !== undefined) {
    return turnAway(call, rejection)
  }
  const attempt = call.attempt!
  const error = retryableOf(cause)
  const isFirst = ++call.failedRounds === 1
  if (call.hedge === undefined) {
    Call.attemptFailed(call, attempt, cause, error)
    Observe.attemptFailed(call, attempt, cause)
  }
  if (error === undefined) {
    const rejected = rejectedInside(call, attempt, cause)
    if (rejected !== undefined) {
      return rejected
    }
    if (isDomainError(cause)) {
      Payment.credit(call, attempt)
    }
    return endAs(call, cause as Cause.Cause<E>)
  }
  const next = () => afterFailure(self, call, attempt, error)
  // once is enough: all later rounds run inside
  return isFirst ? cleared(call, next) : next()
}

/** Leaves nothing of a delay behind: no timer, no watch of a breaker, no cost of a retry that was not made. */
const cleared = <A, E, R>(call: Call.Call, self: LazyArg<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.matchCauseEffect(restore(Effect.suspend(self)), {
      onSuccess: Effect.succeed,
      onFailure: (cause) => {
        Call.refund(call)
        return Effect.andThen(Delay.stop(call), Effect.failCause(cause))
      }
    })
  )

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

/** One round, if each of these gates admits it. */
const gated = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  gates: ReadonlyArray<Gate.Gate>
): Effect.Effect<A, E | Retryable, R> => through(gates, call, call, () => hedged(self, call))

/** One attempt, or a race of several. Each of them passes the gates of legs by itself. */
const hedged = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call.Call): Effect.Effect<A, E | Retryable, R> =>
  call.hedge === undefined
    ? admitted(self, call)
    : Hedging.race(
      call,
      call.hedge,
      (leg) => through(call.legGates, call, leg, () => Hedging.ofLeg(leg, () => admitted(self, call, leg)))
    )

/**
 * What is behind the gates, if all of them admit it.
 *
 * - `of`: whose attempt the gates are told of, once it has started.
 */
const through = <A, E, R>(
  gates: ReadonlyArray<Gate.Gate>,
  { deadline, services }: Call.Call,
  of: { readonly attempt: Attempt | undefined },
  behind: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> => {
  if (gates.length === 0) {
    return behind()
  }
  const passage = new Gate.Passage(services, deadline, of)
  return gates.reduceRight((attempt, gate) => () => Gate.through(gate, passage, attempt), behind)()
}

/** The attempt, unless a breaker has opened while it waited behind it for a permit of the bulkhead. */
const admitted = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  leg?: Call.Leg
): Effect.Effect<A, E | Retryable, R> => {
  const refusal = call.gates.length + call.legGates.length < 2
    ? undefined
    : Gate.refusalAt(call.gates, Monotonic.now(call.clock))
  return refusal === undefined ? runAttempt(self, call, leg) : Gate.turnAway(refusal)
}

/** The next attempt, unless the deadline passed in the delay: it can take longer than asked for. */
const again = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  error: Retryable
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Call.isPastDeadline(call) ? giveUp(call, error, "DeadlineExceeded") : attempts(self, call)

/** One attempt: it sees the context of its call, and is cut at its timeout or at the deadline, whichever is first. */
const runAttempt = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  leg?: Call.Leg
): Effect.Effect<A, E | Retryable, R> => {
  const attempt = Call.nextAttempt(call, leg)
  Observe.attemptStarted(call, attempt)
  const timeout = call.policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(call.policy.attemptTimeout)
  const remaining = call.deadline - attempt.startedAt
  const progress = timeout === Infinity && remaining === Infinity && leg === undefined
    ? undefined
    : new AttemptProgress(call.attemptContext.ambientProgress)
  if (leg !== undefined) {
    leg.progress = progress
  }
  if (call.settings.identity !== undefined) {
    ;(progress ?? call.attemptContext.ambientProgress)?.callStarted(call.settings.identity)
  }
  const logged = call.annotateLogs ? Logs.ofAttempt(call, attempt, self) : self
  const contextOf = (ambient: Context.Context<never>) =>
    AttemptContext.contextOf(call.attemptContext, ambient, attempt.number, progress)
  const bounded = progress === undefined || (timeout === Infinity && remaining === Infinity)
    ? progress === undefined && AttemptContext.isAmbient(call.attemptContext, attempt.number)
      ? logged
      : FiberRefs.withContext(logged, contextOf)
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
  const judged = remaining === Infinity ? bounded : arbitrated(bounded, call, attempt)
  return Observe.attempt(call, attempt, leg === undefined ? judged : Payment.credited(judged, call, attempt))
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

/** What follows a failed attempt, once it is decided: at once, but for a schedule that runs effects. */
const afterFailure = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  attempt: Attempt,
  error: Retryable
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const ambient = call.fiber.currentContext
  Call.learnMethod(call, error, ambient)
  Call.learnEndpoint(call, error, ambient)
  // legs are recorded one by one, when each fails
  const isRecorded = call.hedge !== undefined
  const isWanted = isRecorded ? Decision.isWanted(call, error) : Payment.failed(call, attempt, error)
  return Step.andThen(
    Decision.decide(call, attempt, error, isWanted),
    (decision) =>
      decision._tag === "Stop"
        ? giveUp(call, error, decision.reason)
        : retry(self, call, attempt, error, decision.delay)
  )
}

/** The next attempt after a delay that is paid for, or the end of the call. */
const retry = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  attempt: Attempt,
  error: Retryable,
  delay: number
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const refusal = Gate.refusalAt(call.gates, attempt.endedAt + delay)
  if (refusal !== undefined) {
    return giveUp(call, error, refusal.reason)
  }
  if (!Payment.payRetry(call, attempt.endedAt, error)) {
    return giveUp(call, error, "BudgetExhausted")
  }
  History.waits(call.history!, delay)
  return Logs.andThen(
    Observe.retryScheduled(call, attempt, error, delay),
    Effect.flatMap(
      Delay.wait(call, delay, attempt.endedAt + delay),
      (refusal) => refusal ? giveUp(call, error, refusal.reason) : again(self, call, error)
    )
  )
}

const isDomainError = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Causes.firstFailure(cause), (error) => !isRpcError(error))

/** Ends a call that is not retried any more: its attempts have been recorded. A retry that was paid for is not made. */
const giveUp = (
  call: Call.Call,
  last: Retryable,
  reason: ExhaustedReason
): Effect.Effect<never, RetryExhausted> => {
  Call.refund(call)
  const error = new RetryExhausted({
    method: call.method ?? last.method,
    reason,
    attempts: call.attempts,
    elapsed: Duration.millis(Monotonic.between(call.startedAt, Monotonic.now(call.clock))),
    last,
    history: History.shown(call.history!, call.startedAt)
  })
  return Logs.andThen(Observe.gaveUp(call, error), Effect.fail(error))
}

/** Ends a call whose next attempt was turned away: between two attempts it keeps the last error. */
const turnAway = (call: Call.Call, { reason, retryIn }: Rejection): Effect.Effect<never, Ended> => {
  const last = call.attempt?.error
  return last === undefined
    ? reject(call, reason, retryIn)
    : giveUp(call, last, reason)
}

/** Ends a call before its first attempt. */
const reject = (
  call: Call.Call,
  reason: RejectedReason,
  retryIn?: Duration.Duration
): Effect.Effect<never, CallRejected> => {
  const error = new CallRejected({ method: call.method, reason, retryIn })
  Observe.shed(call, error)
  return Logs.andThen(Observe.notRetried(call, error), Effect.fail(error))
}

/** Ends the call as its last attempt ended. */
const endAs = <E>(call: Call.Call, cause: Cause.Cause<E>): Effect.Effect<never, Exclude<E, Retryable>> =>
  Logs.andThen(Observe.ended(call, cause), Effect.failCause(withoutRetryable(cause)))
