/**
 * `GoRpc` under load while everything goes wrong on the way to a real Go server.
 */
import { withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as ChaosProxy from "../support/chaosProxy.js"
import { eventually } from "../support/eventually.js"
import * as GoProgram from "../support/goProgram.js"
import * as GoServer from "../support/goServer.js"
import { services } from "../support/netrpc.js"
import { retryOnceAfter } from "../support/retryOnce.js"
import { assert, describe, it } from "../support/vitest.js"
import * as Watch from "../support/watch.js"

const { serve } = GoProgram.make("netrpc")

const calls = 100_000
const concurrency = 100

/** What keeps the process alive, and is the doing of a client. */
const handles = Effect.sync(() => process.getActiveResourcesInfo().filter((name) => /^(TCP|Timeout)/.test(name)).length)

/**
 * How calls may end: with their answer; without one, after as many attempts as the policy has; or with what Go says of a
 * request that was cut on its way, on the half of the connection that is left.
 */
const expected = /^(Success|RetryExhausted AttemptsExhausted|Fatal ServerError: (unexpected )?EOF)$/

const chaos = (codec: "gob" | "json", seed: number) =>
  Effect.gen(function*() {
    const server = yield* serve("-codec", codec)
    const proxy = yield* ChaosProxy.make(server, { seed, bytes: codec === "gob" ? 80_000 : 200_000 })
    const rpc = yield* GoRpc.make({
      host: "127.0.0.1",
      port: proxy.port,
      codec,
      // a connection that is stalled for ever is found by nothing else, as the default policy has no timeout
      ping: { every: "200 millis", timeout: "200 millis", outOfOrder: true }
    })
    const { arith } = services(rpc)
    const ends: Record<string, number> = {}
    let foreign = 0
    yield* Effect.forEach(
      Array.from({ length: calls }, (_, i) => i),
      (i) =>
        Effect.map(Effect.exit(withRpcRetry(arith.Multiply({ A: i, B: 7 }))), (exit) => {
          const end = Exit.match(exit, {
            onSuccess: (product) => {
              foreign += product === i * 7 ? 0 : 1
              return "Success"
            },
            onFailure: (cause) =>
              cause._tag !== "Fail"
                ? cause._tag
                : cause.error._tag === "Fatal"
                ? `Fatal ${cause.error.reason}: ${cause.error.message}`
                : `${cause.error._tag} ${cause.error.reason}`
          })
          ends[end] = (ends[end] ?? 0) + 1
        }),
      { concurrency, discard: true }
    )
    return { ends, foreign, faults: proxy.counts, pending: yield* rpc.pending }
  })

describe.skipIf(GoServer.skipped !== undefined)(`chaos ${GoServer.skipped ?? ""}`, () => {
  for (const [codec, seed] of [["gob", 1], ["json", 2]] as const) {
    it.live(
      `${calls} calls, ${concurrency} at once, with ${codec}: each ends, with its own answer, and nothing is left`,
      () =>
        Effect.gen(function*() {
          const before = yield* handles
          const watch = yield* Watch.make
          const { ends, faults, foreign, pending } = yield* watch.watch(Effect.scoped(chaos(codec, seed)))
          process.stderr.write(`\nchaos, ${codec}: ${JSON.stringify({ ends, faults })}\n`)
          assert.strictEqual(Object.values(ends).reduce((sum, n) => sum + n, 0), calls)
          assert.strictEqual(foreign, 0)
          assert.strictEqual(pending, 0)
          assert.isAbove(ends["Success"]!, calls * 0.99)
          assert.deepStrictEqual(Object.keys(ends).filter((end) => !expected.test(end)), [])
          for (const [fault, times] of Object.entries(faults)) {
            assert.isAbove(times, 0, fault)
          }
          assert.deepStrictEqual([yield* watch.fibers, yield* watch.timers], [0, 0])
          yield* eventually(Effect.map(handles, (n) => n <= before))
        }),
      600_000
    )
  }

  for (const codec of ["gob", "json"] as const) {
    it.scopedLive(
      `a server that restarts under 1000 pending calls costs each one failed attempt, with ${codec}`,
      () =>
        Effect.gen(function*() {
          const server = yield* serve("-codec", codec)
          const rpc = yield* GoRpc.make({ host: server.host, port: server.port, codec })
          const { arith, probe } = services(rpc)
          yield* arith.Multiply({ A: 1, B: 1 })
          const attempts: Array<number> = []
          const back = yield* Deferred.make<void>()
          const fibers = yield* Effect.forEach(Array.from({ length: 1000 }), (_, i) => {
            const attempt = Effect.suspend(() => {
              attempts[i] = (attempts[i] ?? 0) + 1
              // the first is answered by nobody
              return probe.Sleep(attempts[i] === 1 ? 600_000 : 1)
            })
            return Effect.fork(withRpcRetry(attempt, { schedule: retryOnceAfter(back) }))
          })
          yield* eventually(Effect.map(rpc.pending, (n) => n === 1000))
          yield* server.kill
          yield* serve("-codec", codec, "-address", server.address)
          yield* Deferred.succeed(back, undefined)
          assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([1]))
          assert.deepStrictEqual(new Set(attempts), new Set([2]))
          assert.strictEqual(yield* rpc.pending, 0)
        })
    )

    it.scopedLive(
      `10,000 pending calls that are interrupted leave no entry, and the connection to others, with ${codec}`,
      () =>
        Effect.gen(function*() {
          const server = yield* serve("-codec", codec)
          const rpc = yield* GoRpc.make({ host: server.host, port: server.port, codec })
          const { arith, probe } = services(rpc)
          const watch = yield* Watch.make
          yield* watch.watch(Effect.gen(function*() {
            const fibers = yield* Effect.forEach(Array.from({ length: 10_000 }), () =>
              Effect.fork(withRpcRetry(probe.Sleep(500))))
            yield* eventually(Effect.map(rpc.pending, (n) =>
              n === 10_000))
            yield* Fiber.interruptAll(fibers)
          }))
          assert.strictEqual(yield* rpc.pending, 0)
          assert.deepStrictEqual([yield* watch.fibers, yield* watch.timers], [0, 0])
          assert.strictEqual(yield* arith.Multiply({ A: 6, B: 7 }), 42)
          // the late answers have come and gone
          yield* probe.Sleep(700)
          assert.strictEqual(yield* arith.Multiply({ A: 6, B: 8 }), 48)
          assert.strictEqual(yield* rpc.state, "ready")
          assert.isAtLeast(yield* probe.Calls({}), 10_000)
        })
    )
  }
})
