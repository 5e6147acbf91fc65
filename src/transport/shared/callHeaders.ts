/**
 * The ambient facts of an attempt, as headers.
 *
 * @internal
 */
import type { Facts } from "../../Deadline.js"

/**
 * Of a protocol that has a place of its own for the time that remains: the key as the IETF draft names its header, and the
 * number of the retry as `go-grpc-middleware` does.
 *
 * @internal
 */
export const headersOf = ({ idempotencyKey, previousAttempts }: Facts): Readonly<Record<string, string>> => ({
  ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
  ...(previousAttempts > 0 ? { "x-retry-attempt": String(previousAttempts) } : {})
})

/**
 * Of plain HTTP, which has none: the time as Envoy names it.
 *
 * @internal
 */
export const httpHeadersOf = (facts: Facts): Readonly<Record<string, string>> => ({
  ...headersOf(facts),
  ...(facts.remaining === undefined ? {} : { "x-envoy-expected-rq-timeout-ms": String(facts.remaining) })
})
