/**
 * `GoRpc` against a real Go server: `net/rpc` with gob and with `net/rpc/jsonrpc`, in `go/netrpc`.
 */
import { Fatal, type Retryable, RetryExhausted, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { eventually } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { Anything, Quotient, services } from "../../support/netrpc.js"
import { retryOnceAfter } from "../../support/retryOnce.js"
import { assert, describe, it } from "../../support/vitest.js"

const range = (length: number) => Array.from({ length }, (_, i) => i)

const { path: binary, serve } = GoProgram.make("netrpc")

const connect = (codec: "gob" | "json") =>
  Effect.gen(function*() {
    const server = yield* serve("-codec", codec)
    const rpc = yield* GoRpc.make({ host: server.host, port: server.port, codec })
    const { arith, probe } = services(rpc)
    return { server, rpc, arith, probe, calls: probe.Calls({}) }
  })

const skip = describe.skipIf(GoServer.skipped !== undefined)

skip(`GoRpc and Go's net/rpc/jsonrpc ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("values round-trip", () =>
    Effect.gen(function*() {
      const { rpc } = yield* connect("json")
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }), 42)
      assert.deepStrictEqual(yield* rpc.call("Arith.Divide", { A: 17, B: 5 }), { Quo: 3, Rem: 2 })
      const everything = {
        Bool: true,
        Int: Number.MIN_SAFE_INTEGER,
        Float: Number.MIN_VALUE,
        Text: "zażółć 漢字 \u0000 \" \\ \u2028 👩‍👩‍👧",
        Bytes: Buffer.from([0, 1, 255]).toString("base64"),
        List: [1, -2, 3],
        Map: { a: 1, "": 2, __proto: 3 },
        Nested: { Quo: 1, Rem: 2 },
        Nothing: null,
        Empty: null
      }
      assert.deepStrictEqual(yield* rpc.call("Probe.Echo", everything), everything)
      const Reply = Schema.Struct({
        Float: Schema.Number,
        Bytes: Schema.Uint8ArrayFromBase64,
        Nothing: Schema.NullOr(Schema.Unknown)
      })
      const reply = yield* rpc.call("Probe.Echo", { ...everything, Float: 1e21 }, { reply: Reply })
      assert.deepStrictEqual(reply, { Float: 1e21, Bytes: new Uint8Array([0, 1, 255]), Nothing: null })
      const long = "x".repeat(4_000_000)
      const Text = Schema.Struct({ Text: Schema.String })
      assert.strictEqual((yield* rpc.call("Probe.Echo", { Text: long }, { reply: Text })).Text, long)
    }))
})

skip(`GoRpc and a Go server that answers one request after the other ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("a slow method is not cut by a ping that waits behind it, and runs once", () =>
    Effect.gen(function*() {
      const { host, port } = yield* serve("-codec", "json", "-serial")
      const rpc = yield* GoRpc.make({ host, port, ping: { every: "50 millis", timeout: "50 millis" } })
      const { probe } = services(rpc)
      assert.strictEqual(yield* probe.Sleep(1_000).pipe(withRpcRetry), 1_000)
      assert.strictEqual(yield* probe.Calls({}), 1)
    }))
})

skip(`GoRpc and Go's net/rpc with gob ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("values in interfaces come back whole, over and over on one connection", () =>
    Effect.gen(function*() {
      const { probe } = yield* connect("gob")
      const quotient = { name: "main.Quotient", value: { Quo: 1, Rem: 0 } }
      const plain: Anything = { Before: "b", Any: undefined, List: [], After: "a" }
      const values: ReadonlyArray<Anything> = [
        plain,
        { ...plain, Any: { name: "int", value: -7 } },
        { ...plain, Any: quotient, List: [quotient, undefined, { name: "string", value: "" }] },
        { ...plain, Any: { name: "main.Anything", value: { ...plain, Any: quotient, List: [quotient] } } }
      ]
      for (const value of [...values, ...values]) {
        assert.deepStrictEqual(yield* probe.EchoAny(value), value)
      }
    }))

  it.scopedLive("a reply that is a nil pointer is null where the schema has one, or else a struct of zeros, as in Go", () =>
    Effect.gen(function*() {
      const { arith, rpc } = yield* connect("gob")
      const find = <A, I>(quo: number, reply?: Schema.Schema<A, I>): Effect.Effect<unknown, Fatal | Retryable> =>
        reply === undefined
          ? rpc.call("Probe.Find", quo, { args: Gob.Int })
          : rpc.call("Probe.Find", quo, { args: Gob.Int, reply })
      const zero = { Quo: 0, Rem: 0 }
      assert.deepStrictEqual(
        [yield* find(-1, Schema.NullOr(Quotient)), yield* find(-1, Quotient), yield* find(-1)],
        [null, zero, {}]
      )
      assert.deepStrictEqual(
        [yield* find(0, Schema.NullOr(Quotient)), yield* find(0, Quotient), yield* find(0)],
        [zero, zero, {}]
      )
      const mistaken = yield* Effect.flip(find(-1, Gob.Int))
      assert.include(mistaken.message, "is struct Quotient, and not int")
      const nothing = Schema.Struct({})
      assert.isNull(yield* rpc.call("Probe.FindAny", {}, { args: nothing, reply: Schema.NullOr(Anything) }))
      assert.strictEqual(yield* arith.Multiply({ A: 6, B: 7 }), 42)
    }))

  it.scopedLive("without a schema for the reply it is what the stream says it is", () =>
    Effect.gen(function*() {
      const { probe, rpc } = yield* connect("gob")
      const args = Schema.Struct({ A: Gob.Int, B: Gob.Int })
      assert.deepStrictEqual(yield* rpc.call("Arith.Divide", { A: 17, B: 5 }, { args }), { Quo: 3, Rem: 2 })
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }, { args }), 42)
      assert.strictEqual(yield* probe.Sleep(1), 1)
    }))

  it.scopedLive("what cannot be sent is InvalidArgument, what is not expected Protocol, and the connection stays", () =>
    Effect.gen(function*() {
      const { arith, calls, rpc } = yield* connect("gob")
      const bad = [
        rpc.call("Arith.Multiply", { A: 6, B: 7 }),
        rpc.call("Arith.Multiply", 1, { args: Schema.Number }),
        rpc.call("Arith.Multiply", { A: 1.5, B: 0 }, { args: Schema.Struct({ A: Gob.Int, B: Gob.Int }) }),
        rpc.call("Arith.Multiply", [null], { args: Schema.Array(Schema.NullOr(Gob.Int)) }),
        rpc.call("Arith.Multiply", { A: 1, B: 1 }, {
          args: Schema.Struct({ A: Gob.Int, B: Gob.Int }),
          reply: Schema.Struct({ a: Schema.Array(Schema.Number) })
        })
      ]
      for (const call of bad) {
        const error = yield* Effect.flip(call.pipe(withRpcRetry))
        assert.deepStrictEqual([error._tag, error.reason, error.method], ["Fatal", "InvalidArgument", "Arith.Multiply"])
      }
      const useless = yield* Effect.flip(
        rpc.call("Arith.Multiply", { A: 1, B: 1 }, {
          args: Schema.Struct({ A: Gob.Int, B: Gob.Int }),
          reply: Schema.Struct({ a: Schema.Number })
        })
      )
      assert.include((useless as Fatal).message, "the schema of the reply is of no use with gob: number can be several")
      assert.strictEqual(yield* calls, 0)
      const A = Schema.Struct({ A: Gob.Int, B: Gob.Int })
      const reply = Schema.String
      const unexpected = yield* Effect.flip(rpc.call("Arith.Multiply", { A: 1, B: 1 }, { args: A, reply }))
      assert.strictEqual(unexpected.reason, "Protocol")
      assert.include((unexpected as Fatal).message, "is int, and not string")
      // of another type than Go has: the server reads past it and says so
      const wrong = yield* Effect.flip(
        rpc.call("Arith.Multiply", { A: "six", B: 7 }, { args: Schema.Struct({ A: Schema.String, B: Gob.Int }) })
      )
      assert.deepStrictEqual([wrong._tag, wrong.reason], ["Fatal", "ServerError"])
      assert.strictEqual(yield* arith.Multiply({ A: 6, B: 7 }), 42)
    }))

  it.scopedLive("arguments of no type of Go need no server to be refused", () =>
    Effect.gen(function*() {
      const rpc = yield* GoRpc.make({ host: "127.0.0.1", port: 1, codec: "gob" })
      const args = Schema.Struct({ A: Schema.optional(Schema.Array(Schema.Number)) })
      const error = yield* Effect.flip(rpc.call("Arith.Multiply", {}, { args }))
      assert.strictEqual(error.reason, "InvalidArgument")
    }))

  it.scopedLive("over HTTP, as rpc.DialHTTP does, at any path", () =>
    Effect.gen(function*() {
      for (const path of ["/_goRPC_", "/rpc/v1"]) {
        const { host, port } = yield* serve("-http", path)
        const rpc = yield* GoRpc.make({ host, port, codec: "gob", http: path === "/_goRPC_" ? true : path })
        assert.strictEqual(yield* services(rpc).arith.Multiply({ A: 6, B: 7 }), 42)
        const tls = yield* serve("-http", path, "-tls")
        const secure = yield* GoRpc.make({
          host: tls.host,
          port: tls.port,
          codec: "gob",
          http: path,
          tls: { ca: tls.certificate! }
        })
        assert.strictEqual(yield* services(secure).arith.Multiply({ A: 6, B: 7 }), 42)
        const lost = yield* GoRpc.make({ host, port, codec: "gob", http: "/elsewhere" })
        const error = yield* Effect.flip(services(lost).arith.Multiply({ A: 6, B: 7 }).pipe(withRpcRetry))
        assert.instanceOf(error, Fatal)
        assert.deepStrictEqual([error.reason, error.code], ["Protocol", "404"])
        assert.include(error.message, "it answered CONNECT with status 404")
      }
    }))
})

for (const codec of ["json", "gob"] as const) {
  skip(`GoRpc and a Go server that speaks ${codec} ${GoServer.skipped ?? ""}`, () => {
    const connected = connect(codec)

    it.scopedLive("an error string arrives as Fatal after exactly one attempt, counted by the server", () =>
      Effect.gen(function*() {
        const { arith, calls } = yield* connected
        const error = yield* Effect.flip(arith.Divide({ A: 1, B: 0 }).pipe(withRpcRetry))
        assert.instanceOf(error, Fatal)
        assert.deepStrictEqual([error.reason, error.message, error.method], [
          "ServerError",
          "divide by zero",
          "Arith.Divide"
        ])
        assert.strictEqual(yield* calls, 1)
      }))

    it.scopedLive("services and methods that do not exist are Fatal Unimplemented", () =>
      Effect.gen(function*() {
        const { rpc } = yield* connected
        for (const method of ["Arith.Power", "Geometry.Area", "NoDot"]) {
          const error = yield* Effect.flip(rpc.call(method, {}, { args: Schema.Struct({}) }).pipe(withRpcRetry))
          assert.instanceOf(error, Fatal)
          assert.deepStrictEqual([error.reason, error.method], ["Unimplemented", method])
        }
        const wrong = yield* Effect.flip(
          rpc.call("Arith.Multiply", { A: "six", B: 7 }, { args: Schema.Struct({ A: Schema.String, B: Gob.Int }) })
        )
        assert.deepStrictEqual([wrong._tag, wrong.reason], ["Fatal", "ServerError"])
      }))

    it.scopedLive("10,000 concurrent calls on one connection all get their own answers", () =>
      Effect.gen(function*() {
        const { arith, calls, rpc } = yield* connected
        const products = yield* Effect.forEach(
          range(10_000),
          (i) => arith.Multiply({ A: i, B: i + 1 }).pipe(withRpcRetry),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(products, range(10_000).map((i) => i * (i + 1)))
        assert.strictEqual(yield* calls, 10_000)
        assert.strictEqual(yield* rpc.pending, 0)
      }))

    it.scopedLive("answers come in any order", () =>
      Effect.gen(function*() {
        const { probe } = yield* connected
        const order: Array<unknown> = []
        yield* Effect.forEach(
          [600, 300, 1],
          (millis) => Effect.map(probe.Sleep(millis), (answer) => order.push(answer)),
          { concurrency: 3 }
        )
        assert.deepStrictEqual(order, [1, 300, 600])
      }))

    it.scopedLive("killed and restarted between calls, the server costs at most one failed attempt per call", () =>
      Effect.gen(function*() {
        const { arith, server } = yield* connected
        yield* arith.Multiply({ A: 1, B: 1 })
        let running: Pick<GoServer.Running, "kill"> = server
        for (const i of range(5)) {
          yield* running.kill
          running = yield* serve("-codec", codec, "-address", server.address)
          const call = arith.Multiply({ A: i, B: 10 })
          assert.strictEqual(yield* call.pipe(withRpcRetry({ schedule: Schedule.recurs(1) })), i * 10)
        }
      }))

    it.scopedLive("killed during 100 calls and restarted, it costs each of them one failed attempt", () =>
      Effect.gen(function*() {
        const { probe, rpc, server } = yield* connected
        let attempts = 0
        const back = yield* Deferred.make<void>()
        const fibers = yield* Effect.forEach(range(100), () => {
          // the first is answered by nobody
          let millis = 600_000
          const call = Effect.suspend(() => {
            attempts++
            const answered = probe.Sleep(millis)
            millis = 100
            return answered
          })
          return Effect.fork(call.pipe(withRpcRetry({ schedule: retryOnceAfter(back) })))
        })
        yield* eventually(Effect.map(rpc.pending, (pending) => pending === 100))
        yield* server.kill
        yield* serve("-codec", codec, "-address", server.address)
        yield* Deferred.succeed(back, undefined)
        assert.deepStrictEqual(yield* Fiber.join(Fiber.all(fibers)), range(100).map(() => 100))
        assert.strictEqual(attempts, 200)
      }))

    it.scopedLive("a server that dies in every call is given up, with the story told", () =>
      Effect.gen(function*() {
        const { probe } = yield* connected
        const error = yield* Effect.flip(
          probe.Exit({}).pipe(
            withRpcRetry({ schedule: RetrySchedule.retries(Schedule.spaced("200 millis"), 2) })
          )
        )
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual(
          error.history.map((attempt) => [attempt.error.reason, attempt.error.delivery]),
          [["ConnectionLost", "Unknown"], ["ConnectionRefused", "NotSent"], ["ConnectionRefused", "NotSent"]]
        )
      }))

    it.scopedLive("a call that is abandoned leaves the connection to the others", () =>
      Effect.gen(function*() {
        const { arith, calls, probe, rpc } = yield* connected
        const fibers = yield* Effect.forEach(range(50), () => Effect.fork(probe.Sleep(2_000)))
        // all have reached the server: none is withdrawn unsent
        yield* eventually(Effect.map(calls, (n) => Number(n) === 50))
        yield* Fiber.interruptAll(fibers)
        assert.strictEqual(yield* rpc.pending, 0)
        // a call that is answered after those that were abandoned: their answers have come, and were dropped
        assert.strictEqual(yield* probe.Sleep(2_100), 2_100)
        assert.strictEqual(yield* arith.Multiply({ A: 6, B: 7 }), 42)
        assert.strictEqual(yield* calls, 52)
      }))

    it.scopedLive("over a Unix socket", () =>
      Effect.gen(function*() {
        const path = `${binary}.${codec}.sock`
        const { arith } = services(yield* GoRpc.make({ path, codec }))
        const early = yield* Effect.flip(arith.Multiply({ A: 6, B: 7 }))
        assert.deepStrictEqual([early.reason, early.code], ["ConnectionRefused", "ENOENT"])
        yield* serve("-codec", codec, "-network", "unix", "-address", path)
        assert.strictEqual(yield* arith.Multiply({ A: 6, B: 7 }), 42)
      }))

    it.scopedLive("over TLS; a certificate that does not verify is Fatal, and not tried again", () =>
      Effect.gen(function*() {
        const { certificate, host, port } = yield* serve("-codec", codec, "-tls")
        const { arith } = services(yield* GoRpc.make({ host, port, codec, tls: { ca: certificate! } }))
        assert.strictEqual(yield* arith.Multiply({ A: 6, B: 7 }).pipe(withRpcRetry), 42)
        const wary = services(yield* GoRpc.make({ host, port, codec, tls: {} }))
        const error = yield* Effect.flip(wary.arith.Multiply({ A: 6, B: 7 }).pipe(withRpcRetry))
        assert.instanceOf(error, Fatal)
        assert.strictEqual(error.reason, "Protocol")
      }))
  })
}
