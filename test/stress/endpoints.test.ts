/**
 * Endpoints over many calls, many changes of their set, and interruptions at every virtual millisecond.
 */
import { Endpoints, type Retryable, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { ask, manual, refused, servers } from "../support/endpoints.js"
import { settled } from "../support/sources.js"
import * as VirtualTime from "../support/virtualTime.js"
import { assert, atEpoch, describe, it } from "../support/vitest.js"
import * as Watch from "../support/watch.js"

/** Waits for as long as the service of an endpoint takes: random, of this mean. */
const serve = (mean: number) => Effect.flatMap(Random.next, (random) => Effect.sleep(-mean * Math.log(1 - random)))

const quantile = (latencies: ReadonlyArray<number>, share: number): number =>
  latencies.toSorted((a, b) => a - b)[Math.floor(share * latencies.length)]!

/** The latencies of calls that come one each millisecond or so. */
const latencies = (
  addresses: ReadonlyArray<string>,
  pick: Endpoints.Pick,
  service: (mean: number) => Effect.Effect<void>,
  seed: string
) =>
  Effect.gen(function*() {
    const { connect, share } = servers((address) => service(address === "slow" ? 500 : 50))
    const endpoints = yield* Endpoints.make({ source: Endpoints.fromList(addresses), connect, pick, metrics: "off" })
    const clock = yield* Effect.clock
    const took: Array<number> = []
    const call = Effect.suspend(() => {
      const start = clock.unsafeCurrentTimeMillis()
      return Effect.map(endpoints.call(ask), () => took.push(clock.unsafeCurrentTimeMillis() - start))
    })
    const fibers: Array<Fiber.RuntimeFiber<number, unknown>> = []
    for (let i = 0; i < 20_000; i++) {
      fibers.push(yield* Effect.fork(call))
      yield* serve(1)
    }
    yield* Fiber.joinAll(fibers)
    return { p99: quantile(took, 0.99), slow: share("slow") }
  }).pipe(Effect.scoped, Effect.withRandom(Random.make(seed)))

const value = <A>(exit: Exit.Exit<A, unknown>): A => {
  if (Exit.isFailure(exit)) {
    throw new Error(String(exit.cause))
  }
  return exit.value
}

describe("ten endpoints, one of them ten times slower", () => {
  const good = Array.from({ length: 9 }, (_, i) => `e${i}`)

  for (const [name, service] of [["random", serve], ["always the same", Effect.sleep]] as const) {
    it(
      `have a 99th percentile within 1.3 times that of nine good ones, round robin has not: service times are ${name}`,
      { timeout: 600_000 },
      async () => {
        const run = async (addresses: ReadonlyArray<string>, pick: Endpoints.Pick, seed: string) =>
          value(await VirtualTime.run(latencies(addresses, pick, service, seed)))
        for (const seed of ["a", "b"]) {
          // oxlint-disable-next-line no-await-in-loop -- one run after the other, on one clock each
          const nine = await run(good, "powerOfTwo", seed)
          // oxlint-disable-next-line no-await-in-loop -- as above
          const ten = await run([...good, "slow"], "powerOfTwo", seed)
          // oxlint-disable-next-line no-await-in-loop -- as above
          const robin = await run([...good, "slow"], "roundRobin", seed)
          const table = JSON.stringify({ seed, nine, ten, robin })
          assert.isAtMost(ten.p99, 1.3 * nine.p99, table)
          assert.isAtLeast(robin.p99, 3 * nine.p99, table)
          assert.isBelow(ten.slow, 0.01, table)
          assert.isAbove(ten.slow, 0, table)
        }
      }
    )
  }
})

describe("an interruption at every virtual millisecond of a call of endpoints", () => {
  /** The first list comes at 5; a dial takes 10, a call 20. The endpoint `a` refuses, so there is a retry. */
  const runTakes = 5 + 10 + 20 + 100 + 10 + 20

  it.live("leaves no attempt in flight, no client half made, no timer and no fiber", () =>
    Effect.forEach(
      Array.from({ length: runTakes + 5 }, (_, i) => i),
      (at) =>
        Effect.provide(
          atEpoch(() =>
            Effect.gen(function*() {
              const watch = yield* Watch.make
              const scope = yield* Scope.make()
              const { list, source } = yield* manual
              const { connect, open } = servers((address) =>
                Effect.andThen(Effect.sleep(20), address === "a" ? Effect.fail(refused) : Effect.void)
              )
              const endpoints = yield* Scope.extend(
                Endpoints.make({
                  source,
                  connect: (endpoint) => Effect.andThen(Effect.sleep(10), connect(endpoint)),
                  pick: "pickFirst"
                }),
                scope
              )
              yield* Effect.fork(Effect.delay(list("a", "b"), 5))
              yield* settled
              const call = endpoints.call(ask).pipe(
                withRpcRetry({ logs: false, schedule: Schedule.fromDelays(100) })
              )
              const fiber = yield* Effect.fork(watch.watch(call))
              for (let passed = 0; passed < at; passed++) {
                yield* TestClock.adjust(1)
              }
              yield* settled
              const exit = yield* Fiber.interrupt(fiber)
              if (at > runTakes) {
                assert.deepStrictEqual(exit, Exit.succeed("b"))
              } else if (at < runTakes) {
                assert.isTrue(Exit.isInterrupted(exit), `interrupted at ${at}`)
              }
              // a dial that cannot be interrupted must not hold the caller, so that none is waited for
              yield* settled
              assert.strictEqual(yield* watch.fibers, 0, `fibers left at ${at}`)
              assert.strictEqual(yield* watch.timers, 0, `timers left at ${at}`)
              for (const { client, inFlight } of yield* endpoints.state) {
                assert.strictEqual(inFlight, 0, `in flight at ${at}`)
                assert.notStrictEqual(client, "Connecting", `half made at ${at}`)
              }
              yield* Scope.close(scope, Exit.void)
              assert.strictEqual(open.size, 0, `clients open after the end at ${at}`)
            })
          ),
          TestContext.TestContext
        ),
      { concurrency: 16, discard: true }
    ))
})

describe("ten thousand changes of the set", () => {
  it("lose no call, and leave no client, no counter and no finalizer", { timeout: 600_000 }, async () => {
    const program = Effect.gen(function*() {
      const { list, source } = yield* manual
      const { connect, dialled, open } = servers(() => serve(20))
      const scope = yield* Scope.make()
      const endpoints = yield* Scope.extend(Endpoints.make({ source, connect, metrics: "off" }), scope)
      const addresses = Array.from({ length: 20 }, (_, i) => `e${i}`)
      yield* list(...addresses)
      let failed = 0
      const call = Effect.catchAll(endpoints.call(ask), () => Effect.sync(() => failed++))
      const fibers: Array<Fiber.RuntimeFiber<unknown>> = []
      for (let i = 0; i < 10_000; i++) {
        const kept = yield* Effect.filter(addresses, () => Effect.map(Random.next, (random) => random < 0.5))
        yield* list(...(kept.length === 0 && i % 2 === 0 ? ["e0"] : kept))
        fibers.push(yield* Effect.fork(call))
        if (i % 10 === 0) {
          yield* Fiber.interrupt(yield* Effect.fork(call))
        }
        yield* Effect.sleep(1)
        const states = yield* endpoints.state
        assert.isTrue(states.every(({ inFlight }) => inFlight >= 0), "never negative")
        assert.isAtMost(states.filter(({ state }) => state === "Leaving").length, 200)
      }
      yield* Fiber.joinAll(fibers)
      yield* list("e0")
      yield* Effect.sleep(1_000)
      assert.strictEqual(failed, 0)
      assert.isAbove(dialled.length, 1_000)
      assert.deepStrictEqual((yield* endpoints.state).map(({ address, inFlight }) => [address, inFlight]), [["e0", 0]])
      assert.isAtMost(open.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(open.size, 0)
    }).pipe(Effect.scoped, Effect.withRandom(Random.make("changes")))
    assert.deepStrictEqual(await VirtualTime.run(program as Effect.Effect<void, Retryable>), Exit.void)
  })
})
