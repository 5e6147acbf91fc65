import {
  CallRejected,
  CircuitBreaker,
  Deadline,
  Fallback,
  Fatal,
  InvalidOption,
  type Retryable,
  RetryExhausted,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { pipe } from "effect/Function"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import * as Tracer from "effect/Tracer"
import * as Jumping from "./support/jumpingClock.js"
import * as Lab from "./support/lab.js"
import { play } from "./support/play.js"
import { assert, describe, it } from "./support/vitest.js"
import * as Watch from "./support/watch.js"

class UserNotFound extends Data.TaggedError("UserNotFound")<{}> {}
class NoGuests extends Data.TaggedError("NoGuests")<{ readonly secret?: string }> {}

const fatal = new Fatal({ reason: "NotFound", method: "Users.Get", message: "no such user" })
const open = new CallRejected({ reason: "CircuitOpen", method: "Users.Get", retryIn: Duration.seconds(5) })
const panic = new Fatal({ reason: "ServerError", method: "Users.Get", message: "panic: nil pointer", code: 13 })

/** Fails for good at once. */
const refused: Effect.Effect<string, RetryExhausted | CallRejected | Retryable> = Faults.refused

const once = { schedule: Schedule.stop, method: "Users.Get" } as const

/** A handler that counts how often it is asked. */
const handler = <A>(answer: A) => {
  const seen: Array<unknown> = []
  return {
    seen,
    handle: (error: unknown) =>
      Effect.sync(() => {
        seen.push(error)
        return answer
      })
  }
}

const everyTag = { on: ["RetryExhausted", "CallRejected", "Fatal", "UserNotFound"] } as const

type AnyError = RetryExhausted | CallRejected | Fatal | UserNotFound

const failing = (error: AnyError): Effect.Effect<string, AnyError> => Effect.fail(error)

const exhausted = Effect.runSync(Effect.flip(withRpcRetry(refused, once))) as RetryExhausted

describe("Fallback.withFallback", () => {
  it.effect("gives the answer of the handler to the caller of a call that has given up (Kitex fallback 107)", () =>
    Effect.gen(function*() {
      const { handle, seen } = handler("guest")
      const call = yield* Faults.script([Faults.refused])
      const { exit, took } = yield* play(call.pipe(withRpcRetry, Fallback.withFallback(handle)))
      assert.deepStrictEqual(exit, Exit.succeed("guest"))
      assert.strictEqual(took, 475)
      assert.strictEqual(yield* call.attempts, 4)
      assert.strictEqual((seen as ReadonlyArray<RetryExhausted>)[0]?.attempts, 4)
    }))

  it.effect("is asked once for a call, however many attempts were made", () =>
    Effect.gen(function*() {
      const { handle, seen } = handler("guest")
      const call = yield* Faults.script([Faults.refused])
      yield* play(call.pipe(withRpcRetry({ schedule: Schedule.recurs(50) }), Fallback.withFallback(handle)))
      assert.strictEqual(yield* call.attempts, 51)
      assert.lengthOf(seen, 1)
    }))

  it.effect("without one the error is as it was, and no fallback is counted (Kitex fallback 106)", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(refused.pipe(withRpcRetry({ ...once, method: "NoFallback.Get" })))
      assert.strictEqual(error._tag, "RetryExhausted")
      assert.deepStrictEqual(yield* Lab.metrics("NoFallback"), [])
    }))

  it.effect("is not asked about a success, which it cannot replace (Kitex fallback 109 and 112)", () =>
    Effect.gen(function*() {
      const { handle, seen } = handler("guest")
      assert.strictEqual(yield* Effect.succeed("ada").pipe(withRpcRetry, Fallback.withFallback(handle)), "ada")
      assert.isEmpty(seen)
    }))

  it.effect("sees the arguments of the call, which it has in its scope (Kitex fallback 111)", () =>
    Effect.gen(function*() {
      const get = (id: number) =>
        refused.pipe(withRpcRetry(once), Fallback.withFallback(() => Effect.succeed(`guest ${id}`)))
      assert.strictEqual(yield* get(7), "guest 7")
    }))

  it.effect("handles every error that on names (Kitex fallback 112)", () =>
    Effect.gen(function*() {
      for (const error of [exhausted, open, fatal, new UserNotFound()]) {
        const { handle, seen } = handler("guest")
        assert.strictEqual(yield* failing(error).pipe(Fallback.withFallback(handle, everyTag)), "guest")
        assert.deepStrictEqual(seen, [error])
      }
    }))

  it.effect("by default handles a timeout and an open breaker (Kitex fallback 113)", () =>
    Effect.gen(function*() {
      const hanging = Effect.never.pipe(
        withRpcRetry({ ...once, attemptTimeout: "100 millis" }),
        Fallback.withFallback((error) => Effect.succeed(error))
      )
      const { exit, took } = yield* play(hanging)
      assert.strictEqual(took, 100)
      assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof RetryExhausted)
      assert.strictEqual(yield* failing(open).pipe(Fallback.withFallback(() => Effect.succeed("guest"))), "guest")
    }))

  it.effect("by default leaves Fatal and errors of one's own as they are (Kitex fallback 113 and 116)", () =>
    Effect.gen(function*() {
      for (const error of [fatal, new UserNotFound()]) {
        const { handle, seen } = handler("guest")
        const failed = yield* Effect.flip(failing(error).pipe(Fallback.withFallback(handle)))
        assert.strictEqual<unknown>(failed, error)
        assert.isEmpty(seen)
      }
    }))

  it.effect("a panic of the server is seen with its reason and its code (Kitex fallback 117)", () =>
    Effect.gen(function*() {
      const call: Effect.Effect<string, Fatal | Retryable> = Effect.fail(panic)
      const answer = yield* call.pipe(
        withRpcRetry,
        Fallback.withFallback((error) => Effect.succeed(`${error.reason} ${error.code}`), { on: ["Fatal"] })
      )
      assert.strictEqual(answer, "ServerError 13")
    }))

  it.effect("an error of one's own goes to the caller without a fallback, and to the handler with one (Kitex fallback 115)", () =>
    Effect.gen(function*() {
      const call = failing(new UserNotFound())
      assert.instanceOf(yield* Effect.flip(call), UserNotFound)
      const answer = call.pipe(Fallback.withFallback(() => Effect.succeed("guest"), { on: ["UserNotFound"] }))
      assert.strictEqual(yield* answer, "guest")
    }))

  it.effect("an answer whose body says failure is made an error first, and then handled (Kitex fallback 119)", () =>
    Effect.gen(function*() {
      const body: Effect.Effect<{ ok: boolean }, Retryable> = Effect.succeed({ ok: false })
      const answer = yield* body.pipe(
        Effect.filterOrFail(({ ok }) => ok, () => new UserNotFound()),
        withRpcRetry,
        Fallback.withFallback(() => Effect.succeed({ ok: true }), { on: ["UserNotFound"] })
      )
      assert.deepStrictEqual(answer, { ok: true })
    }))

  it.effect("of two the inner one is asked, and the outer one is not (Kitex fallback 118)", () =>
    Effect.gen(function*() {
      const inner = handler("inner")
      const outer = handler("outer")
      // the types say that the inner one has dealt with the error: so widen it
      const handled: Effect.Effect<string, RetryExhausted> = failing(exhausted).pipe(
        Fallback.withFallback(inner.handle, everyTag)
      )
      assert.strictEqual(yield* handled.pipe(Fallback.withFallback(outer.handle)), "inner")
      assert.isEmpty(outer.seen)
    }))

  it.effect("a handler that fails says so, with both errors; there is no empty answer (Kitex fallback 110)", () =>
    Effect.gen(function*() {
      const guests = new NoGuests({ secret: "hunter2" })
      const failed = yield* Effect.flip(
        refused.pipe(withRpcRetry(once), Fallback.withFallback(() => Effect.fail(guests)))
      )
      assert.instanceOf(failed, Fallback.FallbackFailed)
      assert.instanceOf(failed.error, RetryExhausted)
      assert.strictEqual(failed.fallback, guests)
      assert.strictEqual(failed.message, `${failed.error.message}; its fallback failed too: NoGuests`)
      assert.notInclude(failed.message, "hunter2")
    }))

  it.effect("a second source that fails too is told of in the same words as the first", () =>
    Effect.gen(function*() {
      const second = refused.pipe(withRpcRetry({ ...once, method: "Replica.Get" }))
      const failed = yield* Effect.flip(refused.pipe(withRpcRetry(once), Fallback.withFallback(() => second)))
      assert.match(
        failed.message,
        /^Users.Get failed after 1 attempt .*; its fallback failed too: Replica.Get failed after 1 attempt /
      )
      const third = yield* Effect.flip(
        Effect.fail(failed).pipe(Fallback.withFallback(() => Effect.fail(null), {
          on: ["FallbackFailed"]
        }))
      )
      assert.strictEqual(third.message, `${failed.message}; its fallback failed too: an error without a name`)
    }))

  it.effect("a handler that dies or throws is a defect", () =>
    Effect.gen(function*() {
      for (
        const handle of [
          () => Effect.die("bug"),
          () => {
            throw "bug"
          }
        ]
      ) {
        const exit = yield* Effect.exit(failing(exhausted).pipe(Fallback.withFallback(handle)))
        assert.deepStrictEqual(exit, Exit.die("bug"))
      }
    }))

  it.effect("is not asked about a defect, alone or beside an error; the handled error leaves all the same", () =>
    Effect.gen(function*() {
      const { handle, seen } = handler("guest")
      const both = Effect.failCause(Cause.parallel(Cause.fail(exhausted), Cause.die("bug")))
      const call: Effect.Effect<never, AnyError> = both
      assert.deepStrictEqual(yield* Effect.exit(call.pipe(Fallback.withFallback(handle))), Exit.die("bug"))
      assert.isEmpty(seen)
    }))

  it.effect("of several errors at once all have to be handled ones; else the others stay", () =>
    Effect.gen(function*() {
      const { handle, seen } = handler("guest")
      const of = (other: AnyError): Effect.Effect<never, AnyError> =>
        Effect.failCause(Cause.parallel(Cause.fail<AnyError>(exhausted), Cause.fail(other)))
      assert.deepStrictEqual(yield* Effect.exit(of(fatal).pipe(Fallback.withFallback(handle))), Exit.fail(fatal))
      assert.isEmpty(seen)
      assert.strictEqual(yield* of(open).pipe(Fallback.withFallback(handle)), "guest")
      assert.deepStrictEqual(seen, [exhausted])
    }))

  it.effect("the deadline of the call does not bound the handler, nor is the handler retried", () =>
    Effect.gen(function*() {
      let asked = 0
      const slow = Effect.gen(function*() {
        asked++
        yield* Effect.sleep("3 seconds")
        return yield* Deadline.remaining
      })
      const { exit, took } = yield* play(
        Effect.never.pipe(withRpcRetry({ deadline: "1 second" }), Fallback.withFallback(() => slow))
      )
      assert.strictEqual(took, 4000)
      assert.strictEqual(Exit.isSuccess(exit) && exit.value._tag, "None")
      assert.strictEqual(asked, 1)
    }))

  it("bad options are refused where they are given", () => {
    const call = failing(fatal)
    const handle = () => Effect.succeed("guest")
    const message = (evaluate: () => unknown) => {
      let thrown: unknown
      assert.throws(() => {
        try {
          evaluate()
        } catch (error) {
          thrown = error
          throw error
        }
      })
      assert.instanceOf(thrown, InvalidOption)
      return thrown.message
    }
    const given = (options: object) => message(() => Fallback.withFallback(call, handle, options))
    assert.strictEqual(
      given({ on: [] }),
      "Fallback.withFallback: on must be tags of errors, at least one, got []"
    )
    assert.strictEqual(
      given({ on: "Fatal" }),
      "Fallback.withFallback: on must be tags of errors, at least one, got \"Fatal\""
    )
    assert.strictEqual(
      given({ on: ["Retryable"] }),
      "Fallback.withFallback: on must not name Retryable: place the fallback around withRpcRetry"
    )
    assert.match(given({ no: [] }), /^Fallback.withFallback: no is not an option/)
    assert.match(
      message(() => Fallback.withFallback(call, "guest" as unknown as typeof handle)),
      /^Fallback.withFallback: handler must be a function, got guest/
    )
  })
})

describe("what is told of a call with a fallback", () => {
  it.effect("the call stays a failed one in events, metrics and spans; the fallback is told of beside it (Kitex fallback 114)", () =>
    Effect.gen(function*() {
      const call = refused.pipe(withRpcRetry({ ...once, method: "Told.Get", spans: true }))
      const plain = yield* Lab.watching(Effect.withSpan(call, "request"))
      const before = yield* Lab.metrics("Told")
      const seen = yield* Lab.watching(
        call.pipe(
          Fallback.withFallback(() => Effect.delay(Effect.succeed("guest"), "1 second")),
          Effect.withSpan("request")
        )
      )
      assert.deepStrictEqual(seen.exit, Exit.succeed("guest"))
      assert.deepStrictEqual(seen.events, plain.events)
      assert.deepStrictEqual(seen.logs, plain.logs)
      assert.include(seen.events.at(-1), "outcome=exhausted")
      // the spans of the call and its attempt are as they were; that around it is a success, and says of what
      assert.deepStrictEqual(seen.spans.slice(-2), plain.spans.slice(-2))
      assert.deepStrictEqual(seen.spans.slice(0, 2), [
        "1 request (internal) 0-1000 ok: rpc.fallback=handler",
        "  1000 fallback rpc.method=Told.Get error.type=AttemptsExhausted rpc.fallback.kind=handler rpc.outcome=success"
      ])
      const after = yield* Lab.metrics("Told")
      assert.include(
        after.join("\n"),
        "rpc.client.call.exhausted {error.type=AttemptsExhausted rpc.method=Told.Get} 2"
      )
      const own = after.filter((line) => line.startsWith("rpc.client.fallback"))
      assert.deepStrictEqual(own, [
        "rpc.client.fallback {error.type=AttemptsExhausted rpc.fallback.kind=handler rpc.method=Told.Get rpc.outcome=success} 1"
      ])
      // no series that the call had not made without a fallback
      const names = (lines: ReadonlyArray<string>) => lines.map((line) => line.slice(0, line.lastIndexOf("}")))
      assert.deepStrictEqual(names(after.filter((line) => !own.includes(line))), names(before))
    }))

  it.effect("a fallback is counted by how it ended, with and without a layer, and with the labels of Effect.tagMetrics", () =>
    Effect.gen(function*() {
      const ended = new CallRejected({ reason: "CircuitOpen", method: "Counted.Get" })
      const ask = <A, E>(handled: Effect.Effect<A, E>) =>
        Effect.exit(failing(ended).pipe(Fallback.withFallback(() => handled)))
      yield* ask(Effect.succeed("guest"))
      yield* ask(Effect.fail(new NoGuests({}))).pipe(Effect.provide(RpcRetry.layer()))
      yield* ask(failing(open)).pipe(Effect.tagMetrics("tenant", "blue"))
      yield* ask(Effect.die("bug"))
      yield* ask(Effect.interrupt)
      const series = (outcome: string, more = "") =>
        `rpc.client.fallback {error.type=CircuitOpen rpc.fallback.kind=handler rpc.method=Counted.Get rpc.outcome=${outcome}${more}} 1`
      assert.deepStrictEqual(yield* Lab.metrics("Counted"), [
        series("defect"),
        series("domain"),
        series("interrupted"),
        series("rejected", " tenant=blue"),
        series("success")
      ])
    }))

  it.effect("a fallback of a fallback is counted for the call that failed first", () =>
    Effect.gen(function*() {
      const answer = refused.pipe(
        withRpcRetry({ ...once, method: "Chained.Get" }),
        Fallback.withFallback(() => Effect.fail(new NoGuests({}))),
        Fallback.withFallback(() => Effect.succeed("guest"), { on: ["FallbackFailed"] })
      )
      assert.strictEqual(yield* answer, "guest")
      const series = (outcome: string) =>
        `rpc.client.fallback {error.type=AttemptsExhausted rpc.fallback.kind=handler rpc.method=Chained.Get rpc.outcome=${outcome}} 1`
      assert.deepStrictEqual(yield* Lab.metrics("Chained"), [series("domain"), series("success")])
    }))

  it.effect("an error of one's own has no reason and no method", () =>
    Effect.gen(function*() {
      yield* failing(new UserNotFound()).pipe(
        Fallback.withFallback(() => Effect.succeed("guest"), everyTag),
        Effect.tagMetrics("tenant", "green")
      )
      const own = (yield* Lab.metrics("unnamed")).filter((line) => line.includes("green"))
      assert.deepStrictEqual(own, [
        "rpc.client.fallback {rpc.fallback.kind=handler rpc.method=unnamed rpc.outcome=success tenant=green} 1"
      ])
    }))

  it.effect("a tracer that throws harms nobody", () =>
    Effect.gen(function*() {
      const { tracer } = Lab.recorder(0)
      const throwing = Tracer.make({
        context: (f) => f(),
        span: (...args) =>
          Object.assign(tracer.span(...args), {
            event: () => {
              throw new Error("full")
            }
          })
      })
      const answer = yield* failing(open).pipe(
        Fallback.withFallback(() => Effect.succeed("guest")),
        Effect.withSpan("request"),
        Effect.withTracer(throwing)
      )
      assert.strictEqual(answer, "guest")
    }))
})

/** A call whose answer is set by the test. */
const scripted = (initial: Effect.Effect<string, AnyError | Retryable>) => {
  const state = { answer: initial, calls: 0 }
  const get = (_id: number) =>
    Effect.suspend(() => {
      state.calls++
      return state.answer
    })
  return { state, get }
}

const options = { key: (id: number) => id, maxAge: "1 minute" } as const

/** Asks once while all is well, then lets the calls fail. */
const remembering = (error: Effect.Effect<never, AnyError | Retryable>) =>
  Effect.gen(function*() {
    const { get, state } = scripted(Effect.succeed("ada"))
    const last = yield* Fallback.lastGood(get, options)
    yield* last(1)
    state.answer = error
    return { last, state }
  })

describe("Fallback.lastGood", () => {
  it.effect("gives out the last success of the key, with its age and with why", () =>
    Effect.gen(function*() {
      const { get, state } = scripted(Effect.succeed("ada"))
      const last = yield* Fallback.lastGood(get, options)
      assert.deepStrictEqual(yield* last(1), { _tag: "Fresh", value: "ada" })
      yield* TestClock.adjust("10 seconds")
      state.answer = Effect.succeed("grace")
      yield* last(1)
      yield* TestClock.adjust("20 seconds")
      for (const error of [exhausted, open]) {
        state.answer = Effect.fail(error)
        assert.deepStrictEqual(yield* last(1), { _tag: "Stale", value: "grace", age: Duration.seconds(20), error })
      }
      // it was never asked for another key
      assert.strictEqual(yield* Effect.flip(last(2)), open)
      // and what is stale does not become fresh again
      yield* TestClock.adjust("40 seconds")
      assert.strictEqual((yield* last(1) as Effect.Effect<Fallback.Stale<string>>).age.pipe(Duration.toMillis), 60_000)
    }))

  it.effect("an answer older than maxAge is refused, to the millisecond: nothing is stale for ever", () =>
    Effect.gen(function*() {
      const { last } = yield* remembering(Effect.fail(open))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* last(1))._tag, "Stale")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Effect.flip(last(1)), open)
    }))

  it.effect("a wall clock that is set makes no answer older or younger", () =>
    Effect.gen(function*() {
      const { clock, jump } = yield* Jumping.make
      yield* Effect.withClock(
        Effect.gen(function*() {
          yield* jump(Duration.toMillis("3 hours"))
          const { last } = yield* remembering(Effect.fail(open))
          yield* jump(Duration.toMillis("1 hour"))
          yield* TestClock.adjust("50 seconds")
          const stale = (yield* last(1)) as Fallback.Stale<string>
          assert.strictEqual(Duration.toMillis(stale.age), 50_000)
          yield* jump(-Duration.toMillis("2 hours"))
          yield* TestClock.adjust("11 seconds")
          assert.strictEqual(yield* Effect.flip(last(1)), open)
        }),
        clock
      )
    }))

  it.effect("a Fatal, such as a 404, is never hidden, and what was remembered is forgotten", () =>
    Effect.gen(function*() {
      const { last, state } = yield* remembering(Effect.fail(fatal))
      assert.strictEqual(yield* Effect.flip(last(1)), fatal)
      state.answer = Effect.fail(open)
      assert.strictEqual(yield* Effect.flip(last(1)), open)
    }))

  it.effect("an error of one's own is an answer too: passed on, and what was remembered is forgotten", () =>
    Effect.gen(function*() {
      const { last, state } = yield* remembering(Effect.fail(new UserNotFound()))
      assert.instanceOf(yield* Effect.flip(last(1)), UserNotFound)
      state.answer = Effect.fail(open)
      assert.strictEqual(yield* Effect.flip(last(1)), open)
    }))

  it.effect("what is no answer is passed on and forgets nothing: a Retryable, a timeout around, a defect, a failed fallback", () =>
    Effect.gen(function*() {
      const state: {
        answer: Effect.Effect<string, AnyError | Retryable | Cause.TimeoutException | Fallback.FallbackFailed>
      } = { answer: Effect.succeed("ada") }
      const last = yield* Fallback.lastGood((_id: number) => Effect.suspend(() => state.answer), options)
      yield* last(1)
      for (
        const answer of [
          Faults.refused,
          Effect.fail(new Cause.TimeoutException()),
          Effect.fail(new Fallback.FallbackFailed({ error: exhausted, fallback: open })),
          Effect.die("bug"),
          Effect.interrupt,
          Effect.failCause(Cause.parallel(Cause.fail(exhausted), Cause.die("bug")))
        ]
      ) {
        state.answer = answer
        assert.isTrue(Exit.isFailure(yield* Effect.exit(last(1))))
      }
      state.answer = Effect.fail(open)
      assert.strictEqual((yield* last(1))._tag, "Stale")
    }))

  it.effect("the key that was not used for longest is dropped beyond the capacity, and a use is also an answer given out", () =>
    Effect.gen(function*() {
      const { get, state } = scripted(Effect.succeed("ada"))
      const last = yield* Fallback.lastGood(get, { ...options, capacity: 3 })
      yield* Effect.forEach([1, 2, 3], last)
      state.answer = Effect.fail(open)
      yield* last(1)
      state.answer = Effect.succeed("grace")
      yield* last(4)
      state.answer = Effect.fail(open)
      const kept = yield* Effect.forEach([1, 2, 3, 4], (id) => Effect.isSuccess(last(id)))
      assert.deepStrictEqual(kept, [true, false, true, true])
    }))

  it.effect("keys that are asked for in an outage and were never answered push nothing out", () =>
    Effect.gen(function*() {
      const { get, state } = scripted(Effect.succeed("ada"))
      const last = yield* Fallback.lastGood(get, { ...options, capacity: 1 })
      yield* last(1)
      state.answer = Effect.fail(open)
      yield* Effect.forEach(Array.from({ length: 100 }, (_, i) => i + 2), (id) => Effect.ignore(last(id)))
      assert.strictEqual((yield* last(1))._tag, "Stale")
    }))

  it.effect("is one memory for each run of the effect, and is made with pipe too", () =>
    Effect.gen(function*() {
      const { get, state } = scripted(Effect.succeed("ada"))
      const make = pipe(get, Fallback.lastGood(options))
      const [one, other] = [yield* make, yield* make]
      yield* one(1)
      state.answer = Effect.fail(open)
      assert.strictEqual((yield* one(1))._tag, "Stale")
      assert.strictEqual(yield* Effect.flip(other(1)), open)
    }))

  /** A call whose attempts end as the test says, and when it says. */
  const byHand = Effect.gen(function*() {
    const attempts: Array<Deferred.Deferred<string, AnyError | Retryable>> = []
    const last = yield* Fallback.lastGood((_id: number) =>
      Effect.suspend(() => {
        const attempt = Deferred.unsafeMake<string, AnyError | Retryable>(FiberId.none)
        attempts.push(attempt)
        return Deferred.await(attempt)
      }), options)
    /** Starts a call; its attempt is the next one. */
    const start = Effect.tap(Effect.fork(Effect.either(last(1))), () => Effect.yieldNow())
    const ends = (attempt: number, end: Effect.Effect<string, AnyError | Retryable>) =>
      Effect.zipRight(Deferred.complete(attempts[attempt]!, end), Effect.yieldNow())
    /** What a call is given that fails now. */
    const recalled = Effect.gen(function*() {
      const fiber = yield* start
      yield* ends(attempts.length - 1, Effect.fail(open))
      const answer = yield* fiber
      return answer._tag === "Left" ? answer.left : answer.right.value
    })
    return { start, ends, recalled }
  })

  it.effect("a slow answer does not replace that of a call which started later", () =>
    Effect.gen(function*() {
      const { ends, recalled, start } = yield* byHand
      const slow = yield* start
      yield* start
      yield* ends(1, Effect.succeed("new"))
      yield* ends(0, Effect.succeed("old"))
      const answer = yield* slow
      assert.deepStrictEqual(answer._tag === "Right" && answer.right, { _tag: "Fresh", value: "old" })
      assert.strictEqual(yield* recalled, "new")
    }))

  it.effect("a slow answer does not come back after a newer 404, nor does a slow 404 remove a newer answer", () =>
    Effect.gen(function*() {
      const { ends, recalled, start } = yield* byHand
      yield* start
      yield* start
      yield* ends(1, Effect.fail(fatal))
      yield* ends(0, Effect.succeed("old"))
      assert.strictEqual(yield* recalled, open)
      yield* start
      yield* start
      yield* ends(4, Effect.succeed("new"))
      yield* ends(3, Effect.fail(fatal))
      assert.strictEqual(yield* recalled, "new")
    }))

  it.effect("a call that fails or is interrupted is no newer answer: that of an older one is remembered", () =>
    Effect.gen(function*() {
      const { ends, recalled, start } = yield* byHand
      yield* start
      yield* start
      const cut = yield* start
      yield* ends(1, Effect.fail(open))
      yield* Fiber.interrupt(cut)
      yield* ends(0, Effect.succeed("old"))
      assert.strictEqual(yield* recalled, "old")
    }))

  it.effect("1,000 callers in an outage are all answered behind a real breaker, and cost no more calls than its probes", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        trip: CircuitBreaker.consecutive(3),
        openFor: "5 seconds",
        jitter: 0,
        probes: 1
      })
      let wire = 0
      let isDown = false
      const server = Effect.suspend((): Effect.Effect<string, Retryable> => {
        wire++
        return Effect.zipRight(Effect.sleep("1 millis"), isDown ? Faults.refused : Effect.succeed("ada"))
      })
      const retried = server.pipe(withRpcRetry({ method: "Users.Get", breaker, logs: false }))
      const last = yield* Fallback.lastGood((_id: number) => retried, { ...options, maxAge: "2 minutes" })
      const first = yield* Effect.fork(last(1))
      yield* TestClock.adjust(1)
      yield* first
      isDown = true
      wire = 0
      const callers: Array<Fiber.RuntimeFiber<Fallback.Answer<string>, AnyError>> = []
      for (let wave = 0; wave < 100; wave++) {
        callers.push(...yield* Effect.replicateEffect(Effect.fork(last(1)), wave === 0 ? 1 : 10))
        yield* TestClock.adjust(600)
      }
      const answers = yield* Effect.forEach(callers, Fiber.join)
      assert.lengthOf(answers, 991)
      assert.isTrue(answers.every((answer) => answer._tag === "Stale" && answer.value === "ada"))
      // three failures open it; then a probe each time it has been open for 5 seconds, in a minute
      assert.isAtMost(wire, 3 + 12)
      assert.isAtLeast(wire, 3 + 8)
    }))

  it.effect("1,000 callers in an outage of a minute are all answered, and cost no more calls than the breaker's probes", () =>
    Effect.gen(function*() {
      // a breaker that is open lets one call through every 5 seconds, and turns all others away
      let wire = 0
      let probeAt = Infinity
      const start = yield* Deadline.now
      const server = Effect.suspend((): Effect.Effect<string, Retryable> => {
        wire++
        return probeAt === Infinity ? Effect.succeed("ada") : Faults.refused
      })
      const guarded = (_id: number) =>
        Effect.flatMap(Deadline.now, (now) => {
          if (probeAt !== Infinity && now < probeAt) {
            return Effect.fail(open)
          }
          probeAt = probeAt === Infinity ? Infinity : now + 5000
          return server.pipe(withRpcRetry(once))
        })
      const last = yield* Fallback.lastGood(guarded, { ...options, maxAge: "2 minutes" })
      yield* last(1)
      wire = 0
      probeAt = start + 5000
      const answers: Array<Fallback.Answer<string>> = []
      for (let wave = 0; wave < 100; wave++) {
        answers.push(...yield* Effect.replicateEffect(last(1), 10, { concurrency: "unbounded" }))
        yield* TestClock.adjust(600)
      }
      assert.lengthOf(answers, 1000)
      assert.isTrue(answers.every((answer) => answer._tag === "Stale" && answer.value === "ada"))
      assert.strictEqual(wire, 11)
    }))

  it.effect("an answer given out is counted, and noted on the span around it with its age", () =>
    Effect.gen(function*() {
      const rejected = new CallRejected({ reason: "CircuitOpen", method: "Remembered.Get" })
      const seen = yield* Lab.watching(
        Effect.gen(function*() {
          const { last } = yield* remembering(Effect.fail(rejected))
          yield* Effect.sleep("7 seconds")
          yield* last(1)
          // there is nothing to give out
          yield* Effect.ignore(last(2))
        }).pipe(Effect.withSpan("request"))
      )
      assert.deepStrictEqual(seen.spans, [
        "1 request (internal) 0-7000 ok: rpc.fallback=last_good",
        "  7000 fallback rpc.method=Remembered.Get error.type=CircuitOpen rpc.fallback.kind=last_good rpc.outcome=success rpc.fallback.age_ms=7000"
      ])
      assert.deepStrictEqual(yield* Lab.metrics("Remembered"), [
        "rpc.client.fallback {error.type=CircuitOpen rpc.fallback.kind=last_good rpc.method=Remembered.Get rpc.outcome=success} 1"
      ])
    }))

  it("bad options are refused where they are given", () => {
    const { get } = scripted(Effect.succeed("ada"))
    const given = (more: object) => () => Fallback.lastGood(get, { ...options, ...more })
    assert.throws(given({ maxAge: 0 }), /^Fallback.lastGood: maxAge must be greater than zero, got 0/)
    assert.throws(given({ maxAge: Duration.infinity }), /^Fallback.lastGood: maxAge must be finite/)
    assert.throws(given({ capacity: 0 }), /^Fallback.lastGood: capacity must be an integer of at least 1, got 0/)
    assert.throws(given({ key: "id" }), /^Fallback.lastGood: key must be a function, got id/)
    assert.throws(given({ maxAgee: 5 }), /^Fallback.lastGood: maxAgee is not an option, did you mean maxAge\?/)
  })
})

describe("interruption at every virtual millisecond", { timeout: 600_000 }, () => {
  // one attempt of 10 ms, then 100 ms, another of 10 ms, and a handler of 30 ms
  const runTakes = 150
  const policy = { schedule: Schedule.addDelay(Schedule.recurs(1), () => "100 millis") } as const

  const atEveryMillisecond = (check: (at: number) => Effect.Effect<void>) =>
    Effect.forEach(
      Array.from({ length: runTakes }, (_, i) => i),
      (at) => Effect.provide(check(at), TestContext.TestContext),
      {
        concurrency: 64,
        discard: true
      }
    )

  it.live("of a call, in an attempt or in the handler: ends at once, no fiber, no timer; the handler has ended too", () =>
    atEveryMillisecond((at) =>
      Effect.gen(function*() {
        const watch = yield* Watch.make
        const handled = { started: 0, ended: 0 }
        const handle = Effect.ensuring(
          Effect.suspend(() => {
            handled.started++
            return Effect.sleep("30 millis")
          }),
          Effect.sync(() => handled.ended++)
        )
        const call = Effect.delay(Faults.refused, "10 millis").pipe(
          withRpcRetry(policy),
          Fallback.withFallback(() => handle)
        )
        const last = yield* Fallback.lastGood(() => call, { key: () => 1, maxAge: "1 minute" })
        const fiber = yield* Effect.fork(watch.watch(last()))
        yield* TestClock.adjust(at)
        assert.strictEqual(handled.started, at < 120 ? 0 : 1, `asked by ${at}`)

        const exit = yield* Fiber.interrupt(fiber)

        assert.isTrue(Exit.isInterrupted(exit), `interrupted at ${at}`)
        assert.strictEqual(handled.ended, handled.started, `handlers that ended at ${at}`)
        assert.strictEqual(yield* watch.fibers, 0, `fibers left at ${at}`)
        assert.strictEqual(yield* watch.timers, 0, `timers left at ${at}`)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(handled.started, at < 120 ? 0 : 1, `asked after an interruption at ${at}`)
      })
    ))

  it.effect("the run itself is as long as this test takes it to be", () =>
    Effect.gen(function*() {
      const { exit, took } = yield* play(
        Effect.delay(Faults.refused, "10 millis").pipe(
          withRpcRetry(policy),
          Fallback.withFallback(() => Effect.sleep("30 millis"))
        )
      )
      assert.strictEqual(took, runTakes)
      assert.deepStrictEqual(exit, Exit.void)
    }))
})

describe("names without end", () => {
  it.effect("beyond the first 1000 are counted as other", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(Array.from({ length: 1100 }, (_, i) => i), (i) =>
        failing(new CallRejected({ reason: "CircuitOpen", method: `Many.Get${i}` })).pipe(
          Fallback.withFallback(() =>
            Effect.succeed("guest")
          )
        ))
      const counted = yield* Lab.metrics("Many")
      const other = (yield* Lab.metrics("other")).filter((line) => line.startsWith("rpc.client.fallback"))
      assert.lengthOf(other, 1)
      assert.strictEqual(counted.length + Number(other[0]?.split(" ").at(-1)), 1100)
      assert.isAtMost(counted.length, 1000)
    }))
})
