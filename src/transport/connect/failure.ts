/**
 * What the failures of a Connect transport mean for a call.
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
 * What the server said, as opposed to what the library found out itself. The mark is the library's own; were it gone, the words
 * of a server could be taken for those of the library, no more.
 */
const isAnswer = (error: ConnectError): boolean => error.isWireError

/** Node's words for a stream and a connection, and the library's for a stream. */
const reset = /^(http\/2 stream|Stream|Session) closed with error code (?:NGHTTP2_)?(\w+)/

/**
 * An HTTP/2 stream or connection that ended without an answer. A connection that was closed without a word has ended its streams
 * with `CANCEL`, so that code is no wish of anybody's.
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

/** Of a stream that was not opened any more, and of one that was open when its connection ended. */
const nodeCodes: ReadonlyMap<string, Pick<Retryable, "reason" | "delivery">> = new Map([
  ["ERR_HTTP2_STREAM_CANCEL", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ERR_HTTP2_GOAWAY_SESSION", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ERR_HTTP2_INVALID_SESSION", { reason: "ConnectionLost", delivery: "NotSent" }],
  ["ERR_HTTP2_INVALID_STREAM", { reason: "ConnectionLost", delivery: "Unknown" }]
])

/** What OpenSSL says only of handshakes: that of a peer that speaks no TLS, or not ours. */
const isOfHandshake = (error: object): boolean =>
  error instanceof Error &&
  /wrong version number|unknown protocol|unsupported protocol|protocol version|handshake failure/.test(error.message) &&
  Predicate.hasProperty(error, "code") && error.code === "EPROTO"

/** A TLS handshake that failed, over HTTP/1.1. Over HTTP/2 transports of ours know when they have written nothing. */
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
 * The library's own words, where the code would tell it as the server's mistake, or as the caller's: as far as they quote nothing
 * of messages and headers.
 */
const words: ReadonlyArray<readonly [RegExp, FatalReason]> = [
  [
    /^(serialize binary(?=: )|cannot encode [^:"'`]*|message .*is larger than configured writeMaxBytes.*)/,
    "InvalidArgument"
  ],
  [
    /^(protocol error: [^"'`]*|parse binary(?=: )|cannot decode [^:"'`]*|unsupported content type|unsupported response encoding|failed to parse EndStreamResponse|invalid end stream|invalid grpc-status|message .*is larger than configured readMaxBytes.*)/,
    "Protocol"
  ]
]

/** What `JSON.parse` says of an answer, which it quotes. */
const isNotJson = ({ cause }: ConnectError): boolean => cause instanceof SyntaxError

const ofLibrary: Classify.Rule = (error) => {
  if (!(error instanceof ConnectError)) {
    return Option.none()
  }
  const known = words.find(([words]) => words.test(error.rawMessage))
  if (known === undefined && !isNotJson(error)) {
    return Option.none()
  }
  const [pattern, reason] = known ?? [undefined, "Protocol"]
  return Option.some(
    new Fatal({
      reason,
      code: names[error.code] ?? error.code,
      message: pattern?.exec(error.rawMessage)?.[0].trim() ?? "the answer is not JSON",
      cause: Excerpt.of(error)
    })
  )
}

/** The library's own timer, whoever set it: the call, its deadline or the transport. @internal */
export const isTimer = (error: unknown): boolean =>
  error instanceof ConnectError && !isAnswer(error) && error.code === Code.DeadlineExceeded &&
  error.rawMessage === "the operation timed out"

const ofTimer: Classify.Rule = (error) => isTimer(error) ? Option.some(timedOut(error)) : Option.none()

/** @internal */
export const timedOut = (cause: unknown): Retryable =>
  new Retryable({ reason: "AttemptTimeout", delivery: "Unknown", code: "DEADLINE_EXCEEDED", cause })

/** What the library, over Node, makes of a system error. What an interceptor throws has the code `unknown`. */
const isOfNode = ({ cause, code, rawMessage }: ConnectError): boolean =>
  code !== Code.Unknown && cause instanceof Error && Predicate.hasProperty(cause, "code") &&
  cause.message === rawMessage

/**
 * What had come of the answer when a request failed. Of a unary request the library does not say whether it had begun.
 *
 * @internal
 */
export type Answer = "Nothing" | "Begun" | "NotKnown"

/**
 * "Not sent" is said only of what nothing but the request itself can have met. An interceptor may do anything after the answer
 * and fail as a connection does; so only an error of ours that it throws is taken at its word.
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

/** What is no answer of the server, by what happened to the connection. */
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
 * The library puts all headers twice into the error that it makes of a status and a body of JSON that is no error of Connect. No
 * answer has two types, so of one that has it was the library.
 */
const isDoubled = (error: ConnectError): boolean => isTwice(error.metadata.get("content-type") ?? "")

const header = (error: ConnectError, name: string): string | undefined => {
  const value = error.metadata.get(name)
  return value === null ? undefined : isDoubled(error) ? half(value) : value
}

/** `now` is `undefined` where nobody knows the time: then `Retry-After` is not read. */
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
 * - `now`: the time in milliseconds, which a date in `Retry-After` needs.
 * - `retryOn`: what else the server may say and be asked again.
 * - `answer`: what had come of it.
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
  // the library takes the status for the server's, and quotes it
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
 * How a request may end whose time has passed: by the clock of either side, one of which may reset the stream first. A server that
 * says `canceled` has a reason of its own.
 *
 * @internal
 */
export const mayBeTimeout = (failure: unknown): boolean =>
  failure instanceof ConnectError &&
  (failure.code === Code.DeadlineExceeded || (failure.code === Code.Canceled && !isAnswer(failure)))
