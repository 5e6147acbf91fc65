/**
 * The messages of JSON-RPC, both versions: requests written, answers read. Whatever the peer sends, an answer is a value or
 * a typed error.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as HttpStatus from "../../internal/errors/httpStatus.js"
import { type Code, Fatal, type FatalReason, Retryable } from "../../RpcError.js"
import type { ServerHint } from "../../ServerHint.js"
import type { Reply } from "../http/exchange.js"
import * as HttpFailure from "../http/failure.js"
import { isUnimplemented } from "../shared/goErrors.js"
import * as Json from "../shared/json.js"

/** @internal */
export type Dialect = "2.0" | "1.0"

/** What a server answered, and how many bytes came with it. @internal */
export class Result {
  constructor(readonly value: unknown, readonly length: number) {}
}

/** @internal */
export type Outcome = Either.Either<Result, Retryable | Fatal>

/** @internal */
export interface ErrorObject {
  readonly code: Code | undefined
  readonly message: string
  readonly data: unknown
}

/** @internal */
export type RetryOn = (error: ErrorObject) => boolean

/**
 * One request, or without an `id` one notification, as JSON.
 *
 * @internal
 */
export const encode = (
  dialect: Dialect,
  method: string,
  params: unknown,
  id: number | undefined
): Either.Either<string, Fatal> => {
  const invalid = (message: string, cause?: unknown) => new Fatal({ reason: "InvalidArgument", method, message, cause })
  return Either.flatMap(
    Either.try({
      try: () => JSON.stringify(params) as string | undefined,
      catch: (failure) => {
        const { cause, words } = Excerpt.explain(failure)
        return invalid(`the arguments cannot be written as JSON: ${words}`, cause)
      }
    }),
    (text) => {
      // what is written counts, not what it is written from: a `toJSON` may make anything of it
      if (text === undefined ? params !== undefined : dialect === "2.0" && !/^[[{]/.test(text)) {
        return Either.left(invalid(
          `the arguments must be ${dialect === "2.0" ? "an object or an array" : "JSON"}, not ${Excerpt.kindOf(params)}`
        ))
      }
      const member = text === undefined ? "" : `,"params":${text}`
      const name = JSON.stringify(method)
      return Either.right(
        dialect === "2.0"
          ? `{"jsonrpc":"2.0","method":${name}${member}${id === undefined ? "" : `,"id":${id}`}}`
          : `{"method":${name},"params":[${text ?? "null"}],"id":${id ?? null}}`
      )
    }
  )
}

/** Enough to know what the server said; all of it is in `cause`. */
const maxMessage = 1_000

const protocol = (message: string, cause?: unknown) => new Fatal({ reason: "Protocol", message, cause })

interface Message {
  readonly id: unknown
  /** `Left` with what the server gave as the error. */
  readonly result: Either.Either<unknown, unknown>
}

const present = (u: object, key: string): unknown => Predicate.hasProperty(u, key) ? u[key] : undefined

/** Servers of both versions write `null` for the one that there is not, or leave it out. */
const messageOf = (value: unknown): Either.Either<Message, string> => {
  if (!Predicate.isRecord(value)) {
    return Either.left(`${Excerpt.kindOf(value)} where an answer was expected`)
  }
  const [id, error, result] = [present(value, "id"), present(value, "error"), present(value, "result")]
  if (error !== undefined && error !== null) {
    return result === undefined || result === null
      ? Either.right({ id, result: Either.left(error) })
      : Either.left("an answer with both a result and an error")
  }
  return result === undefined
    ? Either.left("an answer without a result or an error")
    : Either.right({ id, result: Either.right(result) })
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

/**
 * What the server gave as the error of a call. All of it, `data` too, is the `cause`.
 */
const failureOf = (error: unknown, retryOn: RetryOn, retryAfter?: ServerHint): Retryable | Fatal => {
  const object = errorOf(error)
  const { code, message } = object
  if (retryOn(object)) {
    return new Retryable({ reason: "Custom", delivery: "Unknown", code, retryAfter, cause: error })
  }
  const reason = (code === undefined ? undefined : standard.get(code)) ??
    (isUnimplemented(message) ? "Unimplemented" : "ServerError")
  return new Fatal({ reason, code, message, cause: error })
}

/** The beginning of the body, for who asks for it. */
const excerptOf = ({ body }: Reply) => Either.match(body, { onLeft: () => undefined, onRight: Json.excerpt })

/** What the server gave as its error, where a body has one. */
const saidOf = (value: unknown): string | undefined => {
  const error = Predicate.isRecord(value) ? value["error"] : undefined
  const message = Predicate.isRecord(error) ? error["message"] : error
  return typeof message === "string" ? message.slice(0, maxMessage) : undefined
}

/** What the status alone says, with the server's message where there is one, or the kind of the body. */
const byStatus = (reply: Reply, value?: unknown): Retryable | Fatal => {
  const { body, retryAfter, status } = reply
  const message = saidOf(value) ?? Either.match(body, { onLeft: (problem) => problem, onRight: Json.kindOf })
  return HttpStatus.fromStatus(status, {
    retryAfter,
    message,
    cause: value === undefined ? excerptOf(reply) : Excerpt.of(value)
  })
}

/** The names of encodings that are told: a header may say anything. */
const encodings: ReadonlySet<string> = new Set(["gzip", "x-gzip", "br", "deflate", "zstd", "compress", "identity"])

/** The body, where it may decide. */
const read = (reply: Reply): Either.Either<unknown, Retryable | Fatal> => {
  const value = Either.flatMap(
    reply.body,
    (body) => Json.parse(body, { bytes: reply.limit, option: "maxResponseBytes" })
  )
  if (HttpFailure.decides(reply.status)) {
    return Either.left(byStatus(reply, Either.getOrUndefined(value)))
  }
  return Either.mapLeft(
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

/** A result counts only where the status does not say otherwise. */
const outcomeOf = ({ result }: Message, reply: Reply, retryOn: RetryOn): Outcome =>
  Either.isLeft(result)
    ? Either.left(failureOf(result.left, retryOn, reply.retryAfter))
    : HttpFailure.isOk(reply.status)
    ? Either.right(
      new Result(result.right, Either.match(reply.body, { onLeft: () => 0, onRight: ({ length }) => length }))
    )
    : Either.left(byStatus(reply))

/** Of an answer that is none. */
const strange = (problem: string, reply: Reply, cause: unknown): Retryable | Fatal =>
  HttpFailure.isOk(reply.status) ? protocol(problem, Excerpt.of(cause)) : byStatus(reply, cause)

/** Those of ours are numbers. */
const idOf = (id: unknown): string => Number.isInteger(id) ? String(id) : Excerpt.kindOf(id)

/** An error for a request whose id the server could not read, or did not give back. */
const isNobodys = (message: Message): message is Message & { readonly result: Either.Left<unknown, unknown> } =>
  Either.isLeft(message.result) && (message.id === null || message.id === undefined)

/**
 * The answer to one request. A server that could not read the id of a request gives `null` for it, with an error.
 *
 * @internal
 */
export const answer = (reply: Reply, id: number, retryOn: RetryOn): Outcome =>
  Either.flatMap(read(reply), (value) =>
    Either.match(messageOf(value), {
      onLeft: (problem) => Either.left(strange(problem, reply, value)),
      onRight: (message) =>
        message.id === id || isNobodys(message)
          ? outcomeOf(message, reply, retryOn)
          : Either.left(strange(`an answer to another request, ${idOf(message.id)}`, reply, value))
    }))

/**
 * The answers to a batch, in whatever order they come: one for each of `ids`. Of several to the same call the first counts,
 * and those to none of these calls are passed over. An error in place of the batch is the error of every call. Errors without an
 * id are those of the calls that have no answer: in their order, and the last one of all that are left.
 *
 * @internal
 */
export const answers = (
  reply: Reply,
  ids: ReadonlyArray<number>,
  retryOn: RetryOn
): Either.Either<ReadonlyMap<number, Outcome>, Retryable | Fatal> =>
  Either.flatMap(read(reply), (value) => {
    if (!Array.isArray(value)) {
      const message = messageOf(value)
      return Either.left(
        Either.isRight(message) && Either.isLeft(message.right.result)
          ? failureOf(message.right.result.left, retryOn, reply.retryAfter)
          : strange(`${Excerpt.kindOf(value)} as the answer to a batch`, reply, value)
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
          Either.match(message, {
            onLeft: (problem) => Either.left(strange(problem, reply, element)),
            onRight: (message) => outcomeOf(message, reply, retryOn)
          })
        )
      } else if (Either.isRight(message) && isNobodys(message.right)) {
        unclaimed.push(message.right.result.left)
      }
    }
    let next = 0
    const without = (): Outcome => {
      const error = unclaimed[Math.min(next++, unclaimed.length - 1)]
      return Either.left(
        error === undefined
          ? strange("no answer to this call in that to its batch", reply, value)
          : failureOf(error, retryOn, reply.retryAfter)
      )
    }
    return Either.right(new Map(ids.map((id) => [id, found.get(id) ?? without()])))
  })

/**
 * What came back for a notification: an error that the server gave all the same, or nothing of interest.
 *
 * @internal
 */
export const acknowledged = (reply: Reply, retryOn: RetryOn): Either.Either<void, Retryable | Fatal> => {
  const ok = HttpFailure.isOk(reply.status)
  const value = read(reply)
  const message = Either.flatMap(value, messageOf)
  if (Either.isRight(message) && Either.isLeft(message.right.result)) {
    return Either.left(failureOf(message.right.result.left, retryOn, reply.retryAfter))
  }
  return ok ? Either.void : Either.left(Either.isLeft(value) ? value.left : byStatus(reply))
}
