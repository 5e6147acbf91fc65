/**
 * What the codecs of `net/rpc` have in common.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import { Fatal } from "../../RpcError.js"
import type * as Schemas from "../shared/schemas.js"
import { isUnimplemented } from "../shared/serverError.js"
import type * as Session from "./session.js"

/**
 * What is known of a method: schemas for what goes there and what comes back.
 *
 * @internal
 */
export interface Method {
  readonly args: Schemas.Any | undefined
  readonly reply: Schemas.Any | undefined
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
  readonly request: (name: string, args: unknown, method: Method) => Effect.Effect<Request, Fatal, unknown>
  readonly ping: (name: string) => Request
  readonly wire: (maxFrameBytes: number) => Session.Wire<Request>
  readonly reply: (answer: unknown, method: Method) => Effect.Effect<unknown, Fatal, unknown>
}

/** What a server says instead of an answer. @internal */
export const serverError = (error: unknown): Fatal => {
  const message = typeof error === "string" ? error || "unspecified error" : "an error that is not a string"
  return new Fatal({ reason: isUnimplemented(message) ? "Unimplemented" : "ServerError", message })
}
