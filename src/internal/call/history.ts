/**
 * The failed attempts that a `RetryExhausted` reports: the first four and the last four of a call.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type * as RpcError from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import * as Attempt from "./attempt.js"

const head = 4
const tail = 4

/**
 * A bounded list of failed attempts. Durations are made of them when they are read, as most calls succeed in the end.
 *
 * @internal
 */
export type History = Array<Attempt.Attempt>

/**
 * Adds a failed attempt. Once eight are kept, the fifth is dropped.
 *
 * - `history`: `undefined` before the first one.
 *
 * @internal
 */
export const add = (history: History | undefined, attempt: Attempt.Attempt): History => {
  if (history === undefined) {
    return [attempt]
  }
  if (history.length === head + tail) {
    history.splice(head, 1)
  }
  history.push(attempt)
  return history
}

/**
 * Records the delay that follows the attempt added last, in milliseconds.
 *
 * @internal
 */
export const waits = (history: History, delay: number): void => {
  history[history.length - 1]!.delay = delay
}

/**
 * Returns the attempts kept, in order, as an error reports them.
 *
 * - `start`: the start of the call, an instant of the monotonic clock in milliseconds.
 *
 * @internal
 */
export const shown = (history: ReadonlyArray<Attempt.Attempt>, start: number): ReadonlyArray<RpcError.Attempt> =>
  history.map((attempt) => ({
    attempt: attempt.number,
    startedAt: Duration.millis(Monotonic.between(start, attempt.startedAt)),
    took: Duration.millis(Attempt.took(attempt)),
    error: attempt.error!,
    ...attempt.delay === undefined ? {} : { delay: Duration.millis(attempt.delay) }
  }))
