/**
 * Skips a value to find its end.
 *
 * @internal
 */
import { fail, type Reader } from "./bytes.js"
import { maxDepth } from "./encoder.js"
import type { Types } from "./types.js"
import * as Wire from "./wire.js"

/** The deepest nesting that is skipped. A value deeper than `maxDepth` is refused, but can be skipped. */
const deepest = 100_000

/**
 * A list, a map as a list of its keys and values, or a struct with its `type`. One shape for all, as there are many.
 */
interface Open {
  left: number
  readonly first: number
  readonly second: number
  field: number
  readonly type: (Wire.WireType & { readonly kind: "struct" }) | undefined
}

/**
 * Skips one value. A definition for the value of an interface ends the message, and the value continues in the next
 * one.
 *
 * @internal
 */
export class Walker {
  private readonly open: Array<Open> = []
  /** Whether the type of the value of an interface comes next. */
  private isNamed = false
  private isBegun = false
  /** The problem with the value, when its end can be found nevertheless. */
  problem: string | undefined
  /** How many parts of the value were skipped. */
  passed = 0

  constructor(
    private readonly types: Types,
    /** Handles the definitions in the value. */
    private readonly define: (id: number, reader: Reader) => void,
    private readonly id: number,
    private readonly depth: number
  ) {}

  /**
   * Skips the bytes that are there. Returns whether the value ended; if not, it continues in the next message. Returns
   * `undefined` when it stopped because `until` parts of it were skipped.
   */
  walk(reader: Reader, until: number = Infinity): boolean | undefined {
    if (!this.isBegun) {
      this.isBegun = true
      this.pass(reader, this.id)
    }
    while (!this.isNamed || this.passType(reader)) {
      const open = this.open.at(-1)
      if (open === undefined) {
        return true
      }
      if (this.passed >= until) {
        return undefined
      }
      this.passed++
      const id = this.next(open, reader)
      if (id !== undefined) {
        this.pass(reader, id)
      } else {
        this.open.pop()
      }
    }
    return false
  }

  private next(open: Open, reader: Reader): number | undefined {
    if (open.type === undefined) {
      return open.left === 0 ? undefined : open.left-- % 2 === 0 ? open.first : open.second
    }
    const delta = reader.uint()
    open.field += delta
    return delta === 0 ? undefined : Wire.fieldOf(open.type, open.field).id
  }

  private pass(reader: Reader, id: number): void {
    if (id > 0 && id < Wire.interfaceId) {
      return passBasic(reader, id)
    }
    if (id === Wire.interfaceId) {
      this.isNamed = reader.passBlock() > 0
      return
    }
    const type = this.types.of(id)
    switch (type?.kind) {
      case "slice":
      case "array":
        return this.push(reader.count(), type.item, type.item, undefined)
      case "map":
        return this.push(2 * reader.count(), type.key, type.value, undefined)
      case "external":
        reader.passBlock()
        return
      case "struct":
        return this.push(0, 0, 0, type)
    }
  }

  private push(left: number, first: number, second: number, type: Open["type"]): void {
    if (left === 0 && type === undefined) {
      return
    }
    this.open.push({ left, first, second, field: -1, type })
    if (this.depth + this.open.length > maxDepth + 1) {
      this.problem ??= `is nested deeper than ${maxDepth} levels`
      if (this.open.length > deepest) {
        fail(this.problem)
      }
    }
  }

  /**
   * Skips the type and the length before the value of an interface; returns `false` when they are in the next message.
   */
  private passType(reader: Reader): boolean {
    const id = concrete(reader, this.define)
    if (id === undefined) {
      return false
    }
    this.isNamed = false
    this.types.single(reader, id)
    this.pass(reader, id)
    return true
  }
}

/**
 * Reads the type of the value of an interface; returns `undefined` when the message ends with a definition, and the
 * type is in the next one. Inside another interface a definition ends a part of the same message. Such parts have a
 * length as messages do, which is skipped: it does not tell where the value ends.
 *
 * @internal
 */
export const concrete = (
  reader: Reader,
  define: (id: number, reader: Reader) => void
): number | undefined => {
  let id = reader.int()
  while (id < 0) {
    define(-id, reader)
    if (reader.left === 0) {
      return undefined
    }
    reader.uint()
    id = reader.int()
  }
  reader.uint()
  return id
}

const passBasic = (reader: Reader, id: number): void => {
  switch (Wire.kindOfId(id)) {
    case "string":
    case "bytes":
      reader.passBlock()
      return
    case "complex":
      reader.passUint()
      reader.passUint()
      return
    default:
      reader.passUint()
  }
}
