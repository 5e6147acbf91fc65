const nothing: Uint8Array = new Uint8Array()

/**
 * Buffers received bytes in one piece until they are taken. Whatever the size of the chunks, it allocates at most twice
 * the bytes that it holds, and copies each byte a few times at most.
 *
 * @internal
 */
export class Inbox {
  private bytes = nothing
  private start = 0
  private end = 0

  get length(): number {
    return this.end - this.start
  }

  push(chunk: Uint8Array): void {
    if (this.length === 0) {
      // not Node's `Buffer`, whose `slice` does not copy
      this.bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
      this.start = 0
      this.end = chunk.length
      return
    }
    if (this.end + chunk.length > this.bytes.length) {
      const bytes = new Uint8Array(2 * (this.length + chunk.length))
      bytes.set(this.bytes.subarray(this.start, this.end))
      this.end = this.length
      this.start = 0
      this.bytes = bytes
    }
    this.bytes.set(chunk, this.end)
    this.end += chunk.length
  }

  /** Returns all bytes that were received and not taken. They are never overwritten. */
  peek(): Uint8Array {
    return this.bytes.subarray(this.start, this.end)
  }

  take(length: number): Uint8Array {
    this.start += length
    const taken = this.bytes.subarray(this.start - length, this.start)
    if (this.length === 0) {
      // release the memory: an idle connection must not keep its last answer
      this.bytes = nothing
      this.start = 0
      this.end = 0
    }
    return taken
  }
}
