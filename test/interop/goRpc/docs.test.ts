/**
 * The service and the program of `docs/transports/go-net-rpc.md`, as a reader would copy them, do what the document says.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import * as GoServer from "../../support/goServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const root = Path.join(import.meta.dirname, "..", "..", "..")
const text = readFileSync(Path.join(root, "docs", "transports", "go-net-rpc.md"), "utf8")

const block = (language: string): string =>
  new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? assert.fail(`no ${language} in the document`)

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

const listens = (port: number) =>
  Effect.async<void, Error>((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.on("error", (error) => resume(Effect.fail(error)))
  }).pipe(Effect.retry(Schedule.spaced(10)))

describe.skipIf(GoServer.skipped !== undefined)(`docs/transports/go-net-rpc.md ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("the program prints what the document shows", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const at = (source: string) => source.replaceAll("1234", String(port))
      const go = yield* temporary(tmpdir())
      writeFileSync(Path.join(go, "main.go"), at(block("go")))
      // of the standard library alone, which the programs of the tests have built before
      yield* Effect.promise(() => promisify(execFile)("go", ["build", "-o", "server", "main.go"], { cwd: go }))
      yield* Effect.acquireRelease(
        Effect.sync(() => spawn(Path.join(go, "server"), { stdio: "ignore" })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      yield* listens(port)
      // where the package is found by its name
      const client = yield* temporary(Path.join(root, "test"))
      writeFileSync(Path.join(client, "main.ts"), at(block("ts")))
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(
          process.execPath,
          ["--import", "tsx", "--conditions=@effect-rpc-retry/source", Path.join(client, "main.ts")],
          { cwd: root }
        )
      )
      assert.strictEqual(stdout, block("text"))
    }), 600_000)
})
