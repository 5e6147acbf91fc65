import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { defineConfig } from "vitepress"
import * as Markdown from "../../test/support/markdown.js"

/** The pages, as `npm run docs` puts them together. */
const pages = Path.join(Markdown.root, "test", ".site")

const { api, hasPlayground, guide } = JSON.parse(readFileSync(Path.join(pages, "navigation.json"), "utf8"))

export default defineConfig({
  title: "effect-rpc-retry",
  description: "Retries for RPC calls in Effect programs: typed errors, Schedules, prompt interruption",
  lang: "en",
  srcDir: "../test/.site",
  // as on GitHub, so that the anchors of the documents are the same in both
  markdown: { anchor: { slugify: Markdown.slug } },
  themeConfig: {
    search: { provider: "local" },
    outline: { level: [2, 3] },
    nav: [
      { text: "Getting started", link: "/getting-started" },
      { text: "Guide", link: "/guide" },
      { text: "Recipes", link: "/recipes" },
      { text: "API", link: "/api/" },
      ...(hasPlayground ? [{ text: "Playground", link: "/playground/index.html", target: "_self" }] : []),
      { text: "Changes", link: "/CHANGELOG" }
    ],
    sidebar: { "/api/": api, "/": guide }
  }
})
