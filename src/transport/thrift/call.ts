/**
 * Makes calls over a pool of connections, from the arguments to the result.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal, withMethod } from "../../RpcError.js"
import * as ServerError from "../shared/serverError.js"
import type { Frames } from "./frames.js"
import * as Message from "./message.js"
import type { Pool } from "./pool.js"
import type { Request } from "./session.js"

/** The reasons for the codes of `TApplicationException`. Codes from 20 are Kitex's own. */
const codes: Readonly<Record<number, Fatal["reason"]>> = {
  1: "Unimplemented",
  2: "Protocol",
  3: "Protocol",
  4: "Protocol",
  5: "Protocol",
  7: "Protocol",
  8: "Protocol",
  9: "Protocol",
  10: "Protocol",
  20: "Unimplemented",
  21: "Unimplemented"
}

/** A `BizStatusError` of Kitex: an error of the application. */
class BizStatus extends Message.Undeclared {
  constructor(code: number, message: string, extra: string | undefined) {
    super(code, message, { code, message, extra })
  }
}

const reasonOf = (exception: Message.ServerException): Fatal["reason"] =>
  exception instanceof BizStatus ? "ServerError" : codes[exception.code] ?? "ServerError"

/** Returns whether client and server disagree on the protocol, so that the start of the next message is not certain. */
const isMisunderstood = (answer: Message.Answer): boolean =>
  Result.match(answer, {
    onFailure: (error) => error instanceof Message.Undeclared && reasonOf(error) !== "ServerError",
    onSuccess: () => false
  })

/** Reads the status that Kitex puts into the headers of an empty message. */
const statusOf = (headers: ReadonlyMap<string, string>): BizStatus | undefined => {
  const code = Number(headers.get("biz-status") ?? 0)
  return Number.isInteger(code) && code !== 0
    ? new BizStatus(code, headers.get("biz-message") ?? "", headers.get("biz-extra"))
    : undefined
}

/** Returns a function that reads an answer, and throws the problem with it. */
const reader = (
  frames: Frames,
  decode: (message: Uint8Array) => Message.Answer | Message.OtherAnswer
): NonNullable<Request<Message.Answer>["read"]> => {
  let readFrame = frames.reader()
  let skipped = 0
  const read: NonNullable<Request<Message.Answer>["read"]> = (bytes, wantedNone) => {
    const frame = readFrame(bytes.subarray(skipped))
    if ("needed" in frame) {
      return frame
    }
    const { headers, length, payload } = frame
    const status = statusOf(headers)
    const answer = status === undefined ? decode(payload) : Result.fail(status)
    skipped += length
    if (answer instanceof Message.OtherAnswer) {
      if (!wantedNone(answer.id)) {
        throw new Excerpt.Problem(answer.problem)
      }
      readFrame = frames.reader()
      return read(bytes, wantedNone)
    }
    // Kitex sends `crrst` when it is about to close; a server that could not read the request often closes too
    return { answer, length: skipped, isLast: headers.has("crrst") || isMisunderstood(answer) }
  }
  return read
}

interface Options {
  readonly codec: Message.Codec
  readonly frames: Frames
  readonly pool: Pool<Message.Answer>
  readonly retryOn: (exception: Message.ServerException) => boolean
}

/** Returns the next sequence id, a positive integer of 32 bits, which servers send back. @internal */
export const nextId = (last: number): number => last === 0x7fffffff ? 1 : last + 1

/** Makes attempts. They fail with errors of the attempt, or with an exception that the method declares. @internal */
export const caller = ({ codec, frames, pool, retryOn }: Options) => {
  let lastId = 0

  const resultOf = (answer: Message.Answer | undefined, method: string): Effect.Effect<unknown, unknown> => {
    if (answer === undefined) {
      return Effect.void
    }
    if (Result.isSuccess(answer)) {
      return Effect.succeed(Result.successOf(answer))
    }
    const exception = Result.failureOf(answer)
    if (exception instanceof Message.Declared) {
      return Effect.fail(exception.exception)
    }
    const { cause } = exception
    return Effect.fail(
      withMethod(ServerError.failureOf(exception, { retryOn, reason: reasonOf(exception), cause }), method)
    )
  }

  return (
    procedure: Message.Procedure,
    method: string,
    args: ReadonlyArray<unknown>
  ): Effect.Effect<unknown, unknown> =>
    Effect.suspend(() => {
      const id = nextId(lastId)
      lastId = id
      const read = procedure.isOneway
        ? undefined
        : reader(frames, (message) => codec.decode(procedure, id, message))
      const encoded = codec.encode(procedure, id, args)
      if (Result.isFailure(encoded)) {
        return Effect.fail(withMethod(Result.failureOf(encoded), method))
      }
      const message = Result.successOf(encoded)
      // the time that remains is that of the moment when a connection is there
      const written = Effect.flatMap(Deadline.facts, (facts) =>
        Result.try({
          try: () => frames.write(message, procedure, id, facts),
          catch: (failure) => {
            const { cause, words } = Excerpt.explain(failure)
            return new Fatal({ reason: "InvalidArgument", message: `the headers cannot be written: ${words}`, cause })
          }
        }))
      const answered = Deadline.whileUnsent((progress) =>
        pool(
          progress,
          (session) => Effect.flatMap(written, (bytes) => session.call({ id, bytes, sending: progress.sending, read }))
        )
      )
      return Effect.matchEffect(answered, {
        onFailure: (error) => Effect.fail(withMethod(error, method)),
        onSuccess: (answer) => resultOf(answer, method)
      })
    })
}
