/**
 * `GoRpc` against a real Go server: `net/rpc` with gob and with `net/rpc/jsonrpc`, in `go/netrpc`.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Fatal, RetryExhausted, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as GoServer from "../support/goServer.js"

const range = (length: number) => Array.from({ length }, (_, i) => i)

describe.skipIf(GoServer.skipped !== undefined)(`GoRpc and Go's net/rpc ${GoServer.skipped ?? ""}`, () => {
  const scope = Effect.runSync(Scope.make())
  let binary = ""
  beforeAll(async () => {
    binary = (await Effect.runPromise(Scope.extend(GoServer.build("netrpc"), scope))).binary
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const serve = (...args: ReadonlyArray<string>) => Effect.suspend(() => GoServer.start(binary, ...args))

  const connected = Effect.gen(function*() {
    const server = yield* serve()
    const rpc = yield* GoRpc.make({ host: server.host, port: server.port })
    return { server, rpc, calls: rpc.call("Probe.Calls", {}) }
  })

  it.scopedLive("values round-trip", () =>
    Effect.gen(function*() {
      const { rpc } = yield* connected
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
      const long = "x".repeat(5_000_000)
      const Text = Schema.Struct({ Text: Schema.String })
      assert.strictEqual((yield* rpc.call("Probe.Echo", { Text: long }, { reply: Text })).Text, long)
    }))

  it.scopedLive("an error string arrives as Fatal after exactly one attempt, counted by the server", () =>
    Effect.gen(function*() {
      const { calls, rpc } = yield* connected
      const error = yield* Effect.flip(rpc.call("Arith.Divide", { A: 1, B: 0 }).pipe(withRpcRetry))
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
        const error = yield* Effect.flip(rpc.call(method, {}).pipe(withRpcRetry))
        assert.instanceOf(error, Fatal)
        assert.deepStrictEqual([error.reason, error.method], ["Unimplemented", method])
      }
      const wrong = yield* Effect.flip(rpc.call("Arith.Multiply", { A: "six", B: 7 }))
      assert.deepStrictEqual([wrong._tag, wrong.reason], ["Fatal", "ServerError"])
    }))

  it.scopedLive("10,000 concurrent calls on one connection all get their own answers", () =>
    Effect.gen(function*() {
      const { calls, rpc } = yield* connected
      const products = yield* Effect.forEach(
        range(10_000),
        (i) => rpc.call("Arith.Multiply", { A: i, B: i + 1 }).pipe(withRpcRetry),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(products, range(10_000).map((i) => i * (i + 1)))
      assert.strictEqual(yield* calls, 10_000)
      assert.strictEqual(yield* rpc.pending, 0)
    }))

  it.scopedLive("answers come in any order", () =>
    Effect.gen(function*() {
      const { rpc } = yield* connected
      const order: Array<unknown> = []
      yield* Effect.forEach([60, 30, 1], (millis) =>
        Effect.map(rpc.call("Probe.Sleep", millis), (answer) => order.push(answer)), { concurrency: 3 })
      assert.deepStrictEqual(order, [1, 30, 60])
    }))

  it.scopedLive("killed and restarted between calls, the server costs at most one failed attempt per call", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* connected
      yield* rpc.call("Arith.Multiply", { A: 1, B: 1 })
      let running: Pick<GoServer.Running, "kill"> = server
      for (const i of range(5)) {
        yield* running.kill
        running = yield* serve("-address", server.address)
        const call = rpc.call("Arith.Multiply", { A: i, B: 10 })
        assert.strictEqual(yield* call.pipe(withRpcRetry({ schedule: Schedule.recurs(1) })), i * 10)
      }
    }))

  it.scopedLive("killed during 100 calls and restarted, it costs each of them one failed attempt", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* connected
      let attempts = 0
      const call = Effect.suspend(() => {
        attempts++
        return rpc.call("Probe.Sleep", 100)
      })
      // one retry, late enough for the server to have come back
      const once = Schedule.spaced("1 second").pipe(RetrySchedule.retries(1))
      const fibers = yield* Effect.forEach(range(100), () => Effect.fork(call.pipe(withRpcRetry({ schedule: once }))))
      yield* Effect.sleep(50)
      assert.strictEqual(yield* rpc.pending, 100)
      yield* server.kill
      yield* serve("-address", server.address)
      assert.deepStrictEqual(yield* Fiber.join(Fiber.all(fibers)), range(100).map(() => 100))
      assert.strictEqual(attempts, 200)
    }))

  it.scopedLive("a server that dies in every call is given up, with the story told", () =>
    Effect.gen(function*() {
      const { rpc } = yield* connected
      const error = yield* Effect.flip(
        rpc.call("Probe.Exit", {}).pipe(
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
      const { calls, rpc } = yield* connected
      const fibers = yield* Effect.forEach(range(50), () => Effect.fork(rpc.call("Probe.Sleep", 40)))
      yield* Effect.sleep(10)
      yield* Fiber.interruptAll(fibers)
      assert.strictEqual(yield* rpc.pending, 0)
      yield* Effect.sleep(60)
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }), 42)
      assert.strictEqual(yield* calls, 51)
    }))

  it.scopedLive("over a Unix socket", () =>
    Effect.gen(function*() {
      const path = `${binary}.sock`
      const rpc = yield* GoRpc.make({ path })
      const early = yield* Effect.flip(rpc.call("Arith.Multiply", { A: 6, B: 7 }))
      assert.deepStrictEqual([early.reason, early.code], ["ConnectionRefused", "ENOENT"])
      yield* serve("-network", "unix", "-address", path)
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }), 42)
    }))

  it.scopedLive("over TLS; a certificate that does not verify is Fatal, and not tried again", () =>
    Effect.gen(function*() {
      const { certificate, host, port } = yield* serve("-tls")
      const rpc = yield* GoRpc.make({ host, port, tls: { ca: certificate! } })
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry), 42)
      const wary = yield* GoRpc.make({ host, port, tls: {} })
      const error = yield* Effect.flip(wary.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry))
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.reason, "Protocol")
    }))
})
