/**
 * Who may import whom in `src`. The rules are those of the design; each is shown to catch what it forbids.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import ts from "typescript"
import { assert, describe, it } from "./support/vitest.js"

interface File {
  /** Relative to `src`, without its ending: `internal/engine`. */
  readonly name: string
  readonly text: string
}

interface Rule {
  readonly says: string
  readonly of: (name: string) => boolean
  readonly forbids: (imported: string) => boolean
}

const inFolder = (folder: string) => (name: string) => name.startsWith(`${folder}/`)
const isPackage = (imported: string) => imported.startsWith("package:")
const isCore = (name: string) => !inFolder("transport")(name) && !inFolder("testing")(name)

const ground = new Set([
  "RpcError",
  "Classify",
  "RpcCall",
  "Deadline",
  "InvalidOption",
  "Connections",
  "ServerHint",
  "internal/excerpt",
  "internal/grpcCodes",
  "internal/redact",
  "internal/wiring"
])

/** What `RpcError` is made of. */
const under = new Set([
  "internal/codec",
  "internal/excerpt",
  "internal/report",
  "internal/read",
  "internal/reasons",
  "internal/redact"
])

const rules: ReadonlyArray<Rule> = [
  {
    says: "RpcError is the ground: it imports effect, and what it is made of",
    of: (name) => under.has(name) || name === "RpcError",
    forbids: (imported) => !imported.startsWith("package:effect/") && !under.has(imported) && imported !== "RpcError"
  },
  {
    says: "the core imports only effect",
    of: isCore,
    forbids: (imported) => isPackage(imported) && !imported.startsWith("package:effect/")
  },
  {
    says: "the core knows no transport",
    of: isCore,
    forbids: inFolder("transport")
  },
  {
    says: "a transport knows the ground and other transports: no policy, no engine, no RpcRetry",
    of: inFolder("transport"),
    forbids: (imported) => !isPackage(imported) && !ground.has(imported) && !inFolder("transport")(imported)
  },
  {
    says: "nothing imports testing",
    of: (name) => !inFolder("testing")(name),
    forbids: inFolder("testing")
  },
  {
    says: "no barrel imports",
    of: () => true,
    forbids: (imported) =>
      imported === "package:effect" || /^package:@effect\/[^/]+$/.test(imported) || imported === "index"
  }
]

const importsOf = (file: File): ReadonlyArray<string> =>
  ts.preProcessFile(file.text, true, true).importedFiles.map(({ fileName }) =>
    fileName.startsWith(".")
      ? Path.posix.join(Path.posix.dirname(file.name), fileName).replace(/\.js$/, "")
      : `package:${fileName}`
  )

const violations = (files: ReadonlyArray<File>): ReadonlyArray<string> =>
  files.flatMap((file) =>
    importsOf(file).flatMap((imported) =>
      rules
        .filter((rule) => rule.of(file.name) && rule.forbids(imported))
        .map((rule) => `${file.name} imports ${imported}: ${rule.says}`)
    )
  )

const src = Path.join(import.meta.dirname, "..", "src")

const files: ReadonlyArray<File> = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({
    name: path.split(Path.sep).join("/").replace(/\.ts$/, ""),
    text: readFileSync(Path.join(src, path), "utf8")
  }))

describe("the house", () => {
  it("keeps its import rules", () => {
    assert.isAbove(files.length, 10)
    assert.deepStrictEqual(violations(files.filter((file) => file.name !== "index")), [])
  })

  it("has one place where attempts are made", () => {
    const looping = files.filter((file) =>
      /Effect\.(retry|retryOrElse|repeat)\b/.test(file.text.replaceAll(/^ \*.*$/gm, ""))
    )
    assert.deepStrictEqual(looping.map((file) => file.name), [])
  })

  const bad: ReadonlyArray<[name: string, imported: string]> = [
    ["RpcError", "./Classify.js"],
    ["RpcError", "./internal/engine.js"],
    ["Classify", "node:net"],
    ["RetryPolicy", "@effect/platform/Socket"],
    ["internal/engine", "../transport/GoRpc.js"],
    ["RpcRetry", "./transport/Connection.js"],
    ["transport/GoRpc", "../internal/engine.js"],
    ["transport/GoRpc", "../RetryPolicy.js"],
    ["transport/GoRpc", "../RpcRetry.js"],
    ["transport/internal/session", "../../RetrySchedule.js"],
    ["transport/GoRpc", "../testing/FlakyServer.js"],
    ["RpcRetry", "./testing/Faults.js"],
    ["RpcRetry", "effect"],
    ["transport/GoRpc", "@effect/platform"],
    ["RpcRetry", "./index.js"]
  ]
  for (const [name, imported] of bad) {
    it(`does not let ${name} import ${imported}`, () => {
      for (
        const statement of [
          `import * as X from "${imported}"`,
          `import type { X } from "${imported}"`,
          `export * from "${imported}"`
        ]
      ) {
        assert.isNotEmpty(violations([{ name, text: statement }]))
      }
    })
  }

  it("lets each import what it may", () => {
    for (
      const [name, imported] of [
        ["RpcError", "effect/Schema"],
        ["transport/GoRpc", "../RpcCall.js"],
        ["transport/GoRpc", "./Connection.js"],
        ["transport/internal/exchange", "../../ServerHint.js"],
        ["transport/internal/session", "@effect/platform/Socket"],
        ["testing/FlakyServer", "../transport/internal/jsonFrames.js"],
        ["RpcRetry", "./internal/engine.js"]
      ] as const
    ) {
      assert.deepStrictEqual(violations([{ name, text: `import * as X from "${imported}"` }]), [])
    }
  })
})
