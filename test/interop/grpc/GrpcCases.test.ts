/**
 * The cases of the retry tests of grpc-go, grpc-java, grpc-js and gRPC's core on the wire: against a server of grpc-js, and where it
 * may differ against one of grpc-go. They are numbered, and `docs/transports/grpc.md` names them by their numbers; those that need no
 * wire are in `test/internal/config/serviceConfig.test.ts`, `test/ServerHint.test.ts` and `test/RetryBudget.test.ts`. Cases 12 to 16
 * and 107 are hedging, which there is none of yet.
 */
import * as grpc from "@grpc/grpc-js"
import {
  Fatal,
  InvalidOption,
  type Retryable,
  RetryExhausted,
  type RetryPolicy,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Seen } from "../../support/contract.js"
import { eventually, settle } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { client, type EchoClient } from "../../support/grpcClient.js"
import * as GrpcGo from "../../support/grpcGo.js"
import * as GrpcServer from "../../support/grpcServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const hi = { value: "hi" }

interface Failing {
  readonly details?: string
  readonly pushback?: string | ReadonlyArray<string>
  /** Messages of a stream before it. */
  readonly messages?: number
}

type Step = { readonly _tag: "Answer" | "Stall" } | ({ readonly _tag: "Status"; readonly code: number } & Failing)

const ok: Step = { _tag: "Answer" }
const stall: Step = { _tag: "Stall" }
const fail = (code: keyof typeof grpc.status | number, more: Failing = {}): Step => ({
  _tag: "Status",
  code: typeof code === "number" ? code : grpc.status[code],
  ...more
})
const unavailable = fail("UNAVAILABLE")
const times = (count: number, step: Step): ReadonlyArray<Step> => Array.from({ length: count }, () => step)

interface Peer {
  readonly echo: EchoClient
  readonly script: (...steps: ReadonlyArray<Step>) => Effect.Effect<void>
  readonly seen: Effect.Effect<ReadonlyArray<Seen>>
}

const wired = (step: Step) =>
  step._tag === "Status"
    ? {
      _tag: step._tag,
      code: step.code,
      details: step.details ?? "",
      messages: step.messages ?? 0,
      trailers: step.pushback === undefined
        ? {}
        : { "grpc-retry-pushback-ms": typeof step.pushback === "string" ? [step.pushback] : step.pushback }
    }
    : { _tag: step._tag }

const node = Effect.gen(function*() {
  const server = yield* GrpcServer.make
  const peer: Peer = {
    echo: yield* client(server.address, Grpc.channelOptions),
    script: (...steps) => server.script(...steps.map(wired)),
    seen: server.seen
  }
  return peer
})

const config = (
  options: {
    readonly maxAttempts?: number
    readonly codes?: ReadonlyArray<string | number>
    readonly initialBackoff?: string
    readonly maxBackoff?: string
    readonly throttling?: { readonly maxTokens: number; readonly tokenRatio: number }
  } = {}
) => ({
  methodConfig: [{
    name: [{ service: "interop.v1.Echo" }],
    retryPolicy: {
      maxAttempts: options.maxAttempts ?? 4,
      initialBackoff: options.initialBackoff ?? "0.002s",
      maxBackoff: options.maxBackoff ?? "0.01s",
      backoffMultiplier: 2,
      retryableStatusCodes: options.codes ?? ["UNAVAILABLE"]
    }
  }],
  ...(options.throttling === undefined ? {} : { retryThrottling: options.throttling })
})

const under = (json: unknown, options?: { readonly maxAttempts?: number }) =>
  Effect.provide(RpcRetry.layerServiceConfig(json, options))

const three = config({ maxAttempts: 3, codes: [14, "RESOURCE_EXHAUSTED"] })

const delaysOf = (error: RetryExhausted) =>
  error.history.flatMap(({ delay }) => delay === undefined ? [] : [Duration.toMillis(delay)])

const codeOf = (error: unknown): unknown =>
  error instanceof RetryExhausted ? error.last.code : error instanceof Fatal ? error.code : error

const detailsOf = (error: Retryable | Fatal) => (error.cause as grpc.ServiceError).details

const words = (stream: Stream.Stream<{ readonly value: string }, Retryable | Fatal>) =>
  Effect.map(Stream.runCollect(stream), (all) => Array.from(all, ({ value }) => value))

const cases = (name: string, make: Effect.Effect<Peer, never, Scope.Scope>, skipped: string | undefined) => {
  const test = (says: string, body: (peer: Peer) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(says, () => Effect.flatMap(make, body))

  /** How one call of a method that also retries RESOURCE_EXHAUSTED ends: its code, or "ok"; and how many requests there were. */
  const outcome = (peer: Peer, steps: ReadonlyArray<Step>, retryOn: Grpc.Options["retryOn"] = ["RESOURCE_EXHAUSTED"]) =>
    Effect.gen(function*() {
      yield* peer.script(...steps)
      const before = (yield* peer.seen).length
      const result = yield* Effect.either(Grpc.unary(peer.echo, "echo", { retryOn })(hi).pipe(withRpcRetry))
      const requests = (yield* peer.seen).length - before
      return [result._tag === "Left" ? codeOf(result.left) : "ok", requests]
    })

  describe.skipIf(skipped !== undefined)(`gRPC's cases: ${name} ${skipped ?? ""}`, () => {
    test("5. success at once: one attempt", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, []), ["ok", 1])
      }).pipe(under(three)))

    test("6. two RESOURCE_EXHAUSTED, then success", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, times(2, fail("RESOURCE_EXHAUSTED"))), ["ok", 3])
        assert.deepStrictEqual((yield* peer.seen).map(({ previousAttempts }) => previousAttempts), [0, 1, 2])
      }).pipe(under(three)))

    test("7. more failures than attempts: the error of the last one", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(...[0, 1, 2, 3].map((i) => fail("UNAVAILABLE", { details: `retry ${i}` })))
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.attempts, detailsOf(error.last)], [3, "retry 2"])
        assert.strictEqual((yield* peer.seen).length, 3)
      }).pipe(under(three)))

    test("8. NOT_FOUND: one attempt and that error", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, [fail("NOT_FOUND")]), ["NOT_FOUND", 1])
      }).pipe(under(three)))

    test("9. ten attempts: ten, or five where gRPC's limit is asked for", (peer) =>
      Effect.gen(function*() {
        const ten = config({ maxAttempts: 10 })
        assert.deepStrictEqual(yield* outcome(peer, times(10, unavailable)).pipe(under(ten)), ["UNAVAILABLE", 10])
        assert.deepStrictEqual(
          yield* outcome(peer, times(5, unavailable)).pipe(under(ten, { maxAttempts: 5 })),
          ["UNAVAILABLE", 5]
        )
      }))

    test("10. ten attempts and a limit of eight: the eighth may succeed", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, times(7, unavailable)), ["ok", 8])
      }).pipe(under(config({ maxAttempts: 10 }), { maxAttempts: 8 })))

    test("11. a code that gRPC does not have: one attempt, kept", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, [fail(300)]), [300, 1])
      }).pipe(under(three)))

    test("35 to 41. unary: attempts and codes", (peer) =>
      Effect.gen(function*() {
        const internal = fail("INTERNAL")
        assert.deepStrictEqual(yield* outcome(peer, [ok]), ["ok", 1], "35")
        assert.deepStrictEqual(yield* outcome(peer, [unavailable, ok]), ["ok", 2], "36")
        assert.deepStrictEqual(yield* outcome(peer, [unavailable, unavailable, ok]), ["ok", 3], "37")
        assert.deepStrictEqual(yield* outcome(peer, [internal]), ["INTERNAL", 1], "38")
        assert.deepStrictEqual(yield* outcome(peer, [unavailable, internal]), ["INTERNAL", 2], "39")
        assert.deepStrictEqual(yield* outcome(peer, [unavailable, unavailable, internal]), ["INTERNAL", 3], "40")
        assert.deepStrictEqual(yield* outcome(peer, times(4, unavailable)), ["UNAVAILABLE", 4], "41")
      }).pipe(under(config())))

    test("42 to 44. throttling of 10 tokens at 0.5: what it lets through, and when again", (peer) =>
      Effect.gen(function*() {
        const call = (...steps: ReadonlyArray<Step>) => outcome(peer, steps)
        assert.deepStrictEqual(yield* call(ok), ["ok", 1])
        assert.deepStrictEqual(yield* call(unavailable, unavailable, ok), ["ok", 3], "8.5")
        assert.deepStrictEqual(yield* call(unavailable, unavailable, ok), ["ok", 3], "7")
        assert.deepStrictEqual(yield* call(unavailable, unavailable), ["UNAVAILABLE", 2], "6, retried; 5, stopped")
        assert.deepStrictEqual(yield* call(unavailable), ["UNAVAILABLE", 1], "43: 4, not retried, and fallen")
        for (let i = 0; i < 5; i++) {
          assert.deepStrictEqual(yield* call(ok), ["ok", 1])
        }
        assert.deepStrictEqual(yield* call(unavailable, ok), ["ok", 2], "44: 5.5, retried; 6")
        assert.deepStrictEqual(yield* call(unavailable), ["UNAVAILABLE", 1], "5, stopped")
        assert.strictEqual((yield* peer.seen).length, 18)
      }).pipe(under(config({ throttling: { maxTokens: 10, tokenRatio: 0.5 } }))))

    test("45 to 47. streams: no retry of another code; replayed with its number; exhausted", (peer) =>
      Effect.gen(function*() {
        const list = Grpc.serverStream(peer.echo, "list")
        const open = list({ value: "a b" }).pipe(withRpcRetry)
        const numbers = (from: number) =>
          Effect.map(peer.seen, (seen) => seen.slice(from).map(({ previousAttempts }) => previousAttempts))
        yield* peer.script(fail("INTERNAL"))
        assert.strictEqual(codeOf(yield* Effect.flip(open)), "INTERNAL", "45")
        yield* peer.script(unavailable)
        assert.deepStrictEqual(yield* words(yield* open), ["a", "b"], "46")
        assert.deepStrictEqual(yield* numbers(1), [0, 1], "46")
        yield* peer.script(...times(4, unavailable))
        assert.strictEqual(codeOf(yield* Effect.flip(open)), "UNAVAILABLE", "47")
        assert.deepStrictEqual(yield* numbers(3), [0, 1, 2, 3], "47")
      }).pipe(under(config())))

    const refusals: ReadonlyArray<[number: string, pushback: string | ReadonlyArray<string>]> = [
      ["55", "-1"],
      ["56", "xxx"],
      ["57", ["1", "2"]],
      ["105", ""],
      ["105", "50abc"],
      ["105", "3000000000"],
      ["105", "-1"],
      ["105", ["10", "10"]],
      ["105", "007"]
    ]
    for (const [number, pushback] of refusals) {
      test(`${number}. pushback ${JSON.stringify(pushback)}: no retry`, (peer) =>
        Effect.gen(function*() {
          yield* peer.script(fail("UNAVAILABLE", { pushback }))
          const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry))
          assert.instanceOf(error, RetryExhausted)
          assert.deepStrictEqual([error.reason, error.attempts], ["ServerSaidNo", 1])
          assert.strictEqual((yield* peer.seen).length, 1)
        }).pipe(under(config())))
    }

    test("58. pushback \"1000\" with a backoff of 2 ms: the retry comes after a second, and succeeds", (peer) =>
      Effect.gen(function*() {
        const [took, result] = yield* Effect.timed(outcome(peer, [fail("UNAVAILABLE", { pushback: "1000" })]))
        assert.deepStrictEqual(result, ["ok", 2])
        assert.isAtLeast(Duration.toMillis(took), 999)
      }).pipe(under(config())))

    test("76, 77. INTERNAL, and CANCELLED of the server: that error after one request", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, [fail("INTERNAL")]), ["INTERNAL", 1])
        yield* peer.script(fail("CANCELLED"))
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry))
        assert.instanceOf(error, Fatal)
        assert.strictEqual(error.reason, "Cancelled")
        assert.strictEqual((yield* peer.seen).length, 2)
      }))

    test("78. without withRpcRetry a layer does nothing: the plain error", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(unavailable)
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi))
        assert.strictEqual(error._tag, "Retryable")
        assert.strictEqual((yield* peer.seen).length, 1)
      }).pipe(under(config())))

    test("79. stream: a code that is not retried fails the opening, whose first message it would have been", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(fail("INTERNAL"))
        const error = yield* Effect.flip(Grpc.serverStream(peer.echo, "list")(hi).pipe(withRpcRetry))
        assert.strictEqual(codeOf(error), "INTERNAL")
        assert.strictEqual((yield* peer.seen).length, 1)
      }))

    test("80. two DATA_LOSS, then success, where they are retried", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, times(2, fail("DATA_LOSS")), ["DATA_LOSS"]), ["ok", 3])
      }).pipe(under(config({ maxAttempts: 3, codes: ["UNAVAILABLE", "DATA_LOSS"] }))))

    const five = { schedule: Schedule.recurs(4), retryIf: () => true }

    test("81, 82. codes, a predicate and attempts of one method take the place of the client's", (peer) =>
      Effect.gen(function*() {
        const echo = Grpc.client(peer.echo, {
          retryOn: ["DATA_LOSS"],
          methods: {
            echo: { retryOn: ["NOT_FOUND"] },
            read: { retryOn: ({ details }) => details.includes("again") }
          }
        })
        yield* peer.script(...times(4, fail("NOT_FOUND")))
        assert.deepStrictEqual(yield* echo.echo(hi).pipe(withRpcRetry(five)), hi)
        assert.strictEqual((yield* peer.seen).length, 5)
        yield* peer.script(...times(4, fail("INTERNAL", { details: "try again" })))
        assert.deepStrictEqual(yield* echo.read(hi).pipe(withRpcRetry(five)), hi)
        assert.strictEqual((yield* peer.seen).length, 10)
      }).pipe(under(config({ maxAttempts: 2 }))))

    /** How often a policy says that a retry follows. */
    const heard = <A, E, R>(call: Effect.Effect<A, E, R>) =>
      Effect.gen(function*() {
        let retries = 0
        let ended = false
        const onEvent: RetryPolicy.Options["onEvent"] = ({ _tag }) =>
          Effect.sync(() => {
            retries += _tag === "RetryScheduled" ? 1 : 0
            ended ||= _tag === "CallSucceeded" || _tag === "CallFailed"
          })
        const exit = yield* Effect.exit(call.pipe(withRpcRetry({ onEvent, schedule: Schedule.recurs(3) })))
        yield* eventually(() => ended)
        return [exit._tag, retries]
      })

    test("83, 84. the callback of a retry runs once for each retry, and for no other failure", (peer) =>
      Effect.gen(function*() {
        const echo = Grpc.unary(peer.echo, "echo")(hi)
        yield* peer.script(unavailable, unavailable)
        assert.deepStrictEqual(yield* heard(echo), ["Success", 2])
        yield* peer.script(fail("INTERNAL"))
        assert.deepStrictEqual(yield* heard(echo), ["Failure", 0])
      }))

    test("85, 87. stream: two failures, then all items, three requests, two callbacks", (peer) =>
      Effect.gen(function*() {
        const list = Grpc.serverStream(peer.echo, "list")
        yield* peer.script(unavailable, unavailable)
        assert.deepStrictEqual(yield* words(yield* list({ value: "a b c" }).pipe(withRpcRetry)), ["a", "b", "c"])
        assert.strictEqual((yield* peer.seen).length, 3)
        yield* peer.script(unavailable, unavailable)
        assert.deepStrictEqual(yield* heard(list({ value: "a" })), ["Success", 2])
      }))

    test("86. stream: codes or a predicate of its own, and five attempts", (peer) =>
      Effect.gen(function*() {
        const opened = (retryOn: Grpc.Options["retryOn"], step: Step) =>
          Effect.gen(function*() {
            yield* peer.script(...times(4, step))
            const list = Grpc.serverStream(peer.echo, "list", { retryOn })
            return yield* words(yield* list({ value: "a" }).pipe(withRpcRetry(five)))
          })
        assert.deepStrictEqual(yield* opened(["NOT_FOUND"], fail("NOT_FOUND")), ["a"])
        assert.deepStrictEqual(
          yield* opened(({ details }) => details === "again", fail("INTERNAL", { details: "again" })),
          ["a"]
        )
        assert.strictEqual((yield* peer.seen).length, 10)
      }))

    test("97. interrupted in a backoff: ends at once, and no attempt starts later", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(...times(4, unavailable))
        const waits = yield* Deferred.make<void>()
        const schedule = Schedule.spaced("60 millis").pipe(Schedule.tapOutput(() => Deferred.succeed(waits, undefined)))
        const fiber = yield* Effect.fork(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry({ schedule })))
        yield* Deferred.await(waits)
        yield* Fiber.interrupt(fiber)
        yield* settle(150)
        assert.strictEqual((yield* peer.seen).length, 1)
      }))

    test("98. interrupted in an attempt: that one is cancelled, and nothing follows", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(stall)
        const fiber = yield* Effect.fork(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry))
        yield* eventually(Effect.map(peer.seen, (seen) => seen.length === 1))
        yield* Fiber.interrupt(fiber)
        yield* (yield* peer.seen)[0]!.cancelled
        yield* settle(50)
        assert.strictEqual((yield* peer.seen).length, 1)
      }))

    test("99, 100. a deadline inside the next delay: fails without it, and the server's last error is there", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(fail("UNAVAILABLE", { details: "busy with something" }))
        const policy = { schedule: Schedule.spaced("1 hour"), deadline: "30 minutes" } as const
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry(policy)))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.code, detailsOf(error.last)], [
          "DeadlineTooClose",
          "UNAVAILABLE",
          "busy with something"
        ])
      }))

    test("101. a throttled retry fails at once, without the backoff", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(unavailable)
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, delaysOf(error)], ["BudgetExhausted", []])
      }).pipe(
        under(config({ initialBackoff: "3600s", maxBackoff: "3600s", throttling: { maxTokens: 2, tokenRatio: 0.1 } }))
      ))

    test("102. delays: each within 20 % of its backoff, and of the cap", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(...times(6, unavailable))
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry))
        assert.instanceOf(error, RetryExhausted)
        const delays = delaysOf(error)
        assert.strictEqual(delays.length, 5)
        for (const [i, backoff] of [4, 8, 10, 10, 10].entries()) {
          assert.isAtLeast(delays[i]!, backoff * 0.8)
          assert.isAtMost(delays[i]!, backoff * 1.2)
        }
      }).pipe(under(config({ maxAttempts: 6, initialBackoff: "0.004s" }))))

    test("103. pushback is the delay exactly, and the backoff starts over behind it", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(unavailable, unavailable, fail("UNAVAILABLE", { pushback: "41" }), unavailable, unavailable)
        const schedule = RetrySchedule.exponential({ base: "3 millis", factor: 2 }).pipe(RetrySchedule.retries(4))
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry({ schedule })))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual(delaysOf(error), [3, 6, 41, 3])
      }))

    test("104. pushback on a fatal failure, or on the last attempt: no retry", (peer) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(peer, [fail("INTERNAL", { pushback: "1" })]), ["INTERNAL", 1])
        const pushed = fail("UNAVAILABLE", { pushback: "1" })
        assert.deepStrictEqual(yield* outcome(peer, times(4, pushed)), ["UNAVAILABLE", 4])
      }).pipe(under(config())))

    test("106. an attempt that hangs: only it is cancelled, and the call is made again within the deadline", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(stall)
        const policy = { attemptTimeout: "2 seconds", deadline: "1 minute", schedule: Schedule.recurs(2) } as const
        assert.deepStrictEqual(yield* Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry(policy)), hi)
        const seen = yield* peer.seen
        assert.strictEqual(seen.length, 2)
        yield* seen[0]!.cancelled
        assert.isBelow(seen[1]!.remaining!, seen[0]!.remaining!)
      }))

    test("108. not idempotent: UNAVAILABLE is retried only where the caller opted in", (peer) =>
      Effect.gen(function*() {
        const call = (idempotent: boolean) =>
          Effect.either(
            Grpc.unary(peer.echo, "echo", { idempotent })(hi).pipe(withRpcRetry({ schedule: Schedule.recurs(3) }))
          )
        yield* peer.script(unavailable)
        const refused = yield* call(false)
        assert.deepStrictEqual([
          refused._tag === "Left" && refused.left._tag === "RetryExhausted" && refused.left.reason
        ], [
          "NotIdempotent"
        ])
        yield* peer.script(unavailable)
        assert.strictEqual((yield* call(true))._tag, "Right")
        assert.strictEqual((yield* peer.seen).length, 3)
      }))

    test("109. a stream that fails after its first item: no retry, no item twice", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(fail("UNAVAILABLE", { messages: 1 }))
        const stream = yield* Grpc.serverStream(peer.echo, "list")({ value: "a b" }).pipe(withRpcRetry)
        const items: Array<string> = []
        const error = yield* Effect.flip(Stream.runForEach(stream, ({ value }) => Effect.sync(() => items.push(value))))
        assert.deepStrictEqual([items, error._tag, error.code], [["a"], "Retryable", "UNAVAILABLE"])
        assert.strictEqual((yield* peer.seen).length, 1)
      }).pipe(under(config())))

    test("110. exhausted: by type, with attempts, last cause, total delay", (peer) =>
      Effect.gen(function*() {
        yield* peer.script(...times(3, unavailable), fail("UNAVAILABLE", { details: "the last" }))
        const schedule = Schedule.spaced("5 millis").pipe(RetrySchedule.retries(3))
        const error = yield* Effect.flip(Grpc.unary(peer.echo, "echo")(hi).pipe(withRpcRetry({ schedule })))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.attempts, detailsOf(error.last), delaysOf(error)], [
          "AttemptsExhausted",
          4,
          "the last",
          [5, 5, 5]
        ])
      }))
  })
}

cases("grpc-js", node, undefined)

const program = GoProgram.make("grpcserver")

cases(
  "grpc-go",
  Effect.gen(function*() {
    const server = yield* GrpcGo.make(program.serve)
    const peer: Peer = {
      echo: yield* client(server.address, Grpc.channelOptions),
      script: (...steps) => server.script(...steps.map(wired)),
      seen: server.seen
    }
    return peer
  }),
  GoServer.skipped
)

describe("gRPC's cases: on this side only", () => {
  it.effect("a backoff of zero is refused, by name", () =>
    Effect.gen(function*() {
      const zero = config({ initialBackoff: "0s" })
      const error = yield* Effect.flip(Effect.provide(Effect.void, RpcRetry.layerServiceConfig(zero)))
      assert.instanceOf(error, InvalidOption)
      assert.include(error.message, "initialBackoff")
    }))

  it.scopedLive("the fraction of a second in a timeout of a service config counts", () =>
    Effect.gen(function*() {
      const { echo, seen } = yield* node
      const timed = { methodConfig: [{ name: [{ service: "interop.v1.Echo" }], timeout: "60.5s" }] }
      assert.deepStrictEqual(yield* Grpc.unary(echo, "echo")(hi).pipe(withRpcRetry, under(timed)), hi)
      const { remaining } = (yield* seen)[0]!
      assert.isAtMost(remaining!, 60_500)
      assert.isAbove(remaining!, 30_000)
    }))

  const outage = Effect.gen(function*() {
    const server = yield* GrpcServer.make
    yield* server.stop
    const echo = yield* client(server.address, { ...Grpc.channelOptions, "grpc.initial_reconnect_backoff_ms": 20 })
    return { ...server, list: Grpc.serverStream(echo, "list")({ value: "a" }) }
  })

  it.scopedLive("88. stream: the server down for longer than the retries: UNAVAILABLE at the opening", () =>
    Effect.gen(function*() {
      const { list } = yield* outage
      const error = yield* Effect.flip(list.pipe(withRpcRetry({ schedule: Schedule.recurs(3) })))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.last.code], ["AttemptsExhausted", "UNAVAILABLE"])
    }))

  it.scopedLive("89. stream: a deadline shorter than the outage: the deadline is the reason, the outage the last error", () =>
    Effect.gen(function*() {
      const { list } = yield* outage
      const policy = { schedule: Schedule.spaced("10 millis"), deadline: "500 millis" } as const
      const error = yield* Effect.flip(list.pipe(withRpcRetry(policy)))
      assert.instanceOf(error, RetryExhausted)
      assert.include(["DeadlineTooClose", "DeadlineExceeded"], error.reason)
      assert.isAbove(error.attempts, 1)
    }))

  it.scopedLive("90. stream: many retries and a short outage: it opens", () =>
    Effect.gen(function*() {
      const { list, start } = yield* outage
      let failed = 0
      const attempt = Effect.tapError(list, () => Effect.sync(() => failed++))
      const fiber = yield* Effect.fork(attempt.pipe(withRpcRetry({ schedule: Schedule.spaced("25 millis") })))
      yield* eventually(() => failed === 2)
      yield* start
      assert.deepStrictEqual(yield* words(yield* Fiber.join(fiber)), ["a"])
    }))

  it.scopedLive("91, 92. what is around the retries runs once, what is inside once for each attempt: unary and stream", () =>
    Effect.gen(function*() {
      const server = yield* GrpcServer.make
      let inner = 0
      let outer = 0
      const counting: grpc.Interceptor = (options, next) => {
        inner++
        return new grpc.InterceptingCall(next(options))
      }
      const echo = Grpc.client(yield* client(server.address), { callOptions: { interceptors: [counting] } })
      const ran = <A, E, R>(call: Effect.Effect<A, E, R>, ...steps: ReadonlyArray<Step>) =>
        Effect.gen(function*() {
          inner = outer = 0
          yield* server.script(...steps.map(wired))
          yield* Effect.zipRight(Effect.sync(() => outer++), call.pipe(withRpcRetry))
          return [outer, inner]
        })
      assert.deepStrictEqual(yield* ran(echo.echo(hi)), [1, 1])
      assert.deepStrictEqual(yield* ran(echo.list(hi)), [1, 1])
      assert.deepStrictEqual(yield* ran(echo.echo(hi), unavailable), [1, 2])
      assert.deepStrictEqual(yield* ran(echo.list(hi), unavailable), [1, 2])
    }))
})
