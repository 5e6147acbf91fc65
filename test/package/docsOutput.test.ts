/**
 * The programs of the documents that state what they print are run, and print that.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll } from "vitest"
import * as Markdown from "../support/markdown.js"
import { assert, describe, it } from "../support/vitest.js"

// where the package is found by its name
const folder = mkdtempSync(Path.join(Markdown.root, "test", "docs-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs a program in a process of its own, and returns what it has printed. */
const outputOf = async (name: string, code: string): Promise<string> => {
  const file = Path.join(folder, `${name}.ts`)
  writeFileSync(file, code)
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", "--conditions=@effect-rpc-retry/source", file],
    { cwd: Markdown.root }
  )
  return stdout
}

for (const document of Markdown.documents()) {
  const programs = Markdown.stated(Markdown.read(document))
  if (programs.length > 0) {
    describe(document, () => {
      programs.forEach(({ code, output }, i) => {
        it(`program ${i + 1} prints what the document states`, async () => {
          assert.strictEqual(await outputOf(`${document.replaceAll(/\W/g, "-")}-${i + 1}`, code), output)
        })
      })
    })
  }
}

describe("the check of outputs", () => {
  it("runs programs: one that prints something else than it states is found", async () => {
    const text = "```ts\nconsole.log(1 + 1)\n```\n\nIt prints:\n\n```text\n3\n```\n"
    const [program] = Markdown.stated(text)
    assert.strictEqual(program!.output, "3\n")
    assert.strictEqual(await outputOf("two", program!.code), "2\n")
  })
})
