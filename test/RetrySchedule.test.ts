import { InvalidOption, Retryable, RetrySchedule, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { play } from "./support/play.js"
import { assert, describe, epoch, it } from "./support/vitest.js"

const millis = <Out>(schedule: Schedule.Schedule<Out, Retryable>, n: number, seed = "seed") =>
  Effect.runSync(RetrySchedule.delays(schedule, n).pipe(Effect.withRandom(Random.make(seed)))).map(Duration.toMillis)

const capped = RetrySchedule.exponential()

describe("RetrySchedule", () => {
  it("standard: 100, 150, 225 ms and stop", () => {
    assert.deepStrictEqual(millis(RetrySchedule.standard, 10), [100, 150, 225])
  })

  it("base 600 ms: 600, 900, 1000 ms, the cap from then on", () => {
    const schedule = RetrySchedule.exponential({ base: "600 millis" })
    assert.deepStrictEqual(millis(schedule, 5), [600, 900, 1000, 1000, 1000])
    assert.deepStrictEqual(millis(RetrySchedule.retries(schedule, 3), 5), [600, 900, 1000])
  })

  it("the cap bites from the seventh delay on with the default base", () => {
    assert.deepStrictEqual(millis(RetrySchedule.exponential(), 8), [
      100,
      150,
      225,
      337.5,
      506.25,
      759.375,
      1000,
      1000
    ])
  })

  it("does not overflow after thousands of retries", () => {
    const delays = millis(RetrySchedule.exponential({ base: 1, factor: 10, cap: "1 minute" }), 3000)
    assert.strictEqual(delays.length, 3000)
    assert.isTrue(delays.slice(5).every((delay) => delay === 60_000))
  })

  it("retries(n) is n retries, 0 included", () => {
    for (const n of [0, 1, 2, 7]) {
      assert.strictEqual(millis(RetrySchedule.exponential().pipe(RetrySchedule.retries(n)), 100).length, n)
    }
  })

  it("outputs the delay, with jitter too", () => {
    const grpc = RetrySchedule.grpcA6({ maxAttempts: 6, initialBackoff: 10, maxBackoff: 100, backoffMultiplier: 2 })
    for (
      const schedule of [
        RetrySchedule.fullJitter(capped),
        RetrySchedule.equalJitter(capped),
        RetrySchedule.proportional(capped, 0.5),
        RetrySchedule.decorrelated(),
        grpc
      ]
    ) {
      const outputs: Array<number> = []
      const watched = schedule.pipe(
        RetrySchedule.retries(5),
        Schedule.tapOutput((delay) => Effect.sync(() => outputs.push(Duration.toMillis(delay))))
      )
      const delays = millis(watched, 9)
      assert.strictEqual(delays.length, 5)
      delays.forEach((delay, i) => assert.approximately(delay, outputs[i]!, 1e-3))
    }
  })

  it("a dry run asks about Unavailable, not sent, unless told otherwise", () => {
    const only = (test: (error: Retryable) => boolean) => millis(Schedule.whileInput(RetrySchedule.standard, test), 9)
    assert.deepStrictEqual(only(({ reason }) => reason === "Unavailable"), [100, 150, 225])
    assert.deepStrictEqual(only(({ delivery }) => delivery === "NotSent"), [100, 150, 225])
  })

  it("a dry run lets the time of the delays pass for the schedule", () => {
    const schedule = Schedule.spaced("100 millis").pipe(Schedule.upTo("250 millis"))
    assert.deepStrictEqual(millis(schedule, 9), [100, 100, 100])
  })

  it("outputs the delay, not a tuple", () => {
    const outputs = Effect.runSync(Schedule.run(RetrySchedule.standard, 0, [1, 2, 3]))
    assert.deepStrictEqual(Array.from(outputs, Duration.toMillis), [100, 150, 225])
  })

  it("composes with the Schedules of Effect", () => {
    const schedule = RetrySchedule.standard.pipe(
      Schedule.whileInput((error: Retryable) => error.reason === "Throttled")
    )
    assert.deepStrictEqual(millis(schedule, 5), [])
    const throttled = new Retryable({ reason: "Throttled", delivery: "NotSent" })
    const delays = Effect.runSync(RetrySchedule.delays(schedule, 5, throttled))
    assert.deepStrictEqual(delays.map(Duration.toMillis), [100, 150, 225])
    assert.deepStrictEqual(millis(RetrySchedule.standard.pipe(Schedule.andThen(Schedule.recurs(2))), 9), [
      100,
      150,
      225,
      0,
      0
    ])
  })

  const jitters: Record<string, { readonly least: number; readonly make: () => Schedule.Schedule<Duration.Duration> }> =
    {
      fullJitter: { least: 0, make: () => RetrySchedule.fullJitter(capped) },
      equalJitter: { least: 500, make: () => RetrySchedule.equalJitter(capped) },
      "proportional(0.2)": { least: 800, make: () => RetrySchedule.proportional(capped, 0.2) },
      decorrelated: { least: 100, make: () => RetrySchedule.decorrelated() }
    }
  for (const [name, { least, make }] of Object.entries(jitters)) {
    it(`${name}: never below 0, never above the cap, whatever the seed`, () => {
      FastCheck.assert(FastCheck.property(FastCheck.integer(), (seed) => {
        const delays = millis(make(), 30, String(seed))
        return delays.length === 30 && delays.every((delay) => delay >= 0 && delay <= 1000)
      }))
    })

    it(`${name}: callers at the cap stay spread out`, () => {
      const atTheCap = Array.from({ length: 400 }, (_, seed) => millis(make(), 20, String(seed))[19]!)
      const width = 1000 - least
      // in each quarter of the range there are callers, and hardly two wait equally long
      for (const quarter of [0, 1, 2, 3]) {
        const low = least + width * quarter / 4
        const inside = atTheCap.filter((delay) => delay >= low && delay <= low + width / 4)
        assert.isAbove(inside.length, 50, `${name}, quarter ${quarter}`)
      }
      assert.isAbove(new Set(atTheCap).size, 390)
    })

    it(`${name}: repeatable with a seed`, () => {
      assert.deepStrictEqual(millis(make(), 10, "a"), millis(make(), 10, "a"))
      assert.notDeepEqual(millis(make(), 10, "a"), millis(make(), 10, "b"))
    })
  }

  it("a jitter never lengthens the delays of the schedule it is applied to", () => {
    const plain = millis(capped, 12)
    for (const jittered of [RetrySchedule.fullJitter, RetrySchedule.equalJitter, RetrySchedule.proportional(0.5)]) {
      millis(jittered(capped), 12).forEach((delay, i) => assert.isAtMost(delay, plain[i]!))
    }
  })

  it("property: exponential is what its formula says", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 1, max: 5000 }),
        FastCheck.double({ min: 1, max: 4, noNaN: true }),
        FastCheck.integer({ min: 0, max: 60_000 }),
        (base, factor, over) => {
          const cap = base + over
          const delays = millis(RetrySchedule.exponential({ base, factor, cap }), 12)
          return delays.every((delay, i) => Math.abs(delay - Math.min(cap, base * factor ** i)) < 1e-3 * cap)
        }
      )
    )
  })

  describe("byReason", () => {
    const error = (reason: RpcError.RetryableReason) => new Retryable({ reason, delivery: "NotSent" })
    /** The delays before retries that follow failures of these reasons, until the schedule is done. */
    const after = <Out>(
      schedule: Schedule.Schedule<Out, Retryable>,
      ...reasons: ReadonlyArray<RpcError.RetryableReason>
    ) => Array.from(Effect.runSync(Schedule.run(Schedule.delays(schedule), 0, reasons.map(error))), Duration.toMillis)

    const byReason = () =>
      RetrySchedule.byReason(
        {
          Throttled: RetrySchedule.exponential({ base: "1 second", factor: 2, cap: "20 seconds" }),
          Custom: Schedule.recurs(1)
        },
        RetrySchedule.exponential()
      )

    it("its output is the delay, whatever the clock says", () => {
      const failures = ["Unavailable", "Throttled", "Unavailable"] as const
      for (const now of [0, epoch]) {
        const outputs = Effect.runSync(Schedule.run(byReason(), now, failures.map(error)))
        assert.deepStrictEqual(Array.from(outputs, Duration.toMillis), [100, 1000, 150])
      }
    })

    it("each reason has its own schedule, with a state of its own", () => {
      assert.deepStrictEqual(
        after(byReason(), "Unavailable", "Throttled", "ConnectionLost", "Throttled", "Unavailable"),
        [100, 1000, 150, 2000, 225]
      )
    })

    it("a reason whose schedule is done, or that has none, is not retried", () => {
      // the last output is that of the decision to stop
      assert.deepStrictEqual(after(byReason(), "Custom", "Custom", "Unavailable"), [0, 0])
      assert.deepStrictEqual(
        after(RetrySchedule.byReason({ Throttled: Schedule.spaced(5) }), "Throttled", "Custom", "Throttled"),
        [5, 0]
      )
    })

    it("beside another schedule it goes on where that does, also after a reason that it does not retry", () => {
      const either = Schedule.union(RetrySchedule.byReason({ Throttled: Schedule.spaced(5) }), Schedule.spaced(50))
      assert.deepStrictEqual(after(either, "Custom", "Throttled", "Custom"), [50, 5, 50])
    })

    it("retries bounds them together, and states are per call", () => {
      const bounded = RetrySchedule.retries(byReason(), 3)
      for (let i = 0; i < 2; i++) {
        const delays = after(bounded, "Unavailable", "Throttled", "Unavailable", "Throttled", "Unavailable")
        assert.deepStrictEqual(delays.slice(0, 3), [100, 1000, 150])
        assert.strictEqual(delays.length, 4)
      }
    })

    it.effect("in a call the reason of the failure chooses", () =>
      Effect.gen(function*() {
        const call = yield* Faults.script([Faults.refused, Effect.fail(error("Throttled")), Faults.reset, Effect.void])
        const { took } = yield* play(call.pipe(withRpcRetry({ schedule: byReason() })))
        assert.strictEqual(took, 100 + 1000 + 150)
      }))
  })

  it("grpcA6: attempts less one delays, each up to a fifth shorter or longer than its formula says", () => {
    const schedule = RetrySchedule.grpcA6({
      maxAttempts: 5,
      initialBackoff: 100,
      maxBackoff: "1 second",
      backoffMultiplier: 4
    })
    const delays = (draw: number) =>
      Effect.runSync(RetrySchedule.delays(schedule, 9).pipe(Effect.withRandom(Random.fixed([draw])))).map((delay) =>
        Math.round(Duration.toMillis(delay))
      )
    assert.deepStrictEqual(delays(0), [80, 320, 800, 800])
    assert.deepStrictEqual(delays(1), [120, 480, 1200, 1200])
  })

  it("aws2026: two retries, up to 50 and 100 ms later, or 1 and 2 s where the server throttles", () => {
    const delays = (reason: RpcError.RetryableReason, draw: number) =>
      Effect.runSync(
        RetrySchedule.delays(RetrySchedule.aws2026, 9, new Retryable({ reason, delivery: "NotSent" })).pipe(
          Effect.withRandom(Random.fixed([draw]))
        )
      ).map(Duration.toMillis)
    assert.deepStrictEqual(delays("Unavailable", 1), [50, 100])
    assert.deepStrictEqual(delays("Throttled", 1), [1000, 2000])
    assert.deepStrictEqual(delays("Throttled", 0.5), [500, 1000])
  })

  const invalid: ReadonlyArray<[() => unknown, string]> = [
    [
      () => RetrySchedule.byReason({ Throtled: Schedule.stop } as Parameters<typeof RetrySchedule.byReason>[0]),
      "RetrySchedule.byReason: Throtled is not an option, did you mean Throttled?"
    ],
    [() => RetrySchedule.exponential({ base: -1 }), "RetrySchedule.exponential: base must not be negative, got -1"],
    [() => RetrySchedule.exponential({ base: 0 }), "RetrySchedule.exponential: base must be greater than zero, got 0"],
    [
      () => RetrySchedule.exponential({ base: NaN }),
      "RetrySchedule.exponential: base must be a duration, such as \"250 millis\", got NaN"
    ],
    [() => RetrySchedule.exponential({ cap: Infinity }), "RetrySchedule.exponential: cap must be finite, got Infinity"],
    [
      () => RetrySchedule.exponential({ base: "2 seconds" }),
      "RetrySchedule.exponential: base must not exceed the cap of 1s, got 2s"
    ],
    [
      () => RetrySchedule.exponential({ factor: 0.5 }),
      "RetrySchedule.exponential: factor must be a number of at least 1, got 0.5"
    ],
    [
      () => RetrySchedule.exponential({ factor: NaN }),
      "RetrySchedule.exponential: factor must be a number of at least 1, got NaN"
    ],
    [
      () => RetrySchedule.decorrelated({ base: 10, cap: 5 }),
      "RetrySchedule.decorrelated: base must not exceed the cap of 5ms, got 10ms"
    ],
    [
      () => RetrySchedule.grpcA6({ maxAttempts: 1, initialBackoff: 1, maxBackoff: 1, backoffMultiplier: 1 }),
      "RetrySchedule.grpcA6: maxAttempts must be an integer of at least 2, got 1"
    ],
    [
      () => RetrySchedule.grpcA6({ maxAttempts: 2, initialBackoff: 1, maxBackoff: 1, backoffMultiplier: 0 }),
      "RetrySchedule.grpcA6: backoffMultiplier must be a number greater than 0"
    ],
    [
      () => RetrySchedule.grpcA6({ maxAttempts: 2, initialBackoff: -1, maxBackoff: 1, backoffMultiplier: 1 }),
      "RetrySchedule.grpcA6: initialBackoff must not be negative, got -1"
    ],
    [
      () => RetrySchedule.grpcA6({ maxAttempts: 2, initialBackoff: 1, maxBackoff: -1, backoffMultiplier: 1 }),
      "RetrySchedule.grpcA6: maxBackoff must not be negative, got -1"
    ],
    [
      () => RetrySchedule.proportional(RetrySchedule.standard, 1.5),
      "RetrySchedule.proportional: p must be a number from 0 to 1, got 1.5"
    ],
    [
      () => RetrySchedule.retries(RetrySchedule.standard, -1),
      "RetrySchedule.retries: n must be an integer of at least 0, got -1"
    ],
    [
      () => RetrySchedule.retries(RetrySchedule.standard, 1.5),
      "RetrySchedule.retries: n must be an integer of at least 0, got 1.5"
    ]
  ]
  for (const [make, message] of invalid) {
    it(`refuses: ${message}`, () => {
      assert.throws(make, InvalidOption, message)
    })
  }
})
