import { assert, describe, it } from "@effect/vitest"
import * as Gob from "effect-rpc-retry/Gob"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { cases, Everything, full, Point } from "../support/gobTypes.js"
import * as Random from "../support/random.js"

/** Streams that Go has written, of the values of `gobTypes.ts`: for machines without Go. */
const fixtures: ReadonlyArray<{ readonly name: string; readonly hex: string }> = JSON.parse(
  readFileSync(Path.join(import.meta.dirname, "..", "support", "gobFixtures.json"), "utf8")
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
      ), "\"main.Circle\", which is not registered"],
    [
      "another type",
      () => Gob.decode(Schema.Struct({ X: Schema.String }))(encoded(X, { X: 1 })),
      "is int, and not string"
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
    assert.include(problem(Gob.encode(Chain)(deep(600))), "nested deeper than 1000 levels")
    const stream = encoded(Chain, deep(400))
    assert.isTrue(Either.isRight(Gob.decode(Chain)(stream)))
    // one level of the stream is the byte 1, and its end the byte 0
    const definition = stream.slice(0, stream[0]! + 1)
    const levels = 20_000
    const value = new Uint8Array(2 + 2 * levels + 1).fill(1, 2, 2 + levels)
    value.set([0xff, 0x82])
    const bomb = new Uint8Array([...definition, 0xfe, value.length >> 8, value.length & 255, ...value])
    assert.include(problem(Gob.decode(Chain)(bomb)), "nested deeper than 1000 levels")
  })

  it("100 000 mutated streams: each is a value or a GobError", () => {
    const random = Random.make(1)
    const small = fixtures.filter(({ hex }) => hex.length < 4_000).map(({ hex, name }) => ({
      schema: cases.find((one) => one.name === name)!.schema,
      bytes: bytesOf(hex)
    }))
    let values = 0
    let errors = 0
    for (let i = 0; i < 100_000; i++) {
      const { bytes, schema } = small[i % small.length]!
      const mutant = bytes.slice(0, random(8) === 0 ? random(bytes.length + 1) : bytes.length)
      for (let flips = 1 + random(3); flips > 0 && mutant.length > 0; flips--) {
        mutant[random(mutant.length)] = random(256)
      }
      const result = Gob.decode(schema)(mutant)
      if (Either.isRight(result)) {
        values++
      } else {
        errors++
        assert.instanceOf(result.left, Gob.GobError)
      }
    }
    assert.isAbove(values, 1_000)
    assert.isAbove(errors, 1_000)
  }, 60_000)
})
