/**
 * A gate around any effect, without an engine.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import { CurrentDeadline } from "../../Deadline.js"
import { CallRejected } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import * as Gate from "./gate.js"

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
  let ended: Effect.Effect<A, E, R>
  const free = (current: Gate.Services): Effect.Effect<A, E, R> | undefined => {
    const admitted = Gate.permitOf(gate.admit(current, Infinity, identity))
    if (admitted !== undefined && (admitted !== permit || current !== services)) {
      permit = admitted
      services = current
      ended = Effect.matchCauseEffect(self, Gate.ending<A, E>(admitted, new Gate.Passage(current, Infinity)))
    }
    return admitted && ended
  }
  return Effect.withFiberRuntime((fiber) => {
    const { currentContext, currentDefaultServices } = fiber
    if (read(currentContext, Gate.HeldGates, none).includes(gate)) {
      return self
    }
    const passed = gate.isFree() ? free(currentDefaultServices) : undefined
    if (passed !== undefined) {
      return passed
    }
    const passage = new Gate.Passage(currentDefaultServices, read(currentContext, CurrentDeadline, Infinity))
    return Gate.through(gate, passage, self, (rejection) => Effect.fail(new CallRejected(rejection)))
  })
}
