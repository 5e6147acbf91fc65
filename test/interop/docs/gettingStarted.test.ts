/**
 * The steps of `docs/getting-started.md`, as a reader would do them, show what the document says.
 */
import * as Effect from "effect/Effect"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { eventually } from "../../support/eventually.js"
import * as GoServer from "../../support/goServer.js"
import * as Markdown from "../../support/markdown.js"
import { assert, describe, it } from "../../support/vitest.js"

const text = Markdown.read("docs/getting-started.md")

const temporary = (parent: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(Path.join(parent, "docs-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )

const freePort = Effect.async<number>((resume) => {
  const server = Net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as Net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const listens = (port: number): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.on("error", () => resume(Effect.succeed(false)))
  })

describe.skipIf(GoServer.skipped !== undefined)(`docs/getting-started.md ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("the client gives up without the server, and prints 42 with it", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const at = (source: string) => source.replaceAll("1234", String(port))
      const go = yield* temporary(tmpdir())
      writeFileSync(Path.join(go, "main.go"), at(Markdown.blocks(text, "go")[0]!))
      yield* Effect.promise(() => promisify(execFile)("go", ["build", "-o", "server", "main.go"], { cwd: go }))
      // where the package is found by its name
      const client = yield* temporary(Path.join(Markdown.root, "test"))
      writeFileSync(Path.join(client, "main.ts"), at(Markdown.blocks(text, "ts")[0]!))
      const run = Effect.promise(() =>
        promisify(execFile)(
          process.execPath,
          ["--import", "tsx", "--conditions=@effect-rpc-retry/source", Path.join(client, "main.ts")],
          { cwd: Markdown.root }
        )
      )

      const [gaveUp, answer] = Markdown.blocks(text, "text")
      const withoutTimes = (report: string) => report.replaceAll(/\b[\d.]+ms/g, "ms").replaceAll(/ +/g, " ")
      const { stderr } = yield* run
      assert.strictEqual(withoutTimes(stderr).trim(), withoutTimes(gaveUp!).trim())

      yield* Effect.acquireRelease(
        Effect.sync(() => spawn(Path.join(go, "server"), { stdio: "ignore" })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      yield* eventually(listens(port))
      assert.strictEqual((yield* run).stdout, answer)
    }), 600_000)
})
