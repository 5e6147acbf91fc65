/**
 * A hedge starts a second attempt of a call when the first is slow, and takes the answer that comes first.
 *
 * **Why.** A few attempts in a hundred are slow for reasons of their own: a pause of the garbage collector, a lost
 * packet, a full queue of one server. Another attempt is then answered sooner. With 2 % of such attempts, the 99th
 * percentile of a call falls from hundreds of milliseconds to about three times the median, for 5 % more load.
 *
 * **What it does.**
 *
 * - When the first attempt has not ended after `after`, another one starts beside it: a leg of the same call.
 * - The first success is the answer. A `Fatal`, a domain error or a defect ends the call too.
 * - A leg that fails with a `Retryable` starts the next one at once. A server hint delays it, and "do not retry"
 *   prevents it, but legs in flight go on. The call fails when all legs have failed, with the error that restricts most
 *   what may follow. What is left of the longest delay that a server has asked for holds for the retry, whichever leg's
 *   error that is.
 * - A leg that a gate turns away is dropped; the others go on.
 * - The other legs are interrupted at the answer, which does not wait for them. Transports cancel their requests.
 * - Extra legs are at most `load` of the calls so far. That holds when the whole service slows down too: the budget
 *   starts empty, each call earns `load` of a leg, and each extra leg costs one.
 * - The number of each leg is its `Deadline.CurrentAttempt`. No leg starts after the deadline.
 * - A call that is itself a retry runs without extra legs, so that hedges and retries do not multiply.
 *
 * **What it never does.** It delays no first leg, it refuses no call, and it changes no answer, nor an error but for its
 * `retryAfter`.
 *
 * **Where.** In a policy, as its field `hedge`; then legs and retries share one limit (see `docs/hedge.md`). Or with
 * {@link hedge} around any effect: inside of `withRpcRetry`, around gates and attempt timeouts, so that each leg asks the
 * gates anew.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as internal from "./internal/hedge/core.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "./InvalidOption.js"
import * as RpcCall from "./RpcCall.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/Hedge"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A hedge: made with {@link make}, used with {@link hedge}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hedge extends Pipeable {
  readonly [TypeId]: TypeId
  /**
   * Returns the delay before the second leg of a call now: `after`, or the quantile of the latencies of the method.
   * `None` while there are too few samples. Without a method: that of the calls that have no name.
   */
  readonly delay: (method?: string) => Effect.Effect<Option.Option<Duration.Duration>>
  /** Returns what the hedge has done so far. */
  readonly state: Effect.Effect<State>
  /** @internal */
  readonly core: internal.Core
}

/**
 * What a hedge has done since it was made.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  /** The number of calls, without those that are retries. */
  readonly calls: number
  /** The number of extra legs. At most `load` times {@link calls}. */
  readonly extraLegs: number
  /** The number of extra legs that were due and not started, because `load` did not allow them. */
  readonly refused: number
  /** The number of calls that an extra leg has ended. */
  readonly won: number
  /** The number of extra legs that may start now, with a fraction: from 0 to 20. */
  readonly level: number
}

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isHedge = (u: unknown): u is Hedge => Predicate.hasProperty(u, TypeId)

/**
 * A quantile of the latencies of a method, made with {@link quantile}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Quantile {
  readonly _tag: "Quantile"
  /** The share of attempts that are answered sooner, as in 0.95. */
  readonly quantile: number
}

/**
 * Makes a delay that follows the latencies of the method: the time within which such a share of its attempts is
 * answered. At 0.95, five in a hundred calls are slow enough for a second leg.
 *
 * It is estimated, for each method apart, from the attempts of the last 30 to 60 seconds, or longer for a method that
 * is called rarely, to a few percent. Attempts that were cancelled, or failed with a `Retryable`, count as not answered
 * by then. Until there are `5 / (1 - quantile)` attempts, 100 at 0.95, no leg starts for being late. It holds for up to
 * 1000 methods; beyond that, the estimate of the least recently used one starts over.
 *
 * - `share`: from 0.5 to 0.999. Throws `InvalidOption` otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const quantile = (share: number): Quantile => ({
  _tag: "Quantile",
  quantile: orThrow(checkQuantile("Hedge.quantile", "share", share))
})

const checkQuantile = (where: string, field: string, share: number) =>
  checkNumber(where, field, share, { min: 0.5, max: 0.999 })

/**
 * The options of {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The time without an answer after which another leg starts: a duration, zero for all legs at once, or the
   * {@link quantile} of the latencies of the method. No default.
   */
  readonly after: Duration.DurationInput | Quantile
  /** The number of legs of a call at most, the first one included: an integer from 2 to 5. Default 2. */
  readonly max?: number | undefined
  /** The extra legs per call at most, as a share from 0.001 to 1. Default 0.05: five in a hundred calls. */
  readonly load?: number | undefined
}

/**
 * Makes a hedge. Throws `InvalidOption` for a value out of range.
 *
 * Its calls share one `load`. Make one for each destination, where the client is made.
 *
 * @example
 * ```ts
 * import { type Fatal, Hedge, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const hedge = yield* Hedge.make({ after: Hedge.quantile(0.95) })
 *   const user = (id: number) => getUser(id).pipe(Hedge.hedge(hedge, { idempotent: true }), withRpcRetry)
 *   return yield* Effect.forEach([1, 2, 3], user, { concurrency: "unbounded" })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Hedge> => {
  const valid = orThrow(validate("Hedge.make", options))
  return Effect.sync(() => fromValid(valid))
}

/**
 * Checks the options, with the name of who was given them.
 *
 * @internal
 */
export const validate = (where: string, options: Options): Result.Result<internal.Settings, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, ["after", "max", "load"])
    const { after } = options
    return {
      after: isQuantile(after)
        ? { quantile: yield* checkQuantile(where, "after.quantile", after.quantile) }
        : Duration.toMillis(yield* checkDuration(where, "after", after, { zero: true })),
      max: yield* checkNumber(where, "max", options.max ?? 2, { min: 2, max: 5, integer: true }),
      load: yield* checkNumber(where, "load", options.load ?? 0.05, { min: 0.001, max: 1 })
    }
  })

const isQuantile = (after: unknown): after is Quantile => Predicate.isTagged(after, "Quantile")

/**
 * Makes a hedge from valid options.
 *
 * @internal
 */
export const fromValid = (settings: internal.Settings): Hedge => fromCore(new internal.Core(settings))

/**
 * Makes a hedge from the options of a policy, for a service to make one of each method instead.
 *
 * @internal
 */
export const ofOptions = (settings: internal.Settings): Hedge => fromCore(new internal.Core(settings, true))

const fromCore = (core: internal.Core): Hedge => {
  return Object.assign(Object.create(Proto), {
    delay: (method?: string) =>
      Effect.sync(() => Option.map(Option.fromNullable(core.after(method)), (millis) => Duration.millis(millis))),
    state: Effect.sync((): State => ({
      calls: core.calls,
      extraLegs: core.extra,
      refused: core.refused,
      won: core.won,
      level: core.load.level
    })),
    core
  })
}

/**
 * What {@link hedge} has to be told of a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  /**
   * Says that running the call twice has the same effect as running it once. It has to be `true`: a hedged call runs
   * twice on purpose. Anything else does not compile, and throws `InvalidOption`.
   */
  readonly idempotent: true
  /** The method whose latencies count, as `"Service.Method"`. Default: that of the `RpcCall`, or none. */
  readonly method?: string | undefined
}

/**
 * Runs an effect with extra legs beside it. An `RpcCall` keeps its name for a `withRpcRetry` around it.
 *
 * Throws `InvalidOption` when `idempotent` is not `true`, and for an `RpcCall` that says of itself that it must not run
 * twice.
 *
 * The answer should be a value, not an open resource: what a loser has acquired in a `Scope` around the call stays
 * there until that scope closes. Read a stream or a body inside of the call.
 *
 * @example
 * ```ts
 * import { Hedge, type Retryable } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const price: Effect.Effect<number, Retryable>
 *
 * const program = Effect.gen(function*() {
 *   const hedge = yield* Hedge.make({ after: "50 millis", load: 0.02 })
 *   return yield* Hedge.hedge(price, hedge, { idempotent: true, method: "Prices.Get" })
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const hedge: {
  (hedge: Hedge, options: CallOptions): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, hedge: Hedge, options: CallOptions): Effect.Effect<A, E, R>
} = dual(3, <A, E, R>(self: Effect.Effect<A, E, R>, { core }: Hedge, options: CallOptions): Effect.Effect<A, E, R> => {
  const call = RpcCall.isRpcCall(self) ? self : undefined
  orThrow(checkCall(options, call))
  const hedged = internal.run(self, core, options.method ?? call?.method)
  return call === undefined ? hedged : RpcCall.make(hedged, { method: call.method, idempotent: true })
})

const checkCall = (
  options: CallOptions,
  call: RpcCall.RpcCall<unknown, unknown, unknown> | undefined
): Result.Result<void, InvalidOption> =>
  Result.gen(function*() {
    const where = "Hedge.hedge"
    yield* checkKnown(where, options, ["idempotent", "method"])
    const idempotent: unknown = options.idempotent
    if (idempotent !== true) {
      return yield* Result.fail(
        new InvalidOption({ where, field: "idempotent", problem: `must be true, got ${String(idempotent)}` })
      )
    }
    if (call?.idempotent === false) {
      return yield* Result.fail(
        new InvalidOption({ where, field: "self", problem: `must not be hedged: ${call.method} must not run twice` })
      )
    }
  })
