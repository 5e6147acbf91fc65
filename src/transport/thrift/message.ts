/**
 * Writes requests and reads answers with the code that the Thrift compiler generated.
 *
 * Each attempt has its own client of the generated class, so that nothing of an attempt that was given up stays in its
 * table of callbacks, and arguments that could not be written leave no bytes before the next request.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import * as thrift from "thrift"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal } from "../../RpcError.js"

/** The members of `TApplicationException` that the types of `thrift` leave out. */
interface ApplicationException {
  readonly type: number
  readonly message: string
  readonly read: (input: thrift.TProtocol) => void
}

/** The members of a generated client that `thrift` uses. */
interface Generated {
  seqid: () => number
  _reqs: Record<number, (error: unknown, answer?: unknown) => void>
  readonly [method: string]: unknown
}

type Method = (...args: Array<unknown>) => unknown

/** @internal */
export interface ClientClass {
  new(output: never, protocol: never): object
}

/** A method of the service, found in the generated class. @internal */
export interface Procedure {
  readonly name: string
  /** Whether the server sends no answer. */
  readonly isOneway: boolean
}

/** @internal */
export type Protocol = "binary" | "compact"

/**
 * An error of the server that the method does not declare: a `TApplicationException`, or the status of a
 * `BizStatusError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerException {
  /** The type of the `TApplicationException`, or the status of the `BizStatusError`. */
  readonly code: number
  /** The message that the server sent with it. */
  readonly message: string
  /** The exception itself, which becomes the `cause` of the call's error. */
  readonly cause: unknown
}

/** A {@link ServerException} that was received. @internal */
export class Undeclared implements ServerException {
  constructor(readonly code: number, readonly message: string, readonly cause: unknown) {}
}

/** An exception that the method declares. @internal */
export class Declared {
  constructor(readonly exception: unknown) {}
}

/** @internal */
export type Answer = Result.Result<unknown, Undeclared | Declared>

/** A message of the server that answers another request. @internal */
export class OtherAnswer {
  constructor(readonly id: number, readonly problem: string) {}
}

/** @internal */
export interface Codec {
  readonly encode: (procedure: Procedure, id: number, args: ReadonlyArray<unknown>) => Result.Result<Uint8Array, Fatal>
  /** Reads a message, and throws the problem with it. */
  readonly decode: (procedure: Procedure, id: number, message: Uint8Array) => Answer | OtherAnswer
}

const sends = "send_"

/** Returns the methods of a class, inherited ones included. @internal */
export const procedures = (Client: ClientClass): ReadonlyArray<Procedure> => {
  const names = new Set<string>()
  for (
    let prototype: unknown = Client.prototype;
    Predicate.isObject(prototype) && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype)
  ) {
    Object.getOwnPropertyNames(prototype).forEach((name) => names.add(name))
  }
  // a method may itself have a name that begins with `send_`
  return Array.from(names).filter((name) => names.has(`${sends}${name}`)).map((name) => ({
    name,
    isOneway: !names.has(`recv_${name}`)
  }))
}

const protocols: Readonly<Record<Protocol, typeof thrift.TBinaryProtocol>> = {
  binary: thrift.TBinaryProtocol,
  compact: thrift.TCompactProtocol
}

/** Returns a protocol that prefixes the names of methods as `thrift.Multiplexer` does. */
const prefixed = (Protocol: typeof thrift.TBinaryProtocol, service: string): typeof thrift.TBinaryProtocol =>
  class extends Protocol {
    override writeMessageBegin(name: string, type: thrift.Thrift.MessageType, id: number): void {
      super.writeMessageBegin(`${service}:${name}`, type, id)
    }
  }

const { EXCEPTION, REPLY } = thrift.Thrift.MessageType

/** @internal */
export const codec = (
  Client: ClientClass,
  protocol: Protocol,
  /** The service whose name is put before that of the method. */
  multiplexed: string | undefined
): Codec => {
  const Read = protocols[protocol]
  const known = new Set(procedures(Client).map(({ name }) => name))
  const Write = multiplexed === undefined ? Read : prefixed(Read, multiplexed)
  const generated = (id: number, output: thrift.TTransport) => {
    const client = new Client(output as never, Write as never) as Generated
    client.seqid = () => id
    return client
  }
  return {
    encode: ({ name }, id, args) =>
      Result.try({
        try: () => {
          const chunks: Array<Uint8Array> = []
          const client = generated(id, new thrift.TBufferedTransport(undefined, (chunk) => chunks.push(chunk!)))
          const send = client[`${sends}${name}`] as Method
          send.call(client, ...args)
          return Buffer.concat(chunks)
        },
        catch: (failure) => {
          const { cause, words } = Excerpt.explain(failure, ofLibrary)
          return new Fatal({ reason: "InvalidArgument", message: `the arguments cannot be written: ${words}`, cause })
        }
      }),
    decode: (procedure, id, message) => {
      // reads a message that is complete
      const transport = new thrift.TFramedTransport(bufferOf(message))
      const input = new Read(transport)
      const { fname, mtype, rseqid } = input.readMessageBegin()
      // the name in an old message is bytes
      const name = String(fname)
      // a server that cannot read a request knows neither its name nor its id
      const isOfUnread = mtype === EXCEPTION && rseqid === 0 && name === ""
      if (rseqid !== id && !isOfUnread) {
        return new OtherAnswer(rseqid, strange(rseqid, name, procedure, known))
      }
      if (mtype === EXCEPTION) {
        return Result.fail(applicationException(input))
      }
      if (mtype !== REPLY || name !== procedure.name) {
        throw new Excerpt.Problem(strange(rseqid, name, procedure, known))
      }
      return replyOf(generated(id, transport), procedure, input, id)
    }
  }
}

/** Describes an answer to another request. A name that is no method of the service is not quoted. */
const strange = (id: number, name: string, procedure: Procedure, known: ReadonlySet<string>): string =>
  `an answer to request ${id} of ${
    known.has(name) ? JSON.stringify(name) : "what is no method"
  }, not to ${procedure.name}`

/** Returns a `Buffer` of the same bytes. */
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

/** Messages of the library and of generated code, without the values that they quote. */
const ofLibrary: ReadonlyArray<RegExp> = [
  /^\w+ called without a string\/Buffer argument/,
  /^Required field \w+ is unset!/,
  /^Cannot read message/,
  /^(Bad version|No protocol version|Bad protocol) \w*/,
  /^Invalid type/,
  /^Maximum skip depth exceeded/
]

/** Describes bytes that cannot be read. @internal */
export const problemOf = (failure: unknown): string => Excerpt.explain(failure, ofLibrary).words

const applicationException = (input: thrift.TProtocol): Undeclared => {
  const exception = new thrift.Thrift.TApplicationException(0, "") as unknown as ApplicationException
  exception.read(input)
  input.readMessageEnd()
  return new Undeclared(exception.type, exception.message, exception)
}

/** The code `MISSING_RESULT`: neither a result nor an exception. */
const missingResult = 5

const replyOf = (client: Generated, { name }: Procedure, input: thrift.TProtocol, id: number): Answer => {
  let answer: Answer | undefined
  client._reqs[id] = (error, result) => {
    answer = error === null || error === undefined
      ? Result.succeed(result)
      // generated code gives a string for a missing result, and an object for a declared exception
      : Predicate.isString(error)
      ? Result.fail(new Undeclared(missingResult, error, undefined))
      : Result.fail(new Declared(error))
  }
  const receive = client[`recv_${name}`] as Method
  receive.call(client, input, REPLY, id)
  if (answer === undefined) {
    throw new Excerpt.Problem("an answer that the generated code did not take")
  }
  return answer
}
