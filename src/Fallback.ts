/**
 * Something to give the caller when a call has failed for good: another source, a default, the last good answer.
 *
 * | function             | on failure                                    | succeeds with             | what it does to the errors                                       |
 * | -------------------- | --------------------------------------------- | ------------------------- | ---------------------------------------------------------------- |
 * | {@link withFallback} | asks a handler, once                          | the answer of either      | the handled ones leave; `FallbackFailed` for a handler that fails |
 * | {@link lastGood}     | gives out the last success of the same key    | `Fresh` or `Stale`        | none: all are there for a key without a last success              |
 *
 * **What it handles.** By default `RetryExhausted` and `CallRejected`: the server gave no answer. `Fatal` and the
 * errors of your own are answers, and are handled only where `on` names them. Success, defects and the interruption of
 * the caller never ask a fallback.
 *
 * **Where to place it.** Around `withRpcRetry`, so that it runs once for the call, after all attempts, and outside of
 * its policy: the deadline and the attempt timeout of the call do not bound it, nor is it retried. A handler that makes
 * a call of its own gives that its own `withRpcRetry`.
 *
 * **What is told.** The call has failed, and its events, metrics, log lines and spans say so; a fallback turns none of
 * them green. The fallback is counted for itself, as `rpc.client.fallback`, and noted on the span around it. See
 * `docs/fallback.md`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import type { FallbackFailed } from "./internal/fallback/failed.js"
import * as internal from "./internal/fallback/fallback.js"
import * as internalLastGood from "./internal/fallback/lastGood.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "./InvalidOption.js"

export { FallbackFailed } from "./internal/fallback/failed.js"
export type { Answer, Fresh, Stale } from "./internal/fallback/lastGood.js"

/**
 * The tags that are handled where `on` is not given.
 *
 * @since 0.1.0
 * @category models
 */
export type Default = "RetryExhausted" | "CallRejected"

/**
 * The tags that `on` may name, of the errors `E` of a call. Not `Retryable`: that is for `withRpcRetry`, inside.
 *
 * @since 0.1.0
 * @category models
 */
export type Tag<E> = E extends { readonly _tag: infer T extends string } ? Exclude<T, "Retryable"> : never

/**
 * The errors among `E` that have one of the tags `K`: what a handler is given.
 *
 * @since 0.1.0
 * @category models
 */
export type Handled<E, K> = Extract<E, { readonly _tag: K }>

/**
 * The errors of a call with a fallback: those of the call that are not handled and, where the handler can fail,
 * `FallbackFailed`.
 *
 * @since 0.1.0
 * @category models
 */
export type Remaining<E, K, F> =
  | Exclude<E, { readonly _tag: K }>
  | ([F] extends [never] ? never : FallbackFailed<Handled<E, K>, F>)

/**
 * The options of {@link withFallback}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<out K extends string> {
  /** The tags of the errors that are handled, at least one. Default `["RetryExhausted", "CallRejected"]`. */
  readonly on?: ReadonlyArray<K> | undefined
}

/**
 * `E`, which is not inferred from here: with `NoInfer` the parameter of a function that is written in place is `never`.
 */
type Known<E> = [E][E extends unknown ? 0 : never]

const defaultTags: ReadonlyArray<string> = ["RetryExhausted", "CallRejected"] satisfies ReadonlyArray<Default>

/**
 * Asks the handler when the call has failed with one of the handled errors, and succeeds with what that succeeds with.
 * It is asked once for a call. Where it fails, the call fails with {@link FallbackFailed}, which has both errors.
 *
 * Of several failures at once all have to be handled ones; else the call fails with the others.
 *
 * - `handler`: is given the error, typed as the union of those handled. What it needs in `R` and what it succeeds with
 *   are added to the type of the call.
 *
 * Throws `InvalidOption` for a bad option.
 *
 * @example
 * ```ts
 * import { type Fatal, Fallback, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const recommended: Effect.Effect<ReadonlyArray<string>, Retryable | Fatal>
 *
 * // Effect<ReadonlyArray<string>, Fatal>
 * const program = recommended.pipe(
 *   withRpcRetry({ method: "Products.Recommended" }),
 *   Fallback.withFallback(() => Effect.succeed(["best sellers"]))
 * )
 *
 * // Effect<ReadonlyArray<string>>
 * const always = recommended.pipe(
 *   withRpcRetry({ method: "Products.Recommended" }),
 *   Fallback.withFallback((error) => Effect.as(Effect.logDebug(error.reason), []), {
 *     on: ["RetryExhausted", "CallRejected", "Fatal"]
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withFallback: {
  <E, A2, E2, R2, K extends Tag<E> = Tag<E> & Default>(
    handler: (error: Handled<Known<E>, K>) => Effect.Effect<A2, E2, R2>,
    options?: Options<K>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, Remaining<E, K, E2>, R | R2>
  <A, E, R, A2, E2, R2, K extends Tag<E> = Tag<E> & Default>(
    self: Effect.Effect<A, E, R>,
    handler: (error: Handled<Known<E>, K>) => Effect.Effect<A2, E2, R2>,
    options?: Options<K>
  ): Effect.Effect<A | A2, Remaining<E, K, E2>, R | R2>
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    handler: (error: E) => Effect.Effect<A2, E2, R2>,
    options?: Options<string>
  ): Effect.Effect<A | A2, E | FallbackFailed<E, E2>, R | R2> => {
    const tags = orThrow(validTags(handler, options))
    return internal.withFallback(
      self,
      handler,
      (error): error is E => Predicate.hasProperty(error, "_tag") && tags.has(error._tag)
    )
  }
)

const validTags = (
  handler: unknown,
  options: Options<string> = {}
): Result.Result<ReadonlySet<unknown>, InvalidOption> =>
  Result.gen(function*() {
    const where = "Fallback.withFallback"
    const wrong = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))
    if (!Predicate.isFunction(handler)) {
      return yield* wrong("handler", `must be a function, got ${String(handler)}`)
    }
    yield* checkKnown(where, options, ["on"])
    const tags: unknown = options.on ?? defaultTags
    if (!Array.isArray(tags) || tags.length === 0 || !tags.every(Predicate.isString)) {
      return yield* wrong("on", `must be tags of errors, at least one, got ${JSON.stringify(tags)}`)
    }
    if (tags.includes("Retryable")) {
      return yield* wrong("on", "must not name Retryable: place the fallback around withRpcRetry")
    }
    return new Set(tags)
  })

/** `Args`, which are not inferred from here: `NoInfer` makes no parameters of a tuple with optional ones. */
type Fixed<Args extends ReadonlyArray<unknown>> = Args extends infer A extends ReadonlyArray<unknown> ? A : never

/**
 * The options of {@link lastGood}.
 *
 * @since 0.1.0
 * @category models
 */
export interface LastGoodOptions<in Args extends ReadonlyArray<unknown>> {
  /**
   * What an answer is remembered by, made of the arguments of the call. Everything that the answer depends on has to be
   * in it: also who asks, where not everybody is given the same.
   */
  readonly key: (...args: Fixed<Args>) => string | number
  /** The greatest age of an answer that is given out, on the monotonic clock: greater than zero. */
  readonly maxAge: Duration.DurationInput
  /**
   * The most keys whose answers are remembered: an integer of at least 1. Beyond it the least recently used is dropped.
   * Default 1000.
   */
  readonly capacity?: number | undefined
}

/**
 * Makes a function of calls that remembers the last success for each key. A call that fails with `RetryExhausted` or
 * `CallRejected` then succeeds with it, as a {@link Stale}, if it is not older than `maxAge`. A call that succeeds
 * gives a {@link Fresh}.
 *
 * - It makes no call of its own, and none less: each call is made, through its policy, and only its failure is
 *   replaced.
 * - An answer that is another one, `Fatal` or an error of your own, is passed on, and what is remembered for its key is
 *   forgotten. `TimeoutException`, which `Effect.timeout` fails with, is no answer.
 * - It is one memory for each run of the effect. Run it once, where a service is built.
 * - The values are held as they are, in this process.
 *
 * Throws `InvalidOption` for a bad option.
 *
 * @example
 * ```ts
 * import { type Fatal, Fallback, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Duration from "effect/Duration"
 * import * as Effect from "effect/Effect"
 *
 * declare const getPrice: (sku: string) => Effect.Effect<number, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const price = yield* Fallback.lastGood(
 *     (sku: string) => getPrice(sku).pipe(withRpcRetry({ method: "Prices.Get" })),
 *     { key: (sku) => sku, maxAge: "5 minutes", capacity: 10_000 }
 *   )
 *   const answer = yield* price("A-1")
 *   return answer._tag === "Fresh" ? `${answer.value}` : `${answer.value}, ${Duration.format(answer.age)} ago`
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const lastGood: {
  <Args extends ReadonlyArray<unknown>>(
    options: LastGoodOptions<Args>
  ): <A, E, R>(
    call: (...args: Args) => Effect.Effect<A, E, R>
  ) => Effect.Effect<(...args: Args) => Effect.Effect<internalLastGood.Answer<A>, E, R>>
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    call: (...args: Args) => Effect.Effect<A, E, R>,
    options: LastGoodOptions<Args>
  ): Effect.Effect<(...args: Args) => Effect.Effect<internalLastGood.Answer<A>, E, R>>
} = dual(
  2,
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    call: (...args: Args) => Effect.Effect<A, E, R>,
    options: LastGoodOptions<Args>
  ): Effect.Effect<(...args: Args) => Effect.Effect<internalLastGood.Answer<A>, E, R>> => {
    const valid = orThrow(validLastGood(options))
    return Effect.sync(() => internalLastGood.make(call, valid))
  }
)

const validLastGood = <Args extends ReadonlyArray<unknown>>(options: LastGoodOptions<Args>) =>
  Result.gen(function*() {
    const where = "Fallback.lastGood"
    yield* checkKnown(where, options, ["key", "maxAge", "capacity"])
    if (!Predicate.isFunction(options.key)) {
      const problem = `must be a function, got ${String(options.key)}`
      return yield* Result.fail(new InvalidOption({ where, field: "key", problem }))
    }
    const maxAge = yield* checkDuration(where, "maxAge", options.maxAge)
    const range = { min: 1, max: Number.MAX_SAFE_INTEGER, integer: true }
    const capacity = yield* checkNumber(where, "capacity", options.capacity ?? 1000, range)
    // `Fixed<Args>` is `Args`
    const key = options.key as unknown as (...args: Args) => string | number
    return { key, maxAge: Duration.toMillis(maxAge), capacity }
  })
