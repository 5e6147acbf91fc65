/**
 * The options of `JsonRpc.make`, checked and complete.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { checkDuration, checkNumber, InvalidOption } from "../../InvalidOption.js"
import type { Code } from "../../RpcError.js"
import { problemOf } from "../http/headers.js"
import * as Json from "../shared/json.js"
import * as Limit from "../shared/limit.js"
import { checkUrl } from "../shared/url.js"
import type { Dialect, RetryOn } from "./message.js"

/**
 * The error of an answer. `code` is a number in JSON-RPC 2.0; a server of the older version may give none.
 *
 * @since 0.1.0
 * @category models
 */
export interface ErrorObject {
  readonly code: Code | undefined
  readonly message: string
  readonly data: unknown
}

/**
 * Calls made within `window` of the first one go out as one request, at most `maxCalls` of them.
 *
 * Each stays a call of its own: with its own answer, whatever the order; retried alone, in whatever batch is open then;
 * interrupted alone. Of a batch that all have left the request is aborted. An attempt that is cut in the window was not sent.
 *
 * What belongs to one call cannot be a header of many: `x-retry-attempt` and the time that remains are not sent, and a call
 * with an idempotency key goes out alone. Nor is a batch in the span of one of its calls, or bound by its deadline. `maxResponseBytes` and the bound on
 * depth hold for the whole of its answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  readonly maxCalls: number
  readonly window: Duration.DurationInput
}

/**
 * - `url`: where calls are posted to. One without a host needs an `HttpClient` that adds it, or a browser.
 * - `dialect`: `"1.0"` for `gorilla/rpc`'s `json` codec and other servers of the older version; its `json2` is `"2.0"`, the
 *   default.
 * - `headers`: sent with every request. `content-type` is `application/json` unless it is among them.
 * - `maxResponseBytes`: the largest answer that is read, in bytes. Default 4 MiB, as gRPC has it. An answer that would be made
 *   into more than 4 times as much memory is refused too: 4 MB of `[]` are a million arrays.
 * - `retryOn`: errors of the server that are worth another attempt, by their codes or by a predicate: Ethereum nodes say
 *   -32005 for "limit exceeded". They become `Retryable Custom`, delivery `Unknown`. Default none.
 * - `batch`: see `Batch`. JSON-RPC 2.0 only. Default off.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly url: string
  readonly dialect?: "2.0" | "1.0" | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly maxResponseBytes?: number | undefined
  readonly retryOn?: ReadonlyArray<Code> | ((error: ErrorObject) => boolean) | undefined
  readonly batch?: Batch | undefined
}

/** @internal */
export interface Checked {
  readonly url: string
  readonly dialect: Dialect
  readonly headers: Readonly<Record<string, string>>
  readonly maxResponseBytes: number
  readonly retryOn: RetryOn
  readonly batch: { readonly maxCalls: number; readonly window: Duration.Duration } | undefined
}

const where = "JsonRpc.make"

const invalid = (field: string, problem: string) => Either.left(new InvalidOption({ where, field, problem }))

const checkHeaders = (headers: unknown): Either.Either<Readonly<Record<string, string>>, InvalidOption> => {
  // a `Map` or `Headers` would have no entries here, and lose them without a word
  if (!Predicate.isRecord(headers) || Symbol.iterator in headers) {
    return invalid("headers", `must be an object of names and values, got ${Json.describe(headers)}`)
  }
  const found = problemOf(headers)
  if (found !== undefined) {
    return invalid(found.isName ? "headers" : `headers.${found.name}`, found.problem)
  }
  return Either.right(
    Object.fromEntries(
      Object.entries(headers as Record<string, string>).map(([name, value]) => [name.toLowerCase(), value])
    )
  )
}

const checkRetryOn = (retryOn: Options["retryOn"]): Either.Either<RetryOn, InvalidOption> => {
  if (retryOn === undefined) {
    return Either.right(() => false)
  }
  if (Predicate.isFunction(retryOn)) {
    return Either.right(retryOn)
  }
  const codes: unknown = retryOn
  return Array.isArray(codes) && codes.every((code) => Predicate.isString(code) || Number.isFinite(code))
    ? Either.right(({ code }) => code !== undefined && codes.includes(code))
    : invalid("retryOn", `must be a list of codes or a predicate, got ${Json.describe(retryOn)}`)
}

const checkBatch = (
  batch: Options["batch"],
  dialect: Dialect
): Either.Either<Checked["batch"], InvalidOption> =>
  Either.gen(function*() {
    if (batch === undefined) {
      return undefined
    }
    if (!Predicate.isRecord(batch)) {
      return yield* invalid("batch", `must have maxCalls and window, got ${Json.describe(batch)}`)
    }
    if (dialect === "1.0") {
      return yield* invalid("batch", "must not be given with the dialect \"1.0\", which has no batches")
    }
    return {
      maxCalls: yield* checkNumber(where, "batch.maxCalls", batch.maxCalls, {
        min: 1,
        max: Number.MAX_SAFE_INTEGER,
        integer: true
      }),
      window: yield* checkDuration(where, "batch.window", batch.window, { zero: true })
    }
  })

/** @internal */
export const check = (options: Options): Either.Either<Checked, InvalidOption> =>
  Either.gen(function*() {
    if (!Predicate.isRecord(options)) {
      return yield* invalid("options", `must be an object, got ${Json.describe(options)}`)
    }
    const dialect = options.dialect ?? "2.0"
    if (dialect !== "2.0" && dialect !== "1.0") {
      return yield* invalid("dialect", `must be "2.0" or "1.0", got ${Json.describe(dialect)}`)
    }
    return {
      url: yield* checkUrl(where, options.url),
      dialect,
      headers: yield* checkHeaders(options.headers ?? {}),
      maxResponseBytes: yield* checkNumber(where, "maxResponseBytes", options.maxResponseBytes ?? Limit.defaultBytes, {
        min: 1,
        max: Number.MAX_SAFE_INTEGER,
        integer: true
      }),
      retryOn: yield* checkRetryOn(options.retryOn),
      batch: yield* checkBatch(options.batch, dialect)
    }
  })
