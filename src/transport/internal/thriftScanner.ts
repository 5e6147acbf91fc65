/**
 * Where a message ends that says nothing of its length. It goes on where it stopped when more bytes have come, so a long answer
 * is not read again and again from its beginning.
 *
 * @internal
 */
import type { Protocol } from "./thriftMessage.js"

/** Yields how many bytes there have to be before it can go on. */
type Scan<A = void> = Generator<number, A, void>

/** The stack ends somewhat deeper. */
const maxDepth = 1000

/** The sizes of values of the binary protocol, by their types, where they have one. */
const binarySizes: Readonly<Record<number, number>> = { 2: 1, 3: 1, 4: 8, 6: 2, 8: 4, 10: 8, 16: 16 }

/** Those of the compact protocol. The two types of `bool` are a byte in containers only. */
const compactSizes: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 1, 7: 8, 13: 16 }

const deeper = (depth: number): number => {
  if (depth >= maxDepth) {
    throw new Error(`values nested deeper than ${maxDepth} levels`)
  }
  return depth + 1
}

abstract class Scanner {
  private bytes: Uint8Array = new Uint8Array()
  private at = 0
  private readonly rest = this.message()

  protected abstract message(): Scan
  protected abstract struct(depth: number): Scan
  protected abstract value(type: number, depth: number): Scan

  constructor(private readonly sizes: Readonly<Record<number, number>>) {}

  /** The length of the message, or how many bytes are needed to go on. All bytes from its beginning are given. */
  scan(bytes: Uint8Array): { readonly length: number } | { readonly needed: number } {
    this.bytes = bytes
    const next = this.rest.next()
    return next.done === true ? { length: this.at } : { needed: next.value }
  }

  protected *skip(length: number): Scan<number> {
    if (length < 0) {
      throw new Error(`a length of ${length}`)
    }
    const start = this.at
    while (this.bytes.length < start + length) {
      yield start + length
    }
    this.at = start + length
    return start
  }

  protected *byte(): Scan<number> {
    // `bytes` is another array when there are more
    const at = yield* this.skip(1)
    return this.bytes[at]!
  }

  protected *int32(): Scan<number> {
    const at = yield* this.skip(4)
    return new DataView(this.bytes.buffer, this.bytes.byteOffset).getInt32(at)
  }

  protected *varint(): Scan<number> {
    let value = 0
    // of 64 bits at most
    for (let factor = 1; factor <= 2 ** 63; factor *= 128) {
      const byte = yield* this.byte()
      value += (byte % 128) * factor
      if (byte < 128) {
        return value
      }
    }
    throw new Error("a number that does not end")
  }

  /** Of one type after another, `count` times. */
  protected *elements(types: ReadonlyArray<number>, count: number, depth: number): Scan {
    const inner = deeper(depth)
    const size = types.reduce((sum, type) => sum + (this.sizes[type] ?? NaN), 0)
    if (count < 0 || !Number.isNaN(size)) {
      yield* this.skip(count < 0 ? count : count * size)
      return
    }
    for (let i = 0; i < count; i++) {
      for (const type of types) {
        yield* this.value(type, inner)
      }
    }
  }
}

/** What messages begin with. */
const binaryVersion = 0x8001 - 0x10000

const compactId = 0x82

const notThrift = () => new Error("what is no message of this protocol")

const unknownType = (type: number) => new Error(`a value of the unknown type ${type}`)

class BinaryScanner extends Scanner {
  constructor() {
    super(binarySizes)
  }

  protected override *message(): Scan {
    const first = yield* this.int32()
    if (first < 0 && first >> 16 !== binaryVersion) {
      throw notThrift()
    }
    // an old message begins with its name; since then a version comes before that, and the type with it
    yield* this.skip(first < 0 ? yield* this.int32() : first)
    yield* this.skip(first < 0 ? 4 : 5)
    yield* this.struct(0)
  }

  protected override *struct(depth: number): Scan {
    for (let type = yield* this.byte(); type !== 0; type = yield* this.byte()) {
      yield* this.skip(2)
      yield* this.value(type, depth)
    }
  }

  protected override *value(type: number, depth: number): Scan {
    const size = binarySizes[type]
    if (size !== undefined) {
      yield* this.skip(size)
    } else if (type === 11) {
      yield* this.skip(yield* this.int32())
    } else if (type === 12) {
      yield* this.struct(deeper(depth))
    } else if (type === 13) {
      const types = [yield* this.byte(), yield* this.byte()]
      yield* this.elements(types, yield* this.int32(), depth)
    } else if (type === 14 || type === 15) {
      const types = [yield* this.byte()]
      yield* this.elements(types, yield* this.int32(), depth)
    } else {
      throw unknownType(type)
    }
  }
}

class CompactScanner extends Scanner {
  constructor() {
    super(compactSizes)
  }

  protected override *message(): Scan {
    if ((yield* this.byte()) !== compactId) {
      throw notThrift()
    }
    yield* this.byte()
    yield* this.varint()
    yield* this.skip(yield* this.varint())
    yield* this.struct(0)
  }

  protected override *struct(depth: number): Scan {
    for (let field = yield* this.byte(); field !== 0; field = yield* this.byte()) {
      if (field < 16) {
        yield* this.varint()
      }
      const type = field % 16
      // the type of a `bool` that is a field is its value
      if (type !== 1 && type !== 2) {
        yield* this.value(type, depth)
      }
    }
  }

  protected override *value(type: number, depth: number): Scan {
    const size = compactSizes[type]
    if (size !== undefined) {
      yield* this.skip(size)
    } else if (type === 4 || type === 5 || type === 6) {
      yield* this.varint()
    } else if (type === 8) {
      yield* this.skip(yield* this.varint())
    } else if (type === 9 || type === 10) {
      const header = yield* this.byte()
      yield* this.elements([header % 16], header < 240 ? header >> 4 : yield* this.varint(), depth)
    } else if (type === 11) {
      const count = yield* this.varint()
      const types = count === 0 ? 0 : yield* this.byte()
      yield* this.elements([types >> 4, types % 16], count, depth)
    } else if (type === 12) {
      yield* this.struct(deeper(depth))
    } else {
      throw unknownType(type)
    }
  }
}

/** For one message. @internal */
export const make = (protocol: Protocol): Pick<Scanner, "scan"> =>
  protocol === "binary" ? new BinaryScanner() : new CompactScanner()
