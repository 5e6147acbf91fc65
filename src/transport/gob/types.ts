/**
 * The types that a stream has defined, and how to skip values of them.
 *
 * @internal
 */
import { fail, Reader } from "./bytes.js"
import { maxTypes } from "./type.js"
import * as Wire from "./wire.js"

/** The most bytes of definitions in a stream. @internal */
export const maxDefinitions = 1024 * 1024

/**
 * @internal
 */
export class Types {
  private readonly wire = new Map<number, Wire.WireType>()
  private readonly manifold = new Map<number, boolean>()
  private definitions = 0

  /** Stores a definition. */
  define(id: number, reader: Reader): void {
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

  has(id: number): boolean {
    return this.wire.has(id) || (id > 0 && id <= Wire.interfaceId)
  }

  /** Returns the definition of a type; `undefined` for a type that every stream knows. */
  of(id: number): Wire.WireType | undefined {
    const type = this.wire.get(id)
    return type !== undefined || this.has(id)
      ? type
      : fail(`has the type ${id}, which is not defined`)
  }

  /** Reads a message: stores a definition, or returns the type of the value in it. */
  message(bytes: Uint8Array): number | undefined {
    const reader = new Reader(bytes)
    const id = reader.int()
    if (id >= 0) {
      return id
    }
    this.define(-id, reader)
    return reader.left === 0 ? undefined : fail("has more after a type definition")
  }

  /**
   * Returns whether values of a type may continue in further messages: those with an interface, before whose value
   * types may be defined.
   */
  isManifold(id: number): boolean {
    if (!this.manifold.has(id)) {
      this.look(id)
    }
    return this.manifold.get(id) === true
  }

  /** Computes that for a type and all its parts, each once. */
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

  /**
   * Skips the zero before a value that is no struct. A nil pointer to a struct is its type alone: as in Go, it is read
   * as a struct of zeros.
   */
  single(reader: Reader, id: number): void {
    if (this.of(id)?.kind !== "struct") {
      if (reader.uint() !== 0) {
        fail("is not a value")
      }
    } else if (reader.left === 0) {
      reader.continue(endOfStruct)
    }
  }
}

const endOfStruct = new Uint8Array([0])

/** Ignores a definition that was stored when the end of the value was searched. @internal */
export const forget = (_id: number, reader: Reader): void => void Wire.readDefinition(reader, () => {})
