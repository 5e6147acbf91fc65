import { Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Net from "node:net"
import { eventually } from "../../support/eventually.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const Args = Schema.Struct({ A: Gob.Int, B: Gob.Int })

const schemas = { args: Args, reply: Gob.Int }

const multiply = (rpc: GoRpc.Client) => rpc.call("Arith.Multiply", { A: 6, B: 7 }, schemas)

const product = ({ body }: Peer.GobRequest) => {
  const { A, B } = Either.getOrThrow(body.as(Args))
  return A * B
}

/** Answers as it should. */
const answer = (request: Peer.GobRequest, { body, header, socket }: Peer.GobPeer) => {
  socket.write(header(request.seq))
  socket.write(body(Gob.Int, product(request)))
}

const setup = (serve: (socket: Net.Socket) => void, options?: GoRpc.Settings & { readonly http?: boolean }) =>
  Effect.gen(function*() {
    const peer = yield* Peer.listen(serve)
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port: peer.port, codec: "gob", ...options })
    return { ...peer, rpc, call: multiply(rpc) }
  })

const summary = (error: Retryable | Fatal) =>
  error._tag === "Retryable" ? [error.reason, error.delivery, error.code] : [error.reason, error.message]

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"))

/** A number of up to 2 bytes. */
const uint = (n: number) => hex(n < 128 ? n.toString(16).padStart(2, "0") : `fe${n.toString(16).padStart(4, "0")}`)

/** Type 70: a struct T whose only field X is of its own type. */
const recursive = "16ff8b030101015401ff8c00010101015801ff8c000000"

describe("GoRpc with gob", () => {
  it.scopedLive("calls; an error string is Fatal; a method that is not there Unimplemented", () =>
    Effect.gen(function*() {
      const { call, rpc } = yield* setup(Peer.gob((request, peer) => {
        if (request.method === "Arith.Multiply") {
          return answer(request, peer)
        }
        const error = request.method === "Arith.Fail" ? "divide by zero" : `rpc: can't find service ${request.method}`
        peer.socket.write(peer.header(request.seq, error))
        peer.socket.write(peer.body(Schema.Struct({}), {}))
      }))
      assert.strictEqual(yield* call, 42)
      const failed = yield* Effect.flip(rpc.call("Arith.Fail", { A: 1, B: 0 }, schemas).pipe(withRpcRetry))
      assert.deepStrictEqual(summary(failed as Fatal), ["ServerError", "divide by zero"])
      const unknown = yield* Effect.flip(rpc.call("Arith.Power", { A: 1, B: 0 }, schemas).pipe(withRpcRetry))
      assert.deepStrictEqual(summary(unknown as Fatal), ["Unimplemented", "rpc: can't find service Arith.Power"])
      assert.strictEqual(yield* call, 42)
    }))

  it.scopedLive("answers in any order, in single bytes, and many in one piece", () =>
    Effect.gen(function*() {
      const waiting: Array<Peer.GobRequest> = []
      const { rpc } = yield* setup(Peer.gob((request, { body, header, socket }) => {
        waiting.push(request)
        if (waiting.length === 20) {
          const all = waiting.toReversed().flatMap((one) => [header(one.seq), body(Gob.Int, product(one))])
          const bytes = Buffer.concat(all)
          for (const byte of bytes.subarray(0, 100)) {
            socket.write(new Uint8Array([byte]))
          }
          socket.write(bytes.subarray(100))
        }
      }))
      const products = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) => rpc.call("Arith.Multiply", { A: i, B: i }, schemas),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(products, Array.from({ length: 20 }, (_, i) => i * i))
    }))

  it.scopedLive("a call that was withdrawn, or could not be written, takes no definition of a type with it", () =>
    Effect.gen(function*() {
      const { call, rpc } = yield* setup(Peer.gob(answer))
      const Wide = Schema.Struct({ A: Gob.Int, B: Gob.Int, C: Schema.Array(Schema.NullOr(Args)) })
      for (let i = 0; i < 3; i++) {
        const bad = rpc.call("Arith.Multiply", { A: 1, B: 1, C: [null] }, { args: Wide, reply: Gob.Int })
        const [failed, gone, fine] = yield* Effect.all([
          Effect.flip(bad),
          Effect.flatMap(Effect.fork(call), Fiber.interrupt),
          rpc.call("Arith.Multiply", { A: 2, B: 3, C: [{ A: 1, B: 1 }] }, { args: Wide, reply: Gob.Int })
        ], { concurrency: 3 })
        assert.strictEqual(failed.reason, "InvalidArgument")
        assert.strictEqual(gone._tag, "Failure")
        assert.strictEqual(fine, 6)
      }
    }))

  it.scopedLive("a call whose method has half of a character takes no definition of a type with it", () =>
    Effect.gen(function*() {
      const { call, rpc } = yield* setup(Peer.gob(answer))
      const failed = yield* Effect.flip(rpc.call("Arith.\ud800", { A: 6, B: 7 }, schemas))
      assert.deepStrictEqual(summary(failed), [
        "InvalidArgument",
        "the arguments cannot be written: has a text with half of a character, a lone surrogate"
      ])
      assert.strictEqual(yield* Effect.timeout(call, "30 seconds"), 42)
    }))

  it.scopedLive("a schema made inside the function that calls is told to the server once, and not with each call", () =>
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const { rpc } = yield* setup((socket) => {
        socket.on("data", (chunk) => sizes.push(chunk.length))
        Peer.gob(answer)(socket)
      })
      const call = Effect.suspend(() =>
        rpc.call("Arith.Multiply", { A: 6, B: 7 }, { args: Schema.Struct({ A: Gob.Int, B: Gob.Int }), reply: Gob.Int })
      )
      for (let i = 0; i < 4; i++) {
        assert.strictEqual(yield* call, 42)
      }
      const [first, second, ...others] = sizes
      assert.isAbove(first!, 2 * second!)
      assert.isTrue(others.every((size) => size <= second! + 2))
    }))

  it.scopedLive("a late answer, or a second one, reaches nobody", () =>
    Effect.gen(function*() {
      const late: Array<() => void> = []
      const asked = yield* Deferred.make<void>()
      const { call, rpc } = yield* setup(Peer.gob((request, peer) => {
        late.push(() => {
          answer(request, peer)
          answer(request, peer)
        })
        if (late.length === 1) {
          Deferred.unsafeDone(asked, Effect.void)
        } else {
          late.forEach((send) => send())
        }
      }))
      const abandoned = yield* Effect.fork(call)
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(abandoned)
      assert.strictEqual(yield* rpc.call("Arith.Multiply", { A: 1, B: 5 }, schemas), 5)
      assert.strictEqual(yield* rpc.pending, 0)
    }))
})

/** Two calls wait; the first gets these bytes for its answer, which end it and not its neighbour. */
const isAlone = (
  name: string,
  bytes: (peer: Peer.GobPeer, seq: number) => Uint8Array,
  expected: ReadonlyArray<string>,
  reply: Schema.Schema.AnyNoContext = Gob.Int
) =>
  it.scopedLive(`${name}: one call fails, and its neighbour on the connection goes on`, () =>
    Effect.gen(function*() {
      const waiting: Array<Peer.GobRequest> = []
      let connections = 0
      const { rpc } = yield* setup((socket) => {
        connections++
        Peer.gob((request, peer) => {
          waiting.push(request)
          if (waiting.length === 2) {
            socket.write(bytes(peer, waiting[0]!.seq))
            answer(waiting[1]!, peer)
          } else if (waiting.length > 2) {
            answer(request, peer)
          }
        })(socket)
      }, { maxFrameBytes: 2000 })
      const [bad, good] = yield* Effect.all([
        Effect.flip(rpc.call("Arith.Multiply", { A: 1, B: 1 }, { args: Args, reply: reply as Schema.Schema<unknown> })),
        multiply(rpc)
      ], { concurrency: 2 })
      assert.deepStrictEqual<ReadonlyArray<unknown>>(summary(bad), expected)
      assert.strictEqual(good, 42)
      assert.strictEqual(yield* multiply(rpc), 42)
      assert.strictEqual(connections, 1)
    }))

describe("GoRpc and one bad gob answer", () => {
  const nothing = Schema.Struct({})
  const errorOf = (seq: number, { body }: Peer.GobPeer, error: Uint8Array) =>
    Buffer.concat([
      body(Schema.Struct({ ServiceMethod: Schema.String, Seq: Gob.Uint, Error: Schema.Uint8ArrayFromSelf }), {
        ServiceMethod: "",
        Seq: seq,
        Error: error
      }),
      body(nothing, {})
    ])
  isAlone(
    "an error text that is not UTF-8",
    (peer, seq) => errorOf(seq, peer, new Uint8Array([0x61, 0xff, 0x62])),
    ["ServerError", "a\ufffdb"]
  )
  isAlone(
    "an error text over the limit",
    (peer, seq) => Buffer.concat([peer.header(seq, "x".repeat(3000)), peer.body(nothing, {})]),
    ["Protocol", "the peer sent gob that has a value of more than 2000 bytes: see maxFrameBytes"]
  )
  isAlone(
    "an answer over the limit",
    (peer, seq) => Buffer.concat([peer.header(seq), peer.body(Schema.String, "x".repeat(3000))]),
    ["Protocol", "the peer sent gob that has a value of more than 2000 bytes: see maxFrameBytes"]
  )
  const Anything = Schema.Struct({ Any: Gob.named({ string: Schema.String }) })
  isAlone(
    "an answer with an interface, nested too deep",
    ({ body, header }, seq) => {
      const Slice: Schema.Schema<unknown> = Schema.suspend(() => Schema.Array(Slice)) as unknown as Schema.Schema<
        unknown
      >
      const Both = Schema.Struct({ Any: Gob.named({ string: Schema.String, slice: Slice }) })
      const name = Buffer.concat([hex("0105"), Buffer.from("slice")])
      // ends with the message for the value: its length, the type, the name, the type of what is in it, and that
      const whole = Buffer.from(body(Both as Schema.Schema<unknown>, { Any: { name: "slice", value: [] } }))
      const at = whole.lastIndexOf(name)
      const slice = whole.subarray(at + name.length, at + name.length + 2)
      const value = Buffer.concat([
        whole.subarray(at - 2, at),
        name,
        slice,
        uint(1102),
        hex("00"),
        hex("01".repeat(1100) + "00"),
        hex("00")
      ])
      return Buffer.concat([header(seq), whole.subarray(0, at - 3), uint(value.length), value])
    },
    ["Protocol", "the peer sent gob that is nested deeper than 1000 levels"],
    Anything
  )
})

describe("GoRpc and a hostile gob peer", () => {
  const deepStruct = recursive + "fe07d5ff8c" + "01".repeat(1001) + "00".repeat(1002)
  const bombs: ReadonlyArray<[name: string, bytes: (peer: Peer.GobPeer, seq: number) => Uint8Array, problem: string]> =
    [
      [
        "another protocol",
        () =>
          Buffer.from(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400"
          ),
        "which is not defined"
      ],
      ["a length of 2^40", () => hex("fa010000000000"), "a value of more than 2000 bytes"],
      ["a length of 9 bytes", () => hex("f7010000000000000000"), "a number of more than 8 bytes"],
      ["a frame over the limit", (_) => hex("fe1000" + "00".repeat(4096)), "a value of more than 2000 bytes"],
      ["an empty message", () => hex("00"), "ends in the middle"],
      [
        "an answer that was never asked for",
        ({ body, header }) => Buffer.concat([header(77), body(Gob.Int, 1)]),
        "an answer to request 77, which was not sent"
      ],
      ["a header that is none", ({ body }) => body(Schema.String, "hello"), "is string, and not struct"],
      ["a body of no type", ({ header }, seq) => Buffer.concat([header(seq), hex("03ffc800")]), "which is not defined"],
      ["a type that is there already", ({ header }, seq) =>
        Buffer.concat([
          header(seq),
          hex(recursive),
          hex(recursive)
        ]), "defines the type 70, which there is already"],
      ["a definition of nothing", () => hex("03ff8b00"), "type definition"],
      [
        "a type of gob's own",
        () => hex("03 0f 01 00".replaceAll(" ", "")),
        "defines the type 8, which there is already"
      ]
    ]
  for (const [name, bytes, problem] of bombs) {
    it.scopedLive(`${name}: a typed error for every call, and that connection is closed`, () =>
      Effect.gen(function*() {
        let requests = 0
        const { call, rpc, sockets } = yield* setup(
          Peer.gob((request, peer) => {
            requests++
            if (requests === 3) {
              peer.socket.write(bytes(peer, request.seq))
            } else if (requests > 3) {
              answer(request, peer)
            }
          }),
          { maxFrameBytes: 2000 }
        )
        const errors = yield* Effect.all([call, call, call].map(Effect.flip), { concurrency: 3 })
        for (const error of errors) {
          assert.instanceOf(error, Fatal)
          assert.strictEqual(error.reason, "Protocol")
          assert.include(error.message, problem)
        }
        assert.strictEqual(yield* rpc.pending, 0)
        assert.strictEqual(yield* call, 42)
        assert.strictEqual(sockets.size, 1)
      }))
  }

  it.scopedLive("types without end are refused, and so are definitions that fill the memory", () =>
    Effect.gen(function*() {
      const { call } = yield* setup(Peer.gob((_, { socket }) => {
        // type 65, 66, ...: slices of each other
        for (let i = 0; i < 20_000; i++) {
          const body = Buffer.alloc(12)
          const id = 2 * (65 + i) - 1
          body.set([0xfd, id >> 16, (id >> 8) & 255, id & 255, 2, 1, 0, 1, 0xff, 0x82, 0, 0])
          socket.write(Buffer.concat([Buffer.from([body.length]), body]))
        }
      }))
      assert.include((yield* Effect.flip(call)).message, "defines more than 10000 types")
      const wide = yield* setup(Peer.gob(({ seq }, { body, header, socket }) => {
        const fields = Array.from({ length: 100_000 }, (_, i) => [`Field${i}`, Gob.Int])
        socket.write(header(seq))
        socket.write(
          body(
            Schema.Struct(Object.fromEntries(fields) as Record<string, Schema.Schema<number>>),
            Object.fromEntries(fields.map(([name]) => [name, 1]))
          )
        )
      }))
      assert.include((yield* Effect.flip(wide.call)).message, "uses more than 1048576 bytes to define its types")
    }))

  it.scopedLive("a value that is nested too deep ends its call, where nobody asked for it too", () =>
    Effect.gen(function*() {
      const { call, rpc } = yield* setup(Peer.gob((request, peer) => {
        peer.socket.write(peer.header(request.seq))
        peer.socket.write(hex(request.seq === 0 ? deepStruct : deepStruct.slice(recursive.length)))
      }))
      const untyped = yield* Effect.flip(rpc.call("Arith.Multiply", { A: 1, B: 1 }, { args: Args }))
      assert.include(untyped.message, "nested deeper than 1000 levels")
      const Other = Schema.Struct({ Y: Gob.Int })
      const passed = yield* Effect.flip(rpc.call("Arith.Multiply", { A: 1, B: 1 }, { args: Args, reply: Other }))
      assert.include(passed.message, "nested deeper than 1000 levels")
      assert.include((yield* Effect.flip(call)).message, "is struct T, and not int")
    }))

  it.scopedLive("a stream that is cut anywhere is a lost connection, and the next attempt dials anew", () =>
    Effect.gen(function*() {
      for (const at of [1, 5, 40, 60, 66, 70]) {
        let connections = 0
        const { call } = yield* setup((socket) => {
          const isFirst = ++connections === 1
          Peer.gob((request, peer) => {
            const bytes = Buffer.concat([peer.header(request.seq), peer.body(Gob.Int, product(request))])
            if (isFirst) {
              socket.end(bytes.subarray(0, Math.min(at, bytes.length - 1)))
            } else {
              socket.write(bytes)
            }
          })(socket)
        })
        assert.deepStrictEqual(summary(yield* Effect.flip(call)), ["ConnectionLost", "Unknown", "EOF"])
        assert.strictEqual(yield* call.pipe(withRpcRetry({ schedule: Schedule.recurs(1) })), 42)
        assert.strictEqual(connections, 2)
      }
    }))
})

describe("GoRpc over HTTP", () => {
  const connect = (answer: string | Uint8Array) => (socket: Net.Socket) => {
    socket.once("data", () => socket.write(answer))
  }

  it.scopedLive("what the server says right after the handshake is not lost, however it is cut", () =>
    Effect.gen(function*() {
      for (const end of ["\n\n", "\r\n\r\n", "\r\nServer: x\r\n\r\n"]) {
        const { call } = yield* setup((socket) => {
          socket.once("data", (hello) => {
            assert.strictEqual(hello.toString(), "CONNECT /_goRPC_ HTTP/1.0\r\n\r\n")
            const encoder = Gob.makeEncoder()
            const Response = Schema.Struct({ Seq: Gob.Uint })
            const early = Buffer.concat([
              Buffer.from(`HTTP/1.0 200 Connected to Go RPC${end}`),
              Either.getOrThrow(encoder.encode(Response, { Seq: 0 })),
              Either.getOrThrow(encoder.encode(Gob.Int, 42))
            ])
            // the answer to a request that is still to come: all but its end
            socket.write(early.subarray(0, early.length - 1))
            socket.once("data", () => socket.write(early.subarray(early.length - 1)))
          })
        }, { http: true })
        assert.strictEqual(yield* call, 42)
      }
    }))

  const refusals: ReadonlyArray<[answer: string, summary: Array<string>]> = [
    ["HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n", ["Unavailable", "NotSent", "503"]],
    ["HTTP/1.1 502 Bad Gateway\r\n\r\n", ["Unavailable", "NotSent", "502"]],
    ["HTTP/1.1 405 Method Not Allowed\r\n\r\n", [
      "Protocol",
      "the peer does not speak net/rpc over HTTP there: it answered CONNECT with status 405"
    ]],
    ["HTTP/1.1 200 OK\r\n\r\n", [
      "Protocol",
      "the peer does not speak net/rpc over HTTP there: it answered CONNECT with status 200"
    ]],
    ["x".repeat(10_000), [
      "Protocol",
      "the peer does not speak net/rpc over HTTP there: it answered CONNECT with what is not HTTP"
    ]]
  ]
  for (const [answer, expected] of refusals) {
    it.scopedLive(`refused with ${JSON.stringify(answer.slice(0, 20))}`, () =>
      Effect.gen(function*() {
        const { call, server } = yield* setup(connect(answer), { http: true })
        assert.deepStrictEqual(summary(yield* Effect.flip(call)), expected)
        const open = Effect.async<number>((resume) => {
          server.getConnections((_, n) => resume(Effect.succeed(n)))
        })
        yield* eventually(Effect.map(open, (n) => n === 0))
      }))
  }

  it.scopedLive("closed instead of answered: lost, not sent; not answered at all: the dial times out", () =>
    Effect.gen(function*() {
      const closing = yield* setup((socket) => socket.once("data", () => socket.end("HTTP/1.0 2")), { http: true })
      assert.deepStrictEqual(summary(yield* Effect.flip(closing.call)), ["ConnectionLost", "NotSent", "EOF"])
      const absent = yield* setup((socket) => socket.once("data", () => socket.end("HTTP/1.1 404 no")), { http: true })
      assert.strictEqual((yield* Effect.flip(absent.call)).code, "404")
      // who speaks first, and not HTTP, is not waited for
      const other = yield* setup((socket) => socket.write("SSH-2.0-x\r\n"), { http: true, dialTimeout: "1 minute" })
      assert.include((yield* Effect.flip(other.call)).message, "it answered CONNECT with what is not HTTP")
      const silent = yield* setup((socket) => socket.resume(), { http: true, dialTimeout: "30 millis" })
      assert.deepStrictEqual(summary(yield* Effect.flip(silent.call)), ["Unavailable", "NotSent", "DIAL_TIMEOUT"])
    }))
})
