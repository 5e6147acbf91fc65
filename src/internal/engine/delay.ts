/**
 * The wait between two attempts.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Call from "../call/call.js"
import * as Timer from "../effect/timer.js"

/**
 * Waits for `millis` milliseconds. What it leaves behind when it is interrupted is stopped by {@link stop}.
 *
 * @internal
 */
export const wait = (call: Call.Call, millis: number): Effect.Effect<void> =>
  millis > 0
    ? Timer.sleep(call.clock, millis, (stop) => {
      call.stopDelay = stop
    })
    : Effect.void

/**
 * Stops the timer of a delay that was interrupted. It has no effect otherwise.
 *
 * @internal
 */
export const stop = (call: Call.Call): Effect.Effect<unknown> => call.stopDelay?.() ?? Effect.void
