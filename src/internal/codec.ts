/**
 * Codecs of the parts of an error that JSON cannot hold as they are. Encoding never fails: an error that cannot be passed on
 * would hide the one that happened.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import * as Schema from "effect/Schema"

/** Enough to know what it was; a cause can quote a whole message. */
const maxText = 4_000

const textOf = (get: () => unknown): string =>
  Either.getOrElse(Either.try(() => Inspectable.toStringUnknown(get()).slice(0, maxText)), () => "unreadable")

const isError = (cause: unknown): cause is Error =>
  Either.getOrElse(Either.try(() => cause instanceof Error), () => false)

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
