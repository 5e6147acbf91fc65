/**
 * The race of one round of a call with a hedge. Its legs are attempts of the call; this is what starts them, and what
 * becomes of what they end with.
 *
 * A leg that fails while no other is in flight ends the round, so that the retry loop waits and begins the next one.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import { Retryable } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { Attempt } from "../call/attempt.js"
import * as Call from "../call/call.js"
import * as AttemptContext from "../call/context.js"
import { retryableOf } from "../errors/cause.js"
import * as Gate from "../gate/gate.js"
import type { Core } from "../hedge/core.js"
import * as Race from "../hedge/hedge.js"
import { isEnd, type Verdict, verdictOf } from "../hedge/verdict.js"
import * as Logs from "../telemetry/logs.js"
import * as Observe from "../telemetry/observe.js"
import * as Decision from "./decision.js"
import * as Payment from "./payment.js"

/**
 * Runs the legs of one round until one of them is answered, or all have failed. The attempt of the call is then the one
 * that decided it.
 *
 * - `run`: makes the attempt that a leg is, given the time without an answer after which it is late, in milliseconds.
 *
 * @internal
 */
export const race = <A, E, R>(
  call: Call.Call,
  hedge: Core,
  run: (leg: Call.Leg, lateAfter: number | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    if (call.failedRounds === 0) {
      hedge.called()
    }
    call.attemptContext = AttemptContext.withLegs(call.attemptContext)
    const legs = [Call.leg({ isOver: false }, 1, undefined, 0)]
    const plan = planOf(call, hedge, legs)
    return Race.race((number) => run(legs[number]!, plan.after), plan)
  })

/**
 * The attempt of a leg. It is not made when another leg has ended the race while this one waited for the permit that the
 * other one gave back: the race is about to interrupt it, also where the caller cannot be interrupted. An extra one is
 * logged when it starts: a gate may have turned it away.
 *
 * - `lateAfter`: the time without an answer after which a leg is late, in milliseconds.
 *
 * @internal
 */
export const ofLeg = <A, E, R>(
  call: Call.Call,
  { after, number, race }: Call.Leg,
  lateAfter: number | undefined,
  attempt: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> =>
  Logs.andThen(
    number === 1 || race.isOver ? undefined : Logs.legStarts(call, after, lateAfter),
    Effect.suspend(() =>
      race.isOver ? Effect.interruptible(Effect.never) : Effect.matchCauseEffect(attempt(), {
        onSuccess: (value) => {
          race.isOver = true
          return Effect.succeed(value)
        },
        onFailure: (cause) => {
          const exit = Exit.failCause(cause)
          race.isOver ||= isEnd(verdictOf(exit))
          return exit
        }
      })
    )
  )

/** What a leg that starts because others are late asks of schedule and budget: what a retry after a timeout asks. */
const late = (call: Call.Call): Retryable =>
  new Retryable({ reason: "AttemptTimeout", delivery: "Unknown", method: call.method })

const planOf = (call: Call.Call, hedge: Core, legs: Array<Call.Leg>): Race.Plan => {
  const after = hedge.after(call.method)
  /** The end of the longest pause that the server has asked for. */
  let notBefore = -Infinity

  const took = ({ startedAt }: Attempt, now: number, isAnswered: boolean): void =>
    hedge.took(call.method, now, Monotonic.between(startedAt, now), isAnswered)

  /** Gives back what a leg has cost that was not made. */
  const refund = ({ cost, number }: Call.Leg): void => {
    if (number > 1) {
      hedge.refund()
      call.budget?.refund(Monotonic.now(call.clock), cost)
    }
  }

  /** Pays for a leg. Returns what it costs of the retry budget; `undefined` when it may not start. */
  const pay = (now: number, error: Retryable): number | undefined => {
    if (!hedge.take()) {
      Observe.hedgeRefused(call, now, "LoadExhausted")
      return undefined
    }
    const cost = Payment.withdraw(call, now, error)
    if (cost === undefined) {
      hedge.refund()
      Observe.hedgeRefused(call, now, "BudgetExhausted")
    }
    return cost
  }

  const admit: Race.Plan["admit"] = (number, failure, wait) =>
    Effect.suspend(() => {
      const now = Monotonic.now(call.clock)
      const error = failure ?? late(call)
      const cost = mayStart(call, legs, now) ? pay(now, error) : undefined
      if (cost === undefined) {
        return Effect.succeed(false)
      }
      const leg = Call.leg(legs[0]!.race, number + 1, failure, cost)
      const step = Call.schedule(call).take(now, error)
      const stillMayStart = (goesOn: boolean) => goesOn && mayStart(call, legs, Monotonic.now(call.clock))
      return (Effect.isEffect(step) ? wait(Effect.map(step, stillMayStart)) : Effect.succeed(step)).pipe(
        Effect.onExit((exit) => Effect.sync(() => Exit.isSuccess(exit) && exit.value ? legs.push(leg) : refund(leg)))
      )
    })

  const failed = (attempt: Attempt, verdict: Verdict): Verdict => {
    call.attempt = latestRunning(legs) ?? attempt
    if (verdict._tag !== "Failed") {
      return verdict
    }
    const { error } = verdict
    const isWanted = Payment.failed(call, attempt, error)
    if (!isWanted || Decision.forbids(call, error.retryAfter) || !Decision.isSafe(call, error)) {
      return { ...verdict, wait: Infinity }
    }
    const { minServerDelay } = call.policy
    const wait = error.retryAfter === undefined || minServerDelay === undefined
      ? verdict.wait
      : Math.max(verdict.wait, Duration.toMillis(minServerDelay))
    notBefore = Math.max(notBefore, attempt.endedAt + wait)
    return { ...verdict, wait }
  }

  return {
    after,
    max: hedge.settings.max,
    followsAlone: false,
    admit,
    ended: ({ number }, exit) => {
      const leg = legs[number]!
      const verdict = verdictOf(exit)
      const { attempt } = leg
      if (attempt === undefined) {
        refund(leg)
        return verdict
      }
      took(attempt, Monotonic.now(call.clock), verdict._tag === "Answer")
      if (Exit.isSuccess(exit)) {
        return verdict
      }
      Call.attemptFailed(call, attempt, exit.cause, retryableOf(exit.cause))
      Observe.attemptFailed(call, attempt, exit.cause)
      return failed(attempt, verdict)
    },
    cancelled: ({ number }) => {
      const leg = legs[number]!
      const { attempt } = leg
      if (attempt === undefined) {
        return refund(leg)
      }
      const now = Monotonic.now(call.clock)
      took(attempt, now, false)
      // that of the call is told of when the call ends
      if (attempt !== call.attempt) {
        Observe.attemptCancelled(call, attempt, now)
      }
    },
    over: ({ number }, isWon) => {
      const { attempt } = legs[number]!
      if (attempt === undefined) {
        return
      }
      if (!isWon) {
        call.attempt = asOf(Monotonic.now(call.clock), call, attempt, legs, notBefore)
        return
      }
      call.attempt = attempt
      if (number > 0) {
        hedge.won++
        Observe.hedgeWon(call, attempt)
      }
    }
  }
}

/**
 * Whether an extra leg may start now, if it is paid for: before the deadline, while the circuit breaker is not open, no
 * leg waits in the queue of a bulkhead, and no call inside has said that it must not run twice.
 */
const mayStart = (call: Call.Call, legs: ReadonlyArray<Call.Leg>, now: number): boolean =>
  now < call.deadline &&
  Gate.refusalAt(call.gates, now) === undefined &&
  legs.every(({ attempt, progress }) =>
    attempt !== undefined && (call.settings.idempotent === true || progress?.mustNotRepeat() !== true)
  )

const latestRunning = (legs: ReadonlyArray<Call.Leg>): Attempt | undefined =>
  legs.findLast(({ attempt }) => attempt?.isRunning === true)?.attempt

/** The attempt that a round has failed as, at the end of the round: its legs have waited for each other. */
const asOf = (
  now: number,
  call: Call.Call,
  attempt: Attempt,
  legs: ReadonlyArray<Call.Leg>,
  notBefore: number
): Attempt => ({
  ...attempt,
  endedAt: now,
  hint: Decision.forbids(call, attempt.hint)
    ? attempt.hint
    : attempt.hint === undefined && notBefore <= now
    ? undefined
    : Duration.millis(Math.max(0, Monotonic.between(now, notBefore))),
  isCutByDeadline: legs.some((leg) => leg.attempt?.isCutByDeadline === true)
})
