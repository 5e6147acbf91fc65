/**
 * Protocols of `@effect/rpc` that are shared, are not this module's, or are given what they cannot use.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Socket from "@effect/platform/Socket"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcTest from "@effect/rpc/RpcTest"
import { InvalidOption, Retryable, withRpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Cases from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import { eventually } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { exit, failure, lines, overHttp, overTcp, quick, says, success } = Cases

const payload = { text: Schema.String }

class Orders extends RpcGroup.make(
  Rpc.make("Place", { payload, success: Schema.String }).annotate(EffectRpc.Idempotent, false)
) {}

class Users extends RpcGroup.make(Rpc.make("Get", { payload, success: Schema.String })) {}

class Auth extends RpcMiddleware.Tag<Auth>()("Auth", { requiredForClient: true }) {}

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

const isDefect = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && Cause.isDie(exit.cause)

describe("EffectRpc: a middleware of the client", () => {
  for (const tag of ["Token", "Place"] as const) {
    it.scopedLive(`that makes a call itself (${tag}) where nobody listens: what the server ran is not run again`, () =>
      Effect.gen(function*() {
        const { port, seen } = yield* lines((_message, socket) => socket.destroy())
        const Tokens = RpcGroup.make(Rpc.make(tag, { success: Schema.String }))
        const tokens = yield* Server.connect(overTcp(yield* HttpServer.refusedPort), RpcClient.make(Tokens))
        const token = (tokens as Record<string, () => Effect.Effect<string, RpcClientError>>)[tag]!
        // its dial has failed when a call has
        yield* Effect.ignore(token())
        const rpc = yield* Server.connect(
          overTcp(port),
          EffectRpc.make(Orders.middleware(Auth)).pipe(
            Effect.provide(RpcMiddleware.layerClient(Auth, ({ request }) => Effect.as(Effect.ignore(token()), request)))
          )
        )
        const error = yield* failure(rpc.Place({ text: "x" }).pipe(withRpcRetry(quick)))
        assert.deepInclude(error, { _tag: "RetryExhausted", reason: "NotIdempotent", attempts: 1 })
        assert.strictEqual(seen.length, 1)
      }))
  }

  it.scopedLive("that leaves a call behind: what the server ran is not run again", () =>
    Effect.gen(function*() {
      const { port, seen } = yield* lines((_message, socket) => {
        setTimeout(() => socket.destroy(), 100)
      })
      const tokens = yield* Server.connect(overTcp(yield* HttpServer.refusedPort), RpcClient.make(Users))
      const later = Effect.forkDaemon(Effect.delay(Effect.ignore(tokens.Get({ text: "x" })), "30 millis"))
      const rpc = yield* Server.connect(
        overTcp(port),
        EffectRpc.make(Orders.middleware(Auth)).pipe(
          Effect.provide(RpcMiddleware.layerClient(Auth, ({ request }) => Effect.as(later, request)))
        )
      )
      const error = yield* failure(rpc.Place({ text: "x" }))
      assert.match(says(error), /^Retryable ConnectionLost Unknown/)
      assert.strictEqual(seen.length, 1)
    }))

  it.scopedLive("of HTTP that makes a call itself: what the server ran is not run again", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const orders = yield* Server.connect(overTcp(yield* HttpServer.refusedPort), RpcClient.make(Orders))
      yield* Effect.ignore(orders.Place({ text: "x" }))
      const protocol = EffectRpc.layerProtocolHttp({
        url: server.url,
        transformClient: HttpClient.mapRequestEffect((request) =>
          Effect.as(Effect.ignore(orders.Place({ text: "x" })), request)
        )
      }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(RpcSerialization.layerNdjson))
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Orders))
      server.script(HttpServer.respond(503))
      assert.strictEqual(says(yield* failure(rpc.Place({ text: "x" }))), "Retryable Unavailable Unknown 503")
    }))

  it.scopedLive("its defect stays one", () =>
    Effect.gen(function*() {
      const { port, seen } = yield* lines(() => {})
      const rpc = yield* Server.connect(
        overTcp(port),
        EffectRpc.make(Orders.middleware(Auth)).pipe(
          Effect.provide(RpcMiddleware.layerClient(Auth, () => Effect.sync(() => JSON.parse("{") as never)))
        )
      )
      assert.isTrue(isDefect(yield* Effect.exit(rpc.Place({ text: "x" }))))
      assert.strictEqual(seen.length, 0)
    }))
})

describe("EffectRpc: a Retryable that a server passes on", () => {
  it.scopedLive("may have run the call, whatever it says of the one behind it", () =>
    Effect.gen(function*() {
      const said = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: 7, retryAfter: "Never" })
      const { port, seen } = yield* lines((message, socket) => {
        if (message._tag === "Request") {
          const error = Schema.encodeSync(Retryable)(said)
          socket.write(exit(message, { _tag: "Failure", cause: { _tag: "Fail", error } }))
        }
      })
      const Paid = RpcGroup.make(
        Rpc.make("Pay", { success: Schema.Void, error: Retryable }).annotate(EffectRpc.Idempotent, false)
      )
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Paid))
      const error = yield* failure(rpc.Pay())
      assert.strictEqual(says(error), "Retryable ConnectionRefused Unknown 7")
      assert.strictEqual((error as Retryable).retryAfter, "Never")
      yield* failure(rpc.Pay().pipe(withRpcRetry(quick)))
      assert.strictEqual(seen.length, 2)
    }))
})

describe("EffectRpc: clients that share a protocol", () => {
  it.scopedLive("TCP: each has its answers", () =>
    Effect.gen(function*() {
      const { port, sockets } = yield* lines((message, socket) => {
        if (message._tag === "Request") {
          socket.write(success(message, message.tag))
        }
      })
      const context = yield* Layer.build(overTcp(port))
      const orders = yield* Effect.provide(EffectRpc.make(Orders), context)
      const plain = yield* Effect.provide(RpcClient.make(Users), context)
      yield* Effect.scoped(Effect.gen(function*() {
        const users = yield* Effect.provide(EffectRpc.make(Users), context)
        assert.strictEqual(yield* users.Get({ text: "x" }), "Get")
        assert.strictEqual(yield* orders.Place({ text: "x" }), "Place")
      }))
      assert.strictEqual(yield* orders.Place({ text: "x" }), "Place")
      assert.strictEqual(yield* plain.Get({ text: "x" }), "Get")
      assert.strictEqual(sockets.length, 1)
    }))

  it.scopedLive("HTTP: each has its answers", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const context = yield* Layer.build(overHttp(server.url))
      const orders = yield* Effect.provide(EffectRpc.make(Orders), context)
      const users = yield* Effect.provide(EffectRpc.make(Users), context)
      const answer: HttpServer.Step = (response, seen) => {
        const request = JSON.parse(seen.text) as RpcMessage.RequestEncoded
        response.end(success(request, request.tag))
      }
      server.script(answer, answer)
      assert.strictEqual(yield* users.Get({ text: "x" }), "Get")
      assert.strictEqual(yield* orders.Place({ text: "x" }), "Place")
    }))
})

const custom = (
  send: (
    request: RpcMessage.RequestEncoded,
    write: (message: RpcMessage.FromServerEncoded) => Effect.Effect<void>
  ) => Effect.Effect<void, RpcClientError>,
  supportsAck: boolean
) =>
  RpcClient.Protocol.make((write) =>
    Effect.succeed({
      supportsAck,
      supportsTransferables: false,
      send: (message) => message._tag === "Request" ? send(message, write) : Effect.void
    })
  )

describe("EffectRpc: a protocol of somebody else's", () => {
  it.scopedLive("that fails to send: the request may have been sent, and is sent once", () =>
    Effect.gen(function*() {
      let sent = 0
      const cause = new Socket.SocketGenericError({ reason: "Read", cause: new Error("gone") })
      const protocol = yield* custom(() =>
        Effect.suspend(() => {
          sent++
          return Effect.fail(new RpcClientError({ reason: "Protocol", message: "confirm lost", cause }))
        }), true)
      const rpc = yield* EffectRpc.make(Orders).pipe(Effect.provideService(RpcClient.Protocol, protocol))
      assert.strictEqual(says(yield* failure(rpc.Place({ text: "x" }))), "Retryable ConnectionLost Unknown Read")
      assert.strictEqual(sent, 1)
      yield* failure(rpc.Place({ text: "x" }).pipe(withRpcRetry(quick)))
      assert.strictEqual(sent, 2)
    }))

  it.scopedLive("whose answers come after the request was sent", () =>
    Effect.gen(function*() {
      const protocol = yield* custom((request, write) =>
        Effect.asVoid(Effect.forkDaemon(Effect.delay(
          Effect.suspend(() =>
            write({ _tag: "Exit", requestId: request.id, exit: { _tag: "Success", value: "later" } })
          ),
          "20 millis"
        ))), false)
      const rpc = yield* EffectRpc.make(Orders).pipe(Effect.provideService(RpcClient.Protocol, protocol))
      assert.strictEqual(yield* rpc.Place({ text: "x" }), "later")
    }))

  it.scopedLive("a client that runs in the same process: defects of handlers stay theirs", () =>
    Effect.gen(function*() {
      const original = yield* RpcTest.makeClient(Users).pipe(
        Effect.provide(Users.toLayer({ Get: () => Effect.sync(() => JSON.parse("{") as never) }))
      )
      assert.isTrue(isDefect(yield* Effect.exit(EffectRpc.client(original, Users).Get({ text: "x" }))))
    }))
})

describe("EffectRpc: a payload that does not fit", () => {
  const Tagged = Schema.Struct({ _tag: Schema.Literal("Success"), n: Schema.Int })
  class Puts extends RpcGroup.make(
    Rpc.make("Sum", { payload: Schema.Array(Schema.Int), success: Schema.Int }),
    Rpc.make("Put", { payload: Tagged, success: Schema.Void })
  ) {}

  it.scopedLive("is Fatal InvalidArgument, also where it looks like an answer", () =>
    Effect.gen(function*() {
      const { port, seen } = yield* lines(() => {})
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Puts))
      assert.strictEqual(says(yield* failure(rpc.Sum([1.5]))), "Fatal InvalidArgument")
      assert.strictEqual(says(yield* failure(rpc.Put({ _tag: "Success", n: 1.5 }))), "Fatal InvalidArgument")
      assert.strictEqual(seen.length, 0)
    }))

  it.scopedLive("a schema that throws while it encodes is a defect", () =>
    Effect.gen(function*() {
      const text = Schema.transform(Schema.String, Schema.String, {
        decode: (text) => text,
        encode: (text): string => JSON.parse(text) as string
      })
      const { port, seen } = yield* lines(() => {})
      const group = RpcGroup.make(Rpc.make("Get", { payload: { text } }))
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(group))
      assert.isTrue(isDefect(yield* Effect.exit(rpc.Get({ text: "{" }))))
      assert.strictEqual(seen.length, 0)
    }))
})

describe("EffectRpc: options of protocols", () => {
  it("a URL that is none is named", () => {
    for (const url of ["", "not a url", "http://", "ftp://host"]) {
      assert.throws(() => EffectRpc.layerProtocolHttp({ url }), /^EffectRpc.layerProtocolHttp: url must be /)
    }
    EffectRpc.layerProtocolHttp({ url: "/rpc" })
  })

  it.scopedLive("JSON-RPC over HTTP is refused: the library never decodes its answers", () =>
    Effect.gen(function*() {
      const protocol = overHttp("http://127.0.0.1:1", RpcSerialization.layerJsonRpc())
      const exit = yield* Effect.exit(Layer.build(protocol))
      assert.isTrue(Exit.isFailure(exit))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.instanceOf(error, InvalidOption)
      assert.strictEqual(error.field, "serialization")
    }))

  it.scopedLive("a tag that every object has is one of the group's", () =>
    Effect.gen(function*() {
      const group = RpcGroup.make(Rpc.make("toString", { success: Schema.String }))
      const { port } = yield* lines(() => {})
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(group, { idempotent: {} }))
      const call = (rpc as unknown as { readonly toString: () => { readonly idempotent: unknown } }).toString()
      assert.isUndefined(call.idempotent)
    }))
})

class Held extends Context.Tag("Held")<Held, object>() {}

describe("EffectRpc: what is kept of a call", () => {
  const released = (
    rpc: { readonly Get: (payload: { readonly text: string }) => Effect.Effect<unknown, unknown> },
    discard = false
  ) =>
    Effect.gen(function*() {
      const held = yield* Effect.suspend(() => {
        const service = {}
        return (rpc.Get as (payload: object, options: object) => Effect.Effect<unknown, unknown>)(
          { text: "x" },
          { discard }
        ).pipe(
          Effect.flip,
          Effect.provideService(Held, service),
          Effect.as(new WeakRef(service))
        )
      })
      yield* eventually(Effect.sync(() => {
        collect()
        return held.deref() === undefined
      }))
      assert.isUndefined(held.deref())
    })

  for (const discard of [false, true]) {
    it.scopedLive(`nothing after it failed, over HTTP${discard ? ", unanswered" : ""}`, () =>
      Effect.gen(function*() {
        const server = yield* HttpServer.make
        const rpc = yield* Server.connect(overHttp(server.url), EffectRpc.make(Users))
        server.script(HttpServer.respond(503))
        yield* released(rpc, discard)
        server.script(HttpServer.respond(503))
        yield* failure(rpc.Get({ text: "y" }))
      }))
  }

  it.scopedLive("nothing after it was refused, over a socket", () =>
    Effect.gen(function*() {
      const rpc = yield* Server.connect(overTcp(yield* HttpServer.refusedPort), EffectRpc.make(Users))
      yield* failure(rpc.Get({ text: "x" }))
      yield* released(rpc)
      yield* failure(rpc.Get({ text: "y" }))
    }))
})
