/**
 * What the statuses of HTTP, and the failures of an `HttpClient`, mean for a call.
 *
 * @internal
 */
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Classify from "../../Classify.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import { fromStatus, isRetryableStatus } from "../../internal/errors/httpStatus.js"
import * as Result from "../../internal/result.js"
import { Fatal, isRetryable, Retryable, withDelivery } from "../../RpcError.js"
import * as ServerHint from "../../ServerHint.js"
import { isDialError } from "../shared/dial.js"
import * as Url from "../shared/url.js"
import * as Deno from "./denoFailure.js"

/**
 * Statuses that say more than an error in the body: who is not let in, or is to come back later, was not told so by the method.
 *
 * @internal
 */
export const decides = (status: number): boolean =>
  isRetryableStatus(status) || status === 401 || status === 403 || status === 407 || status < 200 ||
  (status >= 300 && status < 400)

/** @internal */
export const isOk = (status: number): boolean => status >= 200 && status < 300

/**
 * What `Retry-After` says of a response; `now` is in milliseconds of the `Clock`.
 *
 * @internal
 */
export const retryAfterOf = (
  { headers }: HttpClientResponse.HttpClientResponse,
  now: number
): ServerHint.ServerHint | undefined => Option.getOrUndefined(ServerHint.fromRetryAfter(headers["retry-after"], now))

/**
 * A response that is turned away. Its `description` may be the beginning of the body, its request has the whole URL; the
 * message, which others repeat, has neither.
 *
 * @internal
 */
export class StatusError extends HttpClientError.ResponseError {
  override get message(): string {
    const { request: { method, url }, response: { status } } = this
    return `${status} from ${method} ${Url.shown(url)}`
  }
}

/** No real chain of causes is longer; a cyclic one ends here. */
const maxCauses = 16

/** The failure and what caused it: `fetch` says only there what happened. */
const chain = (failure: unknown): ReadonlyArray<object> => {
  const links: Array<object> = []
  for (let link = failure; Predicate.isObject(link) && links.length < maxCauses;) {
    links.push(link)
    link = at(link, "cause")
  }
  return links
}

/** A property of something from elsewhere, where reading it may throw. */
const at = (u: object, key: string): unknown =>
  Result.getOrUndefined(Result.try(() => Predicate.hasProperty(u, key) ? u[key] : undefined))

const stringOf = (link: object, key: "code" | "message" | "name" | "syscall"): string | undefined => {
  const value = at(link, key)
  return typeof value === "string" ? value : undefined
}

/** OpenSSL has codes of its own for what a peer says that does not speak TLS; `node:http` calls all of them `EPROTO`. */
const isOfTls = (code: string | undefined): boolean => code === "EPROTO" || code?.startsWith("ERR_SSL_") === true

/** While the connection was made nothing was sent, whatever the same failure means later. */
const dialled: Classify.Rule = (failure) => {
  const found = chain(failure).filter(isDialError)
  if (found.length === 0) {
    return Option.none()
  }
  const code = found.map((link) => stringOf(link, "code")).find(isOfTls)
  return Classify.systemError(failure).pipe(
    Option.filter(isRetryable),
    Option.map((known) => withDelivery(known, "NotSent")),
    Option.orElse(() =>
      code === undefined
        ? Option.none()
        : Option.some(new Retryable({ reason: "Unavailable", delivery: "NotSent", code, cause: failure }))
    )
  )
}

/** A URL, a header or a length that the HTTP library refuses to write. */
const unwritable: ReadonlySet<string> = new Set([
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
  "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
  "ERR_INVALID_CHAR",
  "ERR_INVALID_HTTP_TOKEN",
  "ERR_HTTP_INVALID_HEADER_VALUE"
])

/** A body that ended before its length, or its last chunk: undici's parser says so in its own words. */
const isCut = (link: object): boolean =>
  stringOf(link, "name") === "HTTPParserError" || stringOf(link, "code") === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH" ||
  stringOf(link, "code") === "HPE_INVALID_EOF_STATE"

/** `fetch` has no code for a header or a URL that it refuses, and quotes them. */
const isRefused = (link: object): boolean =>
  link instanceof TypeError && /is an invalid header (name|value)|URL that includes credentials/.test(link.message)

const isNotHttp = (link: object): boolean => {
  const code = stringOf(link, "code") ?? ""
  return stringOf(link, "name") === "HTTPParserError" || code.startsWith("HPE_") || code.startsWith("UND_ERR_RES_") ||
    code === "UND_ERR_HEADERS_OVERFLOW" || code === "Malformed_HTTP_Response"
}

/** Other runtimes than Node. Bun has codes, and only of a handshake that failed this one without a system call. */
const runtimes: Classify.Rule = (failure) => {
  for (const link of chain(failure)) {
    const code = stringOf(link, "code")
    if (code === "EPROTO" && stringOf(link, "syscall") === undefined) {
      return Option.some(new Retryable({ reason: "Unavailable", delivery: "NotSent", code, cause: failure }))
    }
    const message = code === undefined ? stringOf(link, "message") : undefined
    const found = message === undefined ? Option.none() : Deno.fromMessage(message, failure)
    if (Option.isSome(found)) {
      return found
    }
  }
  return Option.none()
}

/** What HTTP libraries say of their own, where `Classify` knows sockets. */
const library = (isInBody: boolean): Classify.Rule => (failure) => {
  for (const link of chain(failure)) {
    const code = stringOf(link, "code")
    if ((code !== undefined && unwritable.has(code)) || isRefused(link)) {
      const message = "the request cannot be written as HTTP"
      return Option.some(new Fatal({ reason: "InvalidArgument", code, message, cause: Excerpt.of(failure) }))
    }
    if (isInBody && isCut(link)) {
      return Option.some(
        new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code, cause: Excerpt.of(failure) })
      )
    }
    if (isNotHttp(link)) {
      return Option.some(
        new Fatal({ reason: "Protocol", code, message: "the peer does not speak HTTP", cause: Excerpt.of(failure) })
      )
    }
  }
  return Option.none()
}

const ofHead = Classify.firstOf(dialled, library(false), ...Classify.rules, runtimes)

const ofBody = Classify.firstOf(library(true), ...Classify.rules, runtimes)

const ofRequest = (error: HttpClientError.RequestError): Retryable | Fatal =>
  error.reason === "Transport"
    ? ofHead(error.cause ?? error)
    : new Fatal({
      reason: "InvalidArgument",
      message: error.reason === "InvalidUrl" ? "the URL is not valid" : "the request cannot be encoded",
      cause: Excerpt.of(error)
    })

const ofResponse = (error: HttpClientError.ResponseError): Retryable | Fatal => {
  if (error.reason === "StatusCode") {
    const { description, request, response } = error
    return fromStatus(response.status, {
      cause: new StatusError({
        request,
        response,
        reason: "StatusCode",
        ...(description === undefined ? {} : { description })
      })
    })
  }
  const failure = ofBody(error.cause ?? error)
  // `Custom` is what no rule knows
  return failure.reason === "Custom"
    ? new Fatal({ reason: "Protocol", message: "the body of the answer cannot be read", cause: Excerpt.of(error) })
    : failure
}

/** @internal */
export const rule: Classify.Rule = (failure) =>
  HttpClientError.isHttpClientError(failure)
    ? Option.some(failure._tag === "RequestError" ? ofRequest(failure) : ofResponse(failure))
    : Option.none()

/** @internal */
export const classify: Classify.Classifier = Classify.firstOf(rule, ...Classify.rules)
