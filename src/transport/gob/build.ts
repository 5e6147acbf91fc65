/**
 * Makes JavaScript values of decoded ones, and charges the memory that each takes.
 *
 * @internal
 */
import { fail, type Reader } from "./bytes.js"
import { maxDepth } from "./encoder.js"
import type { Basic, GobType } from "./type.js"
import type * as Wire from "./wire.js"

/** @internal */
export type OfKind<Kind, Of> = Extract<Of, { readonly kind: Kind }>

/** A map that is being decoded. @internal */
export interface Entries {
  readonly reader: Reader
  readonly type: OfKind<"map", GobType> | undefined
  readonly wire: OfKind<"map", Wire.WireType>
  readonly depth: number
  left: number
  readonly out: Map<unknown, unknown> | Record<string, unknown>
}

/** A struct that is being decoded. @internal */
export interface Fields {
  readonly reader: Reader
  readonly fields: ReadonlyArray<{ readonly name: string; readonly type: GobType }>
  readonly wire: OfKind<"struct", Wire.WireType>
  readonly depth: number
  readonly read: Array<unknown>
  /** The last field that was received: its index in the stream, and in `fields`. */
  sent: number
  own: number
}

/**
 * Charges memory, in bytes, against the limit of an answer; throws a `Problem` when the limit is exceeded.
 *
 * @internal
 */
export type Charge = (memory: number) => void

/**
 * The memory of values, in bytes, measured with Node 20 on 64 bits. `slot` is one element of a list or member of an
 * object. An object keeps its first fields inside itself, more of them beside it, and many in a table.
 *
 * @internal
 */
export const cost = {
  slot: 8,
  list: 40,
  map: 192,
  mapEntry: 56,
  record: 64,
  recordEntry: 88,
  bytes: 216,
  text: 24,
  bigint: 24,
  complex: 80
}

/** @internal */
export const costOfObject = (fields: number): number =>
  fields <= 4 ? 64 : fields <= 12 ? 64 + 8 * fields : costOfTable(fields)

/** @internal */
export const costOfTable = (fields: number): number => 64 + 44 * fields

/** @internal */
export const put = (out: Map<unknown, unknown> | Record<string, unknown>, key: unknown, value: unknown): void => {
  if (out instanceof Map) {
    out.set(key, value)
  } else {
    out[key === "__proto__" ? fail(protoKey) : key as string] = value
  }
}

const protoKey = "has the key \"__proto__\", which Schema.Record does not hold: use Gob.map"

/** Defines a member as its own property: `__proto__` is a name like others in Go. @internal */
export const define = (value: Record<string, unknown>, name: string, field: unknown): void => {
  if (name === "__proto__") {
    Object.defineProperty(value, name, { value: field, enumerable: true, configurable: true, writable: true })
  } else {
    value[name] = field
  }
}

/** Stands for a field that was not sent. @internal */
export const notSent = Symbol("notSent")

const zeros = { bool: false, int: 0, int64: 0n, uint: 0, uint64: 0n, float: 0, string: "" }

/**
 * Makes the object of a struct. Its fields are always in the order of the schema, so that all values of a type have the
 * same shape.
 *
 * @internal
 */
export const built = (
  fields: ReadonlyArray<{ readonly name: string; readonly type: GobType }>,
  read: ReadonlyArray<unknown>,
  depth: number,
  charge: Charge
): unknown => {
  const value: Record<string, unknown> = {}
  for (let i = 0; i < fields.length; i++) {
    const { name, type } = fields[i]!
    const field = read[i] === notSent ? zero(type, depth + 1, charge) : read[i]
    if (field !== undefined || type.kind !== "optional") {
      define(value, name, field)
    }
  }
  return value
}

/** @internal */
export const bytes = (reader: Reader, charge: Charge): Uint8Array => {
  const block = reader.block()
  charge(cost.bytes + block.length)
  return block.slice()
}

/** @internal */
export const basic = (reader: Reader, kind: Basic, charge: Charge): unknown => {
  switch (kind) {
    case "bool":
      return reader.uint() !== 0
    case "int":
      return reader.int()
    case "int64":
      charge(cost.bigint)
      return reader.bigInt()
    case "uint":
      return reader.uint()
    case "uint64":
      charge(cost.bigint)
      return reader.bigUint()
    case "float":
      return reader.float()
    case "complex":
      charge(cost.complex)
      return { re: reader.float(), im: reader.float() }
    case "string": {
      const before = reader.left
      const text = reader.text()
      charge(text.length < 2 ? 0 : cost.text + before - reader.left)
      return text
    }
    case "bytes":
      return bytes(reader, charge)
  }
}

/** Returns a value of a basic type. An integer is a bigint only when a number cannot hold it. @internal */
export const anyBasic = (reader: Reader, kind: Basic, charge: Charge): unknown => {
  if (kind !== "int" && kind !== "uint") {
    return basic(reader, kind, charge)
  }
  const n = kind === "int" ? reader.bigInt() : reader.bigUint()
  return Number.isSafeInteger(Number(n)) ? Number(n) : n
}

/** Returns the value of a field that was not sent: the zero value of its type. */
const zero = (type: GobType, depth: number, charge: Charge): unknown => {
  if (depth > maxDepth) {
    return fail(`is nested deeper than ${maxDepth} levels: a struct that holds itself must do so by a pointer`)
  }
  switch (type.kind) {
    case "optional":
      return type.absent
    case "interface":
      return undefined
    case "slice":
      charge(cost.list)
      return []
    case "array":
      charge(cost.list + cost.slot * type.length)
      return Array.from({ length: type.length }, () => zero(type.item(), depth + 1, charge))
    case "map":
      charge(type.record ? cost.record : cost.map)
      return type.record ? {} : new Map()
    case "external":
    case "bytes":
      charge(cost.bytes)
      return new Uint8Array()
    case "struct":
      charge(costOfObject(type.fields().length))
      return built(type.fields(), type.fields().map(() => notSent), depth, charge)
    case "complex":
      charge(cost.complex)
      return { re: 0, im: 0 }
    default:
      return zeros[type.kind]
  }
}
