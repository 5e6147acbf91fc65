import { create } from "@bufbuild/protobuf"
import { DurationSchema } from "@bufbuild/protobuf/wkt"
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect"
import {
  Classify,
  Fatal,
  InvalidOption,
  Retryable,
  RetryExhausted,
  RetrySchedule,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as Http2 from "node:http2"
import * as ConnectRaw from "../../support/connectRaw.js"
import * as ConnectServer from "../../support/connectServer.js"
import { settle } from "../../support/eventually.js"
import { refusedPort } from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { EchoService, closes, detail, fails, kinds, make, resets, retryInfo } = ConnectServer

const delays = RetrySchedule.exponential({ base: "5 millis" })

const quick = { schedule: delays.pipe(RetrySchedule.retries(3)) }

const x = { value: "x" }

/** What a failure is, in one line. */
const told = (error: Retryable | Fatal) =>
  error._tag === "Retryable"
    ? [error._tag, error.reason, error.delivery, error.code]
    : [error._tag, error.reason, error.code]

const hintOf = (error: Retryable | Fatal) => {
  assert.instanceOf(error, Retryable)
  const hint = error.retryAfter
  return hint === undefined || hint === "Never" ? hint : Duration.toMillis(hint)
}

/** A client whose peer was made by hand. */
const clientOf = (kind: ConnectServer.Kind, port: number, options?: ConnectServer.TransportOptions) =>
  Effect.map(ConnectServer.transport(kind, port, options), (transport) => Connect.client(EchoService, transport))

describe("the client", () => {
  it.scopedLive("has the unary and the server-streaming methods, and no others", () =>
    Effect.gen(function*() {
      const { client } = yield* make("gRPC")
      assert.deepStrictEqual(Object.keys(client), ["echo", "look", "change", "watch"])
    }))

  it.scopedLive("names its calls as service configs do, and knows from the descriptor which may run twice", () =>
    Effect.gen(function*() {
      const { client } = yield* make("gRPC")
      assert.deepStrictEqual(
        [client.echo(x), client.look(x), client.change(x), client.watch(x)].map((
          { idempotent, method }
        ) => [method, idempotent]),
        [
          ["test.v1.EchoService.Echo", true],
          ["test.v1.EchoService.Look", true],
          ["test.v1.EchoService.Change", undefined],
          ["test.v1.EchoService.Watch", true]
        ]
      )
    }))

  it.scopedLive("takes the options' word before the descriptor's", () =>
    Effect.gen(function*() {
      const { client, transport } = yield* make("gRPC", {
        client: { methods: { echo: { idempotent: false }, change: { idempotent: true } } }
      })
      assert.deepStrictEqual(
        [client.echo(x), client.look(x), client.change(x)].map(({ idempotent }) => idempotent),
        [false, true, true]
      )
      assert.strictEqual(
        Connect.unary(EchoService.method.change, transport, { idempotent: false })(x).idempotent,
        false
      )
      assert.strictEqual(Connect.unary(EchoService.method.echo, transport)(x).idempotent, true)
      assert.strictEqual(
        Connect.serverStream(EchoService.method.watch, transport, { idempotent: false })(x).idempotent,
        false
      )
    }))

  it.scopedLive("one method without a client is retried, and knows its name, as with one", () =>
    Effect.gen(function*() {
      const { script, seen, transport } = yield* make("Connect over HTTP/1.1")
      const echo = Connect.unary(EchoService.method.echo, transport)
      script(fails(Code.Unavailable))
      assert.strictEqual((yield* echo(x).pipe(withRpcRetry(quick))).value, "x")
      assert.strictEqual(seen.length, 2)
      const watch = Connect.serverStream(EchoService.method.watch, transport)
      const texts = yield* Stream.runCollect(Stream.unwrapScoped(watch(x).pipe(withRpcRetry(quick))))
      assert.deepStrictEqual(Chunk.toReadonlyArray(texts).map(({ value }) => value), ["x 1", "x 2", "x 3"])
    }))

  it.scopedLive("is retried by a service config that names its methods", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("gRPC")
      const retryPolicy = {
        maxAttempts: 2,
        initialBackoff: "0.001s",
        maxBackoff: "0.001s",
        backoffMultiplier: 1,
        retryableStatusCodes: ["UNAVAILABLE"]
      }
      const layer = RpcRetry.layerServiceConfig({
        methodConfig: [{ name: [{ service: "test.v1.EchoService", method: "Echo" }], retryPolicy }]
      })
      script(...Array.from({ length: 9 }, () => fails(Code.Unavailable)))
      yield* Effect.provide(Effect.flip(client.echo(x).pipe(withRpcRetry)), layer)
      assert.strictEqual(seen.length, 2)
      yield* Effect.provide(Effect.flip(client.look(x).pipe(withRpcRetry)), layer)
      assert.strictEqual(seen.length, 3)
    }))

  it.scopedLive("leaves it to the transport to read with GET", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1", { useHttpGet: true })
      script(fails(Code.Unavailable))
      yield* client.look(x).pipe(withRpcRetry({ ...quick, deadline: "20 seconds" }))
      yield* client.echo(x)
      assert.deepStrictEqual(seen.map(({ requestMethod }) => requestMethod), ["GET", "GET", "POST"])
      assert.strictEqual(seen[1]!.previousAttempts, 1)
      assert.isAbove(seen[1]!.remaining!, 10_000)
    }))

  it.effect("is tested without a server over the library's router transport, on the clock of the test", () =>
    Effect.gen(function*() {
      let requests = 0
      const transport = createRouterTransport(({ service }) => {
        service(EchoService, {
          echo: (request) => {
            if (++requests < 4) {
              throw new ConnectError("not now", Code.Unavailable, undefined, [])
            }
            return request
          }
        })
      })
      const { echo } = Connect.client(EchoService, transport)
      const fiber = yield* Effect.fork(echo(x).pipe(withRpcRetry))
      for (const delay of [100, 150, 225]) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        yield* TestClock.adjust(delay)
      }
      assert.strictEqual((yield* Fiber.join(fiber)).value, "x")
      assert.strictEqual(requests, 4)
    }))

  it("options that cannot be used are told at once", () => {
    const client = (options: unknown) => () =>
      Connect.client(EchoService, {} as never, options as Connect.Options<typeof EchoService>)
    const cases: ReadonlyArray<readonly [() => unknown, string]> = [
      [client({ retryOn: [0] }), "Connect.client: retryOn[0] must be a code from 1 to 16, got 0"],
      [client({ retryOn: [14, "aborted"] }), "Connect.client: retryOn[1] must be a code from 1 to 16, got \"aborted\""],
      [client({ retryOn: 14 }), "Connect.client: retryOn must be a list of codes, or a function"],
      [
        client({ methods: { echo: { retryOn: [17] } } }),
        "Connect.client: methods.echo.retryOn[0] must be a code from 1 to 16, got 17"
      ],
      [
        client({ methods: { collect: {} } }),
        "Connect.client: methods.collect is no unary or server-streaming method of test.v1.EchoService"
      ],
      [
        client({ methods: { Echo: {} } }),
        "Connect.client: methods.Echo is no unary or server-streaming method of test.v1.EchoService"
      ],
      [
        () => Connect.unary(EchoService.method.echo, {} as never, { retryOn: [99 as Code] }),
        "Connect.unary: retryOn[0] must be a code from 1 to 16, got 99"
      ],
      [
        () => Connect.serverStream(EchoService.method.watch, {} as never, { retryOn: [99 as Code] }),
        "Connect.serverStream: retryOn[0] must be a code from 1 to 16, got 99"
      ],
      [
        client({ methods: { echo: { idempotent: "no" } } }),
        "Connect.client: methods.echo.idempotent must be true or false, got \"no\""
      ],
      [
        () => Connect.unary(EchoService.method.echo, {} as never, { idempotent: 0 as never }),
        "Connect.unary: idempotent must be true or false, got 0"
      ],
      [
        () => Connect.serverStream(EchoService.method.watch, {} as never, { idempotent: null as never }),
        "Connect.serverStream: idempotent must be true or false, got null"
      ],
      [
        () => Connect.unary(EchoService.method.watch as never, {} as never),
        "Connect.unary: method is no unary method: test.v1.EchoService.Watch is server_streaming"
      ],
      [
        () => Connect.serverStream(EchoService.method.echo as never, {} as never),
        "Connect.serverStream: method is no server_streaming method: test.v1.EchoService.Echo is unary"
      ]
    ]
    for (const [make, message] of cases) {
      assert.throws(make, message)
      assert.throws(make, InvalidOption)
    }
  })
})

describe("codes", () => {
  const table: ReadonlyArray<readonly [Code, ReadonlyArray<unknown>]> = [
    [Code.Canceled, ["Fatal", "Cancelled", "CANCELLED"]],
    [Code.Unknown, ["Fatal", "ServerError", "UNKNOWN"]],
    [Code.InvalidArgument, ["Fatal", "InvalidArgument", "INVALID_ARGUMENT"]],
    [Code.DeadlineExceeded, ["Fatal", "ServerError", "DEADLINE_EXCEEDED"]],
    [Code.NotFound, ["Fatal", "NotFound", "NOT_FOUND"]],
    [Code.AlreadyExists, ["Fatal", "ServerError", "ALREADY_EXISTS"]],
    [Code.PermissionDenied, ["Fatal", "PermissionDenied", "PERMISSION_DENIED"]],
    [Code.ResourceExhausted, ["Fatal", "ServerError", "RESOURCE_EXHAUSTED"]],
    [Code.FailedPrecondition, ["Fatal", "ServerError", "FAILED_PRECONDITION"]],
    [Code.Aborted, ["Fatal", "ServerError", "ABORTED"]],
    [Code.OutOfRange, ["Fatal", "InvalidArgument", "OUT_OF_RANGE"]],
    [Code.Unimplemented, ["Fatal", "Unimplemented", "UNIMPLEMENTED"]],
    [Code.Internal, ["Fatal", "ServerError", "INTERNAL"]],
    [Code.Unavailable, ["Retryable", "Unavailable", "Unknown", "UNAVAILABLE"]],
    [Code.DataLoss, ["Fatal", "ServerError", "DATA_LOSS"]],
    [Code.Unauthenticated, ["Fatal", "Unauthenticated", "UNAUTHENTICATED"]]
  ]

  for (const kind of kinds) {
    it.scopedLive(`${kind}: each code is what the table says, unary and stream`, () =>
      Effect.gen(function*() {
        const { client, script, scriptStream } = yield* make(kind)
        for (const [code, expected] of table) {
          script(fails(code))
          const error = yield* Effect.flip(client.echo(x))
          assert.deepStrictEqual(told(error), expected)
          assert.strictEqual(error.method, "test.v1.EchoService.Echo")
          assert.instanceOf(error.cause, ConnectError)
          assert.strictEqual((error.cause as ConnectError).code, code)
          if (error._tag === "Fatal") {
            assert.strictEqual(error.message, "as told")
          }
          scriptStream((seen) => {
            fails(code)(seen)
            throw new Error("not here")
          })
          const ofStream = yield* Effect.flip(client.watch(x))
          assert.deepStrictEqual(told(ofStream), expected)
          assert.strictEqual(ofStream.method, "test.v1.EchoService.Watch")
        }
      }))
  }

  it.scopedLive("a code that a list names is retried, for the client or for one method", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("gRPC", {
        client: {
          retryOn: [Code.Aborted],
          methods: { look: { retryOn: [Code.Internal, Code.ResourceExhausted] }, change: { idempotent: true } }
        }
      })
      // a method of which something else is said has the list of the client
      script(fails(Code.Aborted))
      assert.strictEqual((yield* Effect.flip(client.change(x)))._tag, "Retryable")
      script(fails(Code.Aborted))
      assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), ["Retryable", "Custom", "Unknown", "ABORTED"])
      script(fails(Code.Aborted), fails(Code.Internal))
      const error = yield* Effect.flip(client.echo(x).pipe(withRpcRetry(quick)))
      assert.instanceOf(error, Fatal)
      assert.strictEqual(error.code, "INTERNAL")
      assert.strictEqual(seen.length, 4)
      script(fails(Code.Internal), fails(Code.ResourceExhausted))
      yield* client.look(x).pipe(withRpcRetry(quick))
      assert.strictEqual(seen.length, 7)
      script(fails(Code.ResourceExhausted))
      assert.deepStrictEqual(told(yield* Effect.flip(client.look(x))), [
        "Retryable",
        "Throttled",
        "Unknown",
        "RESOURCE_EXHAUSTED"
      ])
      script(fails(Code.Aborted))
      assert.strictEqual((yield* Effect.flip(client.look(x)))._tag, "Fatal")
    }))

  it.scopedLive("a predicate sees the whole error", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1", {
        client: { retryOn: (error) => error.code === Code.Internal && error.metadata.get("x-shard") === "moving" }
      })
      script(fails(Code.Internal, [], { "x-shard": "moving" }))
      yield* client.echo(x).pipe(withRpcRetry(quick))
      assert.strictEqual(seen.length, 2)
      script(fails(Code.Internal, [], { "x-shard": "gone" }))
      assert.strictEqual((yield* Effect.flip(client.echo(x).pipe(withRpcRetry(quick))))._tag, "Fatal")
    }))

  it.scopedLive("what a predicate throws is a defect", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("gRPC", {
        client: {
          retryOn: () => {
            throw new Error("boom")
          }
        }
      })
      script(fails(Code.Internal))
      const exit = yield* Effect.exit(client.echo(x).pipe(withRpcRetry(quick)))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.strictEqual(seen.length, 1)
    }))

  it.scopedLive("the details of an error can be had from its cause", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      script(() => {
        throw new ConnectError("no", Code.FailedPrecondition, undefined, [
          { desc: DurationSchema, value: { seconds: 7n } }
        ])
      })
      const { cause } = yield* Effect.flip(client.echo(x))
      assert.instanceOf(cause, ConnectError)
      assert.deepStrictEqual((cause as ConnectError).findDetails(DurationSchema).map(({ seconds }) => seconds), [7n])
    }))
})

describe("what the server says of retrying", () => {
  const negative = retryInfo(-1)
  const infos: ReadonlyArray<readonly [string, Uint8Array, number | "Never" | undefined]> = [
    ["1.5 s", retryInfo(1500), 1500],
    ["a delay of zero", Uint8Array.from([0x0a, 0]), 0],
    ["no delay", Uint8Array.from([]), undefined],
    ["a negative one", negative, "Never"],
    ["bytes cut short", retryInfo(1500).slice(0, -1), "Never"],
    ["bytes that are no message", Uint8Array.from([0xff, 0xff]), "Never"],
    ["a delay that is no message", Uint8Array.from([0x0a, 1, 0xff]), "Never"]
  ]

  for (const kind of ["Connect over HTTP/1.1", "gRPC", "gRPC-web over HTTP/1.1"] as const) {
    it.scopedLive(`${kind}: RetryInfo, in every form`, () =>
      Effect.gen(function*() {
        const { client, script } = yield* make(kind)
        for (const [says, bytes, expected] of infos) {
          script(fails(Code.Unavailable, [detail(Uint8Array.from([1]), "test.v1.Other"), detail(bytes)]))
          assert.strictEqual(hintOf(yield* Effect.flip(client.echo(x))), expected, says)
        }
      }))
  }

  it.scopedLive("the pushback trailer of gRPC, in every form", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      const forms: ReadonlyArray<readonly [Array<string>, number | "Never"]> = [
        [["250"], 250],
        [["0"], 0],
        [["-1"], "Never"],
        [["xxx"], "Never"],
        [["50abc"], "Never"],
        [["3000000000"], "Never"],
        [["007"], "Never"],
        [["600", "10"], "Never"]
      ]
      for (const [values, expected] of forms) {
        const metadata = new Headers()
        values.forEach((value) => metadata.append("grpc-retry-pushback-ms", value))
        script(fails(Code.Unavailable, [], metadata))
        assert.strictEqual(hintOf(yield* Effect.flip(client.echo(x))), expected, String(values))
      }
    }))

  for (const kind of kinds) {
    it.scopedLive(`${kind}: Retry-After of a proxy, in every form`, () =>
      Effect.gen(function*() {
        const forms: ReadonlyArray<readonly [string, (hint: number | "Never" | undefined) => void]> = [
          ["7", (hint) => assert.strictEqual(hint, 7000)],
          ["0", (hint) => assert.strictEqual(hint, 0)],
          ["Thu, 01 Jan 1970 00:00:05 GMT", (hint) => assert.strictEqual(hint, 0)],
          ["Fri, 01 Jan 2999 00:00:00 GMT", (hint) => assert.isAbove(Number(hint), 1e9)],
          ["soon", (hint) => assert.strictEqual(hint, "Never")],
          ["-1", (hint) => assert.strictEqual(hint, "Never")],
          ["1.5", (hint) => assert.strictEqual(hint, 1500)],
          ["5, 6", (hint) => assert.strictEqual(hint, "Never")],
          ["5, 5", (hint) => assert.strictEqual(hint, "Never")]
        ]
        for (const type of ["text/html", "application/json"]) {
          const { port } = yield* ConnectRaw.proxy(
            kind,
            ...forms.map(([value]) => ({
              status: 503,
              headers: { "content-type": type, "retry-after": value },
              // what the library takes for no error of Connect has its headers twice
              body: "[]"
            }))
          )
          const client = yield* clientOf(kind, port)
          for (const [, check] of forms) {
            check(hintOf(yield* Effect.flip(client.echo(x))))
          }
        }
      }))
  }

  for (const kind of kinds) {
    it.scopedLive(`${kind}: what the server says twice is no delay, were it the same`, () =>
      Effect.gen(function*() {
        const { client, script, scriptStream } = yield* make(kind)
        for (const name of ["grpc-retry-pushback-ms", "retry-after"]) {
          const twice = fails(Code.Unavailable, [], [[name, "7"], [name, "7"]])
          script(twice)
          assert.strictEqual(hintOf(yield* Effect.flip(client.echo(x))), "Never")
          scriptStream(async function*(seen) {
            yield await twice(seen)
          })
          assert.strictEqual(hintOf(yield* Effect.flip(client.watch(x))), "Never")
        }
      }))
  }

  it.scopedLive("Retry-After of the server itself", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("Connect over HTTP/1.1")
      script(fails(Code.Unavailable, [], { "retry-after": "3" }))
      assert.strictEqual(hintOf(yield* Effect.flip(client.echo(x))), 3000)
    }))

  it.scopedLive("of several the one of the protocol counts", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      const metadata = { "grpc-retry-pushback-ms": "100", "retry-after": "3" }
      script(
        fails(Code.Unavailable, [detail(retryInfo(200))], metadata),
        fails(Code.Unavailable, [detail(retryInfo(200)), detail(retryInfo(300))], { "retry-after": "3" })
      )
      assert.strictEqual(hintOf(yield* Effect.flip(client.echo(x))), 100)
      assert.strictEqual(hintOf(yield* Effect.flip(client.echo(x))), 200)
    }))

  it.scopedLive("a delay makes resource_exhausted retryable, and nothing else", () =>
    Effect.gen(function*() {
      const { client, script, seen } = yield* make("Connect over HTTP/1.1")
      script(fails(Code.ResourceExhausted, [detail(retryInfo(5))]))
      yield* client.echo(x).pipe(withRpcRetry(quick))
      assert.strictEqual(seen.length, 2)
      script(fails(Code.ResourceExhausted, [detail(negative)]))
      assert.strictEqual((yield* Effect.flip(client.echo(x).pipe(withRpcRetry(quick))))._tag, "Fatal")
      script(fails(Code.Internal, [detail(retryInfo(5))]))
      assert.strictEqual((yield* Effect.flip(client.echo(x).pipe(withRpcRetry(quick))))._tag, "Fatal")
      assert.strictEqual(seen.length, 4)
    }))

  it("a detail that was not sent yet is read too", () => {
    const named = (typeName: string) => ({ ...DurationSchema, typeName }) as unknown as typeof DurationSchema
    const value = (seconds: bigint) => ({ retryDelay: create(DurationSchema, { seconds }) }) as never
    const error = new ConnectError("busy", Code.Unavailable, undefined, [
      { desc: named("test.v1.Other"), value: value(1n) },
      { desc: named("google.rpc.RetryInfo"), value: value(2n) }
    ])
    assert.strictEqual(hintOf(Option.getOrThrow(Connect.connectError(error))), 2000)
  })
})

describe("proxies", () => {
  for (const kind of kinds) {
    it.scopedLive(`${kind}: a page of HTML with 429, 502, 503 or 504 is retried`, () =>
      Effect.gen(function*() {
        const statuses = [429, 502, 503, 504]
        const { port, requests } = yield* ConnectRaw.proxy(kind, ...statuses.map((status) => ({ status })))
        const client = yield* clientOf(kind, port)
        const error = yield* Effect.flip(client.echo(x).pipe(withRpcRetry(quick)))
        assert.instanceOf(error, RetryExhausted)
        assert.strictEqual(requests(), 4)
        for (const { error: failed } of error.history) {
          assert.deepStrictEqual(told(failed), ["Retryable", "Unavailable", "Unknown", "UNAVAILABLE"])
        }
        const ofStream = yield* Effect.flip(client.watch(x))
        assert.deepStrictEqual(told(ofStream), ["Retryable", "Unavailable", "Unknown", "UNAVAILABLE"])
      }))

    it.scopedLive(`${kind}: with another status it is not`, () =>
      Effect.gen(function*() {
        const expected: ReadonlyArray<readonly [number, string, string]> = [
          [400, "ServerError", "INTERNAL"],
          [401, "Unauthenticated", "UNAUTHENTICATED"],
          [403, "PermissionDenied", "PERMISSION_DENIED"],
          [404, "Unimplemented", "UNIMPLEMENTED"],
          [500, "ServerError", "UNKNOWN"]
        ]
        const { port } = yield* ConnectRaw.proxy(kind, ...expected.map(([status]) => ({ status })))
        const client = yield* clientOf(kind, port)
        for (const [, reason, code] of expected) {
          assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), ["Fatal", reason, code])
        }
      }))

    it.scopedLive(`${kind}: an answer that is none of the protocol's is Fatal`, () =>
      Effect.gen(function*() {
        const { port } = yield* ConnectRaw.proxy(kind, { status: 200 })
        const client = yield* clientOf(kind, port)
        for (const call of [Effect.asVoid(client.echo(x)), Effect.asVoid(client.watch(x))]) {
          const error = yield* Effect.flip(call)
          assert.strictEqual(error._tag, "Fatal")
          assert.strictEqual(error.reason, "Protocol")
        }
      }))
  }
})

describe("answers that are not as the protocol says", () => {
  const bytes = (flags: number, text: string) =>
    Buffer.concat([Buffer.from([flags, 0, 0, 0, text.length]), Buffer.from(text)])
  const compressed = 1
  const endOfStream = 2
  const pages: ReadonlyArray<
    readonly [string, "echo" | "watch", Record<string, string>, string | Uint8Array, boolean]
  > = [
    ["a message that is cut short", "echo", { "content-type": "application/proto" }, "\n\tx", true],
    ["JSON of another message", "echo", { "content-type": "application/json" }, "{\"a\":1}", false],
    [
      "a compression nobody asked for",
      "echo",
      { "content-type": "application/proto", "content-encoding": "zz" },
      "",
      true
    ],
    ["a stream without an end", "watch", { "content-type": "application/connect+proto" }, "", true],
    ["an end that is no JSON", "watch", { "content-type": "application/connect+proto" }, bytes(endOfStream, "x"), true],
    [
      "an end that is no object",
      "watch",
      { "content-type": "application/connect+proto" },
      bytes(endOfStream, "[]"),
      true
    ],
    [
      "a compressed message without a compression",
      "watch",
      { "content-type": "application/connect+proto" },
      bytes(compressed, "x"),
      true
    ],
    [
      "a message that is not compressed as it says",
      "echo",
      { "content-type": "application/proto", "content-encoding": "gzip" },
      "x",
      true
    ]
  ]
  for (const [says, method, headers, body, useBinaryFormat] of pages) {
    it.scopedLive(`${says} is Fatal`, () =>
      Effect.gen(function*() {
        const { port } = yield* ConnectRaw.proxy("Connect over HTTP/1.1", { status: 200, headers, body })
        const client = yield* clientOf("Connect over HTTP/1.1", port, { useBinaryFormat })
        const error = yield* Effect.flip(Effect.asVoid<unknown, Retryable | Fatal, Scope.Scope>(client[method](x)))
        assert.deepStrictEqual([error._tag, error.reason], ["Fatal", "Protocol"], told(error).join())
      }))
  }

  const statuses: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ["a grpc-message with a bare percent sign", { "grpc-status": "14", "grpc-message": "100% secret" }],
    ["details that are not base64", { "grpc-status": "8", "grpc-status-details-bin": "!!!" }],
    ["details that are no message", { "grpc-status": "8", "grpc-status-details-bin": "////" }]
  ]
  for (const [says, headers] of statuses) {
    it.scopedLive(`gRPC: ${says}: the status is Fatal, and quotes nothing`, () =>
      Effect.gen(function*() {
        const { port } = yield* ConnectRaw.proxy("gRPC", {
          status: 200,
          headers: { "content-type": "application/grpc+proto", ...headers },
          body: ""
        })
        const error = yield* Effect.flip((yield* clientOf("gRPC", port)).echo(x))
        assert.deepStrictEqual([error._tag, error.reason], ["Fatal", "Protocol"], told(error).join())
        assert.notInclude(JSON.stringify(error), "secret")
      }))
  }

  it.scopedLive("gRPC-web: a trailer that no header can have is Fatal, and is not quoted", () =>
    Effect.gen(function*() {
      const body = bytes(128, "secret\u0001: x\r\n")
      const headers = { "content-type": "application/grpc-web+proto" }
      const { port } = yield* ConnectRaw.proxy("gRPC-web over HTTP/2", { status: 200, headers, body })
      const error = yield* Effect.flip((yield* clientOf("gRPC-web over HTTP/2", port)).echo(x))
      assert.deepStrictEqual([error._tag, error.reason], ["Fatal", "Protocol"], told(error).join())
      assert.notInclude(JSON.stringify(error), "secret")
    }))
})

describe("connections", () => {
  for (const kind of kinds) {
    it.scopedLive(`${kind}: refused, so not sent`, () =>
      Effect.gen(function*() {
        const client = yield* clientOf(kind, yield* refusedPort)
        for (const call of [Effect.asVoid(client.echo(x)), Effect.asVoid(client.watch(x))]) {
          const error = yield* Effect.flip(call)
          assert.deepStrictEqual(told(error), ["Retryable", "ConnectionRefused", "NotSent", "ECONNREFUSED"])
          assert.instanceOf(error.cause, ConnectError)
        }
      }))

    it.scopedLive(`${kind}: reset, or closed as by a process that ends: lost, may have run`, () =>
      Effect.gen(function*() {
        const { client, script, scriptStream } = yield* make(kind)
        for (const step of [resets, closes]) {
          script(step)
          const error = yield* Effect.flip(client.echo(x))
          assert.deepStrictEqual(told(error).slice(0, 3), ["Retryable", "ConnectionLost", "Unknown"])
          scriptStream(async function*(seen) {
            yield await step(seen)
          })
          const ofStream = yield* Effect.flip(client.watch(x))
          assert.deepStrictEqual(told(ofStream).slice(0, 3), ["Retryable", "ConnectionLost", "Unknown"])
        }
      }))
  }

  const lost = ["Retryable", "ConnectionLost", "Unknown"]
  const resetCodes: ReadonlyArray<readonly [number, string, ReadonlyArray<string>]> = [
    [1, "NGHTTP2_PROTOCOL_ERROR", ["Fatal", "Protocol"]],
    [2, "NGHTTP2_INTERNAL_ERROR", lost],
    [3, "NGHTTP2_FLOW_CONTROL_ERROR", ["Fatal", "Protocol"]],
    [4, "NGHTTP2_SETTINGS_TIMEOUT", lost],
    [5, "NGHTTP2_STREAM_CLOSED", lost],
    [6, "NGHTTP2_FRAME_SIZE_ERROR", ["Fatal", "Protocol"]],
    [7, "NGHTTP2_REFUSED_STREAM", ["Retryable", "Unavailable", "Unknown"]],
    [8, "NGHTTP2_CANCEL", lost],
    [9, "NGHTTP2_COMPRESSION_ERROR", ["Fatal", "Protocol"]],
    [10, "NGHTTP2_CONNECT_ERROR", lost],
    [11, "NGHTTP2_ENHANCE_YOUR_CALM", ["Retryable", "Throttled", "Unknown"]],
    [12, "NGHTTP2_INADEQUATE_SECURITY", ["Fatal", "Protocol"]],
    [13, "NGHTTP2_HTTP_1_1_REQUIRED", ["Fatal", "Protocol"]]
  ]

  for (const kind of [...ConnectServer.http2Kinds, ...ConnectServer.libraryKinds]) {
    it.scopedLive(`${kind}: a stream that is reset is no answer of the method, whatever the code`, () =>
      Effect.gen(function*() {
        let reset = 0
        const { port } = yield* ConnectRaw.http2((stream) => stream.close(reset))
        const client = yield* clientOf(kind, port)
        for (const [number, code, expected] of resetCodes) {
          reset = number
          const known = number === 7 && ConnectServer.isOurs(kind) ? [...expected.slice(0, 2), "NotSent"] : expected
          assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), [...known, code])
        }
      }))
  }

  const types = {
    "Connect over HTTP/2": ["application/proto", "application/connect+proto"],
    gRPC: ["application/grpc+proto", "application/grpc+proto"],
    "gRPC-web over HTTP/2": ["application/grpc-web+proto", "application/grpc-web+proto"]
  }
  for (const kind of ["Connect over HTTP/2", "gRPC", "gRPC-web over HTTP/2"] as const) {
    it.scopedLive(`${kind}: a stream is refused, so not sent, only before anything of an answer has come`, () =>
      Effect.gen(function*() {
        const refused = ["Retryable", "Unavailable", "NotSent", "NGHTTP2_REFUSED_STREAM"]
        const mayHaveRun = ["Retryable", "Unavailable", "Unknown", "NGHTTP2_REFUSED_STREAM"]
        const [unary, streaming] = types[kind]
        let open: (stream: Http2.ServerHttp2Stream) => void = () => {}
        const { port } = yield* ConnectRaw.http2((stream) => {
          open(stream)
          setTimeout(() => ConnectRaw.reset(stream, 7), 20)
        })
        const client = yield* clientOf(kind, port)
        const watch = Effect.flatMap(client.watch(x), Stream.runDrain)
        assert.deepStrictEqual(told(yield* Effect.flip(watch)), refused)
        open = (stream) => stream.respond({ ":status": 200, "content-type": unary })
        assert.deepStrictEqual(told(yield* Effect.flip(client.change(x))), mayHaveRun)
        open = (stream) => stream.respond({ ":status": 200, "content-type": streaming })
        assert.deepStrictEqual(told(yield* Effect.flip(watch)), mayHaveRun)
        open = (stream) => {
          stream.respond({ ":status": 200, "content-type": streaming })
          stream.write(Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x78]))
        }
        assert.deepStrictEqual(told(yield* Effect.flip(watch)), mayHaveRun)
      }))
  }

  for (const kind of ["Connect over HTTP/2", "gRPC", "gRPC-web over HTTP/2"] as const) {
    it.scopedLive(`${kind}: an answer that ends before its status is Fatal: whether it was cut nobody can tell`, () =>
      Effect.gen(function*() {
        const [, streaming] = types[kind]
        // NO_ERROR, and the end of a stream without trailers: the library says the same of both
        const ends: ReadonlyArray<(stream: Http2.ServerHttp2Stream) => void> = [
          (stream) => setTimeout(() => ConnectRaw.reset(stream, 0), 20),
          (stream) => stream.end()
        ]
        for (const end of ends) {
          const { port } = yield* ConnectRaw.http2((stream) => {
            stream.respond({ ":status": 200, "content-type": streaming })
            stream.write(Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x78]), () => end(stream))
          })
          const client = yield* clientOf(kind, port)
          const error = yield* Effect.flip(Effect.flatMap(client.watch(x), Stream.runDrain))
          assert.deepStrictEqual([error._tag, error.reason], ["Fatal", "Protocol"], told(error).join())
        }
      }))
  }

  it.scopedLive("HTTP/2: a connection that ends with an error", () =>
    Effect.gen(function*() {
      const expected: ReadonlyArray<readonly [number, Array<string>]> = [
        [2, [...lost, "NGHTTP2_INTERNAL_ERROR"]],
        [7, [...lost, "NGHTTP2_REFUSED_STREAM"]],
        [11, ["Retryable", "Throttled", "Unknown", "NGHTTP2_ENHANCE_YOUR_CALM"]],
        [1, ["Fatal", "Protocol", "NGHTTP2_PROTOCOL_ERROR"]]
      ]
      let next = 0
      const { port } = yield* ConnectRaw.http2((stream) => ConnectRaw.destroy(stream, expected[next++]![0]))
      const client = yield* clientOf("gRPC", port)
      for (const [, say] of expected) {
        assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), say)
      }
    }))

  it.scopedLive("words of the server that sound like the library's are still an answer", () =>
    Effect.gen(function*() {
      const { client, script } = yield* make("gRPC")
      const texts = ["http/2 stream closed with error code CANCEL (0x8)", "protocol error: missing status"]
      for (const text of texts) {
        script(() => {
          throw new ConnectError(text, Code.Canceled)
        })
        assert.deepStrictEqual(told(yield* Effect.flip(client.echo(x))), ["Fatal", "Cancelled", "CANCELLED"])
      }
    }))

  it.scopedLive("a peer that does not speak HTTP is Fatal", () =>
    Effect.gen(function*() {
      const port = yield* ConnectRaw.says("SSH-2.0-OpenSSH_9.6\r\n")
      for (const kind of kinds) {
        const client = yield* clientOf(kind, port)
        const error = yield* Effect.flip(client.echo(x))
        const code = ConnectServer.isHttp1(kind) ? "HPE_INVALID_CONSTANT" : "ERR_HTTP2_ERROR"
        assert.deepStrictEqual(told(error), ["Fatal", "Protocol", code])
        // the library stops listening to the connection before it has failed to the end: see the document
        yield* settle(30)
      }
    }))

  for (const kind of kinds) {
    it.scopedLive(`${kind}: a retry without a delay has a connection of its own`, () =>
      Effect.gen(function*() {
        const { client, script, seen } = yield* make(kind)
        script(...Array.from({ length: 10 }, (_, i) => i % 2 === 0 ? resets : closes))
        yield* client.echo(x).pipe(withRpcRetry({ schedule: Schedule.recurs(10) }))
        assert.strictEqual(seen.length, 11)
      }))
  }

  it("failures of Node that no server can be made to cause", () => {
    const of = (code: string) => {
      const cause = Object.assign(new Error(code), { code })
      return told(Option.getOrThrow(Connect.connectError(ConnectError.from(cause, Code.Internal))))
    }
    assert.deepStrictEqual(of("ERR_HTTP2_STREAM_CANCEL"), [
      "Retryable",
      "ConnectionLost",
      "NotSent",
      "ERR_HTTP2_STREAM_CANCEL"
    ])
    assert.deepStrictEqual(of("ERR_HTTP2_GOAWAY_SESSION").slice(2), ["NotSent", "ERR_HTTP2_GOAWAY_SESSION"])
    assert.deepStrictEqual(of("ERR_HTTP2_INVALID_SESSION").slice(2), ["NotSent", "ERR_HTTP2_INVALID_SESSION"])
    assert.deepStrictEqual(of("ERR_HTTP2_INVALID_STREAM").slice(2), ["Unknown", "ERR_HTTP2_INVALID_STREAM"])
    assert.deepStrictEqual(of("ERR_HTTP2_ERROR"), ["Fatal", "Protocol", "ERR_HTTP2_ERROR"])
    assert.deepStrictEqual(of("CERT_HAS_EXPIRED"), ["Fatal", "Protocol", "CERT_HAS_EXPIRED"])
    assert.deepStrictEqual(of("EACCES"), ["Fatal", "ServerError", "INTERNAL"])
  })

  it("the rule leaves other failures to other rules", () => {
    assert.isTrue(Option.isNone(Connect.connectError(new Error("no"))))
    const classify = Classify.firstOf(Connect.connectError, ...Classify.rules)
    assert.deepStrictEqual(told(classify(new ConnectError("x", 42 as Code))), ["Fatal", "ServerError", 42])
    assert.deepStrictEqual(told(classify(new Error("no"))), ["Fatal", "Custom", undefined])
  })
})
