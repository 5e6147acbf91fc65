/**
 * The failed attempts that a `RetryExhausted` reports: the first four and the last four of a call.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type { Attempt } from "../../RpcError.js"

const head = 4
const tail = 4

/**
 * A bounded list of failed attempts.
 *
 * @internal
 */
export interface History {
  /** Adds a failed attempt. Once eight are kept, the fifth is dropped. */
  readonly failed: (attempt: Omit<Attempt, "delay">) => void
  /** Records the delay that follows the attempt added last. */
  readonly waits: (delay: Duration.Duration) => void
  /** Returns the attempts kept, in order. */
  readonly attempts: () => ReadonlyArray<Attempt>
}

/**
 * Makes an empty history.
 *
 * @internal
 */
export const make = (): History => {
  const kept: Array<Attempt> = []
  return {
    failed(attempt) {
      if (kept.length === head + tail) {
        kept.splice(head, 1)
      }
      kept.push(attempt)
    },
    waits(delay) {
      kept.push({ ...kept.pop()!, delay })
    },
    attempts: () => kept
  }
}
