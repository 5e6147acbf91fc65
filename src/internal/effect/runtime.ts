/**
 * Fibers that are started beside others. Effect 4 has no runtimes as values: work is started with a context.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"

/**
 * Where fibers can be started from code that is no effect: in the listener of a socket.
 *
 * @internal
 */
export type Runner = Runtime.Runtime<never>

/** The one of the fiber that asks: its context, loggers and other settings. @internal */
export const current: Effect.Effect<Runner> = Effect.runtime<never>()

/** Starts an effect in a fiber of its own. @internal */
export const fork = (runner: Runner) => <A, E>(self: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> =>
  Runtime.runFork(runner)(self)

/** The runner without the services whose key `isLeftOut` holds for. @internal */
export const without = (runner: Runner, isLeftOut: (key: string) => boolean): Runner =>
  Runtime.make({
    ...runner,
    context: Context.unsafeMake(
      new Map(Array.from(runner.context.unsafeMap).filter(([key]) => !isLeftOut(key)))
    )
  })

/**
 * Starts an effect in a fiber of its own that nobody waits for. It has the settings of `fiber`, its loggers among them.
 *
 * @internal
 */
export const forkBeside = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  self: Effect.Effect<void>,
  context: Context.Context<never> = fiber.currentContext
): void => {
  const runtime = Runtime.make({
    context,
    runtimeFlags: Runtime.defaultRuntimeFlags,
    fiberRefs: fiber.getFiberRefs()
  })
  Runtime.runFork(runtime)(self, { immediate: false })
}

/** What the effect failed with, of what `Effect.runPromise` rejected with; `undefined` of anything else. @internal */
export const failureOfRejection = (rejection: unknown): unknown =>
  Runtime.isFiberFailure(rejection) ? Cause.squash(rejection[Runtime.FiberFailureCauseId]) : undefined
