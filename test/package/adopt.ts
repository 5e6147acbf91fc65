/**
 * Does what the documents say, as a new user would: in an empty folder, with the packed package, and with the programs as they stand on
 * their pages. `node --import tsx test/package/adopt.ts effect-rpc-retry-0.1.0.tgz`
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { setTimeout } from "node:timers/promises"
import * as Markdown from "../support/markdown.js"

const [tarball] = process.argv.slice(2)
if (tarball === undefined) {
  throw new Error("usage: adopt.ts TARBALL")
}

const folder = mkdtempSync(Path.join(tmpdir(), "adopt-"))
const children: Array<ChildProcess> = []

const put = (name: string, text: string): void => writeFileSync(Path.join(folder, name), text)
const sh = (command: string): void => void execFileSync("sh", ["-ec", command], { cwd: folder, stdio: "inherit" })

/** Runs a program to its end; what it prints, and what it says of errors. */
const run = (file: string) => spawnSync("npx", ["tsx", file], { cwd: folder, encoding: "utf8" })

const same = (what: string, actual: string, expected: string): void => {
  if (actual !== expected) {
    throw new Error(`${what}: expected\n${expected}\nand got\n${actual}`)
  }
  process.stdout.write(`adopt: ${what}\n`)
}

const block = (document: string, language: string, index = 0): string => {
  const found = Markdown.blocks(Markdown.read(document), language)[index]
  if (found === undefined) {
    throw new Error(`${document} has no block ${index + 1} of ${language}`)
  }
  return found
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1", () => socket.end(() => resolve(true)))
    socket.on("error", () => resolve(false))
  })

const until = async (isSo: () => Promise<boolean>): Promise<void> =>
  await isSo() ? undefined : setTimeout(20).then(() => until(isSo))

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = Net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as Net.AddressInfo
      server.close(() => resolve(port))
    })
  })

const withoutTimes = (report: string) => report.replaceAll(/\b[\d.]+ms/g, "ms").replaceAll(/ +/g, " ").trim()

/** The steps of `docs/getting-started.md`. */
const gettingStarted = async (): Promise<void> => {
  const page = "docs/getting-started.md"
  const port = await freePort()
  const client = block(page, "ts").replaceAll("1234", String(port))
  const serve = (): void => void children.push(spawn(Path.join(folder, "server"), { stdio: "ignore" }))
  const stop = async (): Promise<void> => {
    children.forEach((child) => child.kill("SIGKILL"))
    await until(async () => !await listens(port))
  }

  put("main.go", block(page, "go").replaceAll("1234", String(port)))
  put("main.ts", client)
  copyFileSync(tarball, Path.join(folder, "package.tgz"))
  sh(block(page, "sh").replace("install effect-rpc-retry ", "install ./package.tgz "))
  same("without a server the client gives up", withoutTimes(run("main.ts").stderr), withoutTimes(block(page, "text")))

  sh("go build -o server main.go")
  serve()
  await until(() => listens(port))
  same("with the server it prints the product", run("main.ts").stdout, block(page, "text", 1))
  await stop()

  // step 5: the imports to the others, and the policy in place of withRpcRetry
  const joined = (index: number) => block(page, "ts", index).replaceAll(/^import .*\n/gm, "")
  const names = "RetrySchedule, RpcError, RpcRetry, withRpcRetry"
  const longer = client.replace("{ RpcError, withRpcRetry }", `{ ${names} }`)
  put(
    "patient.ts",
    longer.replace("pipe(withRpcRetry)", "pipe(patient)").replace("const program", `${joined(1)}\nconst program`)
  )
  const waiting = spawn("npx", ["tsx", "patient.ts"], { cwd: folder })
  let printed = ""
  waiting.stdout.on("data", (data: Buffer) => {
    printed += data.toString()
  })
  const ended = new Promise((resolve) => waiting.once("close", resolve))
  await setTimeout(3_000)
  same("a patient client goes on without the server", String(waiting.exitCode), "null")
  serve()
  await ended
  same("... and prints the product once it is there", printed, block(page, "text", 1))

  // step 6
  put(
    "layer.ts",
    longer.replace("Effect.scoped,", "Effect.provide(RetryLive), Effect.scoped,")
      .replace("const program", `${joined(2)}\nconst program`)
  )
  same("the policies of a layer are in force", run("layer.ts").stdout, block(page, "text", 1))
  await stop()
}

/** A program of a page that is complete and states its output. */
const program = (document: string, heading: string): void => {
  const section = Markdown.read(document).split(/^## /m).find((section) => section.startsWith(`${heading}\n`))
  const [stated] = Markdown.stated(section ?? "")
  if (stated === undefined) {
    throw new Error(`${document}: "${heading}" has no program that states its output`)
  }
  put("program.ts", stated.code)
  same(`${document}: ${heading}`, run("program.ts").stdout, stated.output)
}

try {
  await gettingStarted()
  sh("npm install --silent @grpc/grpc-js@^1.14.7")
  program("docs/recipes.md", "A gRPC method with a policy of its own")
  program("docs/per-request.md", "When the client hangs up")
  program("docs/recipes.md", "Test your retries")
} finally {
  children.forEach((child) => child.kill("SIGKILL"))
  rmSync(folder, { recursive: true })
}
