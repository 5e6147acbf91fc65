/**
 * What admits an attempt or turns it away: a circuit breaker, a bulkhead, a throttle.
 *
 * An attempt asks for a permit before it starts and gives it back when it ends, so that no permit is held over a delay.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as DefaultServices from "effect/DefaultServices"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import * as Option from "effect/Option"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import type { ExhaustedReason, RejectedReason } from "../errors/reasons.js"
import * as Result from "../result.js"

/**
 * What a gate is told of an attempt. `Ignored` is one that says nothing of the server: the caller was interrupted.
 *
 * @internal
 */
export type Outcome = "Success" | "Failure" | "Ignored"

/**
 * The place of one attempt.
 *
 * @internal
 */
export interface Permit {
  /**
   * Gives the place back. Called once, whatever becomes of the attempt.
   *
   * - `outcome`: what the attempt says of the server. A gate with a classification of its own asks `exit`, unless this is `Ignored`:
   *   then it was the caller that ended the attempt.
   * - `exit`: how the attempt ended.
   * - `services`: the clock and the random numbers of the call.
   */
  readonly end: (outcome: Outcome, exit: Exit.Exit<unknown, unknown>, services: Services) => void
}

/**
 * Why an attempt was turned away.
 *
 * @internal
 */
export interface Rejection {
  readonly reason: RejectedReason & ExhaustedReason
  /** When it may be worth another try, where that is known. */
  readonly retryIn?: Duration.Duration | undefined
}

/**
 * The clock and the random numbers of a call. They are given to each step, as a gate is shared by calls of different fibers.
 *
 * @internal
 */
export type Services = Context.Context<DefaultServices.DefaultServices>

/**
 * Makes an effect interruptible, if it was where the gate was asked.
 *
 * @internal
 */
export type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * A permit, or why there is none.
 *
 * @internal
 */
export type Admission = Result.Result<Permit, Rejection>

/** @internal */
export interface Gate {
  /**
   * Asks for a place, and answers at once or with an effect that waits for one, but not beyond `deadline`, an instant of the monotonic
   * clock in milliseconds, `Infinity` for none.
   *
   * The effect runs uninterruptibly: an interruption between the step that takes the place and the one that hands it out would lose
   * it. Only a wait is wrapped in `restore`, and one that is interrupted there leaves nothing behind.
   */
  readonly admit: (services: Services, deadline: number, restore: Restore) => Admission | Effect.Effect<Admission>
  /**
   * Returns why an attempt at the instant `at` will be turned away, where that is certain already. Asked before a delay, so that
   * no call waits for an attempt that is not admitted.
   */
  readonly refuses: (at: number) => Rejection | undefined
}

/**
 * Carries a rejection past the attempt that was not made. It never leaves the engine, and no type says so: what an attempt fails with
 * is the caller's.
 */
class Rejected {
  constructor(readonly rejection: Rejection) {}
}

/**
 * The rejection that a cause is of, if it is of one.
 *
 * @internal
 */
export const rejectionOf = (cause: Cause.Cause<unknown>): Rejection | undefined =>
  Option.getOrUndefined(
    Option.map(
      Option.filter(Causes.onlyFailure(cause), (error) => error instanceof Rejected),
      (error) => error.rejection
    )
  )

/**
 * What an attempt says of the server: only a `Retryable` is its failure, `Fatal` and domain errors are answers. An attempt that another
 * gate turned away says nothing.
 *
 * @internal
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  Exit.isSuccess(exit)
    ? "Success"
    : Causes.hasInterruption(exit.cause) || rejectionOf(exit.cause) !== undefined
    ? "Ignored"
    : retryableOf(exit.cause) === undefined
    ? "Success"
    : "Failure"

/**
 * Returns why an attempt at the instant `at` will be turned away by the first gate that is certain of it.
 *
 * @internal
 */
export const refusalAt = (gates: ReadonlyArray<Gate>, at: number): Rejection | undefined => {
  for (const gate of gates) {
    const refusal = gate.refuses(at)
    if (refusal !== undefined) {
      return refusal
    }
  }
  return undefined
}

/**
 * Makes an attempt if the gate admits it, and tells the gate how it ended.
 *
 * - `services`: the clock and the random numbers of the call.
 * - `deadline`: when the call is over, an instant of the monotonic clock in milliseconds.
 * - `isCut`: whether it was the deadline of the call that ended the attempt, which says nothing of the server.
 *
 * @internal
 */
export const through = <A, E, R>(
  gate: Gate,
  attempt: LazyArg<Effect.Effect<A, E, R>>,
  services: Services,
  deadline: number,
  isCut: LazyArg<boolean>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) => {
    const enter = (admission: Admission): Effect.Effect<A, E, R> =>
      Result.isFailure(admission)
        ? Effect.fail(new Rejected(Result.failureOf(admission)) as never)
        : Effect.onExit(
          restore(Effect.suspend(attempt)),
          (exit) =>
            Effect.sync(() => Result.successOf(admission).end(isCut() ? "Ignored" : outcomeOf(exit), exit, services))
        )
    const admission = gate.admit(services, deadline, restore)
    return Result.isResult(admission) ? enter(admission) : Effect.flatMap(admission, enter)
  })
