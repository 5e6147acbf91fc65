/**
 * A timeout that does not wait for the loser. Effect 4 has other names for the parts it stands on.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"

/**
 * Runs `self` for at most `millis`, then fails with `onTimeout` at once, leaving `self` to be interrupted in the
 * background: it may not want to be, and its finalizers may be slow. `onTimeout` is asked before `self` hears of it.
 *
 * When the caller is interrupted the finalizers of `self` have run before the interruption is done, as everywhere in
 * Effect. That is why this is not `Effect.timeoutFail` over `Effect.disconnect`.
 *
 * @internal
 */
export const attemptTimeout = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  millis: number,
  onTimeout: LazyArg<E2>
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.forkDaemon(Effect.exit(restore(self))),
      (attempt) =>
        Effect.flatMap(Effect.forkDaemon(Effect.interruptible(Effect.sleep(millis))), (timer) =>
          restore(firstOf(attempt, timer)).pipe(
            Effect.onInterrupt(() => Fiber.interruptAll([attempt, timer])),
            Effect.flatMap((exit): Effect.Effect<A, E | E2> => {
              if (exit === undefined) {
                const error = onTimeout()
                return Effect.andThen(Fiber.interruptFork(attempt), Effect.fail(error))
              }
              const answer = Exit.isSuccess(exit) ? Effect.andThen(Fiber.inheritAll(attempt), exit) : exit
              return Effect.andThen(Fiber.interrupt(timer), answer)
            })
          ))
    )
  )

/** How the attempt ended, or `undefined` when the timer ended first. */
const firstOf = <A, E>(
  attempt: Fiber.RuntimeFiber<Exit.Exit<A, E>>,
  timer: Fiber.RuntimeFiber<void>
): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.async((resume) => {
    attempt.addObserver((exit) => resume(Effect.succeed(Exit.flatten(exit))))
    timer.addObserver(() => resume(Effect.succeed(undefined)))
  })
