/**
 * Several builds of the package in one process, as when two dependencies of a program bring one each.
 */
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Typescript from "typescript"
import { afterAll } from "vitest"
import { version } from "../../src/internal/ambient/version.js"
import { assert, describe, it } from "../support/vitest.js"

const root = Path.join(import.meta.dirname, "..", "..")
const work = mkdtempSync(Path.join(Os.tmpdir(), "copies-"))
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** Builds what the front door needs into a directory of its own. */
const build = (name: string, change: (source: string) => string): string => {
  const out = Path.join(work, name)
  for (const path of readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })) {
    if (path.endsWith(".ts") && !/^(transport|testing)\//.test(path)) {
      const source = change(readFileSync(Path.join(root, "src", path), "utf8"))
      const { outputText } = Typescript.transpileModule(source, {
        compilerOptions: {
          target: Typescript.ScriptTarget.ES2022,
          module: Typescript.ModuleKind.ESNext,
          verbatimModuleSyntax: true
        }
      })
      const to = Path.join(out, path.replace(/\.ts$/, ".js"))
      mkdirSync(Path.dirname(to), { recursive: true })
      writeFileSync(to, outputText)
    }
  }
  return out
}

/** What a later version may do to internals: functions that calls find in what they are given have other names. */
const renamed: ReadonlyArray<readonly [RegExp, string]> = [
  [/(?<!\/)\btelemetry\b/g, "telemetries"],
  [/\bcallStarted\b/g, "callHasStarted"],
  [new RegExp(`"${version.replaceAll(".", "\\.")}"`, "g"), "\"0.0.0-other\""]
]

const outcomes = (): Record<string, unknown> => {
  symlinkSync(Path.join(root, "node_modules"), Path.join(work, "node_modules"))
  writeFileSync(Path.join(work, "package.json"), "{ \"type\": \"module\" }")
  cpSync(Path.join(root, "test/package/copies.mjs"), Path.join(work, "copies.mjs"))
  const other = (source: string) => renamed.reduce((source, [from, to]) => source.replace(from, to), source)
  const copies = [build("one", (source) => source), build("same", (source) => source), build("other", other)]
  return JSON.parse(
    execFileSync(process.execPath, [Path.join(work, "copies.mjs"), ...copies], { encoding: "utf8", timeout: 600_000 })
  ) as Record<string, unknown>
}

describe("two builds of the package in one process", () => {
  it("know their version, by which they tell each other apart", () => {
    const { version: packed } = JSON.parse(readFileSync(Path.join(root, "package.json"), "utf8")) as { version: string }
    assert.strictEqual(version, packed)
  })

  it("both work, share a layer when they are of one version, and do not see that of another version", () => {
    const { warnings, ...calls } = outcomes()
    assert.deepStrictEqual(calls, {
      "one, without a layer": "2 attempts, RetryExhausted",
      "other, without a layer": "2 attempts, RetryExhausted",
      "one, in its layer": "3 attempts, RetryExhausted",
      "other, in its layer": "3 attempts, RetryExhausted",
      "same, in the layer of one": "3 attempts, RetryExhausted",
      "other, in the layer of one": "4 attempts, RetryExhausted",
      "one inside other": "succeeds"
    })
    const ofWiring = (warnings as ReadonlyArray<string>).filter((text) => text.includes("no layer provides RpcRetry"))
    assert.lengthOf(ofWiring, 1, "the call that does not see the layer is warned of")
  }, 600_000)
})
