/**
 * Work beside a fiber. Effect 4 has no runtimes as values: it runs with a context.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"

/**
 * Starts an effect in a fiber of its own that nobody waits for. It has the settings of `fiber`, its loggers among them.
 *
 * @internal
 */
export const run = (
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
