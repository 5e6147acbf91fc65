/**
 * Transports of ours: what they do that those of the library over HTTP/2 do not.
 */
import { createClient } from "@connectrpc/connect"
import { Http2SessionManager } from "@connectrpc/connect-node"
import { type Fatal, InvalidOption, type Retryable, RetryExhausted, withRpcRetry } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as ConnectNode from "effect-rpc-retry/ConnectNode"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import * as ConnectCut from "../../support/connectCut.js"
import * as ConnectRaw from "../../support/connectRaw.js"
import * as ConnectServer from "../../support/connectServer.js"
import { eventually, settle } from "../../support/eventually.js"
import { assert, describe, it } from "../../support/vitest.js"

const { EchoService, http2Kinds, kinds, make, stall } = ConnectServer

const x = { value: "x" }

const told = (error: Retryable | Fatal) =>
  error._tag === "Retryable"
    ? [error._tag, error.reason, error.delivery, error.code]
    : [error._tag, error.reason, error.code]

const changeOver = (
  kind: ConnectServer.Kind,
  port: number,
  options?: Parameters<typeof ConnectServer.transport>[2]
) =>
  Effect.map(
    ConnectServer.transport(kind, port, options),
    (transport) => Connect.unary(EchoService.method.change, transport, { idempotent: false })
  )

/** Enough for the server to have looked at all that came before. */
const settled = (client: Connect.Client<typeof EchoService>) => Effect.asVoid(client.echo({ value: "after" }))

describe("a call that is given up", () => {
  for (const kind of [...http2Kinds, ...ConnectServer.http1Kinds]) {
    it.scopedLive(`${kind}: right after its start never reaches the handler as an empty message`, () =>
      Effect.gen(function*() {
        const { client, seen } = yield* make(kind)
        yield* client.echo(x)
        for (let turns = 0; turns < 16; turns++) {
          for (let i = 0; i < 5; i++) {
            const fiber = yield* Effect.fork(client.change(x))
            for (let turn = 0; turn < turns; turn++) {
              yield* Effect.promise(() => Promise.resolve())
            }
            yield* Fiber.interrupt(fiber)
          }
          yield* settled(client)
        }
        assert.deepStrictEqual(seen.filter(({ text }) => text === ""), [])
      }))

    it.scopedLive(`${kind}: while its connection is made never reaches the handler at all`, () =>
      Effect.gen(function*() {
        const { port, seen } = yield* ConnectServer.server(kind)
        for (let i = 0; i < 10; i++) {
          const transport = yield* ConnectServer.transport(kind, port)
          const client = Connect.client(EchoService, transport)
          const fiber = yield* Effect.fork(client.change(x))
          yield* Effect.yieldNow()
          yield* Fiber.interrupt(fiber)
          yield* Effect.flip(client.change(x, { timeoutMs: 1 })).pipe(Effect.ignore)
          yield* settled(client)
        }
        assert.deepStrictEqual(seen.filter(({ text }) => text === ""), [])
      }))
  }

  for (const kind of http2Kinds) {
    it.scopedLive(`${kind}: in the middle of its message is reset, and its end is not written`, () =>
      Effect.gen(function*() {
        const events: Array<string> = []
        // takes no more than 64 kB, which is what the peer may send unasked
        const server = Http2.createServer()
        server.on("stream", (stream) => {
          stream.on("error", () => {})
          stream.on("aborted", () => events.push("aborted"))
          stream.on("close", () => events.push(`closed with ${stream.rstCode}`))
          events.push("open")
        })
        const { port } = yield* listening(server)
        const change = yield* changeOver(kind, port)
        const fiber = yield* Effect.fork(change({ value: "x".repeat(200_000) }))
        yield* eventually(() => events.length === 1)
        yield* Fiber.interrupt(fiber)
        yield* eventually(() => events.length >= 3)
        assert.deepStrictEqual(events, ["open", "aborted", "closed with 8"])
      }))

    it.scopedLive(`${kind}: a stream of requests that is given up has no end either`, () =>
      Effect.gen(function*() {
        const events: Array<string> = []
        const { port } = yield* ConnectRaw.http2((stream) => {
          events.push("open")
          stream.on("aborted", () => events.push("aborted"))
          stream.on("close", () => events.push(`closed with ${stream.rstCode}`))
        })
        const client = createClient(EchoService, yield* ConnectServer.transport(kind, port))
        const controller = new AbortController()
        const forever = async function*() {
          yield x
          await new Promise(() => {})
        }
        const call = client.collect(forever(), { signal: controller.signal }).catch(() => "ended")
        yield* eventually(() => events.length === 1)
        controller.abort()
        assert.strictEqual(yield* Effect.promise(() => call), "ended")
        yield* eventually(() => events.length >= 3)
        assert.deepStrictEqual(events, ["open", "aborted", "closed with 8"])
      }))

    it.scopedLive(`${kind}: methods that take a stream of requests work over the transport`, () =>
      Effect.gen(function*() {
        const { transport } = yield* make(kind)
        const client = createClient(EchoService, transport)
        const requests = async function*() {
          yield { value: "a" }
          yield { value: "b".repeat(100_000) }
          yield { value: "c" }
        }
        const texts = ["a", "b".repeat(100_000), "c"]
        assert.strictEqual((yield* Effect.promise(() => client.collect(requests()))).value, texts.join())
        const answers = yield* Stream.runCollect(
          Stream.fromAsyncIterable(client.chat(requests()), (error) => error)
        )
        assert.deepStrictEqual([...answers].map(({ value }) => value), texts)
      }))
  }
})

const listening = (server: Http2.Http2Server | Http2.Http2SecureServer) =>
  Effect.gen(function*() {
    const sessions = new Set<Http2.ServerHttp2Session>()
    const sockets = new Set<Net.Socket>()
    server.on("connection", (socket: Net.Socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    server.on("session", (session) => {
      sessions.add(session)
      session.on("error", () => {})
      session.on("close", () => sessions.delete(session))
    })
    const port = yield* Effect.acquireRelease(
      Effect.async<number>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
      }),
      () =>
        Effect.sync(() => {
          server.close()
          sessions.forEach((session) => session.destroy())
        })
    )
    return { port, sessions, sockets }
  })

describe("a connection that is cut", () => {
  for (const kind of kinds.filter((kind) => !kind.startsWith("connect-node"))) {
    it.scopedLive(`${kind}: after any byte of a request never makes it an empty one`, () =>
      Effect.gen(function*() {
        const { port, seen } = yield* ConnectServer.server(kind)
        let bytes = 1
        const proxy = yield* ConnectCut.after(port, () => bytes)
        for (; bytes < 700; bytes += 3) {
          const change = yield* changeOver(kind, proxy.port)
          yield* Effect.scoped(Effect.exit(change({ value: "the order" })))
        }
        assert.deepStrictEqual(seen.filter(({ text }) => text !== "the order").map(({ text }) => text), [])
        assert.isAbove(seen.length, 0)
      }))
  }
})

describe("HTTP/2 connections", () => {
  const ends: ReadonlyArray<readonly [string, (session: Http2.ServerHttp2Session, sockets: Set<Net.Socket>) => void]> =
    [
      ["that the server destroys", (session) => session.destroy()],
      ["that end after a GOAWAY", (session) => {
        session.goaway(0)
        session.destroy()
      }],
      ["that are reset after a GOAWAY", (session, sockets) => {
        session.goaway(0)
        // once it is written
        setImmediate(() => setImmediate(() => sockets.forEach((socket) => socket.resetAndDestroy())))
      }],
      ["that end with an error", (session) => session.destroy(new Error("no"))]
    ]
  for (const kind of http2Kinds) {
    for (const [says, end] of ends) {
      it.scopedLive(`${kind}: ${says} fail the calls on them, and no later one`, () =>
        Effect.gen(function*() {
          const server = Http2.createServer()
          const streams: Array<Http2.ServerHttp2Stream> = []
          server.on("stream", (stream) => {
            stream.on("error", () => {})
            streams.push(stream)
          })
          const { port, sockets } = yield* listening(server)
          const change = yield* changeOver(kind, port)
          for (let round = 1; round <= 3; round++) {
            const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(Effect.flip(change(x))))
            yield* eventually(() => streams.length === 3)
            end(streams[0]!.session as Http2.ServerHttp2Session, sockets)
            const errors = yield* Effect.forEach(fibers, Fiber.join)
            for (const error of errors) {
              assert.deepStrictEqual(told(error).slice(0, 3), ["Retryable", "ConnectionLost", "Unknown"])
            }
            streams.length = 0
          }
        }))
    }
  }
})

describe("a GOAWAY on an idle connection", () => {
  for (const kind of http2Kinds) {
    for (const code of [0, 2, 11]) {
      it.scopedLive(`${kind}: with code ${code} is no error of anybody, and the next call has a new connection`, () =>
        Effect.gen(function*() {
          const server = Http2.createServer()
          server.on("stream", (stream) => {
            stream.on("error", () => {})
            stream.close(8)
          })
          const { port, sessions, sockets } = yield* listening(server)
          const change = yield* changeOver(kind, port)
          for (let round = 0; round < 3; round++) {
            const lost = yield* Effect.flip(change(x))
            assert.deepStrictEqual(told(lost), ["Retryable", "ConnectionLost", "Unknown", "NGHTTP2_CANCEL"])
            assert.strictEqual(sockets.size, 1)
            sessions.forEach((session) => {
              session.goaway(code)
              session.goaway(code)
              session.close()
            })
            yield* eventually(() => sockets.size === 0)
          }
        }))
    }
  }
})

describe("a request that the server has certainly not looked at", () => {
  const retries = Schedule.recurs(5)

  /** Refuses the first so many streams, and answers the others with an error. */
  const refusing = (refuse: (stream: Http2.ServerHttp2Stream, nth: number) => boolean) =>
    Effect.gen(function*() {
      let requests = 0
      const server = Http2.createServer()
      server.on("stream", (stream) => {
        stream.on("error", () => {})
        if (!refuse(stream, ++requests)) {
          stream.respond({ ":status": 404, "content-type": "text/html" }, { endStream: true })
        }
      })
      return { ...yield* listening(server), requests: () => requests }
    })

  const refuseFirst = (times: number) => (stream: Http2.ServerHttp2Stream, nth: number) => {
    if (nth <= times) {
      ConnectRaw.reset(stream, 7)
    }
    return nth <= times
  }

  for (const kind of http2Kinds) {
    it.scopedLive(`${kind}: REFUSED_STREAM: is made once more at once, which is no attempt`, () =>
      Effect.gen(function*() {
        const { port, requests } = yield* refusing(refuseFirst(1))
        const transport = yield* ConnectServer.transport(kind, port)
        const change = Connect.unary(EchoService.method.change, transport, { idempotent: false })
        const watch = Connect.serverStream(EchoService.method.watch, transport, { idempotent: false })
        // no retry, and no time to wait for one
        const policy = { schedule: Schedule.stop, idempotencyKey: true }
        const error = yield* Effect.flip(change(x).pipe(withRpcRetry(policy)))
        assert.deepStrictEqual([error._tag, error.reason, requests()], ["Fatal", "Unimplemented", 2])
        yield* Effect.flip(Effect.scoped(watch(x).pipe(withRpcRetry(policy))))
        assert.strictEqual(requests(), 3)
      }))

    it.scopedLive(`${kind}: REFUSED_STREAM twice is a failed attempt that was not sent`, () =>
      Effect.gen(function*() {
        const { port, requests } = yield* refusing(refuseFirst(4))
        const change = yield* changeOver(kind, port)
        const failed = yield* Effect.flip(change(x))
        assert.deepStrictEqual(told(failed), ["Retryable", "Unavailable", "NotSent", "NGHTTP2_REFUSED_STREAM"])
        assert.strictEqual(requests(), 2)
        const error = yield* Effect.flip(change(x).pipe(withRpcRetry({ schedule: retries })))
        assert.deepStrictEqual([error._tag, requests()], ["Fatal", 5])
      }))

    it.scopedLive(`${kind}: GOAWAY with an earlier stream: goes out once more on another connection`, () =>
      Effect.gen(function*() {
        for (const code of [0, 2]) {
          const { port, requests, sessions } = yield* refusing((stream, nth) => {
            if (nth === 2) {
              stream.session!.goaway(code, stream.id! - 2)
            }
            return nth === 2
          })
          const change = yield* changeOver(kind, port)
          for (const made of [1, 3]) {
            const error = yield* Effect.flip(change(x).pipe(withRpcRetry({ schedule: Schedule.stop })))
            assert.deepStrictEqual([error._tag, error.reason, requests()], ["Fatal", "Unimplemented", made])
          }
          assert.isAtLeast(sessions.size, 1)
        }
      }))

    it.scopedLive(`${kind}: is not made once more for a caller who has gone`, () =>
      Effect.gen(function*() {
        let refuse: (() => void) | undefined
        const { port, requests } = yield* refusing((stream) => {
          refuse = () => ConnectRaw.reset(stream, 7)
          return true
        })
        const change = yield* changeOver(kind, port)
        const fiber = yield* Effect.fork(change(x))
        yield* eventually(() => refuse !== undefined)
        const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
        refuse!()
        yield* Fiber.join(interrupting)
        // comes after it on the same connection
        const next = yield* Effect.fork(change(x))
        yield* eventually(() => requests() > 1)
        assert.strictEqual(requests(), 2)
        yield* Fiber.interrupt(next)
      }))
  }

  for (const kind of ["Connect over HTTP/2", "gRPC-web over HTTP/2"] as const) {
    it.scopedLive(`${kind}: is not lost in a graceful rotation of the server, though it must not run twice`, () =>
      Effect.gen(function*() {
        const peer = yield* make(kind)
        const server = Http2.createServer()
        const { port } = yield* listening(server)
        const upstream = yield* Effect.acquireRelease(
          Effect.sync(() => Http2.connect(`http://127.0.0.1:${peer.port}`).on("error", () => {})),
          (session) => Effect.sync(() => session.destroy())
        )
        let streams = 0
        server.on("stream", (stream, { ":authority": _, ...headers }) => {
          stream.on("error", () => {})
          streams++
          if (streams % 10 === 0) {
            // takes no more on this connection, and has not looked at this one
            stream.session!.goaway(0, stream.id! - 2)
            return
          }
          const request = upstream.request(headers)
          request.on("response", (headers) => stream.respond(headers))
          request.pipe(stream)
          stream.pipe(request)
        })
        const change = yield* changeOver(kind, port)
        const texts = Array.from({ length: 60 }, (_, i) => String(i))
        yield* Effect.forEach(texts, (value) => change({ value }))
        assert.deepStrictEqual(peer.seen.map(({ text }) => text), texts)
        assert.strictEqual(streams, 66)
      }))
  }
})

describe("a connection that is not made", () => {
  const how: ReadonlyArray<readonly [string, (socket: Net.Socket) => void]> = [
    ["cuts the TLS handshake", (socket) => socket.once("data", () => socket.end())],
    ["resets the TLS handshake", (socket) => socket.once("data", () => socket.resetAndDestroy())],
    ["speaks no TLS", (socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))]
  ]
  for (const kind of [...http2Kinds, ...ConnectServer.http1Kinds]) {
    for (const [says, onSocket] of how) {
      it.scopedLive(`${kind}: a peer that ${says} has not been sent the request, and it is retried`, () =>
        Effect.gen(function*() {
          let dials = 0
          const { port } = yield* ConnectCut.peer((socket) => {
            dials++
            onSocket(socket)
          })
          const change = yield* changeOver(kind, port, { scheme: "https" })
          const error = yield* Effect.flip(change(x).pipe(withRpcRetry({ schedule: Schedule.recurs(2) })))
          assert.instanceOf(error, RetryExhausted)
          assert.deepStrictEqual(
            error.history.map(({ error }) => [error._tag, error.delivery]),
            [["Retryable", "NotSent"], ["Retryable", "NotSent"], ["Retryable", "NotSent"]]
          )
          assert.strictEqual(dials, 3)
        }))
    }
  }

  for (const kind of http2Kinds) {
    it.scopedLive(`${kind}: a call that times out in its TLS handshake was not sent, whatever its timer`, () =>
      Effect.gen(function*() {
        const { port } = yield* ConnectCut.peer(() => {})
        const change = yield* changeOver(kind, port, { scheme: "https" })
        const byPolicy = yield* Effect.flip(
          change(x).pipe(withRpcRetry({ attemptTimeout: "40 millis", schedule: Schedule.recurs(1) }))
        )
        assert.instanceOf(byPolicy, RetryExhausted)
        assert.deepStrictEqual(
          byPolicy.history.map(({ error }) => [error.reason, error.delivery]),
          [["AttemptTimeout", "NotSent"], ["AttemptTimeout", "NotSent"]]
        )
        assert.deepStrictEqual(
          told(yield* Effect.flip(change(x, { timeoutMs: 40 }))).slice(0, 3),
          ["Retryable", "AttemptTimeout", "NotSent"]
        )
      }))

    it.scoped(`${kind}: a call that times out when it was sent may have run`, () =>
      Effect.gen(function*() {
        const { script, seen, transport } = yield* make(kind)
        const change = Connect.unary(EchoService.method.change, transport, { idempotent: false })
        script(stall, stall)
        const fiber = yield* Effect.fork(
          Effect.flip(change(x).pipe(withRpcRetry({ attemptTimeout: "100 millis", schedule: Schedule.recurs(1) })))
        )
        yield* TestServices.provideLive(eventually(() => seen.length === 1))
        yield* TestClock.adjust("100 millis")
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.delivery, seen.length], ["NotIdempotent", "Unknown", 1])
        // the connection is there, so the request is written before any timer
        assert.deepStrictEqual(
          told(yield* Effect.flip(change(x, { timeoutMs: 100 }))).slice(0, 3),
          ["Retryable", "AttemptTimeout", "Unknown"]
        )
      }))

    it.scopedLive(`${kind}: a dial has a limit of its own, and the next call dials anew`, () =>
      Effect.gen(function*() {
        let dials = 0
        const { port } = yield* ConnectCut.peer(() => dials++)
        const change = yield* changeOver(kind, port, { scheme: "https", session: { connectTimeoutMs: 50 } })
        for (let i = 0; i < 2; i++) {
          assert.deepStrictEqual(
            told(yield* Effect.flip(change(x))).slice(0, 3),
            ["Retryable", "ConnectionLost", "NotSent"]
          )
        }
        assert.strictEqual(dials, 2)
      }))
  }
})

describe("a peer that does not speak HTTP/2", () => {
  for (const kind of http2Kinds) {
    it.scopedLive(`${kind}: fails the calls that come while its connection fails, and not the process`, () =>
      Effect.gen(function*() {
        const port = yield* ConnectRaw.says("SSH-2.0-OpenSSH_9.6\r\n")
        const change = yield* changeOver(kind, port)
        for (let i = 0; i < 30; i++) {
          const error = yield* Effect.flip(change(x))
          assert.isTrue(error.code === "ERR_HTTP2_ERROR" || error._tag === "Retryable", String(error))
        }
      }))
  }
})

describe("a quiet connection", () => {
  for (const kind of http2Kinds) {
    it.scopedLive(`${kind}: whose peer answers no PING ends, with the calls on it`, () =>
      Effect.gen(function*() {
        // says nothing but its settings
        const { port } = yield* ConnectCut.peer((socket) => socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])))
        const change = yield* changeOver(kind, port, { session: { pingIntervalMs: 30, pingTimeoutMs: 30 } })
        const error = yield* Effect.flip(change(x))
        assert.deepStrictEqual(told(error).slice(0, 3), ["Retryable", "ConnectionLost", "Unknown"])
      }))

    it.scopedLive(`${kind}: that answers lives on, and is used again`, () =>
      Effect.gen(function*() {
        const { port } = yield* ConnectServer.server(kind)
        const { pings, sessions, port: other } = yield* pinged(port)
        const client = Connect.client(
          EchoService,
          yield* ConnectServer.transport(kind, other, { session: { pingIntervalMs: 20, pingTimeoutMs: 5_000 } })
        )
        yield* client.echo(x)
        // at least as long as the interval: before the next request the connection is asked whether it is there
        yield* settle(60)
        yield* Effect.all([client.echo(x), client.echo(x), client.echo(x)], { concurrency: 3 })
        assert.isAtLeast(pings(), 1)
        assert.strictEqual(sessions(), 1)
      }))

    it.scopedLive(`${kind}: keeps the process running while a call waits to hear whether it is there`, () =>
      Effect.gen(function*() {
        const { port } = yield* ConnectServer.server(kind)
        // those that keep a process running
        const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length
        const asked: Array<number> = []
        const { port: other } = yield* pinged(port, () => asked.push(sockets()))
        const client = Connect.client(
          EchoService,
          yield* ConnectServer.transport(kind, other, { session: { pingIntervalMs: 20, pingTimeoutMs: 5_000 } })
        )
        yield* client.echo(x)
        yield* settle(60)
        const idle = sockets()
        asked.length = 0
        yield* client.echo(x)
        assert.strictEqual(asked[0], idle + 1)
        yield* settle(60)
        assert.strictEqual(sockets(), idle)
      }))

    it.scopedLive(`${kind}: without calls is closed in the end, and the next call makes another`, () =>
      Effect.gen(function*() {
        const { connections, port } = yield* ConnectServer.server(kind)
        const client = Connect.client(
          EchoService,
          yield* ConnectServer.transport(kind, port, { session: { idleConnectionTimeoutMs: 30 } })
        )
        for (let i = 0; i < 2; i++) {
          yield* client.echo(x)
          yield* eventually(() => connections() === 0)
        }
      }))
  }

  /** Counts the PINGs, and the connections, on their way to a server. */
  const pinged = (target: number, onPing: () => void = () => {}) =>
    Effect.gen(function*() {
      let pings = 0
      let sessions = 0
      const { port } = yield* ConnectCut.through(target, (chunk) => {
        // a frame of eight bytes, of the type PING, that is no answer to one
        const ping = Buffer.from([0, 0, 8, 6, 0])
        for (let at = chunk.indexOf(ping); at >= 0; at = chunk.indexOf(ping, at + 1)) {
          pings++
          onPing()
        }
      }, () => sessions++)
      return { port, pings: () => pings, sessions: () => sessions }
    })
})

describe("the length of a message", () => {
  it.scopedLive("is told of unary requests of the protocol Connect, where the message does not have it itself", () =>
    Effect.gen(function*() {
      const lengths: Array<[string | undefined, number]> = []
      const server = Http2.createServer()
      server.on("stream", (stream, headers) => {
        let bytes = 0
        stream.on("error", () => {})
        stream.on("data", (chunk: Buffer) => {
          bytes += chunk.length
        })
        stream.on("end", () => {
          lengths.push([headers["content-length"], bytes])
          stream.respond({ ":status": 503 }, { endStream: true })
        })
      })
      const { port } = yield* listening(server)
      const value = "x".repeat(300_000)
      for (const kind of http2Kinds) {
        yield* Effect.flip((yield* changeOver(kind, port))({ value }))
      }
      const message = value.length + 4
      assert.deepStrictEqual(lengths, [[String(message), message], [undefined, message + 5], [undefined, message + 5]])
    }))
})

describe("options", () => {
  it("that cannot be used are told at once", () => {
    const baseUrl = "http://127.0.0.1:1"
    const two = { baseUrl, httpVersion: "2" } as const
    const cases: ReadonlyArray<readonly [() => unknown, string]> = [
      [
        () => ConnectNode.createConnectTransport({ ...two, baseUrl: "api" }),
        "ConnectNode.createConnectTransport: baseUrl must be a URL that begins with http: or https:"
      ],
      [
        () => ConnectNode.createGrpcTransport({ baseUrl: "ftp://x" }),
        "ConnectNode.createGrpcTransport: baseUrl must be a URL that begins with http: or https:"
      ],
      [
        () => ConnectNode.createGrpcWebTransport({ ...two, pingIntervalMs: 0 }),
        "ConnectNode.createGrpcWebTransport: pingIntervalMs must be a number of milliseconds greater than 0, got 0"
      ],
      [
        () => ConnectNode.sessionManager(baseUrl, { connectTimeoutMs: NaN }),
        "ConnectNode.sessionManager: connectTimeoutMs must be a number of milliseconds greater than 0, got NaN"
      ],
      [
        () =>
          ConnectNode.createGrpcTransport({
            baseUrl,
            sessionManager: new Http2SessionManager(baseUrl) as unknown as ConnectNode.SessionManager
          }),
        "ConnectNode.createGrpcTransport: sessionManager must be made with ConnectNode.sessionManager"
      ],
      [
        () =>
          ConnectNode.createGrpcTransport({
            baseUrl,
            sessionManager: ConnectNode.sessionManager("http://127.0.0.1:2")
          }),
        "ConnectNode.createGrpcTransport: sessionManager must be for the origin of baseUrl, http://127.0.0.1:1, " +
        "got one for http://127.0.0.1:2"
      ]
    ]
    for (const [make, message] of cases) {
      assert.throws(make, message)
      assert.throws(make, InvalidOption)
    }
  })
})
