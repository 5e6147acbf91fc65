import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** One retry, made when this is done: as when a server has come back, however long that takes. */
export const retryOnceAfter = (done: Deferred.Deferred<void>): Schedule.Schedule<number> =>
  Schedule.recurs(1).pipe(Schedule.addDelayEffect(() => Effect.as(Deferred.await(done), 0)))
