/**
 * Waits of real time. Neither assumes that the machine is quick: one waits for as long as the test may take, the other makes no test
 * fail that would pass without it.
 */
import * as Effect from "effect/Effect"

/** Not by the clock of the test, which may be virtual. */
const pause = (millis: number): Effect.Effect<void> =>
  Effect.async((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

/** Asks again and again until it is so; where it never is, the test ends at its timeout. */
export const eventually = <E = never, R = never>(
  isSo: (() => boolean) | Effect.Effect<boolean, E, R>
): Effect.Effect<void, E, R> => {
  const ask = Effect.isEffect(isSo) ? isSo : Effect.sync(isSo)
  return Effect.flatMap(ask, (so) => so ? Effect.void : Effect.andThen(pause(2), eventually(ask)))
}

/**
 * Gives what must not happen some milliseconds of real time, in which a test would see it. On a slow machine a fault may be missed;
 * what is right never fails.
 */
export const settle = (millis = 20): Effect.Effect<void> => pause(millis)

/** A turn of the event loop, in which sockets do what they do. */
export const turn: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Turns of the event loop: what fibers can do without waiting for others is done, however slow the machine. */
export const turns = (count: number): Effect.Effect<void> => Effect.repeatN(turn, count)
