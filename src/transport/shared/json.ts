/**
 * Reads JSON from a peer within limits, and describes it in messages without quoting it.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import * as Limit from "./limit.js"

/**
 * The deepest nesting that is read. No message is that deep, and code that recurses over one does not run out of stack.
 *
 * @internal
 */
export const maxDepth = 1_000

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const backslash = 0x5c

/**
 * The memory that JSON takes once it is parsed, in bytes, measured with Node 20 on 64 bits. A member with a new name
 * costs more: strings are kept once, and V8 makes a new shape of an object for each of its first names.
 */
const cost = { array: 40, object: 32, slot: 8, string: 24, newName: 80, newShape: 400 }

/** The number of members of an object from which V8 uses a table and makes no shapes. */
const shaped = 1_000

/** The length of a text, in bytes, above which names are told apart. The names of shorter texts cannot cost much. */
const manyNames = 65_536

const prime = 16_777_619
const idHash = Math.imul(0x69, prime) ^ 0x64

/**
 * Scans JSON byte by byte as it arrives: finds where it ends, how deep it is nested, how much memory it would take once
 * it is parsed, and the `id` of an object that is not parsed.
 *
 * @internal
 */
export class Scanner {
  /** The number of open brackets, those in strings excluded. */
  depth = 0
  /** The greatest depth so far. */
  deepest = 0
  /** The estimated memory of the parsed value, in bytes. */
  memory = 0
  /** The `id` of the outermost object, if it is an integer and was scanned. */
  id: number | undefined
  private bytes = 0
  private inString = false
  private escaped = false
  private length = 0
  private hash = 0
  /** The digits of the `id` so far. */
  private digits: string | undefined
  /** The number of members at each depth; 0 for an array. */
  private readonly members: Array<number> = [0]
  private names: Set<number> | undefined

  /** Scans from `from` to the bracket that closes the outermost one, or to the end. Returns where it stopped. */
  scan(bytes: Uint8Array, from: number): number {
    let at = from
    while (at < bytes.length) {
      if (this.inString) {
        at = this.string(bytes, at)
        continue
      }
      const byte = bytes[at++]!
      switch (byte) {
        case quote:
          this.inString = true
          this.length = 0
          this.hash = 0
          this.digits = undefined
          break
        case 0x7b:
          this.open(cost.object)
          break
        case 0x5b:
          this.open(cost.array)
          break
        case 0x7d:
        case 0x5d:
          this.endId()
          this.depth--
          if (this.depth <= 0) {
            this.bytes += at - from
            return at
          }
          break
        case comma:
          this.endId()
          this.memory += this.members[this.level] === 0 ? cost.slot : 0
          break
        case colon:
          this.name(this.bytes + at - from)
          break
        default:
          if (this.digits !== undefined && byte > 0x20) {
            this.digits = this.digits.length < 20 ? this.digits + String.fromCharCode(byte) : undefined
          }
      }
    }
    this.bytes += at - from
    return at
  }

  /** The index into `members`. Deeper levels are refused, so they may share one. */
  private get level(): number {
    return Math.min(this.depth, maxDepth)
  }

  private open(memory: number): void {
    this.depth++
    this.deepest = Math.max(this.deepest, this.depth)
    this.memory += memory
    this.members[this.level] = 0
    this.digits = undefined
  }

  /** Scans to the end of a string, or of the bytes. */
  private string(bytes: Uint8Array, from: number): number {
    let { escaped, hash } = this
    let at = from
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (escaped) {
        escaped = false
      } else if (byte === backslash) {
        escaped = true
      } else if (byte === quote) {
        break
      }
      hash = Math.imul(hash, prime) ^ byte
    }
    this.length += at - from
    this.escaped = escaped
    this.hash = hash
    if (at < bytes.length) {
      this.inString = false
      this.memory += cost.string + this.length
      return at + 1
    }
    return at
  }

  /** Counts the last string as the name of a member. */
  private name(bytes: number): void {
    this.memory += cost.slot - cost.string - this.length
    const members = ++this.members[this.level]!
    if (bytes > manyNames && !(this.names ??= new Set()).has(this.hash)) {
      this.names.add(this.hash)
      this.memory += this.length + (members > shaped ? cost.newName : cost.newShape)
    }
    if (this.depth === 1) {
      this.digits = this.length === 2 && this.hash === idHash ? "" : undefined
    }
  }

  private endId(): void {
    if (this.digits !== undefined && this.depth === 1) {
      this.id = /^-?\d+$/.test(this.digits) ? Number(this.digits) : undefined
    }
    this.digits = undefined
  }
}

/** The longest excerpt of a body, in characters. */
const maxExcerpt = 1_000

/** Decodes only the start of a body, whatever its size. */
const startOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.subarray(0, 4 * maxExcerpt)).trim()

/** Returns the beginning of a body, redacted. @internal */
export const excerpt = (bytes: Uint8Array): Redacted.Redacted<unknown> =>
  Excerpt.of(startOf(bytes).slice(0, maxExcerpt))

/** Describes a body without quoting it. @internal */
export const kindOf = (bytes: Uint8Array): string => {
  const start = startOf(bytes)
  return start === ""
    ? "an empty body"
    : start.startsWith("<")
    ? "a page of HTML or XML"
    : `a body of ${bytes.length} bytes`
}

/** Returns why JSON is not parsed, from what its scanner has found; `undefined` if it is. @internal */
export const refusal = (scanner: Scanner, limit: Limit.Limit): string | undefined =>
  scanner.deepest > maxDepth
    ? `nested deeper than ${maxDepth} levels`
    : scanner.memory > Limit.memoryOf(limit.bytes)
    ? Limit.tooMuch(limit)
    : undefined

/**
 * Parses a value, or fails with a description of what was received instead. A value that would take too much memory is
 * not parsed.
 *
 * - `limit`: default the size of the bytes, at least 4 MiB.
 *
 * @internal
 */
export const parse = (
  bytes: Uint8Array,
  limit: Limit.Limit = { bytes: Math.max(bytes.length, Limit.defaultBytes), option: "maxResponseBytes" }
): Result.Result<unknown, string> => {
  const scanner = new Scanner()
  for (let at = 0; at < bytes.length;) {
    at = scanner.scan(bytes, at)
  }
  const refused = refusal(scanner, limit)
  if (refused !== undefined) {
    return Result.fail(refused)
  }
  const text = Result.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  return Result.isFailure(text)
    ? Result.fail("not UTF-8")
    : Result.try({ try: () => JSON.parse(Result.successOf(text)) as unknown, catch: () => notJson(bytes) })
}

const notJson = (bytes: Uint8Array): string => {
  const kind = kindOf(bytes)
  return kind.endsWith(" bytes") ? `not JSON: ${kind}` : kind
}

/** The longest text of an option that is shown, in characters. */
const maxShown = 200

const shorten = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ").trim()
  return line.length > maxShown ? `${line.slice(0, maxShown)}...` : line
}

/**
 * Describes an option, whatever its size. For a value from a peer use {@link Excerpt.kindOf}, which quotes nothing.
 *
 * @internal
 */
export const describe = (value: unknown): string =>
  value === undefined
    ? "nothing"
    : value === null || typeof value === "boolean" || typeof value === "number"
    ? String(value)
    : typeof value === "string"
    ? JSON.stringify(shorten(value.slice(0, 4 * maxShown)))
    : Array.isArray(value)
    ? `an array of ${value.length}`
    : Predicate.isObject(value)
    ? "an object"
    : `a ${typeof value}`
