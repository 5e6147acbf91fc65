/**
 * Runs the unit tests of the core, or all of the unit tests, by Vitest under a runtime.
 */
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "..", "..")

export const vitest = Path.join(root, "node_modules", "vitest", "vitest.mjs")

/** The tests of what decides and counts. Those of endpoints, hedges, documents and telemetry take longer. */
const core = [
  "ambient/ budget/ call/ gate/ hedge/ policy/".split(" ").map((folder) => `test/internal/${folder}`),
  readdirSync(Path.join(root, "test/internal/engine")).filter((name) => name !== "hedge.test.ts").map((name) =>
    `test/internal/engine/${name}`
  ),
  "Bulkhead CircuitBreaker Classify Deadline RetryBudget RetryPolicy RetrySchedule RpcCall RpcError RpcRetry".split(" ")
    .concat("ServerHint", "Throttle", "runPromise").map((name) => `test/${name}.test.ts`)
].flat()

/** The beginnings of titles of tests that ask for what only Node tells: the timers in use, and how `fetch` failed. */
const ofNode: Readonly<Record<string, ReadonlyArray<string>>> = {
  bun: [
    "a delay on the live clock ends at its interruption",
    "RpcRetry.runPromise interrupts the calls of a signal that"
  ],
  deno: ["Classify knows a refused connection as Node reports it"]
}

const minutes = 60_000

/** What is wrong with the tests of the core, `""` for nothing. `command` runs Vitest. */
export const coreTests = (id: string, command: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const skipped = ofNode[id]?.length ?? 0
    const child = spawn(
      command[0]!,
      [
        ...command.slice(1),
        "run",
        // a worker of Deno has a `location`, against which clients of HTTP resolve URLs
        "--pool=forks",
        // loads the library once for all files, which is half of the time
        "--no-isolate",
        ...(skipped === 0 ? [] : [`--testNamePattern=^(?!${ofNode[id]!.join("|")})`]),
        ...core
      ],
      { cwd: root, stdio: ["ignore", "pipe", "pipe"], timeout: 5 * minutes, env: { ...process.env, NO_COLOR: "1" } }
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
