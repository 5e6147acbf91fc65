/**
 * What a fiber carries beside its context. Effect 4 has references in the context in place of `FiberRef`s.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as LogLevel from "effect/LogLevel"
import type * as MetricLabel from "effect/MetricLabel"

/** The labels that the metrics of a fiber have. @internal */
export const metricLabels = (fiber: Fiber.RuntimeFiber<unknown, unknown>): ReadonlyArray<MetricLabel.MetricLabel> =>
  fiber.getFiberRef(FiberRef.currentMetricLabels)

/** Returns whether a fiber writes lines of a level. @internal */
export const isLogged = (fiber: Fiber.RuntimeFiber<unknown, unknown>, level: LogLevel.LogLevel): boolean =>
  LogLevel.greaterThanEqual(level, fiber.getFiberRef(FiberRef.currentMinimumLogLevel))

/** Annotates the lines that an effect writes; `undefined` takes an annotation away. @internal */
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

/** The value of a library's own `FiberRef` in the fiber that asks. @internal */
export const get: <A>(ref: FiberRef.FiberRef<A>) => Effect.Effect<A> = FiberRef.get
