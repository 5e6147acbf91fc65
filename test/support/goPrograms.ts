/**
 * Builds the Go programs under `test/interop/go` once, before the first test, when a file that needs them is to run. Downloads and
 * builds may take minutes where nothing is cached, and nothing limits their time here. Where there is no Go the tests that need it
 * are skipped; `.ci/run` fails before that.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import type { TestProject } from "vitest/node"
import * as GoServer from "./goServer.js"

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the programs; empty where they were not built. */
    readonly goPrograms: string
  }
}

const needsGo = (file: string): boolean => readFileSync(file, "utf8").includes("/support/goServer.js")

/** Builds all programs into a folder of their own. */
export const build = (): string => {
  const folder = mkdtempSync(Path.join(tmpdir(), "effect-rpc-retry-go-"))
  const go = (...args: ReadonlyArray<string>) => execFileSync("go", args, { cwd: GoServer.source, stdio: "inherit" })
  go("mod", "download")
  go("build", "-o", folder, "./...")
  return folder
}

const setup = ({ provide, vitest }: TestProject): (() => void) | undefined => {
  const isNeeded = vitest.state.getPaths().some(needsGo)
  if (!isNeeded || GoServer.skipped !== undefined) {
    if (isNeeded) {
      // the reporter says that tests were skipped, and not why
      process.stderr.write(`\ntest/interop and test/stress: ${GoServer.skipped}\n`)
    }
    provide("goPrograms", "")
    return undefined
  }
  const folder = build()
  provide("goPrograms", folder)
  return () => rmSync(folder, { recursive: true })
}

export default setup
