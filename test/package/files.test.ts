/**
 * What the package holds.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "../support/vitest.js"

const root = Path.join(import.meta.dirname, "..", "..")

const packed = (): ReadonlyArray<string> => {
  const [listed] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" })
  ) as ReadonlyArray<{ readonly files: ReadonlyArray<{ readonly path: string }> }>
  return listed!.files.map(({ path }) => path)
}

describe("the package", () => {
  it("holds no tsconfig that extends a file which is not in it: an editor that opens a source would report it", () => {
    const files = packed()
    assert.include(files, "src/index.ts")
    const broken = files.filter((path) => /tsconfig.*\.json$/.test(path)).filter((path) => {
      const { extends: base } = JSON.parse(readFileSync(Path.join(root, path), "utf8")) as { extends?: string }
      return base !== undefined && !files.includes(Path.posix.join(Path.posix.dirname(path), base))
    })
    assert.deepStrictEqual(broken, [])
  })

  it("holds beside the build the sources that it maps to and the documents, and nothing else", () => {
    const kindOf = (path: string) =>
      path.includes("/") ? `${path.slice(0, path.indexOf("/"))} ${Path.posix.extname(path)}` : path
    const kinds = new Set(packed().filter((path) => !path.startsWith("dist/")).map(kindOf))
    assert.deepStrictEqual(Array.from(kinds).toSorted(), [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "docs .json",
      "docs .md",
      "docs .proto",
      "docs .ts",
      "docs .yaml",
      "package.json",
      "src .ts"
    ])
  })

  it("leaves out the playground, the demo, the site, the tests and the tools: a user has no need of them", () => {
    const unneeded = packed().filter((path) =>
      /^(?:test|node_modules)\/|\/(?:playground|demo)\/|(?:^|\/)\.|tsconfig|\.tsbuildinfo$|package-lock/.test(path) ||
      // of the documents only the examples are programs, of which one is a test
      (!path.startsWith("docs/examples/") && (/^docs\/.*\.(?:ts|js|css|html)$/.test(path) || path.includes(".test.")))
    )
    assert.deepStrictEqual(unneeded, [])
  })
})
