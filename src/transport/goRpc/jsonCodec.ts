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
      const { frames, problem } = splitter.push(chunk)
      const answers: Array<Session.Answer> = []
      for (const frame of frames) {
        const answer = "problem" in frame ? Result.succeed(refusedAnswer(frame)) : answerOf(frame)
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

const answerOf = ({ length, value }: JsonFrames.Parsed): Result.Result<Session.Answer, string> => {
  if (!Predicate.hasProperty(value, "id") || !Predicate.isNumber(value.id) || !Number.isInteger(value.id)) {
    return Result.fail("an answer without a request id")
  }
  const error = errorOf(value)
  const result = Predicate.hasProperty(value, "result") ? value.result : null
  return Result.succeed({
    id: value.id,
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
