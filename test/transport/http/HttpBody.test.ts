/**
 * Bodies of requests that are retried, over each of the platform's clients.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import undici from "@effect/platform-node/Undici"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { Fatal, Retryable, RetryExhausted, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Readable } from "node:stream"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const clients: ReadonlyArray<[name: string, layer: Layer.Layer<HttpClient.HttpClient>]> = [
  ["HttpPool", HttpPool.layer()],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layer],
  ["fetch", FetchHttpClient.layer]
]

const parts = ["one", "two", "three"]

async function* generator() {
  for (const part of parts) {
    yield new TextEncoder().encode(part)
  }
}

const fromGenerator = () => Stream.fromAsyncIterable(generator(), (error) => error)

const retry = withRpcRetry({ schedule: Schedule.recurs(3), idempotent: true })

const made = Effect.gen(function*() {
  const server = yield* HttpServer.make
  const client = HttpRpc.retrying(yield* HttpClient.HttpClient, retry)
  return {
    server,
    put: (body: HttpBody.HttpBody) => client.put(server.url, { body }),
    texts: () => server.seen.map(({ text }) => text)
  }
})

/** A client whose calls have a second leg when they take 50 ms. */
const hedging = Effect.gen(function*() {
  const server = yield* HttpServer.make
  const hedge = withRpcRetry({
    idempotent: true,
    attemptTimeout: "1 second",
    hedge: { after: "50 millis", load: 1 }
  })
  return {
    server,
    hedged: HttpRpc.retrying(yield* HttpClient.HttpClient, hedge),
    texts: () => server.seen.map(({ text }) => text)
  }
})

/** Answers when a second leg has begun. */
const late = (status: number): HttpServer.Step => (response) => {
  setTimeout(() => response.writeHead(status).end(), 300)
}

const whole = parts.join("")

const fatal = (error: unknown): Fatal => {
  assert.instanceOf(error, Fatal)
  return error
}

const { close, reset, respond } = HttpServer

for (const [name, layer] of clients) {
  describe(`a body over ${name}`, () => {
    const raw: ReadonlyArray<[what: string, body: () => HttpBody.HttpBody, clients: ReadonlyArray<string>]> = [
      ["a stream of an async generator", () => HttpBody.stream(fromGenerator()), clients.map(([name]) => name)],
      ["a Node readable", () => HttpBody.raw(Readable.from(generator())), ["HttpPool", "undici"]],
      ["an async generator", () => HttpBody.raw(generator()), ["HttpPool", "undici"]],
      ["a ReadableStream", () => HttpBody.raw(Readable.toWeb(Readable.from(generator()))), [
        "HttpPool",
        "undici"
      ]]
    ]
    for (const [what, body] of raw.filter(([, , of]) => of.includes(name))) {
      it.scopedLive(`of ${what} is not sent a second time, empty: the call ends, and says why`, () =>
        Effect.gen(function*() {
          for (
            const [step, reason, code] of [[respond(503), "Unavailable", 503], [
              close,
              "ConnectionLost",
              undefined
            ]] as const
          ) {
            const { put, server, texts } = yield* made
            server.script(step, respond(200))
            const error = fatal(yield* Effect.flip(put(body())))
            assert.deepStrictEqual([error.reason, texts()], ["InvalidArgument", [whole]])
            assert.include(error.message, `the attempt failed with ${reason}`)
            assert.include(error.message, "the body of the request can be read only once: it is not sent again")
            assert.instanceOf(error.cause, Retryable)
            if (code !== undefined) {
              assert.strictEqual(error.code, code)
            }
          }
        }).pipe(Effect.provide(layer)))
    }

    it.scopedLive("that can be read only once is not sent again after a timeout, nor by another call", () =>
      Effect.gen(function*() {
        const { server, texts } = yield* made
        const plain = yield* HttpClient.HttpClient
        server.script(HttpServer.stall, respond(200))
        const request = HttpClientRequest.put(server.url).pipe(HttpClientRequest.bodyStream(fromGenerator()))
        const call = HttpRpc.call(plain, request)
        const first = yield* Effect.flip(call.pipe(withRpcRetry({ attemptTimeout: "300 millis", idempotent: true })))
        assert.include(fatal(first).message, "the body of the request was read by an attempt before")
        assert.strictEqual(fatal(yield* Effect.flip(call)).reason, "InvalidArgument")
        assert.deepStrictEqual(texts(), [whole])
      }).pipe(Effect.provide(layer)))

    it.scopedLive("that can be read only once, sent by two calls at a time, is sent by one of them", () =>
      Effect.gen(function*() {
        const { put, server, texts } = yield* made
        server.script(respond(200), respond(200))
        const body = HttpBody.stream(fromGenerator())
        const exits = yield* Effect.all([Effect.exit(put(body)), Effect.exit(put(body))], { concurrency: "unbounded" })
        assert.deepStrictEqual(exits.map(({ _tag }) => _tag).toSorted(), ["Failure", "Success"])
        assert.deepStrictEqual(texts(), [whole])
      }).pipe(Effect.provide(layer)))

    it.scopedLive("that can be read only once, of a hedged call that is slow, is sent once and answered", () =>
      Effect.gen(function*() {
        const { hedged, server, texts } = yield* hedging
        server.script(late(200))
        const response = yield* hedged.put(server.url, { body: HttpBody.stream(fromGenerator()) })
        assert.deepStrictEqual([response.status, texts()], [200, [whole]])
      }).pipe(Effect.provide(layer)))

    it.scopedLive("that can be read only once, of a hedged call whose slow attempt fails, tells of that failure", () =>
      Effect.gen(function*() {
        const { hedged, server, texts } = yield* hedging
        server.script(late(503))
        const error = fatal(yield* Effect.flip(hedged.put(server.url, { body: HttpBody.stream(fromGenerator()) })))
        assert.include(error.message, "the attempt failed with Unavailable (503)")
        assert.deepStrictEqual(texts(), [whole])
      }).pipe(Effect.provide(layer)))

    it.scopedLive("that can be read only once, of a hedged call whose slow attempt is timed out, is not sent again", () =>
      Effect.gen(function*() {
        const { hedged, server, texts } = yield* hedging
        server.script(HttpServer.stall)
        const error = fatal(yield* Effect.flip(hedged.put(server.url, { body: HttpBody.stream(fromGenerator()) })))
        assert.include(error.message, "the body of the request was read by an attempt before")
        assert.deepStrictEqual(texts(), [whole])
      }).pipe(Effect.provide(layer)))

    it.scopedLive("that each attempt makes anew is sent whole each time", () =>
      Effect.gen(function*() {
        const { put, server, texts } = yield* made
        server.script(reset, respond(503), respond(200), respond(200))
        const body = HttpRpc.repeatableBody(fromGenerator, { contentType: "text/csv", contentLength: whole.length })
        assert.strictEqual((yield* put(body)).status, 200)
        assert.deepStrictEqual(texts(), [whole, whole, whole])
        assert.deepStrictEqual(server.seen.map(({ headers }) => headers["content-type"]), Array(3).fill("text/csv"))
        // it is a body like others, and can be sent without retries too
        const plain = yield* HttpClient.HttpClient
        yield* plain.put(server.url, { body })
        assert.strictEqual(texts()[3], whole)
      }).pipe(Effect.provide(layer)))

    // undici does not take the form of the global `fetch` for one of its own
    const form = name === "HttpPool" || name === "undici"
      ? new undici.FormData() as unknown as FormData
      : new FormData()
    form.append("text", whole)
    const repeatable: ReadonlyArray<[what: string, body: HttpBody.HttpBody]> = [
      ["text", HttpBody.text(whole)],
      ["bytes", HttpBody.uint8Array(new TextEncoder().encode(whole))],
      ["a form", HttpBody.formData(form)],
      ["raw text", HttpBody.raw(whole)],
      ["raw bytes", HttpBody.raw(new TextEncoder().encode(whole))],
      ...(name === "node:http" ? [] : [["a blob", HttpBody.raw(new Blob([whole]))] as [string, HttpBody.HttpBody]])
    ]
    for (const [what, body] of repeatable) {
      it.scopedLive(`of ${what} is sent again`, () =>
        Effect.gen(function*() {
          const { put, server, texts } = yield* made
          server.script(respond(503), reset, respond(200))
          assert.strictEqual((yield* put(body)).status, 200)
          assert.strictEqual(texts().length, 3)
          texts().forEach((text) => assert.include(text, whole))
        }).pipe(Effect.provide(layer)))
    }

    it.scopedLive("that is a stream keeps what the request says of it", () =>
      Effect.gen(function*() {
        const { server } = yield* made
        server.script(respond(200))
        const plain = yield* HttpClient.HttpClient
        const request = HttpClientRequest.put(server.url).pipe(
          HttpClientRequest.bodyStream(fromGenerator()),
          HttpClientRequest.setHeader("content-type", "text/x-own")
        )
        yield* HttpRpc.call(plain, request)
        assert.deepStrictEqual([server.seen[0]!.headers["content-type"], server.seen[0]!.text], ["text/x-own", whole])
      }).pipe(Effect.provide(layer)))
  })
}

it.scopedLive("HttpPool: a stream that nobody has read yet is sent when the server is there", () =>
  Effect.gen(function*() {
    const port = yield* HttpServer.refusedPort
    const client = HttpRpc.retrying(yield* HttpClient.HttpClient, retry)
    const error = yield* Effect.flip(client.put(`http://127.0.0.1:${port}`, { body: HttpBody.stream(fromGenerator()) }))
    assert.instanceOf(error, RetryExhausted)
    assert.deepStrictEqual([error.attempts, error.last.reason], [4, "ConnectionRefused"])
  }).pipe(Effect.provide(HttpPool.layer())))

it.scopedLive("HttpPool: a stream that the second leg of a hedged call reads before the first is sent by that one", () =>
  Effect.gen(function*() {
    const server = yield* HttpServer.make
    const dials: Array<() => void> = []
    const connector = undici.buildConnector({})
    // the first dial ends when the second leg has sent its request
    const pool = yield* HttpPool.make({
      connect: (options, callback) => {
        dials.push(() => connector(options, callback))
        if (dials.length > 1) {
          dials.at(-1)!()
        }
      }
    })
    const client = HttpRpc.retrying(pool, withRpcRetry({ idempotent: true, hedge: { after: "50 millis", load: 1 } }))
    server.script((response, seen) => {
      dials[0]!()
      late(200)(response, seen)
    })
    const response = yield* client.put(server.url, { body: HttpBody.stream(fromGenerator()) })
    assert.deepStrictEqual([response.status, server.seen.map(({ text }) => text)], [200, [whole]])
  }))
