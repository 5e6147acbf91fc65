/**
 * The options of `JsonRpc.make`, checked and complete.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/excerpt.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"
import type { Options } from "../JsonRpc.js"
import { problemOf } from "./httpHeaders.js"
import * as Json from "./json.js"
import type { Dialect, RetryOn } from "./jsonRpc.js"
import { checkUrl } from "./url.js"

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
    // a text may be a credential
    return invalid("headers", `must be an object of names and values, got ${Excerpt.kindOf(headers)}`)
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
export const check = (options: Options): Either.Either<Checked, InvalidOption> =>
  Either.gen(function*() {
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
      maxResponseBytes: yield* checkNumber(where, "maxResponseBytes", options.maxResponseBytes ?? 64 * 1024 * 1024, {
        min: 1,
        max: Number.MAX_SAFE_INTEGER,
        integer: true
      }),
      retryOn: yield* checkRetryOn(options.retryOn),
      batch: yield* checkBatch(options.batch, dialect)
    }
  })
