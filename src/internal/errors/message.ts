/**
 * Formats errors for people: messages, reports and terminal output.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Excerpt from "./excerpt.js"
import * as Read from "./read.js"
import type { Code, Delivery, ExhaustedReason, FatalReason, RejectedReason, RetryableReason } from "./reasons.js"
import { redactDump, redactText } from "./redact.js"

/** The fields that are formatted, declared here because the error classes import this file. */
interface Retryable {
  readonly _tag: "Retryable"
  readonly message: string
  readonly reason: RetryableReason
  readonly delivery: Delivery
  readonly method?: string | undefined
  readonly code?: Code | undefined
  readonly retryAfter?: Duration.Duration | "Never" | undefined
  readonly waited?: Duration.Duration | undefined
  readonly endpoint?: string | undefined
  readonly cause?: unknown
}

interface Fatal {
  readonly _tag: "Fatal"
  readonly message: string
  readonly reason: FatalReason
  readonly method?: string | undefined
  readonly cause?: unknown
}

interface Attempt {
  readonly attempt: number
  readonly startedAt: Duration.Duration
  readonly took: Duration.Duration
  readonly delay?: Duration.Duration | undefined
  readonly error: Retryable
}

interface RetryExhausted {
  readonly _tag: "RetryExhausted"
  readonly message: string
  readonly method?: string | undefined
  readonly reason: ExhaustedReason
  readonly attempts: number
  readonly elapsed: Duration.Duration
  readonly last: Retryable
  readonly history: ReadonlyArray<Attempt>
}

interface CallRejected {
  readonly _tag: "CallRejected"
  readonly message: string
  readonly method?: string | undefined
  readonly reason: RejectedReason
  readonly retryIn?: Duration.Duration | undefined
}

type RpcError = Retryable | Fatal | RetryExhausted | CallRejected

const phrases: Record<RetryableReason, string> = {
  ConnectionRefused: "connection refused",
  ConnectionLost: "connection lost",
  AttemptTimeout: "attempt timed out",
  Unavailable: "unavailable",
  Throttled: "throttled",
  Custom: "failed"
}

/**
 * Formats a duration: below one second in milliseconds with at most two decimals, from one second in its two largest
 * units. Examples: `0ms`, `337.5ms`, `1s 200ms`.
 *
 * @internal
 */
export const showDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis < 1000) {
    return `${Math.round(millis * 100) / 100}ms`
  }
  // `Duration.format` throws when there are too many nanoseconds for a number
  return millis > Number.MAX_SAFE_INTEGER
    ? "forever"
    : Duration.format(Duration.millis(Math.round(millis))).split(" ").slice(0, 2).join(" ")
}

/** Formats a measured duration: from 10 ms it is rounded to whole milliseconds, where fractions are noise. */
const showMeasured = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  return showDuration(millis < 10 || !Number.isFinite(millis) ? duration : Duration.millis(Math.round(millis)))
}

/**
 * White space, control characters that move the cursor of a terminal, and characters that change the text direction.
 */
const controls = /[\s\p{Cc}\p{Bidi_Control}]+/gu

/**
 * Puts a foreign text on one line: replaces line breaks and control characters by spaces, and cuts it at `maxLength`
 * characters. Default 1,000.
 *
 * @internal
 */
export const oneLine = (text: string, maxLength = 1_000): string => {
  const line = text.slice(0, 2 * maxLength).replaceAll(controls, " ").trim()
  return line.length > maxLength ? `${line.slice(0, maxLength)}...` : line
}

/** The most characters of a message that are kept, as many as of an encoded cause. */
const maxMessage = 4_000

/**
 * Removes credentials from the message of an error, and cuts it at 4,000 characters.
 *
 * @internal
 */
export const bounded = (message: string): string =>
  message.length > maxMessage ? `${redactText(message.slice(0, maxMessage))}...` : redactText(message)

const maxText = 200
const maxCode = 60
const maxEndpoint = 100

/** Returns the message or the tag of a failure as one line, `undefined` when it has neither. */
const textOf = (cause: unknown): string | undefined => {
  const said = typeof cause === "string" ? [cause] : [Read.text(cause, "message"), Read.text(cause, "_tag")]
  return said.flatMap((text) => text === undefined ? [] : [oneLine(redactText(text.slice(0, 2 * maxText)), maxText)])
    .find((text) => text !== "")
}

/**
 * Returns the code in brackets, or a text of the cause that contains it, such as `connect ECONNREFUSED 127.0.0.1:80`.
 */
const codeOf = ({ cause, code }: Retryable): string => {
  const text = textOf(cause)
  const shown = oneLine(String(code), maxCode)
  return code === undefined ? "" : ` (${text?.includes(shown) === true ? text : shown})`
}

/**
 * Describes how one attempt failed, without the name of the method.
 *
 * @internal
 */
export const outcome = (error: Retryable): string => outcomeAt(error, error.endpoint)

/** Describes how one attempt failed, and at which endpoint where one is given. */
const outcomeAt = (error: Retryable, endpoint: string | undefined): string => {
  const at = endpoint === undefined ? "" : ` at ${oneLine(redactText(endpoint), maxEndpoint)}`
  const delivery = error.delivery === "NotSent" ? "not sent" : "may have run"
  const hint = error.retryAfter === undefined
    ? ""
    : error.retryAfter === "Never"
    ? ", server says do not retry"
    : `, server says retry after ${showDuration(error.retryAfter)}`
  const waited = error.waited === undefined ? "" : `, waited ${showMeasured(error.waited)} to dial`
  const text = error.code === undefined ? textOf(error.cause) : undefined
  return `${phrases[error.reason]}${at}${codeOf(error)}, ${delivery}${waited}${hint}${
    text === undefined ? "" : `: ${text}`
  }`
}

/**
 * The message of a `Retryable`.
 *
 * @internal
 */
export const retryableMessage = (error: Retryable): string =>
  error.method === undefined ? outcome(error) : `${error.method}: ${outcome(error)}`

/**
 * The message of a `RetryExhausted`.
 *
 * @internal
 */
export const exhaustedMessage = (error: RetryExhausted): string =>
  `${error.method ?? "call"} failed after ${error.attempts} ${error.attempts === 1 ? "attempt" : "attempts"} in ${
    showMeasured(error.elapsed)
  }: ${outcome(error.last)} [${error.reason}]`

/**
 * The message of a `CallRejected`.
 *
 * @internal
 */
export const rejectedMessage = (error: CallRejected): string =>
  `${error.method ?? "call"} was not sent${
    error.retryIn === undefined ? "" : `, retry in ${showDuration(error.retryIn)}`
  } [${error.reason}]`

const always: ReadonlyArray<string> = ["attempt", "started", "took", "delay"]

const endpointOf = ({ endpoint }: Retryable): string =>
  endpoint === undefined ? "-" : oneLine(redactText(endpoint), maxEndpoint)

const row = (attempt: Attempt, hasEndpoints: boolean): ReadonlyArray<string> => [
  String(attempt.attempt),
  showMeasured(attempt.startedAt),
  showMeasured(attempt.took),
  attempt.delay === undefined ? "-" : showDuration(attempt.delay),
  ...(hasEndpoints ? [endpointOf(attempt.error)] : []),
  outcomeAt(attempt.error, undefined)
]

const table = (history: ReadonlyArray<Attempt>): string => {
  const hasEndpoints = history.some(({ error }) => error.endpoint !== undefined)
  const columns = hasEndpoints ? [...always, "endpoint"] : always
  const rows = history.map((attempt) => row(attempt, hasEndpoints))
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
 * Formats an error for `console.log`: the report, followed by the cause with its stack.
 *
 * - `show`: formats the cause.
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
      : `\n\ncaused by ${Read.attempt(() => redactDump(show(cause))) ?? "what cannot be shown"}`
  }`
}

/** Lists the excerpts in the causes of an error, for a `RetryExhausted` those of each attempt. */
const excerpts = (error: RpcError): ReadonlyArray<string> => {
  const of = (cause: unknown, where: string) =>
    Excerpt.shownOf(cause).map((text) => `  ${where}: ${oneLine(text, maxMessage)}`)
  switch (error._tag) {
    case "RetryExhausted":
      return error.history.flatMap(({ attempt, error }) => of(error, `excerpt of attempt ${attempt}`))
    case "CallRejected":
      return []
    default:
      return of(error, "excerpt")
  }
}

/**
 * Formats an error with the table of its attempts, and with its excerpts when asked for.
 *
 * @internal
 */
export const report = (error: RpcError, options?: { readonly excerpts?: boolean | undefined }): string => {
  const lines = options?.excerpts === true ? excerpts(error) : []
  return lines.length === 0 ? summary(error) : `${summary(error)}\n\n${lines.join("\n")}`
}

const summary = (error: RpcError): string => {
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
