/**
 * The errors of the requests that are pending when a connection ends.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Classify from "../../Classify.js"
import * as Causes from "../../internal/effect/cause.js"
import { Fatal, Retryable, withDelivery } from "../../RpcError.js"

/**
 * Returns the error of requests that were sent. An interruption ended the socket, not the call, so it counts as a
 * failure of the connection.
 *
 * @internal
 */
export const lossOf = (exit: Exit.Exit<unknown, unknown>): Retryable | Fatal => {
  if (Exit.isSuccess(exit)) {
    return new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "EOF" })
  }
  return Causes.isInterruption(exit.cause)
    ? new Retryable({ reason: "Unavailable", delivery: "Unknown", code: "INTERRUPTED" })
    : Classify.classify(Cause.squash(exit.cause))
}

/**
 * Returns the error of a request that was not sent: the server has not seen it, and another connection may do.
 *
 * @internal
 */
export const unsent = (loss: Retryable | Fatal): Retryable | Fatal => {
  if (loss._tag === "Retryable") {
    return withDelivery(loss, "NotSent")
  }
  return loss.reason === "Cancelled"
    ? loss
    : new Retryable({ reason: "ConnectionLost", delivery: "NotSent", code: loss.code, cause: loss })
}

/** @internal */
export const closed = (): Fatal => new Fatal({ reason: "Cancelled", message: "the client is closed" })
