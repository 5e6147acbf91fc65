/**
 * The server and the client of `docs/migration/net-rpc-to-grpc.md`, as a reader would copy them, do what the document says.
 */
import * as Effect from "effect/Effect"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { promisify } from "node:util"
import { eventually } from "../../support/eventually.js"
import * as GoServer from "../../support/goServer.js"
import * as Markdown from "../../support/markdown.js"
import { assert, describe, it } from "../../support/vitest.js"

const text = Markdown.read("docs/migration/net-rpc-to-grpc.md")

const block = (language: string): string => Markdown.blocks(text, language)[0] ?? assert.fail(`no ${language} there`)

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

const started = Effect.gen(function*() {
  const netRpc = yield* freePort
  const grpc = yield* freePort
  // in the module that has the generated package, and the libraries
  const go = yield* temporary(GoServer.source)
  const source = block("go").replace("example.com/arith/", "effect-rpc-retry/interop/")
    .replace("1234", String(netRpc)).replace("50051", String(grpc))
  writeFileSync(Path.join(go, "main.go"), source)
  yield* Effect.promise(() => promisify(execFile)("go", ["build", "-o", "server", "."], { cwd: go }))
  yield* Effect.acquireRelease(
    Effect.sync(() => spawn(Path.join(go, "server"), { stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  yield* eventually(listens(netRpc))
  yield* eventually(listens(grpc))
  return { netRpc, grpc }
})

/** Runs the client of the document, and returns what it prints. */
const run = (ports: { readonly netRpc: number; readonly grpc: number }) =>
  Effect.gen(function*() {
    // where the package is found by its name
    const client = yield* temporary(Path.join(Markdown.root, "test"))
    const source = block("ts").replace("1234", String(ports.netRpc)).replace("50051", String(ports.grpc))
    writeFileSync(Path.join(client, "main.ts"), source)
    writeFileSync(Path.join(client, "arith.proto"), block("proto"))
    const { stdout } = yield* Effect.promise(() =>
      promisify(execFile)(
        process.execPath,
        ["--import", "tsx", "--conditions=@effect-rpc-retry/source", "main.ts"],
        { cwd: client }
      )
    )
    return stdout
  })

describe.skipIf(GoServer.skipped !== undefined)(`docs/migration/net-rpc-to-grpc.md ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive(
    "the calls move from net/rpc to gRPC by the share, as the document shows",
    () =>
      Effect.gen(function*() {
        const ports = yield* started
        assert.strictEqual(yield* run(ports), block("text"))
      }),
    600_000
  )

  it.scopedLive(
    "no caller sees an error where nobody speaks gRPC: the attempts go over net/rpc",
    () =>
      Effect.gen(function*() {
        const ports = yield* started
        assert.strictEqual(
          yield* run({ ...ports, grpc: yield* freePort }),
          block("text").replaceAll(/\d+ over net\/rpc, \d+ over gRPC/g, "100 over net/rpc, 0 over gRPC")
        )
      }),
    600_000
  )
})
