/**
 * `Grpc` and requests that no server has processed: refused by one that is about to end, or never written.
 */
import * as grpc from "@grpc/grpc-js"
import { Deadline, Retryable, RetryExhausted, RetryPolicy, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { eventually } from "../../support/eventually.js"
import { client, Echo } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import * as GrpcServer from "../../support/grpcServer.js"
import * as GrpcTls from "../../support/grpcTls.js"
import * as JumpingClock from "../../support/jumpingClock.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const hi = { value: "hi" }

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(1))

const raw = Effect.gen(function*() {
  const server = yield* Raw.make
  return { server, client: yield* client(server.address, Grpc.channelOptions) }
})

describe("Grpc: a stream that was refused", () => {
  it.scopedLive("is repeated at once, in the same attempt, also where the method must not run twice", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw
      yield* server.script(Raw.rst(7))
      const echo = Grpc.unary(client, "echo", { idempotent: false })
      assert.deepStrictEqual(yield* echo(hi).pipe(withRpcRetry(RetryPolicy.none)), { value: "raw" })
      const seen = yield* server.seen
      assert.deepStrictEqual(seen.map((headers) => headers["grpc-previous-rpc-attempts"]), [undefined, undefined])
    }))

  it.scopedLive("and is refused again is a failed attempt, not sent", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw
      yield* server.script(Raw.rst(7), Raw.rst(7), Raw.rst(7))
      const echo = Grpc.unary(client, "echo", { idempotent: false })
      const error = yield* Effect.flip(echo(hi))
      assert.instanceOf(error, Retryable)
      assert.deepStrictEqual([error.delivery, error.code], ["NotSent", "REFUSED_STREAM"])
      assert.strictEqual((yield* server.seen).length, 2)
    }))

  it.scopedLive("of a method that streams its answer, too", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw
      yield* server.script(Raw.rst(7))
      const list = Grpc.serverStream(client, "list", { idempotent: false })
      const all = yield* list(hi).pipe(withRpcRetry(RetryPolicy.none), Effect.flatMap(Stream.runCollect))
      assert.deepStrictEqual(Array.from(all), [{ value: "raw" }])
      assert.strictEqual((yield* server.seen).length, 2)
    }))
})

describe("Grpc: a server of grpc-js that is replaced", () => {
  it.scopedLive("a stream of calls loses none, and none is counted as a retry", () =>
    Effect.gen(function*() {
      const server = yield* GrpcServer.make
      const echo = Grpc.unary(yield* client(server.address, Grpc.channelOptions), "echo", { idempotent: false })
      let calls = 0
      let isOver = false
      const caller = Effect.suspend(() => echo({ value: String(calls++) })).pipe(
        withRpcRetry(RetryPolicy.none),
        Effect.repeat({ until: () => isOver })
      )
      const rotations = Effect.forEach(Array.from({ length: 15 }), () => {
        const before = calls
        return Effect.zipRight(eventually(Effect.sync(() => calls > before + 40)), server.rotate)
      }).pipe(Effect.ensuring(Effect.sync(() => {
        isOver = true
      })))
      const callers = Array.from({ length: 20 }, () => caller)
      yield* Effect.all([rotations, ...callers], { concurrency: "unbounded" })
      const seen = yield* server.seen
      assert.strictEqual(seen.length, calls)
      assert.deepStrictEqual(seen.filter(({ previousAttempts }) => previousAttempts > 0), [])
    }))
})

describe("Grpc: an attempt that is cut", () => {
  /** Takes connections, and says nothing on them. */
  const silent = Effect.map(Peer.listen((socket) => socket.resume()), ({ port }) => `127.0.0.1:${port}`)

  it.scopedLive("while there is no connection was not sent: what must not run twice is retried", () =>
    Effect.gen(function*() {
      const address = yield* silent
      for (const options of [Grpc.channelOptions, {}]) {
        const opened = yield* client(address, options)
        const calls = [
          Effect.asVoid(Grpc.unary(opened, "echo", { idempotent: false })(hi)),
          Effect.asVoid(Grpc.serverStream(opened, "list", { idempotent: false })(hi))
        ]
        for (const call of calls) {
          const error = yield* Effect.flip(withRpcRetry(call, { schedule, attemptTimeout: "50 millis" }))
          assert.instanceOf(error, RetryExhausted)
          assert.deepStrictEqual(
            [error.reason, error.attempts, error.last.reason, error.last.delivery],
            ["AttemptsExhausted", 2, "AttemptTimeout", "NotSent"]
          )
        }
      }
    }))

  it.scopedLive("while a TLS handshake is not answered was not sent", () =>
    Effect.gen(function*() {
      const address = yield* silent
      const opened = new Echo(address, grpc.credentials.createSsl(), Grpc.channelOptions)
      yield* Effect.addFinalizer(() => Effect.sync(() => opened.close()))
      const echo = Grpc.unary(opened, "echo", { idempotent: false })
      const error = yield* Effect.flip(withRpcRetry(echo(hi), { schedule, attemptTimeout: "50 millis" }))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.attempts, error.last.delivery], [2, "NotSent"])
    }))

  it.scopedLive("while its own credentials are fetched was not sent", () =>
    Effect.gen(function*() {
      const server = yield* GrpcServer.make
      const never = grpc.credentials.createFromMetadataGenerator(() => {})
      const echo = Grpc.unary(yield* client(server.address, Grpc.channelOptions), "echo", {
        idempotent: false,
        callOptions: { credentials: never }
      })
      const error = yield* Effect.flip(withRpcRetry(echo(hi), { schedule, attemptTimeout: "200 millis" }))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.attempts, error.last.delivery], [2, "NotSent"])
      assert.deepStrictEqual(yield* server.seen, [])
    }))

  it.scopedLive("while credentials of its channel are fetched was not sent", () =>
    Effect.gen(function*() {
      const server = yield* GrpcTls.make
      let asked = 0
      const slow = grpc.credentials.createFromMetadataGenerator((_, callback) => {
        asked++
        if (asked > 2) {
          callback(null, new grpc.Metadata())
        }
      })
      const channel = grpc.credentials.combineChannelCredentials(
        grpc.credentials.createSsl(GrpcTls.certificate),
        slow
      )
      const opened = yield* GrpcTls.client(server.address, channel, {
        "grpc.ssl_target_name_override": "other.example",
        ...Grpc.channelOptions
      })
      const own = grpc.credentials.createFromMetadataGenerator((_, callback) => callback(null, new grpc.Metadata()))
      for (const callOptions of [{}, { credentials: own }]) {
        asked = 0
        const echo = Grpc.unary(opened, "echo", { idempotent: false, callOptions })
        const error = yield* Effect.flip(withRpcRetry(echo(hi), { schedule, attemptTimeout: "500 millis" }))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.attempts, error.last.delivery], [2, "NotSent"])
        assert.strictEqual(asked, 2)
        assert.deepStrictEqual(yield* echo(hi), hi)
      }
    }))

  it.scopedLive("when the server has the request may have run: once", () =>
    Effect.gen(function*() {
      const server = yield* GrpcServer.make
      const opened = yield* client(server.address, Grpc.channelOptions)
      yield* Grpc.unary(opened, "echo")(hi)
      const calls = [
        Effect.asVoid(Grpc.unary(opened, "echo")(hi)),
        Effect.asVoid(Grpc.serverStream(opened, "list")(hi))
      ]
      for (const call of calls) {
        yield* server.script(GrpcServer.stall)
        const before = (yield* server.seen).length
        const error = yield* Effect.flip(
          withRpcRetry(call, { schedule, idempotent: false, attemptTimeout: "1 second" })
        )
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.delivery], ["NotIdempotent", "Unknown"])
        assert.strictEqual((yield* server.seen).length, before + 1)
      }
    }))
})

describe("Grpc: the clock of the wall is set while a call runs", () => {
  for (const [how, millis] of [["back", -3_600_000], ["forward", 3_600_000]] as const) {
    it.scopedLive(`${how}: the deadline passes when its time is over, and is no answer of the server`, () =>
      Effect.gen(function*() {
        const server = yield* GrpcServer.make
        const echo = Grpc.unary(yield* client(server.address, Grpc.channelOptions), "echo")
        const wall = yield* JumpingClock.make
        yield* server.script(GrpcServer.stall)
        const error = yield* wall.jump(millis).pipe(
          Effect.zipRight(echo(hi)),
          Deadline.within("2 seconds"),
          Effect.flip,
          Effect.timeout("1 minute"),
          Effect.withClock(wall.clock)
        )
        assert.instanceOf(error, Retryable)
        assert.deepStrictEqual([error.reason, error.code], ["AttemptTimeout", "DEADLINE_EXCEEDED"])
        const [seen] = yield* server.seen
        assert.isTrue(seen!.remaining! > 0 && seen!.remaining! <= 2000, String(seen!.remaining))
      }))
  }

  it.scopedLive("the server is told the time that remains", () =>
    Effect.gen(function*() {
      const server = yield* GrpcServer.make
      const echo = Grpc.unary(yield* client(server.address, Grpc.channelOptions), "echo")
      const wall = yield* JumpingClock.make
      yield* server.script(GrpcServer.status("UNAVAILABLE"))
      yield* echo(hi).pipe(
        Effect.tapError(() => wall.jump(-3_600_000)),
        withRpcRetry({ schedule, deadline: "20 seconds" }),
        Effect.withClock(wall.clock)
      )
      const remaining = (yield* server.seen).map(({ remaining }) => remaining!)
      assert.strictEqual(remaining.length, 2)
      remaining.forEach((millis) => assert.isTrue(millis > 0 && millis <= 20_000, String(millis)))
    }))
})
