/**
 * What the tests of dials share: real sockets, delays on virtual time, and how a call that was given up tells its story.
 */
import { Connections, RetryExhausted } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { turn } from "./eventually.js"

/** Waits, in real time, until no dial is under way. */
const dialled = Effect.flatMap(Connections.Connections, ({ all }) =>
  Effect.repeat(Effect.zipRight(turn, all), {
    until: (statuses) => statuses.every(({ state }) => state !== "connecting")
  }))

/** Runs to the end: virtual time goes on whenever no dial is under way. */
export const play = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    while (fiber.unsafePoll() === null) {
      yield* dialled
      yield* turn
      yield* TestClock.adjust(5)
    }
    return yield* Fiber.join(fiber)
  }).pipe(Effect.provideServiceEffect(Connections.Connections, Effect.sync(Connections.make)))

/** How a call was given up that is to be given up. */
export const exhausted = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<RetryExhausted, A, R> =>
  Effect.flatMap(
    Effect.flip(self),
    (error) => error instanceof RetryExhausted ? Effect.succeed(error) : Effect.die(error)
  )

/** For each attempt when it began and how long it took, in milliseconds. */
export const timesOf = ({ history }: RetryExhausted) =>
  history.map(({ startedAt, took }) => [Duration.toMillis(startedAt), Duration.toMillis(took)])

/** How each attempt ended, in its own words. */
export const outcomesOf = ({ history, method }: RetryExhausted) =>
  history.map(({ error }) => error.message.replace(`${method}: `, ""))

export const isRefused = "connection refused (ECONNREFUSED), not sent"
