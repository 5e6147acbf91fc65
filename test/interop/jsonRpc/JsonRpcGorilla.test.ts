/**
 * `JsonRpc` and `HttpPool` against a real Go server: `github.com/gorilla/rpc`, both of its codecs, in `go/gorillaserver`.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { Fatal, RetryExhausted, RetrySchedule, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { eventually } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { retryOnceAfter } from "../../support/retryOnce.js"
import { assert, describe, it } from "../../support/vitest.js"

const range = (length: number) => Array.from({ length }, (_, i) => i)

const summary = (error: RpcError.RpcError) =>
  error._tag === "Fatal" ? [error.reason, error.message, error.code] : [error._tag, error.reason]

const flavours = [["json", "1.0"], ["json2", "2.0"]] as const

const all = <A, E, R>(calls: ReadonlyArray<Effect.Effect<A, E, R>>) => Effect.all(calls, { concurrency: "unbounded" })

describe.skipIf(GoServer.skipped !== undefined)(`JsonRpc and Go's gorilla/rpc ${GoServer.skipped ?? ""}`, () => {
  const { serve } = GoProgram.make("gorillaserver")

  const connected = (
    [path, dialect]: typeof flavours[number],
    options: Omit<JsonRpc.Options, "url" | "dialect"> = {}
  ) =>
    Effect.gen(function*() {
      const server = yield* serve()
      const rpc = yield* JsonRpc.make({ url: `http://${server.address}/${path}`, dialect, ...options })
      return { server, rpc, calls: rpc.call("Probe.Calls", {}) }
    })

  const pooled = Effect.provide(HttpPool.layer())

  for (const flavour of flavours) {
    describe(flavour[0], () => {
      it.scopedLive("values round-trip", () =>
        Effect.gen(function*() {
          const { rpc } = yield* connected(flavour)
          assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number }), 42)
          assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 0, B: 7 }), 0)
          assert.deepStrictEqual(yield* rpc.call("Arith.Divide", { A: 17, B: 5 }), { Quo: 3, Rem: 2 })
          const everything = {
            Bool: true,
            Int: Number.MIN_SAFE_INTEGER,
            Float: Number.MIN_VALUE,
            Text: "zażółć 漢字 \u0000 \" \\ \u2028 👩‍👩‍👧 <&>",
            Bytes: Buffer.from([0, 1, 255]).toString("base64"),
            List: [1, -2, 3],
            Map: { a: 1, "": 2, __proto: 3 },
            Nested: { Quo: 1, Rem: 2 },
            Nothing: null,
            Empty: null
          }
          assert.deepStrictEqual(yield* rpc.call("Probe.Echo", everything), everything)
          const Value = Schema.Struct({
            Float: Schema.Number,
            Bytes: Schema.Uint8ArrayFromBase64,
            Nothing: Schema.NullOr(Schema.Unknown)
          })
          const value = { Float: 1e21, Bytes: new Uint8Array([0, 1, 255]), Nothing: null }
          assert.deepStrictEqual(yield* rpc.call("Probe.Echo", value, { params: Value, reply: Value }), value)
          const Text = Schema.Struct({ Text: Schema.String })
          const long = "x".repeat(4_000_000)
          assert.strictEqual((yield* rpc.call("Probe.Echo", { Text: long }, { reply: Text })).Text, long)
        }).pipe(pooled))

      it.scopedLive("an error arrives as Fatal after exactly one attempt, counted by the server", () =>
        Effect.gen(function*() {
          const { calls, rpc } = yield* connected(flavour)
          const error = yield* Effect.flip(rpc.call("Arith.Divide", { A: 1, B: 0 }).pipe(withRpcRetry))
          assert.instanceOf(error, Fatal)
          assert.deepStrictEqual([error.reason, error.message, error.method], [
            "ServerError",
            "divide by zero",
            "Arith.Divide"
          ])
          assert.strictEqual(error.code, flavour[1] === "2.0" ? -32000 : undefined)
          assert.strictEqual(yield* calls, 1)
        }).pipe(pooled))

      it.scopedLive("what does not exist is Unimplemented or NotFound; wrong arguments are Fatal", () =>
        Effect.gen(function*() {
          const { calls, rpc, server } = yield* connected(flavour)
          for (const method of ["Arith.Power", "Geometry.Area", "NoDot"]) {
            const error = yield* Effect.flip(rpc.call(method, {}).pipe(withRpcRetry))
            assert.deepStrictEqual([error._tag, error.reason, error.method], ["Fatal", "Unimplemented", method])
          }
          const wrong = yield* Effect.flip(rpc.call("Arith.Multiply", { A: "six", B: 7 }))
          assert.deepStrictEqual(
            [wrong._tag, wrong.reason],
            ["Fatal", flavour[1] === "2.0" ? "InvalidArgument" : "ServerError"]
          )
          const lost = yield* JsonRpc.make({ url: `http://${server.address}/nowhere`, dialect: flavour[1] })
          assert.deepStrictEqual(summary(yield* Effect.flip(lost.call("Arith.Multiply", {}))), [
            "NotFound",
            "HTTP 404: a body of 19 bytes",
            404
          ])
          const plain = yield* JsonRpc.make({
            url: `http://${server.address}/${flavour[0]}`,
            headers: { "content-type": "text/plain" }
          })
          assert.deepStrictEqual(summary(yield* Effect.flip(plain.call("Arith.Multiply", {}))), [
            "Protocol",
            "HTTP 415: a body of 42 bytes",
            415
          ])
          assert.strictEqual(yield* calls, 0)
        }).pipe(pooled))

      it.scopedLive("notifications are carried out, and not answered", () =>
        Effect.gen(function*() {
          const { calls, rpc } = yield* connected(flavour)
          yield* rpc.notify("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)
          assert.strictEqual(yield* calls, 1)
        }).pipe(pooled))

      it.scopedLive("2,000 concurrent calls all get their own answers", () =>
        Effect.gen(function*() {
          const { calls, rpc } = yield* connected(flavour)
          const products = yield* all(
            range(2_000).map((i) => rpc.call("Arith.Multiply", { A: i, B: i + 1 }).pipe(withRpcRetry))
          )
          assert.deepStrictEqual(products, range(2_000).map((i) => i * (i + 1)))
          assert.strictEqual(yield* calls, 2_000)
          // as long as a busy machine takes: nothing in it waits for a time
        }).pipe(Effect.provide(HttpPool.layer({ connections: 32 }))), 600_000)

      it.scopedLive("killed and restarted with 16 idle connections, the server costs no call more than one attempt", () =>
        Effect.gen(function*() {
          const { rpc, server } = yield* connected(flavour)
          const busy = all(range(16).map(() => rpc.call("Probe.Sleep", { Millis: 50 })))
          let running: Pick<GoServer.Running, "kill"> = server
          for (const concurrency of [1, 16, "unbounded"] as const) {
            yield* busy
            yield* running.kill
            running = yield* serve("-address", server.address)
            const products = yield* Effect.forEach(
              range(16),
              (i) =>
                rpc.call("Arith.Multiply", { A: i, B: 10 }).pipe(
                  withRpcRetry({ method: "Arith.Multiply", schedule: Schedule.recurs(1) })
                ),
              { concurrency }
            )
            assert.deepStrictEqual(products, range(16).map((i) => i * 10))
          }
        }).pipe(pooled))

      it.scopedLive("killed during 16 calls and restarted, it costs each of them one failed attempt", () =>
        Effect.gen(function*() {
          const { rpc, server } = yield* connected(flavour)
          let attempts = 0
          const back = yield* Deferred.make<void>()
          const fibers = yield* Effect.forEach(range(16), () => {
            // the first is answered by nobody
            let Millis = 600_000
            const call = Effect.suspend(() => {
              attempts++
              const answered = rpc.call("Probe.Sleep", { Millis })
              Millis = 10
              return answered
            })
            return Effect.fork(call.pipe(withRpcRetry({ schedule: retryOnceAfter(back) })))
          })
          const seen = rpc.call("Probe.Calls", {}, { reply: Schema.Number })
          yield* eventually(Effect.map(seen, (calls) => calls === 16))
          yield* server.kill
          yield* serve("-address", server.address)
          yield* Deferred.succeed(back, undefined)
          assert.deepStrictEqual(yield* Fiber.join(Fiber.all(fibers)), range(16).map(() => 10))
          assert.strictEqual(attempts, 32)
        }).pipe(pooled))

      it.scopedLive("a server that dies in every call is given up, with the story told", () =>
        Effect.gen(function*() {
          const { rpc } = yield* connected(flavour)
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
        }).pipe(pooled))

      it.scopedLive("headers arrive", () =>
        Effect.gen(function*() {
          const { rpc } = yield* connected(flavour, { headers: { authorization: "Bearer abc" } })
          const Headers = Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String) })
          const headers = yield* rpc.call("Probe.Headers", {}, { reply: Headers }).pipe(
            withRpcRetry({ idempotencyKey: "order-1" })
          )
          assert.deepStrictEqual([headers["Authorization"], headers["Idempotency-Key"], headers["X-Retry-Attempt"]], [
            ["Bearer abc"],
            ["order-1"],
            undefined
          ])
        }).pipe(pooled))
    })
  }

  it.scopedLive("json2: codes and data of errors are kept, and can be retried", () =>
    Effect.gen(function*() {
      const { calls, rpc } = yield* connected(["json2", "2.0"], { retryOn: [-32005] })
      const error = yield* Effect.flip(rpc.call("Probe.Coded", { A: -32050, B: 3 }))
      assert.deepStrictEqual(summary(error), ["ServerError", "coded", -32050])
      assert.deepStrictEqual(error.cause, { code: -32050, message: "coded", data: { B: 3 } })
      const limited = yield* Effect.flip(
        rpc.call("Probe.Coded", { A: -32005, B: 3 }).pipe(withRpcRetry({ schedule: Schedule.recurs(3) }))
      )
      assert.instanceOf(limited, RetryExhausted)
      assert.deepStrictEqual([limited.attempts, limited.last.code], [4, -32005])
      assert.strictEqual(yield* calls, 5)
    }).pipe(pooled))

  it.scopedLive("json: errors need not be strings", () =>
    Effect.gen(function*() {
      const { rpc } = yield* connected(["json", "1.0"])
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("Probe.Structured", {}))), ["ServerError", "seven", 7])
    }).pipe(pooled))

  it.scopedLive("a server that knows no batches says so to every call of one", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* connected(["json2", "2.0"], { batch: { maxCalls: 3, window: "1 hour" } })
      const errors = yield* all(range(3).map((i) => Effect.flip(rpc.call("Arith.Multiply", { A: i, B: 1 }))))
      for (const error of errors) {
        assert.deepStrictEqual([error._tag, error.reason, error.code], ["Fatal", "Protocol", -32700])
      }
      const single = yield* JsonRpc.make({ url: `http://${server.address}/json2` })
      assert.strictEqual(yield* single.call("Probe.Calls", {}), 0)
    }).pipe(pooled))

  it.scopedLive("over TLS; a certificate that does not verify is Fatal, and not tried again", () =>
    Effect.gen(function*() {
      const { address, certificate } = yield* serve("-tls")
      const rpc = yield* JsonRpc.make({ url: `https://${address}/json2` })
      const call = rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)
      const error = yield* Effect.flip(call)
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.code], ["Protocol", "DEPTH_ZERO_SELF_SIGNED_CERT"])
      const trusting = yield* HttpPool.make({ connect: { ca: certificate! } })
      const trusted = yield* JsonRpc.make({ url: `https://${address}/json2` }).pipe(
        Effect.provideService(HttpClient.HttpClient, trusting)
      )
      assert.strictEqual(yield* trusted.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry), 42)
    }).pipe(pooled))

  it.scopedLive("the wrong flavour is refused in words", () =>
    Effect.gen(function*() {
      const { server } = yield* connected(["json2", "2.0"])
      const rpc = yield* JsonRpc.make({ url: `http://${server.address}/json2`, dialect: "1.0" })
      const error = yield* Effect.flip(rpc.call("Arith.Multiply", { A: 6, B: 7 }))
      assert.deepStrictEqual(summary(error), ["InvalidArgument", "jsonrpc must be 2.0", -32600])
    }).pipe(pooled))
})
