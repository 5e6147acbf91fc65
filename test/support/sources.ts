/** Follows a source as a destination does, and keeps what it was told. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type * as Source from "../../src/internal/endpoints/source.js"

/** The update with these endpoints. */
export const listed = (...endpoints: ReadonlyArray<Source.Endpoint>): Source.Update => ({ _tag: "Listed", endpoints })

/** Lets fibers that can run do so, without a wait. */
export const settled = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow(), { discard: true })

/** Follows the updates until the scope ends. */
export const follow = <R>(source: Source.Source<R>) =>
  Effect.gen(function*() {
    const updates: Array<Source.Update> = []
    const requests = yield* Queue.unbounded<void>()
    const fiber = yield* source.updates(Stream.fromQueue(requests)).pipe(
      Stream.runForEach((update) => Effect.sync(() => updates.push(update))),
      Effect.forkScoped
    )
    yield* settled
    return {
      /** All updates so far. */
      updates,
      /** The addresses of each list so far. */
      lists: () =>
        updates.flatMap((update) => update._tag === "Listed" ? [update.endpoints.map(({ address }) => address)] : []),
      /** The messages of each failure so far. */
      problems: () => updates.flatMap((update) => update._tag === "Failed" ? [(update.error as Error).message] : []),
      /** Asks for a new list, as after a connection failure. */
      refresh: Effect.andThen(Queue.offer(requests, undefined), settled),
      hasEnded: () => fiber.unsafePoll() !== null,
      stop: Fiber.interrupt(fiber)
    }
  })
