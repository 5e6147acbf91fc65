/**
 * How many attempts may be in flight: a number, or one that follows what the server can take.
 *
 * @internal
 */
import * as Exit from "effect/Exit"
import { isRpcError, type RpcError } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"
import type { Outcome } from "./outcome.js"

/**
 * What the end of an attempt says of the limit: the server answered, it is overloaded, or neither.
 *
 * @internal
 */
export type Signal = "Answered" | "Overloaded" | "Neither"

/** @internal */
export interface Limit {
  readonly floor: number
  readonly ceiling: number
  /** An integer within floor and ceiling. */
  readonly current: () => number
  /** Counts how often the limit was lowered. */
  readonly epoch: () => number
  /**
   * An attempt ended.
   *
   * - `epoch`: the one that it was admitted in.
   * - `inFlight`: how many attempts were in flight beside it, itself included: when it started or when it ended,
   *   whichever is more.
   */
  readonly ended: (signal: Signal, epoch: number, inFlight: number) => void
}

const isOverload = (error: RpcError): boolean => {
  switch (error._tag) {
    case "Retryable":
      return error.reason === "Throttled" || error.reason === "AttemptTimeout"
    case "RetryExhausted":
      // what the deadline of the call cut says nothing of the server
      return error.reason === "CircuitOpen" || (error.reason !== "DeadlineExceeded" && isOverload(error.last))
    case "CallRejected":
      return error.reason === "CircuitOpen" || error.reason === "Throttled"
    case "Fatal":
      return false
  }
}

/**
 * Returns what the end of an attempt says of the limit. An answer is a success, a `Fatal` or a domain error; a server
 * that cannot be reached has not answered, and is not overloaded either.
 *
 * @internal
 */
export const signalOf = (outcome: Outcome, exit: Exit.Exit<unknown, unknown>): Signal => {
  if (Exit.isSuccess(exit)) {
    return outcome === "Success" ? "Answered" : "Neither"
  }
  const failures: ReadonlyArray<unknown> = Causes.failures(exit.cause)
  if (failures.some((error) => isRpcError(error) && isOverload(error))) {
    return "Overloaded"
  }
  return failures.length > 0 && failures.every((error) => !isRpcError(error) || error._tag === "Fatal")
    ? "Answered"
    : "Neither"
}

/** @internal */
export const fixed = (limit: number): Limit => ({
  floor: limit,
  ceiling: limit,
  current: () => limit,
  epoch: () => 0,
  ended: () => {}
})

/**
 * Additive increase, multiplicative decrease: answers to as many attempts as the limit raise it by 1, an overload
 * multiplies it by `decrease`. An attempt counts only towards the limit that it was admitted under, so that the
 * attempts of one round trip lower it once, however many of them fail.
 *
 * A limit that is not used to the half at least is not known to be right, and does not grow.
 *
 * @internal
 */
export const adaptive = (options: {
  readonly floor: number
  readonly ceiling: number
  readonly start: number
  readonly decrease: number
}): Limit => {
  const { ceiling, decrease, floor, start } = options
  let limit = start
  let lowered = 0
  return {
    floor,
    ceiling,
    current: () => Math.floor(limit),
    epoch: () => lowered,
    ended: (signal, epoch, inFlight) => {
      if (epoch !== lowered) {
        return
      }
      if (signal === "Overloaded") {
        limit = Math.max(floor, limit * decrease)
        lowered++
      } else if (signal === "Answered" && inFlight * 2 >= limit) {
        limit = Math.min(ceiling, limit + 1 / limit)
      }
    }
  }
}
