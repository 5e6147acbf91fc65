/**
 * The interface between a call and its telemetry.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CircuitClosed, CircuitHalfOpen, CircuitOpened, RetryEvent } from "../event/event.js"
import type * as RetryPolicy from "../policy/policy.js"

/**
 * Receives an event synchronously. It must not wait and must not throw.
 *
 * @internal
 */
export type Observer = (event: RetryEvent) => void

/**
 * Whether the fiber runs an `onEvent` handler. The calls that a handler makes produce metrics but no events, because
 * their events would run the handler again, without end.
 *
 * @internal
 */
export class IsEventHandler extends Context.Reference<IsEventHandler>()("effect-rpc-retry/RetryEvent/IsEventHandler", {
  defaultValue: () => false
}) {}

/**
 * An event of a circuit breaker.
 *
 * @internal
 */
export type CircuitEvent = CircuitOpened | CircuitHalfOpen | CircuitClosed

/**
 * The telemetry of one service.
 *
 * @internal
 */
export interface Telemetry {
  /** Returns the observer of a new call, `undefined` when nobody listens. */
  readonly observer: (
    method: string | undefined,
    policy: RetryPolicy.Complete,
    fiber: Fiber.RuntimeFiber<unknown, unknown>
  ) => Observer | undefined
  /** Returns a number that no other call of this service has. */
  readonly nextCall: () => number
  /** Sends an event that belongs to no call to the readers of the stream. */
  readonly publish: Observer
  /** Records an event of a circuit breaker of the service, and tells the readers of the stream. */
  readonly circuitChanged: (event: CircuitEvent) => void
  /** Returns a stream of the events from now on, buffered up to `capacity` events, until the scope closes. */
  readonly subscribe: (capacity: number) => Effect.Effect<Stream.Stream<RetryEvent>, never, Scope.Scope>
}

/**
 * Combines two observers into one that calls both in order.
 *
 * @internal
 */
export const both = (first: Observer | undefined, second: Observer): Observer =>
  first === undefined ? second : (event) => {
    first(event)
    second(event)
  }

/**
 * Whether log lines written inside an attempt are annotated with its method, number and idempotency key. Default
 * `false`.
 *
 * @internal
 */
export class AnnotateLogs extends Context.Reference<AnnotateLogs>()("effect-rpc-retry/RpcRetry/AnnotateLogs", {
  defaultValue: () => false
}) {}
