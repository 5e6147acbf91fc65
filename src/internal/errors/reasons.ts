/**
 * The words in which failures are told: in errors, events, spans, metrics and log lines alike.
 *
 * `RpcError` gives them to users.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * Why an attempt failed in a way that is worth another one.
 *
 * | reason              | means                                                                     |
 * | ------------------- | ------------------------------------------------------------------------- |
 * | `ConnectionRefused` | nobody listens at that address                                            |
 * | `ConnectionLost`    | the connection broke: reset, closed, end of stream                        |
 * | `AttemptTimeout`    | no answer within the attempt timeout, or before the deadline              |
 * | `Unavailable`       | the peer, or the way to it, is not available now                          |
 * | `Throttled`         | the peer asks for less load                                               |
 * | `Custom`            | the application's own; say more in `code` and `cause`                     |
 *
 * @since 0.1.0
 * @category models
 */
export const RetryableReason = Schema.Literal(
  "ConnectionRefused",
  "ConnectionLost",
  "AttemptTimeout",
  "Unavailable",
  "Throttled",
  "Custom"
)

/**
 * The reason of a `Retryable`.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryableReason = typeof RetryableReason.Type

/**
 * Whether the server can have seen the request: `NotSent` says it cannot, `Unknown` that it may have run. A call
 * marked `idempotent: false` is retried only after `NotSent`.
 *
 * @since 0.1.0
 * @category models
 */
export const Delivery = Schema.Literal("NotSent", "Unknown")

/**
 * Whether the server can have seen the request.
 *
 * @since 0.1.0
 * @category models
 */
export type Delivery = typeof Delivery.Type

/**
 * Why an attempt failed in a way that another one would repeat.
 *
 * | reason             | means                                                                     |
 * | ------------------ | ------------------------------------------------------------------------- |
 * | `ServerError`      | the server answered with an error                                         |
 * | `InvalidArgument`  | the arguments cannot be sent, or the server does not take them            |
 * | `NotFound`         | there is no such thing                                                    |
 * | `PermissionDenied` | the caller may not                                                        |
 * | `Unauthenticated`  | the server does not know who the caller is                                |
 * | `Unimplemented`    | the server has no such method                                             |
 * | `Protocol`         | the peer does not speak the protocol, or not as agreed                    |
 * | `Cancelled`        | the work was given up: an aborted request, a closed client                |
 * | `Custom`           | the application's own, or a failure that no classifier knows              |
 *
 * @since 0.1.0
 * @category models
 */
export const FatalReason = Schema.Literal(
  "ServerError",
  "InvalidArgument",
  "NotFound",
  "PermissionDenied",
  "Unauthenticated",
  "Unimplemented",
  "Protocol",
  "Cancelled",
  "Custom"
)

/**
 * The reason of a `Fatal`.
 *
 * @since 0.1.0
 * @category models
 */
export type FatalReason = typeof FatalReason.Type

/**
 * Why a call stopped retrying.
 *
 * | reason              | means                                                                       |
 * | ------------------- | --------------------------------------------------------------------------- |
 * | `AttemptsExhausted` | the schedule is done                                                        |
 * | `BudgetExhausted`   | the shared budget of retries is spent                                       |
 * | `DeadlineExceeded`  | the deadline passed during an attempt, which was cut, or in a late delay    |
 * | `DeadlineTooClose`  | the next delay would have passed the deadline, so it was not slept          |
 * | `ServerSaidNo`      | the server said "do not retry", or asked for more than `maxServerDelay`     |
 * | `NotIdempotent`     | the call is marked `idempotent: false` and may have run                     |
 * | `CircuitOpen`       | the circuit breaker opened between two attempts                             |
 * | `BulkheadFull`      | the bulkhead had no place for the next attempt                              |
 * | `NotRetried`        | the policy's `retryIf` said no, or the caller's own call is a retry         |
 *
 * @since 0.1.0
 * @category models
 */
export const ExhaustedReason = Schema.Literal(
  "AttemptsExhausted",
  "BudgetExhausted",
  "DeadlineExceeded",
  "DeadlineTooClose",
  "ServerSaidNo",
  "NotIdempotent",
  "CircuitOpen",
  "BulkheadFull",
  "NotRetried"
)

/**
 * The reason of a `RetryExhausted`.
 *
 * @since 0.1.0
 * @category models
 */
export type ExhaustedReason = typeof ExhaustedReason.Type

/**
 * Why a call was turned away before anything was sent.
 *
 * | reason             | means                                                                     |
 * | ------------------ | ------------------------------------------------------------------------- |
 * | `DeadlineExceeded` | the deadline had passed                                                   |
 * | `CircuitOpen`      | the circuit breaker is open                                               |
 * | `Throttled`        | the client's own throttle held the call back                              |
 * | `BulkheadFull`     | the bulkhead has no place for another attempt, nor for one that waits     |
 *
 * @since 0.1.0
 * @category models
 */
export const RejectedReason = Schema.Literal("CircuitOpen", "DeadlineExceeded", "Throttled", "BulkheadFull")

/**
 * The reason of a `CallRejected`.
 *
 * @since 0.1.0
 * @category models
 */
export type RejectedReason = typeof RejectedReason.Type

/**
 * The protocol's own code of a failure: `"ECONNREFUSED"`, `503`, `"UNAVAILABLE"`, `-32603`.
 *
 * @since 0.1.0
 * @category models
 */
export const Code = Schema.Union(Schema.String, Schema.Number)

/**
 * A code of the protocol: text or a number.
 *
 * @since 0.1.0
 * @category models
 */
export type Code = typeof Code.Type
