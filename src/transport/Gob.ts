/**
 * Go's `encoding/gob`, driven by `Schema`: reads what Go writes, and writes what Go reads.
 *
 * ```ts
 * import * as Gob from "effect-rpc-retry/Gob"
 * import * as Schema from "effect/Schema"
 *
 * // type Quotient struct { Quo, Rem int }
 * const Quotient = Schema.Struct({ Quo: Gob.Int, Rem: Gob.Int })
 *
 * const bytes = Gob.encode(Quotient)({ Quo: 3, Rem: 2 })
 * ```
 *
 * | Go                                       | here                                           | in JavaScript              |
 * | ---------------------------------------- | ---------------------------------------------- | -------------------------- |
 * | `int`, `int8` to `int64`                 | `Gob.Int`; `Gob.Int64` where it may not be safe | `number`; `bigint`        |
 * | `uint`, `uint8` to `uint64`, `uintptr`   | `Gob.Uint`; `Gob.Uint64`                       | `number`; `bigint`         |
 * | `float32`, `float64`                     | `Gob.Float`                                    | `number`                   |
 * | `complex64`, `complex128`                | `Gob.Complex`                                  | `{ re, im }`               |
 * | `bool`, `string`                         | `Schema.Boolean`, `Schema.String`              | `boolean`, `string`        |
 * | `string` that need not be UTF-8          | `Schema.Uint8ArrayFromSelf`, to be read        | `Uint8Array`               |
 * | `[]byte`                                 | `Schema.Uint8ArrayFromSelf`                    | `Uint8Array`               |
 * | `[]T`                                    | `Schema.Array(T)`                              | `Array`                    |
 * | `[3]T`                                   | `Schema.Tuple(T, T, T)`, `Gob.array(3, T)`     | `Array`                    |
 * | `map[K]V`                                | `Gob.map({ key, value })`; `Schema.Record`     | `Map`; object              |
 * | `struct`                                 | `Schema.Struct`, `Schema.Class`                | object, instance           |
 * | `*T`                                     | `Schema.optional(T)`, `Schema.NullOr(T)`       | absent or `null` for `nil` |
 * | `interface{}`                            | `Gob.named({ name: T })`                       | `{ name, value }`          |
 * | `time.Time`                              | `Gob.Time`; `Gob.Instant`                      | `DateTime.Utc`; `{ seconds, nanos }` |
 *
 * A struct in Go may have fields that the schema has not, and the other way round: they are passed over, and zero.
 * Zeros are not sent inside a struct, so a pointer to a zero and `nil` are the same when they come from Go.
 *
 * What is not gob, or not of the type that was asked for, is a `GobError`. So is a value that would be made into more
 * than 3.5 times `maxBytes` of memory, and more than 1 MiB, zeros that the schema has in place of what was not sent
 * included.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Result from "../internal/result.js"
import { checkKnown, checkNumber, InvalidOption, orThrow } from "../InvalidOption.js"
import { fail, Problem, Writer } from "./gob/bytes.js"
import * as decoder from "./gob/decoder.js"
import * as encoder from "./gob/encoder.js"
import * as Plain from "./gob/plain.js"
import * as Stream from "./gob/stream.js"
import * as GoTime from "./gob/time.js"
import * as Type from "./gob/type.js"
import * as Limit from "./shared/limit.js"
import * as Proto from "./shared/proto.js"

/**
 * Bytes that are no gob, a value that is not of the type that was asked for, or a schema that is no type of Go.
 *
 * @since 0.1.0
 * @category errors
 */
export class GobError extends Data.TaggedError("GobError")<{ readonly problem: string }> {
  override get message(): string {
    return this.problem
  }
}

/**
 * Any of Go's signed integers, as a number. One that a number does not hold is an error; see `Int64`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Int: Schema.Schema<number> = Type.annotated(
  Schema.Number.pipe(Schema.filter((n) => Number.isSafeInteger(n) || "is not a safe integer")),
  { kind: "int" }
)

/**
 * Any of Go's signed integers, whole.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Int64: Schema.Schema<bigint> = Type.annotated(
  Schema.BigIntFromSelf.pipe(Schema.filter((n) => BigInt.asIntN(64, n) === n || "does not fit 64 bits")),
  { kind: "int64" }
)

/**
 * Any of Go's unsigned integers, as a number. One that a number does not hold is an error; see `Uint64`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Uint: Schema.Schema<number> = Type.annotated(
  Schema.Number.pipe(Schema.filter((n) => Number.isSafeInteger(n) && n >= 0 || "is not a safe integer of at least 0")),
  { kind: "uint" }
)

/**
 * Any of Go's unsigned integers, whole.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Uint64: Schema.Schema<bigint> = Type.annotated(
  Schema.BigIntFromSelf.pipe(
    Schema.filter((n) => BigInt.asUintN(64, n) === n || "does not fit 64 bits without a sign")
  ),
  { kind: "uint64" }
)

/**
 * `float32` or `float64`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Float: Schema.Schema<number> = Type.annotated(Schema.Number, { kind: "float" })

/**
 * `complex64` or `complex128`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Complex: Schema.Schema<{ readonly re: number; readonly im: number }> = Type.annotated(
  Schema.Struct({ re: Schema.Number, im: Schema.Number }),
  { kind: "complex" }
)

/**
 * An array of a fixed length. Throws `InvalidOption` for a length that is none.
 *
 * @since 0.1.0
 * @category schemas
 */
export const array = <A, I, R>(
  length: number,
  item: Schema.Schema<A, I, R>
): Schema.Schema<ReadonlyArray<A>, ReadonlyArray<I>, R> =>
  Type.annotated(
    Schema.Array(item).pipe(Schema.itemsCount(orThrow(
      checkNumber("Gob.array", "length", length, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true })
    ))),
    { kind: "array", length, item: Type.once(() => Type.of(item.ast)) }
  )

/**
 * A map with keys of any type that Go can compare. (`Schema.Record` is one with text as keys, and an object here.)
 *
 * @since 0.1.0
 * @category schemas
 */
export const map = <K, KI, KR, V, VI, VR>(options: {
  /** The schema of the keys. */
  readonly key: Schema.Schema<K, KI, KR>
  /** The schema of the values. */
  readonly value: Schema.Schema<V, VI, VR>
}): Schema.Schema<Map<K, V>, ReadonlyMap<KI, VI>, KR | VR> => {
  orThrow(checkKnown("Gob.map", options, ["key", "value"]))
  return Type.annotated(Schema.MapFromSelf(options), {
    kind: "map",
    key: Type.once(() => Type.of(options.key.ast)),
    value: Type.once(() => Type.of(options.value.ast)),
    record: false
  })
}

/**
 * An `interface{}`: a value of one of the types that Go knows by name (`gob.Register`), or `undefined` for `nil`. Go's
 * own types have the names `int`, `string`, `float64`, ...; those of a program the whole import path of their package
 * before them, `example.com/shop/shapes.Circle`, and `main.Circle` in `package main`. A pointer is registered as
 * `*shapes.Circle`. Throws `InvalidOption` for the name `""`.
 *
 * @example
 * ```ts
 * import * as Gob from "effect-rpc-retry/Gob"
 * import * as Schema from "effect/Schema"
 *
 * const Shape = Gob.named({
 *   "main.Circle": Schema.Struct({ Radius: Gob.Float }),
 *   string: Schema.String
 * })
 *
 * const bytes = Gob.encode(Schema.Struct({ Shape }))({ Shape: { name: "main.Circle", value: { Radius: 2 } } })
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const named = <Types extends Readonly<Record<string, Schema.Schema.Any>>>(
  types: Types
): Schema.Schema<Named<Types>, NamedEncoded<Types>, Schema.Schema.Context<Types[keyof Types]>> => {
  if (Object.hasOwn(types, "")) {
    throw new InvalidOption({ where: "Gob.named", field: "types", problem: "has the name \"\", which is that of nil" })
  }
  return Type.annotated(
    Schema.Union(
      ...Object.entries(types).map(([name, value]) => Schema.Struct({ name: Schema.Literal(name), value })),
      Schema.Undefined
    ) as unknown as Schema.Schema<Named<Types>, NamedEncoded<Types>, Schema.Schema.Context<Types[keyof Types]>>,
    {
      kind: "interface",
      types: new Map(
        Object.entries(types).map(([name, value]) => [name, Type.once(() => Type.of(value.ast))] as const)
      )
    }
  )
}

/**
 * The value of {@link named}: the name of a type and a value of it, or `undefined` for `nil`.
 *
 * @since 0.1.0
 * @category models
 */
export type Named<Types extends Readonly<Record<string, Schema.Schema.Any>>> =
  | { [Name in keyof Types]: { readonly name: Name; readonly value: Schema.Schema.Type<Types[Name]> } }[keyof Types]
  | undefined

/**
 * The encoded form of {@link Named}, with the value as its schema encodes it.
 *
 * @since 0.1.0
 * @category models
 */
export type NamedEncoded<Types extends Readonly<Record<string, Schema.Schema.Any>>> =
  | { [Name in keyof Types]: { readonly name: Name; readonly value: Schema.Schema.Encoded<Types[Name]> } }[keyof Types]
  | undefined

/**
 * A type that writes itself in Go, as the bytes it writes: with its `GobEncode`, or if it has none with its
 * `MarshalBinary`. (Go does not look for `MarshalText`.) Transform it into what they stand for. Where Go sends none,
 * the zero in a struct, they are empty; empty ones are not sent in a struct, and are a zero there again.
 *
 * @example
 * ```ts
 * import * as Gob from "effect-rpc-retry/Gob"
 * import * as Schema from "effect/Schema"
 *
 * // net/url.URL
 * const Url = Schema.transform(Gob.external("binary"), Schema.String, {
 *   strict: true,
 *   decode: (bytes) => new TextDecoder().decode(bytes),
 *   encode: (url) => new TextEncoder().encode(url)
 * })
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const external = (by: "gob" | "binary", name: string = ""): Schema.Schema<Uint8Array> =>
  Type.annotated(Schema.Uint8ArrayFromSelf, { kind: "external", by, name })

/**
 * A point in time as `time.Time` has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Instant {
  /** Seconds since 1970 in UTC; negative before. */
  readonly seconds: bigint
  /** Nanoseconds on top of these, from 0 to 999,999,999. */
  readonly nanos: number
}

/** The most seconds since 1970 that `time.Time` can hold. */
const maxSeconds = 2n ** 63n - 1n - 62_135_596_800n

const InstantFromSelf = Schema.Struct({
  seconds: Schema.BigIntFromSelf.pipe(
    Schema.filter((n) =>
      n <= maxSeconds && n >= -(2n ** 63n) - 62_135_596_800n || "is more seconds than time.Time holds"
    )
  ),
  nanos: Schema.Number.pipe(
    Schema.filter((n) => Number.isInteger(n) && n >= 0 && n < 1_000_000_000 || "is not from 0 to 999999999 nanoseconds")
  )
})

/**
 * `time.Time` whole: to the nanosecond, and beyond the range of JavaScript's dates. The time zone is dropped.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Instant: Schema.Schema<Instant, Uint8Array> = Schema.transformOrFail(
  external("gob", "Time"),
  InstantFromSelf,
  {
    strict: true,
    decode: (bytes, _, ast) =>
      Option.match(GoTime.decode(bytes), {
        onNone: () => ParseResult.fail(new ParseResult.Type(ast, bytes, "is no time.Time")),
        onSome: ParseResult.succeed
      }),
    encode: (instant) => ParseResult.succeed(GoTime.encode(instant))
  }
)

/**
 * `time.Time`, as an instant: what is below a millisecond is dropped, and so is the time zone. One before or after the
 * range of JavaScript's dates, which end in the year 275760, is read as the first or last of them; see {@link Instant}
 * for the whole of it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Time: Schema.Schema<DateTime.Utc, Uint8Array> = Schema.transform(
  Instant,
  Schema.DateTimeUtcFromSelf,
  { strict: true, decode: GoTime.toUtc, encode: GoTime.ofUtc }
)

const problemOf = (failure: unknown): GobError =>
  new GobError({
    problem: failure instanceof Problem
      ? `gob: ${failure.message}`
      : failure instanceof Error
      ? failure.message
      : String(failure)
  })

const attempt = <A>(evaluate: () => A): Result.Result<A, GobError> => Result.try({ try: evaluate, catch: problemOf })

/**
 * Writes one stream. The definition of a type is sent once, before its first value, so a stream has one encoder.
 * Schemas that define the same are the same type, wherever they were made. A stream has at most 10,000 types.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoder {
  /**
   * Encodes a value, and returns the bytes to send next on the stream. Fails with {@link GobError} for a value that
   * does not fit the schema, or a schema that is no type of Go.
   */
  readonly encode: <A, I>(schema: Schema.Schema<A, I>, value: A) => Result.Result<Uint8Array, GobError>
}

/**
 * Makes an encoder for a new stream.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeEncoder = (): Encoder => {
  const stream = new encoder.Encoder()
  const encoded = <A, I>(schema: Schema.Schema<A, I>, value: A): unknown =>
    Plain.isEncoded(schema.ast, value)
      ? value
      : Proto.isLost(schema.ast, value)
      ? fail(`${Proto.problem}: use Gob.map`)
      : Schema.encodeSync(schema)(value)
  return {
    encode: (schema, value) =>
      attempt(() => {
        const written = encoded(schema, value)
        const writer = new Writer()
        stream.encode(writer, [Type.of(schema.ast), written])
        return writer.written().slice()
      })
  }
}

/**
 * A value that was received. Its schema is chosen when it is read; it can be read several times, with different
 * schemas.
 *
 * @since 0.1.0
 * @category models
 */
export interface Value {
  /**
   * Decodes the value by a schema. Fails with {@link GobError} when it does not fit, or is over the limit of the
   * decoder. A large value is decoded in one go, and blocks the event loop while it lasts; `GoRpc` decodes it in turns.
   */
  readonly as: <A, I>(schema: Schema.Schema<A, I>) => Result.Result<A, GobError>
  /**
   * Decodes the value by the types that the stream defines: a struct is an object of the fields that were sent, which
   * zeros are not; a map is a `Map`; an integer is a `bigint` where a number does not hold it; an interface is
   * `{ name, value }`.
   */
  readonly unknown: Result.Result<unknown, GobError>
}

/**
 * Reads one stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoder {
  /**
   * Takes the next bytes of the stream. Returns the `values` that are complete with them, and the `problem` because of
   * which nothing after them can be read. After a `problem` the stream is lost. A value over the limit is among the
   * `values`, and its `as` and `unknown` fail.
   */
  readonly push: (bytes: Uint8Array) => {
    readonly values: ReadonlyArray<Value>
    readonly problem: GobError | undefined
  }
}

const valueOf = (value: Stream.Value): Value => ({
  as: <A, I>(schema: Schema.Schema<A, I>) =>
    attempt(() => {
      const encoded = decoder.decode(value, Type.of(schema.ast))
      return Plain.decodeAtOnce(schema)(encoded)
    }),
  get unknown() {
    return attempt(() => decoder.decode(value, undefined))
  }
})

/**
 * Makes a decoder for a new stream. Throws `InvalidOption` for an invalid limit.
 *
 * @example
 * ```ts
 * import * as Gob from "effect-rpc-retry/Gob"
 * import * as Schema from "effect/Schema"
 *
 * declare const chunk: Uint8Array
 *
 * const Point = Schema.Struct({ X: Gob.Int, Y: Gob.Int })
 * const decoder = Gob.makeDecoder()
 * const points = decoder.push(chunk).values.map((value) => value.as(Point))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeDecoder = (options?: {
  /**
   * Limits one value, in bytes. A larger value is an error, and so is one that would take more than 3.5 times as much
   * memory once decoded, and more than 1 MiB. An integer of at least 1. Default 4 MiB.
   */
  readonly maxBytes?: number | undefined
}): Decoder => {
  orThrow(checkKnown("Gob.makeDecoder", options ?? {}, ["maxBytes"]))
  const maxBytes = orThrow(
    checkNumber("Gob.makeDecoder", "maxBytes", options?.maxBytes ?? Limit.defaultBytes, {
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      integer: true
    })
  )
  const stream = new Stream.Stream({ bytes: maxBytes, option: "maxBytes" })
  let problem: GobError | undefined
  return {
    push: (bytes) => {
      const values: Array<Value> = []
      if (problem === undefined) {
        const read = attempt(() => stream.push(bytes, (value) => values.push(valueOf(value))))
        problem = Result.isFailure(read) ? Result.failureOf(read) : undefined
      }
      return { values, problem }
    }
  }
}

/**
 * Encodes one value as a whole stream.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encode = <A, I>(schema: Schema.Schema<A, I>) => (value: A): Result.Result<Uint8Array, GobError> =>
  makeEncoder().encode(schema, value)

/**
 * Decodes the first value of a stream, and ignores what follows it.
 *
 * @since 0.1.0
 * @category decoding
 */
export const decode = <A, I>(schema: Schema.Schema<A, I>) => (bytes: Uint8Array): Result.Result<A, GobError> => {
  const { problem, values: [first] } = makeDecoder({ maxBytes: Math.max(Limit.defaultBytes, bytes.length) }).push(bytes)
  return first?.as(schema) ??
    Result.fail(problem ?? new GobError({ problem: "gob: ends in the middle of a value" }))
}
