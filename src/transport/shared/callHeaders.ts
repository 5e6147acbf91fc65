/**
 * The ambient facts of an attempt, as headers.
 *
 * @internal
 */
import type { Facts } from "../../Deadline.js"

/**
 * Returns the headers for a protocol that sends the remaining time itself: the idempotency key under the name of the
 * IETF draft, and the number of the retry as `go-grpc-middleware` sends it.
 *
 * @internal
 */
export const headersOf = ({ idempotencyKey, previousAttempts }: Facts): Readonly<Record<string, string>> => ({
  ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
  ...(previousAttempts > 0 ? { "x-retry-attempt": String(previousAttempts) } : {})
})

/** Returns the headers for plain HTTP, with the remaining time under the name that Envoy uses. @internal */
export const httpHeadersOf = (facts: Facts): Readonly<Record<string, string>> => ({
  ...headersOf(facts),
  ...(facts.remaining === undefined ? {} : { "x-envoy-expected-rq-timeout-ms": String(facts.remaining) })
})
