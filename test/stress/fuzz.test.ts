import { execFile } from "node:child_process"
import * as Path from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "../support/vitest.js"

const streams = 100_000

/** The heap of the process that reads them, in MiB; its buffers may take as much again. */
const bound = 64

describe("mutated answers", () => {
  for (const codec of ["gob", "json"]) {
    it(`${streams} streams of ${codec}: each gives values or typed errors, in ${bound} MiB`, async () => {
      const { stderr, stdout } = await promisify(execFile)(process.execPath, [
        "--import",
        "tsx",
        "--conditions=@effect-rpc-retry/source",
        `--max-old-space-size=${bound}`,
        Path.join(import.meta.dirname, "..", "support", "fuzz.ts"),
        codec,
        `${streams}`
      ])
      assert.strictEqual(stderr, "")
      const counts = JSON.parse(stdout) as Record<string, number>
      // all that can come of a stream has come of many, and nothing that is not typed: that would have made these null
      for (const [name, count] of Object.entries(counts)) {
        assert.isAbove(count, 1000, name)
      }
      assert.isBelow(counts["arrayBuffers"]!, bound * 1024 * 1024)
    }, 600_000)
  }
})
