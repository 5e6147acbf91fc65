/**
 * Follows a source: which list is believed, and when the source is asked for a new one.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Monotonic from "../ambient/monotonic.js"
import * as Causes from "../effect/cause.js"
import * as Result from "../result.js"
import { checkEndpoints } from "./endpoint.js"
import type { Endpoint, Source, Update } from "./source.js"

/** Between two requests for a new list there are at least so many milliseconds. */
const betweenRefreshes = 5_000

/** What follows a source, and is told of it. */
interface Follower {
  /** Takes a list that is right and has no address twice. */
  readonly listed: (endpoints: ReadonlyArray<Endpoint>) => Effect.Effect<void>
  readonly failed: (error: unknown) => void
  /** The source has given an empty list, which is not believed yet. */
  readonly emptied: () => void
  /** How long a list has to be empty before it is believed, in milliseconds. */
  readonly emptyAfter: number
  /** Whether there are endpoints now. */
  readonly hasEndpoints: () => boolean
}

/** @internal */
export interface Discovery {
  /** Whether the source has answered once. */
  readonly isReady: () => boolean
  /** Waits until the source has answered once. */
  readonly ready: Effect.Effect<void>
  /** The last error of the source, `undefined` since its last list. */
  readonly error: () => unknown
  /** Asks the source for a new list: at once, or when 5 seconds have passed since the last time. */
  readonly refresh: () => void
}

/** Passes requests on, with a time between two of them: all that are made in it are one when it is over. */
const spaced = (requests: Queue.Dequeue<void>): Stream.Stream<void> =>
  Stream.suspend(() => {
    const now = Effect.map(Effect.clock, Monotonic.now)
    let next = 0
    return Stream.repeatEffect(Effect.gen(function*() {
      yield* Effect.sleep(Math.max(0, next - (yield* now)))
      yield* Queue.take(requests)
      next = (yield* now) + betweenRefreshes
    }))
  })

/**
 * Follows a source until the scope closes.
 *
 * @internal
 */
export const follow = <R>(
  source: Source<R>,
  { emptied, emptyAfter, failed, hasEndpoints, listed }: Follower
): Effect.Effect<Discovery, never, Scope.Scope | R> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const ready = yield* Deferred.make<void>()
    const requests = yield* Queue.sliding<void>(1)
    let isReady = false
    let error: unknown
    /** Believes an empty list after a time. */
    let emptying: Fiber.RuntimeFiber<void> | undefined

    const stopEmptying = Effect.suspend(() => {
      const stopped = emptying
      emptying = undefined
      return stopped === undefined ? Effect.void : Fiber.interrupt(stopped)
    })

    const empty = Effect.suspend(() => {
      if (!hasEndpoints() || emptyAfter === 0) {
        return listed([])
      }
      if (emptying !== undefined) {
        return Effect.void
      }
      emptied()
      const believed = Effect.suspend(() => {
        emptying = undefined
        return listed([])
      })
      return Effect.map(Effect.forkIn(Effect.delay(believed, emptyAfter), scope), (fiber) => {
        emptying = fiber
      })
    })

    const answered = Effect.suspend(() => {
      isReady = true
      return Deferred.succeed(ready, undefined)
    })

    const notListed = (problem: unknown): Effect.Effect<void> => {
      error = problem
      failed(problem)
      return stopEmptying
    }

    const apply = (update: Update): Effect.Effect<void> =>
      Effect.andThen(
        update._tag === "Failed" ? notListed(update.error) : Result.match(checkEndpoints(update.endpoints), {
          onFailure: notListed,
          onSuccess: (endpoints) => {
            error = undefined
            return endpoints.length === 0 ? empty : Effect.andThen(stopEmptying, listed(endpoints))
          }
        }),
        answered
      )

    yield* source.updates(spaced(requests)).pipe(
      Stream.runForEach(apply),
      Effect.onExit((exit) =>
        // a source that ends keeps its last list, also one that dies
        Exit.isFailure(exit) && !Causes.isInterruption(exit.cause)
          ? apply({ _tag: "Failed", error: Option.getOrUndefined(Causes.firstDefect(exit.cause)) })
          : answered
      ),
      Effect.forkIn(scope)
    )
    return {
      isReady: () => isReady,
      ready: Deferred.await(ready),
      error: () => error,
      refresh: () => {
        Queue.unsafeOffer(requests, undefined)
      }
    }
  })
