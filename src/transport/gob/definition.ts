/**
 * Compares types by their definitions on a stream.
 *
 * @internal
 */
import { type GobType, pointed } from "./type.js"
import * as Wire from "./wire.js"

const definitions = new WeakMap<GobType, string>()

/** Returns the definition of a type as text: equal for types that are defined alike. @internal */
export const definitionOf = (type: GobType): string => {
  const known = definitions.get(type)
  if (known !== undefined) {
    return known
  }
  const definition = JSON.stringify(defined(type, new Map()))
  definitions.set(type, definition)
  return definition
}

/** Returns a definition in which a type that contains itself is a number. */
const defined = (whole: GobType, seen: Map<GobType, number>): unknown => {
  const type = pointed(whole)
  const number = seen.get(type)
  if (number !== undefined) {
    return `#${number}`
  }
  switch (type.kind) {
    case "slice":
      seen.set(type, seen.size)
      return [type.kind, defined(type.item(), seen)]
    case "array":
      seen.set(type, seen.size)
      return [type.kind, type.length, defined(type.item(), seen)]
    case "map":
      seen.set(type, seen.size)
      return [type.kind, defined(type.key(), seen), defined(type.value(), seen)]
    case "struct":
      seen.set(type, seen.size)
      return [type.kind, type.name, ...type.fields().map((field) => [field.name, defined(field.type, seen)])]
    case "external":
      return [type.kind, type.by, type.name]
    case "interface":
      return type.kind
    case "optional":
      return defined(type, seen)
    default:
      return Wire.basicIds[type.kind]
  }
}
