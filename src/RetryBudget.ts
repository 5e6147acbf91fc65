/**
 * A shared allowance of retries, earned by answers.
 *
 * **Why.** A retry helps when failures are few and independent. When a server is down every call fails, and with 3 retries
 * every client sends 4 times the load, just when load is the trouble: the server cannot come back up under it. Delays do
 * not help, for they move the load and do not lessen it. What helps is to notice that retries do not succeed. A budget does
 * that without modes or thresholds: each answer earns a tenth of a retry, each retry costs one. With 1 % of failures there
 * is always enough. In an outage nothing is earned, the allowance is spent within seconds, and from then on each call makes
 * one attempt.
 *
 * **What it does.**
 *
 * - It is asked after an attempt has failed and before the delay. When it says no, the call fails at once with
 *   `RetryExhausted`, reason `BudgetExhausted`, and the error of the attempt.
 * - `Fatal` neither costs nor earns. A domain error is an answer, and earns like one.
 * - A retry that was paid for and not made, because the caller was interrupted in the delay, is paid back.
 * - It regains a little by time as well, one retry in two minutes, so that a client that calls rarely gets its retries back.
 * - It never blocks, and it never refuses a first attempt.
 *
 * **How much.** What it starts with multiplies the load of an outage once for each client: 10 retries are nothing to a client with
 * a hundred calls a second, and to a thousand clients with one call in ten seconds they are 2.6 times the load of the first minute.
 * And when a server restarts, every call in flight needs a retry at once, be it one call or a thousand. So the default capacity
 * follows the traffic: it is 1, and the answers of about five seconds (half of those of the last ten, older ones fading away), at
 * most 10,000. A client that was never answered yet holds 3, which is what one call takes with the default schedule. It starts full,
 * and whenever its capacity is greater than ever before it is as much fuller. The price: a client that calls rarely has one retry at
 * a time, and rides out steady failures a little worse. `capacity: 10` is a fixed one. The numbers are in the guide.
 *
 * **Where.** `RpcRetry.layer` makes one for each destination, unless told otherwise. A bare `withRpcRetry` has none.
 *
 * **Bounds.** Over any time all calls of a budget of `make` with a cost of 1 together make at most
 * `calls + capacity + ratio x answers + time / regainEvery` attempts, where a capacity that follows the traffic counts with the most
 * it ever was; with another cost, `calls` and the rest divided by it. (A `withRpcRetry` inside another makes two calls of
 * one, and an answer to both.)
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as monotonic from "./internal/ambient/monotonic.js"
import * as internal from "./internal/budget/account.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "./InvalidOption.js"
import type { Retryable } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/RetryBudget"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A budget: made with {@link make}, {@link grpc} or {@link aws2026}.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryBudget {
  readonly [TypeId]: TypeId
  /** The most retries that it can hold, as it was when the budget was last used or asked for its level. */
  readonly capacity: number
  /** How many retries it holds now. */
  readonly level: Effect.Effect<number>
  /** How many retries per call it allows lastingly, in addition to the first attempt. */
  readonly sustained: number
  /** @internal */
  readonly account: internal.Account
}

const fromAccount = (account: internal.Account, sustained: number): RetryBudget => ({
  [TypeId]: TypeId,
  get capacity() {
    return account.capacity
  },
  sustained,
  level: Effect.map(Effect.clock, (clock) => account.level(monotonic.now(clock))),
  account
})

/**
 * @since 0.1.0
 * @category guards
 */
export const isRetryBudget = (u: unknown): u is RetryBudget => Predicate.hasProperty(u, TypeId)

/**
 * What `make` takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What an answer earns, from 0 to 1. Default 0.1: one retry for ten answers. */
  readonly ratio?: number | undefined
  /**
   * The most it holds: a number from 1 to a thousand million, with which it starts; or `"traffic"`, which follows the client's own
   * traffic, see above. Default `"traffic"`.
   */
  readonly capacity?: number | "traffic" | undefined
  /**
   * What a retry costs, greater than 0 and at most `capacity`; or a function of the error it follows, which may give 0. A call for
   * which the function gives less than 0, or no number, dies with `InvalidOption`. With `"traffic"` a cost that is a number above 1
   * makes the capacity as many times greater. Default 1.
   */
  readonly cost?: number | ((error: Retryable) => number) | undefined
  /** The time in which it regains 1 by itself, finite and greater than zero. Default 2 minutes. */
  readonly regainEvery?: Duration.DurationInput | undefined
}

/**
 * A budget fed by answers. Throws `InvalidOption` for a value out of range.
 *
 * @example
 * ```ts
 * import { RetryBudget, RpcRetry } from "effect-rpc-retry"
 *
 * // throttling costs less than other failures
 * const RetryLive = RpcRetry.layer({
 *   budget: RetryBudget.make({ ratio: 0.2, cost: (error) => error.reason === "Throttled" ? 0.5 : 1 })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<RetryBudget> => {
  const valid = orThrow(Result.gen(function*() {
    const where = "RetryBudget.make"
    yield* checkKnown(where, options ?? {}, ["ratio", "capacity", "cost", "regainEvery"])
    const ratio = yield* checkNumber(where, "ratio", options?.ratio ?? 0.1, { min: 0, max: 1 })
    const said = options?.capacity ?? "traffic"
    const capacity = said === "traffic" ? said : yield* checkCapacity(where, said)
    const regainEvery = yield* checkDuration(where, "regainEvery", options?.regainEvery ?? "2 minutes")
    const cost = options?.cost ?? 1
    if (typeof cost === "number") {
      const max = capacity === "traffic" ? maxCapacity : capacity
      yield* checkNumber(where, "cost", cost, { min: Number.MIN_VALUE, max })
    }
    return { ratio, capacity, cost, regainEvery: Duration.toMillis(regainEvery) }
  }))
  const { capacity, cost, ratio, regainEvery } = valid
  const unit = typeof cost === "number" ? Math.max(1, cost) : 1
  return Effect.sync(() =>
    fromAccount(
      internal.makeEarned({
        capacity: capacity === "traffic" ? internal.trafficCapacity(unit) : internal.fixedCapacity(capacity),
        credit: () => ratio,
        cost: typeof cost === "number" ? () => cost : checked(cost),
        regainEvery
      }),
      typeof cost === "number" ? ratio / cost : Infinity
    )
  )
}

const maxCapacity = 1e9

const checkCapacity = (where: string, capacity: unknown): Result.Result<number, InvalidOption> =>
  Predicate.isNumber(capacity)
    ? checkNumber(where, "capacity", capacity, { min: 1, max: maxCapacity })
    : Result.fail(
      new InvalidOption({ where, field: "capacity", problem: `must be a number or "traffic", got ${String(capacity)}` })
    )

/** A cost that is no number would empty the budget for good: what the user's function gives is checked each time. */
const checked = (cost: (error: Retryable) => number) => (error: Retryable): number =>
  orThrow(checkNumber("RetryBudget.make", `cost of ${error.reason}`, cost(error), { min: 0, max: Number.MAX_VALUE }))

/**
 * The retry throttling of gRPC (proposal A6), to the letter: it starts at `maxTokens`; an attempt that fails with a
 * `Retryable` that the policy's `retryIf` lets through, or that says not to retry, costs 1, retried or not; an answer earns
 * `tokenRatio`; retries are made while more than half is left. An attempt that the deadline cut costs nothing.
 *
 * It does not regain by time: a client that calls rarely waits long after an outage.
 *
 * Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category constructors
 */
export const grpc = (options: {
  /** The tokens that it starts with and can hold: greater than 0, at most 1000. */
  readonly maxTokens: number
  /** The tokens that an answer earns: at least 0.001; decimals beyond the third are dropped. */
  readonly tokenRatio: number
}): Effect.Effect<RetryBudget> => {
  const { maxTokens, tokenRatio } = orThrow(validateGrpc(options))
  return Effect.sync(() => fromAccount(internal.makeGrpc(maxTokens, tokenRatio), tokenRatio))
}

/**
 * The numbers of `grpc` in range, the ratio with three decimals.
 *
 * @internal
 */
export const validateGrpc = (options: { readonly maxTokens: number; readonly tokenRatio: number }) =>
  Result.gen(function*() {
    const where = "RetryBudget.grpc"
    yield* checkKnown(where, options, ["maxTokens", "tokenRatio"])
    const maxTokens = yield* checkNumber(where, "maxTokens", options.maxTokens, { min: Number.MIN_VALUE, max: 1000 })
    const range = { min: 0.001, max: Number.MAX_VALUE }
    const tokenRatio = yield* checkNumber(where, "tokenRatio", options.tokenRatio, range)
    return { maxTokens, tokenRatio: Math.floor(tokenRatio * 1000 + 1e-9) / 1000 }
  })

/**
 * The retry quota of the AWS SDKs' standard mode, as it is since November 2026: it holds 500; a retry costs 14, or 5 after
 * `Throttled`; an answer to the first attempt earns 1, one to a retry pays back what that retry cost.
 *
 * It does not regain by time.
 *
 * @since 0.1.0
 * @category constructors
 */
export const aws2026 = (): Effect.Effect<RetryBudget> =>
  Effect.sync(() =>
    fromAccount(
      internal.makeEarned({
        capacity: internal.fixedCapacity(500),
        credit: (spent) => spent === 0 ? 1 : spent,
        cost: (error) => error.reason === "Throttled" ? 5 : 14,
        regainEvery: Infinity
      }),
      Infinity
    )
  )

/**
 * Allows everything. Use it to switch the budget of a layer off for a call or a method.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unlimited: RetryBudget = fromAccount(internal.unlimited, Infinity)
