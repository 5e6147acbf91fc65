/**
 * What admits an attempt or turns it away: a circuit breaker, a bulkhead, a throttle.
 *
 * An attempt asks for a permit before it starts and gives it back when it ends, so that no permit is held over a delay.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import { type Copy, copy, read } from "../ambient/context.js"
import * as Causes from "../effect/cause.js"
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

/** Fails with a rejection, for the engine to see. @internal */
export const turnAway = (rejection: Rejection): Effect.Effect<never> => Effect.fail(new Rejected(rejection) as never)

/**
 * Where an attempt runs that the gates have admitted.
 *
 * @internal
 */
export class Region {
  /** Whether the region cannot be interrupted. */
  declare readonly isMasked: boolean
  /** Makes the attempt interruptible, if the call is. */
  declare readonly restore: Restore
  /** The gates that keep a place for the attempt, for {@link HeldGates}. */
  declare readonly held: ReadonlyArray<Gate>

  constructor(isMasked: boolean, restore: Restore, held: ReadonlyArray<Gate>) {
    this.isMasked = isMasked
    this.restore = restore
    this.held = held
  }
}

const nothingHeld: ReadonlyArray<Gate> = []

/**
 * Where nothing keeps a place for the attempt, which is as interruptible as its call.
 *
 * @internal
 */
export const unmasked: Region = new Region(false, identity, nothingHeld)

/**
 * What happens at the gates.
 *
 * @internal
 */
export interface Crossing<A, E, R> {
  /** Makes the attempt, and ends the permit when it has ended; `undefined` where there are no gates. */
  readonly admitted: (permit: Permit | undefined, region: Region) => Effect.Effect<A, E, R>
  /** Ends the attempt that is turned away. */
  readonly turnedAway: (rejection: Rejection) => Effect.Effect<A, E, R>
  /** Returns what is around an attempt that has to wait for its permit. Default: nothing. */
  readonly waiting?: (self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Returns why an attempt that has waited for its permit is turned away all the same. Default: it is not. */
  readonly refusal?: () => Rejection | undefined
}

/**
 * Makes an attempt if all gates admit it.
 *
 * What is around the attempt cannot be interrupted where a gate keeps a place for it, or where `isWatched` says that its
 * end must be seen whatever becomes of it.
 *
 * @internal
 */
export const cross = <A, E, R>(
  gates: ReadonlyArray<Gate>,
  isWatched: boolean,
  passage: Passage,
  crossing: Crossing<A, E, R>
): Effect.Effect<A, E, R> => {
  const held = holding(gates)
  const enter = (region: Region): Effect.Effect<A, E, R> => {
    const admission = gates.length === 0 ? undefined : admissionOf(gates, passage, region.restore)
    if (admission === undefined) {
      return crossing.admitted(undefined, region)
    }
    const entered = (admission: Admission) =>
      Result.isFailure(admission)
        ? crossing.turnedAway(Result.failureOf(admission))
        : crossing.admitted(Result.successOf(admission), region)
    if (Result.isResult(admission)) {
      return entered(admission)
    }
    const waits = Effect.flatMap(admission, (admission) =>
      Effect.matchCauseEffect(region.restore(Effect.void), {
        onSuccess: () => entered(reconsidered(admission, passage, crossing.refusal?.())),
        // interrupted while it waited: the attempt is not made
        onFailure: (cause) => {
          const exit = Exit.failCause(cause)
          permitOf(admission)?.end("Ignored", exit, passage.services)
          return exit
        }
      }))
    return crossing.waiting === undefined ? waits : crossing.waiting(waits)
  }
  return held.length === 0 && !isWatched
    ? enter(unmasked)
    : Effect.uninterruptibleMask((restore) => enter(new Region(true, restore, held)))
}

/**
 * Returns the permit of an admission that needs no wait; `undefined` for any other one.
 *
 * @internal
 */
export const permitOf = (admission: Admission | Effect.Effect<Admission>): Permit | undefined =>
  Result.isResult(admission) && Result.isSuccess(admission) ? Result.successOf(admission) : undefined

/** The admission of an attempt that has waited for it, which is not made where there is a `refusal`. */
const reconsidered = (admission: Admission, { services }: Passage, refusal: Rejection | undefined): Admission => {
  if (refusal === undefined || Result.isFailure(admission)) {
    return admission
  }
  Result.successOf(admission).end("Ignored", Exit.fail(new Rejected(refusal)), services)
  return Result.fail(refusal)
}

const isHolding = (gate: Gate): boolean => !gate.isFree()

/** The gates that keep a place for an attempt that starts now. */
const holding = (gates: ReadonlyArray<Gate>): ReadonlyArray<Gate> =>
  gates.some(isHolding) ? gates.filter(isHolding) : nothingHeld

/** A permit of several gates, which are told in the order in which the attempt leaves them. */
class Both implements Permit {
  constructor(readonly outer: Permit, readonly inner: Permit) {}

  end(outcome: Outcome, exit: Exit.Exit<unknown, unknown>, services: Services, startedAt?: number): void {
    this.inner.end(outcome, exit, services, startedAt)
    this.outer.end(outcome, exit, services, startedAt)
  }
}

/** Asks all gates from the one at `index` on: those before it have given the permit `outer`. */
const admissionOf = (
  gates: ReadonlyArray<Gate>,
  passage: Passage,
  restore: Restore,
  index = 0,
  outer?: Permit
): Admission | Effect.Effect<Admission> => {
  const { deadline, services } = passage
  const leave = (exit: Exit.Exit<never, unknown>) => outer?.end("Ignored", exit, services)
  const next = (admission: Admission): Admission | Effect.Effect<Admission> => {
    if (Result.isFailure(admission)) {
      leave(Exit.fail(new Rejected(Result.failureOf(admission))))
      return admission
    }
    const permit = Result.successOf(admission)
    const all = outer === undefined ? permit : new Both(outer, permit)
    return index + 1 === gates.length
      ? outer === undefined ? admission : Result.succeed(all)
      : admissionOf(gates, passage, restore, index + 1, all)
  }
  const admission = gates[index]!.admit(services, deadline, restore)
  return Result.isResult(admission) ? next(admission) : Effect.matchCauseEffect(admission, {
    onSuccess: (admission) => {
      const rest = next(admission)
      return Result.isResult(rest) ? Effect.succeed(rest) : rest
    },
    onFailure: (cause) => {
      const exit = Exit.failCause(cause)
      leave(exit)
      return exit
    }
  })
}

/**
 * Tells a permit how its attempt ended, and ends as it did.
 *
 * @internal
 */
export const ending = <A, E>(permit: Permit, passage: Passage): Ends.Handlers<A, E, A, E, never> => {
  const ended = <B, E2>(exit: Exit.Exit<B, E2>): Exit.Exit<B, E2> => {
    tell(permit, passage, exit)
    return exit
  }
  return new Ends.Handlers<A, E, A, E, never>(
    (value) => ended(Exit.succeed(value)),
    (cause) => ended(Exit.failCause(cause))
  )
}

const tell = (permit: Permit, passage: Passage, exit: Exit.Exit<unknown, unknown>): void =>
  permit.end(passage.isCut() ? "Ignored" : outcomeOf(exit), exit, passage.services, passage.startedAt())

/**
 * Tells a permit how its attempt ended. Returns the defect of a classification that throws; `undefined` for none.
 *
 * @internal
 */
export const told = (
  permit: Permit,
  passage: Passage,
  exit: Exit.Exit<unknown, unknown>
): Cause.Cause<never> | undefined => {
  const told = Result.try({ try: () => tell(permit, passage, exit), catch: Causes.dying })
  return Result.isFailure(told) ? Result.failureOf(told) : undefined
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

/**
 * Sets the gates that keep a place for an attempt, beside those of the attempts around it.
 *
 * @internal
 */
export const setHeld = (context: Copy, ambient: Context.Context<never>, held: ReadonlyArray<Gate>): void => {
  const around = read(ambient, HeldGates, nothingHeld)
  context.set(HeldGates, around.length === 0 ? held : [...around, ...held])
}

/**
 * Runs an effect in the context of an attempt that these gates keep a place for, in a region that cannot be interrupted.
 *
 * @internal
 */
export const provideHeld = <A, E, R>(self: Effect.Effect<A, E, R>, held: ReadonlyArray<Gate>): Effect.Effect<A, E, R> =>
  held.length === 0 ? self : FiberRefs.swapContext(self, (ambient) => {
    const context = copy(ambient)
    setHeld(context, ambient, held)
    return context.done
  })

/**
 * Runs an effect if a gate admits it, and tells the gate how it ended.
 *
 * - `turnedAway`: ends it where it is turned away.
 *
 * @internal
 */
export const through = <A, E, R, E2>(
  gate: Gate,
  passage: Passage,
  self: Effect.Effect<A, E, R>,
  turnedAway: (rejection: Rejection) => Effect.Effect<never, E2>
): Effect.Effect<A, E | E2, R> =>
  cross<A, E | E2, R>([gate], false, passage, {
    admitted: (permit, { held, restore }) =>
      Effect.matchCauseEffect(provideHeld(restore(self), held), ending<A, E>(permit!, passage)),
    turnedAway
  })
