/**
 * Layers that are given to the service that makes the calls, and not to the program around it.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import { Retryable, type RetryExhausted, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { assert, describe, it } from "../../support/vitest.js"

const failing = Effect.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent" }))

const retries = (n: number) => ({ schedule: Schedule.recurs(n) })

/** Six attempts for calls that this layer reaches, where the default policy makes four. */
const RetryLive = RpcRetry.layer({ budget: "off", default: retries(5) })

type Create = Effect.Effect<never, { readonly _tag: string }>

class Users extends Context.Tag("Users")<Users, { readonly create: () => Create }>() {}

const attemptsOf = (call: Create) => Effect.map(Effect.flip(call), (error) => (error as RetryExhausted).attempts)

const attempts = Effect.flatMap(Users, (users) => attemptsOf(users.create()))

/** What is said at WARN of layers. */
const warningsOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning" && String(message).includes("no layer provides")) {
        warnings.push(String(message))
      }
    })
    return self.pipe(
      Effect.zipRight(Effect.yieldNow()),
      Effect.as(warnings),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
  })

describe("a call that runs without the layer that the process has built", () => {
  const misplaced = Effect.ignore(failing.pipe(withRpcRetry({ ...retries(0), logs: false })))

  /** The process as it was when it started. */
  const fresh = Effect.sync(() => {
    Object.assign(globalValue(Symbol.for("effect-rpc-retry/wiring"), () => ({})), { layerBuilt: false, warned: false })
  })

  it.live("is warned of once, when there has been a layer", () =>
    Effect.gen(function*() {
      yield* fresh
      assert.deepStrictEqual(yield* warningsOf(misplaced), [])
      yield* Effect.provide(Effect.void, RetryLive)
      assert.deepStrictEqual(yield* warningsOf(Effect.provide(misplaced, RetryLive)), [])
      const warnings = yield* warningsOf(misplaced)
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], "take `const retry = yield* RpcRetry.bind` where the service is built")
      assert.deepStrictEqual(yield* warningsOf(misplaced), [])
    }))

  it.live("is warned of whichever kind of layer that was", () =>
    Effect.gen(function*() {
      const layers: ReadonlyArray<Layer.Layer<never, unknown>> = [
        RpcRetry.layerConfig(),
        RpcRetry.layerServiceConfig({}),
        RpcRetry.layerReloadable(Stream.empty)
      ]
      for (const layer of layers) {
        yield* fresh
        yield* Effect.provide(Effect.void, layer)
        assert.strictEqual((yield* warningsOf(misplaced)).length, 1)
      }
    }))

  it.live("is not warned of in production, nor where retries are bound", () =>
    Effect.gen(function*() {
      yield* fresh
      const bound = yield* Effect.provide(RpcRetry.bind, RetryLive)
      assert.deepStrictEqual(yield* warningsOf(Effect.ignore(failing.pipe(bound({ ...retries(0), logs: false })))), [])
      const env = process.env["NODE_ENV"]
      process.env["NODE_ENV"] = "production"
      assert.deepStrictEqual(yield* warningsOf(misplaced), [])
      process.env["NODE_ENV"] = env
    }))
})

describe("a layer that is given to the service which makes the calls", () => {
  it.effect("is that of calls retried with RpcRetry.bind, in a Layer", () =>
    Effect.gen(function*() {
      const Live = Layer.effect(
        Users,
        Effect.map(RpcRetry.bind, (retry) => ({ create: () => failing.pipe(retry) }))
      ).pipe(Layer.provide(RetryLive))
      assert.strictEqual(yield* attempts.pipe(Effect.provide(Live)), 6)
      // also where another one is in force at the call
      const around = RpcRetry.layer({ default: retries(1) })
      assert.strictEqual(yield* attempts.pipe(Effect.provide(Live), Effect.provide(around)), 6)
    }))

  it.effect("in an Effect.Service with dependencies, with options that come first", () =>
    Effect.gen(function*() {
      class Orders extends Effect.Service<Orders>()("Orders", {
        effect: Effect.gen(function*() {
          const retry = yield* RpcRetry.bind
          return {
            place: failing.pipe(retry()),
            cancel: failing.pipe(retry({ method: "Orders.Cancel" })),
            once: retry(failing, retries(0))
          }
        }),
        dependencies: [RpcRetry.layer({ budget: "off", default: retries(5), methods: { "Orders.Cancel": retries(7) } })]
      }) {}
      const [place, cancel, once] = yield* Effect.flatMap(
        Orders,
        (orders) => Effect.all([orders.place, orders.cancel, orders.once].map(attemptsOf))
      ).pipe(Effect.provide(Orders.Default))
      assert.deepStrictEqual([place, cancel, once], [6, 8, 1])
    }))

  it.effect("RpcRetry.bind where there is none is withRpcRetry, and follows the layer around the call", () =>
    Effect.gen(function*() {
      const retry = yield* RpcRetry.bind
      assert.strictEqual(retry, withRpcRetry)
      assert.strictEqual(yield* attemptsOf(failing.pipe(retry)).pipe(Effect.provide(RetryLive)), 6)
    }))

  const client = () =>
    RpcRetry.client({ create: () => failing, orders: { place: () => failing } }, { service: "Users" })

  it.effect("is that of an RpcRetry.client built in it, in Layer.effect, Layer.sync and a service", () =>
    Effect.gen(function*() {
      class Service extends Effect.Service<Service>()("Service", {
        sync: client,
        dependencies: [RetryLive]
      }) {}
      assert.strictEqual(
        yield* Effect.flatMap(Service, (service) => attemptsOf(service.create())).pipe(Effect.provide(Service.Default)),
        6
      )
      for (
        const layer of [
          Layer.effect(Users, Effect.sync(client)),
          Layer.effect(Users, Effect.zipRight(Effect.yieldNow(), Effect.sync(client))),
          Layer.sync(Users, client)
        ]
      ) {
        assert.strictEqual(
          yield* attempts.pipe(Effect.provide(layer.pipe(Layer.provide(RetryLive)))),
          6
        )
      }
      assert.strictEqual(
        yield* Effect.flatMap(Effect.sync(client), ({ orders }) => attemptsOf(orders.place())).pipe(
          Effect.provide(RetryLive)
        ),
        6
      )
    }))

  it.effect("is that of an HttpRpc.retrying built in it", () =>
    Effect.gen(function*() {
      const refusing = HttpClient.make((request) =>
        new HttpClientError.RequestError({
          request,
          reason: "Transport",
          cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
        })
      )
      const builds = [
        () => HttpRpc.retrying(refusing, withRpcRetry),
        () => refusing.pipe(HttpRpc.retrying(withRpcRetry))
      ]
      for (const build of builds) {
        const Live = Layer.sync(Users, () => {
          const client = build()
          return { create: () => Effect.zipRight(client.get("http://127.0.0.1:1/"), Effect.never) }
        }).pipe(Layer.provide(RetryLive))
        assert.strictEqual(yield* attempts.pipe(Effect.provide(Live)), 6)
      }
    }))

  it.effect("built where there is none, clients follow the layer around the call", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf(client().create()).pipe(Effect.provide(RetryLive)), 6)
      const atLoad = client()
      assert.strictEqual(yield* attemptsOf(atLoad.create()).pipe(Effect.provide(RetryLive)), 6)
    }))

  it.live("is that of calls under a ManagedRuntime of the service alone", () =>
    Effect.gen(function*() {
      const Live = Layer.effect(
        Users,
        Effect.map(RpcRetry.bind, (retry) => ({ create: () => failing.pipe(retry) }))
      ).pipe(Layer.provide(RetryLive))
      const runtime = ManagedRuntime.make(Live)
      assert.strictEqual(yield* Effect.promise(() => runtime.runPromise(attempts)), 6)
      yield* runtime.disposeEffect
    }))

  it.effect("can be updated from the program where that is given the same layer", () =>
    Effect.gen(function*() {
      const Live = Layer.effect(
        Users,
        Effect.map(RpcRetry.bind, (retry) => ({ create: () => failing.pipe(retry({ method: "Users.Create" })) }))
      ).pipe(Layer.provideMerge(RetryLive))
      yield* Effect.gen(function*() {
        yield* RpcRetry.update("Users.*", "off")
        assert.strictEqual(yield* attempts, 1)
      }).pipe(Effect.provide(Live))
    }))
})
