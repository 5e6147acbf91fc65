/**
 * What the codecs of `net/rpc` have in common.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Schema from "effect/Schema"
import { Fatal } from "../../RpcError.js"
import type * as Session from "./session.js"

/**
 * What is known of a method: schemas for what goes there and what comes back.
 *
 * @internal
 */
export interface Schemas {
  readonly args: Schema.Schema<unknown, unknown, unknown> | undefined
  readonly reply: Schema.Schema<unknown, unknown, unknown> | undefined
}

/**
 * - `request`: what is sent for the arguments.
 * - `ping`: a request that any server answers, if only to say that it has no such method.
 * - `wire`: made for each connection.
 * - `reply`: what an answer of the wire is.
 *
 * @internal
 */
export interface Codec<Request> {
  readonly request: (method: string, args: unknown, schemas: Schemas) => Effect.Effect<Request, Fatal, unknown>
  readonly ping: (method: string) => Request
  readonly wire: (maxFrameBytes: number) => Session.Wire<Request>
  readonly reply: (answer: unknown, schemas: Schemas) => Effect.Effect<unknown, Fatal, unknown>
}

/** How `net/rpc` itself says that it has no such method; the words are part of its protocol. */
const unimplemented = [
  "rpc: can't find service ",
  "rpc: can't find method ",
  "rpc: service/method request ill-formed: "
]

/** What a server says instead of an answer. @internal */
export const serverError = (error: unknown): Fatal => {
  const message = typeof error === "string" ? error || "unspecified error" : "an error that is not a string"
  return new Fatal({
    reason: unimplemented.some((words) => message.startsWith(words)) ? "Unimplemented" : "ServerError",
    message
  })
}

/** A schema quotes what it does not expect, and that may be all of a large reply. */
const maxProblem = 1_000

const problemOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause)).slice(0, maxProblem)

/** @internal */
export const badArguments = (cause: unknown): Fatal =>
  new Fatal({ reason: "InvalidArgument", message: `the arguments cannot be written: ${problemOf(cause)}`, cause })

/** @internal */
export const badReply = (cause: unknown): Fatal =>
  new Fatal({ reason: "Protocol", message: `the reply is not as expected: ${problemOf(cause)}`, cause })

/**
 * What a schema makes of a value, whatever happens in it. Most are done at once, and then there is nothing to wait for.
 *
 * @internal
 */
export const through = <A, E, R>(
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
