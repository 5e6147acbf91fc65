import { execFile } from "node:child_process"
import * as Path from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "../support/vitest.js"

/** The default limit of an answer, in MiB. */
const limit = 4

/** What the process needs for itself, in MiB of heap: it ends with less, also when it decodes nothing. */
const idle = 24

const decode = (name: string, heap: number) =>
  promisify(execFile)(process.execPath, [
    "--import",
    "tsx",
    "--conditions=@effect-rpc-retry/source",
    `--max-old-space-size=${heap}`,
    "--max-semi-space-size=1",
    Path.join(import.meta.dirname, "..", "support", "largeAnswers.ts"),
    name
  ])

describe("the largest answers at the default limit take at most ten times their bytes", () => {
  // the bytes themselves are outside the heap, once as they came and once put together
  const heap = idle + (10 - 2) * limit
  for (
    const [name, outcome] of [
      ["gob integers", "1350000"],
      ["gob integers, Gob.decode", "1350000"],
      ["gob integers, Gob.makeDecoder", "1350000"],
      ["gob integers, Value.as twice", "1350000"],
      ["gob empty lists", "refused"],
      ["JSON records", "100000"]
    ] as const
  ) {
    it(`${name}: in a heap of ${heap} MiB`, async () => {
      const { stdout } = await decode(name, heap)
      assert.strictEqual(stdout, outcome)
    })
  }
})
