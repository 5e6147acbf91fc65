/**
 * What a closed circuit breaker counts, and when that opens it.
 *
 * @internal
 */
import type { LazyArg } from "effect/Function"

/**
 * When a circuit breaker opens. Durations are in milliseconds.
 *
 * @internal
 */
export type Rule = Consecutive | Rate

/** @internal */
export interface Consecutive {
  readonly _tag: "Consecutive"
  readonly failures: number
}

/** @internal */
export interface Rate {
  readonly _tag: "Rate"
  readonly threshold: number
  readonly window: Calls | Time
  readonly minimumCalls: number
  readonly slow: { readonly longerThan: number; readonly threshold: number } | undefined
}

/** @internal */
export interface Calls {
  readonly _tag: "Calls"
  readonly size: number
}

/** @internal */
export interface Time {
  readonly _tag: "Time"
  readonly millis: number
}

/** @internal */
export interface Counts {
  readonly calls: number
  readonly failures: number
  readonly slow: number
}

/** @internal */
export interface Detector {
  /** Counts an outcome. Returns whether the breaker is to open: only a failure or a slow call opens it. */
  readonly record: (failed: boolean, slow: boolean) => boolean
  readonly counts: () => Counts
  readonly clear: () => void
}

/**
 * Makes the counter of a rule.
 *
 * - `now`: the time in milliseconds. It must not go back. Read only for a window of time.
 *
 * @internal
 */
export const make = (rule: Rule, now: LazyArg<number>): Detector =>
  rule._tag === "Consecutive" ? inARow(rule.failures) : byRate(rule, now)

const inARow = (limit: number): Detector => {
  let failures = 0
  return {
    record: (failed) => {
      failures = failed ? failures + 1 : 0
      return failures >= limit
    },
    counts: () => ({ calls: failures, failures, slow: 0 }),
    clear: () => {
      failures = 0
    }
  }
}

const byRate = ({ minimumCalls, slow, threshold, window }: Rate, now: LazyArg<number>): Detector => {
  const counted = window._tag === "Calls" ? ofCalls(window.size) : ofTime(window.millis, now)
  const slowThreshold = slow?.threshold ?? Infinity
  return {
    record: (failed, slow) => {
      counted.add(failed, slow)
      if (!failed && !slow) {
        return false
      }
      const { calls, failures, slow: slows } = counted.counts()
      return calls >= minimumCalls &&
        ((failed && failures / calls >= threshold) || (slow && slows / calls >= slowThreshold))
    },
    counts: counted.counts,
    clear: counted.clear
  }
}

/** Outcomes that leave again: each step takes a time that does not grow with their number. */
interface Window {
  readonly add: (failed: boolean, slow: boolean) => void
  readonly counts: () => Counts
  readonly clear: () => void
}

const isFailure = 1
const isSlow = 2

/** The last `size` outcomes, a byte each. */
const ofCalls = (size: number): Window => {
  const ring = new Uint8Array(size)
  let next = 0
  let calls = 0
  let failures = 0
  let slows = 0
  return {
    add: (failed, slow) => {
      if (calls === size) {
        const oldest = ring[next]!
        failures -= oldest & isFailure
        slows -= (oldest & isSlow) >> 1
      } else {
        calls++
      }
      ring[next] = (failed ? isFailure : 0) | (slow ? isSlow : 0)
      failures += failed ? 1 : 0
      slows += slow ? 1 : 0
      next = next + 1 === size ? 0 : next + 1
    },
    counts: () => ({ calls, failures, slow: slows }),
    clear: () => {
      next =
        calls =
        failures =
        slows =
          0
    }
  }
}

/**
 * A window of time is kept as so many parts; the oldest leaves as a whole, so it covers from 19/20 to all of its
 * length.
 */
const parts = 20

/** The outcomes of the last `millis`. */
const ofTime = (millis: number, now: LazyArg<number>): Window => {
  const calls = new Float64Array(parts)
  const failures = new Float64Array(parts)
  const slows = new Float64Array(parts)
  const total = { calls: 0, failures: 0, slow: 0 }
  const width = millis / parts
  let current = -Infinity
  const empty = (part: number) => {
    total.calls -= calls[part]!
    total.failures -= failures[part]!
    total.slow -= slows[part]!
    calls[part] = failures[part] = slows[part] = 0
  }
  /** Drops what is too old, and returns the part of this moment. */
  const turn = (): number => {
    const latest = Math.floor(now() / width)
    for (let each = Math.max(0, current + 1, latest - parts + 1); each <= latest; each++) {
      empty(each % parts)
    }
    current = latest
    return latest % parts
  }
  return {
    add: (failed, slow) => {
      const part = turn()
      calls[part]!++
      total.calls++
      if (failed) {
        failures[part]!++
        total.failures++
      }
      if (slow) {
        slows[part]!++
        total.slow++
      }
    },
    counts: () => {
      turn()
      return { ...total }
    },
    clear: () => {
      for (let part = 0; part < parts; part++) {
        empty(part)
      }
    }
  }
}
