/**
 * Runs effects as promises that an `AbortSignal` interrupts. A signal has one listener, however many effects it is for:
 * to add one takes as long as there are listeners already.
 *
 * @internal
 */
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"
import * as Causes from "./cause.js"
import * as Runtime from "./runtime.js"

type Running = Fiber.RuntimeFiber<unknown, unknown>

/** The fibers that a signal interrupts, and what it has as its listener. */
interface Followers {
  readonly fibers: Set<Running>
  readonly onAbort: () => void
}

/** Those of each signal that some fiber follows now. */
const followers = new WeakMap<AbortSignal, Followers>()

const interrupt = (fiber: Running): void => fiber.unsafeInterruptAsFork(fiber.id())

const listen = (signal: AbortSignal): Followers => {
  const fibers = new Set<Running>()
  const onAbort = () => fibers.forEach(interrupt)
  const made = { fibers, onAbort }
  followers.set(signal, made)
  signal.addEventListener("abort", onAbort)
  return made
}

/** Interrupts a fiber when the signal fires. The listener leaves with the last fiber. */
const follow = (signal: AbortSignal, fiber: Running): void => {
  const { fibers, onAbort } = followers.get(signal) ?? listen(signal)
  fibers.add(fiber)
  fiber.addObserver(() => {
    fibers.delete(fiber)
    if (fibers.size === 0) {
      followers.delete(signal)
      signal.removeEventListener("abort", onAbort)
    }
  })
}

/**
 * Starts a fiber, and rejects as `Effect.runPromise` does, but for an interruption by the signal: then with the reason of
 * the signal. A signal that has fired already starts nothing.
 *
 * @internal
 */
export const runPromise = <A, E>(
  start: LazyArg<Fiber.RuntimeFiber<A, E>>,
  signal: AbortSignal | undefined
): Promise<A> =>
  new Promise((resolve, reject) => {
    const hasFired = () => signal?.aborted === true
    if (hasFired()) {
      return reject(signal!.reason)
    }
    const fiber = start()
    fiber.addObserver((exit) =>
      Exit.isSuccess(exit)
        ? resolve(exit.value)
        : reject(hasFired() && Causes.isInterruption(exit.cause) ? signal!.reason : Runtime.rejectionOf(exit.cause))
    )
    if (signal === undefined || fiber.unsafePoll() !== null) {
      return
    }
    if (hasFired()) {
      interrupt(fiber)
    } else {
      follow(signal, fiber)
    }
  })
