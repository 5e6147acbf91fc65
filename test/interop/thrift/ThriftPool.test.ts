/**
 * The connections of `Thrift`: how many there are, which one a call gets, and when they are closed.
 */
import * as Socket from "@effect/platform/Socket"
import { Connections, Fatal, Retryable, withRpcRetry } from "effect-rpc-retry"
import type * as Connection from "effect-rpc-retry/Connection"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Net from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Session from "../../../src/transport/thrift/session.js"
import { eventually, settle, turns } from "../../support/eventually.js"
import * as Peer from "../../support/peer.js"
import * as Wire from "../../support/thriftPeer.js"
import * as Server from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { es5 } = Server.generated

type ProbeClient = InstanceType<typeof es5.Client>

const flavour = { transport: "framed", protocol: "binary" } as const

const client = (port: number, options: Partial<Thrift.Settings<ProbeClient> & Connection.Lifetime> = {}) =>
  Thrift.make({ service: "Probe", client: es5.Client, host: "127.0.0.1", port, transport: "framed", ...options })

const connected = (options?: Partial<Thrift.Settings<ProbeClient> & Connection.Lifetime>) =>
  Effect.gen(function*() {
    const server = yield* Server.makeServer(flavour)
    return { server, probe: yield* client(server.port, options) }
  })

/** Until both ends of all connections are gone, so that the client knows of it. */
const noSockets = eventually(() => process.getActiveResourcesInfo().every((name) => name !== "TCPSocketWrap"))

const all = <A, E>(calls: ReadonlyArray<Effect.Effect<A, E>>) => Effect.all(calls, { concurrency: "unbounded" })

/** Gives up a call that is not answered, when the server has had its request for so long. */
const givenUp = <A, E>(
  server: { readonly seen: ReadonlyArray<unknown> },
  call: Effect.Effect<A, E>,
  after = Effect.void
) =>
  Effect.gen(function*() {
    const before = server.seen.length
    const fiber = yield* Effect.fork(call)
    yield* eventually(() => server.seen.length > before)
    yield* after
    yield* Fiber.interrupt(fiber)
  })

const range = (length: number) => Array.from({ length }, (_, i) => i)

const later: Server.Behaviour = (text, answer) => void setTimeout(() => answer(null, text), 20)

/** So many idle connections. */
const warm = (
  { probe, server }: Effect.Effect.Success<ReturnType<typeof connected>>,
  count: number
) =>
  Effect.gen(function*() {
    yield* server.script(...range(count).map(() => later))
    yield* all(range(count).map((i) => probe.echo(`warm ${i}`)))
    assert.strictEqual(server.open(), count)
  })

// workers of vitest have no garbage collector to call
setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** How many bytes of buffers are held. */
const kept = () => {
  collect()
  return process.memoryUsage().arrayBuffers
}

/** Stands before a server, and can stop passing anything on without a word. */
const network = (port: number) =>
  Effect.gen(function*() {
    const frozen = new Set<Net.Socket>()
    const toServer = new Set<Net.Socket>()
    const { port: outside, sockets } = yield* Peer.listen((socket) => {
      const server = Net.connect(port, "127.0.0.1")
      toServer.add(server)
      server.on("error", () => {})
      server.on("data", (chunk) => frozen.has(socket) || socket.write(chunk))
      socket.on("data", (chunk) => frozen.has(socket) || server.write(chunk))
      socket.on("close", () => server.destroy())
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => toServer.forEach((socket) => socket.destroy())))
    return { port: outside, sockets, freeze: () => sockets.forEach((socket) => frozen.add(socket)) }
  })

describe("the connections of Thrift", () => {
  it.scopedLive("calls at the same time have one each, and calls one after another share the last one", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* warm({ probe, server }, 5)
      const [last] = server.seen.slice(-1)
      yield* Effect.forEach(range(5), (i) => probe.echo(`later ${i}`))
      assert.strictEqual(server.accepted(), 5)
      const used = new Set(server.seen.slice(5).map(({ connection }) => connection))
      assert.strictEqual(used.size, 1)
      assert.isDefined(last)
    }))

  it.scopedLive("are no more than `connections`, and the other calls wait", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 2 })
      yield* server.script(...range(6).map(() => later))
      const texts = range(6).map(String)
      assert.deepStrictEqual(yield* all(texts.map((text) => probe.echo(text))), texts)
      assert.strictEqual(server.accepted(), 2)
    }))

  it.scopedLive("a call that is interrupted while it waits for a connection was never made", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 1 })
      let answer = () => {}
      yield* server.script((text, reply) => {
        answer = () => reply(null, text)
      })
      const first = yield* Effect.fork(probe.echo("first"))
      yield* eventually(() => server.seen.length === 1)
      const second = yield* Effect.fork(probe.echo("second"))
      yield* turns(20)
      yield* Fiber.interrupt(second)
      answer()
      assert.strictEqual(yield* Fiber.join(first), "first")
      assert.strictEqual(yield* probe.echo("third"), "third")
      assert.deepStrictEqual(server.seen.map(({ text }) => text), ["first", "third"])
      assert.strictEqual(server.accepted(), 1)
    }))

  it.scopedLive("a call among busy loops has its turn", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 4 })
      yield* Effect.forkScoped(Effect.forEach(range(4), () => Effect.forever(probe.echo("loop")), {
        concurrency: "unbounded"
      }))
      yield* eventually(() => server.seen.length >= 4)
      for (const text of ["a", "b", "c"]) {
        assert.strictEqual(yield* probe.echo(text), text)
      }
    }))

  it.scopedLive("the calls that wait are made in the order they came", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 1 })
      let answer = () => {}
      yield* server.script((text, reply) => {
        answer = () => reply(null, text)
      })
      const texts = range(500).map(String)
      const calls = yield* Effect.fork(all(texts.map((text) => probe.echo(text))))
      yield* eventually(() => server.seen.length === 1)
      yield* turns(20)
      answer()
      assert.deepStrictEqual(yield* Fiber.join(calls), texts)
      assert.deepStrictEqual(server.seen.map(({ text }) => text), texts)
      assert.strictEqual(server.accepted(), 1)
    }))

  it.scopedLive(
    "a call that has waited for long can be interrupted, and thousands at once",
    () =>
      Effect.gen(function*() {
        const { probe, server } = yield* connected({ connections: 2 })
        const loops = yield* Effect.forkScoped(
          Effect.forEach(range(2), () => Effect.forever(probe.echo("loop")), { concurrency: "unbounded" })
        )
        yield* eventually(() => server.seen.length >= 2)
        const waiting = yield* Effect.forEach(range(5000), (i) => Effect.fork(probe.echo(`waits ${i}`)))
        yield* turns(20)
        yield* Fiber.interruptAll(waiting)
        yield* Fiber.interrupt(loops)
        assert.strictEqual(yield* probe.echo("x"), "x")
        const made = server.seen.filter(({ text }) => text.startsWith("waits")).length
        assert.isBelow(made, 5000)
      })
  )

  it.scopedLive("a call that is interrupted as its turn comes gives it on", () =>
    Effect.gen(function*() {
      const { probe } = yield* connected({ connections: 1 })
      for (const i of range(50)) {
        const first = yield* Effect.fork(probe.echo("first"))
        const second = yield* Effect.fork(probe.echo("second"))
        yield* Effect.fork(Effect.zipRight(Fiber.await(first), Fiber.interrupt(second)))
        yield* Fiber.await(second)
        const text = `third ${i}`
        assert.strictEqual(yield* probe.echo(text), text)
      }
    }))

  it.scopedLive(
    "the loser of a race, interrupted as another call's answer comes, harms none that waits",
    () =>
      Effect.gen(function*() {
        const { probe, server } = yield* connected({ connections: 1 })
        yield* probe.echo("warm")
        for (const later of range(8)) {
          const winner = probe.echo("winner")
          // it waits for the connection of the first, or has been given it, when it is interrupted
          const loser = Effect.zipRight(Effect.yieldNow(), probe.echo("loser"))
          const race = Effect.raceFirst(Effect.zipLeft(winner, Effect.repeatN(Effect.yieldNow(), later)), loser)
          const innocent = range(8).map((i) => probe.echo(`innocent ${i}`))
          const [, ...answers] = yield* all([race, ...innocent]).pipe(Effect.timeout("20 seconds"))
          assert.deepStrictEqual(answers, range(8).map((i) => `innocent ${i}`))
        }
        assert.strictEqual(server.seen.filter(({ text }) => text.startsWith("innocent")).length, 64)
      })
  )

  it.scopedLive("a call that is given up closes its connection, and no other", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* warm({ probe, server }, 3)
      yield* server.script("Stall")
      const fiber = yield* Effect.fork(probe.echo("x"))
      yield* eventually(() => server.seen.length === 4)
      yield* Fiber.interrupt(fiber)
      yield* server.seen[3]!.cancelled
      assert.strictEqual(server.open(), 2)
      yield* all([probe.echo("a"), probe.echo("b")])
      assert.strictEqual(server.accepted(), 3)
    }))

  it.scopedLive("a late answer reaches nobody", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 1 })
      let late = () => {}
      yield* server.script((_, answer) => {
        late = () => answer(null, "late")
      })
      yield* givenUp(server, probe.echo("first"))
      const second = yield* Effect.fork(probe.echo("second"))
      late()
      assert.strictEqual(yield* Fiber.join(second), "second")
      assert.strictEqual(yield* probe.echo("third"), "third")
    }))

  it.scopedLive("idle connections that the server closes are not used again", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* warm({ probe, server }, 4)
      yield* server.stop
      yield* noSockets
      yield* server.start
      assert.strictEqual(yield* probe.echo("x"), "x")
      assert.strictEqual(server.accepted(), 5)
    }))

  it.scopedLive("connections that lead nowhere cost one attempt, however many there are", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const between = yield* network(server.port)
      const probe = yield* client(between.port)
      yield* warm({ probe, server }, 5)
      between.freeze()
      assert.deepStrictEqual(yield* Effect.timeoutOption(probe.echo("lost"), "150 millis"), Option.none())
      assert.strictEqual(yield* probe.echo("x"), "x")
      yield* eventually(() => between.sockets.size === 1)
      assert.strictEqual(server.seen.length, 6)
    }))

  it.scopedLive("calls that are given up sooner find that out together", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const between = yield* network(server.port)
      const probe = yield* client(between.port)
      yield* warm({ probe, server }, 10)
      between.freeze()
      const policy = { attemptTimeout: "60 millis", idempotent: true, schedule: Schedule.recurs(50) } as const
      assert.strictEqual(yield* probe.echo("x").pipe(withRpcRetry(policy)), "x")
      yield* eventually(() => between.sockets.size === 1)
    }))

  it.scoped("stay when calls are given up while the server answers others", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* warm({ probe, server }, 12)
      for (const i of range(10)) {
        yield* server.script("Stall")
        yield* givenUp(server, probe.echo("slow"), TestClock.adjust(15))
        assert.strictEqual(yield* probe.echo(`${i}`), `${i}`)
      }
      assert.strictEqual(server.accepted(), 12)
    }))

  it.scopedLive("a connection that breaks under a call takes the idle ones with it", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const between = yield* network(server.port)
      const probe = yield* client(between.port)
      yield* warm({ probe, server }, 5)
      yield* server.script("Stall")
      const fiber = yield* Effect.fork(Effect.flip(probe.echo("x")))
      yield* eventually(() => server.seen.length === 6)
      const [used] = Array.from(between.sockets).slice(-1)
      assert.isDefined(used)
      between.freeze()
      between.sockets.forEach((socket) => socket.bytesRead > 40 && socket.resetAndDestroy())
      // the one in use has carried two requests
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        error instanceof Retryable && [error.reason, error.delivery],
        ["ConnectionLost", "Unknown"]
      )
      assert.strictEqual(yield* probe.echo("y"), "y")
      yield* eventually(() => between.sockets.size === 1)
    }))

  it.scopedLive("a connection on which the server has answered since then stays", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* warm({ probe, server }, 3)
      yield* server.script("Stall")
      const fiber = yield* Effect.fork(Effect.flip(probe.echo("lost")))
      yield* eventually(() => server.seen.length === 4)
      yield* server.script(later, later)
      yield* all([probe.echo("a"), probe.echo("b")])
      server.hangUp(server.seen[3]!.connection)
      assert.instanceOf(yield* Fiber.join(fiber), Retryable)
      yield* server.script(later, later)
      yield* all([probe.echo("c"), probe.echo("d")])
      assert.strictEqual(server.accepted(), 3)
    }))

  it.scopedLive("an answer that keeps coming is waited for: only connections that said nothing since are dropped", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 3 })
      yield* warm({ probe, server }, 3)
      yield* server.script("Stall")
      const slow = yield* Effect.fork(probe.echo("slow"))
      yield* eventually(() => server.seen.length === 4)
      yield* server.script(later, later)
      // both of the others are alive after the slow one was sent
      yield* all([probe.echo("a"), probe.echo("b")])
      // longer than a call waits before it counts as one that got nothing
      yield* settle(150)
      yield* Fiber.interrupt(slow)
      yield* eventually(() => server.open() === 2)
      yield* server.script(later, later)
      yield* all([probe.echo("c"), probe.echo("d")])
      assert.strictEqual(server.accepted(), 3)
    }))

  it.scopedLive("the end of the scope closes all of them, and ends the calls", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const scope = yield* Scope.make()
      const probe = yield* Scope.extend(client(server.port), scope)
      yield* warm({ probe, server }, 3)
      yield* server.script("Stall")
      const fiber = yield* Effect.fork(Effect.flip(probe.echo("x")))
      yield* eventually(() => server.seen.length === 4)
      yield* Scope.close(scope, Exit.void)
      const closed = (error: unknown) =>
        assert.deepStrictEqual(
          error instanceof Fatal && [error.reason, error.message, error.method],
          ["Cancelled", "the client is closed", "Probe.echo"]
        )
      closed(yield* Fiber.join(fiber))
      closed(yield* Effect.flip(probe.echo("y")))
      yield* eventually(() => server.open() === 0)
    }))

  it.scopedLive("a drainTimeout lets the calls end first, all of them", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const scope = yield* Scope.make()
      const probe = yield* Scope.extend(client(server.port, { drainTimeout: "5 seconds" }), scope)
      const answers: Array<() => void> = []
      yield* server.script(
        ...range(3).map((): Server.Behaviour => (text, answer) => {
          answers.push(() => answer(null, text))
        })
      )
      const fiber = yield* Effect.fork(all(["a", "b", "c"].map((text) => probe.echo(text))))
      yield* eventually(() => answers.length === 3)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* turns(20)
      answers.forEach((answer) => answer())
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["a", "b", "c"])
      yield* Fiber.join(closing)
      yield* eventually(() => server.open() === 0)
    }))

  it.scopedLive("that drain end the calls that still wait for one, and those were not made", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const scope = yield* Scope.make()
      const options = { connections: 1, drainTimeout: "5 seconds" } as const
      const probe = yield* Scope.extend(client(server.port, options), scope)
      let answer = () => {}
      yield* server.script((text, reply) => {
        answer = () => reply(null, text)
      })
      const first = yield* Effect.fork(probe.echo("first"))
      yield* eventually(() => server.seen.length === 1)
      const second = yield* Effect.fork(Effect.flip(probe.echo("second")))
      yield* turns(20)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* turns(20)
      answer()
      assert.strictEqual(yield* Fiber.join(first), "first")
      const error = yield* Fiber.join(second)
      assert.strictEqual(error instanceof Fatal && error.reason, "Cancelled")
      yield* Fiber.join(closing)
      assert.strictEqual(server.seen.length, 1)
    }))

  it.scopedLive("a connection that is interrupted from outside ends its call, which may have run", () =>
    Effect.gen(function*() {
      const written = yield* Deferred.make<void>()
      const socket: Socket.Socket = {
        ...(yield* Socket.fromWebSocket(Effect.never)),
        runRaw: () => Effect.void,
        run: (_, options) =>
          Effect.zipRight(options?.onOpen ?? Effect.void, Effect.zipRight(Deferred.await(written), Effect.interrupt)),
        writer: Effect.succeed(() => Effect.asVoid(Deferred.succeed(written, undefined)))
      }
      const session = yield* Session.open<never>(socket, { discard: Effect.void, healthy: Effect.void }, {
        onHeard: () => {},
        onLost: () => Effect.void,
        onAbandoned: () => Effect.void
      })
      const call = session.call({ id: 1, bytes: new Uint8Array(1), sending: () => true, read: () => ({ needed: 1 }) })
      for (const delivery of ["Unknown", "NotSent"] as const) {
        const error = yield* Effect.flip(call)
        assert.deepStrictEqual(error instanceof Retryable && [error.reason, error.delivery, error.code], [
          "Unavailable",
          delivery,
          "INTERRUPTED"
        ])
      }
    }))

  it.scopedLive("while it drains no connection takes another call", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer(flavour)
      const scope = yield* Scope.make()
      const options = { connections: 2, drainTimeout: "200 millis" } as const
      const probe = yield* Scope.extend(client(server.port, options), scope)
      // the one that ended last is used next: the other one is idle meanwhile
      yield* server.script((text, answer) => void setTimeout(() => answer(null, text), 60), later, "Stall")
      yield* all([probe.echo("a"), probe.echo("b")])
      const fiber = yield* Effect.fork(Effect.exit(probe.echo("stalls")))
      yield* eventually(() => server.seen.length === 3)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* turns(20)
      const error = yield* Effect.flip(probe.echo("late"))
      assert.strictEqual(error instanceof Fatal && error.reason, "Cancelled")
      yield* Fiber.join(closing)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
    }))

  it.scopedLive("a call that was given up says nothing against the server: the next dial does not wait", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 1, dialBackoff: Schedule.spaced("1 hour") })
      yield* server.script("Stall")
      yield* givenUp(server, probe.echo("first"), settle(50))
      assert.strictEqual(yield* probe.echo("second"), "second")
    }))

  it.scopedLive("a connection that the server closes after calls without an answer says nothing against it: the next dial does not wait", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 1, dialBackoff: Schedule.spaced("1 hour") })
      for (const text of ["a", "b", "c"]) {
        yield* probe.tell(text)
        yield* eventually(() => server.told.includes(text))
        yield* server.stop
        yield* noSockets
        yield* server.start
      }
      assert.deepStrictEqual([server.told, server.accepted()], [["a", "b", "c"], 3])
    }))

  it.scopedLive("a request that waits behind one that is still written was not sent: it is made on a new connection", () =>
    Effect.gen(function*() {
      const sockets: Array<Net.Socket> = []
      const { port } = yield* Peer.listen((socket) => {
        sockets.push(socket)
        socket.once("data", (request) => {
          // answers what it has not read; the number is behind the length, the version, and the name with its own
          const id = request.readInt32BE(16)
          socket.pause().write(Wire.framed(Wire.message("binary", { id }, Wire.text("early"))))
        })
      })
      const probe = yield* client(port, { connections: 1 })
      assert.strictEqual(yield* probe.echo("x".repeat(30_000_000)), "early")
      const fiber = yield* Effect.fork(probe.echo("y"))
      yield* turns(20)
      sockets.forEach((socket) => socket.resetAndDestroy())
      assert.strictEqual(yield* Fiber.join(fiber), "early")
      assert.strictEqual(sockets.length, 2)
    }))

  it.scopedLive("a large answer is not kept, whether it was read or cut", () =>
    Effect.gen(function*() {
      const { port } = yield* Peer.listen((socket) => {
        socket.once("data", () => {
          const bytes = Wire.framed(Wire.message("binary", {}, Wire.text("x".repeat(30_000_000))))
          socket.write(bytes)
        })
      })
      const cut = yield* Peer.listen((socket) => {
        socket.once("data", () => {
          const bytes = Wire.framed(Wire.message("binary", {}, Wire.text("x".repeat(30_000_000))))
          socket.end(bytes.subarray(0, -1))
        })
      })
      const probe = yield* client(port, { maxFrameBytes: 31_000_000 })
      const other = yield* client(cut.port, { maxFrameBytes: 31_000_000 })
      const before = kept()
      assert.strictEqual(yield* Effect.map(probe.echo("x"), (text) => text.length), 30_000_000)
      yield* eventually(() => kept() - before < 10_000_000)
      assert.instanceOf(yield* Effect.flip(other.echo("x")), Retryable)
      yield* eventually(() => kept() - before < 10_000_000)
    }))

  it.scopedLive("are closed after the idleTimeout when they are not needed", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ idleTimeout: "30 millis" })
      yield* warm({ probe, server }, 3)
      yield* eventually(() => server.open() === 0)
      assert.strictEqual(yield* probe.echo("x"), "x")
    }))

  it.scopedLive("are shown as one", () =>
    Effect.gen(function*() {
      const registry = Connections.make()
      const server = yield* Server.makeServer(flavour)
      const probe = yield* client(server.port).pipe(Effect.provideService(Connections.Connections, registry))
      const name = `thrift://127.0.0.1:${server.port}`
      assert.deepStrictEqual(yield* registry.all, [{ name, state: "idle", dials: 0, failedDials: 0 }])
      yield* warm({ probe, server }, 3)
      assert.deepStrictEqual(yield* registry.all, [{ name, state: "ready", dials: 3, failedDials: 0 }])
      yield* server.stop
      yield* eventually(() => server.open() === 0)
      yield* Effect.flip(probe.echo("x"))
      const [status] = yield* registry.all
      assert.deepStrictEqual([status?.dials, status?.failedDials], [4, 1])
    }))

  it.scopedLive("a dial that gets no answer is given up, and nothing was sent", () =>
    Effect.gen(function*() {
      // a peer of TLS that says nothing
      const { port } = yield* Peer.listen(() => {})
      const probe = yield* client(port, { dialTimeout: "50 millis" }).pipe(
        Effect.zipRight(
          Thrift.make({
            service: "Probe",
            client: es5.Client,
            host: "127.0.0.1",
            port,
            tls: {},
            dialTimeout: "50 millis"
          })
        )
      )
      const error = yield* Effect.flip(probe.echo("x"))
      assert.deepStrictEqual(
        error instanceof Retryable && [error.reason, error.delivery, error.code],
        ["Unavailable", "NotSent", "DIAL_TIMEOUT"]
      )
    }))

  it.scopedLive("an outage: all callers come through when the server is back", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ connections: 4 })
      yield* warm({ probe, server }, 4)
      yield* server.stop
      const done = yield* Deferred.make<void>()
      yield* Effect.fork(
        settle(150).pipe(Effect.zipRight(server.start), Effect.intoDeferred(done))
      )
      const texts = range(20).map(String)
      const policy = { schedule: Schedule.spaced("20 millis") }
      const answers = yield* all(texts.map((text) => probe.echo(text).pipe(withRpcRetry(policy))))
      assert.deepStrictEqual(answers, texts)
      yield* Deferred.await(done)
      assert.strictEqual(server.seen.length, 24)
    }))
})
