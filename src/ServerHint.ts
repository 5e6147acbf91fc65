/**
 * Readers of the retry hints that servers send, such as the HTTP header `Retry-After`. Their result is the `retryAfter`
 * of a `Retryable`.
 *
 * Each reader returns `None` when there is no hint, a `Duration` when the server asks for a delay, and `"Never"` when
 * it says "do not retry" or when the hint cannot be parsed. An unreadable hint stops the retries because the server did
 * ask for a delay, of unknown length.
 *
 * The call waits exactly as long as a hint says, without jitter, and the delays of its schedule start over afterwards.
 * A hint below `minServerDelay` of the policy, by default the first delay of the schedule, is raised to it; one above
 * `maxServerDelay` ends the call. A hint never makes a `Fatal` retryable, and never adds attempts.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/**
 * The delay that a server asks for, or `"Never"`: do not retry.
 *
 * @since 0.1.0
 * @category models
 */
export type ServerHint = Duration.Duration | "Never"

const never: Option.Option<ServerHint> = Option.some("Never")

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

const time = "(?<hours>\\d{1,2}):(?<minutes>\\d{2}):(?<seconds>\\d{2})(?:\\.\\d+)?"

/** The date formats: day before month (RFC 1123 and RFC 850), month before day (`asctime`), and ISO 8601. */
const dates = [
  `(?<day>\\d{1,2})[ -](?<month>[A-Za-z]{3,9})[ -](?<year>\\d{4}|\\d{2}),?[ T]+${time}`,
  `(?<month>[A-Za-z]{3,9}) +(?<day>\\d{1,2}),? ${time}(?<zoneFirst> +[A-Za-z]{1,5}| +[+-]\\d{2}:?\\d{2})? (?<year>\\d{4})`,
  `(?<year>\\d{4})-(?<monthNumber>\\d{2})-(?<day>\\d{2})[T ]${time}`
].map((source) =>
  new RegExp(`^(?:[A-Za-z]{3,9},? +)?${source} *(?<zone>Z|UTC|UT|GMT|[A-Z]{3,4}|(?:UTC|GMT)?[+-]\\d{2}:?\\d{2})?$`, "i")
)

/** The named time zones of RFC 822, with the hours that each is behind UTC. */
const zones = new Map([["EST", 5], ["EDT", 4], ["CST", 6], ["CDT", 5], ["MST", 7], ["MDT", 6], ["PST", 8], ["PDT", 7]])

/** Returns the minutes to add to a local time to get UTC; `undefined` for an unknown zone. */
const zoneMinutes = (zone: string): number | undefined => {
  const name = zone.trim().toUpperCase()
  const offset = /([+-])(\d{2}):?(\d{2})$/.exec(name)
  return offset !== null
    ? (offset[1] === "-" ? 1 : -1) * (Number(offset[2]) * 60 + Number(offset[3]))
    : ["", "Z", "UT", "UTC", "GMT"].includes(name)
    ? 0
    : Option.getOrUndefined(Option.map(Option.fromNullable(zones.get(name)), (hours) => hours * 60))
}

/** Completes a year of two digits, for which RFC 850 does not define the century, to one from 1970 to 2069. */
const fullYear = (year: number): number => year < 70 ? 2000 + year : year < 100 ? 1900 + year : year

/**
 * Parses a date from an HTTP header and returns it in milliseconds since 1970, `None` when it cannot be parsed. It
 * accepts the three formats of the standard and variants that servers send: a day of one digit, `UTC` or a numeric zone
 * in place of `GMT`, a fraction of a second, ISO 8601.
 *
 * @since 0.1.0
 * @category readers
 */
export const dateMillis = (text: string): Option.Option<number> => {
  const parts = dates.map((form) => form.exec(text.trim())).find((match) => match !== null)?.groups
  if (parts === undefined) {
    return Option.none()
  }
  const number = (part: string) => Number(parts[part])
  const month = parts["monthNumber"] === undefined
    ? months.indexOf((parts["month"] ?? "").slice(0, 3).toLowerCase()) + 1
    : number("monthNumber")
  const zone = zoneMinutes(parts["zone"] ?? parts["zoneFirst"] ?? "")
  const [year, day, hours] = [fullYear(number("year")), number("day"), number("hours")]
  const [minutes, seconds] = [number("minutes"), number("seconds")]
  const isTime = hours < 24 && minutes < 60 && seconds <= 60
  return zone === undefined || month < 1 || month > 12 || !isTime ? Option.none() : Option.map(
    Option.filter(
      DateTime.make({ year, month, day, hours, minutes, seconds: Math.min(seconds, 59) }),
      // there is no 31st of February
      (date) => DateTime.toPartsUtc(date).day === day
    ),
    (date) => DateTime.toEpochMillis(date) + (seconds === 60 ? 1_000 : 0) + zone * 60_000
  )
}

/**
 * Reads the HTTP header `Retry-After`: seconds, also with decimals, or a date as {@link dateMillis} parses it. A date
 * in the past gives a delay of zero.
 *
 * - `header`: the value of the header, `undefined` when there is none.
 * - `now`: the current wall clock time in milliseconds since 1970.
 *
 * @example
 * ```ts
 * import { ServerHint } from "effect-rpc-retry"
 *
 * ServerHint.fromRetryAfter("120", 0) // 2 minutes
 * ServerHint.fromRetryAfter("Thu, 01 Jan 1970 00:00:05 GMT", 0) // 5 seconds
 * ServerHint.fromRetryAfter("soon", 0) // "Never"
 * ```
 *
 * @since 0.1.0
 * @category readers
 */
export const fromRetryAfter = (header: string | undefined, now: number): Option.Option<ServerHint> => {
  if (header === undefined) {
    return Option.none()
  }
  const text = header.trim()
  if (/^\+?\d{1,9}(\.\d{0,9})?s?$/.test(text)) {
    return Option.some(Duration.seconds(Number.parseFloat(text)))
  }
  return Option.match(dateMillis(text), {
    onNone: () => never,
    onSome: (at) => Option.some(Duration.millis(Math.max(0, at - now)))
  })
}

const maxInt32 = 2_147_483_647

/**
 * Reads the gRPC trailer `grpc-retry-pushback-ms`: milliseconds as a signed 32-bit integer. A negative, malformed or
 * repeated value means "do not retry".
 *
 * - `values`: all values of the trailer.
 *
 * @since 0.1.0
 * @category readers
 */
export const fromGrpcPushback = (values: ReadonlyArray<string>): Option.Option<ServerHint> => {
  if (values.length === 0) {
    return Option.none()
  }
  const [value] = values
  return values.length === 1 && /^(0|[1-9]\d{0,9})$/.test(value!) && Number(value) <= maxInt32
    ? Option.some(Duration.millis(Number(value)))
    : never
}

const toInteger = (u: unknown): number =>
  typeof u === "number"
    ? (Number.isInteger(u) ? u : NaN)
    : typeof u === "bigint" || (typeof u === "string" && /^-?\d+$/.test(u))
    ? Number(u)
    : Predicate.hasProperty(u, "toNumber") && Predicate.isFunction(u.toNumber)
    ? Number(u.toNumber())
    : NaN

const protoDuration = (u: unknown): number => {
  if (typeof u === "string") {
    return /^-?\d+(\.\d{1,9})?s$/.test(u) ? Number(u.slice(0, -1)) * 1000 : NaN
  }
  if (!Predicate.isRecord(u)) {
    return NaN
  }
  // a field that is zero may be left out
  const seconds = toInteger(u["seconds"] ?? 0)
  const nanos = toInteger(u["nanos"] ?? 0)
  return nanos >= 0 && nanos < 1e9 ? seconds * 1000 + nanos / 1e6 : NaN
}

/**
 * Reads a `google.rpc.RetryInfo` message, as JSON (`{ retryDelay: "1.5s" }`) or decoded
 * (`{ retryDelay: { seconds, nanos } }`, where the integers may be numbers, strings, bigints or `Long`s). Returns
 * `None` without a `retryDelay`.
 *
 * @since 0.1.0
 * @category readers
 */
export const fromRetryInfo = (message: unknown): Option.Option<ServerHint> => {
  const delay = Predicate.hasProperty(message, "retryDelay")
    ? message.retryDelay
    : Predicate.hasProperty(message, "retry_delay")
    ? message.retry_delay
    : undefined
  if (delay === undefined || delay === null) {
    return Option.none()
  }
  const millis = protoDuration(delay)
  return millis >= 0 && Number.isFinite(millis) ? Option.some(Duration.millis(millis)) : never
}
