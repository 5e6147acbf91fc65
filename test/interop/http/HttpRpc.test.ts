import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import {
  Deadline,
  Fatal,
  InvalidOption,
  type Retryable,
  RetryExhausted,
  RetrySchedule,
  RpcError,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { contract } from "../../support/contract.js"
import * as EchoServer from "../../support/echoServer.js"
import { eventually } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const clients = [
  ["HttpPool", HttpPool.layer()],
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layer]
] as const

class NoSuchText extends Data.TaggedError("NoSuchText")<{ readonly length: number }> {}

const textOf = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<string, HttpClientError.ResponseError | NoSuchText> =>
  response.headers["x-no-such-text"] === undefined
    ? response.text
    : Effect.fail(new NoSuchText({ length: Number(response.headers["x-no-such-text"]) }))

for (const [name, layer] of clients) {
  contract(`HttpRpc over ${name}`, {
    make: Effect.gen(function*() {
      const server = yield* EchoServer.make()
      const client = HttpClient.filterStatusOk(Context.get(yield* Layer.build(layer), HttpClient.HttpClient))
      return {
        ...server,
        echo: (text, { idempotent = true } = {}) =>
          HttpRpc.call(client, HttpClientRequest.post(server.url).pipe(HttpClientRequest.bodyText(text)), {
            method: "Echo.Say",
            idempotent,
            read: textOf
          })
      }
    }),
    hint: 1000,
    domain: (error) => assert.deepStrictEqual(error, new NoSuchText({ length: 1 }))
  })
}

const quick = { schedule: RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(3)) }

const pooled = Effect.provide(HttpPool.layer())

/** A server, and a client of it that retries. */
const made = (options?: HttpRpc.Options) =>
  Effect.gen(function*() {
    const server = yield* HttpServer.make
    const plain = yield* HttpClient.HttpClient
    return { server, plain, client: HttpRpc.retrying(plain, withRpcRetry(quick), options) }
  })

const { close, cut, reset, respond } = HttpServer

describe("HttpRpc.retrying", () => {
  it.scopedLive("four attempts are four requests, where retryTransient with as many retries makes sixteen", () =>
    Effect.gen(function*() {
      const { client, plain, server } = yield* made()
      // three times unavailable, then a broken connection, over and over
      const faults = Array.from({ length: 20 }, (_, i) => i % 4 === 3 ? reset : respond(503))
      server.script(...faults)
      const transient = HttpClient.retryTransient(plain, { times: 3, schedule: Schedule.spaced("1 millis") })
      yield* Effect.exit(transient.get(server.url))
      assert.strictEqual(server.seen.length, 16)
      // the rest of the script
      server.script(...faults)
      const error = yield* Effect.flip(client.get(server.url))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.reason, error.attempts, server.seen.length], ["AttemptsExhausted", 4, 20])
    }).pipe(pooled))

  it.scopedLive("what is not among the statuses worth another attempt stays a response", () =>
    Effect.gen(function*() {
      const { client, server } = yield* made()
      for (const status of [200, 204, 304, 400, 401, 403, 404, 409, 500, 501, 505]) {
        server.script(respond(status))
        assert.strictEqual((yield* client.get(server.url)).status, status)
      }
      assert.strictEqual(server.seen.length, 11)
      for (const status of [408, 429, 502, 503, 504]) {
        server.script(respond(status), respond(status))
        assert.strictEqual((yield* client.get(server.url)).status, 200, String(status))
      }
      assert.strictEqual(server.seen.length, 11 + 15)
    }).pipe(pooled))

  it.scopedLive("a client that fails on statuses is retried on the same ones, and its others are Fatal", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const client = HttpRpc.retrying(HttpClient.filterStatusOk(plain), withRpcRetry(quick))
      server.script(respond(503, "busy", { "retry-after": "0" }), respond(502))
      assert.strictEqual((yield* client.get(server.url)).status, 200)
      assert.strictEqual(server.seen.length, 3)
      server.script(respond(404, "nowhere"))
      const error = yield* Effect.flip(client.get(server.url))
      assert.instanceOf(error, Fatal)
      assert.deepStrictEqual([error.reason, error.code], ["NotFound", 404])
      assert.strictEqual(server.seen.length, 4)
      server.script(respond(503, "", { "retry-after": "-1" }))
      const refused = yield* Effect.flip(client.get(server.url))
      assert.strictEqual(refused.reason, "ServerSaidNo")
    }).pipe(pooled))

  it.scopedLive("a client that reads bodies itself is retried on the status, not on what it made of the page", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const client = plain.pipe(
        HttpClient.tap((response) => response.json),
        HttpRpc.retrying(withRpcRetry(quick), { method: "Users.Get" })
      )
      server.script(respond(503, "<html>"), HttpServer.json({}))
      assert.strictEqual((yield* client.get(server.url)).status, 200)
      server.script(respond(200, "<html>"))
      const error = yield* Effect.flip(client.get(server.url))
      assert.deepStrictEqual([error._tag, error.reason, error.method], ["Fatal", "Protocol", "Users.Get"])
    }).pipe(pooled))

  it.scopedLive("the error has the response, and the beginning of what it said for who asks", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      server.script(respond(503, "the database is gone", { "x-node": "7" }))
      const once = HttpRpc.retrying(plain, withRpcRetry({ schedule: Schedule.stop }))
      const secret = server.url.replace("http://", "http://user:password@")
      const error = yield* Effect.flip(once.get(`${secret}?token=secret#part`))
      assert.instanceOf(error, RetryExhausted)
      const cause = error.last.cause
      assert.instanceOf(cause, HttpClientError.ResponseError)
      assert.deepStrictEqual([cause.response.status, cause.response.headers["x-node"]], [503, "7"])
      assert.notInclude(error.message, "the database is gone")
      assert.strictEqual(Redacted.value(cause.cause as Redacted.Redacted<unknown>), "the database is gone")
      assert.include(RpcError.report(error, { excerpts: true }), "excerpt of attempt 1: the database is gone")
      assert.strictEqual(error.last.code, 503)
    }).pipe(pooled))

  it.scopedLive("connections of refused responses are used again", () =>
    Effect.gen(function*() {
      const { client, server } = yield* made()
      server.script(...Array.from({ length: 3 }, () => respond(503, "x".repeat(50_000))))
      yield* client.get(server.url)
      assert.strictEqual(server.seen.length, 4)
      assert.strictEqual(server.accepted(), 1)
    }).pipe(pooled))

  it.scopedLive("GET, HEAD, PUT, DELETE and OPTIONS may run twice; POST and PATCH are sent again only where they were not", () =>
    Effect.gen(function*() {
      const { client, server } = yield* made()
      const safe = [client.get, client.head, client.put, client.del, client.options]
      for (const method of safe) {
        server.script(reset)
        assert.strictEqual((yield* method.call(client, server.url)).status, 200)
      }
      assert.strictEqual(server.seen.length, 10)
      for (const method of [client.post, client.patch]) {
        server.script(reset)
        const error = yield* Effect.flip(method.call(client, server.url))
        assert.strictEqual(error.reason, "NotIdempotent")
        server.script(respond(503))
        assert.strictEqual((yield* Effect.flip(method.call(client, server.url))).reason, "NotIdempotent")
        // turned away before it ran
        server.script(respond(429))
        assert.strictEqual((yield* method.call(client, server.url)).status, 200)
      }
      assert.strictEqual(server.seen.length, 10 + 8)
      const port = yield* HttpServer.refusedPort
      const refused = yield* Effect.flip(client.post(`http://127.0.0.1:${port}`))
      assert.instanceOf(refused, RetryExhausted)
      assert.deepStrictEqual([refused.attempts, refused.last.reason], [4, "ConnectionRefused"])
    }).pipe(pooled))

  it.scopedLive("a request that is marked may run twice, by the client or by the policy; one that is unmarked may not", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const marked = HttpRpc.retrying(plain, withRpcRetry(quick), {
        idempotent: (request) => request.url.endsWith("/search") ? true : undefined
      })
      server.script(reset)
      assert.strictEqual((yield* marked.post(`${server.url}/search`)).status, 200)
      // nothing said: the method does
      server.script(reset)
      assert.strictEqual((yield* Effect.flip(marked.post(server.url))).reason, "NotIdempotent")
      server.script(reset)
      assert.strictEqual((yield* marked.get(server.url)).status, 200)
      const keyed = HttpRpc.retrying(plain, withRpcRetry({ ...quick, idempotencyKey: true, idempotent: true }))
      server.script(reset)
      assert.strictEqual((yield* keyed.post(server.url)).status, 200)
      const never = HttpRpc.retrying(plain, withRpcRetry(quick), { idempotent: false })
      server.script(reset)
      assert.strictEqual((yield* Effect.flip(never.get(server.url))).reason, "NotIdempotent")
    }).pipe(pooled))

  it.scopedLive("retryOn adds statuses, or decides on the response", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const internal = HttpRpc.retrying(plain, withRpcRetry(quick), { retryOn: [500] })
      server.script(respond(500), respond(500, "", { "retry-after": "0" }))
      assert.strictEqual((yield* internal.get(server.url)).status, 200)
      assert.strictEqual(server.seen.length, 3)
      const pending = HttpRpc.retrying(plain, withRpcRetry(quick), { retryOn: ({ status }) => status === 202 })
      server.script(respond(202), respond(202), respond(202), respond(202))
      const error = yield* Effect.flip(pending.get(server.url))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.last.reason, error.last.delivery, error.last.code], ["Custom", "Unknown", 202])
      server.script(respond(503))
      assert.strictEqual((yield* pending.get(server.url)).status, 200)
    }).pipe(pooled))

  it.scopedLive("calls are named by host and method, or as the option says, for the policies of a layer", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const host = `127.0.0.1:${server.port}`
      const fail = <E>(self: Effect.Effect<unknown, E>) =>
        Effect.flip(
          Effect.provide(
            self,
            RpcRetry.layer({ methods: { [`${host}.*`]: "off", "Users.*": "off", "http.GET": "off" } })
          )
        )
      const named = HttpRpc.retrying(plain, withRpcRetry, { method: ({ method }) => `Users.${method}` })
      const based = HttpRpc.retrying(
        HttpClient.mapRequest(plain, HttpClientRequest.prependUrl(server.url)),
        withRpcRetry
      )
      server.script(respond(503), respond(503), respond(503), respond(503))
      const errors = [
        yield* fail(HttpRpc.retrying(plain, withRpcRetry).get(server.url)),
        yield* fail(named.get(server.url)),
        yield* fail(based.get("/x")),
        yield* fail(HttpRpc.retrying(plain, withRpcRetry, { method: "Users.Get" }).get(server.url))
      ]
      assert.deepStrictEqual(
        errors.map((error) => error.method),
        [`${host}.GET`, "Users.GET", "http.GET", "Users.Get"]
      )
    }).pipe(pooled))

  it.scopedLive("headers of the request's own stay; what is sent can be said otherwise", () =>
    Effect.gen(function*() {
      const { client, plain, server } = yield* made()
      server.script(respond(503))
      yield* client.get(server.url, {
        headers: { "X-Retry-Attempt": "mine", "idempotency-key": "mine", accept: "text/html" }
      })
      for (const { headers } of server.seen) {
        assert.deepStrictEqual([headers["x-retry-attempt"], headers["idempotency-key"], headers.accept], [
          "mine",
          "mine",
          "text/html"
        ])
      }
      const quiet = HttpRpc.retrying(plain, withRpcRetry({ ...quick, deadline: "10 seconds", idempotencyKey: true }), {
        headers: ({ previousAttempts }) => ({ "x-attempt": String(previousAttempts + 1) })
      })
      server.script(respond(503))
      yield* quiet.get(server.url)
      const sent = server.seen.slice(2).map(({ headers }) =>
        Object.keys(headers).filter((name) => /attempt|idempotency|timeout/.test(name)).map((
          name
        ) => [name, headers[name]])
      )
      assert.deepStrictEqual(sent, [[["x-attempt", "1"]], [["x-attempt", "2"]]])
    }).pipe(pooled))

  it.scopedLive("errors of the client's own pass as they are, and are not retried", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const guarded = HttpRpc.retrying(
        HttpClient.mapRequestEffect(plain, (request) =>
          Effect.zipRight(Effect.fail(new NoSuchText({ length: 0 })), Effect.succeed(request))),
        withRpcRetry(quick)
      )
      assert.deepStrictEqual(yield* Effect.flip(guarded.get(server.url)), new NoSuchText({ length: 0 }))
      assert.strictEqual(server.seen.length, 0)
      const error = yield* Effect.flip(HttpRpc.retrying(plain, withRpcRetry(quick)).get("no url at all"))
      assert.deepStrictEqual([error._tag, error.reason, error.method], ["Fatal", "InvalidArgument", "http.GET"])
    }).pipe(pooled))

  it.scopedLive("what is put on top of it sees one request and one response", () =>
    Effect.gen(function*() {
      const { client, server } = yield* made()
      let seen = 0
      const on = client.pipe(
        HttpClient.tapRequest(() => Effect.sync(() => seen++)),
        HttpClient.mapRequest(HttpClientRequest.setHeader("x-own", "1"))
      )
      server.script(respond(503), close)
      assert.strictEqual((yield* on.get(server.url)).status, 200)
      assert.deepStrictEqual([seen, server.seen.length, server.seen[2]?.headers["x-own"]], [1, 3, "1"])
    }).pipe(pooled))

  for (const [name, layer] of clients) {
    const through = Effect.provide(layer)

    it.scopedLive(`a POST that was redirected was sent, whatever became of the redirect: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        const client = HttpRpc.retrying(HttpClient.followRedirects(plain, 3), withRpcRetry(quick))
        const nobody = `http://127.0.0.1:${yield* HttpServer.refusedPort}/done`
        server.script(respond(303, "", { location: nobody }))
        const refused = yield* Effect.flip(client.post(server.url))
        assert.deepStrictEqual([refused.reason, server.seen.length], ["NotIdempotent", 1])
        server.script(respond(303, "", { location: `${server.url}/done` }), respond(429))
        const throttled = yield* Effect.flip(client.post(server.url))
        assert.deepStrictEqual([throttled.reason, server.seen.length], ["NotIdempotent", 3])
        server.script(respond(303, "", { location: `${server.url}/done` }))
        assert.strictEqual((yield* client.post(server.url)).status, 200)
      }).pipe(through))

    it.scopedLive(`a POST that was redirected to the same path of another host was sent: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        const nobody = `http://127.0.0.1:${yield* HttpServer.refusedPort}`
        const client = plain.pipe(
          HttpClient.mapRequest(HttpClientRequest.prependUrl(new URL(server.url).origin)),
          HttpClient.followRedirects(3),
          HttpRpc.retrying(withRpcRetry(quick))
        )
        server.script(respond(308, "", { location: `${nobody}/orders` }))
        const refused = yield* Effect.flip(client.post("/orders"))
        assert.deepStrictEqual([refused.reason, server.seen.length], ["NotIdempotent", 1])
      }).pipe(through))

    it.scopedLive(`a POST that was redirected to its own URL was sent: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        const client = HttpRpc.retrying(HttpClient.followRedirects(plain, 3), withRpcRetry(quick))
        server.script(respond(307, "", { location: server.url }), respond(429))
        const throttled = yield* Effect.flip(client.post(server.url))
        assert.deepStrictEqual([throttled.reason, server.seen.length], ["NotIdempotent", 2])
      }).pipe(through))

    it.scopedLive(`a POST that was refused is sent again, whatever the client adds to its URL: ${name}`, () =>
      Effect.gen(function*() {
        const { plain } = yield* made()
        const nobody = `http://127.0.0.1:${yield* HttpServer.refusedPort}`
        const client = plain.pipe(
          HttpClient.mapRequest((request) =>
            request.pipe(
              HttpClientRequest.prependUrl(nobody),
              HttpClientRequest.appendUrl("v1"),
              HttpClientRequest.setUrlParam("tenant", "1")
            )
          ),
          HttpRpc.retrying(withRpcRetry(quick))
        )
        const manual = Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
        assert.strictEqual((yield* Effect.flip(client.post("/orders").pipe(manual))).reason, "AttemptsExhausted")
      }).pipe(through))

    it.scopedLive(`a POST that was refused is sent again, by fetch only where it follows no redirects: ${name}`, () =>
      Effect.gen(function*() {
        const { client } = yield* made()
        const nobody = `http://127.0.0.1:${yield* HttpServer.refusedPort}`
        const manual = Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
        const error = Effect.provideService(FetchHttpClient.RequestInit, { redirect: "error" })
        assert.strictEqual((yield* Effect.flip(client.post(nobody).pipe(error))).reason, "AttemptsExhausted")
        const retried = yield* Effect.flip(client.post(nobody).pipe(manual))
        assert.instanceOf(retried, RetryExhausted)
        assert.deepStrictEqual([retried.attempts, retried.last.delivery], [4, "NotSent"])
        const bare = yield* Effect.flip(client.post(nobody))
        assert.strictEqual(bare.reason, name === "fetch" ? "NotIdempotent" : "AttemptsExhausted")
      }).pipe(through))

    it.scopedLive(`a client that has read the body leaves the status to tell: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        const logging = HttpClient.transformResponse(plain, Effect.tap((response) => response.text))
        server.script(respond(503, "busy"))
        assert.strictEqual((yield* HttpRpc.retrying(logging, withRpcRetry(quick)).get(server.url)).status, 200)
        assert.strictEqual(server.seen.length, 2)
      }).pipe(through))

    it.scopedLive(`the status counts, and what the server asks for, though the body does not come: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        const slow: HttpServer.Step = (response) => {
          response.writeHead(429, { "retry-after": "60", "content-length": 100 }).flushHeaders()
        }
        server.script(slow)
        const client = HttpRpc.retrying(plain, withRpcRetry({ ...quick, attemptTimeout: "500 millis" }))
        const error = yield* Effect.flip(client.post(server.url))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.reason, error.last.delivery], [
          "ServerSaidNo",
          "Throttled",
          "NotSent"
        ])
      }).pipe(through))

    it.scopedLive(`the body of a refused response is not waited for where the caller cannot be interrupted: ${name}`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* made()
        server.script((response) => {
          response.writeHead(503).write("busy")
        })
        assert.strictEqual((yield* Effect.uninterruptible(client.get(server.url))).status, 200)
        yield* eventually(() => server.seen[0]?.aborted === true)
      }).pipe(through))

    it.scopedLive(`what cannot be a header is Fatal, and nothing is sent: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        for (
          const [key, headers, message] of [
            [
              "ключ",
              undefined,
              "the header \"idempotency-key\" of an attempt must be a string of characters that HTTP allows"
            ],
            [
              undefined,
              { "a b": "x" },
              "the header \"a b\" of an attempt must have names that HTTP allows, got \"a b\""
            ]
          ] as const
        ) {
          const client = HttpRpc.retrying(plain, withRpcRetry({ ...quick, idempotencyKey: key ?? false }), {
            headers: headers === undefined ? undefined : () => headers
          })
          const error = yield* Effect.flip(client.get(server.url))
          assert.deepStrictEqual([error.reason, error._tag === "Fatal" && error.message], ["InvalidArgument", message])
        }
        assert.strictEqual(server.seen.length, 0)
      }).pipe(through))

    it.scopedLive(`what fails in \`read\` was sent: ${name}`, () =>
      Effect.gen(function*() {
        const { plain, server } = yield* made()
        const nobody = `http://127.0.0.1:${yield* HttpServer.refusedPort}`
        const place = HttpRpc.call(plain, HttpClientRequest.post(server.url), { read: () => plain.get(nobody) })
        const error = yield* Effect.flip(place.pipe(withRpcRetry(quick)))
        assert.deepStrictEqual([error.reason, server.seen.length], ["NotIdempotent", 1])
      }).pipe(through))
  }

  const bad: ReadonlyArray<[name: string, options: unknown, message: string]> = [
    ["method", { method: "" }, `HttpRpc.retrying: method must be a text that is not empty, or a function, got ""`],
    ["idempotent", { idempotent: "yes" }, `HttpRpc.retrying: idempotent must be true, false or a function, got "yes"`],
    ["headers", { headers: {} }, "HttpRpc.retrying: headers must be a function, got an object"],
    [
      "retryOn",
      { retryOn: [500, 99] },
      "HttpRpc.retrying: retryOn must be statuses from 100 to 599, or a function, got 99"
    ],
    [
      "retryOn",
      { retryOn: [600] },
      "HttpRpc.retrying: retryOn must be statuses from 100 to 599, or a function, got 600"
    ],
    [
      "retryOn",
      { retryOn: [500.5] },
      "HttpRpc.retrying: retryOn must be statuses from 100 to 599, or a function, got 500.5"
    ],
    ["retryOn", { retryOn: 500 }, "HttpRpc.retrying: retryOn must be statuses from 100 to 599, or a function, got 500"]
  ]
  for (const [name, options, message] of bad) {
    it.effect(`does not take a bad ${name}: ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        assert.throws(() => HttpRpc.retrying(client, withRpcRetry, options as HttpRpc.Options), InvalidOption, message)
      }).pipe(Effect.provide(FetchHttpClient.layer)))
  }
})

describe("HttpRpc.fromStatus", () => {
  const table: ReadonlyArray<[statuses: ReadonlyArray<number>, reason: string, delivery?: string]> = [
    [[429], "Throttled", "NotSent"],
    [[408, 502, 503, 504], "Unavailable", "Unknown"],
    [[400, 413, 414, 422, 431], "InvalidArgument"],
    [[401, 407], "Unauthenticated"],
    [[403], "PermissionDenied"],
    [[404, 410], "NotFound"],
    [[405, 501], "Unimplemented"],
    [[300, 301, 302, 303, 304, 307, 308, 399, 406, 415], "Protocol"],
    [[402, 409, 418, 499, 500, 505, 599], "ServerError"]
  ]
  for (const [statuses, reason, delivery] of table) {
    it(`${statuses.join(", ")}: ${reason}`, () => {
      for (const status of statuses) {
        const error = HttpRpc.fromStatus(status)
        assert.deepStrictEqual(
          [error.reason, error._tag === "Retryable" ? error.delivery : undefined, error.code],
          [reason, delivery, status]
        )
      }
    })
  }
})

describe("HttpRpc.call", () => {
  const User = Schema.Struct({ name: Schema.String })

  it.scopedLive("reads the body as a part of the attempt: one that breaks off is retried", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const user = HttpRpc.call(plain, HttpClientRequest.get(server.url), {
        method: "Users.Get",
        read: HttpClientResponse.schemaBodyJson(User)
      })
      server.script(cut(true), cut(false), HttpServer.json({ name: "Ada" }))
      assert.deepStrictEqual(yield* user.pipe(withRpcRetry(quick)), { name: "Ada" })
      assert.strictEqual(server.seen.length, 3)
      // without `read` the response is the answer, and its body another matter
      server.script(cut(true))
      const response = yield* HttpRpc.call(plain, HttpClientRequest.get(server.url)).pipe(withRpcRetry(quick))
      const error = yield* Effect.flip(response.json)
      assert.strictEqual(HttpRpc.httpClientError(error)._tag, "Some")
      assert.strictEqual(server.seen.length, 4)
    }).pipe(pooled))

  it.scopedLive("a body that is none of JSON is Fatal Protocol; one that does not fit is the reader's own error", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const user = HttpRpc.call(plain, HttpClientRequest.get(server.url), {
        method: "Users.Get",
        read: HttpClientResponse.schemaBodyJson(User)
      })
      server.script(respond(200, "<html>"), HttpServer.json({ name: 1 }))
      const html = yield* Effect.flip(user.pipe(withRpcRetry(quick)))
      assert.instanceOf(html, Fatal)
      assert.deepStrictEqual([html.reason, html.method], ["Protocol", "Users.Get"])
      const misfit = yield* Effect.flip(user.pipe(withRpcRetry(quick)))
      assert.strictEqual(misfit._tag, "ParseError")
      assert.strictEqual(server.seen.length, 2)
    }).pipe(pooled))

  it.scopedLive("a Retryable that the reader makes is retried, and gets the name of the call", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const ready = HttpRpc.call(plain, HttpClientRequest.get(server.url), {
        method: "Jobs.Get",
        read: ({ status }) => status === 200 ? Effect.succeed("done") : Effect.fail(HttpRpc.fromStatus(503))
      })
      server.script(respond(202), respond(202))
      assert.strictEqual(yield* ready.pipe(withRpcRetry(quick)), "done")
      const turnedAway = HttpRpc.call(plain, HttpClientRequest.get(server.url), {
        read: () => Effect.fail(HttpRpc.fromStatus(429))
      })
      const said: Retryable | Fatal = yield* Effect.flip(turnedAway)
      assert.strictEqual(said._tag === "Retryable" && said.delivery, "NotSent")
      server.script(respond(202), respond(200))
      const error: Retryable | Fatal = yield* Effect.flip(ready)
      assert.strictEqual(error.method, "Jobs.Get")
      const gone = HttpRpc.call(plain, HttpClientRequest.get(server.url), {
        method: "Jobs.Get",
        read: () => Effect.fail(HttpRpc.fromStatus(410))
      })
      assert.deepStrictEqual(
        yield* Effect.map(Effect.flip(gone), ({ _tag, method, reason }) => [_tag, reason, method]),
        ["Fatal", "NotFound", "Jobs.Get"]
      )
    }).pipe(pooled))

  it.scopedLive("a date in Retry-After is counted from now", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      const soon = new Date(Date.now() + 60_000).toUTCString()
      server.script(respond(429, "", { "retry-after": soon }))
      const error = yield* Effect.flip(HttpRpc.call(plain, HttpClientRequest.get(server.url)))
      assert.isTrue(error._tag === "Retryable" && Duration.isDuration(error.retryAfter))
      const delay = error._tag === "Retryable" && Duration.isDuration(error.retryAfter)
        ? Duration.toMillis(error.retryAfter)
        : NaN
      assert.isTrue(delay > 50_000 && delay <= 60_000, String(delay))
    }).pipe(pooled))

  it.scopedLive("the deadline around it is sent, with or without withRpcRetry", () =>
    Effect.gen(function*() {
      const { plain, server } = yield* made()
      yield* HttpRpc.call(plain, HttpClientRequest.get(server.url)).pipe(Deadline.within("5 seconds"))
      assert.isTrue(Number(server.seen[0]?.headers["x-envoy-expected-rq-timeout-ms"]) > 4_000)
    }).pipe(pooled))
})
