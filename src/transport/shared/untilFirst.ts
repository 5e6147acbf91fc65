/**
 * A stream as a call that can be retried: one that is done when the first of its elements have come.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Fatal } from "../../RpcError.js"

/** Gives elements each time it is run, and at the end `None`. */
type Pull<A, E, R> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>, R>

/** An empty chunk has no element. `None` where there is none at all. */
const firstOf = <A, E, R>(pull: Pull<A, E, R>): Effect.Effect<Option.Option<Chunk.Chunk<A>>, E, R> =>
  Effect.matchEffect(pull, {
    onSuccess: (chunk) => Chunk.isEmpty(chunk) ? firstOf(pull) : Effect.succeedSome(chunk),
    onFailure: Option.match({ onNone: () => Effect.succeedNone, onSome: Effect.fail })
  })

/** What has gone by cannot be had again: an empty stream in its place would be a lie. */
const once = <A, E, R>(method: string, stream: Stream.Stream<A, E, R>): Stream.Stream<A, E | Fatal, R> => {
  let isRun = false
  return Stream.suspend((): Stream.Stream<A, E | Fatal, R> => {
    if (isRun) {
      return Stream.fail(new Fatal({ reason: "Custom", method, message: "the stream can be run once" }))
    }
    isRun = true
    return stream
  })
}

/**
 * Done when the first elements are there, or the end, with a stream of all of them. What `open` has opened ends with the
 * stream, or with the scope if that is earlier; nothing of an attempt that failed stays.
 *
 * @internal
 */
export const untilFirst = <A, E, R, R2>(
  method: string,
  open: Effect.Effect<Pull<A, E, R>, E, R2>
): Effect.Effect<Stream.Stream<A, E | Fatal, R>, E, R | Exclude<R2, Scope.Scope> | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const close = Scope.close(scope, Exit.void)
      const [first, pull] = yield* Scope.extend(open, scope).pipe(
        Effect.flatMap((pull) => Effect.map(firstOf(pull), (first) => [first, pull] as const)),
        restore,
        Effect.onError(() => close)
      )
      const all = Option.match(first, {
        onNone: () => Stream.empty,
        onSome: (chunk) => Stream.concat(Stream.fromChunk(chunk), Stream.repeatEffectChunkOption(pull))
      })
      return once(method, Stream.ensuring(all, close))
    })
  )
