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

/** The schemas of a method: those of its arguments and of its reply. @internal */
export interface Method {
  readonly args: Schemas.Any | undefined
  readonly reply: Schemas.Any | undefined
}

/**
 * A codec.
 *
 * - `request`: encodes the arguments of a call.
 * - `ping`: makes a request that any server answers, if only with the error that it has no such method.
 * - `wire`: makes the wire format of one connection.
 * - `reply`: decodes an answer of the wire.
 *
 * @internal
 */
export interface Codec<Request> {
  readonly request: (name: string, args: unknown, method: Method) => Effect.Effect<Request, Fatal, unknown>
  readonly ping: (name: string) => Request
  readonly wire: (maxFrameBytes: number) => Session.Wire<Request>
  readonly reply: (answer: unknown, method: Method) => Effect.Effect<unknown, Fatal, unknown>
}

/** Returns the failure for an error that a server answered with. @internal */
export const serverError = (error: unknown): Fatal => {
  const message = typeof error === "string" ? error || "unspecified error" : "an error that is not a string"
  return new Fatal({ reason: isUnimplemented(message) ? "Unimplemented" : "ServerError", message })
}
