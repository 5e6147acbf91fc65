/**
 * Requests of discovery over HTTP. Their errors have neither the request, whose headers may have a token, nor parts of
 * answers.
 *
 * @internal
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import { constTrue } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Deadline from "../../Deadline.js"
import { DiscoveryFailed } from "../../internal/endpoints/source.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as Json from "../shared/json.js"
import { checkUrl } from "../shared/url.js"

/** How long the head of an answer, or a whole answer, may take, in milliseconds. @internal */
export const answerTimeout = 10_000

/** The codes of Node along a chain of causes: `ECONNREFUSED`. */
const codeOf = (failure: unknown, depth = 0): string | undefined =>
  !Predicate.isObject(failure) || depth > 8
    ? undefined
    : Predicate.hasProperty(failure, "code") && Predicate.isString(failure.code)
    ? failure.code
    : codeOf(Predicate.hasProperty(failure, "cause") ? failure.cause : undefined, depth + 1)

const refused = (source: string, status: number): DiscoveryFailed =>
  new DiscoveryFailed({ source, problem: `answered with status ${status}` })

const failureOf = (source: string, error: HttpClientError.HttpClientError): DiscoveryFailed => {
  if (error._tag === "ResponseError" && error.reason === "StatusCode") {
    return refused(source, error.response.status)
  }
  const what = error._tag === "RequestError" ? "the request failed" : "the answer broke off"
  const code = codeOf(error.cause)
  return new DiscoveryFailed({
    source,
    problem: code === undefined ? what : `${what} with ${code}`,
    cause: error.cause
  })
}

/**
 * Returns whether text may be the value of a header. Clients quote a value that may not in their errors, and it may be a
 * token.
 *
 * @internal
 */
export const isHeaderValue = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)

/**
 * Sends a request and returns its response, if its status is one of success. The request is aborted when the scope ends.
 *
 * It has no span: spans show headers, of which a token may be one, and requests that wait for changes are no part of a
 * trace.
 *
 * - `timeout`: how long the head of the answer may take, in milliseconds.
 *
 * @internal
 */
export const send = (
  source: string,
  request: HttpClientRequest.HttpClientRequest,
  timeout: number = answerTimeout
): Effect.Effect<HttpClientResponse.HttpClientResponse, DiscoveryFailed, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    if (!Object.values(request.headers).every(isHeaderValue)) {
      return yield* new DiscoveryFailed({ source, problem: "the token has characters that no header can have" })
    }
    const client = (yield* HttpClient.HttpClient).pipe(
      HttpClient.withScope,
      HttpClient.withTracerDisabledWhen(constTrue)
    )
    const response = yield* client.execute(request).pipe(
      Effect.mapError((error) => failureOf(source, error)),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => new DiscoveryFailed({ source, problem: `no answer within ${timeout} ms` })
      })
    )
    if (response.status < 200 || response.status > 299) {
      return yield* refused(source, response.status)
    }
    return response
  })

const decode = <A, I>(source: string, schema: Schema.Schema<A, I>, json: Result.Result<unknown, string>) =>
  Result.match(json, {
    onFailure: (problem) => Effect.fail(new DiscoveryFailed({ source, problem: `the answer is ${problem}` })),
    onSuccess: (value) =>
      Result.match(Result.decodeUnknown(schema)(value), {
        onFailure: (error) => {
          const { cause, words } = Excerpt.explain(error)
          return Effect.fail(new DiscoveryFailed({ source, problem: `the answer does not fit: ${words}`, cause }))
        },
        onSuccess: Effect.succeed
      })
  })

/**
 * The most bytes of an answer, or of a line of one: thousands of endpoints have room, and what does not end fills no
 * memory.
 */
const maxBytes = 16 * 1024 * 1024

const tooLong = (source: string) =>
  new DiscoveryFailed({ source, problem: `the answer has more than ${maxBytes} bytes` })

/** Counts bytes, and fails when they are too many. */
const bounded = (source: string) => {
  let size = 0
  return {
    add: (more: number): Effect.Effect<void, DiscoveryFailed> => {
      size += more
      return size > maxBytes ? Effect.fail(tooLong(source)) : Effect.void
    },
    startOver: () => {
      size = 0
    }
  }
}

/** Reads the body of a response as one value. @internal */
export const read = <A, I>(
  source: string,
  response: HttpClientResponse.HttpClientResponse,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, DiscoveryFailed> =>
  Effect.suspend(() => {
    const size = bounded(source)
    return response.stream.pipe(
      Stream.mapError((error) => failureOf(source, error)),
      Stream.tap((part) => size.add(part.length)),
      Stream.runCollect
    )
  }).pipe(
    Effect.timeoutFail({
      duration: answerTimeout,
      onTimeout: () => new DiscoveryFailed({ source, problem: "the answer does not end" })
    }),
    Effect.flatMap((parts) => decode(source, schema, Json.parse(joined(parts))))
  )

const joined = (parts: Iterable<Uint8Array>): Uint8Array => {
  const all = Array.from(parts)
  const body = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0))
  all.reduce((at, part) => {
    body.set(part, at)
    return at + part.length
  }, 0)
  return body
}

/** Ends a line. */
const newline = 10

/** Reads the body of a response as values, one a line, for as long as it comes. @internal */
export const readLines = <A, I>(
  source: string,
  response: HttpClientResponse.HttpClientResponse,
  schema: Schema.Schema<A, I>
): Stream.Stream<A, DiscoveryFailed> => {
  const encoder = new TextEncoder()
  const line = bounded(source)
  return response.stream.pipe(
    Stream.mapError((error) => failureOf(source, error)),
    Stream.tap((part) => {
      // of a part that ends lines only what follows the last end belongs to the next one
      const end = part.lastIndexOf(newline)
      if (end < 0) {
        return line.add(part.length)
      }
      return Effect.andThen(
        line.add(part.indexOf(newline)),
        Effect.suspend(() => {
          line.startOver()
          return line.add(part.length - end - 1)
        })
      )
    }),
    Stream.decodeText(),
    Stream.splitLines,
    Stream.filter((line) => line.trim() !== ""),
    Stream.mapEffect((line) => decode(source, schema, Json.parse(encoder.encode(line))))
  )
}

/** Returns an effect that waits where it would run sooner than `millis` after its last run. @internal */
export const pacer = (millis: number): Effect.Effect<void> => {
  let next = 0
  return Effect.gen(function*() {
    yield* Effect.sleep(Math.max(0, next - (yield* Deadline.now)))
    next = (yield* Deadline.now) + millis
  })
}

/** Ends a stream with an error when it has not ended by itself, in milliseconds. @internal */
export const within =
  (source: string, millis: number, problem: string) =>
  <A, R>(self: Stream.Stream<A, DiscoveryFailed, R>): Stream.Stream<A, DiscoveryFailed, R> =>
    Stream.interruptWhen(self, Effect.delay(Effect.fail(new DiscoveryFailed({ source, problem })), millis))

/** Sets a header whose value is a secret. @internal */
export const secretHeader = (name: string, value: Redacted.Redacted<string>, prefix = "") =>
  HttpClientRequest.setHeader(name, `${prefix}${Redacted.value(value)}`)

/** Checks the option `url`: that of a server, to which paths are added. Returns it without a slash at its end. @internal */
export const checkBase = (where: string, url: unknown): Result.Result<string, InvalidOption> =>
  Result.flatMap(checkUrl(where, url), (url) =>
    /^https?:\/\/[^?#]+$/i.test(url)
      ? Result.succeed(url.replace(/\/+$/, ""))
      : Result.fail(
        new InvalidOption({ where, field: "url", problem: "must have a host, and neither a query nor a fragment" })
      ))

/** Checks an optional secret. @internal */
export const checkSecret = (where: string, field: string, secret: unknown): Result.Result<void, InvalidOption> =>
  secret === undefined || (Redacted.isRedacted(secret) && Predicate.isString(Redacted.value(secret)))
    ? Result.void
    : Result.fail(new InvalidOption({ where, field, problem: "must be a Redacted text" }))
