/**
 * What a failed call of `@grpc/grpc-js` means.
 *
 * The library gives one error for what the server answered and for what went wrong on the way there. What tells them
 * apart is, in this order: whether a stream was opened for the request; whether anything came back; and only then the words
 * that the library itself puts in `details`, which it has no other place for.
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
  /** The head of the response, `undefined` when none came. */
  readonly head: Grpc.Metadata | undefined
  /** No stream was opened for the request, or for the last attempt where the library made several. */
  readonly isUnsent: boolean
  /** The library makes one attempt of each call, as `channelOptions` say; `false` also where nobody knows. */
  readonly isSingle: boolean
  /** The ambient deadline, on the scale of `Deadline.now`, as `now` is. */
  readonly deadline: number
  readonly now: number
  /** The time of day, in milliseconds. */
  readonly today: number
}

interface Failed extends Failure {
  readonly status: Grpc.StatusObject
}

/** A status of an interceptor may have no details and no metadata, whatever the types say. */
const statusOf = ({ code, details, metadata }: Grpc.ServiceError): Grpc.StatusObject => ({
  code,
  details: details ?? "",
  metadata: metadata ?? new Grpc.Metadata()
})

/** @internal */
export type RetryOn = (error: Grpc.ServiceError) => boolean

/**
 * How long before the deadline a `DEADLINE_EXCEEDED` is taken for its passing. What the server is told is rounded up, so its
 * timer is later than ours; that of grpc-js may be a millisecond early.
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
 * A status that a server sends alone has the headers of its response with it; one that was made on this side has none, but
 * the mark of the library's own repetition.
 */
const isEmpty = (metadata: Grpc.Metadata): boolean =>
  Object.keys(metadata.getMap()).every((key) => key === "grpc-previous-rpc-attempts")

/** An interceptor that repeats calls shows the peer of its first one: what came from a server was sent. */
const isNothingSent = ({ head, isUnsent, status }: Failed): boolean =>
  isUnsent && head === undefined && isEmpty(status.metadata)

/** The library, or an interceptor like it, repeated the call: then an attempt before the last one may have been sent. */
const isRepeated = ({ head, status }: Failed): boolean =>
  [status.metadata, head].some((metadata) => (metadata?.get("grpc-previous-rpc-attempts").length ?? 0) > 0)

/** Of an attempt that never left. */
const unsentDelivery = (failed: Failed): Retryable["delivery"] => isRepeated(failed) ? "Unknown" : "NotSent"

/** Of one that a server has refused unseen. Of several that are made at a time, hedges, the others have no mark. */
const refusedDelivery = (failed: Failed): Retryable["delivery"] =>
  failed.isSingle && !isRepeated(failed) ? "NotSent" : "Unknown"

/** The library's words for what went wrong on this side, without what it quotes after them. */
const fatalOf = ({ error, status: { code, details } }: Failed, reason: FatalReason, words: RegExp): Fatal =>
  new Fatal({
    reason,
    code: Grpc.status[code]!,
    message: (words.exec(details)?.[0] ?? "").replace(/[: ]+$/, ""),
    cause: Excerpt.of(error)
  })

/** The connection went away between the choice of it and its use. */
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

/** The stream was reset with the code CANCEL. Not by the caller: that one is interrupted, and asks nobody any more. */
const isCancelled = ({ code, details, metadata }: Grpc.StatusObject): boolean =>
  code === CANCELLED && details === "Call cancelled" && isEmpty(metadata)

const refusedStream = "REFUSED_STREAM"

/** The code that the stream was reset with: the library says it in words of its own, and some as a status. */
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

/** The connection, or the stream, broke. */
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

/** The library's words for what would go wrong again: a message that cannot be written, or one that cannot be read. */
const unusable: ReadonlyArray<readonly [code: number, words: RegExp, reason: FatalReason]> = [
  [INTERNAL, /^Request message serialization failure: /, "InvalidArgument"],
  [RESOURCE_EXHAUSTED, /^Attempted to send message with a size larger than .*/, "InvalidArgument"],
  [INTERNAL, /^(Response message parsing error: |Failed to decompress [^:]*)/, "Protocol"],
  [RESOURCE_EXHAUSTED, /^Received message (larger than max |that decompresses to a size larger than ).*/, "Protocol"]
]

const ofMessage = (failed: Failed): Fatal | undefined => {
  const { head, status } = failed
  // of an end without a message, which has trailers of the server's
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

/** Pushback is what gRPC itself reads; RetryInfo is of Google's APIs; a proxy says `Retry-After`. */
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

/** An answer over HTTP that is not of gRPC. A gateway may have the words from behind it, and its head says that it is of gRPC. */
const isHttp = ({ head, status: { details, metadata } }: Failed): boolean =>
  details.startsWith(httpStatus) &&
  textsOf(head ?? metadata, "content-type").some((type) => !type.startsWith("application/grpc"))

/**
 * Proves that no server has processed the request: its stream was refused, which is also what becomes of those above the last
 * one that a GOAWAY names, or it never began as the connection had just gone.
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
  // a server of grpc-go may reset the stream in place of answering
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
