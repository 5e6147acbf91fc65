import { InvalidOption } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { cases, Everything, full, Point } from "../../support/gobTypes.js"
import { assert, describe, it } from "../../support/vitest.js"

/** Streams that Go has written, of the values of `gobTypes.ts`: for machines without Go. */
const fixtures: ReadonlyArray<{ readonly name: string; readonly hex: string }> = JSON.parse(
  readFileSync(Path.join(import.meta.dirname, "..", "..", "support", "gobFixtures.json"), "utf8")
)

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"))

const encoded = <A, I>(schema: Schema.Schema<A, I>, value: A) => Either.getOrThrow(Gob.encode(schema)(value))

const problem = (result: Either.Either<unknown, Gob.GobError>): string => Either.getOrThrow(Either.flip(result)).problem

describe("Gob", () => {
  it("reads what Go wrote", () => {
    assert.isAbove(fixtures.length, 60)
    const written = new Map(fixtures.map(({ hex, name }) => [name, hex]))
    const long: Array<string> = []
    for (const { name, schema, value } of cases) {
      const hex = written.get(name)
      if (hex === undefined) {
        long.push(name)
      } else {
        assert.deepStrictEqual(Gob.decode(schema)(bytesOf(hex)), Either.right(value), name)
      }
    }
    assert.deepStrictEqual(long, ["string 4", "bytes 3"])
  })

  it("writes a struct as the documentation of encoding/gob has it, with the definition of its type before", () => {
    const Named = Point.annotations({ identifier: "Point" })
    assert.strictEqual(
      Buffer.from(encoded(Named, { X: 22, Y: 33 })).toString("hex"),
      // 1f: so many bytes; ff 81: type 65; then its name, and two fields X and Y of type int
      "1fff8103010105506f696e7401ff82000102010158010400010159010400000007ff82012c014200"
    )
  })

  it("sends the definition of a type once for each stream", () => {
    const encoder = Gob.makeEncoder()
    const first = Either.getOrThrow(encoder.encode(Point, { X: 1, Y: 2 }))
    const second = Either.getOrThrow(encoder.encode(Point, { X: 1, Y: 2 }))
    assert.strictEqual(second.length, 8)
    assert.deepStrictEqual(first.slice(-8), second)
  })

  it("passes over fields that the schema has not, and makes zeros of those that did not come", () => {
    const wide = encoded(Everything, full)
    assert.deepStrictEqual(
      Either.getOrThrow(Gob.decode(Schema.Struct({ Text: Schema.String, Other: Gob.Int }))(wide)),
      { Text: full.Text, Other: 0 }
    )
  })

  it("a value that cannot be written leaves the stream as it was, types included", () => {
    const List = Schema.Struct({ List: Schema.Array(Schema.NullOr(Point)) })
    const encoder = Gob.makeEncoder()
    const decoder = Gob.makeDecoder()
    assert.include(problem(encoder.encode(List, { List: [null] })), "no place for nil")
    for (const value of [{ List: [{ X: 1, Y: 2 }] }, { List: [] }]) {
      const { problem: none, values } = decoder.push(Either.getOrThrow(encoder.encode(List, value)))
      assert.isUndefined(none)
      assert.deepStrictEqual(values.map((one) => one.as(List)), [Either.right(value)])
    }
  })

  it("a nil pointer, which Go sends as its type alone, is null, or else a struct of zeros", () => {
    // type S struct{ A int }; var s *S; gob.NewEncoder(w).Encode(&s)
    const struct = bytesOf("147f030101015301ff80000101010141010400000002ff80")
    const S = Schema.Struct({ A: Gob.Int })
    assert.deepStrictEqual(Gob.decode(S)(struct), Either.right({ A: 0 }))
    assert.deepStrictEqual(Gob.decode(Schema.NullOr(S))(struct), Either.right(null))
    assert.deepStrictEqual(Gob.decode(Schema.UndefinedOr(S))(struct), Either.right(undefined))
    // var n *int: Go itself does not read it
    assert.deepStrictEqual(Gob.decode(Schema.NullOr(Gob.Int))(bytesOf("0104")), Either.right(null))
    assert.include(problem(Gob.decode(Gob.Int)(bytesOf("0104"))), "ends in the middle of a value")
  })

  it("reads a stream of many values as they come, each as what is asked for, again if need be", () => {
    const encoder = Gob.makeEncoder()
    const bytes = Buffer.concat([
      Either.getOrThrow(encoder.encode(Point, { X: 1, Y: 0 })),
      Either.getOrThrow(encoder.encode(Everything, full)),
      Either.getOrThrow(encoder.encode(Gob.Int64, 2n ** 60n)),
      Either.getOrThrow(encoder.encode(Point, { X: 3, Y: 4 }))
    ])
    for (const size of [1, 7, 1000, bytes.length]) {
      const decoder = Gob.makeDecoder()
      const values: Array<Gob.Value> = []
      for (let at = 0; at < bytes.length; at += size) {
        const pushed = decoder.push(bytes.subarray(at, at + size))
        assert.isUndefined(pushed.problem)
        values.push(...pushed.values)
      }
      assert.strictEqual(values.length, 4)
      assert.deepStrictEqual(values[0]!.as(Point), Either.right({ X: 1, Y: 0 }))
      assert.deepStrictEqual(values[0]!.unknown, Either.right({ X: 1 }))
      assert.deepStrictEqual(values[1]!.as(Everything), Either.right(full))
      assert.deepStrictEqual(values[1]!.as(Schema.Struct({ Text: Schema.String })), Either.right({ Text: full.Text }))
      assert.include(problem(values[2]!.as(Gob.Int)), "use Gob.Int64")
      assert.deepStrictEqual(values[2]!.unknown, Either.right(2n ** 60n))
      assert.deepStrictEqual(values[3]!.as(Point), Either.right({ X: 3, Y: 4 }))
    }
  })

  it("without a schema a value is what the stream says of it", () => {
    const any = Gob.makeDecoder().push(encoded(Everything, full)).values[0]!.unknown
    const { Anything, Bytes, IntMap, Lists, Map: map, Nested, Text, Uint64 } = Either.getOrThrow(any) as Record<
      string,
      unknown
    >
    assert.deepStrictEqual([Anything, Nested, Text, Uint64, Lists], [
      full.Anything,
      { X: 1 },
      full.Text,
      full.Uint64,
      full.Lists
    ])
    assert.deepStrictEqual([Bytes, map, IntMap], [full.Bytes, new Map([["k", 1]]), full.IntMap])
  })

  it("definitions are bounded together, whatever they are long by", () => {
    for (const [count, length] of [[12, 100_000], [1, 2_000_000]] as const) {
      const encoder = Gob.makeEncoder()
      const decoder = Gob.makeDecoder()
      const problems = Array.from({ length: count }, (_, i) => {
        const Named = Schema.Struct({}).annotations({ identifier: String(i).padEnd(length, "x") })
        return decoder.push(Either.getOrThrow(encoder.encode(Named, {}))).problem?.message
      })
      assert.include(problems.at(-1), "uses more than 1048576 bytes to define its types")
      assert.strictEqual(problems.filter((problem) => problem === undefined).length, count === 1 ? 0 : 10)
    }
  })

  it("bytes are the reader's own, and a name may be __proto__", () => {
    const Bytes = Schema.Struct({
      Bytes: Schema.Uint8ArrayFromSelf,
      ["__proto__"]: Gob.map({ key: Gob.Int, value: Gob.Int })
    })
    const stream = Buffer.from(encoded(Bytes, { Bytes: new Uint8Array([1, 2]), ["__proto__"]: new Map([[1, 2]]) }))
    const value = Gob.makeDecoder().push(stream).values[0]!
    const typed = Either.getOrThrow(value.as(Schema.Struct({ Bytes: Schema.Uint8ArrayFromSelf })))
    const untyped = Either.getOrThrow(value.unknown) as Record<string, unknown>
    stream.fill(0)
    for (const bytes of [typed.Bytes, untyped["Bytes"] as Uint8Array]) {
      assert.strictEqual(bytes.constructor, Uint8Array)
      assert.deepStrictEqual(Array.from(bytes), [1, 2])
    }
    assert.strictEqual(Object.getPrototypeOf(untyped), Object.prototype)
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(untyped, "__proto__")?.value, new Map([[1, 2]]))
  })

  it("a problem says at which field", () => {
    const Deep = Schema.Struct({ Outer: Schema.Struct({ List: Schema.Array(Point) }) })
    const Other = Schema.Struct({ Outer: Schema.Struct({ List: Schema.Array(Schema.Struct({ Y: Gob.Float })) }) })
    const bytes = encoded(Deep, { Outer: { List: [{ X: 1, Y: 0 }, { X: 1, Y: 2 }] } })
    assert.strictEqual(problem(Gob.decode(Other)(bytes)), "gob: at Outer.List.Y is int, and not float")
  })

  it("after a problem a stream is lost", () => {
    const decoder = Gob.makeDecoder()
    const first = decoder.push(new Uint8Array([...encoded(Gob.Int, 1), 0xf7, 0x10, 0x00]))
    assert.deepStrictEqual(first.values.map((value) => value.as(Gob.Int)), [Either.right(1)])
    assert.include(first.problem?.message, "a number of more than 8 bytes")
    const second = decoder.push(encoded(Gob.Int, 1))
    assert.deepStrictEqual([second.values, second.problem], [[], first.problem])
    assert.throws(() => Gob.makeDecoder({ maxBytes: 0 }), InvalidOption, "Gob.makeDecoder: maxBytes must be")
  })

  it("a value over the limit is an error of its own, and those after it are read", () => {
    const encoder = Gob.makeEncoder()
    const write = (text: string) => Either.getOrThrow(encoder.encode(Schema.String, text))
    const bytes = Buffer.concat([write("a"), write("b".repeat(5_000)), write("c")])
    for (const size of [1, 7, 300, bytes.length]) {
      const decoder = Gob.makeDecoder({ maxBytes: 100 })
      const values = Array.from(
        { length: Math.ceil(bytes.length / size) },
        (_, i) => decoder.push(bytes.subarray(i * size, (i + 1) * size))
      )
      assert.deepStrictEqual(values.map(({ problem }) => problem).filter((problem) => problem !== undefined), [])
      assert.deepStrictEqual(values.flatMap(({ values }) => values).map((value) => value.as(Schema.String)), [
        Either.right("a"),
        Either.left(new Gob.GobError({ problem: "gob: has a value of more than 100 bytes: see maxBytes" })),
        Either.right("c")
      ])
    }
  })

  it("a schema made anew for each value, as inside a function, has its type defined once", () => {
    interface Chain {
      readonly Next?: Chain
    }
    const make = () => {
      const Chain: Schema.Schema<Chain> = Schema.Struct({
        Next: Schema.optionalWith(Schema.suspend((): Schema.Schema<Chain> => Chain), { exact: true })
      })
      const Pair = Gob.array(2, Schema.Struct({ X: Gob.Int, Any: Gob.named({ int: Gob.Int }) }))
      return Schema.Struct({ Chain, Pairs: Schema.Record({ key: Schema.String, value: Pair }), Time: Gob.Time })
    }
    const value = { Chain: { Next: {} }, Pairs: {}, Time: full.Time }
    const encoder = Gob.makeEncoder()
    const lengths = Array.from({ length: 3 }, () => Either.getOrThrow(encoder.encode(make(), value)).length)
    assert.isAbove(lengths[0]!, 3 * lengths[1]!)
    assert.strictEqual(lengths[2], lengths[1])
    // others than these are other types
    for (
      const Other of [Schema.Struct({ X: Gob.Int }), Schema.Struct({ X: Gob.Uint }), Schema.Struct({ Y: Gob.Int })]
    ) {
      const schema = Other as unknown as Schema.Schema<object>
      const first = Either.getOrThrow(encoder.encode(schema, { X: 1, Y: 1 }))
      assert.isAbove(first.length, Either.getOrThrow(encoder.encode(schema, { X: 1, Y: 1 })).length)
    }
  })

  it("a stream has no more than 10,000 types, and goes on with those that it has", () => {
    const encoder = Gob.makeEncoder()
    const write = (i: number) => encoder.encode(Schema.Struct({}).annotations({ identifier: `T${i}` }), {})
    for (let i = 0; i < 10_000; i++) {
      assert.isTrue(Either.isRight(write(i)))
    }
    assert.include(problem(write(10_000)), "would define more than 10000 types in one stream")
    assert.isTrue(Either.isRight(write(9_999)))
  })

  it("a zero of a type that writes itself and cannot read nothing is left out of a struct, as Go does", () => {
    const Id = Gob.external("binary", "UUID")
    const With = Schema.Struct({ Id, N: Gob.Int })
    const zero = Either.getOrThrow(Gob.decode(With)(encoded(Schema.Struct({ N: Gob.Int }), { N: 1 })))
    assert.deepStrictEqual(zero, { Id: new Uint8Array(), N: 1 })
    const any = Gob.makeDecoder().push(encoded(With, zero)).values[0]!.unknown
    assert.deepStrictEqual(any, Either.right({ N: 1 }))
  })

  it("a time.Time beyond JavaScript's dates is the last of them, and whole as an Instant", () => {
    const late = { seconds: 2n ** 63n - 1n - 62_135_596_800n, nanos: 999_999_999 }
    const early = { seconds: -(2n ** 63n) - 62_135_596_800n, nanos: 0 }
    for (
      const [instant, millis] of [[late, 8.64e15], [early, -8.64e15], [
        { seconds: 1n, nanos: 1_999_999 },
        1001
      ]] as const
    ) {
      const bytes = encoded(Gob.Instant, instant)
      assert.deepStrictEqual(Gob.decode(Gob.Instant)(bytes), Either.right(instant))
      assert.strictEqual(Either.getOrThrow(Gob.decode(Gob.Time)(bytes)).epochMillis, millis)
    }
    assert.include(
      problem(Gob.encode(Gob.Instant)({ seconds: 2n ** 63n, nanos: 0 })),
      "more seconds than time.Time holds"
    )
    assert.include(problem(Gob.encode(Gob.Instant)({ seconds: 0n, nanos: 1e9 })), "nanoseconds")
  })

  it("a key __proto__ that a Schema.Record would lose is refused by its name, read and written", () => {
    const Map_ = Gob.map({ key: Schema.String, value: Gob.Int })
    const Record = Schema.Record({ key: Schema.String, value: Gob.Int })
    const bytes = encoded(Map_, new Map([["a", 1], ["__proto__", 2]]))
    assert.deepStrictEqual(Gob.decode(Map_)(bytes), Either.right(new Map([["a", 1], ["__proto__", 2]])))
    assert.include(problem(Gob.decode(Record)(bytes)), "has the key \"__proto__\"")
    const nested = Schema.Struct({ List: Schema.Array(Record) })
    assert.include(
      problem(Gob.encode(nested)({ List: [{ a: 1 }, { ["__proto__"]: 2 }] })),
      "has the key \"__proto__\", which Schema.Record does not hold: use Gob.map"
    )
  })

  it("schemas that are strings, bytes and lists in other words", () => {
    const values: ReadonlyArray<readonly [schema: Schema.Schema.AnyNoContext, value: unknown]> = [
      [Schema.Uint8ArrayFromSelf.pipe(Schema.brand("Id")), new Uint8Array([1])],
      [Schema.Uint8ArrayFromSelf.annotations({ description: "a key" }), new Uint8Array([1])],
      [Schema.NonEmptyArray(Gob.Int), [1, 2]],
      [Schema.Enums({ A: "a", B: "b" } as const), "b"],
      [Schema.TemplateLiteral("a", Schema.Number), "a1"],
      [Schema.Struct({ L: Schema.Literal("a", "b", null) }), { L: "b" }],
      [Schema.Struct({ L: Schema.Literal("a", "b", null) }), { L: null }],
      [Schema.Struct({ N: Schema.optionalWith(Gob.named({ p: Point }), { exact: true }) }), {
        N: { name: "p", value: { X: 1, Y: 2 } }
      }],
      [Schema.Struct({ N: Schema.optionalWith(Gob.named({ p: Point, q: Point }), { exact: true }) }), {}],
      [Schema.Array(Schema.String), ["\ufeffa", "a", "\ufeff"]],
      [Gob.map({ key: Schema.String, value: Gob.Int }), new Map([["a", 1], ["\ufeffa", 2]])]
    ]
    for (const [schema, value] of values) {
      const typed = schema as unknown as Schema.Schema<unknown, unknown>
      assert.deepStrictEqual(Gob.decode(typed)(encoded(typed, value)), Either.right(value))
    }
    // an interface, also where the field may be absent
    const Optional = Schema.Struct({ N: Schema.optionalWith(Gob.named({ p: Point }), { exact: true }) })
    const Plain = Schema.Struct({ N: Gob.named({ p: Point }) })
    const value = { N: { name: "p", value: { X: 1, Y: 2 } } } as const
    assert.deepStrictEqual(encoded(Optional, value), encoded(Plain, value))
  })

  it("a string of Go that is not UTF-8 is read as bytes, and never altered", () => {
    // the string "Q\xff"
    const stream = bytesOf("050c000251ff")
    assert.include(problem(Gob.decode(Schema.String)(stream)), "a string that is not UTF-8: read it as bytes")
    assert.deepStrictEqual(Gob.decode(Schema.Uint8ArrayFromSelf)(stream), Either.right(new Uint8Array([0x51, 0xff])))
    assert.include(problem(Gob.encode(Schema.String)("a\ud800")), "a lone surrogate")
    assert.include(problem(Gob.encode(Schema.String)("a\ud800".repeat(100))), "a lone surrogate")
  })

  it("names and lengths that are none are refused where they are said", () => {
    assert.throws(
      () => Gob.named({ "": Gob.Int }),
      InvalidOption,
      "Gob.named: types has the name \"\", which is that of nil"
    )
    for (const length of [-1, 1.5, NaN]) {
      assert.throws(
        () => Gob.array(length, Gob.Int),
        InvalidOption,
        "Gob.array: length must be an integer of at least 0"
      )
    }
  })

  it("types are looked at once, however many there are and however they hang together", () => {
    // type 65 is a slice of 66, and so on; the last one of interfaces; then values of each type
    const block = (...bytes: ReadonlyArray<number>) => [bytes.length, ...bytes]
    const int = (n: number) => [0xfd, (n >> 16) & 255, (n >> 8) & 255, n & 255]
    const count = 5000
    const types = Array.from({ length: count }, (_, i) => {
      const item = i === count - 1 ? [16] : int(2 * (66 + i))
      return block(...int(2 * (65 + i) - 1), 2, 2, ...item, 0, 0)
    })
    const values = Array.from({ length: count }, (_, i) => block(...int(2 * (65 + i)), 0, 0))
    const { problem: none, values: read } = Gob.makeDecoder().push(new Uint8Array([...types, ...values].flat()))
    assert.isUndefined(none)
    assert.strictEqual(read.length, count)
    assert.deepStrictEqual(read.at(-1)!.as(Schema.Array(Gob.named({ int: Gob.Int }))), Either.right([]))
  })

  const X = Schema.Struct({ X: Gob.Int })
  const bad: ReadonlyArray<[name: string, result: () => Either.Either<unknown, Gob.GobError>, problem: string]> = [
    ["a number without a type of Go", () => Gob.encode(Schema.Struct({ A: Schema.Number }))({ A: 1 }), "use Gob.Int"],
    ["a type that Go has not", () => Gob.encode(Schema.SymbolFromSelf)(Symbol.for("a")), "has no type in Go"],
    ["an integer that is none", () => Gob.encode(Gob.Int)(1.5), "is not a safe integer"],
    ["one that is negative", () => Gob.encode(Gob.Uint)(-1), "at least 0"],
    ["one beyond 64 bits", () => Gob.encode(Gob.Int64)(2n ** 63n), "64 bits"],
    ["nil in a list", () => Gob.encode(Schema.Array(Schema.NullOr(Gob.Int)))([null]), "no place for nil"],
    ["a name that is not registered", () =>
      Gob.decode(Schema.Struct({ Anything: Gob.named({ int: Gob.Int }) }))(
        encoded(Everything, full)
      ), "at Anything has a \"main.Circle\", which is not one of Gob.named here"],
    [
      "another type",
      () => Gob.decode(Schema.Struct({ X: Schema.String }))(encoded(X, { X: 1 })),
      "at X is int, and not string"
    ],
    ["unsigned for signed", () => Gob.decode(Gob.Int)(encoded(Gob.Uint, 1)), "is uint, and not int"],
    [
      "another length",
      () => Gob.decode(Gob.array(2, Gob.Int))(encoded(Gob.array(3, Gob.Int), [1, 2, 3])),
      "array of 3"
    ],
    [
      "an integer that a number does not hold",
      () => Gob.decode(Gob.Int)(encoded(Gob.Int64, 2n ** 60n)),
      "use Gob.Int64"
    ],
    ["no bytes", () => Gob.decode(Gob.Int)(new Uint8Array()), "ends in the middle"],
    ["half of it", () => Gob.decode(X)(encoded(X, { X: 1 }).slice(0, -2)), "ends in the middle"],
    ["a length bomb", () => {
      const list = encoded(Schema.Array(Gob.Int), [])
      // the definition of the list, and a list that says it has 2^40 items
      return Gob.decode(Schema.Array(Gob.Int))(
        new Uint8Array([...list.slice(0, list[0]! + 1), ...bytesOf("0aff8200fa010000000000")])
      )
    }, "says that 1099511627776 items follow"],
    ["a type that is not defined", () => Gob.decode(Gob.Int)(bytesOf("04ffc80000")), "which is not defined"],
    [
      "a number of nine bytes",
      () => Gob.decode(Gob.Int)(bytesOf("0cf70101010101010101010000")),
      "more than 8 bytes"
    ]
  ]
  for (const [name, result, expected] of bad) {
    it(`says what is wrong with ${name}`, () => {
      assert.include(problem(result()), expected)
    })
  }

  it("a value nested too deep is an error, written or read", () => {
    interface Chain {
      readonly Next?: Chain
    }
    const Chain: Schema.Schema<Chain> = Schema.Struct({
      Next: Schema.optionalWith(Schema.suspend((): Schema.Schema<Chain> => Chain), { exact: true })
    })
    const deep = (levels: number) => {
      let chain: Chain = {}
      for (let i = 0; i < levels; i++) {
        chain = { Next: chain }
      }
      return chain
    }
    assert.include(problem(Gob.encode(Chain)(deep(1200))), "nested deeper than 1000 levels")
    const stream = encoded(Chain, deep(900))
    assert.isTrue(Either.isRight(Gob.decode(Chain)(stream)))
    // one level of the stream is the byte 1, and its end the byte 0
    const definition = stream.slice(0, stream[0]! + 1)
    const levels = 20_000
    const value = new Uint8Array(2 + 2 * levels + 1).fill(1, 2, 2 + levels)
    value.set([0xff, 0x82])
    const bomb = new Uint8Array([...definition, 0xfe, value.length >> 8, value.length & 255, ...value])
    assert.include(problem(Gob.decode(Chain)(bomb)), "nested deeper than 1000 levels")
  })
})
