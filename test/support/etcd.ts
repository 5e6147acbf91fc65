/** A server of etcd of its own: the real program, where it is found. */
import * as Effect from "effect/Effect"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { eventually } from "./eventually.js"

const find = (): string | undefined => {
  try {
    return execFileSync("sh", ["-c", "command -v etcd"], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
}

const program = find()

/** Why the tests that need it are skipped; `undefined` where they run. */
export const skipped = program === undefined ? "no etcd was found (Debian: etcd-server)" : undefined

if (skipped !== undefined) {
  // the reporter says that tests were skipped, and not why
  process.stderr.write(`\ntest/interop/discovery: ${skipped}\n`)
}

const freePort = Effect.async<number>((resume) => {
  const server = Net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as Net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const encode = (text: string) => Buffer.from(text).toString("base64")

export const make = Effect.gen(function*() {
  const folder = mkdtempSync(Path.join(tmpdir(), "effect-rpc-retry-etcd-"))
  const [client, peer] = [`http://127.0.0.1:${yield* freePort}`, `http://127.0.0.1:${yield* freePort}`]
  const options = {
    "data-dir": folder,
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": `default=${peer}`
  }
  const start = () =>
    spawn(program!, Object.entries(options).map(([name, value]) => `--${name}=${value}`), { stdio: "ignore" })
  let running = start()
  const stop = Effect.async<void>((resume) => {
    if (running.exitCode !== null || running.signalCode !== null) {
      resume(Effect.void)
    } else {
      running.once("exit", () => resume(Effect.void))
      running.kill("SIGKILL")
    }
  })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(stop, Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  )
  const post = (path: string, body: unknown) =>
    Effect.tryPromise(async () => {
      const response = await fetch(`${client}${path}`, { method: "POST", body: JSON.stringify(body) })
      const answer = await response.json() as { readonly header: { readonly revision: string } }
      if (!response.ok) {
        throw new Error(`${path}: ${response.status}`)
      }
      return answer
    })
  const isUp = Effect.orElseSucceed(Effect.as(post("/v3/kv/range", { key: encode("x") }), true), () => false)
  yield* eventually(isUp)
  return {
    url: client,
    post,
    put: (key: string, value: string, more: Record<string, unknown> = {}) =>
      post("/v3/kv/put", { key: encode(key), value: encode(value), ...more }),
    delete: (key: string) => post("/v3/kv/deleterange", { key: encode(key) }),
    compact: (revision: string) => post("/v3/kv/compaction", { revision }),
    stop,
    start: Effect.andThen(
      Effect.sync(() => {
        running = start()
      }),
      eventually(isUp)
    )
  }
})
