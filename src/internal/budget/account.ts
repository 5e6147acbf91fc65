/**
 * The accounts behind `RetryBudget`. Each operation is one synchronous step, so that no two calls can spend the same
 * token. `now` is in milliseconds of the monotonic clock.
 *
 * @internal
 */
import type { Retryable } from "../../RpcError.js"

/**
 * The tokens of one budget.
 *
 * @internal
 */
export interface Account {
  /** The greatest level possible, as of the last operation. */
  readonly capacity: number
  /** Returns the tokens held at `now`. */
  readonly level: (now: number) => number
  /** Returns the retries allowed now as a share, from 0 to 1, of the retries allowed when full. */
  readonly left: (now: number) => number
  /** Records an answer. `spent` is the cost of the last retry of the call, 0 when its first attempt was answered. */
  readonly succeeded: (now: number, spent: number) => void
  /** Records an attempt that failed with a `Retryable` that the policy would retry, or that says "do not retry". */
  readonly failed: (now: number, error: Retryable) => void
  /** Pays for a retry. Returns its cost, or `undefined` when the budget does not allow the retry. */
  readonly withdraw: (now: number, error: Retryable) => number | undefined
  /** Returns the cost of a retry that was paid for and not made. */
  readonly refund: (now: number, cost: number) => void
}

/** Allows for rounding: in binary floating point ten credits of 0.1 add up to slightly less than 1. */
const tolerance = 1e-9

/** Rounds a level to nine decimals, to remove floating point noise from what is shown. */
const shown = (level: number) => Math.round(level * 1e9) / 1e9

/** Makes a level within [0, capacity] that starts full. */
const makeLevel = (capacity: number) => {
  let level = capacity
  return {
    get: () => Math.min(capacity, shown(level)),
    isAbove: (n: number) => level > n + tolerance,
    add: (n: number) => {
      level = Math.min(capacity, Math.max(0, level + n))
    }
  }
}

/**
 * The greatest level of an account, which may change over time.
 *
 * @internal
 */
export interface Capacity {
  /** Returns the capacity at `now`. */
  readonly at: (now: number) => number
  /** Records an answer. */
  readonly answered: (now: number) => void
}

/**
 * Makes a capacity that does not change.
 *
 * @internal
 */
export const fixedCapacity = (capacity: number): Capacity => ({ at: () => capacity, answered: () => {} })

/** The capacity, in retries, before the first answer: what one call makes with the default schedule. */
const initialRetries = 3

/** Retries per answer of the last ten seconds or so: half of them are about the answers of five seconds. */
const retriesPerAnswer = 0.5
/** The time constant with which old answers are forgotten: after it an answer counts 1/e. */
const fadeMillis = 10_000

/** The greatest capacity, in retries. */
const maxRetries = 10_000

/**
 * Makes a capacity that follows the traffic: one retry plus the number of answers in about five seconds, estimated from
 * an exponentially decaying count. Each retry counts as `unit` tokens.
 *
 * @internal
 */
export const trafficCapacity = (unit: number): Capacity => {
  let answers = 0
  let countedAt: number | undefined
  const fade = (now: number) => {
    if (now === countedAt) {
      return
    }
    answers *= Math.exp(Math.min(0, (countedAt ?? now) - now) / fadeMillis)
    countedAt = now
  }
  return {
    at: (now) => {
      if (countedAt === undefined) {
        return unit * initialRetries
      }
      fade(now)
      return unit * Math.min(maxRetries, 1 + retriesPerAnswer * answers)
    },
    answered: (now) => {
      fade(now)
      answers++
    }
  }
}

/**
 * Makes an account that earns tokens from answers and, slowly, from time. It starts full. When its capacity exceeds the
 * greatest one so far, the level rises by the difference.
 *
 * - `credit`: returns what an answer earns.
 * - `cost`: returns what a retry costs after an error.
 * - `regainEvery`: milliseconds in which the account regains one token.
 *
 * @internal
 */
export const makeEarned = (options: {
  readonly capacity: Capacity
  readonly credit: (spent: number) => number
  readonly cost: (error: Retryable) => number
  readonly regainEvery: number
}): Account => {
  let capacity = options.capacity.at(0)
  let level = capacity
  let greatest = capacity
  let settledAt: number | undefined
  /** Brings capacity and level up to `now`. */
  const settle = (now: number) => {
    capacity = options.capacity.at(now)
    // a clock that goes backwards earns nothing
    const regained = settledAt === undefined ? 0 : Math.max(0, now - settledAt) / options.regainEvery
    level = Math.min(capacity, level + regained)
    settledAt = now
  }
  const add = (n: number) => {
    level = Math.min(capacity, Math.max(0, level + n))
  }
  const get = () => Math.min(capacity, shown(level))
  return {
    get capacity() {
      return capacity
    },
    level: (now) => {
      settle(now)
      return get()
    },
    left: (now) => {
      settle(now)
      return level / capacity
    },
    succeeded: (now, spent) => {
      settle(now)
      options.capacity.answered(now)
      capacity = options.capacity.at(now)
      const grown = Math.max(0, capacity - greatest)
      greatest += grown
      add(grown + options.credit(spent))
    },
    failed: () => {},
    withdraw: (now, error) => {
      settle(now)
      const cost = options.cost(error)
      if (level + tolerance < cost) {
        return undefined
      }
      add(-cost)
      return cost
    },
    refund: (now, cost) => {
      settle(now)
      add(cost)
    }
  }
}

/**
 * Makes an account with the rules of gRPC's retry throttling: a failure costs 1 whether or not it is retried, and
 * retries are allowed while more than half of the tokens are left.
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

/**
 * An account that allows every retry.
 *
 * @internal
 */
export const unlimited: Account = {
  capacity: Infinity,
  level: () => Infinity,
  left: () => 1,
  succeeded: () => {},
  failed: () => {},
  withdraw: () => 0,
  refund: () => {}
}
