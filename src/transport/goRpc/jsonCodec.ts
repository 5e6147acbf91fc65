/**
 * The codec of `net/rpc/jsonrpc`: `{ method, params: [args], id }` for requests, `{ id, result, error }` for answers.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "../../internal/result.js"
import { Fatal } from "../../RpcError.js"
import * as Schemas from "../shared/schemas.js"
import { type Codec, serverError } from "./codec.js"
import * as JsonFrames from "./jsonFrames.js"
import type * as Session from "./session.js"

interface Request {
  readonly method: string
  readonly params: unknown
}

/** The result of an answer, with the size of the answer in bytes. */
class RawResult {
  constructor(readonly value: unknown, readonly length: number) {}
}

const wire = (maxFrameBytes: number): Session.Wire<Request> => {
  const splitter = JsonFrames.make(maxFrameBytes)
  let batch = ""
  return {
    encode: (id, { method, params }) =>
      Result.try({
        try: () => {
          batch += JSON.stringify({ method, params: [params], id }) + "\n"
        },
        catch: Schemas.badArguments
      }),
    size: () => batch.length,
    take: () => {
      const taken = batch
      batch = ""
      return taken
    },
    decode: (chunk) => {
      const { frames, lengths, problem, refused } = splitter.push(chunk)
      const answers = refused.map(refusedAnswer)
      for (let i = 0; i < frames.length; i++) {
        const answer = answerOf(frames[i], lengths[i]!)
        if (Result.isFailure(answer)) {
          return { answers, problem: Result.failureOf(answer) }
        }
        answers.push(Result.successOf(answer))
      }
      return { answers, problem }
    }
  }
}

/**
 * Returns the answer for a frame that was refused. The text of an error is kept with some characters replaced; a result
 * is never altered.
 */
const refusedAnswer = ({ id, problem, readable }: JsonFrames.Refused): Session.Answer => {
  const error = errorOf(readable)
  return {
    id,
    result: Result.fail(
      error === null
        ? new Fatal({ reason: "Protocol", message: `the peer sent ${problem}` })
        : serverError(error)
    )
  }
}

const errorOf = (frame: unknown): unknown => Predicate.hasProperty(frame, "error") ? frame.error : null

const answerOf = (frame: unknown, length: number): Result.Result<Session.Answer, string> => {
  if (!Predicate.hasProperty(frame, "id") || !Predicate.isNumber(frame.id) || !Number.isInteger(frame.id)) {
    return Result.fail("an answer without a request id")
  }
  const error = errorOf(frame)
  const result = Predicate.hasProperty(frame, "result") ? frame.result : null
  return Result.succeed({
    id: frame.id,
    result: error === null ? Result.succeed(new RawResult(result, length)) : Result.fail(serverError(error))
  })
}

/** @internal */
export const codec: Codec<Request> = {
  request: (method, args, { args: schema }) =>
    Effect.map(Schemas.encoded(args, schema), (params) => ({ method, params })),
  ping: (method) => ({ method, params: {} }),
  wire,
  reply: (answer, { reply }) => {
    const { length, value } = answer as RawResult
    return length > Schemas.long ? Schemas.decodedLong(value, reply) : Schemas.decoded(value, reply)
  }
}
