/**
 * Arguments and answers by the schemas of a call.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Fatal } from "../../RpcError.js"

/** A schema of a call, whatever it is for. @internal */
export type Any = Schema.Schema<unknown, unknown, unknown>

/** A schema quotes what it does not expect, and that may be all of a large value. */
const maxProblem = 1_000

const problemOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).slice(0, maxProblem)

/** @internal */
export const badArguments = (cause: unknown): Fatal =>
  new Fatal({ reason: "InvalidArgument", message: `the arguments cannot be written: ${problemOf(cause)}`, cause })

/** @internal */
export const badReply = (cause: unknown): Fatal =>
  new Fatal({ reason: "Protocol", message: `the reply is not as expected: ${problemOf(cause)}`, cause })

/**
 * What a schema makes of a value; one that throws is not to end more than its call. Most are done at once, and then there is
 * nothing to wait for.
 *
 * @internal
 */
export const guarded = <A, E, R>(
  make: () => Effect.Effect<A, E, R>,
  onError: (cause: unknown) => Fatal
): Effect.Effect<A, Fatal, R> =>
  Effect.suspend(() => {
    const made = Either.mapLeft(Either.try(make), onError)
    if (Either.isLeft(made)) {
      return Effect.fail(made.left)
    }
    const effect: unknown = made.right
    return Either.isEither(effect)
      ? Either.mapLeft(effect as Either.Either<A, E>, onError)
      : made.right.pipe(
        Effect.mapError(onError),
        Effect.catchAllDefect((defect) => Effect.fail(onError(defect)))
      )
  })

/** @internal */
export const encoded = <R>(
  args: unknown,
  schema: Schema.Schema<unknown, unknown, R> | undefined
): Effect.Effect<unknown, Fatal, R> =>
  schema === undefined ? Effect.succeed(args) : guarded(() => Schema.encodeUnknown(schema)(args), badArguments)

/** @internal */
export const decoded = <R>(
  answer: unknown,
  schema: Schema.Schema<unknown, unknown, R> | undefined
): Effect.Effect<unknown, Fatal, R> =>
  schema === undefined ? Effect.succeed(answer) : guarded(() => Schema.decodeUnknown(schema)(answer), badReply)
