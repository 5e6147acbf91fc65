/**
 * The default codec of `net/rpc`: gob, with a header and a body in each direction.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal } from "../../RpcError.js"
import { fail, Problem, Writer } from "../gob/bytes.js"
import * as decoder from "../gob/decoder.js"
import { Encoder } from "../gob/encoder.js"
import { uintField } from "../gob/peek.js"
import * as Plain from "../gob/plain.js"
import { Stream, type Value } from "../gob/stream.js"
import * as Type from "../gob/type.js"
import { giveWay } from "../shared/schemaParts.js"
import { badArguments, badReply, encode, guarded, long } from "../shared/schemas.js"
import { type Codec, serverError } from "./codec.js"
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

const structOf = (name: string, fields: Readonly<Record<string, "string" | "uint" | "bytes">>): Type.GobType => {
  const list = Object.entries(fields).map(([name, kind]) => ({ name, type: { kind } }))
  return { kind: "struct", name, fields: () => list }
}

const requestHeader = structOf("Request", { ServiceMethod: "string", Seq: "uint" })
/** Leaves out `ServiceMethod`, which repeats the request. `Error` is read as bytes, as it need not be UTF-8. */
const responseHeader = structOf("Response", { Seq: "uint", Error: "bytes" })
const nothing = structOf("", {})

interface ResponseHeader {
  readonly Seq: number
  readonly Error: string
  /** Why it could not be read; `undefined` if it was. */
  readonly problem: string | undefined
}

const lenient = new TextDecoder("utf-8", { ignoreBOM: true })

const headerOf = (value: Value): ResponseHeader => {
  if (value.problem === undefined) {
    const { Error, Seq } = decoder.decode(value, responseHeader) as { readonly Seq: number; readonly Error: Uint8Array }
    return { Seq, Error: lenient.decode(Error), problem: undefined }
  }
  const Seq = uintField(value, "Seq")
  return Seq === undefined ? fail(value.problem) : { Seq, Error: "", problem: value.problem }
}

const unread = (problem: string) => new Fatal({ reason: "Protocol", message: `the peer sent gob that ${problem}` })

const problemOf = (failure: unknown): string =>
  failure instanceof Problem ? `gob that ${failure.message}` : `what cannot be read: ${Excerpt.explain(failure).words}`

const wire = (maxFrameBytes: number): Session.Wire<Request> => {
  const encoder = new Encoder()
  const stream = new Stream({ bytes: maxFrameBytes, option: "maxFrameBytes" })
  let batch = new Writer()
  let header: ResponseHeader | undefined
  return {
    encode: (id, { method, type, value }) =>
      Result.try({
        // both or none: a type of what is not written was not sent
        try: () => encoder.encode(batch, [requestHeader, { ServiceMethod: method, Seq: id }], [type, value]),
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
          header = headerOf(value)
          return
        }
        const { Error, Seq: id, problem = Error === "" ? value.problem : undefined } = header
        header = undefined
        answers.push({
          id,
          result: problem !== undefined
            ? Result.fail(unread(problem))
            // the body of an error is empty
            : Error === ""
            ? Result.succeed(value)
            : Result.fail(serverError(Error))
        })
      }
      const read = Result.try({ try: () => stream.push(chunk, take), catch: problemOf })
      return { answers, problem: Result.isFailure(read) ? Result.failureOf(read) : undefined }
    }
  }
}

/** @internal */
export const codec: Codec<Request> = {
  request: (method, args, { args: schema, reply }) =>
    Effect.suspend(() =>
      guarded(
        (): Effect.Effect<Request, unknown, unknown> => {
          if (schema === undefined) {
            return Effect.fail("gob needs to know their type: call with { args: a schema }")
          }
          const type = Type.check(schema.ast)
          const expected = Result.try({
            try: () => reply === undefined ? undefined : Type.check(reply.ast),
            catch: badSchema
          })
          if (Result.isFailure(expected)) {
            return Effect.fail(Result.failureOf(expected))
          }
          const encoded = Plain.isEncoded(schema.ast, args) ? Result.succeed(args) : encode(schema, args)
          const request = (value: unknown): Request => ({ method, type, value })
          return Result.isResult(encoded) ? Result.map(encoded, request) : Effect.map(encoded, request)
        },
        (cause) => cause instanceof Fatal ? cause : badArguments(cause)
      )
    ),
  ping: (method) => ({ method, type: nothing, value: {} }),
  wire,
  reply: (answer, { reply }) =>
    guarded(() => {
      const value = answer as Value
      const reading = new decoder.Reading(value, reply === undefined ? undefined : Type.of(reply.ast))
      const decode = value.length > long ? Plain.decodeInParts : Plain.decodeInOne
      const decoded = () => reply === undefined ? Result.succeed(reading.result) : decode(reply)(reading.result)
      return reading.step() ? decoded() : Effect.flatMap(toEnd(reading), decoded)
    }, badReply)
}

/** Decodes the rest of a long value, and lets other work of the event loop run in between. */
const toEnd = (reading: decoder.Reading): Effect.Effect<void> =>
  Effect.flatMap(giveWay, () => reading.step() ? Effect.void : toEnd(reading))
