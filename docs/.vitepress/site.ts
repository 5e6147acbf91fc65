/**
 * Builds the site, `docs/.vitepress/dist`, from the documents and the doc comments: `npm run docs`.
 *
 * The pages are put together in `test/.site`: TypeDoc writes those of the API, and the others are the files of `docs` with the
 * index as the home page. VitePress ends the build at a link to a page that there is not, and this at one to a missing anchor.
 */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import * as Markdown from "../../test/support/markdown.js"

interface Item {
  readonly text: string
  readonly link?: string
  readonly items?: ReadonlyArray<Item>
}

const pages = Path.join(Markdown.root, "test", ".site")
const site = Path.join(import.meta.dirname, "dist")

const bin = (name: string, ...args: ReadonlyArray<string>): void => {
  execFileSync(Path.join(Markdown.root, "node_modules", ".bin", name), args, { cwd: Markdown.root, stdio: "inherit" })
}

const write = (path: string, text: string): void => {
  mkdirSync(Path.dirname(Path.join(pages, path)), { recursive: true })
  writeFileSync(Path.join(pages, path), text)
}

const filesUnder = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(ending)).toSorted()

const home = `---
layout: home
hero:
  name: effect-rpc-retry
  text: Retries for RPC calls
  tagline: Typed errors, Schedules, and prompt interruption, for Effect programs
  actions:
    - { theme: brand, text: Getting started, link: /getting-started }
    - { theme: alt, text: Guide, link: /guide }
    - { theme: alt, text: API reference, link: /api/ }
---

`

/** A document as a page: the index is the home page, and what stands beside `docs` is beside it. */
const pageOf = (document: string): string => {
  const text = Markdown.read(document)
    .replaceAll(/(\]\((?:[\w.]+\/)*)README\.md/g, "$1index.md")
    .replaceAll("](../CHANGELOG.md", "](CHANGELOG.md")
    .replaceAll(/(?<=\]\()(?=observability\/)/g, "/")
    // which the highlighter does not know
    .replaceAll(/^```promql$/gm, "```text")
  switch (document) {
    case "docs/README.md":
      return home + text
    case "docs/examples/README.md":
      return withSources(text)
    default:
      return text
  }
}

/** The page of the examples, with the files that it links to at its end. */
const withSources = (text: string): string => {
  const isFile = /\]\(([\w/.]+\.(ts|proto))\)/g
  const sources = Array.from(
    text.matchAll(isFile),
    ([, path, language]) => `\n## ${path}\n\n\`\`\`${language}\n${Markdown.read(`docs/examples/${path}`)}\`\`\`\n`
  )
  return text.replaceAll(isFile, (_, path: string) => `](#${Markdown.slug(path)})`) + sources.join("")
}

/** The sections of the index, with the pages that each links to. */
const guide = (): ReadonlyArray<Item> =>
  Markdown.read("docs/README.md").split(/^## /m).slice(1).map((section) => ({
    text: section.slice(0, section.indexOf("\n")),
    items: Array.from(section.matchAll(/\[([^\]]+)\]\(([^)]+)\.md((?:#[^)]*)?)\)/g), ([, text, path, anchor]) => ({
      text: text!.charAt(0).toUpperCase() + text!.slice(1),
      link: `/${path!.replace(/README$/, "")}${anchor}`
    }))
  }))

/** Gives each page of the API the name that its module is imported by, and returns them by their folders. */
const reference = (): ReadonlyArray<Item> => {
  const modules = filesUnder(Path.join(pages, "api"), ".md").filter((path) => !path.startsWith("index"))
  const named = (path: string) => path.replace(/\.md$/, "").replace(/^transport\//, "")
  const items = (folder: string) =>
    modules.filter((path) => Path.dirname(path) === folder).map((path) => ({
      text: Path.basename(path, ".md"),
      link: `/api/${path.replace(/\.md$/, "")}`
    }))
  for (const path of modules) {
    const file = Path.join("api", path)
    const text = readFileSync(Path.join(pages, file), "utf8")
    write(file, text.replace(/^# .*$/m, `# effect-rpc-retry/${named(path)}`))
  }
  return [
    { text: "Core", items: items(".") },
    { text: "Transports and discovery", items: items("transport") },
    { text: "Testing", items: items("testing") }
  ]
}

/** What links to other parts of the site: the page that a link is on, the page that it leads to, and the anchor in it. */
interface Link {
  readonly from: string
  readonly to: string
  readonly anchor: string | undefined
}

const linksOf = (from: string, html: string): ReadonlyArray<Link> =>
  Array.from(html.matchAll(/ href="([^":#]*)(?:#([^"]+))?"/g), ([, path = "", anchor]) => {
    const to = path === "" ? from : Path.posix.resolve("/", Path.posix.dirname(from), path).slice(1)
    return { from, to: to === "" || path.endsWith("/") ? Path.posix.join(to, "index.html") : to, anchor }
  })

/** What is wrong with the site: links to anchors that there are not, and pages that no other links to. */
const problems = (): ReadonlyArray<string> => {
  const html = filesUnder(site, ".html").map((path) => [path, readFileSync(Path.join(site, path), "utf8")] as const)
  const ids = new Map(
    html.map(([path, text]) => [path, new Set(Array.from(text.matchAll(/ id="([^"]+)"/g), ([, id]) => id))])
  )
  const links = html.flatMap(([path, text]) => linksOf(path, text))
  const reached = new Set(links.filter(({ from, to }) => from !== to).map(({ to }) => to))
  return [
    ...links.filter(({ anchor, to }) => anchor !== undefined && !ids.get(to)?.has(decodeURIComponent(anchor)))
      .map(({ anchor, from, to }) => `${from}: there is no #${anchor} in ${to}`),
    ...html.filter(([path]) => path !== "404.html" && !reached.has(path)).map(([path]) =>
      `${path}: no page links to it`
    )
  ]
}

rmSync(pages, { recursive: true, force: true })
rmSync(site, { recursive: true, force: true })

bin("typedoc", "--options", Path.join(import.meta.dirname, "typedoc.json"))
for (const document of Markdown.documents().filter((document) => document !== "README.md")) {
  write(document.replace(/^docs\//, "").replace(/README\.md$/, "index.md"), pageOf(document))
}
cpSync(Path.join(Markdown.root, "docs", "observability"), Path.join(pages, "public", "observability"), {
  recursive: true
})

const playground = Path.join(Markdown.root, "docs", "playground")
const hasPlayground = existsSync(Path.join(playground, "build.ts"))
if (hasPlayground) {
  bin("tsx", Path.join(playground, "build.ts"))
  cpSync(Path.join(playground, "dist"), Path.join(pages, "public", "playground"), { recursive: true })
}

write("navigation.json", JSON.stringify({ guide: guide(), api: reference(), hasPlayground }))
bin("vitepress", "build", "docs")

const found = problems()
if (found.length > 0) {
  process.stderr.write(`${found.join("\n")}\n`)
  process.exitCode = 1
} else {
  process.stdout.write(`${filesUnder(site, ".html").length} pages in ${Path.relative(Markdown.root, site)}\n`)
}
