/**
 * From an unknown failure to `Retryable | Fatal`.
 *
 * A **classifier** is a plain function, used where a failure is first seen:
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
 * A **rule** is a partial classifier: it gives `None` for what it does not know. `firstOf` tries rules in order and makes
 * a classifier of them.
 *
 * Rules look at the structure of a failure (tags, codes, names of error classes), at its `cause`s and at the members of
 * an `AggregateError`; never at the text of a message. What no rule knows is `Fatal` with the original kept as `cause`.
 *
 * What `classify` makes of the failures of sockets:
 *
 * | failure                                                              | becomes                          | delivery  |
 * | -------------------------------------------------------------------- | -------------------------------- | --------- |
 * | `ECONNREFUSED`, `ENOENT` of a Unix socket                            | `ConnectionRefused`              | `NotSent` |
 * | `EAI_AGAIN` `ENOTFOUND`                                              | `Unavailable`                    | `NotSent` |
 * | `ETIMEDOUT` `EHOSTUNREACH` `ENETUNREACH`, while connecting           | `Unavailable`                    | `NotSent` |
 * | `EHOSTUNREACH` `ENETUNREACH`, later                                  | `Unavailable`                    | `Unknown` |
 * | `ECONNRESET` `ECONNABORTED` `EPIPE` `ETIMEDOUT`, end of stream       | `ConnectionLost`                 | `Unknown` |
 * | `ECONNRESET` `ECONNABORTED`, while connecting                        | `ConnectionLost`                 | `NotSent` |
 * | `ECONNRESET` of a connection that ended before its TLS handshake did | `ConnectionLost`                 | `NotSent` |
 * | `fetch` of Node: `UND_ERR_SOCKET` `UND_ERR_DESTROYED`                | `ConnectionLost`                 | `Unknown` |
 * | `fetch` of Node: `UND_ERR_CONNECT_TIMEOUT` `UND_ERR_CLOSED`          | `Unavailable`                    | `NotSent` |
 * | `fetch` of Node: `UND_ERR_HEADERS_TIMEOUT` `UND_ERR_BODY_TIMEOUT`    | `AttemptTimeout`                 | `Unknown` |
 * | `SocketError` of `@effect/platform`, `Open` `OpenTimeout`            | as its cause, or `Unavailable`   | `NotSent` |
 * | `SocketError`, `Read` `Write` `Close`                                | as its cause, or `ConnectionLost` | `Unknown` |
 * | `TimeoutException` of Effect, `TimeoutError` of the platform         | `AttemptTimeout`                 | `Unknown` |
 * | `AbortError` of the platform                                         | `Fatal Cancelled`                |           |
 * | a TLS certificate that does not verify                               | `Fatal Protocol`                 |           |
 * | anything else                                                        | `Fatal Custom`                   |           |
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
 * Makes `Retryable | Fatal` of any failure.
 *
 * @since 0.1.0
 * @category models
 */
export interface Classifier {
  /** Classifies one failure. Throws for none. */
  (failure: unknown): Retryable | Fatal
}

/**
 * A classifier of some failures: `None` for those it does not know.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule {
  /** Classifies one failure, or returns `None` for one that it does not know. */
  (failure: unknown): Option.Option<Retryable | Fatal>
}

/** No real chain of causes is longer. */
const maxLinks = 16

/** So many objects are looked at to find them: a failure may lead back to itself, or hold thousands of others. */
const maxVisited = 64

/** The members of an aggregate that can be looked at. */
const membersOf = (link: object): ReadonlyArray<object> => {
  const errors = Read.property(link, "errors")
  return Read.attempt(() => Array.isArray(errors) ? errors.slice(0, maxVisited).filter(Predicate.isObject) : []) ?? []
}

/** What an effect failed with, of a rejection of `Effect.runPromise`. */
const squashed = (link: object): unknown => Read.attempt(() => Runtime.failureOfRejection(link))

/**
 * The failure itself, then what it was caused by, outermost first. Of an aggregate its members count, not itself: Node
 * gives the whole the code of one of them, without the system call. A rejection of `Effect.runPromise` is what the effect
 * failed with. Ends for every failure, and never throws.
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
      // the last is looked at first
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
 * Failures that are classified already, at any depth of the chain of causes.
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

/** What the same codes mean when the system call that failed was the one that connects. */
const connecting = new Map<string, Known>([
  ["ENOENT", refused],
  ["EHOSTUNREACH", unresolved],
  ["ENETUNREACH", unresolved],
  ["ETIMEDOUT", unresolved],
  ["ECONNRESET", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ECONNABORTED", { reason: "ConnectionLost", delivery: "NotSent" }]
])

/**
 * Of the system call that connects, or of a TLS handshake that the peer ended: `node:tls` puts the target of the connection on
 * that error, and only there without a system call.
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
 * System errors, as Node and the runtimes like it report them: by `code` and `syscall`. Where several were collected,
 * as for a host with many addresses, all of them must say "not sent" for the whole to say so.
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
 * A peer whose TLS certificate does not verify: it will not at the next attempt either.
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
 * The `SocketError` of `@effect/platform`. One that happened while opening was not sent, whatever caused it.
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
 * Timeouts: Effect's `TimeoutException`, and the `TimeoutError` of `AbortSignal.timeout`.
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
 * Work that was aborted through an `AbortSignal`. Who aborted it wanted no answer: no other attempt is made.
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

/** A header of the response that a failure carries, from a `Headers` or from an object of texts. */
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

/** A date is counted from the `Date` of the same response: the clocks of two machines differ. */
const retryAfterOf = (link: object): ServerHint.ServerHint | undefined => {
  const date = Option.getOrElse(ServerHint.dateMillis(headerOf(link, "date") ?? ""), () => Infinity)
  const hint = ServerHint.fromRetryAfter(headerOf(link, "retry-after"), date)
  return Option.getOrUndefined(hint)
}

/**
 * Failures that carry the status of an HTTP response, as promise clients throw them: `response.status` (axios, got, ky),
 * `status` (Octokit, superagent, SDKs of web services), `statusCode`, and `$metadata.httpStatusCode` of the AWS SDK, whose
 * `$retryable` says by itself that an error is worth another attempt.
 *
 * 429 is `Throttled` and `NotSent`; 408, 502, 503 and 504 are `Unavailable` and `Unknown`; all others of 400 and above are
 * `Fatal`. A `Retry-After` among the headers of the response is read, seconds or a date.
 *
 * It is not among {@link rules}, as many errors that never saw HTTP have a `status`. {@link promise} has it.
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

/** What a failure says of itself. */
const wordsOf = (link: unknown): string | undefined => {
  const words = typeof link === "string" ? link : Read.text(link, "message")
  return words?.trim() === "" ? undefined : words
}

/** What a failure says and, where that is only that something failed (`fetch failed`), what its cause says. */
const messageOf = (failure: unknown): string | undefined => {
  const words = [failure, ...chain(failure)].flatMap((link) => wordsOf(link) ?? [])
  return words[0] === "fetch failed" ? [...new Set(words)].slice(0, 2).join(": ") : words[0]
}

/**
 * Returns `Fatal` with the reason `Custom` and the original as `cause`: what remains when no rule knows a failure. The message
 * is the failure's own: a string, or the `message` of any object.
 *
 * @since 0.1.0
 * @category classifiers
 */
export const unknown: Classifier = (failure) =>
  new Fatal({ reason: "Custom", message: messageOf(failure) ?? "an unknown failure", cause: failure })

/**
 * Tries each rule in order; what none of them knows is `unknown`. The rules of this
 * module throw for no failure; what a rule of yours throws is thrown.
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
 * The rules of `classify`, in their order, to put your own before or after.
 *
 * @since 0.1.0
 * @category rules
 */
export const rules: ReadonlyArray<Rule> = [classified, certificate, socketError, systemError, timeout, aborted]

/**
 * The classifier for anything that goes over a socket.
 *
 * @since 0.1.0
 * @category classifiers
 */
export const classify: Classifier = firstOf(...rules)

/**
 * The classifier for clients that return promises: {@link rules} and, before the codes of sockets, {@link status}. It is the
 * default of `RpcCall.fromPromise`.
 *
 * @since 0.1.0
 * @category classifiers
 */
export const promise: Classifier = firstOf(classified, certificate, status, socketError, systemError, timeout, aborted)
