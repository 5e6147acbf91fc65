/**
 * Cuts a stream of bytes into JSON objects, with or without white space between them. Follows only brackets and
 * strings; `JSON.parse` does the rest.
 *
 * @internal
 */
import * as Result from "../../internal/result.js"
import { Inbox } from "../connection/inbox.js"
import * as Json from "../shared/json.js"
import * as Limit from "../shared/limit.js"

/** @internal */
export interface Splitter {
  readonly push: (chunk: Uint8Array) => Frames
}

/**
 * What is known with a chunk.
 *
 * - `frames`: the objects that are complete and those that are refused, in order.
 * - `problem`: why the stream cannot be read after them.
 *
 * @internal
 */
export interface Frames {
  readonly frames: ReadonlyArray<Parsed | Refused>
  readonly problem: string | undefined
}

/**
 * An object that was parsed.
 *
 * - `length`: its size in bytes.
 *
 * @internal
 */
export interface Parsed {
  readonly value: unknown
  readonly length: number
}

/**
 * An object that is not returned.
 *
 * - `id`: its `id`.
 * - `problem`: why.
 * - `readable`: the object with U+FFFD in place of invalid UTF-8, when that is the only problem.
 *
 * @internal
 */
export interface Refused {
  readonly id: number
  readonly problem: string
  readonly readable?: unknown
}

const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const strict = new TextDecoder("utf-8", { fatal: true })
const lenient = new TextDecoder("utf-8")

const json = (text: string): Result.Result<unknown, string> =>
  Result.try({ try: () => JSON.parse(text) as unknown, catch: () => "not JSON" })

/** One object while it is received. */
class Frame {
  private readonly scanner = new Json.Scanner()
  private readonly inbox = new Inbox()
  length = 0
  private last = 0
  problem: string | undefined
  isTold = false

  constructor(private readonly limit: Limit.Limit) {}

  /** Takes the bytes of the object from a chunk. Returns where the object or the chunk ends. */
  take(chunk: Uint8Array, from: number): number {
    const end = this.scanner.scan(chunk, from)
    this.length += end - from
    this.last = chunk[end - 1]!
    this.problem ??= this.refusal()
    if (this.problem === undefined) {
      this.inbox.push(chunk.subarray(from, end))
    } else {
      this.inbox.take(this.inbox.length)
    }
    return end
  }

  private refusal(): string | undefined {
    if (this.length > this.limit.bytes) {
      return Limit.tooLong("a frame", this.limit)
    }
    const problem = Json.refusal(this.scanner, this.limit)
    return problem === undefined ? undefined : `a frame ${problem}`
  }

  get isComplete(): boolean {
    return this.scanner.depth <= 0
  }

  get id(): number | undefined {
    return this.scanner.id
  }

  /** Parses the object, or fails with the reason why it is not returned. */
  read(): Result.Result<unknown, { readonly problem: string; readonly readable?: unknown }> {
    if (this.last !== 0x7d) {
      this.scanner.id = undefined
      return Result.fail({ problem: "not JSON" })
    }
    const bytes = this.inbox.take(this.inbox.length)
    const text = Result.try(() => strict.decode(bytes))
    if (Result.isSuccess(text)) {
      return Result.mapError(json(Result.successOf(text)), (problem) => ({ problem }))
    }
    const problem = "not JSON: it is not UTF-8"
    const readable = json(lenient.decode(bytes))
    return Result.fail(Result.isSuccess(readable) ? { problem, readable: Result.successOf(readable) } : { problem })
  }
}

/** @internal */
export const make = (maxFrameBytes: number): Splitter => {
  const limit: Limit.Limit = { bytes: maxFrameBytes, option: "maxFrameBytes" }
  let frame: Frame | undefined

  const push = (chunk: Uint8Array): Frames => {
    const frames: Array<Parsed | Refused> = []
    const stop = (problem: string | undefined): Frames => ({ frames, problem })
    for (let at = 0; at < chunk.length;) {
      if (frame === undefined) {
        const byte = chunk[at]!
        if (isSpace(byte)) {
          at++
          continue
        }
        if (byte !== 0x7b) {
          return stop(`not a JSON object: it starts with byte 0x${byte.toString(16).padStart(2, "0")}`)
        }
        frame = new Frame(limit)
      }
      at = frame.take(chunk, at)
      // report a refused object as soon as its id is known
      if (frame.problem !== undefined && !frame.isTold && frame.id !== undefined) {
        frame.isTold = true
        frames.push({ id: frame.id, problem: frame.problem })
      }
      if (frame.problem !== undefined && frame.length > (frame.isTold ? Limit.maxSkipped : maxFrameBytes)) {
        return stop(frame.problem)
      }
      if (frame.isComplete) {
        const { length, problem } = frame
        if (problem === undefined) {
          const value = frame.read()
          if (Result.isSuccess(value)) {
            frames.push({ value: Result.successOf(value), length })
          } else if (frame.id === undefined) {
            return stop(Result.failureOf(value).problem)
          } else {
            frames.push({ id: frame.id, ...Result.failureOf(value) })
          }
        } else if (!frame.isTold) {
          return stop(problem)
        }
        frame = undefined
      }
    }
    return stop(undefined)
  }

  return { push }
}
