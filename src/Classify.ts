/**
 * Classifies unknown failures as `Retryable` or `Fatal`.
 *
 * A **classifier** is a plain function. Apply it where a failure first appears:
 *
 * ```ts
 * import { Classify, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const query: Effect.Effect<string, Error>
 *
 * const program = query.pipe(Effect.mapError(Classify.classify), withRpcRetry)
 * ```
 *
 * A **rule** is a partial classifier: it returns `None` for failures that it does not recognise. `firstOf` makes a
 * classifier from rules, which it tries in order.
 *
 * Rules look at the structure of a failure (tags, codes, names of error classes), at its `cause`s and at the members of
 * an `AggregateError`, never at the text of a message. A failure that no rule recognises becomes `Fatal`, with the
 * original as `cause`.
 *
 * How {@link classify} classifies the failures of sockets:
 *
 * | failure                                                           | becomes                           | delivery  |
 * | ----------------------------------------------------------------- | --------------------------------- | --------- |
 * | `ECONNREFUSED`, `ENOENT` of a Unix socket                         | `ConnectionRefused`               | `NotSent` |
 * | `EAI_AGAIN` `ENOTFOUND`                                           | `Unavailable`                     | `NotSent` |
 * | `ETIMEDOUT` `EHOSTUNREACH` `ENETUNREACH`, while connecting        | `Unavailable`                     | `NotSent` |
 * | `EHOSTUNREACH` `ENETUNREACH`, later                               | `Unavailable`                     | `Unknown` |
 * | `ECONNRESET` `ECONNABORTED` `EPIPE` `ETIMEDOUT`, end of stream    | `ConnectionLost`                  | `Unknown` |
 * | `ECONNRESET` `ECONNABORTED`, while connecting                     | `ConnectionLost`                  | `NotSent` |
 * | `ECONNRESET` during the TLS handshake                             | `ConnectionLost`                  | `NotSent` |
 * | `fetch` of Node: `UND_ERR_SOCKET` `UND_ERR_DESTROYED`             | `ConnectionLost`                  | `Unknown` |
 * | `fetch` of Node: `UND_ERR_CONNECT_TIMEOUT` `UND_ERR_CLOSED`       | `Unavailable`                     | `NotSent` |
 * | `fetch` of Node: `UND_ERR_HEADERS_TIMEOUT` `UND_ERR_BODY_TIMEOUT` | `AttemptTimeout`                  | `Unknown` |
 * | `SocketError` of `@effect/platform`, `Open` `OpenTimeout`         | as its cause, or `Unavailable`    | `NotSent` |
 * | `SocketError`, `Read` `Write` `Close`                             | as its cause, or `ConnectionLost` | `Unknown` |
 * | `TimeoutException` of Effect, `TimeoutError` of the platform      | `AttemptTimeout`                  | `Unknown` |
 * | `AbortError` of the platform                                      | `Fatal Cancelled`                 |           |
 * | a TLS certificate that does not verify                            | `Fatal Protocol`                  |           |
 * | anything else                                                     | `Fatal Custom`                    |           |
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "./internal/effect/runtime.js"
import * as HttpStatus from "./internal/errors/httpStatus.js"
import * as Read from "./internal/errors/read.js"
import { Fatal, isFatal, isRetryable, Retryable } from "./RpcError.js"
import * as ServerHint from "./ServerHint.js"

/**
 * Classifies any failure.
 *
 * @since 0.1.0
 * @category models
 */
export interface Classifier {
  /** Classifies one failure. It must not throw. */
  (failure: unknown): Retryable | Fatal
}

/**
 * Classifies some failures, and returns `None` for others.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule {
  /** Classifies one failure, or returns `None` when it does not recognise the failure. */
  (failure: unknown): Option.Option<Retryable | Fatal>
}

/** The most failures of a chain of causes that are examined. */
const maxLinks = 16

/** The most objects visited to find them: a failure may be cyclic, or aggregate thousands of others. */
const maxVisited = 64

/** Returns the members of an aggregate error that are objects. */
const membersOf = (link: object): ReadonlyArray<object> => {
  const errors = Read.property(link, "errors")
  return Read.attempt(() => Array.isArray(errors) ? errors.slice(0, maxVisited).filter(Predicate.isObject) : []) ?? []
}

/** Returns the failure of the effect in a rejection of `Effect.runPromise`. */
const squashed = (link: object): unknown => Read.attempt(() => Runtime.failureOfRejection(link))

/**
 * Returns the failure and its causes, outermost first. An aggregate is replaced by its members, because Node gives the
 * aggregate the code of one of them without the system call. A rejection of `Effect.runPromise` is followed to the
 * failure of the effect. It terminates for every failure and never throws.
 */
const chain = (failure: unknown): ReadonlyArray<object> => {
  const links: Array<object> = []
  const seen = new Set<unknown>()
  const next: Array<unknown> = [failure]
  while (next.length > 0 && links.length < maxLinks && seen.size < maxVisited) {
    const link = next.pop()
    if (Predicate.isObject(link) && !seen.has(link)) {
      seen.add(link)
      const members = membersOf(link)
      if (members.length === 0) {
        links.push(link)
      }
      // a stack: the last one pushed is visited first
      next.push(Read.property(link, "cause"), squashed(link), ...members.toReversed())
    }
  }
  return links
}

const stringOf = Read.text

const firstSome = <A>(links: ReadonlyArray<object>, f: (link: object) => A | undefined): Option.Option<A> => {
  for (const link of links) {
    const found = f(link)
    if (found !== undefined) {
      return Option.some(found)
    }
  }
  return Option.none()
}

/**
 * Recognises a `Retryable` or `Fatal` at any depth of the chain of causes, and returns it.
 *
 * @since 0.1.0
 * @category rules
 */
export const classified: Rule = (failure) =>
  firstSome(
    chain(failure),
    (link) => Read.attempt(() => isRetryable(link) || isFatal(link)) === true ? link as Retryable | Fatal : undefined
  )

type Known = Pick<Retryable, "reason" | "delivery">

const lost: Known = { reason: "ConnectionLost", delivery: "Unknown" }
const refused: Known = { reason: "ConnectionRefused", delivery: "NotSent" }
const unreachable: Known = { reason: "Unavailable", delivery: "Unknown" }
const unresolved: Known = { reason: "Unavailable", delivery: "NotSent" }

const silent: Known = { reason: "AttemptTimeout", delivery: "Unknown" }

const codes = new Map<string, Known>([
  ["ECONNREFUSED", refused],
  ["EAI_AGAIN", unresolved],
  ["ENOTFOUND", unresolved],
  ["EHOSTUNREACH", unreachable],
  ["ENETUNREACH", unreachable],
  ["ECONNRESET", lost],
  ["ECONNABORTED", lost],
  ["EPIPE", lost],
  ["ETIMEDOUT", lost],
  ["ERR_STREAM_PREMATURE_CLOSE", lost],
  ["ERR_SOCKET_CLOSED", lost],
  ["ERR_STREAM_DESTROYED", lost],
  ["UND_ERR_SOCKET", lost],
  ["UND_ERR_DESTROYED", lost],
  ["UND_ERR_CLOSED", unresolved],
  ["UND_ERR_CONNECT_TIMEOUT", unresolved],
  ["UND_ERR_HEADERS_TIMEOUT", silent],
  ["UND_ERR_BODY_TIMEOUT", silent]
])

/** The same codes while connecting: nothing was sent. */
const connecting = new Map<string, Known>([
  ["ENOENT", refused],
  ["EHOSTUNREACH", unresolved],
  ["ENETUNREACH", unresolved],
  ["ETIMEDOUT", unresolved],
  ["ECONNRESET", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ECONNABORTED", { reason: "ConnectionLost", delivery: "NotSent" }]
])

/**
 * Returns whether an error occurred while connecting: in the system call `connect`, or in a TLS handshake that the peer
 * ended. `node:tls` marks the latter by the target of the connection and no `syscall`.
 */
const isConnecting = (link: unknown): boolean => {
  const syscall = stringOf(link, "syscall")
  return syscall === undefined
    ? ["host", "port", "localAddress"].every((key) => Read.attempt(() => Predicate.hasProperty(link, key)) === true)
    : syscall === "connect"
}

const knownOf = (link: unknown): (Known & { readonly code: string }) | undefined => {
  const code = stringOf(link, "code")
  if (code === undefined) {
    return undefined
  }
  const known = (isConnecting(link) ? connecting.get(code) : undefined) ?? codes.get(code)
  return known === undefined ? undefined : { ...known, code }
}

/**
 * Recognises system errors of Node and compatible runtimes by their `code` and `syscall`. When an error has several, as
 * after trying a host with many addresses, the delivery is `NotSent` only if it is for all of them.
 *
 * @since 0.1.0
 * @category rules
 */
export const systemError: Rule = (failure) => {
  const known = chain(failure).flatMap((link) => knownOf(link) ?? [])
  return Option.map(Option.fromNullable(known[0]), (first) =>
    new Retryable({
      ...first,
      delivery: known.every((one) => one.delivery === "NotSent") ? "NotSent" : "Unknown",
      cause: failure
    }))
}

const certificateCodes: ReadonlySet<string> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "CERT_CHAIN_TOO_LONG",
  "CERT_SIGNATURE_FAILURE",
  "CRL_HAS_EXPIRED",
  "CRL_NOT_YET_VALID",
  "CRL_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_CRL",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
])

/**
 * Recognises a TLS certificate that does not verify. It is `Fatal`, since another attempt would get the same
 * certificate.
 *
 * @since 0.1.0
 * @category rules
 */
export const certificate: Rule = (failure) =>
  firstSome(chain(failure), (link) => {
    const code = stringOf(link, "code")
    return code !== undefined && certificateCodes.has(code)
      ? new Fatal({ reason: "Protocol", code, message: "the certificate of the peer does not verify", cause: failure })
      : undefined
  })

/**
 * Recognises the `SocketError` of `@effect/platform`. An error while opening the socket has the delivery `NotSent`,
 * whatever caused it.
 *
 * @since 0.1.0
 * @category rules
 */
export const socketError: Rule = (failure) =>
  Option.map(
    firstSome(
      chain(failure),
      (link) => stringOf(link, "_tag") === "SocketError" ? stringOf(link, "reason") : undefined
    ),
    (reason) => {
      const cause = Option.filter(systemError(failure), isRetryable)
      const opening = reason === "Open" || reason === "OpenTimeout"
      return new Retryable({
        reason: Option.match(cause, {
          onNone: () => opening ? "Unavailable" : "ConnectionLost",
          onSome: (known) => known.reason
        }),
        delivery: opening ? "NotSent" : "Unknown",
        code: Option.match(cause, { onNone: () => reason, onSome: (known) => known.code }),
        cause: failure
      })
    }
  )

/**
 * Recognises timeouts: Effect's `TimeoutException`, and the `TimeoutError` of `AbortSignal.timeout`.
 *
 * @since 0.1.0
 * @category rules
 */
export const timeout: Rule = (failure) =>
  firstSome(
    chain(failure),
    (link) =>
      stringOf(link, "_tag") === "TimeoutException" || stringOf(link, "name") === "TimeoutError"
        ? new Retryable({ reason: "AttemptTimeout", delivery: "Unknown", cause: failure })
        : undefined
  )

/**
 * Recognises work that was aborted through an `AbortSignal`. It is `Fatal`, because whoever aborted it wants no answer.
 *
 * @since 0.1.0
 * @category rules
 */
export const aborted: Rule = (failure) =>
  firstSome(
    chain(failure),
    (link) =>
      stringOf(link, "name") === "AbortError" || stringOf(link, "code") === "ERR_CANCELED"
        ? new Fatal({ reason: "Cancelled", message: "the request was aborted", cause: failure })
        : undefined
  )

const statusOf = (link: object): number | undefined =>
  [
    Read.property(Read.property(link, "response"), "status"),
    Read.property(Read.property(link, "response"), "statusCode"),
    Read.property(link, "status"),
    Read.property(link, "statusCode"),
    Read.property(Read.property(link, "$metadata"), "httpStatusCode")
  ].find((status): status is number => Number.isInteger(status) && Number(status) >= 400 && Number(status) <= 599)

/** Returns a header of the response that a failure carries, from a `Headers` or from a plain object. */
const headerOf = (link: object, name: string): string | undefined => {
  for (const holder of [Read.property(link, "response"), Read.property(link, "$response"), link]) {
    const headers = Read.property(holder, "headers")
    const get = Read.property(headers, "get")
    const value = Predicate.isFunction(get)
      ? Read.attempt(() => get.call(headers, name) as unknown)
      : Read.property(headers, name) ?? Read.property(headers, name === "date" ? "Date" : "Retry-After")
    if (typeof value === "string") {
      return value
    }
  }
  return undefined
}

/**
 * Reads `Retry-After`. A date is compared with the `Date` of the same response, because the clocks of machines differ.
 * Without that the delay is not known, and may be any.
 */
const retryAfterOf = (link: object): ServerHint.ServerHint | undefined => {
  const date = Option.getOrElse(ServerHint.dateMillis(headerOf(link, "date") ?? ""), () => -Infinity)
  const hint = ServerHint.fromRetryAfter(headerOf(link, "retry-after"), date)
  return Option.getOrUndefined(hint)
}

/**
 * Recognises failures that carry the status of an HTTP response, as promise clients throw them: in `response.status`
 * (axios, got, ky), `status` (Octokit, superagent, SDKs of web services), `statusCode`, or `$metadata.httpStatusCode`
 * (AWS SDK). An error of the AWS SDK with `$retryable` is `Retryable` whatever its status.
 *
 * 429 becomes `Throttled` with the delivery `NotSent`. 408, 502, 503 and 504 become `Unavailable` with the delivery
 * `Unknown`. All other statuses from 400 become `Fatal`. The header `Retry-After` of the response is read: seconds, or
 * a date, which counts from the `Date` of the same response. A date without one beside it ends the call, as the delay is
 * not known.
 *
 * It is not one of {@link rules}, since many errors unrelated to HTTP have a `status`. {@link promise} includes it.
 *
 * @example
 * ```ts
 * import { Classify } from "effect-rpc-retry"
 *
 * Classify.promise({ response: { status: 503 } }) // Retryable Unavailable
 * Classify.promise({ statusCode: 404 }) // Fatal NotFound
 * ```
 *
 * @since 0.1.0
 * @category rules
 */
export const status: Rule = (failure) =>
  firstSome(chain(failure), (link) => {
    const status = statusOf(link)
    const retryable = Read.property(link, "$retryable")
    const known = status === undefined
      ? undefined
      : HttpStatus.fromStatus(status, { retryAfter: retryAfterOf(link), message: wordsOf(link), cause: failure })
    return Predicate.isObject(retryable) && (known === undefined || known._tag === "Fatal")
      ? new Retryable({
        reason: Read.property(retryable, "throttling") === true ? "Throttled" : "Unavailable",
        delivery: Read.property(retryable, "throttling") === true ? "NotSent" : "Unknown",
        code: status ?? stringOf(link, "name"),
        cause: failure
      })
      : known
  })

/** Returns the text of a failure: the failure itself when it is a string, else its `message`. */
const wordsOf = (link: unknown): string | undefined => {
  const words = typeof link === "string" ? link : Read.text(link, "message")
  return words?.trim() === "" ? undefined : words
}

/** Returns the text of a failure, followed by that of its cause where the first is only `fetch failed`. */
const messageOf = (failure: unknown): string | undefined => {
  const words = [failure, ...chain(failure)].flatMap((link) => wordsOf(link) ?? [])
  return words[0] === "fetch failed" ? [...new Set(words)].slice(0, 2).join(": ") : words[0]
}

/**
 * Classifies every failure as `Fatal` with the reason `Custom` and the original as `cause`. It is used when no rule
 * recognises a failure. The message is the failure itself when it is a string, else its `message`.
 *
 * @since 0.1.0
 * @category classifiers
 */
export const unknown: Classifier = (failure) =>
  new Fatal({ reason: "Custom", message: messageOf(failure) ?? "an unknown failure", cause: failure })

/**
 * Makes a classifier that tries rules in order, and then {@link unknown}. The rules of this module never throw; an
 * exception of another rule is not caught.
 *
 * @example
 * ```ts
 * import { Classify, Retryable } from "effect-rpc-retry"
 * import * as Option from "effect/Option"
 *
 * class ReplicaLag extends Error {}
 *
 * const replicaLag: Classify.Rule = (failure) =>
 *   failure instanceof ReplicaLag
 *     ? Option.some(new Retryable({ reason: "Custom", delivery: "Unknown", code: "REPLICA_LAG", cause: failure }))
 *     : Option.none()
 *
 * const classify = Classify.firstOf(replicaLag, ...Classify.rules)
 * ```
 *
 * @since 0.1.0
 * @category classifiers
 */
export const firstOf = (...rules: ReadonlyArray<Rule>): Classifier => (failure) => {
  for (const rule of rules) {
    const result = rule(failure)
    if (Option.isSome(result)) {
      return result.value
    }
  }
  return unknown(failure)
}

/**
 * The rules of {@link classify}, in order. Use them with {@link firstOf} to add your own before or after.
 *
 * @since 0.1.0
 * @category rules
 */
export const rules: ReadonlyArray<Rule> = [classified, certificate, socketError, systemError, timeout, aborted]

/**
 * Classifies the failures of sockets, timeouts and aborted requests, as the table of this module says.
 *
 * @since 0.1.0
 * @category classifiers
 */
export const classify: Classifier = firstOf(...rules)

/**
 * Classifies the failures of clients that return promises: by {@link rules} and, before the codes of sockets, by
 * {@link status}. It is the default of `RpcCall.fromPromise`.
 *
 * @since 0.1.0
 * @category classifiers
 */
export const promise: Classifier = firstOf(classified, certificate, status, socketError, systemError, timeout, aborted)
