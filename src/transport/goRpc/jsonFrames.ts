/**
 * Cuts a stream of bytes into JSON objects, with or without white space between them: it follows brackets and strings,
 * and leaves the rest to `JSON.parse`.
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
 * What is complete with this chunk.
 *
 * - `frames`: the objects, in order; `lengths`: of how many bytes each was.
 * - `refused`: those that are not given out, though it is known where they end and whose they are.
 * - `problem`: why the stream cannot be read after them.
 *
 * @internal
 */
export interface Frames {
  readonly frames: ReadonlyArray<unknown>
  readonly lengths: ReadonlyArray<number>
  readonly refused: ReadonlyArray<Refused>
  readonly problem: string | undefined
}

/**
 * An object that cannot be given out.
 *
 * - `id`: what it has as its `id`.
 * - `problem`: why.
 * - `readable`: where only its text is wrong, all of it with U+FFFD for what is no UTF-8.
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

/** One object on its way. */
class Frame {
  private readonly scanner = new Json.Scanner()
  private readonly inbox = new Inbox()
  length = 0
  private last = 0
  problem: string | undefined
  isTold = false

  constructor(private readonly limit: Limit.Limit) {}

  /** Takes its bytes from a chunk; returns where it ended, or the chunk did. */
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

  /** `Left` with the reason why it is not given out. */
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
    const frames: Array<unknown> = []
    const lengths: Array<number> = []
    const refused: Array<Refused> = []
    const stop = (problem: string | undefined): Frames => ({ frames, lengths, refused, problem })
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
      // one that is refused is told of as soon as it is known whose it is
      if (frame.problem !== undefined && !frame.isTold && frame.id !== undefined) {
        frame.isTold = true
        refused.push({ id: frame.id, problem: frame.problem })
      }
      if (frame.problem !== undefined && frame.length > (frame.isTold ? Limit.maxSkipped : maxFrameBytes)) {
        return stop(frame.problem)
      }
      if (frame.isComplete) {
        const { length, problem } = frame
        if (problem === undefined) {
          const value = frame.read()
          if (Result.isSuccess(value)) {
            frames.push(Result.successOf(value))
            lengths.push(length)
          } else if (frame.id === undefined) {
            return stop(Result.failureOf(value).problem)
          } else {
            refused.push({ id: frame.id, ...Result.failureOf(value) })
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
