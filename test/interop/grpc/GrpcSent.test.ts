/**
 * What `Grpc` sends and reads beside the messages, how calls are named, what its options do.
 */
import * as grpc from "@grpc/grpc-js"
import {
  Deadline,
  Fatal,
  InvalidOption,
  RetryExhausted,
  RetryPolicy,
  RetrySchedule,
  RpcError,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { createRequire } from "node:module"
import { client, Echo, type EchoClient } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import * as GrpcServer from "../../support/grpcServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const subject = (options?: grpc.ClientOptions) =>
  Effect.gen(function*() {
    const server = yield* GrpcServer.make
    const echo = yield* client(server.address, options)
    return { server, client: echo }
  })

const schedule = RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(3))

const hi = { value: "hi" }

const unavailable = GrpcServer.status("UNAVAILABLE")

const metadata = (entries: Record<string, string>, options?: grpc.MetadataOptions) => {
  const metadata = new grpc.Metadata(options)
  Object.entries(entries).forEach(([key, value]) => metadata.set(key, value))
  return metadata
}

describe("Grpc: what is sent", () => {
  it.scopedLive("metadata of the user's is sent, and stays as it was", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const own = metadata({ authorization: "Bearer abc", "grpc-previous-rpc-attempts": "7" })
      yield* server.script(unavailable)
      yield* Grpc.unary(client, "echo", { metadata: own })(hi).pipe(withRpcRetry({ schedule, idempotencyKey: "k" }))
      const seen = yield* server.seen
      assert.deepStrictEqual(seen.map(({ metadata }) => metadata.get("authorization")), [["Bearer abc"], [
        "Bearer abc"
      ]])
      assert.deepStrictEqual(seen.map(({ previousAttempts }) => previousAttempts), [7, 7])
      assert.deepStrictEqual(seen.map(({ idempotencyKey }) => idempotencyKey), ["k", "k"])
      assert.deepStrictEqual(own.getMap(), { authorization: "Bearer abc", "grpc-previous-rpc-attempts": "7" })
    }))

  it.scopedLive("an idempotency key of the user's metadata is the one that is sent", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      yield* server.script(unavailable)
      const echo = Grpc.unary(client, "echo", { metadata: metadata({ "idempotency-key": "mine" }) })
      yield* echo(hi).pipe(withRpcRetry({ schedule, idempotencyKey: "k" }))
      const seen = yield* server.seen
      assert.deepStrictEqual(seen.map(({ metadata }) => metadata.get("idempotency-key")), [["mine"], ["mine"]])
      assert.deepStrictEqual(seen.map(({ previousAttempts }) => previousAttempts), [0, 1])
    }))

  it.scopedLive("an idempotency key that metadata cannot hold ends the call, unary and stream: Fatal, nothing sent", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const calls = [
        Effect.asVoid(Grpc.unary(client, "echo")(hi)),
        Effect.asVoid(Grpc.serverStream(client, "list")(hi))
      ]
      for (const call of calls) {
        const error = yield* Effect.flip(call.pipe(withRpcRetry({ schedule, idempotencyKey: "ключ" })))
        assert.instanceOf(error, Fatal)
        assert.strictEqual(error.reason, "InvalidArgument")
        assert.include(error.message, "idempotency key")
        assert.notInclude(JSON.stringify(error), "ключ")
      }
      assert.deepStrictEqual(yield* server.seen, [])
    }))

  it.scopedLive("a function is asked for metadata and options at each attempt", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      let tokens = 0
      let options = 0
      yield* server.script(unavailable, unavailable)
      const echo = Grpc.unary(client, "echo", {
        metadata: () => metadata({ token: String(++tokens) }),
        callOptions: () => ({ host: `host-${++options}` })
      })
      assert.deepStrictEqual([tokens, options], [0, 0])
      yield* echo(hi).pipe(withRpcRetry({ schedule }))
      assert.deepStrictEqual((yield* server.seen).map(({ metadata }) => metadata.get("token")[0]), ["1", "2", "3"])
      assert.strictEqual(options, 3)
    }))

  it.scopedLive("credentials and interceptors of the client and of the call stay at work", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const interceptor = (name: string): grpc.Interceptor => (options, next) => {
        ran.push(name)
        return new grpc.InterceptingCall(next(options))
      }
      const { client, server } = yield* subject({ interceptors: [interceptor("client")] })
      yield* Grpc.unary(client, "echo")(hi)
      assert.deepStrictEqual(ran, ["client"])
      // as in grpc-js, those of a call take the place of those of the client
      yield* server.script(unavailable)
      const echo = Grpc.unary(client, "echo", {
        callOptions: { interceptors: [interceptor("outer"), interceptor("inner")] }
      })
      yield* echo(hi).pipe(withRpcRetry({ schedule }))
      assert.deepStrictEqual(ran, ["client", "outer", "inner", "outer", "inner"])
    }))

  it.scopedLive("credentials of a call that fail are not sent, and retried where they say UNAVAILABLE", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      let asked = 0
      const credentials = grpc.credentials.createFromMetadataGenerator((_, callback) => {
        asked++
        return asked === 1
          ? callback(Object.assign(new Error("no token yet"), { code: grpc.status.UNAVAILABLE }))
          : callback(null, metadata({ token: "t" }))
      })
      const echo = Grpc.unary(client, "echo", { callOptions: { credentials }, idempotent: false })
      yield* echo(hi).pipe(withRpcRetry({ schedule }))
      assert.deepStrictEqual((yield* server.seen).map(({ metadata }) => metadata.get("token")), [["t"]])
    }))

  it.scopedLive("credentials that fail without an error end the call, and not the process", () =>
    Effect.gen(function*() {
      const { client } = yield* subject()
      const credentials = grpc.credentials.createFromMetadataGenerator((_, callback) => callback(null))
      const error = yield* Effect.flip(Grpc.unary(client, "echo", { callOptions: { credentials } })(hi))
      assert.deepStrictEqual([error._tag, error.code], ["Fatal", "UNKNOWN"])
    }))

  it.scopedLive("a header that cannot be written is not quoted: of an interceptor, of credentials", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const forbidden = { authorization: "Bearer secret\n" }
      const interceptor: grpc.Interceptor = (options, next) =>
        new grpc.InterceptingCall(next(options), {
          start: (_, listener, next) => next(metadata(forbidden), listener)
        })
      const credentials = grpc.credentials.createFromMetadataGenerator((_, callback) => {
        try {
          callback(null, metadata(forbidden))
        } catch (error) {
          callback(error as Error)
        }
      })
      const reasons: Array<string> = []
      for (const callOptions of [{ interceptors: [interceptor] }, { credentials }]) {
        const calls = [
          Effect.asVoid(Grpc.unary(client, "echo", { callOptions })(hi)),
          Effect.asVoid(Grpc.serverStream(client, "list", { callOptions })(hi))
        ]
        for (const call of calls) {
          const error = yield* Effect.flip(call)
          assert.instanceOf(error, Fatal)
          assert.notInclude(`${RpcError.report(error)} ${JSON.stringify(error)}`, "secret")
          reasons.push(error.reason)
        }
      }
      assert.deepStrictEqual(reasons, ["Custom", "Custom", "InvalidArgument", "InvalidArgument"])
      assert.deepStrictEqual(yield* server.seen, [])
    }))

  it.scopedLive("of the deadline of the options and the ambient one the earlier is sent", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const sent = (deadline: grpc.Deadline | undefined, ambient: Duration.DurationInput | undefined) =>
        Effect.gen(function*() {
          const call = Grpc.unary(client, "echo", { callOptions: deadline === undefined ? {} : { deadline } })(hi)
          yield* ambient === undefined ? call : call.pipe(Deadline.within(ambient))
          const { remaining } = (yield* server.seen).at(-1)!
          return remaining === undefined ? undefined : Math.ceil(remaining / 10_000) * 10
        })
      assert.strictEqual(yield* sent(undefined, undefined), undefined)
      assert.strictEqual(yield* sent(Date.now() + 20_000, undefined), 20)
      assert.strictEqual(yield* sent(new Date(Date.now() + 20_000), "40 seconds"), 20)
      assert.strictEqual(yield* sent(Date.now() + 60_000, "40 seconds"), 40)
      assert.strictEqual(yield* sent(Infinity, "40 seconds"), 40)
      assert.strictEqual(yield* sent(undefined, "40 seconds"), 40)
    }))

  it.scopedLive("a deadline that grpc-js cannot send is none", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const far = Number.MAX_SAFE_INTEGER
      const echo = Grpc.unary(client, "echo")
      assert.deepStrictEqual(yield* echo(hi).pipe(withRpcRetry({ schedule, deadline: far })), hi)
      const own = { callOptions: { deadline: far } }
      assert.deepStrictEqual(yield* Grpc.unary(client, "echo", own)(hi), hi)
      yield* Effect.flatMap(Grpc.serverStream(client, "list", own)(hi), Stream.runDrain)
      assert.deepStrictEqual((yield* server.seen).map(({ remaining }) => remaining), [undefined, undefined, undefined])
      // its servers take 30 days for less than none
      const seen = (deadline: Duration.DurationInput) =>
        Effect.zipRight(
          echo(hi).pipe(withRpcRetry({ schedule, deadline })),
          Effect.map(server.seen, (seen) => seen.at(-1)!.remaining)
        )
      assert.strictEqual(yield* seen("30 days"), undefined)
      assert.isAbove((yield* seen("24 days"))!, 23 * 86_400_000)
    }))

  it.scoped("the remaining time is sent whatever the program's clock says", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      yield* TestClock.adjust("3 days")
      yield* Grpc.unary(client, "echo")(hi).pipe(Deadline.within("40 seconds"))
      const { remaining } = (yield* server.seen)[0]!
      assert.isAtMost(remaining!, 40_000)
      assert.isAbove(remaining!, 20_000)
    }))

  it.scopedLive("metadata that waits for a connection waits for the server to come back", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject({ "grpc.initial_reconnect_backoff_ms": 100 })
      yield* server.stop
      const failing = yield* Effect.flip(Grpc.unary(client, "echo")(hi))
      assert.strictEqual(failing.reason, "ConnectionRefused")
      const patient = Grpc.unary(client, "echo", { metadata: metadata({}, { waitForReady: true }) })
      const fiber = yield* Effect.fork(patient(hi))
      yield* server.start
      assert.deepStrictEqual(yield* Fiber.join(fiber), hi)
    }))
})

/** `google.rpc.Status` with a `RetryInfo` of so many seconds. */
const retryInfo = (seconds: number): Buffer => {
  const field = (number: number, bytes: Uint8Array) =>
    Buffer.concat([Buffer.from([number << 3 | 2, bytes.length]), bytes])
  const info = field(1, Buffer.from([0x08, seconds]))
  return field(
    3,
    Buffer.concat([field(1, Buffer.from("type.googleapis.com/google.rpc.RetryInfo")), field(2, info)])
  )
}

describe("Grpc: what the server says of retrying", () => {
  const hinted = (
    code: number | keyof typeof grpc.status,
    trailers: Record<string, string | Buffer | ReadonlyArray<string>>
  ) =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      yield* server.script(GrpcServer.status(code, { trailers }))
      const error = yield* Effect.flip(Grpc.unary(client, "echo")(hi))
      return error._tag === "Fatal" ? "Fatal" : error.retryAfter === undefined ? "nothing" : String(error.retryAfter)
    })

  it.scopedLive("RetryInfo is the delay; the trailer comes before it", () =>
    Effect.gen(function*() {
      const details = { "grpc-status-details-bin": retryInfo(7) }
      assert.strictEqual(yield* hinted("UNAVAILABLE", details), "Duration(7s)")
      assert.strictEqual(yield* hinted("RESOURCE_EXHAUSTED", details), "Duration(7s)")
      assert.strictEqual(
        yield* hinted("UNAVAILABLE", { ...details, "grpc-retry-pushback-ms": "12" }),
        "Duration(12ms)"
      )
      assert.strictEqual(yield* hinted("UNAVAILABLE", { ...details, "grpc-retry-pushback-ms": "x" }), "Never")
      assert.strictEqual(yield* hinted("UNAVAILABLE", { "grpc-status-details-bin": Buffer.from("?") }), "nothing")
      assert.strictEqual(yield* hinted("UNAVAILABLE", {}), "nothing")
      // Retry-After is for proxies
      assert.strictEqual(yield* hinted("UNAVAILABLE", { "retry-after": "3" }), "nothing")
    }))

  it.scopedLive("no hint makes a Fatal retryable, nor does a \"no\" RESOURCE_EXHAUSTED", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* hinted("INTERNAL", { "grpc-status-details-bin": retryInfo(1) }), "Fatal")
      assert.strictEqual(yield* hinted("INTERNAL", { "grpc-retry-pushback-ms": "10" }), "Fatal")
      assert.strictEqual(yield* hinted("RESOURCE_EXHAUSTED", { "grpc-retry-pushback-ms": "-1" }), "Fatal")
      assert.strictEqual(yield* hinted("RESOURCE_EXHAUSTED", {}), "Fatal")
    }))
})

describe("Grpc: the ambient deadline", () => {
  const attempts = (label: string, options: (client: grpc.Client) => Grpc.Options) =>
    it.scopedLive(`${label}: ends the call as such, and never as a Fatal; 100 times`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* subject()
        const echo = Grpc.unary(client, "echo", options(client))
        yield* echo(hi)
        yield* server.script(...Array.from({ length: 100 }, () => GrpcServer.stall))
        const errors = yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => i),
          (i) => Effect.flip(echo(hi).pipe(withRpcRetry({ schedule, deadline: 20 + i % 13, idempotent: i % 2 === 0 }))),
          { concurrency: 10 }
        )
        for (const error of errors) {
          assert.instanceOf(error, RetryExhausted)
          assert.deepStrictEqual([error.reason, error.attempts, error.last.reason], [
            "DeadlineExceeded",
            1,
            "AttemptTimeout"
          ])
        }
      }))

  attempts("noticed by the engine, grpc-js and the server at about the same time", () => ({}))

  // what a clock that runs ahead, or a server that is quick to give up, comes to
  attempts("noticed by grpc-js 10 ms before", () => ({
    callOptions: {
      interceptors: [
        (options, next) =>
          new grpc.InterceptingCall(next({ ...options, deadline: Number(options.deadline ?? Infinity) - 10 }))
      ]
    }
  }))

  it.scopedLive("noticed first by the server: ends the call as such", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const echo = Grpc.unary(client, "echo")
      for (let i = 0; i < 20; i++) {
        yield* server.script(GrpcServer.status("DEADLINE_EXCEEDED"))
        const error = yield* Effect.flip(echo(hi).pipe(withRpcRetry({ schedule, deadline: 15 })))
        assert.instanceOf(error, RetryExhausted)
        assert.strictEqual(error.reason, "DeadlineExceeded")
      }
    }))

  it.scopedLive("noticed first by a server that resets the stream: ends the call as such", () =>
    Effect.gen(function*() {
      const server = yield* Raw.make
      const echo = Grpc.unary(yield* client(server.address), "echo")
      yield* echo(hi)
      for (let i = 0; i < 20; i++) {
        yield* server.script(Raw.rst(8))
        const error = yield* Effect.flip(echo(hi).pipe(withRpcRetry({ schedule, deadline: 20 })))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.reason], ["DeadlineExceeded", "AttemptTimeout"])
      }
      // and long before it, a lost connection like others
      yield* server.script(Raw.rst(8))
      assert.deepStrictEqual(yield* echo(hi).pipe(withRpcRetry({ schedule, deadline: "20 seconds" })), { value: "raw" })
    }))

  it.scopedLive("a server that gives up long before it: Fatal", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      yield* server.script(GrpcServer.status("DEADLINE_EXCEEDED"))
      const error = yield* Effect.flip(
        Grpc.unary(client, "echo")(hi).pipe(withRpcRetry({ schedule, deadline: "20 seconds" }))
      )
      assert.deepStrictEqual([error._tag, "code" in error && error.code], ["Fatal", "DEADLINE_EXCEEDED"])
    }))

  it.scopedLive("a deadline of the user's own options that passes: Fatal, as in gRPC", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      yield* server.script(GrpcServer.stall)
      const echo = Grpc.unary(client, "echo", { callOptions: () => ({ deadline: Date.now() + 20 }) })
      const error = yield* Effect.flip(echo(hi).pipe(withRpcRetry({ schedule, deadline: "20 seconds" })))
      assert.deepStrictEqual([error._tag, "code" in error && error.code], ["Fatal", "DEADLINE_EXCEEDED"])
    }))

  it.scopedLive("outside withRpcRetry it ends the attempt", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const echo = Grpc.unary(client, "echo")
      yield* echo(hi)
      yield* server.script(GrpcServer.stall)
      const error = yield* Effect.flip(echo(hi).pipe(Deadline.within("2 seconds")))
      assert.deepStrictEqual([error._tag, error.reason, error.code], [
        "Retryable",
        "AttemptTimeout",
        "DEADLINE_EXCEEDED"
      ])
      yield* (yield* server.seen)[1]!.cancelled
    }))
})

const methodConfig = (service: string, method: string | undefined, maxAttempts: number) => ({
  name: [method === undefined ? { service } : { service, method }],
  retryPolicy: {
    maxAttempts,
    initialBackoff: "0.002s",
    maxBackoff: "0.01s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"]
  }
})

describe("Grpc: names", () => {
  it.scopedLive("a method is named as a service config names it", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const echo = Grpc.client(client)
      assert.strictEqual(echo.echo(hi).method, "interop.v1.Echo.Echo")
      assert.strictEqual(echo.Echo(hi).method, "interop.v1.Echo.Echo")
      assert.strictEqual(echo.list(hi).method, "interop.v1.Echo.List")
      const attempts = (call: ReturnType<typeof echo.echo>) =>
        Effect.gen(function*() {
          yield* server.script(...Array.from({ length: 10 }, () => unavailable))
          const error = yield* Effect.flip(call.pipe(withRpcRetry))
          assert.instanceOf(error, RetryExhausted)
          yield* server.clear
          return error.attempts
        })
      const config = {
        methodConfig: [
          methodConfig("interop.v1.Echo", "Echo", 3),
          methodConfig("interop.v1.Echo", undefined, 5),
          methodConfig("Echo", undefined, 7)
        ]
      }
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* attempts(echo.echo(hi)), 3)
        assert.strictEqual(yield* attempts(echo.read(hi)), 5)
        assert.strictEqual((yield* server.seen).length, 8)
      }).pipe(Effect.provide(RpcRetry.layerServiceConfig(config)))
    }))

  it.scopedLive("what the .proto says of idempotency holds, unless the options say otherwise", () =>
    Effect.gen(function*() {
      const { client } = yield* subject()
      assert.strictEqual(Grpc.unary(client, "read")(hi).idempotent, true)
      assert.strictEqual(Grpc.unary(client, "echo")(hi).idempotent, undefined)
      assert.strictEqual(Grpc.unary(client, "read", { idempotent: false })(hi).idempotent, false)
      assert.strictEqual(Grpc.unary(client, "echo", { idempotent: true })(hi).idempotent, true)
      const echo = Grpc.client(client, { methods: { Echo: { idempotent: false } } })
      assert.deepStrictEqual([echo.echo(hi).idempotent, echo.Echo(hi).idempotent, echo.read(hi).idempotent], [
        false,
        false,
        true
      ])
      assert.strictEqual(Grpc.serverStream(client, "list", { idempotent: true })(hi).idempotent, true)
    }))
})

describe("Grpc: options", () => {
  const invalid = (make: () => unknown): string => {
    try {
      make()
    } catch (error) {
      assert.instanceOf(error, InvalidOption)
      return error.message
    }
    return "nothing was thrown"
  }

  it.scopedLive("a client has all its methods that can be calls, and no others", () =>
    Effect.gen(function*() {
      const { client } = yield* subject()
      assert.deepStrictEqual(Object.keys(Grpc.client(client)).toSorted(), [
        "Cancelled",
        "Echo",
        "List",
        "Read",
        "Script",
        "Seen",
        "cancelled",
        "echo",
        "list",
        "read",
        "script",
        "seen"
      ])
    }))

  it.scopedLive("what is said of one method takes the place of what is said of all", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject()
      const echo = Grpc.client(client, {
        metadata: metadata({ who: "all" }),
        callOptions: { host: "all" },
        retryOn: ["ABORTED"],
        methods: { read: { metadata: metadata({ who: "read" }), retryOn: ["INTERNAL"] } }
      })
      const tags = (code: keyof typeof grpc.status) =>
        Effect.gen(function*() {
          yield* server.script(GrpcServer.status(code), GrpcServer.status(code))
          return [(yield* Effect.flip(echo.echo(hi)))._tag, (yield* Effect.flip(echo.read(hi)))._tag]
        })
      assert.deepStrictEqual(yield* tags("ABORTED"), ["Retryable", "Fatal"])
      assert.deepStrictEqual(yield* tags("INTERNAL"), ["Fatal", "Retryable"])
      assert.deepStrictEqual((yield* server.seen).map(({ metadata }) => metadata.get("who")[0]), [
        "all",
        "read",
        "all",
        "read"
      ])
    }))

  it.scopedLive("clients with a class of their own are known by its service", () =>
    Effect.gen(function*() {
      const { server } = yield* subject()
      class Own extends grpc.Client {
        static readonly service = Echo.service
        Echo(
          request: { readonly value: string },
          metadata: grpc.Metadata,
          options: grpc.CallOptions,
          callback: grpc.requestCallback<{ readonly value: string }>
        ): grpc.ClientUnaryCall {
          const { path, requestSerialize, responseDeserialize } = Own.service["Echo"]!
          return this.makeUnaryRequest(
            path,
            requestSerialize,
            responseDeserialize,
            request,
            metadata,
            options,
            callback
          )
        }
      }
      const own = new Own(server.address, grpc.credentials.createInsecure())
      yield* Effect.addFinalizer(() => Effect.sync(() => own.close()))
      const echo = Grpc.client(own)
      assert.deepStrictEqual(Object.keys(echo), ["Echo"])
      assert.deepStrictEqual(yield* echo.Echo(hi).pipe(withRpcRetry), hi)
    }))

  it.scopedLive("getters of a client are not run", () =>
    Effect.gen(function*() {
      const { server } = yield* subject()
      let asked = 0
      class Own extends Echo {
        get stats(): never {
          asked++
          throw new Error("not connected")
        }
      }
      const own = new Own(server.address, grpc.credentials.createInsecure())
      yield* Effect.addFinalizer(() => Effect.sync(() => own.close()))
      assert.isTrue("echo" in Grpc.client(own))
      assert.strictEqual(
        invalid(() => Grpc.unary(own, "stats" as "echo")),
        "Grpc.unary: method is no method that this client has a definition of, got \"stats\""
      )
      assert.strictEqual(asked, 0)
    }))

  it.scopedLive("a client without a method that can be a call is refused", () =>
    Effect.gen(function*() {
      const { server } = yield* subject()
      class Own extends grpc.Client {
        echo(request: object, callback: grpc.requestCallback<object>): grpc.ClientUnaryCall {
          return this.makeUnaryRequest("/a.B/Echo", () => Buffer.of(), (bytes) => bytes, request, callback)
        }
      }
      const own = new Own(server.address, grpc.credentials.createInsecure())
      yield* Effect.addFinalizer(() => Effect.sync(() => own.close()))
      assert.match(invalid(() => Grpc.client(own)), /^Grpc.client: client has no method .* needs a static `service`$/)
    }))

  it.scopedLive("what is no client, or one of another copy of the library, is refused", () =>
    Effect.gen(function*() {
      const { server } = yield* subject()
      const require = createRequire(import.meta.url)
      const own = Object.keys(require.cache).filter((file) => file.includes("/@grpc/grpc-js/"))
      const kept = own.map((file) => [file, require.cache[file]] as const)
      own.forEach((file) => delete require.cache[file])
      const other = require("@grpc/grpc-js") as typeof grpc
      kept.forEach(([file, module]) => require.cache[file] = module)
      assert.notStrictEqual(other.Client, grpc.Client)
      const Other = other.makeGenericClientConstructor(Echo.service, "Echo") as unknown as typeof Echo
      const foreign = new Other(server.address, other.credentials.createInsecure())
      yield* Effect.addFinalizer(() => Effect.sync(() => foreign.close()))
      const refused = /^Grpc\.\w+: client must be a client of @grpc\/grpc-js; one of another copy of it is none/
      for (const client of [foreign, undefined as unknown as EchoClient, {} as EchoClient]) {
        assert.match(invalid(() => Grpc.client(client)), refused)
        assert.match(invalid(() => Grpc.unary(client, "echo")), refused)
        assert.match(invalid(() => Grpc.serverStream(client, "list")), refused)
      }
    }))

  it.scopedLive("what is said of one method by two of its names holds together", () =>
    Effect.gen(function*() {
      const { client, server } = yield* subject(Grpc.channelOptions)
      const echo = Grpc.client(client, {
        methods: { Echo: { idempotent: false }, echo: { retryOn: ["ABORTED"], idempotent: undefined } }
      })
      for (const call of [echo.Echo, echo.echo]) {
        assert.strictEqual(call(hi).idempotent, false)
        yield* server.script(GrpcServer.status("ABORTED"))
        assert.strictEqual((yield* Effect.flip(call(hi)))._tag, "Retryable")
      }
      assert.strictEqual(
        invalid(() => Grpc.client(client, { methods: { Echo: { idempotent: false }, echo: { idempotent: true } } })),
        "Grpc.client: methods.echo.idempotent is another than what is said of the same method by its other name"
      )
    }))

  it.scopedLive("options of another kind are refused by name", () =>
    Effect.gen(function*() {
      const { client } = yield* subject()
      const refused: ReadonlyArray<[options: unknown, message: RegExp]> = [
        [null, /^options must be an object, got null$/],
        [
          { metadata: { authorization: "x" } },
          /^metadata must be a Metadata of @grpc\/grpc-js, .* got an object$/
        ],
        [{ callOptions: 5 }, /^callOptions must be CallOptions of @grpc\/grpc-js, .* got a number$/],
        [{ callOptions: { deadline: NaN } }, /^callOptions\.deadline must be a number or a valid Date, got NaN$/],
        [{ callOptions: { deadline: new Date("x") } }, /^callOptions\.deadline must be /],
        [{ callOptions: { deadline: "soon" } }, /^callOptions\.deadline must be .* got a string of 4 characters$/],
        [{ idempotent: "yes" }, /^idempotent must be true or false, got "yes"$/]
      ]
      for (const [options, message] of refused) {
        const given = options as Grpc.Options
        const problem = (said: string, where: string) => said.slice(where.length + 2)
        assert.match(problem(invalid(() => Grpc.unary(client, "echo", given)), "Grpc.unary"), message)
        assert.match(problem(invalid(() => Grpc.serverStream(client, "list", given)), "Grpc.serverStream"), message)
        if (options !== null) {
          const path = "Grpc.client: methods.echo"
          const said = invalid(() => Grpc.client(client, { methods: { echo: given } }))
          assert.isTrue(said.startsWith(`${path}.`))
          assert.match(said.slice(path.length + 1), message)
        }
      }
      assert.strictEqual(
        invalid(() => Grpc.client(client, { methods: { echo: null as never } })),
        "Grpc.client: methods.echo must be an object, got null"
      )
    }))

  it.scopedLive("what cannot be used is refused by name", () =>
    Effect.gen(function*() {
      const { client } = yield* subject()
      assert.strictEqual(
        invalid(() => Grpc.unary(client, "nothing" as "echo")),
        "Grpc.unary: method is no method that this client has a definition of, got \"nothing\""
      )
      assert.strictEqual(
        invalid(() => Grpc.unary(client, "list" as "echo")),
        "Grpc.unary: method is a method with other streams, got \"list\""
      )
      assert.strictEqual(
        invalid(() => Grpc.serverStream(client, "chat" as "list")),
        "Grpc.serverStream: method is a method with other streams, got \"chat\""
      )
      assert.match(invalid(() => Grpc.unary(client, "echo", { retryOn: ["OK"] })), /^Grpc.unary: retryOn must be /)
      for (const code of ["unavailable", "NONE", 1.5, -1, 0] as ReadonlyArray<Grpc.StatusCode>) {
        assert.match(
          invalid(() => Grpc.client(client, { methods: { echo: { retryOn: [code] } } })),
          /^Grpc.client: methods.echo.retryOn must be a predicate or a list of status codes other than OK, got \[/
        )
      }
      assert.strictEqual(
        invalid(() => Grpc.client(client, { methods: { nope: {} } as object })),
        "Grpc.client: methods.nope is no method of this client"
      )
    }))
})

describe("Grpc: retries of the library's own", () => {
  const config = JSON.stringify({ methodConfig: [methodConfig("interop.v1.Echo", undefined, 5)] })

  const requests = (options: grpc.ClientOptions) =>
    Effect.gen(function*() {
      const { client, server } = yield* subject({ "grpc.service_config": config, ...options })
      yield* server.script(...Array.from({ length: 50 }, () => unavailable))
      const twice = RetryPolicy.make({ schedule: Schedule.recurs(1) })
      yield* Effect.flip(Grpc.unary(client, "echo")(hi).pipe(withRpcRetry(twice)))
      return (yield* server.seen).length
    })

  it.scopedLive("multiply attempts, unless channelOptions switch them off", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* requests({}), 10)
      assert.strictEqual(yield* requests(Grpc.channelOptions), 2)
    }))
})
