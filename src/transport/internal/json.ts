/**
 * JSON from a peer: read with care, and told of in few words.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"

/** Far deeper than any message, and not so deep that code which recurses over one runs out of stack. @internal */
export const maxDepth = 1_000

const quote = 0x22
const backslash = 0x5c
const isOpening = (byte: number) => byte === 0x7b || byte === 0x5b
const isClosing = (byte: number) => byte === 0x7d || byte === 0x5d

/**
 * Follows the brackets of JSON byte by byte, and tells them from those in strings.
 *
 * @internal
 */
export class Nesting {
  depth = 0
  private inString = false
  private escaped = false

  next(byte: number): void {
    if (this.inString) {
      if (this.escaped) {
        this.escaped = false
      } else if (byte === backslash) {
        this.escaped = true
      } else if (byte === quote) {
        this.inString = false
      }
    } else if (byte === quote) {
      this.inString = true
    } else if (isOpening(byte)) {
      this.depth++
    } else if (isClosing(byte)) {
      this.depth--
    }
  }
}

const isTooDeep = (bytes: Uint8Array): boolean => {
  const nesting = new Nesting()
  for (const byte of bytes) {
    nesting.next(byte)
    if (nesting.depth > maxDepth) {
      return true
    }
  }
  return false
}

/** How much of a text is shown. */
const maxExcerpt = 200

const shorten = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ").trim()
  return line.length > maxExcerpt ? `${line.slice(0, maxExcerpt)}...` : line
}

/** Of a body of any size only the start is looked at. */
const startOf = (bytes: Uint8Array): string => shorten(new TextDecoder().decode(bytes.subarray(0, 4 * maxExcerpt)))

const show = (bytes: Uint8Array, text: string): string => {
  const start = startOf(bytes)
  return start === "" ? "an empty body" : start.startsWith("<") ? "a page of HTML or XML" : text + start
}

/**
 * A body that is to be shown to a person.
 *
 * @internal
 */
export const excerpt = (bytes: Uint8Array): string => show(bytes, "")

/**
 * The value, or in a few words what came in its place.
 *
 * @internal
 */
export const parse = (bytes: Uint8Array): Either.Either<unknown, string> => {
  if (isTooDeep(bytes)) {
    return Either.left(`nested deeper than ${maxDepth} levels`)
  }
  const text = Either.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  return Either.isLeft(text)
    ? Either.left("not UTF-8")
    : Either.try({ try: () => JSON.parse(text.right) as unknown, catch: () => show(bytes, "not JSON: ") })
}

/**
 * A value in a few words, whatever its size.
 *
 * @internal
 */
export const describe = (value: unknown): string =>
  value === undefined
    ? "nothing"
    : value === null || typeof value === "boolean" || typeof value === "number"
    ? String(value)
    : typeof value === "string"
    ? JSON.stringify(shorten(value.slice(0, 4 * maxExcerpt)))
    : Array.isArray(value)
    ? `an array of ${value.length}`
    : Predicate.isObject(value)
    ? "an object"
    : `a ${typeof value}`
