import * as Socket from "@effect/platform/Socket"
import { Deadline, Fatal, InvalidOption, type Retryable, RpcCall, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Session from "../../../src/transport/goRpc/session.js"
import { eventually, settle } from "../../support/eventually.js"
import * as JumpingClock from "../../support/jumpingClock.js"
import * as MemoryPeer from "../../support/memoryPeer.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const multiply = { A: 6, B: 7 }

const setup = Effect.gen(function*() {
  const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
  const rpc = yield* GoRpc.make(server.address)
  return { server, rpc, call: rpc.call("Arith.Multiply", multiply) }
})

const summary = (error: RpcError.RpcError) =>
  error._tag === "Retryable"
    ? [error.reason, error.delivery, error.code]
    : error._tag === "Fatal"
    ? [error.reason, error.message]
    : [error._tag, error.reason]

const fast = withRpcRetry({ schedule: Schedule.recurs(3) })

describe("GoRpc over a real socket", () => {
  it.scopedLive("calls, and is named for withRpcRetry", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      assert.strictEqual(yield* call, 42)
      assert.isTrue(RpcCall.isRpcCall(call))
      assert.strictEqual(call.method, "Arith.Multiply")
      assert.deepStrictEqual(yield* server.requests, [{ method: "Arith.Multiply", args: multiply, connection: 1 }])
      const Quotient = Schema.Struct({ Quo: Schema.Int, Rem: Schema.Int })
      const divided = yield* rpc.call("Arith.Divide", { A: 17, B: 5 }, { reply: Quotient, idempotent: true })
      assert.deepStrictEqual([divided.Quo, divided.Rem], [3, 2])
    }))

  it.scopedLive("does not connect before the first call", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup
      yield* settle()
      assert.strictEqual(yield* server.connections, 0)
      yield* call
      assert.strictEqual(yield* server.connections, 1)
    }))

  it.scopedLive("an error string is Fatal ServerError, after one attempt", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup
      const error = yield* Effect.flip(rpc.call("Arith.Divide", { A: 1, B: 0 }).pipe(withRpcRetry))
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual(summary(error), ["ServerError", "divide by zero"])
      assert.strictEqual(error.method, "Arith.Divide")
      assert.strictEqual((yield* server.requests).length, 1)
    }))

  it.scopedLive("an unknown method is Fatal Unimplemented", () =>
    Effect.gen(function*() {
      const { rpc } = yield* setup
      const error = yield* Effect.flip(rpc.call("Arith.Power", multiply))
      assert.deepStrictEqual(summary(error), ["Unimplemented", "rpc: can't find method Arith.Power"])
    }))

  it.scopedLive("nobody listens: refused, not sent, and found again when somebody does", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup
      yield* server.stop
      const error = yield* Effect.flip(call)
      assert.deepStrictEqual(summary(error), ["ConnectionRefused", "NotSent", "ECONNREFUSED"])
      assert.strictEqual(error.message, "Arith.Multiply: connection refused (ECONNREFUSED), not sent")
      assert.strictEqual(error.method, "Arith.Multiply")
      yield* server.start
      assert.strictEqual(yield* call, 42)
    }))

  it.scopedLive("reset and close in flight: lost, may have run; the next attempt dials anew", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup
      for (const [fault, code] of [[FlakyServer.reset, "ECONNRESET"], [FlakyServer.close, "EOF"]] as const) {
        yield* server.script(fault)
        assert.deepStrictEqual(summary(yield* Effect.flip(call)), ["ConnectionLost", "Unknown", code])
        yield* server.script(fault)
        assert.strictEqual(yield* call.pipe(fast), 42)
      }
      const connections = (yield* server.requests).map((request) => request.connection)
      assert.deepStrictEqual(connections, [1, 2, 3, 3, 4, 5])
    }))

  it.scopedLive("a connection that breaks ends every call on it, at once, and one dial serves them all", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      yield* server.script(...Array<FlakyServer.Fault>(99).fill(FlakyServer.stall), FlakyServer.reset)
      const products = yield* Effect.all(Array<typeof call>(100).fill(call).map(fast), { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(products), new Set([42]))
      const requests = yield* server.requests
      assert.deepStrictEqual(requests.map((request) => request.connection), [
        ...Array<number>(100).fill(1),
        ...Array<number>(100).fill(2)
      ])
      assert.strictEqual(yield* rpc.pending, 0)
    }))

  it.scopedLive("a restart while idle costs no attempt", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      assert.strictEqual(yield* call, 42)
      yield* server.restart
      yield* eventually(Effect.map(rpc.state, (state) => state !== "ready"))
      assert.strictEqual(yield* call, 42)
    }))

  it.scopedLive("a late answer is dropped, and reaches no other call", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      // the late answer of the first call arrives while the second one waits
      yield* server.script(FlakyServer.late("100 millis"), FlakyServer.late("400 millis"))
      yield* Effect.flip(Effect.timeout(call, "20 millis"))
      const other = yield* Effect.fork(rpc.call("Arith.Multiply", { A: 2, B: 2 }))
      assert.strictEqual(yield* Fiber.join(other), 4)
      assert.deepStrictEqual(new Set((yield* server.requests).map((request) => request.connection)), new Set([1]))
    }))

  it.scopedLive("many calls at once get their own answers", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup
      const products = yield* Effect.forEach(
        Array.from({ length: 5000 }, (_, i) => i),
        (i) => rpc.call("Arith.Multiply", { A: i, B: 3 }),
        { concurrency: "unbounded" }
      )
      assert.isTrue(products.every((product, i) => product === i * 3))
      assert.strictEqual(yield* server.connections, 1)
    }))

  it.scopedLive("arguments that are no JSON are Fatal InvalidArgument, and nothing is sent", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      const circle: { self?: unknown } = {}
      circle.self = circle
      for (const args of [{ A: 1n }, circle]) {
        const error = yield* Effect.flip(rpc.call("Arith.Multiply", args).pipe(withRpcRetry))
        assert.strictEqual(error.reason, "InvalidArgument")
        assert.match(error.message, /^the arguments cannot be written: (Do not know how|Converting circular)/)
      }
      assert.deepStrictEqual(yield* server.requests, [])
      assert.strictEqual(yield* rpc.pending, 0)
      assert.strictEqual(yield* call, 42)
    }))

  it.scopedLive("a reply that does not fit its schema is Fatal Protocol, and the connection stays", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      const error = yield* Effect.flip(
        rpc.call("Arith.Multiply", multiply, { reply: Schema.String }).pipe(withRpcRetry)
      )
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.reason, "Protocol")
      assert.include(error.message, "expected string, got a number")
      yield* call
      assert.strictEqual((yield* server.requests)[1]!.connection, 1)
    }))

  it.scopedLive("closing the client ends its calls, and later ones", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      yield* server.script(FlakyServer.stall)
      const [pending, later] = yield* Effect.scoped(Effect.gen(function*() {
        const rpc = yield* GoRpc.make(server.address)
        const call = rpc.call("Arith.Multiply", multiply).pipe(withRpcRetry)
        const pending = yield* Effect.forkDaemon(Effect.flip(call))
        yield* eventually(Effect.map(server.requests, (requests) => requests.length === 1))
        return [pending, call] as const
      }))
      for (const error of [yield* Fiber.join(pending), yield* Effect.flip(later)]) {
        assert.deepStrictEqual(summary(error), ["Cancelled", "the client is closed"])
      }
      yield* eventually(Effect.map(server.connections, (n) => n === 0))
      assert.strictEqual(yield* server.connections, 0)
    }))

  it.scopedLive("as a layer", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const program = Effect.flatMap(GoRpc.GoRpc, (rpc) => rpc.call("Arith.Multiply", multiply).pipe(withRpcRetry))
      assert.strictEqual(yield* program.pipe(Effect.provide(GoRpc.layer(server.address))), 42)
    }))

  it.scopedLive("a method that must not run twice is retried only when it was not sent", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup
      const order = rpc.call("Arith.Multiply", multiply, { idempotent: false }).pipe(withRpcRetry)
      yield* server.script(FlakyServer.reset)
      const error = yield* Effect.flip(order)
      assert.deepStrictEqual(summary(error), ["RetryExhausted", "NotIdempotent"])
      assert.strictEqual((yield* server.requests).length, 1)
      yield* server.stop
      yield* Effect.fork(Effect.delay(server.start, 50))
      assert.strictEqual(yield* order, 42)
    }))

  it.scopedLive("closing the client ends a connection whose peer does not read", () =>
    Effect.gen(function*() {
      const { port, server } = yield* Peer.listen((socket) => socket.pause())
      const clients = Effect.sync(() =>
        process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length
      )
      yield* Effect.gen(function*() {
        const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
        yield* Effect.forkScoped(Effect.ignore(rpc.call("A.B", "x".repeat(20_000_000))))
        yield* eventually(Effect.map(rpc.pending, (n) => n === 1))
        yield* eventually(Effect.map(clients, (n) => n === 2))
      }).pipe(Effect.scoped)
      // what is left is the server's end
      yield* eventually(Effect.map(clients, (n) => n === 1))
      assert.strictEqual(yield* clients, 1)
      server.unref()
    }))

  it("refuses an address that is none", () => {
    const refuses = (options: unknown, message: string) =>
      assert.throws(() => GoRpc.make(options as GoRpc.Options), InvalidOption, message)
    refuses({}, "GoRpc.make: host must be a name or an address, got undefined")
    refuses({ host: "", port: 1 }, "GoRpc.make: host must be a name or an address, got \"\"")
    refuses({ host: "a" }, "GoRpc.make: port must be an integer from 1 to 65535, got undefined")
    refuses({ path: "" }, "GoRpc.make: path must be the path of a socket, got \"\"")
    refuses({ host: "a", port: 1, tls: { cert: "garbage" } }, "GoRpc.make: tls is not usable: ")
  })

  it("refuses limits that are none", () => {
    const refuses = (options: GoRpc.Options, message: string) =>
      assert.throws(() => GoRpc.make(options), InvalidOption, message)
    const address = { host: "127.0.0.1", port: 1234 }
    refuses({ ...address, dialTimeout: -1 }, "GoRpc.make: dialTimeout must not be negative, got -1")
    refuses({ ...address, maxFrameBytes: 0 }, "GoRpc.make: maxFrameBytes must be an integer of at least 1, got 0")
    refuses({ ...address, codec: "xml" as "gob" }, "GoRpc.make: codec must be \"json\" or \"gob\", got \"xml\"")
    refuses({ ...address, http: "rpc" }, "GoRpc.make: http must be true, or a path that starts with /, got \"rpc\"")
    refuses({ ...address, http: "/a b" }, "GoRpc.make: http must be true, or a path that starts with /, got \"/a b\"")
    refuses({ ...address, http: 5 as unknown as string }, "http must be true, or a path that starts with /, got 5")
    refuses({ ...address, tls: null as unknown as object }, "GoRpc.make: tls must be an object, got null")
    refuses(
      { ...address, dialBackoff: 5 as unknown as Schedule.Schedule<unknown> },
      "dialBackoff must be a Schedule, got 5"
    )
    refuses(
      { socket: undefined } as unknown as GoRpc.Options,
      "socket must be an effect that makes a socket, got undefined"
    )
    refuses(
      { ...address, ping: { every: 1, method: 7 as unknown as string } },
      "GoRpc.make: ping.method must be a string, got 7"
    )
    refuses(
      { ...address, ping: { every: 1, outOfOrder: "yes" as unknown as boolean } },
      "GoRpc.make: ping.outOfOrder must be true or false, got \"yes\""
    )
    refuses({ ...address, ping: { every: 0 } }, "GoRpc.make: ping.every must be greater than zero, got 0")
    refuses({ ...address, ping: { every: 1, timeout: -1 } }, "GoRpc.make: ping.timeout must not be negative, got -1")
    refuses({ ...address, maxAge: NaN }, "GoRpc.make: maxAge must be ")
    refuses({ ...address, port: 99_999 }, "GoRpc.make: port must be an integer from 1 to 65535, got 99999")
  })
})

describe("GoRpc and a hostile peer", () => {
  const garbage: ReadonlyArray<[string, bytes: string | Uint8Array, problem: string]> = [
    ["another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", "not a JSON object: it starts with byte 0x48"],
    ["broken JSON", "{\"id\":0,]}", "not JSON"],
    ["an array", "[1]", "not a JSON object: it starts with byte 0x5b"],
    ["an answer without an id", "{\"result\":1,\"error\":null}", "an answer without a request id"],
    ["an id that is null", "{\"id\":null,\"result\":null,\"error\":\"?\"}", "an answer without a request id"],
    ["an id that was never given", "{\"id\":77,\"result\":1}", "an answer to request 77, which was not sent"],
    ["the id of the next request", "{\"id\":3,\"result\":1}", "an answer to request 3, which was not sent"],
    ["a negative id", "{\"id\":-1,\"result\":1}", "an answer to request -1, which was not sent"],
    ["a frame over the limit that is nobody's", `{"result":"${"x".repeat(3000)}"}`, "a frame of more than 2000 bytes"],
    ["arrays in arrays without end", "{\"a\":" + "[".repeat(2100), "a frame of more than 2000 bytes"],
    ["bytes that are no UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "not JSON"]
  ]

  for (const [name, bytes, problem] of garbage) {
    it.scopedLive(`${name}: a typed error for every call, and that connection is closed`, () =>
      Effect.gen(function*() {
        const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
        const rpc = yield* GoRpc.make({ ...server.address, maxFrameBytes: 2000 })
        const call = rpc.call("Arith.Multiply", multiply)
        yield* server.script(FlakyServer.stall, FlakyServer.stall, FlakyServer.garbage(bytes))
        const errors = yield* Effect.all([call, call, call].map(Effect.flip), { concurrency: 3 })
        for (const error of errors) {
          assert.instanceOf(error, Fatal)
          assert.strictEqual(error.reason, "Protocol")
          assert.include(error.message, problem)
        }
        assert.strictEqual(yield* rpc.pending, 0)
        yield* eventually(Effect.map(server.connections, (n) => n === 0))
        assert.strictEqual(yield* server.connections, 0)
        assert.strictEqual(yield* call, 42)
      }))
  }

  it.scopedLive("an answer that comes before its request was written is not taken: the call was not sent", () =>
    Effect.gen(function*() {
      const { port, sockets } = yield* Peer.listen((socket) => socket.pause())
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
      // the peer does not read, so that the second request waits behind the first
      const first = yield* Effect.fork(Effect.flip(rpc.call("A.B", "x".repeat(50_000_000))))
      yield* eventually(Effect.map(rpc.pending, (n) => n === 1))
      const second = yield* Effect.fork(Effect.flip(rpc.call("A.B", 2)))
      yield* eventually(Effect.map(rpc.pending, (n) => n === 2))
      yield* eventually(() => sockets.size === 1)
      sockets.forEach((socket) => socket.write("{\"id\":1,\"result\":\"early\",\"error\":null}\n"))
      const error = yield* Fiber.join(second)
      assert.deepStrictEqual(summary(error), ["ConnectionLost", "NotSent", undefined])
      assert.include(String(error.cause), "the peer sent an answer to request 1, which was not sent")
      assert.strictEqual((yield* Fiber.join(first)).reason, "Protocol")
    }))

  it.scopedLive("an error that is nested, and not a string, ends its call and not the process", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup
      yield* server.script(FlakyServer.garbage(`{"id":0,"error":${"[".repeat(900)}${"]".repeat(900)}}`))
      const error = yield* Effect.flip(call)
      assert.deepStrictEqual(summary(error), ["ServerError", "an error that is not a string"])
      yield* server.script(FlakyServer.garbage(`{"id":1,"error":${"[".repeat(20_000)}${"]".repeat(20_000)}}`))
      assert.include((yield* Effect.flip(call)).message, "nested deeper than 1000 levels")
    }))

  it.scopedLive("what comes behind the garbage is not an answer, in the same piece or a later one", () =>
    Effect.gen(function*() {
      let garbage = ""
      const { port } = yield* Peer.listen((socket) => {
        socket.once("data", () => {
          socket.write(`${garbage}{"id":0,"result":42}`)
          socket.write("{\"id\":0,\"result\":42}")
        })
      })
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
      garbage = "{\"id\":5,\"result\":1}"
      assert.include((yield* Effect.flip(rpc.call("A.B", 1))).message, "an answer to request 5, which was not sent")
      garbage = "{\"result\":1}"
      assert.include((yield* Effect.flip(rpc.call("A.B", 1))).message, "an answer without a request id")
    }))

  it.scopedLive("what is read before the garbage is kept, in one piece or in two", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup
      yield* server.script(FlakyServer.stall, FlakyServer.garbage("{\"id\":0,\"result\":42,\"error\":null}\n?"))
      const [first, second] = yield* Effect.all([Effect.either(call), Effect.either(call)], { concurrency: 2 })
      assert.deepStrictEqual(first, Either.right(42))
      assert.strictEqual(Either.isLeft(second) && second.left.reason, "Protocol")
    }))

  it.scopedLive("a frame over the limit is refused when it comes in pieces too, and is not kept until its end", () =>
    Effect.gen(function*() {
      let sent = 0
      const { port } = yield* Peer.listen((socket) => {
        socket.on("data", () => {
          socket.write("{\"id\":0,\"result\":\"")
          const more = setInterval(() => {
            sent += 100
            socket.write("x".repeat(100))
          }, 1)
          socket.on("close", () => clearInterval(more))
        })
      })
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, maxFrameBytes: 1000 })
      const error = yield* Effect.flip(rpc.call("A.B", 1))
      assert.include(error.message, "a frame of more than 1000 bytes")
      assert.isBelow(sent, 10_000)
    }))

  it.scopedLive("a reply that no schema should see is an error, and a short one", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup
      const reply = `{"id":0,"result":{"a":"${"x".repeat(100_000)}"},"error":null}`
      yield* server.script(FlakyServer.garbage(reply))
      const long = yield* Effect.flip(rpc.call("A.B", 1, { reply: Schema.Number }))
      assert.isBelow(long.message.length, 1200)
      const Throwing = Schema.transform(Schema.Unknown, Schema.Number, {
        decode: () => {
          throw new RangeError("too deep")
        },
        encode: (n) => n
      })
      const thrown = yield* Effect.flip(rpc.call("Arith.Multiply", multiply, { reply: Throwing }))
      assert.instanceOf(thrown, Fatal)
      assert.strictEqual(thrown.reason, "Protocol")
      assert.include(thrown.message, "the reply is not as expected: RangeError")
    }))

  it.scopedLive("__proto__ in a reply harms nothing", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup
      yield* server.script(
        FlakyServer.garbage(
          "{\"id\":0,\"__proto__\":{\"error\":\"x\"},\"result\":{\"__proto__\":{\"polluted\":true},\"a\":1}}"
        )
      )
      const reply = yield* rpc.call("Arith.Multiply", multiply)
      assert.strictEqual(Object.getPrototypeOf(reply), Object.prototype)
      assert.isUndefined((reply as { polluted?: boolean }).polluted)
      assert.isUndefined(({} as { polluted?: boolean }).polluted)
      const Reply = Schema.Struct({ a: Schema.Number })
      yield* server.script(FlakyServer.garbage("{\"id\":1,\"result\":{\"__proto__\":{\"polluted\":true},\"a\":1}}"))
      assert.deepStrictEqual(yield* rpc.call("Arith.Multiply", multiply, { reply: Reply }), { a: 1 })
    }))

  it.scopedLive("answers in pieces, several in one piece, with space between or none", () =>
    Effect.gen(function*() {
      const answers =
        "{\"id\":0,\"result\":\"}{\\\"\\\\\",\"error\":null}  \n\t{\"id\":1,\"result\":[{\"ü\":[1]}]}{\"id\":2,\"error\":\"é\"}"
      const bytes = Buffer.from(answers)
      const { port } = yield* Peer.listen((socket) => {
        let requests = 0
        socket.on("data", (chunk) => {
          requests += chunk.toString().trim().split("\n").length
          if (requests === 3) {
            let at = 0
            const next = () => {
              if (at < bytes.length) {
                socket.write(bytes.subarray(at, ++at), next)
              }
            }
            next()
          }
        })
      })
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
      const results = yield* Effect.all([0, 1, 2].map((n) => Effect.either(rpc.call("A.B", n))), { concurrency: 3 })
      assert.deepStrictEqual(results.map((r) => r._tag === "Right" ? r.right : r.left.message), [
        "}{\"\\",
        [{ ü: [1] }],
        "é"
      ])
    }))

  it.scopedLive("a dial that is never answered ends at its timeout, and leaves no socket", () =>
    Effect.gen(function*() {
      // a TLS handshake with a server that does not speak
      const { port, server } = yield* Peer.listen((socket) => socket.resume())
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, tls: {}, dialTimeout: "30 millis" })
      const error = yield* Effect.flip(rpc.call("A.B", null))
      assert.deepStrictEqual(summary(error), ["Unavailable", "NotSent", "DIAL_TIMEOUT"])
      const open = Effect.async<number>((resume) => {
        server.getConnections((_, n) => resume(Effect.succeed(n)))
      })
      yield* eventually(Effect.map(open, (n) => n === 0))
      assert.strictEqual(yield* open, 0)
    }))
})

describe("an interruption that is not the caller's is Retryable, and the next attempt finds another connection", () => {
  const breaks: Record<string, (socket: Socket.Socket) => Socket.Socket> = {
    "the socket is interrupted while it is open": (socket) => ({
      ...socket,
      run: (handler, options) =>
        Effect.raceFirst(socket.run(handler, options), Effect.sleep(10)).pipe(
          Effect.zipRight(Effect.interrupt)
        )
    }),
    "the socket is interrupted before it is open": (socket) => ({ ...socket, run: () => Effect.interrupt }),
    "the writer is interrupted": (socket) => ({ ...socket, writer: Effect.succeed(() => Effect.interrupt) }),
    "the writer cannot be had": (socket) => ({ ...socket, writer: Effect.interrupt })
  }
  for (const [name, broken] of Object.entries(breaks)) {
    it.scoped(name, () =>
      Effect.gen(function*() {
        const peer = yield* MemoryPeer.make((line, peer) =>
          Effect.delay(peer.send(JSON.stringify({ id: line.id, result: 42 })), 20)
        )
        let dials = 0
        const socket = Effect.map(peer.socket, (socket) => ++dials === 1 ? broken(socket) : socket)
        const rpc = yield* GoRpc.make({ socket })
        const fiber = yield* Effect.fork(rpc.call("A.B", 1).pipe(withRpcRetry))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Fiber.join(fiber), 42)
        assert.strictEqual(dials, 2)
      }))
  }

  it.scoped("the dial is interrupted: not sent", () =>
    Effect.gen(function*() {
      const rpc = yield* GoRpc.make({ socket: Effect.interrupt })
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("A.B", 1))), ["Unavailable", "NotSent", "INTERRUPTED"])
    }))

  it.scoped("a socket that ends before it opens: not sent", () =>
    Effect.gen(function*() {
      const peer = yield* MemoryPeer.make(() => Effect.void)
      const rpc = yield* GoRpc.make({
        socket: Effect.map(peer.socket, (socket) => ({ ...socket, run: () => Effect.void }))
      })
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("A.B", 1))), ["ConnectionLost", "NotSent", "EOF"])
    }))

  it.scoped("a writer that fails or dies ends the calls, which would wait for ever", () =>
    Effect.gen(function*() {
      const ends: Record<string, Effect.Effect<never, Socket.SocketError>> = {
        ConnectionLost: new Socket.SocketGenericError({ reason: "Write", cause: new Error("broken") }),
        Custom: Effect.die(new Error("broken"))
      }
      for (const [reason, end] of Object.entries(ends)) {
        const peer = yield* MemoryPeer.make(() => Effect.void)
        const socket = Effect.map(peer.socket, (socket) => ({ ...socket, writer: Effect.succeed(() => end) }))
        const rpc = yield* GoRpc.make({ socket })
        assert.strictEqual((yield* Effect.flip(rpc.call("A.B", 1))).reason, reason)
        assert.strictEqual(yield* rpc.pending, 0)
      }
    }))
})

describe("GoRpc on virtual time", () => {
  it.scoped("the connection is not made in the context of the call that needed it first", () =>
    Effect.gen(function*() {
      const peer = yield* MemoryPeer.make((line, peer) => peer.send(JSON.stringify({ id: line.id, result: 42 })))
      const seen = yield* Deferred.make<unknown>()
      const facts = Effect.all([
        Deadline.remaining,
        Deadline.CurrentAttempt,
        FiberRef.get(FiberRef.currentLogAnnotations)
      ])
      const socket = Effect.zipRight(
        Effect.flatMap(facts, ([remaining, attempt, annotations]) =>
          Deferred.succeed(seen, [remaining._tag, attempt, HashMap.size(annotations)])),
        peer.socket
      )
      const rpc = yield* GoRpc.make({ socket })
      yield* rpc.call("A.B", 1).pipe(withRpcRetry({ deadline: "1 second" }), Effect.annotateLogs("caller", "a"))
      assert.deepStrictEqual(yield* Deferred.await(seen), ["None", 1, 0])
    }))

  const says: ReadonlyArray<[string, (id: number) => string, dials: ReadonlyArray<number>]> = [
    ["a blank", () => " \n", [0, 300, 600]],
    ["the beginning of an answer", (id) => `{"id":${id},"resu`, [0, 300, 600]],
    ["an answer to a request that was not sent", (id) => `{"id":${id + 1},"result":42,"error":null}`, [0, 300, 600]],
    ["an answer", (id) => `{"id":${id},"result":null,"error":"busy"}`, [0, 0, 0]]
  ]
  for (const [what, text, dials] of says) {
    it.scoped(`a peer that says ${what} and hangs up is dialled at ${dials.join(", ")} ms`, () =>
      Effect.gen(function*() {
        const start = yield* Deadline.now
        const at: Array<number> = []
        const peer = yield* MemoryPeer.make(({ id }, { close, send }) => Effect.ensuring(send(text(id)), close))
        const rpc = yield* GoRpc.make({
          socket: Effect.zipRight(Effect.map(Deadline.now, (now) => void at.push(now - start)), peer.socket),
          dialBackoff: Schedule.spaced("300 millis")
        })
        const call = Effect.exit(rpc.call("A.B", 1))
        const calls = yield* Effect.fork(Effect.all([call, Effect.yieldNow(), call, Effect.yieldNow(), call]))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(calls)
        assert.deepStrictEqual(at, dials)
      }))
  }

  it.scoped("calls that were given up leave nothing to be written", () =>
    Effect.gen(function*() {
      const written: Array<number> = []
      const peer = yield* MemoryPeer.make(() => Effect.void)
      const release = Effect.unsafeMakeLatch(false)
      const socket = Effect.map(peer.socket, (socket) => ({
        ...socket,
        writer: Effect.succeed((chunk: unknown) => {
          written.push(String(chunk).length)
          return release.await
        })
      }))
      const rpc = yield* GoRpc.make({ socket })
      const fibers = yield* Effect.forEach(Array.from({ length: 100 }), () =>
        Effect.zipLeft(Effect.fork(rpc.call("A.B", "x".repeat(1000))), Effect.yieldNow()))
      yield* TestClock.adjust(1)
      yield* Fiber.interruptAll(fibers)
      yield* release.open
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* rpc.pending, 0)
      assert.strictEqual(written.length, 1)
    }))

  it.scoped("what does not fit the batch that is being written stays unsent", () =>
    Effect.gen(function*() {
      const peer = yield* MemoryPeer.make(() => Effect.void)
      const socket = Effect.map(peer.socket, (socket) => ({ ...socket, writer: Effect.succeed(() => Effect.never) }))
      const rpc = yield* GoRpc.make({ socket })
      const calls = yield* Effect.forEach([1, 2], () => Effect.fork(Effect.flip(rpc.call("A.B", "x".repeat(100_000)))))
      yield* TestClock.adjust(1)
      yield* peer.closeAll
      const errors = yield* Fiber.join(Fiber.all(calls))
      assert.deepStrictEqual(errors.map((error) => (error as Retryable).delivery), ["Unknown", "NotSent"])
    }))

  it.scoped("a call on a connection that is lost already is known not to be sent", () =>
    Effect.gen(function*() {
      const peer = yield* MemoryPeer.make(() => Effect.void)
      const wire: Session.Wire<number> = {
        encode: () => Either.void,
        size: () => 0,
        take: () => "",
        decode: () => ({ answers: [], problem: undefined })
      }
      const connection = { discard: Effect.void, healthy: Effect.void }
      const session = yield* Session.open(yield* peer.socket, wire, connection, undefined)
      yield* peer.closeAll
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(
        summary(yield* Effect.flip(Deadline.whileUnsent((progress) => session.call(new Session.Call(1, progress))))),
        ["ConnectionLost", "NotSent", "EOF"]
      )
    }))

  it.scoped("nothing is taken from a peer after it has broken the protocol", () =>
    Effect.gen(function*() {
      const received = yield* Deferred.make<(chunk: Uint8Array) => Effect.Effect<unknown, unknown> | void>()
      const over = yield* Deferred.make<void, Fatal>()
      const run = ((handler: (chunk: Uint8Array) => Effect.Effect<unknown, unknown> | void, options?: {
        readonly onOpen?: Effect.Effect<void>
      }) =>
        Effect.zipRight(
          Effect.zipRight(Deferred.succeed(received, handler), options?.onOpen ?? Effect.void),
          Deferred.await(over)
        )) as Socket.Socket["run"]
      const socket = Socket.Socket.of({
        [Socket.TypeId]: Socket.TypeId,
        run,
        runRaw: run,
        writer: Effect.succeed(() => Effect.void)
      })
      let chunks = 0
      const wire: Session.Wire<number> = {
        encode: () => Either.void,
        size: () => 0,
        take: () => "",
        decode: () =>
          ++chunks === 1
            ? { answers: [], problem: "nonsense" }
            : { answers: [{ id: 0, result: Either.right(42) }], problem: undefined }
      }
      const session = yield* Session.open(
        socket,
        wire,
        { discard: Effect.void, healthy: Effect.void },
        undefined
      )
      const call = yield* Effect.fork(
        Effect.flip(Deadline.whileUnsent((progress) => session.call(new Session.Call(1, progress))))
      )
      yield* TestClock.adjust(1)
      const handler = yield* Deferred.await(received)
      const failure = handler(new Uint8Array())
      assert.isUndefined(handler(new Uint8Array()))
      const fatal = yield* Effect.flip(failure as Effect.Effect<never, Fatal>)
      yield* Deferred.fail(over, fatal)
      assert.deepStrictEqual(summary(yield* Fiber.join(call)), ["Protocol", "the peer sent nonsense"])
      assert.strictEqual(chunks, 1)
    }))

  it.scoped("a request that was not written yet is known not to be sent", () =>
    Effect.gen(function*() {
      const peer = yield* MemoryPeer.make(() => Effect.void)
      // the writer of this socket is stuck after the first batch
      let batches = 0
      const socket = Effect.map(peer.socket, (socket) => ({
        ...socket,
        writer: Effect.map(socket.writer, (write) => (chunk: Parameters<typeof write>[0]) =>
          ++batches === 2 ? Effect.never : write(chunk))
      }))
      const rpc = yield* GoRpc.make({ socket })
      const first = yield* Effect.fork(Effect.flip(rpc.call("A.Wait", 1)))
      yield* TestClock.adjust(1)
      const stuck = yield* Effect.fork(Effect.flip(rpc.call("A.Wait", 2)))
      yield* TestClock.adjust(1)
      const behind = yield* Effect.fork(Effect.flip(rpc.call("A.Wait", 3)))
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* rpc.pending, 3)
      yield* peer.closeAll
      const errors = yield* Fiber.join(Fiber.all([first, stuck, behind]))
      assert.deepStrictEqual(
        errors.map((error) =>
          (error as Retryable).delivery
        ),
        ["Unknown", "Unknown", "NotSent"]
      )
    }))

  it.scoped("a request that was withdrawn before it was written is not sent", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const peer = yield* MemoryPeer.make((line) => Effect.sync(() => void seen.push(line.params[0])))
      const release = Effect.unsafeMakeLatch(false)
      const socket = Effect.map(peer.socket, (socket) => ({
        ...socket,
        writer: Effect.map(socket.writer, (write) => (chunk: Parameters<typeof write>[0]) =>
          Effect.zipRight(release.await, write(chunk)))
      }))
      const rpc = yield* GoRpc.make({ socket })
      const fibers = yield* Effect.forEach([1, 2, 3], (n) =>
        Effect.zipLeft(Effect.fork(rpc.call("A.B", n)), TestClock.adjust(1)))
      yield* Fiber.interrupt(fibers[1]!)
      yield* release.open
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(seen, [1, 3])
      yield* Fiber.interruptAll(fibers)
      assert.strictEqual(yield* rpc.pending, 0)
    }))
})

describe("GoRpc: ping", () => {
  const ping = { every: "10 seconds", timeout: "3 seconds" } as const

  /** Answers after as many milliseconds as it is told, all requests at once or one after the other. */
  const answering = (order: "at once" | "in order", more: Partial<GoRpc.Ping> = {}) =>
    Effect.gen(function*() {
      const served: Array<string> = []
      const now = { isSilent: false }
      const turn = yield* Effect.makeSemaphore(order === "in order" ? 1 : 1_000)
      const peer = yield* MemoryPeer.make(({ id, method, params }, { send }) =>
        now.isSilent
          ? Effect.void
          : Effect.suspend(() => {
            served.push(method)
            return Effect.delay(send(JSON.stringify({ id, result: 42 })), method === "Ping" ? 0 : Number(params[0]))
          }).pipe(turn.withPermits(1))
      )
      const rpc = yield* GoRpc.make({ socket: peer.socket, ping: { ...ping, ...more } })
      return { now, peer, rpc, served }
    })

  it.scoped("a peer that accepts and never answers is found, its calls are lost, and the next one dials anew", () =>
    Effect.gen(function*() {
      const { now, peer, rpc } = yield* answering("at once")
      // it does not answer one request after the other
      const apart = yield* Effect.fork(Effect.all([rpc.call("A.B", 20), rpc.call("A.B", 10)], { concurrency: 2 }))
      yield* TestClock.adjust(20)
      yield* Fiber.join(apart)
      for (const opened of [1, 2]) {
        now.isSilent = true
        const calls = yield* Effect.forEach([1, 2], () => Effect.fork(Effect.flip(rpc.call("A.B", 1))))
        yield* TestClock.adjust("12 seconds")
        assert.deepStrictEqual([yield* peer.open, yield* rpc.pending], [1, 2])
        yield* TestClock.adjust("1 second")
        const errors = yield* Fiber.join(Fiber.all(calls))
        assert.deepStrictEqual(errors.map(summary), [
          ["ConnectionLost", "Unknown", "PING_TIMEOUT"],
          ["ConnectionLost", "Unknown", "PING_TIMEOUT"]
        ])
        assert.deepStrictEqual([yield* peer.open, yield* rpc.pending, yield* rpc.state], [0, 0, "broken"])
        now.isSilent = false
        const next = yield* Effect.fork(rpc.call("A.B", 1))
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* Fiber.join(next), 42)
        assert.strictEqual(yield* peer.opened, opened + 1)
      }
    }))

  it.scoped("a peer that answers one request after the other is not cut in a slow method, which would run again", () =>
    Effect.gen(function*() {
      const { peer, rpc, served } = yield* answering("in order")
      const slow = yield* Effect.fork(rpc.call("A.Slow", 60_000).pipe(withRpcRetry))
      yield* TestClock.adjust("59 seconds")
      const behind = yield* Effect.fork(rpc.call("A.Fast", 1).pipe(withRpcRetry))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([yield* Fiber.join(slow), yield* Fiber.join(behind)], [42, 42])
      assert.deepStrictEqual([served, yield* peer.opened], [["A.Slow", "Ping", "A.Fast"], 1])
    }))

  it.scoped("a peer that answers in order is known for that, also when one of the answers is refused", () =>
    Effect.gen(function*() {
      const turn = yield* Effect.makeSemaphore(1)
      const served: Array<string> = []
      let first = 0
      const peer = yield* MemoryPeer.make(({ id, method }, { send }) =>
        Effect.suspend(() => {
          served.push(method)
          const answer = JSON.stringify({ id, result: method === "A.Large" ? "x".repeat(200) : 42 })
          if (method === "A.First") {
            first = id
            return Effect.void
          }
          return method === "A.Large"
            ? send(JSON.stringify({ id: first, result: 42 }) + answer)
            : Effect.delay(send(answer), method === "A.Slow" ? "1 minute" : 0)
        }).pipe(turn.withPermits(1))
      )
      const rpc = yield* GoRpc.make({ socket: peer.socket, ping, maxFrameBytes: 100 })
      const [answer, refused] = yield* Effect.all([rpc.call("A.First", 1), Effect.flip(rpc.call("A.Large", 1))], {
        concurrency: 2
      })
      assert.deepStrictEqual([answer, refused.reason], [42, "Protocol"])
      const slow = yield* Effect.fork(rpc.call("A.Slow", 1).pipe(withRpcRetry))
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual(yield* Fiber.join(slow), 42)
      assert.deepStrictEqual([served, yield* peer.opened], [["A.First", "A.Large", "A.Slow", "Ping"], 1])
    }))

  it.scoped("a peer that is said to answer out of order is lost with the first call", () =>
    Effect.gen(function*() {
      const { now, rpc } = yield* answering("at once", { outOfOrder: true })
      now.isSilent = true
      const call = yield* Effect.fork(Effect.flip(rpc.call("A.B", 1)))
      yield* TestClock.adjust("13 seconds")
      assert.deepStrictEqual(summary(yield* Fiber.join(call)), ["ConnectionLost", "Unknown", "PING_TIMEOUT"])
    }))

  it.scoped("a peer that is gone is found when nobody waits for the calls before the ping any more", () =>
    Effect.gen(function*() {
      const { now, peer, rpc } = yield* answering("in order")
      assert.strictEqual(yield* rpc.call("A.B", 0), 42)
      now.isSilent = true
      const abandoned = yield* Effect.fork(Effect.timeoutOption(rpc.call("A.B", 0), "20 seconds"))
      yield* TestClock.adjust("15 seconds")
      const later = yield* Effect.fork(Effect.flip(rpc.call("A.B", 0)))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual([yield* peer.open, yield* rpc.pending], [1, 2])
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(abandoned))._tag, "None")
      assert.deepStrictEqual(summary(yield* Fiber.join(later)), ["ConnectionLost", "Unknown", "PING_TIMEOUT"])
    }))

  it.scoped("a ping is no pending call, also at the moment when it is answered", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const count = Effect.suspend(() => Effect.map(rpc.pending, (n) => seen.push(n)))
      const peer = yield* MemoryPeer.make((line, { send }) =>
        line.method === "Ping"
          ? count.pipe(
            Effect.zipRight(send(JSON.stringify({ id: line.id, error: "no such method" }))),
            Effect.zipRight(count)
          )
          : Effect.void
      )
      const rpc: GoRpc.Client = yield* GoRpc.make({ socket: peer.socket, ping })
      yield* Effect.fork(rpc.call("A.B", 1))
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(seen, [1, 1])
    }))

  it.scoped("any answer will do, and a peer that talks is not asked", () =>
    Effect.gen(function*() {
      const methods: Array<string> = []
      const peer = yield* MemoryPeer.make((line, { send }) => {
        methods.push(line.method)
        return send(JSON.stringify({ id: line.id, error: `rpc: can't find service ${line.method}` }))
      })
      const rpc = yield* GoRpc.make({ socket: peer.socket, ping: { ...ping, method: "Health.Check" } })
      const call = Effect.flip(rpc.call("A.B", 1))
      yield* call
      yield* TestClock.adjust("60 seconds")
      const asked = methods.filter((method) => method === "Health.Check").length
      assert.isTrue(asked >= 3 && asked <= 6)
      for (let i = 0; i < 20; i++) {
        yield* TestClock.adjust("5 seconds")
        yield* call
      }
      assert.isAtMost(methods.filter((method) => method === "Health.Check").length, asked + 1)
      assert.deepStrictEqual([yield* peer.open, yield* peer.opened], [1, 1])
    }))

  it.scoped("a peer in the middle of a long answer is there", () =>
    Effect.gen(function*() {
      const long = JSON.stringify({ id: 0, result: "x".repeat(60) })
      const peer = yield* MemoryPeer.make((line, { send }) =>
        line.method === "Ping"
          ? Effect.void
          : Effect.forEach(long, (letter) => Effect.delay(send(letter), "12 seconds"), { discard: true })
      )
      const rpc = yield* GoRpc.make({ socket: peer.socket, ping })
      const call = yield* Effect.fork(rpc.call("A.B", 1))
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(yield* Fiber.join(call), "x".repeat(60))
    }))

  it.scoped("a peer that takes a long request piece by piece is there, and one that stops in the middle is not", () =>
    Effect.gen(function*() {
      const peer = yield* MemoryPeer.make((line, { send }) => send(JSON.stringify({ id: line.id, result: 42 })))
      let isStuck = false
      const socket = Effect.map(peer.socket, (socket): Socket.Socket => ({
        ...socket,
        writer: Effect.map(socket.writer, (write) => {
          let text = ""
          return (chunk: Uint8Array | string | Socket.CloseEvent) => {
            text += typeof chunk === "string" ? chunk : Buffer.from(chunk as Uint8Array).toString()
            return isStuck && text.length > 200_000 ? Effect.never : Effect.delay(
              Effect.suspend(() => {
                const whole = text
                if (!whole.endsWith("\n")) {
                  return Effect.void
                }
                text = ""
                return write(whole)
              }),
              "9 seconds"
            )
          }
        })
      }))
      const rpc = yield* GoRpc.make({ socket, ping })
      const call = rpc.call("A.B", "ü".repeat(500_000))
      const fine = yield* Effect.fork(call)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* Fiber.join(fine), 42)
      isStuck = true
      const stuck = yield* Effect.fork(Effect.flip(call))
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(summary(yield* Fiber.join(stuck)), ["ConnectionLost", "Unknown", "PING_TIMEOUT"])
    }))

  for (const [how, hours] of [["forward", 1], ["back", -1]] as const) {
    it.scoped(`a wall clock that is set ${how} by an hour neither hurries a ping nor holds it back`, () =>
      Effect.gen(function*() {
        const { clock, jump } = yield* JumpingClock.make
        yield* Effect.gen(function*() {
          let pings = 0
          const peer = yield* MemoryPeer.make((line, { send }) =>
            line.method === "Ping" ? Effect.sync(() => void pings++) : send(JSON.stringify({ id: line.id, result: 42 }))
          )
          const rpc = yield* GoRpc.make({ socket: peer.socket, ping })
          yield* rpc.call("A.B", 1)
          yield* TestClock.adjust("5 seconds")
          assert.strictEqual(yield* rpc.call("A.B", 1), 42)
          yield* jump(hours * 3_600_000)
          yield* TestClock.adjust("9999 millis")
          assert.deepStrictEqual([pings, yield* rpc.state], [0, "ready"])
          yield* TestClock.adjust("3 seconds")
          assert.deepStrictEqual([pings, yield* rpc.state], [1, "ready"])
          yield* TestClock.adjust("1 milli")
          assert.deepStrictEqual([pings, yield* rpc.state], [1, "broken"])
        }).pipe(Effect.withClock(clock))
      }))
  }

  it.scoped("nothing goes on after the connection has ended", () =>
    Effect.gen(function*() {
      let pings = 0
      const peer = yield* MemoryPeer.make((line, { send }) => {
        pings += line.method === "Ping" ? 1 : 0
        return send(JSON.stringify({ id: line.id, result: 42 }))
      })
      const rpc = yield* GoRpc.make({ socket: peer.socket, ping })
      yield* rpc.call("A.B", 1)
      yield* peer.closeAll
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(pings, 0)
    }))
})

describe("GoRpc: how its connection is kept", () => {
  const answering = MemoryPeer.make((line, { send }) =>
    Effect.delay(send(JSON.stringify({ id: line.id, result: line.params[0] })), Number(line.params[0]))
  )

  it.scoped("close lets pending calls finish, refuses others, and ends the stream of states", () =>
    Effect.gen(function*() {
      const peer = yield* answering
      const rpc = yield* GoRpc.make({ socket: peer.socket })
      const states = yield* Effect.fork(Stream.runCollect(rpc.states))
      yield* TestClock.adjust(1)
      const slow = yield* Effect.fork(rpc.call("A.B", 500))
      yield* TestClock.adjust(1)
      const closing = yield* Effect.fork(rpc.close)
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("A.B", 1))), ["Cancelled", "the client is closed"])
      assert.deepStrictEqual([yield* rpc.state, yield* peer.open, closing.unsafePoll()], ["draining", 1, null])
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(slow), 500)
      yield* Fiber.join(closing)
      assert.strictEqual(yield* peer.open, 0)
      assert.deepStrictEqual(Array.from(yield* Fiber.join(states)), [
        "idle",
        "connecting",
        "ready",
        "draining",
        "closed"
      ])
    }))

  it.scoped("a connection that gave an answer may be dialled anew at once, one that did not may not", () =>
    Effect.gen(function*() {
      let isSilent = false
      const peer = yield* MemoryPeer.make((line, { close, send }) =>
        isSilent ? close : send(JSON.stringify({ id: line.id, result: 42 }))
      )
      const rpc = yield* GoRpc.make({ socket: peer.socket })
      yield* rpc.call("A.B", 1)
      yield* peer.closeAll
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* rpc.call("A.B", 1), 42)
      isSilent = true
      yield* Effect.flip(rpc.call("A.B", 1))
      yield* Effect.flip(rpc.call("A.B", 1))
      isSilent = false
      const third = yield* Effect.fork(rpc.call("A.B", 1))
      yield* TestClock.adjust(99)
      assert.strictEqual(yield* peer.opened, 3)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(third), 42)
    }))

  it.scoped("an old connection is replaced without a call that fails", () =>
    Effect.gen(function*() {
      const peer = yield* answering
      const rpc = yield* GoRpc.make({ socket: peer.socket, maxAge: "1 minute", idleTimeout: "10 minutes" })
      const calls = Effect.replicateEffect(Effect.delay(rpc.call("A.B", 3000), 7000), 100)
      const running = yield* Effect.fork(calls)
      yield* TestClock.adjust("20 minutes")
      assert.deepStrictEqual(new Set(yield* Fiber.join(running)), new Set([3000]))
      const opened = yield* peer.opened
      assert.isTrue(opened >= 14 && opened <= 18, `${opened}`)
      yield* TestClock.adjust("20 minutes")
      assert.deepStrictEqual([yield* peer.open, yield* rpc.state], [0, "idle"])
    }))
})
