/**
 * Decodes one of the largest answers that the default limit lets pass, or one that it does not: run by `largeAnswers.test.ts` in a process
 * of its own, whose heap is limited, so that one that needs more ends it. Prints what came of it.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as decoder from "../../src/transport/gob/decoder.js"
import { Stream, type Value } from "../../src/transport/gob/stream.js"
import * as Type from "../../src/transport/gob/type.js"
import * as Json from "../../src/transport/shared/json.js"
import * as Limit from "../../src/transport/shared/limit.js"
import { decodeInParts } from "../../src/transport/shared/schemaParts.js"
import { listOf } from "./gobList.js"

const limit: Limit.Limit = { bytes: Limit.defaultBytes, option: "maxFrameBytes" }

/** As `GoRpc` reads it: the value in steps, and then the schema in parts. */
const ofGob = (schema: Schema.Schema.AnyNoContext, count: number, item: ReadonlyArray<number>) =>
  Effect.suspend(() => {
    const values: Array<Value> = []
    new Stream(limit).push(listOf(schema, count, new Uint8Array(item)), (value) => values.push(value))
    const list = Schema.Array(schema)
    const reading = new decoder.Reading(values[0]!, Type.of(list.ast))
    const read = Effect.try(() => {
      while (!reading.step()) {
        // it has no end but its own
      }
      return reading.result
    })
    return Effect.flatMap(read, decodeInParts(list))
  })

/** 200 in three bytes. */
const integer = [0xfe, 0x01, 0x90]
const integers = 1_350_000

/** As a program that uses `Gob` alone reads it. The schema checks each item. */
const ofGobAlone = (
  read: (bytes: Uint8Array, schema: Schema.Schema<unknown>) => Either.Either<unknown, Gob.GobError>
) =>
  Effect.suspend(() =>
    read(
      listOf(Gob.Int, integers, new Uint8Array(integer)),
      Schema.Array(Gob.Int.pipe(Schema.positive())) as unknown as Schema.Schema<unknown>
    )
  )

const Person = Schema.Struct({ id: Schema.Number, name: Schema.String, active: Schema.Boolean })

const cases: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
  nothing: Effect.succeed([]),
  "gob integers": ofGob(Gob.Int, integers, integer),
  "gob integers, Gob.decode": ofGobAlone((bytes, schema) => Gob.decode(schema)(bytes)),
  "gob integers, Gob.makeDecoder": ofGobAlone((bytes, schema) => {
    const decoder = Gob.makeDecoder()
    const half = bytes.length >> 1
    return [bytes.subarray(0, half), bytes.subarray(half)]
      .flatMap((chunk) => decoder.push(chunk).values)[0]!.as(schema)
  }),
  "gob integers, Value.as twice": ofGobAlone((bytes, schema) => {
    const value = Gob.makeDecoder().push(bytes).values[0]!
    return Either.flatMap(value.as(schema), () => value.as(schema))
  }),
  "gob empty lists": ofGob(Schema.Array(Gob.Int), 4_000_000, [0]),
  "JSON records": Effect.suspend(() => {
    const one = (i: number) => `{"id":${i},"name":"u${i % 100}","active":true}`
    const bytes = Buffer.from(`[${Array.from({ length: 100_000 }, (_, i) => one(i)).join(",")}]`)
    return Effect.flatMap(Json.parse(bytes, limit), decodeInParts(Schema.Array(Person)))
  })
}

const name = process.argv[2] ?? ""
void Effect.runPromise(Effect.either(cases[name]!)).then((result) => {
  process.stdout.write(Either.isRight(result) ? `${(result.right as ReadonlyArray<unknown>).length}` : "refused")
})
