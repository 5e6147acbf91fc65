/**
 * Writes requests and reads answers of JSON-RPC 1.0 and 2.0. Whatever the peer sends, an answer becomes a value or a
 * typed error.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as HttpStatus from "../../internal/errors/httpStatus.js"
import * as Result from "../../internal/result.js"
import { type Code, Fatal, type FatalReason, type Retryable } from "../../RpcError.js"
import type { ServerHint } from "../../ServerHint.js"
import type { Reply } from "../http/exchange.js"
import * as HttpFailure from "../http/failure.js"
import * as Json from "../shared/json.js"
import * as ServerError from "../shared/serverError.js"

/** @internal */
export type Dialect = "2.0" | "1.0"

/** The result of an answer, with the size of the answer in bytes. @internal */
export class RawResult {
  constructor(readonly value: unknown, readonly length: number) {}
}

/** @internal */
export type Outcome = Result.Result<RawResult, Retryable | Fatal>

/**
 * The error object of an answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface ErrorObject {
  /** The code of the error: a number in JSON-RPC 2.0. A server of the older version may give none. */
  readonly code: Code | undefined
  /** The message of the error. */
  readonly message: string
  /** What else the server says about the error; `undefined` if nothing. */
  readonly data: unknown
}

/** @internal */
export type RetryOn = (error: ErrorObject) => boolean

/** Encodes a request, or a notification without an `id`, as JSON. @internal */
export const encode = (
  dialect: Dialect,
  method: string,
  params: unknown,
  id: number | undefined
): Result.Result<string, Fatal> => {
  const invalid = (message: string, cause?: unknown) => new Fatal({ reason: "InvalidArgument", method, message, cause })
  return Result.flatMap(
    Result.try({
      try: () => JSON.stringify(params) as string | undefined,
      catch: (failure) => {
        const { cause, words } = Excerpt.explain(failure)
        return invalid(`the arguments cannot be written as JSON: ${words}`, cause)
      }
    }),
    (text) => {
      // check the text that is sent, as a `toJSON` may change the value
      if (text === undefined ? params !== undefined : dialect === "2.0" && !/^[[{]/.test(text)) {
        return Result.fail(invalid(
          `the arguments must be ${dialect === "2.0" ? "an object or an array" : "JSON"}, not ${Excerpt.kindOf(params)}`
        ))
      }
      const member = text === undefined ? "" : `,"params":${text}`
      const name = JSON.stringify(method)
      return Result.succeed(
        dialect === "2.0"
          ? `{"jsonrpc":"2.0","method":${name}${member}${id === undefined ? "" : `,"id":${id}`}}`
          : `{"method":${name},"params":[${text ?? "null"}],"id":${id ?? null}}`
      )
    }
  )
}

/** The longest message of an error that is kept, in characters; the `cause` has all of it. */
const maxMessage = 1_000

const protocol = (message: string, cause?: unknown) => new Fatal({ reason: "Protocol", message, cause })

interface Message {
  readonly id: unknown
  /** The result, or the error object as it was received. */
  readonly result: Result.Result<unknown, unknown>
}

const present = (u: object, key: string): unknown => Predicate.hasProperty(u, key) ? u[key] : undefined

/** Reads an answer. Servers of both versions send `null` for the absent one of result and error, or leave it out. */
const messageOf = (value: unknown): Result.Result<Message, string> => {
  if (!Predicate.isRecord(value)) {
    return Result.fail(`${Excerpt.kindOf(value)} where an answer was expected`)
  }
  const [id, error, result] = [present(value, "id"), present(value, "error"), present(value, "result")]
  if (error !== undefined && error !== null) {
    return result === undefined || result === null
      ? Result.succeed({ id, result: Result.fail(error) })
      : Result.fail("an answer with both a result and an error")
  }
  return result === undefined
    ? Result.fail("an answer without a result or an error")
    : Result.succeed({ id, result: Result.succeed(result) })
}

const standard = new Map<Code, FatalReason>([
  [-32700, "Protocol"],
  [-32600, "InvalidArgument"],
  [-32601, "Unimplemented"],
  [-32602, "InvalidArgument"]
])

const errorOf = (error: unknown): ErrorObject => {
  const code = Predicate.isRecord(error) ? error["code"] : undefined
  const message = Predicate.isRecord(error) ? error["message"] : error
  return {
    code: Number.isFinite(code) || (typeof code === "string" && code.length <= 100) ? code as Code : undefined,
    message: typeof message === "string"
      ? message.slice(0, maxMessage) || "unspecified error"
      : `${Excerpt.kindOf(error)} as the error`,
    data: Predicate.isRecord(error) ? error["data"] : undefined
  }
}

/** Returns the failure for the error object of an answer. The `cause` is the whole object, `data` included. */
const failureOf = (error: unknown, retryOn: RetryOn, retryAfter?: ServerHint): Retryable | Fatal => {
  const object = errorOf(error)
  const { code, message } = object
  const reason = (code === undefined ? undefined : standard.get(code)) ??
    (ServerError.isUnimplemented(message) ? "Unimplemented" : "ServerError")
  return ServerError.failureOf(object, { retryOn, reason, retryAfter, cause: error })
}

/** Returns the beginning of the body, redacted. */
const excerptOf = ({ body }: Reply) => Result.match(body, { onFailure: () => undefined, onSuccess: Json.excerpt })

/** Returns the error message in a body, if it has one. */
const saidOf = (value: unknown): string | undefined => {
  const error = Predicate.isRecord(value) ? value["error"] : undefined
  const message = Predicate.isRecord(error) ? error["message"] : error
  return typeof message === "string" ? message.slice(0, maxMessage) : undefined
}

/** Returns the failure for a status, with the message of the server or the kind of the body. */
const byStatus = (reply: Reply, value?: unknown): Retryable | Fatal => {
  const { body, retryAfter, status } = reply
  const message = saidOf(value) ?? Result.match(body, { onFailure: (problem) => problem, onSuccess: Json.kindOf })
  return HttpStatus.fromStatus(status, {
    retryAfter,
    message,
    cause: value === undefined ? excerptOf(reply) : Excerpt.of(value)
  })
}

/** The encodings that are shown by name: a header may contain anything. */
const encodings: ReadonlySet<string> = new Set(["gzip", "x-gzip", "br", "deflate", "zstd", "compress", "identity"])

/** Returns the value of the body, unless the status decides. */
const read = (reply: Reply): Result.Result<unknown, Retryable | Fatal> => {
  const value = Result.flatMap(
    reply.body,
    (body) => Json.parse(body, { bytes: reply.limit, option: "maxResponseBytes" })
  )
  if (HttpFailure.decides(reply.status)) {
    return Result.fail(byStatus(reply, Result.getOrUndefined(value)))
  }
  return Result.mapError(
    value,
    (problem) => {
      const encoding = reply.encoding === undefined
        ? ""
        : `, with content-encoding ${encodings.has(reply.encoding) ? reply.encoding : "of no known name"}`
      return HttpFailure.isOk(reply.status)
        ? protocol(`the answer is ${problem}${encoding}`, excerptOf(reply))
        : byStatus(reply)
    }
  )
}

/** Returns the outcome of a message. A result counts only with a successful status. */
const outcomeOf = ({ result }: Message, reply: Reply, retryOn: RetryOn): Outcome =>
  Result.isFailure(result)
    ? Result.fail(failureOf(Result.failureOf(result), retryOn, reply.retryAfter))
    : HttpFailure.isOk(reply.status)
    ? Result.succeed(
      new RawResult(
        Result.successOf(result),
        Result.match(reply.body, { onFailure: () => 0, onSuccess: ({ length }) => length })
      )
    )
    : Result.fail(byStatus(reply))

/** Returns the failure for a body that is no answer. */
const strange = (problem: string, reply: Reply, cause: unknown): Retryable | Fatal =>
  HttpFailure.isOk(reply.status) ? protocol(problem, Excerpt.of(cause)) : byStatus(reply, cause)

/** Shows the id of an answer. Ids of this client are numbers. */
const idOf = (id: unknown): string => Number.isInteger(id) ? String(id) : Excerpt.kindOf(id)

/** Returns the failure for an error in a message, whichever request it answers. */
const refusalOf = (
  message: Result.Result<Message, unknown>,
  reply: Reply,
  retryOn: RetryOn
): Retryable | Fatal | undefined => {
  const answer = Result.isSuccess(message) ? Result.successOf(message).result : undefined
  return answer !== undefined && Result.isFailure(answer)
    ? failureOf(Result.failureOf(answer), retryOn, reply.retryAfter)
    : undefined
}

/** Returns the error of a message without an id: the server could not read the id of the request, or dropped it. */
const errorOfNobody = ({ id, result }: Message): ReadonlyArray<unknown> =>
  Result.isFailure(result) && (id === null || id === undefined) ? [Result.failureOf(result)] : []

/**
 * Returns the outcome of one request. A server that cannot read the id of a request answers with an error and the id
 * `null`.
 *
 * @internal
 */
export const answer = (reply: Reply, id: number, retryOn: RetryOn): Outcome =>
  Result.flatMap(read(reply), (value) =>
    Result.match(messageOf(value), {
      onFailure: (problem) => Result.fail(strange(problem, reply, value)),
      onSuccess: (message) =>
        message.id === id || errorOfNobody(message).length > 0
          ? outcomeOf(message, reply, retryOn)
          : Result.fail(strange(`an answer to another request, ${idOf(message.id)}`, reply, value))
    }))

/**
 * Returns the outcomes of a batch, one for each of `ids`, whatever the order of the answers. Of several answers to a
 * call the first counts; answers to other calls are ignored. An error instead of the batch is the error of every call.
 * Errors without an id go, in their order, to the calls without an answer; the last one to all that are left.
 *
 * @internal
 */
export const answers = (
  reply: Reply,
  ids: ReadonlyArray<number>,
  retryOn: RetryOn
): Result.Result<ReadonlyMap<number, Outcome>, Retryable | Fatal> =>
  Result.flatMap(read(reply), (value) => {
    if (!Array.isArray(value)) {
      return Result.fail(
        refusalOf(messageOf(value), reply, retryOn) ??
          strange(`${Excerpt.kindOf(value)} as the answer to a batch`, reply, value)
      )
    }
    const wanted = new Set<unknown>(ids)
    const found = new Map<number, Outcome>()
    const unclaimed: Array<unknown> = []
    for (const element of value) {
      const message = messageOf(element)
      const id = Predicate.isRecord(element) ? element["id"] : undefined
      if (wanted.delete(id)) {
        found.set(
          id as number,
          Result.match(message, {
            onFailure: (problem) => Result.fail(strange(problem, reply, element)),
            onSuccess: (message) => outcomeOf(message, reply, retryOn)
          })
        )
      } else if (Result.isSuccess(message)) {
        unclaimed.push(...errorOfNobody(Result.successOf(message)))
      }
    }
    let next = 0
    const without = (): Outcome => {
      const error = unclaimed[Math.min(next++, unclaimed.length - 1)]
      return Result.fail(
        error === undefined
          ? strange("no answer to this call in that to its batch", reply, value)
          : failureOf(error, retryOn, reply.retryAfter)
      )
    }
    return Result.succeed(new Map(ids.map((id) => [id, found.get(id) ?? without()])))
  })

/** Returns the outcome of a notification: an error, if the server answered with one. @internal */
export const acknowledged = (reply: Reply, retryOn: RetryOn): Result.Result<void, Retryable | Fatal> => {
  const ok = HttpFailure.isOk(reply.status)
  const value = read(reply)
  const refusal = refusalOf(Result.flatMap(value, messageOf), reply, retryOn)
  if (refusal !== undefined) {
    return Result.fail(refusal)
  }
  return ok ? Result.void : Result.fail(Result.isFailure(value) ? Result.failureOf(value) : byStatus(reply))
}
