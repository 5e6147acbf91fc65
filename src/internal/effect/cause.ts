/**
 * The operations on `Cause` in use. Kept in one file because Effect 4 has flat causes and other names.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as FiberId from "effect/FiberId"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"

/** Returns whether a cause consists of interruption alone. @internal */
export const isInterruption = (cause: Cause.Cause<unknown>): boolean => Cause.isInterruptedOnly(cause)

/** Returns whether an interruption is part of a cause. @internal */
export const hasInterruption = (cause: Cause.Cause<unknown>): boolean => Cause.isInterrupted(cause)

/** Returns whether `fiber` is one of the fibers that caused the interruption. @internal */
export const isInterruptedBy = (cause: Cause.Cause<unknown>, fiber: FiberId.FiberId): boolean =>
  HashSet.has(Cause.interruptors(cause), fiber)

/** Returns whether a defect is part of a cause. @internal */
export const hasDefect = (cause: Cause.Cause<unknown>): boolean => Cause.isDie(cause)

/** Returns the first defect of a cause. @internal */
export const firstDefect = (cause: Cause.Cause<unknown>): Option.Option<unknown> => Cause.dieOption(cause)

/** Returns the first failure of a cause. @internal */
export const firstFailure = <E>(cause: Cause.Cause<E>): Option.Option<E> => Cause.failureOption(cause)

/**
 * Returns the failure of a cause that is exactly one failure: the common case, checked without a traversal.
 *
 * @internal
 */
export const onlyFailure = <E>(cause: Cause.Cause<E>): Option.Option<E> =>
  Cause.isFailType(cause) ? Option.some(cause.error) : Option.none()

/** Returns all failures of a cause. @internal */
export const failures = <E>(cause: Cause.Cause<E>): ReadonlyArray<E> => Chunk.toReadonlyArray(Cause.failures(cause))

/** Removes all failures, as an interruption does. @internal */
export const stripFailures = (cause: Cause.Cause<unknown>): Cause.Cause<never> => Cause.stripFailures(cause)

/** Makes the cause of one defect. @internal */
export const dying = (defect: unknown): Cause.Cause<never> => Cause.die(defect)

/** Makes the cause of one failure. @internal */
export const failing = <E>(error: E): Cause.Cause<E> => Cause.fail(error)

/** Removes the failures for which `isLeftOut` holds. @internal */
export const withoutFailures = <E, Out extends E>(
  cause: Cause.Cause<E>,
  isLeftOut: (error: E) => error is Out
): Cause.Cause<Exclude<E, Out>> =>
  Cause.match(cause, {
    onEmpty: Cause.empty,
    onFail: (error) => isLeftOut(error) ? Cause.empty : Cause.fail(error as Exclude<E, Out>),
    onDie: Cause.die,
    onInterrupt: Cause.interrupt,
    onSequential: (left, right) => both(left, right, Cause.sequential),
    onParallel: (left, right) => both(left, right, Cause.parallel)
  })

const both = <E>(
  left: Cause.Cause<E>,
  right: Cause.Cause<E>,
  combine: (left: Cause.Cause<E>, right: Cause.Cause<E>) => Cause.Cause<E>
): Cause.Cause<E> => Cause.isEmpty(left) ? right : Cause.isEmpty(right) ? left : combine(left, right)

/** Returns whether an error is that of `Effect.timeout`. @internal */
export const isTimeout = (error: unknown): boolean => Cause.isTimeoutException(error)

/**
 * Maps every failure of an effect, also each of several in one cause. On success it costs only the handler's frame.
 *
 * @internal
 */
export const mapFailures = <A, E, R>(self: Effect.Effect<A, E, R>, f: (error: E) => E): Effect.Effect<A, E, R> =>
  Effect.catchAllCause(self, (cause) => Effect.failCause(Cause.map(cause, f)))
