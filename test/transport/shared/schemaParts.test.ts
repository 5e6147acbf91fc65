/**
 * Schemas that are applied in parts: the results and the errors are those of Schema itself.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { isDeepStrictEqual } from "node:util"
import { decodeInParts, decoders } from "../../../src/transport/shared/schemaParts.js"
import * as GobArbitrary from "../../support/gobArbitrary.js"
import { assert, describe, it } from "../../support/vitest.js"

type Any = Schema.Schema<unknown, unknown>

const { atOnce: decodeAtOnce } = decoders(() => false)

const any = (schema: Schema.Schema.AnyNoContext) => schema as unknown as Any

interface Sample {
  readonly schema: Any
  /** What the schema decodes. */
  readonly input: unknown
}

/** A value that is not, as it stands, of a schema below. */
const wrong = Symbol.for("wrong")

const sampled = (schema: Schema.Schema.AnyNoContext, ...inputs: ReadonlyArray<unknown>): fc.Arbitrary<Sample> =>
  fc.constantFrom(...inputs).map((input) => ({ schema: any(schema), input }))

class Point extends Schema.Class<Point>("Point")({ x: Schema.NumberFromString, y: Schema.optional(Schema.Int) }) {}

interface Tree {
  readonly value: number
  readonly children: ReadonlyArray<Tree>
}

interface TreeEncoded {
  readonly value: string
  readonly children: ReadonlyArray<TreeEncoded>
}

const Tree: Schema.Schema<Tree, TreeEncoded> = Schema.Struct({
  value: Schema.NumberFromString.pipe(Schema.nonNegative()),
  children: Schema.Array(Schema.suspend(() => Tree))
})

type Expression =
  | { readonly kind: "Value"; readonly value: number }
  | { readonly kind: "Sum"; readonly of: ReadonlyArray<Expression | null> }
  | { readonly kind: "Group"; readonly of: { readonly [name: string]: Expression | null } }

type ExpressionEncoded =
  | { readonly kind: "Value"; readonly value: string }
  | { readonly kind: "Sum"; readonly of: ReadonlyArray<ExpressionEncoded | null> }
  | { readonly kind: "Group"; readonly of: { readonly [name: string]: ExpressionEncoded | null } }

/** A union that contains itself, as another member of a union in it. */
const Part = Schema.NullOr(Schema.suspend((): Schema.Schema<Expression, ExpressionEncoded> => Expression))

const Expression: Schema.Schema<Expression, ExpressionEncoded> = Schema.Union(
  Schema.Struct({ kind: Schema.Literal("Value"), value: Schema.NumberFromString }),
  Schema.Struct({ kind: Schema.Literal("Sum"), of: Schema.Array(Part) }),
  Schema.Struct({ kind: Schema.Literal("Group"), of: Schema.Record({ key: Schema.String, value: Part }) })
)

const Effectful = Schema.transformOrFail(Schema.String, Schema.Number, {
  strict: true,
  decode: (text, _, ast) =>
    Effect.suspend(() => text === "x" ? Effect.fail(new ParseResult.Type(ast, text, "is x")) : Effect.succeed(1)),
  encode: (n) => ParseResult.succeed(String(n))
})

const synchronous = fc.oneof(
  sampled(Schema.Number, 1, wrong),
  sampled(Schema.NumberFromString, "1", "x", wrong),
  sampled(Schema.NonEmptyString, "a", ""),
  sampled(Schema.Int.pipe(Schema.positive({ message: () => "must be above zero" })), 1, 0, 0.5),
  sampled(Schema.String.annotations({ identifier: "Name", decodingFallback: () => Either.right("none") }), "a", wrong),
  sampled(Schema.Union(Schema.Literal("a", "b"), Schema.Null, Schema.DateFromSelf), "a", null, wrong),
  sampled(Point, { x: "1", y: 2 }, { x: "x" }, { x: "1", y: 0.5 }, wrong),
  sampled(
    Tree,
    { value: "1", children: [{ value: "2", children: [] }, { value: "3", children: [] }] },
    { value: "1", children: [{ value: "2", children: [{ value: "-1", children: [] }] }] },
    { value: "1", children: [{ value: "2" }] }
  ),
  sampled(
    Expression,
    {
      kind: "Sum",
      of: [{ kind: "Value", value: "1" }, null, { kind: "Group", of: { a: { kind: "Value", value: "2" } } }]
    },
    { kind: "Sum", of: [{ kind: "Value", value: "x" }] },
    { kind: "Group", of: { a: { kind: "Sum" } } },
    null
  ),
  sampled(
    Schema.Union(
      Schema.Struct({ _tag: Schema.tag("A"), list: Schema.Array(Schema.Int) }),
      Schema.Struct({ _tag: Schema.tag("B"), map: Schema.Record({ key: Schema.String, value: Schema.Int }) })
    ),
    { _tag: "A", list: [1] },
    { _tag: "A", list: [0.5] },
    { _tag: "B", map: { a: 0.5 } },
    { _tag: "C" }
  )
)

const effectful = sampled(Effectful, "a", "x", wrong)

/** Annotations that change what Schema returns or says. */
const annotated = (schema: Any): fc.Arbitrary<Any> =>
  fc.constantFrom(
    schema,
    schema,
    schema.annotations({ identifier: "Named" }),
    schema.annotations({ message: () => "is not good" }),
    schema.annotations({ parseOptions: { errors: "all" } }),
    schema.annotations({ parseOptions: { errors: "first", onExcessProperty: "error" } }),
    schema.annotations({ decodingFallback: () => Either.right("instead") })
  )

/** Lists, records, tuples, structs and unions of inner schemas, with further items that may not be of them. */
const wholes = (inner: fc.Arbitrary<Sample>): fc.Arbitrary<Sample> => {
  const others = fc.array(fc.constantFrom<unknown>(wrong, undefined, 1, "1", "a"), { maxLength: 2 })
  const mixed = (input: unknown) =>
    others.chain((others) => fc.shuffledSubarray([input, input, input, ...others], { minLength: 0 }))
  const recordOf = (items: ReadonlyArray<unknown>) => Object.fromEntries(items.map((item, i) => [`k${i}`, item]))
  const one = fc.oneof(
    inner.chain(({ input, schema }) => mixed(input).map((input) => ({ schema: any(Schema.Array(schema)), input }))),
    inner.chain(({ input, schema }) =>
      mixed(input).map((input) => ({ schema: any(Schema.Array(schema).pipe(Schema.minItems(2))), input }))
    ),
    inner.chain(({ input, schema }) =>
      mixed(input).map((items) => ({
        schema: any(Schema.Record({ key: Schema.String, value: schema })),
        input: recordOf(items)
      }))
    ),
    fc.tuple(inner, inner).chain(([a, b]) =>
      mixed(b.input).map((rest) => ({
        schema: any(Schema.Tuple([a.schema], b.schema)),
        input: [a.input, ...rest]
      }))
    ),
    fc.tuple(inner, inner, fc.boolean()).map(([a, b, isThere]) => ({
      schema: any(Schema.Struct({ a: a.schema, b: Schema.optionalWith(b.schema, { exact: true }) })),
      input: { a: a.input, ...isThere && { b: b.input }, excess: 1 }
    })),
    fc.tuple(inner, inner).map(([a, b]) => ({
      schema: any(Schema.Union(Schema.Array(a.schema), b.schema)),
      input: b.input
    })),
    inner.map(({ input, schema }) => ({
      schema: any(Schema.NullOr(Schema.Array(schema))),
      input: [input, input]
    }))
  )
  return one.chain(({ input, schema }) => annotated(schema).map((schema) => ({ schema, input })))
}

const samples = (leaves: fc.Arbitrary<Sample>, depth: number): fc.Arbitrary<Sample> =>
  depth === 0
    ? leaves
    : fc.oneof({ weight: 1, arbitrary: leaves }, { weight: 3, arbitrary: wholes(samples(leaves, depth - 1)) })

/** A result, and of an error all that can be said: its text, and where each of its issues is. */
const shown = (result: Either.Either<unknown, unknown>) =>
  Either.mapLeft(result, (error) =>
    ParseResult.isParseError(error)
      ? [error.message, ...ParseResult.ArrayFormatter.formatErrorSync(error)]
      : [String(error)])

const own = ({ input, schema }: Sample) =>
  shown(Either.try({ try: () => Schema.decodeUnknownSync(schema)(input), catch: (error) => error }))

const atOnce = ({ input, schema }: Sample) =>
  shown(Either.try({ try: () => decodeAtOnce(schema)(input), catch: (error) => error }))

const inParts = ({ input, schema }: Sample) => Effect.map(Effect.either(decodeInParts(schema)(input)), shown)

describe("a schema that is applied in parts", () => {
  it("gives what Schema gives, and says what it says, for unions, transformations, filters, annotations and recursion", async () => {
    let failures = 0
    await fc.assert(
      fc.asyncProperty(samples(synchronous, 3), async (sample) => {
        const expected = own(sample)
        failures += Either.isLeft(expected) ? 1 : 0
        assert.deepStrictEqual(atOnce(sample), expected)
        const found = await Effect.runPromise(inParts(sample))
        // where a part ends within the first of two faults, Schema goes on and tells the other one first; parts are longer
        // than samples, so that none ends in the same sample again
        const isOtherFault = Either.isLeft(found) && Either.isLeft(expected) && !isDeepStrictEqual(found, expected)
        assert.deepStrictEqual(isOtherFault ? await Effect.runPromise(inParts(sample)) : found, expected)
      }),
      { numRuns: 1_500 }
    )
    assert.isAbove(failures, 250)
  })

  it("gives at once what Schema gives at once for transformations that are effects", () => {
    fc.assert(
      fc.property(samples(fc.oneof(effectful, synchronous), 3), (sample) => {
        assert.deepStrictEqual(atOnce(sample), own(sample))
      }),
      { numRuns: 1_000 }
    )
  })

  it("gives what Schema gives for the types that Go has", () => {
    fc.assert(
      fc.property(GobArbitrary.sample, ({ schema, value }) => {
        const input = Schema.encodeSync(schema)(value)
        const lists = { schema: any(Schema.Array(schema)), input: [input, input] }
        assert.deepStrictEqual(atOnce(lists), own(lists))
        const refused = { ...lists, input: [input, wrong] }
        assert.deepStrictEqual(atOnce(refused), own(refused))
      })
    )
  })

  it.live("waits for transformations that take time, and without waiting is forbidden as by Schema", () =>
    Effect.gen(function*() {
      const Slow = Schema.transformOrFail(Schema.Number, Schema.Number, {
        strict: true,
        decode: (n) => Effect.as(Effect.sleep(1), n + 1),
        encode: (n) => ParseResult.succeed(n)
      })
      const schema = any(
        Schema.Struct({ list: Schema.Array(Slow), map: Schema.Record({ key: Schema.String, value: Slow }) })
      )
      const sample = { schema, input: { list: [1, 2], map: { a: 3 } } }
      assert.deepStrictEqual(yield* inParts(sample), Either.right({ list: [2, 3], map: { a: 4 } }))
      assert.include(String(Either.getOrThrow(Either.flip(own(sample)))), "cannot be be resolved synchronously")
      assert.deepStrictEqual(atOnce(sample), own(sample))
    }))

  it("Gob says of an item that does not fit what Schema says", () => {
    const Scores = Schema.Struct({ Scores: Schema.Array(Gob.Int.pipe(Schema.between(0, 100))) })
    const bytes = Either.getOrThrow(Gob.encode(Schema.Struct({ Scores: Schema.Array(Gob.Int) }))({ Scores: [1, 200] }))
    const said = Either.getOrThrow(Either.flip(Gob.decode(Scores)(bytes)))
    const expected = Either.getOrThrow(Either.flip(Schema.decodeUnknownEither(Scores)({ Scores: [1, 200] })))
    assert.strictEqual(said.problem, String(expected.message))
    assert.include(said.problem, "[1]")
  })
})
