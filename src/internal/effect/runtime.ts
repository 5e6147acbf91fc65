/**
 * Starts fibers outside of an effect. Kept in one file because Effect 4 has no runtimes as values: it starts work with
 * a context.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"

/**
 * Starts fibers from code that is not an effect, such as a socket listener.
 *
 * @internal
 */
export type Runner = Runtime.Runtime<never>

/** Returns a runner with the context, loggers and other settings of the current fiber. @internal */
export const current: Effect.Effect<Runner> = Effect.runtime<never>()

/** Runs an effect in a new fiber. @internal */
export const fork = (runner: Runner) => <A, E>(self: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> =>
  Runtime.runFork(runner)(self)

/** Removes the services from a runner for whose key `isLeftOut` holds. @internal */
export const without = (runner: Runner, isLeftOut: (key: string) => boolean): Runner =>
  Runtime.make({
    ...runner,
    context: Context.unsafeMake(
      new Map(Array.from(runner.context.unsafeMap).filter(([key]) => !isLeftOut(key)))
    )
  })

/**
 * Runs an effect in a new fiber without waiting for it. The new fiber inherits the settings of `fiber`, such as its
 * loggers.
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

/** The settings of a fiber that starts others. @internal */
export type Settings = Pick<Runner, "context" | "fiberRefs" | "runtimeFlags">

/** How many fibers that {@link start} has started are running now, each on the stack of the one before. */
let nested = 0

/** So many fibers may run on the stack of each other: a stack has room for about a thousand. */
const maxNested = 50

/**
 * Starts an effect in a new fiber on the stack of the caller, so that an effect that needs no wait has ended when this
 * returns. The fiber belongs to nobody, and nobody inherits what it changes.
 *
 * @internal
 */
export const start = <A>(
  { fiberRefs, runtimeFlags }: Settings,
  context: Context.Context<never>,
  self: Effect.Effect<A>
): Fiber.RuntimeFiber<A> => {
  nested++
  const started = Runtime.runFork(Runtime.make({ context, fiberRefs, runtimeFlags }), self, {
    immediate: nested <= maxNested
  })
  nested--
  return started
}

/** Returns what `Effect.runPromise` rejects with for a cause. @internal */
export const rejectionOf = (cause: Cause.Cause<unknown>): Error => Runtime.makeFiberFailure(cause)

/** Returns the failure inside a rejection of `Effect.runPromise`; `undefined` for any other rejection. @internal */
export const failureOfRejection = (rejection: unknown): unknown =>
  Runtime.isFiberFailure(rejection) ? Cause.squash(rejection[Runtime.FiberFailureCauseId]) : undefined
