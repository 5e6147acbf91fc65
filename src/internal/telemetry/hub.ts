/**
 * Who is told of events: the metrics of a service, the readers of its stream, the `onEvent` of a policy.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { RetryBudget } from "../../RetryBudget.js"
import { read } from "../ambient/context.js"
import { both, IsEventHandler, type Observer, type Telemetry } from "../call/observer.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import * as Runtime from "../effect/runtime.js"
import * as EventBuffer from "../event/buffer.js"
import type { RetryEvent } from "../event/event.js"
import * as Metrics from "./metrics.js"

/** @internal */
export const make = (options: {
  /** `undefined` for no metrics. */
  readonly maxMethods: number | undefined
  /** Whether a budget is the one of its destination. */
  readonly isOfDestination: (budget: RetryBudget) => boolean
}): Telemetry => {
  const recorderOf = options.maxMethods === undefined ? undefined : Metrics.make(options.maxMethods)
  const subscribers = new Set<Observer>()
  const publish: Observer = (event) => subscribers.forEach((subscriber) => subscriber(event))
  let calls = 0
  return {
    observer: (method, policy, fiber) => {
      let observer: Observer | undefined
      if (recorderOf !== undefined) {
        const labels = FiberRefs.metricLabels(fiber)
        const record = recorderOf(method)
        const gauged = policy.budget !== undefined && options.isOfDestination(policy.budget)
        observer = (event) => record(event, labels, gauged)
      }
      if (read(fiber.currentContext, IsEventHandler, false)) {
        return observer
      }
      if (subscribers.size > 0) {
        // those of now: who comes later hears of no call in the middle
        const listening = Array.from(subscribers)
        observer = both(observer, (event) => listening.forEach((subscriber) => subscriber(event)))
      }
      if (policy.onEvent !== undefined) {
        observer = both(observer, handler(policy.onEvent, fiber))
      }
      return observer
    },
    nextCall: () => ++calls,
    publish,
    subscribe: (capacity) =>
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => {
            const buffer = EventBuffer.make(capacity)
            const filled = Effect.unsafeMakeLatch(false)
            const subscriber: Observer = (event) => {
              buffer.push(event)
              filled.unsafeOpen()
            }
            subscribers.add(subscriber)
            return { buffer, filled, subscriber }
          }),
          ({ subscriber }) => Effect.sync(() => subscribers.delete(subscriber))
        ),
        ({ buffer, filled }) =>
          Stream.repeatEffectChunk(Effect.map(filled.await, () => {
            filled.unsafeClose()
            return Chunk.unsafeFromArray(buffer.takeAll())
          }))
      )
  }
}

/**
 * Gives events to the user's effect one after the other, in a fiber of its own that the call does not wait for. It sees the
 * context of the call.
 */
const handler = (
  onEvent: (event: RetryEvent) => Effect.Effect<void>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Observer => {
  const buffer = EventBuffer.make(EventBuffer.defaultCapacity)
  let busy = false
  const work = Effect.suspend((): Effect.Effect<void> => {
    const events = buffer.takeAll()
    if (events.length === 0) {
      busy = false
      return Effect.void
    }
    return Effect.andThen(Effect.forEach(events, handle, { discard: true }), work)
  })
  const handle = (event: RetryEvent) =>
    Effect.catchAllCause(
      Effect.suspend(() => onEvent(event)),
      (cause) => Effect.catchAllDefect(Effect.logWarning(`onEvent failed for ${event._tag}`, cause), () => Effect.void)
    )
  return (event) => {
    buffer.push(event)
    if (!busy) {
      busy = true
      Runtime.forkBeside(fiber, work, Context.add(fiber.currentContext, IsEventHandler, true))
    }
  }
}
