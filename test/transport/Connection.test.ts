import { assert, describe, it } from "@effect/vitest"
import * as Connection from "effect-rpc-retry/Connection"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"

/** A dial that takes 10 ms, with everything that happens counted. */
const dialler = (outcomes: ReadonlyArray<"ok" | "refused" | "crash"> = []) => {
  const log = { dials: 0, open: 0, discards: [] as Array<Effect.Effect<void>> }
  const dial = (discard: Effect.Effect<void>) =>
    Effect.gen(function*() {
      const number = ++log.dials
      log.discards.push(discard)
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
  return { log, make: Connection.make({ dial, closed: () => "closed" }) }
}

describe("Connection", () => {
  it.scoped("does not dial before somebody asks", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      yield* make
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(log.dials, 0)
    }))

  it.scoped("one dial serves all who wait, and all who come later", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make
      const fibers = yield* Effect.forEach(Array(1000), () => Effect.fork(connection.get))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([1]))
      assert.strictEqual(yield* connection.get, 1)
      assert.deepStrictEqual([log.dials, log.open], [1, 1])
    }))

  it.scoped("one failed dial fails all who wait, with one error, and is forgotten", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused"])
      const connection = yield* make
      const fibers = yield* Effect.forEach(Array(10), () => Effect.fork(Effect.flip(connection.get)))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set(["refused 1"]))
      assert.strictEqual(log.dials, 1)
      const next = yield* Effect.fork(connection.get)
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.scoped("a waiter that is told of a failed dial dials anew when it asks again at once", () =>
    Effect.gen(function*() {
      const { log, make } = dialler(["refused"])
      const connection = yield* make
      const fibers = yield* Effect.forEach(
        Array(10),
        () => Effect.fork(Effect.catchAll(connection.get, () => connection.get))
      )
      yield* TestClock.adjust(20)
      assert.deepStrictEqual(new Set(yield* Fiber.join(Fiber.all(fibers))), new Set([2]))
      assert.strictEqual(log.dials, 2)
    }))

  it.scoped("a dial that crashes is forgotten too", () =>
    Effect.gen(function*() {
      const { make } = dialler(["crash"])
      const connection = yield* make
      const fiber = yield* Effect.fork(Effect.exit(connection.get))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.die("crash"))
      const next = yield* Effect.fork(connection.get)
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(next), 2)
    }))

  it.scoped("a discarded connection is closed and never given out again", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make
      const first = yield* Effect.fork(connection.get)
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(first), 1)
      yield* log.discards[0]!
      const next = yield* Effect.fork(connection.get)
      yield* TestClock.adjust(0)
      assert.strictEqual(log.open, 0)
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(next), 2)
      // said twice it changes nothing
      yield* log.discards[0]!
      assert.strictEqual(yield* connection.get, 2)
      assert.deepStrictEqual([log.dials, log.open], [2, 1])
    }))

  it.scoped("a waiter that is interrupted leaves at once, and the others get the connection", () =>
    Effect.gen(function*() {
      const { log, make } = dialler()
      const connection = yield* make
      const gone = yield* Effect.fork(connection.get)
      const stays = yield* Effect.fork(connection.get)
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
        const connection = yield* Scope.extend(make, scope)
        const waiting = yield* Effect.fork(Effect.exit(connection.get))
        yield* TestClock.adjust(wait)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* Fiber.join(waiting), wait < 10 ? Exit.fail("closed") : Exit.succeed(1))
        assert.strictEqual(yield* Effect.flip(connection.get), "closed")
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
      assert.strictEqual(yield* connection.get, "a")
      assert.isFalse(yield* Deferred.isDone(ready))
    }))
})
