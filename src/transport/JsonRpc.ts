/**
 * A client of JSON-RPC 2.0 over HTTP, and of both flavours of Go's `gorilla/rpc`, on the `HttpClient` of
 * `@effect/platform`.
 *
 * ```ts
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as JsonRpc from "effect-rpc-retry/JsonRpc"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const program = Effect.gen(function*() {
 *   const rpc = yield* JsonRpc.make({ url: "http://127.0.0.1:8080/rpc" })
 *   return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number }).pipe(withRpcRetry)
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 * ```
 *
 * An attempt is exactly one HTTP request, provided that the `HttpClient` does not retry: one that was made with
 * `HttpClient.retry` or `retryTransient` repeats requests unseen by this client.
 *
 * | what happens                                              | error of the call                                        |
 * | --------------------------------------------------------- | -------------------------------------------------------- |
 * | the connection is refused, reset, closed, ...             | as `Classify.classify` says of the cause                 |
 * | the TLS handshake is cut or reset                         | `Retryable ConnectionLost`, not sent                     |
 * | the peer speaks no TLS, or not ours                       | `Retryable Unavailable`, not sent                        |
 * | the connection breaks in the middle of the answer         | `Retryable ConnectionLost`, may have run                 |
 * | the URL, a header or the arguments cannot be written      | `Fatal InvalidArgument`, nothing sent                    |
 * | 429                                                       | `Retryable Throttled`, not sent                          |
 * | 408, 502, 503, 504                                        | `Retryable Unavailable`, may have run                    |
 * | 401, 407 / 403                                            | `Fatal Unauthenticated` / `PermissionDenied`             |
 * | 3xx                                                       | `Fatal Protocol`                                         |
 * | any other status with a JSON-RPC error                    | by the error, as below                                   |
 * | 400, 413, 414, 422, 431, without one                      | `Fatal InvalidArgument`                                  |
 * | 404, 410 / 405, 501                                       | `Fatal NotFound` / `Unimplemented`                       |
 * | 406, 415                                                  | `Fatal Protocol`                                         |
 * | 500, and what is left of 4xx and 5xx                      | `Fatal ServerError`                                      |
 * | error -32700                                              | `Fatal Protocol`                                         |
 * | error -32600, -32602                                      | `Fatal InvalidArgument`                                  |
 * | error -32601, and Go's words for a method it cannot find  | `Fatal Unimplemented`                                    |
 * | any other error, -32603 and -32000 to -32099 among them   | `Fatal ServerError`                                      |
 * | an error that `retryOn` names                             | `Retryable Custom`, may have run                         |
 * | 2xx without a JSON-RPC answer, or with another call's     | `Fatal Protocol`                                         |
 * | an answer that is too large, or deeper than 1000 levels   | `Fatal Protocol`                                         |
 * | an answer that does not fit the `reply` schema            | `Fatal Protocol`                                         |
 * | the `HttpPool` is closed                                  | `Fatal Cancelled`                                        |
 *
 * `Retry-After`, in seconds or as a date, becomes the `retryAfter` of a `Retryable`. `code` is the code of the JSON-RPC
 * error, or the HTTP status. The `cause` of a JSON-RPC error is its error object, with its `data`.
 *
 * Sent as headers with each attempt: `idempotency-key`, for a call that asks for one; `x-retry-attempt` on a retry, 1
 * for the first, as `go-grpc-middleware` counts; and the milliseconds that remain until the deadline as
 * `x-envoy-expected-rq-timeout-ms`, as Envoy tells the servers behind it.
 *
 * A call that is interrupted aborts its HTTP request. JSON numbers are JavaScript numbers: integers beyond 2^53 lose
 * precision.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import type { NoInfer } from "effect/Types"
import * as Deadline from "../Deadline.js"
import * as Runtime from "../internal/effect/runtime.js"
import { checkKnown, orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import { type Fatal, type Retryable, withMethod } from "../RpcError.js"
import * as Exchange from "./http/exchange.js"
import { writable } from "./http/headers.js"
import * as Batcher from "./jsonRpc/batcher.js"
import * as Messages from "./jsonRpc/message.js"
import * as JsonRpcOptions from "./jsonRpc/options.js"
import type { Options } from "./jsonRpc/options.js"
import { httpHeadersOf } from "./shared/callHeaders.js"
import * as Schemas from "./shared/schemas.js"

export type { ErrorObject } from "./jsonRpc/message.js"

export type { Batch, Options } from "./jsonRpc/options.js"

/**
 * The options of a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions<P = unknown, I = unknown, R = never> {
  /**
   * The schema that encodes the arguments. Arguments that do not fit it are `Fatal InvalidArgument`, and nothing is
   * sent. Default: the arguments are sent as they are.
   */
  readonly params?: Schema.Schema<P, I, R> | undefined
  /** Says whether the method may run twice: `true` or `false`; see {@link RpcCall.RpcCall}. Default: not known. */
  readonly idempotent?: boolean | undefined
}

/**
 * A client of one server. It is made with {@link make} or {@link layer}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  /**
   * Makes one call, which is not retried: pipe it through `withRpcRetry`. The arguments of JSON-RPC 2.0 are an object,
   * an array, or `undefined` for none; those of 1.0 are one value, sent as the only element of `params`. With a schema
   * for the `reply` the answer is decoded by it; without one it is `unknown`.
   */
  readonly call: {
    /** Calls a method and decodes the answer by the schema `reply`. */
    <A, AI, AR, P = unknown, I = unknown, R = never>(
      method: string,
      params: NoInfer<P>,
      options: CallOptions<P, I, R> & { readonly reply: Schema.Schema<A, AI, AR> }
    ): RpcCall.RpcCall<A, Retryable | Fatal, AR | R>
    /** Calls a method; the answer is `unknown`. */
    <P = unknown, I = unknown, R = never>(
      method: string,
      params: NoInfer<P>,
      options?: CallOptions<P, I, R>
    ): RpcCall.RpcCall<unknown, Retryable | Fatal, R>
  }
  /**
   * Sends a request that has no answer (a notification). It completes when the server has accepted it, and is never
   * part of a batch. It is not retried: pipe it through `withRpcRetry`.
   */
  readonly notify: <P = unknown, I = unknown, R = never>(
    method: string,
    params: NoInfer<P>,
    options?: CallOptions<P, I, R>
  ) => RpcCall.RpcCall<void, Retryable | Fatal, R>
}

/**
 * The tag of a {@link Client} in the context; {@link layer} provides it.
 *
 * @since 0.1.0
 * @category tags
 */
export class JsonRpc extends Context.Tag("effect-rpc-retry/JsonRpc")<JsonRpc, Client>() {}

/**
 * Makes a client that sends its requests with the `HttpClient` of the context. It holds no connection of its own.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as JsonRpc from "effect-rpc-retry/JsonRpc"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const program = Effect.gen(function*() {
 *   const rpc = yield* JsonRpc.make({ url: "https://eth.example.org", retryOn: [-32005] })
 *   return yield* rpc.call("eth_blockNumber", [], { reply: Schema.String, idempotent: true }).pipe(withRpcRetry)
 * }).pipe(Effect.provide(HttpPool.layer()))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Client, never, HttpClient.HttpClient> => {
  const checked = orThrow(JsonRpcOptions.check(options))
  return Effect.gen(function*() {
    const exchange = Exchange.make(yield* HttpClient.HttpClient, checked)
    const exchangeOne = oneByOne(exchange, checked.retryOn)
    const send = checked.batch === undefined
      ? exchangeOne
      : batched(exchange, exchangeOne, checked.retryOn, {
        ...checked.batch,
        runner: Runtime.without(yield* Runtime.current, isOfCall)
      })
    let ids = 0

    /** Makes one attempt, with an id of its own, and decodes the response. */
    const attempt = <A, R>(
      method: string,
      params: unknown,
      options: CallOptions<unknown, unknown, R> | undefined,
      id: () => number | undefined,
      send: (text: string, id: number | undefined) => Effect.Effect<A, Retryable | Fatal>
    ) =>
      Schemas.encoded(params, options?.params).pipe(
        Effect.flatMap((params) => {
          const given = id()
          return Effect.flatMap(
            Messages.encode(checked.dialect, method, params, given),
            (text) => send(text, given)
          )
        }),
        Effect.mapError((error) => withMethod(error, method))
      )

    const call = <R>(
      method: string,
      params: unknown,
      options?: CallOptions<unknown, unknown, R> & { readonly reply?: Schema.Schema<unknown, unknown, R> }
    ) => {
      checkCall("JsonRpc.call", options, ["params", "reply", "idempotent"])
      const answer = attempt(method, params, options, () => ++ids, (text, id) => send(id!, text))
      const reply = Effect.flatMap(
        answer,
        ({ length, value }) =>
          Effect.mapError(
            length > Schemas.long ? Schemas.decodedLong(value, options?.reply) : Schemas.decoded(value, options?.reply),
            (error) => withMethod(error, method)
          )
      )
      return RpcCall.make(reply, { method, idempotent: options?.idempotent })
    }

    const notify = <R>(method: string, params: unknown, options?: CallOptions<unknown, unknown, R>) => {
      checkCall("JsonRpc.notify", options, ["params", "idempotent"])
      return RpcCall.make(
        attempt(
          method,
          params,
          options,
          () => undefined,
          (text) =>
            Effect.flatMap(Deadline.facts, (facts) =>
              Effect.flatMap(
                Effect.flatMap(writable(httpHeadersOf(facts)), (headers) => exchange(text, headers)),
                (reply) => Messages.acknowledged(reply, checked.retryOn)
              ))
        ),
        { method, idempotent: options?.idempotent }
      )
    }

    return { call, notify } as Client
  })
}

/**
 * Provides the client as a service. Throws as {@link make} does.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as JsonRpc from "effect-rpc-retry/JsonRpc"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.flatMap(JsonRpc.JsonRpc, (rpc) => rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry))
 *
 * const RpcLive = JsonRpc.layer({ url: "http://127.0.0.1:8080/rpc" }).pipe(Layer.provide(HttpPool.layer()))
 *
 * const main = program.pipe(Effect.provide(RpcLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<JsonRpc, never, HttpClient.HttpClient> =>
  Layer.effect(JsonRpc, make(options))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const checkCall = (where: string, options: object | undefined, known: ReadonlyArray<string>): void => {
  if (options !== undefined) {
    orThrow(checkKnown(where, options, known))
  }
}

/**
 * Returns whether a service belongs to the call in which the client was made. Batches run without it: they belong to no
 * call.
 */
const isOfCall = (key: string): boolean => key === Tracer.ParentSpan.key || key.startsWith("effect-rpc-retry/Deadline/")

type Send = (id: number, text: string) => Effect.Effect<Messages.RawResult, Retryable | Fatal>

const oneByOne = (exchange: Exchange.Exchange, retryOn: Messages.RetryOn): Send => (id, text) =>
  Effect.flatMap(
    Deadline.facts,
    (facts) =>
      Effect.flatMap(Effect.flatMap(writable(httpHeadersOf(facts)), (headers) => exchange(text, headers)), (reply) =>
        Messages.answer(reply, id, retryOn))
  )

/** Sends a batch of one as a single request: not every server supports batches. */
const batched = (
  exchange: Exchange.Exchange,
  exchangeOne: Send,
  retryOn: Messages.RetryOn,
  options: Pick<Batcher.Options, "maxCalls" | "window" | "runner">
): Send => {
  const join = Batcher.make({
    ...options,
    send: (calls) => {
      const ids = Array.from(calls.keys())
      const texts = Array.from(calls.values())
      return texts.length === 1
        ? Effect.map(exchange(texts[0]!, {}), (reply) => new Map([[ids[0]!, Messages.answer(reply, ids[0]!, retryOn)]]))
        : Effect.flatMap(exchange(`[${texts.join(",")}]`, {}), (reply) => Messages.answers(reply, ids, retryOn))
    }
  })
  return (id, text) =>
    Effect.flatMap(
      Deadline.facts,
      ({ idempotencyKey }) => idempotencyKey === undefined ? join(id, text) : exchangeOne(id, text)
    )
}
