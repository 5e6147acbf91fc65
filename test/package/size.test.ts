/**
 * How much each entry point adds to a bundle, minified and compressed, without effect and other libraries.
 */
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import ts from "typescript"
import * as PureCalls from "../support/pureCalls.js"
import { assert, describe, it } from "../support/vitest.js"

const root = Path.join(import.meta.dirname, "..", "..")

/** The sources as `npm run build` emits them. */
const emitted = (path: string): string =>
  ts.transpileModule(readFileSync(path, "utf8"), {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
      verbatimModuleSyntax: true
    },
    transformers: { after: [PureCalls.transformer] }
  }).outputText

/** Imports of libraries, which a bundle that holds the libraries has none of. */
const imports = /import(?:[^;"]*from)?"[^"]*";/g

/** Bundles a program, and returns the size in bytes of what is of this package. */
const sizeOf = async (program: string): Promise<number> => {
  const { outputFiles: [bundle] } = await build({
    stdin: { contents: program, resolveDir: root },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    write: false,
    plugins: [{
      name: "sources",
      setup: ({ onLoad, onResolve }) => {
        onResolve({ filter: /^effect-rpc-retry\// }, ({ path }) => ({
          path: Path.join(root, "src", `${path.slice("effect-rpc-retry/".length)}.ts`),
          sideEffects: false
        }))
        onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ path, resolveDir }) => ({
          path: Path.join(resolveDir, path.replace(/\.js$/, ".ts")),
          sideEffects: false
        }))
        onResolve({ filter: /^[^./]/ }, ({ path }) => ({ path, external: true, sideEffects: false }))
        onLoad({ filter: /\.ts$/ }, ({ path }) => ({ contents: emitted(path), loader: "js" }))
      }
    }]
  })
  return gzipSync(bundle!.text.replaceAll(imports, ""), { level: 9 }).length
}

/**
 * The most bytes of each. They are a little above the sizes when they were set: raise one for what is worth it, and
 * lower it when the size falls.
 */
const limits: Readonly<Record<string, readonly [limit: number, program: string]>> = {
  "withRpcRetry alone": [20_700, `export { withRpcRetry } from "effect-rpc-retry/index"`],
  "withRpcRetry and RpcRetry.layer": [
    39_700,
    `import { RpcRetry, withRpcRetry } from "effect-rpc-retry/index"; export const { layer } = RpcRetry; export { withRpcRetry }`
  ],
  "the four errors": [3_400, `export { CallRejected, Fatal, Retryable, RetryExhausted } from "effect-rpc-retry/index"`],
  "RetrySchedule.exponential": [1_700, `export { exponential } from "effect-rpc-retry/RetrySchedule"`],
  "everything of the index": [59_400, `export * from "effect-rpc-retry/index"`],
  "testing/Faults": [4_200, `export * from "effect-rpc-retry/testing/Faults"`],
  "testing/Simulator": [52_800, `export * from "effect-rpc-retry/testing/Simulator"`],
  "testing/FlakyServer": [3_900, `export * from "effect-rpc-retry/testing/FlakyServer"`],
  Connect: [12_100, `export * from "effect-rpc-retry/transport/Connect"`],
  ConnectNode: [7_200, `export * from "effect-rpc-retry/transport/ConnectNode"`],
  Connection: [3_500, `export * from "effect-rpc-retry/transport/Connection"`],
  Consul: [7_050, `export * from "effect-rpc-retry/transport/Consul"`],
  Dns: [4_800, `export * from "effect-rpc-retry/transport/Dns"`],
  EndpointsFile: [4_600, `export * from "effect-rpc-retry/transport/EndpointsFile"`],
  Etcd: [7_450, `export * from "effect-rpc-retry/transport/Etcd"`],
  Kubernetes: [7_950, `export * from "effect-rpc-retry/transport/Kubernetes"`],
  EffectRpc: [15_100, `export * from "effect-rpc-retry/transport/EffectRpc"`],
  Gob: [12_850, `export * from "effect-rpc-retry/transport/Gob"`],
  GoRpc: [26_800, `export * from "effect-rpc-retry/transport/GoRpc"`],
  Grpc: [13_800, `export * from "effect-rpc-retry/transport/Grpc"`],
  HttpPool: [9_300, `export * from "effect-rpc-retry/transport/HttpPool"`],
  HttpRpc: [11_200, `export * from "effect-rpc-retry/transport/HttpRpc"`],
  JsonRpc: [16_800, `export * from "effect-rpc-retry/transport/JsonRpc"`],
  Thrift: [18_900, `export * from "effect-rpc-retry/transport/Thrift"`]
}

describe("the size of a bundle without libraries, minified and compressed,", { timeout: 600_000 }, () => {
  it("is within the limit of each entry point", async () => {
    const sizes = await Promise.all(
      Object.entries(limits).map(async ([name, [limit, program]]) => ({ name, limit, size: await sizeOf(program) }))
    )
    const tooLarge = sizes.filter(({ limit, size }) => size > limit)
    assert.deepStrictEqual(tooLarge, [])
  })

  it("is that of what a program uses: withRpcRetry alone holds no breaker, layer, document or preset", async () => {
    const all = await sizeOf(`export * from "effect-rpc-retry/index"`)
    const one = await sizeOf(`export { withRpcRetry } from "effect-rpc-retry/index"`)
    assert.isBelow(one, all / 2)
  })

  it("has a limit for every entry point of the package", () => {
    const { exports } = JSON.parse(readFileSync(Path.join(root, "package.json"), "utf8")) as { exports: object }
    const named = Object.keys(exports).filter((path) => /^\.\/[A-Z]/.test(path)).map((path) => path.slice(2))
    assert.deepStrictEqual(named.filter((name) => limits[name] === undefined), [])
  })
})
