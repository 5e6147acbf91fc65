/**
 * Keeps excerpts of answers and arguments out of messages. An excerpt is kept in the `cause` of an error as a
 * `Redacted`, which prints as `<redacted>`. Messages describe its structure only: path, kind and size.
 *
 * @internal
 */
import * as Inspectable from "effect/Inspectable"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as AST from "effect/SchemaAST"
import * as Read from "./read.js"

/**
 * A problem with a value. Its message must not quote the value, since it is shown as it is.
 *
 * @internal
 */
export class Problem extends Error {}

/**
 * Wraps an excerpt in a `Redacted`, if it is not one already.
 *
 * @internal
 */
export const of = (value: unknown): Redacted.Redacted<unknown> =>
  Redacted.isRedacted(value) ? value : Redacted.make(value)

/**
 * Describes the kind and size of a value without quoting it, as in `a string of 12 characters`.
 *
 * @internal
 */
export const kindOf = (value: unknown): string =>
  value === undefined
    ? "nothing"
    : value === null
    ? "null"
    : typeof value === "string"
    ? `a string of ${value.length} characters`
    : Array.isArray(value)
    ? `an array of ${value.length}`
    : ArrayBuffer.isView(value)
    ? `${value.byteLength} bytes`
    : typeof value === "object"
    ? "an object"
    : `a ${typeof value}`

/** The most characters of the description of a schema failure. */
const maxWords = 1_000

/** The most characters of the text of an expected type: a schema without a name prints its whole structure. */
const maxExpected = 200

const expected = (ast: { toString(): string }): string => {
  const text = String(ast)
  return text.length > maxExpected ? `${text.slice(0, maxExpected)}...` : text
}

/** Returns whether a key is a name from the schema or an index, and not a key of the value, which may be a secret. */
const isDeclared = (ast: AST.AST | undefined, key: PropertyKey): boolean =>
  typeof key === "number" ||
  (ast?._tag === "TypeLiteral" && ast.propertySignatures.some(({ name }) => name === key))

type Leaf = readonly [path: string, problem: string]

const leaves = (issue: ParseResult.ParseIssue, path: string, within?: AST.AST): ReadonlyArray<Leaf> => {
  switch (issue._tag) {
    case "Pointer": {
      const keys: ReadonlyArray<PropertyKey> = Array.isArray(issue.path) ? issue.path : [issue.path as PropertyKey]
      const names = keys.map((key) => isDeclared(within, key) ? String(key) : "<key>")
      return leaves(issue.issue, [path, ...names].filter((name) => name !== "").join("."), within)
    }
    case "Composite": {
      const { ast, issues } = issue
      const all = Array.isArray(issues)
        ? issues as ReadonlyArray<ParseResult.ParseIssue>
        : [issues as ParseResult.ParseIssue]
      return all.flatMap((one) => leaves(one, path, ast))
    }
    case "Refinement":
      return issue.kind === "From"
        ? leaves(issue.issue, path, issue.ast)
        : [[path, `expected ${expected(issue.ast)}, got ${kindOf(issue.actual)}`]]
    case "Transformation":
      return leaves(issue.issue, path, issue.ast)
    case "Type":
      return [[path, `expected ${expected(issue.ast)}, got ${kindOf(issue.actual)}`]]
    case "Missing":
      return [[path, `expected ${expected(issue.ast.type)}, got nothing`]]
    case "Unexpected":
      return [[path, "expected no such field"]]
    case "Forbidden":
      return [[path, "cannot be done at once"]]
  }
}

/** Describes what a schema found, without the values and without the messages of filters, which may quote values. */
const structureOf = ({ issue }: ParseResult.ParseError): string => {
  const problems = new Set(
    leaves(issue, "").map(([path, problem]) => path === "" ? problem : `at ${path} ${problem}`)
  )
  const words = Array.from(problems).join("; ")
  return words.length > maxWords ? `${words.slice(0, maxWords)}...` : words
}

/** The beginnings of messages of `JSON.stringify`, which quote no value. */
const ofJson: ReadonlyArray<RegExp> = [
  /^Converting circular structure to JSON/,
  /^Do not know how to serialize a BigInt/
]

/** Returns the class name of a thrown value, or its kind when it has no usable name. */
const nameOf = (thrown: unknown): string => {
  const name = Read.text(thrown, "name")
  return name !== undefined && /^\w{1,60}$/.test(name) ? name : kindOf(thrown)
}

/**
 * Describes a failure to encode or decode a value without quoting the value. Returns the description as `words`, and
 * the failure as `cause`, in a `Redacted` where it may quote the value.
 *
 * - `known`: patterns for the beginnings of messages of other libraries that quote nothing. The matched part is used as
 *   the description.
 *
 * @internal
 */
export const explain = (
  failure: unknown,
  known: ReadonlyArray<RegExp> = []
): { readonly words: string; readonly cause: unknown } => {
  if (typeof failure === "string") {
    return { words: failure, cause: failure }
  }
  if (failure instanceof Problem) {
    return { words: failure.message, cause: failure }
  }
  if (ParseResult.isParseError(failure)) {
    return { words: structureOf(failure), cause: of(failure) }
  }
  const message = Read.text(failure, "message") ?? ""
  const words = [...ofJson, ...known].flatMap((pattern) => pattern.exec(message)?.[0] ?? [])[0]
  return { words: words ?? nameOf(failure), cause: of(failure) }
}

/** The most links of a chain of causes that are followed. */
const maxCauses = 16

/** The most characters of an excerpt that are shown. */
const maxShown = 4_000

/** Converts a value to text. */
const textOf = (value: unknown): string =>
  (Read.attempt(() =>
    value instanceof Error ? `${value.name}: ${value.message}` : Inspectable.toStringUnknown(value)
  ) ?? "what cannot be shown").slice(0, maxShown)

/**
 * Returns the excerpts in the chain of causes of a failure, as text.
 *
 * @internal
 */
export const shownOf = (failure: unknown): ReadonlyArray<string> => {
  const texts: Array<string> = []
  let link = failure
  for (let i = 0; i < maxCauses && Predicate.isObject(link); i++) {
    if (Redacted.isRedacted(link)) {
      const excerpt: unknown = Redacted.value(link)
      texts.push(textOf(excerpt))
      link = excerpt
    }
    link = Read.property(link, "cause")
  }
  return texts
}
