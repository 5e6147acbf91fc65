/**
 * What callers of `@effect/rpc` get when things go wrong. Each row of the table in the documentation has a test here, or is
 * one of the contract's.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Socket from "@effect/platform/Socket"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcTest from "@effect/rpc/RpcTest"
import { assert, describe, it } from "@effect/vitest"
import { Fatal, InvalidOption, Retryable, RetrySchedule, RpcCall, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Server from "../support/effectRpcServer.js"
import * as HttpServer from "../support/httpServer.js"
import * as Peer from "../support/peer.js"

type Failed = Retryable | Fatal

/** What a failed attempt says, in one line. */
const says = (error: unknown): string =>
  error instanceof Retryable
    ? `Retryable ${error.reason} ${error.delivery}${error.code === undefined ? "" : ` ${error.code}`}`
    : error instanceof Fatal
    ? `Fatal ${error.reason}${error.code === undefined ? "" : ` ${error.code}`}`
    : `neither: ${String(error)}`

const failure = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.flip(self)

const quick = { schedule: RetrySchedule.exponential({ base: "20 millis" }).pipe(RetrySchedule.retries(6)) }

/** Asks again and again, for a while, until it is so. */
const eventually = (is: Effect.Effect<boolean>) =>
  is.pipe(
    Effect.repeat({ until: (so) => so, schedule: Schedule.spaced(5).pipe(Schedule.intersect(Schedule.recurs(400))) }),
    Effect.asVoid
  )

const start = (way: Server.Way) =>
  Effect.gen(function*() {
    const server = yield* way.server
    const rpc = yield* Server.connect(way.protocol(server.port), EffectRpc.make(Server.Group, { service: "Texts" }))
    return {
      server,
      rpc,
      received: (count: number) => eventually(Effect.map(server.seen, (all) => all.length >= count))
    }
  })

const sockets = [Server.tcp, Server.webSocket]
const https = [Server.ndjson, Server.json]
const all = [...https, ...sockets]
/** JSON over HTTP is one answer: its elements come together, at the end. */
const streaming = [Server.ndjson, ...sockets]

const each = (
  ways: ReadonlyArray<Server.Way>,
  title: string,
  body: (
    subject: Effect.Effect.Success<ReturnType<typeof start>>,
    way: Server.Way
  ) => Effect.Effect<void, unknown, Scope.Scope>
) => {
  for (const way of ways) {
    it.scopedLive(`${way.name}: ${title}`, () => Effect.flatMap(start(way), (subject) => body(subject, way)))
  }
}

describe("EffectRpc: connections", () => {
  each(all, "a connection that breaks under a call may have run it", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Reset" })
      const error = yield* failure(rpc.Echo({ text: "x" }))
      assert.match(says(error), /^Retryable ConnectionLost Unknown/)
      assert.strictEqual((error as Failed).method, "Texts.Echo")
    }))

  each(
    all,
    "a server that stops tells its callers, and that is worth another attempt",
    ({ received, rpc, server }, way) =>
      Effect.gen(function*() {
        yield* server.script({ _tag: "Stall" })
        const fiber = yield* Effect.fork(failure(rpc.Echo({ text: "x" })))
        yield* received(1)
        yield* Effect.forkScoped(server.stopGracefully)
        assert.match(
          says(yield* Fiber.join(fiber)),
          // the server of WebSockets hangs up first
          way === Server.webSocket ? /^Retryable ConnectionLost Unknown/ : /^Retryable Unavailable Unknown INTERRUPTED$/
        )
      })
  )

  each(
    all,
    "a call whose own fiber is interrupted is interrupted, not failed",
    ({ received, rpc, server }) =>
      Effect.gen(function*() {
        yield* server.script({ _tag: "Stall" })
        const fiber = yield* Effect.fork(Effect.exit(rpc.Echo({ text: "x" })))
        yield* received(1)
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isInterrupted(exit))
        yield* (yield* server.seen)[0]!.cancelled
      })
  )

  for (const way of sockets) {
    it.scopedLive(`${way.name}: nobody listens: not sent, and done once somebody does`, () =>
      Effect.gen(function*() {
        const server = yield* way.server
        yield* server.stop
        const rpc = yield* Server.connect(way.protocol(server.port), EffectRpc.make(Server.Group))
        for (let i = 0; i < 3; i++) {
          assert.match(
            says(yield* failure(rpc.Echo({ text: "x" }))),
            /^Retryable (ConnectionRefused|Unavailable) NotSent/
          )
        }
        const fiber = yield* Effect.fork(rpc.Once({ text: "y" }).pipe(withRpcRetry(quick)))
        yield* Effect.sleep("30 millis")
        yield* server.start
        assert.strictEqual(yield* Fiber.join(fiber), "y")
      }))
  }

  each(
    sockets,
    "while it is down a call fails with how the connection was lost, but was not sent",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* rpc.Echo({ text: "x" }), "x")
        yield* server.stop
        const first = yield* failure(rpc.Once({ text: "x" }))
        assert.instanceOf(first, Retryable)
        // what was not sent may be repeated, though it is not idempotent
        const fiber = yield* Effect.fork(rpc.Once({ text: "y" }).pipe(withRpcRetry(quick)))
        yield* Effect.sleep("60 millis")
        assert.match(says(yield* failure(rpc.Once({ text: "x" }))), /^Retryable \w+ NotSent/)
        yield* server.start
        assert.strictEqual(yield* Fiber.join(fiber), "y")
      })
  )

  it.scopedLive("a call that is parked until there is a connection can be interrupted, and timed out, at once", () =>
    Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const protocol = EffectRpc.layerProtocolSocket({ retryTransientErrors: true }).pipe(
        Layer.provide(Layer.orDie(NodeSocket.layerNet({ port, host: "127.0.0.1" }))),
        Layer.provide(RpcSerialization.layerNdjson)
      )
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      const fiber = yield* Effect.fork(rpc.Echo({ text: "x" }))
      yield* Effect.sleep("20 millis")
      const [interrupted, exit] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isTrue(Exit.isInterrupted(exit))
      // the library waits a second for the connection
      assert.isBelow(Duration.toMillis(interrupted), 500)
      const [timedOut, error] = yield* Effect.timed(
        failure(rpc.Echo({ text: "x" }).pipe(Effect.timeout("20 millis")))
      )
      assert.isTrue(Cause.isTimeoutException(error))
      assert.isBelow(Duration.toMillis(timedOut), 500)
    }))

  it.scopedLive("a write that fails is a lost connection, not a defect", () =>
    Effect.gen(function*() {
      const written: Array<unknown> = []
      const socket = Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId as typeof Socket.TypeId,
        run: () => Effect.never,
        runRaw: (_handler, options) => Effect.zipRight(options?.onOpen ?? Effect.void, Effect.never),
        writer: Effect.succeed((chunk) => {
          written.push(chunk)
          return Effect.fail(new Socket.SocketGenericError({ reason: "Write", cause: new Error("broken pipe") }))
        })
      })
      const protocol = EffectRpc.layerProtocolSocket().pipe(
        Layer.provide(Layer.succeed(Socket.Socket, socket)),
        Layer.provide(RpcSerialization.layerNdjson)
      )
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Retryable ConnectionLost Unknown Write")
      assert.isNotEmpty(written)
    }))

  it.scopedLive("a call made while the connection is dialled again waits for that, and for no dial that is not under way", () =>
    Effect.gen(function*() {
      const written: Array<unknown> = []
      const [lost, dialled, refused] = yield* Effect.all([Effect.makeLatch(), Effect.makeLatch(), Effect.makeLatch()])
      const read = new Socket.SocketGenericError({ reason: "Read", cause: new Error("reset") })
      let dials = 0
      const socket = Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId as typeof Socket.TypeId,
        run: () => Effect.never,
        runRaw: (_handler, { onOpen = Effect.void } = {}) =>
          Effect.suspend(() => {
            dials++
            return dials === 1
              ? Effect.zipRight(onOpen, Effect.zipRight(lost.await, Effect.fail(read)))
              : dials === 2
              ? dialled.await.pipe(
                Effect.zipRight(onOpen),
                Effect.zipRight(refused.await),
                Effect.zipRight(Effect.fail(read))
              )
              : Effect.fail(new Socket.SocketGenericError({ reason: "Open", cause: new Error("refused") }))
          }),
        writer: Effect.succeed((chunk) => Effect.sync(() => void written.push(chunk)))
      })
      const protocol = EffectRpc.layerProtocolSocket({
        retrySchedule: Schedule.recurs(2).pipe(Schedule.andThen(Schedule.spaced("1 hour")))
      }).pipe(
        Layer.provide(Layer.succeed(Socket.Socket, socket)),
        Layer.provide(RpcSerialization.layerNdjson)
      )
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      const first = yield* Effect.fork(failure(rpc.Echo({ text: "first" })))
      yield* eventually(Effect.sync(() => written.length === 1))
      yield* lost.open
      assert.strictEqual(says(yield* Fiber.join(first)), "Retryable ConnectionLost Unknown Read")
      yield* eventually(Effect.sync(() => dials === 2))
      const second = yield* Effect.fork(failure(rpc.Echo({ text: "second" })))
      yield* Effect.sleep("20 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(second)))
      yield* dialled.open
      yield* eventually(Effect.sync(() => written.length === 2))
      yield* refused.open
      assert.strictEqual(says(yield* Fiber.join(second)), "Retryable ConnectionLost Unknown Read")
      yield* eventually(Effect.sync(() => dials === 3))
      yield* Effect.sleep("20 millis")
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "third" }))), "Retryable Unavailable NotSent Open")
      assert.deepStrictEqual([written.length, dials], [2, 3])
    }))

  it.scopedLive("a peer that speaks something else is Fatal", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => {
        socket.on("data", () => socket.write("220 mail.example.org ESMTP\n"))
      })
      const rpc = yield* Server.connect(Server.tcp.protocol(port), EffectRpc.make(Server.Group))
      const error = yield* failure(rpc.Echo({ text: "x" }))
      assert.strictEqual(says(error), "Fatal Protocol")
      assert.instanceOf((error as Fatal).cause, SyntaxError)
    }))

  it.scopedLive("so is one that speaks JSON, but nothing that a server says", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => {
        socket.on("data", () => socket.write("{\"jsonrpc\":\"2.0\"}\n"))
      })
      const rpc = yield* Server.connect(Server.tcp.protocol(port), EffectRpc.make(Server.Group))
      const error = yield* failure(rpc.Echo({ text: "x" }))
      assert.strictEqual(says(error), "Fatal Protocol")
      assert.deepStrictEqual((error as Fatal).cause, { jsonrpc: "2.0" })
    }))

  each(sockets, "the next dial after a lost connection is made at once", ({ rpc, server }) =>
    Effect.gen(function*() {
      for (let i = 0; i < 5; i++) {
        yield* server.script({ _tag: "Reset" })
        assert.strictEqual(yield* rpc.Echo({ text: `${i}` }).pipe(withRpcRetry(quick)), `${i}`)
      }
    }))

  it.effect("dials are spaced by growing delays, which start over: the first one after a while of peace is at once", () =>
    Effect.gen(function*() {
      const driver = yield* Schedule.driver(EffectRpc.redial)
      const next = Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.timed(driver.next(undefined)))
        yield* TestClock.adjust("1 second")
        const [took] = yield* Fiber.join(fiber)
        return Math.round(Duration.toMillis(took))
      })
      const delays = yield* Effect.replicateEffect(next, 12)
      assert.deepStrictEqual(delays, [0, 50, 75, 113, 169, 253, 380, 570, 854, 1000, 0, 50])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* Effect.replicateEffect(next, 3), [0, 50, 75])
    }))
})

describe("EffectRpc: a client that is closed", () => {
  for (const way of [Server.ndjson, Server.tcp]) {
    it.scopedLive(`${way.name}: is Fatal for calls in flight and for later ones, and interrupts nobody`, () =>
      Effect.gen(function*() {
        const server = yield* way.server
        const context = yield* Layer.build(way.protocol(server.port))
        const scope = yield* Scope.make()
        const rpc = yield* EffectRpc.make(Server.Group).pipe(Effect.provide(context), Scope.extend(scope))
        yield* server.script({ _tag: "Stall" })
        const fiber = yield* Effect.fork(failure(rpc.Echo({ text: "x" })))
        yield* eventually(Effect.map(server.seen, ({ length }) => length === 1))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(says(yield* Fiber.join(fiber)), "Fatal Cancelled")
        assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Cancelled")
        assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.Words({ text: "x" })))), "Fatal Cancelled")
      }))
  }

  it.scopedLive("so is a client that was made elsewhere, for later calls", () =>
    Effect.gen(function*() {
      const server = yield* Server.tcp.server
      const context = yield* Layer.build(Server.tcp.protocol(server.port))
      const scope = yield* Scope.make()
      const original = yield* RpcClient.make(Server.Group).pipe(Effect.provide(context), Scope.extend(scope))
      const rpc = EffectRpc.client(original, Server.Group)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Cancelled")
    }))
})

/** An answer to the request as the server of the library would give it. */
const exit = (exit: unknown): HttpServer.Step =>
  HttpServer.json((request: { readonly id: string }) => [{ _tag: "Exit", requestId: request.id, exit }])

/** What a client can be made of: this adapter's, and the library's own. */
const clients = {
  "make, layerProtocolHttp": (url: string, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
    Server.connect(
      EffectRpc.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization)),
      EffectRpc.make(Server.Group, { service: "Texts" })
    ),
  "client, layerProtocolHttp": (url: string, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
    Server.connect(
      EffectRpc.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization)),
      Effect.map(RpcClient.make(Server.Group), (client) => EffectRpc.client(client, Server.Group, { service: "Texts" }))
    ),
  "make, the library's layer": (url: string, serialization: Layer.Layer<RpcSerialization.RpcSerialization>) =>
    Server.connect(
      RpcClient.layerProtocolHttp({ url }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(serialization)),
      EffectRpc.make(Server.Group, { service: "Texts" })
    )
}

const { layerJson, layerNdjson } = RpcSerialization

type Row = readonly [title: string, step: HttpServer.Step, expected: string]

const rows = (
  of: keyof typeof clients,
  serialization: Layer.Layer<RpcSerialization.RpcSerialization>,
  table: ReadonlyArray<Row>
) => {
  for (const [title, step, expected] of table) {
    it.scopedLive(`${of}, ${serialization === layerJson ? "JSON" : "NDJSON"}: ${title}: ${expected}`, () =>
      Effect.gen(function*() {
        const server = yield* HttpServer.make
        const rpc = yield* clients[of](server.url, serialization)
        server.script(step)
        const error = yield* failure(rpc.Echo({ text: "x" }))
        assert.strictEqual(says(error), expected)
        assert.strictEqual((error as Failed).method, "Texts.Echo")
        assert.strictEqual(server.seen.length, 1)
      }))
  }
}

const html = (status: number, headers = {}) =>
  HttpServer.respond(status, "<html>\n<h1>Sorry</h1>\n</html>\n", { "content-type": "text/html", ...headers })

const object = (status: number) => HttpServer.json({ error: "sorry" }, status)

describe("EffectRpc: what HTTP says", () => {
  for (const  of of["make, layerProtocolHttp", "client, layerProtocolHttp"] as const) {
    for (const serialization of [layerJson, layerNdjson]) {
      rows(of, serialization, [
        ["503 with a page of HTML", html(503), "Retryable Unavailable Unknown 503"],
        ["503 with a JSON object", object(503), "Retryable Unavailable Unknown 503"],
        ["503 without a body", HttpServer.respond(503), "Retryable Unavailable Unknown 503"],
        ["502", html(502), "Retryable Unavailable Unknown 502"],
        ["429", object(429), "Retryable Throttled NotSent 429"],
        ["401", object(401), "Fatal Unauthenticated 401"],
        ["404 with a page of HTML", html(404), "Fatal NotFound 404"],
        ["500", object(500), "Fatal ServerError 500"],
        ["200 without a body", HttpServer.respond(200), serialization === layerJson ? "Fatal Protocol" : unanswered],
        [
          "200 with no answer in it",
          HttpServer.respond(200, serialization === layerJson ? "[]" : "\n"),
          serialization === layerJson ? unanswered : "Fatal Protocol"
        ],
        [
          "200 with another call's answer",
          serialization === layerJson
            ? HttpServer.json([{ _tag: "Exit", requestId: "999999999", exit: { _tag: "Success", value: "x" } }])
            : HttpServer.respond(
              200,
              "{\"_tag\":\"Exit\",\"requestId\":\"999999999\",\"exit\":{\"_tag\":\"Success\",\"value\":\"x\"}}\n"
            ),
          unanswered
        ],
        ["200 with a page of HTML", html(200), "Fatal Protocol"],
        [
          "the connection closed without a response",
          HttpServer.close,
          "Retryable ConnectionLost Unknown UND_ERR_SOCKET"
        ]
      ])
    }
    rows(of, layerJson, [["200 with a JSON object", object(200), "Fatal Protocol"]])
    rows(of, layerNdjson, [["200 with a JSON object", HttpServer.respond(200, "{\"error\":\"sorry\"}\n"), unanswered]])
    rows(of, layerNdjson, [[
      "a body that was cut",
      HttpServer.cut(true),
      "Retryable ConnectionLost Unknown UND_ERR_SOCKET"
    ]])
  }

  rows("make, the library's layer", layerJson, [
    ["503 with a page of HTML", html(503), "Retryable Unavailable Unknown 503"],
    ["503 with a JSON object", object(503), "Retryable Unavailable Unknown"],
    ["200 with no answer in it", HttpServer.respond(200, "[]"), unanswered]
  ])
  rows("make, the library's layer", layerNdjson, [
    ["503 with a page of HTML", html(503), "Retryable Unavailable Unknown"],
    ["503 with a JSON object", object(503), unanswered],
    ["200 without a body", HttpServer.respond(200), unanswered]
  ])

  it.scopedLive("Retry-After is the server's hint, in seconds or as a date", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerJson)
      const hint = (value: string, status = 503) =>
        Effect.suspend(() => {
          server.script(html(status, { "retry-after": value }))
          return Effect.map(failure(rpc.Echo({ text: "x" })), (error) => (error as Retryable).retryAfter)
        })
      assert.deepStrictEqual(yield* hint("2"), Duration.seconds(2))
      assert.deepStrictEqual(yield* hint("3", 429), Duration.seconds(3))
      assert.strictEqual(yield* hint("soon"), "Never")
      const inAMinute = yield* hint(new Date(Date.now() + 60_000).toUTCString())
      assert.closeTo(Duration.toMillis(inAMinute as Duration.Duration), 60_000, 10_000)
    }))

  it.scopedLive("the library's layer reads it too, where the body is not JSON", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, the library's layer"](server.url, layerJson)
      server.script(html(503, { "retry-after": "2" }))
      assert.deepStrictEqual(
        (yield* failure(rpc.Echo({ text: "x" })) as never as Effect.Effect<Retryable>).retryAfter,
        Duration.seconds(2)
      )
    }))

  it.scopedLive("a 503 is retried, on the connection that it came on", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerJson)
      server.script(html(503), object(503), exit({ _tag: "Success", value: "x" }))
      assert.strictEqual(yield* rpc.Echo({ text: "x" }).pipe(withRpcRetry(quick)), "x")
      assert.strictEqual(server.accepted(), 1)
      // a request id is the attempt's own
      assert.strictEqual(new Set(server.requests().map(({ id }) => id)).size, 3)
    }))

  it.scopedLive("the body of a 503 is read, so that its connection is free again", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const protocol = EffectRpc.layerProtocolHttp({ url: server.url }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(layerJson)
      )
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      for (let i = 0; i < 10; i++) {
        server.script(HttpServer.respond(503, "x".repeat(50_000)))
        yield* failure(rpc.Echo({ text: "x" }))
      }
      assert.isBelow(server.accepted(), 5)
    }))

  it.scopedLive("nobody listens: not sent", () =>
    Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const rpc = yield* clients["make, layerProtocolHttp"](`http://127.0.0.1:${port}`, layerJson)
      assert.strictEqual(
        says(yield* failure(rpc.Echo({ text: "x" }))),
        "Retryable ConnectionRefused NotSent ECONNREFUSED"
      )
    }))

  it.scopedLive("the client of HTTP can be transformed", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const protocol = EffectRpc.layerProtocolHttp({
        url: server.url,
        transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-tenant", "acme"))
      }).pipe(Layer.provide(HttpPool.layer()), Layer.provide(layerJson))
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      server.script(exit({ _tag: "Success", value: "x" }))
      assert.strictEqual(yield* rpc.Echo({ text: "x" }), "x")
      assert.strictEqual(server.seen[0]!.headers["x-tenant"], "acme")
    }))
})

const unanswered = "Retryable Unavailable Unknown"

describe("EffectRpc: what is encoded and decoded", () => {
  each(
    [Server.json, Server.tcp],
    "a payload that does not fit its schema is Fatal, and nothing is sent",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        const text = "x".repeat(101)
        assert.strictEqual(says(yield* failure(rpc.Echo({ text }))), "Fatal InvalidArgument")
        assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.Words({ text })))), "Fatal InvalidArgument")
        assert.strictEqual(says(yield* failure(rpc.Raw({ value: 1n }))), "Fatal InvalidArgument")
        assert.deepStrictEqual(yield* server.seen, [])
      })
  )

  it.scopedLive("an answer that does not fit is Fatal Protocol", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerJson)
      server.script(exit({ _tag: "Success", value: 1 }))
      const error = yield* failure(rpc.Echo({ text: "x" }))
      assert.strictEqual(says(error), "Fatal Protocol")
      assert.strictEqual((error as Fatal).message, "the answer does not fit the schema of the rpc")
      // also where it does not look like one
      server.script(exit("x"))
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Protocol")
    }))

  it.scopedLive("also where nobody saw the request leave", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const protocol = RpcClient.layerProtocolHttp({ url: server.url }).pipe(
        Layer.provide(HttpPool.layer()),
        Layer.provide(layerJson)
      )
      const original = yield* Server.connect(protocol, RpcClient.make(Server.Group))
      const rpc = EffectRpc.client(original, Server.Group)
      server.script(exit({ _tag: "Success", value: 1 }))
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Protocol")
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x".repeat(101) }))), "Fatal InvalidArgument")
      server.script(object(503))
      assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Retryable Unavailable Unknown")
      server.script(
        HttpServer.json(({ id }: { readonly id: string }) => [{ _tag: "Chunk", requestId: id, values: [1] }])
      )
      assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.Words({ text: "x" })))), "Fatal Protocol")
    }))
})

describe("EffectRpc: an answer that is too large", () => {
  const serialization = Layer.succeed(
    RpcSerialization.RpcSerialization,
    RpcSerialization.makeNdjson({ maxBufferSize: 100 })
  )
  for (const  of of["make, layerProtocolHttp", "make, the library's layer"] as const) {
    rows(of, serialization, [[
      "more than the serialization takes",
      HttpServer.respond(200, "x".repeat(101)),
      "Fatal Protocol"
    ]])
  }
})

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
      yield* server.script(
        { _tag: "Run", run: Effect.as(Effect.sleep("100 millis"), "well") },
        { _tag: "Run", run: Effect.die("a bug") }
      )
      const other = yield* Effect.fork(rpc.Echo({ text: "x" }))
      yield* received(1)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(rpc.Echo({ text: "y" }))))
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
    "a server that has no such rpc is Fatal, for who called it",
    ({ received, rpc, server }, way) =>
      Effect.gen(function*() {
        const Newer = Server.Group.add(Rpc.make("Later", { success: Schema.Void }))
        const newer = yield* Server.connect(way.protocol(server.port), EffectRpc.make(Newer))
        yield* server.script({ _tag: "Run", run: Effect.as(Effect.sleep("50 millis"), "well") })
        const other = yield* Effect.fork(newer.Echo({ text: "x" }).pipe(withRpcRetry(quick)))
        yield* received(1)
        assert.strictEqual(says(yield* failure(newer.Later())), "Fatal Unimplemented")
        // over a socket the other call does not get its answer, and is made again
        assert.strictEqual(yield* Fiber.join(other), https.includes(way) ? "well" : "x")
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

describe("EffectRpc: streams", () => {
  const words = "one two three four five"

  each(all, "elements come as they are", ({ rpc }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(rpc.Words({ text: words }))), words.split(" "))
      assert.deepStrictEqual(
        Chunk.toArray(yield* Stream.runCollect(rpc.users.list({ text: words }))),
        words.split(" ")
      )
    }))

  each(all, "a stream that breaks fails as a call does", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Reset" })
      const error = yield* failure(Stream.runDrain(rpc.Words({ text: words })))
      assert.match(says(error), /^Retryable ConnectionLost Unknown/)
      assert.strictEqual((error as Failed).method, "Texts.Words")
    }))

  each(all, "a domain error of a stream is not touched", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Domain" })
      assert.instanceOf(yield* failure(Stream.runDrain(rpc.Words({ text: words }))), Server.Gone)
    }))

  each(all, "it is retried until its first element", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Reset" }, { _tag: "Retryable" })
      const stream = rpc.Words({ text: words }).pipe(
        EffectRpc.untilFirst({ method: "Texts.Words" }),
        withRpcRetry(quick),
        Stream.unwrapScoped
      )
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(stream)), words.split(" "))
      const attempts = (yield* server.seen).map(({ previousAttempts }) => previousAttempts)
      assert.deepStrictEqual(attempts.slice(0, 2), [0, 1])
      assert.isAbove(attempts.at(-1)!, 1)
    }))

  each(streaming, "not after it", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Words", words: ["one"], after: { _tag: "Reset" } })
      const seen: Array<string> = []
      const error = yield* rpc.Words({ text: words }).pipe(
        EffectRpc.untilFirst({ method: "Texts.Words" }),
        withRpcRetry(quick),
        Stream.unwrapScoped,
        Stream.runForEach((word) => Effect.sync(() => seen.push(word))),
        Effect.flip
      )
      assert.match(says(error), /^Retryable ConnectionLost Unknown/)
      assert.deepStrictEqual(seen, ["one"])
      assert.strictEqual((yield* server.seen).length, 1)
    }))

  each(
    all,
    "an attempt that brings no first element in time is given up at the server too",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        yield* server.script({ _tag: "Stall" })
        const stream = rpc.Words({ text: words }).pipe(
          EffectRpc.untilFirst({ method: "Texts.Words" }),
          withRpcRetry({ ...quick, attemptTimeout: "200 millis" })
        )
        const elements = yield* stream
        // while the scope that the stream lives in is open
        yield* (yield* server.seen)[0]!.cancelled
        assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(elements)), words.split(" "))
      })
  )

  each(streaming, "one that is given up later is given up at the server", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Words", words: ["one"], after: { _tag: "Stall" } })
      const first = yield* rpc.Words({ text: words }).pipe(
        EffectRpc.untilFirst({ method: "Texts.Words" }),
        withRpcRetry(quick),
        Stream.unwrapScoped,
        Stream.take(1),
        Stream.runCollect
      )
      assert.deepStrictEqual(Chunk.toArray(first), ["one"])
      yield* (yield* server.seen)[0]!.cancelled
    }))

  it.scopedLive("a stream without elements is one", () =>
    Effect.gen(function*() {
      const stream = EffectRpc.untilFirst(Stream.empty, { method: "A.B", idempotent: true })
      assert.isTrue(RpcCall.isRpcCall(stream))
      assert.deepStrictEqual([stream.method, stream.idempotent], ["A.B", true])
      assert.isTrue(Chunk.isEmpty(yield* Stream.runCollect(yield* stream)))
    }))

  it.scopedLive("HTTP, NDJSON: one whose response ends before it does is not whole", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* clients["make, layerProtocolHttp"](server.url, layerNdjson)
      server.script((response, seen) => {
        const { id } = JSON.parse(seen.text) as { readonly id: string }
        response.end(`${JSON.stringify({ _tag: "Chunk", requestId: id, values: ["one"] })}\n`)
      })
      const words: Array<string> = []
      const error = yield* rpc.Words({ text: "x" }).pipe(
        Stream.runForEach((word) => Effect.sync(() => words.push(word))),
        Effect.flip
      )
      assert.strictEqual(says(error), unanswered)
      assert.deepStrictEqual(words, ["one"])
    }))

  each(streaming, "as a mailbox, with the same errors", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Words", words: ["one"], after: { _tag: "Reset" } })
      const call = rpc.Words({ text: words }, { asMailbox: true, streamBufferSize: 1 })
      assert.strictEqual(call.method, "Texts.Words")
      const mailbox = yield* call
      assert.strictEqual(yield* mailbox.take, "one")
      yield* rpc.Words({ text: words }, { asMailbox: true, streamBufferSize: 1 }).pipe(
        Effect.flatMap((mailbox) => Effect.zipRight(Effect.sleep("20 millis"), mailbox.size)),
        Effect.map((size) => assert.isAtMost(Option.getOrThrow(size), 1))
      )
      assert.match(says(yield* failure(mailbox.take)), /^Retryable ConnectionLost Unknown/)
    }))
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
        "what is this",
        undefined
      ].map((cause) => Option.getOrNull(classified(cause))),
      [
        "Retryable Unavailable NotSent Open",
        "Retryable ConnectionLost Unknown Read",
        "Retryable ConnectionLost Unknown Write",
        "Retryable ConnectionLost Unknown Close",
        "Retryable Custom NotSent",
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
