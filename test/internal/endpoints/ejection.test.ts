/** What ejections cost: looking at all endpoints takes milliseconds where there are thousands. */
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as TestClock from "effect/TestClock"
import { type Choice, EndpointSet } from "../../../src/internal/endpoints/endpointSet.js"
import * as Picker from "../../../src/internal/endpoints/picker.js"
import { assert, describe, it } from "../../support/vitest.js"

describe("an ejection", () => {
  it.effect("of many endpoints at once computes once what is used", () =>
    Effect.gen(function*() {
      const every = 10_000
      let out = 0
      const counted: Array<number> = []
      const set = new EndpointSet<string>({
        destination: "Users",
        picker: Picker.make("roundRobin", () => 0),
        prefer: undefined,
        ejection: {
          consecutive: 1_000,
          successRate: { every, minimumEndpoints: 3, minimumCalls: 1, deviations: 1 },
          ejectFor: 30_000,
          maxEjectFor: 30_000
        },
        slowStart: 0,
        breaker: undefined,
        dial: () => ({ state: "Connected" }) as never,
        telemetry: {
          emit: ({ _tag }) => {
            out += _tag === "EndpointOut" ? 1 : 0
          },
          counted: (available) => counted.push(available),
          close: () => {},
          attemptEnded: undefined,
          listen: () => () => {}
        }
      })
      const services = yield* FiberRef.get(DefaultServices.currentServices)
      const ends = (attempt: Choice<string>) => {
        const isBad = attempt.member.name.startsWith("bad")
        const exit = isBad ? Exit.fail("refused") : Exit.succeed("well")
        set.ended(attempt, isBad ? "Failure" : "Success", exit, services)
      }
      set.replace(
        Array.from({ length: 100 }, (_, i) => ({ address: `${i % 5 === 0 ? "bad" : "good"}-${i}` })),
        services
      )
      Array.from({ length: 100 }, () => set.choose([], services)!).forEach(ends)
      yield* TestClock.adjust(every)
      ends(set.choose([], services)!)
      assert.deepStrictEqual([out, counted], [20, [100, 80]])
    }))
})
