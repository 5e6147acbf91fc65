/**
 * Gob leaves out schemas, and parts of them, that change nothing: what it makes and says is what it would with them.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { Writer } from "../../../src/transport/gob/bytes.js"
import * as decoder from "../../../src/transport/gob/decoder.js"
import { Encoder } from "../../../src/transport/gob/encoder.js"
import * as Plain from "../../../src/transport/gob/plain.js"
import { Stream, type Value } from "../../../src/transport/gob/stream.js"
import * as Type from "../../../src/transport/gob/type.js"
import * as GobArbitrary from "../../support/gobArbitrary.js"
import { assert, describe, it } from "../../support/vitest.js"

type Any = Schema.Schema<unknown, unknown>

const any = (schema: Schema.Schema.AnyNoContext) => schema as unknown as Any

const problemOf = (error: unknown) => error instanceof Error ? error.message : String(error)

/** The whole schema first, and then the codec. */
const encodedWhole = (schema: Any, value: unknown) =>
  Either.try({
    try: () => {
      const encoded = Schema.encodeSync(schema)(value)
      const writer = new Writer()
      new Encoder().encode(writer, [Type.of(schema.ast), encoded])
      return writer.written().slice()
    },
    catch: problemOf
  })

/** The codec first, and then the whole schema. */
const decodedWhole = (schema: Any, bytes: Uint8Array) =>
  Either.try({
    try: () => {
      const values: Array<Value> = []
      new Stream({ bytes: 1_000_000, option: "maxBytes" }).push(bytes, (value) => values.push(value))
      return Schema.decodeUnknownSync(schema)(decoder.decode(values[0]!, Type.of(schema.ast)))
    },
    catch: problemOf
  })

const said = <A>(result: Either.Either<A, Gob.GobError>) =>
  Either.mapLeft(result, ({ problem }) => problem.replace(/^gob: /, ""))

const check = (schema: Any, value: unknown) => {
  const bytes = Gob.encode(schema)(value)
  assert.deepStrictEqual(said(bytes), encodedWhole(schema, value))
  if (Either.isRight(bytes)) {
    assert.deepStrictEqual(said(Gob.decode(schema)(bytes.right)), decodedWhole(schema, bytes.right))
  }
}

/** The value with something else in one place. */
const spoilt = (value: unknown, by: unknown, pick: (length: number) => number): unknown => {
  if (Array.isArray(value) && value.length > 0) {
    const at = pick(value.length)
    return value.with(at, spoilt(value[at], by, pick))
  }
  if (value instanceof Map && value.size > 0) {
    const entries = Array.from(value)
    const at = pick(entries.length)
    return new Map(entries.with(at, [entries[at]![0], spoilt(entries[at]![1], by, pick)]))
  }
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    const name = Object.keys(value)[pick(Object.keys(value).length)]!
    return { ...value, [name]: spoilt((value as Readonly<Record<string, unknown>>)[name], by, pick) }
  }
  return by
}

const Positive = Gob.Int.pipe(Schema.positive())

interface List {
  readonly Value: number
  readonly Next: List | null
}

const List: Schema.Schema<List> = Schema.Struct({
  Value: Gob.Int,
  Next: Schema.NullOr(Schema.suspend(() => List))
})

const inherited: unknown = Object.create({ A: 1, B: "b" })
const hole = Array<unknown>(2).fill(1, 0, 1)
const itself: { Value: number; Next: unknown } = { Value: 1, Next: null }
itself.Next = itself

describe("a schema that gob does not apply", () => {
  it("is what gob makes of it, for all types that Go has, and for values that do not fit", () => {
    fc.assert(
      fc.property(
        GobArbitrary.sample,
        fc.constantFrom<unknown>(
          0,
          -1,
          0.5,
          NaN,
          2n ** 64n,
          "a",
          true,
          null,
          undefined,
          [],
          {},
          new Map(),
          new Uint8Array()
        ),
        fc.nat(),
        ({ schema, value }, by, at) => {
          check(schema, value)
          check(schema, spoilt(value, by, (length) => at % length))
          const partly = any(Schema.Struct({ F: schema, G: Schema.Array(Positive) }))
          check(partly, { F: value, G: [1, 2] })
          const refused = Either.getOrThrow(
            Gob.encode(any(Schema.Struct({ F: schema, G: Schema.Array(Gob.Int) })))({ F: value, G: [1, -1 - at] })
          )
          const problem = said(Gob.decode(partly)(refused))
          assert.isTrue(Either.isLeft(problem))
          assert.deepStrictEqual(problem, decodedWhole(partly, refused))
        }
      ),
      { numRuns: 400 }
    )
  })

  const Optional = Schema.Struct({ A: Schema.optional(Gob.Int), B: Schema.optional(Schema.NullOr(Schema.String)) })
  const Exact = Schema.Struct({ A: Schema.optionalWith(Gob.Int, { exact: true }), B: Schema.String })
  const Undefined = Schema.Struct({ A: Schema.UndefinedOr(Gob.Int), B: Schema.NullishOr(Schema.String) })
  const Fallback = Schema.Struct({ A: Gob.Int.annotations({ decodingFallback: () => Either.right(7) }) })
  const cases: ReadonlyArray<[name: string, schema: Schema.Schema.AnyNoContext, ...values: ReadonlyArray<unknown>]> = [
    [
      "optional fields",
      Optional,
      {},
      { A: 1 },
      { A: undefined, B: null },
      { A: null },
      { B: "b" },
      inherited,
      [],
      null
    ],
    ["exact ones", Exact, { B: "" }, { A: 1, B: "b" }, { A: undefined, B: "b" }, inherited],
    ["fields that are undefined", Undefined, {}, { A: undefined, B: undefined }, { A: 1, B: null }, { A: 0, B: "b" }],
    ["fields in excess", Schema.Struct({ A: Gob.Int }), { A: 1, B: 2 }, Object.assign(() => 1, { A: 1 })],
    ["a fallback", Fallback, { A: 1 }, { A: 0.5 }],
    ["options of a part", List.annotations({ parseOptions: { onExcessProperty: "error" } }), {
      Value: 1,
      Next: null,
      C: 1
    }],
    ["lists", Schema.Array(Schema.NullOr(Gob.Int)), [1], hole, [null], "ab", { length: 0 }],
    ["arrays", Gob.array(2, Gob.Uint), [1, 2], [1], [1, -1], hole],
    ["tuples", Schema.Tuple(Gob.Int, Gob.Int), [1, 2], [1], [1, 2, 3]],
    ["lists of at least one", Schema.NonEmptyArray(Gob.Int), [1], []],
    ["records", Schema.Record({ key: Schema.String, value: Gob.Int }), { a: 1 }, { a: "a" }, new Map(), ["a"]],
    ["records with other keys", Schema.Record({ key: Schema.NonEmptyString, value: Gob.Int }), { a: 1 }, { "": 1 }],
    ["recursion", List, { Value: 1, Next: { Value: 2, Next: null } }, { Value: 1, Next: { Value: 2 } }],
    ["empty structs", Schema.Struct({ E: Schema.Struct({}) }), { E: {} }, { E: 1 }, { E: null }],
    ["brands", Schema.Struct({ A: Gob.Int.pipe(Schema.brand("A")) }), { A: 1 }, { A: "a" }],
    [
      "interfaces",
      Gob.named({ int: Gob.Int, string: Schema.String }),
      { name: "int", value: 1 },
      { name: "a" },
      undefined
    ],
    ["a field __proto__", Schema.Struct({ ["__proto__"]: Gob.Int }), JSON.parse("{\"__proto__\":1}")],
    ["texts of a few", Schema.Struct({ T: Schema.Literal("a", "b") }), { T: "a" }, { T: "c" }]
  ]
  for (const [name, schema, ...values] of cases) {
    it(`${name}: is what gob makes of it, and what it refuses`, () => {
      values.forEach((value) => check(any(schema), value))
    })
  }

  it("is one of Go's types, and not one that changes or refuses some", () => {
    const plain = [List, Optional, Exact, Gob.map({ key: List, value: Schema.Array(Gob.Complex) }), Gob.array(2, List)]
    assert.deepStrictEqual(plain.map(({ ast }) => Plain.isPlain(ast)), plain.map(() => true))
    const others = [Positive, Undefined, Fallback, Gob.Time, Schema.NonEmptyString, Schema.Literal("a"), Schema.Number]
    assert.deepStrictEqual(others.map(({ ast }) => Plain.isPlain(ast)), others.map(() => false))
  })

  it("refuses a value that contains itself", () => {
    const problem = said(Gob.encode(any(List))(itself))
    assert.isTrue(Either.isLeft(problem))
  })
})
