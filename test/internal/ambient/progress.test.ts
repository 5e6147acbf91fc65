/**
 * What an attempt says of itself before it is cut: a request that was never written was not sent.
 */
import { Deadline, Retryable, RpcCall, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { exhaustedOf, play } from "../../support/play.js"
import { assert, describe, it } from "../../support/vitest.js"

const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" })

/** A request that waits for a way to the server, which is there after a while, and then for its answer. */
const request = (way: number, answer: number) =>
  Deadline.whileUnsent((progress) =>
    Effect.sync(() => progress.failed(refused)).pipe(
      Effect.zipRight(Effect.sleep(way)),
      Effect.flatMap(() => progress.sending() ? Effect.sleep(answer) : Effect.fail(refused))
    )
  )

/** A request of a transport that says nothing of it. */
const silent = (answer: number) => Effect.sleep(answer)

const options: RpcRetry.Options = { attemptTimeout: 100, idempotent: false, schedule: Schedule.recurs(1) }

/** How the attempts of a call ended that was given up, and why it was. */
const story = <A, E>(call: Effect.Effect<A, E | Retryable>, more: RpcRetry.Options = {}) =>
  Effect.map(play(withRpcRetry(call, { ...options, ...more })), ({ exit }) => {
    const { history, reason } = exhaustedOf(exit)
    return [reason, ...history.map(({ error }) => `${error.reason} ${error.delivery}`)]
  })

const notSent = ["AttemptsExhausted", "AttemptTimeout NotSent", "AttemptTimeout NotSent"]
const mayHaveRun = ["NotIdempotent", "AttemptTimeout Unknown"]

describe("an attempt that is cut", () => {
  it.effect("before its request was written was not sent, is repeated, and says what it waited for", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* story(request(1_000, 0)), notSent)
      const { exit } = yield* play(withRpcRetry(request(1_000, 0), options))
      const { last } = exhaustedOf(exit)
      assert.strictEqual(last.cause, refused)
      assert.strictEqual(last.message, "attempt timed out, not sent: connection refused (ECONNREFUSED), not sent")
    }))

  it.effect("after its request was written may have run, and so may one that says nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* story(request(50, 1_000)), mayHaveRun)
      assert.deepStrictEqual(yield* story(silent(1_000)), mayHaveRun)
    }))

  it.effect("by the deadline says what it waited for", () =>
    Effect.gen(function*() {
      const byDeadline = { attemptTimeout: undefined, deadline: 100 }
      assert.deepStrictEqual(yield* story(request(1_000, 0), byDeadline), [
        "DeadlineExceeded",
        "AttemptTimeout NotSent"
      ])
      assert.deepStrictEqual(yield* story(request(50, 1_000), byDeadline), [
        "DeadlineExceeded",
        "AttemptTimeout Unknown"
      ])
      assert.deepStrictEqual(
        yield* story(request(1_000, 0), { attemptTimeout: 100, deadline: 150 }),
        ["DeadlineExceeded", "AttemptTimeout NotSent", "AttemptTimeout NotSent"]
      )
    }))

  it.effect("may have run when any of its requests was sent", () =>
    Effect.gen(function*() {
      const waiting = request(1_000, 0)
      const sent = request(10, 1_000)
      assert.deepStrictEqual(yield* story(Effect.zipRight(request(10, 10), waiting)), mayHaveRun)
      assert.deepStrictEqual(yield* story(Effect.all([waiting, sent], { concurrency: 2 })), mayHaveRun)
      assert.deepStrictEqual(yield* story(Effect.all([sent, waiting], { concurrency: 2 })), mayHaveRun)
      assert.deepStrictEqual(yield* story(Effect.all([waiting, waiting], { concurrency: 2 })), notSent)
    }))

  it.effect("may have run when a request that was not sent gave way to one that says nothing", () =>
    Effect.gen(function*() {
      const failed = Deadline.whileUnsent(() => Effect.fail("no way" as const))
      assert.deepStrictEqual(yield* story(Effect.catchAll(failed, () => silent(1_000))), mayHaveRun)
      const raced = Effect.raceFirst(Deadline.whileUnsent(() => Effect.never), Effect.sleep(10))
      assert.deepStrictEqual(yield* story(Effect.zipRight(raced, silent(1_000))), mayHaveRun)
    }))

  it.effect("knows what the calls inside it have sent", () =>
    Effect.gen(function*() {
      const inner = (call: Effect.Effect<void, Retryable>) =>
        withRpcRetry(call, { attemptTimeout: 60, idempotent: true, schedule: Schedule.recurs(9) })
      assert.deepStrictEqual(yield* story(inner(request(1_000, 0))), notSent)
      assert.deepStrictEqual(yield* story(inner(request(10, 1_000))), mayHaveRun)
      const beside = Effect.all([request(1_000, 0), inner(request(10, 1_000))], { concurrency: 2 })
      assert.deepStrictEqual(yield* story(beside), mayHaveRun)
    }))

  it.effect("as not sent is not written any more, though it is slow to let go", () =>
    Effect.gen(function*() {
      const written: Array<boolean> = []
      const slow = Deadline.whileUnsent((progress) =>
        Effect.sleep(150).pipe(Effect.map(() => void written.push(progress.sending())), Effect.uninterruptible)
      )
      assert.deepStrictEqual(yield* story(slow), notSent)
      // that of a call inside is the same attempt
      assert.deepStrictEqual(yield* story(withRpcRetry(slow, { deadline: 1_000 })), notSent)
      assert.deepStrictEqual(written, [false, false, false, false])
    }))
})

describe("an attempt that is cut behind an operator", () => {
  const named = (idempotent: boolean | undefined, method = "Orders.Place") =>
    RpcCall.make(silent(1_000), { method, idempotent })
  const attempts = <E>(call: Effect.Effect<unknown, E | Retryable>, more: RpcRetry.Options = {}) =>
    Effect.map(
      play(withRpcRetry(call, { attemptTimeout: 100, schedule: Schedule.recurs(2), ...more })),
      ({ exit }) => exhaustedOf(exit)
    )

  it.effect("is not made again when its call must not run twice", () =>
    Effect.gen(function*() {
      const piped = Effect.asVoid(named(false))
      const error = yield* attempts(piped)
      assert.deepStrictEqual([error.reason, error.attempts, error.method], ["NotIdempotent", 1, "Orders.Place"])
      assert.strictEqual((yield* attempts(Effect.withSpan(piped, "order"))).attempts, 1)
      assert.strictEqual((yield* attempts(piped, { idempotent: true })).attempts, 3)
      assert.strictEqual((yield* attempts(withRpcRetry(piped, { deadline: 5_000 }))).attempts, 1)
    }))

  it.effect("is when it may, or when nobody said", () =>
    Effect.gen(function*() {
      const refuses = Effect.provide(RpcRetry.layer({ default: { idempotent: false } }))
      assert.strictEqual((yield* attempts(Effect.asVoid(named(true))).pipe(refuses)).attempts, 3)
      assert.strictEqual((yield* attempts(Effect.asVoid(named(undefined)))).attempts, 3)
      assert.strictEqual((yield* attempts(Effect.asVoid(named(undefined))).pipe(refuses)).attempts, 1)
    }))

  it.effect("of several calls is as careful as the most careful of them", () =>
    Effect.gen(function*() {
      const attemptsOf = (...idempotent: ReadonlyArray<boolean | undefined>) =>
        Effect.map(
          attempts(Effect.all(idempotent.map((each, i) => named(each, `A.${i}`)), { concurrency: "unbounded" })).pipe(
            Effect.provide(RpcRetry.layer({ default: { idempotent: false } }))
          ),
          ({ attempts }) => attempts
        )
      assert.strictEqual(yield* attemptsOf(true, true), 3)
      assert.strictEqual(yield* attemptsOf(true, false), 1)
      assert.strictEqual(yield* attemptsOf(false, true), 1)
      assert.strictEqual(yield* attemptsOf(true, undefined), 1)
      assert.strictEqual(yield* attemptsOf(undefined, true), 1)
      assert.strictEqual(yield* attemptsOf(false, undefined, true), 1)
    }))
})

describe("an attempt of several calls that is cut", () => {
  it.effect("is not made again when one of them must not run twice, and is when nobody said so", () =>
    Effect.gen(function*() {
      for (
        const [said, attempts] of [
          [[true, true], 3],
          [[true, false], 1],
          [[false, true], 1],
          [[false, undefined], 1],
          [[undefined, false], 1],
          [[true, undefined], 3],
          [[undefined, true], 3]
        ] as const
      ) {
        const calls = said.map((idempotent, i) => RpcCall.make(silent(1_000), { method: `A.${i}`, idempotent }))
        const { exit } = yield* play(
          withRpcRetry(Effect.all(calls, { concurrency: 2 }), { attemptTimeout: 100, schedule: Schedule.recurs(2) })
        )
        assert.strictEqual(exhaustedOf(exit).attempts, attempts, said.join())
      }
    }))
})

describe("whileUnsent", () => {
  it.effect("lets a request be written that nothing would cut", () =>
    Effect.gen(function*() {
      const sending = Deadline.whileUnsent((progress) => {
        progress.failed(refused)
        return Effect.sync(() => progress.sending())
      })
      assert.isTrue(yield* sending)
      assert.isTrue(yield* withRpcRetry(sending))
      assert.isTrue(yield* withRpcRetry(RpcCall.make(sending, { method: "A.B" }), { attemptTimeout: 100 }))
    }))

  it.effect("ends what it runs when the caller is interrupted", () =>
    Effect.gen(function*() {
      const ended = yield* Deferred.make<void>()
      const call = Deadline.whileUnsent(() =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined))
      )
      const fiber = yield* Effect.fork(withRpcRetry(call, { attemptTimeout: 100 }))
      yield* TestClock.adjust(50)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(yield* Deferred.isDone(ended))
    }))
})
