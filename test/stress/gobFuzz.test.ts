import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { turn } from "../support/eventually.js"
import { cases } from "../support/gobTypes.js"
import * as Random from "../support/random.js"
import { assert, describe, it } from "../support/vitest.js"

/** Short streams that Go has written, each with the schema of its value. */
const streams = (JSON.parse(
  readFileSync(Path.join(import.meta.dirname, "..", "support", "gobFixtures.json"), "utf8")
) as ReadonlyArray<{ readonly name: string; readonly hex: string }>)
  .filter(({ hex }) => hex.length < 4_000)
  .map(({ hex, name }) => ({
    schema: cases.find((one) => one.name === name)!.schema,
    bytes: new Uint8Array(Buffer.from(hex, "hex"))
  }))

describe("Gob", () => {
  it.live("each of 100,000 mutated streams is a value or a GobError", () =>
    Effect.gen(function*() {
      const random = Random.make(1)
      let values = 0
      let errors = 0
      for (let i = 0; i < 100_000; i++) {
        if (i % 1_000 === 0) {
          // the runner of the tests has to hear of this process now and then
          yield* turn
        }
        const { bytes, schema } = streams[i % streams.length]!
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
    }))
})
