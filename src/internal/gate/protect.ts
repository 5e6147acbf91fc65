/**
 * A gate around any effect, without an engine.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import { CurrentDeadline } from "../../Deadline.js"
import { CallRejected } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import * as Gate from "./gate.js"
import { rejectionOf } from "./outcome.js"

const none: ReadonlyArray<Gate.Gate> = []

/**
 * Runs an effect if the gate admits it, and tells the gate how it ended. It waits at most until the deadline in force.
 * Fails with `CallRejected` when it is turned away.
 *
 * @internal
 */
export const protect = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  gate: Gate.Gate
): Effect.Effect<A, E | CallRejected, R> => {
  // while a breaker is closed all attempts have one permit, so that what tells it of their ends is made once
  let permit: Gate.Permit | undefined
  let services: Gate.Services | undefined
  let ending: ReturnType<typeof Gate.ending<A, E>>
  const free = (current: Gate.Services): Effect.Effect<A, E, R> | undefined => {
    const admitted = Gate.permitOf(gate.admit(current, Infinity, identity))
    if (admitted === undefined) {
      return undefined
    }
    if (admitted !== permit || current !== services) {
      permit = admitted
      services = current
      ending = Gate.ending(admitted, new Gate.Passage(current, Infinity))
    }
    return Effect.matchCauseEffect(self, ending)
  }
  return Effect.withFiberRuntime((fiber) => {
    const { currentContext, currentDefaultServices } = fiber
    if (read(currentContext, Gate.HeldGates, none).includes(gate)) {
      return self
    }
    const passed = gate.isFree() ? free(currentDefaultServices) : undefined
    const deadline = read(currentContext, CurrentDeadline, Infinity)
    return passed ?? rejecting(Gate.through(gate, new Gate.Passage(currentDefaultServices, deadline), () => self))
  })
}

/** Fails with `CallRejected` where an attempt is turned away. */
const rejecting = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CallRejected, R> =>
  Effect.catchAllCause(self, (cause: Cause.Cause<E>): Effect.Effect<never, E | CallRejected> => {
    const rejection = rejectionOf(cause)
    return rejection === undefined ? Effect.failCause(cause) : Effect.fail(new CallRejected(rejection))
  })
