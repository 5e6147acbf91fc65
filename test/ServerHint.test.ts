/**
 * What servers say, and what comes of it in a call. Cases are numbered as in `test/interop/grpc/GrpcCases.test.ts`.
 */
import { Deadline, Retryable, RetrySchedule, ServerHint, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"

const read = Option.match({
  onNone: () => "nothing",
  onSome: (hint: ServerHint.ServerHint) => hint === "Never" ? hint : Duration.toMillis(hint)
})

const pushback = (...values: ReadonlyArray<string>) => read(ServerHint.fromGrpcPushback(values))

/** A call whose attempts fail with these pushbacks, then succeed. */
const pushedBack = (values: ReadonlyArray<ReadonlyArray<string>>) => {
  const [first, ...rest] = values.map((value) =>
    Effect.fail(
      new Retryable({
        reason: "Unavailable",
        delivery: "Unknown",
        code: 14,
        retryAfter: Option.getOrUndefined(ServerHint.fromGrpcPushback(value))
      })
    )
  )
  return Faults.script([first!, ...rest, Effect.succeed("ok")])
}

const tenMillis = { minServerDelay: 0, schedule: Schedule.spaced("10 millis").pipe(RetrySchedule.retries(3)) }

describe("grpc-retry-pushback-ms", () => {
  it("is milliseconds, or stops", () => {
    assert.strictEqual(pushback(), "nothing")
    assert.strictEqual(pushback("0"), 0)
    assert.strictEqual(pushback("1000"), 1000)
    assert.strictEqual(pushback("2147483647"), 2_147_483_647)
  })

  for (
    const [name, values] of [
      ["cases 55, 105: -1", ["-1"]],
      ["case 56: xxx", ["xxx"]],
      ["cases 57, 105: two values", ["600", "10"]],
      ["case 105: empty", [""]],
      ["case 105: 50abc", ["50abc"]],
      ["case 105: 3000000000", ["3000000000"]],
      ["unnecessary zeros", ["007"]],
      ["a fraction", ["1.5"]],
      ["white space", [" 5"]]
    ] as const
  ) {
    it.effect(`${name}: no retry`, () =>
      Effect.gen(function*() {
        assert.strictEqual(pushback(...values), "Never")
        const call = yield* pushedBack([values])
        const { exit, took } = yield* play(withRpcRetry(call, tenMillis))
        assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts, took], ["ServerSaidNo", 1, 0])
      }))
  }

  it.effect("case 58: 1000 with a delay of 10 ms: the retry comes at 1 s and succeeds", () =>
    Effect.gen(function*() {
      const call = yield* pushedBack([["1000"]])
      const { exit, took } = yield* play(withRpcRetry(call, tenMillis))
      assert.deepStrictEqual([exit._tag, took], ["Success", 1000])
    }))

  it.effect("case 103: the delay is exact, and the next one starts over", () =>
    Effect.gen(function*() {
      const call = yield* pushedBack([[], [], ["777"], [], []])
      const schedule = RetrySchedule.exponential().pipe(RetrySchedule.retries(9))
      const error = yield* Effect.map(play(call.pipe(withRpcRetry({ schedule }))), ({ took }) => took)
      assert.strictEqual(error, 100 + 150 + 777 + 100 + 150)
      const jittered = yield* pushedBack([["777"]])
      const { took } = yield* play(withRpcRetry(jittered, { schedule: RetrySchedule.fullJitter(schedule) }))
      assert.strictEqual(took, 777)
    }))

  it.effect("each hint lets the delays start over, the second like the first", () =>
    Effect.gen(function*() {
      const call = yield* pushedBack([[], ["777"], [], [], ["777"], [], []])
      const schedule = RetrySchedule.exponential().pipe(RetrySchedule.retries(9))
      const { took } = yield* play(call.pipe(withRpcRetry({ schedule })))
      assert.strictEqual(took, 100 + 777 + 100 + 150 + 777 + 100 + 150)
    }))

  it.effect("a call of seventy retries has the delays of its schedule, and after a hint the first 64 of them", () =>
    Effect.gen(function*() {
      const schedule = RetrySchedule.retries(Schedule.linear("1 millis"), 70)
      const call = (hint: Duration.Duration | undefined) =>
        Effect.flatMap(Deadline.CurrentAttempt, (attempt) =>
          new Retryable({
            reason: "Unavailable",
            delivery: "NotSent",
            retryAfter: attempt === 1 ? hint : undefined
          })).pipe(withRpcRetry({ schedule }))
      const sum = (n: number) => n * (n + 1) / 2
      const plain = yield* play(call(undefined))
      assert.deepStrictEqual([exhaustedOf(plain.exit).attempts, plain.took], [71, sum(70)])
      const hinted = yield* play(call(Duration.millis(777)))
      assert.deepStrictEqual([exhaustedOf(hinted.exit).attempts, hinted.took], [71, 777 + sum(64) + 5 * 64])
    }))

  it.effect("case 104: on the last attempt there is no retry", () =>
    Effect.gen(function*() {
      const call = yield* pushedBack([["5"], ["5"], ["5"], ["5"], ["5"]])
      const { exit, took } = yield* play(withRpcRetry(call, tenMillis))
      assert.deepStrictEqual([exhaustedOf(exit).reason, exhaustedOf(exit).attempts, took], ["AttemptsExhausted", 4, 15])
    }))

  it.effect("starting over, a throttled call does not wait as short as another", () =>
    Effect.gen(function*() {
      const schedule = RetrySchedule.byReason({ Throttled: Schedule.spaced("1 second") }, RetrySchedule.exponential())
      const fail = (reason: "Unavailable" | "Throttled", retryAfter?: Duration.Duration) =>
        Effect.fail(new Retryable({ reason, delivery: "NotSent", retryAfter }))
      const hint = Duration.millis(7)
      for (
        const [steps, took] of [
          [[fail("Unavailable", hint), fail("Throttled")], 1007],
          [[fail("Throttled", hint), fail("Unavailable")], 107],
          [[fail("Unavailable"), fail("Throttled", hint), fail("Unavailable")], 100 + 7 + 100],
          [
            [fail("Unavailable"), fail("Unavailable", hint), fail("Unavailable"), fail("Throttled")],
            100 + 7 + 100 + 1000
          ]
        ] as const
      ) {
        const [first, ...rest] = steps
        const call = yield* Faults.script([first, ...rest, Effect.void])
        assert.strictEqual((yield* play(call.pipe(withRpcRetry({ schedule, minServerDelay: 0 })))).took, took)
      }
    }))

  it.effect("effects of the schedule run once per decision with hints too", () =>
    Effect.gen(function*() {
      let decisions = 0
      const schedule = RetrySchedule.standard.pipe(Schedule.tapInput(() => Effect.sync(() => decisions++)))
      const call = yield* pushedBack([["5"], [], []])
      yield* play(withRpcRetry(call, { schedule }))
      assert.strictEqual(decisions, 3)
    }))
})

describe("Retry-After", () => {
  const now = Date.UTC(2026, 10, 23, 12, 0, 0)
  const header = (value: string | undefined) => read(ServerHint.fromRetryAfter(value, now))

  it("is seconds, or a date in one of three forms", () => {
    assert.strictEqual(header(undefined), "nothing")
    assert.strictEqual(header("0"), 0)
    assert.strictEqual(header(" 120 "), 120_000)
    assert.strictEqual(header("Mon, 23 Nov 2026 12:00:05 GMT"), 5000)
    assert.strictEqual(header("Monday, 23-Nov-26 12:00:05 GMT"), 5000)
    assert.strictEqual(header("Mon Nov 23 12:00:05 2026"), 5000)
    assert.strictEqual(header("Mon, 23 Nov 2026 11:00:00 GMT"), 0)
  })

  it("is read as servers write it: one digit, other zones, decimals, ISO 8601", () => {
    for (
      const [value, millis] of [
        ["1.5", 1500],
        ["0.25", 250],
        ["2.", 2000],
        ["120s", 120_000],
        ["Thu, 3 Dec 2026 12:00:00 GMT", 10 * 86_400_000],
        ["Mon, 23 Nov 2026 12:00:05 UTC", 5000],
        ["Mon, 23 Nov 2026 12:00:05", 5000],
        ["Mon, 23 Nov 2026 12:00:05 +0000", 5000],
        ["Mon, 23 Nov 2026 14:00:05 +0200", 5000],
        ["Mon, 23 Nov 2026 07:00:05 -05:00", 5000],
        ["Mon, 23 Nov 2026 07:00:05 EST", 5000],
        ["Mon, 23-Nov-2026 12:00:05 GMT", 5000],
        ["23 Nov 2026 12:00:05 GMT", 5000],
        ["mon, 23 nov 2026 12:00:05 gmt", 5000],
        ["Mon, 23 November 2026 12:00:05.250 GMT", 5000],
        ["Mon Nov 23 12:00:05 UTC 2026", 5000],
        ["2026-11-23T12:00:05Z", 5000],
        ["2026-11-23T13:00:05.123+01:00", 5000],
        ["2026-11-23 12:00:05", 5000]
      ] as const
    ) {
      assert.strictEqual(header(value), millis, value)
    }
  })

  it("stops where it cannot be read", () => {
    for (
      const value of [
        "",
        "-1",
        "soon",
        "-1.5",
        "1.2.3",
        "Mon, 23 Nov 2026 25:00:05 GMT",
        "Mon, 23 Nov 2026 12:00:05 XYZ",
        "Mon, 23 Foo 2026 12:00:05 GMT",
        "Mon, 99 Nov 2026 12:00:05 GMT",
        "Sun, 31 Feb 2027 12:00:00 GMT",
        "Mon, 00 Nov 2026 12:00:00 GMT",
        "1e3",
        "99999999999"
      ]
    ) {
      assert.strictEqual(header(value), "Never", value)
    }
  })

  it.effect("goes with the Clock", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 10, 23, 12, 0, 0))
      const hint = yield* Effect.map(Clock.currentTimeMillis, (now) =>
        ServerHint.fromRetryAfter("Mon, 23 Nov 2026 12:00:05 GMT", now))
      assert.strictEqual(read(hint), 5000)
    }))
})

describe("google.rpc.RetryInfo", () => {
  const info = (retryDelay: unknown) => read(ServerHint.fromRetryInfo({ retryDelay }))

  it("is read from JSON and from decoded messages", () => {
    assert.strictEqual(info("1.5s"), 1500)
    assert.strictEqual(info("0s"), 0)
    assert.strictEqual(info({ seconds: 2, nanos: 500_000_000 }), 2500)
    assert.strictEqual(info({ seconds: 2n }), 2000)
    assert.strictEqual(info({ seconds: "2" }), 2000)
    assert.strictEqual(info({ seconds: { toNumber: () => 2 }, nanos: 0 }), 2000)
    assert.strictEqual(info({ nanos: 1_000_000 }), 1)
    assert.strictEqual(info({}), 0)
    assert.strictEqual(read(ServerHint.fromRetryInfo({ retry_delay: "1s" })), 1000)
  })

  it("says nothing without a delay, and stops where it cannot be read", () => {
    for (const message of [undefined, null, {}, { retryDelay: null }, "1s"]) {
      assert.strictEqual(read(ServerHint.fromRetryInfo(message)), "nothing")
    }
    for (
      const delay of [
        "-1s",
        "1",
        "soon",
        { seconds: -1 },
        { seconds: "x" },
        { seconds: Infinity },
        { seconds: "" },
        { seconds: " " },
        { seconds: "0x10" },
        { seconds: 1.5 },
        { seconds: 1, nanos: -1 },
        { nanos: 1e9 },
        5,
        true
      ]
    ) {
      assert.strictEqual(info(delay), "Never", JSON.stringify(delay))
    }
  })
})
