/**
 * Reads values, each as the type that is asked for, where Go would.
 *
 * @internal
 */
import * as Either from "effect/Either"
import { fail, Problem, Reader } from "./bytes.js"
import { maxDepth, type Named } from "./encoder.js"
import type { Value } from "./stream.js"
import type { Basic, GobType } from "./type.js"
import { concrete, fieldsOf, forget, type Types } from "./types.js"
import * as Wire from "./wire.js"

/** A value as a type. @internal */
export const decode = (value: Value, type: GobType): unknown =>
  whole(value, (decoder, reader, id) => {
    value.types.single(reader, id)
    return decoder.read(reader, type, id, 0)
  })

/** A value by what the stream says of it alone. @internal */
export const decodeAny = (value: Value): unknown =>
  whole(value, (decoder, reader, id) => {
    value.types.single(reader, id)
    return decoder.any(reader, id, 0)
  })

const whole = (value: Value, read: (decoder: Decoder, reader: Reader, id: number) => unknown): unknown => {
  const reader = new Reader(value.parts[0]!)
  const decoder = new Decoder(value)
  const result = Either.getOrThrowWith(
    Either.try(() => read(decoder, reader, reader.int())),
    (failure) => failure instanceof Problem ? decoder.locate(failure) : failure
  )
  return reader.left === 0 ? result : fail("has more after a value")
}

class Decoder {
  private readonly types: Types
  private next = 1
  /** The fields that lead to what is being read. */
  private readonly path: Array<string> = []
  constructor(private readonly value: Value) {
    this.types = value.types
  }

  locate({ message }: Problem): Problem {
    return new Problem(this.path.length === 0 ? message : `at ${this.path.join(".")} ${message}`)
  }

  /** Goes on in the messages of the value; the definitions in them are known. */
  private run<A>(walk: Generator<void, A, Uint8Array>): A {
    let step = walk.next(new Uint8Array())
    while (step.done !== true) {
      step = walk.next(this.value.parts[this.next++] ?? fail("ends in the middle of a value"))
    }
    return step.value
  }

  read(reader: Reader, type: GobType, id: number, depth: number): unknown {
    if (depth > maxDepth) {
      return fail(`is nested deeper than ${maxDepth} levels`)
    }
    const wire = this.types.of(id)
    const mismatch = () =>
      fail(`is ${wire === undefined ? Wire.nameOfId(id) : Wire.describe(wire)}, and not ${type.kind}`)
    switch (type.kind) {
      case "optional":
        return this.read(reader, type.of(), id, depth)
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
      case "bytes":
        // a string of Go need not be text
        return id === Wire.basicIds.bytes || id === Wire.basicIds.string ? readBasic(reader, "bytes") : mismatch()
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
    const fields = type.fields()
    const read: Array<unknown> = fields.map(() => notSent)
    const sent = fieldsOf(wire)
    for (let one = sent(reader); one !== undefined; one = sent(reader)) {
      const { id, name } = one
      const i = fields.findIndex((field) => field.name === name)
      if (i === -1) {
        this.types.skip(reader, id, depth + 1, (walk) => this.run(walk))
      } else {
        this.path.push(name)
        read[i] = this.read(reader, fields[i]!.type, id, depth + 1)
        this.path.pop()
      }
    }
    // always in the order of the fields, so that all values of a type are alike
    const value: Record<string, unknown> = {}
    for (let i = 0; i < fields.length; i++) {
      const { name, type } = fields[i]!
      const field = read[i] === notSent ? zeroOf(type, depth + 1) : read[i]
      if (field !== undefined || type.kind !== "optional") {
        define(value, name, field)
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
    const id = this.run(concrete(reader, forget))
    this.types.single(reader, id)
    if (types === undefined) {
      return { name, value: this.any(reader, id, depth + 1) }
    }
    const type = types.get(name)?.() ?? fail(`has a ${JSON.stringify(name)}, which is not one of Gob.named here`)
    return { name, value: this.read(reader, type, id, depth + 1) }
  }

  any(reader: Reader, id: number, depth: number): unknown {
    if (depth > maxDepth) {
      return fail(`is nested deeper than ${maxDepth} levels`)
    }
    const wire = this.types.of(id)
    switch (wire?.kind) {
      case undefined:
        return id === Wire.interfaceId ? this.named(reader, undefined, depth) : readAny(reader, Wire.kindOfId(id))
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
        const sent = fieldsOf(wire)
        for (let one = sent(reader); one !== undefined; one = sent(reader)) {
          define(value, one.name, this.any(reader, one.id, depth + 1))
        }
        return value
      }
    }
  }
}

/** `__proto__` is a name like others in Go. */
const define = (value: Record<string, unknown>, name: string, field: unknown): void => {
  if (name === "__proto__") {
    Object.defineProperty(value, name, { value: field, enumerable: true, configurable: true, writable: true })
  } else {
    value[name] = field
  }
}

const notSent = Symbol("notSent")

const readBasic = (reader: Reader, kind: Basic): unknown => {
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

/** An integer is a bigint only where a number does not hold it. */
const readAny = (reader: Reader, kind: Basic): unknown => {
  if (kind !== "int" && kind !== "uint") {
    return readBasic(reader, kind)
  }
  const n = kind === "int" ? reader.bigInt() : reader.bigUint()
  return Number.isSafeInteger(Number(n)) ? Number(n) : n
}

const zeros: Record<Basic, () => unknown> = {
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
