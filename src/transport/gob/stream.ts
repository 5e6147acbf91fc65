/**
 * Cuts a stream of bytes into values as the bytes arrive.
 *
 * @internal
 */
import { Inbox } from "../connection/inbox.js"
import * as Limit from "../shared/limit.js"
import { fail, Reader, widthOf } from "./bytes.js"
import { maxDefinitions, Types } from "./types.js"
import { Walker } from "./walker.js"

/**
 * A value that was received and is not decoded yet.
 *
 * - `types`: the types that the stream has defined.
 * - `parts`: the messages of the value; only its beginning when it is refused.
 * - `length`: its size in bytes.
 * - `limit`: the limit of the stream.
 * - `problem`: why it is refused.
 *
 * @internal
 */
export interface Value {
  readonly types: Types
  readonly parts: ReadonlyArray<Uint8Array>
  readonly length: number
  readonly limit: Limit.Limit
  readonly problem: string | undefined
}

/** How much of a refused value is kept, in bytes. */
const beginning = 256

/**
 * @internal
 */
export class Stream {
  private readonly types = new Types()
  private readonly inbox = new Inbox()
  /** The length of the current message, once it is known. */
  private size: number | undefined
  /** How many bytes of a skipped message are still to come. */
  private passing = 0
  private parts: Array<Uint8Array> = []
  private length = 0
  private walker: Walker | undefined
  private problem: string | undefined

  constructor(private readonly limit: Limit.Limit) {}

  /**
   * Gives the values that are complete with these bytes, and one over the limit, with its `problem`, as soon as it
   * begins. Throws a `Problem` when the bytes are not gob, or the end of a value cannot be found.
   */
  push(chunk: Uint8Array, give: (value: Value) => void): void {
    this.inbox.push(chunk)
    for (let bytes = this.message(give); bytes !== undefined; bytes = this.message(give)) {
      if (this.isComplete(bytes)) {
        this.give(give)
      }
    }
  }

  private give(give: (value: Value) => void): void {
    const { length, limit, parts, problem, types } = this
    this.parts = []
    this.length = 0
    this.walker = undefined
    this.problem = undefined
    give({ types, parts, length, limit, problem })
  }

  /** Returns whether a value ends with this message. */
  private isComplete(bytes: Uint8Array): boolean {
    const reader = new Reader(bytes)
    if (this.walker === undefined) {
      const id = this.types.message(bytes)
      if (id === undefined) {
        return false
      }
      this.add(bytes)
      if (!this.types.isManifold(id)) {
        return true
      }
      this.types.single(reader, reader.int())
      this.walker = new Walker(this.types, (id, reader) => this.types.define(id, reader), id, 0)
    } else {
      this.add(bytes)
    }
    const isAtEnd = this.walker.walk(reader) === true
    this.problem ??= this.walker.problem
    return isAtEnd
  }

  private add(bytes: Uint8Array): void {
    this.parts.push(bytes)
    this.length += bytes.length
    if (this.length > this.limit.bytes) {
      this.problem ??= this.tooLong
      this.parts = [this.parts[0]!.slice(0, beginning)]
    }
  }

  private message(give: (value: Value) => void): Uint8Array | undefined {
    while (this.isPast()) {
      this.size ??= this.header()
      if (this.size === undefined) {
        return undefined
      }
      if (this.size <= this.limit.bytes || this.isDefinition(this.size) === true) {
        return this.size > this.inbox.length ? undefined : this.take(this.size)
      }
      if (this.inbox.length < Math.min(this.size, beginning)) {
        return undefined
      }
      this.refuse(this.size, give)
    }
    return undefined
  }

  /** Skips received bytes. Returns whether the whole message was skipped. */
  private isPast(): boolean {
    const length = Math.min(this.passing, this.inbox.length)
    this.inbox.take(length)
    this.passing -= length
    return this.passing === 0
  }

  private take(size: number): Uint8Array {
    this.size = undefined
    return this.inbox.take(size)
  }

  /** Returns whether a message over the limit is a definition; `undefined` when that is not known yet. */
  private isDefinition(size: number): boolean | undefined {
    if (size > Limit.maxSkipped) {
      return fail(this.tooLong)
    }
    const bytes = this.inbox.peek()
    if (bytes.length === 0 || bytes.length < widthOf(bytes[0]!)) {
      return undefined
    }
    const isDefinition = this.walker === undefined && new Reader(bytes).int() < 0
    return isDefinition && size > maxDefinitions + beginning ? fail(this.tooLong) : isDefinition
  }

  private get tooLong(): string {
    return `has ${Limit.tooLong("a value", this.limit)}`
  }

  /**
   * Refuses a message over the limit and skips it. Throws when its value may continue in the next message: then its end
   * is not known.
   */
  private refuse(size: number, give: (value: Value) => void): void {
    const id = new Reader(this.inbox.peek()).int()
    if (this.walker !== undefined || !this.types.has(id) || this.types.isManifold(id)) {
      fail(this.tooLong)
    }
    this.parts = [this.inbox.peek().slice(0, beginning)]
    this.length = size
    this.problem = this.tooLong
    this.passing = size
    this.size = undefined
    this.give(give)
  }

  private header(): number | undefined {
    const bytes = this.inbox.peek()
    if (bytes.length === 0 || bytes.length < widthOf(bytes[0]!)) {
      return undefined
    }
    const reader = new Reader(bytes)
    const size = reader.uint()
    this.inbox.take(bytes.length - reader.left)
    return size
  }
}
