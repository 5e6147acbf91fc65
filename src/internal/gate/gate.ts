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
  /** Gives the place back. Called once, whatever becomes of the attempt. */
  readonly end: (outcome: Outcome) => void
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
  /** Asks for a place. May wait; one that is interrupted while it waits leaves nothing behind. */
  readonly admit: Effect.Effect<Either.Either<Permit, Rejection>>
}

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

/** Only a `Retryable` is a failure of the server's: `Fatal` and domain errors are answers. */
const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
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
 * @internal
 */
export const through = <A, E, R>(
  gate: Gate | undefined,
  attempt: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E | Rejected, R> =>
  gate === undefined ?
    attempt() :
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(gate.admit), (admitted): Effect.Effect<A, E | Rejected, R> =>
        Either.isLeft(admitted)
          ? Effect.fail(new Rejected(admitted.left))
          : Effect.onExit(
            restore(Effect.suspend(attempt)),
            (exit) => Effect.sync(() => admitted.right.end(outcomeOf(exit)))
          ))
    )
