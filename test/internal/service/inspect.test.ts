import { Connections, RetryBudget, RetrySchedule, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { assert, describe, it } from "../../support/vitest.js"

describe("inspect", () => {
  it.effect("shows what is in force, as JSON has it", () =>
    Effect.gen(function*() {
      const shared = yield* RetryBudget.make({ capacity: 5 })
      const layer = RpcRetry.layer({
        default: { attemptTimeout: "1 second", deadline: "5 seconds" },
        methods: {
          "Users.*": {
            schedule: RetrySchedule.exponential({ base: "2 seconds", cap: "1 minute" }).pipe(
              RetrySchedule.fullJitter,
              RetrySchedule.retries(2)
            ),
            deadline: "90 seconds",
            spans: true
          },
          "Users.Create": { idempotent: false, budget: shared, logs: false },
          "Reports.Build": "off",
          "Live.*": { schedule: Schedule.spaced("1 second"), budget: RetryBudget.unlimited }
        }
      })
      const inspection = yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.either(Faults.refused.pipe(withRpcRetry({ method: "Orders.List" }))))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        return yield* RpcRetry.inspect
      }).pipe(Effect.provide(layer))
      const ofDefault = {
        attempts: 4,
        delays: ["100ms", "150ms", "225ms"],
        totalWait: "475ms",
        attemptTimeout: "1s",
        deadline: "5s",
        idempotent: null,
        minServerDelay: null,
        maxServerDelay: "30s",
        hedge: null,
        retried: ["ConnectionRefused", "ConnectionLost", "AttemptTimeout", "Unavailable", "Throttled", "Custom"],
        spans: false,
        logs: true
      }
      const full = { level: 3, capacity: 3 }
      const said = { attemptTimeout: "default", deadline: "default", maxServerDelay: "library" }
      const ofUsers = {
        ...ofDefault,
        attempts: 3,
        delays: ["0ms to 2s", "0ms to 3s"],
        totalWait: "5s",
        deadline: "1m 30s",
        spans: true
      }
      const fromUsers = { ...said, schedule: "Users.*", deadline: "Users.*", spans: "Users.*", budget: "layer" }
      const unlimited = inspection.policies.find(({ name }) => name === "Live.*")!
      assert.deepStrictEqual(JSON.parse(JSON.stringify(inspection.policies.filter((one) => one !== unlimited))), [
        { name: "default", from: { ...said, schedule: "library", budget: "layer" }, ...ofDefault, budget: full },
        { name: "Users.*", from: fromUsers, ...ofUsers, budget: full },
        {
          name: "Users.Create",
          from: { ...fromUsers, idempotent: "Users.Create", budget: "Users.Create", logs: "Users.Create" },
          ...ofUsers,
          idempotent: false,
          logs: false,
          budget: { level: 5, capacity: 5 }
        },
        {
          name: "Reports.Build",
          from: { ...said, schedule: "Reports.Build", budget: "layer" },
          ...ofDefault,
          attempts: 1,
          delays: [],
          totalWait: "0ms",
          retried: [],
          budget: full
        }
      ])
      assert.deepStrictEqual(
        [unlimited.attempts, unlimited.budget, unlimited.delays.length],
        [5, "unlimited", 4]
      )
      assert.deepStrictEqual(
        inspection.budgets.map(({ destination, level }) => [destination, Math.round(level)]),
        [["Orders", 0], ["", 3], ["Users", 3], ["Reports", 3]]
      )
    }))

  it.effect("a policy without an end is shown by its beginning", () =>
    Effect.gen(function*() {
      const { policies } = yield* RpcRetry.inspect
      const [endless] = policies
      assert.strictEqual(endless?.attempts, "unlimited")
      assert.strictEqual(endless?.delays.length, 20)
      assert.strictEqual(endless?.totalWait, "forever")
    }).pipe(Effect.provide(RpcRetry.layer({ default: { schedule: Schedule.spaced("1 second") } }))))

  it.effect("a policy whose own function fails in a dry run is shown as far as it is known", () =>
    Effect.gen(function*() {
      const { policies } = yield* RpcRetry.inspect
      assert.deepStrictEqual(policies.map(({ attempts, maxServerDelay }) => [attempts, maxServerDelay]), [[
        "unknown",
        "30s"
      ]])
    }).pipe(
      Effect.provide(RpcRetry.layer({ default: { retryIf: ({ cause }) => (cause as Error).message.startsWith("x") } }))
    ))

  it.effect("a budget without a limit is not listed: JSON has no infinity", () =>
    Effect.gen(function*() {
      const { budgets, policies } = yield* RpcRetry.inspect
      assert.deepStrictEqual([policies[0]!.budget, budgets], ["unlimited", []])
    }).pipe(Effect.provide(RpcRetry.layer({ budget: Effect.succeed(RetryBudget.unlimited) }))))

  it.scoped("one status that is entered twice is there until both scopes are closed", () =>
    Effect.gen(function*() {
      const registry = Connections.make()
      const status = Effect.succeed<Connections.Status>({ name: "own", state: "ready", dials: 1, failedDials: 0 })
      yield* registry.add(status)
      yield* Effect.scoped(registry.add(status))
      assert.strictEqual((yield* registry.all).length, 1)
    }))

  it.effect("without a layer there is the default, and no budget", () =>
    Effect.gen(function*() {
      const { budgets, policies } = yield* RpcRetry.inspect
      assert.deepStrictEqual(policies.map(({ budget, name }) => [name, budget]), [["default", null]])
      assert.deepStrictEqual(budgets, [])
    }))

  it.scopedLive("shows the connections, as they are", () =>
    Effect.gen(function*() {
      const connections = Effect.map(RpcRetry.inspect, ({ connections }) => connections)
      yield* Effect.gen(function*() {
        const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
        const name = `tcp://${server.address.host}:${server.address.port}`
        const rpc = yield* GoRpc.make(server.address)
        const is = (state: Connections.Status["state"], dials: number, failedDials: number) =>
          Effect.map(connections, (seen) => assert.deepStrictEqual(seen, [{ name, state, dials, failedDials }]))
        yield* is("idle", 0, 0)
        const call = rpc.call("Arith.Multiply", { A: 6, B: 7 })
        yield* call
        yield* is("ready", 1, 0)
        yield* server.stop
        // what is told first may still be that the old connection broke
        yield* Effect.repeat(Effect.flip(call), { until: (error) => error.reason === "ConnectionRefused" })
        yield* is("broken", 2, 1)
        yield* server.start
        yield* call
        yield* is("ready", 3, 1)
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(yield* connections, [])
    }).pipe(Effect.provideService(Connections.Connections, Connections.make())))

  it.scoped("a registry shows what was entered, while its scope is open", () =>
    Effect.gen(function*() {
      const registry = Connections.make()
      const status: Connections.Status = { name: "own", state: "ready", dials: 1, failedDials: 0 }
      yield* Effect.scoped(Effect.gen(function*() {
        yield* registry.add(Effect.succeed(status))
        assert.deepStrictEqual(yield* registry.all, [status])
      }))
      assert.deepStrictEqual(yield* registry.all, [])
    }))
})
