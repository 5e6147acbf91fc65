/**
 * Codecs of the parts of an error that JSON cannot hold: causes and durations. Encoding never fails, since a failure to
 * encode an error would hide that error.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Excerpt from "./excerpt.js"
import * as Read from "./read.js"
import { redactDump } from "./redact.js"

/** The most characters of a cause that are encoded: a cause can quote a whole message. */
const maxText = 4_000

const textOf = (get: () => unknown, rewrite: (text: string) => string): string => {
  const text = Read.attempt(() => redactDump(stringOf(get())))
  return text === undefined ? "unreadable" : rewrite(text).slice(0, maxText)
}

const stringOf = (value: unknown): string =>
  Redacted.isRedacted(value) ? String(value) : Inspectable.toStringUnknown(value)

const isError = (cause: unknown): cause is Error => Read.attempt(() => cause instanceof Error) === true

const Encoded = Schema.Union(Schema.String, Schema.Struct({ name: Schema.String, message: Schema.String }))

const encode = (cause: unknown, rewrite: (text: string) => string): typeof Encoded.Type =>
  isError(cause)
    ? { name: textOf(() => cause.name, rewrite), message: textOf(() => cause.message, rewrite) }
    : textOf(() => cause, rewrite)

const decode = (encoded: typeof Encoded.Type): unknown => {
  if (typeof encoded === "string") {
    return encoded
  }
  const error = new Error(encoded.message)
  error.name = encoded.name
  return error
}

/**
 * The codec of `cause`: an `Error` is encoded as its name and message, anything else as text.
 *
 * @internal
 */
export const Cause = Schema.transform(Encoded, Schema.Unknown, {
  strict: true,
  decode: (encoded) => decode(encoded),
  encode: (cause) => encode(cause, (text) => text)
})

/**
 * Applies `rewrite` to the texts of a cause as they would be encoded. A `Redacted` excerpt stays redacted, and its
 * content is rewritten.
 *
 * @internal
 */
export const rewritten = (cause: unknown, rewrite: (text: string) => string): unknown =>
  cause === undefined
    ? undefined
    : Redacted.isRedacted(cause)
    ? Excerpt.of(decode(encode(Redacted.value(cause), rewrite)))
    : decode(encode(cause, rewrite))

/**
 * The codec of a server hint: milliseconds, or `"Never"`, which an infinite duration is encoded as too.
 *
 * @internal
 */
export const Hint = Schema.transform(
  Schema.Union(Schema.NonNegative, Schema.Literal("Never")),
  Schema.Union(Schema.DurationFromSelf, Schema.Literal("Never")),
  {
    strict: true,
    decode: (hint) => hint === "Never" ? hint : Duration.millis(hint),
    encode: (hint) => hint === "Never" || !Duration.isFinite(hint) ? "Never" as const : Duration.toMillis(hint)
  }
)

/**
 * Decodes the `retryAfter` that an error is made with. A negative duration and a value that is no duration become
 * `"Never"`.
 *
 * @internal
 */
export const hintOf = (hint: Duration.DurationInput | "Never" | undefined): Duration.Duration | "Never" | undefined =>
  hint === undefined || hint === "Never" || Duration.isDuration(hint)
    ? hint
    : /^-|NaN/.test(String(hint))
    ? "Never"
    : Option.getOrElse(Duration.decodeUnknown(hint), () => "Never" as const)
