/**
 * What goes on for as long as its program runs, as a call that waits for a server to come up, or a connection that is
 * pinged: no round leaves anything behind.
 */
import { Bulkhead, CircuitBreaker, Retryable, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as MemoryPeer from "../support/memoryPeer.js"
import { assert, describe, it } from "../support/vitest.js"

V8.setFlagsFromString("--expose-gc")
const collect = Vm.runInNewContext("gc") as () => void

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })

const rounds = 40_000

/** How many bytes are in use. */
const used = () => {
  collect()
  return process.memoryUsage().heapUsed
}

/** How many bytes each round of a call keeps, after the first ones. */
const kept = <E, R>(withRetries: (call: Effect.Effect<void, Retryable>) => Effect.Effect<void, E, R>) =>
  Effect.suspend(() => {
    let sent = 0
    let before = 0
    let after = 0
    const call = Effect.suspend(() => {
      sent++
      if (sent === rounds) {
        before = used()
      } else if (sent === 3 * rounds) {
        after = used()
        return Effect.void
      }
      return Effect.fail(refused)
    })
    return Effect.map(withRetries(call), () => (after - before) / (2 * rounds))
  })

const forever = { schedule: Schedule.forever, logs: false } as const

const layer = RpcRetry.layer({ default: forever, budget: "off" })

describe("a call that is retried for ever keeps nothing of its rounds", () => {
  const cases: ReadonlyArray<
    [name: string, (call: Effect.Effect<void, Retryable>) => Effect.Effect<void, unknown>]
  > = [
    ["by itself", (call) => withRpcRetry(call, forever)],
    [
      "with a name and metrics of a layer",
      (call) => call.pipe(withRpcRetry({ method: "Endless.Call" }), Effect.provide(layer))
    ],
    [
      "with a deadline and an attempt timeout",
      (call) => call.pipe(withRpcRetry({ ...forever, deadline: "1 day", attemptTimeout: "1 minute" }))
    ],
    ["behind a breaker and a bulkhead", (call) =>
      Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({ classify: () => "Success" })
        const bulkhead = yield* Bulkhead.make({ concurrency: 1, queue: 1 })
        yield* call.pipe(withRpcRetry({ ...forever, breaker, bulkhead }))
      })],
    ["with a hedge", (call) => call.pipe(withRpcRetry({ ...forever, idempotent: true, hedge: { after: "1 minute" } }))]
  ]
  for (const [name, withRetries] of cases) {
    it.live(name, () =>
      Effect.gen(function*() {
        assert.isBelow(yield* kept(withRetries), 20)
      }), 600_000)
  }
})

describe("a connection that is pinged for ever", () => {
  it.scopedLive("keeps nothing of its pings", () =>
    Effect.gen(function*() {
      const pings = 1_000
      let asked = 0
      let before = 0
      const after = yield* Deferred.make<number>()
      const peer = yield* MemoryPeer.make(({ id }, { send }) =>
        Effect.suspend(() => {
          asked++
          if (asked === pings) {
            before = used()
          } else if (asked === 3 * pings) {
            return Effect.asVoid(Deferred.succeed(after, used()))
          }
          return send(JSON.stringify({ id, result: 42 }))
        })
      )
      const rpc = yield* GoRpc.make({ socket: peer.socket, ping: { every: "1 millis" } })
      yield* rpc.call("A.B", 1)
      assert.isBelow((yield* Deferred.await(after)) - before, 200 * 2 * pings)
    }), 600_000)
})
