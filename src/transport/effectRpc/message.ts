/**
 * What a peer of `@effect/rpc` sends, looked at before the library does.
 *
 * @internal
 */
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/** As the library reads it. */
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
    // the library's own, of a connection that was lost
    case "ClientProtocolError":
      return Predicate.hasProperty(message, "error") && message.error instanceof RpcClientError
    // what later versions may say is no fault
    default:
      return true
  }
}

const hasRequestId = (message: object): boolean =>
  Predicate.hasProperty(message, "requestId") &&
  (typeof message.requestId === "string" || typeof message.requestId === "number") &&
  requestId.test(String(message.requestId))

/**
 * What is wrong with a message, if anything is. What could not be decoded comes from the library as a `Cause`.
 *
 * @internal
 */
export const fault = (message: RpcMessage.FromServerEncoded): Option.Option<unknown> => {
  if (!isMessage(message)) {
    return Option.some(message)
  }
  return message._tag === "ClientProtocolError" && Cause.isCause(message.error.cause)
    ? Option.some(Cause.squash(message.error.cause))
    : Option.none()
}

/**
 * The request whose answer a message is meant to be, though nobody can read the rest of it.
 *
 * @internal
 */
export const requestIdOf = (message: unknown): string | undefined =>
  Predicate.isRecord(message) && hasRequestId(message) ? String(message["requestId"]) : undefined

const prefix = "Unknown request tag: "

/**
 * What the server has no rpc for. It says so in a message of its own, and not in the exit of a call: there it would be the
 * handler's.
 *
 * @internal
 */
export const unknownTag = ({ defect }: RpcMessage.ResponseDefectEncoded): string | undefined =>
  typeof defect === "string" && defect.startsWith(prefix) ? defect.slice(prefix.length) : undefined
