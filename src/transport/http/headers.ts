/**
 * Checks HTTP headers. The libraries that write requests treat invalid ones differently: they fail, throw, or write
 * another header.
 *
 * @internal
 */
import * as Result from "../../internal/result.js"
import { Fatal } from "../../RpcError.js"
import * as Json from "../shared/json.js"

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** @internal */
export interface Problem {
  readonly name: string
  readonly problem: string
  readonly isName: boolean
}

/** Returns the problem with the first invalid header. Its value may be a secret and is not shown. @internal */
export const problemOf = (headers: Readonly<Record<string, unknown>>): Problem | undefined => {
  for (const [name, value] of Object.entries(headers)) {
    if (!headerName.test(name)) {
      return { name, problem: `must have names that HTTP allows, got ${Json.describe(name)}`, isName: true }
    }
    if (typeof value !== "string" || !headerValue.test(value)) {
      return { name, problem: "must be a string of characters that HTTP allows", isName: false }
    }
  }
  return undefined
}

/** Checks the headers of one attempt. @internal */
export const writable = <H extends Readonly<Record<string, string>>>(headers: H): Result.Result<H, Fatal> => {
  const found = problemOf(headers)
  return found === undefined
    ? Result.succeed(headers)
    : Result.fail(
      new Fatal({
        reason: "InvalidArgument",
        message: `the header ${Json.describe(found.name)} of an attempt ${found.problem}`
      })
    )
}
