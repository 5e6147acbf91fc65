/**
 * `Thrift` against a real server of Kitex, in `go/kitexthrift`.
 */
import {
  CircuitBreaker,
  Deadline,
  Fallback,
  Fatal,
  Retryable,
  RetryExhausted,
  RetryPolicy,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Net from "node:net"
import { Int64 } from "thrift"
import { contract, type Lack } from "../../support/contract.js"
import { eventually, settle } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import * as Kitex from "../../support/kitexServer.js"
import * as Wire from "../../support/thriftPeer.js"
import { generated } from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const program = GoProgram.make("kitexthrift")

const plain: ReadonlyArray<Lack> = ["hint", "remaining", "previousAttempts", "idempotencyKey"]

for (
  const [transport, lacks] of [["buffered", plain], ["framed", plain], ["ttheader", ["hint"]]] as const
) {
  contract(`Thrift and Kitex, ${transport}`, {
    make: Kitex.subject(program, transport),
    domain: (error) => {
      assert.instanceOf(error, generated.types.Missing)
      assert.deepStrictEqual([error.text, error.code], ["x", 404])
    },
    lacks,
    skipped: GoServer.skipped
  })
}

const summary = (error: unknown) =>
  error instanceof Retryable
    ? [error.reason, error.delivery, error.code]
    : error instanceof Fatal
    ? [error.reason, error.message, error.code]
    : error

describe.skipIf(GoServer.skipped !== undefined)(`policies of Kitex and its server ${GoServer.skipped ?? ""}`, () => {
  const stop_policy = { max_retry_times: 1, cb_policy: { error_rate: 0.3 } }
  const ofType = (type: 0 | 1 | 2) => {
    const policies = [
      { failure_policy: { stop_policy } },
      { backup_policy: { retry_delay_ms: 60, stop_policy } },
      { mixed_policy: { retry_delay_ms: 60, stop_policy } }
    ]
    const { policy } = Either.getOrThrow(RetryPolicy.fromKitex({ enable: true, type, ...policies[type] }))
    return RpcRetry.layer({ default: RetryPolicy.merge(policy, RetryPolicy.make({ attemptTimeout: "500 millis" })) })
  }

  /** How a call under such a policy ends when the server does so with its requests, after calls that pay for legs. */
  const calling = (type: 0 | 1 | 2, ...steps: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const { probe, script, seen } = yield* Kitex.make(program, { transport: "ttheader" })
      return yield* Effect.gen(function*() {
        yield* Effect.replicateEffect(probe.echo("before").pipe(withRpcRetry), 4)
        yield* script(...steps)
        const exit = yield* Effect.either(probe.echo("x").pipe(withRpcRetry({ logs: false })))
        return { exit, seen: (yield* seen).slice(4) }
      }).pipe(Effect.provide(ofType(type)))
    })

  it.scopedLive("a slow request has a backup, whose answer is taken, and is cancelled, which Kitex does not do", () =>
    Effect.gen(function*() {
      for (const type of [1, 2] as const) {
        const { exit, seen } = yield* calling(type, "Stall")
        assert.deepStrictEqual(exit, Either.right("x"))
        assert.strictEqual(seen.length, 2)
        yield* seen[0]!.cancelled
      }
    }))

  it.scopedLive("a failure policy sends the second request when the first has timed out", () =>
    Effect.gen(function*() {
      const { exit, seen } = yield* calling(0, "Stall")
      assert.deepStrictEqual(exit, Either.right("x"))
      assert.strictEqual(seen.length, 2)
    }))

  it.scopedLive("a backup is sent once, and its call fails when both requests time out", () =>
    Effect.gen(function*() {
      const { exit, seen } = yield* calling(1, "Stall", "Stall")
      const error = exit._tag === "Left" ? exit.left : undefined
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.last.reason, error.attempts], ["NotRetried", "AttemptTimeout", 2])
      assert.strictEqual(seen.length, 2)
    }))

  it.scopedLive("an error of the server is returned at once, without a backup", () =>
    Effect.gen(function*() {
      for (const [step, reason] of [["Fatal", "ServerError"], ["Retryable", "NotRetried"]] as const) {
        const { exit, seen } = yield* calling(1, step)
        const error = exit._tag === "Left" ? exit.left : undefined
        assert.strictEqual(error instanceof Fatal || error instanceof RetryExhausted ? error.reason : error, reason)
        assert.strictEqual(seen.length, 1)
      }
    }))

  it.scopedLive("a fallback answers for timeouts and for an open breaker; other errors pass", () =>
    Effect.gen(function*() {
      const orElse = Fallback.withFallback(() => Effect.succeed("fallback"))
      const { probe, script } = yield* Kitex.make(program, { transport: "ttheader" })
      const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(1), openFor: "1 minute" })
      const once = withRpcRetry({ schedule: Schedule.recurs(0), attemptTimeout: "2 seconds", breaker, logs: false })
      yield* script("Fatal")
      assert.instanceOf(yield* Effect.flip(probe.echo("x").pipe(once, orElse)), Fatal)
      yield* script("Stall")
      assert.strictEqual(yield* probe.echo("x").pipe(once, orElse), "fallback")
      assert.strictEqual(yield* breaker.state, "Open")
      assert.strictEqual(yield* probe.echo("x").pipe(once, orElse), "fallback")
    }))
})

describe.skipIf(GoServer.skipped !== undefined)(`Thrift and Kitex ${GoServer.skipped ?? ""}`, () => {
  const transports = ["buffered", "framed", "ttheader"] as const

  for (const transport of transports) {
    it.scopedLive(`what Kitex says is told apart, ${transport}`, () =>
      Effect.gen(function*() {
        const { probe, script } = yield* Kitex.make(program, { transport })
        const failing = (step: string) =>
          Effect.zipRight(script(step), Effect.map(Effect.flip(probe.echo("x")), summary))
        assert.deepStrictEqual(yield* failing("Fatal"), ["ServerError", "biz error: no", 6])
        assert.deepStrictEqual(yield* failing("Retryable"), ["Custom", "Unknown", Kitex.busy])
        assert.deepStrictEqual((yield* failing("Protocol") as Effect.Effect<ReadonlyArray<unknown>>)[0], "Protocol")
        const panic = yield* failing("Panic") as Effect.Effect<ReadonlyArray<unknown>>
        assert.deepStrictEqual([panic[0], panic[2]], ["ServerError", 6])
        assert.include(panic[1], "on purpose")
        const [reason, message, code] = summary(
          yield* Effect.flip(probe.item(new generated.types.Item({ name: "", id: new Int64(0), tags: [], counts: {} })))
        ) as ReadonlyArray<unknown>
        assert.deepStrictEqual([reason, code], ["Unimplemented", 20])
        assert.include(message, "item")
        assert.strictEqual(yield* probe.echo("x"), "x")
      }))

    it.scopedLive(`values and calls without an answer, ${transport}`, () =>
      Effect.gen(function*() {
        const { probe, told } = yield* Kitex.make(program, { transport })
        const long = "漢".repeat(300_000)
        assert.strictEqual(yield* probe.echo(long), long)
        assert.strictEqual(yield* probe.version(), "kitex")
        assert.strictEqual(yield* probe.tell("one"), undefined)
        yield* probe.tell("two")
        const all = yield* told.pipe(
          Effect.filterOrFail((all) => all.length === 2),
          Effect.retry(Schedule.spaced("5 millis"))
        )
        assert.sameMembers([...all], ["one", "two"])
      }))
  }

  it.scopedLive("a business status comes with its code in TTHeader, and as nothing without", () =>
    Effect.gen(function*() {
      const { probe, script } = yield* Kitex.make(program, { transport: "ttheader" })
      yield* script("Biz")
      const error = yield* Effect.flip(probe.echo("x"))
      assert.deepStrictEqual(summary(error), ["ServerError", "too many orders", 1002])
      assert.deepStrictEqual((error as Fatal).cause, {
        code: 1002,
        message: "too many orders",
        extra: "{\"limit\":\"3\"}"
      })
      const framed = yield* Kitex.make(program, { transport: "framed" })
      yield* framed.script("Biz")
      assert.deepStrictEqual(summary(yield* Effect.flip(framed.probe.echo("x"))), [
        "Protocol",
        "echo failed: unknown result",
        5
      ])
    }))

  it.scopedLive("Kitex takes a retry for one, so that a chain of retries stops", () =>
    Effect.gen(function*() {
      const { all, probe, script } = yield* Kitex.make(program, { transport: "ttheader" })
      yield* script("Retryable")
      yield* probe.echo("x").pipe(withRpcRetry)
      assert.deepStrictEqual((yield* all).map(({ isRetry }) => isRetry), [false, true])
    }))

  it.scopedLive("the time that remains ends the handler; the end of the connection does not", () =>
    Effect.gen(function*() {
      const { all, probe, script } = yield* Kitex.make(program, { transport: "ttheader" })
      const cancelled = (index: number) =>
        all.pipe(
          Effect.filterOrFail((seen) => seen[index]?.cancelled === true),
          Effect.retry(Schedule.spaced("2 millis")),
          Effect.map((seen) => seen[index]!)
        )
      yield* script("Stall", "Stall")
      const fiber = yield* Effect.fork(probe.echo("x"))
      yield* eventually(Effect.map(all, (seen) => seen.length === 1))
      yield* Fiber.interrupt(fiber)
      assert.isFalse((yield* cancelled(0)).contextDone)
      // the handler's time is up before the caller, who is told so a moment later, has closed the connection
      yield* Effect.flip(
        probe.echo("x").pipe(
          Deadline.within("2 seconds"),
          Effect.timeout("5 seconds")
        )
      )
      assert.isTrue((yield* cancelled(1)).contextDone)
    }))

  it.scopedLive("why a connection makes one call at a time: Kitex does not look at a second one before it has answered", () =>
    Effect.gen(function*() {
      const { all, port, script } = yield* Kitex.make(program)
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => Net.connect(port, "127.0.0.1")),
        (socket) => Effect.sync(() => socket.destroy())
      )
      yield* script("Stall")
      for (const id of [1, 2]) {
        socket.write(Wire.framed(Wire.message("binary", { id, type: Wire.CALL }, Wire.text(`call ${id}`, 1))))
      }
      yield* eventually(Effect.map(all, (seen) => seen.length > 0))
      yield* settle(100)
      assert.deepStrictEqual((yield* all).map(({ text }) => text), ["call 1"])
    }))

  describe("over its limits Kitex closes the connection", () => {
    const limited = (args: ReadonlyArray<string>, options: Pick<Thrift.Settings<never>, "connections"> = {}) =>
      Effect.gen(function*() {
        const { host, port } = yield* program.serve(...args)
        const client = generated.es5.Client
        const probe = yield* Thrift.make({ service: "Probe", client, host, port, transport: "ttheader", ...options })
        return (policy: RpcRetry.Options = { schedule: Schedule.stop }) =>
          Effect.all(
            Array.from({ length: 20 }, () => Effect.either(probe.version().pipe(withRpcRetry(policy)))),
            { concurrency: "unbounded" }
          )
      })
    const patient: RpcRetry.Options = { schedule: Schedule.spaced("20 millis"), deadline: "1 minute" }

    it.scopedLive("the limit of connections, which the client can keep", () =>
      Effect.gen(function*() {
        const calls = yield* limited(["-connections", "2"])
        const lost = (yield* calls()).filter(Either.isLeft).map(({ left }) =>
          left instanceof RetryExhausted ? left.last.reason : left
        )
        assert.isNotEmpty(lost)
        lost.forEach((reason) => assert.strictEqual(reason, "ConnectionLost"))
        const keeping = yield* limited(["-connections", "2"], { connections: 2 })
        assert.isTrue((yield* keeping()).every(Either.isRight))
      }))

    it.scopedLive("the limit of requests in a second", () =>
      Effect.gen(function*() {
        const calls = yield* limited(["-rate", "50"])
        // until they come quickly enough to be over it
        const results = yield* calls().pipe(Effect.repeat({ until: (results) => results.some(Either.isLeft) }))
        const lost = results.filter(Either.isLeft).map(({ left }) =>
          left instanceof RetryExhausted ? left.last.reason : left
        )
        lost.forEach((reason) => assert.strictEqual(reason, "ConnectionLost"))
        assert.isTrue((yield* calls(patient)).every(Either.isRight))
      }))
  })

  it.scopedLive("over TLS", () =>
    Effect.gen(function*() {
      const { certificate, host, port } = yield* program.serve("-tls")
      const client = (tls: object) =>
        Thrift.make({ service: "Probe", client: generated.es5.Client, host, port, transport: "ttheader", tls })
      const probe = yield* client({ ca: certificate! })
      assert.strictEqual(yield* probe.echo("x"), "x")
      const wary = yield* client({})
      const error = yield* Effect.flip(wary.echo("x"))
      assert.strictEqual(error instanceof Fatal && error.reason, "Protocol")
    }))
})
