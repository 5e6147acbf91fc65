/**
 * Reads the Markdown documents of the repository: their code blocks, links and headings.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"

export const root = Path.join(import.meta.dirname, "..", "..")

/** The paths of all documents, relative to the root. */
export const documents = (): ReadonlyArray<string> => [
  "README.md",
  "CHANGELOG.md",
  ...readdirSync(Path.join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => Path.posix.join("docs", path.split(Path.sep).join("/")))
    .toSorted()
]

export const read = (path: string): string => readFileSync(Path.join(root, path), "utf8")

/** The code blocks of a language, in order. */
export const blocks = (text: string, language: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm")), ([, code]) => code!)

/** A program of a document, and the output that the document states. */
export interface Stated {
  readonly code: string
  readonly output: string
}

/** The blocks of `ts` that are followed by "It prints:" and a block of `text`. */
export const stated = (text: string): ReadonlyArray<Stated> =>
  Array.from(
    text.matchAll(/^```ts\n((?:(?!^```$)[\s\S])*)^```\n\nIt prints:\n\n```text\n([\s\S]*?)^```$/gm),
    ([, code, output]) => ({ code: code!, output: output! })
  )

const withoutBlocks = (text: string): string => text.replaceAll(/^```[\s\S]*?^```$/gm, "")

/** The targets of the links of a text, without those in code. */
export const links = (text: string): ReadonlyArray<string> =>
  Array.from(
    withoutBlocks(text).replaceAll(/`[^`\n]*`/g, "code").matchAll(/\]\(\s*([^)\s]+)\s*\)/g),
    ([, target]) => target!
  )

/** The anchor of a heading, as GitHub makes it. */
export const slug = (heading: string): string =>
  heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase().replaceAll(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, "")
    .replaceAll(" ", "-")

/** The anchors of a text. A heading that comes again has a number after its anchor. */
export const anchors = (text: string): ReadonlySet<string> => {
  const seen = new Map<string, number>()
  return new Set(Array.from(withoutBlocks(text).matchAll(/^#{1,6} +(.+?) *$/gm), ([, heading]) => {
    const anchor = slug(heading!)
    const times = seen.get(anchor) ?? 0
    seen.set(anchor, times + 1)
    return times === 0 ? anchor : `${anchor}-${times}`
  }))
}

/** What stands in `code` in the running text. */
export const inlineCode = (text: string): ReadonlyArray<string> =>
  Array.from(withoutBlocks(text).matchAll(/`([^`\n]+)`/g), ([, code]) => code!)
