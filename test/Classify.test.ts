import * as Socket from "@effect/platform/Socket"
import { Classify, Fatal, Retryable, type RpcError } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Net from "node:net"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "./support/vitest.js"

const system = (code: string, syscall?: string) =>
  Object.assign(new Error("some text that nobody reads"), syscall === undefined ? { code } : { code, syscall })

const summary = (error: Retryable | Fatal) =>
  error._tag === "Retryable" ? [error.reason, error.delivery, error.code] : [error._tag, error.reason, error.code]

const classify = (failure: unknown) => summary(Classify.classify(failure))

describe("Classify", () => {
  const table: ReadonlyArray<[string, string | undefined, RpcError.RetryableReason, RpcError.Delivery]> = [
    ["ECONNREFUSED", "connect", "ConnectionRefused", "NotSent"],
    ["ECONNREFUSED", undefined, "ConnectionRefused", "NotSent"],
    ["ENOENT", "connect", "ConnectionRefused", "NotSent"],
    ["ENOTFOUND", "getaddrinfo", "Unavailable", "NotSent"],
    ["EAI_AGAIN", "getaddrinfo", "Unavailable", "NotSent"],
    ["ETIMEDOUT", "connect", "Unavailable", "NotSent"],
    ["ETIMEDOUT", "read", "ConnectionLost", "Unknown"],
    ["EHOSTUNREACH", "connect", "Unavailable", "NotSent"],
    ["EHOSTUNREACH", "read", "Unavailable", "Unknown"],
    ["ENETUNREACH", "connect", "Unavailable", "NotSent"],
    ["ENETUNREACH", undefined, "Unavailable", "Unknown"],
    ["ECONNRESET", "read", "ConnectionLost", "Unknown"],
    ["ECONNRESET", "connect", "ConnectionLost", "NotSent"],
    ["ECONNABORTED", "read", "ConnectionLost", "Unknown"],
    ["ECONNABORTED", "connect", "ConnectionLost", "NotSent"],
    ["EPIPE", "write", "ConnectionLost", "Unknown"],
    ["ERR_STREAM_PREMATURE_CLOSE", undefined, "ConnectionLost", "Unknown"],
    ["UND_ERR_SOCKET", undefined, "ConnectionLost", "Unknown"],
    ["UND_ERR_DESTROYED", undefined, "ConnectionLost", "Unknown"],
    ["UND_ERR_CLOSED", undefined, "Unavailable", "NotSent"],
    ["UND_ERR_CONNECT_TIMEOUT", undefined, "Unavailable", "NotSent"],
    ["UND_ERR_HEADERS_TIMEOUT", undefined, "AttemptTimeout", "Unknown"]
  ]

  for (const [code, syscall, reason, delivery] of table) {
    it(`${code}${syscall === undefined ? "" : ` of ${syscall}`} is ${reason}, ${delivery}`, () => {
      const failure = system(code, syscall)
      const error = Classify.classify(failure)
      assert.deepStrictEqual(summary(error), [reason, delivery, code])
      assert.strictEqual(error.cause, failure)
    })
  }

  it("finds the system error under other errors", () => {
    const wrapped = new Error("fetch failed", {
      cause: new Error("inner", { cause: system("ECONNREFUSED", "connect") })
    })
    assert.deepStrictEqual(classify(wrapped), ["ConnectionRefused", "NotSent", "ECONNREFUSED"])
  })

  it("a TLS handshake that the peer ended was not sent; a socket that hung up may have", () => {
    const target = { host: "127.0.0.1", port: 443, localAddress: undefined }
    assert.deepStrictEqual(classify(Object.assign(system("ECONNRESET"), target)), [
      "ConnectionLost",
      "NotSent",
      "ECONNRESET"
    ])
    assert.deepStrictEqual(classify(system("ECONNRESET")), ["ConnectionLost", "Unknown", "ECONNRESET"])
    assert.deepStrictEqual(classify(Object.assign(system("ECONNRESET", "read"), target)), [
      "ConnectionLost",
      "Unknown",
      "ECONNRESET"
    ])
  })

  it("ends on causes that go in a circle", () => {
    const a = new Error("a")
    const b = new Error("b", { cause: a })
    a.cause = b
    assert.deepStrictEqual(classify(a), ["Fatal", "Custom", undefined])
  })

  it("says not sent for many addresses only if none of them was reached", () => {
    const tried = (...errors: ReadonlyArray<Error>) => Object.assign(new AggregateError(errors), { code: "ETIMEDOUT" })
    assert.deepStrictEqual(
      classify(tried(system("ETIMEDOUT", "connect"), system("ECONNREFUSED", "connect"))),
      ["Unavailable", "NotSent", "ETIMEDOUT"]
    )
    assert.deepStrictEqual(
      classify(tried(system("ECONNREFUSED", "connect"), system("ECONNRESET", "read"))),
      ["ConnectionRefused", "Unknown", "ECONNREFUSED"]
    )
  })

  it("knows the SocketErrors of @effect/platform", () => {
    const generic = (reason: "Write" | "Read" | "Open" | "OpenTimeout", cause: unknown) =>
      classify(new Socket.SocketGenericError({ reason, cause }))
    assert.deepStrictEqual(generic("Open", system("ECONNREFUSED", "connect")), [
      "ConnectionRefused",
      "NotSent",
      "ECONNREFUSED"
    ])
    assert.deepStrictEqual(generic("Open", system("ECONNRESET", "read")), ["ConnectionLost", "NotSent", "ECONNRESET"])
    assert.deepStrictEqual(generic("Open", new Error("?")), ["Unavailable", "NotSent", "Open"])
    assert.deepStrictEqual(generic("OpenTimeout", "timeout"), ["Unavailable", "NotSent", "OpenTimeout"])
    assert.deepStrictEqual(generic("Read", system("ECONNRESET", "read")), ["ConnectionLost", "Unknown", "ECONNRESET"])
    assert.deepStrictEqual(generic("Write", new Error("?")), ["ConnectionLost", "Unknown", "Write"])
    assert.deepStrictEqual(classify(new Socket.SocketCloseError({ reason: "Close", code: 1006 })), [
      "ConnectionLost",
      "Unknown",
      "Close"
    ])
  })

  it("does not retry a certificate that does not verify", () => {
    for (const code of ["DEPTH_ZERO_SELF_SIGNED_CERT", "HOSTNAME_MISMATCH", "INVALID_CA", "CRL_HAS_EXPIRED"]) {
      const failure = new Socket.SocketGenericError({ reason: "Open", cause: system(code) })
      assert.deepStrictEqual(classify(failure), ["Fatal", "Protocol", code])
    }
  })

  it("takes errors that are no list of errors for nothing", () => {
    const failure = Object.assign(system("ECONNRESET", "read"), { errors: ["a"] })
    assert.deepStrictEqual(classify(failure), ["ConnectionLost", "Unknown", "ECONNRESET"])
  })

  it.effect("sees through a rejection of Effect.runPromise", () =>
    Effect.gen(function*() {
      const rejected = (effect: Effect.Effect<never, unknown>) =>
        Effect.promise(() => Effect.runPromise(effect).then(() => undefined, (failure: unknown) => failure))
      const retryable = new Retryable({ reason: "Throttled", delivery: "NotSent" })
      assert.strictEqual(Classify.classify(yield* rejected(Effect.fail(retryable))), retryable)
      assert.deepStrictEqual(classify(yield* rejected(Effect.fail(system("EPIPE")))), [
        "ConnectionLost",
        "Unknown",
        "EPIPE"
      ])
    }))

  it.live("knows timeouts and aborted work as the platform makes them", () =>
    Effect.gen(function*() {
      const timedOut = yield* Effect.flip(Effect.timeout(Effect.never, 1))
      assert.deepStrictEqual(classify(timedOut), ["AttemptTimeout", "Unknown", undefined])
      assert.deepStrictEqual(classify(new Cause.TimeoutException()), ["AttemptTimeout", "Unknown", undefined])
      const aborted = (signal: AbortSignal) =>
        Effect.flip(Effect.tryPromise(() => fetch("http://127.0.0.1:9", { signal })))
      assert.deepStrictEqual(classify(yield* aborted(AbortSignal.abort())), ["Fatal", "Cancelled", undefined])
      assert.deepStrictEqual(classify(new DOMException("late", "TimeoutError")), [
        "AttemptTimeout",
        "Unknown",
        undefined
      ])
    }))

  it.live("knows a refused connection as Node reports it, for one address and for several", () =>
    Effect.gen(function*() {
      const connect = (host: string) =>
        Effect.async<unknown>((resume) => {
          const socket = Net.connect({ host, port: 1, autoSelectFamily: true })
          socket.on("error", (error) => resume(Effect.succeed(error)))
        })
      for (const host of ["127.0.0.1", "localhost"]) {
        assert.deepStrictEqual(classify(yield* connect(host)), ["ConnectionRefused", "NotSent", "ECONNREFUSED"])
      }
      const fetched = yield* Effect.flip(Effect.tryPromise(() => fetch("http://127.0.0.1:2")))
      assert.deepStrictEqual(classify(fetched), ["ConnectionRefused", "NotSent", "ECONNREFUSED"])
    }))

  it("keeps the original of what it does not know", () => {
    for (const failure of [new Error("boom"), "boom", 42, null, undefined, { code: 14 }, { code: "E_CUSTOM" }]) {
      const error = Classify.classify(failure)
      assert.deepStrictEqual(summary(error).slice(0, 2), ["Fatal", "Custom"])
      assert.strictEqual(error.cause, failure)
    }
    assert.strictEqual(Classify.classify(new Error("boom")).message, "boom")
  })

  it("does not read messages", () => {
    assert.deepStrictEqual(classify(new Error("connect ECONNREFUSED 127.0.0.1:80")), ["Fatal", "Custom", undefined])
  })

  it("leaves alone what is classified already", () => {
    const fatal = new Fatal({ reason: "NotFound", message: "no" })
    const retryable = new Retryable({ reason: "Throttled", delivery: "NotSent" })
    assert.strictEqual(Classify.classify(fatal), fatal)
    assert.strictEqual(Classify.classify(retryable), retryable)
    assert.strictEqual(Classify.classify(new Error("rejected", { cause: retryable })), retryable)
  })

  it("composes: the first rule that knows decides", () => {
    const teapot: Classify.Rule = (failure) =>
      failure === 418
        ? Option.some(new Retryable({ reason: "Custom", delivery: "Unknown", code: 418 }))
        : Option.none()
    const never: Classify.Rule = (failure) =>
      failure === 418 ? Option.some(new Fatal({ reason: "Custom", message: "tea" })) : Option.none()
    assert.deepStrictEqual(summary(Classify.firstOf(teapot, never)(418)), ["Custom", "Unknown", 418])
    assert.deepStrictEqual(summary(Classify.firstOf(never, teapot)(418)), ["Fatal", "Custom", undefined])
    assert.deepStrictEqual(
      summary(Classify.firstOf(teapot, ...Classify.rules)(system("EPIPE"))),
      ["ConnectionLost", "Unknown", "EPIPE"]
    )
    assert.deepStrictEqual(summary(Classify.firstOf()("?")), ["Fatal", "Custom", undefined])
  })
})

describe("Classify never throws", () => {
  const throwing = new Proxy({}, {
    get() {
      throw new Error("no")
    },
    has() {
      throw new Error("no")
    }
  })
  const { proxy: revoked, revoke } = Proxy.revocable({}, {})
  revoke()

  const itself = new AggregateError([], "all failed")
  itself.errors.push(itself, system("ECONNREFUSED", "connect"))

  const nested = (depth: number, wrap: (inner: unknown) => unknown) => {
    let failure: unknown = new Error("innermost")
    for (let i = 0; i < depth; i++) {
      failure = wrap(failure)
    }
    return failure
  }

  for (
    const [name, failure, expected] of [
      ["an aggregate that contains itself", itself, ["ConnectionRefused", "NotSent", "ECONNREFUSED"]],
      ["50,000 nested aggregates", nested(50_000, (inner) => new AggregateError([inner])), undefined],
      ["50,000 nested causes", nested(50_000, (cause) => new Error("outer", { cause })), undefined],
      ["an aggregate of 50,000", new AggregateError(Array.from({ length: 50_000 }, () => new Error("no"))), undefined],
      ["a getter that throws", throwing, undefined],
      ["a revoked proxy", revoked, undefined],
      ["a cause that is a revoked proxy", new Error("no", { cause: revoked }), undefined],
      ["an aggregate whose list cannot be read", { errors: revoked }, undefined],
      ["a symbol", Symbol("x"), undefined],
      ["an object without a prototype", Object.create(null), undefined]
    ] as const
  ) {
    it(`on ${name}`, () => {
      for (const  of of[Classify.classify, Classify.promise]) {
        assert.deepStrictEqual(summary(of(failure)), [...(expected ?? ["Fatal", "Custom", undefined])])
      }
    })
  }
})

describe("what a failure says is kept", () => {
  const message = (failure: unknown) => Classify.classify(failure).message

  it("of a string, of any object with a message, of an Error of another realm", () => {
    assert.strictEqual(message("replica lag"), "replica lag")
    assert.strictEqual(message({ message: "replica lag" }), "replica lag")
    assert.strictEqual(message(runInNewContext("new Error('from elsewhere')")), "from elsewhere")
    assert.strictEqual(message(" "), "an unknown failure")
    assert.strictEqual(message(7), "an unknown failure")
  })

  it("of fetch, which only says that it failed: with what its cause says", () => {
    assert.strictEqual(
      message(new TypeError("fetch failed", { cause: new Error("unknown scheme") })),
      "fetch failed: unknown scheme"
    )
    assert.strictEqual(message(new TypeError("fetch failed")), "fetch failed")
  })
})

describe("Classify.promise: failures that carry a status", () => {
  const response = (status: number, headers: Record<string, string> = {}) => ({ response: { status, headers } })

  for (
    const [name, failure, expected] of [
      ["axios 503", Object.assign(new Error("Request failed with status code 503"), response(503)), [
        "Unavailable",
        "Unknown",
        503
      ]],
      ["a status of its own", { status: 429 }, ["Throttled", "NotSent", 429]],
      ["a statusCode", { statusCode: 502 }, ["Unavailable", "Unknown", 502]],
      ["404", { statusCode: 404 }, ["Fatal", "NotFound", 404]],
      ["500", response(500), ["Fatal", "ServerError", 500]],
      ["a cause with a status", new Error("outer", { cause: response(504) }), ["Unavailable", "Unknown", 504]],
      ["AWS, throttled with a 400", {
        name: "ThrottlingException",
        $retryable: { throttling: true },
        $metadata: { httpStatusCode: 400 }
      }, ["Throttled", "NotSent", 400]],
      ["AWS, retryable", { name: "InternalError", $retryable: {} }, ["Unavailable", "Unknown", "InternalError"]],
      ["AWS, 503", { $metadata: { httpStatusCode: 503 } }, ["Unavailable", "Unknown", 503]],
      ["a status that is none", { status: 200 }, ["Fatal", "Custom", undefined]],
      ["a status that is text", { status: "rejected" }, ["Fatal", "Custom", undefined]],
      ["axios, refused", Object.assign(system("ECONNREFUSED", "connect"), { response: undefined }), [
        "ConnectionRefused",
        "NotSent",
        "ECONNREFUSED"
      ]],
      ["axios, cancelled", { name: "CanceledError", code: "ERR_CANCELED" }, ["Fatal", "Cancelled", undefined]]
    ] as const
  ) {
    it(`${name}`, () => assert.deepStrictEqual(summary(Classify.promise(failure)), [...expected]))
  }

  it("reads the Retry-After of the response, a date by the Date beside it", () => {
    const after = (failure: unknown) => {
      const error = Classify.promise(failure)
      return error._tag === "Retryable" && Duration.isDuration(error.retryAfter)
        ? Duration.toMillis(error.retryAfter)
        : error._tag === "Retryable"
        ? error.retryAfter
        : error
    }
    const date = { date: "Mon, 23 Nov 2026 12:00:00 GMT" }
    const later = "Mon, 23 Nov 2026 12:00:07 GMT"
    assert.strictEqual(after(response(503, { "retry-after": "2" })), 2000)
    assert.strictEqual(after(response(503, { "Retry-After": "2" })), 2000)
    assert.strictEqual(after({ status: 429, headers: new Headers({ "retry-after": "3" }) }), 3000)
    assert.strictEqual(after(response(503, { ...date, "retry-after": later })), 7000)
    assert.strictEqual(after(response(503, { "retry-after": later })), Infinity)
    assert.strictEqual(after(response(503, { "retry-after": "soon" })), "Never")
    assert.strictEqual(after(response(503)), undefined)
  })
})
