/**
 * What is told of fallbacks: a counter, and a note on the span around the call. What is told of the call itself, its
 * events, its spans and its metrics, was told when it failed, and stays.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import { isRpcError, type RpcError } from "../../RpcError.js"
import { destinationOf } from "../budget/destination.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import type { Outcome } from "../event/event.js"
import * as Result from "../result.js"
import { FallbackFailed } from "./failed.js"

/** One fallback that was asked. */
interface Told {
  /** What was asked: a handler of the user's, or the last good answer. */
  readonly kind: "handler" | "last_good"
  /** How the call failed. */
  readonly error: unknown
  /** How the fallback ended. */
  readonly outcome: Outcome
  /** How old the answer is. */
  readonly age?: Duration.Duration
}

const counter = Metric.counter("rpc.client.fallback", {
  description: "Failed calls whose fallback was asked",
  incremental: true
})

/** As many as a layer counts by name, unless told otherwise. */
const maxMethods = 1000

const known = new Set<string>()

/** The name to count a method by. Each has series of its own for ever, in a registry that is the process's. */
const counted = (method: string | undefined): string => {
  const name = method ?? "unnamed"
  if (!known.has(name)) {
    if (known.size >= maxMethods) {
      return "other"
    }
    known.add(name)
  }
  return name
}

/** How the call itself failed: of a fallback of a fallback, too. */
const ofCall = (error: unknown): RpcError | undefined =>
  error instanceof FallbackFailed ? ofCall(error.error) : isRpcError(error) ? error : undefined

const attributesOf = (error: RpcError | undefined, { kind, outcome }: Told): Readonly<Record<string, string>> => ({
  ...(error === undefined ? {} : { "error.type": error.reason }),
  "rpc.fallback.kind": kind,
  "rpc.outcome": outcome
})

/**
 * Counts a fallback, and notes it on the current span. A tracer that throws does not harm the call.
 *
 * @internal
 */
export const tell = (told: Told): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const error = ofCall(told.error)
    const method = error?.method
    const attributes = attributesOf(error, told)
    const name = counted(method)
    const destination = name === "other" ? name : destinationOf(method) || "unnamed"
    const labels = { unit: "{call}", "rpc.method": name, "rpc.destination": destination, ...attributes }
    counter.unsafeUpdate(1, [
      ...Object.entries(labels).map(([key, value]) => MetricLabel.make(key, value)),
      ...FiberRefs.metricLabels(fiber)
    ])
    return Effect.zipWith(Effect.clock, Effect.option(Effect.currentSpan), (clock, current) => {
      const span = Option.getOrUndefined(current)
      void Result.try(() => {
        span?.attribute("rpc.fallback", told.kind)
        span?.event("fallback", clock.unsafeCurrentTimeNanos(), {
          ...(method === undefined ? {} : { "rpc.method": method }),
          ...attributes,
          ...(told.age === undefined ? {} : { "rpc.fallback.age_ms": Duration.toMillis(told.age) })
        })
      })
    })
  })
