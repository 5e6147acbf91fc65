/**
 * Retries for any RPC call.
 *
 * ```ts
 * import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<{ name: string }, Retryable | Fatal>
 *
 * // Effect<{ name: string }, Fatal | RetryExhausted | CallRejected>
 * const user = getUser(1).pipe(withRpcRetry)
 * ```
 *
 * Only a `Retryable` is retried. `Fatal`, domain errors, defects and the interruption of the caller end the call at
 * once and pass through as they are.
 *
 * Without a `Layer` a call uses `RetryPolicy.default`. With one it uses the policy of the layer. The options of the
 * call itself come before both. Providing a layer never changes a type, as `RpcRetry` is a `Context.Reference`.
 *
 * A service of yours takes {@link bind}, so that the layer it is given is that of its calls:
 *
 * ```ts
 * import { type Fatal, type Retryable, RpcRetry } from "effect-rpc-retry"
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const make = Effect.gen(function*() {
 *   const retry = yield* RpcRetry.bind
 *   return { get: (id: number) => getUser(id).pipe(retry({ method: "Users.Get" })) }
 * })
 *
 * class Users extends Context.Tag("Users")<Users, Effect.Effect.Success<typeof make>>() {
 *   static readonly Live = Layer.effect(Users, make).pipe(
 *     Layer.provide(RpcRetry.layer({ default: { deadline: "5 seconds" } }))
 *   )
 * }
 * ```
 *
 * Which service a call has:
 *
 * | the call is made with                     | it has the layer that                                                        |
 * | ----------------------------------------- | ---------------------------------------------------------------------------- |
 * | what `bind` gave                          | was in force where `bind` ran; if there was none, is in force where it runs   |
 * | `client`, `HttpRpc.retrying`              | was in force in the fiber that made them; if there was none, as above         |
 * | `withRpcRetry`                            | is in force where it runs                                                    |
 *
 * Calls of the last kind that run without a layer, though the process has built one, are warned of in the log, once,
 * unless `NODE_ENV` is `production`.
 *
 * What each part does to the type of a call:
 *
 * | before                                   | after `withRpcRetry`                                          |
 * | ---------------------------------------- | ------------------------------------------------------------- |
 * | `Effect<A, Retryable \| Fatal, R>`       | `Effect<A, Fatal \| RetryExhausted \| CallRejected, R>`       |
 * | `Effect<A, Retryable \| UserNotFound, R>` | `Effect<A, UserNotFound \| RetryExhausted \| CallRejected, R>` |
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type * as Option from "effect/Option"
import type * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { InheritedAttempt } from "./Deadline.js"
import { AnnotateLogs } from "./internal/call/observer.js"
import * as layerDocument from "./internal/config/layerDocument.js"
import { configError } from "./internal/config/policyDocument.js"
import * as grpc from "./internal/config/serviceConfig.js"
import * as Signal from "./internal/effect/signal.js"
import * as engine from "./internal/engine/engine.js"
import * as Result from "./internal/result.js"
import * as Bare from "./internal/service/bare.js"
import { changedClient } from "./internal/service/clientProxy.js"
import type { InForce, Inspection, LayerOptions, Service, UpdateOptions } from "./internal/service/model.js"
import * as Wiring from "./internal/service/reference.js"
import * as internal from "./internal/service/service.js"
import { checkKnown, InvalidOption, orThrow } from "./InvalidOption.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as RpcCall from "./RpcCall.js"
import type { CallRejected, Retryable, RetryExhausted } from "./RpcError.js"

export type { InForce, Inspection, LayerOptions, Service, UpdateOptions } from "./internal/service/model.js"

/**
 * The service that `withRpcRetry` asks for the policy of a call. It needs no layer: by default every call has
 * `RetryPolicy.default`, and no budget.
 *
 * @since 0.1.0
 * @category references
 */
export class RpcRetry extends Context.Reference<RpcRetry>()(Wiring.key, {
  defaultValue: (): Service => internal.withoutLayer()
}) {}

/**
 * A service. Throws `InvalidOption` for a bad option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: LayerOptions = {}): Service => orThrow(internal.make(options))

/**
 * Gives every call inside it its policy. Throws `InvalidOption` for a bad one, when the layer is made.
 *
 * What is said of a call comes, field by field, from: the options of the call, the exact method, the longest pattern,
 * `"*"`, `default`, the library.
 *
 * Make it once and keep it: the budgets are in it, and each time it is built (each `Effect.provide` outside of another
 * layer) it has a new set of them, so provided for each request they limit nothing. See `docs/per-request.md`.
 *
 * @example
 * ```ts
 * import { RetrySchedule, RpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const program: Effect.Effect<void>
 *
 * const RetryLive = RpcRetry.layer({
 *   default: { attemptTimeout: "1 second", deadline: "5 seconds" },
 *   methods: {
 *     "Users.*": { schedule: RetrySchedule.exponential({ base: "50 millis" }).pipe(RetrySchedule.retries(5)) },
 *     "Users.Create": { idempotent: false },
 *     "Reports.Build": "off"
 *   }
 * })
 *
 * const main = program.pipe(Effect.provide(RetryLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: LayerOptions): Layer.Layer<never> => {
  // the options are checked here, and each build of the layer has budgets of its own
  make(options)
  return built(Effect.sync(() => make(options)))
}

/** The layer of a service. */
const built = <E, R>(service: Effect.Effect<Service, E, R>): Layer.Layer<never, E, Exclude<R, Scope.Scope>> =>
  Layer.scoped(RpcRetry, Effect.zipLeft(service, Wiring.layerBuilt))

/**
 * The options of a layer from a document, as JSON text or parsed: `default` and `methods` hold policies as
 * `RetryPolicy.decode` takes them (a method may be `"off"`), `budget` is `"off"` or `{ ratio, capacity }`, the capacity
 * a number or `"traffic"`. The error names the path to what is wrong.
 *
 * @example
 * ```ts
 * import { RpcRetry } from "effect-rpc-retry"
 *
 * const options = RpcRetry.decode({
 *   default: { attemptTimeout: "1s", deadline: "5s" },
 *   methods: { "Users.*": { schedule: { retries: 5, jitter: "full" } }, "Reports.Build": "off" },
 *   budget: { ratio: 0.2 },
 *   breaker: { trip: { rate: { threshold: 0.5, window: "30s" } }, openFor: { base: "5s", factor: 2, cap: "1m" } },
 *   bulkhead: { concurrency: 20, queue: 100, adaptive: true },
 *   throttle: "off"
 * })
 * ```
 *
 * @since 0.1.0
 * @category decoding
 */
export const decode: (document: unknown) => Result.Result<LayerOptions, InvalidOption> = layerDocument.decode

/**
 * A layer from configuration: environment variables, or any `ConfigProvider`. Keys, all optional, below `RPC_RETRY`:
 * those of `RetryPolicy.config` for all methods (`RPC_RETRY_DEADLINE="5 seconds"`); `METHODS`, the `methods` of a
 * document as JSON; `BUDGET`, which is `off` or the capacity of each budget, `traffic` or a number; and `BREAKER`,
 * `BULKHEAD` and `THROTTLE`, each `off` or what a document has under that name, as JSON (`RPC_RETRY_BREAKER='{
 * "openFor": "10s" }'`). Blanks and line ends around a value do not count, and a key that is empty counts as absent. A
 * key below `RPC_RETRY` that is none of these is logged as a warning. To say more of budgets, read a document with
 * `decode`.
 *
 * - `inCode`: options that the configuration is merged onto: `default` and each of `methods` field by field, the
 *   configuration first. So a method that is `idempotent: false` in code stays that, whatever is configured of its
 *   delays. Default none.
 * - `config`: where else to read the options from.
 *
 * @example
 * ```ts
 * import { RpcRetry } from "effect-rpc-retry"
 * import * as ConfigProvider from "effect/ConfigProvider"
 * import * as Layer from "effect/Layer"
 *
 * const env = new Map([
 *   ["RPC_RETRY.RETRIES", "5"],
 *   ["RPC_RETRY.METHODS", `{ "Users.*": { "deadline": "2s" } }`]
 * ])
 *
 * const RetryLive = RpcRetry.layerConfig({ methods: { "Users.Create": { idempotent: false } } }).pipe(
 *   Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(env)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  inCode: LayerOptions = {},
  config?: Config.Config<LayerOptions>
): Layer.Layer<never, ConfigError.ConfigError> => {
  make(inCode)
  const options = config ?? Effect.andThen(layerDocument.warnOfUnknownKeys, layerDocument.config)
  return built(Effect.flatMap(options, (options) =>
    Effect.mapError(
      Result.flatMap(internal.mergedOptions(inCode, options), (merged) => internal.make(merged)),
      configError
    )))
}

/**
 * A layer from a gRPC service config, as JSON text or parsed: the `retryPolicy` or `hedgingPolicy` and the `timeout` of
 * each `methodConfig`, and `retryThrottling`, by the rules of proposal A6. Names become `Service.Method`, `Service.*` and `*`; a name
 * of a service fits its own methods, not those of `Service.Other`, and an entry without names is for nobody. What else
 * is in the config is not looked at.
 *
 * The `timeout` of a method is its `deadline`. `retryThrottling` is one budget for all methods; without it there is
 * none.
 *
 * As in gRPC a method without a retry policy is not retried, and the entry that names a method most exactly holds
 * alone. Not as in gRPC, `maxAttempts` above 5 is what it says. A failure whose `code` is no gRPC status counts as the
 * one it would have been: `UNAVAILABLE` for refused and lost connections, `DEADLINE_EXCEEDED` for timeouts,
 * `RESOURCE_EXHAUSTED` for `Throttled`.
 *
 * A `hedgingPolicy` is a hedge after `hedgingDelay` (all at once without one) of at most `maxAttempts`, 5 at most as in
 * gRPC, and says that the method is `idempotent`. A failure with one of `nonFatalStatusCodes` is followed by the next
 * attempt at once, or after the pushback of the server. Its extra load has no bound but `maxAttempts` and
 * `retryThrottling`. Not as in gRPC, another failure that is `Retryable` does not cancel the attempts that are in
 * flight: no other one starts, and their answer is taken.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServiceConfig = (
  json: unknown,
  options?: {
    /** The most attempts that any method makes, the first one included: at least 1. Default: no limit. */
    readonly maxAttempts?: number | undefined
  }
): Layer.Layer<never, InvalidOption> =>
  built(
    Effect.gen(function*() {
      yield* checkKnown("RpcRetry.layerServiceConfig", options ?? {}, ["maxAttempts"])
      const { budget, ...policies } = yield* grpc.fromServiceConfig(json, options?.maxAttempts)
      // one throttle for all methods
      const shared = budget === "off" ? "off" : Effect.succeed(yield* budget)
      return yield* internal.make({ ...policies, budget: shared }, true)
    })
  )

/**
 * A layer that follows a stream of documents (see `decode`) while the program runs. Until the first one the library's
 * defaults hold. Each document replaces all that was said before; calls in flight keep the policy they started with.
 * Budgets keep their level, unless the document says another `budget` than the one before. A bad document is logged as
 * a warning and changes nothing. When the stream fails that is logged as a warning too, and when it ends or fails what
 * was said last stays.
 *
 * - `inCode`: options that each document is merged onto, as those of {@link layerConfig} are; they hold before the
 *   first document too. Default none.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerReloadable = <E, R>(
  documents: Stream.Stream<unknown, E, R>,
  inCode: LayerOptions = {}
): Layer.Layer<never, never, R> => {
  make(inCode)
  return built(
    Effect.gen(function*() {
      const service = orThrow(internal.make(inCode))
      const follow = (document: unknown) =>
        Effect.suspend(() => layerDocument.decodeKeyed(document)).pipe(
          Effect.flatMap(({ keys, options }) =>
            Effect.flatMap(internal.mergedOptions(inCode, options), (options) => service.replace(options, keys))
          ),
          Effect.catchAll((error) =>
            Effect.logWarning(`RpcRetry: the new configuration is not used: ${error.message}`)
          ),
          Effect.catchAllDefect((defect) => Effect.logWarning(`RpcRetry: the new configuration is not used: ${defect}`))
        )
      yield* Stream.runForEach(documents, follow).pipe(
        Effect.catchAllCause((cause) =>
          Effect.logWarning("RpcRetry: the configuration is not followed any more", cause)
        ),
        Effect.forkScoped
      )
      return service
    })
  )
}

/**
 * What is in force: `default`, then each name that something was said of, with where each field comes from.
 *
 * @since 0.1.0
 * @category inspection
 */
export const policies: Effect.Effect<ReadonlyArray<InForce>> = Effect.flatMap(RpcRetry, (service) => service.policies)

/**
 * What is in force now: policies, budgets, connections. The schedules of all policies are run dry for it.
 *
 * @example
 * ```ts
 * import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
 * import { RpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * // GET /debug/rpc
 * const debug = Effect.flatMap(RpcRetry.inspect, (inspection) => HttpServerResponse.json(inspection))
 * ```
 *
 * @since 0.1.0
 * @category inspection
 */
export const inspect: Effect.Effect<Inspection> = Effect.flatMap(RpcRetry, (service) => service.inspect)

/**
 * Says more of a method or a pattern while the program runs: the fields of the policy come before those that the layer
 * and earlier updates have said of that name, and the others stay. `"off"` is the field `schedule` alone, so what must
 * not run twice is still that when retries are switched on again. {@link remove} takes all updates of a name back.
 *
 * Calls in flight keep the policy they started with; budgets keep their level. The `default` of a layer cannot be
 * changed so; say it of `"*"`.
 *
 * Fails with `InvalidOption` for a bad policy or name, and changes nothing; and where no layer provides `RpcRetry`.
 *
 * @example
 * ```ts
 * import { RpcRetry } from "effect-rpc-retry"
 *
 * const calm = RpcRetry.update("Users.*", { deadline: "1 second" })
 * const stop = RpcRetry.update("Reports.Build", "off")
 * const back = RpcRetry.remove("Reports.Build")
 * ```
 *
 * @since 0.1.0
 * @category updates
 */
export const update = (
  name: string,
  policy: RetryPolicy.Options | "off",
  options?: UpdateOptions
): Effect.Effect<void, InvalidOption> =>
  Effect.andThen(
    checkKnown("RpcRetry.update", options ?? {}, ["replace"]),
    Effect.flatMap(RpcRetry, (service) => service.update(name, policy, options))
  )

/**
 * Takes back all updates of a method or a pattern: what the layer says of it holds again. Without an update it changes
 * nothing. Fails with `InvalidOption` where no layer provides `RpcRetry`.
 *
 * @since 0.1.0
 * @category updates
 */
export const remove = (name: string): Effect.Effect<void, InvalidOption> =>
  Effect.flatMap(RpcRetry, (service) => service.remove(name))

/**
 * The options of {@link client}: any field of a policy, and how calls are named and keyed.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientOptions = RetryPolicy.Options & ClientNaming

/**
 * How the calls of a client are named and keyed.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientNaming {
  /**
   * The first part of the names of calls that do not know their own: `"Users"` for `"Users.get"`. Default: they stay
   * unnamed.
   */
  readonly service?: string | undefined
  /** Whether each call has an idempotency key, made anew for it. Default `false`. */
  readonly idempotencyKey?: boolean | undefined
}

/**
 * What `client` makes of a client.
 *
 * @since 0.1.0
 * @category models
 */
export type Client<C> = string extends keyof C ? { readonly [K in keyof C]: Member<C[K]> }
  : keyof RpcCall.RetriesTo<unknown> extends keyof C ? C extends RpcCall.RetriesTo<infer Client> ? Client : never
  : C extends AnyFunction ? Member<C>
  : { readonly [K in keyof C]: Member<C[K]> }

type AnyFunction = (...args: never) => unknown

/** Values of the language's, and of Effect's, all of which can be piped. */
type Value =
  | Pipeable.Pipeable
  | ReadonlyArray<unknown>
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | Promise<unknown>
  | Date
  | RegExp
  | ArrayBufferView

type Member<M> = M extends (...args: never) => infer Returned
  ? [Returned] extends [Option.Option<unknown> | Result.Result<unknown, unknown>] ? M
  : [Returned] extends [AnyCall] ? (...args: ParametersOf<M>) => Retried<Returned>
  : M
  : M extends RpcCall.RpcCall<unknown, unknown, unknown> ? Retried<M>
  : M extends Value ? M
  : M extends object ? Client<M>
  : M

type ParametersOf<M> = M extends (...args: infer Args extends ReadonlyArray<unknown>) => unknown ? Args : never

/**
 * Retries every call of a client: of `Grpc.client`, `Connect.client`, `EffectRpc.client`, or of any object whose
 * methods return effects that fail with `Retryable`. All calls have these options; say what belongs to one method in a
 * layer.
 *
 * It is a view of the client: methods that return effects retry them, those of objects in it too, and an `RpcCall`
 * among its members is retried. What is no effect, a `Stream` among it, is as it was. The client itself is not changed.
 *
 * What is said around a call of it comes too late, but for a deadline: its policy, its name and its key are those said
 * here. Where a layer is in force where the client is made (in the fiber that runs this line), it is that of all calls
 * of the client.
 *
 * A method with overloads keeps the last one in its type, one with type parameters loses them: wrap those by hand.
 *
 * Throws `InvalidOption` for a bad option.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, RpcRetry } from "effect-rpc-retry"
 * import type * as Effect from "effect/Effect"
 *
 * declare const users: {
 *   readonly get: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *   readonly rename: (id: number, name: string) => Effect.Effect<void, Retryable | Fatal>
 * }
 *
 * const retried = RpcRetry.client(users, { service: "Users", deadline: "2 seconds" })
 *
 * // Effect<string, Fatal | RetryExhausted | CallRejected>
 * const program = retried.get(1)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const client = <C extends object>(self: C, given: ClientOptions = {}): Client<C> => {
  orThrow(checkKnown("RpcRetry.client", given, [...RetryPolicy.fields, "service", "idempotencyKey"]))
  const { service, ...options } = given
  if (!Predicate.isObject(self)) {
    throw new InvalidOption({
      where: "RpcRetry.client",
      field: "client",
      problem: `must be an object, got ${String(self)}`
    })
  }
  if (service !== undefined && (!Predicate.isString(service) || service === "")) {
    const problem = `must be a text that is not empty, got ${String(service)}`
    throw new InvalidOption({ where: "RpcRetry.client", field: "service", problem })
  }
  const builtWith = Wiring.builtWith(RpcRetry)
  const named = retrying(options, builtWith)
  return changedClient(self, (path) => {
    const unnamed = service === undefined
      ? named
      : retrying({ ...options, method: [service, ...path].join(".") }, builtWith)
    return (call) => RpcCall.isRpcCall(call) ? named(call) : unnamed(call)
  }) as Client<C>
}

/**
 * For a server: runs the work for a request that was somebody's attempt number `attempt`. Where that is anything but 1
 * (also `NaN`, from a header that is no number) the calls made in it are not retried (`RetryExhausted`, reason
 * `NotRetried`): the caller is retrying already, and retries of retries multiply.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const stock: Effect.Effect<number, Retryable | Fatal>
 *
 * const handler = (headers: Record<string, string | undefined>) =>
 *   stock.pipe(
 *     withRpcRetry,
 *     RpcRetry.inheritAttempt(1 + Number(headers["grpc-previous-rpc-attempts"] ?? 0))
 *   )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const inheritAttempt: {
  (attempt: number): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, attempt: number): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, attempt: number): Effect.Effect<A, E, R> =>
    Effect.provideService(self, InheritedAttempt, attempt)
)

/**
 * Puts the method, the number of the attempt and the idempotency key, as far as there are any, on every log line
 * written inside an attempt: annotations `method`, `attempt` and `idempotencyKey`. For all calls inside the effect.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const request: Effect.Effect<string, Retryable | Fatal>
 *
 * // ... message="asking" method=Users.Get attempt=2
 * const program = Effect.log("asking").pipe(
 *   Effect.andThen(request),
 *   withRpcRetry({ method: "Users.Get" }),
 *   RpcRetry.annotateLogs
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const annotateLogs = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, AnnotateLogs, true)

/**
 * The options of one call: any field of a policy, its name and its key.
 *
 * @since 0.1.0
 * @category models
 */
export type Options = RetryPolicy.Options & CallNaming

/**
 * The name of a call and its key.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallNaming {
  /**
   * `"Service.Method"`, for the policy, the errors and the telemetry. Default: the name of the `RpcCall`; other calls
   * have none.
   */
  readonly method?: string | undefined
  /**
   * The idempotency key of the call, not empty, or `true` for one that is made anew for each call. All attempts see it
   * as `Deadline.IdempotencyKey`, for the transport to send. Default: none.
   */
  readonly idempotencyKey?: string | boolean | undefined
}

/**
 * What `withRpcRetry` gives: a call with its `Retryable`s dealt with or, when it was given no call, a function from
 * call to call.
 *
 * @since 0.1.0
 * @category models
 */
export type Retried<T> = T extends Effect.Effect<infer A, infer E, infer R>
  ? Effect.Effect<A, Exclude<E, Retryable> | RetryExhausted | CallRejected, R> & Hint<E>
  : <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, Exclude<E, Retryable> | RetryExhausted | CallRejected, R> & Hint<E>

/**
 * Marks the type of a call none of whose errors can be a `Retryable`, so that an editor shows it where the call is
 * retried: it never will be. Its errors are still to be classified: `Effect.mapError(Classify.classify)` before
 * `withRpcRetry`.
 *
 * The mark is on the type alone, and asks for nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface NothingIsRetried {
  readonly "none of the errors of this call is Retryable: classify them before withRpcRetry"?: never
}

/** Nothing for a call that can fail with a `Retryable`, or not at all. */
type Hint<E> = [E] extends [never] ? unknown
  : [Retryable] extends [E] ? unknown
  : [Extract<E, Retryable>] extends [never] ? NothingIsRetried
  : unknown

/** What makes an option that does not exist an error: a type parameter alone does not. */
type NoExcess<T> =
  & Options
  & NotCallable
  & { readonly [K in Exclude<keyof T, keyof Options | keyof RetryPolicy.RetryPolicy>]: never }

/** What makes a function in place of a call an error, such as the one that returns a promise: it has no option of its own. */
interface NotCallable {
  readonly call?: never
}

/**
 * What an editor completes and explains the options by, and what gives the functions among them the types of their
 * parameters: a type parameter alone does neither. Nothing is assignable to it.
 */
interface Shown
  extends
    RetryPolicy.CommonOptions,
    CallNaming,
    Pick<RetryPolicy.UnhedgedOptions, "idempotent">,
    Partial<Pick<RetryPolicy.HedgedOptions, "hedge">>
{
  readonly [shown]: never
}
declare const shown: unique symbol

type AnyCall = Effect.Effect<unknown, unknown, unknown>

const validateCall = (options: Options): Result.Result<void, InvalidOption> => {
  const where = "withRpcRetry"
  const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))
  return Result.flatMap(checkKnown(where, options, [...RetryPolicy.fields, "method", "idempotencyKey"]), () => {
    const { idempotencyKey, method } = options
    return method !== undefined && !Predicate.isString(method)
      ? invalid("method", `must be text, got ${String(method)}`)
      : idempotencyKey !== undefined && !Predicate.isBoolean(idempotencyKey) &&
          (!Predicate.isString(idempotencyKey) || idempotencyKey === "")
      ? invalid(
        "idempotencyKey",
        `must be true, false or a text that is not empty, got ${JSON.stringify(idempotencyKey)}`
      )
      : Result.void
  })
}

/**
 * Returns whether the options are valid and hold nothing but `method` and `idempotent`, as those made anew for each call
 * mostly do: there is nothing else to check then.
 */
const areUsual = (options: Options): boolean => {
  if (!Predicate.isRecord(options)) {
    return false
  }
  for (const key in options) {
    if (
      key === "method"
        ? !Predicate.isString(options.method)
        : key !== "idempotent" || !Predicate.isBoolean(options.idempotent)
    ) {
      return false
    }
  }
  return true
}

/** The policies of options that say nothing of it but `idempotent`. */
const idempotent = RetryPolicy.make({ idempotent: true })
const notIdempotent = RetryPolicy.make({ idempotent: false })

/** Merges onto the policy of the service, once for each: what calls that are made anew have in common. */
const mergedOnce = (own: RetryPolicy.RetryPolicy): Over => {
  const merged = new WeakMap<RetryPolicy.Complete, RetryPolicy.Complete>()
  return (base) => {
    const known = merged.get(base)
    if (known !== undefined) {
      return known
    }
    const policy = RetryPolicy.merge(base, own)
    merged.set(base, policy)
    return policy
  }
}

/** Makes the policy of a call of that of its service. */
type Over = (base: RetryPolicy.Complete) => RetryPolicy.Complete

const overIdempotent = mergedOnce(idempotent)
const overNotIdempotent = mergedOnce(notIdempotent)

/** What the options of a call say of its policy, once they are checked; `undefined` for nothing. */
const ownPolicy = (options: Options): RetryPolicy.RetryPolicy | undefined => {
  if (areUsual(options)) {
    return options.idempotent === undefined ? undefined : options.idempotent ? idempotent : notIdempotent
  }
  orThrow(validateCall(options))
  const { idempotencyKey, method, ...policy } = options
  return RetryPolicy.make(policy)
}

/** {@link RpcRetry} without its default value, which holds all that layers need. */
const reference = { key: Wiring.key } as { readonly key: string; readonly Service: Service }

/** The part of the service that a call uses which runs with this context, and was built with none. */
const inForce = (ambient: Context.Context<never>): Pick<Service, "policy" | "telemetry"> => {
  const service = Wiring.given(ambient, reference)
  if (service !== undefined) {
    return service
  }
  Wiring.withoutLayer()
  return Bare.service
}

/**
 * What the options of a call come to, checked once, when `withRpcRetry` is given them. `builtWith` is the service of
 * the call wherever it runs.
 */
const retrying = (options: Options, builtWith?: Service): (self: AnyCall) => AnyCall => {
  const own = ownPolicy(options)
  const { idempotencyKey = false, method: said } = options
  const ownOver = overOf(own)
  return (self) => {
    const named = RpcCall.isRpcCall(self) ? self : undefined
    const method = said ?? named?.method
    const over = named?.idempotent === undefined || options.idempotent !== undefined
      ? ownOver
      : overNamed(named.idempotent, own)
    return engine.run(named === undefined ? self : RpcCall.bodyOf(named), (ambient) => {
      const service = builtWith ?? inForce(ambient)
      return {
        identity: named,
        telemetry: service.telemetry,
        method,
        idempotencyKey,
        idempotent: options.idempotent,
        policyOf: (method) => over(service.policy(method))
      }
    })
  }
}

/** Merges what the options say onto the policy of the service. */
const overOf = (own: RetryPolicy.RetryPolicy | undefined): Over =>
  own === undefined
    ? identity
    : own === idempotent
    ? overIdempotent
    : own === notIdempotent
    ? overNotIdempotent
    : mergedOver(own)

/** Merges what a call says of itself below what its options say. */
const overNamed = (isIdempotent: boolean, own: RetryPolicy.RetryPolicy | undefined): Over => {
  const said = isIdempotent ? idempotent : notIdempotent
  return overOf(own === undefined ? said : RetryPolicy.merge(said, own))
}

/** Merges onto the policy of the service, anew only when the service has another one than the last time. */
const mergedOver = (own: RetryPolicy.RetryPolicy): Over => {
  let last: RetryPolicy.Complete | undefined
  let merged: RetryPolicy.Complete | undefined
  return (base) => {
    if (merged === undefined || base !== last) {
      last = base
      merged = RetryPolicy.merge(base, own)
    }
    return merged
  }
}

/** The function `withRpcRetry` whose calls have the service that it was built with, or that in force where they run. */
const combinator = (builtWith?: Service): WithRpcRetry => {
  // made only once
  const plain = retrying({}, builtWith)
  const retry = (x?: AnyCall | Options, options?: Options) =>
    Effect.isEffect(x)
      ? (options === undefined ? plain : retrying(options, builtWith))(x)
      : x === undefined
      ? plain
      : retrying(x, builtWith)
  return retry as WithRpcRetry
}

/**
 * The type of {@link withRpcRetry}.
 *
 * @since 0.1.0
 * @category models
 */
export interface WithRpcRetry {
  /** Retries the call that it is given or, given options or nothing, returns a function that does. */
  <T extends AnyCall | NoExcess<T> = {}>(x?: T | Shown, options?: Options): Retried<T>
}

/**
 * Retries a call.
 *
 * ```ts
 * import { type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import type * as Effect from "effect/Effect"
 *
 * declare const call: Effect.Effect<string, Retryable | Fatal>
 *
 * call.pipe(withRpcRetry)
 * call.pipe(withRpcRetry())
 * call.pipe(withRpcRetry({ method: "Users.Get", deadline: "2 seconds" }))
 * withRpcRetry(call, { method: "Users.Get" })
 * ```
 *
 * When no attempt succeeds it fails with `RetryExhausted`, which says why it stopped and remembers the attempts; when
 * the deadline had passed before the first attempt, with `CallRejected`.
 *
 * Interrupting the call stops the attempt or the delay it is in, at once: no further attempt starts, no timer stays.
 *
 * A call whose errors are not `Retryable | Fatal` yet goes through a classifier first:
 *
 * ```ts
 * import { Classify, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const query: Effect.Effect<string, Error>
 *
 * query.pipe(Effect.mapError(Classify.classify), withRpcRetry)
 * ```
 *
 * To retry an answer that is not wanted, make it a `Retryable`:
 *
 * ```ts
 * import { type Fatal, Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const status: Effect.Effect<"pending" | "done", Retryable | Fatal>
 *
 * status.pipe(
 *   Effect.filterOrFail(
 *     (answer) => answer === "done",
 *     () => new Retryable({ reason: "Custom", delivery: "Unknown", code: "PENDING" })
 *   ),
 *   withRpcRetry
 * )
 * ```
 *
 * Throws `InvalidOption` for a bad option.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withRpcRetry: WithRpcRetry = combinator()

/**
 * A {@link withRpcRetry} whose calls have the policies and budgets that are in force where this effect runs, wherever
 * they run themselves. Take it where a service is built, so that a layer given to the service is that of its calls:
 *
 * ```ts
 * import { type Fatal, type Retryable, RpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const post: (order: string) => Effect.Effect<void, Retryable | Fatal>
 *
 * class Orders extends Effect.Service<Orders>()("Orders", {
 *   effect: Effect.gen(function*() {
 *     const retry = yield* RpcRetry.bind
 *     return { place: (order: string) => post(order).pipe(retry({ method: "Orders.Place" })) }
 *   }),
 *   dependencies: [RpcRetry.layer({ methods: { "Orders.Place": { idempotent: false } } })]
 * }) {}
 * ```
 *
 * Where no layer is in force it is `withRpcRetry` itself.
 *
 * @since 0.1.0
 * @category combinators
 */
export const bind: Effect.Effect<WithRpcRetry> = Effect.map(
  Effect.context<never>(),
  (context) => {
    const service = Wiring.given(context, reference)
    return service === undefined ? withRpcRetry : combinator(service)
  }
)

/**
 * How {@link runPromise} runs a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  /** Interrupts the call when it fires. Default: nothing does. */
  readonly signal?: AbortSignal | undefined
}

/**
 * How {@link runPromise} runs a call with the services of a runtime.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunWithOptions<R, ER> extends RunOptions {
  /** Runs the call: it has the services of the runtime, and its layer of `RpcRetry`. Default: that of Effect, without any. */
  readonly runtime: Pick<ManagedRuntime.ManagedRuntime<R, ER>, "runFork">
}

/**
 * Runs a call as a promise, for code that has no Effect. It is `Effect.runPromise`, but for its `signal`:
 *
 * - Calls that share a signal share one listener of it, which is removed when the last of them has ended. The time that
 *   `Effect.runPromise` takes for a call grows with the number of calls that share its signal.
 * - When the signal fires the calls are interrupted, and once their finalizers have run they reject with `signal.reason`,
 *   as `fetch` does, not with the `FiberFailure` of an interruption.
 * - A signal that has fired already rejects at once, and nothing of the call is run.
 *
 * Other failures reject as those of `Effect.runPromise` do. Throws `InvalidOption` for an unknown option.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
 * import type * as Effect from "effect/Effect"
 * import * as ManagedRuntime from "effect/ManagedRuntime"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const runtime = ManagedRuntime.make(RpcRetry.layer({ default: { deadline: "5 seconds" } }))
 *
 * const handler = (id: number, signal: AbortSignal): Promise<string> =>
 *   RpcRetry.runPromise(getUser(id).pipe(withRpcRetry({ method: "Users.Get" })), { signal, runtime })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const runPromise: {
  <A, E>(self: Effect.Effect<A, E>, options?: RunOptions): Promise<A>
  <A, E, R, ER>(self: Effect.Effect<A, E, R>, options: RunWithOptions<R, ER>): Promise<A>
} = <A, E, R, ER>(
  self: Effect.Effect<A, E, R>,
  options: RunOptions & Partial<RunWithOptions<R, ER>> = {}
): Promise<A> => {
  orThrow(checkKnown("RpcRetry.runPromise", options, ["signal", "runtime"]))
  const { runtime, signal } = options
  return Signal.runPromise<A, E | ER>(
    // without a runtime the call requires nothing
    () => runtime === undefined ? Effect.runFork(self as Effect.Effect<A, E>) : runtime.runFork(self),
    signal
  )
}
