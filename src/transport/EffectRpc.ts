/**
 * Clients of `@effect/rpc` whose calls fail with `Retryable | Fatal`, so that `withRpcRetry` can tell what is worth
 * another attempt.
 *
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Schema from "effect/Schema"
 *
 * const Users = RpcGroup.make(
 *   Rpc.make("Get", { payload: { id: Schema.Int }, success: Schema.String })
 * )
 *
 * const ProtocolLive = EffectRpc.layerProtocolHttp({ url: "http://127.0.0.1:8080/rpc" }).pipe(
 *   Layer.provide([HttpPool.layer(), RpcSerialization.layerNdjson])
 * )
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* EffectRpc.make(Users, { service: "Users" }) // where RpcClient.make(Users) was
 *   return yield* users.Get({ id: 1 }).pipe(withRpcRetry)
 * }).pipe(Effect.scoped, Effect.provide(ProtocolLive))
 * ```
 *
 * An attempt is exactly one request, with an id of its own.
 *
 * | what happens                                                   | error of the call                                    |
 * | -------------------------------------------------------------- | ---------------------------------------------------- |
 * | an error that the rpc declares                                 | as it is                                             |
 * | a `Fatal` that the rpc declares                                | as it is, with the method where it names none        |
 * | a `Retryable` that the rpc declares                            | the same, but may have run                           |
 * | a defect of the handler                                        | stays a defect                                       |
 * | the server has no such rpc                                     | `Fatal Unimplemented`                                |
 * | the server stops, or the handler was interrupted               | `Retryable Unavailable`, may have run                |
 * | the caller is interrupted                                      | interruption; the server is told                     |
 * | no connection could be opened                                  | by its cause, or `Retryable Unavailable`; not sent   |
 * | a call while the connection is down                            | as it went down, but not sent                        |
 * | a socket: an attempt is cut while it waits for the connection  | `Retryable AttemptTimeout`, not sent                 |
 * | the connection breaks: read, write, close                      | by its cause, or `Retryable ConnectionLost`, may have run |
 * | no answer to a ping, or a WebSocket that does not open in time | `Retryable Unavailable`, may have run                |
 * | the peer sends what is not a message, and nobody's answer      | `Fatal Protocol` of all calls in flight; that connection is closed |
 * | an answer that is no message of RPC, to a call in flight       | `Fatal Protocol` of that call                        |
 * | HTTP: 429                                                      | `Retryable Throttled`, not sent                      |
 * | HTTP: 408, 502, 503, 504, whatever the body                    | `Retryable Unavailable`, may have run                |
 * | HTTP: other statuses than 2xx                                  | `Fatal`, as `HttpRpc.fromStatus` says               |
 * | HTTP: 2xx that ends without an answer: `[]`; NDJSON: no line   | `Retryable Unavailable`, may have run                |
 * | HTTP: 2xx with something else: HTML, a JSON object; JSON: nothing | `Fatal Protocol`                                  |
 * | the payload does not fit its schema, or cannot be written      | `Fatal InvalidArgument`, nothing sent                |
 * | the answer does not fit its schema                             | `Fatal Protocol`                                     |
 * | a worker fails                                                 | `Retryable Unavailable`, may have run                |
 * | the client is closed, or its protocol                          | `Fatal Cancelled`                                    |
 *
 * `Retry-After`, in seconds or as a date, becomes the `retryAfter` of a `Retryable`; and a server can give one in a
 * `Retryable` that the rpc declares.
 *
 * Sent as headers of RPC with each attempt: `idempotency-key`, for a call that asks for one; `x-retry-attempt` on a
 * retry, 1 for the first; `x-envoy-expected-rq-timeout-ms`, where there is a deadline, the milliseconds that remain.
 * Headers that the caller gives to a call, or with `RpcClient.withHeaders`, go before these.
 *
 * @since 0.1.0
 */
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Socket from "@effect/platform/Socket"
import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import type { RequestId } from "@effect/rpc/RpcMessage"
import type * as RpcSchema from "@effect/rpc/RpcSchema"
import type * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Mailbox from "effect/Mailbox"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { NoInfer } from "effect/Types"
import type * as Classify from "../Classify.js"
import { checkKnown, InvalidOption, orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import type { CallRejected, Fatal, Retryable, RetryExhausted } from "../RpcError.js"
import * as internal from "./effectRpc/client.js"
import * as Failure from "./effectRpc/failure.js"
import * as Guard from "./effectRpc/guard.js"
import * as Http from "./effectRpc/http.js"
import * as Observed from "./effectRpc/socket.js"
import * as UntilFirst from "./shared/untilFirst.js"

/**
 * Annotates an rpc, or a whole group, with whether it may run twice; see {@link RpcCall.RpcCall}. Default: not known.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 *
 * const Orders = RpcGroup.make(
 *   Rpc.make("Get").annotate(EffectRpc.Idempotent, true),
 *   Rpc.make("Place").annotate(EffectRpc.Idempotent, false)
 * )
 * ```
 *
 * @since 0.1.0
 * @category annotations
 */
export class Idempotent extends Context.Reference<Idempotent>()("effect-rpc-retry/EffectRpc/Idempotent", {
  defaultValue: (): boolean | undefined => undefined
}) {}

/**
 * The client of a group, as `RpcClient.RpcClient<Rpcs, E>` of the library is, where every call is an `RpcCall`:
 * payloads, answers, declared errors and what schemas need are those of the group.
 *
 * A stream stays a `Stream`, and fails with `Retryable | Fatal` too. See `untilFirst`. `RpcRetry.client` retries all
 * calls, and leaves streams as they are.
 *
 * @since 0.1.0
 * @category models
 */
export type Client<Rpcs extends Rpc.Any> = ClientOf<Rpcs, "Attempt"> & RpcCall.RetriesTo<ClientOf<Rpcs, "Retried">>

/** What a call returns: one attempt, or the call that `RpcRetry.client` makes of it. */
type Kind = "Attempt" | "Retried"

type ClientOf<Rpcs extends Rpc.Any, K extends Kind> = Schema.Simplify<
  & Calls<RpcClient.RpcClient.NonPrefixed<Rpcs>, K>
  & {
    readonly [Prefix in RpcClient.RpcClient.Prefixes<Rpcs>]: Calls<
      RpcClient.RpcClient.Prefixed<Rpcs, Prefix>,
      K,
      Prefix
    >
  }
>

/** `RpcClient.From` of the library, with `RpcCall` in place of `Effect`. */
type Calls<Rpcs extends Rpc.Any, K extends Kind, Prefix extends string = ""> = {
  readonly [Current in Rpcs as Current["_tag"] extends `${Prefix}.${infer Name}` ? Name : Current["_tag"]]: <
    const AsMailbox extends boolean = false,
    const Discard = false
  >(
    input: Rpc.PayloadConstructor<Current>,
    options?: [StreamOf<Rpc.SuccessSchema<Current>, never>] extends [never] ? CallOptions<Discard>
      : StreamOptions<AsMailbox>
  ) => Current extends Rpc.Rpc<Current["_tag"], infer Payload, infer Success, infer Failure, infer Middleware> ? Result<
      K,
      StreamOf<Success, Failure["Type"] | Middleware["failure"]["Type"] | Retryable | Fatal>,
      Success["Type"],
      Failure["Type"] | Middleware["failure"]["Type"],
      Payload["Context"] | Success["Context"] | Failure["Context"] | Middleware["failure"]["Context"],
      AsMailbox,
      Discard
    >
    : never
}

/**
 * The options of a call, as the library's client has them.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions<Discard = false> {
  /** Headers of RPC for this call. They override all others of the same name. Default none. */
  readonly headers?: Headers.Input | undefined
  /** A context that is passed to the library's client for this call. Default none. */
  readonly context?: Context.Context<never> | undefined
  /** Completes the call when the request is sent, without waiting for the answer. Default `false`. */
  readonly discard?: Discard | undefined
}

/**
 * The options of a stream, as the library's client has them.
 *
 * @since 0.1.0
 * @category models
 */
export interface StreamOptions<AsMailbox = false> {
  /** Headers of RPC for this stream. They override all others of the same name. Default none. */
  readonly headers?: Headers.Input | undefined
  /** A context that is passed to the library's client for this stream. Default none. */
  readonly context?: Context.Context<never> | undefined
  /** Returns the elements in a mailbox, in place of a stream. Default `false`. */
  readonly asMailbox?: AsMailbox | undefined
  /** How many elements are read ahead, where the protocol supports backpressure. Default 16. */
  readonly streamBufferSize?: number | undefined
}

/** The elements and the errors of an rpc that is a stream; `never` for another rpc. */
type StreamOf<Success, E> = [Success] extends [RpcSchema.Stream<infer A, infer Failure>]
  ? Stream.Stream<A["Type"], Failure["Type"] | E>
  : never

type Result<K extends Kind, Elements, A, Declared, R, AsMailbox, Discard> = [Elements] extends [never]
  ? Call<K, Discard extends true ? void : A, Discard extends true ? never : Declared, R>
  : Elements extends Stream.Stream<infer Element, infer Failure>
    ? AsMailbox extends true ? RpcCall.RpcCall<Mailbox.ReadonlyMailbox<Element, Failure>, never, Scope.Scope | R>
    : Stream.Stream<Element, Failure, R>
  : never

type Call<K extends Kind, A, Declared, R> = K extends "Attempt" ? RpcCall.RpcCall<A, Declared | Retryable | Fatal, R>
  : Effect.Effect<A, Exclude<Declared, Retryable> | Fatal | RetryExhausted | CallRejected, R>

/**
 * The options of the calls of a group.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<Tag extends string = string> {
  /**
   * The service of the rpcs whose tag has no prefix: with `"Users"` the method of `Get` is `Users.Get`. It must not be
   * empty. Default `"Rpc"`. A tag with a prefix, as `group.prefix("users.")` makes it, is the method itself:
   * `users.Get`.
   */
  readonly service?: string | undefined
  /**
   * Says whether an rpc may run twice, by its tag. It overrides the annotation {@link Idempotent}. Default: the
   * annotation.
   */
  readonly idempotent?: { readonly [T in Tag]?: boolean | undefined } | undefined
}

/**
 * The options of the calls, and those of `RpcClient.make`.
 *
 * @since 0.1.0
 * @category models
 */
export interface MakeOptions<Tag extends string = string> extends Options<Tag> {
  /** The prefix of the names of the library's spans. Default `"RpcClient"`. */
  readonly spanPrefix?: string | undefined
  /** Attributes of the library's spans. Default none. */
  readonly spanAttributes?: Record<string, unknown> | undefined
  /** Makes the id of each request. Default: the library's counter. */
  readonly generateRequestId?: (() => RequestId) | undefined
  /** Turns the library's spans off. Default `false`. */
  readonly disableTracing?: boolean | undefined
}

/** Names the calls of a group, and says which may run twice. */
const naming = <Rpcs extends Rpc.Any>(
  where: string,
  group: RpcGroup.RpcGroup<Rpcs>,
  options: Options,
  others: ReadonlyArray<string> = []
): (rpc: Rpc.AnyWithProps) => internal.Named => {
  orThrow(checkKnown(where, options, ["service", "idempotent", ...others]))
  const { idempotent = {}, service = "Rpc" } = options
  if (service === "") {
    throw new InvalidOption({ where, field: "service", problem: "must not be empty" })
  }
  const unknown = Object.keys(idempotent).find((tag) => !group.requests.has(tag))
  if (unknown !== undefined) {
    throw new InvalidOption({ where, field: "idempotent", problem: `names an rpc that the group has not: ${unknown}` })
  }
  return ({ _tag, annotations }) => ({
    tag: _tag,
    method: _tag.includes(".") ? _tag : `${service}.${_tag}`,
    idempotent: (Object.hasOwn(idempotent, _tag) ? idempotent[_tag] : undefined) ?? Context.get(annotations, Idempotent)
  })
}

/**
 * Makes a client of a group, with `RpcClient.make` on the `Protocol` of the context.
 *
 * The table is that of `layerProtocolHttp` and `layerProtocolSocket`, which any number of clients share. Other
 * protocols are used as they are: what they fail to send may have been sent, an answer that does not come is waited
 * for, and those of the library serve one client each: a second one on the same protocol waits for ever.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Users = RpcGroup.make(
 *   Rpc.make("Get", { payload: { id: Schema.Int }, success: Schema.String }),
 *   Rpc.make("Create", { payload: { name: Schema.String }, success: Schema.Int })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* EffectRpc.make(Users, { service: "Users", idempotent: { Get: true, Create: false } })
 *   const id = yield* users.Create({ name: "Ada" }).pipe(withRpcRetry({ idempotencyKey: true }))
 *   return yield* users.Get({ id }).pipe(withRpcRetry)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>,
  options: MakeOptions<NoInfer<Rpcs["_tag"]>> = {}
): Effect.Effect<Client<Rpcs>, never, RpcClient.Protocol | Rpc.MiddlewareClient<Rpcs> | Scope.Scope> => {
  const named = naming("EffectRpc.make", group, options, [
    "spanPrefix",
    "spanAttributes",
    "generateRequestId",
    "disableTracing"
  ])
  return Effect.gen(function*() {
    const guarded = yield* Effect.flatMap(RpcClient.Protocol, (protocol) => Guard.make(protocol))
    const original = yield* Effect.provideService(RpcClient.make(group, options), RpcClient.Protocol, guarded)
    let isClosed = false
    // runs before the library's own finalizer, which ends the calls in flight
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
      })
    )
    return internal.client(group, original, named, { isGuarded: true, isClosed: () => isClosed }) as Client<Rpcs>
  })
}

/**
 * The same of a client that was made elsewhere, and of its group, which says what a client does not: which rpcs are
 * streams, and their annotations.
 *
 * What only the protocol sees is as in the table where it is one of `layerProtocolHttp` and `layerProtocolSocket`. On
 * others what the library says with a defect stays one, as the handler may have said it; and calls in flight when the
 * client is closed are `Retryable`: `make` knows better.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcClient from "@effect/rpc/RpcClient"
 * import * as RpcGroup from "@effect/rpc/RpcGroup"
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as Effect from "effect/Effect"
 *
 * const Health = RpcGroup.make(Rpc.make("Check"))
 *
 * class HealthClient extends Effect.Service<HealthClient>()("HealthClient", { scoped: RpcClient.make(Health) }) {}
 *
 * const program = Effect.flatMap(HealthClient, (health) =>
 *   EffectRpc.client(health, Health, { service: "Health" }).Check().pipe(withRpcRetry))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const client = <Rpcs extends Rpc.Any>(
  original: RpcClient.RpcClient<NoInfer<Rpcs>, RpcClientError>,
  group: RpcGroup.RpcGroup<Rpcs>,
  options: Options<NoInfer<Rpcs["_tag"]>> = {}
): Client<Rpcs> =>
  internal.client(group, original, naming("EffectRpc.client", group, options), {
    isGuarded: false,
    isClosed: () => false
  }) as Client<Rpcs>

/**
 * Makes a call of a stream. The call completes when the first elements (a chunk that a filter left empty has none) or
 * the end have arrived, with a stream of all elements. It is retried until then; a stream that breaks later fails, as
 * elements that were received cannot be taken back. For the same reason the stream can be run once: after that it fails
 * with `Fatal Custom`.
 *
 * A stream carries neither the name of its rpc nor its annotation {@link Idempotent}: give both as options.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as Stream from "effect/Stream"
 *
 * declare const users: { readonly Watch: () => Stream.Stream<string, Retryable | Fatal> }
 *
 * const names = users.Watch().pipe(
 *   EffectRpc.untilFirst({ method: "Users.Watch" }),
 *   withRpcRetry({ attemptTimeout: "2 seconds" }),
 *   Stream.unwrapScoped
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const untilFirst: {
  (options: RpcCall.Options): <A, E, R>(
    self: Stream.Stream<A, E, R>
  ) => RpcCall.RpcCall<Stream.Stream<A, E | Fatal, R>, E, R | Scope.Scope>
  <A, E, R>(
    self: Stream.Stream<A, E, R>,
    options: RpcCall.Options
  ): RpcCall.RpcCall<Stream.Stream<A, E | Fatal, R>, E, R | Scope.Scope>
} = dual(
  2,
  <A, E, R>(
    self: Stream.Stream<A, E, R>,
    options: RpcCall.Options
  ): RpcCall.RpcCall<Stream.Stream<A, E | Fatal, R>, E, R | Scope.Scope> =>
    RpcCall.make(UntilFirst.untilFirst(options.method, Stream.toPull(self)), options)
)

/**
 * Classifies the failures of any client of `@effect/rpc`, by their cause. It leaves failures that are no typed errors
 * (see the table) unclassified, and does not read `Retry-After`, as a date needs the time of day.
 *
 * @example
 * ```ts
 * import type { RpcClientError } from "@effect/rpc/RpcClientError"
 * import { Classify, withRpcRetry } from "effect-rpc-retry"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as Effect from "effect/Effect"
 *
 * declare const check: Effect.Effect<void, RpcClientError>
 *
 * const classify = Classify.firstOf(EffectRpc.rpcClientError, ...Classify.rules)
 *
 * const program = check.pipe(Effect.mapError(classify), withRpcRetry({ method: "Health.Check" }))
 * ```
 *
 * @since 0.1.0
 * @category rules
 */
export const rpcClientError: Classify.Rule = Failure.clientError()

/**
 * `RpcClient.layerProtocolHttp` that looks at the status of a response before its body, so that a call says what the
 * status means and reads `Retry-After`. A request has one response: one that ends without its answer ends the call. Any
 * number of clients share it.
 *
 * A URL without a host, as `"/rpc"`, is for clients that put theirs before it. Throws `InvalidOption` for a URL that is
 * none, or that has a password in it; and when it is built with `RpcSerialization.layerJsonRpc`, whose answers the
 * library never decodes over HTTP.
 *
 * @example
 * ```ts
 * import * as HttpClient from "@effect/platform/HttpClient"
 * import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as Layer from "effect/Layer"
 *
 * const ProtocolLive = EffectRpc.layerProtocolHttp({
 *   url: "https://users.example.org/rpc",
 *   transformClient: HttpClient.mapRequest(HttpClientRequest.bearerToken("secret"))
 * }).pipe(Layer.provide([HttpPool.layer(), RpcSerialization.layerNdjson]))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerProtocolHttp = (options: {
  /**
   * The URL that requests are posted to. A URL without a host needs an `HttpClient` that adds one. It must not have a
   * password in it.
   */
  readonly url: string
  /** Changes the `HttpClient` before it is used, as to add a header. Default: it is used unchanged. */
  readonly transformClient?:
    | (<E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E, R>)
    | undefined
}): Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | HttpClient.HttpClient> =>
  Layer.scoped(RpcClient.Protocol, Http.makeProtocol(options))

/**
 * The delays before a lost connection is dialled again: none at first, then 50 ms, growing by half up to 1 second.
 *
 * @since 0.1.0
 * @category schedules
 */
export const redial: Schedule.Schedule<unknown> = Schedule.recurs(1).pipe(
  Schedule.andThen(Schedule.exponential("50 millis", 1.5).pipe(Schedule.union(Schedule.spaced("1 second"))))
)

/**
 * `RpcClient.layerProtocolSocket`, dialled again as `redial` says unless told otherwise: the library's own first delay,
 * 500 ms, is longer than all delays of the default policy together. A call that is made while it is dialled waits for
 * that.
 *
 * Any schedule starts over once a connection has brought an answer to a call, so that a connection that served is
 * dialled again at once: the library's never does. What is not a message closes the connection, and it is dialled anew.
 *
 * Any number of clients share it.
 *
 * @example
 * ```ts
 * import * as NodeSocket from "@effect/platform-node/NodeSocket"
 * import * as RpcSerialization from "@effect/rpc/RpcSerialization"
 * import * as EffectRpc from "effect-rpc-retry/EffectRpc"
 * import * as Layer from "effect/Layer"
 *
 * const ProtocolLive = EffectRpc.layerProtocolSocket().pipe(
 *   Layer.provide([NodeSocket.layerNet({ host: "127.0.0.1", port: 9000 }), RpcSerialization.layerNdjson])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerProtocolSocket = (options?: {
  /**
   * Keeps calls waiting when a connection does not open or a ping is not answered, in place of failing them. Default
   * `false`.
   */
  readonly retryTransientErrors?: boolean | undefined
  /** The delays before a lost connection is dialled again. Default {@link redial}. */
  readonly retrySchedule?: Schedule.Schedule<unknown, Socket.SocketError> | undefined
}): Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | Socket.Socket> => {
  orThrow(checkKnown("EffectRpc.layerProtocolSocket", options ?? {}, ["retryTransientErrors", "retrySchedule"]))
  return Layer.scoped(
    RpcClient.Protocol,
    Observed.makeProtocol({ ...options, retrySchedule: options?.retrySchedule ?? redial })
  )
}
