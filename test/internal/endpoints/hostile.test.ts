/** Clients and sources that misbehave: what becomes of the calls, and of the other endpoints. */
import { Deadline, Endpoints, Fatal, withRpcRetry } from "effect-rpc-retry"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { ask, type Client, manual, refused, servers } from "../../support/endpoints.js"
import { settled } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const plain: Endpoints.Settings = { ejection: "off", breaker: "off", metrics: "off" }

const retried = withRpcRetry({ logs: false, schedule: Schedule.recurs(3) })

/** Endpoints of which the one with the address `bad` is dialled like this. */
const withBad = (
  dial: () => Effect.Effect<Client, unknown, Scope.Scope>,
  addresses: ReadonlyArray<string> = ["bad", "a", "b"],
  settings: Endpoints.Settings = {}
) => {
  const { connect } = servers()
  let dials = 0
  return Effect.map(
    Endpoints.make({
      source: Endpoints.fromList(addresses),
      connect: (endpoint) => {
        if (endpoint.address !== "bad") {
          return connect(endpoint)
        }
        dials++
        return dial()
      },
      ...plain,
      ...settings
    }),
    (endpoints) => ({ endpoints, dials: () => dials })
  )
}

describe("an endpoint whose dial", () => {
  const denied = new Fatal({ reason: "PermissionDenied", message: "no" })
  const dials: Readonly<Record<string, () => Effect.Effect<Client, unknown, Scope.Scope>>> = {
    "fails with a Fatal": () => denied,
    dies: () => Effect.die(new Error("bug")),
    throws: () => {
      throw new Error("bug")
    }
  }
  for (const [how, dial] of Object.entries(dials)) {
    it.scoped(`${how} fails the calls that meet it, and attracts no others`, () =>
      Effect.gen(function*() {
        const { dials, endpoints } = yield* withBad(dial)
        let failed = 0
        const call = Effect.catchAllCause(retried(endpoints.call(ask)), () => Effect.sync(() => failed++))
        yield* Effect.forEach(Array.from({ length: 400 }), () => call)
        assert.isAbove(failed, 0)
        assert.isAtMost(failed, 20)
        assert.strictEqual(dials(), failed)
      }))
  }

  it.scoped("fails with a Fatal makes the source be asked for a new list", () =>
    Effect.gen(function*() {
      const { list, refreshes, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: () => denied, ...plain })
      yield* list("a")
      yield* Effect.flip(endpoints.call(ask))
      yield* settled
      assert.strictEqual(refreshes(), 1)
    }))

  it.scoped("never ends makes the source be asked for a new list when the attempt times out", () =>
    Effect.gen(function*() {
      const { list, refreshes, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: () => Effect.never, ...plain })
      yield* list("a")
      const call = yield* Effect.fork(
        endpoints.call(ask).pipe(
          withRpcRetry({ logs: false, attemptTimeout: "1 second", schedule: Schedule.recurs(0) })
        )
      )
      yield* TestClock.adjust("1 second")
      yield* Effect.flip(Fiber.join(call))
      yield* settled
      assert.strictEqual(refreshes(), 1)
    }))

  it.scoped("is interrupted by itself is retried elsewhere, as not sent", () =>
    Effect.gen(function*() {
      const { endpoints } = yield* withBad(() => Effect.interrupt, ["bad"])
      const error = yield* Effect.flip(endpoints.call(ask))
      assert.deepInclude(error, { _tag: "Retryable", reason: "Unavailable", delivery: "NotSent", endpoint: "bad" })
      const others = yield* withBad(() => Effect.interrupt)
      yield* Effect.forEach(Array.from({ length: 50 }), () => retried(others.endpoints.call(ask)))
    }))

  it.scoped("never ends costs a call its attempt timeout once, and the other endpoints nothing", () =>
    Effect.gen(function*() {
      const { endpoints } = yield* withBad(() => Effect.never, ["bad", "a"], { pick: "roundRobin" })
      const call = endpoints.call(ask).pipe(
        withRpcRetry({ logs: false, attemptTimeout: "1 second", schedule: Schedule.recurs(1) })
      )
      const answers = yield* Effect.fork(Effect.all([call, call, call]))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.join(answers), ["a", "a", "a"])
      assert.deepStrictEqual((yield* endpoints.state).map(({ inFlight }) => inFlight), [0, 0])
    }))

  it.scoped("cannot be interrupted holds no caller that leaves, and its client is closed when it comes", () =>
    Effect.gen(function*() {
      const came = yield* Deferred.make<void>()
      const closed: Array<string> = []
      const { endpoints } = yield* withBad(
        () =>
          Effect.acquireRelease(
            Effect.as(Deferred.await(came), { address: "bad", ask: () => Effect.succeed("bad") }),
            () => Effect.sync(() => closed.push("bad"))
          ),
        ["bad"]
      )
      const fiber = yield* Effect.fork(endpoints.call(ask))
      yield* settled
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* endpoints.state).map(({ client, inFlight }) => [client, inFlight]), [["Idle", 0]])
      yield* Deferred.succeed(came, undefined)
      yield* settled
      assert.deepStrictEqual(closed, ["bad"])
      // it is dialled anew for the next call
      assert.strictEqual(yield* endpoints.call(ask), "bad")
    }))
})

describe("a dial that fails", () => {
  for (const [how, release] of Object.entries({ "never ends": Effect.never, dies: Effect.die("bug") })) {
    it.effect(`tells the calls that wait, also where what it has to release ${how}`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const connect = () => Effect.andThen(Effect.addFinalizer(() => release), Effect.fail(refused))
        const endpoints = yield* Scope.extend(
          Endpoints.make({ source: Endpoints.fromList(["a"]), connect, ...plain }),
          scope
        )
        const call = yield* Effect.fork(Effect.flip(endpoints.call(() => Effect.void)))
        yield* TestClock.adjust("1 minute")
        assert.isTrue(Option.isSome(yield* Fiber.poll(call)))
        assert.deepInclude(yield* Fiber.join(call), { reason: "ConnectionRefused" })
        yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
      }))
  }
})

describe("endpoints that are made within a call", () => {
  it.scoped("outlive it: neither clients nor look-ups have its deadline, its attempt or its span", () =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const ambient = Effect.all({
        remaining: Deadline.remaining,
        attempt: Deadline.CurrentAttempt,
        span: Effect.option(Effect.currentSpan)
      })
      const lookedUp: Array<Effect.Effect.Success<typeof ambient>> = []
      const made = Endpoints.make({
        source: Endpoints.poll(Effect.map(ambient, (found) => {
          lookedUp.push(found)
          return { endpoints: ["a"] }
        })),
        connect: () => ambient,
        ...plain
      })
      let attempts = 0
      const endpoints = yield* Scope.extend(made, scope).pipe(
        Effect.andThen((endpoints) => ++attempts < 2 ? Effect.fail(refused) : Effect.succeed(endpoints)),
        withRpcRetry({ logs: false, deadline: "5 seconds", schedule: Schedule.recurs(1) }),
        Effect.withSpan("start")
      )
      yield* TestClock.adjust("1 minute")
      const dialled = yield* endpoints.call(Effect.succeed)
      for (const found of [dialled, ...lookedUp]) {
        assert.deepStrictEqual(found, { remaining: Option.none(), attempt: 1, span: Option.none() })
      }
      assert.isAbove(lookedUp.length, 2)
    }))
})

describe("addresses that differ in what is secret", () => {
  it.scoped("are different endpoints: a retry goes from one to the other, and names tell them apart", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: ({ address }) => Effect.succeed(address), ...plain })
      const names = Effect.map(endpoints.state, (all) => all.map(({ address }) => address))
      yield* list("http://a/?node=1", "http://a/?node=2")
      for (let i = 0; i < 20; i++) {
        const asked: Array<string> = []
        const call = endpoints.call((address) => {
          asked.push(address)
          return refused
        })
        yield* Effect.flip(withRpcRetry(call, { logs: false, schedule: Schedule.recurs(1) }))
        assert.strictEqual(new Set(asked).size, 2)
      }
      const [one, two] = ["http://a/?node=<redacted>", "http://a/?node=<redacted> #2"]
      assert.deepStrictEqual(yield* names, [one, two])
      yield* list("http://a/?node=3", "http://a/?node=2", "http://a/?node=4")
      assert.deepStrictEqual(yield* names, [one, two, `${one} #3`])
    }))
})

describe("clients that misbehave when they close", () => {
  it.effect("hold up no other when the scope of the endpoints closes, which waits for those that have left too", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { list, source } = yield* manual
      const closed: Array<string> = []
      const connect = ({ address }: Endpoints.Endpoint) =>
        Effect.acquireRelease(
          Effect.succeed(address),
          () => Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => closed.push(address)))
        )
      const endpoints = yield* Scope.extend(Endpoints.make({ source, connect, ...plain, pick: "roundRobin" }), scope)
      yield* list("a", "b", "left")
      yield* Effect.forEach([1, 2, 3], () => endpoints.call(() => Effect.void))
      yield* list("a", "b")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settled
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(closed.toSorted(), ["a", "b", "left"])
      yield* Fiber.join(closing)
    }))

  for (const how of ["does not end", "dies"]) {
    it.scoped(`delay no call, nor the next list: closing ${how}`, () =>
      Effect.gen(function*() {
        const end = yield* Deferred.make<void>()
        const close = how === "dies" ? Effect.die("bug") : Deferred.await(end)
        const { list, source } = yield* manual
        const endpoints = yield* Endpoints.make({
          source,
          connect: ({ address }) =>
            Effect.acquireRelease(
              Effect.succeed<Client>({ address, ask: () => Effect.succeed(address) }),
              () => address === "bad" ? close : Effect.void
            ),
          ...plain
        })
        yield* list("bad")
        assert.strictEqual(yield* endpoints.call(ask), "bad")
        yield* list("a")
        assert.strictEqual(yield* endpoints.call(ask), "a")
        yield* list("b")
        assert.strictEqual(yield* endpoints.call(ask), "b")
        yield* Deferred.succeed(end, undefined)
      }))
  }

  it.effect("lose their calls in flight to nothing: those end by themselves when the scope of the endpoints closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { connect } = servers(() => Effect.sleep("1 second"))
      const endpoints = yield* Scope.extend(
        Endpoints.make({ source: Endpoints.fromList(["a", "b"]), connect, ...plain }),
        scope
      )
      const calls = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.fork(endpoints.call(ask)))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(Fiber.all(calls))
      assert.isTrue((yield* endpoints.state).every(({ inFlight }) => inFlight === 0))
      assert.deepInclude(yield* Effect.flip(endpoints.call(ask)), { _tag: "Fatal", reason: "Cancelled" })
    }))
})

describe("a source", () => {
  it.scoped("that gives ten thousand lists at once is followed to the last of them", () =>
    Effect.gen(function*() {
      const { connect } = servers()
      const lists = Stream.range(1, 10_000).pipe(Stream.map((i) => [`10.0.0.${i % 7}:${i}`, `10.0.0.9:${i}`]))
      const endpoints = yield* Endpoints.make({ source: Endpoints.fromStream(lists), connect, ...plain })
      yield* Effect.repeat(Effect.andThen(settled, endpoints.state), {
        until: ([first]) => first?.address === `10.0.0.${10_000 % 7}:10000`
      })
      assert.strictEqual((yield* endpoints.state).length, 2)
      assert.match(yield* endpoints.call(ask), /:10000$/)
    }))

  it.scoped("that lists an address several times has it once, as it is there first", () =>
    Effect.gen(function*() {
      const { connect, dialled } = servers()
      const lists = Stream.make([{ address: "a", weight: 3 }, "b", "a", { address: "a", weight: 9 }])
      const endpoints = yield* Endpoints.make({ source: Endpoints.fromStream(lists), connect, ...plain })
      yield* Effect.forEach(Array.from({ length: 30 }), () => endpoints.call(ask))
      assert.deepStrictEqual((yield* endpoints.state).map(({ address, weight }) => [address, weight]), [["a", 3], [
        "b",
        1
      ]])
      assert.deepStrictEqual(dialled.toSorted(), ["a", "b"])
    }))

  it.scoped("that changes weight, zone or priority moves the calls, with calls in flight and without new clients", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { asked, connect, dialled, share } = servers(() => Effect.sleep("1 millis"))
      const endpoints = yield* Endpoints.make({
        source,
        connect,
        ...plain,
        slowStart: 0,
        pick: "weighted",
        prefer: { zone: "near" }
      })
      const calls = Effect.gen(function*() {
        asked.clear()
        const all = yield* Effect.fork(Effect.forEach(Array.from({ length: 100 }), () => endpoints.call(ask)))
        yield* TestClock.adjust("100 millis")
        yield* Fiber.join(all)
        return asked.has("a") ? share("a") : 0
      })
      yield* list("a", "b")
      const held = yield* Effect.fork(endpoints.call((client) => Effect.delay(client.ask(), "1 hour")))
      assert.approximately(yield* calls, 0.5, 0.02)
      yield* list({ address: "a", weight: 3 }, { address: "b" })
      assert.approximately(yield* calls, 0.75, 0.02)
      yield* list({ address: "a", weight: 3, priority: 1 }, { address: "b" })
      assert.strictEqual(yield* calls, 0)
      yield* list({ address: "a", zone: "near" }, { address: "b", zone: "far" })
      assert.strictEqual(yield* calls, 1)
      assert.deepStrictEqual(dialled.toSorted(), ["a", "b"])
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(held)
      assert.deepStrictEqual((yield* endpoints.state).map(({ inFlight }) => inFlight), [0, 0])
    }))
})
