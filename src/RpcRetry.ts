/**
 * Retries for any RPC call.
 *
 * ```ts
 * import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<{ name: string }, Retryable | Fatal>
 *
 * // Effect<{ name: string }, Fatal | RetryExhausted | CallRejected>
 * const user = getUser(1).pipe(withRpcRetry)
 * ```
 *
 * Only a `Retryable` is retried. `Fatal`, domain errors, defects and the interruption of the caller end the call at once
 * and pass through as they are.
 *
 * Without a `Layer` a call uses `RetryPolicy.default`. With one it uses the policy of the layer. The options of the call
 * itself come before both. Providing a layer never changes a type, as `RpcRetry` is a `Context.Reference`.
 *
 * What each part does to the type of a call:
 *
 * | before                                   | after `withRpcRetry`                                          |
 * | ---------------------------------------- | ------------------------------------------------------------- |
 * | `Effect<A, Retryable \| Fatal, R>`       | `Effect<A, Fatal \| RetryExhausted \| CallRejected, R>`       |
 * | `Effect<A, Retryable \| UserNotFound, R>` | `Effect<A, UserNotFound \| RetryExhausted \| CallRejected, R>` |
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as engine from "./internal/engine.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as RpcCall from "./RpcCall.js"
import type { CallRejected, Retryable, RetryExhausted } from "./RpcError.js"

/**
 * The policies in force. `policy` gives the complete policy of a method.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly policy: (method: string | undefined) => RetryPolicy.Complete
}

/**
 * The service that `withRpcRetry` asks for the policy of a call. It needs no layer: by default every call has
 * `RetryPolicy.default`.
 *
 * @since 0.1.0
 * @category references
 */
export class RpcRetry extends Context.Reference<RpcRetry>()("effect-rpc-retry/RpcRetry", {
  defaultValue: (): Service => make()
}) {}

/**
 * A service with one policy for all calls. Throws `InvalidOption` for a bad one.
 *
 * - `default`: the policy, or some of its fields; the rest comes from `RetryPolicy.default`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: { readonly default?: RetryPolicy.Options | undefined }): Service => {
  const policy = RetryPolicy.merge(RetryPolicy.default, RetryPolicy.make(options?.default ?? {}))
  return { policy: () => policy }
}

/**
 * Gives every call inside it the same policy. Throws `InvalidOption` for a bad one, when the layer is made.
 *
 * @example
 * ```ts
 * import { RpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const program: Effect.Effect<void>
 *
 * const RetryLive = RpcRetry.layer({ default: { attemptTimeout: "1 second", deadline: "5 seconds" } })
 *
 * const main = program.pipe(Effect.provide(RetryLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: { readonly default?: RetryPolicy.Options | undefined }): Layer.Layer<never> =>
  Layer.succeed(RpcRetry, make(options))

/**
 * What one call says for itself: any field of a policy, and
 *
 * - `method`: `"Service.Method"`, for the policy, the errors and the telemetry. An `RpcCall` knows its own.
 * - `idempotencyKey`: `true` for a key made anew for each call, or the key itself. All attempts of the call see it as
 *   `Deadline.IdempotencyKey`, for the transport to send. Default: none.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends RetryPolicy.Options {
  readonly method?: string | undefined
  readonly idempotencyKey?: string | boolean | undefined
}

/**
 * What `withRpcRetry` gives: a call with its `Retryable`s dealt with or, when it was given no call, a function from call
 * to call.
 *
 * @since 0.1.0
 * @category models
 */
export type Retried<T> = T extends Effect.Effect<infer A, infer E, infer R>
  ? Effect.Effect<A, Exclude<E, Retryable> | RetryExhausted | CallRejected, R>
  : <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, Exclude<E, Retryable> | RetryExhausted | CallRejected, R>

/** What makes an option that does not exist an error: a type parameter alone takes any. */
type NoExcess<T> = T extends AnyCall ? unknown
  : { readonly [K in Exclude<keyof T, keyof Options | keyof RetryPolicy.RetryPolicy>]: never }

type AnyCall = Effect.Effect<unknown, unknown, unknown>

/** What the options of a call come to, checked once, when `withRpcRetry` is given them. */
const retrying = (options: Options): (self: AnyCall) => AnyCall => {
  const own = RetryPolicy.make(options)
  const ownOver = mergedOver(own)
  const idempotencyKey = options.idempotencyKey ?? false
  return (self) => {
    const named = RpcCall.isRpcCall(self) ? self : undefined
    const method = options.method ?? named?.method
    const over = named?.idempotent === undefined
      ? ownOver
      : mergedOver(RetryPolicy.merge(RetryPolicy.make({ idempotent: named.idempotent }), own))
    return engine.run(self, (ambient) => ({
      policy: over(Context.get(ambient, RpcRetry).policy(method)),
      method,
      idempotencyKey
    }))
  }
}

/** Merges onto the policy of the service, anew only when the service has another one than the last time. */
const mergedOver = (own: RetryPolicy.RetryPolicy): (base: RetryPolicy.Complete) => RetryPolicy.Complete => {
  let last: RetryPolicy.Complete | undefined
  let merged: RetryPolicy.Complete | undefined
  return (base) => {
    if (merged === undefined || base !== last) {
      last = base
      merged = RetryPolicy.merge(base, own)
    }
    return merged
  }
}

/** `withRpcRetry` without options, which is made only once. */
const plain = retrying({})

/**
 * Retries a call.
 *
 * ```ts
 * import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import type * as Effect from "effect/Effect"
 *
 * declare const call: Effect.Effect<string, Retryable | Fatal>
 *
 * call.pipe(withRpcRetry)
 * call.pipe(withRpcRetry())
 * call.pipe(withRpcRetry({ method: "Users.Get", deadline: "2 seconds" }))
 * withRpcRetry(call, { method: "Users.Get" })
 * ```
 *
 * When no attempt succeeds it fails with `RetryExhausted`, which says why it stopped and remembers the attempts; when the
 * deadline had passed before the first attempt, with `CallRejected`.
 *
 * Interrupting the call stops the attempt or the delay it is in, at once: no further attempt starts, no timer stays.
 *
 * A call whose errors are not `Retryable | Fatal` yet goes through a classifier first:
 *
 * ```ts
 * import { Classify, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const query: Effect.Effect<string, Error>
 *
 * query.pipe(Effect.mapError(Classify.classify), withRpcRetry)
 * ```
 *
 * To retry an answer that is not wanted, make it a `Retryable`:
 *
 * ```ts
 * import { type Fatal, Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const status: Effect.Effect<"pending" | "done", Retryable | Fatal>
 *
 * status.pipe(
 *   Effect.filterOrFail(
 *     (answer) => answer === "done",
 *     () => new Retryable({ reason: "Custom", delivery: "Unknown", code: "PENDING" })
 *   ),
 *   withRpcRetry
 * )
 * ```
 *
 * Throws `InvalidOption` for a bad option.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withRpcRetry = <T extends AnyCall | Options = {}>(
  x?: T & NoExcess<T>,
  options?: Options
): Retried<T> =>
  (Effect.isEffect(x)
    ? (options === undefined ? plain : retrying(options))(x as AnyCall)
    : x === undefined
    ? plain
    : retrying(x as Options)) as Retried<T>
