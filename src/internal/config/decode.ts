/**
 * Decodes configuration documents. Errors name the path to the wrong value and what it should have been.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import { pipe } from "effect/Function"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { InvalidOption } from "../../InvalidOption.js"
import * as duration from "../options/duration.js"
import { nearest, suggestion } from "../options/suggest.js"
import * as Result from "../result.js"

const units = new Map([
  ["ns", "nanos"],
  ["us", "micros"],
  ["µs", "micros"],
  ["ms", "millis"],
  ["s", "seconds"],
  ["m", "minutes"],
  ["h", "hours"],
  ["d", "days"]
])

/** Rewrites short units to those that Effect reads: `250ms` to `250 millis`, `1.5s` to `1.5 seconds`. */
const expanded = (text: string): string => {
  const match = /^(-?\d+(?:\.\d+)?)\s*([a-zµ]+)$/.exec(text.trim())
  return match === null ? text : `${match[1]} ${units.get(match[2]!) ?? match[2]}`
}

/**
 * The schema of a duration in a document: text with a unit, or a number of milliseconds. Zero is allowed.
 *
 * @internal
 */
export const DurationText = Schema.transformOrFail(
  Schema.Union(Schema.String, Schema.Number),
  Schema.DurationFromSelf,
  {
    strict: true,
    decode: (input, _, ast) =>
      Result.mapError(
        duration.decode(typeof input === "string" ? expanded(input) : input, { zero: true }, input),
        (problem) => new ParseResult.Type(ast, input, problem)
      ),
    encode: (value) => Result.succeed(`${Duration.toMillis(value)} millis`)
  }
)

/** The field that an error names when the path is empty. */
const wholeDocument = "the document"

const pathOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) => typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`,
    ""
  )

/** The form of the parser's messages: the expected type and the actual value. */
const expectation = /^Expected ([^]+), actual ([^]+)$/

/** Returns the parts of a text that are in double quotes. */
const quoted = (text: string): ReadonlyArray<string> => Array.from(text.matchAll(/"([^"]*)"/g), ([, name]) => name!)

const words = new Map([["string", "text"], ["number", "a number"], ["boolean", "true or false"]])

/**
 * Describes an expected type. Objects and lists are not shown in full, because their members have errors of their own.
 */
const worded = (expected: string): string =>
  expected.startsWith("{")
    ? "an object"
    : /^(?:readonly|ReadonlyArray|NonEmpty)/.test(expected)
    ? "a list"
    : words.get(expected) ?? expected

/** Splits the message of an issue into the expected type, in words, and the actual value. */
const expectationOf = ({ message }: ParseResult.ArrayFormatterIssue) => {
  const match = expectation.exec(message)
  return match === null || match[1] === "undefined" ? [] : [{ expected: worded(match[1]!), actual: match[2]! }]
}

/**
 * Describes the problem at a path. An unknown key is reported like an unknown option; for a union, all accepted types
 * are listed.
 */
const problemOf = (issues: ReadonlyArray<ParseResult.ArrayFormatterIssue>): string => {
  const first = issues[0]!
  if (first._tag === "Unexpected") {
    return `is not an option${suggestion(String(first.path.at(-1)), quoted(first.message))}`
  }
  // a value of the right kind that is wrong in itself: the other kinds do not help
  const own = issues.find(({ _tag, message }) => _tag !== "Unexpected" && !expectation.test(message))
  if (own !== undefined) {
    return own.message
  }
  const expectations = issues.flatMap(expectationOf)
  if (expectations.length === 0) {
    return first.message
  }
  const all = Array.from(new Set(expectations.map(({ expected }) => expected)))
  const { actual } = expectations[0]!
  const list = [all.slice(0, -1).join(", "), ...all.slice(-1)].filter((part) => part !== "").join(" or ")
  const meant = quoted(actual).flatMap((name) => nearest(name, all.flatMap(quoted)) ?? [])
  return `must be ${list}, got ${actual}${meant.map((name) => `, did you mean ${name}?`).join("")}`
}

/**
 * Decodes a value with a schema. Keys that the schema does not know are an error.
 *
 * - `extra`: whether unknown keys are ignored instead. Default `false`.
 *
 * @internal
 */
export const decode = <A, I>(
  where: string,
  schema: Schema.Schema<A, I>,
  input: unknown,
  options?: { readonly extra?: boolean }
): Result.Result<A, InvalidOption> =>
  pipe(
    Result.decodeUnknown(schema)(input, { onExcessProperty: options?.extra === true ? "ignore" : "error" }),
    Result.mapError((error) => {
      const issues = ParseResult.ArrayFormatter.formatErrorSync(error)
      // of the members of a union, report the one that matched deepest
      const depth = Math.max(...issues.map(({ path }) => path.length))
      const furthest = issues.filter(({ path }) => path.length === depth)
      const path = pathOf(furthest[0]!.path)
      const there = furthest.filter((issue) => pathOf(issue.path) === path)
      return new InvalidOption({ where, field: path === "" ? wholeDocument : path, problem: problemOf(there) })
    })
  )

/**
 * Parses text as JSON, and returns any other value as it is. A byte order mark, with which some editors begin a file, is
 * no part of the text.
 *
 * @internal
 */
export const parsed = (where: string, input: unknown): Result.Result<unknown, InvalidOption> =>
  typeof input !== "string" ? Result.succeed(input) : Result.try({
    try: () => JSON.parse(input.replace(/^\uFEFF/, "")) as unknown,
    catch: (error) =>
      new InvalidOption({ where, field: wholeDocument, problem: `is not JSON: ${(error as SyntaxError).message}` })
  })

/**
 * Runs a constructor that throws `InvalidOption`, and prefixes the field in the error with `path`.
 *
 * @internal
 */
export const attempt = <A>(where: string, path: string, make: () => A): Result.Result<A, InvalidOption> =>
  Result.try({
    try: make,
    catch: (error) =>
      Predicate.isTagged(error, "InvalidOption")
        ? at(where, path, error as InvalidOption)
        : new InvalidOption({ where, field: path, problem: String(error) })
  })

/**
 * Prefixes the field of an error with `path`.
 *
 * @internal
 */
export const at = (where: string, path: string, error: InvalidOption): InvalidOption =>
  new InvalidOption({
    where,
    field: path === "" ? error.field : error.field === wholeDocument ? path : `${path}.${error.field}`,
    problem: error.problem
  })
