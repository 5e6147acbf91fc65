/**
 * A gate around any effect, without an engine.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
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
): Effect.Effect<A, E | CallRejected, R> =>
  Effect.withFiberRuntime((fiber) => {
    if (read(fiber.currentContext, Gate.HeldGates, none).includes(gate)) {
      return self
    }
    const admits = gate.isFree()
    const passed = Gate.through(gate, {
      attempt: () => self,
      services: fiber.currentDefaultServices,
      deadline: read(fiber.currentContext, CurrentDeadline, Infinity),
      isCut: () => false,
      startedAt: () => undefined
    })
    return admits ?
      passed :
      Effect.catchAllCause(passed, (cause: Cause.Cause<E>): Effect.Effect<never, E | CallRejected> => {
        const rejection = rejectionOf(cause)
        return rejection === undefined ? Effect.failCause(cause) : Effect.fail(new CallRejected(rejection))
      })
  })
