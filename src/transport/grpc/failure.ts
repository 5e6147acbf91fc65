/**
 * Classifies failed calls of `@grpc/grpc-js`.
 *
 * The library has one kind of error for answers of the server and for failures on the way. They are told apart by
 * these, in this order: whether a stream was opened for the request; whether anything was received; and only then the
 * library's own messages in `details`.
 *
 * @internal
 */
import * as Grpc from "@grpc/grpc-js"
import * as Option from "effect/Option"
import * as Excerpt from "../../internal/errors/excerpt.js"
import { Fatal, type FatalReason, isRetryable, Retryable } from "../../RpcError.js"
import * as ServerHint from "../../ServerHint.js"
import { fromStatus } from "../shared/grpcStatus.js"
import { disagreement, http2Codes } from "../shared/http2Codes.js"
import * as RetryInfo from "../shared/retryInfo.js"
import { certificateOf } from "./certificate.js"

/** @internal */
export interface Failure {
  readonly error: Grpc.ServiceError
  /** The metadata that began the response; `undefined` when none was received. */
  readonly head: Grpc.Metadata | undefined
  /** Whether no stream was opened for the request, or for its last attempt when the library made several. */
  readonly isUnsent: boolean
  /** Whether the library makes one attempt per call, by its `channelOptions`; `false` when that is not known. */
  readonly isSingle: boolean
  /** The ambient deadline, on the scale of `Deadline.now`, as `now` is. */
  readonly deadline: number
  readonly now: number
  /** The wall time, in milliseconds. */
  readonly today: number
}

interface Failed extends Failure {
  readonly status: Grpc.StatusObject
}

/** Returns the status of an error. That of an interceptor may lack details and metadata, despite its type. */
const statusOf = ({ code, details, metadata }: Grpc.ServiceError): Grpc.StatusObject => ({
  code,
  details: details ?? "",
  metadata: metadata ?? new Grpc.Metadata()
})

/** @internal */
export type RetryOn = (error: Grpc.ServiceError) => boolean

/**
 * How long before the deadline a `DEADLINE_EXCEEDED` still counts as a timeout, in milliseconds: the timers of grpc-js
 * and of the server may end somewhat earlier than ours. An earlier one is an answer of the server.
 */
const slack = 25

const {
  CANCELLED,
  DEADLINE_EXCEEDED,
  INTERNAL,
  PERMISSION_DENIED,
  RESOURCE_EXHAUSTED,
  UNAVAILABLE,
  UNIMPLEMENTED,
  UNKNOWN
} = Grpc.status

/**
 * Returns whether a status was made on this side. One of the server has the headers of its response; one of this side
 * has none but the mark of the library's retries.
 */
const isEmpty = (metadata: Grpc.Metadata): boolean =>
  Object.keys(metadata.getMap()).every((key) => key === "grpc-previous-rpc-attempts")

/**
 * Returns whether nothing was sent. An interceptor that repeats calls shows the peer of the first one, so metadata from
 * a server proves that the request was sent.
 */
const isNothingSent = ({ head, isUnsent, status }: Failed): boolean =>
  isUnsent && head === undefined && isEmpty(status.metadata)

/** Returns whether the library, or an interceptor, repeated the call: then an earlier attempt may have been sent. */
const isRepeated = ({ head, status }: Failed): boolean =>
  [status.metadata, head].some((metadata) => (metadata?.get("grpc-previous-rpc-attempts").length ?? 0) > 0)

/** Returns the delivery of an attempt that was not sent. */
const unsentDelivery = (failed: Failed): Retryable["delivery"] => isRepeated(failed) ? "Unknown" : "NotSent"

/**
 * Returns the delivery of an attempt that the server refused without processing it. Hedges of the library leave no mark
 * on each other.
 */
const refusedDelivery = (failed: Failed): Retryable["delivery"] =>
  failed.isSingle && !isRepeated(failed) ? "NotSent" : "Unknown"

/** Makes a `Fatal` of the library's own message, without what it quotes. */
const fatalOf = ({ error, status: { code, details } }: Failed, reason: FatalReason, words: RegExp): Fatal =>
  new Fatal({
    reason,
    code: Grpc.status[code]!,
    message: (words.exec(details)?.[0] ?? "").replace(/[: ]+$/, ""),
    cause: Excerpt.of(error)
  })

/** Matches a connection that closed after it was chosen for the request. */
const notStarted =
  /^Failed to start HTTP\/2 stream with error (The session has been destroyed|New streams cannot be created after receiving a GOAWAY|No stream ID is available)/

const unsent = (failed: Failed): Retryable | Fatal | undefined => {
  const { code, details } = failed.status
  const retryable = (reason: Retryable["reason"]) =>
    new Retryable({ reason, delivery: unsentDelivery(failed), code: "UNAVAILABLE", cause: failed.error })
  const notStartable = /^Failed to start HTTP\/2 stream(?= with error )/
  if (code === INTERNAL && notStartable.test(details)) {
    return notStarted.test(details) ? retryable("ConnectionLost") : fatalOf(failed, "InvalidArgument", notStartable)
  }
  if (code !== UNAVAILABLE) {
    return undefined
  }
  if (details === "Channel closed before call started") {
    return new Fatal({ reason: "Cancelled", message: "the client is closed", cause: failed.error })
  }
  const certificate = certificateOf(details)
  return certificate === undefined
    ? retryable(/\bconnect (ECONNREFUSED|ENOENT)\b/.test(details) ? "ConnectionRefused" : "Unavailable")
    : new Fatal({ reason: "Protocol", code: certificate, message: details, cause: failed.error })
}

/**
 * Returns whether the stream was reset with CANCEL by the peer. When the caller cancels, its fiber is interrupted and
 * nothing is classified.
 */
const isCancelled = ({ code, details, metadata }: Grpc.StatusObject): boolean =>
  code === CANCELLED && details === "Call cancelled" && isEmpty(metadata)

const refusedStream = "REFUSED_STREAM"

/** Returns the code that the stream was reset with. The library reports some codes in `details`, others as a status. */
const resetOf = ({ head, status }: Failed): number | undefined => {
  const { code, details } = status
  if (code === UNAVAILABLE && details === "Stream refused by server" && head === undefined) {
    return 7
  }
  if (isCancelled(status)) {
    return 8
  }
  if (code === RESOURCE_EXHAUSTED && details === "Bandwidth exhausted or memory limit exceeded") {
    return 11
  }
  if (code === PERMISSION_DENIED && details === "Protocol not secure enough") {
    return 12
  }
  const found = code === INTERNAL ? /^Received RST_STREAM with code (\d+)/.exec(details) : null
  return found === null ? undefined : Number(found[1])
}

const ofReset = (failed: Failed, reset: number): Retryable | Fatal => {
  const { error } = failed
  const code = http2Codes[reset] ?? `RST_STREAM ${reset}`
  if (disagreement.has(code)) {
    return new Fatal({
      reason: "Protocol",
      code,
      message: `the peer ended the HTTP/2 stream with ${code}`,
      cause: error
    })
  }
  return code === refusedStream
    ? new Retryable({ reason: "Unavailable", delivery: refusedDelivery(failed), code, cause: error })
    : new Retryable({
      reason: code === "ENHANCE_YOUR_CALM" ? "Throttled" : "ConnectionLost",
      delivery: "Unknown",
      code,
      cause: error
    })
}

/** Classifies a connection or a stream that broke. */
const broken = (failed: Failed): Retryable | Fatal | undefined => {
  const { error, status: { code, details, metadata } } = failed
  if (!isEmpty(metadata)) {
    return undefined
  }
  const reset = resetOf(failed)
  if (reset !== undefined) {
    return ofReset(failed, reset)
  }
  return code === UNAVAILABLE &&
      /^(Connection dropped$|(read|write) E[A-Z]+|Write error: |Write failed with error )/.test(details)
    ? new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "UNAVAILABLE", cause: error })
    : undefined
}

/**
 * The library's messages for failures that would repeat: a request that cannot be written, or an answer that cannot be
 * read.
 */
const unusable: ReadonlyArray<readonly [code: number, words: RegExp, reason: FatalReason]> = [
  [INTERNAL, /^Request message serialization failure: /, "InvalidArgument"],
  [UNKNOWN, /^Getting metadata from plugin failed with error: Metadata (string value|key)(?= ")/, "InvalidArgument"],
  [RESOURCE_EXHAUSTED, /^Attempted to send message with a size larger than .*/, "InvalidArgument"],
  [INTERNAL, /^(Response message parsing error: |Failed to decompress [^:]*)/, "Protocol"],
  [RESOURCE_EXHAUSTED, /^Received message (larger than max |that decompresses to a size larger than ).*/, "Protocol"]
]

const ofMessage = (failed: Failed): Fatal | undefined => {
  const { head, status } = failed
  // the response ended without a message, with trailers of the server
  if (status.code === UNIMPLEMENTED && status.details === "No message received") {
    return head === undefined ? undefined : fatalOf(failed, "Protocol", /.*/)
  }
  const known = isEmpty(status.metadata)
    ? unusable.find(([code, words]) => status.code === code && words.test(status.details))
    : undefined
  return known === undefined ? undefined : fatalOf(failed, known[2], known[1])
}

const textsOf = (metadata: Grpc.Metadata, key: string): ReadonlyArray<string> =>
  metadata.get(key).map((value) => value.toString())

/**
 * Returns the hint of a status: the pushback of gRPC, the RetryInfo of Google's APIs, or the `Retry-After` of a proxy.
 */
const hintOf = (
  { head, status: { metadata }, today }: Failed,
  isHttp: boolean
): ServerHint.ServerHint | undefined => {
  const pushback = ServerHint.fromGrpcPushback(textsOf(metadata, "grpc-retry-pushback-ms"))
  const details = () =>
    Option.firstSomeOf(
      metadata.get("grpc-status-details-bin").map((value) =>
        typeof value === "string" ? Option.none() : RetryInfo.fromStatusDetails(value)
      )
    )
  const retryAfter = () =>
    isHttp
      ? ServerHint.fromRetryAfter([head ?? metadata].flatMap((from) => textsOf(from, "retry-after"))[0], today)
      : Option.none()
  return pushback.pipe(Option.orElse(details), Option.orElse(retryAfter), Option.getOrUndefined)
}

const httpStatus = "Received HTTP status code "

/**
 * Returns whether an answer came over plain HTTP. A gateway may repeat such a message, but its headers are those of
 * gRPC.
 */
const isHttp = ({ head, status: { details, metadata } }: Failed): boolean =>
  details.startsWith(httpStatus) &&
  textsOf(head ?? metadata, "content-type").some((type) => !type.startsWith("application/grpc"))

/**
 * Returns whether a failure proves that no server processed the request: its stream was refused, or is above the last
 * one that a GOAWAY names, or its connection closed before it began.
 *
 * @internal
 */
export const isUnprocessed = (error: Retryable | Fatal): boolean =>
  isRetryable(error) && error.delivery === "NotSent" &&
  (error.code === refusedStream || error.reason === "ConnectionLost")

/** @internal */
export const classify = (failure: Failure, retryOn: RetryOn): Retryable | Fatal => {
  const { deadline, error, now } = failure
  const status = statusOf(error)
  const failed: Failed = { ...failure, status }
  // a server of grpc-go may reset the stream instead of answering
  if ((status.code === DEADLINE_EXCEEDED || isCancelled(status)) && now >= deadline - slack) {
    return new Retryable({
      reason: "AttemptTimeout",
      delivery: isNothingSent(failed) ? unsentDelivery(failed) : "Unknown",
      code: "DEADLINE_EXCEEDED",
      cause: error
    })
  }
  const known = broken(failed) ?? (isNothingSent(failed) ? unsent(failed) : undefined) ?? ofMessage(failed)
  if (known !== undefined) {
    return known
  }
  const ofProxy = isHttp(failed)
  const hint = hintOf(failed, ofProxy)
  if (ofProxy && status.details === `${httpStatus}429`) {
    return new Retryable({
      reason: "Throttled",
      delivery: refusedDelivery(failed),
      code: "UNAVAILABLE",
      retryAfter: hint,
      cause: error
    })
  }
  const code = Number.isInteger(status.code) ? status.code : UNKNOWN
  const answer = fromStatus({ code, message: status.details, hint, cause: error }, retryOn(error))
  return isRetryable(answer) && isNothingSent(failed)
    ? new Retryable({ reason: answer.reason, delivery: unsentDelivery(failed), code: answer.code, cause: error })
    : answer
}
