/**
 * The dials of `GoRpc` over real sockets: when they are made, and what the calls that wait for them are told. The delays are on
 * virtual time, the sockets are not.
 */
import { assert, describe, it } from "@effect/vitest"
import { Connections, RpcError, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import type * as Connection from "effect-rpc-retry/Connection"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"

const multiply = { A: 6, B: 7 }

/** A turn of the event loop, in which sockets do what they do. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Waits, in real time, until no dial is under way. */
const dialled = Effect.flatMap(Connections.Connections, ({ all }) =>
  Effect.repeat(Effect.zipRight(turn, all), {
    until: (statuses) => statuses.every(({ state }) => state !== "connecting")
  }))

/** Runs to the end: virtual time goes on whenever no dial is under way. */
const play = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    while (fiber.unsafePoll() === null) {
      yield* dialled
      yield* turn
      yield* TestClock.adjust(5)
    }
    return yield* Fiber.join(fiber)
  }).pipe(Effect.provideServiceEffect(Connections.Connections, Effect.sync(Connections.make)))

/** A client of a port where nobody listens, and how its calls fail. */
const nobody = (settings: Connection.Lifetime = {}) =>
  Effect.gen(function*() {
    const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
    yield* server.stop
    const rpc = yield* GoRpc.make({ ...server.address, ...settings })
    const call = rpc.call("Arith.Multiply", multiply, { idempotent: false })
    const fail = (options: RpcRetry.Options) =>
      Effect.flatMap(
        Effect.flip(call.pipe(withRpcRetry(options))),
        (error) => error._tag === "RetryExhausted" ? Effect.succeed(error) : Effect.die(error)
      )
    return { server, rpc, call, fail }
  })

const timesOf = ({ history }: RpcError.RetryExhausted) =>
  history.map(({ startedAt, took }) => [Duration.toMillis(startedAt), Duration.toMillis(took)])

const outcomesOf = ({ history }: RpcError.RetryExhausted) =>
  history.map(({ error }) => error.message.replace("Arith.Multiply: ", ""))

const isRefused = "connection refused (ECONNREFUSED), not sent"

describe("GoRpc and a port where nobody listens", () => {
  it.scoped("the attempts of the default policy are at 0, 100, 250, 475 ms, and none waits for its dial", () =>
    play(Effect.gen(function*() {
      const { fail } = yield* nobody()
      const error = yield* fail({})
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 0], [250, 0], [475, 0]])
      assert.deepStrictEqual(outcomesOf(error), [isRefused, isRefused, isRefused, isRefused])
    })))

  it.scoped("the report says which attempts waited for their dial, and how long", () =>
    play(Effect.gen(function*() {
      const { fail } = yield* nobody({ dialBackoff: Schedule.spaced("300 millis") })
      const error = yield* fail({})
      assert.deepStrictEqual(timesOf(error), [[0, 0], [100, 200], [450, 150], [825, 75]])
      const report = RpcError.report(error).split("\n").slice(2)
      assert.deepStrictEqual(report, [
        "  attempt  started   took  delay  outcome",
        `        1      0ms    0ms  100ms  ${isRefused}`,
        `        2    100ms  200ms  150ms  ${isRefused}, waited 200ms to dial`,
        `        3    450ms  150ms  225ms  ${isRefused}, waited 150ms to dial`,
        `        4    825ms   75ms      -  ${isRefused}, waited 75ms to dial`
      ])
    })))
})
