/**
 * What admits an attempt or turns it away: a circuit breaker, a bulkhead, a throttle.
 *
 * An attempt asks for a permit before it starts and gives it back when it ends, so that no permit is held over a delay.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity, type LazyArg } from "effect/Function"
import { copy, read } from "../ambient/context.js"
import * as Ends from "../effect/ends.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import * as Result from "../result.js"
import { type Outcome, outcomeOf, Rejected, type Rejection } from "./outcome.js"

/**
 * The clock and the random numbers of a call. They are given to each step, as a gate is shared by calls of different
 * fibers.
 *
 * @internal
 */
export type Services = Context.Context<DefaultServices.DefaultServices>

/**
 * The place of one attempt.
 *
 * @internal
 */
export interface Permit {
  /**
   * Gives the place back. Called once, whatever becomes of the attempt.
   *
   * - `outcome`: what the attempt says of the server. A gate with a classification of its own asks `exit`, unless this
   *   is `Ignored`: then it was the caller that ended the attempt.
   * - `exit`: how the attempt ended.
   * - `services`: the clock and the random numbers of the call.
   * - `startedAt`: when the attempt began, an instant of the monotonic clock in milliseconds: later than it was
   *   admitted where it had to wait behind another gate.
   */
  readonly end: (outcome: Outcome, exit: Exit.Exit<unknown, unknown>, services: Services, startedAt?: number) => void
}

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
   * Returns whether every attempt is admitted now, with a permit that need not be given back when the caller is
   * interrupted: it holds no place.
   */
  readonly isFree: () => boolean
  /**
   * Asks for a place, and answers at once or with an effect that waits for one, but not beyond `deadline`, an instant
   * of the monotonic clock in milliseconds, `Infinity` for none.
   *
   * The effect runs uninterruptibly: an interruption between the step that takes the place and the one that hands it
   * out would lose it. Only a wait is wrapped in `restore`, and one that is interrupted there leaves nothing behind.
   */
  readonly admit: (services: Services, deadline: number, restore: Restore) => Admission | Effect.Effect<Admission>
  /**
   * Returns why an attempt at the instant `at` will be turned away, where that is certain already. Asked before a
   * delay, so that no call waits for an attempt that is not admitted.
   */
  readonly refuses: (at: number) => Rejection | undefined
  /**
   * Calls `listener` after each change that may make `refuses` certain. Returns what ends that. Absent for a gate that
   * is never certain.
   */
  readonly onChange?: (listener: () => void) => () => void
}

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
 * What gates are told of a round of attempts.
 *
 * @internal
 */
export class Passage {
  /**
   * - `services`: the clock and the random numbers of the call.
   * - `deadline`: when the call is over, an instant of the monotonic clock in milliseconds.
   * - `of`: whose attempt it is, once that has started; `undefined` for an effect that is no attempt of a call.
   */
  constructor(
    readonly services: Services,
    readonly deadline: number,
    private readonly of?: {
      readonly attempt: { readonly isCutByDeadline: boolean; readonly startedAt: number } | undefined
    }
  ) {}

  /** Returns whether it was the deadline of the call that ended the attempt, which says nothing of the server. */
  isCut(): boolean {
    return this.of?.attempt?.isCutByDeadline === true
  }

  /** Returns when the attempt began; `undefined` for when it was admitted. */
  startedAt(): number | undefined {
    return this.of?.attempt?.startedAt
  }
}

/**
 * Makes an attempt if the gate admits it, and tells the gate how it ended. An attempt that is turned away fails with
 * `Rejected`.
 *
 * @internal
 */
export const through = <A, E, R>(
  gate: Gate,
  passage: Passage,
  attempt: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> => gate.isFree() ? unheld(gate, passage, attempt) : held(gate, passage, attempt)

/** Fails with a rejection, for the engine to see. @internal */
export const turnAway = (rejection: Rejection): Effect.Effect<never> => Effect.fail(new Rejected(rejection) as never)

/**
 * Tells a permit how its attempt ended, and ends as it did.
 *
 * @internal
 */
export const ending = <A, E>(
  permit: Permit,
  passage: Passage
): Ends.Handlers<A, E, A, E, never> =>
  new Ends.Handlers<A, E, A, E, never>(
    (value) => {
      const exit = Exit.succeed(value)
      permit.end("Success", exit, passage.services, passage.startedAt())
      return exit
    },
    (cause) => {
      const exit = Exit.failCause(cause)
      permit.end(passage.isCut() ? "Ignored" : outcomeOf(exit), exit, passage.services, passage.startedAt())
      return exit
    }
  )

/**
 * Passes the outermost gate at once, where every attempt is admitted and the permit holds no place. Returns the permit,
 * which is then for the caller to end; `undefined` where there is no such gate.
 *
 * @internal
 */
export const passFree = (gates: ReadonlyArray<Gate>, services: Services): Permit | undefined =>
  gates.length > 0 && gates[0]!.isFree() ? permitOf(gates[0]!.admit(services, Infinity, identity)) : undefined

/**
 * Returns the permit of an admission that needs no wait; `undefined` for any other one.
 *
 * @internal
 */
export const permitOf = (admission: Admission | Effect.Effect<Admission>): Permit | undefined =>
  Result.isResult(admission) && Result.isSuccess(admission) ? Result.successOf(admission) : undefined

/** The permit holds no place, so an interruption, which says nothing, may pass without a word. */
const unheld = <A, E, R>(
  gate: Gate,
  passage: Passage,
  attempt: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> => {
  const permit = permitOf(gate.admit(passage.services, passage.deadline, identity))
  return permit === undefined
    ? held(gate, passage, attempt)
    : Effect.matchCauseEffect(attempt(), ending(permit, passage))
}

/**
 * The gates whose permits are held by the attempts around this one. An attempt within an attempt passes them without
 * asking: its place is that of the outer one, which it would wait for in vain.
 *
 * @internal
 */
export class HeldGates extends Context.Reference<HeldGates>()("effect-rpc-retry/Gate/HeldGates", {
  defaultValue: (): ReadonlyArray<Gate> => []
}) {}

const nothingHeld: ReadonlyArray<Gate> = []

/** Uninterruptible but for the attempt, so that the permit comes back whatever becomes of it. */
const held = <A, E, R>(
  gate: Gate,
  passage: Passage,
  attempt: LazyArg<Effect.Effect<A, E, R>>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) => {
    const { deadline, services } = passage
    const enter = (admission: Admission): Effect.Effect<A, E, R> =>
      Result.isFailure(admission)
        ? turnAway(Result.failureOf(admission))
        : Effect.matchCauseEffect(
          FiberRefs.swapContext(restore(Effect.suspend(attempt)), (ambient) => {
            const context = copy(ambient)
            context.set(HeldGates, [...read(ambient, HeldGates, nothingHeld), gate])
            return context.done
          }),
          ending(Result.successOf(admission), passage)
        )
    const admission = gate.admit(services, deadline, restore)
    return Result.isResult(admission) ? enter(admission) : Effect.flatMap(admission, enter)
  })
