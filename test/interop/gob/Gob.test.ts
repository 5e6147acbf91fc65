/**
 * `Gob` against Go's `encoding/gob`: what is written here Go reads, and what Go writes of that is read back as it was.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import type * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import { setImmediate } from "node:timers/promises"
import { sample } from "../../support/gobArbitrary.js"
import { cases } from "../../support/gobTypes.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { assert, describe, it } from "../../support/vitest.js"

interface Answer {
  readonly hex: string
  readonly text: string
  readonly error?: string
}

describe.skipIf(GoServer.skipped !== undefined)(`Gob and Go's encoding/gob ${GoServer.skipped ?? ""}`, () => {
  const { path: binary } = GoProgram.make("gobecho")

  const echo = (lines: ReadonlyArray<string>): ReadonlyArray<Answer> =>
    spawnSync(binary, { input: lines.join("\n"), maxBuffer: 1 << 28 }).stdout.toString().trim().split("\n").map((
      line
    ) => JSON.parse(line))

  it("every value comes back as it was", () => {
    assert.isAbove(cases.length, 60)
    const sent = cases.map(({ go, schema, value }) =>
      `${go} ${Buffer.from(Either.getOrThrow(Gob.encode(schema)(value))).toString("hex")}`
    )
    const answers = echo(sent)
    assert.strictEqual(answers.length, cases.length)
    cases.forEach(({ name, schema, value }, i) => {
      assert.isUndefined(answers[i]!.error, name)
      const back = Gob.decode(schema)(new Uint8Array(Buffer.from(answers[i]!.hex, "hex")))
      assert.deepStrictEqual(back, Either.right(value), name)
    })
  })

  it("Go sees the value that was meant", () => {
    const see = (name: string, i: number) => {
      const { go, schema, value } = cases.filter(({ go }) => go === name)[i]!
      return echo([`${go} ${Buffer.from(Either.getOrThrow(Gob.encode(schema)(value))).toString("hex")}`])[0]!.text
    }
    assert.strictEqual(see("int", 20), "-9223372036854775808")
    assert.strictEqual(see("uint", 11), "18446744073709551615")
    assert.strictEqual(see("complex", 1), "(1-2.5i)")
    assert.strictEqual(see("point", 1), "{X:22 Y:33}")
    assert.strictEqual(see("time", 3), "2026-11-23 11:22:33.444 +0000 UTC")
    assert.strictEqual(see("intmap", 1), "map[-7: 1:x]")
    assert.strictEqual(see("pointmap", 0), "map[{X:0 Y:-1}:[ a]]")
    assert.strictEqual(see("bigint", 5), "-18446744073709551616")
    assert.strictEqual(see("url", 1), "https://user@example.com:8080/a%20b?c=d#e")
    assert.strictEqual(
      see("anything", 2),
      "{One:<nil> Many:[{Radius:0.5} <nil> 0 {Radius:0.5} false] Map:map[]}"
    )
    assert.strictEqual(
      see("anything", 5),
      "{One:{One:{Radius:0.5} Many:[{Radius:0.5} <nil>] Map:map[]} Many:[] Map:map[]}"
    )
  })

  it("for types and values at random, there and back is the identity", async () => {
    let structs = 0
    await fc.assert(
      fc.asyncProperty(sample, async ({ go, schema, value }) => {
        // the runner of the tests has to hear of this process now and then
        await setImmediate()
        structs += go.startsWith("{\"kind\":\"struct\"") ? 1 : 0
        const [answer] = echo([`${go} ${Buffer.from(Either.getOrThrow(Gob.encode(schema)(value))).toString("hex")}`])
        assert.isUndefined(answer!.error)
        const bytes = new Uint8Array(Buffer.from(answer!.hex, "hex"))
        assert.deepStrictEqual(Gob.decode(schema)(bytes), Either.right(value))
        // the same, in pieces
        const decoder = Gob.makeDecoder()
        const values = Array.from({ length: bytes.length }, (_, i) => decoder.push(bytes.subarray(i, i + 1)).values)
          .flat()
        assert.deepStrictEqual(values.map((value) => value.as(schema)), [Either.right(value)])
      }),
      { numRuns: 500, seed: 11 }
    )
    assert.isAbove(structs, 50)
  }, 600_000)

  it("what Go does not accept it says, and nothing crashes", () => {
    const [answer] = echo([`int ${Buffer.from(Either.getOrThrow(Gob.encode(Gob.Uint)(7))).toString("hex")}`])
    assert.include(answer!.error, "decoding into local type *int, received remote type uint")
    const tooLarge: ReadonlyArray<readonly [kind: string, schema: Schema.Schema<number>, value: number]> = [
      ["int8", Gob.Int, 128],
      ["int16", Gob.Int, -32_769],
      ["int32", Gob.Int, 2 ** 31],
      ["uint8", Gob.Uint, 256],
      ["uint32", Gob.Uint, 2 ** 32],
      ["float32", Gob.Float, 1e39]
    ]
    for (const [kind, schema, value] of tooLarge) {
      const hex = Buffer.from(Either.getOrThrow(Gob.encode(schema)(value))).toString("hex")
      assert.include(echo([`{"kind":"${kind}"} ${hex}`])[0]!.error, "out of range", kind)
    }
  })
})
