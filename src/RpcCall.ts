/**
 * An `RpcCall` is an `Effect` that carries the name of its method, and whether it may run twice.
 *
 * The transports of this package return `RpcCall`s, so that `withRpcRetry` finds the policy of the method without an
 * option.
 *
 * An operator of `Effect` turns an `RpcCall` into an ordinary effect, but its failures still carry the method and
 * `idempotent`: `withRpcRetry` reads them from the first failure, and retries by the policy of that method. Two things
 * are lost: an attempt timeout that a layer sets for the method does not bound the first attempt, and spans, metrics
 * and events show the call as unnamed. To keep them, name the effect again with {@link make} or with the `method`
 * option of `withRpcRetry`.
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
 * An effect with the name of its method, and with whether it may run twice.
 *
 * @since 0.1.0
 * @category models
 */
export interface RpcCall<out A, out E = never, out R = never> extends Effect.Effect<A, E, R> {
  readonly [TypeId]: TypeId
  /** The method, as `"Service.Method"`. */
  readonly method: string
  /**
   * Whether running the call twice has the same effect as running it once; `undefined` when unknown. It takes
   * precedence over what a layer sets for the method.
   */
  readonly idempotent: boolean | undefined
}

/**
 * The options of {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The method, as `"Service.Method"`. */
  readonly method: string
  /**
   * Whether running the call twice has the same effect as running it once. It takes precedence over what a layer sets
   * for the method. Default `undefined`: unknown.
   */
  readonly idempotent?: boolean | undefined
}

/**
 * Declares the type that `RpcRetry.client` returns for a client whose methods have type parameters of their own, which
 * a mapped type cannot handle. The field exists in the types only.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetriesTo<Client> {
  /** The type of the client after `RpcRetry.client`. Never set. */
  readonly "~effect-rpc-retry/RpcCall/RetriesTo"?: Client
}

class RpcCallImpl<A, E, R> extends Effectable.Class<A, E, R> implements RpcCall<A, E, R> {
  readonly [TypeId]: TypeId = TypeId
  readonly method: string
  readonly idempotent: boolean | undefined
  /** The call without the step that tells the attempt around it that it starts. */
  readonly body: Effect.Effect<A, E, R>
  private readonly effect: Effect.Effect<A, E, R>
  constructor(self: Effect.Effect<A, E, R>, options: Options) {
    super()
    this.method = options.method
    this.idempotent = options.idempotent
    this.body = Causes.mapFailures(
      self,
      (error) => isRetryable(error) || isFatal(error) ? stamped(error, this) as E : error
    )
    this.effect = progress.callStarting(this.body, this)
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
 * The effect of a call for who tells the attempt around it by itself that the call starts.
 *
 * @internal
 */
export const bodyOf = <A, E, R>(self: RpcCall<A, E, R>): Effect.Effect<A, E, R> =>
  self instanceof RpcCallImpl ? self.body : self

/**
 * Gives an effect a method name, and optionally marks whether it may run twice.
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
 * Makes an `RpcCall` from a client that returns promises.
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
   * Starts one attempt. The signal aborts when the attempt times out or the call is interrupted. Pass it to the client,
   * or the request continues after the attempt has ended.
   */
  readonly try: (signal: AbortSignal) => PromiseLike<A>
  /** The method, as `"Service.Method"`. */
  readonly method: string
  /** Converts a rejection of the promise to `Retryable | Fatal`. Default `Classify.promise`. */
  readonly classify?: Classify.Classifier | undefined
  /** Whether the call may run twice. See {@link RpcCall}. Default `undefined`: unknown. */
  readonly idempotent?: boolean | undefined
  /**
   * A signal of the caller that spans the whole call, such as an `AbortSignal.timeout(5_000)`. When it fires, the
   * attempt ends with `Fatal`, reason `Cancelled`, and no other is made. A timeout signal that `try` combines itself is
   * recognised only when it rejects a second attempt with the same error. Default: none.
   */
  readonly signal?: AbortSignal | undefined
}): RpcCall<A, Retryable | Fatal> => {
  const { classify = Classify.promise, method, signal: own } = options
  // each attempt has an error of its own; the same error again comes from a signal that has already fired
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
