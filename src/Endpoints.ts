/**
 * A destination as a changing set of endpoints, with a client each. Each attempt chooses one of them.
 *
 * **States of an endpoint.**
 *
 * | state      | means                                                         | attempts are made at it          |
 * | ---------- | ------------------------------------------------------------- | -------------------------------- |
 * | `Ramping`  | it is new, or back after an ejection                          | fewer than its share, ever more  |
 * | `Healthy`  |                                                               | yes                              |
 * | `Ejected`  | it has failed several times in a row, or more than the others | none, but in a panic             |
 * | `Open`     | its circuit breaker is open                                   | none, but in a panic             |
 * | `HalfOpen` | its circuit breaker tries whether it is well                  | the probes                       |
 * | `Leaving`  | the source does not list it any more                          | none; those in flight go on      |
 *
 * **Which endpoint.** By default two are drawn, and the one with the lower cost is taken: attempts in flight, times a
 * penalty for recent failures, and for answers that take more than twice as long as those of the other. So a slow
 * endpoint gets less, and one that fails fast does not attract attempts. A retry goes to an endpoint that the call has not tried; when all were tried, they are all fresh again.
 *
 * **What it never does.**
 *
 * - It turns no call away. With one endpoint, or with all of them bad, attempts are made all the same: more than half of
 *   them out is a panic, and all are used.
 * - It makes no call wait for discovery, but for the first list.
 * - It drops no endpoint because discovery fails or gives an empty list; see {@link Options.emptyAfter}.
 * - It cuts no call: when an endpoint leaves, its calls in flight end first.
 * - It makes no retries. Those are made by `withRpcRetry` around a call.
 *
 * **Where to place it.** Inside of `withRpcRetry`, so that each attempt chooses anew. Make it once, where a client would
 * be made. See `docs/endpoints.md`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CircuitBreaker from "./CircuitBreaker.js"
import type { EjectionSettings } from "./internal/endpoints/ejection.js"
import * as internal from "./internal/endpoints/endpoints.js"
import * as LazyClient from "./internal/endpoints/lazyClient.js"
import type { State } from "./internal/endpoints/registry.js"
import type { Prefer } from "./internal/endpoints/rotation.js"
import { type Endpoint, isSource, type Source } from "./internal/endpoints/source.js"
import type { Event } from "./internal/endpoints/telemetry.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "./InvalidOption.js"
import * as RpcCall from "./RpcCall.js"
import type { Fatal, Retryable } from "./RpcError.js"

export {
  DiscoveryFailed,
  type Endpoint,
  fromList,
  fromStream,
  InvalidEndpoint,
  isSource,
  type Lookup,
  make as makeSource,
  poll,
  type PollOptions,
  type Source,
  SourceTypeId,
  type Update
} from "./internal/endpoints/source.js"

export type { State } from "./internal/endpoints/registry.js"

export type {
  EndpointAdded,
  EndpointBack,
  EndpointOut,
  EndpointRemoved,
  Event,
  ListEmptied,
  ListFailed,
  OfDestination,
  PanicEnded,
  PanicStarted
} from "./internal/endpoints/telemetry.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/Endpoints"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * The endpoints of a destination, each with a client: made with {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoints<out Client> extends Pipeable {
  readonly [TypeId]: TypeId
  /** The name of the destination in events and metrics. */
  readonly name: string
  /**
   * What is known of each endpoint now, in the order of the last list; those that are leaving come last. It is empty
   * until the source has answered.
   */
  readonly state: Effect.Effect<ReadonlyArray<State>>
  /**
   * What happens to the endpoints from now on. That an endpoint is back after an ejection is seen, and told, when the
   * next attempt is made. A reader that is slow misses the oldest of more than 256.
   */
  readonly events: Stream.Stream<Event>
  /** Makes a call at one of the endpoints, as {@link call} does. */
  readonly call: Call<Client>
}

/**
 * The type of the method `call` of endpoints.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call<out Client> {
  /** Makes a call with a name. */
  <A, E, R>(
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options: NamedCallOptions
  ): RpcCall.RpcCall<A, E | Retryable | Fatal, R>
  /** Makes a call that learns its name from the first failure. */
  <A, E, R>(
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options?: CallOptions
  ): Effect.Effect<A, E | Retryable | Fatal, R>
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isEndpoints = (u: unknown): u is Endpoints<unknown> => Predicate.hasProperty(u, TypeId)

/**
 * How an endpoint is chosen. Each way takes as long for a thousand endpoints as for three, unless nearly all of them are
 * tried or new, or, with `pickFirst`, many at the head of the list have failed: then the list is searched.
 *
 * - `powerOfTwo`: two are drawn by their weights, never the same one twice; the one of the lower cost is taken, which is
 *   (attempts in flight / weight + 1) x penalty, the weight as a multiple of the mean. An endpoint whose answers take more than twice as long as those of the
 *   other costs that many times more.
 * - `roundRobin`: one after the other.
 * - `weighted`: one after the other, each as often as its weight says, evenly spread.
 * - `pickFirst`: the first of the list without recent failures; the one with the least penalty where there is none.
 *
 * @since 0.1.0
 * @category models
 */
export type Pick = "powerOfTwo" | "roundRobin" | "weighted" | "pickFirst"

/**
 * Which endpoints are ejected for a time: those that fail while others do not. Of fewer than three none is, and an
 * ejection ends when no more than two are left. An endpoint that comes back is ramped up.
 *
 * @since 0.1.0
 * @category models
 */
export interface EjectionOptions {
  /** An endpoint is ejected when so many attempts in a row have failed: an integer from 1 to 1000. Default 5. */
  readonly consecutive?: number | undefined
  /**
   * How success rates are compared, `"off"` for not at all. An endpoint is ejected whose rate is below the mean by more
   * than `deviations` standard deviations, and by more than 5 percentage points. Default: on, as these options say.
   */
  readonly successRate?: "off" | {
    /** The time over which attempts are counted. Default 10 seconds. */
    readonly every?: Duration.DurationInput | undefined
    /** The least number of endpoints with enough calls, from 3. Default 5. */
    readonly minimumEndpoints?: number | undefined
    /** The least number of calls that an endpoint has to have had in that time. Default 100. */
    readonly minimumCalls?: number | undefined
    /** The standard deviations, greater than 0. Default 1.9. */
    readonly deviations?: number | undefined
  } | undefined
  /**
   * How long the first ejection lasts; the n-th one in a row lasts n times that. They are not in a row any more when
   * the endpoint was back for as long as it was last out. Default 30 seconds.
   */
  readonly ejectFor?: Duration.DurationInput | undefined
  /** How long an ejection lasts at most. Default 5 minutes, or `ejectFor` if more. */
  readonly maxEjectFor?: Duration.DurationInput | undefined
}

/**
 * The options of {@link make}, but for what makes the clients.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  /**
   * The name of the destination in events, metrics and `RpcRetry.inspect`. The gauges of several with one name add up.
   * Default `"unnamed"`.
   */
  readonly name?: string | undefined
  /** How an endpoint is chosen. Default `"powerOfTwo"`. */
  readonly pick?: Pick | undefined
  /** Prefers the endpoints of a zone. Default: all zones are alike. */
  readonly prefer?: {
    /** The zone. */
    readonly zone: string
    /**
     * When a smaller share of the endpoints of the zone is available, from 0 to 1, all zones are used alike. A retry of a
     * call that has tried them all goes to another zone in any case. Default 0.7.
     */
    readonly spillBelow?: number | undefined
  } | undefined
  /** Which endpoints are ejected, `"off"` for none. Default: on, as {@link EjectionOptions} says. */
  readonly ejection?: EjectionOptions | "off" | undefined
  /**
   * The options of the circuit breakers, of which each endpoint has one, or `"off"` for none. An open one takes its
   * endpoint out; it turns no call away. Default: on, with the defaults of `CircuitBreaker.make`.
   */
  readonly breaker?: CircuitBreaker.Options | "off" | undefined
  /**
   * How long an endpoint that is new, or back after an ejection, is ramped up, from a tenth of its share. Those of the
   * first list are not, and where all are new they share alike. Zero for no ramp. Default 10 seconds.
   */
  readonly slowStart?: Duration.DurationInput | undefined
  /**
   * How long the list of the source has to be empty until that is believed. Until then the last list stays in use. A
   * failure of the source starts the time over. Zero for at once. Default 1 minute.
   */
  readonly emptyAfter?: Duration.DurationInput | undefined
  /** `"off"` for no metrics. Default: on, without a label for the endpoint. */
  readonly metrics?: "off" | {
    /**
     * How many addresses have a series of their own in `rpc.client.endpoints.attempts`; those beyond share the label
     * `other`. From 0, for none of that metric, to 10 000. Each is kept for ever. Default 0.
     */
    readonly endpointLabels?: number | undefined
  } | undefined
}

/**
 * The options of {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<out Client, out R = never, out R2 = never> extends Settings {
  /** Where the endpoints come from. */
  readonly source: Source<R>
  /**
   * Makes the client of an endpoint, in a scope that closes when the endpoint has left and its calls in flight have
   * ended. It runs when the first attempt is made there, once for all that wait for it, and again after it has failed.
   *
   * When it fails, so do the attempts that wait for it: with its `Retryable` or `Fatal`, and for any other error with a
   * `Retryable` whose delivery is `NotSent`. Each is a failure of the endpoint, a `Fatal` too. The client should connect again by itself, as those of this package do.
   */
  readonly connect: (endpoint: Endpoint) => Effect.Effect<Client, unknown, R2>
}

/**
 * Follows the source, and makes clients as they are needed, until the scope closes. Throws `InvalidOption` for a bad
 * option.
 *
 * @example
 * ```ts
 * import { Endpoints, withRpcRetry } from "effect-rpc-retry"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const arith = yield* Endpoints.make({
 *     source: Endpoints.fromList(["10.0.0.1:1234", "10.0.0.2:1234", "10.0.0.3:1234"]),
 *     connect: (endpoint) => GoRpc.make(Endpoints.hostAndPort(endpoint))
 *   })
 *   const method = "Arith.Multiply"
 *   return yield* arith.call((rpc) => rpc.call(method, { A: 6, B: 7 }), { method }).pipe(withRpcRetry)
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Client, R = never, R2 = never>(
  options: Options<Client, R, R2>
): Effect.Effect<Endpoints<Client>, never, Scope.Scope | R | Exclude<R2, Scope.Scope>> => {
  const settings = orThrow(validate(options))
  return Effect.map(internal.make(options.source, options.connect, settings), (core) => fromCore(core, settings))
}

const fromCore = <Client>(core: internal.Core<Client>, { destination }: internal.Settings): Endpoints<Client> => ({
  [TypeId]: TypeId,
  name: destination,
  state: core.states,
  events: Stream.asyncPush<Event>(
    (emit) =>
      Effect.acquireRelease(
        Effect.sync(() => core.telemetry.listen((event) => emit.single(event))),
        (stop) => Effect.sync(stop)
      ),
    { bufferSize: 256, strategy: "sliding" }
  ),
  call: callOf(core),
  pipe() {
    return pipeArguments(this, arguments)
  }
})

const callOf = <Client>(core: internal.Core<Client>): Call<Client> =>
  (<A, E, R>(use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>, options: CallOptions = {}) => {
    const { idempotent, method } = orThrow(checkCall("Endpoints.call", options))
    const effect = internal.run(core, use)
    return method === undefined ? effect : RpcCall.make(effect, { method, idempotent })
  }) as Call<Client>

const optionNames = [
  "source",
  "connect",
  "name",
  "pick",
  "prefer",
  "ejection",
  "breaker",
  "slowStart",
  "emptyAfter",
  "metrics"
] as const satisfies ReadonlyArray<keyof Options<unknown>>

const where = "Endpoints.make"

const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))

const millis = (field: string, input: Duration.DurationInput, zero = false) =>
  Result.map(checkDuration(where, field, input, { zero }), Duration.toMillis)

const picks: ReadonlyArray<unknown> = ["powerOfTwo", "roundRobin", "weighted", "pickFirst"] satisfies ReadonlyArray<
  Pick
>

const validate = <Client, R, R2>(
  options: Options<Client, R, R2>
): Result.Result<internal.Settings, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, optionNames)
    const { connect, name = "unnamed", pick = "powerOfTwo", source } = options
    if (!isSource(source)) {
      return yield* invalid("source", "must be a source, such as one of Endpoints.fromList")
    }
    if (!Predicate.isFunction(connect)) {
      return yield* invalid("connect", `must be a function, got ${String(connect)}`)
    }
    if (!Predicate.isString(name) || name === "") {
      return yield* invalid("name", "must be a text that is not empty")
    }
    if (!picks.includes(pick)) {
      return yield* invalid("pick", `must be one of ${picks.join(", ")}, got ${String(pick)}`)
    }
    const { breaker = {}, ejection = {}, metrics = {} } = options
    return {
      destination: name,
      pick,
      prefer: options.prefer === undefined ? undefined : yield* checkPrefer(options.prefer),
      ejection: ejection === "off" ? undefined : yield* checkEjection(ejection),
      breaker: breaker === "off" ? undefined : yield* checkBreaker(breaker),
      slowStart: yield* millis("slowStart", options.slowStart ?? "10 seconds", true),
      emptyAfter: yield* millis("emptyAfter", options.emptyAfter ?? "1 minute", true),
      metrics: metrics === "off" ? undefined : yield* checkMetrics(metrics)
    }
  })

const checkPrefer = (prefer: NonNullable<Settings["prefer"]>): Result.Result<Prefer, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, prefer, ["zone", "spillBelow"], "prefer.")
    if (!Predicate.isString(prefer.zone) || prefer.zone === "") {
      return yield* invalid("prefer.zone", "must be a text that is not empty")
    }
    const spillBelow = yield* checkNumber(where, "prefer.spillBelow", prefer.spillBelow ?? 0.7, { min: 0, max: 1 })
    return { zone: prefer.zone, spillBelow }
  })

const checkEjection = (ejection: EjectionOptions): Result.Result<EjectionSettings, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, ejection, ["consecutive", "successRate", "ejectFor", "maxEjectFor"], "ejection.")
    const { consecutive = 5, successRate = {} } = ejection
    const ejectFor = yield* millis("ejection.ejectFor", ejection.ejectFor ?? "30 seconds")
    const maxEjectFor = ejection.maxEjectFor === undefined
      ? Math.max(300_000, ejectFor)
      : yield* millis("ejection.maxEjectFor", ejection.maxEjectFor)
    if (maxEjectFor < ejectFor) {
      return yield* invalid("ejection.maxEjectFor", `must be at least ejectFor, ${ejectFor} ms, got ${maxEjectFor} ms`)
    }
    return {
      consecutive: yield* checkNumber(where, "ejection.consecutive", consecutive, { min: 1, max: 1000, integer: true }),
      successRate: successRate === "off" ? undefined : yield* checkSuccessRate(successRate),
      ejectFor,
      maxEjectFor
    }
  })

const checkSuccessRate = (rate: Exclude<NonNullable<EjectionOptions["successRate"]>, "off">) =>
  Result.gen(function*() {
    const path = "ejection.successRate."
    yield* checkKnown(where, rate, ["every", "minimumEndpoints", "minimumCalls", "deviations"], path)
    const count = { max: Number.MAX_SAFE_INTEGER, integer: true }
    return {
      every: yield* millis(`${path}every`, rate.every ?? "10 seconds"),
      minimumEndpoints: yield* checkNumber(where, `${path}minimumEndpoints`, rate.minimumEndpoints ?? 5, {
        ...count,
        min: 3
      }),
      minimumCalls: yield* checkNumber(where, `${path}minimumCalls`, rate.minimumCalls ?? 100, { ...count, min: 1 }),
      deviations: yield* checkNumber(where, `${path}deviations`, rate.deviations ?? 1.9, {
        min: Number.MIN_VALUE,
        max: Number.MAX_VALUE
      })
    }
  })

const checkBreaker = (options: CircuitBreaker.Options) =>
  Result.map(
    Result.mapError(
      CircuitBreaker.validate(where, options),
      ({ field, problem }) => new InvalidOption({ where, field: `breaker.${field}`, problem })
    ),
    (valid) => () => CircuitBreaker.fromValid(valid).gate
  )

const checkMetrics = (metrics: Exclude<NonNullable<Settings["metrics"]>, "off">) =>
  Result.gen(function*() {
    yield* checkKnown(where, metrics, ["endpointLabels"], "metrics.")
    const range = { min: 0, max: 10_000, integer: true }
    return { labels: yield* checkNumber(where, "metrics.endpointLabels", metrics.endpointLabels ?? 0, range) }
  })

/**
 * What is said of a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  /**
   * The method, as `"Service.Method"`. With it the call is an `RpcCall`, whose policy is found before its first attempt.
   * Default: the name is that of the first failure, where the client makes `RpcCall`s.
   */
  readonly method?: string | undefined
  /** Whether the call may run twice. See `RpcCall`. Only with `method`. Default: what its failures say. */
  readonly idempotent?: boolean | undefined
}

/**
 * What is said of a call that has a name.
 *
 * @since 0.1.0
 * @category models
 */
export interface NamedCallOptions extends CallOptions {
  /** The method, as `"Service.Method"`. */
  readonly method: string
}

const checkCall = (where: string, options: CallOptions): Result.Result<CallOptions, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, ["method", "idempotent"])
    const { idempotent, method } = options
    if (method !== undefined && (!Predicate.isString(method) || method === "")) {
      return yield* Result.fail(
        new InvalidOption({ where, field: "method", problem: "must be a text that is not empty" })
      )
    }
    if (idempotent !== undefined && method === undefined) {
      return yield* Result.fail(new InvalidOption({ where, field: "idempotent", problem: "needs a method" }))
    }
    return options
  })

/**
 * Makes a call at one of the endpoints: each run chooses one. A `Retryable` that it fails with has its address.
 *
 * - `use`: makes the call, given the client of the endpoint and what the source says of it.
 *
 * @example
 * ```ts
 * import { Endpoints, type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import type * as Effect from "effect/Effect"
 *
 * interface Users {
 *   readonly get: (id: number) => Effect.Effect<string, Retryable | Fatal>
 * }
 * declare const users: Endpoints.Endpoints<Users>
 *
 * const program = Endpoints.call(users, (client) => client.get(1), { method: "Users.Get" }).pipe(withRpcRetry)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const call: {
  <Client, A, E, R>(
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options: NamedCallOptions
  ): (self: Endpoints<Client>) => RpcCall.RpcCall<A, E | Retryable | Fatal, R>
  <Client, A, E, R>(
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options?: CallOptions
  ): (self: Endpoints<Client>) => Effect.Effect<A, E | Retryable | Fatal, R>
  <Client, A, E, R>(
    self: Endpoints<Client>,
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options: NamedCallOptions
  ): RpcCall.RpcCall<A, E | Retryable | Fatal, R>
  <Client, A, E, R>(
    self: Endpoints<Client>,
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options?: CallOptions
  ): Effect.Effect<A, E | Retryable | Fatal, R>
} = dual(
  (args) => isEndpoints(args[0]),
  <Client, A, E, R>(
    self: Endpoints<Client>,
    use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>,
    options?: CallOptions
  ) => self.call(use, options)
)

/**
 * The type of what {@link client} returns: the methods of a client of one endpoint that return effects, also those of
 * objects in it.
 *
 * A method whose errors have `Retryable` and `Fatal`, as those of all clients of this package, keeps its type as it is,
 * with its overloads and type parameters. Another one gets these errors, and loses them. What returns no effect, a
 * `Stream` among it, is left out: use {@link call}.
 *
 * @since 0.1.0
 * @category models
 */
export type Client<C> = {
  readonly [K in keyof C as Kept<K, C[K]>]: K extends keyof RpcCall.RetriesTo<unknown> ? C[K] : Member<C[K]>
}

type Kept<K, M> = K extends keyof RpcCall.RetriesTo<unknown> ? K : [Member<M>] extends [never] ? never : K

type Member<M> = M extends (...args: never) => infer Returned
  ? [Returned] extends [Effect.Effect<infer A, infer E, infer R>]
    ? [Retryable | Fatal] extends [E] ? M : (...args: ParametersOf<M>) => Effect.Effect<A, E | Retryable | Fatal, R>
  : never
  : M extends Pipeable | ReadonlyArray<unknown> ? never
  : M extends object ? Client<M>
  : M extends undefined ? M
  : never

type ParametersOf<M> = M extends (...args: infer Args extends ReadonlyArray<unknown>) => unknown ? Args : never

/**
 * The options of {@link client}.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions {
  /**
   * The name of the service: a method `get` is then the call `"Users.get"`. For a client whose methods are those of one
   * service. Default: calls learn their names from their first failure.
   */
  readonly service?: string | undefined
  /**
   * Returns the name of a call before it is made, of the path to the method and its arguments; `undefined` where it is
   * not known. For a client with one method for all, as `(path, [method]) => String(method)`. Not with `service`.
   */
  readonly method?: ((path: ReadonlyArray<string>, args: ReadonlyArray<unknown>) => string | undefined) | undefined
}

/**
 * Makes an object with the methods of a client of one endpoint. Each run of a call chooses an endpoint. Calls are not
 * retried: pipe them through `withRpcRetry`, or the object through `RpcRetry.client`.
 *
 * A call is an `RpcCall` when an option names it, and an ordinary effect otherwise, whatever its type says. The clients
 * of the endpoints are not asked which methods they have, as they may not be made yet: a call of one that does not exist
 * dies with a `TypeError`.
 *
 * @example
 * ```ts
 * import { Endpoints, RpcRetry, withRpcRetry } from "effect-rpc-retry"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const endpoints = yield* Endpoints.make({
 *     source: Endpoints.fromList(["10.0.0.1:1234", "10.0.0.2:1234"]),
 *     connect: (endpoint) => GoRpc.make(Endpoints.hostAndPort(endpoint))
 *   })
 *   const rpc = Endpoints.client(endpoints, { method: (path, [method]) => String(method) })
 *   return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const client = <C>(self: Endpoints<C>, options: ClientOptions = {}): Client<C> => {
  const nameOf = orThrow(checkClient(options))
  return LazyClient.make((path, args) =>
    self.call((client) => LazyClient.apply(client, path, args), { method: nameOf(path, args) })
  ) as Client<C>
}

const checkClient = (
  options: ClientOptions
): Result.Result<NonNullable<ClientOptions["method"]>, InvalidOption> =>
  Result.gen(function*() {
    const where = "Endpoints.client"
    yield* checkKnown(where, options, ["service", "method"])
    const { method, service } = options
    if (service === undefined) {
      return method ?? (() => undefined)
    }
    if (method !== undefined) {
      return yield* Result.fail(new InvalidOption({ where, field: "method", problem: "must not be with service" }))
    }
    if (!Predicate.isString(service) || service === "") {
      return yield* Result.fail(
        new InvalidOption({ where, field: "service", problem: "must be a text that is not empty" })
      )
    }
    return (path) => [service, ...path].join(".")
  })

/**
 * Splits the address of an endpoint into a host and a port, as most clients take them. An IPv6 host is in brackets, as
 * in `"[::1]:1234"`. Throws `InvalidOption` for an address without a port.
 *
 * @since 0.1.0
 * @category combinators
 */
export const hostAndPort = ({ address }: Endpoint): { readonly host: string; readonly port: number } => {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address) ?? []
  const host = bracketed ?? plain
  if (host === undefined || Number(port) > 65_535) {
    throw new InvalidOption({
      where: "Endpoints.hostAndPort",
      field: "address",
      problem: "must be a host and a port, as in 10.0.0.1:1234"
    })
  }
  return { host, port: Number(port) }
}
