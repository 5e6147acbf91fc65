/**
 * Writes `gobFixtures.json`: each value of `gobTypes.ts` as Go writes it, but for the longest. Run it when values were added:
 *
 *     node --import tsx --conditions=@effect-rpc-retry/source test/support/writeGobFixtures.ts
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import * as Path from "node:path"
import { cases } from "./gobTypes.js"
import * as GoServer from "./goServer.js"

Effect.runSync(Effect.scoped(Effect.map(GoServer.build("gobecho"), ({ binary }) => {
  const fixtures = cases.flatMap(({ go, name, schema, value }) => {
    const bytes = Buffer.from(Either.getOrThrow(Gob.encode(schema)(value)))
    const { stdout } = spawnSync(binary, { input: `${go} ${bytes.toString("hex")}`, maxBuffer: 1 << 28 })
    const { hex } = JSON.parse(stdout.toString()) as { readonly hex: string }
    return hex.length > 20_000 ? [] : [{ name, hex }]
  })
  writeFileSync(
    Path.join(import.meta.dirname, "gobFixtures.json"),
    `[\n${fixtures.map((fixture) => `  ${JSON.stringify(fixture)}`).join(",\n")}\n]\n`
  )
})))
