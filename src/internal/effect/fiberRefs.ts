/**
 * Access to `FiberRef`s. Kept in one file because Effect 4 replaces them by references in the context.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Values from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as LogLevel from "effect/LogLevel"
import type * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import { Handlers } from "./ends.js"

/** Returns the labels that `Effect.tagMetrics` has set in a fiber. @internal */
export const metricLabels = (fiber: Fiber.RuntimeFiber<unknown, unknown>): ReadonlyArray<MetricLabel.MetricLabel> =>
  fiber.getFiberRef(FiberRef.currentMetricLabels)

/** Returns whether a fiber was interrupted, though it may not have ended yet. @internal */
export const isInterrupted = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))

/** Returns whether the minimum log level of a fiber lets lines of `level` through. @internal */
export const isLogged = (fiber: Fiber.RuntimeFiber<unknown, unknown>, level: LogLevel.LogLevel): boolean =>
  LogLevel.greaterThanEqual(level, fiber.getFiberRef(FiberRef.currentMinimumLogLevel))

/** Annotates the log lines of an effect; an `undefined` value removes the annotation. @internal */
export const annotateLogs = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  own: Readonly<Record<string, unknown>>
): Effect.Effect<A, E, R> =>
  Effect.locallyWith(self, FiberRef.currentLogAnnotations, (annotations) =>
    Object.entries(own).reduce(
      (annotations, [key, value]) =>
        value === undefined ? HashMap.remove(annotations, key) : HashMap.set(annotations, key, value),
      annotations
    ))

/** Reads a `FiberRef` of another library in the current fiber. @internal */
export const get: <A>(ref: FiberRef.FiberRef<A>) => Effect.Effect<A> = FiberRef.get

/** The values of all `FiberRef`s of a fiber. @internal */
export type FiberRefs = Values.FiberRefs

/** Not handed on: the context is provided for a time, and the flags of a fiber that has ended say so. */
const kept: ReadonlySet<unknown> = new Set([FiberRef.currentContext, FiberRef.currentRuntimeFlags])

/**
 * Returns the effect that gives a fiber what another one, which it started and which has ended, has changed of its
 * `FiberRef`s but for the context; `undefined` when it has changed none, as is usual: to look costs less.
 *
 * - `before`: the values that the other one was started with.
 *
 * @internal
 */
export const inherited = (
  { locals: before }: FiberRefs,
  ended: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<void> | undefined => {
  const after = ended.getFiberRefs()
  for (const [ref, stack] of after.locals) {
    const known = before.get(ref)
    // a value that was changed for a time is back in its place, on another stack
    if (stack !== known && stack[0][1] !== known?.[0][1] && !kept.has(ref)) {
      return Effect.inheritFiberRefs(Values.delete(after, FiberRef.currentContext))
    }
  }
  return undefined
}

/**
 * Runs an effect with another context, as `Effect.provide` does in more steps.
 *
 * - `change`: returns the context, given the one around the effect.
 *
 * @internal
 */
export const withContext = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  change: (ambient: Context.Context<never>) => Context.Context<never>
): Effect.Effect<A, E, R> => Effect.uninterruptibleMask((restore) => swapContext(restore(self), change))

/**
 * Does what {@link withContext} does where nothing can be interrupted, but for `self` where that says so itself: the
 * context around it would not come back otherwise.
 *
 * @internal
 */
export const swapContext = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  change: (ambient: Context.Context<never>) => Context.Context<never>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime(({ currentContext }) => {
    setContext(change(currentContext))
    return Effect.matchCauseEffect(
      self,
      new Handlers<A, E, A, E, never>(
        (value) => {
          setContext(currentContext)
          return Exit.succeed(value)
        },
        (cause) => {
          setContext(currentContext)
          return Exit.failCause(cause)
        }
      )
    )
  })

/**
 * Sets the context of the current fiber, as `FiberRef.set` does with three steps of Effect. The method is missing in the
 * type of a fiber alone; Effect 4 has it there as `setContext`.
 *
 * The current fiber is asked for each time: batched requests move what follows them to another one.
 */
const setContext = (context: Context.Context<never>): void => {
  const fiber = Option.getOrUndefined(Fiber.getCurrentFiber()) as Settable | undefined
  fiber?.setFiberRef(FiberRef.currentContext, context)
}

interface Settable {
  readonly setFiberRef: <A>(ref: FiberRef.FiberRef<A>, value: A) => void
}
