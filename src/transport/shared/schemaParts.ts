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

/** The options that Schema hands down to all parts of a schema. */
interface Options extends AST.ParseOptions {
  /** Whether other work may run between parts. */
  readonly hasTurns?: boolean
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
    if (options.hasTurns === true && --left < 0) {
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

/**
 * Returns the parser of Schema. It hands all options down, also whether effects are allowed. It is made when it is first
 * used: Schema looks into the members of a union, also into one that contains this part and is being rewritten.
 */
const parserOf = (ast: AST.AST): Parse => {
  let parse: Parse | undefined
  return (input, options) => (parse ??= Result.decodeUnknownIssue(Schema.make<unknown, unknown>(ast)))(input, options)
}

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

type Rewrite = (ast: AST.AST) => AST.AST

const element = ({ annotations, isOptional, type }: AST.OptionalType, inParts: Rewrite) =>
  new AST.OptionalType(inParts(type), isOptional, annotations)

const tuple = (ast: AST.TupleType, inParts: Rewrite): AST.AST => {
  const [only, ...others] = ast.rest
  return only !== undefined && others.length === 0 && ast.elements.length === 0
    ? list(ast, inParts(only.type))
    : new AST.TupleType(
      ast.elements.map((one) => element(one, inParts)),
      ast.rest.map(({ annotations, type }) => new AST.Type(inParts(type), annotations)),
      ast.isReadonly,
      ast.annotations
    )
}

const typeLiteral = (ast: AST.TypeLiteral, inParts: Rewrite): AST.AST => {
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

/** A filter of another schema. It is shown as the original, which names filters below it. */
class Filtered extends AST.Refinement {
  constructor(private readonly original: AST.Refinement, from: AST.AST) {
    super(from, original.filter, original.annotations)
  }

  override toString(): string {
    return String(this.original)
  }
}

/** In a union, `null` and `undefined` may be of another member. */
const plain = (ast: AST.AST): AST.AST => {
  const parse = parserOf(ast)
  return new Replaced(
    ast,
    (input, options) => Predicate.isNullable(input) ? parse(input, options) : Result.succeed(input)
  )
}

const rewritten = (ast: AST.AST, inParts: Rewrite, isPlain: (ast: AST.AST) => boolean): AST.AST => {
  if (isPlain(ast)) {
    return plain(ast)
  }
  switch (ast._tag) {
    case "TupleType":
      return tuple(ast, inParts)
    case "TypeLiteral":
      return typeLiteral(ast, inParts)
    case "Union":
      return AST.Union.make(ast.types.map(inParts), ast.annotations)
    case "Refinement":
      return new Filtered(ast, inParts(ast.from))
    case "Transformation":
      // what a transformation makes was checked by nobody yet
      return new AST.Transformation(inParts(ast.from), unchecked(ast.to), ast.transformation, ast.annotations)
    case "Suspend":
      return new AST.Suspend(() => inParts(ast.f()), ast.annotations)
    default:
      return ast
  }
}

const rewriteWith = (isPlain: (ast: AST.AST) => boolean): Rewrite => {
  const known = new WeakMap<AST.AST, AST.AST>()
  const inParts: Rewrite = (ast) => {
    const made = known.get(ast) ?? rewritten(ast, inParts, isPlain)
    known.set(ast, made)
    return made
  }
  return inParts
}

/** Makes the decoder of a schema once. */
const onceEach = <Decoder extends (schema: never) => unknown>(make: Decoder): Decoder => {
  const made = new WeakMap<AST.AST, unknown>()
  const decoder = (schema: { readonly ast: AST.AST }): unknown => {
    const known = made.get(schema.ast) ?? make(schema as never)
    made.set(schema.ast, known)
    return known
  }
  return decoder as unknown as Decoder
}

const unchecked = rewriteWith(() => false)

/**
 * Makes decoders for input that was checked before: a schema for which `isPlain` returns `true` is not applied, because
 * it would return its input as it is.
 *
 * All take a fraction of the memory that Schema takes: for each item of a list it keeps a pair, which it sorts in the end.
 *
 * - `inParts`: decodes as `Schema.decodeUnknown` does, in parts. Lists, and the records and structs in them, are
 *   interrupted by other work; a transformation of a whole list, such as that to a `HashMap`, is not. Of a struct or a
 *   tuple with several faults another one than the first may be told, where a part ends within the first.
 * - `inOne`: decodes as `Schema.decodeUnknown` does, without other work in between.
 * - `atOnce`: decodes as `Schema.decodeUnknownSync` does.
 *
 * @internal
 */
export const decoders = (isPlain: (ast: AST.AST) => boolean) => {
  const rewrite = rewriteWith(isPlain)
  const rewrittenOf = <A, I, R>({ ast }: Schema.Schema<A, I, R>) => Schema.make<A, I, R>(rewrite(ast))
  const hasTurns: Options = { hasTurns: true }
  return {
    inParts: onceEach(<A, I, R>(schema: Schema.Schema<A, I, R>) => Schema.decodeUnknown(rewrittenOf(schema), hasTurns)),
    inOne: onceEach(<A, I, R>(schema: Schema.Schema<A, I, R>) => Schema.decodeUnknown(rewrittenOf(schema))),
    atOnce: onceEach(<A, I>(schema: Schema.Schema<A, I>) => Schema.decodeUnknownSync(rewrittenOf(schema)))
  }
}

/** Decodes in parts, as {@link decoders} do, what was not checked. @internal */
export const { inParts: decodeInParts } = decoders(() => false)
