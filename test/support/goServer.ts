/**
 * The Go programs under `test/interop/go`, run as child processes.
 *
 * Where there is no `go`, the tests that need it are skipped and say so. `.ci/run` fails before that.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"

const hasGo = spawnSync("go", ["version"]).status === 0

/** Why the tests are skipped, or `undefined` when they are not. */
export const skipped = hasGo ? undefined : "skipped: `go` was not found; install Go to run the interop tests"

/** The Go module of the programs. */
export const source = Path.join(import.meta.dirname, "..", "interop", "go")

/** Builds a program for the life of the scope, where there is no runner of tests that has built them all. */
export const build = (program: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = mkdtempSync(Path.join(tmpdir(), "effect-rpc-retry-"))
      const binary = Path.join(directory, program)
      execFileSync("go", ["build", "-o", binary, `./${program}`], { cwd: source })
      return { binary, directory }
    }),
    ({ directory }) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )

export interface Ready {
  readonly address: string
  readonly certificate?: string
}

export interface Running extends Ready {
  readonly host: string
  readonly port: number
  readonly kill: Effect.Effect<void>
}

const kill = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      return resume(Effect.void)
    }
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

/** Starts a program and waits until it listens; it is killed with the scope. */
export const start = (binary: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(binary, args, { stdio: ["pipe", "pipe", "inherit"] })),
    kill
  ).pipe(
    Effect.flatMap((child) =>
      Effect.async<Running>((resume) => {
        child.once("exit", (code) => resume(Effect.dieMessage(`${binary} ended with ${code} before it listened`)))
        createInterface({ input: child.stdout }).once("line", (line) => {
          const ready = JSON.parse(line) as Ready
          const colon = ready.address.lastIndexOf(":")
          resume(Effect.succeed({
            ...ready,
            host: ready.address.slice(0, colon),
            port: Number(ready.address.slice(colon + 1)),
            kill: kill(child)
          }))
        })
      })
    )
  )
