/**
 * Checks messages of a peer of `@effect/rpc` before the library reads them.
 *
 * @internal
 */
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/** The format of a request id in the library. */
const requestId = /^-?[0-9]+$/

const isMessage = (message: unknown): boolean => {
  if (!Predicate.hasProperty(message, "_tag") || typeof message._tag !== "string") {
    return false
  }
  switch (message._tag) {
    case "Chunk":
      return hasRequestId(message)
    case "Exit":
      return hasRequestId(message) && Predicate.hasProperty(message, "exit")
    // the library's own message for a lost connection
    case "ClientProtocolError":
      return Predicate.hasProperty(message, "error") && message.error instanceof RpcClientError
    // later versions may have other messages
    default:
      return true
  }
}

const hasRequestId = (message: object): boolean =>
  Predicate.hasProperty(message, "requestId") &&
  (typeof message.requestId === "string" || typeof message.requestId === "number") &&
  requestId.test(String(message.requestId))

/** Returns the problem with a message, if any. A message that could not be decoded is a `Cause`. @internal */
export const fault = (message: RpcMessage.FromServerEncoded): Option.Option<unknown> => {
  if (!isMessage(message)) {
    return Option.some(message)
  }
  return message._tag === "ClientProtocolError" && Cause.isCause(message.error.cause)
    ? Option.some(Cause.squash(message.error.cause))
    : Option.none()
}

/** Returns the id of the request that a message answers, though the rest of it cannot be read. @internal */
export const requestIdOf = (message: unknown): string | undefined =>
  Predicate.isRecord(message) && hasRequestId(message) ? String(message["requestId"]) : undefined

const prefix = "Unknown request tag: "

/**
 * Returns the tag of an rpc that the server does not have. The server reports it in a defect message; in the exit of a
 * call it would be a defect of the handler.
 *
 * @internal
 */
export const unknownTag = ({ defect }: RpcMessage.ResponseDefectEncoded): string | undefined =>
  typeof defect === "string" && defect.startsWith(prefix) ? defect.slice(prefix.length) : undefined
