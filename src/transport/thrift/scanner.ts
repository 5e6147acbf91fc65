/**
 * Scans a message without decoding it: finds its end, when the protocol gives no length, and adds up the memory of its
 * decoded values. Continues where it stopped when more bytes arrive, so that a long answer is not scanned repeatedly.
 *
 * @internal
 */
import { Problem } from "../../internal/errors/excerpt.js"
import type { Protocol } from "./message.js"

/** The deepest nesting that is scanned. The stack of the decoder ends somewhat deeper. */
const maxDepth = 1000

/**
 * The memory of decoded values, in bytes, measured in Node on 64 bits, rounded; the element of a list is included. A
 * text costs as much as bytes, which look the same. Small numbers take 8 bytes, and cost more because decoding very
 * many of them takes long.
 */
const costs = { small: 20, double: 24, int64: 150, text: 110, struct: 80, collection: 50, entry: 60 }

/** The fixed size of a value in bytes, and its cost. */
interface Fixed {
  readonly size: number
  readonly cost: number
}

const one: Fixed = { size: 1, cost: costs.small }

/** The fixed values of the binary protocol, by type. */
const binaryFixed: Readonly<Record<number, Fixed>> = {
  2: one,
  3: one,
  4: { size: 8, cost: costs.double },
  6: { size: 2, cost: costs.small },
  8: { size: 4, cost: costs.small },
  10: { size: 8, cost: costs.int64 },
  16: { size: 16, cost: costs.text }
}

/** The fixed values of the compact protocol, by type. The two types of `bool` are a byte only in containers. */
const compactFixed: Readonly<Record<number, Fixed>> = {
  1: one,
  2: one,
  3: one,
  7: { size: 8, cost: costs.double },
  13: { size: 16, cost: costs.text }
}

/** A struct, or `left` elements of types that alternate, that is not complete. */
interface Open {
  readonly types: ReadonlyArray<number> | undefined
  left: number
}

abstract class Scanner {
  protected bytes: Uint8Array = new Uint8Array()
  /** Where the next part begins; after the received bytes when those are to be skipped. */
  protected at = 0
  private hasBegun = false
  private readonly open: Array<Open> = []
  /** The type of the next value. */
  private next: number | undefined
  private cost = 0

  /**
   * Reads the beginning of a message. This and the next two return `false`, without moving, when they need more bytes.
   */
  protected abstract begin(): boolean
  /** Reads the beginning of a field, or the end of its struct. */
  protected abstract field(): boolean
  /** Reads the beginning of a value whose type has no fixed size. */
  protected abstract value(type: number): boolean

  constructor(private readonly fixed: Readonly<Record<number, Fixed>>, private readonly maxCost: number) {}

  /** Scans all bytes from the beginning of the message. Returns its length, or how many bytes are needed to go on. */
  scan(bytes: Uint8Array): { readonly length: number } | { readonly needed: number } {
    this.bytes = bytes
    while (this.at <= bytes.length && this.step()) {
      if (this.open.length === 0) {
        return { length: this.at }
      }
    }
    return { needed: Math.max(this.at, bytes.length + 1) }
  }

  /** Scans one part; returns `false` when more bytes are needed. */
  private step(): boolean {
    if (!this.hasBegun) {
      if (this.begin()) {
        this.hasBegun = true
        this.struct()
      }
      return this.hasBegun
    }
    const { next } = this
    if (next !== undefined) {
      this.next = undefined
      if (this.valueOf(next)) {
        return true
      }
      this.next = next
      return false
    }
    const top = this.open[this.open.length - 1]!
    if (top.types === undefined) {
      return this.field()
    }
    if (top.left === 0) {
      this.open.pop()
    } else {
      this.next = top.types[top.left % top.types.length]!
      top.left--
    }
    return true
  }

  private valueOf(type: number): boolean {
    const fixed = this.fixed[type]
    if (fixed === undefined) {
      return this.value(type)
    }
    this.at += fixed.size
    this.spend(fixed.cost)
    return true
  }

  protected spend(cost: number): void {
    this.cost += cost
    if (this.cost > this.maxCost) {
      throw new Problem(`more values than fit into ${this.maxCost} bytes by estimate`)
    }
  }

  private push(open: Open): void {
    if (this.open.length > maxDepth) {
      throw new Problem(`values nested deeper than ${maxDepth} levels`)
    }
    this.open.push(open)
  }

  protected struct(): true {
    this.spend(costs.struct)
    this.push({ types: undefined, left: 0 })
    return true
  }

  protected endStruct(end: number): true {
    this.open.pop()
    return this.pass(end)
  }

  /** Begins a value of a type at `start`. */
  protected follows(start: number, type: number): true {
    this.next = type
    return this.pass(start)
  }

  protected pass(end: number): true {
    this.at = end
    return true
  }

  protected text(start: number, length: number): true {
    this.spend(costs.text + counted(length))
    return this.pass(start + length)
  }

  protected number(end: number, is64: boolean): true {
    this.spend(is64 ? costs.int64 : costs.small)
    return this.pass(end)
  }

  /** Begins elements of one type, or entries of two, at `start`. */
  protected elements(start: number, types: ReadonlyArray<number>, count: number): true {
    this.at = start
    this.spend(costs.collection + counted(count) * (types.length === 1 ? 0 : costs.entry))
    const fixed = types.map((type) => this.fixed[type])
    if (fixed.every((fixed) => fixed !== undefined)) {
      this.at += count * fixed.reduce((sum, { size }) => sum + size, 0)
      this.spend(count * fixed.reduce((sum, { cost }) => sum + cost, 0))
    } else {
      this.push({ types, left: count * types.length })
    }
    return true
  }

  protected has(end: number): boolean {
    return end <= this.bytes.length
  }

  protected byte(at: number): number {
    return this.bytes[at]!
  }

  protected int32(at: number): number {
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at).getInt32(0)
  }
}

const counted = (length: number): number => {
  if (length < 0) {
    throw new Problem(`a length of ${length}`)
  }
  return length
}

/** The version of a message, as the upper half of its first word. */
const binaryVersion = 0x8001 - 0x10000

const compactId = 0x82

const notThrift = () => new Problem("what is no message of this protocol")

const unknownType = (type: number) => new Problem(`a value of the unknown type ${type}`)

class BinaryScanner extends Scanner {
  constructor(maxCost: number) {
    super(binaryFixed, maxCost)
  }

  protected override begin(): boolean {
    if (!this.has(4)) {
      return false
    }
    const first = this.int32(0)
    if (first >= 0) {
      // an old message begins with its name, and the type follows
      return this.pass(4 + first + 5)
    }
    if (first >> 16 !== binaryVersion) {
      throw notThrift()
    }
    if (!this.has(8)) {
      return false
    }
    return this.pass(8 + counted(this.int32(4)) + 4)
  }

  protected override field(): boolean {
    const { at } = this
    if (!this.has(at + 1)) {
      return false
    }
    const type = this.byte(at)
    return type === 0 ? this.endStruct(at + 1) : this.follows(at + 3, type)
  }

  protected override value(type: number): boolean {
    const { at } = this
    switch (type) {
      case 11:
        return this.has(at + 4) && this.text(at + 4, this.int32(at))
      case 12:
        return this.struct()
      case 13:
        return this.has(at + 6) && this.elements(at + 6, [this.byte(at), this.byte(at + 1)], this.int32(at + 2))
      case 14:
      case 15:
        return this.has(at + 5) && this.elements(at + 5, [this.byte(at)], this.int32(at + 1))
      default:
        throw unknownType(type)
    }
  }
}

class CompactScanner extends Scanner {
  /** The end of the last varint. */
  private end = 0

  constructor(maxCost: number) {
    super(compactFixed, maxCost)
  }

  /** Reads a varint; returns `undefined` when more bytes are needed. */
  private varint(at: number): number | undefined {
    let value = 0
    // a varint has at most 64 bits
    for (let i = 0, factor = 1; i < 10; i++, factor *= 128) {
      if (!this.has(at + i + 1)) {
        return undefined
      }
      const byte = this.byte(at + i)
      value += (byte % 128) * factor
      if (byte < 128) {
        this.end = at + i + 1
        return value
      }
    }
    throw new Problem("a number that does not end")
  }

  protected override begin(): boolean {
    if (!this.has(1)) {
      return false
    }
    if (this.byte(0) !== compactId) {
      throw notThrift()
    }
    const length = this.varint(2) === undefined ? undefined : this.varint(this.end)
    if (length === undefined) {
      return false
    }
    return this.pass(this.end + length)
  }

  protected override field(): boolean {
    const { at } = this
    if (!this.has(at + 1)) {
      return false
    }
    const field = this.byte(at)
    if (field === 0) {
      return this.endStruct(at + 1)
    }
    this.end = at + 1
    // a field far from the one before has its id after the type
    if (field < 16 && this.varint(at + 1) === undefined) {
      return false
    }
    const type = field % 16
    // the type of a `bool` field is its value
    return type === 1 || type === 2 ? this.pass(this.end) : this.follows(this.end, type)
  }

  protected override value(type: number): boolean {
    const { at } = this
    switch (type) {
      case 4:
      case 5:
      case 6:
        return this.varint(at) !== undefined && this.number(this.end, type === 6)
      case 8: {
        const length = this.varint(at)
        return length !== undefined && this.text(this.end, length)
      }
      case 9:
      case 10: {
        if (!this.has(at + 1)) {
          return false
        }
        const header = this.byte(at)
        this.end = at + 1
        const count = header < 240 ? header >> 4 : this.varint(at + 1)
        return count !== undefined && this.elements(this.end, [header % 16], count)
      }
      case 11: {
        const count = this.varint(at)
        if (count === 0) {
          return this.elements(this.end, [], 0)
        }
        if (count === undefined || !this.has(this.end + 1)) {
          return false
        }
        const types = this.byte(this.end)
        return this.elements(this.end + 1, [types >> 4, types % 16], count)
      }
      case 12:
        return this.struct()
      default:
        throw unknownType(type)
    }
  }
}

/**
 * Makes a scanner of one message.
 *
 * - `maxCost`: the most memory that its values may take, in bytes, by estimate.
 *
 * @internal
 */
export const make = (protocol: Protocol, maxCost: number): Pick<Scanner, "scan"> =>
  protocol === "binary" ? new BinaryScanner(maxCost) : new CompactScanner(maxCost)
