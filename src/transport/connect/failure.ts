/**
 * Classifies failures of a Connect transport.
 *
 * @internal
 */
import { Code, ConnectError } from "@connectrpc/connect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Classify from "../../Classify.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import { names } from "../../internal/errors/grpcCodes.js"
import { Fatal, type FatalReason, Retryable, withDelivery } from "../../RpcError.js"
import * as ServerHint from "../../ServerHint.js"
import { isDialError } from "../shared/dial.js"
import * as GrpcStatus from "../shared/grpcStatus.js"
import { disagreement, http2Codes } from "../shared/http2Codes.js"
import * as RetryInfo from "../shared/retryInfo.js"

/**
 * Returns whether an error is an answer of the server, not one that the library made. The library marks answers;
 * without the mark, a message of the server could only be taken for one of the library.
 */
const isAnswer = (error: ConnectError): boolean => error.isWireError

/** Matches Node's messages for a stream and a connection, and the library's for a stream. */
const reset = /^(http\/2 stream|Stream|Session) closed with error code (?:NGHTTP2_)?(\w+)/

/**
 * Classifies an HTTP/2 stream or connection that ended without an answer. A connection that closes without GOAWAY ends
 * its streams with `CANCEL`, so that code does not mean that anybody cancelled.
 */
const ofReset: Classify.Rule = (error) => {
  const [, what, found] = (error instanceof ConnectError ? reset.exec(error.rawMessage) : null) ?? []
  if (what === undefined || found === undefined) {
    return Option.none()
  }
  const name = http2Codes[Number(found)] ?? found
  const code = `NGHTTP2_${name}`
  if (disagreement.has(name)) {
    const message = `the peer ended the HTTP/2 ${what === "Session" ? "connection" : "stream"} with ${name}`
    return Option.some(new Fatal({ reason: "Protocol", code, message, cause: error }))
  }
  return Option.some(
    name === "REFUSED_STREAM" && what !== "Session"
      ? new Retryable({ reason: "Unavailable", delivery: "NotSent", code, cause: error })
      : name === "ENHANCE_YOUR_CALM"
      ? new Retryable({ reason: "Throttled", delivery: "Unknown", code, cause: error })
      : new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code, cause: error })
  )
}

/** Node's codes for a stream that could not be opened, and for one that was open when its connection ended. */
const nodeCodes: ReadonlyMap<string, Pick<Retryable, "reason" | "delivery">> = new Map([
  ["ERR_HTTP2_STREAM_CANCEL", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ERR_HTTP2_GOAWAY_SESSION", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ERR_HTTP2_INVALID_SESSION", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ERR_HTTP2_INVALID_STREAM", { reason: "ConnectionLost", delivery: "Unknown" }]
])

/**
 * Returns whether an error of OpenSSL comes from a handshake: the peer does not speak TLS, or no version that we speak.
 */
const isOfHandshake = (error: object): boolean =>
  error instanceof Error &&
  /wrong version number|unknown protocol|unsupported protocol|protocol version|handshake failure/.test(error.message) &&
  Predicate.hasProperty(error, "code") && error.code === "EPROTO"

/**
 * Classifies a failed TLS handshake over HTTP/1.1. Over HTTP/2 the transports of `ConnectNode` report what they have
 * written.
 */
const ofHandshake: Classify.Rule = (error) => {
  const cause = Predicate.hasProperty(error, "cause") ? error.cause : undefined
  if (!Predicate.isObject(cause) || !(isDialError(cause) || isOfHandshake(cause))) {
    return Option.none()
  }
  const code = Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
  const reason = code === "ECONNRESET" ? "ConnectionLost" : "Unavailable"
  return Option.some(new Retryable({ reason, delivery: "NotSent", code, cause: error }))
}

const ofNode: Classify.Rule = (error) => {
  const code = Predicate.hasProperty(error, "cause") && Predicate.hasProperty(error.cause, "code")
    ? error.cause.code
    : undefined
  if (typeof code !== "string") {
    return Option.none()
  }
  const lost = nodeCodes.get(code)
  if (lost !== undefined) {
    return Option.some(new Retryable({ ...lost, code, cause: error }))
  }
  return code.startsWith("HPE_") || code === "ERR_HTTP2_ERROR"
    ? Option.some(
      new Fatal({
        reason: "Protocol",
        code,
        message: "the peer does not speak HTTP as agreed",
        cause: Excerpt.of(error)
      })
    )
    : Option.none()
}

/**
 * The library's own messages whose code would blame the server or the caller, as far as they quote nothing of messages
 * and headers.
 */
const words: ReadonlyArray<readonly [RegExp, FatalReason]> = [
  [
    /^(serialize binary(?=: )|cannot encode [^:"'`]*|message .*is larger than configured writeMaxBytes.*)/,
    "InvalidArgument"
  ],
  [
    /^(protocol error: [^"'`]*|received compressed envelope, but do not know how to decompress|decompression failed|parse binary(?=: )|cannot decode [^:"'`]*|unsupported content type|unsupported response encoding|failed to parse EndStreamResponse|invalid end stream|invalid grpc-status|message .*is larger than configured readMaxBytes.*)/,
    "Protocol"
  ]
]

/** What the library could not read, by the class of its cause. The messages of these quote the answer. */
const unreadable: ReadonlyArray<readonly [is: (error: ConnectError) => boolean, message: string]> = [
  [({ cause }) => cause instanceof SyntaxError, "the answer is not JSON"],
  [({ cause }) => cause instanceof URIError, "grpc-message cannot be decoded"],
  [({ cause, code }) => cause instanceof Error && code === Code.DataLoss, "a binary header cannot be decoded"],
  [
    ({ cause, rawMessage }) => cause instanceof TypeError && rawMessage.startsWith("Headers.append: "),
    "a header is not as HTTP says"
  ]
]

const ofLibrary: Classify.Rule = (error) => {
  if (!(error instanceof ConnectError)) {
    return Option.none()
  }
  const known = words.find(([words]) => words.test(error.rawMessage))
  const message = known?.[0].exec(error.rawMessage)?.[0].trim() ?? unreadable.find(([is]) => is(error))?.[1]
  return message === undefined
    ? Option.none()
    : Option.some(
      new Fatal({
        reason: known?.[1] ?? "Protocol",
        code: names[error.code] ?? error.code,
        message,
        cause: Excerpt.of(error)
      })
    )
}

/**
 * Returns whether the library's own timer ended the request: that of the call, the deadline or the transport.
 *
 * @internal
 */
export const isTimer = (error: unknown): boolean =>
  error instanceof ConnectError && !isAnswer(error) && error.code === Code.DeadlineExceeded &&
  error.rawMessage === "the operation timed out"

const ofTimer: Classify.Rule = (error) => isTimer(error) ? Option.some(timedOut(error)) : Option.none()

/** @internal */
export const timedOut = (cause: unknown): Retryable =>
  new Retryable({ reason: "AttemptTimeout", delivery: "Unknown", code: "DEADLINE_EXCEEDED", cause })

/**
 * Returns whether the library made the error of a system error of Node. One that an interceptor throws has the code
 * `unknown`.
 */
const isOfNode = ({ cause, code, rawMessage }: ConnectError): boolean =>
  code !== Code.Unknown && cause instanceof Error && Predicate.hasProperty(cause, "code") &&
  cause.message === rawMessage

/** What was received of the answer when a request failed. For a unary request the library does not tell. @internal */
export type Answer = "Nothing" | "Begun" | "NotKnown"

/**
 * Returns whether a failure proves that nothing was sent. An interceptor may fail after the answer in the same way as a
 * connection does, so of its errors only those of this package count as a proof.
 */
const isUnsent = (failure: unknown, found: Retryable, answer: Answer): boolean =>
  answer !== "Begun" && (
    failure === found ||
    (failure instanceof ConnectError && (
      failure.cause === found || (reset.test(failure.rawMessage) ? answer === "Nothing" : isOfNode(failure))
    ))
  )

const certain = (failure: unknown, found: Retryable | Fatal, answer: Answer): Retryable | Fatal =>
  found._tag === "Fatal" || isUnsent(failure, found, answer) ? found : withDelivery(found, "Unknown")

/** The rules for failures that are no answer of the server. */
const rules: ReadonlyArray<Classify.Rule> = [
  Classify.classified,
  Classify.certificate,
  ofHandshake,
  Classify.systemError,
  ofReset,
  ofNode,
  ofTimer,
  ofLibrary
]

const ofConnection: Classify.Rule = (error) => {
  for (const rule of rules) {
    const found = rule(error)
    if (Option.isSome(found)) {
      return found
    }
  }
  return Option.none()
}

type Detail = ConnectError["details"][number]

const retryInfoType = "google.rpc.RetryInfo"

const ofDetail = (detail: Detail): Option.Option<ServerHint.ServerHint> =>
  "desc" in detail
    ? detail.desc.typeName === retryInfoType ? ServerHint.fromRetryInfo(detail.value) : Option.none()
    : detail.type === retryInfoType
    ? RetryInfo.fromMessage(detail.value)
    : Option.none()

const half = (value: string): string => value.slice(0, (value.length - 2) / 2)

const isTwice = (value: string): boolean => value === `${half(value)}, ${half(value)}`

/**
 * Returns whether the library doubled the headers, as it does in the error of a status with a JSON body that is no
 * error of Connect. No answer has two content types, so such a one shows it.
 */
const isDoubled = (error: ConnectError): boolean => isTwice(error.metadata.get("content-type") ?? "")

const header = (error: ConnectError, name: string): string | undefined => {
  const value = error.metadata.get(name)
  return value === null ? undefined : isDoubled(error) ? half(value) : value
}

/** Returns the hint of an error. Without `now` the header `Retry-After` is not read. */
const hintOf = (error: ConnectError, now: number | undefined): ServerHint.ServerHint | undefined => {
  const pushback = header(error, "grpc-retry-pushback-ms")
  const hints = [
    ServerHint.fromGrpcPushback(pushback === undefined ? [] : [pushback]),
    ...error.details.map(ofDetail),
    now === undefined ? Option.none() : ServerHint.fromRetryAfter(header(error, "retry-after"), now)
  ]
  return Option.getOrUndefined(Option.firstSomeOf(hints))
}

/**
 * The options of a rule.
 *
 * - `now`: the wall time in milliseconds, for a date in `Retry-After`. Default: `Retry-After` is not read.
 * - `retryOn`: accepts more errors of the server. Default none.
 * - `answer`: what was received of the answer. Default `"NotKnown"`.
 *
 * @internal
 */
export interface Options {
  readonly now?: number
  readonly retryOn?: Predicate.Predicate<ConnectError>
  readonly answer?: Answer
}

/** @internal */
export const rule = ({ answer = "NotKnown", now, retryOn = () => false }: Options = {}): Classify.Rule => (failure) => {
  if (!(failure instanceof ConnectError)) {
    return Option.none()
  }
  const status = () =>
    GrpcStatus.fromStatus(
      { code: failure.code, message: failure.rawMessage, hint: hintOf(failure, now), cause: failure },
      retryOn(failure)
    )
  // the library marks this as an answer, and quotes the status
  return isAnswer(failure) && !failure.rawMessage.startsWith("invalid grpc-status: ")
    ? Option.some(status())
    : Option.some(certain(failure, Option.getOrElse(ofConnection(failure), status), answer))
}

/** @internal */
export const classify = (options: Required<Options>): Classify.Classifier => {
  const classify = Classify.firstOf(rule(options), ...Classify.rules)
  return (failure) => certain(failure, classify(failure), options.answer)
}

/**
 * Returns whether a request whose time has passed may have failed for that: by the timer of either side, one of which
 * may reset the stream first. A server that answers `canceled` has its own reason.
 *
 * @internal
 */
export const mayBeTimeout = (failure: unknown): boolean =>
  failure instanceof ConnectError &&
  (failure.code === Code.DeadlineExceeded || (failure.code === Code.Canceled && !isAnswer(failure)))
