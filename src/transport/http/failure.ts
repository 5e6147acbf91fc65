/**
 * Classifies HTTP statuses and failures of an `HttpClient`.
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
 * Returns whether a status says more than an error in the body: it is about access or load, not about the method.
 *
 * @internal
 */
export const decides = (status: number): boolean =>
  isRetryableStatus(status) || status === 401 || status === 403 || status === 407 || status < 200 ||
  (status >= 300 && status < 400)

/** @internal */
export const isOk = (status: number): boolean => status >= 200 && status < 300

/** Returns the hint of `Retry-After`; `now` is the time of the `Clock` in milliseconds. @internal */
export const retryAfterOf = (
  { headers }: HttpClientResponse.HttpClientResponse,
  now: number
): ServerHint.ServerHint | undefined => Option.getOrUndefined(ServerHint.fromRetryAfter(headers["retry-after"], now))

/**
 * A response that was refused. The `description` may hold the beginning of the body, and the request the whole URL; the
 * message, which is shown, has neither.
 *
 * @internal
 */
export class StatusError extends HttpClientError.ResponseError {
  override get message(): string {
    const { request: { method, url }, response: { status } } = this
    return `${status} from ${method} ${Url.shown(url)}`
  }
}

/** The most causes that are followed. A cyclic chain ends there. */
const maxCauses = 16

/** Returns the failure and its causes: `fetch` reports what happened only in a cause. */
const chain = (failure: unknown): ReadonlyArray<object> => {
  const links: Array<object> = []
  for (let link = failure; Predicate.isObject(link) && links.length < maxCauses;) {
    links.push(link)
    link = at(link, "cause")
  }
  return links
}

/** Reads a property of a foreign object, whose getter may throw. */
const at = (u: object, key: string): unknown =>
  Result.getOrUndefined(Result.try(() => Predicate.hasProperty(u, key) ? u[key] : undefined))

const stringOf = (link: object, key: "code" | "message" | "name" | "syscall"): string | undefined => {
  const value = at(link, key)
  return typeof value === "string" ? value : undefined
}

/**
 * Returns whether a code says that the peer does not speak TLS. OpenSSL has codes of its own, `node:http` always has
 * `EPROTO`.
 */
const isOfTls = (code: string | undefined): boolean => code === "EPROTO" || code?.startsWith("ERR_SSL_") === true

/** Classifies a failure of a dial: nothing was sent. */
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

/** The codes of a URL, a header or a length that the HTTP library refuses to write. */
const unwritable: ReadonlySet<string> = new Set([
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
  "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
  "ERR_INVALID_CHAR",
  "ERR_INVALID_HTTP_TOKEN",
  "ERR_HTTP_INVALID_HEADER_VALUE"
])

/** Returns whether a body ended before its length or its last chunk, as undici's parser reports it. */
const isCut = (link: object): boolean =>
  stringOf(link, "name") === "HTTPParserError" || stringOf(link, "code") === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH" ||
  stringOf(link, "code") === "HPE_INVALID_EOF_STATE"

/** Returns whether `fetch` refused a header or a URL. It has no code for that, and quotes the value. */
const isRefused = (link: object): boolean =>
  link instanceof TypeError && /is an invalid header (name|value)|URL that includes credentials/.test(link.message)

const isNotHttp = (link: object): boolean => {
  const code = stringOf(link, "code") ?? ""
  return stringOf(link, "name") === "HTTPParserError" || code.startsWith("HPE_") || code.startsWith("UND_ERR_RES_") ||
    code === "UND_ERR_HEADERS_OVERFLOW" || code === "Malformed_HTTP_Response"
}

/**
 * Classifies failures of other runtimes than Node. Bun has codes, and one of them only for a handshake that failed
 * without a system call.
 */
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

/** Classifies failures of HTTP libraries; `Classify` classifies those of sockets. */
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
  // no rule knows a failure that is `Custom`
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
