/**
 * Writes every TypeScript example of the documentation to `test/.examples`, where `tsc` checks them: the code blocks of
 * the Markdown files, and those of the doc comments in `src`.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "..", "..")
const target = Path.join(root, "test", ".examples")

const filesUnder = (folder: string, ending: string) =>
  readdirSync(Path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(ending))
    .map((path) => Path.join(folder, path))

const examplesIn = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/^```ts\n([\s\S]*?)^```$/gm), ([, code]) => code!)

/** The text of a source file's comments, each line without what marks it as one. */
const commentsOf = (source: string): string => source.replaceAll(/^ *\* ?/gm, "")

const sources = [
  ...["README.md", "CHANGELOG.md", ...filesUnder("docs", ".md")].map((path) => ({
    path,
    read: (text: string) => text
  })),
  ...filesUnder("src", ".ts").map((path) => ({ path, read: commentsOf }))
]

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })

const counts = sources.map(({ path, read }) => {
  const examples = examplesIn(read(readFileSync(Path.join(root, path), "utf8")))
  examples.forEach((code, i) => {
    const name = `${path.replaceAll(/[/\\]/g, "-").replace(/\.\w+$/, "")}-${i + 1}.ts`
    writeFileSync(Path.join(target, name), `// example ${i + 1} of ${path}\n${code}`)
  })
  return examples.length
})

process.stdout.write(`${counts.reduce((sum, n) => sum + n, 0)} examples written to test/.examples\n`)
