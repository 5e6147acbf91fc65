/**
 * What the largest answers at the default limit of `GoRpc` cost: how long they stop the event loop at a time, and the memory at
 * its peak in bytes of the frame. Run alone on the machine: `node --expose-gc --import tsx --conditions=@effect-rpc-retry/source test/bench/limits.ts`.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as ChildProcess from "node:child_process"
import type * as Net from "node:net"
import * as Url from "node:url"
import * as Peer from "../support/peer.js"

const mebibytes = 4 * 1024 * 1024 - 1024
const runs = 9
const serverOf = "--server="

interface Case {
  readonly name: string
  readonly codec: "gob" | "json"
  readonly serve: (socket: Net.Socket) => void
  readonly reply: Schema.Schema<unknown, unknown> | undefined
}

const Point = Schema.Struct({ X: Schema.Number, Y: Schema.Number })
const Person = Schema.Struct({ id: Schema.Number, name: Schema.String, active: Schema.Boolean })
const Maps = Schema.Array(Schema.Record({ key: Schema.String, value: Schema.String }))
const Thing = Gob.named({ int: Gob.Int })

const list = <A>(count: number, item: (i: number) => A): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, i) => item(i))

const gob = <A, I>(name: string, schema: Schema.Schema<A, I>, value: A, typed = true): Case => ({
  name: `gob: ${name}${typed ? ", with their schema" : ", no schema"}`,
  codec: "gob",
  serve: Peer.gob(({ seq }, peer) => {
    peer.socket.write(peer.header(seq))
    peer.socket.write(peer.body(schema, value))
  }),
  reply: typed ? schema as unknown as Schema.Schema<unknown, unknown> : undefined
})

const json = (name: string, item: (i: number) => string, reply?: Schema.Schema.AnyNoContext): Case => {
  const items: Array<string> = []
  for (let size = 0, i = 0; size < mebibytes; i++) {
    items.push(item(i))
    size += items[i]!.length + 1
  }
  items.pop()
  const result = Buffer.from(`[${items.join(",")}]`)
  return {
    name: `JSON: ${items.length} ${name}${reply === undefined ? "" : ", with their schema"}`,
    codec: "json",
    serve: (socket) => {
      let text = ""
      socket.on("data", (chunk) => {
        const lines = (text + chunk.toString()).split("\n")
        text = lines.pop()!
        for (const line of lines) {
          socket.write(`{"id":${(JSON.parse(line) as { id: number }).id},"result":`)
          socket.write(result)
          socket.write(",\"error\":null}\n")
        }
      })
    },
    reply
  }
}

const cases: ReadonlyArray<() => Case> = [
  () => gob("zeros as []map[string]string", Maps, list(4_000_000, () => ({})), false),
  () => gob("empty slices", Schema.Array(Schema.Array(Gob.Int)), list(4_000_000, () => [])),
  () => gob("1.35 million integers", Schema.Array(Gob.Int), list(1_350_000, (i) => i % 8000 + 200)),
  () => gob("4 million integers", Schema.Array(Gob.Int), list(4_000_000, (i) => i % 60)),
  () =>
    gob(
      "450,000 integers in interfaces",
      Schema.Array(Thing),
      list(450_000, (i) => ({ name: "int" as const, value: i % 60 }))
    ),
  () =>
    gob(
      "250,000 structs",
      Schema.Array(Schema.Struct({ X: Gob.Int, Y: Gob.Int })),
      list(250_000, (i) => ({ X: i % 60 + 1, Y: 1 }))
    ),
  () => json("[]", () => "[]"),
  () => json("records", (i) => `{"id":${i},"name":"u${i % 100}","active":true}`, Schema.Array(Person)),
  () => json("points", (i) => `{"X":${i % 10},"Y":1}`, Schema.Array(Point)),
  () => json("integers", (i) => `${i % 10}`, Schema.Array(Schema.Number))
]

/** The longest stop of the loop and the most memory in use while `self` runs, garbage included. */
const watched = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const used = () => {
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return arrayBuffers + heapUsed
    }
    globalThis.gc!()
    const before = used()
    let [last, longest, most] = [performance.now(), 0, before]
    const look = () => {
      longest = Math.max(longest, performance.now() - last)
      most = Math.max(most, used())
      last = performance.now()
      timer = setImmediate(look)
    }
    let timer = setImmediate(look)
    const exit = yield* Effect.exit(self)
    clearImmediate(timer)
    longest = Math.max(longest, performance.now() - last)
    most = Math.max(most, used())
    return { exit, longest, most: most - before }
  })

/** Serves one case in a process of its own, so that its encoder does not stop the loop that is watched. */
const serve = (make: Case) =>
  Effect.zipRight(
    Effect.flatMap(Peer.listen(make.serve), ({ port }) => Effect.sync(() => console.log(port))),
    Effect.never
  )

const server = (index: number) =>
  Effect.acquireRelease(
    Effect.async<readonly [number, ChildProcess.ChildProcess]>((resume) => {
      const child = ChildProcess.spawn(
        process.execPath,
        [...process.execArgv, Url.fileURLToPath(import.meta.url), `${serverOf}${index}`],
        { stdio: ["ignore", "pipe", "inherit"] }
      )
      child.stdout.once("data", (line: Buffer) => resume(Effect.succeed([Number(line.toString()), child])))
    }),
    ([, child]) => Effect.sync(() => child.kill())
  )

const measure = (make: Case, index: number) =>
  Effect.gen(function*() {
    const [port] = yield* server(index)
    const rpc = yield* GoRpc.make({ host: "127.0.0.1", port, codec: make.codec })
    const call = make.reply === undefined
      ? rpc.call("A.B", 1, { args: Gob.Int })
      : rpc.call("A.B", 1, { args: Gob.Int, reply: make.reply })
    const stops: Array<number> = []
    let [most, what] = [0, ""]
    for (let i = 0; i < runs; i++) {
      const { exit, longest, most: held } = yield* watched(call as Effect.Effect<unknown, Error>)
      stops.push(longest)
      most = Math.max(most, held)
      what = Exit.match(exit, {
        onSuccess: () => "the list",
        onFailure: (cause) => Cause.pretty(cause).split("\n")[0]!
      })
    }
    stops.sort((a, b) => a - b)
    const [median, max] = [stops[runs >> 1]!, stops[runs - 1]!].map((millis) => `${millis.toFixed(0)} ms`)
    return [make.name, `median ${median}, max ${max}, memory ${(most / mebibytes).toFixed(1)}, ${what}`] as const
  }).pipe(Effect.scoped)

const served = process.argv.find((argument) => argument.startsWith(serverOf))
void Effect.runPromise(
  served === undefined
    ? Effect.flatMap(
      Effect.forEach(cases, (make, index) => measure(make(), index)),
      (rows) =>
        Effect.sync(() => {
          process.stdout.write(`an answer of 4 MiB, ${runs} runs each\n`)
          rows.forEach(([name, figures]) => process.stdout.write(`  ${name}: ${figures}\n`))
        })
    )
    : Effect.scoped(serve(cases[Number(served.slice(serverOf.length))]!()))
)
