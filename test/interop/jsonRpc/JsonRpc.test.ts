/**
 * `JsonRpc` against a real HTTP server, over each of the platform's clients where they could differ.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import {
  Classify,
  Fatal,
  InvalidOption,
  Retryable,
  RetryExhausted,
  RpcCall,
  RpcError,
  withRpcRetry
} from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { contract } from "../../support/contract.js"
import * as EchoServer from "../../support/echoServer.js"
import { eventually, settle } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const multiply = { A: 6, B: 7 }

const clients: ReadonlyArray<[name: string, layer: Layer.Layer<HttpClient.HttpClient>]> = [
  ["HttpPool", HttpPool.layer()],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layer],
  ["fetch", FetchHttpClient.layer]
]

const setup = (options: Omit<JsonRpc.Options, "url"> = {}) =>
  Effect.gen(function*() {
    const server = yield* HttpServer.make
    const rpc = yield* JsonRpc.make({ url: server.url, ...options })
    return { server, rpc, call: rpc.call("Arith.Multiply", multiply) }
  })

const pooled = Effect.provide(HttpPool.layer())

const fast = withRpcRetry({ schedule: Schedule.recurs(3) })

const summary = (error: RpcError.RpcError) =>
  error._tag === "Retryable"
    ? [error.reason, error.delivery, error.code]
    : error._tag === "Fatal"
    ? [error.reason, error.message, error.code]
    : [error._tag, error.reason]

const fatal = (error: RpcError.RpcError): Fatal => {
  assert.instanceOf(error, Fatal)
  return error
}

for (const [name, layer] of clients) {
  describe(`JsonRpc over ${name}`, () => {
    const provided = Effect.provide(layer)

    it.scopedLive("calls, and is named for withRpcRetry", () =>
      Effect.gen(function*() {
        const { call, rpc, server } = yield* setup({ headers: { "X-Team": "a" } })
        assert.strictEqual(yield* call, 42)
        assert.isTrue(RpcCall.isRpcCall(call))
        assert.deepStrictEqual([call.method, call.idempotent], ["Arith.Multiply", undefined])
        assert.deepStrictEqual(server.requests(), [{
          jsonrpc: "2.0",
          method: "Arith.Multiply",
          params: multiply,
          id: 1
        }])
        const { headers, method } = server.seen[0]!
        assert.deepStrictEqual(
          [method, headers["content-type"], headers.accept, headers["x-team"], headers["x-retry-attempt"]],
          ["POST", "application/json", "application/json", "a", undefined]
        )
        assert.strictEqual(yield* rpc.call("Arith.Multiply", multiply, { reply: Schema.Number, idempotent: true }), 42)
      }).pipe(provided))

    // the agent that the platform makes for node:http closes each connection
    it.scopedLive(`calls one after the other ${name === "node:http" ? "get new connections" : "use connections again"}`, () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup()
        yield* Effect.repeatN(call, 9)
        assert.strictEqual(server.seen.length, 10)
        if (name === "node:http") {
          assert.strictEqual(server.accepted(), 10)
        } else {
          // undici frees a connection just after it has told of the answer, so the next request may need a second one
          assert.isAtMost(server.accepted(), 2)
        }
      }).pipe(provided))

    it.scopedLive("a failing server gets one request for each attempt", () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup()
        for (const step of [HttpServer.reset, HttpServer.close, HttpServer.cut(true), HttpServer.cut(false)]) {
          const before = server.seen.length
          server.script(step, step, step, step)
          const error = yield* Effect.flip(call.pipe(fast))
          assert.instanceOf(error, RetryExhausted)
          assert.deepStrictEqual(
            error.history.map(({ error }) => [error.reason, error.delivery, error.method]),
            Array.from({ length: 4 }, () => ["ConnectionLost", "Unknown", "Arith.Multiply"])
          )
          assert.strictEqual(server.seen.length - before, 4)
        }
        server.script(HttpServer.reset, HttpServer.respond(503, "<html>"), HttpServer.respond(429))
        assert.strictEqual(yield* call.pipe(fast), 42)
      }).pipe(provided))

    it.scopedLive("retries say which one they are, and have an id of their own", () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup()
        server.script(HttpServer.reset, HttpServer.respond(502))
        yield* call.pipe(withRpcRetry({ schedule: Schedule.recurs(3), idempotencyKey: "order-1" }))
        assert.deepStrictEqual(
          server.seen.map(({ headers }) => [headers["x-retry-attempt"], headers["idempotency-key"]]),
          [[undefined, "order-1"], ["1", "order-1"], ["2", "order-1"]]
        )
        assert.deepStrictEqual(server.requests().map(({ id }) => id), [1, 2, 3])
      }).pipe(provided))

    it.scopedLive("a key that cannot be a header is Fatal, and nothing is sent", () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup()
        const error = yield* Effect.flip(call.pipe(withRpcRetry({ idempotencyKey: "ключ" })))
        assert.deepStrictEqual([error.reason, error.method, server.seen.length], [
          "InvalidArgument",
          "Arith.Multiply",
          0
        ])
      }).pipe(provided))

    it.scopedLive("a refused connection was not sent", () =>
      Effect.gen(function*() {
        const port = yield* HttpServer.refusedPort
        const rpc = yield* JsonRpc.make({ url: `http://127.0.0.1:${port}` })
        const error = yield* Effect.flip(rpc.call("Any", []))
        assert.deepStrictEqual(summary(error), ["ConnectionRefused", "NotSent", "ECONNREFUSED"])
      }).pipe(provided))

    it.scopedLive("interrupted, it aborts its request; in the middle of the answer too", () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup()
        const half: HttpServer.Step = (response) => {
          response.writeHead(200).write("{")
        }
        for (const step of [HttpServer.stall, half]) {
          const before = server.seen.length
          server.script(step)
          const fiber = yield* Effect.fork(call)
          yield* eventually(() => server.seen.length > before)
          // what there is of the answer has come by then, or comes to a call that was interrupted: both are right
          yield* settle()
          yield* Fiber.interrupt(fiber)
          yield* eventually(() => server.seen[before]!.aborted)
        }
        server.script(HttpServer.stall)
        assert.strictEqual(yield* call.pipe(withRpcRetry({ attemptTimeout: "1 second" })), 42)
        yield* eventually(() => server.seen[2]!.aborted)
      }).pipe(provided))

    it.scopedLive("an answer above the limit is an error, and the rest of it is not read", () =>
      Effect.gen(function*() {
        const { call, rpc, server } = yield* setup({ maxResponseBytes: 1000 })
        let written = 0
        const endless: HttpServer.Step = (response) => {
          const more = () => {
            while (!response.destroyed && response.write("x".repeat(10_000))) {
              written += 10_000
            }
          }
          response.on("drain", more)
          more()
        }
        server.script(endless, HttpServer.respond(200, "x".repeat(1001), { "content-length": 1001 }))
        const tooLarge = ["Protocol", "the answer is a body of more than 1000 bytes: see maxResponseBytes", undefined]
        assert.deepStrictEqual(summary(yield* Effect.flip(call)), tooLarge)
        assert.deepStrictEqual(summary(yield* Effect.flip(call)), tooLarge)
        yield* eventually(() => server.seen[0]!.aborted)
        assert.isBelow(written, 50_000_000)
        assert.strictEqual(
          yield* rpc.call("Echo", ["x".repeat(900)], { reply: Schema.Array(Schema.String) }).pipe(
            Effect.map((reply) => reply[0]!.length)
          ),
          900
        )
      }).pipe(provided))

    it.scopedLive("an answer announced above the limit is not waited for where the caller cannot be interrupted", () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup({ maxResponseBytes: 1000 })
        server.script((response) => {
          response.writeHead(200, { "content-length": 1001 }).flushHeaders()
        })
        assert.strictEqual((yield* Effect.flip(Effect.uninterruptible(call))).reason, "Protocol")
        yield* eventually(() => server.seen[0]?.aborted === true)
      }).pipe(provided))

    it.scopedLive("bodies of any cut and size arrive whole", () =>
      Effect.gen(function*() {
        const { rpc } = yield* setup()
        const text = "zażółć 漢字 👩‍👩‍👧 \u0000\u2028".repeat(70_000)
        assert.deepStrictEqual(yield* rpc.call("Echo", { text }), { text })
      }).pipe(provided))
  })
}

describe("HTTP statuses", () => {
  const error = (code: number, message = "no") => ({ code, message, data: { why: ["x"] } })
  const withError = (status: number, code: number) =>
    HttpServer.json(({ id }: { id: number }) => ({ jsonrpc: "2.0", id, error: error(code) }), status)

  const cases: ReadonlyArray<[name: string, step: HttpServer.Step, expected: ReadonlyArray<unknown>]> = [
    ["408", HttpServer.respond(408), ["Unavailable", "Unknown", 408]],
    ["429", HttpServer.respond(429, "slow down"), ["Throttled", "NotSent", 429]],
    ["429 with an error object", withError(429, -32005), ["Throttled", "NotSent", 429]],
    ["502 with a page", HttpServer.respond(502, "<html>Bad gateway</html>"), ["Unavailable", "Unknown", 502]],
    ["503", HttpServer.respond(503), ["Unavailable", "Unknown", 503]],
    ["503 with an error object", withError(503, -32601), ["Unavailable", "Unknown", 503]],
    ["504", HttpServer.respond(504), ["Unavailable", "Unknown", 504]],
    ["301", HttpServer.respond(301, "", { location: "http://127.0.0.1:1/" }), [
      "Protocol",
      "HTTP 301: an empty body",
      301
    ]],
    ["300 with an error object", withError(300, -32601), ["Protocol", undefined, 300]],
    ["302 with an error object", withError(302, -32601), ["Protocol", undefined, 302]],
    ["399 with an error object", withError(399, -32601), ["Protocol", undefined, 399]],
    ["300 with a result", HttpServer.json({ jsonrpc: "2.0", id: 1, result: 1 }, 300), ["Protocol", undefined, 300]],
    ["299 with an error object", withError(299, -32601), ["Unimplemented", "no", -32601]],
    ["400 in plain text", HttpServer.respond(400, "no\n such  thing"), [
      "InvalidArgument",
      "HTTP 400: a body of 15 bytes",
      400
    ]],
    ["400 with an error object", withError(400, -32000), ["ServerError", "no", -32000]],
    ["400 with a result", HttpServer.json({ jsonrpc: "2.0", id: 1, result: 1 }, 400), [
      "InvalidArgument",
      "HTTP 400: a body of 35 bytes",
      400
    ]],
    ["401", HttpServer.respond(401), ["Unauthenticated", "HTTP 401: an empty body", 401]],
    ["403 with an error object", withError(403, -32000), ["PermissionDenied", undefined, 403]],
    ["404", HttpServer.respond(404, "<!doctype html>"), ["NotFound", "HTTP 404: a page of HTML or XML", 404]],
    ["404 with an error object", withError(404, -32601), ["Unimplemented", "no", -32601]],
    ["405", HttpServer.respond(405), ["Unimplemented", "HTTP 405: an empty body", 405]],
    ["415", HttpServer.respond(415), ["Protocol", "HTTP 415: an empty body", 415]],
    ["418", HttpServer.respond(418), ["ServerError", "HTTP 418: an empty body", 418]],
    ["500", HttpServer.respond(500), ["ServerError", "HTTP 500: an empty body", 500]],
    ["500 with an error object", withError(500, -32603), ["ServerError", "no", -32603]],
    ["501", HttpServer.respond(501), ["Unimplemented", "HTTP 501: an empty body", 501]],
    ["204", HttpServer.respond(204), ["Protocol", "the answer is an empty body", undefined]]
  ]

  it.scopedLive("each as the table says", () =>
    Effect.gen(function*() {
      for (const [name, step, expected] of cases) {
        const { call, server } = yield* setup()
        server.script(step)
        const [reason, second, code] = summary(yield* Effect.flip(call))
        assert.deepStrictEqual([reason, expected[1] === undefined ? undefined : second, code], expected, name)
        assert.strictEqual(server.seen.length, 1)
      }
    }).pipe(pooled))

  it.scopedLive("Retry-After becomes retryAfter, and is waited for", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup()
      for (const status of [408, 429, 502, 503, 504]) {
        server.script(HttpServer.respond(status, "", { "retry-after": "120" }))
        const retryable = yield* Effect.flip(call)
        assert.instanceOf(retryable, Retryable)
        assert.deepStrictEqual(retryable.retryAfter, Duration.seconds(120))
      }
      const tomorrow = new Date(Date.now() + 86_400_000).toUTCString()
      server.script(
        HttpServer.respond(503, "", { "retry-after": tomorrow }),
        HttpServer.respond(503, "", { "retry-after": "soon" })
      )
      const dated = yield* Effect.flip(call)
      assert.instanceOf(dated, Retryable)
      assert.closeTo(Duration.toMillis(dated.retryAfter as Duration.Duration), 86_400_000, 60_000)
      const unclear = yield* Effect.flip(call)
      assert.strictEqual(unclear._tag === "Retryable" && unclear.retryAfter, "Never")
      server.script(HttpServer.respond(429, "", { "retry-after": "0" }))
      assert.strictEqual(yield* call.pipe(withRpcRetry({ schedule: Schedule.spaced("1 hour"), minServerDelay: 0 })), 42)
    }).pipe(pooled))

  it.scopedLive("a client that fails on statuses itself changes nothing", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: server.url }).pipe(
        Effect.provideServiceEffect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, HttpClient.filterStatusOk))
      )
      server.script(HttpServer.respond(503, "", { "retry-after": "7" }), withError(400, -32601))
      const throttled = yield* Effect.flip(rpc.call("Any", []))
      assert.deepStrictEqual(throttled._tag === "Retryable" && throttled.retryAfter, Duration.seconds(7))
      assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("Any", []))), ["Unimplemented", "no", -32601])
    }).pipe(pooled))

  it("are a classifier for others too, and so are the failures of an HttpClient", () => {
    const classify = Classify.firstOf(HttpRpc.httpClientError, ...Classify.rules)
    const request = HttpClientRequest.post("http://127.0.0.1")
    const failed = (reason: HttpClientError.RequestError["reason"], cause?: unknown) =>
      summary(classify(new HttpClientError.RequestError({ request, reason, cause })))
    const coded = (code: string) => Object.assign(new Error(code), { code })
    assert.deepStrictEqual(summary(HttpRpc.fromStatus(503)), ["Unavailable", "Unknown", 503])
    assert.deepStrictEqual(failed("InvalidUrl"), ["InvalidArgument", "the URL is not valid", undefined])
    assert.deepStrictEqual(failed("Encode"), ["InvalidArgument", "the request cannot be encoded", undefined])
    assert.deepStrictEqual(failed("Transport", coded("ECONNRESET")), ["ConnectionLost", "Unknown", "ECONNRESET"])
    assert.deepStrictEqual(failed("Transport", coded("UND_ERR_DESTROYED"))[0], "ConnectionLost")
    assert.deepStrictEqual(failed("Transport", coded("UND_ERR_INVALID_ARG"))[0], "InvalidArgument")
    assert.deepStrictEqual(failed("Transport", coded("HPE_INVALID_CONSTANT"))[0], "Protocol")
    assert.deepStrictEqual(failed("Transport", coded("DEPTH_ZERO_SELF_SIGNED_CERT"))[0], "Protocol")
    assert.deepStrictEqual(failed("Transport", new Error("?"))[0], "Custom")
    assert.deepStrictEqual(failed("Transport")[0], "Custom")
    const quoting = new Error("cannot reach (http://me:hidden@host/path?key=hidden): no way")
    assert.deepStrictEqual(failed("Transport", quoting), [
      "Custom",
      "cannot reach (http://<redacted>@host/path?key=<redacted>): no way",
      undefined
    ])
    const hidden = HttpClientRequest.get("http://me:hidden@host/path?key=hidden")
    const bare = classify(new HttpClientError.RequestError({ request: hidden, reason: "Transport" }))
    assert.notInclude(bare.message, "hidden")
    const response = HttpClientResponse.fromWeb(hidden, new Response("", { status: 503 }))
    const busy = classify(new HttpClientError.ResponseError({ request: hidden, response, reason: "StatusCode" }))
    assert.strictEqual(busy.message, "unavailable (503 from GET http://host/path), may have run")
  })
})

describe("answers", () => {
  const reply = (fields: object) => ({ id }: { id: number }) => ({ jsonrpc: "2.0", id, ...fields })

  it.scopedLive("error objects by their codes, with nothing lost", () =>
    Effect.gen(function*() {
      for (
        const [code, reason] of [
          [-32700, "Protocol"],
          [-32600, "InvalidArgument"],
          [-32601, "Unimplemented"],
          [-32602, "InvalidArgument"],
          [-32603, "ServerError"],
          [-32000, "ServerError"],
          [-32099, "ServerError"],
          [1, "ServerError"],
          ["E_LIMIT", "ServerError"]
        ] as const
      ) {
        const { call, server } = yield* setup()
        const error = { code, message: `message ${code}`, data: { details: [1, 2] } }
        server.script(HttpServer.json(reply({ error })))
        const failure = fatal(yield* Effect.flip(call.pipe(fast)))
        assert.deepStrictEqual(summary(failure), [reason, `message ${code}`, code])
        assert.deepStrictEqual(failure.cause, error)
        assert.strictEqual(failure.method, "Arith.Multiply")
        assert.strictEqual(server.seen.length, 1)
      }
    }).pipe(pooled))

  it.scopedLive("retryOn makes some of them Retryable", () =>
    Effect.gen(function*() {
      const limited = { code: -32005, message: "limit exceeded", data: { rate: 3 } }
      const byPredicate = (error: JsonRpc.ErrorObject) => (error.data as { rate: number }).rate === 3
      for (const retryOn of [[-32005], byPredicate]) {
        const { call, server } = yield* setup({ retryOn })
        server.script((response, seen) => {
          response.setHeader("retry-after", "0")
          HttpServer.json(reply({ error: limited }))(response, seen)
        })
        const error = yield* Effect.flip(call)
        assert.instanceOf(error, Retryable)
        assert.deepStrictEqual(summary(error), ["Custom", "Unknown", -32005])
        assert.deepStrictEqual([error.cause, error.retryAfter], [limited, Duration.zero])
        server.script(HttpServer.json(reply({ error: limited })))
        assert.strictEqual(yield* call.pipe(fast), 42)
      }
    }).pipe(pooled))

  const strange: ReadonlyArray<
    [name: string, body: string | Uint8Array | ((request: { id: number }) => unknown), message: string]
  > = [
    ["empty", "", "the answer is an empty body"],
    ["white space", " \n ", "the answer is an empty body"],
    ["HTML", "<html><body>hello</body></html>", "the answer is a page of HTML or XML"],
    ["text", "hello", "the answer is not JSON: a body of 5 bytes"],
    ["cut off", "{\"jsonrpc\":\"2.0\",\"id\":1,", "the answer is not JSON: a body of 24 bytes"],
    ["long garbage", "x".repeat(1_000_000), "the answer is not JSON: a body of 1000000 bytes"],
    ["no UTF-8", new Uint8Array([0x7b, 0xff, 0x7d]), "the answer is not UTF-8"],
    ["deep", "[".repeat(2_000_000), "the answer is nested deeper than 1000 levels"],
    [
      "deep inside",
      `{"id":1,"result":${"[".repeat(1001)}${"]".repeat(1001)}}`,
      "the answer is nested deeper than 1000 levels"
    ],
    ["an empty array", "[]", "an array of 0 where an answer was expected"],
    ["a batch", "[{\"id\":1,\"result\":1}]", "an array of 1 where an answer was expected"],
    ["null", "null", "null where an answer was expected"],
    ["a string", "\"hello\"", "a string of 5 characters where an answer was expected"],
    ["a number", "7", "a number where an answer was expected"],
    ["an empty object", "{}", "an answer without a result or an error"],
    ["neither", () => ({ id: 1, error: null }), "an answer without a result or an error"],
    [
      "both",
      () => ({ id: 1, result: 1, error: { code: 1, message: "x" } }),
      "an answer with both a result and an error"
    ],
    ["another id", () => ({ id: 77, result: 1 }), "an answer to another request, 77"],
    ["another id, an error", () => ({ id: 77, error: { code: 1, message: "x" } }), "an answer to another request, 77"],
    ["an id as text", () => ({ id: "1", result: 1 }), "an answer to another request, a string of 1 characters"],
    ["no id", () => ({ result: 1 }), "an answer to another request, nothing"],
    ["a null id", () => ({ id: null, result: 1 }), "an answer to another request, null"]
  ]

  it.scopedLive("what is no answer is Fatal Protocol, in few words", () =>
    Effect.gen(function*() {
      for (const [name, body, message] of strange) {
        const { call, server } = yield* setup()
        server.script(typeof body === "function" ? HttpServer.json(body) : HttpServer.respond(200, body))
        const error = fatal(yield* Effect.flip(call.pipe(fast)))
        assert.deepStrictEqual(summary(error), ["Protocol", message, undefined], name)
        assert.strictEqual(server.seen.length, 1)
      }
    }).pipe(pooled))

  it.scopedLive("an answer that would take the memory of the process is refused before it is made", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup()
      const arrays = `[${"[],".repeat(1_300_000)}[]]`
      server.script(
        HttpServer.respond(200, `{"jsonrpc":"2.0","id":1,"result":${arrays}}`),
        HttpServer.respond(200, `{"jsonrpc":"2.0","id":2,"result":"${"x".repeat(4 * 1024 * 1024)}"}`)
      )
      // no runner is to print what came of it
      const many = fatal(yield* Effect.flip(Effect.as(call, "an answer")))
      assert.strictEqual(many.reason, "Protocol")
      assert.include(many.message, "too large for memory")
      const long = fatal(yield* Effect.flip(Effect.as(call, "an answer")))
      assert.strictEqual(long.message, "the answer is a body of more than 4194304 bytes: see maxResponseBytes")
    }).pipe(pooled))

  it.scopedLive("a long answer is decoded by its schema, with turns for others in between", () =>
    Effect.gen(function*() {
      const { rpc } = yield* setup()
      const numbers = Array.from({ length: 100_000 }, (_, i) => i)
      let turns = 0
      const turn = () => {
        turns++
        immediate = setImmediate(turn)
      }
      let immediate = setImmediate(turn)
      let during = 0
      // no turn of the loop comes between the items of one part
      const Counting = Schema.transform(Schema.Number, Schema.Number, {
        strict: true,
        decode: (n) => {
          during = n === 0 ? turns : during
          return n
        },
        encode: (n) => n
      })
      const reply = yield* rpc.call("Echo", numbers, { reply: Schema.Array(Counting) })
      clearImmediate(immediate)
      assert.strictEqual(reply.length, numbers.length)
      assert.isAbove(turns - during, 10)
    }).pipe(pooled))

  it.scopedLive("no message quotes an answer, arguments, or the query and the user of a URL", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: `${server.url}?key=hidden` })
      const said = (error: RpcError.RpcError) => [error.message, RpcError.report(error)]
      const messages: Array<string> = []
      const steps = [
        HttpServer.respond(401, "hidden"),
        HttpServer.respond(400, "hidden"),
        HttpServer.respond(503, "503 hidden"),
        HttpServer.json({ message: "503 hidden" }, 503),
        HttpServer.respond(200, "hidden"),
        HttpServer.respond(200, "\"hidden\""),
        HttpServer.json({ id: "hidden", result: 1 }),
        HttpServer.json({ id: null, error: ["hidden"] }),
        HttpServer.reset
      ]
      for (const step of steps) {
        server.script(step)
        messages.push(...said(yield* Effect.flip(rpc.call("A.B", ["hidden"]))))
      }
      messages.push(...said(yield* Effect.flip(rpc.call("A.B", "hidden"))))
      const nobody = yield* JsonRpc.make({ url: `http://127.0.0.1:${yield* HttpServer.refusedPort}/?key=hidden` })
      messages.push(...said(yield* Effect.flip(nobody.call("A.B", []))))
      messages.forEach((message) => assert.notInclude(message, "hidden"))
      const refused = (url: string) => {
        try {
          void JsonRpc.make({ url })
          return "taken"
        } catch (error) {
          return String(error)
        }
      }
      assert.include(refused("ftp://me:hidden@127.0.0.1/?key=hidden"), "must be a URL of http or https")
      assert.notInclude(refused("ftp://me:hidden@127.0.0.1/?key=hidden"), "hidden")
      // what was said is in the cause
      server.script(HttpServer.respond(400, "what was said"))
      const { cause } = yield* Effect.flip(rpc.call("A.B", []))
      assert.strictEqual(Redacted.value(cause as Redacted.Redacted<unknown>), "what was said")
    }).pipe(pooled))

  it.scopedLive("what servers do that the specification does not have is understood", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup()
      server.script(HttpServer.json(reply({ result: null, error: null })))
      assert.strictEqual(yield* call, null)
      server.script(HttpServer.json(reply({ result: 7, error: null })))
      assert.strictEqual(yield* call, 7)
      server.script(HttpServer.json(reply({ result: null, error: { code: 5, message: "five" } })))
      assert.deepStrictEqual(summary(yield* Effect.flip(call)), ["ServerError", "five", 5])
      server.script(HttpServer.json({ id: null, error: { code: -32700, message: "parse error" } }))
      assert.deepStrictEqual(summary(yield* Effect.flip(call)), ["Protocol", "parse error", -32700])
      server.script(HttpServer.json(reply({ error: "a string" })))
      assert.deepStrictEqual(summary(yield* Effect.flip(call)), ["ServerError", "a string", undefined])
      server.script(HttpServer.json(reply({ error: ["odd"] })))
      assert.deepStrictEqual(summary(yield* Effect.flip(call)), [
        "ServerError",
        "an array of 1 as the error",
        undefined
      ])
      server.script(HttpServer.json(reply({ error: { code: -32000, message: "rpc: can't find method \"A.B\"" } })))
      assert.strictEqual(fatal(yield* Effect.flip(call)).reason, "Unimplemented")
    }).pipe(pooled))

  it.scopedLive("a long message is cut, and is whole in the cause", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup()
      const error = { code: 1, message: "m".repeat(100_000) }
      server.script(HttpServer.json(reply({ error })))
      const failure = fatal(yield* Effect.flip(call))
      assert.deepStrictEqual([failure.message.length, failure.cause], [1000, error])
    }).pipe(pooled))

  it.scopedLive("a reply that does not fit its schema is Fatal Protocol, in a bounded message", () =>
    Effect.gen(function*() {
      const { rpc } = yield* setup()
      const long = rpc.call("Echo", { text: "x".repeat(100_000) }, { reply: Schema.Struct({ text: Schema.Number }) })
      const error = fatal(yield* Effect.flip(long.pipe(fast)))
      assert.deepStrictEqual([error.reason, error.method], ["Protocol", "Echo"])
      assert.isTrue(error.message.startsWith("the reply is not as expected: "))
      assert.isBelow(error.message.length, 1_100)
      const Throwing = Schema.transform(Schema.Unknown, Schema.Unknown, {
        strict: true,
        decode: () => {
          throw new Error("thrown")
        },
        encode: () => {
          throw new Error("thrown")
        }
      })
      const thrown = fatal(yield* Effect.flip(rpc.call("Echo", [], { reply: Throwing })))
      assert.deepStrictEqual(summary(thrown), ["Protocol", "the reply is not as expected: Error", undefined])
    }).pipe(pooled))
})

describe("requests", () => {
  it.scopedLive("arguments go through their schema; those that cannot be sent are not", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup()
      const Params = Schema.Struct({ at: Schema.Date })
      const at = new Date(0)
      assert.deepStrictEqual(yield* rpc.call("Echo", { at }, { params: Params }), { at: "1970-01-01T00:00:00.000Z" })
      assert.deepStrictEqual(yield* rpc.call("Echo", { at }, { params: Params, reply: Params }), { at })
      assert.deepStrictEqual(yield* rpc.call("Echo", undefined), null)
      assert.notProperty(server.requests()[2], "params")
      const circular: { self?: unknown } = {}
      circular.self = circular
      const wrong = [
        rpc.call("Echo", { at: new Date(Number.NaN) }, { params: Params }),
        rpc.call("Echo", { big: 1n }),
        rpc.call("Echo", circular),
        rpc.call("Echo", 7),
        rpc.call("Echo", "text"),
        rpc.call("Echo", null),
        rpc.notify("Echo", 7)
      ]
      for (const call of wrong) {
        const error = fatal(yield* Effect.flip(call.pipe(fast)))
        assert.deepStrictEqual([error.reason, error.method], ["InvalidArgument", "Echo"])
      }
      assert.strictEqual(server.seen.length, 3)
    }).pipe(pooled))

  it.scopedLive("the older dialect has one argument, an id, and errors of any kind", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup({ dialect: "1.0" })
      server.script(HttpServer.json(({ id }: { id: number }) => ({ result: 42, error: null, id })))
      assert.strictEqual(yield* rpc.call("Arith.Multiply", multiply), 42)
      assert.deepStrictEqual(server.requests()[0], { method: "Arith.Multiply", params: [multiply], id: 1 })
      for (
        const [error, expected] of [
          ["divide by zero", ["ServerError", "divide by zero", undefined]],
          ["", ["ServerError", "unspecified error", undefined]],
          [{ code: -8, message: "out of range" }, ["ServerError", "out of range", -8]],
          [false, ["ServerError", "a boolean as the error", undefined]],
          ["rpc: can't find service \"Users.Get\"", [
            "Unimplemented",
            "rpc: can't find service \"Users.Get\"",
            undefined
          ]]
        ] as const
      ) {
        server.script(HttpServer.json(({ id }: { id: number }) => ({ result: null, error, id }), 400))
        assert.deepStrictEqual(summary(yield* Effect.flip(rpc.call("Arith.Divide", 5))), [...expected])
      }
      server.script(HttpServer.respond(200))
      yield* rpc.notify("Log.Write", "hello")
      assert.deepStrictEqual(server.requests().at(-1), { method: "Log.Write", params: ["hello"], id: null })
    }).pipe(pooled))

  it.scopedLive("notifications have no id, and want no answer", () =>
    Effect.gen(function*() {
      const { rpc, server } = yield* setup()
      const notify = rpc.notify("Log.Write", { line: "hello" }, { idempotent: true })
      assert.deepStrictEqual([notify.method, notify.idempotent], ["Log.Write", true])
      for (
        const step of [
          HttpServer.respond(204),
          HttpServer.respond(200),
          HttpServer.respond(202, "thanks"),
          HttpServer.serve
        ]
      ) {
        server.script(step)
        assert.strictEqual(yield* notify, undefined)
      }
      assert.deepStrictEqual(server.requests()[0], { jsonrpc: "2.0", method: "Log.Write", params: { line: "hello" } })
      server.script(HttpServer.reset, HttpServer.respond(503), HttpServer.respond(204))
      yield* notify.pipe(fast)
      assert.strictEqual(server.seen.length, 7)
      server.script(HttpServer.json({ id: null, error: { code: -32601, message: "no such method" } }))
      assert.deepStrictEqual(summary(yield* Effect.flip(notify)), ["Unimplemented", "no such method", -32601])
      server.script(HttpServer.respond(404))
      assert.deepStrictEqual(summary(yield* Effect.flip(notify)), ["NotFound", "HTTP 404: an empty body", 404])
      server.script(HttpServer.respond(300))
      assert.deepStrictEqual(summary(yield* Effect.flip(notify)), ["Protocol", "HTTP 300: an empty body", 300])
    }).pipe(pooled))

  it.scopedLive("a key that is no header is refused, not sent", () =>
    Effect.gen(function*() {
      const { call, server } = yield* setup()
      const error = yield* Effect.flip(call.pipe(withRpcRetry({ idempotencyKey: "a\nb" })))
      assert.deepStrictEqual(summary(error)[0], "InvalidArgument")
      assert.strictEqual(server.seen.length, 0)
    }).pipe(pooled))

  it.scopedLive("as a layer", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = Effect.flatMap(JsonRpc.JsonRpc, (rpc) => rpc.call("Arith.Multiply", multiply))
      assert.strictEqual(yield* Effect.provide(rpc, JsonRpc.layer({ url: server.url })), 42)
    }).pipe(pooled))
})

describe("options", () => {
  const good = { url: "http://127.0.0.1:1" }
  const bad: ReadonlyArray<[options: unknown, message: string]> = [
    [{ url: "" }, "url must be the URL of the server, got \"\""],
    [{ url: 7 }, "url must be the URL of the server, got 7"],
    [{ url: "ftp://host" }, "url must be a URL of http or https, got \"ftp://host\""],
    [{ url: "http://" }, "url must be a URL of http or https, got \"http://\""],
    [{ url: "http://me:secret@host" }, "url must not have a user or a password in it: send them in a header"],
    [{ ...good, dialect: "3.0" }, "dialect must be \"2.0\" or \"1.0\", got \"3.0\""],
    [{ ...good, headers: { "a b": "c" } }, "headers must have names that HTTP allows, got \"a b\""],
    [{ ...good, headers: { a: "b\nc" } }, "headers.a must be a string of characters that HTTP allows"],
    [{ ...good, headers: { a: undefined } }, "headers.a must be a string of characters that HTTP allows"],
    [null, "options must be an object, got null"],
    [{ ...good, headers: new Headers({ a: "b" }) }, "headers must be an object of names and values, got an object"],
    [{ ...good, headers: new Map([["a", "b"]]) }, "headers must be an object of names and values, got an object"],
    [{ ...good, headers: "a: b" }, "headers must be an object of names and values, got a string of 4 characters"],
    [{ ...good, maxResponseBytes: 0 }, "maxResponseBytes must be an integer of at least 1, got 0"],
    [{ ...good, maxResponseBytes: Number.NaN }, "maxResponseBytes must be an integer of at least 1, got NaN"],
    [{ ...good, retryOn: -32005 }, "retryOn must be a list of codes or a predicate, got -32005"],
    [{ ...good, retryOn: [{}] }, "retryOn must be a list of codes or a predicate, got an array of 1"],
    [{ ...good, batch: true }, "batch must have maxCalls and window, got true"],
    [{ ...good, batch: { maxCalls: 0, window: 1 } }, "batch.maxCalls must be an integer of at least 1, got 0"],
    [{ ...good, batch: { maxCalls: 1, window: -1 } }, "batch.window must not be negative, got -1"],
    [
      { ...good, dialect: "1.0", batch: { maxCalls: 2, window: 1 } },
      "batch must not be given with the dialect \"1.0\", which has no batches"
    ]
  ]
  for (const [options, message] of bad) {
    it(`${message}`, () => {
      assert.throws(() => JsonRpc.make(options as JsonRpc.Options), InvalidOption, `JsonRpc.make: ${message}`)
      assert.throws(() => JsonRpc.layer(options as JsonRpc.Options), InvalidOption, `JsonRpc.make: ${message}`)
    })
  }

  it.scopedLive("a URL without a host is for a client that adds it; content-type can be another", () =>
    Effect.gen(function*() {
      const server = yield* HttpServer.make
      const rpc = yield* JsonRpc.make({ url: "/rpc", headers: { "Content-Type": "application/json-rpc" } }).pipe(
        Effect.provideServiceEffect(
          HttpClient.HttpClient,
          Effect.map(
            HttpClient.HttpClient,
            HttpClient.mapRequest(HttpClientRequest.prependUrl(`http://127.0.0.1:${server.port}`))
          )
        )
      )
      assert.strictEqual(yield* rpc.call("Arith.Multiply", multiply), 42)
      assert.strictEqual(server.seen[0]!.headers["content-type"], "application/json-rpc")
    }).pipe(pooled))
})

const echoed: EchoServer.Format = {
  read: (body) => (JSON.parse(body) as { readonly params: readonly [string] }).params[0],
  write: (text, body) => JSON.stringify({ ...JSON.parse(body) as object, result: text })
}

contract("JsonRpc", {
  make: Effect.gen(function*() {
    const server = yield* EchoServer.make(echoed)
    const rpc = yield* JsonRpc.make({ url: server.url }).pipe(Effect.provide(yield* Layer.build(HttpPool.layer())))
    return {
      ...server,
      echo: (text, options) => rpc.call("Echo.Say", [text], { reply: Schema.String, ...options })
    }
  }),
  hint: 1000
})
