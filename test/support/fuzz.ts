/**
 * Feeds mutated answers of a Go server to the codecs of `GoRpc`, cut into chunks at random: run by `fuzz.test.ts` in a process
 * of its own, whose heap is limited, so that one that needs more ends it.
 *
 * Prints JSON: how many streams gave a value, and how many a problem.
 */
import { Fatal } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Codec } from "../../src/transport/goRpc/codec.js"
import * as gob from "../../src/transport/goRpc/gobCodec.js"
import * as json from "../../src/transport/goRpc/jsonCodec.js"
import { Everything, full, zero } from "./gobTypes.js"
import * as Random from "./random.js"

const [, , name = "", streams = "0"] = process.argv
const random = Random.make(7)
const maxFrameBytes = 1024 * 1024

const concat = (...parts: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(parts))

/** Three answers of a server that speaks gob: two values, and an error. */
const gobStream = (): Uint8Array => {
  const encoder = Gob.makeEncoder()
  const write = <A, I>(schema: Schema.Schema<A, I>, value: A) => Either.getOrThrow(encoder.encode(schema, value))
  const Header = Schema.Struct({ ServiceMethod: Schema.String, Seq: Gob.Uint, Error: Schema.String })
  const header = (Seq: number, Error = "") => write(Header, { ServiceMethod: "A.B", Seq, Error })
  return concat(
    header(0),
    write(Everything, full),
    header(1, "divide by zero"),
    write(Schema.Struct({}), {}),
    header(2),
    write(Everything, { ...zero, Anything: { name: "string", value: "x" } })
  )
}

const jsonStream = (): Uint8Array =>
  new TextEncoder().encode(
    [
      { id: 0, result: { Text: "héllo \" \\ 🌍", List: [1, 2.5, -1e9, { A: null }], Flag: true }, error: null },
      { id: 1, result: null, error: "divide by zero" },
      { id: 2, result: [[[]], {}, ""], error: null }
    ].map((answer) => JSON.stringify(answer)).join("\n")
  )

/** Pieces that mean much for their length: counts and lengths of all sizes, types, brackets. */
const pieces = [
  "00",
  "01",
  "7f",
  "80",
  "ff80",
  "feffff",
  "fcffffffff",
  "fa010000000000",
  "f8ffffffffffffffff",
  "ff81",
  "ff82",
  "ff8e",
  "7b",
  "7d",
  "5b",
  "5d",
  "22",
  "5c",
  "2c",
  "3a",
  "316539393939",
  "6e756c6c",
  "5c7564383030",
  "226964223a31"
].map((hex) => new Uint8Array(Buffer.from(hex, "hex")))

const mutate = (bytes: Uint8Array): Uint8Array => {
  let mutant = bytes.slice()
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(mutant.length + 1)
    switch (random(6)) {
      case 0:
        mutant = mutant.slice(0, at)
        break
      case 1: {
        const end = at + random(40)
        mutant = concat(mutant.subarray(0, end), mutant.subarray(at))
        break
      }
      case 2:
        mutant = concat(mutant.subarray(0, at), pieces[random(pieces.length)]!, mutant.subarray(at))
        break
      case 3: {
        // over what was there, so that the lengths around it may still be right
        const piece = pieces[random(pieces.length)]!
        mutant.set(piece.subarray(0, Math.max(0, mutant.length - at)), Math.min(at, mutant.length))
        break
      }
      case 4:
        if (at < mutant.length) {
          mutant[at] = mutant[at]! ^ (1 << random(8))
        }
        break
      default:
        if (at < mutant.length) {
          mutant[at] = random(256)
        }
    }
  }
  return mutant
}

const fuzz = <Request>(codec: Codec<Request>, original: Uint8Array) => {
  const counts = { values: 0, refused: 0, errors: 0, problems: 0, unfinished: 0, arrayBuffers: 0 }
  const Other = Schema.Struct({ Text: Schema.String, List: Schema.Array(Gob.Int) })
  for (let i = 0; i < Number(streams); i++) {
    const wire = codec.wire(maxFrameBytes)
    const mutant = mutate(original)
    let problem: string | undefined
    let answers = 0
    for (let at = 0; at < mutant.length && problem === undefined;) {
      const size = 1 + random(200)
      const decoded = wire.decode(mutant.subarray(at, at + size))
      at += size
      problem = decoded.problem
      for (const { result } of decoded.answers) {
        answers++
        if (Either.isLeft(result)) {
          counts.errors += result.left instanceof Fatal ? 1 : NaN
          continue
        }
        for (const reply of [undefined, Everything, Other]) {
          const exit = Effect.runSyncExit(
            codec.reply(result.right, {
              args: undefined,
              reply: reply as Schema.Schema<unknown> | undefined
            }) as Effect.Effect<
              unknown,
              Fatal
            >
          )
          if (Exit.isSuccess(exit)) {
            counts.values++
          } else {
            counts.refused += exit.cause._tag === "Fail" && exit.cause.error instanceof Fatal ? 1 : NaN
          }
        }
      }
    }
    counts.problems += problem === undefined ? 0 : 1
    counts.unfinished += problem === undefined && answers < 3 ? 1 : 0
    if (i % 100 === 0) {
      counts.arrayBuffers = Math.max(counts.arrayBuffers, process.memoryUsage().arrayBuffers)
    }
  }
  process.stdout.write(JSON.stringify(counts))
}

if (name === "gob") {
  fuzz(gob.codec, gobStream())
} else {
  fuzz(json.codec, jsonStream())
}
