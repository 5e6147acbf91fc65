/**
 * A timeout that does not wait for the loser. Effect 4 has other names for the parts it stands on.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"
import * as FiberRefs from "../effect/fiberRefs.js"
import * as Runtime from "../effect/runtime.js"
import * as Timer from "../effect/timer.js"

/** How long an attempt may take, and what is made of it. */
interface Bounds<E2> {
  /** Returns the context of the attempt, given that of the caller. */
  readonly contextOf: (ambient: Context.Context<never>) => Context.Context<never>
  /** The clock that the timeout is measured with. */
  readonly clock: Clock.Clock
  /** The timeout in milliseconds. */
  readonly millis: number
  /** Returns the error of an attempt that took longer. It is asked before the attempt hears of it. */
  readonly onTimeout: LazyArg<E2>
}

/**
 * Runs `self` for at most `millis`, then fails with `onTimeout` at once, leaving `self` to be interrupted in the
 * background: it may not want to be, and its finalizers may be slow.
 *
 * `self` runs in a fiber of its own, started at once: where it needs no wait, no timer is made.
 *
 * When the caller is interrupted the finalizers of `self` have run before the interruption is done, as everywhere in
 * Effect. That is why this is not `Effect.timeoutFail` over `Effect.disconnect`.
 *
 * @internal
 */
export const attemptTimeout = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  bounds: Bounds<E2>
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((caller, { runtimeFlags }) => {
      // `Effect.exit`, as Effect logs the failure of a fiber that nobody waits for
      const contained = Effect.exit(restore(self as Effect.Effect<A, E>))
      const runner = { context: caller.currentContext, fiberRefs: caller.getFiberRefs(), runtimeFlags }
      const attempt = Runtime.start(runner, bounds.contextOf(runner.context), contained)
      const ended = attempt.unsafePoll()
      if (ended !== null) {
        return answer(runner, attempt, Exit.flatten(ended))
      }
      let stop: Timer.Stop = () => Effect.void
      const first = Effect.async<Exit.Exit<A, E> | undefined>((resume) => {
        stop = Timer.start(runner, bounds.clock, bounds.millis, () => resume(timedOut))
        attempt.addObserver((exit) => resume(Effect.succeed(Exit.flatten(exit))))
      })
      return Effect.matchCauseEffect(restore(first), {
        onSuccess: (exit): Effect.Effect<A, E | E2> => {
          if (exit !== undefined) {
            return Effect.andThen(stop(), answer(runner, attempt, exit))
          }
          const error = bounds.onTimeout()
          attempt.unsafeInterruptAsFork(caller.id())
          return Effect.fail(error)
        },
        // only an interruption of the caller
        onFailure: (cause) => Effect.andThen(stop(), Effect.andThen(Fiber.interrupt(attempt), Effect.failCause(cause)))
      })
    })
  )

const timedOut: Effect.Effect<undefined> = Effect.succeed(undefined)

/** Ends as the attempt did. Only one that succeeded hands on what it has changed of its `FiberRef`s. */
const answer = <A, E>(
  caller: Runtime.Settings,
  attempt: Fiber.RuntimeFiber<unknown, unknown>,
  exit: Exit.Exit<A, E>
): Effect.Effect<A, E> => {
  const inherited = Exit.isSuccess(exit) ? FiberRefs.inherited(caller.fiberRefs, attempt) : undefined
  return inherited === undefined ? exit : Effect.andThen(inherited, exit)
}
