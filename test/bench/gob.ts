/**
 * Gob beside `JSON.parse` and `JSON.stringify` of the same value, and beside these with the same schema.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { calls, type Group } from "./case.js"

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

// as on a connection: the definitions of the types are long known
const encoder = Gob.makeEncoder()
const decoder = Gob.makeDecoder()
decoder.push(Either.getOrThrow(encoder.encode(Page, page)))
const bytes = Either.getOrThrow(encoder.encode(Page, page))
const text = JSON.stringify(page)
const encode = Schema.encodeSync(Page)
const decode = Schema.decodeUnknownSync(Page)

export const group: Group = {
  title: `Gob of a page of 20 users: ${bytes.length} bytes, ${text.length} in JSON`,
  unit: "nanoseconds of processor time",
  rounds: 15,
  cases: {
    encode: calls(Effect.sync(() => Either.getOrThrow(encoder.encode(Page, page)))),
    "JSON.stringify": calls(Effect.sync(() => JSON.stringify(page))),
    "JSON.stringify, with the schema": calls(Effect.sync(() => JSON.stringify(encode(page)))),
    decode: calls(Effect.sync(() => Either.getOrThrow(decoder.push(bytes).values[0]!.as(Page)))),
    "decode without a schema": calls(
      Effect.sync(() => Either.getOrThrow(decoder.push(bytes).values[0]!.unknown))
    ),
    "JSON.parse": calls(Effect.sync(() => JSON.parse(text) as unknown)),
    "JSON.parse, with the schema": calls(Effect.sync(() => decode(JSON.parse(text))))
  },
  rows: [
    { what: "encode / `JSON.stringify`", ratio: (of) => of("encode") / of("JSON.stringify"), atMost: 4 },
    { what: "decode / `JSON.parse`", ratio: (of) => of("decode") / of("JSON.parse"), atMost: 5 },
    {
      what: "encode / `JSON.stringify` with the schema",
      ratio: (of) => of("encode") / of("JSON.stringify, with the schema")
    },
    { what: "decode / `JSON.parse` with the schema", ratio: (of) => of("decode") / of("JSON.parse, with the schema") },
    { what: "decode without a schema / `JSON.parse`", ratio: (of) => of("decode without a schema") / of("JSON.parse") }
  ]
}
