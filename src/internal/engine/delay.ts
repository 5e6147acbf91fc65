/**
 * The wait between two attempts.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Call from "../call/call.js"
import * as Timer from "../effect/timer.js"
import * as Gate from "../gate/gate.js"
import type { Rejection } from "../gate/outcome.js"

/**
 * Waits until `until`, an instant `millis` milliseconds from now, or until a gate of the call is certain to turn the
 * attempt away that would follow. Returns why it will.
 *
 * What is left when the wait is interrupted is for {@link stop}.
 *
 * @internal
 */
export const wait = (call: Call.Call, millis: number, until: number): Effect.Effect<Rejection | undefined | void> =>
  millis === 0
    ? Effect.void
    : call.gates.some((gate) => gate.onChange !== undefined)
    ? watched(call, millis, until)
    : Timer.sleep(call.clock, millis, (stop) => {
      call.stopDelay = stop
    })

const watched = (call: Call.Call, millis: number, until: number): Effect.Effect<Rejection | undefined> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const settings = { context: fiber.currentContext, fiberRefs: fiber.getFiberRefs(), runtimeFlags }
    const ended = Effect.async<Rejection | undefined>((resume) => {
      const look = () => {
        const refusal = Gate.refusalAt(call.gates, until)
        if (refusal !== undefined) {
          resume(Effect.succeed(refusal))
        }
      }
      const leave = call.gates.map((gate) => gate.onChange?.(look))
      const stopTimer = Timer.start(settings, call.clock, millis, () => resume(Effect.succeed(undefined)))
      call.stopDelay = () => {
        leave.forEach((leave) => leave?.())
        return stopTimer()
      }
      // it may have changed while the retry was logged
      look()
    })
    return Effect.tap(ended, () => stop(call))
  })

/**
 * Stops what a delay is waiting for. It has no effect when there is nothing left of it.
 *
 * @internal
 */
export const stop = (call: Call.Call): Effect.Effect<unknown> => {
  const stop = call.stopDelay
  call.stopDelay = undefined
  return stop === undefined ? Effect.void : stop()
}
