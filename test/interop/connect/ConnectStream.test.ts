/**
 * Server streams: retried until the first message, never after.
 */
import { Code, type StreamResponse, type Transport } from "@connectrpc/connect"
import { Fatal, Retryable, RetryExhausted, RetryPolicy, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import * as ConnectServer from "../../support/connectServer.js"
import { eventually, settle } from "../../support/eventually.js"
import { assert, describe, it } from "../../support/vitest.js"

const { EchoService, closes, fails, kinds, make, stall } = ConnectServer

const delays = RetrySchedule.exponential({ base: "5 millis" })

const quick = { schedule: delays.pipe(RetrySchedule.retries(3)) }

const x = { value: "x" }

const collect = <E, R>(stream: Stream.Stream<{ readonly value: string }, E, R>) =>
  Effect.map(Stream.runCollect(stream), (messages) => Chunk.toReadonlyArray(messages).map(({ value }) => value))

/** Fails before the first message. */
const early = (step: ConnectServer.Step): ConnectServer.StreamStep =>
  async function*(seen) {
    yield await step(seen)
  }

/** Gives these messages first. */
const after = (texts: ReadonlyArray<string>, step: ConnectServer.Step): ConnectServer.StreamStep =>
  async function*(seen) {
    yield* texts
    yield await step(seen)
  }

/** Gives its second message when it is told to. */
const held = () => {
  let release = () => {}
  const told = new Promise<void>((resolve) => {
    release = resolve
  })
  const step: ConnectServer.StreamStep = async function*() {
    yield "a"
    await told
    yield "b"
  }
  return { step, release: () => release() }
}

for (const kind of kinds) {
  describe(`a stream over ${kind}`, () => {
    it.scopedLive("gives its messages, and its end", () =>
      Effect.gen(function*() {
        const { client, seen } = yield* make(kind)
        const messages = yield* client.watch(x).pipe(withRpcRetry(quick))
        assert.deepStrictEqual(yield* collect(messages), ["x 1", "x 2", "x 3"])
        assert.strictEqual(seen.length, 1)
      }))

    it.scopedLive("that is empty ends", () =>
      Effect.gen(function*() {
        const { client, scriptStream } = yield* make(kind)
        scriptStream(async function*() {})
        assert.deepStrictEqual(yield* collect(yield* client.watch(x).pipe(withRpcRetry(quick))), [])
      }))

    it.scopedLive("that fails before its first message is retried", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* make(kind)
        scriptStream(early(fails(Code.Unavailable)), early(closes))
        const messages = yield* client.watch(x).pipe(withRpcRetry(quick))
        assert.deepStrictEqual(yield* collect(messages), ["x 1", "x 2", "x 3"])
        assert.deepStrictEqual(seen.map(({ previousAttempts }) => previousAttempts), [0, 1, 2])
      }))

    it.scopedLive("that fails after its first message is not retried", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* make(kind)
        scriptStream(after(["a", "b"], fails(Code.Unavailable)), after(["a"], fails(Code.NotFound)))
        const got: Array<string> = []
        const run = Effect.flatMap(client.watch(x).pipe(withRpcRetry(quick)), (messages) =>
          Stream.runForEach(messages, ({ value }) => Effect.sync(() => got.push(value))))
        const lost = yield* Effect.flip(run)
        assert.instanceOf(lost, Retryable)
        assert.deepStrictEqual([lost.reason, lost.method], ["Unavailable", "test.v1.EchoService.Watch"])
        assert.deepStrictEqual(got, ["a", "b"])
        const fatal = yield* Effect.flip(run)
        assert.instanceOf(fatal, Fatal)
        assert.deepStrictEqual([fatal.reason, fatal.method], ["NotFound", "test.v1.EchoService.Watch"])
        assert.strictEqual(seen.length, 2)
      }))

    it.scopedLive("ends with the scope", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* make(kind)
        scriptStream(after(["a"], stall))
        const scope = yield* Scope.make()
        const messages = yield* Scope.extend(client.watch(x).pipe(withRpcRetry(quick)), scope)
        const fiber = yield* Effect.fork(Effect.exit(collect(messages)))
        yield* settle()
        assert.isFalse(seen[0]!.signal.aborted)
        yield* Scope.close(scope, Exit.void)
        yield* seen[0]!.cancelled
        yield* Fiber.join(fiber)
      }))

    it.scopedLive("ends with the stream, when that is earlier", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* make(kind)
        scriptStream(after(["a", "b"], stall))
        const messages = yield* client.watch(x).pipe(withRpcRetry(quick))
        assert.deepStrictEqual(yield* collect(Stream.take(messages, 1)), ["a"])
        yield* seen[0]!.cancelled
      }))

    it.scopedLive("is aborted when it is interrupted before its first message", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* make(kind)
        scriptStream(early(stall))
        const fiber = yield* Effect.fork(client.watch(x).pipe(withRpcRetry(quick)))
        yield* eventually(() => seen.length === 1)
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        yield* seen[0]!.cancelled
      }))

    it.scoped("is given up when its first message takes too long, and not when a later one does", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* TestServices.provideLive(make(kind))
        const late = held()
        scriptStream(early(stall), late.step)
        const policy = RetryPolicy.make({ schedule: Schedule.recurs(1), attemptTimeout: "1 minute" })
        const fiber = yield* Effect.fork(client.watch(x).pipe(withRpcRetry(policy)))
        yield* eventually(() => seen.length === 1)
        yield* TestClock.adjust("1 minute")
        const messages = yield* Fiber.join(fiber)
        yield* seen[0]!.cancelled
        yield* TestClock.adjust("2 minutes")
        late.release()
        assert.deepStrictEqual(yield* collect(messages), ["a", "b"])
      }))

    it.scoped("outlives the deadline of the call that opened it", () =>
      Effect.gen(function*() {
        const { client, scriptStream, seen } = yield* TestServices.provideLive(make(kind))
        const late = held()
        scriptStream(late.step, early(stall))
        const policy = RetryPolicy.make({ schedule: Schedule.recurs(1), deadline: "1 minute" })
        const messages = yield* client.watch(x).pipe(withRpcRetry(policy))
        yield* TestClock.adjust("2 minutes")
        late.release()
        assert.deepStrictEqual(yield* collect(messages), ["a", "b"])
        assert.isUndefined(seen[0]!.remaining)
        const fiber = yield* Effect.fork(Effect.flip(client.watch(x).pipe(withRpcRetry(policy))))
        yield* eventually(() => seen.length === 2)
        yield* TestClock.adjust("1 minute")
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.reason], ["DeadlineExceeded", "AttemptTimeout"])
        yield* seen[1]!.cancelled
      }))

    it.scopedLive("has the message that comes after a wait for it was given up", () =>
      Effect.gen(function*() {
        const { client, scriptStream } = yield* make(kind)
        const late = held()
        scriptStream(late.step)
        const pull = Effect.map(
          yield* Stream.toPull(yield* client.watch(x).pipe(withRpcRetry(quick))),
          (messages) => Chunk.toReadonlyArray(messages).map(({ value }) => value)
        )
        assert.deepStrictEqual(yield* pull, ["a"])
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(pull, "20 millis")))
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(pull, "20 millis")))
        late.release()
        yield* settle(50)
        assert.deepStrictEqual(yield* pull, ["b"])
        assert.isTrue(Option.isNone(yield* Effect.flip(pull)))
      }))

    it.scopedLive("asks for no more than is wanted", () =>
      Effect.gen(function*() {
        const { client, scriptStream } = yield* make(kind)
        let sent = 0
        const text = "x".repeat(64 * 1024)
        scriptStream(async function*() {
          for (; sent < 2_000; sent++) {
            yield text
          }
        })
        const messages = yield* client.watch(x).pipe(withRpcRetry(quick))
        yield* Stream.runDrain(Stream.tap(Stream.take(messages, 3), () => settle(50)))
        // what fills the buffers on the way, and not the 128 MiB there are
        assert.isBelow(sent, 1_000)
      }))
  })
}

describe("a stream", () => {
  it.scopedLive("timeoutMs bounds its whole life", () =>
    Effect.gen(function*() {
      const { client, scriptStream, seen } = yield* make("gRPC")
      scriptStream(after(["a"], stall))
      const messages = yield* client.watch(x, { timeoutMs: 200 }).pipe(withRpcRetry(quick))
      const error = yield* Effect.flip(collect(messages))
      assert.deepStrictEqual([error._tag, error.reason], ["Retryable", "AttemptTimeout"])
      assert.strictEqual(seen[0]!.remaining, 200)
    }))

  it.scopedLive("attempts that failed leave nothing in the scope, and are aborted", () =>
    Effect.gen(function*() {
      const { scriptStream, transport } = yield* make("gRPC")
      const signals: Array<AbortSignal> = []
      const watched: Transport = {
        ...transport,
        stream: (method, signal, ...rest): Promise<StreamResponse<never, never>> => {
          signals.push(signal!)
          return transport.stream(method, signal, ...rest) as Promise<StreamResponse<never, never>>
        }
      } as Transport
      const scope = yield* Scope.make()
      const watch = Connect.serverStream(EchoService.method.watch, watched)
      scriptStream(early(fails(Code.Unavailable)), early(fails(Code.Unavailable)))
      yield* Effect.provideService(watch(x).pipe(withRpcRetry(quick)), Scope.Scope, scope)
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [true, true, false])
      const state =
        (scope as unknown as { readonly state: { readonly finalizers: ReadonlyMap<object, unknown> } }).state
      assert.strictEqual(state.finalizers.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [true, true, true])
    }))

  it.scopedLive("can be run once, and says so", () =>
    Effect.gen(function*() {
      const { client, scriptStream, seen } = yield* make("Connect over HTTP/1.1")
      const isTold = (messages: Stream.Stream<{ readonly value: string }, Retryable | Fatal>) =>
        Effect.map(Effect.flip(collect(messages)), (error) => {
          assert.instanceOf(error, Fatal)
          assert.deepStrictEqual([error.reason, error.message, error.method], [
            "Custom",
            "the stream can be run once",
            "test.v1.EchoService.Watch"
          ])
        })
      const whole = yield* client.watch(x)
      assert.deepStrictEqual(yield* collect(whole), ["x 1", "x 2", "x 3"])
      yield* isTold(whole)
      const part = yield* client.watch(x)
      assert.deepStrictEqual(yield* collect(Stream.take(part, 1)), ["x 1"])
      yield* isTold(part)
      // one that is running goes on
      scriptStream(async function*() {
        yield "a"
        yield "b"
      })
      const running = yield* client.watch(x)
      const got = yield* collect(Stream.tap(running, () => isTold(running)))
      assert.deepStrictEqual(got, ["a", "b"])
      assert.strictEqual(seen.length, 3)
    }))

  it.scopedLive("gives headers when it opens, and trailers at its end", () =>
    Effect.gen(function*() {
      const { client, scriptStream } = yield* make("gRPC")
      scriptStream(async function*(seen) {
        seen.responseHeader.set("x-a", "1")
        yield "a"
        yield "b"
        seen.responseTrailer.set("x-b", "2")
      })
      const got: Array<string | null> = []
      const messages = yield* client.watch(x, {
        onHeader: (headers) => got.push(headers.get("x-a")),
        onTrailer: (trailers) => got.push(trailers.get("x-b"))
      })
      assert.deepStrictEqual(got, ["1"])
      yield* Stream.runDrain(messages)
      assert.deepStrictEqual(got, ["1", "2"])
    }))

  it.scopedLive("what is not idempotent is not opened again once it may have run", () =>
    Effect.gen(function*() {
      const { client, scriptStream, seen } = yield* make("gRPC", {
        client: { methods: { watch: { idempotent: false } } }
      })
      scriptStream(early(closes))
      const error = yield* Effect.flip(client.watch(x).pipe(withRpcRetry(quick)))
      assert.instanceOf(error, RetryExhausted)
      assert.strictEqual(error.reason, "NotIdempotent")
      assert.strictEqual(seen.length, 1)
    }))

  it.scopedLive("carries the key and the number of the retry", () =>
    Effect.gen(function*() {
      const { client, scriptStream, seen } = yield* make("Connect over HTTP/2")
      scriptStream(early(fails(Code.Unavailable)))
      yield* client.watch(x).pipe(withRpcRetry({ ...quick, idempotencyKey: "k" }))
      assert.deepStrictEqual(
        seen.map(({ headers, idempotencyKey }) => [idempotencyKey, headers.get("x-retry-attempt")]),
        [["k", null], ["k", "1"]]
      )
    }))
})
