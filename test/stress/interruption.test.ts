/**
 * Interrupting a call, at whatever moment, starts no further attempt and leaves nothing behind: at every virtual millisecond of a run.
 */
import { withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import * as MemoryPeer from "../support/memoryPeer.js"
import { assert, describe, it } from "../support/vitest.js"
import * as Watch from "../support/watch.js"

const range = (length: number) => Array.from({ length }, (_, i) => i)

/** Attempts of 10 ms each that start at 0, 110, 270 and 505. The last one succeeds: the run takes 515 ms. */
const starts = [0, 110, 270, 505]
const runTakes = 515
const startedBy = (at: number) => starts.filter((start) => start <= at).length

/** One check for each virtual millisecond of the run, each with a clock of its own, many at a time. */
const atEveryMillisecond = (check: (at: number) => Effect.Effect<void>) =>
  Effect.forEach(range(runTakes), (at) => Effect.provide(check(at), TestContext.TestContext), {
    concurrency: 64,
    discard: true
  })

describe("an interruption at every virtual millisecond", () => {
  const policies = {
    "no timeouts": {},
    "attempt timeout and deadline": { attemptTimeout: "50 millis", deadline: "2 seconds" }
  } as const

  for (const [name, policy] of Object.entries(policies)) {
    it.live(`of a call, ${name}: no attempt, no fiber, no timer; finalizers have run`, () =>
      atEveryMillisecond((at) =>
        Effect.gen(function*() {
          const watch = yield* Watch.make
          let released = 0
          const tenMillis = Effect.ensuring(Effect.sleep("10 millis"), Effect.sync(() => released++))
          const failing = Effect.zipRight(tenMillis, Faults.refused)
          const call = yield* Faults.script([failing, failing, failing, Effect.as(tenMillis, "answer")])
          const fiber = yield* Effect.fork(call.pipe(withRpcRetry(policy), watch.watch))
          yield* TestClock.adjust(at)
          assert.strictEqual(yield* call.attempts, startedBy(at), `attempts started by ${at}`)

          const exit = yield* Fiber.interrupt(fiber)

          assert.isTrue(Exit.isInterrupted(exit), `interrupted at ${at}`)
          assert.strictEqual(released, startedBy(at), `finalizers of attempts, interrupted at ${at}`)
          assert.strictEqual(yield* watch.fibers, 0, `fibers left at ${at}`)
          assert.strictEqual(yield* watch.timers, 0, `timers left at ${at}`)
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(yield* call.attempts, startedBy(at), `attempts after an interruption at ${at}`)
        })
      ))
  }

  it.effect("the run itself is as long as these tests take it to be", () =>
    Effect.gen(function*() {
      const failing = Effect.delay(Faults.refused, "10 millis")
      const call = yield* Faults.script([
        failing,
        failing,
        failing,
        Effect.delay(Effect.succeed("answer"), "10 millis")
      ])
      const fiber = yield* Effect.fork(withRpcRetry(call))
      yield* TestClock.adjust(runTakes - 1)
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(fiber.unsafePoll(), Exit.succeed("answer"))
      assert.strictEqual(yield* call.attempts, 4)
    }))

  it.live("of a call over a connection: the pending table is empty, one socket at most is open, none at the end", () =>
    atEveryMillisecond((at) =>
      Effect.gen(function*() {
        let requests = 0
        // the connection breaks, an answer is lost, the connection breaks, the answer
        const peer = yield* MemoryPeer.make((line, peer) =>
          Effect.suspend(() => {
            requests++
            const answer = peer.send(JSON.stringify({ id: line.id, result: 42, error: null }))
            return requests === 2
              ? Effect.void
              : Effect.delay(requests < 4 ? peer.close : answer, "10 millis")
          })
        )
        const watch = yield* Watch.make
        yield* Effect.gen(function*() {
          const rpc = yield* GoRpc.make({ socket: peer.socket })
          const call = rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry({ attemptTimeout: "15 millis" }))
          const fiber = yield* Effect.fork(call.pipe(watch.watch))
          yield* TestClock.adjust(at)
          const before = requests

          yield* Fiber.interrupt(fiber)

          assert.strictEqual(yield* rpc.pending, 0, `pending at ${at}`)
          assert.isAtMost(yield* peer.open, 1, `sockets at ${at}`)
          // a dial that has begun goes on to its end, for it is the connection's and not the call's
          yield* Effect.yieldNow().pipe(
            Effect.repeat({ until: () => Effect.map(watch.timers, (n) => n === 0), times: 1000 })
          )
          assert.strictEqual(yield* watch.timers, 0, `timers at ${at}`)
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(requests, before, `requests after an interruption at ${at}`)
        }).pipe(Effect.scoped)
        assert.strictEqual(yield* peer.open, 0, `sockets after the client was closed, ${at}`)
        assert.strictEqual(yield* watch.fibers, 0, `fibers after the client was closed, ${at}`)
      })
    ))
})
