import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Source from "../../../src/internal/endpoints/source.js"
import { InvalidOption } from "../../../src/InvalidOption.js"
import { follow, listed, settled } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const options = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, InvalidOption)
    return (error as InvalidOption).message
  }
  return "nothing was thrown"
}

const numbers = (times: ReadonlyArray<number>) => times.slice(1).map((time, i) => time - times[i]!)

describe("Endpoints.fromList", () => {
  it.scoped("lists its endpoints once, text as an address, and does not end", () =>
    Effect.gen(function*() {
      const followed = yield* follow(
        Source.fromList(["10.0.0.1:80", { address: "10.0.0.2:80", weight: 2, priority: 1, zone: "a" }])
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(followed.updates, [{
        _tag: "Listed",
        endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80", weight: 2, priority: 1, zone: "a" }]
      }])
      assert.isFalse(followed.hasEnded())
    }))

  it("refuses a list that cannot be meant, and says which endpoint is wrong", () => {
    for (
      const [list, message] of [
        [[], "Endpoints.fromList: list must not be empty"],
        ["10.0.0.1:80", "Endpoints.fromList: list endpoints must be an array"],
        [["a:1", "a:1"], "Endpoints.fromList: list must not have an address twice"],
        [["a:1", ""], "Endpoints.fromList: #1 address must not be empty"],
        [["a:1", 5], "Endpoints.fromList: #1 address must be text, or a field of an object"],
        [[{ address: "a:1", weight: 0 }], "Endpoints.fromList: a:1 weight must be a number greater than 0, got 0"],
        [[{ address: "a:1", weight: NaN }], "Endpoints.fromList: a:1 weight must be a number greater than 0, got NaN"],
        [
          [{ address: "a:1", weight: "1" }],
          "Endpoints.fromList: a:1 weight must be a number greater than 0, got a string"
        ],
        [
          [{ address: "a:1", priority: -1 }],
          "Endpoints.fromList: a:1 priority must be an integer of at least 0, got -1"
        ],
        [[{ address: "a:1", zone: "" }], "Endpoints.fromList: a:1 zone must be text that is not empty"],
        [
          [{ address: "a:1", attributes: { a: 1 } }],
          "Endpoints.fromList: a:1 attributes must be an object whose values are text"
        ],
        [
          [{ address: "a:1", wieght: 1 }],
          "Endpoints.fromList: a:1 wieght is no field of an endpoint: there are address, weight, priority, zone, attributes"
        ]
      ] as ReadonlyArray<[ReadonlyArray<string>, string]>
    ) {
      assert.strictEqual(options(() => Source.fromList(list)), message)
    }
  })
})

describe("a wrong endpoint", () => {
  it.scoped("is named without the credentials of its address", () =>
    Effect.gen(function*() {
      const list = [{ address: "http://me:hunter2@a:1/?key=hunter2", weight: 0 }]
      const followed = yield* follow(Source.fromStream(Stream.make(list)))
      assert.include(followed.problems()[0], "endpoint http://<redacted>@a:1")
      assert.notInclude(Inspectable.format(followed.updates) + JSON.stringify(followed.updates), "hunter2")
      assert.notInclude(options(() => Source.fromList(list)), "hunter2")
    }))
})

describe("Endpoints.fromStream", () => {
  it.scoped("gives out each list, and keeps the last one when the stream ends", () =>
    Effect.gen(function*() {
      const followed = yield* follow(Source.fromStream(Stream.make(["a:1"], ["a:1", { address: "b:1" }])))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(followed.lists(), [["a:1"], ["a:1", "b:1"]])
      assert.isFalse(followed.hasEnded())
    }))

  it.scoped("takes an address once that a list has twice", () =>
    Effect.gen(function*() {
      const followed = yield* follow(Source.fromStream(Stream.make([{ address: "a:1", weight: 2 }, "a:1", "b:1"])))
      assert.deepStrictEqual(followed.updates, [listed({ address: "a:1", weight: 2 }, { address: "b:1" })])
    }))

  it.scoped("refuses a list with a wrong endpoint as a failed update, and goes on", () =>
    Effect.gen(function*() {
      const followed = yield* follow(Source.fromStream(Stream.make(["a:1"], ["a:1", ""], ["b:1"])))
      assert.deepStrictEqual(followed.lists(), [["a:1"], ["b:1"]])
      const [, failed] = followed.updates
      assert.strictEqual(failed?._tag, "Failed")
      assert.deepStrictEqual(
        (failed as { readonly error: unknown }).error,
        new Source.InvalidEndpoint({ endpoint: "#1", field: "address", problem: "must not be empty" })
      )
    }))

  for (
    const [what, failing] of [
      ["a failure", Stream.fail("gone")],
      ["a defect", Stream.die("gone")]
    ] as ReadonlyArray<[string, Stream.Stream<never, string>]>
  ) {
    it.scoped(`runs a stream again after ${what}, and waits longer each time, at most 30 seconds`, () =>
      Effect.gen(function*() {
        const times: Array<number> = []
        const stream = Stream.unwrap(Effect.map(TestClock.currentTimeMillis, (now) => {
          times.push(now)
          return failing
        }))
        const followed = yield* follow(Source.fromStream(stream))
        yield* TestClock.adjust("1 hour")
        assert.isTrue(followed.updates.every((update) => update._tag === "Failed" && update.error === "gone"))
        const delays = numbers(times)
        assert.isAbove(delays.length, 120)
        delays.forEach((delay, i) => {
          const full = Math.min(30_000, 100 * 1.5 ** i)
          assert.isAtLeast(delay, Math.floor(full / 2))
          assert.isAtMost(delay, Math.ceil(full))
        })
        assert.isAbove(new Set(delays).size, 20)
      }))
  }

  it.scoped("takes the next list when a stream that was dead for an hour is back, within half a minute", () =>
    Effect.gen(function*() {
      let isDead = false
      const gate = yield* Queue.unbounded<void>()
      const stream = Stream.suspend(() =>
        isDead
          ? Stream.fail("dead")
          : Stream.concat(
            Stream.make(["a:1"]),
            Stream.fromEffect(Effect.andThen(Queue.take(gate), Effect.fail("dead")))
          )
      )
      const followed = yield* follow(Source.fromStream(stream))
      isDead = true
      yield* Queue.offer(gate, undefined)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(followed.lists(), [["a:1"]])
      isDead = false
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(followed.lists(), [["a:1"], ["a:1"]])
    }))

  it.scoped("starts the delays over after a run of more than 30 seconds, not after one that fails at once again", () =>
    Effect.gen(function*() {
      const times: Array<number> = []
      let lasts = 0
      const stream = Stream.unwrap(Effect.map(TestClock.currentTimeMillis, (now) => {
        times.push(now)
        return Stream.concat(Stream.make(["a:1"]), Stream.fromEffect(Effect.delay(Effect.fail("cut"), lasts)))
      }))
      yield* follow(Source.fromStream(stream))
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(numbers(times).at(-1)!, 15_000)
      lasts = 31_000
      const before = times.length
      yield* TestClock.adjust("10 minutes")
      const later = numbers(times.slice(before + 1))
      assert.isAbove(later.length, 10)
      later.forEach((delay) => assert.isAtMost(delay, 31_100))
    }))

  it.scoped("stops its stream when nobody follows it any more", () =>
    Effect.gen(function*() {
      let isOpen = false
      const stream = Stream.unwrapScoped(
        Effect.acquireRelease(
          Effect.sync(() => {
            isOpen = true
            return Stream.concat(Stream.make(["a:1"]), Stream.never)
          }),
          () =>
            Effect.sync(() => {
              isOpen = false
            })
        )
      )
      const followed = yield* follow(Source.fromStream(stream))
      assert.isTrue(isOpen)
      yield* followed.stop
      assert.isFalse(isOpen)
    }))
})

/** A look-up that notes when it was made. */
const lookups = (answer: () => Effect.Effect<Source.Lookup, unknown>) => {
  const times: Array<number> = []
  return {
    times,
    lookup: Effect.flatMap(TestClock.currentTimeMillis, (now) => {
      times.push(now)
      return answer()
    })
  }
}

const ok = (ttlMillis?: number) => () => Effect.succeed({ endpoints: ["a:1"], ttlMillis })

describe("Endpoints.poll", () => {
  it.scoped("looks up at once, then every 30 seconds, give or take 20 %", () =>
    Effect.gen(function*() {
      const { lookup, times } = lookups(ok())
      const followed = yield* follow(Source.poll(lookup))
      assert.lengthOf(times, 1)
      yield* TestClock.adjust("1 hour")
      const delays = numbers(times)
      delays.forEach((delay) => {
        assert.isAtLeast(delay, 24_000)
        assert.isAtMost(delay, 36_001)
      })
      assert.isAtLeast(delays.length, 99)
      assert.isAbove(Math.max(...delays) - Math.min(...delays), 6_000)
      assert.lengthOf(followed.updates, times.length)
    }))

  it.scoped("answers a request to refresh at once, and many of them with one look-up in 5 seconds", () =>
    Effect.gen(function*() {
      const { lookup, times } = lookups(ok())
      const followed = yield* follow(Source.poll(lookup))
      yield* TestClock.adjust("10 seconds")
      const asked = yield* TestClock.currentTimeMillis
      yield* followed.refresh
      assert.strictEqual(times[1], asked)
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => Effect.andThen(followed.refresh, TestClock.adjust("100 millis"))
      )
      assert.deepStrictEqual(times.slice(1).map((time) => time - asked), [0, 5_000, 10_000])
    }))

  it.scoped("asks again after a look-up that was in flight when a connection failed", () =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const { lookup, times } = lookups(() => Effect.andThen(Deferred.await(answer), ok()()))
      const followed = yield* follow(Source.poll(lookup))
      yield* followed.refresh
      yield* TestClock.adjust("1 second")
      yield* Deferred.succeed(answer, undefined)
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(numbers(times), [5_000])
    }))

  it.scoped("lets a time to live shorten and lengthen the interval, from 5 seconds to twice the interval", () =>
    Effect.gen(function*() {
      for (
        const [ttl, least, most] of [[10_000, 8_000, 12_001], [1, 5_000, 6_001], [86_400_000, 48_000, 72_001]] as const
      ) {
        const { lookup, times } = lookups(ok(ttl))
        const followed = yield* follow(Source.poll(lookup))
        yield* TestClock.adjust("10 minutes")
        numbers(times).forEach((delay) => {
          assert.isAtLeast(delay, least)
          assert.isAtMost(delay, most)
        })
        assert.isAbove(times.length, 8)
        yield* followed.stop
      }
    }))

  it.scoped("fails for an hour without an end, asking less and less often, and is right within one refresh when it is back", () =>
    Effect.gen(function*() {
      let answer: () => Effect.Effect<Source.Lookup, unknown> = ok()
      const { lookup, times } = lookups(() => answer())
      const followed = yield* follow(Source.poll(lookup))
      answer = () => times.length % 2 === 0 ? Effect.fail("dead") : Effect.die("dead")
      yield* TestClock.adjust("1 minute")
      const before = times.length
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(followed.lists(), [["a:1"]])
      numbers(times.slice(before)).forEach((delay) => {
        assert.isAtLeast(delay, 5_000)
        assert.isAtMost(delay, 30_001)
      })
      answer = () => Effect.succeed({ endpoints: ["b:1"] })
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(followed.lists().slice(0, 2), [["a:1"], ["b:1"]])
    }))

  it.scoped("gives up a look-up that takes more than 10 seconds, and makes the next", () =>
    Effect.gen(function*() {
      let isOpen = 0
      const { lookup } = lookups(() =>
        Effect.acquireUseRelease(
          Effect.sync(() => isOpen++),
          () => Effect.never,
          () => Effect.sync(() => isOpen--)
        )
      )
      const followed = yield* follow(Source.poll(lookup))
      assert.strictEqual(isOpen, 1)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(followed.problems(), ["poll: no answer within 10000 ms"])
      yield* TestClock.adjust("1 minute")
      assert.isAbove(followed.updates.length, 2)
      yield* followed.stop
      assert.strictEqual(isOpen, 0)
    }))

  it.scoped("goes on after a look-up that interrupts itself, and after a wrong endpoint", () =>
    Effect.gen(function*() {
      const answers = [Effect.interrupt, Effect.succeed({ endpoints: [""] }), Effect.succeed({ endpoints: ["a:1"] })]
      const { lookup } = lookups(() => answers.shift() ?? Effect.never)
      const followed = yield* follow(Source.poll(lookup))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.updates.slice(0, 3).map(({ _tag }) => _tag), ["Failed", "Failed", "Listed"])
    }))

  it.scoped("makes no storm of a time to live that is no number", () =>
    Effect.gen(function*() {
      const { lookup, times } = lookups(() =>
        times.length > 100 ? Effect.never : Effect.succeed({ endpoints: ["a:1"], ttlMillis: Number("soon") })
      )
      yield* follow(Source.poll(lookup))
      yield* TestClock.adjust("2 minutes")
      assert.isAtMost(times.length, 6)
      assert.isAbove(times.length, 2)
    }))

  it.scoped("leaves a look-up behind that cannot be interrupted, and makes the next", () =>
    Effect.gen(function*() {
      const end = yield* Deferred.make<void>()
      yield* Effect.addFinalizer(() => Deferred.succeed(end, undefined))
      const { lookup, times } = lookups(() =>
        times.length === 1
          ? Effect.uninterruptible(Effect.as(Deferred.await(end), { endpoints: ["late:1"] }))
          : Effect.succeed({ endpoints: ["a:1"] })
      )
      const followed = yield* follow(Source.poll(lookup))
      yield* TestClock.adjust("1 minute")
      const updates = Array.from(followed.updates)
      yield* Deferred.succeed(end, undefined)
      yield* settled
      assert.deepStrictEqual(updates.slice(0, 2).map(({ _tag }) => _tag), ["Failed", "Listed"])
      assert.notInclude(followed.lists().flat(), "late:1")
    }))

  it.scoped("goes on after a look-up that gives nothing", () =>
    Effect.gen(function*() {
      const answers = [Effect.succeed(undefined as unknown as Source.Lookup), Effect.succeed({ endpoints: ["a:1"] })]
      const { lookup } = lookups(() => answers.shift() ?? Effect.never)
      const followed = yield* follow(Source.poll(lookup))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(followed.updates.slice(0, 2).map(({ _tag }) => _tag), ["Failed", "Listed"])
    }))

  it.scoped("passes an empty list on: it is for the destination to believe it or not", () =>
    Effect.gen(function*() {
      const followed = yield* follow(Source.poll(Effect.succeed({ endpoints: [] })))
      assert.deepStrictEqual(followed.updates, [listed()])
    }))

  it("refuses options out of range", () => {
    const lookup = Effect.succeed({ endpoints: [] })
    for (
      const [given, message] of [
        [{ every: 0 }, "Endpoints.poll: every must be greater than zero, got 0"],
        [{ every: "soon" }, "Endpoints.poll: every must be a duration, such as \"250 millis\", got \"soon\""],
        [
          { every: "1 second", atMostEvery: "2 seconds" },
          "Endpoints.poll: atMostEvery must not be more than every, got 2000 ms"
        ],
        [{ timeout: -1 }, "Endpoints.poll: timeout must not be negative, got -1"],
        [{ evry: 1 }, "Endpoints.poll: evry is not an option, did you mean every?"]
      ] as ReadonlyArray<[Source.PollOptions, string]>
    ) {
      assert.strictEqual(options(() => Source.poll(lookup, given)), message)
    }
  })

  it("recognises its sources", () => {
    assert.isTrue(Source.isSource(Source.fromList(["a:1"])))
    assert.isFalse(Source.isSource({ updates: () => Stream.empty }))
  })
})
