/**
 * A circuit breaker around any effect, without an engine.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { CallRejected } from "../../RpcError.js"
import type { Breaker } from "./circuitBreaker.js"
import type { Rejection } from "./gate.js"
import { outcomeOfCall } from "./outcome.js"

/**
 * Runs an effect if the breaker admits it, and tells the breaker how it ended.
 *
 * @internal
 */
export const protect = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  breaker: Breaker
): Effect.Effect<A, E | CallRejected, R> =>
  Effect.suspend(() => breaker.isClosed() ? whileClosed(self, breaker) : guarded(self, breaker))

/** While it is closed a permit need not be given back: an interruption, which says nothing, may pass without a word. */
const whileClosed = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  breaker: Breaker
): Effect.Effect<A, E | CallRejected, R> => {
  const admitted = breaker.request()
  if (Either.isLeft(admitted)) {
    return turnAway(admitted.left)
  }
  const permit = admitted.right
  return Effect.matchCauseEffect(self, {
    onSuccess: (value) => {
      const exit = Exit.succeed(value)
      permit.end("Success", exit)
      return exit
    },
    onFailure: (cause) => {
      const exit = Exit.failCause(cause)
      permit.end(outcomeOfCall(exit), exit)
      return exit
    }
  })
}

/** A probe gives its place back, whatever becomes of it. */
const guarded = <A, E, R>(self: Effect.Effect<A, E, R>, breaker: Breaker): Effect.Effect<A, E | CallRejected, R> =>
  Effect.uninterruptibleMask((restore): Effect.Effect<A, E | CallRejected, R> => {
    const admitted = breaker.request()
    return Either.isLeft(admitted)
      ? turnAway(admitted.left)
      : Effect.onExit(
        restore(self),
        (exit) => Effect.sync(() => admitted.right.end(outcomeOfCall(exit), exit))
      )
  })

const turnAway = ({ reason, retryIn }: Rejection): Effect.Effect<never, CallRejected> =>
  Effect.fail(new CallRejected({ reason, retryIn }))
