/**
 * What a bundle grows by: minified and compressed, without Effect.
 */
import * as Esbuild from "esbuild"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import type { Case, Group } from "./case.js"

const root = Path.join(import.meta.dirname, "..", "..", "..")

const bundled = (code: string): Case => () => async () => {
  const { outputFiles } = await Esbuild.build({
    stdin: { contents: code, resolveDir: root },
    bundle: true,
    format: "esm",
    minify: true,
    write: false,
    external: ["effect"]
  })
  return Zlib.gzipSync(outputFiles[0]!.contents, { level: 9 }).length
}

const most = (name: string, kilobytes: number) => ({
  what: `\`${name}\` in kilobytes, of ${kilobytes}`,
  ratio: (of: (name: string) => number) => of(name) / 1000,
  atMost: kilobytes
})

export const group: Group = {
  title: "Size of a bundle, minified and compressed with gzip, without Effect",
  unit: "bytes",
  rounds: 1,
  cases: {
    withRpcRetry: bundled(`export { withRpcRetry } from "effect-rpc-retry"`),
    core: bundled(`export * from "effect-rpc-retry"`)
  },
  rows: [most("withRpcRetry", 6), most("core", 18)]
}
