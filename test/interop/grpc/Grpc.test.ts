import * as grpc from "@grpc/grpc-js"
import { type Fatal, type Retryable, RetryExhausted, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { contract } from "../../support/contract.js"
import { eventually } from "../../support/eventually.js"
import { client, textOf } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import * as GrpcServer from "../../support/grpcServer.js"
import { assert, describe, it } from "../../support/vitest.js"

contract("Grpc and a server of grpc-js", {
  make: Effect.gen(function*() {
    const server = yield* GrpcServer.make
    const echo = yield* client(server.address)
    return {
      echo: (text, options) => textOf(Grpc.unary(echo, "echo", options)({ value: text })),
      script: (...steps) => server.script(...steps.map(GrpcServer.ofContract)),
      seen: server.seen,
      restart: server.restart
    }
  })
})

const subject = (options?: grpc.ClientOptions) =>
  Effect.gen(function*() {
    const server = yield* GrpcServer.make
    return { server, echo: yield* client(server.address, options) }
  })

const raw = (options?: grpc.ClientOptions) =>
  Effect.gen(function*() {
    const server = yield* Raw.make
    const echo = yield* client(server.address, options)
    return { server, client: echo, echo: Grpc.unary(echo, "echo") }
  })

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(3))

const hi = { value: "hi" }

const summary = (error: Retryable | Fatal) =>
  error._tag === "Fatal"
    ? ["Fatal", error.reason, error.code]
    : [error.reason, error.delivery, error.code, error.retryAfter === undefined ? undefined : String(error.retryAfter)]

describe("Grpc: failures on the way", () => {
  it.scopedLive("INTERNAL of the application is Fatal", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* raw()
      yield* server.script(Raw.trailersOnly({ "grpc-status": "13", "grpc-message": "oops" }))
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), ["Fatal", "ServerError", "INTERNAL"])
    }))

  it.scopedLive("words of the library in an answer of the server say nothing of the transport", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* raw()
      const said = (code: number, message: string) =>
        Effect.zipRight(
          server.script(Raw.trailersOnly({ "grpc-status": String(code), "grpc-message": message })),
          Effect.map(Effect.flip(echo(hi)), summary)
        )
      assert.deepStrictEqual(yield* said(14, "Stream refused by server"), [
        "Unavailable",
        "Unknown",
        "UNAVAILABLE",
        undefined
      ])
      assert.deepStrictEqual(yield* said(13, "Received RST_STREAM with code 2 (Internal server error)"), [
        "Fatal",
        "ServerError",
        "INTERNAL"
      ])
      assert.deepStrictEqual(yield* said(1, "Call cancelled"), ["Fatal", "Cancelled", "CANCELLED"])
      // not even behind a head, where an end has no headers of its own
      yield* server.script(Raw.answer({ "grpc-status": "14", "grpc-message": "Stream refused by server" }, []))
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), [
        "Unavailable",
        "Unknown",
        "UNAVAILABLE",
        undefined
      ])
    }))

  for (const options of [undefined, Grpc.channelOptions]) {
    const own = options === undefined ? "with its own transparent retry" : "without its own retries"
    it.scopedLive(`a refused stream is repeated, ${own}`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* raw(options)
        // without, even what is not idempotent: it was not sent
        const echo = Grpc.unary(client, "echo", { idempotent: options === undefined })
        const refused = Array.from({ length: options === undefined ? 4 : 2 }, () => Raw.rst(7))
        yield* server.script(...refused)
        assert.deepStrictEqual(yield* echo(hi).pipe(withRpcRetry({ schedule })), { value: "raw" })
        assert.strictEqual((yield* server.seen).length, refused.length + 1)
      }))

    it.scopedLive(`nobody listens: refused, not sent, ${own}`, () =>
      Effect.gen(function*() {
        const server = yield* GrpcServer.make
        yield* server.stop
        const echo = Grpc.unary(yield* client(server.address, options), "echo", { idempotent: false })
        // the second finds the channel in its pause before it connects again
        for (let i = 0; i < 2; i++) {
          const error = yield* Effect.flip(echo(hi))
          assert.deepStrictEqual(summary(error), ["ConnectionRefused", "NotSent", "UNAVAILABLE", undefined])
          assert.strictEqual(error.method, "interop.v1.Echo.Echo")
        }
        const error = yield* Effect.flip(echo(hi).pipe(withRpcRetry({ schedule })))
        assert.instanceOf(error, RetryExhausted)
        assert.strictEqual(error.attempts, 4)
      }))
  }

  it.scopedLive("no socket of that name: refused, not sent; no address: unavailable, not sent", () =>
    Effect.gen(function*() {
      const reasonOf = (address: string) =>
        Effect.flatMap(client(address), (client) => Effect.map(Effect.flip(Grpc.unary(client, "echo")(hi)), summary))
      assert.deepStrictEqual((yield* reasonOf("unix:///nowhere/at/all.sock")).slice(0, 2), [
        "ConnectionRefused",
        "NotSent"
      ])
      assert.deepStrictEqual((yield* reasonOf("ipv4:nobody")).slice(0, 2), ["Unavailable", "NotSent"])
    }))

  it.scopedLive("what the library sent itself before it could not connect may have run", () =>
    Effect.gen(function*() {
      const retryPolicy = {
        maxAttempts: 2,
        initialBackoff: "0.1s",
        maxBackoff: "0.1s",
        backoffMultiplier: 1,
        retryableStatusCodes: ["UNAVAILABLE"]
      }
      const server = yield* GrpcServer.make
      const echo = Grpc.unary(
        yield* client(server.address, {
          "grpc.service_config": JSON.stringify({
            methodConfig: [{ name: [{}], retryPolicy }],
            loadBalancingConfig: []
          })
        }),
        "echo"
      )
      yield* server.script(GrpcServer.status("UNAVAILABLE"))
      const fiber = yield* Effect.fork(Effect.flip(echo(hi)))
      yield* eventually(Effect.map(server.seen, (seen) => seen.length === 1))
      yield* server.stop
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual(summary(error).slice(1, 3), ["Unknown", "UNAVAILABLE"])
    }))

  it.scopedLive("a connection that breaks: lost, may have run", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* raw()
      yield* server.script(Raw.hangUp)
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), [
        "ConnectionLost",
        "Unknown",
        "UNAVAILABLE",
        undefined
      ])
    }))

  const proxied: ReadonlyArray<[says: string, step: Raw.Step, expected: ReadonlyArray<unknown>]> = [
    ["503 with a body", Raw.http(503, "<html>come back later</html>"), [
      "Unavailable",
      "Unknown",
      "UNAVAILABLE",
      undefined
    ]],
    ["503 with a body of two bytes", Raw.http(503, "no"), ["Unavailable", "Unknown", "UNAVAILABLE", undefined]],
    ["503 without", Raw.http(503, undefined), ["Unavailable", "Unknown", "UNAVAILABLE", undefined]],
    ["502 with a body", Raw.http(502, "<html>bad</html>"), ["Unavailable", "Unknown", "UNAVAILABLE", undefined]],
    ["504 with a body", Raw.http(504, "<html>late</html>"), ["Unavailable", "Unknown", "UNAVAILABLE", undefined]],
    ["429 with a body", Raw.http(429, "<html>slow</html>"), ["Throttled", "NotSent", "UNAVAILABLE", undefined]],
    ["503 with a body and Retry-After", Raw.http(503, "<html>later</html>", { "retry-after": "3" }), [
      "Unavailable",
      "Unknown",
      "UNAVAILABLE",
      "Duration(3s)"
    ]],
    ["429 with Retry-After and no body", Raw.http(429, undefined, { "retry-after": "2" }), [
      "Throttled",
      "NotSent",
      "UNAVAILABLE",
      "Duration(2s)"
    ]],
    ["503 and a Retry-After nobody can read", Raw.http(503, "<html>", { "retry-after": "soon" }), [
      "Unavailable",
      "Unknown",
      "UNAVAILABLE",
      "Never"
    ]],
    ["404 with a body", Raw.http(404, "<html>what?</html>"), ["Fatal", "Unimplemented", "UNIMPLEMENTED"]],
    ["500 with a body", Raw.http(500, "<html>oh</html>"), ["Fatal", "ServerError", "UNKNOWN"]]
  ]
  for (const [says, step, expected] of proxied) {
    it.scopedLive(`HTTP ${says} of a proxy`, () =>
      Effect.gen(function*() {
        const { echo, server } = yield* raw(Grpc.channelOptions)
        yield* server.script(step)
        assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), expected)
      }))
  }

  it.scopedLive("a proxy's 503 with a body is retried", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* raw()
      yield* server.script(...[503, 502, 504].map((status) => Raw.http(status, "<html>down</html>")))
      assert.deepStrictEqual(yield* echo(hi).pipe(withRpcRetry({ schedule })), { value: "raw" })
      assert.strictEqual((yield* server.seen).length, 4)
    }))

  it.scopedLive("what cannot be written or read is Fatal, whatever is retried", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw()
      const echo = Grpc.unary(client, "echo", { retryOn: () => true })
      const unwritable = {
        get value(): string {
          throw new Error("no value")
        }
      }
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(unwritable))), ["Fatal", "InvalidArgument", "INTERNAL"])
      assert.strictEqual((yield* server.seen).length, 0)
      yield* server.script(Raw.answer(undefined, [Buffer.from([255, 255, 255])]), Raw.answer(undefined, []))
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), ["Fatal", "Protocol", "INTERNAL"])
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), ["Fatal", "Protocol", "UNIMPLEMENTED"])
    }))

  it.scopedLive("a client that is closed: Fatal Cancelled", () =>
    Effect.gen(function*() {
      const { client, echo } = yield* raw()
      client.close()
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), ["Fatal", "Cancelled", undefined])
      const list = yield* Effect.flip(Effect.scoped(Grpc.serverStream(client, "list")(hi)))
      assert.deepStrictEqual(summary(list), ["Fatal", "Cancelled", undefined])
      assert.strictEqual(list.method, "interop.v1.Echo.List")
    }))

  /** Gives every call this status in place of its own, at once or when that comes. */
  const replacing =
    (code: number, details: string, atOnce: boolean, trailers = new grpc.Metadata()): grpc.Interceptor =>
    (options, next) =>
      new grpc.InterceptingCall(next(options), {
        start: (metadata, listener, next) => {
          const status = { code, details, metadata: trailers }
          return atOnce ? listener.onReceiveStatus(status) : next(metadata, {
            onReceiveStatus: (_, pass) => pass(status)
          })
        }
      })

  it.scopedLive("what comes of races in the library that no server can cause", () =>
    Effect.gen(function*() {
      const { client } = yield* raw()
      const ended = (code: number, details: string, atOnce: boolean) =>
        Grpc.unary(client, "echo", { callOptions: { interceptors: [replacing(code, details, atOnce)] } })(hi).pipe(
          Effect.flip,
          Effect.map((error) => summary(error).slice(0, 3))
        )
      for (
        const words of [
          "The session has been destroyed",
          "New streams cannot be created after receiving a GOAWAY",
          "No stream ID is available because maximum stream ID has been reached"
        ]
      ) {
        const stale = `Failed to start HTTP/2 stream with error ${words}`
        assert.deepStrictEqual(yield* ended(13, stale, true), ["ConnectionLost", "NotSent", "UNAVAILABLE"])
        assert.deepStrictEqual(yield* ended(13, stale, false), ["Fatal", "ServerError", "INTERNAL"])
      }
      for (
        const details of [
          "Write error: This socket has been ended by the other party",
          "Write failed with error no more",
          "read ECONNRESET",
          "write EPIPE",
          "Connection dropped"
        ]
      ) {
        assert.deepStrictEqual(yield* ended(14, details, false), ["ConnectionLost", "Unknown", "UNAVAILABLE"])
      }
      assert.deepStrictEqual(yield* ended(14, "we read ECONNRESET", false), ["Unavailable", "Unknown", "UNAVAILABLE"])
    }))

  it.scopedLive("what an interceptor repeats may have run, though the first of its calls was not sent", () =>
    Effect.gen(function*() {
      const { client } = yield* raw(Grpc.channelOptions)
      const trailers = new grpc.Metadata()
      trailers.set("content-type", "application/grpc")
      const ended = (interceptor: grpc.Interceptor) =>
        Grpc.unary(client, "echo", { callOptions: { interceptors: [interceptor] } })(hi).pipe(
          Effect.flip,
          Effect.map((error) => summary(error).slice(0, 2))
        )
      assert.deepStrictEqual(yield* ended(replacing(14, "busy", true, trailers)), ["Unavailable", "Unknown"])
      assert.deepStrictEqual(yield* ended(replacing(14, "Connection dropped", true)), ["ConnectionLost", "Unknown"])
      // the mark of the library's own retries
      const marked = new grpc.Metadata()
      marked.set("grpc-previous-rpc-attempts", "1")
      const proxied = "Received HTTP status code 429"
      const html = marked.clone()
      html.set("content-type", "text/html")
      assert.deepStrictEqual(yield* ended(replacing(14, proxied, true, html)), ["Throttled", "Unknown"])
      assert.deepStrictEqual(yield* ended(replacing(14, "Stream refused by server", false, marked)), [
        "Unavailable",
        "Unknown"
      ])
      assert.deepStrictEqual(yield* ended(replacing(14, "Connection dropped", false, marked)), [
        "ConnectionLost",
        "Unknown"
      ])
      const behindHead: grpc.Interceptor = (options, next) =>
        new grpc.InterceptingCall(next(options), {
          start: (_, listener) => {
            setImmediate(() => {
              listener.onReceiveMetadata(new grpc.Metadata())
              listener.onReceiveStatus({ code: 14, details: "busy", metadata: new grpc.Metadata() })
            })
          }
        })
      assert.deepStrictEqual(yield* ended(behindHead), ["Unavailable", "Unknown"])
    }))

  it.scopedLive("an interceptor that answers at once is classified like a server", () =>
    Effect.gen(function*() {
      const { client } = yield* raw()
      const options = (code: number): Grpc.Options => ({
        callOptions: { interceptors: [replacing(code, "not today", true)] }
      })
      const list = (code: number) => Effect.scoped(Grpc.serverStream(client, "list", options(code))(hi))
      const early = yield* Effect.flip(Grpc.unary(client, "echo", options(14))(hi))
      assert.deepStrictEqual(summary(early).slice(0, 3), ["Unavailable", "NotSent", "UNAVAILABLE"])
      assert.deepStrictEqual(summary(yield* Effect.flip(list(14))).slice(0, 3), [
        "Unavailable",
        "Unknown",
        "UNAVAILABLE"
      ])
      assert.deepStrictEqual(summary(yield* Effect.flip(list(5))), ["Fatal", "NotFound", "NOT_FOUND"])
    }))

  it.scopedLive("an interceptor that throws: Fatal, with what it threw", () =>
    Effect.gen(function*() {
      const { client } = yield* raw()
      const bug = new Error("a bug of ours")
      const echo = Grpc.unary(client, "echo", {
        callOptions: {
          interceptors: [() => {
            throw bug
          }]
        }
      })
      const error = yield* Effect.flip(echo(hi))
      assert.deepStrictEqual([error._tag, error.reason, error.cause], ["Fatal", "Custom", bug])
    }))
})

describe("Grpc: the table of statuses", () => {
  const table: ReadonlyArray<[code: number, expected: ReadonlyArray<unknown>]> = [
    [1, ["Fatal", "Cancelled", "CANCELLED"]],
    [2, ["Fatal", "ServerError", "UNKNOWN"]],
    [3, ["Fatal", "InvalidArgument", "INVALID_ARGUMENT"]],
    [4, ["Fatal", "ServerError", "DEADLINE_EXCEEDED"]],
    [5, ["Fatal", "NotFound", "NOT_FOUND"]],
    [6, ["Fatal", "ServerError", "ALREADY_EXISTS"]],
    [7, ["Fatal", "PermissionDenied", "PERMISSION_DENIED"]],
    [8, ["Fatal", "ServerError", "RESOURCE_EXHAUSTED"]],
    [9, ["Fatal", "ServerError", "FAILED_PRECONDITION"]],
    [10, ["Fatal", "ServerError", "ABORTED"]],
    [11, ["Fatal", "InvalidArgument", "OUT_OF_RANGE"]],
    [12, ["Fatal", "Unimplemented", "UNIMPLEMENTED"]],
    [13, ["Fatal", "ServerError", "INTERNAL"]],
    [14, ["Unavailable", "Unknown", "UNAVAILABLE", undefined]],
    [15, ["Fatal", "ServerError", "DATA_LOSS"]],
    [16, ["Fatal", "Unauthenticated", "UNAUTHENTICATED"]],
    [17, ["Fatal", "ServerError", 17]],
    [300, ["Fatal", "ServerError", 300]]
  ]

  it.scopedLive("each status code has its reason and its delivery", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* subject()
      for (const [code, expected] of table) {
        yield* server.script(GrpcServer.status(code))
        const error = yield* Effect.flip(Grpc.unary(echo, "echo")(hi))
        assert.deepStrictEqual(summary(error), expected)
        assert.strictEqual((error.cause as grpc.ServiceError).code, code)
        assert.strictEqual(error.method, "interop.v1.Echo.Echo")
      }
    }))

  it.scopedLive("a status that is no number is UNKNOWN", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* raw()
      yield* server.script(Raw.trailersOnly({ "grpc-status": "abc" }))
      assert.deepStrictEqual(summary(yield* Effect.flip(echo(hi))), ["Fatal", "ServerError", "UNKNOWN"])
    }))

  it.scopedLive("retryOn by name, by number, by predicate", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* subject()
      const outcome = (code: number, retryOn: Grpc.Options["retryOn"]) =>
        Effect.zipRight(
          server.script(GrpcServer.status(code, { details: "busy" })),
          Effect.map(Effect.flip(Grpc.unary(echo, "echo", { retryOn })(hi)), summary)
        )
      assert.deepStrictEqual(yield* outcome(10, ["ABORTED"]), ["Custom", "Unknown", "ABORTED", undefined])
      assert.deepStrictEqual(yield* outcome(10, [10]), ["Custom", "Unknown", "ABORTED", undefined])
      assert.deepStrictEqual(yield* outcome(300, [300]), ["Custom", "Unknown", 300, undefined])
      assert.deepStrictEqual(yield* outcome(13, ["ABORTED"]), ["Fatal", "ServerError", "INTERNAL"])
      assert.deepStrictEqual(yield* outcome(8, ["RESOURCE_EXHAUSTED"]), [
        "Throttled",
        "Unknown",
        "RESOURCE_EXHAUSTED",
        undefined
      ])
      const busy: Grpc.Options["retryOn"] = ({ details }) => details === "busy"
      assert.deepStrictEqual(yield* outcome(13, busy), ["Custom", "Unknown", "INTERNAL", undefined])
    }))
})
