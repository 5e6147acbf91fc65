/**
 * Excerpts of answers and arguments: they do not stand in messages, but in the `cause`, as a `Redacted` that prints as
 * `<redacted>` wherever it goes. What a message says of them is their structure: where, of which kind, how large.
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
 * What is wrong with a value, in words that quote nothing of it.
 *
 * @internal
 */
export class Problem extends Error {}

/**
 * What is to be seen only by who asks for it.
 *
 * @internal
 */
export const of = (value: unknown): Redacted.Redacted<unknown> =>
  Redacted.isRedacted(value) ? value : Redacted.make(value)

/**
 * The kind of a value and its size, without the value.
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

/** As much is told of what a schema finds wrong. */
const maxWords = 1_000

/** Of a schema that has no name. */
const maxExpected = 200

const expected = (ast: { toString(): string }): string => {
  const text = String(ast)
  return text.length > maxExpected ? `${text.slice(0, maxExpected)}...` : text
}

/** The names that a schema gives its fields: others come from the value. */
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

/** What a schema has found, without the values and without the words of filters, which may quote them. */
const structureOf = ({ issue }: ParseResult.ParseError): string => {
  const problems = new Set(
    leaves(issue, "").map(([path, problem]) => path === "" ? problem : `at ${path} ${problem}`)
  )
  const words = Array.from(problems).join("; ")
  return words.length > maxWords ? `${words.slice(0, maxWords)}...` : words
}

/** Words of `JSON.stringify`. */
const ofJson: ReadonlyArray<RegExp> = [
  /^Converting circular structure to JSON/,
  /^Do not know how to serialize a BigInt/
]

/** What was thrown, by its class. */
const nameOf = (thrown: unknown): string => {
  const name = Read.text(thrown, "name")
  return name !== undefined && /^\w{1,60}$/.test(name) ? name : kindOf(thrown)
}

/**
 * A failure to read or to write a value: in words without the value, and the failure itself, hidden where it may quote it.
 *
 * - `known`: the beginnings of messages of others that quote nothing: of these the words that match are told.
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

/** No real chain of causes is longer. */
const maxCauses = 16

/** As much of an excerpt is shown to who asks for it. */
const maxShown = 4_000

/** A value as text. */
const textOf = (value: unknown): string =>
  (Read.attempt(() =>
    value instanceof Error ? `${value.name}: ${value.message}` : Inspectable.toStringUnknown(value)
  ) ?? "what cannot be shown").slice(0, maxShown)

/**
 * The excerpts in the causes of a failure, as text.
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
