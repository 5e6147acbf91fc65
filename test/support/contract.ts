/**
 * What every adapter does the same way: one suite, run for each of them against a real server that is told what to do.
 */
import {
  Fatal,
  Hedge,
  Retryable,
  RetryExhausted,
  RetryPolicy,
  RetrySchedule,
  type RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import { eventually, settle } from "./eventually.js"
import { assert, describe, it } from "./vitest.js"

/**
 * What the server does with one request:
 *
 * - `Answer`: gives its text back. What it does without a script.
 * - `Fatal`: an error that another attempt would not mend.
 * - `Retryable`: one that it may.
 * - `Hint`: one that it may, after so many milliseconds, or with "do not retry".
 * - `Stall`: never answers, and learns when nobody waits any more.
 * - `Reset`: breaks the connection once it has the request.
 * - `Domain`: an error that the protocol declares for the method.
 */
export type Step =
  | { readonly _tag: "Answer" | "Fatal" | "Retryable" | "Stall" | "Reset" | "Domain" }
  | { readonly _tag: "Hint"; readonly delay: number | "Never" }

/** A request that reached the server. */
export interface Seen {
  readonly text: string
  /** As it was sent: how many attempts came before this one. 0 where nothing was sent. */
  readonly previousAttempts: number
  readonly idempotencyKey: string | undefined
  /** The time that the server was told remains, in milliseconds. */
  readonly remaining: number | undefined
  /** Done when the server learned that nobody waits for the answer. */
  readonly cancelled: Effect.Effect<void>
}

/** A client of the adapter and its server. */
export interface Subject<E> {
  /** The method called is one that is not idempotent, or that nothing was said of. Nothing is retried in it. */
  readonly echo: (
    text: string,
    options?: { readonly idempotent?: false }
  ) => RpcCall.RpcCall<string, Retryable | Fatal | E>
  /** What the server does with the next requests. */
  readonly script: (...steps: ReadonlyArray<Step>) => Effect.Effect<void>
  /** All requests that reached the server since it was started, oldest first. */
  readonly seen: Effect.Effect<ReadonlyArray<Seen>>
  /** Ends the server and its connections at once, and starts it again at the same address. */
  readonly restart: Effect.Effect<void>
}

/** What a protocol has no place for. The suite then shows that nothing comes of it. */
export type Lack = "hint" | "remaining" | "previousAttempts" | "idempotencyKey" | "cancel"

export interface Options<E> {
  readonly make: Effect.Effect<Subject<E>, never, Scope.Scope>
  /** The domain error that the step `Domain` causes; absent where the protocol has none. */
  readonly domain?: (error: E) => void
  readonly lacks?: ReadonlyArray<Lack>
  /** The delay of the step `Hint`, in milliseconds: HTTP knows only whole seconds. Default 120. */
  readonly hint?: number
  /** Why the suite is skipped, as where a program is not installed; `undefined` where it is not. */
  readonly skipped?: string | undefined
}

const step = (_tag: Exclude<Step["_tag"], "Hint">): Step => ({ _tag })

const delays = RetrySchedule.exponential({ base: "5 millis" })

const quick = { schedule: delays.pipe(RetrySchedule.retries(3)) }

/** As the caller sees it, after every `Retryable` was dealt with. */
const failure = <A, E>(self: Effect.Effect<A, E>) => Effect.flip(self)

export const contract = <E>(name: string, { domain, hint = 120, lacks = [], make, skipped }: Options<E>): void => {
  const has = (lack: Lack) => !lacks.includes(lack)

  const test = (says: string, body: (subject: Subject<E>) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(says, () => Effect.flatMap(make, body))

  /** A test whose calls take the time of its `TestClock`; the client and its server were made in real time. */
  const virtual = (says: string, body: (subject: Subject<E>) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scoped(says, () => Effect.flatMap(TestServices.provideLive(make), body))

  /** Waits until the server has had so many requests. */
  const requests = ({ seen }: Subject<E>, count: number) =>
    Effect.zipRight(eventually(Effect.map(seen, (all) => all.length >= count)), seen)

  describe.skipIf(skipped !== undefined)(`the contract of an adapter: ${name} ${skipped ?? ""}`, () => {
    test("success: one request, nothing said of other attempts, of a key or of time", (subject) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* subject.echo("ok: zażółć 漢字").pipe(withRpcRetry), "ok: zażółć 漢字")
        const seen = yield* subject.seen
        assert.deepStrictEqual(
          seen.map((
            { idempotencyKey, previousAttempts, remaining, text }
          ) => [text, previousAttempts, idempotencyKey, remaining]),
          [["ok: zażółć 漢字", 0, undefined, undefined]]
        )
      }))

    test("the call knows its method, a service and a name", ({ echo }) =>
      Effect.sync(() => {
        assert.match(echo("x").method, /^.+\.[^.]+$/)
        assert.strictEqual(echo("x", { idempotent: false }).idempotent, false)
      }))

    test("a Fatal ends the call after one request", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Fatal"))
        const error = yield* failure(subject.echo("x").pipe(withRpcRetry(quick)))
        assert.instanceOf(error, Fatal)
        assert.strictEqual(error.method, subject.echo("x").method)
        assert.strictEqual((yield* subject.seen).length, 1)
      }))

    test("a Retryable is retried, once for each time it comes", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Retryable"), step("Retryable"))
        assert.strictEqual(yield* subject.echo("x").pipe(withRpcRetry(quick)), "x")
        assert.strictEqual((yield* subject.seen).length, 3)
      }))

    test("a connection that breaks is a Retryable; the next attempt has another one", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Reset"))
        assert.strictEqual(yield* subject.echo("x").pipe(withRpcRetry(quick)), "x")
        assert.strictEqual((yield* subject.seen).length, 2)
      }))

    test("exhausted: as many requests as attempts, and the last error", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(...Array.from({ length: 6 }, () => step("Retryable")))
        const error = yield* failure(subject.echo("x").pipe(withRpcRetry(quick)))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.attempts, error.method], [
          "AttemptsExhausted",
          4,
          subject.echo("x").method
        ])
        assert.instanceOf(error.last, Retryable)
        assert.strictEqual(error.last.method, subject.echo("x").method)
        assert.strictEqual((yield* subject.seen).length, 4)
      }))

    if (has("hint")) {
      test("the delay that the server names is waited exactly", (subject) =>
        Effect.gen(function*() {
          yield* subject.script({ _tag: "Hint", delay: hint }, step("Retryable"))
          const once = RetryPolicy.make({ schedule: delays.pipe(RetrySchedule.retries(1)) })
          const error = yield* failure(subject.echo("x").pipe(withRpcRetry(once)))
          assert.instanceOf(error, RetryExhausted)
          assert.strictEqual(error.history.length, 2)
          assert.deepStrictEqual(error.history.map(({ delay }) => delay && Duration.toMillis(delay)), [hint, undefined])
        }))

      test("a server that says no is not asked again", (subject) =>
        Effect.gen(function*() {
          yield* subject.script({ _tag: "Hint", delay: "Never" })
          const error = yield* failure(subject.echo("x").pipe(withRpcRetry(quick)))
          assert.instanceOf(error, RetryExhausted)
          assert.strictEqual(error.reason, "ServerSaidNo")
          assert.strictEqual((yield* subject.seen).length, 1)
        }))
    }

    virtual("an attempt that takes too long is given up, and made again", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Stall"))
        const policy = RetryPolicy.make({ schedule: Schedule.recurs(3), attemptTimeout: "1 minute" })
        const fiber = yield* Effect.fork(subject.echo("x").pipe(withRpcRetry(policy)))
        yield* requests(subject, 1)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Fiber.join(fiber), "x")
        const seen = yield* subject.seen
        assert.strictEqual(seen.length, 2)
        if (has("cancel")) {
          yield* seen[0]!.cancelled
        }
      }))

    virtual("the deadline ends the call, and the server learns it", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Stall"))
        const policy = RetryPolicy.make({ schedule: Schedule.recurs(3), deadline: "1 minute" })
        const fiber = yield* Effect.fork(failure(subject.echo("x").pipe(withRpcRetry(policy))))
        yield* requests(subject, 1)
        yield* TestClock.adjust("1 minute")
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.reason], ["DeadlineExceeded", "AttemptTimeout"])
        const seen = yield* subject.seen
        assert.strictEqual(seen.length, 1)
        if (has("cancel")) {
          yield* seen[0]!.cancelled
        }
      }))

    test("an interrupted call ends though its answer never comes, and the server learns it", (subject) =>
      Effect.gen(function*() {
        yield* subject.echo("warm").pipe(withRpcRetry)
        for (let i = 0; i < 5; i++) {
          yield* subject.script(step("Stall"))
          const before = (yield* subject.seen).length
          const fiber = yield* Effect.fork(subject.echo("x").pipe(withRpcRetry(quick)))
          const seen = (yield* requests(subject, before + 1)).at(-1)!
          yield* Fiber.interrupt(fiber)
          if (has("cancel")) {
            yield* seen.cancelled
          }
        }
        yield* settle()
        assert.strictEqual((yield* subject.seen).length, 6)
        assert.strictEqual(yield* subject.echo("after").pipe(withRpcRetry), "after")
      }))

    /** Starts another attempt beside one without an answer. */
    const hedged = Effect.map(
      Hedge.make({ after: "50 millis", load: 1 }),
      (hedge) => ({ ...quick, idempotent: true, hedge }) as const
    )

    test("a slow attempt has another one beside it, whose answer is taken; the server learns that nobody waits for the first", (subject) =>
      Effect.gen(function*() {
        const policy = yield* hedged
        yield* subject.echo("warm").pipe(withRpcRetry)
        let quickest = Infinity
        // on a busy machine until one of them shows it
        for (let i = 0; i < 5 || has("cancel") && quickest >= 50; i++) {
          yield* subject.script(step("Stall"))
          assert.strictEqual(yield* subject.echo("x").pipe(withRpcRetry(policy)), "x")
          const answered = performance.now()
          const seen = yield* subject.seen
          assert.strictEqual(seen.length, 2 * i + 3)
          if (has("cancel")) {
            yield* seen.at(-2)!.cancelled
            quickest = Math.min(quickest, performance.now() - answered)
          }
        }
        assert.strictEqual(yield* subject.echo("after").pipe(withRpcRetry), "after")
      }))

    test("a Fatal beside a slow attempt ends the call, and the server learns that nobody waits for the slow one", (subject) =>
      Effect.gen(function*() {
        yield* subject.echo("warm").pipe(withRpcRetry)
        yield* subject.script(step("Stall"), step("Fatal"))
        assert.instanceOf(yield* failure(subject.echo("x").pipe(withRpcRetry(yield* hedged))), Fatal)
        const seen = yield* subject.seen
        assert.strictEqual(seen.length, 3)
        if (has("cancel")) {
          yield* seen[1]!.cancelled
        }
      }))

    test("an interrupted call with two attempts side by side ends, and the server learns it of both", (subject) =>
      Effect.gen(function*() {
        yield* subject.echo("warm").pipe(withRpcRetry)
        yield* subject.script(step("Stall"), step("Stall"))
        const fiber = yield* Effect.fork(subject.echo("x").pipe(withRpcRetry(yield* hedged)))
        const seen = yield* requests(subject, 3)
        yield* Fiber.interrupt(fiber)
        if (has("cancel")) {
          yield* seen[1]!.cancelled
          yield* seen[2]!.cancelled
        }
        assert.strictEqual(yield* subject.echo("after").pipe(withRpcRetry), "after")
      }))

    test("each attempt says how much time remains", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Retryable"), step("Retryable"), step("Retryable"))
        const policy = RetryPolicy.make({ ...quick, deadline: "20 seconds" })
        assert.strictEqual(yield* subject.echo("x").pipe(withRpcRetry(policy)), "x")
        const remaining = (yield* subject.seen).map(({ remaining }) => remaining)
        assert.strictEqual(remaining.length, 4)
        if (has("remaining")) {
          const times = remaining.map((time) => time ?? NaN)
          assert.isAtMost(times[0]!, 20_000)
          assert.isAbove(times[3]!, 10_000)
          times.slice(1).forEach((time, i) => assert.isBelow(time, times[i]!))
        } else {
          assert.deepStrictEqual(remaining, [undefined, undefined, undefined, undefined])
        }
      }))

    test("each attempt says its number, and the key of the call", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Retryable"), step("Reset"))
        const policy = { ...quick, idempotencyKey: true }
        yield* subject.echo("first").pipe(withRpcRetry(policy))
        yield* subject.echo("second").pipe(withRpcRetry(policy))
        yield* subject.echo("third").pipe(withRpcRetry({ idempotencyKey: "a key of its own" }))
        const seen = yield* subject.seen
        assert.deepStrictEqual(
          seen.map(({ previousAttempts, text }) => [text, previousAttempts]),
          has("previousAttempts")
            ? [["first", 0], ["first", 1], ["first", 2], ["second", 0], ["third", 0]]
            : [["first", 0], ["first", 0], ["first", 0], ["second", 0], ["third", 0]]
        )
        const keys = seen.map(({ idempotencyKey }) => idempotencyKey)
        if (has("idempotencyKey")) {
          assert.match(keys[0] ?? "", /.{16}/)
          assert.deepStrictEqual(keys.slice(1, 3), [keys[0], keys[0]])
          assert.match(keys[3] ?? "", /.{16}/)
          assert.notStrictEqual(keys[3], keys[0])
          assert.strictEqual(keys[4], "a key of its own")
        } else {
          assert.deepStrictEqual(keys, [undefined, undefined, undefined, undefined, undefined])
        }
      }))

    test("a restart of the server between two calls is not seen by the caller", (subject) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* subject.echo("before").pipe(withRpcRetry), "before")
        yield* subject.restart
        assert.strictEqual(yield* subject.echo("after").pipe(withRpcRetry), "after")
        assert.strictEqual(yield* subject.echo("later"), "later")
      }))

    test("what is not idempotent and may have run is not retried", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(step("Reset"))
        const error = yield* failure(subject.echo("x", { idempotent: false }).pipe(withRpcRetry(quick)))
        assert.instanceOf(error, RetryExhausted)
        assert.deepStrictEqual([error.reason, error.last.delivery], ["NotIdempotent", "Unknown"])
        assert.strictEqual((yield* subject.seen).length, 1)
      }))

    if (domain !== undefined) {
      test("a domain error is not touched, and not retried", (subject) =>
        Effect.gen(function*() {
          yield* subject.script(step("Domain"))
          const error = yield* failure(subject.echo("x").pipe(withRpcRetry(quick)))
          domain(error as E)
          assert.strictEqual((yield* subject.seen).length, 1)
        }))
    }

    test("calls at the same time have their own answers", (subject) =>
      Effect.gen(function*() {
        yield* subject.script(...Array.from({ length: 10 }, () => step("Retryable")))
        const texts = Array.from({ length: 50 }, (_, i) => `call ${i}`)
        const answers = yield* Effect.forEach(
          texts,
          (text) =>
            subject.echo(text).pipe(
              withRpcRetry({ schedule: delays.pipe(RetrySchedule.retries(20)) })
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(answers, texts)
        assert.strictEqual((yield* subject.seen).length, 60)
      }))
  })
}
