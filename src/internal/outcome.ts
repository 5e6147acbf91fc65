/**
 * How an attempt or a call ended, in the words of telemetry.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import type { Outcome, Reason } from "../RetryEvent.js"
import { isRpcError, type RpcError } from "../RpcError.js"
import { retryableOf } from "./cause.js"

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
  if (Cause.isInterruptedOnly(cause)) {
    return { outcome: "interrupted", reason: undefined }
  }
  if (Cause.isDie(cause)) {
    return { outcome: "defect", reason: undefined }
  }
  const retryable = retryableOf(cause)
  if (retryable !== undefined) {
    return { outcome: "retryable", reason: retryable.reason }
  }
  const failures = Chunk.toReadonlyArray(Cause.failures(cause))
  const [error] = failures
  return failures.every(isRpcError) && isRpcError(error)
    ? { outcome: outcomes[error._tag], reason: error.reason }
    : { outcome: "domain", reason: undefined }
}
