/**
 * Counts what an effect leaves behind: fibers that still run, timers that still tick.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Supervisor from "effect/Supervisor"

export interface Watch {
  /** Watches everything the effect forks, daemons included, and every sleep in it. */
  readonly watch: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly fibers: Effect.Effect<number>
  readonly timers: Effect.Effect<number>
}

export const make: Effect.Effect<Watch> = Effect.gen(function*() {
  const supervisor = yield* Supervisor.track
  const clock = yield* Effect.clock
  let timers = 0
  const counting: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
    sleep: (duration: Parameters<Clock.Clock["sleep"]>[0]) =>
      Effect.acquireUseRelease(
        Effect.sync(() => timers++),
        () => Effect.interruptible(clock.sleep(duration)),
        () => Effect.sync(() => timers--)
      )
  })
  return {
    watch: (self) => self.pipe(Effect.withClock(counting), Effect.supervised(supervisor)),
    fibers: Effect.map(supervisor.value, (fibers) => fibers.filter((fiber) => fiber.unsafePoll() === null).length),
    timers: Effect.sync(() => timers)
  }
})
