/**
 * What a peer can make the client hold and do with one answer, and whom one bad answer in JSON touches.
 */
import { Fatal, withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Net from "node:net"
import * as decoder from "../../../src/transport/gob/decoder.js"
import { Stream, type Value } from "../../../src/transport/gob/stream.js"
import * as Type from "../../../src/transport/gob/type.js"
import * as Json from "../../../src/transport/shared/json.js"
import * as Limit from "../../../src/transport/shared/limit.js"
import { decodeInParts, perPart } from "../../../src/transport/shared/schemaParts.js"
import { listOf } from "../../support/gobList.js"
import * as Peer from "../../support/peer.js"
import { assert, describe, it } from "../../support/vitest.js"

const limit: Limit.Limit = { bytes: Limit.defaultBytes, option: "maxFrameBytes" }
const tooMuch = "too large for memory, of which it would take more than 14680064 bytes: see maxFrameBytes"

const valueOf = (bytes: Uint8Array): Value => {
  const values: Array<Value> = []
  new Stream(limit).push(bytes, (value) => values.push(value))
  assert.strictEqual(values.length, 1)
  return values[0]!
}

const Maps = Schema.Record({ key: Schema.String, value: Schema.String })
const Lists = Schema.Array(Gob.Int)
const Point = Schema.Struct({ X: Gob.Int, Y: Gob.Int })

describe("what is made of one answer in gob", () => {
  const small: ReadonlyArray<[name: string, schema: Schema.Schema.AnyNoContext, item: ReadonlyArray<number>]> = [
    ["empty maps", Maps, [0]],
    ["empty lists", Lists, [0]],
    ["structs of zeros", Point, [0]],
    ["empty bytes", Schema.Uint8ArrayFromSelf, [0]],
    ["arrays that were not sent", Schema.Struct({ A: Gob.array(1000, Gob.Int) }), [0]]
  ]
  for (const [name, schema, item] of small) {
    it(`a frame below the limit, full of ${name}, is refused before it fills the memory, with a schema and without`, () => {
      const value = valueOf(listOf(schema, 4_000_000, new Uint8Array(item)))
      const list = Type.of(Schema.Array(schema).ast)
      const types = name.startsWith("structs") || name.startsWith("arrays") ? [list] : [list, undefined]
      for (const type of types) {
        let steps = 0
        const reading = new decoder.Reading(value, type)
        assert.throws(() => {
          while (!reading.step()) {
            steps++
          }
        }, tooMuch)
        assert.isBelow(steps * decoder.perStep, 14_680_064 / 40)
      }
    })
  }

  it("a list at the limit of the default is read in steps, and as it was", () => {
    const count = 300_000
    const bytes = listOf(Schema.Array(Gob.Int), count, new Uint8Array([1, 14]))
    const value = { ...valueOf(bytes), limit: { bytes: 8 * Limit.defaultBytes, option: "maxBytes" } }
    for (const type of [Type.of(Schema.Array(Schema.Array(Gob.Int)).ast), undefined]) {
      const reading = new decoder.Reading(value, type)
      let steps = 1
      while (!reading.step()) {
        steps++
      }
      const result = reading.result as ReadonlyArray<ReadonlyArray<number>>
      assert.strictEqual(result.length, count)
      assert.isTrue(result.every((list) => list.length === 1 && list[0] === 7))
      // a list and its item each count
      assert.isAtLeast(steps, Math.floor(2 * count / (decoder.perStep + 1)))
    }
  })

  it("structs, maps, interfaces and lists that are read in many steps are what they are in one", () => {
    const Deep = Schema.Struct({
      Name: Schema.String,
      Maps: Schema.Array(Gob.map({ key: Point, value: Schema.Array(Gob.named({ point: Point, list: Lists })) })),
      Record: Schema.Record({ key: Schema.String, value: Point }),
      Last: Schema.NullOr(Gob.Int)
    })
    const things = (i: number) =>
      [{ name: "point", value: { X: i, Y: 1 - i } }, undefined, { name: "list", value: [i, 0, 1] }] as const
    const made = {
      Name: "deep",
      Maps: Array.from(
        { length: 60 },
        (_, i) => new Map(Array.from({ length: 60 }, (_, j) => [{ X: i, Y: j }, things(j)] as const))
      ),
      Record: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, { X: i, Y: 1 }])),
      Last: 5
    }
    const bytes = Either.getOrThrow(Gob.encode(Deep)(made))
    const reading = new decoder.Reading(valueOf(bytes), Type.of(Deep.ast))
    let steps = 1
    while (!reading.step()) {
      steps++
    }
    assert.isAbove(steps, 5)
    assert.deepStrictEqual(reading.result, made)
    const any = new decoder.Reading(valueOf(bytes), undefined)
    while (!any.step()) {
      // as above
    }
    const untyped = (any.result as typeof made).Maps.map((map) => Array.from(map).at(-1))
    assert.deepStrictEqual(untyped, made.Maps.map((map, i) => [{ ...i > 0 && { X: i }, Y: 59 }, things(59)] as never))
    const wrong = new decoder.Reading(
      valueOf(bytes),
      Type.of(
        Schema.Struct({ Record: Schema.Record({ key: Schema.String, value: Schema.Struct({ Y: Gob.Float }) }) }).ast
      )
    )
    assert.throws(() => wrong.step(), "at Record.Y is int, and not float")
  })

  it("fields that nobody asked for are passed over in steps, with what they have in interfaces", () => {
    const count = 300_000
    const Things = Schema.Array(Gob.named({ point: Point, list: Lists }))
    const Wide = Schema.Struct({ Numbers: Lists, First: Gob.Int, Things, Last: Gob.Int })
    const things = Array.from({ length: 20_000 }, (_, i) => ({ name: "point", value: { X: i, Y: 1 } } as const))
    const bytes = Either.getOrThrow(
      Gob.encode(Wide)({
        Numbers: Array<number>(count).fill(1),
        First: 1,
        Things: [...things, { name: "list", value: [1, 2] }],
        Last: 2
      })
    )
    const asked = Schema.Struct({ First: Gob.Int, Last: Gob.Int })
    for (const schema of [asked, Schema.Struct({ ...asked.fields, Things })]) {
      const reading = new decoder.Reading(valueOf(bytes), Type.of(schema.ast))
      let steps = 1
      while (!reading.step()) {
        steps++
      }
      const { First, Last } = reading.result as typeof asked.Type
      assert.deepStrictEqual([First, Last], [1, 2])
      assert.isAtLeast(steps, Math.floor(count / (16 * decoder.perStep)))
    }
  })
})

describe("a schema applied to a long answer", () => {
  class Item extends Schema.Class<Item>("Item")({ id: Schema.Int, tags: Schema.Array(Schema.NumberFromString) }) {}
  const Reply = Schema.Struct({
    items: Schema.Array(Item),
    names: Schema.Record({ key: Schema.String, value: Schema.optionalWith(Schema.Number, { exact: true }).from }),
    pair: Schema.Tuple(Schema.String, Schema.Array(Schema.Union(Schema.Number, Schema.String)))
  })
  const encoded = {
    items: Array.from({ length: 10_000 }, (_, id) => ({ id, tags: ["1", "2"] })),
    names: Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`n${i}`, i])),
    pair: ["a", [1, "b"]]
  }

  /** The result, and how often it gave way. */
  const counted = <A>(effect: Effect.Effect<A, unknown>) =>
    Effect.gen(function*() {
      let turns = 0
      const next = () => {
        turns++
        timer = setImmediate(next)
      }
      let timer = setImmediate(next)
      const result = yield* Effect.either(effect)
      clearImmediate(timer)
      return { result, turns }
    })

  it.live("gives way, and makes what Schema makes in one go", () =>
    Effect.gen(function*() {
      const { result, turns } = yield* counted(decodeInParts(Reply)(encoded))
      assert.isAtLeast(turns, Math.floor(35_000 / perPart) - 1)
      assert.deepStrictEqual(result, Either.right(Schema.decodeUnknownSync(Reply)(encoded)))
      assert.instanceOf(Either.getOrThrow(result).items[9_999], Item)
    }))

  it.live("says where an item is not as expected, as Schema does in one go", () =>
    Effect.gen(function*() {
      const wrong = { ...encoded, items: encoded.items.with(7_000, { id: 1, tags: ["x"] }) }
      const { result } = yield* counted(decodeInParts(Reply)(wrong))
      const expected = Schema.decodeUnknownEither(Reply)(wrong)
      assert.include(String(Either.getOrThrow(Either.flip(result))), "[7000]")
      assert.strictEqual(
        String(Either.getOrThrow(Either.flip(result))).split("\n").at(-1),
        String(Either.getOrThrow(Either.flip(expected))).split("\n").at(-1)
      )
    }))
})

describe("what is made of one answer in JSON", () => {
  const parse = (text: string) => Json.parse(Buffer.from(text), limit)
  const many = (item: (i: number) => string, count: number) =>
    `[${Array.from({ length: count }, (_, i) => item(i)).join(",")}]`
  const small: ReadonlyArray<[name: string, text: string]> = [
    ["empty arrays", many(() => "[]", 1_300_000)],
    ["empty objects", many(() => "{}", 1_300_000)],
    ["arrays of one", many(() => "[1]", 1_000_000)],
    ["empty texts", many(() => "\"\"", 1_300_000)],
    [
      "objects of no two names",
      many((i) => `{${Array.from({ length: 50 }, (_, j) => `"k${i * 50 + j}":1`).join(",")}}`, 6_000)
    ]
  ]
  for (const [name, text] of small) {
    it(`a body below the limit, full of ${name}, is refused before it is parsed`, () => {
      assert.isAtMost(text.length, Limit.defaultBytes)
      assert.deepStrictEqual(parse(text), Either.left(tooMuch))
    })
  }

  it("records as servers send them, as many as the limit has room for, are read", () => {
    const records = [
      many((i) => `{"id":${i},"name":"user ${i}","active":true,"score":1.5}`, 65_000),
      many((i) => `{"X":${i},"Y":${i}}`, 170_000),
      many((i) => `[${i}.25,${i}.5]`, 140_000),
      `{${Array.from({ length: 50_000 }, (_, i) => `"user-${i}":{"name":"a","groups":["x","y"]}`).join(",")}}`
    ]
    for (const text of records) {
      assert.isAtMost(text.length, Limit.defaultBytes)
      assert.deepStrictEqual(parse(text), Either.right(JSON.parse(text)))
    }
  })
})

/** A server of JSON whose first answer, once two calls wait, is these bytes. */
const setup = (bytes: string | Uint8Array, options?: GoRpc.Settings) =>
  Effect.gen(function*() {
    let connections = 0
    const serve = (socket: Net.Socket) => {
      connections++
      let requests = 0
      let text = ""
      socket.on("data", (chunk) => {
        const lines = (text + chunk.toString()).split("\n")
        text = lines.pop()!
        for (const line of lines) {
          const { id } = JSON.parse(line) as { id: number }
          requests++
          if (requests === 2) {
            socket.write(bytes)
          }
          if (requests > 1) {
            socket.write(JSON.stringify({ id, result: 42, error: null }))
          }
        }
      })
    }
    const { port } = yield* Peer.listen(serve)
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, ...options })
    return { rpc, connections: () => connections }
  })

describe("GoRpc and one bad answer in JSON", () => {
  const utf8 = (before: string, bad: ReadonlyArray<number>, after: string) =>
    Buffer.concat([Buffer.from(before), Buffer.from(bad), Buffer.from(after)])
  const cases: ReadonlyArray<[name: string, bytes: string | Uint8Array, reason: string, message: string]> = [
    [
      "an error text that is not UTF-8",
      utf8("{\"id\":0,\"result\":null,\"error\":\"a", [0xff], "b\"}"),
      "ServerError",
      "a\ufffdb"
    ],
    [
      "a result that is not UTF-8",
      utf8("{\"result\":\"a", [0xff], "b\",\"error\":null,\"id\": 0 }"),
      "Protocol",
      "the peer sent not JSON: it is not UTF-8"
    ],
    ["NaN", "{\"id\":0,\"result\":NaN,\"error\":null}", "Protocol", "the peer sent not JSON"],
    [
      "a result over the limit",
      `{"id":0,"result":"${"x".repeat(5000)}","error":null}`,
      "Protocol",
      "the peer sent a frame of more than 4000 bytes: see maxFrameBytes"
    ],
    [
      "a result over the limit, its id behind it",
      `{"result":"${"x".repeat(3_970)}","error":null,"id":0}`,
      "Protocol",
      "the peer sent a frame of more than 4000 bytes: see maxFrameBytes"
    ],
    [
      "a result nested too deep, its id behind it",
      `{"a":{"id":1},"result":${"[".repeat(1001)}1${"]".repeat(1001)},"id":0}`,
      "Protocol",
      "the peer sent a frame nested deeper than 1000 levels"
    ]
  ]
  for (const [name, bytes, reason, message] of cases) {
    it.scopedLive(`${name}: one call fails, and its neighbour on the connection goes on`, () =>
      Effect.gen(function*() {
        const { connections, rpc } = yield* setup(bytes, { maxFrameBytes: 4000 })
        const [bad, good] = yield* Effect.all([Effect.flip(rpc.call("A.B", 1)), rpc.call("A.B", 2)], { concurrency: 2 })
        assert.instanceOf(bad, Fatal)
        assert.deepStrictEqual([bad.reason, bad.message], [reason, message])
        assert.strictEqual(good, 42)
        assert.strictEqual(yield* rpc.call("A.B", 3), 42)
        assert.strictEqual(connections(), 1)
      }))
  }

  it.scopedLive("an answer of 4 MB of empty arrays ends its call, names the option, and costs its neighbour nothing", () =>
    Effect.gen(function*() {
      const { connections, rpc } = yield* setup(`{"id":0,"result":[${"[],".repeat(1_300_000)}[]],"error":null}`)
      const [bad, good] = yield* Effect.all([Effect.flip(rpc.call("A.B", 1)), rpc.call("A.B", 2)], { concurrency: 2 })
      assert.strictEqual((bad as Fatal).message, `the peer sent a frame ${tooMuch}`)
      assert.strictEqual(good, 42)
      assert.strictEqual(connections(), 1)
    }))

  it.scopedLive("a key __proto__ that a Schema.Record would lose is refused by its name, in both directions", () =>
    Effect.gen(function*() {
      const Record = Schema.Struct({ Map: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
      const { rpc } = yield* setup("{\"id\":0,\"result\":{\"Map\":{\"a\":1,\"__proto__\":{\"b\":2}}},\"error\":null}")
      const [read] = yield* Effect.all([
        Effect.flip(rpc.call("A.B", 1, { reply: Record }).pipe(withRpcRetry)),
        rpc.call("A.B", 2)
      ], { concurrency: 2 })
      assert.strictEqual(
        (read as Fatal).message,
        "the reply is not as expected: has the key \"__proto__\", which Schema.Record does not hold"
      )
      const written = yield* Effect.flip(rpc.call("A.B", { Map: { ["__proto__"]: 1 } }, { args: Record }))
      assert.deepStrictEqual([written.reason, (written as Fatal).message], [
        "InvalidArgument",
        "the arguments cannot be written: has the key \"__proto__\", which Schema.Record does not hold"
      ])
    }))
})
