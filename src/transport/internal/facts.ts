/**
 * The ambient facts of an attempt, as the headers of HTTP they are sent in.
 *
 * @internal
 */
import type { Facts } from "../../Deadline.js"

/**
 * The key as the IETF draft names its header, the number of the retry as `go-grpc-middleware` does, the time that remains as
 * Envoy.
 *
 * @internal
 */
export const headersOf = (
  { idempotencyKey, previousAttempts, remaining }: Facts
): Readonly<Record<string, string>> => ({
  ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
  ...(previousAttempts > 0 ? { "x-retry-attempt": String(previousAttempts) } : {}),
  ...(remaining === undefined ? {} : { "x-envoy-expected-rq-timeout-ms": String(remaining) })
})
