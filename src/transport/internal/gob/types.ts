/**
 * What a stream has said of its types so far, and how to pass over a value by them.
 *
 * @internal
 */
import { fail, Reader } from "./bytes.js"
import { maxDepth } from "./encoder.js"
import * as Wire from "./wire.js"

/** A stream may define so many types, in so many bytes: they are kept as long as the stream lasts. */
const maxTypes = 10_000
const maxDefinitions = 1024 * 1024

/** Where a value goes on that ends with a definition: the next message of the stream. @internal */
export type More = Generator<void, void, Uint8Array>

/**
 * @internal
 */
export class Types {
  private readonly wire = new Map<number, Wire.WireType>()
  private readonly manifold = new Map<number, boolean>()
  private definitions = 0

  private define(id: number, reader: Reader): void {
    if (id < Wire.firstId - 1 || this.wire.has(id)) {
      fail(`defines the type ${id}, which there is already`)
    }
    const before = reader.left
    const check = () => {
      if (this.definitions + before - reader.left > maxDefinitions) {
        fail(`uses more than ${maxDefinitions} bytes to define its types`)
      }
    }
    const type = Wire.readDefinition(reader, check)
    check()
    this.definitions += before - reader.left
    if (this.wire.size >= maxTypes) {
      fail(`defines more than ${maxTypes} types`)
    }
    this.wire.set(id, type)
  }

  /** `undefined` for what every stream knows. */
  of(id: number): Wire.WireType | undefined {
    const type = this.wire.get(id)
    return type !== undefined || (id > 0 && id <= Wire.interfaceId)
      ? type
      : fail(`has the type ${id}, which is not defined`)
  }

  /** Reads a message that holds a definition; for any other the type of the value in it. */
  message(bytes: Uint8Array): number | undefined {
    const reader = new Reader(bytes)
    const id = reader.int()
    if (id >= 0) {
      return id
    }
    this.define(-id, reader)
    return reader.left === 0 ? undefined : fail("has more after a type definition")
  }

  /** Whether values of the type may go on in further messages: where there is an interface, types may be defined. */
  isManifold(id: number): boolean {
    if (!this.manifold.has(id)) {
      this.look(id)
    }
    return this.manifold.get(id) === true
  }

  /** Finds it out for the type and all that it is made of, each once. */
  private look(id: number): void {
    const wholes = new Map<number, Array<number>>()
    const seen = new Set([id])
    const found: Array<number> = []
    for (const next of seen) {
      if (next === Wire.interfaceId || this.manifold.get(next) === true) {
        found.push(next)
      } else if (!this.manifold.has(next)) {
        this.partsOf(next).forEach((part) => {
          seen.add(part)
          const others = wholes.get(part)
          if (others === undefined) {
            wholes.set(part, [next])
          } else {
            others.push(next)
          }
        })
      }
    }
    seen.forEach((one) => this.manifold.set(one, this.manifold.get(one) === true))
    for (let one = found.pop(); one !== undefined; one = found.pop()) {
      this.manifold.set(one, true)
      for (const whole of wholes.get(one) ?? []) {
        if (this.manifold.get(whole) === false) {
          this.manifold.set(whole, true)
          found.push(whole)
        }
      }
    }
  }

  private partsOf(id: number): ReadonlyArray<number> {
    const type = this.of(id)
    switch (type?.kind) {
      case "slice":
      case "array":
        return [type.item]
      case "map":
        return [type.key, type.value]
      case "struct":
        return type.fields.map((field) => field.id)
      default:
        return []
    }
  }

  /** Finds where a value ends, keeping the definitions in it. It is given the next message when it asks for one. */
  *walk(bytes: Uint8Array): More {
    const reader = new Reader(bytes)
    const id = reader.int()
    this.single(reader, id)
    yield* this.pass(reader, id, 0, (id, reader) => this.define(id, reader))
    if (reader.left !== 0) {
      fail("has more after a value")
    }
  }

  /** What is not a struct has a zero before it. */
  single(reader: Reader, id: number): void {
    if (this.of(id)?.kind !== "struct" && reader.uint() !== 0) {
      fail("is not a value")
    }
  }

  /** Passes over a value, as what `define` makes of the definitions in it. */
  *pass(reader: Reader, id: number, depth: number, define: (id: number, reader: Reader) => void): More {
    if (depth > maxDepth) {
      fail(`is nested deeper than ${maxDepth} levels`)
    }
    const type = this.of(id)
    switch (type?.kind) {
      case undefined:
        return id === Wire.interfaceId ? yield* this.passNamed(reader, depth, define) : passBasic(reader, id)
      case "slice":
      case "array":
        for (let left = reader.count(); left > 0; left--) {
          yield* this.pass(reader, type.item, depth + 1, define)
        }
        return
      case "map":
        for (let left = reader.count(); left > 0; left--) {
          yield* this.pass(reader, type.key, depth + 1, define)
          yield* this.pass(reader, type.value, depth + 1, define)
        }
        return
      case "external":
        reader.block()
        return
      case "struct": {
        const fields = fieldsOf(type)
        for (let field = fields(reader); field !== undefined; field = fields(reader)) {
          yield* this.pass(reader, field.id, depth + 1, define)
        }
      }
    }
  }

  /** The same, of a value whose definitions are known; most are no more than a number or a text. */
  skip(reader: Reader, id: number, depth: number, run: (walk: More) => void): void {
    if (id > 0 && id < Wire.interfaceId) {
      passBasic(reader, id)
    } else {
      run(this.pass(reader, id, depth, forget))
    }
  }

  private *passNamed(reader: Reader, depth: number, define: (id: number, reader: Reader) => void): More {
    if (reader.block().length > 0) {
      const id = yield* concrete(reader, define)
      this.single(reader, id)
      yield* this.pass(reader, id, depth + 1, define)
    }
  }
}

/**
 * The type of a value in an interface. A definition that only this value needs ends the message, and the value goes on in
 * the next one. Within another interface it ends a part of the same message, which has a length as messages do: that is why
 * the lengths of these parts are passed over. They say nothing of where the value ends.
 *
 * @internal
 */
export function* concrete(
  reader: Reader,
  define: (id: number, reader: Reader) => void
): Generator<void, number, Uint8Array> {
  let id = reader.int()
  while (id < 0) {
    define(-id, reader)
    if (reader.left === 0) {
      reader.continue(yield)
    } else {
      reader.uint()
    }
    id = reader.int()
  }
  reader.uint()
  return id
}

/** The fields of a struct that were sent, one after the other. @internal */
export const fieldsOf = (
  type: Wire.WireType & { readonly kind: "struct" }
): (reader: Reader) => Wire.WireField | undefined => {
  let i = -1
  return (reader) => {
    const delta = reader.uint()
    i += delta
    return delta === 0
      ? undefined
      : type.fields[i] ?? fail(`has a field ${i} of ${Wire.describe(type)}, which has ${type.fields.length}`)
  }
}

const passBasic = (reader: Reader, id: number): void => {
  switch (Wire.kindOfId(id)) {
    case "string":
    case "bytes":
      reader.block()
      return
    case "complex":
      reader.bigUint()
      reader.bigUint()
      return
    default:
      reader.bigUint()
  }
}

/** A definition that is known from when the end of the value was looked for. @internal */
export const forget = (_id: number, reader: Reader): void => void Wire.readDefinition(reader, () => {})
