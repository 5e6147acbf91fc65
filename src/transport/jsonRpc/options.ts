/**
 * The options of `JsonRpc.make`, and their checks.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { checkDuration, checkKnown, checkNumber, type InvalidOption } from "../../InvalidOption.js"
import type { Code } from "../../RpcError.js"
import { problemOf } from "../http/headers.js"
import * as Json from "../shared/json.js"
import * as Limit from "../shared/limit.js"
import { checkRetryOn, invalid as invalidOption, never } from "../shared/options.js"
import { checkUrl } from "../shared/url.js"
import type { Dialect, ErrorObject, RetryOn } from "./message.js"

/**
 * Sends calls that are made within `window` of the first one as one request, at most `maxCalls` of them.
 *
 * Each call keeps its own answer, whatever the order of the answers. It is retried alone, in whatever batch is open
 * then, and interrupted alone. The request is aborted when all calls of its batch were interrupted. An attempt that is
 * cut within the window was not sent.
 *
 * A batch has no headers that belong to one call: `x-retry-attempt` and the time that remains are not sent, and a call
 * with an idempotency key is sent alone. A batch is not in the span of any of its calls, and not bounded by their
 * deadlines. {@link Options.maxResponseBytes} and the limit on depth hold for the whole answer of a batch.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  /** The most calls in one batch: an integer of at least 1. A full batch is sent at once. */
  readonly maxCalls: number
  /** How long a batch stays open after its first call; zero is allowed. */
  readonly window: Duration.DurationInput
}

/**
 * The options of a client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The URL that calls are posted to. A URL without a host needs an `HttpClient` that adds one, or a browser. */
  readonly url: string
  /**
   * The version of JSON-RPC. `"1.0"` is for the `json` codec of `gorilla/rpc` and other servers of the older version;
   * its `json2` codec is `"2.0"`. Default `"2.0"`.
   */
  readonly dialect?: "2.0" | "1.0" | undefined
  /**
   * Headers that are sent with every request. `content-type` is `application/json` unless it is among them. Default
   * none.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /**
   * The largest answer that is read, in bytes. A larger one is `Fatal Protocol`, and so is one that would be made into
   * more than 3.5 times as much memory, and more than 1 MiB: 4 MB of `[]` are a million arrays. Default 4 MiB, as in
   * gRPC.
   */
  readonly maxResponseBytes?: number | undefined
  /**
   * Makes errors of the server worth another attempt, by their codes or by a predicate: Ethereum nodes answer -32005
   * for "limit exceeded". They become `Retryable Custom`, delivery `Unknown`. Default none.
   */
  readonly retryOn?: ReadonlyArray<Code> | ((error: ErrorObject) => boolean) | undefined
  /** Sends several calls as one request; see {@link Batch}. JSON-RPC 2.0 only. Default: each call is a request. */
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

const invalid = (field: string, problem: string) => invalidOption(where, field, problem)

const checkHeaders = (headers: unknown): Result.Result<Readonly<Record<string, string>>, InvalidOption> => {
  // a `Map` or `Headers` has no own entries, and would be lost silently
  if (!Predicate.isRecord(headers) || Symbol.iterator in headers) {
    // a text may be a credential: do not show it
    return invalid("headers", `must be an object of names and values, got ${Excerpt.kindOf(headers)}`)
  }
  const found = problemOf(headers)
  if (found !== undefined) {
    return invalid(found.isName ? "headers" : `headers.${found.name}`, found.problem)
  }
  return Result.succeed(
    Object.fromEntries(
      Object.entries(headers as Record<string, string>).map(([name, value]) => [name.toLowerCase(), value])
    )
  )
}

const checkRetries = (retryOn: Options["retryOn"]) =>
  checkRetryOn<ErrorObject>(
    retryOn,
    (code) => Predicate.isString(code) || Number.isFinite(code) ? code : undefined,
    (retryOn) => invalid("retryOn", `must be a list of codes or a predicate, got ${Json.describe(retryOn)}`)
  )

const checkBatch = (
  batch: Options["batch"],
  dialect: Dialect
): Result.Result<Checked["batch"], InvalidOption> =>
  Result.gen(function*() {
    if (batch === undefined) {
      return undefined
    }
    if (!Predicate.isRecord(batch)) {
      return yield* invalid("batch", `must have maxCalls and window, got ${Json.describe(batch)}`)
    }
    yield* checkKnown(where, batch, ["maxCalls", "window"], "batch.")
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
export const check = (options: Options): Result.Result<Checked, InvalidOption> =>
  Result.gen(function*() {
    if (!Predicate.isRecord(options)) {
      return yield* invalid("options", `must be an object, got ${Json.describe(options)}`)
    }
    yield* checkKnown(where, options, ["url", "dialect", "headers", "maxResponseBytes", "retryOn", "batch"])
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
      retryOn: (yield* checkRetries(options.retryOn)) ?? never,
      batch: yield* checkBatch(options.batch, dialect)
    }
  })
