/**
 * Finds schemas that need not be applied: those that leave every value of their type as it is. Most schemas of Go's
 * types are such, and applying them costs more than the codec.
 *
 * @internal
 */
import * as Option from "effect/Option"
import * as AST from "effect/SchemaAST"
import * as Proto from "../shared/proto.js"
import { decoders } from "../shared/schemaParts.js"
import { maxDepth } from "./encoder.js"
import * as Type from "./type.js"

/** Returns whether the options of Schema or a fallback change what a part of a schema makes. */
const isChanged = (ast: AST.AST): boolean =>
  Option.isSome(AST.getDecodingFallbackAnnotation(ast)) || Option.isSome(AST.getParseOptionsAnnotation(ast))

/** Returns whether `undefined` is among the values. */
const hasUndefined = (ast: AST.AST): boolean =>
  ast._tag === "Union" ? ast.types.some(hasUndefined) : ast._tag === "UndefinedKeyword"

const isSuspended = (ast: AST.AST): boolean => ast._tag === "Suspend"

/** A property that is there, but `undefined`, is left out by the codec. */
const isKept = ({ isOptional, name, type }: AST.PropertySignature): boolean =>
  typeof name === "string" && name !== "__proto__" && (isOptional || !(hasUndefined(type) || isSuspended(type)))

const fieldsOf = (ast: AST.TypeLiteral): ReadonlyArray<AST.AST> | undefined => {
  const [index, ...others] = ast.indexSignatures
  if (index === undefined) {
    return ast.propertySignatures.every(isKept) ? ast.propertySignatures.map(({ type }) => type) : undefined
  }
  return ast.propertySignatures.length === 0 && others.length === 0 && AST.isStringKeyword(index.parameter)
    ? [index.type]
    : undefined
}

const itemsOf = ({ elements, rest }: AST.TupleType): ReadonlyArray<AST.AST> | undefined => {
  const [only, ...others] = rest
  if (only !== undefined) {
    return elements.length === 0 && others.length === 0 ? [only.type] : undefined
  }
  const first = elements[0]?.type
  return first !== undefined && elements.every(({ isOptional, type }) => type === first && !isOptional)
    ? [first]
    : undefined
}

const isAbsent = (ast: AST.AST): boolean =>
  ast._tag === "UndefinedKeyword" || (AST.isLiteral(ast) && ast.literal === null)

const presentOf = (ast: AST.Union): ReadonlyArray<AST.AST> | undefined => {
  const [only, ...others] = ast.types.filter((type) => !isAbsent(type))
  return only !== undefined && others.length === 0 ? [only] : undefined
}

/** Returns the parts of a schema that is plain if these are; `undefined` when it is not plain. */
const partsOf = (ast: AST.AST): ReadonlyArray<AST.AST> | undefined => {
  if (isChanged(ast)) {
    return undefined
  }
  const type = Type.annotationOf(ast)
  switch (type?.kind) {
    case undefined:
      break
    case "map":
      return AST.isDeclaration(ast) ? ast.typeParameters : undefined
    case "array":
      return AST.isRefinement(ast) ? [ast.from] : undefined
    case "interface":
      return undefined
    default:
      return []
  }
  switch (ast._tag) {
    case "BooleanKeyword":
    case "StringKeyword":
      return []
    case "Declaration":
      return Type.isBytes(ast) ? [] : undefined
    case "TupleType":
      return itemsOf(ast)
    case "TypeLiteral":
      return fieldsOf(ast)
    case "Union":
      return presentOf(ast)
    case "Suspend":
      return [ast.f()]
    default:
      return undefined
  }
}

const look = (ast: AST.AST): boolean => {
  const seen = new Set([ast])
  for (const one of seen) {
    const parts = partsOf(one)
    if (parts === undefined) {
      return false
    }
    parts.forEach((part) => seen.add(part))
  }
  return true
}

const known = new WeakMap<AST.AST, boolean>()

/** Returns whether a schema decodes each value that the codec makes of its type into an equal one. @internal */
export const isPlain = (ast: AST.AST): boolean => {
  const is = known.get(ast) ?? look(ast)
  known.set(ast, is)
  return is
}

/** Decode what the codec made of the type of a schema. Plain parts of the schema are not applied. @internal */
export const { atOnce: decodeAtOnce, inOne: decodeInOne, inParts: decodeInParts } = decoders(isPlain)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const fitsField = ({ name, type }: Type.Field, value: Readonly<Record<string, unknown>>, depth: number): boolean => {
  const field = value[name]
  if (type.kind !== "optional") {
    return fits(type, field, depth)
  }
  if (!Object.hasOwn(value, name)) {
    return field === undefined && type.absent === undefined
  }
  return (field === null && type.absent === null) || fits(type.of(), field, depth)
}

/** Returns whether a plain schema of the type takes a value. It may be strict: the schema itself is asked then. */
const fits = (type: Type.GobType, value: unknown, depth: number): boolean => {
  switch (type.kind) {
    case "bool":
      return typeof value === "boolean"
    case "int":
      return Number.isSafeInteger(value)
    case "uint":
      return Number.isSafeInteger(value) && value as number >= 0
    case "int64":
      return typeof value === "bigint" && BigInt.asIntN(64, value) === value
    case "uint64":
      return typeof value === "bigint" && BigInt.asUintN(64, value) === value
    case "float":
      return typeof value === "number"
    case "string":
      return typeof value === "string"
    case "bytes":
    case "external":
      return value instanceof Uint8Array
    case "complex":
      return isObject(value) && typeof value["re"] === "number" && typeof value["im"] === "number"
    default:
      // a value that contains itself has no end
      return depth < maxDepth && fitsWhole(type, value, depth + 1)
  }
}

const fitsWhole = (
  type: Exclude<Type.GobType, { readonly kind: Type.Basic }>,
  value: unknown,
  depth: number
): boolean => {
  switch (type.kind) {
    case "slice":
      return Array.isArray(value) && fitsItems(type.item(), value, depth)
    case "array":
      return Array.isArray(value) && value.length === type.length && fitsItems(type.item(), value, depth)
    case "map":
      return type.record
        ? isObject(value) && fitsItems(type.value(), Object.values(value), depth)
        : value instanceof Map && fitsItems(type.key(), Array.from(value.keys()), depth) &&
          fitsItems(type.value(), Array.from(value.values()), depth)
    case "struct":
      return isObject(value) && fitsFields(type.fields(), value, depth)
    case "optional":
      return fits(type.of(), value, depth)
    default:
      return false
  }
}

const fitsItems = (item: Type.GobType, values: ReadonlyArray<unknown>, depth: number): boolean => {
  // holes too, which `every` passes over
  for (let i = 0; i < values.length; i++) {
    if (!fits(item, values[i], depth)) {
      return false
    }
  }
  return true
}

const fitsFields = (
  fields: ReadonlyArray<Type.Field>,
  value: Readonly<Record<string, unknown>>,
  depth: number
): boolean => {
  for (let i = 0; i < fields.length; i++) {
    if (!fitsField(fields[i]!, value, depth)) {
      return false
    }
  }
  return true
}

/** Returns whether a value can be encoded as it is: its schema is plain and takes it. @internal */
export const isEncoded = (ast: AST.AST, value: unknown): boolean =>
  isPlain(ast) && !Proto.isLost(ast, value) && fits(Type.of(ast), value, 0)
