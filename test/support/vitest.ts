/**
 * `@effect/vitest` with a clock that does not start at 0: a difference of two instants and their sum are then not the same.
 * The random numbers of a test are always the same, so that it passes always or never.
 */
import { it as base } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as TestClock from "effect/TestClock"

export { assert, describe } from "@effect/vitest"

/** Odd and large, as the instants of a real clock are: in milliseconds. */
export const epoch = 1_764_153_755_123

/** Starts the clock of a test at {@link epoch}. */
export const atEpoch = <A, E, R>(self: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.zipRight(TestClock.setTime(epoch), Effect.suspend(self))

/** Runs a test on virtual time. */
const repeatable = <A, E, R>(name: string, self: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withRandom(atEpoch(self), Random.make(name))

const effect: typeof base.effect = Object.assign(
  ((name, self, timeout) =>
    base.effect(name, (...args) => repeatable(name, () => self(...args)), timeout)) as typeof base.effect,
  base.effect
)

const scoped: typeof base.scoped = Object.assign(
  ((name, self, timeout) =>
    base.scoped(name, (...args) => repeatable(name, () => self(...args)), timeout)) as typeof base.scoped,
  base.scoped
)

export const it: typeof base = Object.assign(base.bind(undefined) as typeof base, base, { effect, scoped })
