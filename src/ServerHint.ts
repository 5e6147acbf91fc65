/**
 * What servers say about retrying, in the words of their protocols, read into the `retryAfter` of a `Retryable`.
 *
 * Each reader gives `None` when the server said nothing, a `Duration` when it named one, and `"Never"` when it said not to
 * retry or something that cannot be read: who asks for a delay that nobody understands is not to be asked again at once.
 *
 * A hint is waited exactly, without jitter; after it the delays of the schedule start over. It never makes a `Fatal`
 * retryable, and never adds attempts.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/**
 * @since 0.1.0
 * @category models
 */
export type ServerHint = Duration.Duration | "Never"

const never: Option.Option<ServerHint> = Option.some("Never")

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

const time = "(?<hours>[01]\\d|2[0-3]):(?<minutes>[0-5]\\d):(?<seconds>[0-5]\\d|60)"

/** The three forms of an HTTP date, all in GMT: IMF-fixdate, RFC 850, asctime. */
const httpDates = [
  `^[A-Z][a-z]{2}, (?<day>[0-2]\\d|3[01]) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${time} GMT$`,
  `^[A-Z][a-z]+, (?<day>[0-2]\\d|3[01])-(?<month>[A-Z][a-z]{2})-(?<year>\\d{2}) ${time} GMT$`,
  `^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ 0-2]\\d|3[01]) ${time} (?<year>\\d{4})$`
].map((source) => new RegExp(source))

const dateOf = (text: string): Option.Option<DateTime.Utc> => {
  const parts = httpDates.map((form) => form.exec(text)).find((match) => match !== null)?.groups
  const month = months.indexOf(parts?.["month"] ?? "") + 1
  if (parts === undefined || month === 0) {
    return Option.none()
  }
  const number = (part: string) => Number(parts[part])
  // of a year in two digits RFC 850 leaves open which century; none of these dates is from before 1970
  const year = number("year") < 70
    ? 2000 + number("year")
    : number("year") < 100
    ? 1900 + number("year")
    : number("year")
  const [hours, minutes, seconds] = [number("hours"), number("minutes"), number("seconds")]
  return Option.filter(
    DateTime.make({ year, month, day: number("day"), hours, minutes, seconds }),
    // there is no 31st of February
    (date) => seconds === 60 || DateTime.toPartsUtc(date).day === number("day")
  )
}

/**
 * HTTP's `Retry-After`: seconds, or a date. A date that has passed is no delay.
 *
 * - `header`: the value of the header, `undefined` when there is none.
 * - `now`: the time in milliseconds, as the `Clock` gives it.
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
  if (/^\d{1,9}$/.test(text)) {
    return Option.some(Duration.seconds(Number(text)))
  }
  return Option.match(dateOf(text), {
    onNone: () => never,
    onSome: (at) => Option.some(Duration.millis(Math.max(0, DateTime.toEpochMillis(at) - now)))
  })
}

const maxInt32 = 2_147_483_647

/**
 * gRPC's `grpc-retry-pushback-ms` trailer: milliseconds as a signed 32-bit integer. Negative, malformed, or given more than
 * once: do not retry.
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
 * A `google.rpc.RetryInfo` message, as JSON (`{ retryDelay: "1.5s" }`) or decoded (`{ retryDelay: { seconds, nanos } }`,
 * whose integers may be numbers, strings, bigints or `Long`s). Without a `retryDelay` it says nothing.
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
