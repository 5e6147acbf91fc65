/**
 * Errors that a server answers with in the terms of its protocol: the error object of JSON-RPC, the exception of
 * Thrift.
 *
 * @internal
 */
import type * as Predicate from "effect/Predicate"
import { type Code, Fatal, type FatalReason, Retryable } from "../../RpcError.js"
import type { ServerHint } from "../../ServerHint.js"

/** @internal */
export interface ServerError {
  /** The code of the error; `undefined` when it has none. */
  readonly code: Code | undefined
  /** The message of the error. */
  readonly message: string
}

/**
 * Returns what a call fails with that was answered with an error: `Retryable Custom`, delivery `Unknown`, if `retryOn`
 * accepts it, otherwise `Fatal`.
 *
 * - `reason`: the reason of the `Fatal`.
 * - `cause`: the whole error, as it was received.
 * - `retryAfter`: the delay that the server asked for, if any.
 *
 * @internal
 */
export const failureOf = <E extends ServerError>(
  error: E,
  { cause, reason, retryAfter, retryOn }: {
    readonly retryOn: Predicate.Predicate<E>
    readonly reason: FatalReason
    readonly cause: unknown
    readonly retryAfter?: ServerHint | undefined
  }
): Retryable | Fatal => {
  const { code, message } = error
  return retryOn(error)
    ? new Retryable({ reason: "Custom", delivery: "Unknown", code, retryAfter, cause })
    : new Fatal({ reason, code, message: message || "the server answered with an error that says nothing", cause })
}

/** The messages with which Go servers say that they do not have a method: they give no code. */
const unimplemented = [
  "rpc: can't find service ",
  "rpc: can't find method ",
  "rpc: service/method request ill-formed: "
]

/** Returns whether the message of a Go server says that it does not have the method. @internal */
export const isUnimplemented = (message: string): boolean => unimplemented.some((start) => message.startsWith(start))
