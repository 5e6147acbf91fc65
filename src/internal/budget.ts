/**
 * The accounts behind `RetryBudget`. Each operation is one synchronous step, so that no two calls can spend the same
 * token. `now` is in milliseconds of the clock of the call.
 *
 * @internal
 */
import type { Retryable } from "../RpcError.js"

/** @internal */
export interface Account {
  readonly capacity: number
  readonly level: (now: number) => number
  /** Of all the retries that it allows when it is full the share that it allows now, from 0 to 1. */
  readonly left: (now: number) => number
  /** A call was answered. `spent` is what its last retry cost, 0 when the first attempt was answered. */
  readonly succeeded: (now: number, spent: number) => void
  /** An attempt ended in a `Retryable` that the policy would retry, or that says not to; whether it will be or not. */
  readonly failed: (now: number, error: Retryable) => void
  /** Pays for a retry: what it cost, or `undefined` when the budget does not allow it. */
  readonly withdraw: (now: number, error: Retryable) => number | undefined
  /** A retry that was paid for was not made. */
  readonly refund: (now: number, cost: number) => void
}

/** Ten credits of 0.1 are to be 1, and three of a third; in binary floating point they are a little less. */
const tolerance = 1e-9

/** A level within [0, capacity] that starts full. */
const makeLevel = (capacity: number) => {
  let level = capacity
  return {
    /** To show: without the last digits, which are noise. */
    get: () => Math.min(capacity, Math.round(level * 1e9) / 1e9),
    isFull: () => level === capacity,
    covers: (n: number) => level + tolerance >= n,
    isAbove: (n: number) => level > n + tolerance,
    add: (n: number) => {
      level = Math.min(capacity, Math.max(0, level + n))
    }
  }
}

/**
 * Fed by answers and, slowly, by time.
 *
 * @internal
 */
export const makeFed = (options: {
  readonly capacity: number
  readonly credit: (spent: number) => number
  readonly cost: (error: Retryable) => number
  readonly regainEvery: number
}): Account => {
  const level = makeLevel(options.capacity)
  let regainedAt: number | undefined
  const regain = (now: number) => {
    // a clock that was set back earns nothing, and loses nothing after that
    if (regainedAt !== undefined && !level.isFull() && now > regainedAt) {
      level.add((now - regainedAt) / options.regainEvery)
    }
    regainedAt = now
  }
  return {
    capacity: options.capacity,
    level: (now) => {
      regain(now)
      return level.get()
    },
    left: (now) => {
      regain(now)
      return level.get() / options.capacity
    },
    succeeded: (now, spent) => {
      regain(now)
      level.add(options.credit(spent))
    },
    failed: () => {},
    withdraw: (now, error) => {
      regain(now)
      const cost = options.cost(error)
      if (!level.covers(cost)) {
        return undefined
      }
      level.add(-cost)
      return cost
    },
    refund: (now, cost) => {
      regain(now)
      level.add(cost)
    }
  }
}

/**
 * gRPC's: failures cost whether retried or not, and retries are allowed above half.
 *
 * @internal
 */
export const makeGrpc = (maxTokens: number, tokenRatio: number): Account => {
  const level = makeLevel(maxTokens)
  return {
    capacity: maxTokens,
    level: level.get,
    left: () => Math.max(0, level.get() / maxTokens * 2 - 1),
    succeeded: () => level.add(tokenRatio),
    failed: () => level.add(-1),
    withdraw: () => level.isAbove(maxTokens / 2) ? 0 : undefined,
    refund: () => {}
  }
}

/** @internal */
export const unlimited: Account = {
  capacity: Infinity,
  level: () => Infinity,
  left: () => 1,
  succeeded: () => {},
  failed: () => {},
  withdraw: () => 0,
  refund: () => {}
}
