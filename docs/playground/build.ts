/**
 * Builds the page into one file, `docs/playground/dist/index.html`, which needs no server: `npm run playground`.
 *
 * The scripts stand in the page itself, and the worker is made of text in it: a page from `file://` may not load others.
 */
import { transform } from "esbuild"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { gzipSync } from "node:zlib"
import { build, type Plugin } from "vite"

const here = import.meta.dirname

const read = (path: string): string => readFileSync(Path.join(here, path), "utf8")

/**
 * What modules make their constants with when they are loaded, in this library and in Effect. A bundler keeps such a call
 * unless it is told that it only makes a value; those that the page does not use are left out.
 */
const pure = (
  "Config Context Data Duration Effect Either Equivalence FiberRef HashMap Layer Metric Number Option Order Predicate " +
  "Result Schedule Schema Stream Symbol Classify RetryPolicy RetrySchedule RpcError dual globalValue make pipe"
).split(" ")

/** Leaves out what the charts are not drawn with: uPlot names its ways to draw in one place. */
const withoutPaths: Plugin = {
  name: "without-paths",
  transform: (code, id) =>
    id.includes("/uplot/") ? code.replaceAll(/\(paths\.(?:stepped|bars|spline) *= \w+\);/g, "") : undefined
}

/** What stands for modules of Effect that its runtime refers to, and that nothing here uses. */
const unused: Readonly<Record<string, string>> = {
  "Micro.js":
    `export const provideContext = () => { throw new Error("no Micro here") }; export const runFork = provideContext`,
  "internal/configProvider.js":
    `export const configProviderTag = { key: "effect/ConfigProvider" }; export const fromEnv = () => undefined`
}

const withoutUnused: Plugin = {
  name: "without-unused",
  load: (id) => unused[id.split("/effect/dist/esm/")[1] ?? ""]
}

/** Puts a program and what it imports into one classic script. */
const script = async (entry: string): Promise<string> => {
  const built = await build({
    configFile: false,
    logLevel: "warn",
    plugins: [withoutPaths, withoutUnused],
    resolve: { conditions: ["@effect-rpc-retry/source", "module", "browser"] },
    build: {
      write: false,
      target: "es2022",
      minify: "terser",
      terserOptions: {
        ecma: 2020,
        toplevel: true,
        compress: { passes: 4, inline: 1, pure_getters: true, unsafe_arrows: true, unsafe_methods: true },
        format: { comments: false }
      },
      lib: { entry: Path.join(here, entry), formats: ["iife"], name: "playground" },
      rollupOptions: { treeshake: { preset: "smallest", moduleSideEffects: false, manualPureFunctions: pure } }
    }
  })
  const { output: [chunk] } = (built as Extract<typeof built, ReadonlyArray<unknown>>)[0]!
  // what ends the element, or begins a comment in it, is in texts alone
  return chunk.code.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--")
}

/** Builds the page, and returns where it is. */
export const buildPage = async (folder = Path.join(here, "dist")): Promise<string> => {
  const parts: Readonly<Record<string, string>> = {
    "/* styles */": (await transform(
      read("../../node_modules/uplot/dist/uPlot.min.css") + read("style.css"),
      { loader: "css", minify: true }
    )).code,
    "/* worker */": await script("worker.ts"),
    "/* page */": await script("main.ts")
  }
  const page = Object.entries(parts).reduce((html, [mark, part]) => html.replace(mark, () => part), read("index.html"))
  const path = Path.join(folder, "index.html")
  mkdirSync(folder, { recursive: true })
  writeFileSync(path, page)
  return path
}

if (process.argv[1] === import.meta.filename) {
  const path = await buildPage()
  const size = gzipSync(readFileSync(path), { level: 9 }).length
  process.stdout.write(`${path}: ${Math.round(size / 100) / 10} kB, compressed\n`)
}
