/**
 * Cuts a stream of bytes into the values in it, as the bytes come.
 *
 * @internal
 */
import { Inbox } from "../inbox.js"
import { fail, Reader, widthOf } from "./bytes.js"
import { type More, Types } from "./types.js"

/**
 * A value that has come, not read yet: the messages it is in, and the types they speak of.
 *
 * @internal
 */
export interface Value {
  readonly types: Types
  readonly parts: ReadonlyArray<Uint8Array>
}

/**
 * @internal
 */
export class Stream {
  private readonly types = new Types()
  private readonly inbox = new Inbox()
  /** The length of the message that is being read, once known. */
  private size: number | undefined
  private parts: Array<Uint8Array> = []
  private length = 0
  private walk: More | undefined

  constructor(private readonly maxBytes: number) {}

  /** Gives out the values that are complete with these bytes. It throws a `Problem` where the stream is no gob. */
  push(chunk: Uint8Array, give: (value: Value) => void): void {
    this.inbox.push(chunk)
    for (let bytes = this.message(); bytes !== undefined; bytes = this.message()) {
      if (this.isComplete(bytes)) {
        const value: Value = { types: this.types, parts: this.parts }
        this.parts = []
        this.length = 0
        this.walk = undefined
        give(value)
      }
    }
  }

  /** Whether a value ends with this message. */
  private isComplete(bytes: Uint8Array): boolean {
    if (this.walk === undefined) {
      const id = this.types.message(bytes)
      if (id === undefined) {
        return false
      }
      this.add(bytes)
      if (!this.types.isManifold(id)) {
        return true
      }
      this.walk = this.types.walk(bytes)
      return this.walk.next(bytes).done === true
    }
    this.add(bytes)
    return this.walk.next(bytes).done === true
  }

  private add(bytes: Uint8Array): void {
    this.parts.push(bytes)
    this.length += bytes.length
    this.check(this.length)
  }

  private check(size: number): void {
    if (size > this.maxBytes) {
      fail(`has a value of more than ${this.maxBytes} bytes`)
    }
  }

  private message(): Uint8Array | undefined {
    this.size ??= this.header()
    if (this.size === undefined || this.size > this.inbox.length) {
      return undefined
    }
    const bytes = this.inbox.take(this.size)
    this.size = undefined
    return bytes
  }

  private header(): number | undefined {
    const bytes = this.inbox.peek()
    if (bytes.length === 0 || bytes.length < widthOf(bytes[0]!)) {
      return undefined
    }
    const reader = new Reader(bytes)
    const size = reader.uint()
    this.check(size)
    this.inbox.take(bytes.length - reader.left)
    return size
  }
}
