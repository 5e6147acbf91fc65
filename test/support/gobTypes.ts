/**
 * The types of `test/interop/go/gobecho`, and values of them.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"

export const Point = Schema.Struct({ X: Gob.Int, Y: Gob.Int })

interface Tree {
  readonly Value: number
  readonly Left?: Tree
  readonly Right?: Tree
}

const Branch = Schema.optionalWith(Schema.suspend((): Schema.Schema<Tree> => Tree), { exact: true })

const Tree: Schema.Schema<Tree> = Schema.Struct({ Value: Gob.Int, Left: Branch, Right: Branch })

interface Forest {
  readonly Name: string
  readonly Trees: ReadonlyArray<Forest>
  readonly Named: { readonly [name: string]: Forest }
}

const Forests = Schema.suspend((): Schema.Schema<Forest> => Forest)

const Forest: Schema.Schema<Forest> = Schema.Struct({
  Name: Schema.String,
  Trees: Schema.Array(Forests),
  Named: Schema.Record({ key: Schema.String, value: Forests })
})

type Thing = { readonly name: string; readonly value: unknown } | undefined

interface Anything {
  readonly One: Thing
  readonly Many: ReadonlyArray<Thing>
  readonly Map: { readonly [name: string]: Thing }
}

const Thing = Gob.named({
  bool: Schema.Boolean,
  int: Gob.Int,
  uint64: Gob.Uint64,
  float64: Gob.Float,
  string: Schema.String,
  "[]uint8": Schema.Uint8ArrayFromSelf,
  "main.Circle": Schema.Struct({ Radius: Gob.Float }),
  "main.Anything": Schema.suspend((): Schema.Schema<Anything> => Anything),
  points: Schema.Array(Point),
  times: Schema.Record({ key: Schema.String, value: Gob.Time })
})

export const Anything = Schema.Struct({
  One: Thing,
  Many: Schema.Array(Thing),
  Map: Schema.Record({ key: Schema.String, value: Thing })
}) as unknown as Schema.Schema<Anything>

const nothing: Anything = { One: undefined, Many: [], Map: {} }

const circle = { name: "main.Circle", value: { Radius: 0.5 } }

/** `big.Int` writes a version with the sign in its lowest bit, and the bytes of the number. */
export const BigInteger = Schema.transform(Gob.external("gob", "Int"), Schema.BigIntFromSelf, {
  strict: true,
  decode: (bytes) => {
    const n = BigInt(`0x0${Buffer.from(bytes.subarray(1)).toString("hex")}`)
    return (bytes[0] ?? 0) % 2 === 1 ? -n : n
  },
  encode: (n) => {
    const hex = (n < 0n ? -n : n).toString(16)
    const digits = n === 0n ? "" : hex.padStart(hex.length + hex.length % 2, "0")
    return new Uint8Array([n < 0n ? 3 : 2, ...Buffer.from(digits, "hex")])
  }
})

export const Url = Schema.transform(Gob.external("binary", "URL"), Schema.String, {
  strict: true,
  decode: (bytes) => new TextDecoder().decode(bytes),
  encode: (url) => new TextEncoder().encode(url)
})

export const Everything = Schema.Struct({
  Bool: Schema.Boolean,
  Int8: Gob.Int,
  Int64: Gob.Int64,
  Uint8: Gob.Uint,
  Uint64: Gob.Uint64,
  Float32: Gob.Float,
  Float64: Gob.Float,
  Complex: Gob.Complex,
  Text: Schema.String,
  Bytes: Schema.Uint8ArrayFromSelf,
  List: Schema.Array(Gob.Int),
  Lists: Schema.Array(Schema.Array(Schema.String)),
  Array: Schema.Tuple(Gob.Int, Gob.Int, Gob.Int),
  Map: Schema.Record({ key: Schema.String, value: Gob.Int }),
  IntMap: Gob.map({ key: Gob.Int, value: Schema.String }),
  Nested: Point,
  Pointer: Schema.optionalWith(Point, { exact: true }),
  Points: Schema.Array(Point),
  Anything: Gob.named({
    "main.Circle": Schema.Struct({ Radius: Gob.Float }),
    int: Gob.Int,
    string: Schema.String
  }),
  Time: Gob.Time
})

export const zero: typeof Everything.Type = {
  Bool: false,
  Int8: 0,
  Int64: 0n,
  Uint8: 0,
  Uint64: 0n,
  Float32: 0,
  Float64: 0,
  Complex: { re: 0, im: 0 },
  Text: "",
  Bytes: new Uint8Array(),
  List: [],
  Lists: [],
  Array: [0, 0, 0],
  Map: {},
  IntMap: new Map(),
  Nested: { X: 0, Y: 0 },
  Points: [],
  Anything: undefined,
  Time: DateTime.unsafeMake(-62_135_596_800_000)
}

export const full: typeof Everything.Type = {
  Bool: true,
  Int8: -128,
  Int64: -(2n ** 63n),
  Uint8: 255,
  Uint64: 2n ** 64n - 1n,
  Float32: 1.5,
  Float64: Math.PI,
  Complex: { re: 0, im: 1 },
  Text: "héllo 🌍",
  Bytes: new Uint8Array([0, 1, 255]),
  List: [1, 0, -1],
  Lists: [["a"], [], ["", "b"]],
  Array: [0, 0, 9],
  Map: { k: 1 },
  IntMap: new Map([[-7, "one"]]),
  Nested: { X: 1, Y: 0 },
  Pointer: { X: 0, Y: 5 },
  Points: [{ X: 1, Y: 2 }, { X: 0, Y: 0 }],
  Anything: { name: "main.Circle", value: { Radius: 2 } },
  Time: DateTime.unsafeMake("2026-11-23T11:22:33.444Z")
}

export interface Case {
  readonly name: string
  readonly go: string
  readonly schema: Schema.Schema<unknown, unknown>
  readonly value: unknown
}

const numbers = new Map<string, number>()

const of = (go: string, schema: Schema.Schema.AnyNoContext, values: ReadonlyArray<unknown>): ReadonlyArray<Case> =>
  values.map((value) => ({
    name: `${go} ${nextNumber(go)}`,
    go,
    schema: schema as unknown as Schema.Schema<unknown, unknown>,
    value
  }))

/** A type that `gobecho` makes of its description. */
const kind = (name: string, schema: Schema.Schema.AnyNoContext, values: ReadonlyArray<unknown>) =>
  of(JSON.stringify({ kind: name }), schema, values)

const nextNumber = (go: string): number => {
  const number = (numbers.get(go) ?? 0) + 1
  numbers.set(go, number)
  return number
}

const max = Number.MAX_SAFE_INTEGER

export const cases: ReadonlyArray<Case> = [
  ...of("bool", Schema.Boolean, [true, false]),
  ...of("int", Gob.Int, [0, 1, -1, 63, 64, -64, -65, 127, -129, 2 ** 29, 2 ** 30, -(2 ** 30), 2 ** 31, max, -max]),
  ...of("int", Gob.Int64, [0n, -1n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]),
  ...of("uint", Gob.Uint, [0, 1, 127, 128, 255, 256, 65_536, max]),
  ...of("uint", Gob.Uint64, [0n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]),
  ...of("float", Gob.Float, [0, 1, -1, 0.1, 17, NaN, Infinity, -Infinity, 5e-324, Number.MAX_VALUE, -0]),
  ...kind("int8", Gob.Int, [-128, 127]),
  ...kind("int16", Gob.Int, [-32_768, 32_767]),
  ...kind("int32", Gob.Int, [-2_147_483_648, 2_147_483_647]),
  ...kind("int64", Gob.Int64, [-(2n ** 63n), 2n ** 63n - 1n]),
  ...kind("uint8", Gob.Uint, [0, 255]),
  ...kind("uint16", Gob.Uint, [0, 65_535]),
  ...kind("uint32", Gob.Uint, [0, 4_294_967_295]),
  ...kind("uint64", Gob.Uint64, [0n, 2n ** 64n - 1n]),
  ...kind("float32", Gob.Float, [2 ** -149, 2 ** 127 * (2 - 2 ** -23), -1.5]),
  ...kind("complex64", Gob.Complex, [{ re: 2 ** -149, im: -1.5 }]),
  ...of("complex", Gob.Complex, [{ re: 0, im: 0 }, { re: 1, im: -2.5 }, { re: Infinity, im: 1e-300 }]),
  ...of("string", Schema.String, ["", "a", "héllo 🌍 \u0000", "x".repeat(1 << 20)]),
  ...of("bytes", Schema.Uint8ArrayFromSelf, [new Uint8Array(), new Uint8Array([0, 255]), new Uint8Array(70_000)]),
  ...of("ints", Schema.Array(Gob.Int), [[], [0], [1, 0, -1], Array.from({ length: 1_000 }, (_, i) => i)]),
  ...of("array", Gob.array(3, Gob.Int), [[0, 0, 0], [1, 2, 3]]),
  ...of("map", Schema.Record({ key: Schema.String, value: Gob.Int }), [{}, { a: 1, "": 0 }]),
  ...of("intmap", Gob.map({ key: Gob.Int, value: Schema.String }), [new Map(), new Map([[1, "x"], [-7, ""]])]),
  ...of("point", Point, [{ X: 0, Y: 0 }, { X: 22, Y: 33 }, { X: 0, Y: -1 }]),
  ...of("tree", Tree, [{ Value: 0 }, { Value: 1, Left: { Value: 2, Right: { Value: 3 } } }]),
  ...of("time", Gob.Time, [
    zero.Time,
    DateTime.unsafeMake(0),
    DateTime.unsafeMake(-1),
    full.Time,
    DateTime.unsafeMake(8.64e15)
  ]),
  ...of("pointmap", Gob.map({ key: Point, value: Schema.Array(Schema.String) }), [
    new Map([[{ X: 0, Y: -1 }, ["", "a"]]])
  ]),
  ...of(
    "nested",
    Schema.Array(Gob.array(2, Schema.Record({ key: Schema.String, value: Point }))),
    [[], [[{}, { p: { X: 0, Y: 0 } }], [{ "": { X: 1, Y: 2 }, q: { X: 0, Y: 3 } }, {}]]]
  ),
  ...of("forest", Forest, [
    { Name: "", Trees: [], Named: {} },
    { Name: "a", Trees: [{ Name: "b", Trees: [{ Name: "", Trees: [], Named: {} }], Named: {} }], Named: {} },
    { Name: "a", Trees: [], Named: { c: { Name: "c", Trees: [], Named: { d: { Name: "", Trees: [], Named: {} } } } } }
  ]),
  ...of("times", Schema.Record({ key: Schema.String, value: Gob.Time }), [{ a: full.Time, b: zero.Time }]),
  ...of("bigint", BigInteger, [0n, 1n, -1n, 255n, 2n ** 100n, -(2n ** 64n)]),
  ...of("url", Url, ["", "https://user@example.com:8080/a%20b?c=d#e"]),
  ...of("empty", Schema.Struct({}), [{}]),
  ...of("anything", Anything, [
    nothing,
    { ...nothing, One: circle },
    { ...nothing, Many: [circle, undefined, { name: "int", value: 0 }, circle, { name: "bool", value: false }] },
    {
      ...nothing,
      One: { name: "[]uint8", value: new Uint8Array([1, 2]) },
      Many: [{ name: "uint64", value: 2n ** 64n - 1n }]
    },
    {
      ...nothing,
      Map: { a: { name: "points", value: [{ X: 1, Y: 0 }] }, b: { name: "times", value: { t: full.Time } } }
    },
    { ...nothing, One: { name: "main.Anything", value: { ...nothing, One: circle, Many: [circle, undefined] } } },
    {
      One: { name: "main.Anything", value: { ...nothing, One: { name: "main.Anything", value: nothing } } },
      Many: [{ name: "main.Anything", value: { ...nothing, Many: [{ name: "points", value: [] }] } }, circle],
      Map: { z: { name: "string", value: "é" } }
    }
  ]),
  ...of("everything", Everything, [
    zero,
    full,
    { ...full, Anything: { name: "int", value: -5 } },
    { ...full, Anything: { name: "string", value: "" } }
  ])
]
