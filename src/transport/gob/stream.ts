/**
 * Cuts a stream of bytes into the values in it, as the bytes come.
 *
 * @internal
 */
import { Inbox } from "../connection/inbox.js"
import * as Limit from "../shared/limit.js"
import { fail, Reader, widthOf } from "./bytes.js"
import { maxDefinitions, Types } from "./types.js"
import { Walker } from "./walker.js"

/**
 * A value that has come, not read yet.
 *
 * - `types`: the types that its messages speak of.
 * - `parts`: the messages it is in; of one that is not to be read only the beginning.
 * - `length`: of how many bytes they are.
 * - `limit`: that of the stream.
 * - `problem`: why it is not to be read.
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

/** How much is kept of a value that is not to be read. */
const beginning = 256

/**
 * @internal
 */
export class Stream {
  private readonly types = new Types()
  private readonly inbox = new Inbox()
  /** The length of the message that is being read, once known. */
  private size: number | undefined
  /** What is still to come of a message that is passed over. */
  private passing = 0
  private parts: Array<Uint8Array> = []
  private length = 0
  private walker: Walker | undefined
  private problem: string | undefined

  constructor(private readonly limit: Limit.Limit) {}

  /**
   * Gives out the values that are complete with these bytes; one over the limit, with its `problem`, as soon as it begins. It
   * throws a `Problem` where the stream is no gob, or where it is not known where a value ends.
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

  /** Whether a value ends with this message. */
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
    const isAtEnd = this.walker.walk(reader)
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

  /** Whether what is passed over has been passed. */
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

  /** Of a message over the limit; `undefined` where it is not known yet. */
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

  /** Passes over a message over the limit; one whose value may go on in the next message cannot be passed over. */
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
