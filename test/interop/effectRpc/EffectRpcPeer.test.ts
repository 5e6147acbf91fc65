/**
 * Peers of `@effect/rpc` that send what no server of the library does: the call that is concerned fails, nothing hangs, and the
 * client goes on.
 */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import type { Fatal } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Cases from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import { eventually } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { exit, failure, line, overHttp, overTcp, says, success } = Cases

/** Decodes with a function that throws. */
const Throwing = Schema.transform(Schema.String, Schema.Unknown, {
  decode: (text): unknown => JSON.parse(text),
  encode: (value) => String(value)
})

class Group extends RpcGroup.make(
  Rpc.make("Echo", { payload: { text: Schema.String }, success: Schema.String }),
  Rpc.make("Parsed", { success: Throwing }),
  Rpc.make("Words", { success: Schema.String, stream: true }),
  Rpc.make("ParsedWords", { success: Throwing, stream: true }),
  Rpc.make("ParsedEnd", { success: Schema.String, error: Throwing, stream: true })
) {}

/** What only who asks for it sees. */
const hidden = (error: unknown) => Redacted.value((error as Fatal).cause as Redacted.Redacted<unknown>)

describe("EffectRpc: a peer that sends what is not a message", () => {
  for (
    const [title, poison] of [
      ["null", "null"],
      ["a number", "1"],
      ["an object", "{\"error\":\"sorry\"}"],
      ["not JSON", "<html>"],
      [
        "an exit of no request",
        "{\"_tag\":\"Exit\",\"requestId\":\"abc\",\"exit\":{\"_tag\":\"Success\",\"value\":1}}"
      ],
      ["an exit without one", "{\"_tag\":\"Exit\",\"requestId\":\"0\"}"],
      ["a chunk of nothing", "{\"_tag\":\"Chunk\"}"],
      ["what only the client says to itself", "{\"_tag\":\"ClientProtocolError\",\"error\":1}"]
    ] as const
  ) {
    it.scopedLive(`TCP: ${title}: calls in flight are Fatal Protocol, later ones are made on another connection`, () =>
      Effect.gen(function*() {
        const { port, seen, sockets } = yield* Cases.lines((message, socket) => {
          if (message._tag === "Request" && seen.length > 2) {
            socket.write(success(message, "fine"))
          } else if (seen.length === 2) {
            socket.write(`${poison}\n`)
          }
        })
        const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
        const errors = yield* Effect.all([failure(rpc.Echo({ text: "x" })), failure(rpc.Echo({ text: "y" }))], {
          concurrency: 2
        })
        assert.deepStrictEqual(errors.map(says), ["Fatal Protocol", "Fatal Protocol"])
        for (let i = 0; i < 3; i++) {
          assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
        }
        assert.strictEqual(sockets.length, 2)
      }))
  }

  it.scopedLive("TCP: an exit without one, to a request: that call is Fatal Protocol, and others have their answers", () =>
    Effect.gen(function*() {
      const { port, seen, sockets } = yield* Cases.lines((message, socket) => {
        if (seen.length === 2) {
          const [first, second] = seen as ReadonlyArray<RpcMessage.RequestEncoded>
          socket.write(line({ _tag: "Exit", requestId: first!.id }))
          socket.write(success(second!, "fine"))
        }
      })
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
      const first = yield* Effect.fork(failure(rpc.Echo({ text: "x" })))
      yield* eventually(Effect.sync(() => seen.length === 1))
      assert.strictEqual(yield* rpc.Echo({ text: "y" }), "fine")
      assert.strictEqual(says(yield* Fiber.join(first)), "Fatal Protocol")
      assert.strictEqual(sockets.length, 1)
    }))

  it.scopedLive("an id that is a number is one", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const { port } = yield* Cases.lines((message, socket) => {
        if (message._tag === "Request") {
          socket.write(success({ ...message, id: Number(message.id) as never }, "fine"))
        }
      })
      server.script((response, seen) => {
        const request = JSON.parse(seen.text) as RpcMessage.RequestEncoded
        response.end(success({ ...request, id: Number(request.id) as never }, "fine"))
      })
      for (const protocol of [overTcp(port), overHttp(server.url)]) {
        const rpc = yield* Server.connect(protocol, EffectRpc.make(Group))
        assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
      }
    }))

  it.scopedLive("MessagePack: scalars", () =>
    Effect.gen(function*() {
      let dials = 0
      const { port } = yield* Peer.listen((socket) => {
        dials++
        socket.on("data", () => socket.write(Buffer.from([0x01, 0x02, 0xc0])))
      })
      const rpc = yield* Server.connect(overTcp(port, RpcSerialization.layerMsgPack), EffectRpc.make(Group))
      for (let i = 1; i <= 3; i++) {
        assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Protocol")
      }
      assert.isAtLeast(dials, 2)
    }))

  it.scopedLive("a message of a later version is passed over", () =>
    Effect.gen(function*() {
      const { port, sockets } = yield* Cases.lines((message, socket) => {
        if (message._tag === "Request") {
          socket.write(`${line({ _tag: "Hello" })}${success(message, "fine")}`)
        }
      })
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
      assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
      assert.strictEqual(sockets.length, 1)
    }))

  it.scopedLive("JSON-RPC: a notification is passed over", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => {
        socket.on("data", (data) => {
          const { id } = JSON.parse(String(data)) as { readonly id: number }
          socket.write(line({ jsonrpc: "2.0", method: "log", params: {} }))
          socket.write(line({ jsonrpc: "2.0", id, result: "fine" }))
        })
      })
      const protocol = overTcp(port, RpcSerialization.layerNdJsonRpc())
      const rpc = yield* Server.connect(
        protocol,
        // the library takes an id of 0 for none
        EffectRpc.make(Group, { generateRequestId: () => 7n as RpcMessage.RequestId })
      )
      assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
    }))
})

describe("EffectRpc: an answer that its schema cannot take", () => {
  for (const tag of ["Words", "ParsedWords"] as const) {
    it.scopedLive(`TCP, ${tag}: an element: that stream is Fatal Protocol, and ended at the server`, () =>
      Effect.gen(function*() {
        const { port, seen, sockets } = yield* Cases.lines((message, socket) => {
          if (message._tag === "Request" && message.tag === tag) {
            socket.write(line({ _tag: "Chunk", requestId: message.id, values: tag === "Words" ? 1 : ["{"] }))
          } else if (message._tag === "Request") {
            setTimeout(() => socket.write(success(message, "fine")), 50)
          }
        })
        const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
        const other = yield* Effect.fork(rpc.Echo({ text: "x" }))
        assert.strictEqual(says(yield* failure(Stream.runDrain(rpc[tag]()))), "Fatal Protocol")
        assert.strictEqual(yield* Fiber.join(other), "fine")
        assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
        assert.strictEqual(sockets.length, 1)
        yield* eventually(Effect.sync(() => seen.some(({ _tag }) => _tag === "Interrupt")))
        assert.strictEqual(seen.filter(({ _tag }) => _tag === "Interrupt").length, 1)
      }))
  }

  it.scopedLive("TCP: a schema that throws: that call is Fatal Protocol, and others have their answers", () =>
    Effect.gen(function*() {
      let answerOther = () => {}
      const { port, seen, sockets } = yield* Cases.lines((message, socket) => {
        if (message._tag !== "Request") {
          return
        }
        if (message.tag === "Parsed") {
          socket.write(success(message, "{not JSON"))
        } else if (message.tag === "ParsedEnd") {
          socket.write(exit(message, { _tag: "Failure", cause: { _tag: "Fail", error: "{not JSON" } }))
        } else if (JSON.stringify(message.payload).includes("wait")) {
          answerOther = () => socket.write(success(message, "late"))
        } else {
          socket.write(success(message, "fine"))
        }
      })
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
      const other = yield* Effect.fork(rpc.Echo({ text: "wait" }))
      yield* eventually(Effect.sync(() => seen.length === 1))
      const error = yield* failure(rpc.Parsed())
      assert.strictEqual(says(error), "Fatal Protocol")
      assert.instanceOf(hidden(error), SyntaxError)
      assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.ParsedEnd()))), "Fatal Protocol")
      assert.strictEqual(says(yield* failure(Effect.uninterruptible(rpc.Parsed()))), "Fatal Protocol")
      answerOther()
      assert.strictEqual(yield* Fiber.join(other), "late")
      assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
      assert.strictEqual(sockets.length, 1)
    }))

  it.scopedLive("HTTP: a schema that throws: that call is Fatal Protocol", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* Server.connect(overHttp(server.url), EffectRpc.make(Group))
      const answer = (value: string): HttpServer.Step => (response, seen) =>
        response.end(success(JSON.parse(seen.text) as RpcMessage.RequestEncoded, value))
      server.script(answer("{"), answer("fine"))
      assert.strictEqual(says(yield* failure(rpc.Parsed())), "Fatal Protocol")
      assert.strictEqual(yield* rpc.Echo({ text: "x" }), "fine")
    }))
})

describe("EffectRpc: what a handler says", () => {
  it.scopedLive("its defect stays one, though it reads as the library's of an rpc that is not there", () =>
    Effect.gen(function*() {
      const { port, seen } = yield* Cases.lines((message, socket) => {
        if (message._tag === "Request") {
          socket.write(
            exit(message, { _tag: "Failure", cause: { _tag: "Die", defect: `Unknown request tag: ${message.tag}` } })
          )
        }
      })
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
      const result = yield* Effect.exit(rpc.Echo({ text: "x" }))
      assert.isTrue(Exit.isFailure(result) && Cause.isDie(result.cause))
      assert.strictEqual(seen.length, 1)
    }))
})

describe("EffectRpc: a protocol that is closed before its clients", () => {
  for (const kind of ["TCP", "HTTP"] as const) {
    it.scopedLive(`${kind}: calls in flight, and later ones, are Fatal Cancelled`, () =>
      Effect.gen(function*() {
        const server = yield* kind === "TCP" ? Server.tcp.server : Server.ndjson.server
        const protocol = (kind === "TCP" ? Server.tcp : Server.ndjson).protocol(server.port)
        yield* server.script({ _tag: "Stall" })
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(protocol, scope)
        const rpc = yield* EffectRpc.make(Server.Group).pipe(Effect.provide(context))
        const fiber = yield* Effect.fork(failure(rpc.Echo({ text: "x" })))
        yield* eventually(Effect.map(server.seen, ({ length }) => length === 1))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(says(yield* Fiber.join(fiber)), "Fatal Cancelled")
        assert.strictEqual(says(yield* failure(rpc.Echo({ text: "x" }))), "Fatal Cancelled")
        assert.strictEqual(says(yield* failure(Stream.runDrain(rpc.Words({ text: "x" })))), "Fatal Cancelled")
      }))
  }
})

describe("EffectRpc: an answer that arrives in parts which end within a character", () => {
  // three bytes each: parts of 64 KiB cut some
  const long = "漢".repeat(500_000)

  it.scopedLive("TCP: is as it was sent", () =>
    Effect.gen(function*() {
      const { port } = yield* Cases.lines((message, socket) =>
        message._tag === "Request" && socket.write(success(message, long))
      )
      const rpc = yield* Server.connect(overTcp(port), EffectRpc.make(Group))
      assert.isTrue((yield* rpc.Echo({ text: "x" })) === long)
    }))

  it.scopedLive("HTTP, NDJSON: is as it was sent", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* Server.connect(overHttp(server.url), EffectRpc.make(Group))
      server.script((response, seen) => response.end(success(JSON.parse(seen.text) as RpcMessage.RequestEncoded, long)))
      assert.isTrue((yield* rpc.Echo({ text: "x" })) === long)
    }))
})
