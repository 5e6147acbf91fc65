/**
 * The steps of `docs/getting-started.md`, as a reader would do them, show what the document says.
 */
import * as Effect from "effect/Effect"
import { tmpdir } from "node:os"
import * as DocsPrograms from "../../support/docsPrograms.js"
import * as GoServer from "../../support/goServer.js"
import * as Markdown from "../../support/markdown.js"
import { assert, describe, it } from "../../support/vitest.js"

const text = Markdown.read("docs/getting-started.md")

const withoutTimes = (report: string) => report.replaceAll(/\b[\d.]+ms/g, "ms").replaceAll(/ +/g, " ").trim()

describe.skipIf(GoServer.skipped !== undefined)(`docs/getting-started.md ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("the client gives up without the server, and prints 42 with it", () =>
    Effect.gen(function*() {
      const port = yield* DocsPrograms.freePort
      const at = (source: string) => source.replaceAll("1234", String(port))
      const server = yield* DocsPrograms.goProgram(at(Markdown.blocks(text, "go")[0]!), tmpdir())
      const client = DocsPrograms.run(at(Markdown.blocks(text, "ts")[0]!))
      const [gaveUp, answer] = Markdown.blocks(text, "text")

      assert.strictEqual(withoutTimes((yield* client).stderr), withoutTimes(gaveUp!))
      yield* server.start(port)
      assert.strictEqual((yield* client).stdout, answer)
    }), 600_000)
})
