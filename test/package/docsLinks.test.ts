/**
 * The links between the documents, and the index of them.
 */
import { existsSync } from "node:fs"
import * as Path from "node:path"
import * as Markdown from "../support/markdown.js"
import { assert, describe, it } from "../support/vitest.js"

/** What is wrong with a link of a document, or `undefined`. */
const problemOf = (document: string, link: string, textOf = Markdown.read): string | undefined => {
  const [path = "", anchor] = link.split("#")
  const target = path === "" ? document : Path.posix.join(Path.posix.dirname(document), path)
  if (!existsSync(Path.join(Markdown.root, target))) {
    return `${document}: ${link}: there is no ${target}`
  }
  return anchor !== undefined && !Markdown.anchors(textOf(target)).has(anchor)
    ? `${document}: ${link}: there is no heading for #${anchor}`
    : undefined
}

const isRelative = (link: string): boolean => !/^[a-z]+:/.test(link)

describe("the documents", () => {
  it("link only to files and headings that exist", () => {
    const problems = Markdown.documents().flatMap((document) =>
      Markdown.links(Markdown.read(document)).filter(isRelative).flatMap((link) => problemOf(document, link) ?? [])
    )
    assert.deepStrictEqual(problems, [])
  })

  it("are all in the index, docs/README.md, which README.md links to", () => {
    assert.include(Markdown.links(Markdown.read("README.md")), "docs/README.md")
    const indexed = new Set(
      Markdown.links(Markdown.read("docs/README.md")).filter(isRelative)
        .map((link) => Path.posix.join("docs", link.split("#")[0]!))
    )
    const missing = Markdown.documents().filter((document) =>
      document.startsWith("docs/") && document !== "docs/README.md" && !indexed.has(document)
    )
    assert.deepStrictEqual(missing, [])
  })
})

describe("the check of links", () => {
  it("finds a missing file and a missing heading, and no fault in code", () => {
    const text = "# A b\n## A `b`, c\n[x](gone.md) `[y](no.md)`\n```md\n[z](no.md)\n```\n[w](#a-b-c)\n[v](#a-c)\n"
    assert.deepStrictEqual(Markdown.links(text), ["gone.md", "#a-b-c", "#a-c"])
    const problems = Markdown.links(text).map((link) => problemOf("README.md", link, () => text) !== undefined)
    assert.deepStrictEqual(problems, [true, false, true])
  })
})
