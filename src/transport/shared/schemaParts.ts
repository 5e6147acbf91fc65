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

type ParseItem = (i: number) => Parsed

/**
 * Decodes items one after the other; `give` gets each with its index. Completes synchronously when the part has room
 * for all.
 */
const items = (count: number, parse: ParseItem, give: (i: number, item: unknown) => void, from = 0): Parsed => {
  for (let i = from; i < count; i++) {
    if (--left < 0) {
      return Effect.flatMap(nextPart, () => items(count, parse, give, i))
    }
    const item = parse(i)
    if (!Result.isResult(item)) {
      return Effect.flatMap(item, (item) => {
        give(i, item)
        return items(count, parse, give, i + 1)
      })
    }
    if (Result.isFailure(item)) {
      return item as Parsed
    }
    give(i, item.right)
  }
  return Result.void
}

/** Replaces what Schema makes of the `original` by a parser that decodes in parts. */
const declare = (
  original: AST.AST,
  parse: (input: unknown, options: AST.ParseOptions) => Parsed
): AST.AST => {
  const decode = () => parse
  return new AST.Declaration([], decode, decode, original.annotations)
}

const within = (ast: AST.AST, input: unknown, key: PropertyKey, parsed: Parsed): Parsed =>
  ParseResult.mapError(
    parsed,
    (issue) => new ParseResult.Composite(ast, input, new ParseResult.Pointer(key, input, issue))
  )

const parserOf = (ast: AST.AST) => ParseResult.decodeUnknown(Schema.make<unknown, unknown, unknown>(ast))

const list = (ast: AST.TupleType, item: AST.AST): AST.AST => {
  const parse = parserOf(item)
  return declare(ast, (input, options) => {
    if (!Array.isArray(input)) {
      return Result.fail(new ParseResult.Type(ast, input))
    }
    const output = Array<unknown>(input.length)
    const parsed = items(
      input.length,
      (i) => within(ast, input, i, parse(input[i], options)),
      (i, item) => {
        output[i] = item
      }
    )
    return ParseResult.map(parsed, () => output)
  })
}

const record = (ast: AST.TypeLiteral, item: AST.AST): AST.AST => {
  const parse = parserOf(item)
  return declare(ast, (input, options) => {
    if (!Predicate.isRecord(input)) {
      return Result.fail(new ParseResult.Type(ast, input))
    }
    const output: Record<string, unknown> = {}
    const keys = Object.keys(input)
    const parsed = items(
      keys.length,
      (i) => within(ast, input, keys[i]!, parse(input[keys[i]!], options)),
      (i, item) => {
        output[keys[i]!] = item
      }
    )
    return ParseResult.map(parsed, () => output)
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
