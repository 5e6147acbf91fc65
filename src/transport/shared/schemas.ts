/**
 * Encodes arguments and decodes answers by the schemas of a call.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal } from "../../RpcError.js"
import * as Proto from "./proto.js"
import { decodeInParts, giveWay } from "./schemaParts.js"

/** A schema of a call, for its arguments or its answer. @internal */
export type Any = Schema.Schema<unknown, unknown, unknown>

/** @internal */
export const badArguments = (failure: unknown): Fatal => {
  const { cause, words } = Excerpt.explain(failure)
  return new Fatal({ reason: "InvalidArgument", message: `the arguments cannot be written: ${words}`, cause })
}

/** @internal */
export const badReply = (failure: unknown): Fatal => {
  const { cause, words } = Excerpt.explain(failure)
  return new Fatal({ reason: "Protocol", message: `the reply is not as expected: ${words}`, cause })
}

/**
 * Runs a step of a schema at once. What it throws fails the call with `onError`. Most steps complete synchronously, and
 * then no effect runs.
 *
 * @internal
 */
export const guarded = <A, E, R>(
  make: () => Effect.Effect<A, E, R>,
  onError: (cause: unknown) => Fatal
): Effect.Effect<A, Fatal, R> => {
  const made = Result.mapError(Result.try(make), onError)
  if (Result.isFailure(made)) {
    return Effect.fail(Result.failureOf(made))
  }
  const effect: unknown = Result.successOf(made)
  return Result.isResult(effect)
    ? Result.mapError(effect as Result.Result<A, E>, onError)
    : Result.successOf(made).pipe(
      Effect.mapError(onError),
      Effect.catchAllDefect((defect) => Effect.fail(onError(defect)))
    )
}

const whole = <A, I, R, E>(
  schema: Schema.Schema<A, I, R>,
  answer: unknown,
  decode: (answer: unknown) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | string, R> => Proto.isLost(schema.ast, answer) ? Effect.fail(Proto.problem) : decode(answer)

/** Encodes arguments by a schema, at once. @internal */
export const encode = <A, I, R>(
  schema: Schema.Schema<A, I, R>,
  args: unknown
): Effect.Effect<I, ParseResult.ParseError | string, R> =>
  Proto.isLost(schema.ast, args) ? Effect.fail(Proto.problem) : Schema.encodeUnknown(schema)(args)

/** Encodes arguments by a schema, if there is one. @internal */
export const encoded = <R>(
  args: unknown,
  schema: Schema.Schema<unknown, unknown, R> | undefined
): Effect.Effect<unknown, Fatal, R> =>
  schema === undefined
    ? Effect.succeed(args)
    : Effect.suspend(() => guarded(() => encode(schema, args), badArguments))

/** Decodes an answer by a schema, if there is one, at once. @internal */
export const decoded = <R>(
  answer: unknown,
  schema: Schema.Schema<unknown, unknown, R> | undefined
): Effect.Effect<unknown, Fatal, R> =>
  schema === undefined
    ? Effect.succeed(answer)
    : guarded(() => whole(schema, answer, Schema.decodeUnknown(schema)), badReply)

/** Above this size, in bytes, an answer is decoded with {@link decodedLong}. @internal */
export const long = 16_384

/** Decodes a long answer as {@link decoded} does, and lets other work of the event loop run in between. @internal */
export const decodedLong = <R>(
  answer: unknown,
  schema: Schema.Schema<unknown, unknown, R> | undefined
): Effect.Effect<unknown, Fatal, R> =>
  schema === undefined
    ? Effect.succeed(answer)
    : Effect.flatMap(giveWay, () => guarded(() => whole(schema, answer, decodeInParts(schema)), badReply))
