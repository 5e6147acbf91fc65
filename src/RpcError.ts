/**
 * The errors of attempts and calls.
 *
 * | error            | failure of | means                                                           |
 * | ---------------- | ---------- | --------------------------------------------------------------- |
 * | `Retryable`      | an attempt | another attempt may succeed                                     |
 * | `Fatal`          | an attempt | another attempt would fail in the same way                      |
 * | `RetryExhausted` | a call     | the call gave up; its last attempt failed with a `Retryable`    |
 * | `CallRejected`   | a call     | the call made no attempt, and nothing was sent                  |
 *
 * A transport fails with `Retryable | Fatal`. `withRpcRetry` retries a `Retryable`, and ends with `RetryExhausted` when
 * it gives up. So a caller gets `Fatal | RetryExhausted | CallRejected` and its own domain errors.
 *
 * Each class is also a `Schema`: a server can declare it as the error of a procedure and pass it on. The `cause` is
 * encoded as text of up to 4000 characters. `JSON.stringify` gives the encoded form with the message, `console.log` the
 * report.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as codec from "./internal/errors/codec.js"
import * as internal from "./internal/errors/message.js"
import {
  Code,
  Delivery,
  ExhaustedReason,
  FatalReason,
  RejectedReason,
  RetryableReason
} from "./internal/errors/reasons.js"

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

export {
  Code,
  Delivery,
  ExhaustedReason,
  FatalReason,
  RejectedReason,
  RetryableReason
} from "./internal/errors/reasons.js"

/**
 * Makes an error class cheaper than other `Schema.TaggedError`s, because an error is made for each failed attempt and
 * often dropped after the next. Its constructor does not validate (decoding does), and captures no stack trace, which
 * would only show the inside of this library.
 *
 * - `messageOf`: makes the message of an error that has no field for it.
 */
const lean = <A extends new(props: never, options?: Schema.MakeOptions) => unknown, Self>(
  Base: A,
  messageOf?: (self: Self) => string
): A => {
  const Lean = class extends (Base as unknown as new(props: unknown, options: Schema.MakeOptions) => object) {
    constructor(props: unknown) {
      const limit = Error.stackTraceLimit
      // not an assignment: that throws where the intrinsics are frozen
      Reflect.set(Error, "stackTraceLimit", 0)
      super(props, true)
      Reflect.set(Error, "stackTraceLimit", limit)
      if (messageOf !== undefined) {
        // an own data property, because `structuredClone` copies no other; not enumerable, as in other errors
        Object.defineProperty(this, "message", {
          value: messageOf(this as unknown as Self),
          enumerable: false,
          configurable: true,
          writable: true
        })
      }
    }
    get [TypeId](): TypeId {
      return TypeId
    }
    toJSON(): unknown {
      const { _tag, message } = this as unknown as RpcError
      const encoded = Schema.encodeUnknownOption(this.constructor as unknown as Schema.Schema<object>)(this)
      // an error whose fields do not match their types cannot be encoded, but must still be logged
      return { message, ...Option.getOrElse(encoded, () => ({ _tag })) }
    }
    [NodeInspectSymbol](
      depth?: number | null,
      options?: object,
      inspect: (value: unknown, options: object) => string = String
    ) {
      const error = this as unknown as RpcError
      const left = Math.min(depth ?? 2, 4)
      // a cyclic cause ends at the depth at which Node cuts other values
      return left < 0
        ? `[${error._tag}: ${error.message}]`
        : internal.inspect(error, (value) => inspect(value, { ...options, depth: left - 1 }))
    }
  }
  return Lean as unknown as A
}

/** Removes the fields that are `undefined`, which would be encoded otherwise. */
const given = <A extends { [field: string]: unknown }>(props: A): A => {
  for (const field in props) {
    if (props[field] === undefined) {
      delete props[field]
    }
  }
  return props
}

/**
 * The fields of a {@link Retryable}, where `retryAfter` may be any form of duration.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryableProps {
  /** Why the attempt failed. */
  readonly reason: RetryableReason
  /** Whether the server can have seen the request. */
  readonly delivery: Delivery
  /** The method, as `"Service.Method"`. `RpcCall.make` sets it. */
  readonly method?: string | undefined
  /** The code of the protocol or of the system, such as `503` or `"ECONNREFUSED"`. */
  readonly code?: Code | undefined
  /** Whether the call may run twice. `RpcCall.make` sets it, where the call says so. */
  readonly idempotent?: boolean | undefined
  /**
   * The delay that the server asked for, or `"Never"` when it said "do not retry". A number is in milliseconds. A
   * negative value and one that is no duration become `"Never"`.
   */
  readonly retryAfter?: Duration.DurationInput | "Never" | undefined
  /**
   * The time that the attempt waited before its dial, because previous dials had failed; absent without such a wait.
   */
  readonly waited?: Duration.Duration | undefined
  /** The address of the endpoint that the attempt was made at. `Endpoints` sets it. */
  readonly endpoint?: string | undefined
  /**
   * The original failure. It is printed and encoded without the credentials in it. Where it quotes a part of an answer
   * or of arguments, it is a `Redacted` of Effect, which `Redacted.value` reads.
   */
  readonly cause?: unknown
}

/**
 * The error of an attempt when another attempt may succeed.
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
    /** Why the attempt failed. */
    reason: RetryableReason,
    /** Whether the server can have seen the request. */
    delivery: Delivery,
    /** The method, as `"Service.Method"`; absent for a call without a name. */
    method: Schema.optional(Schema.String),
    /** The code of the protocol or of the system; absent when there is none. */
    code: Schema.optional(Code),
    /** Whether the call may run twice; absent when the call does not say so. */
    idempotent: Schema.optional(Schema.Boolean),
    /** The delay that the server asked for, or `"Never"` for "do not retry"; absent without a hint. */
    retryAfter: Schema.optional(codec.Hint),
    /** The time that the attempt waited before its dial, because previous dials had failed; absent without a wait. */
    waited: Schema.optional(Schema.DurationFromMillis),
    /** The address of the endpoint that the attempt was made at; absent for a call that chooses none. */
    endpoint: Schema.optional(Schema.String),
    /** The original failure; a `Redacted` where it quotes a part of an answer or of arguments. */
    cause: Schema.optional(codec.Cause)
  }),
  internal.retryableMessage
) {
  constructor(props: RetryableProps) {
    super(given({ ...props, retryAfter: codec.hintOf(props.retryAfter), cause: props.cause }))
  }
}

/**
 * The fields of a {@link Fatal}.
 *
 * @since 0.1.0
 * @category models
 */
export interface FatalProps {
  /** Why the attempt failed. */
  readonly reason: FatalReason
  /** The method, as `"Service.Method"`. `RpcCall.make` sets it. */
  readonly method?: string | undefined
  /** The code of the protocol or of the system, such as `404` or `"INVALID_ARGUMENT"`. */
  readonly code?: Code | undefined
  /**
   * A description for people. It is cut at 4000 characters, and `<redacted>` replaces the user info and query values of
   * URLs in it, and bearer tokens.
   */
  readonly message: string
  /**
   * The original failure. It is printed and encoded without the credentials in it. Where it quotes a part of an answer
   * or of arguments, it is a `Redacted` of Effect, which `Redacted.value` reads.
   */
  readonly cause?: unknown
}

/**
 * The error of an attempt when another attempt would fail in the same way, such as an error answer of the server, wrong
 * arguments or a broken protocol.
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
    /** Why the attempt failed. */
    reason: FatalReason,
    /** The method, as `"Service.Method"`; absent for a call without a name. */
    method: Schema.optional(Schema.String),
    /** The code of the protocol or of the system; absent when there is none. */
    code: Schema.optional(Code),
    /** A description for people, of at most 4000 characters. */
    message: Schema.String,
    /** The original failure; a `Redacted` where it quotes a part of an answer or of arguments. */
    cause: Schema.optional(codec.Cause)
  })
) {
  constructor(props: FatalProps) {
    super(given({ ...props, message: internal.bounded(props.message), cause: props.cause }))
  }
}

/**
 * The schema of a failed attempt in the `history` of a {@link RetryExhausted}.
 *
 * @since 0.1.0
 * @category models
 */
export const Attempt = Schema.Struct({
  /** The number of the attempt; the first one is 1. */
  attempt: Schema.Number,
  /** The time from the start of the call to the start of the attempt. */
  startedAt: Schema.DurationFromMillis,
  /** How long the attempt ran. */
  took: Schema.DurationFromMillis,
  /** The delay that followed; absent when none did. */
  delay: Schema.optional(Schema.DurationFromMillis),
  /** The error that the attempt failed with. */
  error: Retryable
})

/**
 * A failed attempt in the `history` of a {@link RetryExhausted}.
 *
 * @since 0.1.0
 * @category models
 */
export type Attempt = typeof Attempt.Type

/**
 * The error of a call that gave up after at least one attempt. The last attempt failed with a `Retryable`.
 *
 * Its `message` names the method, the attempts, the time, the last error and the reason; {@link report} adds a table of
 * the attempts. An outer `withRpcRetry` does not retry it, so that nested retries do not multiply.
 *
 * @since 0.1.0
 * @category errors
 */
export class RetryExhausted extends lean(
  Schema.TaggedError<RetryExhausted>("effect-rpc-retry/RpcError/RetryExhausted")("RetryExhausted", {
    /** The method, as `"Service.Method"`; absent for a call without a name. */
    method: Schema.optional(Schema.String),
    /** Why the call gave up. */
    reason: ExhaustedReason,
    /** The number of attempts made. */
    attempts: Schema.Number,
    /** The time from the start of the call to its end, including the delays. */
    elapsed: Schema.DurationFromMillis,
    /** The error of the last attempt. */
    last: Retryable,
    /** The first four and the last four failed attempts. A decoded error may have up to 100. */
    history: Schema.Array(Attempt).pipe(Schema.maxItems(100))
  }),
  internal.exhaustedMessage
) {}

/**
 * The error of a call that was rejected before its first attempt: nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class CallRejected extends lean(
  Schema.TaggedError<CallRejected>("effect-rpc-retry/RpcError/CallRejected")("CallRejected", {
    /** The method, as `"Service.Method"`; absent for a call without a name. */
    method: Schema.optional(Schema.String),
    /** Why the call was rejected. */
    reason: RejectedReason,
    /** The time after which the call may be accepted; absent when unknown. */
    retryIn: Schema.optional(Schema.DurationFromMillis)
  }),
  internal.rejectedMessage
) {}

/**
 * The schema of any of the four errors. Use it to declare the error of a procedure, or to store and log errors.
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
 * Any of the four errors.
 *
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
 * Sets the method of an error that has none.
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

/** Copies the fields by name, because `cause` is not enumerable. */
const fieldsOf = ({ cause, code, delivery, endpoint, idempotent, method, reason, retryAfter, waited }: Retryable) => ({
  cause,
  code,
  delivery,
  endpoint,
  idempotent,
  method,
  reason,
  retryAfter,
  waited
})

/**
 * Sets the method and `idempotent` of an error to those of its call, where the error has none.
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
 * Replaces the delivery of an error.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDelivery = (error: Retryable, delivery: Delivery): Retryable =>
  error.delivery === delivery ? error : new Retryable({ ...fieldsOf(error), delivery })

/**
 * Sets the time that an attempt waited before its dial, because previous dials had failed.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withWait = (error: Retryable, waited: Duration.Duration): Retryable =>
  new Retryable({ ...fieldsOf(error), waited })

/**
 * Replaces the delay that the server asked for.
 *
 * @internal
 */
export const withRetryAfter = (error: Retryable, retryAfter: Duration.Duration): Retryable =>
  new Retryable({ ...fieldsOf(error), retryAfter })

/**
 * Sets the endpoint of an error that has none.
 *
 * @internal
 */
export const withEndpoint = (error: Retryable, endpoint: string): Retryable =>
  error.endpoint === undefined ? new Retryable({ ...fieldsOf(error), endpoint }) : error

/**
 * Removes secrets of your application from the errors of attempts. It rewrites the message, a `code` that is text, and
 * the `cause`, which becomes text: an `Error` keeps its name and message, an excerpt stays redacted. Apply it after
 * code that reads the cause and before `withRpcRetry`, so that messages, logs, reports and encoded errors of the whole
 * call contain the rewritten texts only.
 *
 * - `rewrite`: returns the replacement of a text, which it gets without the credentials that are removed by default.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, RpcError, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const call: Effect.Effect<string, Retryable | Fatal>
 *
 * const program = call.pipe(
 *   Effect.mapError(RpcError.redactWith((text) => text.replaceAll(/cus_\w+/g, "<customer>"))),
 *   withRpcRetry
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const redactWith = (rewrite: (text: string) => string) => (error: Retryable | Fatal): Retryable | Fatal => {
  const cause = codec.rewritten(error.cause, rewrite)
  const code = typeof error.code === "string" ? rewrite(error.code) : error.code
  return error._tag === "Retryable"
    ? new Retryable({ ...fieldsOf(error), cause, code })
    : new Fatal({ reason: error.reason, method: error.method, code, message: rewrite(error.message), cause })
}

/**
 * Formats a failed call for a terminal: one line that says why it stopped and, for a call that made attempts, a table
 * of them.
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
export const report = (error: RpcError, options?: ReportOptions): string => internal.report(error, options)

/**
 * The options of {@link report}.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReportOptions {
  /**
   * Whether to show the excerpts of answers and arguments, unredacted, up to 4000 characters each. They may contain
   * secrets, so do not log them. Default `false`.
   */
  readonly excerpts?: boolean | undefined
}
