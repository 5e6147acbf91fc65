/**
 * `Grpc.serverStream`: retried until the first message, never after.
 */
import * as grpc from "@grpc/grpc-js"
import { Fatal, Retryable, RetryExhausted, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import { eventually, settle } from "../../support/eventually.js"
import { client, type Text } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import * as GrpcServer from "../../support/grpcServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const subject = Effect.gen(function*() {
  const server = yield* GrpcServer.make
  const echo = yield* client(server.address)
  return { server, list: Grpc.serverStream(echo, "list") }
})

/** With a connection, so that a short time is enough for a request to arrive. */
const warm = Effect.tap(subject, ({ list }) => Effect.flatMap(list({ value: "" }), Stream.runDrain))

/** Answers with "a" and, once told to go on, with "b". */
const inTwo = () => {
  let end = () => {}
  const step: Raw.Step = (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true })
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }))
    stream.write(Raw.frame(Raw.text("a")))
    end = () => stream.end(Raw.frame(Raw.text("b")))
  }
  return { step, goOn: () => end() }
}

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(3))

const unavailable = GrpcServer.status("UNAVAILABLE")

/** The words that came, and what the stream ended with. */
const drain = <E>(stream: Stream.Stream<{ readonly value: string }, E>) =>
  Effect.gen(function*() {
    const words = yield* Ref.make<ReadonlyArray<string>>([])
    const exit = yield* Effect.either(
      Stream.runForEach(stream, ({ value }) => Ref.update(words, (all) => [...all, value]))
    )
    return { words: yield* Ref.get(words), error: exit._tag === "Left" ? exit.left : undefined }
  })

/** How much a scope has to close. */
const finalizers = (scope: Scope.CloseableScope): number =>
  (scope as unknown as { readonly state: { readonly finalizers: ReadonlyMap<unknown, unknown> } }).state.finalizers.size

describe("Grpc.serverStream", () => {
  it.scopedLive("gives all messages in order", () =>
    Effect.gen(function*() {
      const { list } = yield* subject
      const words = Array.from({ length: 500 }, (_, i) => `word${i}`)
      const stream = yield* list({ value: words.join(" ") }).pipe(withRpcRetry)
      assert.deepStrictEqual(yield* drain(stream), { words, error: undefined })
    }))

  it.scopedLive("a stream of nothing is done when it has ended", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      assert.deepStrictEqual(yield* drain(yield* list({ value: "" })), { words: [], error: undefined })
      yield* server.script(unavailable)
      assert.deepStrictEqual(yield* drain(yield* list({ value: "" }).pipe(withRpcRetry({ schedule }))), {
        words: [],
        error: undefined
      })
    }))

  it.scopedLive("is retried until the first message; then its failures are in the stream, and no message comes twice", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script(unavailable, unavailable, GrpcServer.status("UNAVAILABLE", { messages: 2 }))
      const stream = yield* list({ value: "a b c" }).pipe(withRpcRetry({ schedule }))
      const { error, words } = yield* drain(stream)
      assert.deepStrictEqual(words, ["a", "b"])
      assert.instanceOf(error, Retryable)
      assert.deepStrictEqual([error.reason, error.delivery, error.method], [
        "Unavailable",
        "Unknown",
        "interop.v1.Echo.List"
      ])
      assert.deepStrictEqual((yield* server.seen).map(({ previousAttempts }) => previousAttempts), [0, 1, 2])
    }))

  it.scopedLive("a Fatal before the first message ends the call, one after it the stream", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script(GrpcServer.status("NOT_FOUND"), GrpcServer.status("NOT_FOUND", { messages: 1 }))
      const early = yield* Effect.flip(list({ value: "a b" }).pipe(withRpcRetry({ schedule })))
      assert.instanceOf(early, Fatal)
      const { error, words } = yield* drain(yield* list({ value: "a b" }).pipe(withRpcRetry({ schedule })))
      assert.deepStrictEqual(words, ["a"])
      assert.instanceOf(error, Fatal)
      assert.strictEqual((yield* server.seen).length, 2)
    }))

  it.scopedLive("a head that came before the failure does not stop the retry", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script(GrpcServer.status("UNAVAILABLE", { head: true }))
      assert.deepStrictEqual((yield* drain(yield* list({ value: "a" }).pipe(withRpcRetry({ schedule })))).words, ["a"])
      assert.strictEqual((yield* server.seen).length, 2)
    }))

  it.scopedLive("who reads late has all that came before the failure", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script(GrpcServer.status("UNAVAILABLE", { messages: 8 }))
      const stream = yield* list({ value: "a b c d e f g h i" })
      yield* settle(100)
      const { error, words } = yield* drain(stream)
      assert.deepStrictEqual([words.join(""), error?._tag], ["abcdefgh", "Retryable"])
    }))

  it.scopedLive("a connection that breaks later is lost in the stream, after what came", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script({ _tag: "Reset", messages: 2 })
      const { error, words } = yield* drain(yield* list({ value: "a b c" }).pipe(withRpcRetry({ schedule })))
      assert.deepStrictEqual(words, ["a", "b"])
      assert.instanceOf(error, Retryable)
      assert.deepStrictEqual([error.reason, error.delivery], ["ConnectionLost", "Unknown"])
    }))

  it.scopedLive("failed attempts leave nothing in the scope, and neither does a stream that has ended", () =>
    Effect.gen(function*() {
      const { list, server } = yield* warm
      const scope = yield* Scope.make()
      yield* server.script(unavailable, unavailable, unavailable, unavailable)
      yield* Effect.flip(list({ value: "a" }).pipe(withRpcRetry({ schedule }), Scope.extend(scope)))
      assert.strictEqual(finalizers(scope), 0)
      yield* server.script(GrpcServer.stall)
      yield* Effect.flip(
        list({ value: "a" }).pipe(
          withRpcRetry({ schedule: Schedule.stop, attemptTimeout: "2 seconds" }),
          Scope.extend(scope)
        )
      )
      yield* (yield* server.seen).at(-1)!.cancelled
      yield* eventually(Effect.sync(() => finalizers(scope) === 0))
      const stream = yield* list({ value: "a" }).pipe(withRpcRetry({ schedule }), Scope.extend(scope))
      assert.strictEqual(finalizers(scope), 1)
      yield* Stream.runDrain(stream)
      assert.strictEqual(finalizers(scope), 0)
      yield* Scope.close(scope, Exit.void)
    }))

  it.scopedLive("closing the scope cancels the call; who reads is told", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script({ _tag: "Stall", messages: 1 })
      const scope = yield* Scope.make()
      const stream = yield* list({ value: "a b" }).pipe(withRpcRetry, Scope.extend(scope))
      let read = 0
      const reader = yield* Effect.fork(drain(Stream.tap(stream, () => Effect.sync(() => read++))))
      yield* eventually(() => read === 1)
      yield* Scope.close(scope, Exit.void)
      yield* (yield* server.seen)[0]!.cancelled
      const { error, words } = yield* Fiber.join(reader)
      assert.deepStrictEqual(words, ["a"])
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.message], ["Cancelled", "the stream was closed"])
    }))

  it.scopedLive("a stream that is given up cancels the call at once, though the scope is open", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      const words = Array.from({ length: 5000 }, () => "word").join(" ")
      const stream = yield* list({ value: words })
      assert.strictEqual(Chunk.size(yield* Stream.runCollect(Stream.take(stream, 3))), 3)
      yield* (yield* server.seen)[0]!.cancelled
      const { error } = yield* drain(stream)
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.message], ["Custom", "the stream can be run once"])
      yield* server.script({ _tag: "Stall", messages: 1 })
      let read = 0
      const reader = yield* Effect.fork(
        Stream.runForEach(yield* list({ value: "a b" }), () => Effect.sync(() => read++))
      )
      yield* eventually(() => read === 1)
      yield* Fiber.interrupt(reader)
      yield* (yield* server.seen)[1]!.cancelled
    }))

  it.scopedLive("a stream that has ended can not be run again, and says so, in place of an empty one", () =>
    Effect.gen(function*() {
      const { list } = yield* subject
      const stream = yield* list({ value: "a b" })
      assert.deepStrictEqual((yield* drain(stream)).words, ["a", "b"])
      const { error, words } = yield* drain(stream)
      assert.deepStrictEqual(words, [])
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.method, error.message], [
        "Custom",
        "interop.v1.Echo.List",
        "the stream can be run once"
      ])
    }))

  it.scopedLive("an interrupted call cancels the stream it was opening", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      yield* server.script(GrpcServer.stall)
      const fiber = yield* Effect.fork(list({ value: "a" }).pipe(withRpcRetry({ schedule })))
      yield* eventually(Effect.map(server.seen, (seen) => seen.length === 1))
      yield* Fiber.interrupt(fiber)
      yield* (yield* server.seen)[0]!.cancelled
      assert.strictEqual((yield* server.seen).length, 1)
    }))

  it.scoped("the attempt timeout bounds the time to the first message only", () =>
    Effect.gen(function*() {
      const { list, server } = yield* TestServices.provideLive(warm)
      yield* server.script(GrpcServer.stall, { _tag: "Stall", messages: 1 })
      const policy = { schedule: Schedule.recurs(1), attemptTimeout: "1 minute" } as const
      const opening = yield* Effect.fork(list({ value: "a b" }).pipe(withRpcRetry(policy)))
      yield* eventually(Effect.map(server.seen, (seen) => seen.length === 2))
      yield* TestClock.adjust("1 minute")
      const stream = yield* Fiber.join(opening)
      yield* (yield* server.seen)[1]!.cancelled
      const reader = yield* Effect.fork(drain(stream))
      yield* TestClock.adjust("2 minutes")
      yield* settle()
      assert.isFalse((yield* server.seen)[2]!.isCancelled())
      yield* Fiber.interrupt(reader)
      assert.strictEqual((yield* server.seen).length, 3)
    }))

  it.scoped("a deadline ends the opening and not the stream, so it is not sent", () =>
    Effect.gen(function*() {
      const { list, server } = yield* TestServices.provideLive(warm)
      yield* server.script(GrpcServer.stall, { _tag: "Stall", messages: 1 })
      const policy = { schedule: Schedule.recurs(1), deadline: "1 minute" } as const
      const opening = yield* Effect.fork(Effect.flip(list({ value: "a b" }).pipe(withRpcRetry(policy))))
      yield* eventually(Effect.map(server.seen, (seen) => seen.length === 2))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(opening)
      assert.instanceOf(error, RetryExhausted)
      assert.strictEqual(error.reason, "DeadlineExceeded")
      const stream = yield* list({ value: "a b" }).pipe(withRpcRetry(policy))
      assert.isUndefined((yield* server.seen)[2]!.remaining)
      const reader = yield* Effect.fork(drain(stream))
      yield* TestClock.adjust("2 minutes")
      yield* settle()
      assert.isFalse((yield* server.seen)[2]!.isCancelled())
      yield* Fiber.interrupt(reader)
    }))

  it.scopedLive("a deadline of the call options is sent, and ends the stream", () =>
    Effect.gen(function*() {
      const { server } = yield* warm
      const bounded = Grpc.serverStream(yield* client(server.address), "list", {
        callOptions: () => ({ deadline: Date.now() + 2000 })
      })
      yield* server.script({ _tag: "Stall", messages: 1 })
      const { error, words } = yield* drain(yield* bounded({ value: "a b" }))
      assert.isAtMost((yield* server.seen)[1]!.remaining!, 2000)
      assert.deepStrictEqual(words, ["a"])
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.code, "DEADLINE_EXCEEDED")
    }))

  it.scopedLive("a message that comes after a wait for it was given up is there for the next", () =>
    Effect.gen(function*() {
      const server = yield* Raw.make
      const list = Grpc.serverStream(yield* client(server.address), "list")
      const { goOn, step } = inTwo()
      yield* server.script(step)
      const pull = yield* Stream.toPull(yield* list({ value: "" }))
      const first = yield* pull
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(pull, "20 millis")))
      goOn()
      yield* settle(50)
      const second = yield* pull
      assert.deepStrictEqual(Array.from(Chunk.appendAll(first, second)), [{ value: "a" }, { value: "b" }])
    }))

  it.scopedLive("a message that comes in the moment in which a wait for it is given up is there for the next", () =>
    Effect.gen(function*() {
      const server = yield* Raw.make
      const echo = yield* client(server.address)
      let call: grpc.ClientReadableStream<Text> | undefined
      const original = echo.list.bind(echo) as (...args: ReadonlyArray<unknown>) => grpc.ClientReadableStream<Text>
      const watched = (...args: ReadonlyArray<unknown>) => {
        call = original(...args)
        return call
      }
      Object.assign(echo, { list: Object.assign(watched, echo.list) })
      const { goOn, step } = inTwo()
      yield* server.script(step)
      const pull = yield* Stream.toPull(yield* Grpc.serverStream(echo, "list")({ value: "" }))
      yield* pull
      const waiting = yield* Effect.fork(pull)
      yield* settle(50)
      // after the listener of the reader
      call!.once("readable", () => waiting.unsafeInterruptAsFork(FiberId.none))
      goOn()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
      assert.deepStrictEqual(Array.from(yield* pull), [{ value: "b" }])
    }))

  it.scopedLive("a stream of 100,000 messages is asked for as it is taken", () =>
    Effect.gen(function*() {
      const { list, server } = yield* subject
      const count = 100_000
      const stream = yield* list({ value: `#${count}` })
      const seen = (yield* server.seen)[0]!
      // until the server has written what it can
      const sent = yield* Effect.iterate([-1, 0] as readonly [number, number], {
        while: ([before, now]) => before !== now,
        body: ([, now]) => Effect.as(settle(150), [now, seen.sent()] as const)
      })
      assert.isBelow(sent[1], count / 2)
      assert.strictEqual(
        yield* Stream.runFold(stream, 0, (at, { value }) => (Number(value) === at ? at + 1 : NaN)),
        count
      )
    }))

  it.scopedLive("what is not idempotent is not opened twice when it may have run", () =>
    Effect.gen(function*() {
      const { server } = yield* subject
      const list = Grpc.serverStream(yield* client(server.address), "list", { idempotent: false })
      yield* server.script(GrpcServer.reset)
      const error = yield* Effect.flip(list({ value: "a" }).pipe(withRpcRetry({ schedule })))
      assert.instanceOf(error, RetryExhausted)
      assert.strictEqual(error.reason, "NotIdempotent")
    }))

  it.scopedLive("interceptors and metadata are those of the options", () =>
    Effect.gen(function*() {
      const { server } = yield* subject
      const metadata = new grpc.Metadata()
      metadata.set("who", "me")
      const list = Grpc.client(yield* client(server.address), { metadata }).list
      yield* drain(yield* list({ value: "a" }).pipe(withRpcRetry({ idempotencyKey: "k" })))
      const [seen] = yield* server.seen
      assert.deepStrictEqual([seen!.metadata.get("who"), seen!.idempotencyKey], [["me"], "k"])
    }))
})
