/**
 * The events of calls: attempts, retries and ends. Metrics and spans are made from the same events.
 *
 * | event              | when                                                                                    |
 * | ------------------ | --------------------------------------------------------------------------------------- |
 * | `AttemptStarted`   | an attempt starts                                                                       |
 * | `AttemptSucceeded` | an attempt succeeded                                                                    |
 * | `AttemptFailed`    | an attempt failed with a `Retryable`, a `Fatal`, a domain error or a defect             |
 * | `AttemptCancelled` | an attempt was interrupted, as another one of its call was answered first               |
 * | `HedgeWon`         | an attempt beside a slow one was answered first                                         |
 * | `HedgeRefused`     | an attempt beside a slow one was due, and its load or the retry budget did not allow it |
 * | `RetryScheduled`   | a failed attempt will be followed by another one, after a delay                         |
 * | `RetryRefused`     | an attempt failed with a `Retryable` and no other follows; `reason` says why            |
 * | `CallSucceeded`    | a call succeeded                                                                        |
 * | `CallFailed`       | a call failed, or was rejected before its first attempt                                 |
 * | `CallInterrupted`  | a call was interrupted, during an attempt or during a delay                             |
 * | `CallShed`         | a breaker, a bulkhead or a throttle rejected a call before its first attempt            |
 * | `CircuitOpened`    | a circuit breaker of the layer opened                                                   |
 * | `CircuitHalfOpen`  | the opening of a circuit breaker is over, and it admits probes                          |
 * | `CircuitClosed`    | a circuit breaker closed, or begins to close                                            |
 * | `BudgetLow`        | the retries that a budget allows fell below a quarter of those that it allows when full |
 * | `PolicyUpdated`    | a policy of the service was updated, removed or replaced                                |
 * | `EventsDropped`    | a reader was too slow, so that events before this one were dropped                      |
 *
 * There are two ways to receive them: the option `onEvent` of a policy, for the calls under that policy, and {@link
 * stream}, for all calls that get their policy from a service. Without a listener no events are made.
 *
 * Calls made inside an `onEvent` handler produce metrics but no events, since their events would run the handler again,
 * without end. A reader of a `stream` that makes calls of the same service has to filter out their events itself.
 *
 * Listeners cannot slow down or fail a call: it writes its events to a bounded buffer without waiting. When the buffer
 * is full the oldest events are dropped, and an `EventsDropped` says how many.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as buffer from "./internal/event/buffer.js"
import type { RetryEvent } from "./internal/event/event.js"
import { checkKnown, checkNumber, orThrow } from "./InvalidOption.js"
import { RpcRetry } from "./RpcRetry.js"

export type {
  AttemptCancelled,
  AttemptFailed,
  AttemptStarted,
  AttemptSucceeded,
  BudgetLow,
  CallFailed,
  CallInterrupted,
  CallShed,
  CallSucceeded,
  CircuitClosed,
  CircuitHalfOpen,
  CircuitOpened,
  EndOfCall,
  EventsDropped,
  HedgeRefused,
  HedgeWon,
  OfCall,
  OfCircuit,
  Outcome,
  PolicyUpdated,
  Reason,
  RetryEvent,
  RetryRefused,
  RetryScheduled
} from "./internal/event/event.js"

/**
 * Returns the events of the service: those of all its calls that start after the stream does, and its policy updates.
 * The stream does not end by itself. Without a layer, it has the events of the calls made without a layer.
 *
 * A forked stream starts a moment after the fork. In a test, put `yield* TestClock.adjust("1 millis")` between the fork
 * and the calls whose events it should have.
 *
 * @example
 * ```ts
 * import { RetryEvent } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const watch = RetryEvent.stream().pipe(
 *   Stream.filter((event) => event._tag === "RetryRefused"),
 *   Stream.runForEach((event) => Effect.log(`${event.method} is not retried: ${event.reason}`))
 * )
 * ```
 *
 * @since 0.1.0
 * @category streams
 */
export const stream = (options?: {
  /**
   * The most events that are buffered for a slow reader: an integer of at least 1, else `InvalidOption` is thrown.
   * Beyond it the oldest are dropped, and an `EventsDropped` takes their place. Default 1024.
   */
  readonly capacity?: number | undefined
}): Stream.Stream<RetryEvent> => {
  orThrow(checkKnown("RetryEvent.stream", options ?? {}, ["capacity"]))
  const capacity = orThrow(
    checkNumber("RetryEvent.stream", "capacity", options?.capacity ?? buffer.defaultCapacity, {
      min: 1,
      max: 1e9,
      integer: true
    })
  )
  return Stream.unwrapScoped(Effect.flatMap(RpcRetry, (service) => service.telemetry.subscribe(capacity)))
}
