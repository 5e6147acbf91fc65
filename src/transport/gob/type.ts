/**
 * Returns the type of Go that a schema stands for.
 *
 * @internal
 */
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import * as Result from "../../internal/result.js"
import { fail } from "./bytes.js"

/** @internal */
export type Basic = "bool" | "int" | "int64" | "uint" | "uint64" | "float" | "complex" | "string" | "bytes"

/** @internal */
export interface Field {
  readonly name: string
  readonly type: GobType
}

/**
 * A type of Go. `optional` is a pointer, and `absent` the value that stands for nil. `external` is a type that encodes
 * itself as bytes.
 *
 * @internal
 */
export type GobType =
  | { readonly kind: Basic }
  | { readonly kind: "slice"; readonly item: () => GobType }
  | { readonly kind: "array"; readonly length: number; readonly item: () => GobType }
  | { readonly kind: "map"; readonly key: () => GobType; readonly value: () => GobType; readonly record: boolean }
  | { readonly kind: "struct"; readonly name: string; readonly fields: () => ReadonlyArray<Field> }
  | { readonly kind: "optional"; readonly of: () => GobType; readonly absent: null | undefined }
  | { readonly kind: "interface"; readonly types: ReadonlyMap<string, () => GobType> }
  | { readonly kind: "external"; readonly by: "gob" | "binary"; readonly name: string }

/** @internal */
export const Annotation = Symbol.for("effect-rpc-retry/Gob/type")

/** Annotates a schema with its type. @internal */
export const annotated = <A, I, R>(schema: Schema.Schema<A, I, R>, type: GobType): Schema.Schema<A, I, R> =>
  schema.annotations({ [Annotation]: type })

/** Returns the type that a schema is annotated with. @internal */
export const annotationOf = (ast: AST.AST): GobType | undefined => ast.annotations[Annotation] as GobType | undefined

const known = new WeakMap<AST.AST, GobType>()

/**
 * Returns the type of the encoded side of a schema. The same schema gives the same type, so that recursion ends.
 *
 * @internal
 */
export const of = (ast: AST.AST): GobType => {
  const type = known.get(ast) ?? annotationOf(ast) ?? read(ast)
  known.set(ast, type)
  return type
}

/** The most types that a stream may define. They are kept as long as the stream. @internal */
export const maxTypes = 10_000

/** Returns the type that pointers lead to: gob does not send pointers. @internal */
export const pointed = (type: GobType): GobType => type.kind === "optional" ? pointed(type.of()) : type

const checked = new WeakSet<GobType>()

/**
 * Returns the type of a schema, and checks all its parts: a part that has no type of Go is found before anything is
 * written.
 *
 * @internal
 */
export const check = (ast: AST.AST): GobType => {
  const type = of(ast)
  const visit = (type: GobType): void => {
    if (!checked.has(type)) {
      checked.add(type)
      Result.getOrThrowWith(
        Result.try(() => partsOf(type).forEach(visit)),
        (problem) => {
          checked.delete(type)
          return problem
        }
      )
    }
  }
  visit(type)
  return type
}

const partsOf = (type: GobType): ReadonlyArray<GobType> => {
  switch (type.kind) {
    case "slice":
    case "array":
      return [type.item()]
    case "map":
      return [type.key(), type.value()]
    case "struct":
      return type.fields().map((field) => field.type)
    case "optional":
      return [type.of()]
    case "interface":
      return Array.from(type.types.values(), (type) => type())
    default:
      return []
  }
}

const nameOf = (ast: AST.AST): string => {
  const name = ast.annotations[AST.IdentifierAnnotationId]
  return typeof name === "string" ? name : ""
}

const bytes = (Schema.Uint8ArrayFromSelf.ast as AST.Declaration).decodeUnknown

/** Returns whether a schema is that of bytes. It may have been annotated or branded. @internal */
export const isBytes = (ast: AST.AST): boolean => ast._tag === "Declaration" && ast.decodeUnknown === bytes

const read = (ast: AST.AST): GobType => {
  switch (ast._tag) {
    case "BooleanKeyword":
      return { kind: "bool" }
    case "StringKeyword":
    case "TemplateLiteral":
      return { kind: "string" }
    case "Literal":
      return typeof ast.literal === "string" ? { kind: "string" } : unsupported(ast)
    case "Refinement":
    case "Transformation":
      return of(ast.from)
    case "Suspend":
      return of(ast.f())
    case "TypeLiteral":
      return struct(ast)
    case "TupleType":
      return list(ast)
    case "Union":
      return union(ast)
    case "Enums":
      return ast.enums.every(([, value]) => typeof value === "string") ? { kind: "string" } : unsupported(ast)
    case "Declaration":
      return isBytes(ast) ? { kind: "bytes" } : unsupported(ast)
    default:
      return unsupported(ast)
  }
}

const unsupported = (ast: AST.AST): never =>
  fail(
    ast._tag === "NumberKeyword" || ast._tag === "BigIntKeyword"
      ? `${ast} can be several types of Go: use Gob.Int, Gob.Uint, Gob.Float, Gob.Int64 or Gob.Uint64`
      : `${ast} has no type in Go`
  )

const struct = (ast: AST.TypeLiteral): GobType => {
  const [index] = ast.indexSignatures
  if (index !== undefined) {
    return ast.propertySignatures.length === 0 && ast.indexSignatures.length === 1
      ? { kind: "map", key: () => of(index.parameter), value: () => of(index.type), record: true }
      : unsupported(ast)
  }
  return {
    kind: "struct",
    name: nameOf(ast),
    fields: once(() =>
      ast.propertySignatures.map(({ isOptional, name, type }) => {
        const own = of(isOptional ? withoutUndefined(type) : type)
        return {
          name: typeof name === "string" ? name : unsupported(ast),
          type: isOptional && own.kind !== "optional" ? { kind: "optional", of: () => own, absent: undefined } : own
        }
      })
    )
  }
}

const withoutUndefined = (ast: AST.AST): AST.AST =>
  ast._tag === "Union" && ast.annotations[Annotation] === undefined
    ? AST.Union.make(ast.types.filter((type) => type._tag !== "UndefinedKeyword"))
    : ast

const list = (ast: AST.TupleType): GobType => {
  const [rest, ...more] = ast.rest
  const [first, ...others] = ast.elements
  const isUniform = others.every((element) => element.type === first?.type) &&
    ast.elements.every((element) => !element.isOptional)
  if (rest !== undefined && more.length === 0 && isUniform && (first === undefined || first.type === rest.type)) {
    return { kind: "slice", item: once(() => of(rest.type)) }
  }
  return rest === undefined && first !== undefined && isUniform
    ? { kind: "array", length: ast.elements.length, item: once(() => of(first.type)) }
    : unsupported(ast)
}

const isText = (ast: AST.AST): boolean =>
  ast._tag === "StringKeyword" || ast._tag === "TemplateLiteral" ||
  (ast._tag === "Literal" && typeof ast.literal === "string")

const union = (ast: AST.Union): GobType => {
  const isNull = (type: AST.AST) => type._tag === "Literal" && type.literal === null
  const present = ast.types.filter((type) => type._tag !== "UndefinedKeyword" && !isNull(type))
  const [only, ...others] = present
  const one: (() => GobType) | undefined = only !== undefined && others.length === 0
    ? once(() => of(only))
    : present.every(isText) && present.length > 0
    ? () => text
    : undefined
  if (one === undefined) {
    return unsupported(ast)
  }
  return present.length === ast.types.length
    ? one()
    : { kind: "optional", of: one, absent: ast.types.some(isNull) ? null : undefined }
}

const text: GobType = { kind: "string" }

/** @internal */
export const once = <A>(make: () => A): () => A => {
  let made: { readonly value: A } | undefined
  return () => (made ??= { value: make() }).value
}
