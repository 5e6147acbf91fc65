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
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as buffer from "./internal/eventBuffer.js"
import { checkKnown, checkNumber, orThrow } from "./InvalidOption.js"
import type { ExhaustedReason, FatalReason, RejectedReason, Retryable, RetryableReason } from "./RpcError.js"
import { RpcRetry } from "./RpcRetry.js"

/**
 * Any of them. Tell them apart by `_tag`, with `Match.valueTags` for instance.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryEvent =
  | AttemptStarted
  | AttemptSucceeded
  | AttemptFailed
  | RetryScheduled
  | RetryRefused
  | CallSucceeded
  | CallFailed
  | CallInterrupted
  | BudgetLow
  | PolicyUpdated
  | EventsDropped

/**
 * How an attempt or a call ended. `retryable` is an attempt's alone; a call that gave up is `exhausted`. `domain` is an error
 * of your own, which is an answer.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome =
  | "success"
  | "retryable"
  | "fatal"
  | "domain"
  | "exhausted"
  | "rejected"
  | "interrupted"
  | "defect"

/**
 * Why it ended so: the `reason` of the error. `undefined` for a success, a domain error, a defect and an interruption.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = RetryableReason | FatalReason | ExhaustedReason | RejectedReason

/**
 * What all events of calls have.
 *
 * - `call`: the same number for all events of one call, another for each call of a service.
 * - `method`: `undefined` for a call without a name.
 * - `destination`: the service part of the method, `""` where it has none.
 * - `at`: milliseconds of the `Clock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfCall {
  readonly call: number
  readonly method: string | undefined
  readonly destination: string
  readonly at: number
}

/**
 * - `attempt`: its number, the first one is 1.
 * - `after`: for a retry, how the attempt before it failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptStarted extends OfCall {
  readonly _tag: "AttemptStarted"
  readonly attempt: number
  readonly after: Retryable | undefined
}

/**
 * - `took`: how long the attempt ran.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttemptSucceeded extends OfCall {
  readonly _tag: "AttemptSucceeded"
  readonly attempt: number
  readonly took: Duration.Duration
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AttemptFailed extends OfCall {
  readonly _tag: "AttemptFailed"
  readonly attempt: number
  readonly took: Duration.Duration
  readonly outcome: Outcome
  readonly reason: Reason | undefined
  readonly cause: Cause.Cause<unknown>
}

/**
 * - `attempt`: the one that failed.
 * - `delay`: until the next one.
 * - `error`: how it failed. The delay is the server's where its `retryAfter` says one.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryScheduled extends OfCall {
  readonly _tag: "RetryScheduled"
  readonly attempt: number
  readonly delay: Duration.Duration
  readonly error: Retryable
}

/**
 * - `attempt`: the one that failed, which was the last.
 * - `reason`: that of the `RetryExhausted` that the call ends with.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryRefused extends OfCall {
  readonly _tag: "RetryRefused"
  readonly attempt: number
  readonly reason: ExhaustedReason
  readonly error: Retryable
}

/**
 * What all ends of calls have.
 *
 * - `attempts`: how many were made.
 * - `elapsed`: from the start of the call to its end.
 * - `waited`: how much of that was delays.
 * - `budget`: what its budget holds now, where it has one.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndOfCall extends OfCall {
  readonly attempts: number
  readonly elapsed: Duration.Duration
  readonly waited: Duration.Duration
  readonly budget: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CallSucceeded extends EndOfCall {
  readonly _tag: "CallSucceeded"
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CallFailed extends EndOfCall {
  readonly _tag: "CallFailed"
  readonly outcome: Outcome
  readonly reason: Reason | undefined
  readonly cause: Cause.Cause<unknown>
}

/**
 * - `during`: what was going on: an attempt, which was interrupted, or a delay.
 * - `took`: for how long that had been going on.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallInterrupted extends EndOfCall {
  readonly _tag: "CallInterrupted"
  readonly during: "attempt" | "delay"
  readonly took: Duration.Duration
}

/**
 * - `level`: what the budget holds after the step that lowered it.
 *
 * @since 0.1.0
 * @category models
 */
export interface BudgetLow extends OfCall {
  readonly _tag: "BudgetLow"
  readonly level: number
  readonly capacity: number
}

/**
 * - `name`: a method or a pattern; `undefined` when all policies were replaced at once. Only a `stream` sees it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyUpdated {
  readonly _tag: "PolicyUpdated"
  readonly name: string | undefined
  readonly change: "updated" | "removed" | "replaced"
  readonly at: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface EventsDropped {
  readonly _tag: "EventsDropped"
  readonly count: number
}

/**
 * The events of the service from now on: all of its calls that start after the stream does, and its updates. It never ends by
 * itself. Without a layer these are the calls that no layer gives their policy.
 *
 * - `capacity`: how many events wait for a slow reader; what comes beyond pushes out the oldest, and an `EventsDropped` takes
 *   their place. At least 1, default 1024.
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
export const stream = (options?: { readonly capacity?: number | undefined }): Stream.Stream<RetryEvent> => {
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
