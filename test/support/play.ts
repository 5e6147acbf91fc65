/**
 * Runs calls on virtual time.
 */
import { RetryExhausted } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { assert } from "./vitest.js"

/** Runs to the end on virtual time: the exit, and how long it took. */
export const play = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.fork(Effect.zip(Effect.exit(self), Clock.currentTimeMillis))
    yield* TestClock.adjust("10 minutes")
    const [exit, end] = yield* Fiber.join(fiber)
    return { exit, took: end - start }
  })

export const failureOf = <A, E>(exit: Exit.Exit<A, E>): E =>
  Option.getOrThrow(Cause.failureOption(Exit.isFailure(exit) ? exit.cause : Cause.empty))

export const exhaustedOf = <A, E>(exit: Exit.Exit<A, E>): RetryExhausted => {
  const error = failureOf(exit)
  assert.instanceOf(error, RetryExhausted)
  return error
}
