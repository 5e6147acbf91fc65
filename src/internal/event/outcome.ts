/**
 * How an attempt or a call ended, in the words of telemetry.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import { isRpcError, type RpcError } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import type { Outcome, Reason } from "./event.js"

/** @internal */
export interface End {
  readonly outcome: Outcome
  readonly reason: Reason | undefined
}

const outcomes: Record<RpcError["_tag"], Outcome> = {
  Retryable: "retryable",
  Fatal: "fatal",
  RetryExhausted: "exhausted",
  CallRejected: "rejected"
}

/**
 * Of several failures one of the user's own counts before one of ours: it is what a caller will handle.
 *
 * @internal
 */
export const endOf = (cause: Cause.Cause<unknown>): End => {
  if (Causes.isInterruption(cause)) {
    return { outcome: "interrupted", reason: undefined }
  }
  if (Causes.hasDefect(cause)) {
    return { outcome: "defect", reason: undefined }
  }
  const retryable = retryableOf(cause)
  if (retryable !== undefined) {
    return { outcome: "retryable", reason: retryable.reason }
  }
  const error = rpcErrorOf(cause)
  return error === undefined
    ? { outcome: "domain", reason: undefined }
    : { outcome: outcomes[error._tag], reason: error.reason }
}

/**
 * The error of ours that a cause is of, if it is of nothing else.
 *
 * @internal
 */
export const rpcErrorOf = (cause: Cause.Cause<unknown>): RpcError | undefined => {
  const failures: ReadonlyArray<unknown> = Causes.failures(cause)
  if (!failures.every(isRpcError) || Causes.hasDefect(cause)) {
    return undefined
  }
  // a `Retryable` beside another error is dropped from what the caller gets
  return failures.find((error) => error._tag !== "Retryable") ?? failures[0]
}
