/**
 * Who is told of events: what a call knows of its telemetry.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { RetryEvent } from "../event/event.js"
import type * as RetryPolicy from "../policy/policy.js"

/**
 * Takes an event at once: it neither waits nor fails.
 *
 * @internal
 */
export type Observer = (event: RetryEvent) => void

/**
 * Whether a fiber is a handler of events. Nobody is told of the calls that one makes, or each would be an event that makes
 * another.
 *
 * @internal
 */
export class IsEventHandler extends Context.Reference<IsEventHandler>()("effect-rpc-retry/RetryEvent/IsEventHandler", {
  defaultValue: () => false
}) {}

/**
 * The telemetry of one service.
 *
 * @internal
 */
export interface Telemetry {
  /** Who is told of a call, `undefined` when nobody is. */
  readonly observer: (
    method: string | undefined,
    policy: RetryPolicy.Complete,
    fiber: Fiber.RuntimeFiber<unknown, unknown>
  ) => Observer | undefined
  /** A number that no other call of this service has. */
  readonly nextCall: () => number
  /** Tells the readers of the stream. */
  readonly publish: Observer
  readonly subscribe: (capacity: number) => Effect.Effect<Stream.Stream<RetryEvent>, never, Scope.Scope>
}

/** @internal */
export const both = (first: Observer | undefined, second: Observer): Observer =>
  first === undefined ? second : (event) => {
    first(event)
    second(event)
  }

/**
 * Whether the lines written inside an attempt are annotated with it.
 *
 * @internal
 */
export class AnnotateLogs extends Context.Reference<AnnotateLogs>()("effect-rpc-retry/RpcRetry/AnnotateLogs", {
  defaultValue: () => false
}) {}
