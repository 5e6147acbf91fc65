/**
 * What callers of `@effect/rpc` get: what handlers say, what is sent, how calls are named. Each row of the table in the
 * documentation has a test in one of these files, or is one of the contract's.
 */
import * as Headers from "@effect/platform/Headers"
import * as Socket from "@effect/platform/Socket"
import { WorkerError } from "@effect/platform/WorkerError"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcTest from "@effect/rpc/RpcTest"
import { InvalidOption, Retryable, type RpcCall, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { all, each, failure, https, quick, says } from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import { assert, describe, it } from "../../support/vitest.js"

describe("EffectRpc: what the handler says", () => {
  each(all, "its defect stays a defect", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Run", run: Effect.die(new TypeError("a bug")) })
      const exit = yield* Effect.exit(rpc.Echo({ text: "x" }).pipe(withRpcRetry(quick)))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.strictEqual((yield* server.seen).length, 1)
      assert.strictEqual(yield* rpc.Echo({ text: "y" }), "y")
    }))

  each(https, "its defect is not that of other calls", ({ received, rpc, server }) =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<string>()
      yield* server.script(
        { _tag: "Run", run: Deferred.await(answer) },
        { _tag: "Run", run: Effect.die("a bug") }
      )
      const other = yield* Effect.fork(rpc.Echo({ text: "x" }))
      yield* received(1)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(rpc.Echo({ text: "y" }))))
      yield* Deferred.succeed(answer, "well")
      assert.strictEqual(yield* Fiber.join(other), "well")
    }))

  each(
    [Server.json, Server.tcp],
    "defects that look like the transport's are still its own",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        for (
          const defect of [
            new Socket.SocketGenericError({ reason: "Read", cause: "gone" }),
            new SyntaxError("Unexpected token"),
            new Cause.RuntimeException("Expected an array of responses, but got: {}")
          ]
        ) {
          yield* server.script({ _tag: "Run", run: Effect.die(defect) })
          const exit = yield* Effect.exit(rpc.Echo({ text: "x" }))
          assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause), String(defect))
        }
      })
  )

  each(
    all,
    "a server that has no such rpc is Fatal for who called it, and no other call in flight hears of it",
    ({ received, rpc, server }, way) =>
      Effect.gen(function*() {
        const Newer = Server.Group.add(Rpc.make("Later", { success: Schema.Void }))
        const newer = yield* Server.connect(way.protocol(server.port), EffectRpc.make(Newer))
        const answer = yield* Deferred.make<string>()
        yield* server.script({ _tag: "Run", run: Deferred.await(answer) })
        const other = yield* Effect.fork(newer.Echo({ text: "x" }))
        yield* received(1)
        assert.strictEqual(says(yield* failure(newer.Later())), "Fatal Unimplemented")
        yield* Deferred.succeed(answer, "well")
        assert.strictEqual(yield* Fiber.join(other), "well")
        assert.strictEqual(yield* rpc.Echo({ text: "y" }), "y")
      })
  )

  each(
    [Server.json, Server.tcp],
    "a Retryable that it declares keeps what it says, and is retried",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        const said = new Retryable({ reason: "Custom", delivery: "Unknown", code: "REPLICA_LAG" })
        yield* server.script({ _tag: "Run", run: said })
        const error = yield* failure(rpc.Echo({ text: "x" }))
        assert.strictEqual(says(error), "Retryable Custom Unknown REPLICA_LAG")
        yield* server.script({ _tag: "Run", run: said })
        assert.strictEqual(yield* rpc.Echo({ text: "x" }).pipe(withRpcRetry(quick)), "x")
      })
  )
})

describe("EffectRpc: what is sent", () => {
  each(
    [Server.json, Server.webSocket],
    "headers of the user's stay, and go before ours",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        yield* server.script({ _tag: "Retryable" })
        const call = rpc.Echo({ text: "x" }, { headers: { "x-tenant": "acme" } })
        yield* call.pipe(
          withRpcRetry({ ...quick, idempotencyKey: "ours" }),
          RpcClient.withHeaders({ authorization: "Bearer token" })
        )
        for (const headers of server.heard) {
          assert.strictEqual(headers["x-tenant"], "acme")
          assert.strictEqual(headers["authorization"], "Bearer token")
          assert.strictEqual(headers["idempotency-key"], "ours")
        }
        assert.strictEqual(server.heard[1]!["x-retry-attempt"], "1")
        yield* rpc.Echo({ text: "y" }, { headers: Headers.fromInput({ "idempotency-key": "theirs" }) }).pipe(
          withRpcRetry({ idempotencyKey: "ours" })
        )
        assert.strictEqual(server.heard[2]!["idempotency-key"], "theirs")
      })
  )

  each(
    [Server.json],
    "headers of calls around it count before those of the engine",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        const theirs = { "idempotency-key": "theirs", "x-retry-attempt": "7", "x-envoy-expected-rq-timeout-ms": "5" }
        yield* rpc.Echo({ text: "x" }).pipe(
          withRpcRetry({ idempotencyKey: "ours", deadline: "5 seconds" }),
          RpcClient.withHeaders(theirs)
        )
        assert.deepInclude({ ...server.heard[0] }, theirs)
      })
  )

  it.scopedLive("spans are named and told as the options say", () =>
    Effect.gen(function*() {
      const server = yield* Server.tcp.server
      const rpc = yield* Server.connect(
        Server.tcp.protocol(server.port),
        EffectRpc.make(Server.Group, { spanPrefix: "texts", spanAttributes: { tenant: "acme" } })
      )
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (...args) => {
          const span = native.span(...args)
          spans.push(span)
          return span
        },
        context: (f) => f()
      })
      const native = yield* Effect.tracer
      yield* server.script({ _tag: "Retryable" })
      yield* rpc.Echo({ text: "x" }).pipe(withRpcRetry(quick), Effect.withTracer(tracer))
      const told = spans.filter(({ name }) => name === "texts.Echo")
      assert.deepStrictEqual(told.map(({ attributes }) => attributes.get("tenant")), ["acme", "acme"])
    }))

  each(all, "a call whose answer is not wanted", ({ received, rpc }) =>
    Effect.gen(function*() {
      assert.isUndefined(yield* rpc.Echo({ text: "x" }, { discard: true }).pipe(withRpcRetry(quick)))
      yield* received(1)
    }))
})

describe("EffectRpc: RpcRetry.client", () => {
  each(
    [Server.json, Server.tcp],
    "retries every call, those with a prefix too",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        const retried = RpcRetry.client(rpc, quick)
        yield* server.script({ _tag: "Retryable" }, { _tag: "Answer" }, { _tag: "Retryable" }, { _tag: "Answer" })
        assert.strictEqual(yield* retried.Echo({ text: "x" }), "x")
        assert.strictEqual(yield* retried.users.get({ text: "y" }), "y")
        assert.strictEqual((yield* server.seen).length, 4)
        assert.strictEqual(Chunk.size(yield* Stream.runCollect(retried.Words({ text: "one two" }))), 2)
      })
  )
})

describe("EffectRpc: names", () => {
  class Calls extends RpcGroup.make(
    Rpc.make("get", { success: Schema.Void }).annotate(EffectRpc.Idempotent, true),
    Rpc.make("put", { success: Schema.Void }).annotate(EffectRpc.Idempotent, false),
    Rpc.make("post", { success: Schema.Void })
  ).merge(
    RpcGroup.make(Rpc.make("v1.get", { success: Schema.Void })).prefix("users.")
  ) {}

  const original = RpcTest.makeClient(Calls).pipe(
    Effect.provide(
      Calls.toLayer({
        get: () => Effect.void,
        put: () => Effect.void,
        post: () => Effect.void,
        "users.v1.get": () => Effect.void
      })
    )
  )

  const told = (call: RpcCall.RpcCall<unknown, unknown, unknown>) => [call.method, call.idempotent]

  it.scoped("a tag with a prefix is the method, one without is of the service Rpc", () =>
    Effect.gen(function*() {
      const rpc = EffectRpc.client(yield* original, Calls)
      assert.deepStrictEqual(told(rpc.get()), ["Rpc.get", true])
      assert.deepStrictEqual(told(rpc.put()), ["Rpc.put", false])
      assert.deepStrictEqual(told(rpc.post()), ["Rpc.post", undefined])
      assert.deepStrictEqual(told(rpc.users["v1.get"]()), ["users.v1.get", undefined])
      assert.isUndefined(yield* rpc.users["v1.get"]().pipe(withRpcRetry))
    }))

  it.scoped("options name the service, and say more than the rpc does", () =>
    Effect.gen(function*() {
      const rpc = EffectRpc.client(yield* original, Calls, {
        service: "Things",
        idempotent: { get: false, "users.v1.get": true }
      })
      assert.deepStrictEqual(told(rpc.get()), ["Things.get", false])
      assert.deepStrictEqual(told(rpc.put()), ["Things.put", false])
      assert.deepStrictEqual(told(rpc.users["v1.get"]()), ["users.v1.get", true])
    }))

  it("options that cannot be used are named", () => {
    const problem = (options: EffectRpc.Options) => {
      try {
        EffectRpc.make(Calls, options)
      } catch (error) {
        assert.instanceOf(error, InvalidOption)
        return error.message
      }
      return "none"
    }
    assert.strictEqual(problem({ service: "" }), "EffectRpc.make: service must not be empty")
    assert.strictEqual(
      problem({ idempotent: { fetch: true } }),
      "EffectRpc.make: idempotent names an rpc that the group has not: fetch"
    )
  })
})

describe("EffectRpc.rpcClientError", () => {
  const classified = (cause: unknown) =>
    Option.map(
      EffectRpc.rpcClientError(new RpcClientError({ reason: "Protocol", message: "Error in socket", cause })),
      says
    )
  const socket = (reason: "Open" | "OpenTimeout" | "Read" | "Write") =>
    new Socket.SocketGenericError({ reason, cause: new Error("why") })

  it("looks at the cause", () => {
    assert.deepStrictEqual(
      [
        socket("Open"),
        socket("Read"),
        socket("Write"),
        new Socket.SocketCloseError({ reason: "Close", code: 1006 }),
        new Retryable({ reason: "Custom", delivery: "NotSent" }),
        new WorkerError({ reason: "unknown", cause: new Error("exit") }),
        "what is this",
        undefined
      ].map((cause) => Option.getOrNull(classified(cause))),
      [
        "Retryable Unavailable NotSent Open",
        "Retryable ConnectionLost Unknown Read",
        "Retryable ConnectionLost Unknown Write",
        "Retryable ConnectionLost Unknown Close",
        "Retryable Custom NotSent",
        "Retryable Unavailable Unknown unknown",
        "Fatal Custom",
        "Fatal Custom"
      ]
    )
  })

  it("keeps the words of one without a cause", () => {
    const error = Option.getOrThrow(
      EffectRpc.rpcClientError(new RpcClientError({ reason: "Unknown", message: "something" }))
    )
    assert.strictEqual(error.message, "something")
  })

  it("does not believe OpenTimeout: the library says so of a ping without an answer on an open connection", () => {
    assert.deepStrictEqual(classified(socket("OpenTimeout")), Option.some("Retryable Unavailable Unknown OpenTimeout"))
  })

  it("knows nothing else", () => {
    assert.deepStrictEqual(EffectRpc.rpcClientError(socket("Read")), Option.none())
  })
})
