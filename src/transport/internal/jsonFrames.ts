/**
 * Cuts a stream of bytes into JSON objects, with or without white space between them: it follows brackets and strings,
 * and leaves the rest to `JSON.parse`.
 *
 * @internal
 */
import * as Either from "effect/Either"

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

/** Far deeper than any message, and not so deep that code which recurses over one runs out of stack. */
const maxDepth = 1_000

const quote = 0x22
const backslash = 0x5c
const isOpening = (byte: number) => byte === 0x7b || byte === 0x5b
const isClosing = (byte: number) => byte === 0x7d || byte === 0x5d
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const parse = (parts: ReadonlyArray<Uint8Array>): Either.Either<unknown, string> =>
  Either.try({
    try: () => {
      const decoder = new TextDecoder("utf-8", { fatal: true })
      const text = parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode()
      return JSON.parse(text) as unknown
    },
    catch: (error) => `not JSON: ${error instanceof Error ? error.message : String(error)}`
  })

/** @internal */
export const make = (maxFrameBytes: number): Splitter => {
  let parts: Array<Uint8Array> = []
  let size = 0
  let depth = 0
  let inString = false
  let escaped = false

  const push = (chunk: Uint8Array): Frames => {
    const frames: Array<unknown> = []
    const stop = (problem: string): Frames => ({ frames, problem })
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!
      if (depth === 0) {
        if (isSpace(byte)) {
          continue
        }
        if (byte !== 0x7b) {
          return stop(`not a JSON object: it starts with byte 0x${byte.toString(16).padStart(2, "0")}`)
        }
        start = i
        depth = 1
      } else if (inString) {
        if (escaped) {
          escaped = false
        } else if (byte === backslash) {
          escaped = true
        } else if (byte === quote) {
          inString = false
        }
      } else if (byte === quote) {
        inString = true
      } else if (isOpening(byte)) {
        depth++
        if (depth > maxDepth) {
          return stop(`nested deeper than ${maxDepth} levels`)
        }
      } else if (isClosing(byte)) {
        depth--
      }
      if (size + i - start + 1 > maxFrameBytes) {
        return stop(`a frame of more than ${maxFrameBytes} bytes`)
      }
      if (depth === 0) {
        parts.push(chunk.subarray(start, i + 1))
        const value = parse(parts)
        if (Either.isLeft(value)) {
          return stop(value.left)
        }
        frames.push(value.right)
        parts = []
        size = 0
      }
    }
    if (depth > 0) {
      parts.push(chunk.subarray(start))
      size += chunk.length - start
    }
    return { frames, problem: undefined }
  }

  return { push }
}
