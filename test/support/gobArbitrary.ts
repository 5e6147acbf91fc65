/**
 * Types of Go at random, as Go and as `Gob` have them, with values of them.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as DateTime from "effect/DateTime"
import * as fc from "effect/FastCheck"
import * as Schema from "effect/Schema"

/** As `gobecho` reads it. */
interface Description {
  readonly kind: string
  readonly elem?: Description
  readonly key?: Description
  readonly len?: number
  readonly fields?: ReadonlyArray<Description>
}

interface Typed {
  readonly description: Description
  readonly schema: Schema.Schema.AnyNoContext
  readonly values: fc.Arbitrary<unknown>
  /** Whether a pointer to the value is told from nil: Go leaves zeros out. */
  readonly isZero: (value: unknown) => boolean
}

const never = () => false

const basic = (
  kind: string,
  schema: Schema.Schema.AnyNoContext,
  values: fc.Arbitrary<unknown>,
  isZero: (value: unknown) => boolean
): Typed => ({ description: { kind }, schema, values, isZero })

const is = (zero: unknown) => (value: unknown) => Object.is(value, zero)

const signed = (bits: number) =>
  basic(`int${bits}`, Gob.Int, fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }), is(0))

const unsigned = (bits: number) => basic(`uint${bits}`, Gob.Uint, fc.nat(2 ** bits - 1), is(0))

/** A negative zero is left out too, and then is positive. */
const floats = (arbitrary: fc.Arbitrary<number>) => arbitrary.map((n) => n === 0 ? 0 : n)

const float64 = floats(fc.double())
const float32 = floats(fc.float())

const complex = (kind: string, part: fc.Arbitrary<number>) =>
  basic(kind, Gob.Complex, fc.record({ re: part, im: part }), (value) => {
    const { im, re } = value as { readonly re: number; readonly im: number }
    return re === 0 && im === 0
  })

const text = fc.string({ unit: "grapheme", maxLength: 20 })

const key = [
  basic("bool", Schema.Boolean, fc.boolean(), is(false)),
  signed(8),
  signed(16),
  signed(32),
  basic("int64", Gob.Int64, fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), is(0n)),
  unsigned(16),
  unsigned(32),
  basic("uint64", Gob.Uint64, fc.bigInt(0n, 2n ** 64n - 1n), is(0n)),
  basic("string", Schema.String, text, is(""))
]

const leaf = [
  ...key,
  // not of a slice, where it is bytes
  basic("float32", Gob.Float, float32, is(0)),
  basic("float64", Gob.Float, float64, is(0)),
  complex("complex64", float32),
  complex("complex128", float64),
  basic(
    "bytes",
    Schema.Uint8ArrayFromSelf,
    fc.uint8Array({ maxLength: 20 }).map((bytes) => new Uint8Array(bytes)),
    (value) => (value as Uint8Array).length === 0
  ),
  basic(
    "time",
    Gob.Time,
    fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }).map((millis) => DateTime.unsafeMake(millis)),
    never
  )
]

const slice = (item: Typed): Typed => ({
  description: { kind: "slice", elem: item.description },
  schema: Schema.Array(item.schema),
  values: fc.array(item.values, { maxLength: 4 }),
  isZero: (value) => (value as ReadonlyArray<unknown>).length === 0
})

const array = (item: Typed, length: number): Typed => ({
  description: { kind: "array", elem: item.description, len: length },
  schema: Gob.array(length, item.schema),
  values: fc.array(item.values, { minLength: length, maxLength: length }),
  isZero: (value) => (value as ReadonlyArray<unknown>).every(item.isZero)
})

const map = (key: Typed, value: Typed): Typed => ({
  description: { kind: "map", key: key.description, elem: value.description },
  schema: Gob.map({ key: key.schema, value: value.schema }),
  values: fc.uniqueArray(fc.tuple(key.values, value.values), { maxLength: 3, selector: ([key]) => key }).map((
    entries
  ) => new Map(entries)),
  isZero: never
})

const struct = (fields: ReadonlyArray<{ readonly type: Typed; readonly isPointer: boolean }>): Typed => ({
  description: {
    kind: "struct",
    fields: fields.map(({ isPointer, type }) =>
      isPointer ? { kind: "pointer", elem: type.description } : type.description
    )
  },
  schema: Schema.Struct(
    Object.fromEntries(
      fields.map(({ isPointer, type }, i) => [`F${i}`, isPointer ? Schema.NullOr(type.schema) : type.schema])
    )
  ) as Schema.Schema.AnyNoContext,
  values: fc.record(
    Object.fromEntries(
      fields.map(({ isPointer, type }, i) => [
        `F${i}`,
        isPointer ? fc.option(type.values.filter((value) => !type.isZero(value))) : type.values
      ])
    ),
    { noNullPrototype: true }
  ),
  isZero: never
})

const types = (depth: number): fc.Arbitrary<Typed> => {
  const basics = fc.constantFrom(...leaf)
  if (depth === 0) {
    return basics
  }
  const inner = types(depth - 1)
  return fc.oneof(
    { weight: 2, arbitrary: basics },
    { weight: 2, arbitrary: inner.map(slice) },
    {
      weight: 1,
      arbitrary: fc.tuple(inner, fc.integer({ min: 1, max: 3 })).map(([item, length]) => array(item, length))
    },
    { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...key), inner).map(([key, value]) => map(key, value)) },
    {
      weight: 4,
      arbitrary: fc.array(fc.record({ type: inner, isPointer: fc.boolean() }), { minLength: 1, maxLength: 5 }).map(
        struct
      )
    }
  )
}

export interface Sample {
  readonly go: string
  readonly schema: Schema.Schema<unknown, unknown>
  readonly value: unknown
}

/** A type and a value of it. */
export const sample: fc.Arbitrary<Sample> = types(3).chain(({ description, schema, values }) =>
  values.map((value) => ({
    go: JSON.stringify(description),
    schema: schema as unknown as Schema.Schema<unknown, unknown>,
    value
  }))
)
