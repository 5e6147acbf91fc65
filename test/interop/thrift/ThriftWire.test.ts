/**
 * `Thrift` and peers that answer with anything: each call has a typed error, and nothing hangs or crashes.
 */
import { Fatal, Retryable, RpcError } from "effect-rpc-retry"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Net from "node:net"
import * as thrift from "thrift"
import { eventually, settle } from "../../support/eventually.js"
import * as Peer from "../../support/peer.js"
import * as Random from "../../support/random.js"
import * as Wire from "../../support/thriftPeer.js"
import { generated } from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { es5, types } = generated

type Options = Partial<Thrift.Settings<InstanceType<typeof es5.Client>>>

/** A peer that answers each request with the next of these bytes; later ones with what they ask for. */
const peer = (options: Options, ...replies: ReadonlyArray<Uint8Array | ((socket: Net.Socket) => void)>) =>
  Effect.gen(function*() {
    const left = [...replies]
    let connections = 0
    const { port, sockets } = yield* Peer.listen((socket) => {
      connections++
      socket.on("data", () => {
        const reply = left.shift() ?? (() => {})
        if (typeof reply === "function") {
          reply(socket)
        } else {
          socket.write(reply)
        }
      })
    })
    const probe = yield* Thrift.make({
      service: "Probe",
      client: es5.Client,
      host: "127.0.0.1",
      port,
      transport: "framed",
      ...options
    })
    return { probe, sockets, connections: () => connections, port }
  })

const summary = (error: unknown) =>
  error instanceof Retryable
    ? [error.reason, error.delivery, error.code]
    : error instanceof Fatal
    ? [error.reason, error.message, error.code]
    : error

const answer = (options: Parameters<typeof Wire.message>[1], body: Parameters<typeof Wire.message>[2]) =>
  Wire.framed(Wire.message("binary", options, body))

const good = (id: number) => answer({ id }, Wire.text("good"))

describe("the answers of a Thrift server", () => {
  const codes: ReadonlyArray<[code: number, reason: Fatal["reason"]]> = [
    [0, "ServerError"],
    [1, "Unimplemented"],
    [2, "Protocol"],
    [3, "Protocol"],
    [4, "Protocol"],
    [5, "Protocol"],
    [6, "ServerError"],
    [7, "Protocol"],
    [8, "Protocol"],
    [9, "Protocol"],
    [10, "Protocol"],
    [11, "ServerError"],
    [20, "Unimplemented"],
    [21, "Unimplemented"],
    [-1, "ServerError"]
  ]
  for (const [code, reason] of codes) {
    it.scopedLive(`TApplicationException ${code} is Fatal ${reason}`, () =>
      Effect.gen(function*() {
        const { connections, probe } = yield* peer(
          {},
          answer({ type: Wire.EXCEPTION }, Wire.exception(code, "words")),
          good(2)
        )
        const error = yield* Effect.flip(probe.echo("x"))
        assert.deepStrictEqual(summary(error), [reason, "words", code])
        assert.strictEqual((error as Fatal).method, "Probe.echo")
        assert.strictEqual(yield* probe.echo("y"), "good")
        // who did not understand the request may close the connection
        assert.strictEqual(connections(), reason === "ServerError" ? 1 : 2)
      }))
  }

  it.scopedLive("an exception without name and number is the call's: who cannot read a request knows neither", () =>
    Effect.gen(function*() {
      const { probe } = yield* peer({}, answer({ type: Wire.EXCEPTION, id: 0, name: "" }, Wire.exception(7, "")))
      assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), [
        "Protocol",
        "the server answered with an error that says nothing",
        7
      ])
    }))

  describe("a server that answers a call that wants no answer", () => {
    const replies: ReadonlyArray<[what: string, reply: (id: number) => Buffer]> = [
      [
        "as it does not know the method",
        (id) => Wire.message("binary", { id, name: "tell", type: Wire.EXCEPTION }, Wire.exception(1, "unknown"))
      ],
      [
        "as it does not know that no answer is wanted",
        (id) => Wire.message("binary", { id, name: "tell" }, Wire.nothing)
      ]
    ]
    for (const [what, reply] of replies) {
      it.scopedLive(`${what}: no other call hears of it`, () =>
        Effect.gen(function*() {
          const own = Wire.message("binary", { id: 3 }, Wire.text("mine"))
          for (const [transport, frame] of [["framed", Wire.framed], ["buffered", Buffer.from]] as const) {
            const { connections, probe } = yield* peer({ transport, connections: 1 }, (socket) => {
              const request = frame(Wire.message("binary", { name: "tell" }, Wire.text("x", 1))).length
              const write = () => {
                if (socket.bytesRead < 3 * request) {
                  return void setTimeout(write, 1)
                }
                // both of them before the answer to the call
                socket.write(Buffer.concat([frame(reply(1)), frame(reply(2)).subarray(0, 7)]))
                setTimeout(() => socket.write(Buffer.concat([frame(reply(2)).subarray(7), frame(own)])), 5)
              }
              write()
            })
            yield* Effect.all([probe.tell("x"), probe.tell("x")], { discard: true })
            assert.strictEqual(yield* probe.echo("x"), "mine")
            assert.strictEqual(connections(), 1)
          }
        }))
    }

    it.scopedLive("while nothing is asked: the connection is closed, and no call hears of it", () =>
      Effect.gen(function*() {
        const { connections, probe, sockets } = yield* peer(
          {},
          Wire.framed(replies[0]![1](1)),
          good(2)
        )
        yield* probe.tell("x")
        yield* eventually(() => connections() === 1 && sockets.size === 0)
        assert.strictEqual(yield* probe.echo("x"), "good")
      }))

    it.scopedLive("while the next one is written: that may have arrived", () =>
      Effect.gen(function*() {
        const { probe } = yield* peer({ connections: 1 }, (socket) => {
          socket.pause().write(Wire.framed(replies[0]![1](1)))
        })
        const error = yield* Effect.flip(probe.tell("x".repeat(30_000_000)))
        assert.deepStrictEqual(summary(error), ["ConnectionLost", "Unknown", "DROPPED"])
      }))

    it.scopedLive("after the answer to a later call: no other call hears of it", () =>
      Effect.gen(function*() {
        const late = Wire.framed(replies[0]![1](1))
        const { probe } = yield* peer({ connections: 1 }, () => {}, good(2), late)
        yield* probe.tell("x")
        yield* settle()
        assert.strictEqual(yield* probe.echo("x"), "good")
        assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), [
          "Protocol",
          "the peer sent an answer to request 1 of \"tell\", not to echo",
          undefined
        ])
      }))

    it.scopedLive("an exception of another call is none of them", () =>
      Effect.gen(function*() {
        const other = (id: number) => answer({ id, name: "tell", type: Wire.EXCEPTION }, Wire.exception(6, "?"))
        const { probe } = yield* peer({ connections: 1 }, other(9), good(2), other(1))
        const message = (id: number) => `the peer sent an answer to request ${id} of "tell", not to echo`
        assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), ["Protocol", message(9), undefined])
        assert.strictEqual(yield* probe.echo("x"), "good")
        assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), ["Protocol", message(1), undefined])
      }))
  })

  it.scopedLive("retryOn names codes", () =>
    Effect.gen(function*() {
      const exceptions = [6, 7].map((code, i) => answer({ type: Wire.EXCEPTION, id: i + 1 }, Wire.exception(code, "?")))
      const { probe } = yield* peer({ retryOn: [7] }, ...exceptions)
      assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), ["ServerError", "?", 6])
      const error = yield* Effect.flip(probe.echo("x"))
      assert.deepStrictEqual(summary(error), ["Custom", "Unknown", 7])
      assert.strictEqual((error as Retryable).method, "Probe.echo")
    }))

  it.scopedLive("an answer without a result is Fatal Protocol", () =>
    Effect.gen(function*() {
      const { probe } = yield* peer({}, answer({}, Wire.nothing), good(2))
      assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), [
        "Protocol",
        "echo failed: unknown result",
        5
      ])
      assert.strictEqual(yield* probe.echo("x"), "good")
    }))

  it.scopedLive("an old message, without a version, is read", () =>
    Effect.gen(function*() {
      const old = (id: number) => {
        const strict = Wire.message("binary", { id }, Wire.text("old"))
        return Buffer.concat([strict.subarray(4, 12), Buffer.from([Wire.REPLY]), strict.subarray(12)])
      }
      const { probe } = yield* peer({}, Wire.framed(old(1)))
      assert.strictEqual(yield* probe.echo("x"), "old")
      const unframed = yield* peer({ transport: "buffered" }, old(1))
      assert.strictEqual(yield* unframed.probe.echo("x"), "old")
    }))

  it.scopedLive("fields that are not known are skipped", () =>
    Effect.gen(function*() {
      for (const protocol of ["binary", "compact"] as const) {
        const reply = Wire.message(protocol, {}, (output) => {
          output.writeFieldBegin("", 15, 9)
          output.writeListBegin(2, 3)
          output.writeBool(true)
          output.writeBool(false)
          output.writeBool(true)
          output.writeListEnd()
          output.writeFieldEnd()
          output.writeFieldBegin("", 13, 40)
          output.writeMapBegin(11, 13, 2)
          for (const key of ["a", "b"]) {
            output.writeString(key)
            output.writeMapBegin(3, 4, 0)
            output.writeMapEnd()
          }
          output.writeMapEnd()
          output.writeFieldEnd()
          for (const type of [2, 3, 4, 6, 8, 10, 12]) {
            output.writeFieldBegin("", type, 50 + type)
            const write: Record<number, () => void> = {
              2: () => output.writeBool(true),
              3: () => output.writeByte(1),
              4: () => output.writeDouble(1.5),
              6: () => output.writeI16(-1),
              8: () => output.writeI32(1e6),
              10: () => output.writeI64(1e12),
              12: () => output.writeFieldStop()
            }
            write[type]!()
            output.writeFieldEnd()
          }
          output.writeFieldBegin("", 14, 100)
          output.writeSetBegin(12, 20)
          for (let i = 0; i < 20; i++) {
            output.writeStructBegin("")
            Wire.text("in")(output)
            output.writeFieldStop()
            output.writeStructEnd()
          }
          output.writeSetEnd()
          output.writeFieldEnd()
          output.writeFieldBegin("", 2, 110)
          output.writeBool(false)
          output.writeFieldEnd()
          Wire.text("found")(output)
        })
        const framed = yield* peer({ protocol }, Wire.framed(reply))
        assert.strictEqual(yield* framed.probe.echo("x"), "found")
        // byte by byte: where it ends is found all the same
        const unframed = yield* peer(
          { protocol, transport: "buffered" },
          (socket) => {
            socket.setNoDelay()
            const rest = Array.from(reply)
            const next = () => {
              const byte = rest.shift()
              if (byte !== undefined) {
                socket.write(Buffer.from([byte]), () => setImmediate(next))
              }
            }
            next()
          }
        )
        assert.strictEqual(yield* unframed.probe.echo("x"), "found")
        assert.strictEqual(unframed.sockets.size, 1)
      }
    }))

  describe("what is no answer closes the connection, with a typed error", () => {
    const bad: ReadonlyArray<[what: string, options: Options, reply: Uint8Array, message: string]> = [
      [
        "of another request",
        {},
        good(7),
        "the peer sent an answer to request 7 of \"echo\", not to echo"
      ],
      [
        "of another method",
        {},
        answer({ name: "once" }, Wire.text("x")),
        "the peer sent an answer to request 1 of \"once\", not to echo"
      ],
      ["a request", {}, answer({ type: Wire.CALL }, Wire.text("x")), "the peer sent an answer to request 1 of"],
      [
        "a page",
        {},
        Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
        "the peer sent a frame of 1213486160 bytes; the most is 4194304"
      ],
      [
        "a page, unframed",
        { transport: "buffered" },
        Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
        "the peer sent a message of more than 4194304 bytes"
      ],
      [
        "a page, compact",
        { transport: "buffered", protocol: "compact" },
        Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
        "the peer sent what is no message of this protocol"
      ],
      [
        "of no known version",
        { transport: "buffered" },
        Buffer.from("ff010002000000", "hex"),
        "the peer sent what is no message of this protocol"
      ],
      ["without a frame", {}, Wire.message("binary", {}, Wire.text("x")), "the peer sent a frame of -2147418110 bytes"],
      ["a frame that is cut", {}, Wire.framed(good(1).subarray(4, -3)), "the peer sent InputBufferUnderrunError"],
      ["an empty frame", {}, Buffer.alloc(4), "the peer sent InputBufferUnderrunError"],
      [
        "too large",
        { maxFrameBytes: 100 },
        Wire.framed(Wire.message("binary", {}, Wire.text("x".repeat(100)))),
        "the peer sent a frame of 124 bytes; the most is 100"
      ],
      [
        "too large, unframed",
        { maxFrameBytes: 100, transport: "buffered" },
        Wire.message("binary", {}, Wire.text("x".repeat(100))),
        "the peer sent a message of more than 100 bytes"
      ],
      [
        "a text of negative length",
        { transport: "buffered" },
        Buffer.concat([Wire.message("binary", {}, Wire.nothing).subarray(0, -1), Buffer.from("0b0000ffffffff", "hex")]),
        "the peer sent a length of -1"
      ],
      [
        "a list of negative length",
        { transport: "buffered" },
        Buffer.concat([
          Wire.message("binary", {}, Wire.nothing).subarray(0, -1),
          Buffer.from("0f00010bffffffff", "hex")
        ]),
        "the peer sent a length of -1"
      ],
      [
        "of a type that there is not",
        { transport: "buffered" },
        Buffer.concat([Wire.message("binary", {}, Wire.nothing).subarray(0, -1), Buffer.from("7f0001", "hex")]),
        "the peer sent a value of the unknown type 127"
      ],
      [
        "of a type that there is not, compact",
        { transport: "buffered", protocol: "compact" },
        Buffer.concat([Wire.message("compact", {}, Wire.nothing).subarray(0, -1), Buffer.from("1e", "hex")]),
        "the peer sent a value of the unknown type 14"
      ],
      [
        "a number without an end",
        { transport: "buffered", protocol: "compact" },
        Buffer.from(`8241${"ff".repeat(20)}`, "hex"),
        "the peer sent a number that does not end"
      ],
      [
        "too deep",
        { transport: "buffered" },
        Buffer.concat([
          Wire.message("binary", {}, Wire.nothing).subarray(0, -1),
          Buffer.from("0c0005".repeat(1100) + "00".repeat(1101), "hex")
        ]),
        "the peer sent values nested deeper than 1000 levels"
      ],
      [
        "lists too deep, compact",
        { transport: "buffered", protocol: "compact" },
        Buffer.concat([
          Wire.message("compact", {}, Wire.nothing).subarray(0, -1),
          Buffer.from("59" + "19".repeat(1100), "hex")
        ]),
        "the peer sent values nested deeper than 1000 levels"
      ],
      [
        "too deep, framed",
        {},
        Wire.framed(Buffer.concat([
          Wire.message("binary", {}, Wire.nothing).subarray(0, -1),
          Buffer.from("0c0005".repeat(100) + "00".repeat(101), "hex")
        ])),
        "the peer sent Maximum skip depth exceeded"
      ],
      [
        "without headers",
        { transport: "header" },
        good(1),
        "the peer sent a frame without the headers that were agreed on"
      ],
      [
        "a short frame",
        { transport: "ttheader" },
        Buffer.alloc(4),
        "the peer sent a frame without the headers that were"
      ],
      [
        "with other headers",
        { transport: "ttheader" },
        Wire.headed(0x0fff, [0, 0, 0, 0], Buffer.alloc(0)),
        "the peer sent a frame without the headers that were agreed on"
      ],
      [
        "with too many headers",
        { transport: "header" },
        Buffer.concat([Wire.headed(0x0fff, [], Buffer.alloc(4)).subarray(0, 12), Buffer.from("ffff00000000", "hex")]),
        "the peer sent headers that are longer than their frame"
      ],
      [
        "in another protocol",
        { transport: "header" },
        Wire.headed(0x0fff, [2, 0, 0, 0], Wire.message("compact", {}, Wire.text("x"))),
        "the peer sent an answer in protocol 2 of THeader, not in binary"
      ],
      [
        "compressed",
        { transport: "header" },
        Wire.headed(0x0fff, [0, 1, 1, 0], Buffer.alloc(0)),
        "the peer sent an answer that is transformed, which was not asked for"
      ],
      [
        "headers that are cut",
        { transport: "header" },
        Wire.headed(0x0fff, [0, 0, 1, 9], Buffer.alloc(0)),
        "the peer sent headers that end too early"
      ],
      [
        "headers with a number without an end",
        { transport: "header" },
        Wire.headed(0x0fff, Array.from({ length: 8 }, () => 255), Buffer.alloc(0)),
        "the peer sent headers with a number that does not end"
      ],
      [
        "headers of an unknown kind",
        { transport: "ttheader" },
        Wire.headed(0x1000, [0, 0, 7, 0], Buffer.alloc(0)),
        "the peer sent headers of the unknown kind 7"
      ],
      [
        "headers that are cut, of Kitex",
        { transport: "ttheader" },
        Wire.headed(0x1000, [0, 0, 1, 9], Buffer.alloc(0)),
        "the peer sent headers that end too early"
      ]
    ]
    for (const [what, options, reply, message] of bad) {
      it.scopedLive(what, () =>
        Effect.gen(function*() {
          const { probe, sockets } = yield* peer(options, reply)
          const error = yield* Effect.flip(probe.echo("x"))
          assert.instanceOf(error, Fatal)
          assert.deepStrictEqual([error.reason, error.method], ["Protocol", "Probe.echo"])
          assert.include(error.message, message)
          yield* eventually(() => sockets.size === 0)
        }))
    }
  })

  describe("an answer of many values in few bytes does not fill the memory", () => {
    /** A list of so many elements in a field that the client does not know, before the text that it asked for. */
    const full = (protocol: "binary" | "compact", type: thrift.Thrift.Type, count: number, element: Uint8Array) => {
      const head = Wire.message(protocol, {}, Wire.nothing).length - 1
      const before = Wire.message(protocol, {}, (output) => {
        output.writeFieldBegin("", thrift.Thrift.Type.LIST, 7)
        output.writeListBegin(type, count)
      })
      const after = Wire.message(protocol, {}, Wire.text("found"))
      return Buffer.concat([
        before.subarray(0, -1),
        Buffer.alloc(count * element.length, element),
        after.subarray(head)
      ])
    }
    const { I64, LIST, STRING, STRUCT } = thrift.Thrift.Type
    const elements: ReadonlyArray<
      [what: string, protocol: "binary" | "compact", type: thrift.Thrift.Type, element: string, fits: number]
    > = [
      ["empty structs", "binary", STRUCT, "00", 400_000],
      ["empty structs", "compact", STRUCT, "00", 400_000],
      ["texts without a letter", "binary", STRING, "00000000", 300_000],
      ["texts without a letter", "compact", STRING, "00", 300_000],
      ["empty lists", "compact", LIST, "01", 600_000],
      ["numbers of 64 bits", "binary", I64, "0000000000000001", 220_000],
      ["numbers of 64 bits", "compact", I64, "02", 220_000]
    ]
    for (const transport of ["framed", "buffered"] as const) {
      for (const [what, protocol, type, element, fits] of elements) {
        it.scopedLive(`${what}: ${transport}, ${protocol}`, () =>
          Effect.gen(function*() {
            const bytes = Buffer.from(element, "hex")
            const reply = (count: number) => {
              const message = full(protocol, type, count, bytes)
              return transport === "framed" ? Wire.framed(message) : message
            }
            const { probe } = yield* peer({ transport, protocol }, reply(Math.floor(4_000_000 / bytes.length)), good(2))
            const error = yield* Effect.flip(probe.echo("x"))
            assert.deepStrictEqual(summary(error), [
              "Protocol",
              "the peer sent more values than fit into 33554432 bytes by estimate",
              undefined
            ])
            const few = yield* peer({ transport, protocol }, reply(fits))
            assert.strictEqual(yield* few.probe.echo("x"), "found")
          }))
      }
    }

    it.scopedLive("60 MB of empty structs are not even read", () =>
      Effect.gen(function*() {
        const { probe } = yield* peer({}, Wire.framed(full("binary", STRUCT, 60_000_000, Buffer.from([0]))))
        const error = yield* Effect.flip(probe.echo("x"))
        assert.instanceOf(error, Fatal)
        assert.include(error.message, "the most is 4194304")
      }))

    it.scopedLive("a greater maxFrameBytes takes more of them", () =>
      Effect.gen(function*() {
        const { probe } = yield* peer(
          { maxFrameBytes: 8 * 1024 * 1024 },
          Wire.framed(full("binary", STRUCT, 800_000, Buffer.from([0])))
        )
        assert.strictEqual(yield* probe.echo("x"), "found")
      }))
  })

  it.scopedLive("what nobody asked for closes the connection, and no call hears of it", () =>
    Effect.gen(function*() {
      const { connections, probe, sockets } = yield* peer({}, good(1), good(2))
      assert.strictEqual(yield* probe.echo("x"), "good")
      sockets.forEach((socket) => socket.write(good(1)))
      yield* eventually(() => sockets.size === 0)
      assert.strictEqual(yield* probe.echo("x"), "good")
      assert.strictEqual(connections(), 2)
    }))

  it.scopedLive("more behind the answer: the answer counts, the connection does not", () =>
    Effect.gen(function*() {
      const { connections, probe, sockets } = yield* peer({}, Buffer.concat([good(1), Buffer.from([0])]), good(2))
      assert.strictEqual(yield* probe.echo("x"), "good")
      assert.strictEqual(yield* probe.echo("x"), "good")
      assert.strictEqual(connections(), 2)
      yield* eventually(() => sockets.size === 1)
    }))

  it.scopedLive("an answer that is cut by the end of the connection may have run", () =>
    Effect.gen(function*() {
      for (const transport of ["buffered", "framed", "ttheader"] as const) {
        const whole = transport === "buffered" ? good(1).subarray(4) : good(1)
        const { probe } = yield* peer({ transport }, (socket) => void socket.end(whole.subarray(0, 10)))
        assert.deepStrictEqual(summary(yield* Effect.flip(probe.echo("x"))), ["ConnectionLost", "Unknown", "EOF"])
      }
    }))

  it.scopedLive("an answer in pieces is one", () =>
    Effect.gen(function*() {
      const headers = [0, 0, 1, 0, 1, 0, 1, 97, 0, 1, 98, 0]
      const replies = [
        [{ transport: "framed" }, good(1)],
        [{ transport: "ttheader" }, Wire.headed(0x1000, headers, Wire.message("binary", {}, Wire.text("good")))]
      ] as const
      for (const [options, reply] of replies) {
        const { probe } = yield* peer(options, (socket) => {
          socket.setNoDelay()
          const rest = Array.from(reply)
          const next = () => {
            const byte = rest.shift()
            if (byte !== undefined) {
              socket.write(Buffer.from([byte]), () => setImmediate(next))
            }
          }
          next()
        })
        assert.strictEqual(yield* probe.echo("x"), "good")
      }
    }))

  describe("Kitex says more in the headers", () => {
    const text = (value: string) => [0, value.length, ...Buffer.from(value)]
    const headers = (...pairs: ReadonlyArray<readonly [string, string]>) => {
      const info = [0, 0, 0x10, 0, 1, 0, 22, ...text("2"), 0x11, ...text("token"), 1, 0, pairs.length]
        .concat(pairs.flat().flatMap(text))
      return [...info, ...Array.from({ length: (4 - info.length % 4) % 4 }, () => 0)]
    }

    it.scopedLive("it is told the method and the kind of message there, as by its own clients", () =>
      Effect.gen(function*() {
        const requests: Array<Buffer> = []
        const { probe } = yield* peer(
          { transport: "ttheader" },
          (socket) => {
            socket.on("data", (chunk) => requests.push(chunk))
            const empty = Wire.message("binary", {}, Wire.text("good"))
            socket.write(Wire.headed(0x1000, [0, 0, 0, 0], empty))
          }
        )
        yield* probe.echo("x")
        yield* probe.tell("y")
        yield* eventually(() => requests.length === 1)
        const info = [0, 0, 0x10, 0, 2, 0, 9, ...text("tell"), 0, 22, ...text("4"), 0, 0]
        const oneway = Wire.message("binary", { id: 2, name: "tell", type: 4 }, Wire.text("y", 1))
        const expected = Wire.headed(0x1000, info, oneway)
        expected.writeInt32BE(2, 8)
        assert.strictEqual(requests[0]!.toString("hex"), expected.toString("hex"))
      }))

    it.scopedLive("a business status, whose message is empty", () =>
      Effect.gen(function*() {
        const reply = (code: string) =>
          Wire.headed(
            0x1000,
            headers(["biz-status", code], ["biz-message", "too many"], ["biz-extra", "{}"]),
            Wire.message("binary", {}, Wire.nothing)
          )
        const { connections, probe } = yield* peer({ transport: "ttheader" }, reply("1002"))
        const error = yield* Effect.flip(probe.echo("x"))
        assert.deepStrictEqual(summary(error), ["ServerError", "too many", 1002])
        assert.deepStrictEqual((error as Fatal).cause, { code: 1002, message: "too many", extra: "{}" })
        assert.strictEqual(connections(), 1)
        // a status has codes of its own: 1 is not an unknown method
        const own = yield* peer({ transport: "ttheader" }, reply("1"))
        assert.deepStrictEqual(summary(yield* Effect.flip(own.probe.echo("x"))), ["ServerError", "too many", 1])
        const busy = yield* peer({ transport: "ttheader", retryOn: [1002] }, reply("1002"))
        assert.deepStrictEqual(summary(yield* Effect.flip(busy.probe.echo("x"))), ["Custom", "Unknown", 1002])
      }))

    it.scopedLive("a status that is no number, or zero, is none", () =>
      Effect.gen(function*() {
        for (const code of ["0", "", "x", "1.5"]) {
          const { probe } = yield* peer(
            { transport: "ttheader" },
            Wire.headed(0x1000, headers(["biz-status", code]), Wire.message("binary", {}, Wire.text("good")))
          )
          assert.strictEqual(yield* probe.echo("x"), "good")
        }
      }))

    it.scopedLive("a server that is about to end asks for the connection to be closed", () =>
      Effect.gen(function*() {
        const reply = (id: number) =>
          Wire.headed(0x1000, headers(["crrst", "1"]), Wire.message("binary", { id }, Wire.text("good")))
        const { connections, probe, sockets } = yield* peer({ transport: "ttheader" }, reply(1), reply(2))
        assert.strictEqual(yield* probe.echo("x"), "good")
        yield* eventually(() => sockets.size === 0)
        assert.strictEqual(yield* probe.echo("x"), "good")
        assert.strictEqual(connections(), 2)
      }))
  })

  describe("thousands of mutated answers", () => {
    const item = new types.Item({
      name: "name",
      id: new thrift.Int64(5),
      tags: ["a", "b"],
      counts: { a: 1 },
      items: [new types.Item({ name: "x", id: new thrift.Int64(1), tags: [], counts: {} })]
    }) as InstanceType<typeof types.Item> & { write: (output: unknown) => void }

    const pieces = ["ffffffff", "7fffffff", "80010002", "00", "ff", "0f", "0c", "0d0b0c", "8080808080", "10000000"]

    for (
      const [transport, protocol] of [
        ["buffered", "binary"],
        ["buffered", "compact"],
        ["framed", "binary"],
        ["framed", "compact"],
        ["header", "compact"],
        ["ttheader", "binary"]
      ] as const
    ) {
      it.scopedLive(`${transport}, ${protocol}`, () =>
        Effect.gen(function*() {
          const random = Random.make(11)
          const message = (id: number) =>
            Wire.message(protocol, { id, name: "item" }, (output) => {
              output.writeFieldBegin("", 12, 0)
              item.write(output)
              output.writeFieldEnd()
            })
          const whole = (id: number) =>
            transport === "buffered"
              ? message(id)
              : transport === "framed"
              ? Wire.framed(message(id))
              : transport === "header"
              ? Wire.headed(0x0fff, [2, 0, 1, 1, 1, 97, 1, 98], message(id))
              : Wire.headed(0x1000, [0, 0, 1, 0, 1, 0, 1, 97, 0, 1, 98, 0], message(id))
          const mutated = (id: number): Uint8Array => {
            const bytes = Buffer.from(whole(id))
            for (let i = random(4); i > 0; i--) {
              const at = random(bytes.length)
              if (random(2) === 0) {
                bytes[at] = random(256)
              } else {
                bytes.set(Buffer.from(pieces[random(pieces.length)]!, "hex").subarray(0, bytes.length - at), at)
              }
            }
            return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes
          }
          const idOf = (request: Buffer) => {
            const name = request.lastIndexOf("item")
            return protocol === "binary"
              ? request.readInt32BE(name + 4)
              : request.subarray(request.lastIndexOf("8221", name, "hex") + 2, name - 1)
                .reduce((id, byte, i) => id + (byte % 128) * 128 ** i, 0)
          }
          let requests = 0
          const { port } = yield* Peer.listen((socket) => {
            socket.on("data", (request) => {
              requests++
              const bytes = mutated(idOf(request))
              const at = random(bytes.length + 1)
              socket.write(bytes.subarray(0, at))
              // what waits for more is told that there is none
              setImmediate(() => socket.end(bytes.subarray(at)))
            })
          })
          const probe = yield* Thrift.make({
            service: "Probe",
            client: es5.Client,
            host: "127.0.0.1",
            port,
            transport,
            protocol,
            connections: 1,
            // as most of these connections break before their first answer
            dialBackoff: Schedule.forever
          })
          const outcomes: Record<string, number> = {}
          for (let i = 0; i < 400; i++) {
            const exit = yield* probe.item({ ...item }).pipe(
              Effect.match({
                onFailure: (error) => RpcError.isRpcError(error) ? error.reason : "untyped",
                onSuccess: () => "answer"
              }),
              Effect.timeout("10 seconds")
            )
            outcomes[exit] = (outcomes[exit] ?? 0) + 1
          }
          // some meet a connection that is about to end
          assert.isAbove(requests, 350)
          assert.isUndefined(outcomes["untyped"])
          assert.isAbove(outcomes["answer"] ?? 0, 20)
          assert.isAbove(outcomes["Protocol"] ?? 0, 20)
          assert.isAbove(outcomes["ConnectionLost"] ?? 0, 20)
        }))
    }
  })
})
