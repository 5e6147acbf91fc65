/**
 * Distributes the events of a service to its metrics, to the readers of its stream, and to the `onEvent` of a policy.
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
import type { Metrics } from "./metrics.js"

/**
 * Makes the telemetry of a service.
 *
 * @internal
 */
export const make = (options: {
  /** What records events as metrics; `undefined` for no metrics. */
  readonly metrics: Metrics | undefined
  /** Returns whether a budget is the one that the service made for a destination; only those are shown by the gauge. */
  readonly isOfDestination: (budget: RetryBudget) => boolean
}): Telemetry => {
  const { isOfDestination, metrics } = options
  const subscribers = new Set<Observer>()
  const publish: Observer = (event) => subscribers.forEach((subscriber) => subscriber(event))
  let calls = 0
  return {
    observer: (method, policy, fiber) => {
      let observer: Observer | undefined
      if (metrics !== undefined) {
        const labels = FiberRefs.metricLabels(fiber)
        const gauged = policy.budget !== undefined && isOfDestination(policy.budget)
        observer = metrics.recorderOf(method)(labels, gauged)
      }
      if (read(fiber.currentContext, IsEventHandler, false)) {
        return observer
      }
      if (subscribers.size > 0) {
        // copied, so that a reader that subscribes during a call gets none of its events
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
    circuitChanged: (event) => {
      metrics?.recordCircuit(event)
      publish(event)
    },
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
 * Makes an observer that runs `onEvent` for one event after the other, in the context of the call but in another fiber,
 * which the call does not wait for.
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
