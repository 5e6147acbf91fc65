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
 * `attempt.ts` makes one attempt, `end.ts` the errors that a call ends with. `decision.ts` answers the questions and does
 * nothing else. Here is what follows from the answers: paying, refunding, waiting, failing. `observe.ts` is told of it,
 * and changes nothing.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity, type LazyArg } from "effect/Function"
import * as Option from "effect/Option"
import { type CallRejected, isCallRejected, isRpcError, type Retryable } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { Attempt } from "../call/attempt.js"
import * as Call from "../call/call.js"
import * as History from "../call/history.js"
import * as Causes from "../effect/cause.js"
import * as Ends from "../effect/ends.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import * as Step from "../effect/step.js"
import { retryableOf } from "../errors/cause.js"
import * as Gate from "../gate/gate.js"
import { Rejected, type Rejection, rejectionOf } from "../gate/outcome.js"
import * as Throttling from "../gate/throttle.js"
import type { Core as Hedge } from "../hedge/core.js"
import type * as RetryPolicy from "../policy/policy.js"
import * as Logs from "../telemetry/logs.js"
import * as Observe from "../telemetry/observe.js"
import * as Attempts from "./attempt.js"
import * as Decision from "./decision.js"
import * as Delay from "./delay.js"
import type { Ended } from "./end.js"
import * as End from "./end.js"
import * as Hedging from "./hedge.js"
import * as Payment from "./payment.js"

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
        return failed(self, call, Gate.unmasked, cause)
      })
    }
    const call = new Call.Call(begun)
    Observe.started(call)
    if (call.startedAt >= call.deadline) {
      return Observe.call(call, () => End.reject(call, "DeadlineExceeded"))
    }
    const { spans, throttle = "off" } = call.policy
    return spans === true || throttle !== "off"
      ? Observe.call(call, () => throttled(call, throttle, () => attempts(self, call)))
      : attempts(self, call)
  })

/** The attempts of a call, unless its throttle holds it back. */
const throttled = <A, E, R>(
  call: Call.Call,
  throttle: RetryPolicy.Complete["throttle"],
  attempts: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E | CallRejected, R> =>
  throttle === undefined || throttle === "off"
    ? attempts()
    : Throttling.through(throttle.core, call.services, attempts, () => End.reject(call, "Throttled"))

/**
 * The retry loop: makes an attempt and, when it failed and the policy allows it, waits and begins again.
 *
 * All that follows the failure of a first attempt runs inside of what it passed; a later one leaves its gates first, so
 * that a call can go on for ever.
 */
const attempts = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const round = new Round<A, E, R>(self, call)
  const passed = Gate.cross<A, Exclude<E, Retryable> | Ended, R>(
    call.gates,
    Observe.isUnreported(call),
    round.passage,
    round
  )
  return isFirst(call)
    ? passed
    : Effect.catchAllCause(passed, (cause) => goOn(self, call, Gate.unmasked, cause as Cause.Cause<E>))
}

const isFirst = ({ failedRounds }: Call.Call): boolean => failedRounds === 0

/** What follows a round that has failed, in a region that may be uninterruptible. */
const goOn = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  region: Gate.Region,
  cause: Cause.Cause<E | Retryable>
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Observe.ending(call, () => unlessInterrupted(call, region, cause, () => failed(self, call, region, cause)))

/**
 * One round: an attempt, or a race of several. Gates, budget and observer are told of its end by one handler: of a first
 * round nothing is left for another one, and of a later one the loop reports how the call goes on.
 */
class Round<A, E, R> implements Gate.Crossing<A, Exclude<E, Retryable> | Ended, R> {
  declare readonly passage: Gate.Passage
  declare private readonly self: Effect.Effect<A, E, R>
  declare private readonly call: Call.Call

  constructor(self: Effect.Effect<A, E, R>, call: Call.Call) {
    this.passage = new Gate.Passage(call.services, call.deadline, call)
    this.self = self
    this.call = call
  }

  admitted(
    permit: Gate.Permit | undefined,
    region: Gate.Region
  ): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> {
    const { call, self } = this
    const round = call.hedge === undefined
      ? Attempts.run(self, call, region)
      : Gate.provideHeld(region.restore(raced(self, call, call.hedge)), region.held)
    return permit === undefined && call.budget === undefined && !Observe.isUnreported(call)
      ? Effect.catchAllCause(round, (cause) => this.failed(region, cause))
      : Effect.matchCauseEffect(
        round,
        new Ends.Handlers(
          (answer) => this.succeeded(permit, region, answer),
          (cause) => {
            const defect = permit && Gate.told(permit, this.passage, Exit.failCause(cause))
            return this.failed(region, defect ?? cause)
          }
        )
      )
  }

  /** Nothing is restored for the end of a call, so that the region does not matter. */
  turnedAway(rejection: Rejection): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> {
    return this.failed(Gate.unmasked, Causes.failing(new Rejected(rejection) as never))
  }

  waiting<B, E2, R2>(self: Effect.Effect<B, E2, R2>): Effect.Effect<B, E2, R2> {
    return Observe.ending(this.call, () => self)
  }

  refusal(): Rejection | undefined {
    return lateRefusal(this.call)
  }

  private succeeded(
    permit: Gate.Permit | undefined,
    region: Gate.Region,
    answer: A
  ): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> {
    const { call } = this
    const exit = Exit.succeed(answer)
    if (call.hedge === undefined) {
      Payment.credit(call, call.attempt!)
    }
    const defect = permit && Gate.told(permit, this.passage, exit)
    if (defect !== undefined) {
      return this.failed(region, defect)
    }
    if (Observe.isUnreported(call)) {
      Observe.succeeded(call)
    }
    return exit
  }

  /** A later round has left its gates before the call goes on, in {@link attempts}. */
  private failed(
    region: Gate.Region,
    cause: Cause.Cause<E | Retryable>
  ): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> {
    return isFirst(this.call)
      ? goOn(this.self, this.call, region, cause)
      : Exit.failCause(cause as Cause.Cause<never>)
  }
}

/** Why an attempt is not made that had to wait behind a breaker for a permit of the bulkhead: it has opened. */
const lateRefusal = (call: Call.Call): Rejection | undefined => Gate.refusalAt(call.gates, Monotonic.now(call.clock))

/** Goes on after an attempt that has failed in a region that cannot be interrupted, unless the caller was. */
const unlessInterrupted = <A, E, R>(
  { fiber }: Call.Call,
  { restore }: Gate.Region,
  cause: Cause.Cause<unknown>,
  next: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> =>
  FiberRefs.isInterrupted(fiber)
    ? Effect.matchCauseEffect(restore(Effect.void), {
      onSuccess: next,
      onFailure: () => Effect.failCause(Causes.stripFailures(cause))
    })
    : next()

/** What follows a round that failed: the end of the call, or the next attempt. */
const failed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  region: Gate.Region,
  cause: Cause.Cause<E | Retryable>
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const rejection = rejectionOf(cause)
  if (rejection !== undefined) {
    return End.turnAway(call, rejection)
  }
  const attempt = call.attempt!
  const error = retryableOf(cause)
  const isFirstFailure = ++call.failedRounds === 1
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
    return End.endAs(call, cause as Cause.Cause<E>)
  }
  const next = () => afterFailure(self, call, attempt, error)
  // once is enough: all later rounds run inside
  return isFirstFailure ? cleared(call, region, next) : next()
}

/** Leaves nothing of a delay behind: no timer, no watch of a breaker, no cost of a retry that was not made. */
const cleared = <A, E, R>(
  call: Call.Call,
  { isMasked, restore }: Gate.Region,
  self: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> => {
  const clearing = (restore: Gate.Restore) =>
    Effect.matchCauseEffect(restore(Effect.suspend(self)), {
      onSuccess: Effect.succeed,
      onFailure: (cause) => {
        Call.refund(call)
        return Effect.andThen(Delay.stop(call), Effect.failCause(cause))
      }
    })
  return isMasked ? clearing(restore) : Effect.uninterruptibleMask(clearing)
}

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
  return End.giveUp(call, after, failure.reason)
}

/** A race of several attempts, the legs. Each of them passes the gates of legs by itself. */
const raced = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  hedge: Hedge
): Effect.Effect<A, E | Retryable, R> =>
  Hedging.race(call, hedge, (leg, lateAfter) => {
    const passage = new Gate.Passage(call.services, call.deadline, leg)
    return Gate.cross(call.legGates, false, passage, {
      admitted: (permit, { held, restore }) => {
        const region = new Gate.Region(false, identity, held)
        const attempt = Hedging.ofLeg(call, leg, lateAfter, () => Attempts.run(self, call, region, leg))
        return permit === undefined
          ? attempt
          : Effect.matchCauseEffect(restore(attempt), Gate.ending<A, E | Retryable>(permit, passage))
      },
      turnedAway: Gate.turnAway,
      refusal: () => lateRefusal(call)
    })
  })

/** The next attempt, unless the deadline passed in the delay: it can take longer than asked for. */
const again = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  error: Retryable
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> =>
  Call.isPastDeadline(call) ? End.giveUp(call, error, "DeadlineExceeded") : attempts(self, call)

/** What follows a failed attempt, once it is decided: at once, but for a schedule that runs effects. */
const afterFailure = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  call: Call.Call,
  attempt: Attempt,
  error: Retryable
): Effect.Effect<A, Exclude<E, Retryable> | Ended, R> => {
  const ambient = call.fiber.currentContext
  // legs are recorded one by one, when each fails; the method may have another hedge, or none, for the rounds that follow
  const isRecorded = call.hedge !== undefined
  Call.learnMethod(call, error, ambient)
  Call.learnEndpoint(call, error, ambient)
  const isWanted = isRecorded ? Decision.isWanted(call, error) : Payment.failed(call, attempt, error)
  return Step.andThen(
    Decision.decide(call, attempt, error, isWanted),
    (decision) =>
      decision._tag === "Stop"
        ? End.giveUp(call, error, decision.reason)
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
    return End.giveUp(call, error, refusal.reason)
  }
  if (!Payment.payRetry(call, attempt.endedAt, error)) {
    return End.giveUp(call, error, "BudgetExhausted")
  }
  History.waits(call.history!, delay)
  return Logs.andThen(
    Observe.retryScheduled(call, attempt, error, delay),
    Effect.flatMap(
      Delay.wait(call, delay, attempt.endedAt + delay),
      (refusal) => refusal ? End.giveUp(call, error, refusal.reason) : again(self, call, error)
    )
  )
}

const isDomainError = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Causes.firstFailure(cause), (error) => !isRpcError(error))
