/**
 * What admits an attempt or turns it away: a circuit breaker, a bulkhead, a throttle.
 *
 * An attempt asks for a permit before it starts and gives it back when it ends, so that no permit is held over a delay.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
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
   */
  readonly end: (outcome: Outcome, exit: Exit.Exit<unknown, unknown>) => void
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

/** @internal */
export interface Gate {
  /**
   * Asks for a place. May wait, but not beyond `deadline`, an instant of the monotonic clock in milliseconds, `Infinity` for none.
   * One that is interrupted while it waits leaves nothing behind.
   */
  readonly admit: (deadline: number) => Effect.Effect<Result.Result<Permit, Rejection>>
  /**
   * Returns why an attempt at the instant `at` will be turned away, where that is certain already. Asked before a delay, so that
   * no call waits for an attempt that is not admitted.
   */
  readonly refuses: (at: number) => Rejection | undefined
}

/**
 * Two gates, one behind the other. What the second turns away counts for neither.
 *
 * @internal
 */
export const both = (first: Gate, second: Gate): Gate => ({
  admit: (deadline) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        restore(first.admit(deadline)),
        (outer) =>
          Result.isFailure(outer) ? Effect.succeed(outer) : restore(second.admit(deadline)).pipe(
            Effect.onInterrupt(() =>
              Effect.sync(() => Result.successOf(outer).end("Ignored", Exit.interrupt(FiberId.none)))
            ),
            Effect.map(Result.match({
              onFailure: (rejection): Result.Result<Permit, Rejection> => {
                Result.successOf(outer).end("Ignored", Exit.void)
                return Result.fail(rejection)
              },
              onSuccess: (inner) =>
                Result.succeed({
                  end: (outcome, exit) => {
                    inner.end(outcome, exit)
                    Result.successOf(outer).end(outcome, exit)
                  }
                })
            }))
          )
      )
    ),
  refuses: (at) => first.refuses(at) ?? second.refuses(at)
})

/** Carries a rejection past the attempt that was not made. It never leaves the engine. */
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
 * What an attempt says of the server: only a `Retryable` is its failure, `Fatal` and domain errors are answers.
 *
 * @internal
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  Exit.isSuccess(exit)
    ? "Success"
    : Causes.hasInterruption(exit.cause)
    ? "Ignored"
    : retryableOf(exit.cause) === undefined
    ? "Success"
    : "Failure"

/**
 * Makes an attempt if the gate admits it, and tells the gate how it ended. Without a gate it is the attempt alone.
 *
 * - `deadline`: when the call is over, an instant of the monotonic clock in milliseconds.
 * - `isCut`: whether it was the deadline of the call that ended the attempt, which says nothing of the server.
 *
 * @internal
 */
export const through = <A, E, R>(
  gate: Gate | undefined,
  attempt: LazyArg<Effect.Effect<A, E, R>>,
  deadline: number,
  isCut: LazyArg<boolean>
): Effect.Effect<A, E | Rejected, R> =>
  gate === undefined ?
    attempt() :
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(gate.admit(deadline)), (admitted): Effect.Effect<A, E | Rejected, R> =>
        Result.isFailure(admitted)
          ? Effect.fail(new Rejected(Result.failureOf(admitted)))
          : Effect.onExit(
            restore(Effect.suspend(attempt)),
            (exit) =>
              Effect.sync(() => Result.successOf(admitted).end(isCut() ? "Ignored" : outcomeOf(exit), exit))
          ))
    )
