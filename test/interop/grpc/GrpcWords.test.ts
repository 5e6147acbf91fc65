/**
 * What failures mean that grpc-js tells only in words: which of them are its own, and what they say of another attempt.
 */
import * as grpc from "@grpc/grpc-js"
import { type Fatal, type Retryable, RetryExhausted, RetrySchedule, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Zlib from "node:zlib"
import { turns } from "../../support/eventually.js"
import { client } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import * as Tls from "../../support/grpcTls.js"
import { assert, describe, it } from "../../support/vitest.js"

const raw = (options?: grpc.ClientOptions) =>
  Effect.gen(function*() {
    const server = yield* Raw.make
    return { server, client: yield* client(server.address, options) }
  })

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(3))

const hi = { value: "hi" }

const short = (error: Retryable | Fatal): ReadonlyArray<unknown> =>
  error._tag === "Retryable" ? [error.reason, error.delivery, error.code] : ["Fatal", error.reason, error.code]

const failure = <A, R>(call: Effect.Effect<A, Retryable | Fatal, R>) => Effect.map(Effect.flip(call), short)

describe("Grpc: HTTP statuses that somebody else has seen", () => {
  const words = "Received HTTP status code 429"

  it.scopedLive("a gateway that hands on another's 429 has run the call", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw(Grpc.channelOptions)
      const echo = Grpc.unary(client, "echo", { idempotent: false })
      const relayed = { "grpc-status": "14", "grpc-message": words, "retry-after": "60" }
      for (const step of [Raw.trailersOnly(relayed), Raw.answer(relayed, [])]) {
        yield* server.script(step)
        const error = yield* Effect.flip(echo(hi))
        assert.deepStrictEqual(short(error), ["Unavailable", "Unknown", "UNAVAILABLE"])
        assert.deepStrictEqual(error._tag === "Retryable" && error.retryAfter, undefined)
      }
      yield* server.script(Raw.trailersOnly(relayed))
      const refused = yield* Effect.flip(echo(hi).pipe(withRpcRetry({ schedule })))
      assert.deepStrictEqual(refused instanceof RetryExhausted && refused.reason, "NotIdempotent")
      assert.strictEqual((yield* server.seen).length, 3)
    }))
})

describe("Grpc: what was sent before", () => {
  it.scopedLive("a refused stream: not sent where the library makes one attempt, and nobody knows where it may make several", () =>
    Effect.gen(function*() {
      const refused = (options: grpc.ClientOptions, step: Raw.Step) =>
        Effect.gen(function*() {
          const { client, server } = yield* raw(options)
          yield* server.script(step, step)
          return yield* failure(Grpc.unary(client, "echo")(hi))
        })
      const proxied = Raw.http(429, "<html>slow</html>")
      assert.deepStrictEqual(yield* refused(Grpc.channelOptions, Raw.rst(7)), [
        "Unavailable",
        "NotSent",
        "REFUSED_STREAM"
      ])
      assert.deepStrictEqual(yield* refused({}, Raw.rst(7)), ["Unavailable", "Unknown", "REFUSED_STREAM"])
      assert.deepStrictEqual(yield* refused(Grpc.channelOptions, proxied), ["Throttled", "NotSent", "UNAVAILABLE"])
      assert.deepStrictEqual(yield* refused({}, proxied), ["Throttled", "Unknown", "UNAVAILABLE"])
    }))

  it.scopedLive("hedges of the library's own: may have run", () =>
    Effect.gen(function*() {
      const hedgingPolicy = { maxAttempts: 2, hedgingDelay: "0.02s", nonFatalStatusCodes: ["UNAVAILABLE"] }
      const { client, server } = yield* raw({
        "grpc.service_config": JSON.stringify({
          methodConfig: [{ name: [{}], hedgingPolicy }],
          loadBalancingConfig: []
        })
      })
      const echo = Grpc.unary(client, "echo")
      // without a call, which might be hedged too
      yield* Effect.async<void, Error>((resume) =>
        client.waitForReady(Infinity, (error) => resume(error === undefined ? Effect.void : Effect.fail(error)))
      )
      yield* server.script(
        (stream) => void setTimeout(() => stream.close(7), 100),
        Raw.rst(7),
        Raw.trailersOnly({ "grpc-status": "14", "grpc-message": "ran" })
      )
      const error = yield* Effect.flip(echo(hi))
      assert.strictEqual(error._tag === "Retryable" && error.delivery, "Unknown")
      assert.strictEqual((yield* server.seen).length, 3)
    }))

  it.scopedLive("what retryOn accepts was not sent where nothing was", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw(Grpc.channelOptions)
      let asked = 0
      const credentials = grpc.credentials.createFromMetadataGenerator((_, callback) => {
        asked++
        callback(Object.assign(new Error("getaddrinfo ENOTFOUND oauth2.example"), { code: "ENOTFOUND" }))
      })
      const echo = Grpc.unary(client, "echo", { callOptions: { credentials }, retryOn: ["UNKNOWN"], idempotent: false })
      assert.deepStrictEqual(yield* failure(echo(hi)), ["Custom", "NotSent", "UNKNOWN"])
      yield* Effect.flip(echo(hi).pipe(withRpcRetry({ schedule })))
      assert.strictEqual(asked, 5)
      assert.strictEqual((yield* server.seen).length, 0)
      // and may have run where the server has answered
      yield* server.script(Raw.trailersOnly({ "grpc-status": "2" }))
      const other = Grpc.unary(client, "echo", { retryOn: ["UNKNOWN"] })
      assert.deepStrictEqual(yield* failure(other(hi)), ["Custom", "Unknown", "UNKNOWN"])
    }))
})

describe("Grpc: streams that are reset", () => {
  const table: ReadonlyArray<[code: number, expected: ReadonlyArray<unknown>]> = [
    [0, ["ConnectionLost", "Unknown", "NO_ERROR"]],
    [1, ["Fatal", "Protocol", "PROTOCOL_ERROR"]],
    [2, ["ConnectionLost", "Unknown", "INTERNAL_ERROR"]],
    [3, ["Fatal", "Protocol", "FLOW_CONTROL_ERROR"]],
    [4, ["ConnectionLost", "Unknown", "SETTINGS_TIMEOUT"]],
    [5, ["ConnectionLost", "Unknown", "STREAM_CLOSED"]],
    [6, ["Fatal", "Protocol", "FRAME_SIZE_ERROR"]],
    [7, ["Unavailable", "NotSent", "REFUSED_STREAM"]],
    [8, ["ConnectionLost", "Unknown", "CANCEL"]],
    [9, ["Fatal", "Protocol", "COMPRESSION_ERROR"]],
    [10, ["ConnectionLost", "Unknown", "CONNECT_ERROR"]],
    [11, ["Throttled", "Unknown", "ENHANCE_YOUR_CALM"]],
    [12, ["Fatal", "Protocol", "INADEQUATE_SECURITY"]],
    [13, ["Fatal", "Protocol", "HTTP_1_1_REQUIRED"]],
    [99, ["ConnectionLost", "Unknown", "RST_STREAM 99"]]
  ]
  for (const [code, expected] of table) {
    it.scopedLive(`with code ${code}: ${expected.join(", ")}`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* raw(Grpc.channelOptions)
        const echo = Grpc.unary(client, "echo")
        // a refused stream is repeated once within its attempt
        const resets = code === 7 ? [Raw.rst(code), Raw.rst(code)] : [Raw.rst(code)]
        yield* server.script(...resets)
        assert.deepStrictEqual(yield* failure(echo(hi)), expected)
        yield* server.script(...resets)
        const retried = yield* Effect.either(echo(hi).pipe(withRpcRetry({ schedule })))
        assert.strictEqual(retried._tag, expected[0] === "Fatal" ? "Left" : "Right")
      }))
  }

  it.scopedLive("a connection that is ended for too many pings: the call is made again", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw(Grpc.channelOptions)
      const echo = Grpc.unary(client, "echo")
      yield* echo(hi)
      yield* server.script((stream) => stream.session!.goaway(11, stream.id!, Buffer.from("too_many_pings")))
      assert.deepStrictEqual(yield* echo(hi).pipe(withRpcRetry({ schedule })), { value: "raw" })
      assert.strictEqual((yield* server.seen).length, 3)
    }))

  it.scopedLive("statuses of a server that read like resets are its answers", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw(Grpc.channelOptions)
      const said = (code: number, message: string) =>
        Effect.zipRight(
          server.script(Raw.trailersOnly({ "grpc-status": String(code), "grpc-message": message })),
          failure(Grpc.unary(client, "echo")(hi))
        )
      assert.deepStrictEqual(yield* said(8, "Bandwidth exhausted or memory limit exceeded"), [
        "Fatal",
        "ServerError",
        "RESOURCE_EXHAUSTED"
      ])
      assert.deepStrictEqual(yield* said(7, "Protocol not secure enough"), [
        "Fatal",
        "PermissionDenied",
        "PERMISSION_DENIED"
      ])
    }))
})

describe("Grpc: what never left, and never will", () => {
  it.scopedLive("headers that HTTP/2 forbids: Fatal InvalidArgument", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw(Grpc.channelOptions)
      const metadata = new grpc.Metadata()
      metadata.set("connection", "keep-alive")
      assert.deepStrictEqual(yield* failure(Grpc.unary(client, "echo", { metadata })(hi)), [
        "Fatal",
        "InvalidArgument",
        "INTERNAL"
      ])
      assert.strictEqual((yield* server.seen).length, 0)
    }))

  it.scopedLive("a certificate that does not verify: Fatal Protocol, with its code", () =>
    Effect.gen(function*() {
      const { address } = yield* Tls.make
      const called = (authority: Buffer, options: grpc.ClientOptions) =>
        Effect.map(
          Tls.client(address, grpc.credentials.createSsl(authority), options),
          (client) => Grpc.unary(client, "echo")(hi)
        )
      const named = { "grpc.ssl_target_name_override": "other.example" }
      assert.deepStrictEqual(yield* Effect.flatten(called(Tls.certificate, named)), hi)
      for (const options of [{}, Grpc.channelOptions]) {
        const wrongCa = yield* called(Tls.stranger, { ...named, ...options })
        assert.deepStrictEqual(yield* failure(wrongCa), ["Fatal", "Protocol", "DEPTH_ZERO_SELF_SIGNED_CERT"])
        const wrongName = yield* called(Tls.certificate, options)
        assert.deepStrictEqual(yield* failure(wrongName), ["Fatal", "Protocol", "ERR_TLS_CERT_ALTNAME_INVALID"])
      }
    }))

  it.scopedLive("what else may be wrong with a certificate is told by the words of OpenSSL, and by no others", () =>
    Effect.gen(function*() {
      const { client } = yield* raw()
      const said = (error: string) => {
        const details = `No connection established. Last error: ${error}. Resolution note: `
        const interceptor: grpc.Interceptor = (options, next) =>
          new grpc.InterceptingCall(next(options), {
            start: (_, listener) => listener.onReceiveStatus({ code: 14, details, metadata: new grpc.Metadata() })
          })
        return failure(Grpc.unary(client, "echo", { callOptions: { interceptors: [interceptor] } })(hi))
      }
      const known = [
        ["certificate has expired", "CERT_HAS_EXPIRED"],
        ["self-signed certificate in certificate chain", "SELF_SIGNED_CERT_IN_CHAIN"],
        ["self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"],
        ["unable to get local issuer certificate", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"],
        [
          "unable to verify the first certificate; if the root CA is installed locally, try --use-system-ca",
          "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
        ]
      ] as const
      for (const [words, code] of known) {
        assert.deepStrictEqual(yield* said(`Error: ${words}`), ["Fatal", "Protocol", code])
      }
      const others = [
        "Error: no certificate has expired",
        "Error [ERR_TLS_INVALID_PROTOCOL_VERSION]: x",
        "certificate has expired"
      ]
      for (const words of others) {
        assert.deepStrictEqual(yield* said(words), ["Unavailable", "NotSent", "UNAVAILABLE"])
      }
    }))

  it.scopedLive("TLS to a server without it, and none to one with it: no connection, not sent", () =>
    Effect.gen(function*() {
      const plain = yield* Raw.make
      const { address } = yield* Tls.make
      for (
        const client of [
          yield* Tls.client(plain.address, grpc.credentials.createSsl(Tls.certificate)),
          yield* Tls.client(address, grpc.credentials.createInsecure())
        ]
      ) {
        assert.deepStrictEqual(yield* failure(Grpc.unary(client, "echo")(hi)), [
          "Unavailable",
          "NotSent",
          "UNAVAILABLE"
        ])
      }
    }))

  it.scopedLive("a client that is closed while calls wait for its connection: Fatal Cancelled", () =>
    Effect.gen(function*() {
      const echo = yield* client("127.0.0.1:1")
      const metadata = new grpc.Metadata({ waitForReady: true })
      const fiber = yield* Effect.fork(Effect.flip(Grpc.unary(echo, "echo", { metadata })(hi)))
      // the call is begun without a wait, and waits from then on
      yield* turns(20)
      echo.close()
      assert.deepStrictEqual(short(yield* Fiber.join(fiber)), ["Fatal", "Cancelled", undefined])
    }))
})

describe("Grpc: messages that are of no use", () => {
  const retryOn = () => true

  it.scopedLive("too large: Fatal, whatever is retried", () =>
    Effect.gen(function*() {
      const { client: small, server } = yield* raw({ "grpc.max_receive_message_length": 10 })
      yield* server.script(Raw.answer(undefined, [Raw.text("01234567890123456789")]))
      assert.deepStrictEqual(yield* failure(Grpc.unary(small, "echo", { retryOn })(hi)), [
        "Fatal",
        "Protocol",
        "RESOURCE_EXHAUSTED"
      ])
      const narrow = yield* client(server.address, { "grpc.max_send_message_length": 3 })
      assert.deepStrictEqual(yield* failure(Grpc.unary(narrow, "echo", { retryOn })({ value: "a long one" })), [
        "Fatal",
        "InvalidArgument",
        "RESOURCE_EXHAUSTED"
      ])
      assert.strictEqual((yield* server.seen).length, 1)
    }))

  it.scopedLive("compressed, and not to be read or too large: Fatal Protocol, whatever is retried", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw({ "grpc.max_receive_message_length": 100 })
      const compressed = (message: Buffer): Raw.Step => (stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-encoding": "gzip" })
        const frame = Raw.frame(message)
        frame[0] = 1
        stream.end(frame)
      }
      yield* server.script(compressed(Buffer.from("no gzip")), compressed(Zlib.gzipSync(Buffer.alloc(1000))))
      const echo = Grpc.unary(client, "echo", { retryOn })
      const unread = yield* Effect.flip(echo(hi))
      assert.deepStrictEqual([short(unread), unread.message], [
        ["Fatal", "Protocol", "INTERNAL"],
        "Failed to decompress gzip-encoded message"
      ])
      assert.deepStrictEqual(yield* failure(echo(hi)), ["Fatal", "Protocol", "RESOURCE_EXHAUSTED"])
    }))

  it.scopedLive("the library's words in an answer of the server are the server's", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw()
      const said = (code: number, message: string) =>
        Effect.zipRight(
          server.script(Raw.trailersOnly({ "grpc-status": String(code), "grpc-message": message })),
          Effect.map(failure(Grpc.unary(client, "echo", { retryOn })(hi)), ([reason]) => reason)
        )
      assert.strictEqual(yield* said(13, "Request message serialization failure: x"), "Custom")
      assert.strictEqual(yield* said(13, "Response message parsing error: x"), "Custom")
      assert.strictEqual(yield* said(12, "No message received"), "Custom")
      assert.strictEqual(yield* said(8, "Received message larger than max (2 vs 1)"), "Throttled")
    }))

  it.scopedLive("an answer without a message: Fatal Protocol, whatever its trailers", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw()
      yield* server.script(Raw.answer({ "grpc-status": "0", more: "x" }, []))
      assert.deepStrictEqual(yield* failure(Grpc.unary(client, "echo", { retryOn })(hi)), [
        "Fatal",
        "Protocol",
        "UNIMPLEMENTED"
      ])
    }))
})
