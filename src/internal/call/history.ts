/**
 * The failed attempts of one call: all of a short one, the first and the last few of a long one.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import type { Attempt } from "../../RpcError.js"

const head = 4
const tail = 4

/** @internal */
export interface History {
  readonly failed: (attempt: Omit<Attempt, "delay">) => void
  /** The last failed attempt is followed by a delay. */
  readonly waits: (delay: Duration.Duration) => void
  readonly attempts: () => ReadonlyArray<Attempt>
}

/** @internal */
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
