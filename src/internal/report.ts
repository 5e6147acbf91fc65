/**
 * Errors as people read them.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { Attempt, CallRejected, Retryable, RetryableReason, RetryExhausted, RpcError } from "../RpcError.js"

const phrases: Record<RetryableReason, string> = {
  ConnectionRefused: "connection refused",
  ConnectionLost: "connection lost",
  AttemptTimeout: "attempt timed out",
  Unavailable: "unavailable",
  Throttled: "throttled",
  Custom: "failed"
}

/**
 * Milliseconds with at most two decimals, or the two largest units of something longer: `0ms`, `337.5ms`, `1s 200ms`.
 *
 * @internal
 */
export const showDuration = (duration: Duration.Duration): string => {
  if (!Duration.isFinite(duration)) {
    return "forever"
  }
  const millis = Duration.toMillis(duration)
  if (millis < 1000) {
    return `${Math.round(millis * 100) / 100}ms`
  }
  return Duration.format(Duration.millis(Math.round(millis))).split(" ").slice(0, 2).join(" ")
}

/** A duration that was measured, not asked for: fractions of a millisecond say nothing beyond ten. */
const showMeasured = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  return showDuration(millis < 10 || !Number.isFinite(millis) ? duration : Duration.millis(Math.round(millis)))
}

/** What moves a terminal's cursor, or turns the direction of what follows. */
const controls = /[\s\p{Cc}\p{Bidi_Control}]+/gu

/**
 * A text from elsewhere as part of a line.
 *
 * @internal
 */
export const oneLine = (text: string, maxLength = 1_000): string => {
  const line = text.slice(0, 2 * maxLength).replaceAll(controls, " ").trim()
  return line.length > maxLength ? `${line.slice(0, maxLength)}...` : line
}

const maxText = 200
const maxCode = 60

/** What a failure says of itself. Reading it may throw. */
const textOf = (cause: unknown): string | undefined => {
  const said = typeof cause === "string"
    ? [cause]
    : ["message", "_tag"].map((key) =>
      Either.getOrUndefined(Either.try(() => Predicate.hasProperty(cause, key) ? cause[key] : undefined))
    )
  return said.flatMap((text) => Predicate.isString(text) ? [oneLine(text, maxText)] : []).find((text) => text !== "")
}

/** The code, or the text that it is in: `connect ECONNREFUSED 127.0.0.1:80` says where, `ECONNREFUSED` does not. */
const codeOf = ({ cause, code }: Retryable): string => {
  const text = textOf(cause)
  const shown = oneLine(String(code), maxCode)
  return code === undefined ? "" : ` (${text?.includes(shown) === true ? text : shown})`
}

/**
 * What happened in one attempt, without the name of the method.
 *
 * @internal
 */
export const outcome = (error: Retryable): string => {
  const delivery = error.delivery === "NotSent" ? "not sent" : "may have run"
  const hint = error.retryAfter === undefined
    ? ""
    : error.retryAfter === "Never"
    ? ", server says do not retry"
    : `, server says retry after ${showDuration(error.retryAfter)}`
  const waited = error.waited === undefined ? "" : `, waited ${showMeasured(error.waited)} to dial`
  const text = error.code === undefined ? textOf(error.cause) : undefined
  return `${phrases[error.reason]}${codeOf(error)}, ${delivery}${waited}${hint}${text === undefined ? "" : `: ${text}`}`
}

/** @internal */
export const retryableMessage = (error: Retryable): string =>
  error.method === undefined ? outcome(error) : `${error.method}: ${outcome(error)}`

/** @internal */
export const exhaustedMessage = (error: RetryExhausted): string =>
  `${error.method ?? "call"} failed after ${error.attempts} ${error.attempts === 1 ? "attempt" : "attempts"} in ${
    showMeasured(error.elapsed)
  }: ${outcome(error.last)} [${error.reason}]`

/** @internal */
export const rejectedMessage = (error: CallRejected): string =>
  `${error.method ?? "call"} was not sent${
    error.retryIn === undefined ? "" : `, retry in ${showDuration(error.retryIn)}`
  } [${error.reason}]`

const columns = ["attempt", "started", "took", "delay"] as const

const row = (attempt: Attempt): ReadonlyArray<string> => [
  String(attempt.attempt),
  showMeasured(attempt.startedAt),
  showMeasured(attempt.took),
  attempt.delay === undefined ? "-" : showDuration(attempt.delay),
  outcome(attempt.error)
]

const table = (history: ReadonlyArray<Attempt>): string => {
  const rows = history.map(row)
  const widths = columns.map((name, i) => rows.reduce((width, cells) => Math.max(width, cells[i]!.length), name.length))
  const line = (cells: ReadonlyArray<string>) =>
    `  ${widths.map((width, i) => cells[i]!.padStart(width)).join("  ")}  ${cells[widths.length]}`
  const lines = [line([...columns, "outcome"])]
  history.forEach((attempt, i) => {
    const missing = attempt.attempt - (history[i - 1]?.attempt ?? 0) - 1
    if (missing > 0) {
      lines.push(`  ... ${missing} more ...`)
    }
    lines.push(line(rows[i]!))
  })
  return lines.join("\n")
}

/**
 * What a terminal is to show of an error: the report, and below it the cause, which has the stack.
 *
 * @internal
 */
export const inspect = (error: RpcError, show: (value: unknown) => string): string => {
  const cause = error._tag === "RetryExhausted"
    ? error.last.cause
    : error._tag === "CallRejected"
    ? undefined
    : error.cause
  return `${error._tag}: ${report(error)}${
    cause === undefined
      ? ""
      : `\n\ncaused by ${Either.getOrElse(Either.try(() => show(cause)), () => "what cannot be shown")}`
  }`
}

/** @internal */
export const report = (error: RpcError): string => {
  switch (error._tag) {
    case "RetryExhausted":
      return `${error.message}\n\n${table(error.history)}`
    case "Fatal":
      return `${error.method === undefined ? "" : `${error.method}: `}${oneLine(error.message)} [${error.reason}]`
    case "Retryable":
      return `${error.message} [${error.reason}]`
    case "CallRejected":
      return error.message
  }
}
