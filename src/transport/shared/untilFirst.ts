/**
 * Makes a stream a call that can be retried: the call completes when the first elements have arrived.
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

/** Returns the next elements each time it runs, and fails with `None` at the end. */
type Pull<A, E, R> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>, R>

/** Returns the first elements, skipping empty chunks; `None` when there are none. */
const firstOf = <A, E, R>(pull: Pull<A, E, R>): Effect.Effect<Option.Option<Chunk.Chunk<A>>, E, R> =>
  Effect.matchEffect(pull, {
    onSuccess: (chunk) => Chunk.isEmpty(chunk) ? firstOf(pull) : Effect.succeedSome(chunk),
    onFailure: Option.match({ onNone: () => Effect.succeedNone, onSome: Effect.fail })
  })

/** Fails when the stream is run again: its elements are gone, and an empty stream would be wrong. */
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
 * Completes when the first elements, or the end, have arrived, with a stream of all elements. Resources of `open` are
 * released with the stream, or with the scope if that ends earlier; those of a failed attempt at once.
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
