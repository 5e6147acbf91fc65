/**
 * URLs: the option `url` of a client of HTTP, and what may be shown of one.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { redactText } from "../../internal/errors/redact.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as Json from "./json.js"

/**
 * A URL for a message: without its query, its fragment, and its user, which may be secrets.
 *
 * @internal
 */
export const shown = (url: string): string => url.replace(/[?#][^]*$/, "").replace(/\/\/[^/]*@/, "//")

/**
 * A URL without a host is one all the same: a client may put its host before it.
 *
 * @internal
 */
export const checkUrl = (where: string, url: unknown): Either.Either<string, InvalidOption> => {
  const invalid = (problem: string) => Either.left(new InvalidOption({ where, field: "url", problem }))
  if (!Predicate.isString(url) || url === "") {
    return invalid(`must be the URL of the server, got ${Json.describe(url)}`)
  }
  const parsed = Either.try(() => new URL(url, "http://host"))
  // a space would be taken for one of a path
  if (Either.isLeft(parsed) || !["http:", "https:"].includes(parsed.right.protocol) || /\s/.test(url)) {
    return invalid(`must be a URL of http or https, got ${redactText(Json.describe(url))}`)
  }
  // some clients leave them out without a word; and an error would quote the password
  return parsed.right.username !== "" || parsed.right.password !== ""
    ? invalid("must not have a user or a password in it: send them in a header")
    : Either.right(url)
}
