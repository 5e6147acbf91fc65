/**
 * The codec of `net/rpc/jsonrpc`: `{ method, params: [args], id }` one way, `{ id, result, error }` the other.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { type Codec, serverError } from "./goCodec.js"
import * as JsonFrames from "./jsonFrames.js"
import * as Schemas from "./schemas.js"
import type * as Session from "./session.js"

interface Request {
  readonly method: string
  readonly params: unknown
}

const wire = (maxFrameBytes: number): Session.Wire<Request> => {
  const splitter = JsonFrames.make(maxFrameBytes)
  let batch = ""
  return {
    encode: (id, { method, params }) =>
      Either.try({
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
        const answer = answerOf(frame)
        if (Either.isLeft(answer)) {
          return { answers, problem: answer.left }
        }
        answers.push(answer.right)
      }
      return { answers, problem }
    }
  }
}

const answerOf = (frame: unknown): Either.Either<Session.Answer, string> => {
  if (!Predicate.hasProperty(frame, "id") || !Predicate.isNumber(frame.id) || !Number.isInteger(frame.id)) {
    return Either.left("an answer without a request id")
  }
  const error = Predicate.hasProperty(frame, "error") ? frame.error : null
  const result = Predicate.hasProperty(frame, "result") ? frame.result : null
  return Either.right({
    id: frame.id,
    result: error === null ? Either.right(result) : Either.left(serverError(error))
  })
}

/** @internal */
export const codec: Codec<Request> = {
  request: (method, args, { args: schema }) =>
    Effect.map(Schemas.encoded(args, schema), (params) => ({ method, params })),
  ping: (method) => ({ method, params: {} }),
  wire,
  reply: (answer, { reply }) => Schemas.decoded(answer, reply)
}
