/**
 * The reasons of errors. The same values appear in errors, events, spans, metrics and log lines.
 *
 * The module `RpcError` exports them.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/**
 * Why an attempt failed with a `Retryable`.
 *
 * | reason              | means                                                                     |
 * | ------------------- | ------------------------------------------------------------------------- |
 * | `ConnectionRefused` | no server listens at that address                                         |
 * | `ConnectionLost`    | the connection broke: reset, closed, end of stream                        |
 * | `AttemptTimeout`    | no answer within the attempt timeout, or before the deadline              |
 * | `Unavailable`       | the peer, or the way to it, is not available now                          |
 * | `Throttled`         | the peer asks for less load                                               |
 * | `Custom`            | defined by the application, which gives details in `code` and `cause`     |
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
 * Whether the server can have seen the request: `NotSent` when it cannot, `Unknown` when the request may have run. A
 * call marked `idempotent: false` is retried only after `NotSent`.
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
 * Why an attempt failed with a `Fatal`.
 *
 * | reason             | means                                                                     |
 * | ------------------ | ------------------------------------------------------------------------- |
 * | `ServerError`      | the server answered with an error                                         |
 * | `InvalidArgument`  | the arguments cannot be encoded, or the server does not accept them       |
 * | `NotFound`         | the requested thing does not exist                                        |
 * | `PermissionDenied` | the caller is not allowed to make the call                                |
 * | `Unauthenticated`  | the server does not know who the caller is                                |
 * | `Unimplemented`    | the server has no such method                                             |
 * | `Protocol`         | the peer violates the protocol or speaks another one                      |
 * | `Cancelled`        | the work was cancelled: an aborted request, a closed client               |
 * | `Custom`           | defined by the application, or a failure that no rule classifies          |
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
 * Why a call gave up after at least one attempt.
 *
 * | reason              | means                                                                       |
 * | ------------------- | --------------------------------------------------------------------------- |
 * | `AttemptsExhausted` | the schedule allows no more retries                                         |
 * | `BudgetExhausted`   | the retry budget is spent                                                   |
 * | `DeadlineExceeded`  | the deadline passed during an attempt, which was ended, or during a delay   |
 * | `DeadlineTooClose`  | the next delay would end after the deadline, so the call did not wait       |
 * | `ServerSaidNo`      | the server said "do not retry", or asked for more than `maxServerDelay`     |
 * | `NotIdempotent`     | the call is marked `idempotent: false` and may have run                     |
 * | `CircuitOpen`       | the circuit breaker opened between two attempts                             |
 * | `BulkheadFull`      | the bulkhead had no free place for the next attempt                         |
 * | `NotRetried`        | the policy's `retryIf` returned `false`, or the caller's call is a retry    |
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
 * Why a call was rejected before anything was sent.
 *
 * | reason             | means                                                                     |
 * | ------------------ | ------------------------------------------------------------------------- |
 * | `DeadlineExceeded` | the deadline had passed before the first attempt                          |
 * | `CircuitOpen`      | the circuit breaker is open                                               |
 * | `Throttled`        | the client's own throttle refused the call                                |
 * | `BulkheadFull`     | the bulkhead is full: no free place now, or none before the deadline      |
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
 * The code that the protocol or the system gives a failure, such as `"ECONNREFUSED"`, `503`, `"UNAVAILABLE"`, `-32603`.
 *
 * @since 0.1.0
 * @category models
 */
export const Code = Schema.Union(Schema.String, Schema.Number)

/**
 * A code of a protocol or of the system: text or a number.
 *
 * @since 0.1.0
 * @category models
 */
export type Code = typeof Code.Type
