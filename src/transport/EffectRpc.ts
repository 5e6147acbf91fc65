/**
 * Clients of `@effect/rpc` whose calls say `Retryable` or `Fatal`.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Socket from "@effect/platform/Socket"
import type * as Headers from "@effect/platform/Headers"
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
import * as Classify from "../Classify.js"
import { InvalidOption } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import type { Fatal, Retryable } from "../RpcError.js"
import * as internal from "./internal/effectRpc.js"
import * as Failure from "./internal/effectRpcFailure.js"
import * as Guard from "./internal/effectRpcGuard.js"
import * as HttpFailure from "./internal/httpFailure.js"

/**
 * @since 0.1.0
 * @category annotations
 */
export class Idempotent extends Context.Reference<Idempotent>()("effect-rpc-retry/EffectRpc/Idempotent", {
  defaultValue: (): boolean | undefined => undefined
}) {}

/**
 * @since 0.1.0
 * @category models
 */
export type Client<Rpcs extends Rpc.Any, E = Retryable | Fatal> = Schema.Simplify<
  & Calls<RpcClient.RpcClient.NonPrefixed<Rpcs>, E>
  & {
    readonly [Prefix in RpcClient.RpcClient.Prefixes<Rpcs>]: Calls<
      RpcClient.RpcClient.Prefixed<Rpcs, Prefix>,
      E,
      Prefix
    >
  }
>

/**
 * @since 0.1.0
 * @category models
 */
export type Calls<Rpcs extends Rpc.Any, E, Prefix extends string = ""> = {
  readonly [Current in Rpcs as Current["_tag"] extends `${Prefix}.${infer Name}` ? Name : Current["_tag"]]: <
    const AsMailbox extends boolean = false,
    const Discard = false
  >(
    input: Rpc.PayloadConstructor<Current>,
    options?: [Rpc.SuccessSchema<Current>] extends [RpcSchema.Stream<infer _A, infer _E>] ? {
        readonly asMailbox?: AsMailbox | undefined
        readonly streamBufferSize?: number | undefined
        readonly headers?: Headers.Input | undefined
        readonly context?: Context.Context<never> | undefined
      }
      : {
        readonly headers?: Headers.Input | undefined
        readonly context?: Context.Context<never> | undefined
        readonly discard?: Discard | undefined
      }
  ) => Current extends Rpc.Rpc<infer _Tag, infer Payload, infer Success, infer Failure, infer Middleware>
    ? [Success] extends [RpcSchema.Stream<infer A, infer StreamFailure>]
      ? AsMailbox extends true ? RpcCall.RpcCall<
          Mailbox.ReadonlyMailbox<
            A["Type"],
            StreamFailure["Type"] | Failure["Type"] | E | Middleware["failure"]["Type"]
          >,
          never,
          | Scope.Scope
          | Payload["Context"]
          | Success["Context"]
          | Failure["Context"]
          | Middleware["failure"]["Context"]
        >
      : Stream.Stream<
        A["Type"],
        StreamFailure["Type"] | Failure["Type"] | E | Middleware["failure"]["Type"],
        Payload["Context"] | Success["Context"] | Failure["Context"] | Middleware["failure"]["Context"]
      >
    : RpcCall.RpcCall<
      Discard extends true ? void : Success["Type"],
      Discard extends true ? E : Failure["Type"] | E | Middleware["failure"]["Type"],
      Payload["Context"] | Success["Context"] | Failure["Context"] | Middleware["failure"]["Context"]
    >
    : never
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<Tag extends string = string> {
  readonly service?: string | undefined
  readonly idempotent?: { readonly [T in Tag]?: boolean | undefined } | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface MakeOptions<Tag extends string = string> extends Options<Tag> {
  readonly spanPrefix?: string | undefined
  readonly spanAttributes?: Record<string, unknown> | undefined
  readonly generateRequestId?: (() => RequestId) | undefined
  readonly disableTracing?: boolean | undefined
}

/** How the calls of a group are named, and which may run twice. */
const naming = <Rpcs extends Rpc.Any>(
  where: string,
  group: RpcGroup.RpcGroup<Rpcs>,
  { idempotent = {}, service = "Rpc" }: Options
): (rpc: Rpc.AnyWithProps) => internal.Named => {
  if (service === "") {
    throw new InvalidOption({ where, field: "service", problem: "must not be empty" })
  }
  const unknown = Object.keys(idempotent).find((tag) => !group.requests.has(tag))
  if (unknown !== undefined) {
    throw new InvalidOption({ where, field: "idempotent", problem: `names an rpc that the group has not: ${unknown}` })
  }
  return ({ _tag, annotations }) => ({
    method: _tag.includes(".") ? _tag : `${service}.${_tag}`,
    idempotent: idempotent[_tag] ?? Context.get(annotations, Idempotent)
  })
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>,
  options: MakeOptions<NoInfer<Rpcs["_tag"]>> = {}
): Effect.Effect<Client<Rpcs>, never, RpcClient.Protocol | Rpc.MiddlewareClient<Rpcs> | Scope.Scope> => {
  const named = naming("EffectRpc.make", group, options)
  return Effect.gen(function*() {
    const guarded = yield* Effect.flatMap(RpcClient.Protocol, Guard.make)
    const original = yield* Effect.provideService(RpcClient.make(group, options), RpcClient.Protocol, guarded)
    let isClosed = false
    // before the library's own, which ends the calls in flight
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
      })
    )
    return internal.client(group, original, named, () => isClosed) as Client<Rpcs>
  })
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const client = <Rpcs extends Rpc.Any>(
  original: RpcClient.RpcClient<NoInfer<Rpcs>, RpcClientError>,
  group: RpcGroup.RpcGroup<Rpcs>,
  options: Options<NoInfer<Rpcs["_tag"]>> = {}
): Client<Rpcs> =>
  internal.client(group, original, naming("EffectRpc.client", group, options), () => false) as Client<Rpcs>

/**
 * @since 0.1.0
 * @category combinators
 */
export const untilFirst: {
  (options: RpcCall.Options): <A, E, R>(
    self: Stream.Stream<A, E, R>
  ) => RpcCall.RpcCall<Stream.Stream<A, E, R>, E, R | Scope.Scope>
  <A, E, R>(
    self: Stream.Stream<A, E, R>,
    options: RpcCall.Options
  ): RpcCall.RpcCall<Stream.Stream<A, E, R>, E, R | Scope.Scope>
} = dual(
  2,
  <A, E, R>(
    self: Stream.Stream<A, E, R>,
    options: RpcCall.Options
  ): RpcCall.RpcCall<Stream.Stream<A, E, R>, E, R | Scope.Scope> => RpcCall.make(internal.untilFirst(self), options)
)

/**
 * @since 0.1.0
 * @category rules
 */
export const rpcClientError: Classify.Rule = Failure.clientError()

/** Of a body that does not matter as much is read as lets the connection be used again. */
const maxDrained = 65_536

const onlyOk = <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
  HttpClient.transformResponse(
    client,
    Effect.flatMap((response: HttpClientResponse.HttpClientResponse) =>
      HttpFailure.isOk(response.status)
        ? Effect.succeed(response)
        : Effect.zipRight(
          drained(response),
          Effect.fail(
            new HttpClientError.ResponseError({ request: response.request, response, reason: "StatusCode" })
          )
        )
    )
  )

const drained = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  response.stream.pipe(
    Stream.runFoldWhile(0, (size) => size <= maxDrained, (size, chunk) => size + chunk.length),
    Effect.timeoutOption("1 second"),
    Effect.ignore
  )

/**
 * @since 0.1.0
 * @category layers
 */
export const layerProtocolHttp = (options: {
  readonly url: string
  readonly transformClient?: (<E, R>(client: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E, R>) | undefined
}): Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | HttpClient.HttpClient> =>
  Layer.scoped(
    RpcClient.Protocol,
    Effect.gen(function*() {
      const located = HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.prependUrl(options.url))
      const transformed = options.transformClient === undefined ? located : options.transformClient(located)
      const protocol = yield* RpcClient.makeProtocolHttp(onlyOk(transformed))
      return yield* Guard.make(protocol, { statuses: true })
    })
  )

/**
 * @since 0.1.0
 * @category schedules
 */
export const redial: Schedule.Schedule<unknown> = Schedule.recurs(1).pipe(
  Schedule.andThen(Schedule.exponential("50 millis", 1.5).pipe(Schedule.union(Schedule.spaced("1 second")))),
  Schedule.resetAfter("10 seconds")
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layerProtocolSocket = (options?: {
  readonly retryTransientErrors?: boolean | undefined
  readonly retrySchedule?: Schedule.Schedule<unknown, Socket.SocketError> | undefined
}): Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | Socket.Socket> =>
  Layer.scoped(
    RpcClient.Protocol,
    Effect.flatMap(RpcClient.makeProtocolSocket({ retrySchedule: redial, ...options }), Guard.make)
  )
