/**
 * Cuts a stream of bytes into JSON objects, with or without white space between them: it follows brackets and strings,
 * and leaves the rest to `JSON.parse`.
 *
 * @internal
 */
import * as Either from "effect/Either"
import { Inbox } from "./inbox.js"
import { maxDepth, Nesting } from "./json.js"

/** @internal */
export interface Splitter {
  readonly push: (chunk: Uint8Array) => Frames
}

/**
 * The objects that are complete with this chunk, and why the stream cannot be read after them.
 *
 * @internal
 */
export interface Frames {
  readonly frames: ReadonlyArray<unknown>
  readonly problem: string | undefined
}

const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const parse = (bytes: Uint8Array): Either.Either<unknown, string> =>
  Either.try({
    try: () => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown,
    catch: (error) => `not JSON: ${error instanceof Error ? error.message : String(error)}`
  })

/** @internal */
export const make = (maxFrameBytes: number): Splitter => {
  const inbox = new Inbox()
  /** Of the object that is being read. */
  let size = 0
  const nesting = new Nesting()

  const push = (chunk: Uint8Array): Frames => {
    const frames: Array<unknown> = []
    const stop = (problem: string): Frames => ({ frames, problem })
    inbox.push(chunk)
    for (const byte of chunk) {
      if (nesting.depth === 0) {
        if (isSpace(byte)) {
          inbox.take(1)
          continue
        }
        if (byte !== 0x7b) {
          return stop(`not a JSON object: it starts with byte 0x${byte.toString(16).padStart(2, "0")}`)
        }
      }
      nesting.next(byte)
      if (nesting.depth > maxDepth) {
        return stop(`nested deeper than ${maxDepth} levels`)
      }
      size++
      if (size > maxFrameBytes) {
        return stop(`a frame of more than ${maxFrameBytes} bytes`)
      }
      if (nesting.depth === 0) {
        const value = parse(inbox.take(size))
        if (Either.isLeft(value)) {
          return stop(value.left)
        }
        frames.push(value.right)
        size = 0
      }
    }
    return { frames, problem: undefined }
  }

  return { push }
}
