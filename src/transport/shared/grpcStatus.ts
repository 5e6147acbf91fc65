/**
 * The status codes of gRPC, which Connect shares, and the failures of calls that they stand for.
 *
 * @internal
 */
import { names } from "../../internal/errors/grpcCodes.js"
import { Fatal, type FatalReason, Retryable } from "../../RpcError.js"
import type { ServerHint } from "../../ServerHint.js"

/** @internal */
export type Name = typeof names[number]

const reasons: Partial<Record<Name, FatalReason>> = {
  CANCELLED: "Cancelled",
  INVALID_ARGUMENT: "InvalidArgument",
  NOT_FOUND: "NotFound",
  OUT_OF_RANGE: "InvalidArgument",
  PERMISSION_DENIED: "PermissionDenied",
  UNAUTHENTICATED: "Unauthenticated",
  UNIMPLEMENTED: "Unimplemented"
}

/** @internal */
export interface Status {
  readonly code: number
  readonly message: string
  readonly hint?: ServerHint | undefined
  readonly cause?: unknown
}

/**
 * Returns the failure for a status. `UNAVAILABLE`, `RESOURCE_EXHAUSTED` with a delay from the server, and what
 * `retryOn` accepts are `Retryable`, delivery `Unknown`. A code that gRPC does not define is kept as its number.
 *
 * @internal
 */
export const fromStatus = (
  { cause, code, hint, message }: Status,
  retryOn: boolean = false
): Retryable | Fatal => {
  const name = names[code]
  const retryable = (reason: Retryable["reason"]) =>
    new Retryable({ reason, delivery: "Unknown", code: name ?? code, retryAfter: hint, cause })
  if (name === "UNAVAILABLE") {
    return retryable("Unavailable")
  }
  if (name === "RESOURCE_EXHAUSTED" && (retryOn || (hint !== undefined && hint !== "Never"))) {
    return retryable("Throttled")
  }
  return retryOn
    ? retryable("Custom")
    : new Fatal({
      reason: (name === undefined ? undefined : reasons[name]) ?? "ServerError",
      code: name ?? code,
      message: message === "" ? `status ${name ?? code}` : message,
      cause
    })
}
