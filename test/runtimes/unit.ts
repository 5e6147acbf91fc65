/**
 * Runs the unit tests by Vitest under a runtime: those of the core, and the others.
 */
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "..", "..")

export const vitest = Path.join(root, "node_modules", "vitest", "vitest.mjs")

const files: ReadonlyArray<string> = readdirSync(Path.join(root, "test"), { encoding: "utf8", recursive: true })
  .map((path) => `test/${path}`)
  .filter((path) => path.endsWith(".test.ts") && !/^test\/(?:interop|package|stress)\//.test(path))
  .toSorted()

/** What decides and counts. The tests of endpoints, hedges, documents and telemetry take longer. */
const isOfCore = (path: string): boolean =>
  /^test\/internal\/(?:ambient|budget|call|engine|gate|hedge|policy)\//.test(path) &&
    path !== "test/internal/engine/hedge.test.ts" ||
  /^test\/(?:Bulkhead|CircuitBreaker|Classify|Deadline|RetryBudget|RetryPolicy|RetrySchedule|RpcCall)\./.test(path) ||
  /^test\/(?:RpcError|RpcRetry|ServerHint|Throttle|runPromise)\./.test(path)

/** Tests that look at what is global: they need a process of their own for each file. */
const isAlone = (path: string): boolean => path.startsWith("test/internal/telemetry/")

/** Which tests there are. */
export type Part = "core" | "others"

const filesOf = (part: Part, id: string): ReadonlyArray<ReadonlyArray<string>> => {
  const own = files.filter((path) => isOfCore(path) === (part === "core") && !left[id]?.files.includes(path))
  return [own.filter((path) => !isAlone(path)), own.filter(isAlone)].filter((paths) => paths.length > 0)
}

interface Left {
  /** The beginnings of the titles of tests. */
  readonly titles: ReadonlyArray<string>
  readonly files: ReadonlyArray<string>
}

/** What does not run under a runtime. */
const left: Readonly<Record<string, Left>> = {
  bun: {
    titles: [
      // Bun does not tell the timers in use
      "a delay on the live clock ends at its interruption",
      "RpcRetry.runPromise interrupts the calls of a signal that",
      // nor a name without addresses from one that does not exist
      "Dns.hosts at a real name server fails when one query is empty and the other fails",
      "Dns.hosts at a real name server gives an empty list for a name that has no addresses",
      // `HttpPool` is not for Bun
      "an option that does not exist is refused HttpPool.make",
      "an option that does not exist is refused what is handed to a library"
    ],
    files: [
      "test/transport/http/HttpBody.test.ts",
      "test/transport/jsonRpc/JsonRpcBatch.test.ts",
      "test/transport/jsonRpc/JsonRpcCut.test.ts"
    ]
  },
  deno: {
    titles: [
      // Deno does not dial port 1
      "Classify knows a refused connection as Node reports it",
      // it does not tell a name without addresses from one that does not exist
      "Dns.hosts at a real name server fails when one query is empty and the other fails",
      "Dns.hosts at a real name server gives an empty list for a name that has no addresses",
      "Dns.services at a real name server leaves a target out that does not resolve",
      // a signal ends it, whatever exit code the program asks for
      "the command simulate exits with 130 when it is interrupted"
    ],
    files: []
  }
}

const minutes = 60_000

const escaped = (title: string): string => title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

const run = (id: string, command: ReadonlyArray<string>, paths: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const titles = left[id]?.titles ?? []
    const child = spawn(
      command[0]!,
      [
        ...command.slice(1),
        "run",
        // a worker of Deno has a `location`, against which clients of HTTP resolve URLs
        "--pool=forks",
        // loads the library once for all files, which is half of the time
        ...(paths.every(isAlone) ? [] : ["--no-isolate"]),
        ...(titles.length === 0 ? [] : [`--testNamePattern=^(?!${titles.map(escaped).join("|")})`]),
        ...paths
      ],
      { cwd: root, stdio: ["ignore", "pipe", "pipe"], timeout: 10 * minutes, env: { ...process.env, NO_COLOR: "1" } }
    )
    let text = ""
    const add = (chunk: Buffer) => {
      text += chunk.toString()
    }
    child.stdout.on("data", add)
    child.stderr.on("data", add)
    child.on("error", reject)
    child.on("close", (code) => {
      const [passed = ""] = /^ *Tests .*$/m.exec(text) ?? []
      process.stdout.write(`${id}: ${passed.trim().replace(/ +/, " ")}\n`)
      const failures = text.match(/^ *(?:FAIL|×) .*$/gm) ?? []
      resolve(code === 0 ? "" : [`ended with ${code}`, ...failures, text.slice(-1000)].join("\n"))
    })
  })

/** What is wrong with the tests, `""` for nothing. `command` runs Vitest. */
export const tests = async (part: Part, id: string, command: ReadonlyArray<string>): Promise<string> => {
  const wrong: Array<string> = []
  for (const paths of filesOf(part, id)) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other, as a machine may have few cores
    wrong.push(await run(id, command, paths))
  }
  return wrong.filter((problem) => problem !== "").join("\n")
}
