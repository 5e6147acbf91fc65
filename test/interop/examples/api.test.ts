/**
 * `docs/examples/api`: the HTTP API, in a process of its own, in front of servers in Go.
 */
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as DocsPrograms from "../../support/docsPrograms.js"
import { eventually } from "../../support/eventually.js"
import * as Examples from "../../support/examples.js"
import * as GoServer from "../../support/goServer.js"
import * as Markdown from "../../support/markdown.js"
import { assert, describe, it } from "../../support/vitest.js"

const get = (url: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.tryPromise(async (signal) => {
    const response = await fetch(url, { headers, signal })
    return { status: response.status, text: await response.text() }
  })

/** The API with these variables, once it serves. */
const served = (variables: Readonly<Record<string, string | number>>) =>
  Effect.gen(function*() {
    const port = yield* DocsPrograms.freePort
    const metrics = yield* DocsPrograms.freePort
    const api = yield* Examples.start("api", { PORT: port, METRICS_PORT: metrics, ...variables })
    yield* eventually(() => api.output().includes("Listening on"))
    return { ...api, url: `http://127.0.0.1:${port}`, metrics: `http://127.0.0.1:${metrics}/metrics` }
  })

/** Starts the server that both are of, in the document that the example names. */
const started = Effect.gen(function*() {
  const ports = { NET_RPC_PORT: yield* DocsPrograms.freePort, grpc: yield* DocsPrograms.freePort }
  const [source = ""] = Markdown.blocks(Markdown.read("docs/migration/net-rpc-to-grpc.md"), "go")
  const server = yield* DocsPrograms.goProgram(
    source.replace("1234", String(ports.NET_RPC_PORT)).replace("50051", String(ports.grpc))
      .replace("example.com/arith/", "effect-rpc-retry/interop/"),
    GoServer.source
  )
  yield* server.start(ports.NET_RPC_PORT, ports.grpc)
  return { NET_RPC_PORT: ports.NET_RPC_PORT, GRPC_TARGET: `127.0.0.1:${ports.grpc}` }
})

/** A port where nobody listens. */
const nobody = Effect.map(DocsPrograms.freePort, (port) => ({ NET_RPC_PORT: port, GRPC_TARGET: `127.0.0.1:${port}` }))

describe.skipIf(GoServer.skipped !== undefined)(`docs/examples/api ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("answers with what the two servers in Go say, and counts the attempts", () =>
    Effect.gen(function*() {
      const api = yield* served(yield* started)
      assert.deepStrictEqual(yield* get(`${api.url}/net-rpc/multiply?a=6&b=7`), {
        status: 200,
        text: "{\"product\":42}"
      })
      assert.deepStrictEqual(yield* get(`${api.url}/grpc/multiply?a=6&b=8`), { status: 200, text: "{\"product\":48}" })
      assert.strictEqual((yield* get(`${api.url}/grpc/multiply?a=six&b=8`)).status, 400)
      const { text } = yield* get(api.metrics)
      for (const method of ["Arith.Multiply", "arith.v1.Arith.Multiply"]) {
        assert.match(
          text,
          new RegExp(`^rpc_client_attempt_started_total\\{.*rpc_method="${method}"[^}]*\\} 1$`, "m")
        )
      }
    }), 600_000)
})

describe("docs/examples/api", () => {
  it.scopedLive(
    "gives up without servers: its budget refuses the retries after the first three",
    () =>
      Effect.gen(function*() {
        const api = yield* served(yield* nobody)
        assert.deepStrictEqual(yield* get(`${api.url}/net-rpc/multiply?a=6&b=7`), {
          status: 503,
          text: "{\"error\":\"BudgetExhausted\"}"
        })
      }),
    600_000
  )

  it.scopedLive(
    "makes no attempt that the caller does not wait for, and no retry for one that retries itself",
    () =>
      Effect.gen(function*() {
        const api = yield* served(yield* nobody)
        const inAHurry = { "x-envoy-expected-rq-timeout-ms": "50" }
        assert.strictEqual((yield* get(`${api.url}/grpc/multiply?a=6&b=7`, inAHurry)).status, 504)
        assert.deepStrictEqual(yield* get(`${api.url}/net-rpc/multiply?a=6&b=7`, { "x-retry-attempt": "1" }), {
          status: 503,
          text: "{\"error\":\"NotRetried\"}"
        })
      }),
    600_000
  )

  it.scopedLive(
    "answers what it has taken when it is told to stop, and ends with success",
    () =>
      Effect.gen(function*() {
        const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
        const { GRPC_TARGET } = yield* nobody
        const api = yield* served({ NET_RPC_PORT: server.address.port, NET_RPC_CODEC: "json", GRPC_TARGET })
        yield* server.script(FlakyServer.late("400 millis"))
        const request = yield* Effect.fork(get(`${api.url}/net-rpc/multiply?a=6&b=7`, { connection: "close" }))
        yield* eventually(Effect.map(server.requests, (requests) => requests.length === 1))
        yield* api.stop
        assert.deepStrictEqual(yield* Fiber.join(request), { status: 200, text: "{\"product\":42}" })
        assert.strictEqual(yield* api.ended, 0)
      }),
    600_000
  )

  it.scopedLive("cancels the call of a client that hangs up: no retry follows", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const { GRPC_TARGET } = yield* nobody
      const api = yield* served({ NET_RPC_PORT: server.address.port, NET_RPC_CODEC: "json", GRPC_TARGET })
      yield* server.script(FlakyServer.stall)
      const request = yield* Effect.fork(get(`${api.url}/net-rpc/multiply?a=6&b=7`))
      yield* eventually(Effect.map(server.requests, (requests) => requests.length === 1))
      yield* Fiber.interrupt(request)
      yield* eventually(
        Effect.map(get(api.metrics), ({ text }) =>
          /^rpc_client_call_duration\w*_count\{.*rpc_outcome="interrupted"/m.test(text))
      )
      assert.lengthOf(yield* server.requests, 1)
    }), 600_000)
})
