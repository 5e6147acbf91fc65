/**
 * Translates HTTP statuses to `Retryable` and `Fatal`.
 *
 * @internal
 */
import { Fatal, type FatalReason, Retryable } from "../../RpcError.js"
import type { ServerHint } from "../../ServerHint.js"

type RetryableStatus = Pick<Retryable, "reason" | "delivery">

/** Only 429 says that the request did not run: a proxy also answers with the others when it loses an answer. */
const retryable = new Map<number, RetryableStatus>([
  [429, { reason: "Throttled", delivery: "NotSent" }],
  [408, { reason: "Unavailable", delivery: "Unknown" }],
  [502, { reason: "Unavailable", delivery: "Unknown" }],
  [503, { reason: "Unavailable", delivery: "Unknown" }],
  [504, { reason: "Unavailable", delivery: "Unknown" }]
])

const fatal = new Map<number, FatalReason>([
  [400, "InvalidArgument"],
  [401, "Unauthenticated"],
  [403, "PermissionDenied"],
  [404, "NotFound"],
  [405, "Unimplemented"],
  [406, "Protocol"],
  [407, "Unauthenticated"],
  [410, "NotFound"],
  [413, "InvalidArgument"],
  [414, "InvalidArgument"],
  [415, "Protocol"],
  [422, "InvalidArgument"],
  [431, "InvalidArgument"],
  [501, "Unimplemented"]
])

/**
 * Returns whether a status becomes a `Retryable`.
 *
 * @internal
 */
export const isRetryableStatus = (status: number): boolean => retryable.has(status)

interface Details {
  readonly retryAfter?: ServerHint | undefined
  readonly message?: string | undefined
  readonly cause?: unknown
}

/**
 * Makes the error of an HTTP status. Statuses from 400 that are not listed become `Fatal ServerError`, those below 400
 * `Fatal Protocol`.
 *
 * @internal
 */
export const fromStatus = (status: number, { cause, message, retryAfter }: Details = {}): Retryable | Fatal => {
  const known = retryable.get(status)
  return known !== undefined
    ? new Retryable({ ...known, code: status, retryAfter, cause })
    : new Fatal({
      reason: fatal.get(status) ?? (status >= 400 ? "ServerError" : "Protocol"),
      code: status,
      message: message === undefined ? `HTTP ${status}` : `HTTP ${status}: ${message}`,
      cause
    })
}
