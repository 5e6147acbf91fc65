/**
 * What admits an attempt or turns it away: a circuit breaker, a bulkhead, a throttle.
 *
 * An attempt asks for a permit before it starts and gives it back when it ends, so that no permit is held over a delay.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { LazyArg } from "effect/Function"
import { retryableOf } from "../errors/cause.js"
import type { ExhaustedReason, RejectedReason } from "../errors/reasons.js"

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

/**
 * Makes an effect interruptible, if it was where the gate was asked.
 *
 * @internal
 */
export type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** @internal */
export interface Gate {
  /**
   * Asks for a place. May wait, but not beyond `deadline`, an instant of the monotonic clock in milliseconds, `Infinity` for none.
   *
   * It runs uninterruptibly: an interruption between the step that takes the place and the one that hands it out would lose it. Only
   * a wait is wrapped in `restore`, and one that is interrupted there leaves nothing behind.
   */
  readonly admit: (deadline: number, restore: Restore) => Effect.Effect<Either.Either<Permit, Rejection>>
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
  admit: (deadline, restore) =>
    Effect.flatMap(
      first.admit(deadline, restore),
      (outer) =>
        Either.isLeft(outer) ? Effect.succeed(outer) : second.admit(deadline, restore).pipe(
          Effect.onInterrupt(() => Effect.sync(() => outer.right.end("Ignored", Exit.interrupt(FiberId.none)))),
          Effect.map(Either.match({
            onLeft: (rejection): Either.Either<Permit, Rejection> => {
              outer.right.end("Ignored", Exit.void)
              return Either.left(rejection)
            },
            onRight: (inner) =>
              Either.right({
                end: (outcome, exit) => {
                  inner.end(outcome, exit)
                  outer.right.end(outcome, exit)
                }
              })
          }))
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
  Cause.isFailType(cause) && cause.error instanceof Rejected ? cause.error.rejection : undefined

/**
 * What an attempt says of the server: only a `Retryable` is its failure, `Fatal` and domain errors are answers.
 *
 * @internal
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  Exit.isSuccess(exit)
    ? "Success"
    : Cause.isInterrupted(exit.cause)
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
      Effect.flatMap(gate.admit(deadline, restore), (admitted): Effect.Effect<A, E | Rejected, R> =>
        Either.isLeft(admitted)
          ? Effect.fail(new Rejected(admitted.left))
          : Effect.onExit(
            restore(Effect.suspend(attempt)),
            (exit) =>
              Effect.sync(() => admitted.right.end(isCut() ? "Ignored" : outcomeOf(exit), exit))
          ))
    )
