/**
 * The codec that `net/rpc` has of its own: gob, a header and a body each way.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Fatal } from "../../RpcError.js"
import { Problem, Writer } from "./gob/bytes.js"
import * as decoder from "./gob/decoder.js"
import { Encoder } from "./gob/encoder.js"
import { Stream, type Value } from "./gob/stream.js"
import * as Type from "./gob/type.js"
import { type Codec, serverError } from "./goCodec.js"
import { badArguments, badReply, guarded } from "./schemas.js"
import type * as Session from "./session.js"

const badSchema = (cause: unknown) =>
  new Fatal({
    reason: "InvalidArgument",
    message: `the schema of the reply is of no use with gob: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause
  })

interface Request {
  readonly method: string
  readonly type: Type.GobType
  readonly value: unknown
}

const structOf = (name: string, fields: Readonly<Record<string, "string" | "uint">>): Type.GobType => {
  const list = Object.entries(fields).map(([name, kind]) => ({ name, type: { kind } }))
  return { kind: "struct", name, fields: () => list }
}

const requestHeader = structOf("Request", { ServiceMethod: "string", Seq: "uint" })
/** Without the `ServiceMethod`, which says what was asked. */
const responseHeader = structOf("Response", { Seq: "uint", Error: "string" })
const nothing = structOf("", {})

interface ResponseHeader {
  readonly Seq: number
  readonly Error: string
}

const problemOf = (failure: unknown): string =>
  failure instanceof Problem ? `gob that ${failure.message}` : `what cannot be read: ${String(failure)}`

const wire = (maxFrameBytes: number): Session.Wire<Request> => {
  const encoder = new Encoder()
  const stream = new Stream(maxFrameBytes)
  const body = new Writer()
  let batch = new Writer()
  let header: ResponseHeader | undefined
  return {
    encode: (id, { method, type, value }) =>
      Either.try({
        try: () => {
          // the body first: when it cannot be written, nothing is
          encoder.encode(body.clear(), type, value)
          encoder.encode(batch, requestHeader, { ServiceMethod: method, Seq: id })
          batch.raw(body.written())
        },
        catch: badArguments
      }),
    size: () => batch.length,
    take: () => {
      const taken = batch.written()
      batch = new Writer()
      return taken
    },
    decode: (chunk) => {
      const answers: Array<Session.Answer> = []
      const take = (value: Value) => {
        if (header === undefined) {
          header = decoder.decode(value, responseHeader) as ResponseHeader
        } else {
          answers.push({
            id: header.Seq,
            // the body of an error is nothing
            result: header.Error === "" ? Either.right(value) : Either.left(serverError(header.Error))
          })
          header = undefined
        }
      }
      const read = Either.try({ try: () => stream.push(chunk, take), catch: problemOf })
      return { answers, problem: Either.isLeft(read) ? read.left : undefined }
    }
  }
}

/** @internal */
export const codec: Codec<Request> = {
  request: (method, args, { args: schema, reply }) =>
    guarded(
      (): Effect.Effect<Request, unknown, unknown> => {
        if (schema === undefined) {
          return Effect.fail("gob needs to know their type: call with { args: a schema }")
        }
        const type = Type.check(schema.ast)
        const expected = Either.try({
          try: () => reply === undefined ? undefined : Type.check(reply.ast),
          catch: badSchema
        })
        if (Either.isLeft(expected)) {
          return Effect.fail(expected.left)
        }
        const encoded = Schema.encode(schema)(args)
        const request = (value: unknown): Request => ({ method, type, value })
        return Either.isEither(encoded) ? Either.map(encoded, request) : Effect.map(encoded, request)
      },
      (cause) => cause instanceof Fatal ? cause : badArguments(cause)
    ),
  ping: (method) => ({ method, type: nothing, value: {} }),
  wire,
  reply: (answer, { reply }) =>
    guarded(() => {
      const value = answer as Value
      return reply === undefined
        ? Either.right(decoder.decodeAny(value))
        : Schema.decodeUnknown(reply)(decoder.decode(value, Type.of(reply.ast)))
    }, badReply)
}
