/**
 * A call that knows its name: an `Effect` that also carries its method and whether it may run twice.
 *
 * Transports of this package return `RpcCall`s, so that `withRpcRetry` knows which method it retries without being told.
 *
 * Piped through an operator of `Effect` it becomes an ordinary effect again, but its failures still carry what the call knows
 * of itself: `withRpcRetry` learns the method and `idempotent` from the first failure, and retries by the policy of that
 * method. Two things cannot be learned then: an attempt timeout that a layer sets for the method does not bound the first
 * attempt, and spans, metrics and events show the call as unnamed. Name it once more with {@link make}, or with the `method`
 * option of `withRpcRetry`, to have both.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Classify from "./Classify.js"
import * as progress from "./internal/ambient/progress.js"
import * as Causes from "./internal/effect/cause.js"
import { Fatal, isFatal, isRetryable, type Retryable, stamped, withMethod } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/RpcCall"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * An effect that knows its method and whether it may run twice.
 *
 * @since 0.1.0
 * @category models
 */
export interface RpcCall<out A, out E = never, out R = never> extends Effect.Effect<A, E, R> {
  readonly [TypeId]: TypeId
  /** `"Service.Method"`. */
  readonly method: string
  /**
   * `true` when running the call twice is the same as running it once, `false` when it is not, `undefined` when that is not known.
   * It comes before what a layer says of the method.
   */
  readonly idempotent: boolean | undefined
}

/**
 * What {@link make} says of a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** `"Service.Method"`. */
  readonly method: string
  /**
   * `true` when running the call twice is the same as running it once, `false` when it is not, `undefined` when that is not known.
   * It comes before what a layer says of the method. Default: not known.
   */
  readonly idempotent?: boolean | undefined
}

/**
 * Of a client whose methods have type parameters of their own, which no type can be mapped over: what `RpcRetry.client` makes
 * of it. It is there for the types alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetriesTo<Client> {
  readonly "~effect-rpc-retry/RpcCall/RetriesTo"?: Client
}

class RpcCallImpl<A, E, R> extends Effectable.Class<A, E, R> implements RpcCall<A, E, R> {
  readonly [TypeId]: TypeId = TypeId
  readonly method: string
  readonly idempotent: boolean | undefined
  private readonly effect: Effect.Effect<A, E, R>
  constructor(self: Effect.Effect<A, E, R>, options: Options) {
    super()
    this.method = options.method
    this.idempotent = options.idempotent
    const named = Causes.mapFailures(
      self,
      (error) => isRetryable(error) || isFatal(error) ? stamped(error, this) as E : error
    )
    this.effect = progress.callStarting(named, this)
  }
  override commit(): Effect.Effect<A, E, R> {
    return this.effect
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isRpcCall = (u: unknown): u is RpcCall<unknown, unknown, unknown> => Predicate.hasProperty(u, TypeId)

/**
 * Names an effect.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, RpcCall, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const user = (id: number) => getUser(id).pipe(RpcCall.make({ method: "Users.Get", idempotent: true }))
 *
 * const program = user(1).pipe(withRpcRetry)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  (options: Options): <A, E, R>(self: Effect.Effect<A, E, R>) => RpcCall<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: Options): RpcCall<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, options: Options): RpcCall<A, E, R> => new RpcCallImpl(self, options)
)

/**
 * A call of any client that returns promises.
 *
 * @example
 * ```ts
 * import { RpcCall, withRpcRetry } from "effect-rpc-retry"
 *
 * declare const client: { getUser(id: number, options: { signal: AbortSignal }): Promise<{ name: string }> }
 *
 * const getUser = (id: number) =>
 *   RpcCall.fromPromise({
 *     method: "Users.Get",
 *     try: (signal) => client.getUser(id, { signal })
 *   })
 *
 * const program = getUser(1).pipe(withRpcRetry({ attemptTimeout: "1 second" }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromPromise = <A>(options: {
  /**
   * Starts one attempt. The signal aborts when the attempt times out or the caller is interrupted: pass it on, or the request goes
   * on behind the caller's back.
   */
  readonly try: (signal: AbortSignal) => PromiseLike<A>
  /** `"Service.Method"`. */
  readonly method: string
  /** Makes `Retryable | Fatal` of what the promise rejects with. Default `Classify.promise`. */
  readonly classify?: Classify.Classifier | undefined
  /** Whether the call may run twice. See {@link RpcCall}. Default: not known. */
  readonly idempotent?: boolean | undefined
  /**
   * A signal of the caller's own that spans the whole call, such as an `AbortSignal.timeout(5_000)` made once for it. When it fires
   * the attempt ends and no other is made: `Fatal`, reason `Cancelled`. A signal that is mixed in by hand is noticed by its second
   * rejection with the same error. Default: none.
   */
  readonly signal?: AbortSignal | undefined
}): RpcCall<A, Retryable | Fatal> => {
  const { classify = Classify.promise, method, signal: own } = options
  // an attempt makes its own error; only a signal that has fired before gives the same one again
  const seen = new WeakSet<object>()
  const cancelled = (cause: unknown) =>
    new Fatal({ reason: "Cancelled", method, message: "the signal of the caller has fired", cause })
  const attempt = Effect.tryPromise({
    try: (signal) => options.try(own === undefined ? signal : AbortSignal.any([signal, own])),
    catch: (failure) => {
      const error = withMethod(classify(failure), method)
      const isAgain = Predicate.isObject(failure) && seen.has(failure)
      if (Predicate.isObject(failure)) {
        seen.add(failure)
      }
      return own?.aborted === true || (isAgain && error.reason === "AttemptTimeout") ? cancelled(failure) : error
    }
  })
  return make(
    own === undefined
      ? attempt
      : Effect.suspend(() => own.aborted ? Effect.fail(cancelled(own.reason)) : attempt),
    options
  )
}
