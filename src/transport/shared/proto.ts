/**
 * Finds values with the key `__proto__`, which `Schema.Record` loses: it assigns the key, and that sets the prototype
 * of the object. Such a value is refused where its schema has a record.
 *
 * @internal
 */
import * as AST from "effect/SchemaAST"

/** @internal */
export const problem = "has the key \"__proto__\", which Schema.Record does not hold"

const partsOf = (ast: AST.AST): ReadonlyArray<AST.AST> => {
  switch (ast._tag) {
    case "TypeLiteral":
      return ast.propertySignatures.map(({ type }) => type)
    case "TupleType":
      return [...ast.elements, ...ast.rest].map(({ type }) => type)
    case "Union":
      return ast.types
    case "Refinement":
      return [ast.from]
    case "Transformation":
      return [ast.from, ast.to]
    case "Suspend":
      return [ast.f()]
    case "Declaration":
      return ast.typeParameters
    default:
      return []
  }
}

const known = new WeakMap<AST.AST, boolean>()

const look = (ast: AST.AST): boolean => {
  const seen = new Set([ast])
  for (const one of seen) {
    if (AST.isTypeLiteral(one) && one.indexSignatures.length > 0) {
      return true
    }
    partsOf(one).forEach((part) => seen.add(part))
  }
  return false
}

/** Returns whether a schema contains a record. */
const hasRecord = (ast: AST.AST): boolean => {
  const has = known.get(ast) ?? look(ast)
  known.set(ast, has)
  return has
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const hasKey = (value: unknown): boolean => {
  const seen = new Set<object>()
  const open: Array<unknown> = [value]
  while (open.length > 0) {
    const one = open.pop()
    if (typeof one !== "object" || one === null || seen.has(one)) {
      continue
    }
    seen.add(one)
    if (Array.isArray(one)) {
      one.forEach((item) => open.push(item))
    } else if (one instanceof Map) {
      one.forEach((item, key) => open.push(item, key))
    } else if (isPlain(one)) {
      if (Object.hasOwn(one, "__proto__")) {
        return true
      }
      Object.values(one).forEach((item) => open.push(item))
    }
  }
  return false
}

/** Returns whether a record of the schema could lose a key of the value. @internal */
export const isLost = (ast: AST.AST, value: unknown): boolean => hasRecord(ast) && hasKey(value)
