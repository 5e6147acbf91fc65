/**
 * Runs the programs of `docs/examples` in processes of their own.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as Path from "node:path"
import * as Markdown from "./markdown.js"

export interface Running {
  /** What it has printed so far. */
  readonly output: () => string
  readonly stop: Effect.Effect<void>
  /** Waits for its end, and returns its exit code. */
  readonly ended: Effect.Effect<number | null>
}

const ended = (child: ChildProcess) =>
  Effect.async<number | null>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      return resume(Effect.succeed(child.exitCode))
    }
    child.once("exit", (code) => resume(Effect.succeed(code)))
  })

/** Starts an example with these variables in its environment; it is killed with the scope. */
export const start = (name: string, variables: Readonly<Record<string, string | number>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const args = ["--import", "tsx", "--conditions=@effect-rpc-retry/source"]
      const file = Path.join(Markdown.root, "docs", "examples", name, "main.ts")
      const env = Object.entries(variables).map(([key, value]) => [key, String(value)])
      return spawn(process.execPath, [...args, file], { env: { ...process.env, ...Object.fromEntries(env) } })
    }),
    (child) => Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), ended(child))
  ).pipe(
    Effect.map((child): Running => {
      let output = ""
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (data: Buffer) => {
          output += data.toString()
        })
      }
      return {
        output: () => output,
        stop: Effect.sync(() => void child.kill("SIGTERM")),
        ended: ended(child)
      }
    })
  )
