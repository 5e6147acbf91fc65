/**
 * URLs: the option `url` of a client of HTTP, and what may be shown of one.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import { redactText } from "../../internal/errors/redact.js"
import * as Result from "../../internal/result.js"
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
export const checkUrl = (where: string, url: unknown): Result.Result<string, InvalidOption> => {
  const invalid = (problem: string) => Result.fail(new InvalidOption({ where, field: "url", problem }))
  if (!Predicate.isString(url) || url === "") {
    return invalid(`must be the URL of the server, got ${Json.describe(url)}`)
  }
  const parsed = Result.try(() => new URL(url, "http://host"))
  // a space would be taken for one of a path
  if (Result.isFailure(parsed) || !["http:", "https:"].includes(Result.successOf(parsed).protocol) || /\s/.test(url)) {
    return invalid(`must be a URL of http or https, got ${redactText(Json.describe(url))}`)
  }
  // some clients leave them out without a word; and an error would quote the password
  return Result.successOf(parsed).username !== "" || Result.successOf(parsed).password !== ""
    ? invalid("must not have a user or a password in it: send them in a header")
    : Result.succeed(url)
}
