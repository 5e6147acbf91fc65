/**
 * Arguments and answers by the schemas of a call.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Fatal, type Retryable } from "../../RpcError.js"

/** A schema quotes what it does not expect, and that may be all of a large value. */
const maxProblem = 1_000

const problemOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).slice(0, maxProblem)

/** A schema that throws is not to end more than its call. */
const guarded = <A, R>(
  run: () => Effect.Effect<A, unknown, R>,
  failure: (cause: unknown) => Fatal
): Effect.Effect<A, Fatal, R> =>
  Effect.suspend(run).pipe(
    Effect.mapError(failure),
    Effect.catchAllDefect((defect) => Effect.fail(failure(defect)))
  )

/** @internal */
export const encoded = <R>(
  args: unknown,
  schema: Schema.Schema<unknown, unknown, R> | undefined
): Effect.Effect<unknown, Fatal, R> =>
  schema === undefined ? Effect.succeed(args) : guarded(
    () => Schema.encodeUnknown(schema)(args),
    (cause) =>
      new Fatal({
        reason: "InvalidArgument",
        message: `the arguments are not as expected: ${problemOf(cause)}`,
        cause
      })
  )

/** @internal */
export const decoded = <R>(
  answer: Effect.Effect<unknown, Retryable | Fatal, R>,
  schema: Schema.Schema<unknown, unknown, R> | undefined,
  method: string
): Effect.Effect<unknown, Retryable | Fatal, R> =>
  schema === undefined ? answer : Effect.flatMap(answer, (value) =>
    guarded(
      () => Schema.decodeUnknown(schema)(value),
      (cause) =>
        new Fatal({
          reason: "Protocol",
          method,
          message: `the reply is not as expected: ${problemOf(cause)}`,
          cause
        })
    ))
