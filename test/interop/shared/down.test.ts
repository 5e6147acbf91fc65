/**
 * A service that is thoroughly down, over real sockets: once its breaker has opened, calls end at once and nothing is sent.
 */
import {
  CallRejected,
  CircuitBreaker,
  Connections,
  RetryExhausted,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { eventually, settle } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

interface Service {
  /** A call with retries. */
  readonly call: Effect.Effect<unknown, unknown>
  /** What the server has received, and how often it was dialled: it changes with whatever is sent. */
  readonly sent: Effect.Effect<unknown>
}

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(3))

/** Opens at the third failure in a row. */
const layer = (openFor: Duration.DurationInput) =>
  RpcRetry.layer({
    budget: "off",
    default: { schedule, logs: false },
    breaker: { trip: CircuitBreaker.consecutive(3), openFor, jitter: 0, rampUp: 0 }
  })

const dials = Effect.map(
  RpcRetry.inspect,
  ({ connections }) => connections.map(({ dials, failedDials }) => [dials, failedDials])
)

const many = <A>(one: A): ReadonlyArray<A> => Array.from({ length: 1000 }, () => one)

const multiply = (rpc: GoRpc.Client) => rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)

const flaky = FlakyServer.make({ methods: FlakyServer.arith })

const overHttp = (step: HttpServer.Step) =>
  Effect.gen(function*() {
    const server = yield* HttpServer.make
    server.script(...many(step))
    const client = HttpRpc.retrying(yield* HttpPool.make(), withRpcRetry, { method: "Arith.Get" })
    return {
      call: client.get(server.url),
      sent: Effect.map(dials, (dials) => [dials, server.seen.length, server.accepted()])
    }
  })

const services: Record<string, Effect.Effect<Service, never, Scope.Scope>> = {
  "net/rpc, a port that refuses": Effect.gen(function*() {
    const server = yield* flaky
    yield* server.stop
    return { call: multiply(yield* GoRpc.make(server.address)), sent: dials }
  }),
  "net/rpc, a server that resets": Effect.gen(function*() {
    const server = yield* flaky
    yield* server.script(...many(FlakyServer.reset))
    const received = Effect.map(server.requests, (requests) => requests.length)
    return { call: multiply(yield* GoRpc.make(server.address)), sent: Effect.all([dials, received]) }
  }),
  "HTTP, a port that refuses": Effect.gen(function*() {
    const port = yield* HttpServer.refusedPort
    const client = HttpRpc.retrying(yield* HttpPool.make(), withRpcRetry, { method: "Arith.Get" })
    return { call: client.get(`http://127.0.0.1:${port}/`), sent: dials }
  }),
  "HTTP, a server that resets": overHttp(HttpServer.reset),
  "HTTP, a server that is unavailable": overHttp(HttpServer.respond(503))
}

/** A service under a layer of its own, and with connections of its own. */
const under = <A, E>(openFor: Duration.DurationInput, use: Effect.Effect<A, E, Scope.Scope>) =>
  use.pipe(
    Effect.scoped,
    Effect.provide(layer(openFor)),
    Effect.provideService(Connections.Connections, Connections.make())
  )

const millisNow = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos) / 1e6)

/** A clock on which nothing sleeps. */
const sleepless = Effect.map(
  Effect.clock,
  (clock): Clock.Clock =>
    Object.assign(Object.create(clock) as Clock.Clock, { sleep: () => Effect.dieMessage("slept") })
)

describe("a service that is thoroughly down", () => {
  for (const [name, make] of Object.entries(services)) {
    it.live(`${name}: calls end at once, with nothing dialled, sent or waited for, and say when to come back`, () =>
      under(
        "1 hour",
        Effect.gen(function*() {
          const { call, sent } = yield* make
          const begun = yield* millisNow
          const first = yield* Effect.flip(call)
          const opened = yield* millisNow
          assert.instanceOf(first, RetryExhausted)
          assert.deepStrictEqual([first.reason, first.attempts], ["CircuitOpen", 3])
          yield* settle()
          const before = yield* sent
          const untimed = Effect.withClock(call, yield* sleepless)
          const took: Array<number> = []
          for (let i = 0; i < 500; i++) {
            const asked = yield* millisNow
            const error = yield* Effect.flip(untimed)
            const ended = yield* millisNow
            took.push(ended - asked)
            assert.instanceOf(error, CallRejected)
            assert.strictEqual(error.reason, "CircuitOpen")
            // it opened between `begun` and `opened`, and was asked between `asked` and `ended`; whole milliseconds, never too few
            const retryIn = Duration.toMillis(error.retryIn!)
            assert.isAtLeast(retryIn, 3_600_000 - (ended - begun))
            assert.isAtMost(retryIn, 3_600_000 - (asked - opened) + 1)
          }
          yield* settle()
          assert.deepStrictEqual(yield* sent, before)
          took.sort((a, b) => a - b)
          // told, not asserted: it is of this machine at this moment
          console.log(`${name}: a call ends in ${took[250]!.toFixed(3)} ms, at most in ${took[499]!.toFixed(3)} ms`)
        })
      ))
  }

  it.live("HTTP: a Retry-After of the server is how long its breaker stays open", () =>
    under(
      "1 second",
      Effect.gen(function*() {
        const { call } = yield* overHttp(HttpServer.respond(503, "", { "retry-after": "120" }))
        const first = [yield* Effect.flip(call), yield* Effect.flip(call), yield* Effect.flip(call)]
        assert.isTrue(first.every((error) => error instanceof RetryExhausted && error.reason === "ServerSaidNo"))
        const error = yield* Effect.flip(call)
        assert.instanceOf(error, CallRejected)
        assert.isAbove(Duration.toMillis(error.retryIn!), 60_000)
        assert.isAtMost(Duration.toMillis(error.retryIn!), 120_000)
      })
    ))

  it.live("is called again when the opening is over, and is back once its probe is answered", () =>
    under(
      "200 millis",
      Effect.gen(function*() {
        const server = yield* flaky
        const rpc = yield* GoRpc.make(server.address)
        yield* server.stop
        yield* Effect.flip(multiply(rpc))
        yield* server.start
        const answers = yield* Effect.forEach(many(0).slice(0, 50), () =>
          Effect.fork(Effect.eventually(Effect.delay(multiply(rpc), 5))))
        yield* eventually(() =>
          answers.every((fiber) => fiber.unsafePoll() !== null)
        )
        const { breakers } = yield* RpcRetry.inspect
        assert.strictEqual(breakers.find(({ destination }) => destination === "Arith")?.state, "Closed")
        assert.strictEqual((yield* server.requests).length, 50)
      })
    ))
})
