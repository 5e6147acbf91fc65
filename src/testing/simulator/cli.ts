#!/usr/bin/env node
/**
 * The process of the command `simulate`.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { readFileSync } from "node:fs"
import process from "node:process"
import * as Result from "../../internal/result.js"
import { type Io, simulate } from "./command.js"

const { stderr, stdout } = process

// a reader that has seen enough, such as `head`, changes nothing about the exit code
for (const stream of [stdout, stderr]) {
  stream.on("error", () => {})
}

const io: Io = {
  out: (text) => stdout.write(`${text}\n`),
  err: (text) => stderr.write(`${text}\n`),
  // back to the start of the line, and no rest of a longer text
  progress: stderr.isTTY ? (text) => stderr.write(`\r${text}\x1b[K`) : undefined,
  read: (path) =>
    Result.try({
      try: () => readFileSync(path, "utf8"),
      catch: (error) => error instanceof Error ? error.message : String(error)
    })
}

const fiber = Effect.runFork(simulate(process.argv.slice(2), io))
// a second time it ends the process at once, as without a handler
process.once("SIGINT", () => fiber.unsafeInterruptAsFork(fiber.id()))
fiber.addObserver((exit) => {
  if (Exit.isFailure(exit)) {
    io.progress?.("")
  }
  if (Exit.isFailure(exit) && !Exit.isInterrupted(exit)) {
    io.err(Cause.pretty(exit.cause))
  }
  // 130 is what an interrupted command exits with
  process.exitCode = Exit.isSuccess(exit) ? exit.value : Exit.isInterrupted(exit) ? 130 : 70
})
