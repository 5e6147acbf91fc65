/** The circuit breaker that each endpoint has, beside the tests of Kitex' instance breaker. */
import { CircuitBreaker, Endpoints } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { ask, manual, refused, servers } from "../../support/endpoints.js"
import { assert, describe, it } from "../../support/vitest.js"

const rate = (threshold: number, minimumCalls: number): CircuitBreaker.Options => ({
  trip: CircuitBreaker.rate({ threshold, minimumCalls, window: "10 seconds" }),
  openFor: "1 minute",
  jitter: 0
})

/** Makes so many calls, whatever becomes of them. */
const calls = (
  count: number,
  endpoints: Endpoints.Endpoints<Effect.Effect.Success<ReturnType<typeof wellConnected>>>
) => Effect.replicateEffect(Effect.ignore(endpoints.call(ask)), count)

const { connect: wellConnected } = servers()

const settings = { ejection: "off", metrics: "off", pick: "roundRobin", slowStart: 0 } as const

describe("the circuit breaker of an endpoint", () => {
  for (const [errorRate, minimumCalls] of [[0.1, 100], [0.5, 200]] as const) {
    it.scoped(`of ${errorRate} with at least ${minimumCalls} calls keeps it from call ${minimumCalls + 1} on, which cannot get a connection (Kitex breaker 100)`, () =>
      Effect.gen(function*() {
        let dials = 0
        const endpoints = yield* Endpoints.make({
          source: Endpoints.fromList(["bad", "a", "b"]),
          connect: (endpoint) =>
            endpoint.address === "bad"
              ? Effect.suspend(() => {
                dials++
                return Effect.fail(refused)
              })
              : wellConnected(endpoint),
          breaker: rate(errorRate, minimumCalls),
          ...settings
        })
        yield* calls(3 * (minimumCalls - 1), endpoints)
        assert.strictEqual(dials, minimumCalls - 1)
        yield* calls(600, endpoints)
        assert.strictEqual(dials, minimumCalls)
        assert.deepStrictEqual((yield* endpoints.state).map(({ state }) => state), ["Open", "Healthy", "Healthy"])
      }))
  }

  it.scoped("is gone with the endpoint: one that comes back has a new one (Kitex breaker 101)", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { asked, connect } = servers((address) => address === "bad" ? Effect.fail(refused) : Effect.void)
      const endpoints = yield* Endpoints.make({ source, connect, breaker: rate(0.1, 5), ...settings })
      yield* list("bad", "a", "b")
      yield* calls(60, endpoints)
      assert.strictEqual(asked.get("bad"), 5)
      yield* list("a", "b")
      assert.deepStrictEqual((yield* endpoints.state).map(({ address }) => address), ["a", "b"])
      yield* list("bad", "a", "b")
      assert.deepStrictEqual((yield* endpoints.state).map(({ state }) => state), ["Healthy", "Healthy", "Healthy"])
      yield* calls(60, endpoints)
      assert.strictEqual(asked.get("bad"), 10)
      // the time of the first breaker is over, and changes nothing of the second
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* endpoints.state)[0]?.state, "Open")
    }))
})
