/**
 * What a call tells its later attempts of the endpoints at which the earlier ones have failed.
 */
import { Retryable, RpcError, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { TriedEndpoints } from "../../../src/internal/ambient/tried.js"
import { assert, describe, it } from "../../support/vitest.js"

const schedule = Schedule.recurs(3)
const options: RpcRetry.Options = { schedule, logs: false }

const failedAt = (endpoint: string | undefined) =>
  new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED", endpoint })

/** A call whose attempts fail at these endpoints, and what each attempt is told. */
const calling = (endpoints: ReadonlyArray<string | undefined>) => {
  const seen: Array<ReadonlyArray<string>> = []
  const call = Effect.flatMap(TriedEndpoints, (tried) => {
    const endpoint = endpoints[seen.length]
    seen.push(tried)
    return Effect.fail(failedAt(endpoint))
  })
  return { call, seen }
}

describe("the endpoints that a call has tried", () => {
  it.effect("are told to its retries, in order, also those tried twice; a first attempt is told of none", () =>
    Effect.gen(function*() {
      const { call, seen } = calling(["a", "b", "a", "c"])
      yield* Effect.flip(call.pipe(withRpcRetry(options)))
      assert.deepStrictEqual(seen, [[], ["a"], ["a", "b"], ["a", "b", "a"]])
    }))

  it.effect("are known through operators between the call and its retries", () =>
    Effect.gen(function*() {
      const { call, seen } = calling(["a", "b", "c", "d"])
      yield* Effect.flip(call.pipe(Effect.map(String), Effect.withSpan("lookup"), withRpcRetry(options)))
      assert.deepStrictEqual(seen.at(-1), ["a", "b", "c"])
    }))

  it.effect("are none for calls that choose no endpoint", () =>
    Effect.gen(function*() {
      const { call, seen } = calling([undefined, undefined, undefined, undefined])
      yield* Effect.flip(call.pipe(withRpcRetry(options)))
      assert.deepStrictEqual(seen, [[], [], [], []])
    }))

  it.effect("are those of an outer call too, for a call within its attempt", () =>
    Effect.gen(function*() {
      const { call, seen } = calling(["a", "b", "c", "d"])
      const inner = call.pipe(withRpcRetry({ schedule: Schedule.recurs(1), logs: false }))
      const outer = Effect.catchTag(inner, "RetryExhausted", ({ last }) => Effect.fail(last))
      yield* Effect.flip(outer.pipe(withRpcRetry({ schedule: Schedule.recurs(1), logs: false })))
      assert.deepStrictEqual(seen, [[], ["a"], ["b"], ["b", "c"]])
    }))

  it.effect("are bounded for a call that is retried for ever", () =>
    Effect.gen(function*() {
      const { call, seen } = calling(Array.from({ length: 300 }, (_, i) => `e${i}`))
      yield* Effect.flip(call.pipe(withRpcRetry({ schedule: Schedule.recurs(250), logs: false })))
      assert.strictEqual(seen.at(-1)!.length, 100)
      assert.strictEqual(seen.at(-1)!.at(-1), "e249")
    }))
})

describe("the endpoint of an error", () => {
  it("is in its message, without credentials, and survives encoding", () => {
    const error = failedAt("http://user:secret@10.0.0.7:80")
    assert.include(error.message, "connection refused at http://")
    assert.notInclude(error.message, "secret")
    const encoded = Schema.encodeSync(RpcError.RpcError)(failedAt("10.0.0.7:80"))
    assert.deepInclude(encoded, { endpoint: "10.0.0.7:80" })
    assert.strictEqual((Schema.decodeSync(RpcError.RpcError)(encoded) as Retryable).endpoint, "10.0.0.7:80")
  })

  it("stays when another field is set", () => {
    const error = RpcError.withDelivery(failedAt("10.0.0.7:80"), "Unknown")
    assert.strictEqual(error.endpoint, "10.0.0.7:80")
    assert.strictEqual(RpcError.withMethod(error, "Users.Get").message.includes("at 10.0.0.7:80"), true)
  })

  it.effect("is a column of the report, and only where an attempt has one", () =>
    Effect.gen(function*() {
      const { call } = calling(["10.0.0.7:80", undefined, "10.0.0.8:80", "10.0.0.7:80"])
      const report = RpcError.report(yield* Effect.flip(call.pipe(withRpcRetry({ schedule, logs: false }))))
      assert.deepStrictEqual(report.split("\n").slice(2).map((line) => line.trim().split(/ {2,}/)[4]), [
        "endpoint",
        "10.0.0.7:80",
        "-",
        "10.0.0.8:80",
        "10.0.0.7:80"
      ])
      const without = calling([undefined]).call.pipe(withRpcRetry({ schedule: Schedule.recurs(0), logs: false }))
      assert.notInclude(RpcError.report(yield* Effect.flip(without)), "endpoint")
    }))
})
