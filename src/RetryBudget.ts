/**
 * A budget limits the retries of all calls to a destination. It is a token bucket that answers fill and retries empty.
 *
 * **Why.** A retry helps when failures are few and independent. When a server is down every call fails, and with 3
 * retries every client sends 4 times the load, which can keep an overloaded server from recovering (a retry storm).
 * Delays do not prevent this, because they move the load without reducing it. A budget does: each answer earns a tenth
 * of a retry, and each retry costs one. With 1 % of failures there are always enough retries. In an outage nothing is
 * earned, the budget is spent within seconds, and from then on each call makes one attempt.
 *
 * **What it does.**
 *
 * - It is checked after an attempt has failed and before the delay. When it is empty, the call fails at once with
 *   `RetryExhausted`, reason `BudgetExhausted`, and the error of the attempt.
 * - A success earns; so does a domain error, which is an answer too. A `Fatal` neither costs nor earns.
 * - A retry that was paid for and not made, because the call was interrupted during the delay, is refunded.
 * - It also regains one retry every two minutes, so that a client that calls rarely recovers its retries.
 * - It never makes a call wait, and never refuses a first attempt.
 *
 * **How much.** Each client adds the initial level of its budget to the load of an outage. 10 retries are negligible
 * for a client with a hundred calls a second, but a thousand clients with one call in ten seconds send 2.6 times the
 * load in the first minute. And when a server restarts, every call in flight needs a retry at the same moment. So the
 * default capacity follows the traffic: it is 1 plus the number of answers in about five seconds (half of those of the
 * last ten, where older answers count less), at most 10,000. Before the first answer it is 3, which one call needs with
 * the default schedule. The budget starts full, and when its capacity exceeds the greatest one so far its level rises
 * by the difference. The cost: a client that calls rarely has one retry at a time, and survives fewer steady failures.
 * `capacity: 10` makes the capacity fixed. The guide has the numbers.
 *
 * **Where.** `RpcRetry.layer` makes one for each destination by default. A `withRpcRetry` without a layer has none.
 *
 * **Bounds.** In any period, all calls of a budget of {@link make} with a cost of 1 together make at most
 * `calls + capacity + ratio x answers + time / regainEvery` attempts, where a capacity that follows the traffic counts
 * with its greatest value so far. With another cost, the terms after `calls` are divided by it. (A `withRpcRetry`
 * inside another one counts as two calls, and its answer as two answers.)
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
 * A retry budget, made with {@link make}, {@link grpc} or {@link aws2026}.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryBudget {
  readonly [TypeId]: TypeId
  /** The greatest level that it can have, as of when the budget was last used or its level was read. */
  readonly capacity: number
  /** Returns the number of tokens that it holds. A retry costs 1 by default. */
  readonly level: Effect.Effect<number>
  /** The retries per call that it allows in the long run; `Infinity` when that is unlimited or not known. */
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
 * The options of {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The amount that an answer earns, from 0 to 1. Default 0.1: one retry for ten answers. */
  readonly ratio?: number | undefined
  /**
   * The greatest level, with which the budget starts: a number from 1 to 1e9, or `"traffic"` to follow the number of
   * answers that the client gets, as described for this module. Default `"traffic"`.
   */
  readonly capacity?: number | "traffic" | undefined
  /**
   * The cost of a retry, greater than 0 and at most `capacity`; or a function from the error that the retry follows to
   * a cost of at least 0. A call for which the function returns a negative number or `NaN` dies with `InvalidOption`.
   * With `capacity: "traffic"`, a constant cost above 1 multiplies the capacity. Default 1.
   */
  readonly cost?: number | ((error: Retryable) => number) | undefined
  /** The time in which the budget regains 1 without answers, finite and greater than zero. Default 2 minutes. */
  readonly regainEvery?: Duration.DurationInput | undefined
}

/**
 * Makes a budget that answers fill. Throws `InvalidOption` for a value out of range.
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

/** Checks each result of a cost function, because a `NaN` would empty the budget permanently. */
const checked = (cost: (error: Retryable) => number) => (error: Retryable): number =>
  orThrow(checkNumber("RetryBudget.make", `cost of ${error.reason}`, cost(error), { min: 0, max: Number.MAX_VALUE }))

/**
 * Makes a budget with the rules of gRPC's retry throttling (proposal A6). It starts with `maxTokens`. An attempt that
 * fails with a `Retryable` that the policy's `retryIf` accepts, or that says "do not retry", costs 1, whether or not it
 * is retried. An answer earns `tokenRatio`. Retries are allowed while more than half of the tokens are left. An attempt
 * that the deadline ended costs nothing.
 *
 * It does not regain tokens over time, so a client that calls rarely recovers slowly after an outage.
 *
 * Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category constructors
 */
export const grpc = (options: {
  /** The initial and greatest number of tokens: greater than 0, at most 1000. */
  readonly maxTokens: number
  /** The tokens that an answer earns: at least 0.001. Decimals beyond the third are dropped. */
  readonly tokenRatio: number
}): Effect.Effect<RetryBudget> => {
  const { maxTokens, tokenRatio } = orThrow(validateGrpc(options))
  return Effect.sync(() => fromAccount(internal.makeGrpc(maxTokens, tokenRatio), tokenRatio))
}

/**
 * Checks the options of {@link grpc}, and cuts the ratio to three decimals.
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
 * Makes a budget with the rules of the retry quota in the AWS SDKs' standard mode as of November 2026. It holds 500
 * tokens. A retry costs 14, or 5 after `Throttled`. An answer to the first attempt earns 1; an answer to a retry
 * returns the cost of that retry.
 *
 * It does not regain tokens over time.
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
 * A budget that allows every retry. Use it to switch off the budget of a layer for a call or a method.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unlimited: RetryBudget = fromAccount(internal.unlimited, Infinity)
