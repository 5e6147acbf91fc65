/**
 * Runs programs of the documents, in Go and in TypeScript, as a reader would who has copied them into a folder.
 */
import * as Effect from "effect/Effect"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { promisify } from "node:util"
import { eventually } from "./eventually.js"
import * as Markdown from "./markdown.js"

/** Makes a folder in another one for the life of the scope. */
export const temporary = (parent: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(Path.join(parent, "docs-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )

export const freePort = Effect.async<number>((resume) => {
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

export const execute = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  Effect.promise(() => promisify(execFile)(command, args, { cwd }))

/** Builds a program in Go in a new folder in `parent`; `start` runs it until it listens on the ports. */
export const goProgram = (source: string, parent: string) =>
  Effect.gen(function*() {
    const folder = yield* temporary(parent)
    writeFileSync(Path.join(folder, "main.go"), source)
    yield* execute("go", ["build", "-o", "server", "main.go"], folder)
    const spawned = Effect.acquireRelease(
      Effect.sync(() => spawn(Path.join(folder, "server"), { stdio: "ignore" })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    return {
      start: (...ports: ReadonlyArray<number>) =>
        Effect.andThen(spawned, Effect.forEach(ports, (port) => eventually(listens(port)), { discard: true }))
    }
  })

/** Runs a program in TypeScript in a new folder with these other files, and returns what it prints. */
export const run = (source: string, files: Readonly<Record<string, string>> = {}) =>
  Effect.scoped(
    Effect.gen(function*() {
      // where the package is found by its name
      const folder = yield* temporary(Path.join(Markdown.root, "test"))
      for (const [name, text] of Object.entries({ ...files, "main.ts": source })) {
        writeFileSync(Path.join(folder, name), text)
      }
      const args = ["--import", "tsx", "--conditions=@effect-rpc-retry/source", "main.ts"]
      return yield* execute(process.execPath, args, folder)
    })
  )
