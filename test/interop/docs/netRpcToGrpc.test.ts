/**
 * The server and the client of `docs/migration/net-rpc-to-grpc.md`, as a reader would copy them, do what the document says.
 */
import * as Effect from "effect/Effect"
import * as DocsPrograms from "../../support/docsPrograms.js"
import * as GoServer from "../../support/goServer.js"
import * as Markdown from "../../support/markdown.js"
import { assert, describe, it } from "../../support/vitest.js"

const text = Markdown.read("docs/migration/net-rpc-to-grpc.md")

const block = (language: string): string => Markdown.blocks(text, language)[0] ?? assert.fail(`no ${language} there`)

interface Ports {
  readonly netRpc: number
  readonly grpc: number
}

const at = (source: string, ports: Ports) =>
  source.replace("1234", String(ports.netRpc)).replace("50051", String(ports.grpc))

/** Starts the server of the document, in the module that has the generated package and the libraries. */
const started = Effect.gen(function*() {
  const ports: Ports = { netRpc: yield* DocsPrograms.freePort, grpc: yield* DocsPrograms.freePort }
  const source = block("go").replace("example.com/arith/", "effect-rpc-retry/interop/")
  const server = yield* DocsPrograms.goProgram(at(source, ports), GoServer.source)
  yield* server.start(ports.netRpc, ports.grpc)
  return ports
})

/** Runs the client of the document, and returns what it prints. */
const run = (ports: Ports) =>
  Effect.map(DocsPrograms.run(at(block("ts"), ports), { "arith.proto": block("proto") }), ({ stdout }) => stdout)

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
          yield* run({ ...ports, grpc: yield* DocsPrograms.freePort }),
          block("text").replaceAll(/\d+ over net\/rpc, \d+ over gRPC/g, "100 over net/rpc, 0 over gRPC")
        )
      }),
    600_000
  )
})
