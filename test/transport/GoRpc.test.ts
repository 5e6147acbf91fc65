import { assert, describe, it } from "@effect/vitest"
import { Fatal, InvalidOption, type Retryable, RpcCall, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Net from "node:net"
import * as MemoryPeer from "../support/memoryPeer.js"

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
      yield* Effect.sleep(10)
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
      const { call, server } = yield* setup
      assert.strictEqual(yield* call, 42)
      yield* server.restart
      yield* Effect.sleep(20)
      assert.strictEqual(yield* call, 42)
    }))

  it.scopedLive("a late answer is dropped, and reaches no other call", () =>
    Effect.gen(function*() {
      const { call, rpc, server } = yield* setup
      yield* server.script(FlakyServer.late("40 millis"))
      const product = yield* call.pipe(withRpcRetry({ attemptTimeout: "20 millis", schedule: Schedule.recurs(1) }))
      assert.strictEqual(product, 42)
      yield* server.script(FlakyServer.late("40 millis"))
      const other = yield* rpc.call("Arith.Multiply", { A: 2, B: 2 }).pipe(Effect.fork)
      yield* Effect.sleep(30)
      assert.isNull(other.unsafePoll())
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
        assert.deepStrictEqual(summary(error), ["InvalidArgument", "the arguments cannot be written as JSON"])
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
      assert.include(error.message, "Expected string, actual 42")
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
        yield* Effect.sleep(20)
        return [pending, call] as const
      }))
      for (const error of [yield* Fiber.join(pending), yield* Effect.flip(later)]) {
        assert.deepStrictEqual(summary(error), ["Cancelled", "the client is closed"])
      }
      yield* Effect.sleep(20)
      assert.strictEqual(yield* server.connections, 0)
    }))

  it.scopedLive("as a layer", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const program = Effect.flatMap(GoRpc.GoRpc, (rpc) => rpc.call("Arith.Multiply", multiply).pipe(withRpcRetry))
      assert.strictEqual(yield* program.pipe(Effect.provide(GoRpc.layer(server.address))), 42)
    }))

  it("refuses limits that are none", () => {
    const refuses = (options: GoRpc.Options, message: string) =>
      assert.throws(() => GoRpc.make(options), InvalidOption, message)
    const address = { host: "127.0.0.1", port: 1234 }
    refuses({ ...address, dialTimeout: -1 }, "GoRpc.make: dialTimeout must not be negative, got -1")
    refuses({ ...address, maxFrameBytes: 0 }, "GoRpc.make: maxFrameBytes must be an integer of at least 1, got 0")
    refuses({ ...address, port: 99_999 }, "GoRpc.make: port must be an integer from 1 to 65535, got 99999")
  })
})

describe("GoRpc and a hostile peer", () => {
  const garbage: ReadonlyArray<[string, bytes: string, problem: string]> = [
    ["another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", "not a JSON object: it starts with byte 0x48"],
    ["broken JSON", "{\"id\":0,]}", "not JSON"],
    ["an array", "[1]", "not a JSON object: it starts with byte 0x5b"],
    ["an answer without an id", "{\"result\":1,\"error\":null}", "an answer without a request id"],
    ["an id that is null", "{\"id\":null,\"result\":null,\"error\":\"?\"}", "an answer without a request id"],
    ["an id that was never given", "{\"id\":77,\"result\":1}", "an answer to request 77, which was never made"],
    ["a negative id", "{\"id\":-1,\"result\":1}", "an answer to request -1, which was never made"],
    ["a frame over the limit", `{"id":0,"result":"${"x".repeat(3000)}"}`, "a frame of more than 2000 bytes"],
    [
      "a frame over the limit that never ends",
      `{"id":0,"result":"${"x".repeat(3000)}`,
      "a frame of more than 2000 bytes"
    ],
    ["arrays in arrays without end", "{\"a\":" + "[".repeat(1900) + "]".repeat(1900), "a frame of more than 2000 bytes"]
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
        yield* Effect.sleep(10)
        assert.strictEqual(yield* server.connections, 0)
        assert.strictEqual(yield* call, 42)
      }))
  }

  it.scopedLive("nesting deeper than Go reads is refused", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup
      yield* server.script(FlakyServer.garbage("{\"a\":" + "[".repeat(20_000)))
      const error = yield* Effect.flip(call)
      assert.include(error.message, "nested deeper than 10000 levels")
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
      const server = Net.createServer((socket) => {
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
        socket.on("error", () => {})
      })
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port: (server.address() as Net.AddressInfo).port })
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
      const server = Net.createServer((socket) => socket.on("error", () => {}).resume())
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const { port } = server.address() as Net.AddressInfo
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, tls: {}, dialTimeout: "30 millis" })
      const error = yield* Effect.flip(rpc.call("A.B", null))
      assert.deepStrictEqual(summary(error), ["Unavailable", "NotSent", "DIAL_TIMEOUT"])
      yield* Effect.sleep(20)
      const open = yield* Effect.async<number>((resume) => {
        server.getConnections((_, n) => resume(Effect.succeed(n)))
      })
      assert.strictEqual(open, 0)
    }))
})

describe("GoRpc on virtual time", () => {
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
