import { CallRejected, Fatal, Retryable, RetryExhausted, RpcError } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { inspect } from "node:util"
import { assert, describe, it } from "./support/vitest.js"

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" })

const attempt = (n: number): RpcError.Attempt => ({
  attempt: n,
  startedAt: Duration.millis((n - 1) * 100),
  took: Duration.millis(1.5),
  delay: n === 4 ? undefined : Duration.millis(98.5),
  error: refused
})

const exhausted = new RetryExhausted({
  method: "Users.Get",
  reason: "AttemptsExhausted",
  attempts: 4,
  elapsed: Duration.millis(1234),
  last: refused,
  history: [1, 2, 3, 4].map(attempt)
})

describe("RpcError", () => {
  it("says the whole story in the message", () => {
    assert.strictEqual(
      exhausted.message,
      "Users.Get failed after 4 attempts in 1s 234ms: connection refused (ECONNREFUSED), not sent [AttemptsExhausted]"
    )
    assert.strictEqual(
      new RetryExhausted({ ...exhausted, method: undefined, attempts: 1, elapsed: Duration.millis(2.5), last: refused })
        .message,
      "call failed after 1 attempt in 2.5ms: connection refused (ECONNREFUSED), not sent [AttemptsExhausted]"
    )
    assert.strictEqual(
      new CallRejected({ reason: "DeadlineExceeded", method: "Users.Get" }).message,
      "Users.Get was not sent [DeadlineExceeded]"
    )
    assert.strictEqual(
      new CallRejected({ reason: "CircuitOpen", retryIn: Duration.seconds(2) }).message,
      "call was not sent, retry in 2s [CircuitOpen]"
    )
  })

  it("says what is known of an attempt", () => {
    assert.strictEqual(refused.message, "connection refused (ECONNREFUSED), not sent")
    assert.strictEqual(
      new Retryable({ reason: "Custom", delivery: "Unknown", method: "A.B", cause: new Error("replica lag") }).message,
      "A.B: failed, may have run: replica lag"
    )
    assert.strictEqual(
      new Retryable({ reason: "Throttled", delivery: "NotSent", code: 429, retryAfter: Duration.seconds(3) }).message,
      "throttled (429), not sent, server says retry after 3s"
    )
    assert.strictEqual(
      new Retryable({ reason: "Unavailable", delivery: "Unknown", retryAfter: "Never" }).message,
      "unavailable, may have run, server says do not retry"
    )
  })

  it("reports the attempts as a table", () => {
    assert.strictEqual(
      RpcError.report(exhausted),
      `Users.Get failed after 4 attempts in 1s 234ms: connection refused (ECONNREFUSED), not sent [AttemptsExhausted]

  attempt  started   took   delay  outcome
        1      0ms  1.5ms  98.5ms  connection refused (ECONNREFUSED), not sent
        2    100ms  1.5ms  98.5ms  connection refused (ECONNREFUSED), not sent
        3    200ms  1.5ms  98.5ms  connection refused (ECONNREFUSED), not sent
        4    300ms  1.5ms       -  connection refused (ECONNREFUSED), not sent`
    )
  })

  it("shows where the history left attempts out", () => {
    const report = RpcError.report(
      new RetryExhausted({ ...exhausted, last: refused, history: [1, 2, 9, 10].map(attempt) })
    )
    const lines = report.split("\n").slice(3)
    assert.strictEqual(lines.length, 5)
    assert.strictEqual(lines[2], "  ... 6 more ...")
  })

  it("reports the other errors in one line", () => {
    assert.strictEqual(
      RpcError.report(new Fatal({ reason: "ServerError", method: "Arith.Divide", message: "divide by zero" })),
      "Arith.Divide: divide by zero [ServerError]"
    )
    assert.strictEqual(RpcError.report(refused), "connection refused (ECONNREFUSED), not sent [ConnectionRefused]")
    assert.strictEqual(RpcError.report(new CallRejected({ reason: "Throttled" })), "call was not sent [Throttled]")
  })

  it("says where, and what was said, as far as the cause knows, on one line that is not too long", () => {
    const text = (cause: unknown, code?: string | number) =>
      new Retryable({ reason: "Unavailable", delivery: "NotSent", cause, code }).message
    assert.strictEqual(
      text(new Error("connect ECONNREFUSED 10.0.0.7:80"), "ECONNREFUSED"),
      "unavailable (connect ECONNREFUSED 10.0.0.7:80), not sent"
    )
    assert.strictEqual(text(new Error("Service Unavailable"), 503), "unavailable (503), not sent")
    assert.strictEqual(text(new Error("Service Unavailable")), "unavailable, not sent: Service Unavailable")
    assert.strictEqual(text({ _tag: "RequestError", message: "" }), "unavailable, not sent: RequestError")
    assert.strictEqual(text("two\n  lines\n"), "unavailable, not sent: two lines")
    assert.strictEqual(text("x".repeat(1e6)), `unavailable, not sent: ${"x".repeat(200)}...`)
    const hostile = {
      get message() {
        throw new Error("no")
      }
    }
    assert.strictEqual(text("\u001b[2J\u202eevil"), "unavailable, not sent: [2J evil")
    assert.strictEqual(text(undefined, "x\n".repeat(1000)).length, "unavailable (...), not sent".length + 60)
    for (const cause of [hostile, {}, 7, null, undefined, { message: 7 }, { message: " " }]) {
      assert.strictEqual(text(cause), "unavailable, not sent")
    }
  })

  it("is shown by a terminal as its report, and the cause with its stack below it", () => {
    const cause = new Error("no route to host")
    const error = new RetryExhausted({
      ...exhausted,
      last: new Retryable({ ...refused, cause }),
      history: exhausted.history
    })
    const shown = inspect(error)
    assert.isTrue(
      shown.startsWith(`RetryExhausted: ${RpcError.report(error)}\n\ncaused by Error: no route to host\n    at `)
    )
    assert.strictEqual(
      inspect(new Fatal({ reason: "ServerError", method: "Arith.Divide", message: "divide by zero" })),
      "Fatal: Arith.Divide: divide by zero [ServerError]"
    )
    assert.strictEqual(
      inspect(new Fatal({ reason: "Custom", message: "no", cause: { why: 7 } })),
      "Fatal: no [Custom]\n\ncaused by { why: 7 }"
    )
    assert.strictEqual(inspect(refused), "Retryable: connection refused (ECONNREFUSED), not sent [ConnectionRefused]")
    assert.strictEqual(
      inspect(new CallRejected({ reason: "Throttled", method: "A.B" })),
      "CallRejected: A.B was not sent [Throttled]"
    )
  })

  it("is shown within bounds when its cause leads back to it, or cannot be shown", () => {
    const cause: { error?: unknown } = {}
    const error = new Retryable({ reason: "Custom", delivery: "NotSent", cause })
    cause.error = error
    for (const depth of [2, null, Infinity]) {
      assert.isBelow(inspect(error, { depth }).length, 10_000)
    }
    const hostile = {
      [inspect.custom]() {
        throw new Error("no")
      }
    }
    assert.include(
      inspect(new Retryable({ reason: "Custom", delivery: "NotSent", cause: hostile })),
      "caused by what cannot be shown"
    )
  })

  it("has its message in JSON, where a log is read", () => {
    for (const error of [exhausted, refused, new CallRejected({ reason: "Throttled", method: "A.B" })]) {
      const json = JSON.parse(JSON.stringify(error))
      assert.strictEqual(json.message, error.message)
      assert.strictEqual(Schema.decodeUnknownSync(RpcError.RpcError)(json).message, error.message)
    }
  })

  it("tells the story in a trace and in a cause that is printed", () => {
    assert.strictEqual(Cause.pretty(Cause.fail(exhausted)), `RetryExhausted: ${exhausted.message}`)
  })

  it("round-trips through its Schema, the cause as text", () => {
    const errors: ReadonlyArray<RpcError.RpcError> = [
      new Retryable({
        reason: "Unavailable",
        delivery: "Unknown",
        method: "A.B",
        code: 14,
        retryAfter: Duration.millis(20),
        cause: new TypeError("no route")
      }),
      new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: "Never" }),
      new Fatal({ reason: "NotFound", method: "A.B", message: "no such user", cause: new Error("sql: no rows") }),
      exhausted,
      new CallRejected({ reason: "BulkheadFull", method: "A.B", retryIn: Duration.millis(5) })
    ]
    for (const error of errors) {
      const wire = JSON.parse(JSON.stringify(Schema.encodeSync(RpcError.RpcError)(error)))
      const back = Schema.decodeUnknownSync(RpcError.RpcError)(wire)
      assert.strictEqual(back.constructor, error.constructor)
      assert.strictEqual(back.message, error.message)
      assert.deepStrictEqual(Schema.encodeSync(RpcError.RpcError)(back), wire)
      if (error._tag !== "RetryExhausted" && error._tag !== "CallRejected" && error.cause !== undefined) {
        assert.strictEqual((back.cause as Error).message, (error.cause as Error).message)
      }
    }
  })

  it("encodes whatever the cause is", () => {
    const circle: { self?: unknown } = {}
    circle.self = circle
    const throwing = {
      toJSON() {
        throw new Error("no")
      },
      toString() {
        throw new Error("no")
      }
    }
    const unreadable = Object.defineProperty(new Error(), "message", {
      get: () => {
        throw new Error("no")
      }
    })
    const causes: ReadonlyArray<unknown> = [
      circle,
      1n,
      { n: 1n },
      Symbol("s"),
      throwing,
      unreadable,
      null,
      5,
      () => 1,
      "x".repeat(1e6)
    ]
    for (const cause of causes) {
      const error = new Retryable({ reason: "Custom", delivery: "Unknown", cause })
      const text = JSON.stringify(error)
      assert.isBelow(text.length, 5000)
      const back = Schema.decodeUnknownSync(Retryable)(JSON.parse(text))
      assert.strictEqual(back.reason, "Custom")
      assert.isDefined(back.cause)
    }
  })

  it("encodes a wait without end as never", () => {
    const error = new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: Duration.infinity })
    assert.strictEqual(Schema.decodeUnknownSync(Retryable)(JSON.parse(JSON.stringify(error))).retryAfter, "Never")
  })

  it("is made, shown, encoded and decoded with times of more nanoseconds than a number can count", () => {
    const long = Duration.millis(1e303)
    const error = new RetryExhausted({
      ...exhausted,
      elapsed: long,
      last: new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: long }),
      history: [{ ...attempt(1), took: long }]
    })
    assert.include(error.message, "in forever: throttled, not sent, server says retry after forever")
    assert.include(RpcError.report(error), "forever")
    const decoded = Schema.decodeUnknownSync(RpcError.RpcError)(JSON.parse(JSON.stringify(error)))
    assert.strictEqual(decoded.message, error.message)
  })

  it("takes a history of another make up to a bound, and reports a long one", () => {
    const encoded = Schema.encodeSync(RetryExhausted)(exhausted)
    const long = { ...encoded, history: Array(101).fill(encoded.history[0]) }
    assert.strictEqual(Schema.decodeUnknownEither(RetryExhausted)(long)._tag, "Left")
    const rows = Array.from({ length: 200_000 }, () => attempt(1))
    assert.include(
      RpcError.report(new RetryExhausted({ ...exhausted, last: refused, history: rows })),
      "attempt  started"
    )
  })

  it("is checked when decoded", () => {
    const decode = Schema.decodeUnknownEither(RpcError.RpcError)
    assert.strictEqual(decode({ _tag: "Retryable", reason: "Boredom", delivery: "NotSent" })._tag, "Left")
    assert.strictEqual(decode({ _tag: "CallRejected", reason: "CircuitOpen" })._tag, "Right")
  })

  it("has guards that hold for decoded errors and for nothing else", () => {
    const decoded = Schema.decodeUnknownSync(Retryable)(Schema.encodeSync(Retryable)(refused))
    assert.isTrue(RpcError.isRetryable(decoded))
    assert.isTrue(RpcError.isRetryExhausted(exhausted))
    assert.isTrue(RpcError.isCallRejected(new CallRejected({ reason: "Throttled" })))
    assert.isTrue(RpcError.isFatal(new Fatal({ reason: "Custom", message: "" })))
    assert.isFalse(RpcError.isFatal(refused))
    for (const other of [undefined, null, 1, "Retryable", {}, { _tag: "Retryable" }, new Error("Retryable")]) {
      assert.isFalse(RpcError.isRpcError(other))
      assert.isFalse(RpcError.isRetryable(other))
    }
  })

  it("fills in the method and loses nothing", () => {
    const cause = new Error("why")
    const fatal = RpcError.withMethod(new Fatal({ reason: "ServerError", code: 7, message: "no", cause }), "A.B")
    assert.deepStrictEqual(
      [fatal._tag, fatal.reason, fatal.code, fatal.message, fatal.cause, fatal.method],
      ["Fatal", "ServerError", 7, "no", cause, "A.B"]
    )
    const retryable = RpcError.withMethod(
      new Retryable({ reason: "Throttled", delivery: "Unknown", code: 429, retryAfter: "Never", cause }),
      "A.B"
    ) as Retryable
    assert.deepStrictEqual(
      [retryable.reason, retryable.delivery, retryable.code, retryable.retryAfter, retryable.cause, retryable.method],
      ["Throttled", "Unknown", 429, "Never", cause, "A.B"]
    )
    assert.strictEqual(RpcError.withMethod(fatal, "C.D"), fatal)
  })

  it.effect("can be yielded, and reads well in a Cause", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.gen(function*() {
        return yield* exhausted
      }))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", exhausted.message)
    }))

  it("captures no stack of its own, and leaves the limit of others alone", () => {
    const before = Error.stackTraceLimit
    const error = new Retryable({ reason: "Unavailable", delivery: "Unknown" })
    assert.strictEqual(Error.stackTraceLimit, before)
    assert.notInclude(String(error.stack), "RpcError.test")
    assert.include(String(new Error("other").stack), "RpcError.test")
  })
})

describe("RpcError.withDelivery", () => {
  it("says something else of the delivery, and nothing of the rest", () => {
    const cause = new Error("because")
    const error = new Retryable({
      reason: "Throttled",
      delivery: "NotSent",
      method: "Users.Get",
      code: 429,
      retryAfter: "Never",
      cause
    })
    const unknown = RpcError.withDelivery(error, "Unknown")
    assert.deepStrictEqual(
      [unknown.reason, unknown.delivery, unknown.method, unknown.code, unknown.retryAfter, unknown.cause],
      ["Throttled", "Unknown", "Users.Get", 429, "Never", cause]
    )
    assert.strictEqual(RpcError.withDelivery(error, "NotSent"), error)
  })
})

describe("an error of ours", () => {
  it("keeps its message through structuredClone, as a worker or a log shipper makes one", () => {
    const fatal = new Fatal({ reason: "NotFound", message: "no such user" })
    for (const error of [refused, exhausted, fatal, new CallRejected({ reason: "DeadlineExceeded" })]) {
      assert.isNotEmpty(error.message)
      assert.strictEqual(structuredClone(error).message, error.message)
    }
    assert.notInclude(Object.keys(refused), "message")
  })

  it("can be made where the intrinsics are frozen", () => {
    const limit = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")!
    Object.defineProperty(Error, "stackTraceLimit", { ...limit, writable: false })
    try {
      assert.strictEqual(new Retryable({ reason: "Custom", delivery: "Unknown" }).message, "failed, may have run")
    } finally {
      Object.defineProperty(Error, "stackTraceLimit", limit)
    }
  })

  it("takes any duration as retryAfter, and what is none as a no", () => {
    const hint = (retryAfter: Duration.DurationInput | "Never") => {
      const error = new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter })
      return Duration.isDuration(error.retryAfter) ? Duration.toMillis(error.retryAfter) : error.retryAfter
    }
    assert.strictEqual(hint("3 seconds"), 3000)
    assert.strictEqual(hint(250), 250)
    assert.strictEqual(hint(0), 0)
    assert.strictEqual(hint(5_000_000n), 5)
    assert.strictEqual(hint(Duration.seconds(1)), 1000)
    assert.strictEqual(hint("Never"), "Never")
    for (const bad of [-1, NaN, -5n, "-1 seconds", "soon" as "Never", [1, NaN], [NaN, 0]] as const) {
      assert.strictEqual(hint(bad), "Never", String(bad))
    }
  })

  it("is not 30 MB long because its server was talkative", () => {
    const fatal = new Fatal({ reason: "ServerError", message: "x".repeat(30_000_000) })
    assert.strictEqual(fatal.message, `${"x".repeat(4000)}...`)
  })

  it("says nothing of a field that was given as undefined, when it is encoded", () => {
    const error = new Retryable({ reason: "Custom", delivery: "Unknown", cause: undefined, method: undefined })
    assert.deepStrictEqual(Schema.encodeSync(Retryable)(error), {
      _tag: "Retryable",
      reason: "Custom",
      delivery: "Unknown"
    })
  })
})

describe("no secret is shown", () => {
  const password = "hunter2-hunter2"
  const causes: ReadonlyArray<readonly [string, unknown]> = [
    ["a URL with user info", new Error(`GET https://bob:${password}@example.com/a failed`)],
    ["a URL with a query", new Error(`request to https://example.com/a?x=1&token=${password} failed`)],
    ["the query of a path", `POST /login?key=${password}: 401`],
    ["a bearer token", `Authorization refused: Bearer ${password}`],
    ["the headers of a request", { request: { headers: { authorization: password, host: "example.com" } } }],
    ["cookies", { headers: new Map([["set-cookie", `sid=${password}`]]) }],
    ["raw headers", { rawHeaders: ["X-Api-Key", password, "Host", "example.com"] }],
    ["a key in a body", { body: JSON.stringify({ user: "bob", api_key: password }) }],
    [
      "an error with a config",
      Object.assign(new Error("Request failed"), { config: { headers: { Cookie: [`a=${password}`] } } })
    ],
    ["an excerpt of an answer", Redacted.make(`{"balance": "${password}"}`)]
  ]

  for (const [name, cause] of causes) {
    it(`of a cause with ${name}: not in the message, the report, a terminal, or what is encoded`, () => {
      const retryable = new Retryable({ reason: "Unavailable", delivery: "Unknown", cause })
      for (
        const error of [
          retryable,
          new Fatal({ reason: "Custom", message: "no", cause }),
          new RetryExhausted({ ...exhausted, last: retryable, history: [{ ...attempt(1), error: retryable }] })
        ]
      ) {
        const shown = [
          error.message,
          RpcError.report(error),
          inspect(error),
          JSON.stringify(error),
          JSON.stringify(Schema.encodeSync(RpcError.RpcError)(error)),
          Cause.pretty(Cause.fail(error), { renderErrorCause: false })
        ]
        shown.forEach((text) => assert.notInclude(text, password))
      }
      assert.strictEqual(retryable.cause, cause)
    })
  }

  it("what is no secret stays: hosts, paths, names, and what a server says of a password", () => {
    const message = (text: string) => new Fatal({ reason: "ServerError", message: text }).message
    for (
      const text of [
        "connect ECONNREFUSED 10.0.0.7:80",
        "password: must have 8 characters",
        "GET https://example.com/users/7 failed",
        "token expired",
        "what? no"
      ]
    ) {
      assert.strictEqual(message(text), text)
    }
    assert.strictEqual(
      message("GET https://bob:pw@example.com/a?token=x&n=1 failed"),
      "GET https://<redacted>@example.com/a?token=<redacted>&n=<redacted> failed"
    )
  })

  it("is looked for in linear time", () => {
    const hostile = ["?a=", "password", "authorization:[", "a://", "'", "Bearer ", " ", "cookie: \"\\"].map((part) =>
      part.repeat(200_000)
    )
    for (const cause of hostile) {
      assert.isAtMost(JSON.stringify(new Fatal({ reason: "Custom", message: cause, cause })).length, 20_000)
    }
  })
})

describe("RpcError.withWait", () => {
  it("says how long the attempt waited to dial, in the message and when encoded, and keeps the rest", () => {
    const waited = Duration.millis(225)
    const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" })
    const error = RpcError.withMethod(RpcError.withWait(refused, waited), "Users.Get") as Retryable
    assert.strictEqual(error.message, "Users.Get: connection refused (ECONNREFUSED), not sent, waited 225ms to dial")
    const encoded = Schema.encodeSync(Retryable)(error)
    assert.strictEqual(encoded.waited, 225)
    assert.deepStrictEqual(Schema.decodeSync(Retryable)(encoded).waited, waited)
    assert.deepStrictEqual(RpcError.withDelivery(error, "Unknown").waited, waited)
  })
})

describe("RpcError.redactWith", () => {
  const rewrite = RpcError.redactWith((text) => text.replaceAll(/cus_\w+/g, "<customer>"))
  const cause = Object.assign(new TypeError("no such customer: cus_42"), { customer: "cus_42" })

  it("takes a customer's number out of message, cause, code, terminal and encoding of a Fatal", () => {
    const error = rewrite(
      new Fatal({ reason: "NotFound", method: "Users.Get", code: "cus_42", message: "no cus_42", cause })
    )
    assert.instanceOf(error, Fatal)
    assert.deepStrictEqual([error.reason, error.method, error.message], ["NotFound", "Users.Get", "no <customer>"])
    assert.deepStrictEqual(
      [String(error.cause), error.code],
      ["TypeError: no such customer: <customer>", "<customer>"]
    )
    for (const text of [inspect(error, { depth: 9 }), JSON.stringify(error), Cause.pretty(Cause.fail(error))]) {
      assert.notInclude(text, "cus_42")
    }
  })

  it("keeps the other fields of a Retryable, whose message is made of what is left", () => {
    const whole = new Retryable({
      reason: "Custom",
      delivery: "Unknown",
      method: "Users.Get",
      idempotent: false,
      retryAfter: "1 second",
      waited: Duration.millis(7),
      cause
    })
    const error = rewrite(whole)
    assert.instanceOf(error, Retryable)
    assert.strictEqual(error.message, whole.message.replaceAll("cus_42", "<customer>"))
    const fields = Struct.omit("cause", "message")
    assert.deepStrictEqual({ ...fields(error) }, { ...fields(whole) })
  })

  it("leaves a cause that is not there, and rewrites an excerpt where it is hidden", () => {
    assert.strictEqual(rewrite(new Fatal({ reason: "Custom", message: "x" })).cause, undefined)
    const error = rewrite(new Fatal({ reason: "Custom", message: "x", cause: Redacted.make({ id: "cus_42" }) }))
    assert.isTrue(Redacted.isRedacted(error.cause))
    assert.include(String(Redacted.value(error.cause as Redacted.Redacted<unknown>)), "<customer>")
    assert.include(JSON.stringify(error), "\"cause\":\"<redacted>\"")
  })

  it("looks at a long text before it is cut, so that no half of a number is left", () => {
    const long = rewrite(new Fatal({ reason: "Custom", message: "x", cause: `${"x".repeat(3_995)} cus_42` }))
    assert.notInclude(String(long.cause), "cus_")
  })
})

describe("RpcError.report with excerpts", () => {
  const hidden = new Retryable({
    reason: "Unavailable",
    delivery: "Unknown",
    code: 503,
    cause: Object.assign(new Error("refused"), { cause: Redacted.make("the database\u001b[2J is gone") })
  })

  it("shows those of each attempt, harmless to a terminal, only to who asks for them", () => {
    const history = [attempt(1), { ...attempt(2), error: hidden }]
    const error = new RetryExhausted({ ...exhausted, reason: "AttemptsExhausted", last: hidden, history })
    assert.notInclude(RpcError.report(error), "database")
    assert.strictEqual(RpcError.report(error, { excerpts: false }), RpcError.report(error))
    assert.strictEqual(
      RpcError.report(error, { excerpts: true }),
      `${RpcError.report(error)}\n\n  excerpt of attempt 2: the database [2J is gone`
    )
  })

  it("says nothing more of an error without one", () => {
    for (
      const error of [
        refused,
        new CallRejected({ reason: "DeadlineExceeded" }),
        new Fatal({ reason: "Custom", message: "x" })
      ]
    ) {
      assert.strictEqual(RpcError.report(error, { excerpts: true }), RpcError.report(error))
    }
  })
})
