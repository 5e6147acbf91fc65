/**
 * Access to `FiberRef`s. Kept in one file because Effect 4 replaces them by references in the context.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as LogLevel from "effect/LogLevel"
import type * as MetricLabel from "effect/MetricLabel"

/** Returns the labels that `Effect.tagMetrics` has set in a fiber. @internal */
export const metricLabels = (fiber: Fiber.RuntimeFiber<unknown, unknown>): ReadonlyArray<MetricLabel.MetricLabel> =>
  fiber.getFiberRef(FiberRef.currentMetricLabels)

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
