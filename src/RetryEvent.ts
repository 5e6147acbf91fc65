/**
 * What happens to calls, as values. Metrics, spans and the stream of a service are made from them.
 *
 * | event              | when                                                                                    |
 * | ------------------ | --------------------------------------------------------------------------------------- |
 * | `AttemptStarted`   | an attempt starts                                                                       |
 * | `AttemptSucceeded` | it succeeded                                                                            |
 * | `AttemptFailed`    | it failed: worth another one or not, with a domain error, with a defect                 |
 * | `RetryScheduled`   | another attempt follows, after a delay                                                  |
 * | `RetryRefused`     | no attempt follows one that failed with a `Retryable`; `reason` says why                |
 * | `CallSucceeded`    | the call ended well                                                                     |
 * | `CallFailed`       | it ended in an error, its own or one of yours; or was turned away before it began       |
 * | `CallInterrupted`  | the caller went, in an attempt or in a delay                                            |
 * | `BudgetLow`        | what is left of a budget fell below a quarter of the retries that it allows when full   |
 * | `PolicyUpdated`    | a policy of the service was replaced or taken back                                      |
 * | `EventsDropped`    | a subscriber was too slow; so many events before this one are lost                      |
 *
 * There are two ways to hear of them: `onEvent` of a policy, for the calls of that policy, and `stream`, for all calls that
 * a service gives their policy. Where nobody listens events are not even made.
 *
 * Calls that an `onEvent` makes are measured and make no events, or each would be one that makes another. A reader of a `stream`
 * that makes calls of the same service has to leave them out itself.
 *
 * Neither can harm a call. Both read from a bounded buffer that a call writes to without waiting; what does not fit pushes
 * out the oldest, and `EventsDropped` says how many.
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
  AttemptFailed,
  AttemptStarted,
  AttemptSucceeded,
  BudgetLow,
  CallFailed,
  CallInterrupted,
  CallSucceeded,
  EndOfCall,
  EventsDropped,
  OfCall,
  Outcome,
  PolicyUpdated,
  Reason,
  RetryEvent,
  RetryRefused,
  RetryScheduled
} from "./internal/event/event.js"

/**
 * The events of the service from now on: all of its calls that start after the stream does, and its updates. It never ends by
 * itself. Without a layer these are the calls that no layer gives their policy.
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
   * How many events wait for a slow reader: at least 1. What comes beyond pushes out the oldest, and an `EventsDropped` takes their
   * place. Default 1024.
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
