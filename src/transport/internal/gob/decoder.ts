/**
 * Reads values. What a stream says of its types is kept; each value is read as the type that is asked for, where Go would.
 *
 * @internal
 */
import { fail, Reader } from "./bytes.js"
import { maxDepth, type Named, pointed } from "./encoder.js"
import type { GobType } from "./type.js"
import * as Wire from "./wire.js"

/** A value that has come, of the type `id`. @internal */
export interface Message {
  readonly id: number
  readonly bytes: Uint8Array
}

/** A stream may define so many types: each is kept as long as the stream lasts. */
const maxTypes = 10_000

/**
 * The types of one stream, and how to read them.
 *
 * @internal
 */
export class Types {
  private readonly wire = new Map<number, Wire.WireType>()
  private more: () => Uint8Array = () => fail("ends in the middle of a value")

  define(id: number, reader: Reader): void {
    if (id < Wire.firstId - 1 || this.wire.has(id)) {
      fail(`defines the type ${id}, which there is already`)
    }
    if (this.wire.size >= maxTypes) {
      fail(`defines more than ${maxTypes} types`)
    }
    this.wire.set(id, Wire.readDefinition(reader))
  }

  /** Reads what one message holds: a definition, or a value that is kept for whoever knows its type. */
  message(bytes: Uint8Array): Message | undefined {
    const reader = new Reader(bytes)
    const id = reader.int()
    if (id >= 0) {
      return { id, bytes }
    }
    this.define(-id, reader)
    return reader.left === 0 ? undefined : fail("has more after a type definition")
  }

  /** A value that holds a type which was not defined before goes on in the messages that `more` gives. */
  decode(type: GobType, message: Message, more: () => Uint8Array): unknown {
    this.more = more
    const reader = new Reader(message.bytes)
    const value = this.single(reader, type, reader.int(), 0)
    return reader.left === 0 ? value : fail("has more after a value")
  }

  private single(reader: Reader, type: GobType, id: number, depth: number): unknown {
    if (pointed(type).kind !== "struct" && this.wireOf(id)?.kind !== "struct" && reader.uint() !== 0) {
      fail("is not a value")
    }
    return this.read(reader, type, id, depth)
  }

  private wireOf(id: number): Wire.WireType | undefined {
    const type = this.wire.get(id)
    return type !== undefined || (id > 0 && id <= Wire.interfaceId)
      ? type
      : fail(`has the type ${id}, which is not defined`)
  }

  private read(reader: Reader, type: GobType, id: number, depth: number): unknown {
    if (depth > maxDepth) {
      return fail(`is nested deeper than ${maxDepth} levels`)
    }
    const wire = this.wireOf(id)
    const mismatch = () => fail(`is ${wire === undefined ? nameOfId(id) : describe(wire)}, and not ${type.kind}`)
    switch (type.kind) {
      case "optional":
        return this.read(reader, type.of(), id, depth + 1)
      case "interface":
        return id === Wire.interfaceId ? this.named(reader, type.types, depth) : mismatch()
      case "slice":
      case "array": {
        if (
          wire?.kind !== type.kind || (wire.kind === "array" && type.kind === "array" && wire.length !== type.length)
        ) {
          return mismatch()
        }
        const item = type.item()
        const length = reader.count()
        if (type.kind === "array" && length !== type.length) {
          return fail(`has ${length} items, and not ${type.length}`)
        }
        return Array.from({ length }, () => this.read(reader, item, wire.item, depth + 1))
      }
      case "map": {
        if (wire?.kind !== "map") {
          return mismatch()
        }
        const length = reader.count()
        const entries = Array.from({ length }, () => {
          const key = this.read(reader, type.key(), wire.key, depth + 1)
          return [key, this.read(reader, type.value(), wire.value, depth + 1)] as const
        })
        return type.record ? Object.fromEntries(entries as ReadonlyArray<readonly [string, unknown]>) : new Map(entries)
      }
      case "struct":
        return wire?.kind === "struct" ? this.struct(reader, type, wire, depth) : mismatch()
      case "external":
        return wire?.kind === "external" && wire.by === type.by ? reader.block().slice() : mismatch()
      default:
        return id === Wire.basicIds[type.kind] ? readBasic(reader, type.kind) : mismatch()
    }
  }

  private struct(
    reader: Reader,
    type: GobType & { readonly kind: "struct" },
    wire: Wire.WireType & { readonly kind: "struct" },
    depth: number
  ): Record<string, unknown> {
    const value: Record<string, unknown> = {}
    const fields = type.fields()
    forEachField(reader, wire, ({ id, name }) => {
      const field = fields.find((field) => field.name === name)
      if (field === undefined) {
        this.any(reader, id, depth + 1)
      } else {
        define(value, name, this.read(reader, field.type, id, depth + 1))
      }
    })
    for (const { name, type } of fields) {
      if (!Object.hasOwn(value, name)) {
        const zero = zeroOf(type, depth + 1)
        if (zero !== undefined || type.kind !== "optional") {
          define(value, name, zero)
        }
      }
    }
    return value
  }

  private named(
    reader: Reader,
    types: ReadonlyMap<string, () => GobType> | undefined,
    depth: number
  ): Named | undefined {
    const name = reader.text()
    if (name === "") {
      return undefined
    }
    let id = reader.int()
    // a definition that only this value needs ends the message, and the value goes on in the next one
    while (id < 0) {
      this.define(-id, reader)
      if (reader.left === 0) {
        reader.continue(this.more())
      } else {
        reader.uint()
      }
      id = reader.int()
    }
    const body = reader.part()
    if (types === undefined) {
      if (this.wireOf(id)?.kind !== "struct" && body.uint() !== 0) {
        fail("is not a value")
      }
      return { name, value: this.any(body, id, depth + 1) }
    }
    const type = types.get(name)?.() ?? fail(`has a ${JSON.stringify(name)}, which is not registered`)
    return { name, value: this.single(body, type, id, depth + 1) }
  }

  /** What is there, by the types of the stream alone. */
  private any(reader: Reader, id: number, depth: number): unknown {
    if (depth > maxDepth) {
      return fail(`is nested deeper than ${maxDepth} levels`)
    }
    const wire = this.wireOf(id)
    switch (wire?.kind) {
      case undefined:
        return id === Wire.interfaceId ? this.named(reader, undefined, depth) : readAny(reader, id)
      case "slice":
      case "array":
        return Array.from({ length: reader.count() }, () => this.any(reader, wire.item, depth + 1))
      case "map":
        return new Map(Array.from({ length: reader.count() }, () => {
          const key = this.any(reader, wire.key, depth + 1)
          return [key, this.any(reader, wire.value, depth + 1)] as const
        }))
      case "external":
        return reader.block().slice()
      case "struct": {
        const value: Record<string, unknown> = {}
        forEachField(reader, wire, ({ id, name }) => define(value, name, this.any(reader, id, depth + 1)))
        return value
      }
    }
  }
}

/** `__proto__` is a name like others in Go. */
const define = (value: Record<string, unknown>, name: string, field: unknown): void => {
  Object.defineProperty(value, name, { value: field, enumerable: true, configurable: true, writable: true })
}

const forEachField = (
  reader: Reader,
  wire: Wire.WireType & { readonly kind: "struct" },
  read: (field: Wire.WireField) => void
): void => {
  let i = -1
  for (let delta = reader.uint(); delta !== 0; delta = reader.uint()) {
    i += delta
    read(wire.fields[i] ?? fail(`has a field ${i} of ${describe(wire)}, which has ${wire.fields.length}`))
  }
}

const readBasic = (reader: Reader, kind: keyof typeof Wire.basicIds): unknown => {
  switch (kind) {
    case "bool":
      return reader.uint() !== 0
    case "int":
      return reader.int()
    case "int64":
      return reader.bigInt()
    case "uint":
      return reader.uint()
    case "uint64":
      return reader.bigUint()
    case "float":
      return reader.float()
    case "complex":
      return { re: reader.float(), im: reader.float() }
    case "string":
      return reader.text()
    case "bytes":
      return reader.block().slice()
  }
}

const readAny = (reader: Reader, id: number): unknown => {
  switch (id) {
    case 2:
    case 3: {
      const n = id === 2 ? reader.bigInt() : reader.bigUint()
      return Number.isSafeInteger(Number(n)) ? Number(n) : n
    }
    default:
      return readBasic(reader, kindOfId(id))
  }
}

const kindOfId = (id: number) =>
  (Object.keys(Wire.basicIds) as ReadonlyArray<keyof typeof Wire.basicIds>).find((kind) =>
    Wire.basicIds[kind] === id
  ) ??
    fail(`has the type ${id}, which is not defined`)

const nameOfId = (id: number): string => id === Wire.interfaceId ? "interface" : kindOfId(id)

const describe = (wire: Wire.WireType): string => {
  const length = wire.kind === "array" ? ` of ${wire.length}` : ""
  return `${wire.kind}${length}${wire.name === "" ? "" : ` ${wire.name}`}`
}

const zeros: Record<keyof typeof Wire.basicIds, () => unknown> = {
  bool: () => false,
  int: () => 0,
  int64: () => 0n,
  uint: () => 0,
  uint64: () => 0n,
  float: () => 0,
  complex: () => ({ re: 0, im: 0 }),
  string: () => "",
  bytes: () => new Uint8Array()
}

/** What a field that was not sent is. */
const zeroOf = (type: GobType, depth: number): unknown => {
  if (depth > maxDepth) {
    return fail(`is nested deeper than ${maxDepth} levels: a struct that holds itself must do so by a pointer`)
  }
  switch (type.kind) {
    case "optional":
      return type.absent
    case "interface":
      return undefined
    case "slice":
      return []
    case "array":
      return Array.from({ length: type.length }, () => zeroOf(type.item(), depth + 1))
    case "map":
      return type.record ? {} : new Map()
    case "external":
      return new Uint8Array()
    case "struct": {
      const value: Record<string, unknown> = {}
      for (const field of type.fields()) {
        const zero = zeroOf(field.type, depth + 1)
        if (zero !== undefined || field.type.kind !== "optional") {
          define(value, field.name, zero)
        }
      }
      return value
    }
    default:
      return zeros[type.kind]()
  }
}
