/**
 * Checks the option `url` of a client, and shows URLs in messages.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import { redactText } from "../../internal/errors/redact.js"
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as Json from "./json.js"

/** Returns a URL for a message, without its query, fragment and user, which may be secrets. @internal */
export const shown = (url: string): string => url.replace(/[?#][^]*$/, "").replace(/\/\/[^/]*@/, "//")

/** Checks a URL. It may have no host: a client can add one. @internal */
export const checkUrl = (where: string, url: unknown): Result.Result<string, InvalidOption> => {
  const invalid = (problem: string) => Result.fail(new InvalidOption({ where, field: "url", problem }))
  if (!Predicate.isString(url) || url === "") {
    return invalid(`must be the URL of the server, got ${Json.describe(url)}`)
  }
  const parsed = Result.try(() => new URL(url, "http://host"))
  // `URL` would accept a space as part of the path
  if (Result.isFailure(parsed) || !["http:", "https:"].includes(Result.successOf(parsed).protocol) || /\s/.test(url)) {
    return invalid(`must be a URL of http or https, got ${redactText(Json.describe(url))}`)
  }
  // some clients drop them silently, and an error would show the password
  return Result.successOf(parsed).username !== "" || Result.successOf(parsed).password !== ""
    ? invalid("must not have a user or a password in it: send them in a header")
    : Result.succeed(url)
}
