/**
 * What an editor offers inside the options of a call, a policy and a layer.
 */
import { RetryPolicy } from "effect-rpc-retry"
import * as Path from "node:path"
import ts from "typescript"
import * as Markdown from "../support/markdown.js"
import { assert, describe, it } from "../support/vitest.js"

const file = Path.join(Markdown.root, "test", "completions.ts")

/** The language service of an editor that has one file open. */
const serviceOf = (text: string): ts.LanguageService => {
  const config = ts.readConfigFile(Path.join(Markdown.root, "tsconfig.json"), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, Markdown.root)
  const read = (path: string) => path === file ? text : ts.sys.readFile(path)
  return ts.createLanguageService({
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot: (path) => {
      const content = read(path)
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
    },
    getCurrentDirectory: () => Markdown.root,
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (path) => path === file || ts.sys.fileExists(path),
    readFile: read,
    directoryExists: ts.sys.directoryExists
  })
}

const naming = ["method", "idempotencyKey"]

/** Where options are written, at `|`, and those that are there beside the fields of a policy. */
const places: ReadonlyArray<readonly [expression: string, others: ReadonlyArray<string>]> = [
  ["call.pipe(withRpcRetry({ | }))", naming],
  ["withRpcRetry(call, { | })", naming],
  ["RetryPolicy.make({ | })", []],
  ["RpcRetry.layer({ default: { | } })", []]
]

const text = `import { type Fatal, type Retryable, RetryPolicy, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import type * as Effect from "effect/Effect"
declare const call: Effect.Effect<string, Retryable | Fatal>
export const all = [
${places.map(([expression]) => expression).join(",\n")}
]
`.replaceAll("{ | }", "{  }")

const service = serviceOf(text)

/** The options that are offered, each with its documentation. */
const offeredIn = (expression: string): ReadonlyMap<string, string> => {
  const at = text.indexOf(expression.replace("{ | }", "{  }")) + expression.indexOf("|")
  const names = (service.getCompletionsAtPosition(file, at, {})?.entries ?? []).filter(({ kind }) =>
    kind === ts.ScriptElementKind.memberVariableElement
  ).map(({ name }) => name)
  return new Map(names.map((name) => {
    const details = service.getCompletionEntryDetails(file, at, name, {}, undefined, {}, undefined)
    return [name, ts.displayPartsToString(details?.documentation)]
  }))
}

describe("an editor offers each option with its documentation", { timeout: 120_000 }, () => {
  for (const [expression, others] of places) {
    it(expression, () => {
      const offered = offeredIn(expression)
      const wanted = [...RetryPolicy.fields, ...others]
      assert.deepStrictEqual(wanted.filter((name) => (offered.get(name) ?? "") === ""), [])
    })
  }
})
