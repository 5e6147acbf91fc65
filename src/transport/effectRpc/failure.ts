/**
 * Classifies calls of `@effect/rpc`: tells errors, defects and interruptions of the library from those of the server's
 * handler and of the caller.
 *
 * @internal
 */
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as Socket from "@effect/platform/Socket"
import * as WorkerError from "@effect/platform/WorkerError"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Cause from "effect/Cause"
import type * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Classify from "../../Classify.js"
import * as Causes from "../../internal/effect/cause.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as HttpStatus from "../../internal/errors/httpStatus.js"
import { Fatal, isFatal, isRetryable, Retryable, withMethod } from "../../RpcError.js"
import * as HttpFailure from "../http/failure.js"
import { type AttemptState, CallDefect } from "./attempt.js"

/**
 * Classifies a response that was refused by its status, or whose body cannot be read because of it, such as the HTML
 * page of a proxy.
 */
const status = (now: number | undefined): Classify.Rule => (failure) => {
  if (
    !HttpClientError.isHttpClientError(failure) || failure._tag !== "ResponseError" ||
    HttpFailure.isOk(failure.response.status)
  ) {
    return Option.none()
  }
  const retryAfter = now === undefined ? undefined : HttpFailure.retryAfterOf(failure.response, now)
  return Option.some(HttpStatus.fromStatus(failure.response.status, { retryAfter, cause: failure }))
}

/**
 * Classifies `OpenTimeout`. The library also uses it for an unanswered ping, and requests on that connection may have
 * run.
 */
const silent: Classify.Rule = (failure) =>
  Socket.isSocketError(failure) && failure.reason === "OpenTimeout"
    ? Option.some(
      new Retryable({ reason: "Unavailable", delivery: "Unknown", code: failure.reason, cause: failure })
    )
    : Option.none()

/** Classifies a message that could not be decoded, which is a `Cause`. */
const unreadable: Classify.Rule = (failure) =>
  Cause.isCause(failure)
    ? Option.some(malformed(Cause.squash(failure)))
    : Option.none()

/** Classifies a worker that ended or cannot start; the next attempt gets another one. */
const worker: Classify.Rule = (failure) =>
  WorkerError.isWorkerError(failure)
    ? Option.some(
      new Retryable({ reason: "Unavailable", delivery: "Unknown", code: failure.reason, cause: Excerpt.of(failure) })
    )
    : Option.none()

const tooLarge: Classify.Rule = (failure) =>
  failure instanceof RpcSerialization.RpcSerializationError
    ? Option.some(new Fatal({ reason: "Protocol", message: "the answer is too large", cause: failure }))
    : Option.none()

/** @internal */
export const clientError = (now?: number): Classify.Rule => (failure) =>
  failure instanceof RpcClientError
    ? Option.some(failure.cause === undefined ? Classify.unknown(failure) : ofClientError(now)(failure.cause))
    : Option.none()

const ofClientError = (now: number | undefined) =>
  Classify.firstOf(unreadable, worker, tooLarge, status(now), HttpFailure.rule, silent, ...Classify.rules)

/** Returns whether an issue is about an answer: an exit, or the elements of a stream. */
const isAnswer = ({ actual }: ParseResult.ParseIssue): boolean =>
  Array.isArray(actual) || Predicate.isTagged(actual, "Success") || Predicate.isTagged(actual, "Failure")

const malformed = (cause: unknown): Fatal =>
  new Fatal({ reason: "Protocol", message: "the peer sent what is not a message of RPC", cause: Excerpt.of(cause) })

const unfit = (cause: unknown): Fatal =>
  new Fatal({ reason: "Protocol", message: "the answer does not fit the schema of the rpc", cause: Excerpt.of(cause) })

/**
 * Classifies a parse error. When requests are not observed, its shape shows whether the request or the answer was
 * invalid.
 */
const ofParseError = (defect: ParseResult.ParseError, { attempt, isGuarded }: Circumstances): Fatal =>
  attempt.id !== undefined || (!isGuarded && isAnswer(defect.issue))
    ? unfit(defect)
    : new Fatal({
      reason: "InvalidArgument",
      message: `the payload does not fit the schema of the rpc: ${Excerpt.explain(defect).words}`,
      cause: Excerpt.of(defect)
    })

interface Circumstances {
  readonly attempt: AttemptState
  readonly method: string
  /** The wall time, in milliseconds of the `Clock`. */
  readonly now: number
  readonly self: FiberId.FiberId
  readonly isClosed: boolean
  /** Whether the guard sees every request that is sent. */
  readonly isGuarded: boolean
}

/**
 * Classifies a {@link CallDefect}. On a client that was not made by `EffectRpc` it ends all calls, one of which it is
 * about; the answers of the others are lost.
 */
const ofEnded = ({ message, why }: CallDefect, { id, tag }: AttemptState): Retryable | Fatal => {
  if ("unknownTag" in why) {
    return why.unknownTag === tag
      ? new Fatal({ reason: "Unimplemented", message: "the server has no such rpc", cause: message })
      : new Retryable({ reason: "Unavailable", delivery: "Unknown", cause: message })
  }
  if (why.requestId !== id) {
    return new Retryable({ reason: "Unavailable", delivery: "Unknown", cause: Excerpt.of(why.cause) })
  }
  return why.isMessage ? unfit(why.cause) : malformed(why.cause)
}

/** Classifies defects that the library makes of failures. Other defects are those of the handler. */
const ofDefect = (defect: unknown, circumstances: Circumstances): Option.Option<Retryable | Fatal> => {
  const ended = defect instanceof Error ? defect.cause : defect
  if (ended instanceof CallDefect) {
    return Option.some(ofEnded(ended, circumstances.attempt))
  }
  return ParseResult.isParseError(defect)
    ? Option.some(ofParseError(defect, circumstances))
    : Option.filter(Classify.socketError(defect), () => Socket.isSocketError(defect))
}

/**
 * Classifies an interruption that is not the caller's, which only finalizers would see. A closed client interrupts
 * later calls with the id of their own fibers. Any other id came from the server, which is stopping (`-503`), or whose
 * handler was interrupted.
 */
const interruption = (
  cause: Cause.Cause<unknown>,
  self: FiberId.FiberId,
  isClosed: boolean
): Option.Option<Retryable | Fatal> => {
  if (!Causes.isInterruption(cause)) {
    return Option.none()
  }
  return Option.some(
    isClosed || Causes.isInterruptedBy(cause, self)
      ? new Fatal({ reason: "Cancelled", message: "the client is closed", cause })
      : new Retryable({ reason: "Unavailable", delivery: "Unknown", code: "INTERRUPTED", cause })
  )
}

/**
 * Returns the failure of the transport; `None` for domain errors and defects of the server or its handler.
 *
 * @internal
 */
export const ofCause = (
  cause: Cause.Cause<unknown>,
  circumstances: Circumstances
): Option.Option<Retryable | Fatal> => {
  const { attempt, isClosed, method, now, self } = circumstances
  const failure = Option.match(Causes.firstFailure(cause), {
    onSome: (error) =>
      isRetryable(error)
        ? Option.some(withDelivery(error, "Unknown"))
        : isFatal(error)
        ? Option.some(error)
        : clientError(now)(error),
    onNone: () =>
      Option.orElse(
        Option.flatMap(Causes.firstDefect(cause), (defect) => ofDefect(defect, circumstances)),
        () => interruption(cause, self, isClosed)
      )
  })
  return Option.map(
    failure,
    (error) => withMethod(attempt.refused && isRetryable(error) ? withDelivery(error, "NotSent") : error, method)
  )
}

/** Changes the delivery of an error that the server passed on from a call behind it: this call ran. */
const withDelivery = ({ cause, code, method, reason, retryAfter }: Retryable, delivery: Retryable["delivery"]) =>
  new Retryable({ reason, delivery, method, code, retryAfter, cause })
