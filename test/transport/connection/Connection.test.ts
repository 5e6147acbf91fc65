import { Connections, InvalidOption } from "effect-rpc-retry"
import * as Connection from "effect-rpc-retry/Connection"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as JumpingClock from "../../support/jumpingClock.js"
import { assert, describe, it } from "../../support/vitest.js"

/** A dial that takes 10 ms, with everything that happens counted. */
const dialler = (outcomes: ReadonlyArray<"ok" | "refused" | "crash"> = []) => {
  const log = {
    dials: 0,
    open: 0,
    at: [] as Array<number>,
    discards: [] as Array<Effect.Effect<void>>,
    healthy: [] as Array<Effect.Effect<void>>
  }
  const dial = ({ discard, healthy }: Connection.Dialled) =>
    Effect.gen(function*() {
      const number = ++log.dials
      log.at.push(yield* Clock.currentTimeMillis)
      log.discards.push(discard)
      log.healthy.push(healthy)
      yield* Effect.sleep(10)
      const outcome = outcomes[number - 1] ?? "ok"
      if (outcome === "refused") {
        return yield* Effect.fail(`refused ${number}`)
      }
      if (outcome === "crash") {
        return yield* Effect.die("crash")
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => log.open++),
        () => Effect.sync(() => log.open--)
      )
      return number
    })
  const make = (lifetime: Connection.Lifetime = {}) => Connection.make({ dial, closed: () => "closed", ...lifetime })
  return { dial, log, make }
}

describe("Connection", () => {
  it.scoped("does not dial before somebody asks", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      yield* make()
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(log.dials, 0)
    }))

  it.scoped("one dial serves all who wait, and all who come later", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make()
      const fibers = yield* Effect.forEach(Array(1000), () => Effect.fork(connection.use(Effect.succeed)))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([1]))
      assert.strictEqual(yield* connection.use(Effect.succeed), 1)
      assert.deepStrictEqual([log.dials, log.open], [1, 1])
    }))

  it.scoped("a use tells its caller once that it has ended: with a success, a failure and an interruption", () =>
    Effect.gen(function*() {
      const connection = yield* dialler().make()
      const ended: Array<string> = []
      const use = <A, E>(name: string, effect: Effect.Effect<A, E>) =>
        connection.use(() => effect, { ended: () => ended.push(name) })
      const waiting = yield* Effect.fork(use("interrupted", Effect.never))
      yield* TestClock.adjust(10)
      yield* use("succeeded", Effect.succeed(1))
      yield* Effect.flip(use("failed", Effect.fail("no")))
      assert.deepStrictEqual(ended, ["succeeded", "failed"])
      yield* Fiber.interrupt(waiting)
      assert.deepStrictEqual(ended, ["succeeded", "failed", "interrupted"])
    }))

  it.scoped("one failed dial fails all who wait, with one error, and is forgotten", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused"])
      const connection = yield* make()
      const fibers = yield* Effect.forEach(Array(10), () => Effect.fork(Effect.flip(connection.use(Effect.succeed))))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set(["refused 1"]))
      assert.strictEqual(log.dials, 1)
      const next = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(110)
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.scoped("a waiter that is told of a failed dial dials anew when it asks again at once", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused"])
      const connection = yield* make()
      const fibers = yield* Effect.forEach(
        Array(10),
        () => Effect.fork(Effect.catchAll(connection.use(Effect.succeed), () => connection.use(Effect.succeed)))
      )
      yield* TestClock.adjust(10)
      yield* TestClock.adjust(99)
      assert.strictEqual(log.dials, 1)
      yield* TestClock.adjust(11)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([2]))
      assert.strictEqual(log.dials, 2)
    }))

  it.scoped("a dial that crashes is forgotten too", () =>
    Effect.gen(function*() {
      const { make } = dialler(["crash"])
      const connection = yield* make()
      const fiber = yield* Effect.fork(Effect.exit(connection.use(Effect.succeed)))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.die("crash"))
      const next = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(110)
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.scoped("a discarded connection is closed and never given out again", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make({ healthyAfter: 0 })
      const first = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(first), 1)
      yield* log.discards[0]!
      const next = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(0)
      assert.strictEqual(log.open, 0)
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(next), 2)
      // said twice it changes nothing
      yield* log.discards[0]!
      assert.strictEqual(yield* connection.use(Effect.succeed), 2)
      assert.deepStrictEqual([log.dials, log.open], [2, 1])
    }))

  it.scoped("a waiter that is interrupted leaves at once, and the others get the connection", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make()
      const gone = yield* Effect.fork(connection.use(Effect.succeed))
      const stays = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(5)
      yield* Fiber.interrupt(gone)
      assert.isNull(stays.unsafePoll())
      yield* TestClock.adjust(5)
      assert.strictEqual(yield* Fiber.join(stays), 1)
      assert.strictEqual(log.dials, 1)
    }))

  it.effect("closing the scope closes the connection, and tells those who wait and those who come", () =>
    Effect.gen(function*() {
      for (const wait of [0, 5, 10]) {
        const { log, make } = dialler()
        const scope = yield* Scope.make()
        const connection = yield* Scope.extend(make(), scope)
        const waiting = yield* Effect.fork(Effect.exit(connection.use(Effect.succeed)))
        yield* TestClock.adjust(wait)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* Fiber.join(waiting), wait < 10 ? Exit.fail("closed") : Exit.succeed(1))
        assert.strictEqual(yield* Effect.flip(connection.use(Effect.succeed)), "closed")
        assert.strictEqual(log.open, 0)
      }
    }))

  it.scoped("a dial needs what it needs from where the connection was made", () =>
    Effect.gen(function*() {
      const ready = yield* Deferred.make<string>()
      const connection = yield* Connection.make({
        dial: () =>
          Effect.zipRight(Effect.addFinalizer(() => Deferred.succeed(ready, "released")), Effect.succeed("a")),
        closed: () => "closed"
      })
      assert.strictEqual(yield* connection.use(Effect.succeed), "a")
      assert.isFalse(yield* Deferred.isDone(ready))
    }))
})

/** Uses the connection at once, and again and again when it fails, as a caller with no patience would. */
const stubborn = <A>(connection: Connection.Connection<A, string>) =>
  connection.use(Effect.succeed).pipe(Effect.retry(Schedule.forever))

describe("Connection: the dial backoff", () => {
  it.scoped("dials that fail are 100, 150, 225 ... ms apart and at most 1 s, however many ask how often", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(Array(9).fill("refused"))
      const connection = yield* make()
      const fibers = yield* Effect.forEach(Array(100), () => Effect.fork(stubborn(connection)))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([10]))
      const waits = log.at.slice(1).map((at, i) => Math.round(at - log.at[i]! - 10))
      assert.deepStrictEqual(waits, [100, 150, 225, 338, 506, 759, 1000, 1000, 1000])
    }))

  it.scoped("who asks when the delay is over does not wait", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused", "refused"])
      const connection = yield* make()
      for (const i of [1, 2, 3]) {
        const fiber = yield* Effect.fork(Effect.exit(connection.use(Effect.succeed)))
        yield* TestClock.adjust(10)
        assert.strictEqual(log.dials, i)
        assert.strictEqual((yield* Fiber.join(fiber))._tag, i < 3 ? "Failure" : "Success")
        yield* TestClock.adjust(150)
      }
    }))

  it.scoped("a connection that breaks before it was healthy counts as a failed dial; one that was, starts over", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make({ healthyAfter: "5 seconds" })
      const waits: Array<number> = []
      const next = (before: Effect.Effect<void>) =>
        Effect.gen(function*() {
          yield* before
          const broken = yield* Clock.currentTimeMillis
          yield* log.discards.at(-1)!
          const fiber = yield* Effect.fork(connection.use(Effect.succeed))
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(fiber)
          waits.push(log.at.at(-1)! - broken)
        })
      const first = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(10)
      yield* Fiber.join(first)
      yield* next(Effect.void)
      yield* next(Effect.void)
      // its age is enough
      yield* next(TestClock.adjust("5 seconds"))
      yield* next(Effect.void)
      // or that the peer has answered
      yield* next(Effect.suspend(() => log.healthy.at(-1)!))
      assert.deepStrictEqual(waits, [100, 150, 0, 100, 0])
    }))

  it.scoped("when nobody waits any more, a dial that has not begun is not made", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused"])
      const connection = yield* make()
      const fiber = yield* Effect.fork(stubborn(connection))
      yield* TestClock.adjust(50)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(log.dials, 1)
      const next = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.scoped("a schedule that ends begins again", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(Array(4).fill("refused"))
      const connection = yield* make({
        dialBackoff: Schedule.spaced("1 minute").pipe(Schedule.intersect(Schedule.recurs(2)))
      })
      const fiber = yield* Effect.fork(stubborn(connection))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Fiber.join(fiber), 5)
      assert.deepStrictEqual(log.at.map((at, i) => at - log.at[0]! - 10 * i), [0, 60_000, 120_000, 180_000, 240_000])
    }))
})

describe("Connection: its end", () => {
  const hold = (connection: Connection.Connection<number, string>, millis: number) =>
    Effect.fork(connection.use((number) => Effect.as(Effect.sleep(millis), number)))

  it.scoped("at its maximum age it is replaced, and finishes what it has begun", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make({ maxAge: "10 minutes" })
      const long = yield* hold(connection, 1_000_000)
      yield* TestClock.adjust("8 minutes")
      assert.strictEqual(yield* connection.use(Effect.succeed), 1)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(yield* connection.state, "draining")
      const next = yield* hold(connection, 1)
      yield* TestClock.adjust(11)
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.deepStrictEqual([log.open, yield* connection.state], [2, "ready"])
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(yield* Fiber.join(long), 1)
      assert.deepStrictEqual([log.open, yield* connection.state], [1, "ready"])
    }))

  it.scoped("maximum ages differ by up to a tenth", () =>
    Effect.gen(function*() {
      const logs = yield* Effect.forEach(Array(50), () =>
        Effect.gen(function*() {
          const { log, make } = dialler()
          yield* Effect.flatMap(make({ maxAge: "100 seconds" }), (connection) => hold(connection, 1))
          return log
        }))
      yield* TestClock.adjust("89 seconds")
      const open = () => logs.filter((log) => log.open === 1).length
      assert.strictEqual(open(), 50)
      yield* TestClock.adjust("11 seconds")
      assert.isTrue(open() > 5 && open() < 45)
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual(open(), 0)
    }))

  it.scoped("it is closed when nobody used it for the idle timeout, and dialled when somebody does", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make({ idleTimeout: "1 minute" })
      const long = yield* hold(connection, 300_000)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual([log.open, log.dials], [1, 1])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(long)
      for (let i = 0; i < 10; i++) {
        yield* connection.use(Effect.succeed)
        yield* TestClock.adjust("59 seconds")
      }
      assert.deepStrictEqual([log.open, log.dials], [1, 1])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual([log.open, yield* connection.state], [0, "idle"])
      const next = yield* hold(connection, 1)
      yield* TestClock.adjust(11)
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.scoped("close waits for those who use it or wait for it, and refuses others", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make()
      const running = yield* hold(connection, 1000)
      yield* TestClock.adjust(5)
      const waiting = yield* hold(connection, 2000)
      const closing = yield* Effect.fork(connection.close)
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* Effect.flip(connection.use(Effect.succeed)), "closed")
      assert.strictEqual(yield* connection.state, "draining")
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(running), 1)
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(waiting), 1)
      yield* Fiber.join(closing)
      assert.deepStrictEqual([log.open, log.dials, yield* connection.state], [0, 1, "closed"])
      yield* connection.close
    }))

  it.effect("the end of the scope gives them the drain timeout, and no more", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(make({ drainTimeout: 1000 }), scope)
      const short = yield* hold(connection, 500)
      const long = yield* hold(connection, 5000)
      yield* TestClock.adjust(10)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(999)
      assert.deepStrictEqual([yield* Fiber.join(short), log.open], [1, 1])
      assert.isNull(closing.unsafePoll())
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      assert.deepStrictEqual([log.open, yield* connection.state], [0, "closed"])
      yield* Fiber.interrupt(long)
    }))

  it.effect("its states are a stream, that ends with it", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused"])
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(make({ maxAge: "1 minute" }), scope)
      const states = yield* Effect.fork(Stream.runCollect(connection.states))
      yield* TestClock.adjust(1)
      const first = yield* Effect.fork(stubborn(connection))
      yield* TestClock.adjust(200)
      yield* Fiber.join(first)
      yield* log.discards[1]!
      const second = yield* Effect.fork(connection.use(() => Effect.sleep("2 minutes")))
      yield* TestClock.adjust("3 minutes")
      yield* Fiber.join(second)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(states)), [
        "idle",
        "connecting",
        "broken",
        "connecting",
        "ready",
        "broken",
        "connecting",
        "ready",
        "draining",
        "idle",
        "closed"
      ])
    }))

  it("durations that are none are refused by name", () => {
    for (const field of ["healthyAfter", "idleTimeout", "maxAge", "drainTimeout"]) {
      const thrown = Effect.runSync(Effect.flip(Effect.try({
        try: () => dialler().make({ [field]: -1 }),
        catch: (error) => error
      })))
      assert.instanceOf(thrown, InvalidOption)
      assert.include((thrown as Error).message, `Connection.make: ${field}`)
    }
  })

  it.scoped("close does not wait for a dial that nobody waits for, begun or not", () =>
    Effect.gen(function*() {
      const never = yield* Connection.make({ dial: () => Effect.never, closed: () => "closed" })
      const gone = yield* Effect.fork(never.use(Effect.succeed))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(gone)
      yield* never.close
      assert.strictEqual(yield* never.state, "closed")
      const { log, make } = dialler(["refused"])
      const connection = yield* make()
      const waiting = yield* Effect.fork(stubborn(connection))
      yield* TestClock.adjust(50)
      const closing = yield* Effect.fork(connection.close)
      yield* TestClock.adjust(1)
      assert.isNull(closing.unsafePoll())
      yield* Fiber.interrupt(waiting)
      yield* Fiber.join(closing)
      assert.strictEqual(log.dials, 1)
    }))

  it.scoped("a connection that closes only drains, also when it must be dialled for those who wait", () =>
    Effect.gen(function*() {
      const { make } = dialler(["refused"])
      const connection = yield* make()
      const states = yield* Effect.fork(Stream.runCollect(connection.states))
      const waiting = yield* Effect.fork(stubborn(connection))
      yield* TestClock.adjust(50)
      const closing = yield* Effect.fork(connection.close)
      yield* TestClock.adjust(100)
      yield* Fiber.join(waiting)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(Array.from(yield* Fiber.join(states)), [
        "idle",
        "connecting",
        "broken",
        "draining",
        "closed"
      ])
    }))

  it.scoped("close that was interrupted goes on, and the states end", () =>
    Effect.gen(function*() {
      const { make } = dialler()
      const connection = yield* make()
      const states = yield* Effect.fork(Stream.runDrain(connection.states))
      yield* hold(connection, 500)
      yield* TestClock.adjust(20)
      const closing = yield* Effect.fork(connection.close)
      yield* TestClock.adjust(20)
      yield* Fiber.interrupt(closing)
      yield* TestClock.adjust(1000)
      yield* Fiber.join(states)
      assert.strictEqual(yield* connection.state, "closed")
    }))

  for (const drainTimeout of [0, 100]) {
    it.effect(`close completes at the end of the scope, and after it, with a drainTimeout of ${drainTimeout} ms`, () =>
      Effect.gen(function*() {
        const { log, make } = dialler()
        const scope = yield* Scope.make()
        const connection = yield* Scope.extend(make({ drainTimeout }), scope)
        yield* hold(connection, 10_000)
        yield* TestClock.adjust(20)
        const closing = yield* Effect.fork(Effect.zipRight(connection.close, connection.state))
        yield* TestClock.adjust(20)
        const end = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* TestClock.adjust(200)
        yield* Fiber.join(end)
        assert.deepStrictEqual([yield* Fiber.join(closing), log.open], ["closed", 0])
        yield* connection.close
        const other = yield* Effect.scoped(make({ drainTimeout }))
        yield* other.close
        assert.strictEqual(yield* other.state, "closed")
      }))
  }

  it.scoped("the idle timeout counts from the end of the last use", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make({ idleTimeout: "1 minute" })
      const long = yield* hold(connection, 119_000)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(long)
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(log.open, 1)
      yield* TestClock.adjust("70 seconds")
      assert.strictEqual(log.open, 0)
    }))

  it.scoped("a connection that breaks while it is dialled is given to nobody: those who wait get the next one", () =>
    Effect.gen(function*() {
      let dials = 0
      const connection = yield* Connection.make({
        dial: ({ discard }) => Effect.suspend(() => ++dials === 1 ? Effect.as(discard, dials) : Effect.succeed(dials)),
        closed: () => "closed"
      })
      const fibers = yield* Effect.forEach(Array(3), () => Effect.fork(connection.use(Effect.succeed)))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([2]))
      assert.strictEqual(dials, 2)
    }))

  it.scoped("a backoff that fails leaves no caller behind, and one that takes time no connection", () =>
    Effect.gen(function*() {
      const failing = dialler(["refused"])
      const connection = yield* failing.make({
        dialBackoff: Schedule.spaced(10).pipe(Schedule.map(() => {
          throw new Error("a bug")
        }))
      })
      const fiber = yield* Effect.fork(stubborn(connection))
      yield* TestClock.adjust(20)
      assert.strictEqual(yield* Fiber.join(fiber), 2)
      const slow = dialler()
      const other = yield* slow.make({
        dialBackoff: Schedule.spaced(10).pipe(Schedule.addDelayEffect(() => Effect.as(Effect.sleep(50), "0 millis")))
      })
      yield* hold(other, 1)
      yield* TestClock.adjust(20)
      const discarding = yield* Effect.fork(slow.log.discards[0]!)
      yield* TestClock.adjust(1)
      assert.strictEqual(slow.log.open, 0)
      yield* Effect.fork(Fiber.interrupt(discarding))
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* other.state, "broken")
    }))

  it.scoped("who learns late that a connection was healthy does not forgive the next one", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make()
      yield* hold(connection, 1)
      yield* TestClock.adjust(20)
      yield* log.discards[0]!
      yield* log.healthy[0]!
      yield* hold(connection, 1)
      yield* TestClock.adjust(99)
      assert.strictEqual(log.dials, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(log.dials, 2)
    }))
})

describe("Connection: what is shown of it", () => {
  it.scoped("who waits for it is told how the last dial failed, and of none before one that succeeded", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused", "refused"])
      const connection = yield* make()
      const use = Effect.gen(function*() {
        const told: Array<unknown> = []
        const progress = { failed: (error: unknown) => void told.push(error), sending: () => true }
        const fiber = yield* Effect.fork(Effect.exit(connection.use(Effect.succeed, { progress })))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        return told
      })
      assert.deepStrictEqual([yield* use, yield* use, yield* use], [[], ["refused 1"], ["refused 2"]])
      // nobody waits for a connection that is there
      assert.deepStrictEqual(yield* use, [])
      yield* log.discards.at(-1)!
      assert.deepStrictEqual(yield* use, [])
    }))

  it.scoped("it is not called ready by a dial that was discarded while the next one is made", () =>
    Effect.gen(function*() {
      let dials = 0
      const connection = yield* Connection.make({
        dial: ({ discard }) =>
          ++dials === 1
            ? Effect.sleep(10).pipe(Effect.zipRight(discard), Effect.zipRight(Effect.sleep(200)), Effect.as(1))
            : Effect.as(Effect.sleep(1_000), 2),
        closed: () => "closed"
      })
      const early = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(20)
      assert.strictEqual(yield* connection.state, "broken")
      const late = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(180)
      assert.deepStrictEqual([dials, yield* connection.state], [2, "connecting"])
      // the first dial has succeeded, and is of no use
      yield* TestClock.adjust(20)
      assert.deepStrictEqual([dials, yield* connection.state], [2, "connecting"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* Fiber.join(early), yield* Fiber.join(late)], [2, 2])
      assert.strictEqual(yield* connection.state, "ready")
    }))

  it.scoped("a dial that fails is one failed dial, also when it was discarded before", () =>
    Effect.gen(function*() {
      const { all } = yield* Connections.Connections
      const connection = yield* Connection.make({
        dial: ({ discard }) => Effect.zipRight(discard, Effect.fail("refused")),
        closed: () => "closed",
        name: "twice"
      })
      assert.strictEqual(yield* Effect.flip(connection.use(Effect.succeed)), "refused")
      assert.deepStrictEqual(yield* all, [{ name: "twice", state: "broken", dials: 1, failedDials: 1 }])
    }).pipe(Effect.provideServiceEffect(Connections.Connections, Effect.sync(Connections.make))))

  it.scoped("a dial that is ended since the connection closes is no failed dial", () =>
    Effect.gen(function*() {
      const { all } = yield* Connections.Connections
      const connection = yield* Connection.make({ dial: () => Effect.never, closed: () => "closed", name: "late" })
      const gone = yield* Effect.fork(connection.use(Effect.succeed))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(gone)
      yield* connection.close
      assert.deepStrictEqual(yield* all, [{ name: "late", state: "closed", dials: 1, failedDials: 0 }])
    }).pipe(Effect.provideServiceEffect(Connections.Connections, Effect.sync(Connections.make))))
})

describe("Connection: a wall clock that is set", () => {
  for (const [how, hours] of [["forward", 1], ["back", -1]] as const) {
    it.scoped(`${how} by an hour changes no delay before a dial, and makes no connection healthy or not`, () =>
      Effect.gen(function*() {
        const { clock, jump } = yield* JumpingClock.make
        const jumpAnHour = jump(hours * 3_600_000)
        yield* Effect.gen(function*() {
          const start = yield* Clock.currentTimeNanos
          const millis = Effect.map(Clock.currentTimeNanos, (now) => Math.round(Number(now - start) / 1e3) / 1e3)
          const ok = dialler(["refused", "refused", "ok", "ok"])
          const at: Array<number> = []
          const connection = yield* Connection.make({
            dial: (dialled) => Effect.zipRight(Effect.map(millis, (now) => void at.push(now)), ok.dial(dialled)),
            closed: () => "closed",
            healthyAfter: "5 seconds"
          })
          const first = yield* Effect.fork(stubborn(connection))
          yield* TestClock.adjust(50)
          yield* jumpAnHour
          yield* TestClock.adjust(1_000)
          assert.strictEqual(yield* Fiber.join(first), 3)
          assert.deepStrictEqual(at, [0, 110, 270])
          // it is 770 ms old
          yield* jumpAnHour
          yield* ok.log.discards.at(-1)!
          const second = yield* Effect.fork(connection.use(Effect.succeed))
          yield* TestClock.adjust(1_000)
          assert.strictEqual(yield* Fiber.join(second), 4)
          assert.deepStrictEqual(at, [0, 110, 270, 1_275])
          yield* TestClock.adjust(4_500)
          yield* jumpAnHour
          // it is 5265 ms old
          yield* ok.log.discards.at(-1)!
          const third = yield* Effect.fork(connection.use(Effect.succeed))
          yield* TestClock.adjust(10)
          assert.strictEqual(yield* Fiber.join(third), 5)
        }).pipe(Effect.withClock(clock))
      }))
  }
})
