/**
 * What an attempt sends, how it is given up, and what its time is.
 */
import {
  Code,
  ConnectError,
  createContextKey,
  createContextValues,
  type Interceptor,
  type Transport
} from "@connectrpc/connect"
import { Deadline, Fatal, Retryable, RetryExhausted, RetryPolicy, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import * as Http from "node:http"
import * as ConnectServer from "../../support/connectServer.js"
import { eventually, settle } from "../../support/eventually.js"
import { refusedPort } from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { EchoService, fails, kinds, make, stall } = ConnectServer

const delays = RetrySchedule.exponential({ base: "5 millis" })

const quick = { schedule: delays.pipe(RetrySchedule.retries(3)) }

const x = { value: "x" }

const told = (error: Retryable | Fatal) =>
  error._tag === "Retryable"
    ? [error._tag, error.reason, error.delivery, error.code]
    : [error._tag, error.reason, error.code]

describe("the two traps of a retry interceptor", () => {
  for (const kind of kinds) {
    it.scopedLive(`${kind}: each attempt sends the time that remains, not the full budget`, () =>
      Effect.gen(function*() {
        const { client, script, seen } = yield* make(kind)
        script(...Array.from({ length: 3 }, () => fails(Code.Unavailable)))
        const policy = RetryPolicy.make({
          schedule: Schedule.spaced("30 millis").pipe(Schedule.intersect(Schedule.recurs(3))),
          deadline: "20 seconds"
        })
        yield* client.echo(x).pipe(withRpcRetry(policy))
        const remaining = seen.map(({ remaining }) => remaining!)
        assert.isAtMost(remaining[0]!, 20_000)
        assert.isAbove(remaining[3]!, 10_000)
        remaining.slice(1).forEach((time, i) => assert.isAtMost(time, remaining[i]! - 25))
      }))
  }

  it.scopedLive("an interruption during the delay between attempts ends the call at once, and starts no other", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1")
      script(fails(Code.Unavailable))
      const waits = yield* Deferred.make<void>()
      const schedule = Schedule.spaced("1 hour").pipe(Schedule.tapOutput(() => Deferred.succeed(waits, undefined)))
      const fiber = yield* Effect.fork(client.echo(x).pipe(withRpcRetry({ schedule })))
      yield* Deferred.await(waits)
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.strictEqual(seen.length, 1)
    }))

  it.scopedLive("a deadline during the delay between attempts ends the call at once, with the last error", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1")
      script(fails(Code.Unavailable))
      const policy = RetryPolicy.make({ schedule: Schedule.spaced("1 hour"), deadline: "1 minute" })
      const error = yield* Effect.flip(client.echo(x).pipe(withRpcRetry(policy)))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.last.reason], ["DeadlineTooClose", "Unavailable"])
      assert.strictEqual(seen.length, 1)
    }))
})

describe("time", () => {
  for (const kind of kinds) {
    const times = kind === "gRPC" || kind === "Connect over HTTP/1.1" ? 100 : 20
    it.scopedLive(`${kind}: a deadline is the end of the call, whichever timer is first, ${times} times`, () =>
      Effect.gen(function*() {
        const { client, script } = yield* make(kind)
        script(...Array.from({ length: times }, () => stall))
        // some wait for nothing between two attempts, one makes no retry
        const schedules = [Schedule.recurs(50), Schedule.spaced("1 millis"), Schedule.stop, delays]
        const errors = yield* Effect.forEach(
          Array.from({ length: times }, (_, i) => i),
          (i) => {
            const policy = RetryPolicy.make({ schedule: schedules[i % 4]!, deadline: 40 + i % 30 })
            return Effect.flip(client.echo(x).pipe(withRpcRetry(policy)))
          },
          { concurrency: 5 }
        )
        const ends = new Set(errors.map((error) => {
          assert.instanceOf(error, RetryExhausted)
          return [error.reason, error.last.reason, error.attempts].join()
        }))
        assert.deepStrictEqual([...ends], ["DeadlineExceeded,AttemptTimeout,1"], [...ends].join("; "))
      }))
  }

  it.scoped("a deadline is the end of the call also where its clock and that of the library disagree", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("gRPC")
      script(stall)
      const policy = RetryPolicy.make({ schedule: Schedule.recurs(50), deadline: "150 millis" })
      const fiber = yield* Effect.fork(Effect.flip(client.echo(x).pipe(withRpcRetry(policy))))
      // the timer of the library has rung, or rings after that of the call: both are right
      yield* settle(300)
      assert.strictEqual(seen.length, 1)
      yield* TestClock.adjust("150 millis")
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.last.reason], ["DeadlineExceeded", "AttemptTimeout"])
    }))

  it.scopedLive("a server that gives up in time is not the server's verdict either", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      script(async (seen) => {
        await new Promise((resolve) => setTimeout(resolve, seen.remaining! - 20))
        return fails(Code.DeadlineExceeded)(seen)
      })
      const policy = RetryPolicy.make({ schedule: Schedule.recurs(50), deadline: "500 millis" })
      const error = yield* Effect.flip(client.echo(x).pipe(withRpcRetry(policy)))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.last.reason, error.attempts], [
        "DeadlineExceeded",
        "AttemptTimeout",
        1
      ])
    }))

  for (const kind of kinds) {
    it.scoped(`${kind}: what the server says is its answer until the last tenth of the time, canceled always`, () =>
      Effect.gen(function*() {
        const { client, script, seen } = yield* make(kind)
        const answered = (code: Code, after: number): Effect.Effect<ReadonlyArray<unknown>, unknown> =>
          Effect.gen(function*() {
            const started = performance.now()
            seen.length = 0
            let answer: () => void = () => {}
            const asked = new Promise<void>((resolve) => {
              answer = resolve
            })
            script((seen) => asked.then(() => fails(code)(seen)))
            const fiber = yield* Effect.fork(Effect.flip(client.echo(x, { timeoutMs: 490 })))
            yield* TestServices.provideLive(eventually(() => seen.length === 1))
            yield* TestClock.adjust(after)
            answer()
            const outcome = told(yield* Fiber.join(fiber))
            // the timer of the library runs in real time: where it may have rung first, once more
            return performance.now() - started < 450 ? outcome : yield* answered(code, after)
          })
        assert.deepStrictEqual(yield* answered(Code.Canceled, 489), ["Fatal", "Cancelled", "CANCELLED"])
        assert.deepStrictEqual(yield* answered(Code.DeadlineExceeded, 440), [
          "Fatal",
          "ServerError",
          "DEADLINE_EXCEEDED"
        ])
        assert.deepStrictEqual(yield* answered(Code.DeadlineExceeded, 441), [
          "Retryable",
          "AttemptTimeout",
          "Unknown",
          "DEADLINE_EXCEEDED"
        ])
      }))
  }

  it.scopedLive("deadline_exceeded long before the deadline is the server's, and Fatal", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("gRPC")
      script(fails(Code.DeadlineExceeded))
      const error = yield* Effect.flip(client.echo(x).pipe(withRpcRetry({ ...quick, deadline: "20 seconds" })))
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.code, "DEADLINE_EXCEEDED")
      assert.strictEqual(seen.length, 1)
    }))

  it.scopedLive("a clock of the wall that is set forward makes no timeout of what the server says", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      let hours = 0
      const set: Clock.Clock = Object.assign(Object.create(Clock.make()), {
        unsafeCurrentTimeMillis: () => Date.now() + 3_600_000 * hours++,
        currentTimeMillis: Effect.sync(() => Date.now() + 3_600_000 * hours++)
      })
      script(fails(Code.DeadlineExceeded))
      const error = yield* Effect.flip(client.echo(x, { timeoutMs: 20_000 }).pipe(Effect.withClock(set)))
      assert.deepStrictEqual(told(error), ["Fatal", "ServerError", "DEADLINE_EXCEEDED"])
    }))

  it.scopedLive("a deadline that nobody enforces ends the attempt all the same", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("Connect over HTTP/1.1")
      script(stall)
      const error = yield* Effect.flip(client.echo(x).pipe(Deadline.within("60 millis")))
      assert.deepStrictEqual(told(error), ["Retryable", "AttemptTimeout", "Unknown", "DEADLINE_EXCEEDED"])
      assert.strictEqual(error.method, "test.v1.EchoService.Echo")
      assert.instanceOf(error.cause, ConnectError)
    }))

  it.scoped("an attempt that nobody's deadline ends is over at the deadline", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1")
      script(stall)
      const fiber = yield* Effect.fork(Effect.flip(client.echo(x).pipe(Deadline.within("100 millis"))))
      yield* eventually(() => seen.length === 1)
      yield* seen[0]!.cancelled
      // the failure has come here by then, and waits; or it comes later, and is told later
      yield* settle(30)
      yield* TestClock.adjust("99 millis")
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).reason, "AttemptTimeout")
    }))

  it.scoped("an attempt that its own timeoutMs ends is retried at once, however near the deadline is", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1")
      script(stall)
      const policy = RetryPolicy.make({ schedule: Schedule.recurs(3), deadline: "2001 millis" })
      // the clock of the call stands still
      const answer = yield* client.echo(x, { timeoutMs: 2000 }).pipe(withRpcRetry(policy))
      assert.strictEqual(answer.value, "x")
      assert.strictEqual(seen.length, 2)
    }))

  it.scopedLive("timeoutMs bounds each attempt", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/2")
      script(stall)
      const policy = RetryPolicy.make({ ...quick, deadline: "1 minute" })
      assert.strictEqual((yield* client.echo(x, { timeoutMs: 2000 }).pipe(withRpcRetry(policy))).value, "x")
      assert.deepStrictEqual(seen.map(({ remaining }) => remaining), [2000, 2000])
    }))

  it.scopedLive("of timeoutMs and the time that remains the smaller one is sent", () =>
    Effect.gen(function*() {
      const { client, seen } = yield* make("gRPC")
      const send = (timeoutMs: number | undefined, deadline: Duration.DurationInput) =>
        client.echo(x, { timeoutMs }).pipe(withRpcRetry({ deadline }))
      yield* send(5_000, "20 seconds")
      yield* send(60_000, "20 seconds")
      // for the library no timeout
      yield* send(0, "20 seconds")
      yield* client.echo(x, { timeoutMs: 0 })
      const [own, ours, zero, none] = seen.map(({ remaining }) => remaining)
      assert.strictEqual(own, 5_000)
      for (const time of [ours!, zero!]) {
        assert.isTrue(time > 10_000 && time <= 20_000)
      }
      assert.isUndefined(none)
    }))

  for (const kind of kinds) {
    it.scopedLive(`${kind}: a timeoutMs that is none is told, and nothing is sent`, () =>
      Effect.gen(function*() {
        const { client, seen } = yield* make(kind)
        for (const timeoutMs of [NaN, -1, -Infinity, "100" as never, null as never]) {
          const calls = [
            Effect.asVoid(client.echo(x, { timeoutMs }).pipe(withRpcRetry(quick))),
            Effect.scoped(client.watch(x, { timeoutMs }).pipe(withRpcRetry(quick)))
          ]
          for (const call of calls) {
            const error = yield* Effect.flip(call)
            assert.instanceOf(error, Fatal)
            assert.strictEqual(error.reason, "InvalidArgument")
            assert.strictEqual(
              error.message,
              `timeoutMs must be a number of milliseconds of at least 0, got ${timeoutMs}`
            )
            assert.isDefined(error.method)
          }
        }
        assert.strictEqual(seen.length, 0)
        // more than a timer can wait, or gRPC can write
        for (const timeoutMs of [Infinity, 2 ** 31, 100_000_000]) {
          yield* client.echo(x, { timeoutMs })
          yield* Effect.scoped(client.watch(x, { timeoutMs }))
        }
        assert.deepStrictEqual(seen.map(({ remaining }) => remaining), Array.from({ length: 6 }, () => undefined))
      }))
  }

  it.effect("timeoutMs is sent in whole milliseconds, at least one; none is none of the transport's either", () =>
    Effect.gen(function*() {
      const sent: Array<number | undefined> = []
      const transport = {
        unary: (_method: unknown, _signal: unknown, timeoutMs: number | undefined) => {
          sent.push(timeoutMs)
          return Promise.resolve({})
        }
      } as unknown as Transport
      const echo = Connect.unary(EchoService.method.echo, transport)
      for (const timeoutMs of [0.5, 1.9, 1000.5, 99_999_999, 100_000_000, Infinity, 0, undefined]) {
        yield* echo(x, { timeoutMs })
      }
      assert.deepStrictEqual(sent, [1, 1, 1000, 99_999_999, 0, 0, 0, undefined])
    }))

  it.scopedLive("without a timeout deadline_exceeded is always the server's", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      script(fails(Code.DeadlineExceeded))
      const error = yield* Effect.flip(client.echo(x, { timeoutMs: 0 }))
      assert.deepStrictEqual(told(error), ["Fatal", "ServerError", "DEADLINE_EXCEEDED"])
    }))

  it.scopedLive("more time than gRPC can write is not sent", () =>
    Effect.gen(function*() {
      const { client, seen } = yield* make("gRPC")
      yield* client.echo(x).pipe(withRpcRetry({ deadline: "27 hours" }))
      yield* client.echo(x).pipe(withRpcRetry({ deadline: "28 hours" }))
      yield* client.echo(x).pipe(withRpcRetry({ deadline: "365 days" }))
      assert.deepStrictEqual(seen.map(({ remaining }) => remaining === undefined), [false, true, true])
    }))

  it.scopedLive("the default of the transport holds for calls without a deadline", () =>
    Effect.gen(function*() {
      const { client, seen } = yield* make("Connect over HTTP/1.1", { defaultTimeoutMs: 7_000 })
      yield* client.echo(x)
      yield* client.echo(x).pipe(withRpcRetry({ deadline: "20 seconds" }))
      assert.strictEqual(seen[0]!.remaining, 7_000)
      assert.isAbove(seen[1]!.remaining!, 10_000)
    }))
})

it.scopedLive("an attempt that the default of the transport ends is retried", () =>
  Effect.gen(function*() {
    const { client, script, seen } = yield* make("gRPC", { defaultTimeoutMs: 200 })
    script(stall, stall)
    assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), [
      "Retryable",
      "AttemptTimeout",
      "Unknown",
      "DEADLINE_EXCEEDED"
    ])
    yield* client.echo(x).pipe(withRpcRetry(quick))
    assert.strictEqual(seen.length, 3)
  }))

describe("what is sent", () => {
  for (const kind of kinds) {
    it.scopedLive(`${kind}: the number of the retry, in both words that servers know, and the key`, () =>
      Effect.gen(function*() {
        const { client, script, seen } = yield* make(kind)
        script(fails(Code.Unavailable), fails(Code.Unavailable))
        yield* client.echo(x).pipe(withRpcRetry({ ...quick, idempotencyKey: "the key" }))
        const sent = seen.map(({ headers }) =>
          ["grpc-previous-rpc-attempts", "x-retry-attempt", "idempotency-key"].map((name) => headers.get(name))
        )
        assert.deepStrictEqual(sent, [[null, null, "the key"], ["1", "1", "the key"], ["2", "2", "the key"]])
      }))
  }

  it.scopedLive("the user's headers and context go with each attempt, and are not touched", () =>
    Effect.gen(function*() {
      const tenant = createContextKey("nobody")
      const found: Array<string> = []
      const look: Interceptor = (next) => (request) => {
        found.push(request.contextValues.get(tenant))
        return next(request)
      }
      const { client, script, seen } = yield* make("gRPC", { interceptors: [look] })
      const headers = new Headers({ authorization: "Bearer t" })
      const contextValues = createContextValues().set(tenant, "acme")
      script(fails(Code.Unavailable))
      yield* client.echo(x, { headers, contextValues }).pipe(withRpcRetry({ ...quick, idempotencyKey: true }))
      assert.deepStrictEqual(seen.map(({ headers }) => headers.get("authorization")), ["Bearer t", "Bearer t"])
      assert.deepStrictEqual([...headers.keys()], ["authorization"])
      assert.deepStrictEqual(found, ["acme", "acme"])
      yield* Effect.flip(
        client.watch(x, { headers, contextValues }).pipe(
          Effect.zipRight(Effect.fail("done")),
          Effect.scoped
        )
      )
      assert.strictEqual(seen[2]!.headers.get("authorization"), "Bearer t")
      assert.strictEqual(found[2], "acme")
    }))

  for (const kind of kinds) {
    it.scopedLive(`${kind}: what the user set himself stays`, () =>
      Effect.gen(function*() {
        const { client, script, scriptStream, seen } = yield* make(kind)
        const headers = { "idempotency-key": "mine", "X-Retry-Attempt": "7", "grpc-previous-rpc-attempts": "9" }
        script(fails(Code.Unavailable))
        yield* client.echo(x, { headers }).pipe(withRpcRetry({ ...quick, idempotencyKey: "ours" }))
        scriptStream(async function*(seen) {
          yield await fails(Code.Unavailable)(seen)
        })
        yield* Effect.scoped(client.watch(x, { headers }).pipe(withRpcRetry({ ...quick, idempotencyKey: "ours" })))
        const sent = seen.map(({ headers }) =>
          ["idempotency-key", "x-retry-attempt", "grpc-previous-rpc-attempts"].map((name) => headers.get(name))
        )
        assert.deepStrictEqual(sent, Array.from({ length: 4 }, () => ["mine", "7", "9"]))
      }))
  }

  it.scopedLive("the user's interceptors run once for each attempt, around it, and may take headers away", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const named = (name: string): Interceptor => (next) => async (request) => {
        order.push(`${name} before`)
        request.header.delete("x-retry-attempt")
        return await next(request).finally(() => order.push(`${name} after`))
      }
      const { client, script, seen } = yield* make("Connect over HTTP/1.1", {
        interceptors: [named("outer"), named("inner")]
      })
      script(fails(Code.Unavailable))
      yield* client.echo(x).pipe(withRpcRetry(quick))
      const once = ["outer before", "inner before", "inner after", "outer after"]
      assert.deepStrictEqual(order, [...once, ...once])
      assert.deepStrictEqual(seen.map(({ headers }) => headers.get("x-retry-attempt")), [null, null])
      assert.strictEqual(seen[1]!.previousAttempts, 1)
    }))

  it.scopedLive("an error of ours that an interceptor throws is itself", () =>
    Effect.gen(function*() {
      const own = new Retryable({ reason: "Custom", delivery: "NotSent", code: "NO_TOKEN" })
      let calls = 0
      const refuse: Interceptor = (next) => async (request) => {
        if (calls++ === 0) {
          throw own
        }
        return await next(request)
      }
      const { client, seen } = yield* make("gRPC", { interceptors: [refuse] })
      assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), ["Retryable", "Custom", "NotSent", "NO_TOKEN"])
      yield* client.echo(x)
      assert.strictEqual(seen.length, 1)
    }))

  for (const kind of ["gRPC", "connect-node: gRPC"] as const) {
    const says = kind === "gRPC" ? "was not sent where the transport tells" : "may have run"
    it.scopedLive(`${kind}: what else an interceptor throws is by what caused it, and ${says}`, () =>
      Effect.gen(function*() {
        const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" })
        const delivery = kind === "gRPC" ? "NotSent" : "Unknown"
        const unreached = ["Retryable", "ConnectionRefused", delivery, "ECONNREFUSED"]
        const throws: ReadonlyArray<readonly [() => Promise<never>, ReadonlyArray<unknown>]> = [
          [() => Promise.reject(new Error("no token", { cause: refused })), unreached],
          [() => Promise.reject(refused), unreached],
          [() => {
            throw refused
          }, unreached],
          [() => {
            throw new Retryable({ reason: "Custom", delivery: "NotSent", code: "OURS" })
          }, ["Retryable", "Custom", "NotSent", "OURS"]],
          [() => Promise.reject(new Error("no token")), ["Fatal", "ServerError", "UNKNOWN"]],
          [() => {
            throw new Error("no token")
          }, ["Fatal", "Custom", undefined]]
        ]
        for (const [refuse, expected] of throws) {
          const { client, seen } = yield* make(kind, { interceptors: [() => () => refuse()] })
          assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), expected)
          assert.strictEqual(seen.length, 0)
        }
      }))
  }

  for (const kind of kinds) {
    it.scopedLive(`${kind}: what fails after the answer has run`, () =>
      Effect.gen(function*() {
        const nobody = `http://127.0.0.1:${yield* refusedPort}`
        const ours = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
        // of its own, of another service, of an effect that was run
        const audits: ReadonlyArray<() => Promise<unknown>> = [
          () => fetch(nobody),
          () => new Promise((_, reject) => Http.get(nobody).on("error", reject)),
          () => fetch(nobody).catch((cause) => Promise.reject(ConnectError.from(cause, Code.Unavailable))),
          () =>
            new Promise((_, reject) => Http.get(nobody).on("error", reject)).catch((cause) =>
              Promise.reject(new ConnectError("no audit", Code.Unavailable, undefined, undefined, cause))
            ),
          () => Effect.runPromise(Effect.fail(ours))
        ]
        for (const audit of audits) {
          const { seen, transport } = yield* make(kind, {
            interceptors: [(next) => async (request) => {
              const response = await next(request)
              await audit()
              return response
            }]
          })
          const change = Connect.unary(EchoService.method.change, transport, { idempotent: false })
          const watch = Connect.serverStream(EchoService.method.watch, transport, { idempotent: false })
          for (const call of [Effect.asVoid(change(x)), Effect.scoped(watch(x))]) {
            seen.length = 0
            const error = yield* Effect.flip(call)
            assert.isTrue(error._tag === "Retryable" && error.delivery === "Unknown", told(error).join())
            assert.strictEqual(seen.length, 1)
          }
          seen.length = 0
          const error = yield* Effect.flip(change(x).pipe(withRpcRetry(quick)))
          assert.instanceOf(error, RetryExhausted)
          assert.strictEqual(error.reason, "NotIdempotent")
          assert.strictEqual(seen.length, 1)
        }
      }))
  }

  it.scopedLive("an error of ours that an interceptor throws in an open stream may have run", () =>
    Effect.gen(function*() {
      const { client } = yield* make("gRPC", {
        interceptors: [(next) => async (request) => {
          const response = await next(request)
          return response.stream
            ? {
              ...response,
              message: {
                [Symbol.asyncIterator]: () => ({
                  next: () => Promise.reject(new Retryable({ reason: "Custom", delivery: "NotSent", code: "OURS" }))
                })
              }
            }
            : response
        }]
      })
      const error = yield* Effect.flip(Effect.scoped(client.watch(x)))
      assert.deepStrictEqual(told(error), ["Retryable", "Custom", "Unknown", "OURS"])
    }))

  it.scopedLive("what onHeader and onTrailer throw is Fatal, whatever it looks like", () =>
    Effect.gen(function*() {
      const { client, seen } = yield* make("gRPC")
      const refuse = () => {
        throw Object.assign(new Error("not mine"), { code: "ECONNREFUSED", syscall: "connect" })
      }
      for (const options of [{ onHeader: refuse }, { onTrailer: refuse }]) {
        const calls = [
          Effect.asVoid(client.echo(x, options).pipe(withRpcRetry(quick))),
          Effect.scoped(Effect.flatMap(client.watch(x, options).pipe(withRpcRetry(quick)), Stream.runDrain))
        ]
        for (const call of calls) {
          seen.length = 0
          const error = yield* Effect.flip(call)
          assert.instanceOf(error, Fatal)
          assert.deepStrictEqual([error.reason, error.message], ["Custom", "not mine"])
          assert.isDefined(error.method)
          assert.strictEqual(seen.length, 1)
        }
      }
    }))

  it.scopedLive("onHeader and onTrailer are called by the attempt that is answered", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      const got: Array<string | null> = []
      script(fails(Code.Unavailable), (seen) => {
        seen.responseHeader.set("x-a", "1")
        seen.responseTrailer.set("x-b", "2")
        return "y"
      })
      const answer = yield* client.echo(x, {
        onHeader: (headers) => got.push(headers.get("x-a")),
        onTrailer: (trailers) => got.push(trailers.get("x-b"))
      }).pipe(withRpcRetry(quick))
      assert.strictEqual(answer.value, "y")
      assert.deepStrictEqual(got, ["1", "2"])
    }))

  for (const useBinaryFormat of [true, false]) {
    it.scopedLive(`what cannot be written is told, and not sent (binary: ${useBinaryFormat})`, () =>
      Effect.gen(function*() {
        const { client, seen } = yield* make("Connect over HTTP/1.1", { useBinaryFormat, writeMaxBytes: 1000 })
        const bad = client.echo({ value: Object.create(null) as string }).pipe(withRpcRetry(quick))
        const header = client.echo(x, { headers: { "x-a": "line\nbreak" } }).pipe(withRpcRetry(quick))
        const large = client.echo({ value: "x".repeat(2000) }).pipe(withRpcRetry(quick))
        for (const call of [bad, header, large]) {
          const error = yield* Effect.flip(call)
          assert.instanceOf(error, Fatal)
          assert.deepStrictEqual([error.reason, error.method], ["InvalidArgument", "test.v1.EchoService.Echo"])
        }
        assert.strictEqual(seen.length, 0)
      }))
  }

  it.scopedLive("an answer that is too large is Fatal, whatever is retried of what the server says", () =>
    Effect.gen(function*() {
      for (const kind of kinds) {
        const { client, script } = yield* make(kind, {
          readMaxBytes: 1000,
          client: { retryOn: [Code.ResourceExhausted] }
        })
        script(() => "x".repeat(2000))
        assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), ["Fatal", "Protocol", "RESOURCE_EXHAUSTED"])
      }
    }))
})

describe("giving up", () => {
  for (const kind of kinds) {
    it.scopedLive(`${kind}: an interrupted attempt stays an interruption, and is aborted`, () =>
      Effect.gen(function*() {
        const { client, script, seen } = yield* make(kind)
        script(stall)
        const fiber = yield* Effect.fork(client.echo(x))
        yield* eventually(() => seen.length === 1)
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        yield* seen[0]!.cancelled
      }))
  }

  it.scopedLive("canceled by the server is an error, and no interruption", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/2")
      script(fails(Code.Canceled))
      const error = yield* Effect.flip(client.echo(x).pipe(withRpcRetry(quick)))
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.reason, "Cancelled")
      assert.strictEqual(seen.length, 1)
    }))

  it.scopedLive("a signal of the caller's ends the call through Effect.runPromise", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("gRPC")
      script(stall)
      const controller = new AbortController()
      const running = Effect.runPromiseExit(client.echo(x).pipe(withRpcRetry(quick)), { signal: controller.signal })
      yield* eventually(() => seen.length === 1)
      controller.abort()
      const exit = yield* Effect.promise(() => running)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      yield* seen[0]!.cancelled
    }))

  it.scopedLive("what is not idempotent is retried when it was not sent", () =>
    Effect.gen(function*() {
      const { restart, stop, transport } = yield* make("gRPC")
      const change = Connect.unary(EchoService.method.change, transport, { idempotent: false })
      yield* stop
      const error = yield* Effect.flip(change(x).pipe(withRpcRetry(quick)))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.attempts], ["AttemptsExhausted", 4])
      yield* restart
      yield* change(x)
    }))
})
