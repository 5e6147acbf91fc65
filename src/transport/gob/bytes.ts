/**
 * Writes and reads the numbers and texts of gob.
 *
 * @internal
 */

import { Problem } from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"

/** The problem with a stream, a value or a schema. It is thrown inside the codec and caught at its boundary. */
export { Problem }

/** @internal */
export const fail = (problem: string): never => {
  throw new Problem(problem)
}

const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const isHalf = /\p{Surrogate}/u
const scratch = new DataView(new ArrayBuffer(8))

/** The buffer that a writer keeps when it is used again, in bytes: enough for most values. */
const kept = 65_536

/**
 * @internal
 */
export class Writer {
  private bytes = new Uint8Array(1024)
  length = 0

  /** Starts over. What was written must have been copied. */
  clear(): this {
    this.length = 0
    if (this.bytes.length > kept) {
      this.bytes = new Uint8Array(1024)
    }
    return this
  }

  private room(n: number): void {
    if (this.length + n > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n))
      bytes.set(this.bytes.subarray(0, this.length))
      this.bytes = bytes
    }
  }

  byte(byte: number): void {
    this.room(1)
    this.bytes[this.length++] = byte
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /**
   * Writes an unsigned integer: a small one in one byte, another as the negated number of its bytes and these, highest
   * first.
   */
  uint(n: number | bigint): void {
    if (n < 128) {
      return this.byte(Number(n))
    }
    if (typeof n === "number" && n <= 0xffffffff) {
      return this.word(n)
    }
    scratch.setBigUint64(0, BigInt(n))
    let first = 0
    while (scratch.getUint8(first) === 0) {
      first++
    }
    this.byte(256 - (8 - first))
    for (; first < 8; first++) {
      this.byte(scratch.getUint8(first))
    }
  }

  /** Writes an unsigned integer of at most 32 bits, without a `bigint`. */
  private word(n: number): void {
    const size = n > 0xffffff ? 4 : n > 0xffff ? 3 : n > 0xff ? 2 : 1
    this.byte(256 - size)
    for (let shift = (size - 1) * 8; shift >= 0; shift -= 8) {
      this.byte((n >>> shift) & 0xff)
    }
  }

  /** Writes a signed integer, with its sign in the lowest bit. */
  int(n: number | bigint): void {
    if (typeof n === "number" && n > -0x40000000 && n < 0x40000000) {
      this.uint(n < 0 ? -2 * n - 1 : 2 * n)
    } else {
      const big = BigInt(n)
      this.uint(big < 0n ? -2n * big - 1n : 2n * big)
    }
  }

  /** Writes a float with its bytes reversed: the low bytes of most are zero, and leading zeros are not sent. */
  float(n: number): void {
    scratch.setFloat64(0, n, true)
    this.uint(scratch.getBigUint64(0))
  }

  block(bytes: Uint8Array): void {
    this.uint(bytes.length)
    this.raw(bytes)
  }

  text(text: string): void {
    if (text.length >= 128) {
      return this.wide(text)
    }
    // most texts are short and ASCII
    const start = this.length
    this.byte(text.length)
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 128) {
        this.length = start
        return this.wide(text)
      }
      this.byte(code)
    }
  }

  private wide(text: string): void {
    if (isHalf.test(text)) {
      fail("has a text with half of a character, a lone surrogate")
    }
    this.block(utf8.encode(text))
  }

  /** Returns the bytes that were written. They are valid until more is written. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }
}

/**
 * @internal
 */
export class Reader {
  private at = 0
  private end: number
  constructor(private bytes: Uint8Array) {
    this.end = bytes.length
  }

  /** Continues with other bytes, at the end of the current ones. */
  continue(bytes: Uint8Array): void {
    this.bytes = bytes
    this.at = 0
    this.end = bytes.length
  }

  get left(): number {
    return this.end - this.at
  }

  byte(): number {
    return this.at < this.end ? this.bytes[this.at++]! : fail("ends in the middle of a value")
  }

  /** Reads an integer of up to 4 bytes without a `bigint`; returns `undefined` for a longer one. */
  private word(): number | undefined {
    const first = this.at < this.end ? this.bytes[this.at]! : fail("ends in the middle of a value")
    if (first < 128) {
      this.at++
      return first
    }
    const size = widthOf(first) - 1
    if (size > 4 || this.at + size >= this.end) {
      return undefined
    }
    let n = 0
    this.at++
    for (let i = 0; i < size; i++) {
      n = n * 256 + this.bytes[this.at++]!
    }
    return n
  }

  private wide(): bigint {
    const first = this.byte()
    if (first < 128) {
      return BigInt(first)
    }
    let n = 0n
    for (let i = widthOf(first); i > 1; i--) {
      n = n << 8n | BigInt(this.byte())
    }
    return n
  }

  /** Skips a number. */
  passUint(): void {
    const width = widthOf(this.byte())
    if (width > this.left + 1) {
      fail("ends in the middle of a value")
    }
    this.at += width - 1
  }

  /** Skips a block; returns its length. */
  passBlock(): number {
    const size = this.count()
    this.at += size
    return size
  }

  bigUint(): bigint {
    return this.wide()
  }

  bigInt(): bigint {
    const n = this.wide()
    return (n & 1n) === 1n ? -(n >> 1n) - 1n : n >> 1n
  }

  uint(): number {
    return this.word() ?? safe(this.wide())
  }

  int(): number {
    const n = this.word()
    return n === undefined ? safe(this.bigInt()) : n % 2 === 1 ? -(n - 1) / 2 - 1 : n / 2
  }

  float(): number {
    scratch.setBigUint64(0, this.wide())
    return scratch.getFloat64(0, true)
  }

  /**
   * Reads the number of elements that follow, each of at least one byte. Throws when that exceeds the bytes left,
   * before memory is allocated for them.
   */
  count(): number {
    const n = this.word() ?? this.wide()
    return n > this.left ? fail(`says that ${n} items follow, in ${this.left} bytes`) : Number(n)
  }

  block(): Uint8Array {
    const size = this.count()
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }

  text(): string {
    const block = this.block()
    return Result.getOrThrowWith(
      Result.try(() => fromUtf8.decode(block)),
      () => new Problem("has a string that is not UTF-8: read it as bytes, with Schema.Uint8ArrayFromSelf")
    )
  }
}

/** Returns how many bytes a number takes, from its first byte. @internal */
export const widthOf = (first: number): number =>
  first < 128 ? 1 : first < 248 ? fail("has a number of more than 8 bytes") : 257 - first

const safe = (n: bigint): number =>
  n > BigInt(Number.MAX_SAFE_INTEGER) || n < BigInt(Number.MIN_SAFE_INTEGER)
    ? fail("has an integer that a number does not hold: use Gob.Int64 or Gob.Uint64")
    : Number(n)
