/**
 * Runs a handler in place of a call that failed.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Causes from "../effect/cause.js"
import { endOf } from "../event/outcome.js"
import { FallbackFailed } from "./failed.js"
import { tell } from "./telemetry.js"

/**
 * Asks the handler once for a call all of whose failures are handled. Where there is another failure beside them, or a
 * defect, the call ends with that, without those that are handled: they are in its type no more.
 *
 * @internal
 */
export const withFallback = <A, E, R, H extends E, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  handler: (error: H) => Effect.Effect<A2, E2, R2>,
  isHandled: (error: E) => error is H
): Effect.Effect<A | A2, Exclude<E, H> | FallbackFailed<H, E2>, R | R2> =>
  Effect.catchAllCause(self, (cause): Effect.Effect<A2, Exclude<E, H> | FallbackFailed<H, E2>, R2> => {
    const [error, ...others] = Causes.failures(cause)
    return error !== undefined && isHandled(error) && others.every(isHandled) && !Causes.hasDefect(cause)
      ? asked(handler, error)
      : Effect.failCause(Causes.withoutFailures(cause, isHandled))
  })

const asked = <H, A, E, R>(
  handler: (error: H) => Effect.Effect<A, E, R>,
  error: H
): Effect.Effect<A, FallbackFailed<H, E>, R> =>
  Effect.suspend(() => handler(error)).pipe(
    Effect.onExit((exit) =>
      tell({ kind: "handler", error, outcome: Exit.isSuccess(exit) ? "success" : endOf(exit.cause).outcome })
    ),
    Effect.mapError((fallback) => new FallbackFailed({ error, fallback }))
  )
