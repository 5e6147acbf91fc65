/**
 * Policies per method, the budgets of a layer, and changes while the program runs.
 */
import { Deadline, InvalidOption, Retryable, RetryBudget, RpcCall, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Arbitrary from "effect/Arbitrary"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const retries = (n: number) => ({ schedule: Schedule.recurs(n) })

/** How many attempts a call of a method makes under a layer when all of them fail. */
const attemptsOf = (method: string | undefined, options?: RpcRetry.Options) =>
  Effect.map(
    Effect.flip(Faults.refused.pipe(withRpcRetry({ ...options, method }))),
    (error) => error._tag === "RetryExhausted" ? error.attempts : 0
  )

const off = { budget: "off" } as const

describe("policies per method", () => {
  const layer = RpcRetry.layer({
    ...off,
    default: retries(1),
    methods: {
      "*": retries(2),
      "Users.*": retries(3),
      "Users.Admin.*": retries(4),
      "Users.Get": retries(5),
      "Users.Delete": "off"
    }
  })

  it.effect("the exact method, else the longest pattern, else *, and the call itself before all", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.Get"), 6)
      assert.strictEqual(yield* attemptsOf("Users.List"), 4)
      assert.strictEqual(yield* attemptsOf("Users.Admin.List"), 5)
      assert.strictEqual(yield* attemptsOf("Orders.Get"), 3)
      assert.strictEqual(yield* attemptsOf("Users"), 3)
      assert.strictEqual(yield* attemptsOf(undefined), 3)
      assert.strictEqual(yield* attemptsOf("Users.Get", retries(7)), 8)
      assert.strictEqual(yield* attemptsOf("users.get"), 3)
    }).pipe(Effect.provide(layer)))

  it.effect("a method is no pattern: what is said of Users.Get is not said of Users.GetAll, nor of Users.Ge", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.GetAll"), 4)
      assert.strictEqual(yield* attemptsOf("Users.Ge"), 4)
    }).pipe(Effect.provide(layer)))

  it("policies are found once for ten thousand methods, named or not", () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `Users.Get${i}`)
    const named = RpcRetry.make({ ...off, methods: Object.fromEntries(names.map((name) => [name, retries(1)])) })
    const unnamed = RpcRetry.make({ ...off, methods: { "Users.*": retries(1) } })
    for (const service of [named, unnamed]) {
      const policies = names.map(service.policy)
      assert.isTrue(names.every((name, i) => service.policy(name) === policies[i]))
    }
    assert.strictEqual(unnamed.policy("Users.Get0"), unnamed.policy("Users.Get9999"))
  })

  it("policies are kept for a thousand destinations, and those of others are found anew", () => {
    const service = RpcRetry.make({ ...off, default: retries(1) })
    const policies = Array.from({ length: 1_001 }, (_, i) => service.policy(`Users${i}.Get`))
    assert.strictEqual(service.policy("Users999.Get"), policies[999])
    assert.notStrictEqual(service.policy("Users1000.Get"), policies[1_000])
  })

  it("the policy of a method is that of *, then the longest pattern of all that fit, then its own, whatever the names", () => {
    const part = Arbitrary.make(Schema.Literal("A", "B", "Ab", "a"))
    const path = FastCheck.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."))
    const name = FastCheck.oneof(path, path.map((prefix) => `${prefix}.*`), FastCheck.constant("*"))
    FastCheck.assert(FastCheck.property(
      FastCheck.uniqueArray(name, { maxLength: 12 }),
      FastCheck.array(FastCheck.oneof(path, path.map((p) => `.${p}`), path.map((p) => `${p}.`)), { minLength: 1 }),
      (names, methods) => {
        const deadlineOf = (name: string) => 1 + names.indexOf(name)
        const service = RpcRetry.make({
          ...off,
          methods: Object.fromEntries(names.map((name) => [name, { deadline: deadlineOf(name) }]))
        })
        for (const method of [...methods, ...methods]) {
          const fits = names.filter((name) => name.endsWith("*") && method.startsWith(name.slice(0, -1)))
          const [longest] = fits.toSorted((a, b) => b.length - a.length)
          const from = names.includes(method) ? method : longest
          const { deadline } = service.policy(method)
          assert.strictEqual(
            deadline && Duration.toMillis(deadline),
            from === undefined ? undefined : deadlineOf(from),
            method
          )
        }
      }
    ))
  })

  it.effect("off for one method shadows * and the patterns", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.Delete"), 1)
      assert.strictEqual(yield* attemptsOf("Users.Delete", retries(1)), 2)
    }).pipe(Effect.provide(layer)))

  it.effect("an RpcCall is found by its own name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Faults.refused.pipe(RpcCall.make({ method: "Users.Get" }), withRpcRetry))
      assert.strictEqual(error._tag === "RetryExhausted" && error.attempts, 6)
    }).pipe(Effect.provide(layer)))

  it.effect("fields merge one by one", () =>
    Effect.gen(function*() {
      const merged = RpcRetry.layer({
        ...off,
        default: { attemptTimeout: 10, maxServerDelay: 1 },
        methods: { "*": { deadline: 1000 }, "A.*": { attemptTimeout: 20 }, "A.B": retries(1) }
      })
      const { exit, took } = yield* play(withRpcRetry(Effect.never, { method: "A.B" }).pipe(Effect.provide(merged)))
      assert.deepStrictEqual([exhaustedOf(exit).attempts, took], [2, 40])
    }))

  it.effect("policies says what is in force, and where each field was said", () =>
    Effect.gen(function*() {
      const inForce = yield* RpcRetry.policies
      const common = { schedule: "*", attemptTimeout: "default", maxServerDelay: "library", budget: "layer" }
      assert.deepStrictEqual(inForce.map(({ from, name }) => [name, from]), [
        ["default", common],
        ["*", common],
        ["A.*", { ...common, deadline: "A.*" }],
        ["A.B", { ...common, attemptTimeout: "A.B", deadline: "A.*" }]
      ])
      assert.strictEqual(Duration.toMillis(inForce[3]!.policy.attemptTimeout!), 5)
      assert.strictEqual(inForce[3]!.policy.budget?.capacity, 10)
    }).pipe(
      Effect.provide(RpcRetry.layer({
        budget: RetryBudget.make({ capacity: 10 }),
        default: { attemptTimeout: 20 },
        methods: { "*": retries(2), "A.*": { deadline: 100 }, "A.B": { attemptTimeout: 5 } }
      }))
    ))

  it.effect("policies says of the budget who has it: nobody where there is none, a name where a policy brings one", () =>
    Effect.gen(function*() {
      const from = (options: RpcRetry.LayerOptions) =>
        Effect.map(RpcRetry.policies, (inForce) => inForce.map(({ from }) => from.budget)).pipe(
          Effect.provide(RpcRetry.layer(options))
        )
      const methods = { "A.*": { budget: RetryBudget.unlimited }, "A.B": {}, "C.D": {} }
      assert.deepStrictEqual(yield* from({ ...off, methods }), [undefined, "A.*", "A.*", undefined])
      assert.deepStrictEqual(yield* from({ methods }), ["layer", "A.*", "A.*", "layer"])
    }))

  it("refuses what is no policy and no name, and says where", () => {
    const refuses = (options: RpcRetry.LayerOptions, message: string) =>
      assert.throws(() => RpcRetry.layer(options), InvalidOption, message)
    refuses(
      { methods: { "Users.Get": { deadline: -1 } } },
      "RpcRetry.layer: Users.Get.deadline must not be negative, got -1"
    )
    for (const name of ["", "*.Get", "Us*", "Users. Get", "Users.*.Get", "default"]) {
      refuses({ methods: { [name]: {} } }, `RpcRetry.layer: ${JSON.stringify(name)} is not a method`)
    }
  })

  it("what is wrong with the default policy is said with its path", () => {
    const refuses = (policy: unknown, message: string) =>
      assert.throws(
        () => RpcRetry.layer({ default: policy as RpcRetry.LayerOptions["default"] }),
        InvalidOption,
        `RpcRetry.layer: default${message}`
      )
    refuses({ deadline: 0 }, ".deadline must be greater than zero, got 0")
    refuses({ retries: 3 }, ".retries is not an option")
    refuses({ hedge: { after: "50 millis" } }, ".hedge needs idempotent: true beside it")
    refuses("off", ` must be a policy, got "off"`)
    refuses(5, " must be a policy, got 5")
  })
})

describe("the policy of a call whose failures name a method", () => {
  const failing = (method: string | undefined) =>
    Effect.fail(new Retryable({ reason: "ConnectionLost", delivery: "Unknown", method }))

  const storyOf = (call: Effect.Effect<unknown, Retryable>, options?: RpcRetry.Options) =>
    Effect.map(play(withRpcRetry(call, options)), ({ exit }) => {
      const { attempts, reason } = exhaustedOf(exit)
      return [attempts, reason]
    })

  const layer = RpcRetry.layer({
    ...off,
    methods: { "A.B": retries(1), "C.D": { ...retries(5), retryIf: ({ method }) => method === "C.D" } }
  })

  it.effect("is that of its own name, if it has one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* storyOf(failing("C.D"), { method: "A.B" }), [2, "AttemptsExhausted"])
    }).pipe(Effect.provide(layer)))

  it.effect("is that of the first name that it had, where its own has none", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* storyOf(failing("C.D")), [6, "AttemptsExhausted"])
      const first = yield* Faults.script([failing("C.D"), failing("A.B")])
      assert.deepStrictEqual(yield* storyOf(first), [2, "NotRetried"])
      const other = yield* Faults.script([failing("A.B"), failing("C.D")])
      assert.deepStrictEqual(yield* storyOf(other), [2, "AttemptsExhausted"])
      const late = yield* Faults.script([failing(undefined), failing("C.D"), failing("A.B")])
      assert.deepStrictEqual(yield* storyOf(late), [4, "AttemptsExhausted"])
    }).pipe(Effect.provide(layer)))

  it.effect("says for a failure without a name what it says of itself, not what the layer says of others", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* storyOf(failing(undefined), { method: "A.B" }), [2, "AttemptsExhausted"])
      assert.deepStrictEqual(yield* storyOf(failing("A.B"), { method: "A.B" }), [2, "AttemptsExhausted"])
      assert.deepStrictEqual(yield* storyOf(failing("C.D"), { method: "A.B" }), [1, "NotIdempotent"])
    }).pipe(
      Effect.provide(
        RpcRetry.layer({
          ...off,
          default: { idempotent: false },
          methods: { "A.B": { ...retries(1), idempotent: true } }
        })
      )
    ))

  it.effect("stays what it was at its start, though an update marks its method as not to run twice", () =>
    Effect.gen(function*() {
      const call = Effect.zipRight(Effect.orDie(RpcRetry.update("A.B", { idempotent: false })), failing("A.B"))
      assert.deepStrictEqual(yield* storyOf(call, { method: "A.B" }), [2, "AttemptsExhausted"])
      assert.deepStrictEqual(yield* storyOf(call, { method: "A.B" }), [1, "NotIdempotent"])
    }).pipe(Effect.provide(layer)))

  it.effect("has a budget of which the events of the call without a name say nothing", () =>
    Effect.gen(function*() {
      const levels: Array<unknown> = []
      const layer = RpcRetry.layer({
        budget: RetryBudget.make({ capacity: 10 }),
        default: {
          ...retries(2),
          onEvent: (event) => Effect.sync(() => void (event._tag === "CallFailed" && levels.push(event.budget)))
        }
      })
      yield* Effect.gen(function*() {
        yield* storyOf(failing("A.B"), { method: "A.B" })
        yield* storyOf(failing("A.B"))
        yield* storyOf(failing(undefined))
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(levels, [8, undefined, 8])
    }))

  it.effect("stays what it was at its start when no failure names one", () =>
    Effect.gen(function*() {
      const call = Effect.zipRight(Effect.orDie(RpcRetry.update("*", retries(5))), failing(undefined))
      assert.deepStrictEqual(yield* storyOf(call), [2, "AttemptsExhausted"])
      assert.deepStrictEqual(yield* storyOf(call), [6, "AttemptsExhausted"])
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(1) }))))

  it.effect("has a budget that is paid back when the call is interrupted in a delay", () =>
    Effect.gen(function*() {
      const budget = yield* RetryBudget.make({ capacity: 5, regainEvery: "10000 days" })
      yield* Effect.gen(function*() {
        for (const method of ["A.B", undefined]) {
          const fiber = yield* Effect.fork(withRpcRetry(failing("A.B"), { method }))
          yield* TestClock.adjust(50)
          yield* Fiber.interrupt(fiber)
          assert.approximately(yield* budget.level, 5, 1e-6)
        }
      }).pipe(Effect.provide(RpcRetry.layer({ ...off, methods: { "A.B": { budget } } })))
    }))

  it.effect("shows its attempts the deadline of the method once that is known, also where it is the caller's", () =>
    Effect.gen(function*() {
      const start = yield* Clock.currentTimeMillis
      const seen: Array<number> = []
      const call = (method: string) =>
        Effect.zipRight(
          Effect.map(Deadline.CurrentDeadline, (deadline) => seen.push(deadline - start)),
          failing(method)
        )
      const within = Effect.provideService(Deadline.CurrentDeadline, start + 2_000)
      for (const method of ["Short.Run", "Long.Run"]) {
        yield* within(Effect.flip(withRpcRetry(call(method), { schedule: Schedule.recurs(2) })))
      }
      assert.deepStrictEqual(seen, [500, 100, 100, 500, 2_000, 2_000])
    }).pipe(
      Effect.provide(
        RpcRetry.layer({
          ...off,
          default: { deadline: 500 },
          methods: { "Short.Run": { deadline: 100 }, "Long.Run": { deadline: 5_000 } }
        })
      )
    ))
})

describe("budgets of a layer", () => {
  it.effect("one for each destination, shared by its methods", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("Users.Get"), 11)
      assert.strictEqual(yield* attemptsOf("Users.List"), 1)
      assert.strictEqual(yield* attemptsOf("Orders.Get"), 11)
      assert.strictEqual(yield* attemptsOf(undefined), 11)
    }).pipe(Effect.provide(RpcRetry.layer({ default: retries(100), budget: RetryBudget.make({ capacity: 10 }) }))))

  it.effect("is made as the layer says; a policy may have another", () =>
    Effect.gen(function*() {
      const shared = yield* RetryBudget.make({ capacity: 5 })
      const layer = RpcRetry.layer({
        default: retries(100),
        budget: RetryBudget.make({ capacity: 2 }),
        methods: { "Users.Get": { budget: shared }, "Orders.*": { budget: RetryBudget.unlimited } }
      })
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* attemptsOf("Users.List"), 3)
        assert.strictEqual(yield* attemptsOf("Users.Get"), 6)
        assert.strictEqual(yield* attemptsOf("Orders.Get"), 101)
      }).pipe(Effect.provide(layer))
      assert.strictEqual(yield* shared.level, 0)
    }))

  it("a budget that cannot be made at once is refused", () => {
    for (const budget of [Effect.as(Effect.sleep(1), RetryBudget.unlimited), Effect.die("no")]) {
      assert.throws(
        () => RpcRetry.layer({ budget }),
        InvalidOption,
        "RpcRetry.layer: budget must be an effect that makes"
      )
    }
  })

  it.effect("a thousand destinations have their own, those beyond share one", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(Array.from({ length: 1000 }, (_, i) => i), (i) =>
        Effect.zipRight(withRpcRetry(Effect.void, { method: `S${i}.M` }), Effect.void), { discard: true })
      assert.strictEqual(yield* attemptsOf("S5.M"), 11)
      assert.strictEqual(yield* attemptsOf("S5.N"), 1)
      assert.strictEqual(yield* attemptsOf("S6.M"), 11)
      assert.strictEqual(yield* attemptsOf("S2000.M"), 11)
      assert.strictEqual(yield* attemptsOf("S3000.M"), 1)
      const { budgets } = yield* RpcRetry.inspect
      assert.deepStrictEqual(
        budgets.filter(({ destination }) =>
          !/^S\d{1,3}$/.test(destination)
        ).map(({ destination }) => destination),
        ["*"]
      )
    }).pipe(Effect.provide(RpcRetry.layer({ default: retries(100), budget: RetryBudget.make({ capacity: 10 }) }))))

  it.effect("each build of a layer has budgets of its own", () =>
    Effect.gen(function*() {
      const layer = RpcRetry.layer({ default: retries(100), budget: RetryBudget.make({ capacity: 10 }) })
      assert.strictEqual(yield* attemptsOf("A.B").pipe(Effect.provide(layer)), 11)
      assert.strictEqual(yield* attemptsOf("A.B").pipe(Effect.provide(layer)), 11)
    }))
})

describe("policies while the program runs", () => {
  it.effect("update, off and remove", () =>
    Effect.gen(function*() {
      yield* RpcRetry.update("A.B", retries(1))
      assert.strictEqual(yield* attemptsOf("A.B"), 2)
      yield* RpcRetry.update("A.*", "off")
      assert.strictEqual(yield* attemptsOf("A.C"), 1)
      assert.strictEqual(yield* attemptsOf("A.B"), 2)
      yield* RpcRetry.remove("A.B")
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
      yield* RpcRetry.remove("A.*")
      yield* RpcRetry.remove("nothing")
      assert.strictEqual(yield* attemptsOf("A.B"), 4)
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(3) }))))

  it.effect("what the layer marks as not to run twice is still that after update, off and remove", () =>
    Effect.gen(function*() {
      const place = Effect.fail(new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })).pipe(
        withRpcRetry({ method: "Orders.Place" }),
        Effect.flip,
        Effect.map((error) => [error._tag === "RetryExhausted" && error.attempts, error.reason])
      )
      assert.deepStrictEqual(yield* place, [1, "NotIdempotent"])
      yield* RpcRetry.update("Orders.Place", "off")
      assert.deepStrictEqual(yield* place, [1, "NotIdempotent"])
      yield* RpcRetry.remove("Orders.Place")
      assert.deepStrictEqual(yield* place, [1, "NotIdempotent"])
      yield* RpcRetry.update("Orders.Place", retries(5))
      assert.deepStrictEqual(yield* place, [1, "NotIdempotent"])
      yield* RpcRetry.update("Orders.Place", retries(5), { replace: true })
      assert.deepStrictEqual(yield* place, [6, "AttemptsExhausted"])
      yield* RpcRetry.remove("Orders.Place")
      assert.deepStrictEqual(yield* place, [1, "NotIdempotent"])
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, methods: { "Orders.Place": { idempotent: false } } }))))

  it.effect("updates of a name add up, field by field; remove takes all of them back, and nothing of the layer", () =>
    Effect.gen(function*() {
      const said = Effect.map(
        RpcRetry.policies,
        (inForce) =>
          inForce.map(({ name, policy: { attemptTimeout, deadline } }) => [
            name,
            ...[attemptTimeout, deadline].map((duration) => duration && Duration.toMillis(duration))
          ])
      )
      const before = yield* said
      yield* RpcRetry.update("A.B", { deadline: 200 })
      yield* RpcRetry.update("A.B", { attemptTimeout: 20 })
      yield* RpcRetry.update("C.D", { deadline: 300 })
      assert.deepStrictEqual(yield* said, [
        ["default", undefined, undefined],
        ["A.B", 20, 200],
        ["C.D", undefined, 300]
      ])
      yield* RpcRetry.remove("A.B")
      yield* RpcRetry.remove("C.D")
      yield* RpcRetry.remove("A.B")
      assert.deepStrictEqual(yield* said, before)
      assert.deepStrictEqual(before, [["default", undefined, undefined], ["A.B", 10, undefined]])
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, methods: { "A.B": { attemptTimeout: 10 } } }))))

  it.effect("one call value sees the update at its next run, not before", () =>
    Effect.gen(function*() {
      const started = Effect.unsafeMakeLatch(false)
      const call = Effect.zipRight(started.open, Effect.delay(Faults.refused, 10)).pipe(withRpcRetry({ method: "A.B" }))
      const inFlight = yield* Effect.fork(Effect.flip(call))
      yield* started.await
      yield* RpcRetry.update("A.B", retries(0))
      const next = yield* Effect.fork(Effect.flip(call))
      yield* TestClock.adjust("1 second")
      const attempts = (yield* Fiber.join(Fiber.all([inFlight, next]))).map((e) =>
        e._tag === "RetryExhausted" && e.attempts
      )
      assert.deepStrictEqual(attempts, [4, 1])
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(3) }))))

  it.effect("a bad policy or name is an error and changes nothing", () =>
    Effect.gen(function*() {
      const bad = yield* Effect.flip(RpcRetry.update("A.B", { deadline: NaN }))
      assert.instanceOf(bad, InvalidOption)
      assert.strictEqual(bad.field, "A.B.deadline")
      assert.strictEqual((yield* Effect.flip(RpcRetry.update("*.B", {}))).field, "\"*.B\"")
      assert.strictEqual((yield* RpcRetry.policies).length, 1)
      assert.strictEqual(yield* attemptsOf("A.B"), 4)
    }).pipe(Effect.provide(RpcRetry.layer({ ...off, default: retries(3) }))))

  it.effect("the level of a budget survives", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf("A.B"), 11)
      yield* RpcRetry.update("A.B", retries(50))
      yield* RpcRetry.update("C.D", { deadline: 1000 })
      assert.strictEqual(yield* attemptsOf("A.B"), 1)
    }).pipe(Effect.provide(RpcRetry.layer({ default: retries(100), budget: RetryBudget.make({ capacity: 10 }) }))))

  it.effect("without a layer there is nothing to update", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(RpcRetry.update("A.B", "off"))
      assert.strictEqual(error.message, "RpcRetry.update: RpcRetry is not provided by a layer")
      assert.strictEqual((yield* Effect.flip(RpcRetry.remove("A.B"))).where, "RpcRetry.remove")
      assert.strictEqual(yield* attemptsOf("A.B", retries(2)), 3)
    }))

  it.live("1,000 updates under 1,000 concurrent calls: none lost, none sees half a policy", () =>
    Effect.gen(function*() {
      // either both fields are of the one policy or both are of the other
      const one = { ...retries(1), deadline: "1000 seconds" } as const
      const two = { ...retries(2), deadline: "2000 seconds" } as const
      const halves: Array<string> = []
      const call = Effect.suspend(() => {
        let deadline = 0
        const attempt = Effect.flatMap(Deadline.remaining, (left) => {
          deadline ||= left._tag === "Some" ? Math.round(Duration.toSeconds(left.value) / 1000) : 0
          return Effect.delay(Faults.refused, 1)
        })
        return Effect.map(Effect.flip(attempt.pipe(withRpcRetry({ method: "A.B" }))), (error) => {
          const retried = error._tag === "RetryExhausted" ? error.attempts - 1 : -1
          if (retried !== deadline) {
            halves.push(`${retried} retries with the deadline of ${deadline}`)
          }
          return retried
        })
      })
      // a call starts, the policy changes, the next call starts; calls take long enough to be under way together
      const fibers = yield* Effect.forEach(
        Array.from({ length: 1000 }),
        (_, i) =>
          Effect.zipRight(
            RpcRetry.update("A.B", i % 2 === 0 ? one : two),
            Effect.zipLeft(Effect.fork(call), Effect.yieldNow())
          )
      )
      const ended = yield* Fiber.join(Fiber.all(fibers))
      assert.deepStrictEqual(halves, [])
      assert.strictEqual(ended.length, 1000)
      assert.deepStrictEqual(new Set(ended), new Set([1, 2]))
    }).pipe(Effect.provide(RpcRetry.layer(off))))
})

describe("inheritAttempt", () => {
  it.effect("a call made for somebody's retry is not retried; one for a first attempt is", () =>
    Effect.gen(function*() {
      const call = Faults.refused.pipe(withRpcRetry(retries(3)))
      const ends = (attempt: number) =>
        Effect.map(Effect.exit(RpcRetry.inheritAttempt(call, attempt)), (exit) => {
          const { attempts, reason } = exhaustedOf(exit)
          return [attempts, reason]
        })
      assert.deepStrictEqual(yield* ends(1), [4, "AttemptsExhausted"])
      for (const attempt of [2, 0, -1, NaN, 1.5]) {
        assert.deepStrictEqual(yield* ends(attempt), [1, "NotRetried"], `attempt ${attempt}`)
      }
    }))

  it.effect("\"I am a retry\" is not \"my caller was one\"", () =>
    Effect.gen(function*() {
      const seen: Array<readonly [number, number]> = []
      const note = Effect.flatMap(Effect.all([Deadline.CurrentAttempt, Deadline.InheritedAttempt]), (pair) =>
        Effect.sync(() => void seen.push(pair)))
      const call = Effect.zipRight(note, Faults.refused).pipe(withRpcRetry(retries(1)), Effect.ignore)
      yield* call
      yield* RpcRetry.inheritAttempt(call, 3)
      assert.deepStrictEqual(seen, [[1, 1], [2, 1], [1, 3]])
    }))
})
