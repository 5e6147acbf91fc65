/**
 * The dials of `Thrift` over real sockets: when they are made, and what the calls that wait for them are told. The delays are on
 * virtual time, the sockets are not.
 */
import { Retryable, RetrySchedule, RpcError, withRpcRetry } from "effect-rpc-retry"
import type * as Connection from "effect-rpc-retry/Connection"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { ConnectionOptions } from "node:tls"
import { exhausted, isRefused, outcomesOf, play, timesOf } from "../../support/dials.js"
import { eventually } from "../../support/eventually.js"
import * as JumpingClock from "../../support/jumpingClock.js"
import * as Peer from "../../support/peer.js"
import * as Server from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { es5 } = Server.generated

type Settings = Partial<Thrift.Settings<InstanceType<typeof es5.Client>> & Connection.Lifetime> & {
  readonly tls?: ConnectionOptions
}

const client = (port: number, settings: Settings = {}) =>
  Thrift.make({
    service: "Probe",
    client: es5.Client,
    host: "127.0.0.1",
    port,
    transport: "framed",
    methods: { echo: { idempotent: false } },
    ...settings
  })

/** A port where nobody listens. */
const nobody = Effect.scoped(Effect.map(Peer.listen(() => {}), ({ port }) => port))

describe("Thrift and a port where nobody listens", () => {
  it.scoped("the attempts of the default policy are at 0, 100, 250, 475 ms, and none waits for its dial", () =>
    play(Effect.gen(function*() {
      const probe = yield* client(yield* nobody)
      const error = yield* exhausted(probe.echo("x").pipe(withRpcRetry))
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 0], [250, 0], [475, 0]])
      assert.deepStrictEqual(outcomesOf(error), [isRefused, isRefused, isRefused, isRefused])
    })))

  it.scoped("the report says which attempts waited for their dial, and how long", () =>
    play(Effect.gen(function*() {
      const probe = yield* client(yield* nobody, { dialBackoff: Schedule.spaced("300 millis") })
      const error = yield* exhausted(probe.echo("x").pipe(withRpcRetry))
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 200], [450, 150], [825, 75]])
      assert.include(RpcError.report(error), `${isRefused}, waited 200ms to dial`)
    })))

  it.scoped("an attempt that is cut while it waits to dial was not sent, and says how the last dial failed", () =>
    play(Effect.gen(function*() {
      const probe = yield* client(yield* nobody, { dialBackoff: Schedule.spaced("1 hour") })
      const error = yield* exhausted(probe.echo("x").pipe(withRpcRetry({ attemptTimeout: "300 millis" })))
      assert.deepStrictEqual(outcomesOf(error).slice(0, 2), [isRefused, `attempt timed out, not sent: ${isRefused}`])
      assert.strictEqual(error.reason, "AttemptsExhausted")
      assert.strictEqual(error.attempts, 4)
      const { cause, delivery } = error.last
      assert.strictEqual(delivery, "NotSent")
      assert.strictEqual(cause instanceof Retryable && cause.reason, "ConnectionRefused")
    })))
})

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(1))

const policy = { schedule, attemptTimeout: "100 millis" } as const

describe("Thrift: a request that was never written", () => {
  it.scopedLive("as all connections are busy: what must not run twice is retried", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer({ transport: "framed", protocol: "binary" })
      const probe = yield* client(server.port, { connections: 1 })
      yield* server.script("Stall")
      yield* Effect.forkScoped(probe.echo("first"))
      yield* eventually(() => server.seen.length === 1)
      const error = yield* exhausted(probe.echo("second").pipe(withRpcRetry(policy)))
      assert.deepStrictEqual([error.reason, error.attempts, error.last.delivery], ["AttemptsExhausted", 2, "NotSent"])
      const { cause } = error.last
      assert.strictEqual(cause instanceof Retryable && cause.code, "ALL_CONNECTIONS_BUSY")
      assert.strictEqual(server.seen.length, 1)
    }))

  it.scopedLive("as the TLS handshake is not answered", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => socket.resume())
      const probe = yield* client(port, { tls: {} })
      const error = yield* exhausted(probe.echo("x").pipe(withRpcRetry(policy)))
      assert.deepStrictEqual([error.reason, error.attempts, error.last.delivery], ["AttemptsExhausted", 2, "NotSent"])
    }))

  for (const how of ["end", "resetAndDestroy"] as const) {
    it.scopedLive(`as the TLS handshake is cut: ${how}`, () =>
      Effect.gen(function*() {
        const { port } = yield* Peer.listen((socket) => socket.once("data", () => socket[how]()))
        const probe = yield* client(port, { tls: {} })
        const error = yield* exhausted(probe.echo("x").pipe(withRpcRetry({ schedule })))
        assert.deepStrictEqual([error.attempts, error.last.delivery], [2, "NotSent"])
      }))
  }

  it.scopedLive("a request that the server has may have run, and is made once", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer({ transport: "framed", protocol: "binary" })
      const probe = yield* client(server.port)
      yield* probe.echo("warm")
      yield* server.script("Stall")
      const error = yield* exhausted(probe.echo("x").pipe(withRpcRetry({ schedule, attemptTimeout: "1 second" })))
      assert.deepStrictEqual([error.reason, error.last.delivery], ["NotIdempotent", "Unknown"])
      assert.strictEqual(server.seen.length, 2)
    }))
})

describe("Thrift and a wall clock that is set", () => {
  it.scopedLive("the server is told the time that remains, and the pool goes on", () =>
    Effect.gen(function*() {
      const { clock, jump } = yield* JumpingClock.make
      const server = yield* Server.makeServer({ transport: "header", protocol: "binary" })
      yield* Effect.gen(function*() {
        const probe = yield* client(server.port, { transport: "header", connections: 1, maxAge: "1 minute" })
        for (const millis of [0, -3_600_000, 7_200_000]) {
          yield* jump(millis)
          assert.strictEqual(yield* probe.echo("x").pipe(withRpcRetry({ deadline: "20 seconds" })), "x")
        }
      }).pipe(Effect.withClock(clock))
      const remaining = server.seen.map(({ remaining }) => remaining)
      assert.strictEqual(remaining.length, 3)
      remaining.forEach((millis) => assert.isTrue(millis! > 0 && millis! <= 20_000, String(millis)))
      assert.strictEqual(server.accepted(), 1)
    }))
})
