/**
 * `Thrift` against real servers of the library `thrift`, with each of their transports and protocols.
 */
import { Deadline, Fatal, InvalidOption, Retryable } from "effect-rpc-retry"
import type * as Connection from "effect-rpc-retry/Connection"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { mkdtempSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import * as thrift from "thrift"
import { nextId } from "../../../src/transport/thrift/call.js"
import * as Header from "../../../src/transport/thrift/header.js"
import { contract, type Lack } from "../../support/contract.js"
import * as Loopback from "../../support/loopback.js"
import * as Server from "../../support/thriftServer.js"
import * as Certificate from "../../support/thriftTls.js"
import { assert, describe, it } from "../../support/vitest.js"

const flavours: ReadonlyArray<readonly [Server.Flavour, ReadonlyArray<Lack>]> = [
  [{ transport: "buffered", protocol: "binary" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "buffered", protocol: "compact" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "framed", protocol: "binary" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "framed", protocol: "compact" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "header", protocol: "binary" }, ["hint"]],
  [{ transport: "header", protocol: "compact" }, ["hint"]]
]

const domain = (error: unknown) => {
  assert.instanceOf(error, Server.generated.types.Missing)
  assert.deepStrictEqual([error.text, error.code], ["x", 404])
}

for (const [flavour, lacks] of flavours) {
  contract(`Thrift, ${flavour.transport}, ${flavour.protocol}`, { make: Server.subject(flavour), domain, lacks })
}

contract("Thrift, generated for ES6", {
  make: Server.subject({ transport: "framed", protocol: "binary" }, Server.generated.es6.Client),
  // each generated module has classes of its own
  domain: (error) => assert.deepStrictEqual([error.name, "code" in error && error.code], ["Missing", 404]),
  lacks: ["hint", "remaining", "previousAttempts", "idempotencyKey"]
})

const { es5, types } = Server.generated

const { Int64 } = thrift

const connected = (
  flavour: Partial<Server.Flavour> = {},
  options: Partial<Thrift.Settings<InstanceType<typeof es5.Client>> & Connection.Lifetime> = {}
) =>
  Effect.gen(function*() {
    const server = yield* Server.makeServer({ transport: "framed", protocol: "binary", ...flavour })
    const probe = yield* Thrift.make({
      service: "Probe",
      client: es5.Client,
      host: "127.0.0.1",
      port: server.port,
      transport: "framed",
      ...flavour,
      ...options
    })
    return { server, probe }
  })

const summary = (error: unknown) =>
  error instanceof Retryable
    ? [error._tag, error.reason, error.delivery, error.code]
    : error instanceof Fatal
    ? [error._tag, error.reason, error.message, error.code]
    : error

const range = (length: number) => Array.from({ length }, (_, i) => i)

const small = (name: string) => new types.Item({ name, id: new Int64(1), tags: [], counts: {} })

const items = {
  small: new types.Item({
    name: "zażółć 漢字 \u0000 👩‍👩‍👧",
    id: new Int64("0x7fffffffffffffff"),
    tags: ["", "a", "漢"],
    counts: { a: -1, "": 2 ** 31 - 1 },
    items: [small("x"), new types.Item({ ...small("y"), items: [small("z")] })]
  }),
  large: new types.Item({
    name: "n".repeat(300_000),
    id: new Int64(-2),
    tags: Array.from({ length: 20_000 }, (_, i) => `tag ${i}`),
    counts: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`count ${i}`, i])),
    items: Array.from({ length: 2000 }, (_, i) => small(`item ${i}`))
  })
}

const plain = (item: InstanceType<typeof types.Item>): unknown => ({
  ...item,
  id: item.id.toOctetString(),
  items: item.items?.map(plain)
})

describe("Thrift", () => {
  for (const [flavour] of flavours) {
    it.scopedLive(`values round-trip: ${flavour.transport}, ${flavour.protocol}`, () =>
      Effect.gen(function*() {
        const { probe, server } = yield* connected(flavour)
        for (const item of Object.values(items)) {
          assert.deepStrictEqual(plain(yield* probe.item(item)), plain(item))
        }
        assert.strictEqual(yield* probe.nothing(), undefined)
        assert.strictEqual(yield* probe.version(), "1")
        assert.strictEqual(yield* probe.echo(""), "")
        assert.strictEqual(server.accepted(), 1)
      }))

    it.scopedLive(`values within values round-trip: ${flavour.transport}, ${flavour.protocol}`, () =>
      Effect.gen(function*() {
        const { probe } = yield* connected(flavour)
        const nested = range(400).reduce(
          (inner, i) => new types.Item({ ...small(`${i}`), items: [inner] }),
          small("innermost")
        )
        assert.deepStrictEqual(plain(yield* probe.item(nested)), plain(nested))
      }))

    it.scopedLive(`a call that wants no answer is done when it is written: ${flavour.transport}, ${flavour.protocol}`, () =>
      Effect.gen(function*() {
        const { probe, server } = yield* connected(flavour)
        assert.strictEqual(yield* probe.tell("one"), undefined)
        yield* probe.tell("two")
        assert.strictEqual(yield* probe.version(), "1")
        assert.deepStrictEqual(server.told, ["one", "two"])
        assert.strictEqual(server.accepted(), 1)
      }))
  }

  it.scopedLive("a service among others is called by its name", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer({ transport: "framed", protocol: "binary" }, { multiplexed: true })
      const make = (options: { readonly multiplexed?: boolean; readonly client: typeof es5.Client }) =>
        Thrift.make({ service: "Probe", host: "127.0.0.1", port: server.port, transport: "framed", ...options })
      const probe = yield* make({ client: es5.Client, multiplexed: true })
      assert.deepStrictEqual([yield* probe.echo("x"), yield* probe.version()], ["x", "1"])
      assert.strictEqual(probe.echo("x").method, "Probe.echo")
      const es6 = yield* make({ client: Server.generated.es6.Client, multiplexed: true })
      assert.deepStrictEqual([yield* es6.echo("x"), yield* es6.version()], ["x", "1"])
    }))

  it.scopedLive("over TLS, and over a Unix socket", () =>
    Effect.gen(function*() {
      const server = yield* Server.makeServer({ transport: "framed", protocol: "binary" })
      const forward = (socket: Net.Socket) => socket.pipe(Net.connect(server.port, "127.0.0.1")).pipe(socket)
      const directory = mkdtempSync(Path.join(tmpdir(), "effect-rpc-retry-"))
      const path = Path.join(directory, "probe.sock")
      const unix = Net.createServer(forward)
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          unix.listen(path, () => resume(Effect.void))
        }),
        () =>
          Effect.sync(() => {
            unix.close()
            rmSync(directory, { recursive: true })
          })
      )
      const overUnix = yield* Thrift.make({ service: "Probe", client: es5.Client, path, transport: "framed" })
      assert.strictEqual(yield* overUnix.echo("x"), "x")
      const inside = new Set<Net.Socket>()
      const secure = Tls.createServer(Certificate, (socket) => {
        inside.add(socket)
        forward(socket)
      })
      const port = yield* Loopback.listen(secure, () => inside.forEach((socket) => socket.destroy()))
      const withTls = (port: number, tls: Tls.ConnectionOptions, dialTimeout: Duration.DurationInput) =>
        Thrift.make({
          service: "Probe",
          client: es5.Client,
          host: "127.0.0.1",
          port,
          tls,
          transport: "framed",
          dialTimeout
        })
      const overTls = yield* withTls(port, { ca: Certificate.cert }, "5 seconds")
      assert.strictEqual(yield* overTls.echo("x"), "x")
      const distrustful = yield* withTls(port, {}, "5 seconds")
      const distrust = yield* Effect.flip(distrustful.echo("x"))
      assert.strictEqual(distrust instanceof Fatal && distrust.reason, "Protocol")
      // the server shows no certificate at all: it does not speak TLS
      const plain = yield* withTls(server.port, {}, "300 millis")
      const error = yield* Effect.flip(plain.echo("x"))
      assert.strictEqual(error instanceof Retryable && error.delivery, "NotSent")
    }))

  it.scopedLive("nobody listens: refused, not sent", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* server.stop
      const error = yield* Effect.flip(probe.echo("x"))
      assert.deepStrictEqual(summary(error), ["Retryable", "ConnectionRefused", "NotSent", "ECONNREFUSED"])
      assert.strictEqual((error as Retryable).method, "Probe.echo")
      yield* server.start
      assert.strictEqual(yield* probe.echo("x"), "x")
    }))

  it.scopedLive("arguments that cannot be written are the caller's mistake, and cost nothing", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      const error = yield* Effect.flip(probe.echo(1 as unknown as string))
      assert.deepStrictEqual(summary(error), [
        "Fatal",
        "InvalidArgument",
        "the arguments cannot be written: writeString called without a string/Buffer argument",
        undefined
      ])
      assert.strictEqual((error as Fatal).method, "Probe.echo")
      assert.strictEqual(server.accepted(), 0)
      assert.strictEqual(yield* probe.echo("x"), "x")
      yield* Effect.flip(probe.item({ ...small("x"), tags: [1 as unknown as string] }))
      assert.strictEqual(yield* probe.echo("y"), "y")
      assert.strictEqual(server.accepted(), 1)
    }))

  it.scopedLive("a key that no header can hold is the caller's mistake", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected({ transport: "header" })
      const error = yield* Effect.flip(
        probe.echo("x").pipe(Effect.provideService(Deadline.IdempotencyKey, Option.some("k".repeat(300_000))))
      )
      assert.deepStrictEqual(summary(error), [
        "Fatal",
        "InvalidArgument",
        "the headers cannot be written: headers of more than 262140 bytes",
        undefined
      ])
      assert.strictEqual(yield* probe.echo("x"), "x")
      assert.strictEqual(server.accepted(), 1)
    }))

  it("headers of THeader may be as long as their size can say, which counts words", () => {
    const facts = { idempotencyKey: "k".repeat(200_000), previousAttempts: 0, remaining: undefined }
    const frame = Header.writeTHeader(new Uint8Array([1]), 1, "binary", facts)
    const { headers, payload } = Header.readTHeader(frame, "binary")
    assert.deepStrictEqual([headers.get("idempotency-key"), payload], [facts.idempotencyKey, new Uint8Array([1])])
  })

  it("a text of more than 65535 bytes in the headers of Kitex is refused", () => {
    const facts = { idempotencyKey: "k".repeat(65_536), previousAttempts: 0, remaining: undefined }
    assert.throws(
      () => Header.writeTTHeader(new Uint8Array(), 1, "echo", false, facts),
      "a text of more than 65535 bytes in the headers"
    )
  })

  it.scopedLive("an error that retryOn does not name is Fatal, with the words of the server", () =>
    Effect.gen(function*() {
      const seen: Array<Thrift.ServerException> = []
      const { probe, server } = yield* connected({}, {
        retryOn: (exception) => {
          seen.push(exception)
          return exception.message === Server.busy
        }
      })
      yield* server.script("Fatal", "Retryable")
      assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), ["Fatal", "ServerError", "no", 0])
      assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), ["Retryable", "Custom", "Unknown", 0])
      assert.deepStrictEqual(seen.map(({ code, message }) => [code, message]), [[0, "no"], [0, Server.busy]])
      assert.instanceOf(seen[0]!.cause, thrift.Thrift.TApplicationException)
      assert.strictEqual(server.accepted(), 1)
    }))

  it.scopedLive("each declared exception is itself", () =>
    Effect.gen(function*() {
      const { probe, server } = yield* connected()
      yield* server.script("Domain", (_, answer) => answer(new types.Refused({ why: "because" })))
      assert.instanceOf(yield* Effect.flip(probe.once("x")), types.Missing)
      const refused = yield* Effect.flip(probe.once("x"))
      assert.instanceOf(refused, types.Refused)
      assert.strictEqual(refused.why, "because")
      assert.strictEqual(server.accepted(), 1)
    }))

  it.scopedLive("a call knows whether it is idempotent", () =>
    Effect.gen(function*() {
      const { probe } = yield* connected({}, { methods: { echo: { idempotent: true }, once: { idempotent: false } } })
      assert.deepStrictEqual(
        [probe.echo("x"), probe.once("x"), probe.version()].map(({ idempotent, method }) => [method, idempotent]),
        [["Probe.echo", true], ["Probe.once", false], ["Probe.version", undefined]]
      )
    }))

  it.scopedLive("a method that is named as what sends another", () =>
    Effect.gen(function*() {
      class Mail {
        send_mail() {}
        recv_send_mail() {}
        send_send_mail() {}
      }
      const calls = yield* Thrift.make({ service: "Mail", client: Mail, host: "127.0.0.1", port: 1 })
      assert.deepStrictEqual(Object.keys(calls), ["send_mail"])
    }))

  it("sequence ids are positive, and begin again after the last one that is", () => {
    assert.deepStrictEqual([0, 1, 0x7ffffffe, 0x7fffffff].map(nextId), [1, 2, 0x7fffffff, 1])
  })

  it.scopedLive("as a service of the program", () =>
    Effect.gen(function*() {
      class Tag extends Context.Tag("test/Probe")<Tag, Thrift.Calls<InstanceType<typeof es5.Client>>>() {}
      const server = yield* Server.makeServer({ transport: "buffered", protocol: "binary" })
      // the default transport and protocol are those of the library
      const live = Thrift.layer(Tag, { service: "Probe", client: es5.Client, host: "127.0.0.1", port: server.port })
      const answer = yield* Effect.flatMap(Tag, ({ echo }) => echo("x")).pipe(Effect.provide(live))
      assert.strictEqual(answer, "x")
    }))

  describe("bad options are named", () => {
    const good = { service: "Probe", client: es5.Client, host: "127.0.0.1", port: 1 }
    const bad: ReadonlyArray<[field: string, options: object, problem: string]> = [
      ["host", { host: "" }, "must be a name or an address, got \"\""],
      ["port", { port: 0 }, "must be an integer from 1 to 65535, got 0"],
      ["path", { path: 5 }, "must be the path of a socket, got 5"],
      ["tls", { tls: true }, "must be an object, got a boolean"],
      ["tls", { tls: { cert: "?" } }, ""],
      ["service", { service: "" }, "must be the name of the service, got \"\""],
      ["client", { client: {} }, "must be the class that the Thrift compiler generated, got [object Object]"],
      ["client", { client: Date }, "must be the class that the Thrift compiler generated, got one without methods"],
      ["methods.ehco", { methods: { ehco: {} } }, "is no method of Probe"],
      ["methods", { methods: null }, "must be an object of methods and their options, got null"],
      ["methods", { methods: [] }, "must be an object of methods and their options, got "],
      ["methods.echo", { methods: { echo: true } }, "must be an object, got true"],
      [
        "methods.echo.idempotnet",
        { methods: { echo: { idempotnet: true } } },
        "is not an option, did you mean idempotent?"
      ],
      ["methods.echo.idempotent", { methods: { echo: { idempotent: "yes" } } }, "must be a boolean, got \"yes\""],
      ["methods.toString", { methods: { toString: {} } }, "is no method of Probe"],
      ["path", { path: "/tmp/probe.sock" }, "cannot be given together with host"],
      ["service", { service: "a:b", multiplexed: true }, "must have no colon where it is multiplexed, got \"a:b\""],
      ["client", {
        client: class {
          send_x() {}
        }
      }, "must be the class that the Thrift compiler generated"],
      ["transport", { transport: "http" }, "must be one of buffered, framed, header, ttheader, got \"http\""],
      ["protocol", { protocol: "json" }, "must be \"binary\" or \"compact\", got \"json\""],
      [
        "protocol",
        { transport: "ttheader", protocol: "compact" },
        "must be \"binary\" with the transport \"ttheader\", got \"compact\""
      ],
      ["multiplexed", { multiplexed: "Probe" }, "must be a boolean, got \"Probe\""],
      ["retryOn", { retryOn: 6 }, "must be codes, which are numbers, or a predicate, got 6"],
      ["retryOn", { retryOn: ["6"] }, "must be codes, which are numbers, or a predicate, got 6"],
      ["connections", { connections: 0 }, "must be an integer from 1 to 1000, got 0"],
      ["dialTimeout", { dialTimeout: 0 }, ""],
      ["maxFrameBytes", { maxFrameBytes: 1.5 }, ""],
      ["idleTimeout", { idleTimeout: -1 }, ""]
    ]
    for (const [field, options, problem] of bad) {
      it(`${field}: ${problem}`, () => {
        const make = () => Thrift.make({ ...good, ...options } as Thrift.Options<InstanceType<typeof es5.Client>>)
        try {
          make()
          assert.fail("it was taken")
        } catch (error) {
          assert.instanceOf(error, InvalidOption)
          assert.deepStrictEqual([error.where, error.field], ["Thrift.make", field])
          assert.include(error.problem, problem)
        }
      })
    }
  })
})
