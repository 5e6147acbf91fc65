/**
 * When a system is well again after a fault.
 *
 * @internal
 */
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"
import type { Valid } from "./scenario.js"

/** What is looked at, in milliseconds. */
const windowMillis = 5_000
/** How long it has to stay well, in milliseconds. */
const holdMillis = 20_000
/** How long after a fault a scenario has to go on at least: the shortest recovery takes as long to tell, in milliseconds. */
const leastAfterFaults = windowMillis + holdMillis

/** The share of the demand that has to succeed. */
const share = 0.95

/**
 * What was counted in each step of a run.
 *
 * @internal
 */
export interface Counts {
  /** The length of a step, in milliseconds. */
  readonly step: number
  /** The calls that started in each step. */
  readonly offered: ArrayLike<number>
  /** The calls that succeeded in each step. */
  readonly succeeded: ArrayLike<number>
  /** The calls per step that there have to be at least; what a closed loop offers falls with what it gets. */
  readonly leastOffered: number
}

const sum = (counts: ArrayLike<number>, from: number, to: number): number => {
  let all = 0
  for (let i = from; i < to; i++) {
    all += counts[i]!
  }
  return all
}

/**
 * Returns the time from `from` to the first window of 5 seconds in which as many calls succeed as 95 % of those that
 * start, and after which that holds for 20 seconds; `undefined` when there is none within `to`.
 *
 * @internal
 */
export const recovery = (counts: Counts, from: number, to: number): number | undefined => {
  const size = Math.max(1, Math.round(windowMillis / counts.step))
  const hold = Math.max(1, Math.round(holdMillis / counts.step))
  const isWell = (start: number) =>
    sum(counts.succeeded, start, start + size) >=
      share * Math.max(sum(counts.offered, start, start + size), counts.leastOffered * size)
  const last = Math.floor(to / counts.step)
  for (let start = Math.ceil(from / counts.step); start + size + hold <= last; start++) {
    let next = start
    while (next <= start + hold && isWell(next)) {
      next += size
    }
    if (next > start + hold) {
      return start * counts.step - from
    }
  }
  return undefined
}

/**
 * Checks that a scenario has a fault to recover from, and goes on long enough for a recovery to be seen.
 *
 * @internal
 */
export const checkCanRecover = (where: string, scenario: Valid): Result.Result<Valid, InvalidOption> => {
  const { duration, faultsEnd } = scenario
  return faultsEnd === undefined
    ? Result.fail(new InvalidOption({ where, field: "faults", problem: "must have one that ends, to recover from" }))
    : Math.floor(duration / 1000) - Math.ceil(faultsEnd / 1000) < leastAfterFaults / 1000
    ? Result.fail(
      new InvalidOption({
        where,
        field: "duration",
        problem: `must end at least ${leastAfterFaults / 1000} seconds after the last fault, to show a recovery`
      })
    )
    : Result.succeed(scenario)
}
