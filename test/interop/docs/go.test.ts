/**
 * The programs in Go of the documents compile, and `go vet` has nothing to say against them.
 */
import * as Effect from "effect/Effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import * as DocsPrograms from "../../support/docsPrograms.js"
import * as GoServer from "../../support/goServer.js"
import * as Markdown from "../../support/markdown.js"
import { assert, describe, it } from "../../support/vitest.js"

const modules = readFileSync(Path.join(GoServer.source, "go.mod"), "utf8")

/** Whether the module of the interop tests has the libraries that a program imports. */
const hasLibraries = (program: string): boolean =>
  (program.match(/(?<=")(?:github\.com\/[^/"]+\/[^/"]+|google\.golang\.org\/[^/"]+)/g) ?? [])
    .every((library) => modules.includes(`${library} v`))

const programs = Markdown.documents()
  .flatMap((document) => Markdown.blocks(Markdown.read(document), "go"))
  .filter((program) => program.startsWith("package main") && hasLibraries(program))

describe.skipIf(GoServer.skipped !== undefined)(`Go in the documents ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("passes go vet", () =>
    Effect.gen(function*() {
      assert.isAtLeast(programs.length, 5)
      const folder = yield* DocsPrograms.temporary(GoServer.source)
      programs.forEach((program, i) => {
        const own = Path.join(folder, `program${i}`)
        mkdirSync(own)
        writeFileSync(
          Path.join(own, "main.go"),
          program.replace("example.com/arith/", "effect-rpc-retry/interop/")
        )
      })
      yield* DocsPrograms.execute("go", ["vet", `./${Path.basename(folder)}/...`], GoServer.source)
    }), 600_000)
})
