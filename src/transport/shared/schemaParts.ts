/**
 * Decodes large values by a schema in parts, and lets other work of the event loop run between them. A schema decodes a
 * list in one go, which would block the event loop for a large answer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import * as Result from "../../internal/result.js"

/** Lets all other work of the event loop run. A yield of a fiber lets only other fibers run. @internal */
export const giveWay: Effect.Effect<void> = Effect.sleep(0)

/**
 * The number of items of lists and records that are decoded before other work may run, by all calls together: a few
 * milliseconds.
 *
 * @internal
 */
export const perPart = 2_000

let left = perPart

const nextPart = Effect.map(giveWay, () => {
  left = perPart
})

type Parsed = Effect.Effect<unknown, ParseResult.ParseIssue, unknown>

/** The options that Schema hands down: without `isEffectAllowed` it decodes synchronously, and so no turn is made. */
interface Options extends AST.ParseOptions {
  readonly isEffectAllowed?: boolean
}

type Parse = (input: unknown, options: Options) => Parsed

/** A list or a record that is being decoded. */
interface Whole {
  readonly ast: AST.AST
  readonly input: Readonly<Record<PropertyKey, unknown>>
  /** The keys of a record; `undefined` for a list. */
  readonly keys: ReadonlyArray<string> | undefined
  readonly count: number
  readonly parse: Parse
  readonly options: Options
  readonly output: Array<unknown> | Record<PropertyKey, unknown>
  /** What was found so far: more than one with `errors: "all"`. */
  readonly issues: Array<ParseResult.ParseIssue>
}

const refused = ({ ast, input, issues, options, output }: Whole): Parsed =>
  Result.fail(
    new ParseResult.Composite(
      ast,
      input,
      options.errors === "all" ? issues as [ParseResult.ParseIssue] : issues[0]!,
      // without the holes of the items that were not decoded
      Array.isArray(output) ? output.filter(() => true) : output
    )
  )

/** Keeps the issue of an item. Returns whether the next items are still decoded. */
const isGoingOn = ({ input, issues, options }: Whole, key: PropertyKey, issue: ParseResult.ParseIssue): boolean => {
  issues.push(new ParseResult.Pointer(key, input, issue))
  return options.errors === "all"
}

/** Decodes items one after the other. Completes synchronously when the part has room for all. */
const items = (whole: Whole, from = 0): Parsed => {
  const { count, input, issues, keys, options, parse } = whole
  const output = whole.output as Record<PropertyKey, unknown>
  for (let i = from; i < count; i++) {
    if (options.isEffectAllowed === true && --left < 0) {
      return Effect.flatMap(nextPart, () => items(whole, i))
    }
    const key = keys === undefined ? i : keys[i]!
    const item = parse(input[key], options)
    if (!Result.isResult(item)) {
      return Effect.matchEffect(item, {
        onFailure: (issue) => isGoingOn(whole, key, issue) ? items(whole, i + 1) : refused(whole),
        onSuccess: (item) => {
          output[key] = item
          return items(whole, i + 1)
        }
      })
    }
    if (Result.isSuccess(item)) {
      output[key] = Result.successOf(item)
    } else if (!isGoingOn(whole, key, Result.failureOf(item) as ParseResult.ParseIssue)) {
      return refused(whole)
    }
  }
  return issues.length > 0 ? refused(whole) : Result.succeed(output)
}

/** Replaces what Schema makes of the `original` by a parser that decodes in parts. It is shown as the original. */
class Replaced extends AST.Declaration {
  constructor(private readonly original: AST.AST, parse: Parse) {
    const decode = () => parse
    super([], decode, decode, original.annotations)
  }

  override toString(): string {
    return String(this.original)
  }
}

/** Returns the parser of Schema. It hands all options down, also whether effects are allowed. */
const parserOf = (ast: AST.AST) =>
  Result.decodeUnknownIssue(Schema.make<unknown, unknown>(ast)) as (input: unknown, options: Options) => Parsed

const list = (ast: AST.TupleType, item: AST.AST): AST.AST => {
  const parse = parserOf(item)
  return new Replaced(ast, (input, options) =>
    Array.isArray(input)
      ? items({
        ast,
        input: input as unknown as Whole["input"],
        keys: undefined,
        count: input.length,
        parse,
        options,
        output: Array<unknown>(input.length),
        issues: []
      })
      : Result.fail(new ParseResult.Type(ast, input)))
}

const record = (ast: AST.TypeLiteral, item: AST.AST): AST.AST => {
  const parse = parserOf(item)
  return new Replaced(ast, (input, options) => {
    if (!Predicate.isRecord(input)) {
      return Result.fail(new ParseResult.Type(ast, input))
    }
    const keys = Object.keys(input)
    return items({ ast, input, keys, count: keys.length, parse, options, output: {}, issues: [] })
  })
}

const known = new WeakMap<AST.AST, AST.AST>()

const inParts = (ast: AST.AST): AST.AST => {
  const made = known.get(ast) ?? make(ast)
  known.set(ast, made)
  return made
}

const element = ({ annotations, isOptional, type }: AST.OptionalType) =>
  new AST.OptionalType(inParts(type), isOptional, annotations)

const rest = ({ annotations, type }: AST.Type) => new AST.Type(inParts(type), annotations)

const make = (ast: AST.AST): AST.AST => {
  switch (ast._tag) {
    case "TupleType": {
      const [only, ...others] = ast.rest
      return only !== undefined && others.length === 0 && ast.elements.length === 0
        ? list(ast, inParts(only.type))
        : new AST.TupleType(ast.elements.map(element), ast.rest.map(rest), ast.isReadonly, ast.annotations)
    }
    case "TypeLiteral": {
      const [only, ...others] = ast.indexSignatures
      if (
        only !== undefined && others.length === 0 && ast.propertySignatures.length === 0 &&
        AST.isStringKeyword(only.parameter)
      ) {
        return record(ast, inParts(only.type))
      }
      return new AST.TypeLiteral(
        ast.propertySignatures.map(({ annotations, isOptional, isReadonly, name, type }) =>
          new AST.PropertySignature(name, inParts(type), isOptional, isReadonly, annotations)
        ),
        ast.indexSignatures.map(({ isReadonly, parameter, type }) =>
          new AST.IndexSignature(parameter, inParts(type), isReadonly)
        ),
        ast.annotations
      )
    }
    case "Union":
      return AST.Union.make(ast.types.map(inParts), ast.annotations)
    case "Refinement":
      return new AST.Refinement(inParts(ast.from), ast.filter, ast.annotations)
    case "Transformation":
      return new AST.Transformation(inParts(ast.from), inParts(ast.to), ast.transformation, ast.annotations)
    case "Suspend":
      return new AST.Suspend(() => inParts(ast.f()), ast.annotations)
    default:
      return ast
  }
}

/**
 * Decodes by a schema as `Schema.decodeUnknown` does, in parts. Lists, and the records and structs in them, are
 * interrupted by other work; a transformation of a whole list, such as that to a `HashMap`, is not.
 *
 * @internal
 */
export const decodeInParts = <A, I, R>(schema: Schema.Schema<A, I, R>) =>
  Schema.decodeUnknown(Schema.make<A, I, R>(inParts(schema.ast)))

/**
 * Decodes by a schema as `Schema.decodeUnknownSync` does, with a fraction of the memory: for each item of a list Schema
 * keeps a pair, which it sorts in the end.
 *
 * @internal
 */
export const decodeAtOnce = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.decodeUnknownSync(Schema.make<A, I>(inParts(schema.ast)))
