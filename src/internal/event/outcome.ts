/**
 * Translates the cause of a failed attempt or call to the `outcome` and `reason` that events, metrics and spans report.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import { isRpcError, type RpcError } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import type { Outcome, Reason } from "./event.js"

/**
 * How an attempt or a call ended.
 *
 * @internal
 */
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
 * Returns the outcome and the reason of a cause. When a cause has several failures, a domain error takes precedence
 * over the errors of this package, because it is the one that the caller handles.
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
 * Returns the error of this package in a cause that has no domain error and no defect; `undefined` for other causes.
 *
 * @internal
 */
export const rpcErrorOf = (cause: Cause.Cause<unknown>): RpcError | undefined => {
  const failures: ReadonlyArray<unknown> = Causes.failures(cause)
  if (!failures.every(isRpcError) || Causes.hasDefect(cause)) {
    return undefined
  }
  // the caller does not receive a `Retryable` next to another error
  return failures.find((error) => error._tag !== "Retryable") ?? failures[0]
}
