/**
 * An `HttpClient` whose connections are dropped together when one of them fails.
 *
 * An HTTP client keeps connections open for the next request. After a restart of the server, a failover, or a router
 * that forgot them, all of them may be dead and look alive: only the next request finds out, and only about the one
 * connection that it was given. With n such connections a call meets the next dead one at each of its retries.
 *
 * With this client the first request that finds a dead one drops them all. Its retry, and every request from then on,
 * gets a new connection: a restart costs a call at most one failed attempt, not n.
 *
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as JsonRpc from "effect-rpc-retry/JsonRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const rpc = yield* JsonRpc.make({ url: "http://127.0.0.1:8080/rpc" })
 *   return yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)
 * }).pipe(Effect.provide(HttpPool.layer({ connections: 16 })))
 * ```
 *
 * - Each origin (scheme, host and port) has connections of its own; only those to the origin of the failed request are
 *   dropped.
 * - Requests that are in flight on dropped connections finish there; idle ones are closed at once. When a dropped one
 *   fails too, those that took its place are left alone.
 * - A connection that fails is one that is refused, reset, closed or times out; not an answer, whatever its status, and
 *   not a stream that a request was sending.
 * - A router that forgot the connections may not even reset them. So requests that are cut, as by an `attemptTimeout`,
 *   drop the connections too, when they have waited for 100 ms in all and no answer to any request has come from that
 *   origin meanwhile. A shorter wait says nothing about the connections: hedges are interrupted sooner.
 * - A request that is interrupted closes its connection, or ends its dial, as HTTP/1.1 has no other way to cancel. One
 *   that still waits for a connection closes nothing.
 * - An attempt that is cut before its request is written, while it dials, shakes hands or waits for a connection, is
 *   not sent: it is repeated also where it must not run twice.
 * - Idle connections are not kept for longer than `keepAliveTimeout`, 4 seconds where the server does not say.
 * - An origin without connections is forgotten when another comes. All is destroyed with the scope, requests in flight
 *   and dials included.
 * - No request is repeated: not here, and not by undici, which is used without pipelining and without HTTP/2.
 *
 * `RpcRetry.inspect` shows the origins among its connections.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as Undici from "@effect/platform-node/Undici"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { Connections } from "../Connections.js"
import * as Deadline from "../Deadline.js"
import * as Runtime from "../internal/effect/runtime.js"
import * as Excerpt from "../internal/errors/excerpt.js"
import * as Result from "../internal/result.js"
import { checkKnown, checkNumber, InvalidOption, orThrow } from "../InvalidOption.js"
import * as PoolDispatcher from "./http/pool/dispatcher.js"
import { progressKey } from "./http/pool/origin.js"

/**
 * The options of undici's `Pool`, without those that would let one request disturb another. Times are in milliseconds.
 *
 * Of the options of undici, these have a meaning or a default of their own here:
 *
 * - `connections`: the most connections to one origin, dropped ones with a request in flight included; requests beyond
 *   that wait. Default no limit.
 * - `connectTimeout`: bounds one dial. Default 10 seconds.
 * - `keepAliveTimeout`: how long an idle connection is kept, where the server does not say. Default 4 seconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends
  Pick<
    Undici.Pool.Options,
    | "autoSelectFamily"
    | "autoSelectFamilyAttemptTimeout"
    | "connections"
    | "connectTimeout"
    | "keepAliveMaxTimeout"
    | "keepAliveTimeout"
    | "keepAliveTimeoutThreshold"
    | "localAddress"
    | "maxHeaderSize"
    | "maxRequestsPerClient"
    | "socketPath"
  >
{
  /**
   * TLS options (`ca`, `cert`, `servername`, ...), or a function that makes the socket; see {@link Connector}. Default:
   * the dial of undici.
   */
  readonly connect?:
    | (Partial<Undici.buildConnector.BuildOptions> & {
      /** Must not be set: HTTP/2 is not used. */
      readonly allowH2?: never
    })
    | Connector
}

/**
 * A function that makes the socket. If it also returns the socket before it is connected, the end of the scope can end
 * that dial.
 *
 * @since 0.1.0
 * @category models
 */
export type Connector = Undici.buildConnector.connector

/**
 * Makes a client that lives as long as the scope. Connections are dialled when a request needs them.
 *
 * Throws `InvalidOption` for an option that cannot be used, or that it does not have; and on Bun, which has only a part
 * of undici: `FetchHttpClient.layer` of `@effect/platform` is for that.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as HttpRpc from "effect-rpc-retry/HttpRpc"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const client = HttpRpc.retrying(yield* HttpPool.make({ connectTimeout: 2_000 }), withRpcRetry)
 *   const response = yield* client.get("http://127.0.0.1:8080/health")
 *   return response.status
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> => {
  const checked = orThrow(check(options))
  return Effect.gen(function*() {
    const runtime = yield* Runtime.current
    const registry = yield* Connections
    const clock = yield* Effect.clock
    const dispatcher = yield* Effect.acquireRelease(
      Effect.sync(() => new PoolDispatcher.PoolDispatcher(checked, registry, runtime, clock)),
      (dispatcher) => Effect.promise(() => dispatcher.destroy())
    )
    return HttpClient.transform(NodeHttpClient.makeUndici(dispatcher), telling)
  })
}

/**
 * Provides the client as the `HttpClient` of a program. Throws as {@link make} does.
 *
 * @example
 * ```ts
 * import * as HttpPool from "effect-rpc-retry/HttpPool"
 * import * as JsonRpc from "effect-rpc-retry/JsonRpc"
 * import * as Layer from "effect/Layer"
 *
 * const RpcLive = JsonRpc.layer({ url: "http://127.0.0.1:8080/rpc" }).pipe(
 *   Layer.provide(HttpPool.layer({ connections: 16, connectTimeout: 2_000 }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient> =>
  Layer.scoped(HttpClient.HttpClient, make(options))

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

/** Tells the attempt whether its request was written, so that one that is cut knows its delivery. */
const telling = <A, E, R>(request: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Deadline.whileUnsent((progress) =>
    Effect.flatMap(
      Effect.serviceOption(NodeHttpClient.UndiciRequestOptions),
      (options) =>
        Effect.provideService(
          request,
          NodeHttpClient.UndiciRequestOptions,
          {
            ...Option.getOrUndefined(options),
            [progressKey]: progress
          } as NodeHttpClient.UndiciRequestOptions["Type"]
        )
    )
  )

const where = "HttpPool.make"

const numbers = [
  ["autoSelectFamilyAttemptTimeout", 1],
  ["connections", 1],
  ["connectTimeout", 0],
  ["keepAliveMaxTimeout", 1],
  ["keepAliveTimeout", 1],
  ["keepAliveTimeoutThreshold", 0],
  ["maxHeaderSize", 1],
  ["maxRequestsPerClient", 0]
] as const

/** Returns the problem with the value of an option that is no number. */
type Check = (value: unknown) => string | undefined

const must = (be: string, is: (value: unknown) => boolean): Check => (value) =>
  is(value) ? undefined : `must be ${be}, got ${Inspectable.toStringUnknown(value, 0)}`

const isFunction = must("a function", Predicate.isFunction)
const isString = must("a string", Predicate.isString)
const isAddress = must("an IP address", (value) => Predicate.isString(value) && Net.isIP(value) !== 0)
const isTime = must("a number of at least 0", (value) => Predicate.isNumber(value) && value >= 0)
const isHttp1: Check = (value) => value === true ? "must not be set: HTTP/2 is not used" : undefined

const others: Readonly<Record<Exclude<keyof Options, (typeof numbers)[number][0]>, Check>> = {
  autoSelectFamily: must("a boolean", Predicate.isBoolean),
  // text may be a key: do not show it
  connect: (value) =>
    Predicate.isRecord(value) || Predicate.isFunction(value)
      ? undefined
      : `must be an object or a function, got ${Excerpt.kindOf(value)}`,
  localAddress: isAddress,
  socketPath: isString
}

const ofConnect: Readonly<Record<string, Check>> = {
  allowH2: isHttp1,
  localAddress: isAddress,
  lookup: isFunction,
  servername: isString,
  timeout: isTime,
  useH2c: isHttp1
}

const fail = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))

const checkFields = (
  checks: Readonly<Record<string, Check>>,
  values: { readonly [field: string]: unknown },
  prefix = ""
): Result.Result<void, InvalidOption> => {
  for (const [field, check] of Object.entries(checks)) {
    const value = values[field]
    const problem = value === undefined || value === null ? undefined : check(value)
    if (problem !== undefined) {
      return fail(`${prefix}${field}`, problem)
    }
  }
  return Result.void
}

const known = [...numbers.map(([field]) => String(field)), ...Object.keys(others)]

const check = (options: Options): Result.Result<Options, InvalidOption> =>
  Result.gen(function*() {
    if (!PoolDispatcher.isSupported()) {
      return yield* fail(
        "runtime",
        "must be Node or Deno: this one, as Bun, has only a part of undici; use FetchHttpClient.layer of @effect/platform here"
      )
    }
    const given: unknown = options
    if (!Predicate.isRecord(given)) {
      return yield* fail("options", `must be an object, got ${Inspectable.toStringUnknown(given, 0)}`)
    }
    yield* checkKnown(where, given, known)
    for (const [field, min] of numbers) {
      const value = options[field]
      if (value !== undefined && value !== null) {
        yield* checkNumber(where, field, value, { min, max: Number.MAX_SAFE_INTEGER, integer: true })
      }
    }
    yield* checkFields(others, given)
    if (Predicate.isRecord(given["connect"])) {
      yield* checkFields(ofConnect, given["connect"], "connect.")
    }
    yield* Result.mapError(
      PoolDispatcher.validate(options),
      (problem) => new InvalidOption({ where, field: "connect", problem })
    )
    return options
  })
