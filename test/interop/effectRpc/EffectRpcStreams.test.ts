/**
 * Streams of `@effect/rpc`.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcCall, withRpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  all,
  each,
  type Failed,
  failure,
  line,
  lines,
  overHttp,
  overTcp,
  quick,
  says,
  streaming,
  success
} from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import { eventually, settle } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

describe("EffectRpc: streams", () => {
  const words = "one two three four five"

  each(all, "elements come as they are", ({ rpc }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(rpc.Words({ text: words }))), words.split(" "))
      assert.deepStrictEqual(
        Chunk.toArray(yield* Stream.runCollect(rpc.users.list({ text: words }))),
        words.split(" ")
      )
    }))

  each(all, "a stream that breaks fails as a call does", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Reset" })
      const error = yield* failure(Stream.runDrain(rpc.Words({ text: words })))
      assert.match(says(error), /^Retryable ConnectionLost Unknown/)
      assert.strictEqual((error as Failed).method, "Texts.Words")
    }))

  each(all, "a domain error of a stream is not touched", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Domain" })
      assert.instanceOf(yield* failure(Stream.runDrain(rpc.Words({ text: words }))), Server.Gone)
    }))

  each(all, "a stream is retried until its first element", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Reset" }, { _tag: "Retryable" })
      const stream = rpc.Words({ text: words }).pipe(
        EffectRpc.untilFirst({ method: "Texts.Words" }),
        withRpcRetry(quick),
        Stream.unwrapScoped
      )
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(stream)), words.split(" "))
      const attempts = (yield* server.seen).map(({ previousAttempts }) => previousAttempts)
      assert.deepStrictEqual(attempts.slice(0, 2), [0, 1])
      assert.isAbove(attempts.at(-1)!, 1)
    }))

  each(streaming, "not after it", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Words", words: ["one"], after: { _tag: "Reset" } })
      const seen: Array<string> = []
      const error = yield* rpc.Words({ text: words }).pipe(
        EffectRpc.untilFirst({ method: "Texts.Words" }),
        withRpcRetry(quick),
        Stream.unwrapScoped,
        Stream.runForEach((word) => Effect.sync(() => seen.push(word))),
        Effect.flip
      )
      assert.match(says(error), /^Retryable ConnectionLost Unknown/)
      assert.deepStrictEqual(seen, ["one"])
      assert.strictEqual((yield* server.seen).length, 1)
    }))

  each(
    all,
    "an attempt that brings no first element in time is given up at the server too",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        yield* server.script({ _tag: "Stall" })
        const stream = rpc.Words({ text: words }).pipe(
          EffectRpc.untilFirst({ method: "Texts.Words" }),
          withRpcRetry({ ...quick, attemptTimeout: "200 millis" })
        )
        const elements = yield* stream
        // while the scope that the stream lives in is open
        yield* (yield* server.seen)[0]!.cancelled
        assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(elements)), words.split(" "))
      })
  )

  each(
    streaming,
    "a stream that is given up after its first element is given up at the server",
    ({ rpc, server }) =>
      Effect.gen(function*() {
        yield* server.script({ _tag: "Words", words: ["one"], after: { _tag: "Stall" } })
        const first = yield* rpc.Words({ text: words }).pipe(
          EffectRpc.untilFirst({ method: "Texts.Words" }),
          withRpcRetry(quick),
          Stream.unwrapScoped,
          Stream.take(1),
          Stream.runCollect
        )
        assert.deepStrictEqual(Chunk.toArray(first), ["one"])
        yield* (yield* server.seen)[0]!.cancelled
      })
  )

  it.scopedLive("until its first element, not until what was filtered out before it", () =>
    Effect.gen(function*() {
      let opened = 0
      const { port } = yield* lines((message, socket) => {
        if (message._tag === "Request") {
          opened++
          const chunk = (word: string) => line({ _tag: "Chunk", requestId: message.id, values: [word] })
          socket.write(chunk("ping"))
          setTimeout(() => opened < 3 ? socket.destroy() : socket.write(chunk("one") + success(message, undefined)), 30)
        }
      })
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Server.Group))
      const stream = rpc.Words({ text: words }).pipe(
        Stream.filter((word) => word !== "ping"),
        EffectRpc.untilFirst({ method: "Texts.Words" }),
        withRpcRetry(quick),
        Stream.unwrapScoped
      )
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(stream)), ["one"])
      assert.strictEqual(opened, 3)
    }))

  it.scopedLive("a mailbox reads no further ahead than the library's", () =>
    Effect.gen(function*() {
      const readAhead = (make: Effect.Effect<unknown, never, RpcClient.Protocol | Scope.Scope>) =>
        Effect.gen(function*() {
          let acks = 0
          const { port } = yield* lines((message, socket) => {
            if (message._tag === "Request" || message._tag === "Ack") {
              acks += message._tag === "Ack" ? 1 : 0
              const requestId = message._tag === "Request" ? message.id : message.requestId
              socket.write(line({ _tag: "Chunk", requestId, values: ["x"] }))
            }
          })
          const rpc = (yield* Server.connect(overTcp(port), make)) as RpcClient.FromGroup<typeof Server.Group>
          yield* rpc.Words({ text: "x" }, { asMailbox: true, streamBufferSize: 5 })
          yield* eventually(Effect.sync(() => acks >= 5))
          yield* settle(50)
          return acks
        })
      assert.strictEqual(yield* readAhead(RpcClient.make(Server.Group)), 5)
      // those that were taken out of it at once, when the first had come
      assert.isAtMost(yield* readAhead(EffectRpc.make(Server.Group)), 7)
    }))

  it.scopedLive("a stream that was run cannot be run again, and says so", () =>
    Effect.gen(function*() {
      const stream = yield* EffectRpc.untilFirst(Stream.make(1, 2).pipe(Stream.rechunk(1)), { method: "A.B" })
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(stream)), [1, 2])
      const error = yield* Effect.flip(Stream.runCollect(stream))
      assert.deepStrictEqual([error.reason, error.method, error.message], [
        "Custom",
        "A.B",
        "the stream can be run once"
      ])
    }))

  it.scopedLive("a stream without elements is one", () =>
    Effect.gen(function*() {
      const stream = EffectRpc.untilFirst(Stream.empty, { method: "A.B", idempotent: true })
      assert.isTrue(RpcCall.isRpcCall(stream))
      assert.deepStrictEqual([stream.method, stream.idempotent], ["A.B", true])
      assert.isTrue(Chunk.isEmpty(yield* Stream.runCollect(yield* stream)))
    }))

  it.scopedLive("HTTP, NDJSON: one whose response ends before it does is not whole", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* Server.connect(overHttp(server.url), EffectRpc.make(Server.Group))
      server.script((response, seen) => {
        const { id } = JSON.parse(seen.text) as { readonly id: string }
        response.end(`${JSON.stringify({ _tag: "Chunk", requestId: id, values: ["one"] })}\n`)
      })
      const words: Array<string> = []
      const error = yield* rpc.Words({ text: "x" }).pipe(
        Stream.runForEach((word) => Effect.sync(() => words.push(word))),
        Effect.flip
      )
      assert.strictEqual(says(error), "Retryable Unavailable Unknown")
      assert.deepStrictEqual(words, ["one"])
    }))

  each(streaming, "as a mailbox, with the same errors", ({ rpc, server }) =>
    Effect.gen(function*() {
      yield* server.script({ _tag: "Words", words: ["one"], after: { _tag: "Reset" } })
      const call = rpc.Words({ text: words }, { asMailbox: true, streamBufferSize: 1 })
      assert.strictEqual(call.method, "Texts.Words")
      const mailbox = yield* call
      assert.strictEqual(yield* mailbox.take, "one")
      yield* rpc.Words({ text: words }, { asMailbox: true, streamBufferSize: 1 }).pipe(
        Effect.flatMap((mailbox) => Effect.zipRight(settle(), mailbox.size)),
        Effect.map((size) => assert.isAtMost(Option.getOrThrow(size), 1))
      )
      assert.match(says(yield* failure(mailbox.take)), /^Retryable ConnectionLost Unknown/)
    }))
})
