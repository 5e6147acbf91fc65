/**
 * What attempts of several transports have in common.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Deadline from "../../Deadline.js"

/**
 * Repeats a request once and at once when its failure proves that no server has processed it: a transparent retry, as
 * gRPC calls it. The repetition is part of the same attempt, so it is not counted, not delayed and costs no budget.
 * When it fails too, that is the failure of the attempt.
 *
 * - `isUnprocessed`: returns whether a failure is such a proof.
 *
 * @internal
 */
export const repeatUnprocessed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  isUnprocessed: (error: E) => boolean
): Effect.Effect<A, E, R> => Effect.catchAll(self, (error) => isUnprocessed(error) ? self : Effect.fail(error))

/**
 * Waits until an instant on the scale of `Deadline.now`, in milliseconds. An attempt that its own timer, or that of the
 * server, ends a little before the deadline waits for it: only one that ends at the deadline counts as cut by it.
 *
 * @internal
 */
export const sleepUntil = (clock: Clock.Clock, instant: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = instant - Deadline.unsafeNow(clock)
    // a timer counts whole milliseconds, and may end early by a part of one
    return left > 0 ? Effect.andThen(Effect.sleep(Math.ceil(left)), sleepUntil(clock, instant)) : Effect.void
  })
