/**
 * Gob beside `JSON.parse` and `JSON.stringify` of the same value, and beside these with the same schema.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { measure, nanos, print } from "./support.js"

const User = Schema.Struct({
  Id: Gob.Int,
  Name: Schema.String,
  Email: Schema.String,
  Score: Gob.Float,
  Active: Schema.Boolean,
  Tags: Schema.Array(Schema.String),
  Friends: Schema.Array(Gob.Int)
})

const Page = Schema.Struct({ Total: Gob.Int, Users: Schema.Array(User) })

const page: typeof Page.Type = {
  Total: 1_000_000,
  Users: Array.from({ length: 20 }, (_, i) => ({
    Id: 1000 + i,
    Name: `Somebody Number ${i}`,
    Email: `somebody${i}@example.com`,
    Score: i * 1.37,
    Active: i % 2 === 0,
    Tags: ["a", "quick", "brown", "fox"],
    Friends: Array.from({ length: 10 }, (_, j) => i * j * 77)
  }))
}

export const program = Effect.gen(function*() {
  // as on a connection: the definitions of the types are long known
  const encoder = Gob.makeEncoder()
  const decoder = Gob.makeDecoder()
  const first = Either.getOrThrow(encoder.encode(Page, page))
  decoder.push(first)
  const bytes = Either.getOrThrow(encoder.encode(Page, page))
  const text = JSON.stringify(page)
  const encode = Schema.encodeSync(Page)
  const decode = Schema.decodeUnknownSync(Page)
  const times = yield* measure({
    encode: Effect.sync(() => Either.getOrThrow(encoder.encode(Page, page))),
    "JSON.stringify": Effect.sync(() => JSON.stringify(page)),
    "JSON.stringify, schema": Effect.sync(() => JSON.stringify(encode(page))),
    decode: Effect.sync(() => Either.getOrThrow(decoder.push(bytes).values[0]!.as(Page))),
    "decode, no schema": Effect.sync(() => Either.getOrThrow(decoder.push(bytes).values[0]!.unknown)),
    "JSON.parse": Effect.sync(() => JSON.parse(text) as unknown),
    "JSON.parse, schema": Effect.sync(() => decode(JSON.parse(text)))
  }, { runs: 20 })
  const ratio = (name: string, peer: string) => `${(times[name]! / times[peer]!).toFixed(2)}x`
  yield* print(`Gob of a page of 20 users: ${bytes.length} bytes, ${text.length} in JSON`, [
    ["encode", nanos(times["encode"]!)],
    ["  ratio to JSON.stringify", ratio("encode", "JSON.stringify")],
    ["  ratio to JSON.stringify with the schema", ratio("encode", "JSON.stringify, schema")],
    ["decode", nanos(times["decode"]!)],
    ["  ratio to JSON.parse", ratio("decode", "JSON.parse")],
    ["  ratio to JSON.parse with the schema", ratio("decode", "JSON.parse, schema")],
    ["decode without a schema", nanos(times["decode, no schema"]!)],
    ["  ratio to JSON.parse", ratio("decode, no schema", "JSON.parse")]
  ])
})
