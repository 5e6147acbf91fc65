import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import { eventually } from "../support/eventually.js"
import { assert, describe, it } from "../support/vitest.js"

/** What a plain socket sees until it is enough, by default a line, or until the peer ends, or there is an error. */
const talk = (port: number, text: string, isEnough = (received: string) => received.endsWith("\n")) =>
  Effect.async<string>((resume) => {
    let received = ""
    const socket = Net.connect({ host: "127.0.0.1", port })
    const end = (how: string) => {
      socket.destroy()
      resume(Effect.succeed(received + how))
    }
    socket.on("data", (chunk) => {
      received += chunk.toString()
      if (isEnough(received)) {
        end("")
      }
    })
    socket.on("end", () => end("<end>"))
    socket.on("error", (error: NodeJS.ErrnoException) => end(`<${error.code}>`))
    socket.write(text)
  })

const requestOf = (id: number) => `{"method":"Arith.Multiply","params":[{"A":6,"B":7}],"id":${id}}\n`
const answerOf = (id: number) => `{"id":${id},"result":42,"error":null}\n`
const request = requestOf(5)
const answered = answerOf(5)

describe("FlakyServer", () => {
  it.scopedLive("does what it is told, once each, and answers after that", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const { port } = server.address
      const table: ReadonlyArray<[FlakyServer.Fault, string]> = [
        [FlakyServer.answer, answered],
        [FlakyServer.reset, "<ECONNRESET>"],
        [FlakyServer.close, "<end>"],
        [FlakyServer.late(5), answered],
        [FlakyServer.garbage("?!\n"), "?!\n"],
        [FlakyServer.error("no"), "{\"id\":5,\"result\":null,\"error\":\"no\"}\n"]
      ]
      yield* server.script(...table.map(([fault]) => fault))
      for (const [fault, seen] of table) {
        assert.strictEqual(yield* talk(port, request), seen, fault._tag)
      }
      // what is left without an answer shows in that of the next request
      yield* server.script(FlakyServer.stall)
      assert.strictEqual(yield* talk(port, request + requestOf(6)), answerOf(6))
      assert.strictEqual(yield* talk(port, request), answered)
      const connections = (yield* server.requests).map((request) => request.connection)
      assert.deepStrictEqual(connections, [1, 2, 3, 4, 5, 6, 7, 7, 8])
    }))

  it.scopedLive("stops, starts on the same port, restarts", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const { port } = server.address
      yield* server.stop
      yield* server.stop
      assert.strictEqual(yield* talk(port, request), "<ECONNREFUSED>")
      yield* server.start
      yield* server.start
      assert.strictEqual(yield* talk(port, request), answered)
      yield* server.restart
      assert.strictEqual(yield* talk(port, request), answered)
    }))

  it.scopedLive("answers as a Go server does to what it does not know, or cannot do", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
      const ask = (method: string, args: unknown) =>
        Effect.map(
          talk(server.address.port, JSON.stringify({ method, params: [args], id: 1 })),
          (text) => JSON.parse(text).error as string
        )
      assert.strictEqual(yield* ask("Arith.Power", {}), "rpc: can't find method Arith.Power")
      assert.strictEqual(yield* ask("Geometry.Area", {}), "rpc: can't find service Geometry.Area")
      assert.strictEqual(yield* ask("toString", {}), "rpc: can't find service toString")
      assert.strictEqual(yield* ask("Arith.Divide", { A: 1, B: 0 }), "divide by zero")
      assert.include(yield* ask("Arith.Multiply", { A: "six" }), "[\"A\"]")
    }))

  it.scopedLive("a method that dies is answered with an error string", () =>
    Effect.gen(function*() {
      const server = yield* FlakyServer.make({ methods: { "A.B": () => Effect.die(new Error("boom")) } })
      const text = yield* talk(server.address.port, "{\"method\":\"A.B\",\"params\":[1],\"id\":5}")
      assert.strictEqual(text, "{\"id\":5,\"result\":null,\"error\":\"panic: Error: boom\"}\n")
    }))

  it.live("can be closed while it starts", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(FlakyServer.make({ methods: {} }), scope)
      yield* server.stop
      const starting = yield* Effect.fork(server.start)
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      yield* starting.await
      yield* server.start
      assert.strictEqual(yield* talk(server.address.port, ""), "<ECONNREFUSED>")
    }))

  it.live("leaves nothing when its scope closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(FlakyServer.make({ methods: FlakyServer.arith }), scope)
      yield* server.script(FlakyServer.late("1 hour"), FlakyServer.stall, FlakyServer.stall)
      const clients = yield* Effect.forEach([1, 2, 3], () => Effect.fork(talk(server.address.port, request)))
      yield* eventually(Effect.map(server.requests, (requests) => requests.length === 3))
      assert.strictEqual(yield* server.connections, 3)
      yield* Scope.close(scope, Exit.void)
      yield* Effect.forEach(clients, (client) => client.await)
      assert.strictEqual(yield* talk(server.address.port, request), "<ECONNREFUSED>")
      // sockets are given back a moment after they are closed
      yield* eventually(
        Effect.sync(() => process.getActiveResourcesInfo().every((name) => !name.startsWith("TCP")))
      )
    }))
})
