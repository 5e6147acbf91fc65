/**
 * Calls in a second on one connection, beside Go's own client, against the same Go server. Clients and server share the
 * processors, so that the processor time of a client for a call says how much of them it leaves to the server.
 */
import { RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import * as GoServer from "../support/goServer.js"
import { type Case, concurrently, type Figures, type Group, isQuick, perSecond, type Row } from "./case.js"

const Args = Schema.Struct({ A: Gob.Int, B: Gob.Int })
const calls = 30_000

const codecs = ["json", "gob"] as const
type Codec = typeof codecs[number]

const go = (codec: Codec, callers: number): Case => (prepared) => () => {
  const args = { codec, address: prepared[codec]!, callers, calls: isQuick ? callers * 2 : calls }
  const { stdout } = spawnSync(
    prepared["client"]!,
    Object.entries(args).flatMap(([name, value]) => [`-${name}`, `${value}`])
  )
  return Promise.resolve(JSON.parse(stdout.toString()) as Record<string, number>)
}

const ours = (codec: Codec, callers: number, isBounded = false): Case => async (prepared) => {
  const [host, port] = prepared[codec]!.split(":")
  const rpc = await Effect.runPromise(
    Effect.flatMap(Scope.make(), (scope) => Scope.extend(GoRpc.make({ host: host!, port: Number(port), codec }), scope))
  )
  const service = RpcRetry.make({ default: { attemptTimeout: "1 second", deadline: "5 seconds" } })
  const call = (i: number) => rpc.call("Arith.Multiply", { A: i, B: 2 }, { args: Args, reply: Gob.Int })
  const run = isBounded ? concurrently((i) => withRpcRetry(call(i)), service) : concurrently(call)
  return perSecond(callers, calls, run)
}

/** The calls in a second of a case beside those of Go's client with the same codec. */
const speed = (codec: Codec, ours: string, callers: string) => (of: Figures) =>
  of(`${codec}: ${ours}, ${callers}: calls a second`) / of(`${codec}: Go's client, ${callers}: calls a second`)

/** The processor time of a case for a call, in that of Go's client. */
const effort = (codec: Codec, callers: string): Row => ({
  what: `${codec}, ${callers}, processor time of the client for a call / Go's client`,
  ratio: (of) =>
    of(`${codec}: GoRpc, ${callers}: nanoseconds of the CPU`) /
    of(`${codec}: Go's client, ${callers}: nanoseconds of the CPU`)
})

const setup: Group["setup"] = () =>
  Effect.runPromise(Effect.gen(function*() {
    const scope = yield* Scope.make()
    const prepared = yield* Scope.extend(
      Effect.gen(function*() {
        const server = yield* GoServer.build("netrpc")
        const client = yield* GoServer.build("netrpcbench")
        const json = yield* GoServer.start(server.binary, "-codec", "json")
        const gob = yield* GoServer.start(server.binary, "-codec", "gob")
        return { client: client.binary, json: json.address, gob: gob.address }
      }),
      scope
    )
    return { prepared, close: () => void Effect.runPromise(Scope.close(scope, Exit.void)) }
  }))

export const group: Group = {
  title: "`GoRpc`, beside Go's client",
  unit: "calls in a second, and nanoseconds of processor time of the client for a call",
  rounds: 7,
  skipped: GoServer.skipped,
  setup,
  cases: Object.fromEntries(codecs.flatMap((codec): ReadonlyArray<readonly [string, Case]> => [
    [`${codec}: Go's client, 64 callers`, go(codec, 64)],
    [`${codec}: Go's client, 1,024 callers`, go(codec, 1024)],
    [`${codec}: GoRpc, 64 callers`, ours(codec, 64)],
    [`${codec}: GoRpc, 1,024 callers`, ours(codec, 1024)],
    [`${codec}: GoRpc, layer, both timeouts, 64 callers`, ours(codec, 64, true)]
  ])),
  rows: codecs.flatMap((codec): ReadonlyArray<Row> => [
    {
      what: `${codec}, 64 callers / Go's client`,
      ratio: speed(codec, "GoRpc", "64 callers"),
      atLeast: 0.7
    },
    {
      what: `${codec}, 1,024 callers / Go's client`,
      ratio: speed(codec, "GoRpc", "1,024 callers"),
      atLeast: 0.6
    },
    {
      what: `${codec}, 64 callers, with a layer and both timeouts / Go's client`,
      ratio: speed(codec, "GoRpc, layer, both timeouts", "64 callers"),
      atLeast: 0.4
    },
    effort(codec, "64 callers"),
    effort(codec, "1,024 callers")
  ])
}
