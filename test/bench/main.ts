/**
 * `npm run bench`: what calls cost, as ratios to peers measured in the same run. Each case has a process of its own, and
 * in each round all cases of a group take their turn. The tables in `docs/performance.md` are written by it.
 *
 * - `--quick`: that every case runs, in under two minutes. Its figures mean nothing and are not written.
 * - `--rounds=5`: that many rounds of each group, for a shorter run.
 * - `--only=growth,gob`: these groups alone; their tables are printed and not written.
 */
// oxlint-disable no-await-in-loop -- one after the other is what is measured
import { type ChildProcess, fork } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import * as Typescript from "typescript"
import type * as Cases from "./case.js"
import * as Report from "./report.js"

const root = Path.join(import.meta.dirname, "..", "..")
const built = Path.join(root, "test", ".bench")

/** Compiles the bench: what runs TypeScript from its source adds code to each function, which would be measured. */
const compile = () => {
  rmSync(built, { recursive: true, force: true })
  mkdirSync(Path.join(built, "interop"), { recursive: true })
  // the Go programs are found from where the support files are; the tests beside them would be found by Vitest here, too
  symlinkSync(Path.join(root, "test", "interop", "go"), Path.join(built, "interop", "go"))
  for (const folder of ["bench", "support"]) {
    for (const path of readdirSync(Path.join(root, "test", folder), { recursive: true, encoding: "utf8" })) {
      const from = Path.join(root, "test", folder, path)
      const to = Path.join(built, folder, path)
      mkdirSync(Path.dirname(to), { recursive: true })
      if (path.endsWith(".ts")) {
        const { outputText } = Typescript.transpileModule(readFileSync(from, "utf8"), {
          compilerOptions: { target: Typescript.ScriptTarget.ES2022, module: Typescript.ModuleKind.ESNext }
        })
        writeFileSync(to.replace(/\.ts$/, ".js"), outputText)
      } else if (/\.(js|json|proto)$/.test(path)) {
        writeFileSync(to, readFileSync(from))
      }
    }
  }
}

const isQuick = process.argv.includes("--quick")
const rounds = process.argv.find((argument) => argument.startsWith("--rounds="))?.slice("--rounds=".length)
const only = process.argv.find((argument) => argument.startsWith("--only="))?.slice("--only=".length).split(",")

/** The next message of a case; fails when its process ends before. */
const message = <A>(child: ChildProcess, name: string) =>
  new Promise<A>((resolve, reject) => {
    const ended = () => reject(new Error(`the case "${name}" has failed`))
    child.once("exit", ended)
    child.once("message", (value) => {
      child.off("exit", ended)
      resolve(value as A)
    })
  })

type Figure = number | Readonly<Record<string, number>>

/** An order of the cases for each round, the same in every run. */
const shuffled = (names: ReadonlyArray<string>, seed: number): ReadonlyArray<string> => {
  let state = seed + 1
  const order = [...names]
  for (let i = order.length - 1; i > 0; i--) {
    state = state * 48271 % 2147483647
    const j = state % (i + 1)
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  return order
}

const worker = (key: string, name: string, prepared: object) =>
  fork(Path.join(built, "bench", "worker.js"), [key, name, JSON.stringify(prepared), ...(isQuick ? ["--quick"] : [])], {
    execArgv: ["--expose-gc", "--max-old-space-size=8192"]
  })

type Prepared = Readonly<Record<string, string>>

/** Starts a process for each case, and lets them take their turns. */
const measured = async (key: string, group: Cases.Group, prepared: Prepared): Promise<Report.Rounds> => {
  const names = Object.keys(group.cases)
  const children = new Map<string, ChildProcess>()
  try {
    for (const name of names) {
      const child = worker(key, name, prepared)
      children.set(name, child)
      await message(child, name)
    }
    const all: Array<Map<string, number>> = []
    for (let round = 0; round < Number(rounds ?? group.rounds); round++) {
      const figures = new Map<string, number>()
      for (const name of shuffled(names, round)) {
        const child = children.get(name)!
        child.send("round")
        const figure = await message<Figure>(child, name)
        if (typeof figure === "number") {
          figures.set(name, figure)
        } else {
          Object.entries(figure).forEach(([part, value]) => figures.set(`${name}: ${part}`, value))
        }
      }
      all.push(figures)
    }
    return all
  } finally {
    children.forEach((child) => child.kill())
  }
}

/** Runs all cases of a group once. */
const tried = (key: string, prepared: Prepared) =>
  new Promise<void>((resolve, reject) =>
    worker(key, "", prepared).once("exit", (code) => {
      if (code === 0) {
        resolve()
      } else {
        reject(new Error(`a case of "${key}" has failed`))
      }
    })
  )

/** Returns what is to be shown of a group. */
const shown = async (key: string, group: Cases.Group): Promise<string> => {
  if (group.skipped !== undefined) {
    return Report.table(group, [])
  }
  const { close, prepared } = await group.setup?.() ?? { close: () => {}, prepared: {} }
  try {
    return isQuick
      ? await tried(key, prepared).then(() => `${key}: ${Object.keys(group.cases).length} cases ran`)
      : Report.table(group, await measured(key, group, prepared))
  } finally {
    close()
  }
}

compile()
const { groups } = await import(Path.join(built, "bench", "groups.js")) as {
  readonly groups: Readonly<Record<string, () => Promise<Cases.Group>>>
}
const tables: Array<string> = []
for (const [key, load] of Object.entries(groups)) {
  if (only === undefined || only.includes(key)) {
    const start = performance.now()
    const table = await shown(key, await load())
    tables.push(table)
    process.stdout.write(`${table}\n(${key}: ${((performance.now() - start) / 1000).toFixed(0)} s)\n\n`)
  }
}
if (!isQuick && only === undefined) {
  Report.write(Path.join(root, "docs", "performance.md"), tables)
}
