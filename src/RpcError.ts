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
 * Errors are values here: made for one attempt, often dropped by the next. So, unlike other `Schema.TaggedError`s, they
 * are not validated when made in typed code (decoding validates), and do not pay for a stack trace, which would only
 * show the inside of this library.
 *
 * - `messageOf`: the message of an error that has no field for it.
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
        // its own and plain, as `structuredClone` takes no other, and as quiet as that of other errors
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

/** What was given: a field that is there and `undefined` would be encoded as such. */
const given = <A extends { [field: string]: unknown }>(props: A): A => {
  for (const field in props) {
    if (props[field] === undefined) {
      delete props[field]
    }
  }
  return props
}

/**
 * What a {@link Retryable} is made of: its fields, but `retryAfter` may be any duration.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryableProps {
  /** Why the attempt failed. */
  readonly reason: RetryableReason
  /** Whether the server can have seen the request. */
  readonly delivery: Delivery
  /** `"Service.Method"`. `RpcCall.make` fills it in. */
  readonly method?: string | undefined
  /** The protocol's own code. */
  readonly code?: Code | undefined
  /** Whether the call may run twice, where the call said so. `RpcCall.make` fills it in. */
  readonly idempotent?: boolean | undefined
  /**
   * What the server asked for: wait so long, or `"Never"`. A number is milliseconds. One that is negative or no duration
   * counts as `"Never"`: who asks for a delay that nobody understands is not to be asked again at once.
   */
  readonly retryAfter?: Duration.DurationInput | "Never" | undefined
  /** How long the attempt waited before its dial, because dials before it had failed; absent when it did not wait. */
  readonly waited?: Duration.Duration | undefined
  /**
   * The failure as it arrived. Printed and encoded without the credentials in it. Where it quotes a part of an answer or of arguments it
   * is a `Redacted` of Effect: `Redacted.value` gives it.
   */
  readonly cause?: unknown
}

/**
 * A failed attempt that is worth another one.
 *
 * - `retryAfter`: what the server asked for: wait just so long, or `"Never"`.
 * - `idempotent`: whether the call may run twice, where the call said so. It is set by `RpcCall.make`, and read by
 *   `withRpcRetry` wherever the error has passed through on its way.
 * - `code`: the protocol's own code.
 * - `waited`: how long the attempt waited before its dial was made, as dials before it had failed; absent when it did not.
 * - `cause`: the failure as it arrived, a `Redacted` where it quotes a part of an answer or of arguments.
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
  }),
  internal.retryableMessage
) {
  constructor(props: RetryableProps) {
    super(given({ ...props, retryAfter: codec.hintOf(props.retryAfter), cause: props.cause }))
  }
}

/**
 * What a {@link Fatal} is made of: its fields.
 *
 * @since 0.1.0
 * @category models
 */
export interface FatalProps {
  /** Why the attempt failed. */
  readonly reason: FatalReason
  /** `"Service.Method"`. `RpcCall.make` fills it in. */
  readonly method?: string | undefined
  /** The protocol's own code. */
  readonly code?: Code | undefined
  /**
   * What happened, for a person to read. Of a text beyond 4000 characters the rest is dropped; user info and query values of
   * URLs in it, and bearer tokens, are replaced by `<redacted>`.
   */
  readonly message: string
  /**
   * The failure as it arrived. Printed and encoded without the credentials in it. Where it quotes a part of an answer or of arguments it
   * is a `Redacted` of Effect: `Redacted.value` gives it.
   */
  readonly cause?: unknown
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
) {
  constructor(props: FatalProps) {
    super(given({ ...props, message: internal.bounded(props.message), cause: props.cause }))
  }
}

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
 * One failed attempt, as `RetryExhausted` remembers it.
 *
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
  }),
  internal.exhaustedMessage
) {}

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
  }),
  internal.rejectedMessage
) {}

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
 * Takes secrets of your own out of the errors of attempts: rewrites their message, a `code` that is text, and the `cause`, which is
 * text afterwards: an `Error` keeps its name and message, an excerpt stays hidden. Use it after whatever looks into the cause, and
 * before `withRpcRetry`: then messages, logs, reports and encoded errors of the whole call have only what it returns.
 *
 * - `rewrite`: given each text without the credentials that are taken out by default; returns what is to stand there.
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
export const report = (error: RpcError, options?: ReportOptions): string => internal.report(error, options)

/**
 * What {@link report} shows.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReportOptions {
  /**
   * Whether excerpts of answers and arguments are shown, below the rest and as they came, up to 4000 characters each. They may have
   * secrets in them: for a developer's eyes, not for logs. Default `false`.
   */
  readonly excerpts?: boolean | undefined
}
