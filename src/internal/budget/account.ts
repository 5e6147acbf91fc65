/**
 * The accounts behind `RetryBudget`. Each operation is one synchronous step, so that no two calls can spend the same
 * token. `now` is in milliseconds of the clock of the call.
 *
 * @internal
 */
import type { Retryable } from "../../RpcError.js"

/** @internal */
export interface Account {
  /** The most that it can hold, as it was when it was last asked anything. */
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

/** To show: without the last digits, which are noise. */
const shown = (level: number) => Math.round(level * 1e9) / 1e9

/** A level within [0, capacity] that starts full. */
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
 * The most that an account can hold.
 *
 * @internal
 */
export interface Capacity {
  readonly at: (now: number) => number
  readonly answered: (now: number) => void
}

/** @internal */
export const fixedCapacity = (capacity: number): Capacity => ({ at: () => capacity, answered: () => {} })

/** What one call takes with the default schedule: all that is known of a client that was never answered. */
const initialRetries = 3

/** Half of the answers of the last ten seconds are as many as those of five. */
const retriesPerAnswer = 0.5
const fadeMillis = 10_000

const maxRetries = 10_000

/**
 * Follows the traffic: a retry, and the answers of about five seconds. Counted are those of about the last ten, older ones
 * fading away. All of it in retries that cost `unit`.
 *
 * @internal
 */
export const trafficCapacity = (unit: number): Capacity => {
  let answers = 0
  let countedAt: number | undefined
  const fade = (now: number) => {
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
 * Fed by answers and, slowly, by time. It starts full, and is full where its capacity is greater than ever before.
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
  /** What time has changed. */
  const settle = (now: number) => {
    capacity = options.capacity.at(now)
    // a clock that was set back earns nothing, and loses nothing after that
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
