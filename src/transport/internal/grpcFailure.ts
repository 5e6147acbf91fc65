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
import { Fatal, Retryable } from "../../RpcError.js"
import * as ServerHint from "../../ServerHint.js"
import { fromStatus } from "./grpcStatus.js"
import { http2Codes } from "./http2Codes.js"
import * as RetryInfo from "./retryInfo.js"

/** @internal */
export interface Given {
  readonly error: Grpc.ServiceError
  /** The head of the response, `undefined` when none came. */
  readonly head: Grpc.Metadata | undefined
  /** No stream was opened for the request, or for the last attempt where the library made several. */
  readonly isUnsent: boolean
  /** The ambient deadline, in milliseconds of the clock that `now` is of. */
  readonly deadline: number
  readonly now: number
}

interface Failed extends Given {
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
 *
 * @internal
 */
export const slack = 25

const { CANCELLED, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN } = Grpc.status

/**
 * A status that a server sends alone has the headers of its response with it; one that was made on this side has none, but
 * the mark of the library's own repetition.
 */
const isEmpty = (metadata: Grpc.Metadata): boolean =>
  Object.keys(metadata.getMap()).every((key) => key === "grpc-previous-rpc-attempts")

/**
 * `NotSent`, unless the library repeated the call: then an attempt before the last one may have been sent. It says so in the
 * metadata that it gives, wherever there is some.
 */
const notSent = ({ head, status }: Failed): Retryable["delivery"] =>
  [status.metadata, head].some((metadata) => (metadata?.get("grpc-previous-rpc-attempts").length ?? 0) > 0)
    ? "Unknown"
    : "NotSent"

const unsent = (failed: Failed): Retryable | undefined => {
  const { code, details } = failed.status
  const retryable = (reason: Retryable["reason"]) =>
    new Retryable({ reason, delivery: notSent(failed), code: "UNAVAILABLE", cause: failed.error })
  if (code === UNAVAILABLE) {
    return retryable(/\bconnect (ECONNREFUSED|ENOENT)\b/.test(details) ? "ConnectionRefused" : "Unavailable")
  }
  // the connection went away between the choice of it and its use: with `grpc.enable_retries: 0` this is for us to repeat
  return code === INTERNAL && details.startsWith("Failed to start HTTP/2 stream with error ")
    ? retryable("ConnectionLost")
    : undefined
}

/** The stream was reset with the code CANCEL. Not by the caller: that one is interrupted, and asks nobody any more. */
const isCancelled = ({ code, details, metadata }: Grpc.StatusObject): boolean =>
  code === CANCELLED && details === "Call cancelled" && isEmpty(metadata)

/** The connection, or the stream, broke: the library says so in these words of its own. */
const broken = (failed: Failed): Retryable | undefined => {
  const { error, head, status } = failed
  const { code, details, metadata } = status
  const lost = (code: string) => new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code, cause: error })
  if (!isEmpty(metadata)) {
    return undefined
  }
  if (code === UNAVAILABLE) {
    return details === "Stream refused by server" && head === undefined
      ? new Retryable({ reason: "Unavailable", delivery: notSent(failed), code: "REFUSED_STREAM", cause: error })
      : /^(Connection dropped$|(read|write) E[A-Z]+|Write error: |Write failed with error )/.test(details)
      ? lost("UNAVAILABLE")
      : undefined
  }
  if (isCancelled(status)) {
    return lost("CANCEL")
  }
  const reset = code === INTERNAL ? /^Received RST_STREAM with code (\d+)/.exec(details) : null
  return reset === null ? undefined : lost(http2Codes[Number(reset[1])] ?? `RST_STREAM ${reset[1]}`)
}

/** What would go wrong again: a message that cannot be written, or one that cannot be read. */
const unreadable = ({ error, status: { code, details } }: Failed): Fatal | undefined => {
  const fatal = (reason: Fatal["reason"]) =>
    new Fatal({ reason, code: Grpc.status[code]!, message: details, cause: error })
  return code === INTERNAL && details.startsWith("Request message serialization failure: ")
    ? fatal("InvalidArgument")
    : (code === INTERNAL && details.startsWith("Response message parsing error: ")) ||
        (code === UNIMPLEMENTED && details === "No message received")
    ? fatal("Protocol")
    : undefined
}

const textsOf = (metadata: Grpc.Metadata, key: string): ReadonlyArray<string> =>
  metadata.get(key).map((value) => value.toString())

/** Pushback is what gRPC itself reads; RetryInfo is of Google's APIs; a proxy says `Retry-After`. */
const hintOf = (
  { head, now, status: { metadata } }: Failed,
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
      ? ServerHint.fromRetryAfter([head ?? metadata].flatMap((from) => textsOf(from, "retry-after"))[0], now)
      : Option.none()
  return pushback.pipe(Option.orElse(details), Option.orElse(retryAfter), Option.getOrUndefined)
}

const httpStatus = "Received HTTP status code "

/** @internal */
export const classify = (given: Given, retryOn: RetryOn): Retryable | Fatal => {
  const { deadline, error, head, isUnsent, now } = given
  const status = statusOf(error)
  const failed: Failed = { ...given, status }
  // a server of grpc-go may reset the stream in place of answering
  if ((status.code === DEADLINE_EXCEEDED || isCancelled(status)) && now >= deadline - slack) {
    return new Retryable({
      reason: "AttemptTimeout",
      delivery: "Unknown",
      code: "DEADLINE_EXCEEDED",
      cause: error
    })
  }
  // an interceptor that repeats calls shows the peer of its first one: what came from a server was sent
  const isOurs = head === undefined && isEmpty(status.metadata)
  const known = broken(failed) ?? (isUnsent && isOurs ? unsent(failed) : undefined) ?? unreadable(failed)
  if (known !== undefined) {
    return known
  }
  const isHttp = status.details.startsWith(httpStatus)
  const hint = hintOf(failed, isHttp)
  if (status.code === UNAVAILABLE && status.details === `${httpStatus}429`) {
    return new Retryable({
      reason: "Throttled",
      delivery: notSent(failed),
      code: "UNAVAILABLE",
      retryAfter: hint,
      cause: error
    })
  }
  const code = Number.isInteger(status.code) ? status.code : UNKNOWN
  return fromStatus({ code, message: status.details, hint, cause: error }, retryOn(error))
}
