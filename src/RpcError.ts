/**
 * The four ways a call fails.
 *
 * | error            | said by    | means                                                          |
 * | ---------------- | ---------- | -------------------------------------------------------------- |
 * | `Retryable`      | an attempt | it failed, and another attempt may do better                   |
 * | `Fatal`          | an attempt | it failed, and another attempt would fail in the same way      |
 * | `RetryExhausted` | a call     | at least one attempt was made, the last one was `Retryable`    |
 * | `CallRejected`   | a call     | no attempt was made: nothing was sent                          |
 *
 * A transport fails with `Retryable | Fatal`. `withRpcRetry` turns what is left of the `Retryable`s into
 * `RetryExhausted`, so a caller sees `Fatal | RetryExhausted | CallRejected` and its own domain errors.
 *
 * Each class is its own `Schema`: a server can declare them as the errors of a procedure and pass them on. The `cause`
 * survives encoding as text, up to 4000 characters. `JSON.stringify` gives the encoded form too, with the message; and
 * `console.log` the report.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as codec from "./internal/codec.js"
import * as internal from "./internal/report.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/RpcError"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

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
 * | `CircuitOpen`       | reserved for a circuit breaker that opens between two attempts              |
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
  "NotRetried"
)

/**
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
 * | `CircuitOpen`      | reserved for a circuit breaker that is open                               |
 * | `Throttled`        | reserved for a limit of the client's own                                  |
 * | `BulkheadFull`     | reserved for a limit of calls at once                                     |
 *
 * @since 0.1.0
 * @category models
 */
export const RejectedReason = Schema.Literal("CircuitOpen", "DeadlineExceeded", "Throttled", "BulkheadFull")

/**
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
 * @since 0.1.0
 * @category models
 */
export type Code = typeof Code.Type

/**
 * Errors are values here: made for one attempt, often dropped by the next. So, unlike other `Schema.TaggedError`s, they
 * are not validated when made in typed code (decoding validates), and do not pay for a stack trace, which would only
 * show the inside of this library.
 */
const lean = <A extends new(props: never, options?: Schema.MakeOptions) => unknown>(Base: A): A => {
  const Lean = class extends (Base as unknown as new(props: unknown, options: Schema.MakeOptions) => object) {
    constructor(props: unknown) {
      const limit = Error.stackTraceLimit
      Error.stackTraceLimit = 0
      super(props, true)
      Error.stackTraceLimit = limit
    }
    get [TypeId](): TypeId {
      return TypeId
    }
    toJSON(): unknown {
      const { _tag, message } = this as unknown as RpcError
      const encoded = Schema.encodeUnknownOption(this.constructor as unknown as Schema.Schema<object>)(this)
      // what is not as its type says cannot be encoded, and is logged all the same
      return { message, ...Option.getOrElse(encoded, () => ({ _tag })) }
    }
    [NodeInspectSymbol](
      depth?: number | null,
      options?: object,
      inspect: (value: unknown, options: object) => string = String
    ) {
      const error = this as unknown as RpcError
      const left = Math.min(depth ?? 2, 4)
      // a cause that leads back here ends where Node ends other values
      return left < 0
        ? `[${error._tag}: ${error.message}]`
        : internal.inspect(error, (value) => inspect(value, { ...options, depth: left - 1 }))
    }
  }
  return Lean as unknown as A
}

/**
 * A failed attempt that is worth another one.
 *
 * - `retryAfter`: what the server asked for: wait just so long, or `"Never"`.
 * - `idempotent`: whether the call may run twice, where the call said so. It is set by `RpcCall.make`, and read by
 *   `withRpcRetry` wherever the error has passed through on its way.
 * - `code`: the protocol's own code.
 * - `waited`: how long the attempt waited before its dial was made, as dials before it had failed; absent when it did not.
 * - `cause`: the failure as it arrived.
 *
 * @example
 * ```ts
 * import { Retryable } from "effect-rpc-retry"
 *
 * const error = new Retryable({ reason: "Unavailable", delivery: "NotSent", code: "ENOTFOUND" })
 * console.log(error.message) // unavailable (ENOTFOUND), not sent
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class Retryable extends lean(
  Schema.TaggedError<Retryable>("effect-rpc-retry/RpcError/Retryable")("Retryable", {
    reason: RetryableReason,
    delivery: Delivery,
    method: Schema.optional(Schema.String),
    code: Schema.optional(Code),
    idempotent: Schema.optional(Schema.Boolean),
    retryAfter: Schema.optional(codec.Hint),
    waited: Schema.optional(Schema.DurationFromMillis),
    cause: Schema.optional(codec.Cause)
  })
) {
  override get message(): string {
    return internal.retryableMessage(this)
  }
}

/**
 * A failed attempt that no other attempt would mend: an answer, a mistake of the caller's, a broken protocol.
 *
 * @example
 * ```ts
 * import { Fatal } from "effect-rpc-retry"
 *
 * const error = new Fatal({ reason: "ServerError", method: "Arith.Divide", message: "divide by zero" })
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class Fatal extends lean(
  Schema.TaggedError<Fatal>("effect-rpc-retry/RpcError/Fatal")("Fatal", {
    reason: FatalReason,
    method: Schema.optional(Schema.String),
    code: Schema.optional(Code),
    message: Schema.String,
    cause: Schema.optional(codec.Cause)
  })
) {}

/**
 * One failed attempt, as `RetryExhausted` remembers it.
 *
 * - `attempt`: its number, the first one is 1.
 * - `startedAt`: when it started, counted from the start of the call.
 * - `took`: how long it ran.
 * - `delay`: the wait that followed; absent when none did.
 * - `error`: how it failed.
 *
 * @since 0.1.0
 * @category models
 */
export const Attempt = Schema.Struct({
  attempt: Schema.Number,
  startedAt: Schema.DurationFromMillis,
  took: Schema.DurationFromMillis,
  delay: Schema.optional(Schema.DurationFromMillis),
  error: Retryable
})

/**
 * @since 0.1.0
 * @category models
 */
export type Attempt = typeof Attempt.Type

/**
 * A call that made at least one attempt and gave up, the last attempt having failed with a `Retryable`.
 *
 * - `attempts`: how many were made.
 * - `elapsed`: from the start of the call to its end, delays included.
 * - `last`: how the last attempt failed.
 *
 * Its `message` alone tells the story; `report` prints every attempt. `history` keeps the first four and the last four
 * failed attempts (one of another make, decoded, may have up to 100). An outer `withRpcRetry` does not retry it, so layers of retries do not multiply.
 *
 * @since 0.1.0
 * @category errors
 */
export class RetryExhausted extends lean(
  Schema.TaggedError<RetryExhausted>("effect-rpc-retry/RpcError/RetryExhausted")("RetryExhausted", {
    method: Schema.optional(Schema.String),
    reason: ExhaustedReason,
    attempts: Schema.Number,
    elapsed: Schema.DurationFromMillis,
    last: Retryable,
    history: Schema.Array(Attempt).pipe(Schema.maxItems(100))
  })
) {
  override get message(): string {
    return internal.exhaustedMessage(this)
  }
}

/**
 * A call that was turned away before anything was sent. `retryIn`, where it is known, says when it may be worth another try.
 *
 * @since 0.1.0
 * @category errors
 */
export class CallRejected extends lean(
  Schema.TaggedError<CallRejected>("effect-rpc-retry/RpcError/CallRejected")("CallRejected", {
    method: Schema.optional(Schema.String),
    reason: RejectedReason,
    retryIn: Schema.optional(Schema.DurationFromMillis)
  })
) {
  override get message(): string {
    return internal.rejectedMessage(this)
  }
}

/**
 * Any of the four, as a `Schema`: to declare as the error of a procedure, to store, to log.
 *
 * @example
 * ```ts
 * import { RpcError } from "effect-rpc-retry"
 * import * as Schema from "effect/Schema"
 *
 * const json = Schema.encodeSync(RpcError.RpcError)(
 *   new RpcError.CallRejected({ reason: "DeadlineExceeded", method: "Users.Get" })
 * )
 * // { _tag: "CallRejected", reason: "DeadlineExceeded", method: "Users.Get" }
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export const RpcError = Schema.Union(Retryable, Fatal, RetryExhausted, CallRejected)

/**
 * @since 0.1.0
 * @category models
 */
export type RpcError = typeof RpcError.Type

/**
 * @since 0.1.0
 * @category guards
 */
export const isRpcError = (u: unknown): u is RpcError => Predicate.hasProperty(u, TypeId)

/**
 * @since 0.1.0
 * @category guards
 */
export const isRetryable = (u: unknown): u is Retryable => isRpcError(u) && u._tag === "Retryable"

/**
 * @since 0.1.0
 * @category guards
 */
export const isFatal = (u: unknown): u is Fatal => isRpcError(u) && u._tag === "Fatal"

/**
 * @since 0.1.0
 * @category guards
 */
export const isRetryExhausted = (u: unknown): u is RetryExhausted => isRpcError(u) && u._tag === "RetryExhausted"

/**
 * @since 0.1.0
 * @category guards
 */
export const isCallRejected = (u: unknown): u is CallRejected => isRpcError(u) && u._tag === "CallRejected"

/**
 * The error of an attempt with the method filled in where it was not known yet.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withMethod = (error: Retryable | Fatal, method: string): Retryable | Fatal => {
  if (error.method !== undefined) {
    return error
  }
  const { cause, code, message } = error
  return error._tag === "Retryable"
    ? new Retryable({ ...fieldsOf(error), method })
    : new Fatal({ reason: error.reason, method, code, message, cause })
}

/** One by one: `cause` is not enumerable. */
const fieldsOf = ({ cause, code, delivery, idempotent, method, reason, retryAfter, waited }: Retryable) => ({
  cause,
  code,
  delivery,
  idempotent,
  method,
  reason,
  retryAfter,
  waited
})

/**
 * The error of an attempt with what its call knows of itself: the method, and whether it may run twice. What the error says
 * already stays.
 *
 * @internal
 */
export const stamped = (
  error: Retryable | Fatal,
  { idempotent, method }: { readonly method: string; readonly idempotent?: boolean | undefined }
): Retryable | Fatal =>
  error._tag === "Fatal" || idempotent === undefined || error.idempotent !== undefined
    ? withMethod(error, method)
    : new Retryable({ ...fieldsOf(error), idempotent, method: error.method ?? method })

/**
 * The error of an attempt by somebody who knows better whether the server can have seen the request.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDelivery = (error: Retryable, delivery: Delivery): Retryable =>
  error.delivery === delivery ? error : new Retryable({ ...fieldsOf(error), delivery })

/**
 * The error of an attempt whose dial was held back, since dials before it had failed.
 *
 * - `waited`: how long.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withWait = (error: Retryable, waited: Duration.Duration): Retryable =>
  new Retryable({ ...fieldsOf(error), waited })

/**
 * The whole story of a failed call, to be read in a terminal: one line that says why it stopped and, for a call that
 * made attempts, a table of them.
 *
 * ```text
 * Users.Get failed after 4 attempts in 481ms: connection refused (ECONNREFUSED), not sent [AttemptsExhausted]
 *
 *   attempt  started  took  delay  outcome
 *         1      0ms   2ms  100ms  connection refused (ECONNREFUSED), not sent
 *         2    102ms   1ms  150ms  connection refused (ECONNREFUSED), not sent
 *         3    253ms   1ms  225ms  connection refused (ECONNREFUSED), not sent
 *         4    479ms   2ms      -  connection refused (ECONNREFUSED), not sent
 * ```
 *
 * @example
 * ```ts
 * import { type Fatal, RpcError, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const call: Effect.Effect<string, RpcError.Retryable | Fatal>
 *
 * const program = call.pipe(
 *   withRpcRetry,
 *   Effect.tapError((error) => Effect.logWarning(RpcError.report(error)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category formatting
 */
export const report = (error: RpcError): string => internal.report(error)
