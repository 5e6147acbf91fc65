/**
 * Codecs of the parts of an error that JSON cannot hold as they are. Encoding never fails: an error that cannot be passed on
 * would hide the one that happened.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Read from "./read.js"
import { redactDump } from "./redact.js"

/** Enough to know what it was; a cause can quote a whole message. */
const maxText = 4_000

const textOf = (get: () => unknown): string =>
  Read.attempt(() => redactDump(Inspectable.toStringUnknown(get())).slice(0, maxText)) ?? "unreadable"

const isError = (cause: unknown): cause is Error => Read.attempt(() => cause instanceof Error) === true

const Encoded = Schema.Union(Schema.String, Schema.Struct({ name: Schema.String, message: Schema.String }))

/**
 * What an error was caused by: an `Error` as its name and message, anything else as text.
 *
 * @internal
 */
export const Cause = Schema.transform(Encoded, Schema.Unknown, {
  strict: true,
  decode: (encoded) => {
    if (typeof encoded === "string") {
      return encoded
    }
    const error = new Error(encoded.message)
    error.name = encoded.name
    return error
  },
  encode: (cause) =>
    isError(cause)
      ? { name: textOf(() => cause.name), message: textOf(() => cause.message) }
      : textOf(() => cause)
})

/**
 * A hint of the server's: milliseconds, or `"Never"`, which is also what waiting for ever comes to.
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
 * A hint as it is kept. One that is negative, or no duration, says no.
 *
 * @internal
 */
export const hintOf = (hint: Duration.DurationInput | "Never" | undefined): Duration.Duration | "Never" | undefined =>
  hint === undefined || hint === "Never" || Duration.isDuration(hint)
    ? hint
    : Number.isNaN(hint) || String(hint).startsWith("-")
    ? "Never"
    : Option.getOrElse(Duration.decodeUnknown(hint), () => "Never" as const)
