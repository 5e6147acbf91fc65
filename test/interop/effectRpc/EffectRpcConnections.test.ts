/**
 * How connections that are opened, break and end are told.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Socket from "@effect/platform/Socket"
import * as RpcClient from "@effect/rpc/RpcClient"
import type { RequestId } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { type Fatal, Retryable, RetryExhausted, withRpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tls from "node:tls"
import * as Cases from "../../support/effectRpcCases.js"
import { all, each, type Failed, failure, quick, says, socket, sockets } from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import { eventually, settle } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const turns = (count: number) => Effect.repeatN(Effect.yieldNow(), count)

/** Starts a call that is retried until it succeeds, and waits until it has failed twice. */
const failedTwice = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let failed = 0
    const attempt = Effect.tapError(call, () => Effect.sync(() => failed++))
    const fiber = yield* Effect.fork(attempt.pipe(withRpcRetry({ schedule: Schedule.spaced("20 millis") })))
    yield* eventually(() => failed >= 2)
    return fiber
  })

/** What only who asks for it sees. */
const hidden = (error: unknown) => Redacted.value((error as Fatal).cause as Redacted.Redacted<unknown>)

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
        const fiber = yield* failedTwice(rpc.Once({ text: "y" }))
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
        const fiber = yield* failedTwice(rpc.Once({ text: "y" }))
        assert.match(says(yield* failure(rpc.Once({ text: "x" }))), /^Retryable \w+ NotSent/)
        yield* server.start
        assert.strictEqual(yield* Fiber.join(fiber), "y")
      })
  )

  each(
    all,
    "the loser of a race, interrupted as another call's answer comes, harms no other",
    ({ rpc }) =>
      Effect.gen(function*() {
        for (let later = 0; later < 6; later++) {
          const winner = Effect.zipLeft(rpc.Echo({ text: "winner" }), turns(later))
          const race = Effect.raceFirst(winner, Effect.zipRight(turns(later), rpc.Echo({ text: "loser" })))
          const texts = ["a", "b", "c", "d"]
          const [, ...answers] = yield* Effect.all([race, ...texts.map((text) => rpc.Echo({ text }))], {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(answers, texts)
        }
      })
  )

  it.scopedLive("a call that is parked until there is a connection can be interrupted, and timed out, at once", () =>
    Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const protocol = EffectRpc.layerProtocolSocket({
        retryTransientErrors: true,
        retrySchedule: Schedule.spaced("1 hour")
      }).pipe(
        Layer.provide(Layer.orDie(NodeSocket.layerNet({ port, host: "127.0.0.1" }))),
        Layer.provide(RpcSerialization.layerNdjson)
      )
      const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group))
      const fiber = yield* Effect.fork(rpc.Echo({ text: "x" }))
      yield* settle()
      // there is no connection before an hour is over
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      const error = yield* failure(rpc.Echo({ text: "x" }).pipe(Effect.timeout("20 millis")))
      assert.isTrue(Cause.isTimeoutException(error))
    }))

  it.scopedLive("a call that is cut while it waits for a connection was not sent: what must not run twice is retried", () =>
    Effect.gen(function*() {
      const silent = yield* Peer.listen((socket) => socket.resume())
      const refused = yield* HttpServer.refusedPort
      const tls = (port: number) =>
        NodeSocket.fromDuplex(
          Effect.acquireRelease(
            Effect.sync(() => Tls.connect({ port, host: "127.0.0.1" }).on("error", () => {})),
            (connection) => Effect.sync(() => connection.destroy())
          ).pipe(Effect.tap((connection) =>
            Effect.async<void>((resume) => {
              connection.once("secureConnect", () => resume(Effect.void))
            })
          ))
        )
      const parked = { retryTransientErrors: true, retrySchedule: Schedule.spaced("1 hour") }
      const ways = [
        [{}, Layer.effect(Socket.Socket, tls(silent.port))],
        [parked, Layer.orDie(NodeSocket.layerNet({ port: refused, host: "127.0.0.1" }))],
        [{}, NodeSocket.layerWebSocket(`ws://127.0.0.1:${silent.port}`)]
      ] as const
      for (const [options, over] of ways) {
        const protocol = EffectRpc.layerProtocolSocket(options).pipe(
          Layer.provide(over),
          Layer.provide(RpcSerialization.layerNdjson)
        )
        const rpc = yield* Server.connect(protocol, EffectRpc.make(Server.Group, { idempotent: { Echo: false } }))
        const calls = [
          rpc.Echo({ text: "x" }),
          Effect.asVoid(EffectRpc.untilFirst(rpc.Words({ text: "x" }), {
            method: "Rpc.Words",
            idempotent: false
          }))
        ]
        for (const call of calls) {
          const error = yield* failure(Effect.scoped(withRpcRetry(call, { ...quick, attemptTimeout: "30 millis" })))
          assert.instanceOf(error, RetryExhausted)
          const { attempts, last, reason } = error as RetryExhausted
          assert.deepStrictEqual([reason, attempts, last.delivery], ["AttemptsExhausted", 7, "NotSent"])
        }
      }
    }))

  each(
    sockets,
    "a call that is cut when the server has it may have run",
    ({ received, rpc, server }) =>
      Effect.gen(function*() {
        yield* rpc.Echo({ text: "warm" })
        yield* server.script({ _tag: "Stall" })
        const call = rpc.Echo({ text: "x" }).pipe(
          withRpcRetry({ ...quick, attemptTimeout: "1 second", idempotent: false })
        )
        const error = yield* failure(call)
        assert.deepStrictEqual(
          error instanceof RetryExhausted && [error.reason, error.last.delivery],
          ["NotIdempotent", "Unknown"]
        )
        yield* received(2)
      })
  )

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
      yield* settle()
      assert.isTrue(Option.isNone(yield* Fiber.poll(second)))
      yield* dialled.open
      yield* eventually(Effect.sync(() => written.length === 2))
      yield* refused.open
      assert.strictEqual(says(yield* Fiber.join(second)), "Retryable ConnectionLost Unknown Read")
      yield* eventually(Effect.sync(() => dials === 3))
      yield* turns(20)
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
      assert.instanceOf(hidden(error), SyntaxError)
    }))

  it.scopedLive("a peer that speaks JSON, but nothing that a server says, is Fatal", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => {
        socket.on("data", () => socket.write("{\"jsonrpc\":\"2.0\"}\n"))
      })
      const rpc = yield* Server.connect(Server.tcp.protocol(port), EffectRpc.make(Server.Group))
      const error = yield* failure(rpc.Echo({ text: "x" }))
      assert.strictEqual(says(error), "Fatal Protocol")
      assert.deepStrictEqual(hidden(error), { jsonrpc: "2.0" })
    }))

  each(sockets, "the next dial after a lost connection is made at once", ({ rpc, server }) =>
    Effect.gen(function*() {
      for (let i = 0; i < 5; i++) {
        yield* server.script({ _tag: "Reset" })
        assert.strictEqual(yield* rpc.Echo({ text: `${i}` }).pipe(withRpcRetry(quick)), `${i}`)
      }
    }))

  it.effect("dials are spaced by growing delays, the first one is at once", () =>
    Effect.gen(function*() {
      const driver = yield* Schedule.driver(EffectRpc.redial)
      const next = Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.timed(driver.next(undefined)))
        yield* TestClock.adjust("1 second")
        const [took] = yield* Fiber.join(fiber)
        return Duration.toMillis(took)
      })
      const delays = yield* Effect.replicateEffect(next, 12)
      const expected = [0, 50, 75, 112.5, 168.75, 253.1, 379.7, 569.5, 854.3, 1000, 1000, 1000]
      delays.forEach((delay, i) => assert.approximately(delay, expected[i]!, 0.1))
    }))

  const lost = Effect.fail(new Socket.SocketGenericError({ reason: "Read", cause: new Error("reset") }))

  type Say = (data: string) => Effect.Effect<void, Socket.SocketError>

  /**
   * How often it is dialled while no time passes.
   *
   * - `connection`: what becomes of each. `asked` makes a call, whose request has the number 7.
   */
  const dialsAtOnce = (
    connection: (say: Say, asked: Effect.Effect<void>) => Effect.Effect<void, Socket.SocketError>,
    options?: Parameters<typeof EffectRpc.layerProtocolSocket>[0]
  ) =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const ready = yield* Deferred.make<Effect.Effect<unknown, unknown>>()
      const asked = Deferred.await(ready).pipe(
        Effect.flatMap((call) => Effect.forkIn(Effect.exit(call), scope)),
        Effect.zipRight(turns(20))
      )
      let dials = 0
      const many = socket((onOpen, say) =>
        Effect.suspend(() => {
          dials++
          return dials === 9 ? Effect.never : Effect.zipRight(onOpen, connection(say, asked))
        })
      )
      const protocol = EffectRpc.layerProtocolSocket(options).pipe(
        Layer.provide(many),
        Layer.provide(RpcSerialization.layerNdjson)
      )
      const rpc = yield* Server.connect(
        protocol,
        EffectRpc.make(Server.Group, { generateRequestId: () => 7n as RequestId })
      )
      yield* Deferred.succeed(ready, rpc.Echo({ text: "x" }))
      yield* turns(2000)
      return dials
    })

  /** A connection that says this to a request, and breaks. */
  const saying = (text: string) => (say: Say, asked: Effect.Effect<void>) =>
    asked.pipe(Effect.zipRight(say(text)), Effect.zipRight(lost))

  const answerTo = (id: number) =>
    Cases.line({ _tag: "Exit", requestId: String(id), exit: { _tag: "Success", value: "fine" } })

  it.scoped("a connection that served is dialled again at once, however often it ends", () =>
    Effect.gen(function*() {
      const served = saying(answerTo(7))
      assert.strictEqual(yield* dialsAtOnce(served), 9)
      const retrySchedule = Schedule.spaced("1 hour").pipe(Schedule.delayed(() => "1 hour"))
      assert.strictEqual(yield* dialsAtOnce(served, { retrySchedule }), 1)
    }))

  it.scoped("a peer that says something, but no answer, and hangs up is not dialled again and again", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* dialsAtOnce(saying(answerTo(8))), 2)
      assert.strictEqual(yield* dialsAtOnce(saying(Cases.line({ _tag: "Pong" }))), 2)
      assert.strictEqual(yield* dialsAtOnce(saying(Cases.line({ _tag: "Hello" }))), 2)
    }))

  it.scoped("a connection that brought nothing, or no message, is not dialled again at once", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* dialsAtOnce(() => lost), 2)
      assert.strictEqual(yield* dialsAtOnce((message) => message("220 mail.example.org ESMTP\n")), 2)
    }))

  it.scoped("a schedule that is not given is ours", () =>
    Effect.map(dialsAtOnce(() => lost, { retrySchedule: undefined }), (dials) => assert.strictEqual(dials, 2)))
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

  it.scopedLive("a client that was made elsewhere is Fatal for later calls", () =>
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
