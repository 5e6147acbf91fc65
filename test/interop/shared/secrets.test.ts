/**
 * A secret in an answer or an argument that is bad, over each transport: it is left in no message, log line, span, terminal and
 * encoding, and a developer who asks for it finds it.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as grpc from "@grpc/grpc-js"
import { type Fatal, type Retryable, RetrySchedule, RpcError, withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as Http from "node:http"
import { inspect } from "node:util"
import * as ConnectRaw from "../../support/connectRaw.js"
import * as ConnectServer from "../../support/connectServer.js"
import * as Cases from "../../support/effectRpcCases.js"
import * as Server from "../../support/effectRpcServer.js"
import { client as grpcClient } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import * as HttpServer from "../../support/httpServer.js"
import * as Peer from "../../support/peer.js"
import * as Wire from "../../support/thriftPeer.js"
import * as ThriftServer from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const secret = "s3cr3t-V4lue"

/** The spans of the program and of this package. Those of the platform and of `@effect/rpc` have headers and URLs of their own. */
const ours = new Set(["program", "Test.Call", "Test.Call attempt"])

/** All that a program leaves behind: log lines with all their parts, and spans with all of theirs. */
const recording = () => {
  const left: Array<string> = []
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ annotations, cause, message }) => {
      left.push(
        inspect([message, Cause.pretty(cause, { renderErrorCause: true }), Array.from(annotations)], { depth: 12 })
      )
    })
  )
  const tell = (span: string, text: string) => ours.has(span) ? void left.push(text) : undefined
  const tracer = Layer.setTracer(Tracer.make({
    context: (f) => f(),
    span: (name, parent, context, links, startTime, kind) => ({
      _tag: "Span",
      spanId: name,
      traceId: "t",
      sampled: true,
      status: { _tag: "Started", startTime },
      attributes: new Map(),
      name,
      parent,
      context,
      links,
      kind,
      attribute: (key, value) => tell(name, `${key}=${inspect(value)}`),
      event: (event, _, attributes) => tell(name, `${event} ${inspect(attributes)}`),
      addLinks: () => {},
      end: (_, exit) =>
        tell(name, exit._tag === "Failure" ? Cause.pretty(exit.cause, { renderErrorCause: true }) : "success")
    })
  }))
  return { left, layer: Layer.mergeAll(logger, tracer, Logger.minimumLogLevel(LogLevel.All)) }
}

type Failing = Effect.Effect<unknown, Retryable | Fatal, Scope.Scope>

/** Runs the call as a program does, and gives its error and what it left behind. */
const run = (call: Failing) =>
  Effect.gen(function*() {
    const { layer, left } = recording()
    const error = yield* call.pipe(
      withRpcRetry({
        method: "Test.Call",
        spans: true,
        schedule: RetrySchedule.exponential({ base: "1 millis" }).pipe(RetrySchedule.retries(1))
      }),
      Effect.tapErrorCause((cause) => Effect.logError("the call failed", cause)),
      Effect.tapError((error) => Effect.logError(error)),
      Effect.withSpan("program"),
      Effect.flip,
      Effect.provide(layer)
    )
    return { error, left }
  })

const encoded = (error: RpcError.RpcError) => JSON.stringify(Schema.encodeSync(RpcError.RpcError)(error))

const leaves = (error: RpcError.RpcError, left: ReadonlyArray<string>) => ({
  message: error.message,
  text: String(error),
  report: RpcError.report(error),
  inspect: inspect(error, { depth: 12 }),
  json: JSON.stringify(error),
  encoded: encoded(error),
  pretty: Cause.pretty(Cause.fail(error), { renderErrorCause: true }),
  left: left.join("\n")
})

/** The excerpt can be had, in a report for developers and as the cause. */
const isThere = (error: RpcError.RpcError): boolean => {
  const attempt = error._tag === "RetryExhausted" ? error.last : error
  let link: unknown = "cause" in attempt ? attempt.cause : undefined
  for (let i = 0; i < 8 && typeof link === "object" && link !== null; i++) {
    const value: unknown = Redacted.isRedacted(link) ? Redacted.value(link) : undefined
    if (value !== undefined) {
      return true
    }
    link = "cause" in link ? link.cause : undefined
  }
  return false
}

const check = (
  transport: string,
  cases: Readonly<Record<string, Failing>>,
  options: { readonly kept?: false } = {}
) => {
  describe(`${transport}: a secret is left nowhere`, () => {
    for (const [title, call] of Object.entries(cases)) {
      it.scopedLive(title, () =>
        Effect.gen(function*() {
          const { error, left } = yield* run(call)
          for (const [where, text] of Object.entries(leaves(error, left))) {
            assert.notInclude(text, secret, where)
          }
          assert.isNotEmpty(left)
          if (options.kept !== false) {
            assert.isTrue(isThere(error), `no excerpt in ${inspect(error)}`)
            assert.include(RpcError.report(error, { excerpts: true }), "excerpt")
          }
        }))
    }
  })
}

const thrower = (): never => {
  throw new Error(`cannot read ${secret}`)
}

/** Whose JSON cannot be made, and whose reason quotes it. */
const unwritable = {
  toJSON: () => {
    throw new TypeError(`cannot write ${secret}`)
  }
}

const Named = Schema.Struct({ user: Schema.Struct({ name: Schema.Number }) })

const named = { user: { name: secret } }

/** Quotes what it is given. */
const Picky = Schema.Struct({
  token: Schema.String.pipe(Schema.filter((text) => `${text} is no token`))
})

const Records = Schema.Record({ key: Schema.String, value: Schema.Number })

// -----------------------------------------------------------------------------
// GoRpc
// -----------------------------------------------------------------------------

const says = (text: string) => Peer.listen((socket) => void socket.on("data", () => void socket.write(text)))

const goRpc = (answer: string, reply: Schema.Schema.AnyNoContext = Schema.Unknown, args: unknown = 1): Failing =>
  Effect.gen(function*() {
    const { port } = yield* says(answer)
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
    return yield* rpc.call("A.B", args, { reply: reply as Schema.Schema<unknown> })
  })

const result = (value: unknown) => `${JSON.stringify({ id: 0, result: value, error: null })}\n`

check("GoRpc, JSON", {
  "an answer that misses its schema": goRpc(result(named), Named),
  "an answer that a filter refuses and quotes": goRpc(result({ token: secret }), Picky),
  "a key of an answer": goRpc(result({ [secret]: "x" }), Records),
  "arguments that cannot be written": goRpc(result(1), Schema.Unknown, unwritable),
  "arguments that miss their schema": Effect.gen(function*() {
    const { port } = yield* says(result(1))
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port })
    return yield* rpc.call("A.B", named as never, { args: Named })
  }),
  "the peer answers CONNECT with something else": Effect.gen(function*() {
    const { port } = yield* says(`HTTP/1.1 401 ${secret}\r\n\r\n`)
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, http: true })
    return yield* rpc.call("A.B", 1)
  })
})

check("GoRpc, JSON, without an excerpt", {
  "an answer that is no JSON": goRpc(`{"id":0,"result":${secret}}\n`),
  "an answer without an id": goRpc(`{"id":"${secret}","result":1}\n`),
  "an answer that is no object": goRpc(`${secret}\n`),
  "an error that is no text": goRpc(`{"id":0,"error":{"password":"${secret}"}}\n`)
}, { kept: false })

const gobRpc = (
  answer: (peer: Peer.GobPeer, seq: number) => Uint8Array,
  reply: Schema.Schema.AnyNoContext,
  args: unknown = { text: "x" }
): Failing =>
  Effect.gen(function*() {
    const { port } = yield* Peer.listen(
      Peer.gob(({ seq }, peer) => void peer.socket.write(Buffer.concat([peer.header(seq), answer(peer, seq)])))
    )
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, codec: "gob" })
    return yield* rpc.call("A.B", args as { text: string }, {
      args: Schema.Struct({ text: Schema.String }),
      reply: reply as Schema.Schema<unknown>
    })
  })

check("GoRpc, gob", {
  "an answer that misses its schema": gobRpc(
    ({ body }) => body(Schema.Struct({ token: Schema.String }), { token: secret }),
    Picky
  ),
  "arguments that miss their schema": gobRpc(({ body }) => body(Schema.String, "x"), Schema.String, { text: [secret] })
})

check("GoRpc, gob, without an excerpt", {
  "an answer of another type": gobRpc(({ body }) => body(Schema.String, secret), Gob.Int),
  "an answer that is no gob": gobRpc(() => Buffer.from(secret.repeat(10)), Schema.String)
}, { kept: false })

// -----------------------------------------------------------------------------
// HTTP
// -----------------------------------------------------------------------------

const answering = (...steps: ReadonlyArray<HttpServer.Step>) =>
  Effect.tap(HttpServer.make, (server) => Effect.sync(() => server.script(...steps, ...steps)))

const jsonRpc = (
  step: HttpServer.Step,
  call: (rpc: JsonRpc.Client) => Failing = (rpc) => rpc.call("Test.Call", { a: 1 })
): Failing =>
  Effect.gen(function*() {
    const { url } = yield* answering(step)
    return yield* call(yield* JsonRpc.make({ url }))
  }).pipe(Effect.provide(HttpPool.layer()))

const text: Http.OutgoingHttpHeaders = { "content-type": "text/plain" }

check("JsonRpc", {
  "a 401 with a text": jsonRpc(HttpServer.respond(401, `token ${secret} has expired`, text)),
  "a 401 with JSON": jsonRpc(HttpServer.json({ token: secret }, 401)),
  "a 503 with a text": jsonRpc(HttpServer.respond(503, secret, text)),
  "a 503 with JSON that has a message": jsonRpc(HttpServer.json({ message: secret }, 503)),
  "a 500 with JSON": jsonRpc(HttpServer.json({ token: secret }, 500)),
  "an answer that is no JSON": jsonRpc(HttpServer.respond(200, `hello ${secret}`)),
  "an answer that is a text": jsonRpc(HttpServer.respond(200, JSON.stringify(secret))),
  "an answer to another id": jsonRpc(HttpServer.respond(200, JSON.stringify({ id: secret, result: 1 }))),
  "an answer with a result and an error": jsonRpc(
    HttpServer.respond(200, JSON.stringify({ id: 1, result: secret, error: { message: "x" } }))
  ),
  "an answer that misses its schema": jsonRpc(
    HttpServer.json(({ id }: { id: number }) => ({ id, result: named })),
    (rpc) => rpc.call("Test.Call", {}, { reply: Named })
  ),
  "an answer that a filter refuses and quotes": jsonRpc(
    HttpServer.json(({ id }: { id: number }) => ({ id, result: { token: secret } })),
    (rpc) => rpc.call("Test.Call", {}, { reply: Picky })
  ),
  "arguments that cannot be written": jsonRpc(HttpServer.serve, (rpc) => rpc.call("Test.Call", unwritable)),
  "arguments that miss their schema": jsonRpc(
    HttpServer.serve,
    (rpc) => rpc.call("Test.Call", named as never, { params: Named })
  )
})

check("JsonRpc, without an excerpt", {
  "arguments that are a text": jsonRpc(HttpServer.serve, (rpc) => rpc.call("Test.Call", secret)),
  "the name of an encoding": jsonRpc(HttpServer.respond(200, new Uint8Array([0xff]), { "content-encoding": secret }))
    .pipe(
      Effect.provide(FetchHttpClient.layer)
    )
}, { kept: false })

const http = (
  step: HttpServer.Step,
  options: HttpRpc.Options & {
    readonly read?: (response: { readonly json: Effect.Effect<unknown, unknown> }) => Effect.Effect<unknown, unknown>
  } = {},
  request: (url: string) => HttpClientRequest.HttpClientRequest = HttpClientRequest.get
): Failing =>
  Effect.gen(function*() {
    const { url } = yield* answering(step)
    const client = yield* HttpClient.HttpClient
    return yield* HttpRpc.call(client, request(url), options as never)
  }) as never

for (const [name, layer] of [["HttpPool", HttpPool.layer()], ["fetch", FetchHttpClient.layer]] as const) {
  const over = (call: Failing): Failing => Effect.provide(call as never, layer) as Failing
  check(`HttpRpc over ${name}`, {
    "a 503 with a text": over(http(HttpServer.respond(503, `503 ${secret}`, text))),
    "a status of retryOn with a text": over(http(HttpServer.respond(500, secret, text), { retryOn: [500] })),
    "an answer that is no JSON": over(
      http(HttpServer.respond(200, secret, text), { read: (response) => response.json })
    ),
    "a header that cannot be written": over(
      http(HttpServer.serve, {}, (url) => HttpClientRequest.get(url, { headers: { "x-token": `${secret}\u0000` } }))
    ),
    "arguments that cannot be written": over(Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      const request = HttpClientRequest.post("http://127.0.0.1:1")
      const encoding = (request: HttpClientRequest.HttpClientRequest) =>
        Effect.mapError(
          HttpClientRequest.schemaBodyJson(Named)(request, named as never),
          (cause) => new HttpClientError.RequestError({ request, reason: "Encode", cause })
        )
      return yield* HttpRpc.call(HttpClient.mapRequestEffect(client, encoding), request)
    }) as never),
    "a peer that does not speak HTTP": over(Effect.gen(function*() {
      const { port } = yield* says(`${secret}\r\n\r\n`)
      const client = yield* HttpClient.HttpClient
      return yield* HttpRpc.call(client, HttpClientRequest.get(`http://127.0.0.1:${port}`))
    }) as never)
  })

  check(`HttpRpc over ${name}, without an excerpt`, {
    "the query and the user of a URL that is refused": over(Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const client = yield* HttpClient.HttpClient
      return yield* HttpRpc.call(
        client,
        HttpClientRequest.get(`http://user:${secret}@127.0.0.1:${port}/a?token=${secret}`)
      )
    }) as never),
    "the headers of the request": over(Effect.gen(function*() {
      const port = yield* HttpServer.refusedPort
      const client = yield* HttpClient.HttpClient
      return yield* HttpRpc.call(
        client,
        HttpClientRequest.get(`http://127.0.0.1:${port}/a`, { headers: { authorization: `Bearer ${secret}` } })
      )
    }) as never)
  }, { kept: false })
}

// -----------------------------------------------------------------------------
// Connect
// -----------------------------------------------------------------------------

const connectPage = (
  page: ConnectRaw.Page,
  options: ConnectServer.TransportOptions = {},
  kind: ConnectServer.Kind = "Connect over HTTP/1.1"
): Failing =>
  Effect.gen(function*() {
    const { port } = yield* ConnectRaw.proxy(kind, page)
    const transport = yield* ConnectServer.transport(kind, port, options)
    return yield* Connect.client(ConnectServer.EchoService, transport).echo({ value: "x" })
  })

const connectCall = (request: unknown, options?: Connect.CallOptions): Failing =>
  Effect.gen(function*() {
    const { client } = yield* ConnectServer.make("Connect over HTTP/2")
    return yield* client.echo(request as { value: string }, options)
  })

check("Connect", {
  "an answer that is no JSON": connectPage(
    { status: 200, headers: { "content-type": "application/json" }, body: `hello ${secret}` },
    { useBinaryFormat: false }
  ),
  "an answer of JSON that is no message": connectPage(
    { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify({ value: [secret] }) },
    { useBinaryFormat: false }
  ),
  "a content type": connectPage({ status: 200, headers: { "content-type": `text/${secret}` }, body: secret }),
  "an encoding": connectPage({
    status: 200,
    headers: { "content-type": "application/proto", "content-encoding": secret },
    body: secret
  }),
  "a status of gRPC that is none": connectPage(
    { status: 200, headers: { "content-type": "application/grpc-web+proto", "grpc-status": secret }, body: "" },
    {},
    "gRPC-web over HTTP/1.1"
  ),
  "arguments that cannot be written": connectCall({ value: { toString: thrower } }),
  "a header that cannot be written": connectCall({ value: "x" }, { headers: [["x-token", `${secret}\u0100`]] }),
  "a peer that does not speak HTTP": Effect.gen(function*() {
    const { port } = yield* says(`${secret}\r\n\r\n`)
    const transport = yield* ConnectServer.transport("Connect over HTTP/1.1", port)
    return yield* Connect.client(ConnectServer.EchoService, transport).echo({ value: "x" })
  })
})

check("Connect, without an excerpt", {
  "a 401 with a text": connectPage({ status: 401, body: `token ${secret}` }),
  "a 503 with JSON": connectPage({
    status: 503,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: secret })
  })
}, { kept: false })

// -----------------------------------------------------------------------------
// Grpc
// -----------------------------------------------------------------------------

const strange = (method: "send" | "receive"): Failing =>
  Effect.gen(function*() {
    const server = yield* Raw.make
    const identity = (value: Buffer) => value
    const definition = {
      path: "/Test/Call",
      requestStream: false,
      responseStream: false,
      requestSerialize: method === "send" ? thrower : () => Buffer.alloc(0),
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: method === "receive" ? thrower : identity
    }
    const Client = grpc.makeGenericClientConstructor({ call: definition }, "Test")
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Client(server.address, grpc.credentials.createInsecure(), Grpc.channelOptions)),
      (client) => Effect.sync(() => client.close())
    )
    const calls = Grpc.client(client) as unknown as { readonly call: (request: unknown) => Failing }
    return yield* calls.call({ token: secret })
  })

const grpcCall = (options: Grpc.Options, ...steps: ReadonlyArray<Raw.Step>): Failing =>
  Effect.gen(function*() {
    const server = yield* Raw.make
    yield* server.script(...steps, ...steps)
    const client = yield* grpcClient(server.address, Grpc.channelOptions)
    return yield* Grpc.unary(client, "echo", options)({ value: "x" })
  })

check("Grpc", {
  "arguments that cannot be written": strange("send"),
  "an answer that cannot be read": strange("receive"),
  "metadata that is none": grpcCall({ metadata: () => ({ authorization: secret }) as never }),
  "a header that cannot be written": grpcCall({
    metadata: () => {
      const metadata = new grpc.Metadata()
      metadata.set("x-token", `${secret}\u0100`)
      return metadata
    }
  })
})

check("Grpc, without an excerpt", {
  "a 401 with a text": grpcCall({}, Raw.http(401, secret)),
  "a 503 with a text": grpcCall({}, Raw.http(503, secret))
}, { kept: false })

// -----------------------------------------------------------------------------
// Thrift
// -----------------------------------------------------------------------------

const thrift = (answer: Buffer, args: unknown = "x"): Failing =>
  Effect.gen(function*() {
    const { port } = yield* Peer.listen((socket) => void socket.on("data", () => void socket.write(answer)))
    const probe = yield* Thrift.make({
      host: "127.0.0.1",
      port,
      service: "Probe",
      client: ThriftServer.generated.es5.Client,
      transport: "framed"
    })
    return yield* Effect.mapError(probe.echo(args as string), (error) => error as Fatal)
  })

check("Thrift", {
  "arguments that cannot be written": thrift(Buffer.alloc(0), { toString: () => secret })
})

check("Thrift, without an excerpt", {
  "an answer to a method that there is not": thrift(
    Wire.framed(Wire.message("binary", { name: secret }, Wire.text("x")))
  ),
  "an answer to another request": thrift(Wire.framed(Wire.message("binary", { id: 7, name: secret }, Wire.text("x")))),
  "an answer that is no message": thrift(Wire.framed(Buffer.from(secret.repeat(10)))),
  "an answer without a frame": thrift(Buffer.from(secret.repeat(10)))
}, { kept: false })

// -----------------------------------------------------------------------------
// EffectRpc
// -----------------------------------------------------------------------------

class Group extends RpcGroup.make(
  Rpc.make("Count", { payload: { n: Schema.Unknown }, success: Named }),
  Rpc.make("Named", { payload: Named, success: Schema.Void }),
  Rpc.make("Picky", { success: Picky }),
  Rpc.make("Words", { success: Named, stream: true })
) {}

const overHttp = (step: HttpServer.Step, call: "Count" | "Picky" = "Count"): Failing =>
  Effect.gen(function*() {
    const { url } = yield* answering(step)
    const rpc = yield* Server.connect(Cases.overHttp(url), EffectRpc.make(Group))
    return yield* call === "Count" ? rpc.Count({ n: 1 }) : rpc.Picky()
  })

type Client = EffectRpc.Client<RpcGroup.Rpcs<typeof Group>>

const overTcp = (
  answer: (message: { readonly id: string }) => string,
  call: (rpc: Client) => Failing = (rpc) => rpc.Count({ n: 1 })
): Failing =>
  Effect.gen(function*() {
    const { port } = yield* Cases.lines((message, socket) => {
      if (message._tag === "Request") {
        socket.write(answer(message as never))
      }
    })
    return yield* call(yield* Server.connect(Cases.overTcp(port), EffectRpc.make(Group)))
  })

const success = (value: unknown) => (message: { readonly id: string }) =>
  Cases.line({ _tag: "Exit", requestId: message.id, exit: { _tag: "Success", value } })

check("EffectRpc", {
  "HTTP: a 503 with a text": overHttp(HttpServer.respond(503, secret, text)),
  "HTTP: a 401 with a text": overHttp(HttpServer.respond(401, secret, text)),
  "HTTP: an answer that is no JSON": overHttp(HttpServer.respond(200, `hello ${secret}\n`)),
  "HTTP: an answer that is no message": overHttp(HttpServer.respond(200, `${JSON.stringify({ token: secret })}\n`)),
  "TCP: an answer that is no JSON": overTcp(() => `hello ${secret}\n`),
  "TCP: an answer that is no message": overTcp(() => `${JSON.stringify({ token: secret })}\n`),
  "TCP: an answer that misses its schema": overTcp(success(named)),
  "TCP: an answer that a filter refuses and quotes": overTcp(success({ token: secret }), (rpc) => rpc.Picky()),
  "TCP: an exit that is none": overTcp(({ id }) => Cases.line({ _tag: "Exit", requestId: id, exit: { _tag: secret } })),
  "a payload that misses its schema": overTcp(() => "", (rpc) => rpc.Named(named as never)),
  "a payload that cannot be written": overTcp(() => "", (rpc) => rpc.Count({ n: unwritable }))
})
