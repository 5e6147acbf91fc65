import {
  Deadline,
  Endpoints,
  Fatal,
  Hedge,
  Retryable,
  RetrySchedule,
  RpcCall,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { ask, type Client, manual, refused, servers, unavailable } from "./support/endpoints.js"
import { play } from "./support/play.js"
import { settled } from "./support/sources.js"
import * as VirtualTime from "./support/virtualTime.js"
import { assert, describe, it } from "./support/vitest.js"

const quiet: RpcRetry.Options = { logs: false }

const retried = withRpcRetry({ ...quiet, schedule: Schedule.recurs(3) })

/** Endpoints of a fixed list. */
const of = (
  addresses: ReadonlyArray<Endpoints.Endpoint | string>,
  connect: (endpoint: Endpoints.Endpoint) => Effect.Effect<Client, unknown, Scope.Scope>,
  settings: Endpoints.Settings = {}
) => Endpoints.make({ source: Endpoints.fromList(addresses), connect, metrics: "off", ...settings })

const stateOf = (endpoints: Endpoints.Endpoints<unknown>, address: string) =>
  Effect.map(endpoints.state, (all) => all.find((one) => one.address === address))

/** The addresses that so many calls, one after the other, were answered by. */
const answers = (endpoints: Endpoints.Endpoints<Client>, calls: number) =>
  Effect.forEach(Array.from({ length: calls }), () => endpoints.call(ask))

describe("a call of endpoints", () => {
  it.scoped("is answered by one of them, whose client is made on first use and once", () =>
    Effect.gen(function*() {
      const { connect, dialled } = servers()
      const endpoints = yield* of(["a", "b", "c"], connect)
      yield* settled
      assert.deepStrictEqual(dialled, [])
      const seen = yield* answers(endpoints, 60)
      assert.deepStrictEqual(Array.from(new Set(seen)).toSorted(), ["a", "b", "c"])
      assert.deepStrictEqual(dialled.toSorted(), ["a", "b", "c"])
    }))

  it.scoped("is given what the source says of the endpoint", () =>
    Effect.gen(function*() {
      const { connect } = servers()
      const endpoint = { address: "a", zone: "z", attributes: { name: "users-1" } }
      const endpoints = yield* of([endpoint], connect)
      assert.deepStrictEqual(yield* endpoints.call((_, given) => Effect.succeed(given)), endpoint)
    }))

  it.scoped("the legs of a hedged call are at different endpoints, from a policy and as a function", () =>
    Effect.gen(function*() {
      const hedge = { after: "10 millis", max: 3, load: 1 } as const
      const schedule = Schedule.recurs(2)
      const made = yield* Hedge.make(hedge)
      const inPolicy = withRpcRetry({ ...quiet, schedule, idempotent: true, hedge })
      const alone = Hedge.hedge(made, { idempotent: true })
      for (let run = 0; run < 30; run++) {
        for (const hedged of [inPolicy, alone] as ReadonlyArray<typeof alone>) {
          const { asked, connect } = servers(() => Effect.sleep("1 second"))
          const endpoints = yield* of(["a", "b", "c"], connect)
          yield* Effect.replicateEffect(hedged(Effect.void), 5)
          yield* play(hedged(endpoints.call(ask)))
          assert.deepStrictEqual(Array.from(asked).toSorted(), [["a", 1], ["b", 1], ["c", 1]])
        }
      }
    }))

  it.scoped("legs that start together are at different endpoints too, before the first list has come", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { asked, connect } = servers(() => Effect.sleep("1 second"))
      const endpoints = yield* Endpoints.make({ source, connect, metrics: "off" })
      const hedge = { after: 0, max: 3, load: 1 } as const
      const hedged = withRpcRetry({ ...quiet, schedule: Schedule.recurs(2), idempotent: true, hedge })
      yield* Effect.replicateEffect(Effect.void.pipe(hedged), 5)
      const fiber = yield* Effect.fork(endpoints.call(ask).pipe(hedged))
      yield* settled
      yield* list("a", "b", "c")
      yield* play(Fiber.join(fiber))
      assert.deepStrictEqual(Array.from(asked).toSorted(), [["a", 1], ["b", 1], ["c", 1]])
    }))

  it.scoped("a retry of a hedged call avoids the endpoints of all its legs, not only of the last one", () =>
    Effect.gen(function*() {
      for (let run = 0; run < 30; run++) {
        const { asked, connect } = servers((address) =>
          address === "d" ? Effect.void : Effect.delay(Effect.fail(unavailable), 25)
        )
        const endpoints = yield* of(["a", "b", "c", "d"], connect)
        const hedge = { after: "10 millis", max: 2, load: 1 } as const
        const hedged = withRpcRetry({
          ...quiet,
          schedule: Schedule.spaced(100).pipe(RetrySchedule.retries(3)),
          idempotent: true,
          hedge
        })
        yield* Effect.replicateEffect(Effect.void.pipe(hedged), 5)
        const { exit } = yield* play(endpoints.call(ask).pipe(hedged))
        assert.deepStrictEqual(exit, Exit.succeed("d"))
        assert.isTrue(Array.from(asked.values()).every((count) => count === 1))
      }
    }))

  it.scoped("retries at an endpoint that it has not tried, while there is one", () =>
    Effect.gen(function*() {
      for (let run = 0; run < 30; run++) {
        const { asked, connect } = servers((address) => address === "d" ? Effect.void : Effect.fail(refused))
        const endpoints = yield* of(["a", "b", "c", "d"], connect)
        const answer = yield* endpoints.call(ask).pipe(Effect.map(String), Effect.withSpan("ask"), retried)
        assert.strictEqual(answer, "d")
        assert.isTrue(Array.from(asked.values()).every((count) => count === 1), "no endpoint was tried twice")
      }
    }))

  it.scoped("starts over when all endpoints were tried", () =>
    Effect.gen(function*() {
      for (const pick of ["powerOfTwo", "roundRobin", "weighted", "pickFirst"] as const) {
        const tried: Array<string> = []
        const { connect } = servers((address) =>
          Effect.suspend(() => {
            tried.push(address)
            return Effect.fail(refused)
          })
        )
        const endpoints = yield* of(["a", "b"], connect, { pick })
        yield* Effect.flip(endpoints.call(ask).pipe(withRpcRetry({ ...quiet, schedule: Schedule.recurs(5) })))
        assert.strictEqual(tried.length, 6)
        for (const [first, second] of [tried.slice(0, 2), tried.slice(2, 4), tried.slice(4, 6)]) {
          assert.notStrictEqual(first, second, pick)
        }
      }
    }))

  it.scoped("says in its report at which endpoint each attempt failed", () =>
    Effect.gen(function*() {
      const { connect } = servers(() => Effect.fail(refused))
      const endpoints = yield* of(["10.0.0.1:80", "10.0.0.2:80"], connect)
      const error = yield* Effect.flip(
        endpoints.call(ask).pipe(withRpcRetry({ ...quiet, schedule: Schedule.recurs(1) }))
      )
      assert.strictEqual(error._tag, "RetryExhausted")
      if (error._tag === "RetryExhausted") {
        assert.deepStrictEqual(
          error.history.map(({ error }) => error.endpoint).toSorted(),
          ["10.0.0.1:80", "10.0.0.2:80"]
        )
      }
    }))

  it.scoped("names the endpoint also where the attempt timed out, and goes elsewhere", () =>
    Effect.gen(function*() {
      const { connect } = servers((address) => address === "hangs" ? Effect.never : Effect.void)
      const endpoints = yield* of(["hangs", "well"], connect, { pick: "roundRobin" })
      const events: Array<string | undefined> = []
      const fiber = yield* Effect.fork(
        endpoints.call(ask).pipe(
          withRpcRetry({
            ...quiet,
            attemptTimeout: "1 second",
            schedule: Schedule.recurs(1),
            onEvent: (event) =>
              Effect.sync(() => {
                if (event._tag === "RetryScheduled") {
                  events.push(event.error.endpoint)
                }
              })
          })
        )
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "well")
      assert.deepStrictEqual(events, ["hangs"])
      assert.isAbove((yield* stateOf(endpoints, "hangs"))!.penalty, 40)
    }))

  it.scoped("is an RpcCall where its method is named, and learns the name from its failure where it is not", () =>
    Effect.gen(function*() {
      const connect = () => Effect.succeed({ get: RpcCall.make(Effect.fail(refused), { method: "Users.Get" }) })
      const endpoints = yield* Endpoints.make({ source: Endpoints.fromList(["a"]), connect })
      const named = endpoints.call(({ get }) => get, { method: "Users.Get", idempotent: true })
      assert.deepInclude(named, { method: "Users.Get", idempotent: true })
      const error = yield* Effect.flip(endpoints.call(({ get }) => get))
      assert.strictEqual(error.method, "Users.Get")
    }))

  it.scoped("leaves answers that are failures of another kind alone", () =>
    Effect.gen(function*() {
      const fatal = new Fatal({ reason: "NotFound", message: "no such user" })
      const endpoints = yield* Endpoints.make({
        source: Endpoints.fromList(["a"]),
        connect: () => Effect.succeed({})
      })
      assert.strictEqual(yield* Effect.flip(endpoints.call(() => Effect.fail(fatal))), fatal)
      assert.strictEqual(yield* Effect.flip(endpoints.call(() => Effect.fail("mine"))), "mine")
      assert.deepStrictEqual(yield* Effect.exit(endpoints.call(() => Effect.die("bug"))), Exit.die("bug"))
      assert.strictEqual((yield* stateOf(endpoints, "a"))!.penalty, 1)
    }))
})

describe("the client of an endpoint", () => {
  it.scoped("is dialled once for all that wait for it", () =>
    Effect.gen(function*() {
      let dials = 0
      const endpoints = yield* of(["a"], () =>
        Effect.suspend(() => {
          dials++
          return Effect.as(Effect.sleep(100), { address: "a", ask: () => Effect.succeed("a") })
        }))
      const calls = yield* Effect.fork(Effect.all(Array.from({ length: 50 }, () => endpoints.call(ask)), {
        concurrency: "unbounded"
      }))
      yield* TestClock.adjust(50)
      assert.deepInclude(yield* stateOf(endpoints, "a"), { client: "Connecting", inFlight: 50 })
      yield* TestClock.adjust(50)
      assert.strictEqual((yield* Fiber.join(calls)).length, 50)
      assert.strictEqual(dials, 1)
      assert.deepInclude(yield* stateOf(endpoints, "a"), { client: "Connected", inFlight: 0 })
    }))

  it.scoped("is dialled for those that still wait when the first has left, and no more when all have", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      const endpoints = yield* of(
        ["a"],
        () =>
          Effect.as(Effect.sleep(100), { address: "a", ask: () => Effect.succeed("a") }).pipe(
            Effect.onExit((exit) => Effect.sync(() => ended.push(Exit.isInterrupted(exit) ? "interrupted" : "made")))
          )
      )
      const [first, second] = [yield* Effect.fork(endpoints.call(ask)), yield* Effect.fork(endpoints.call(ask))]
      yield* TestClock.adjust(50)
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(ended, [])
      yield* Fiber.interrupt(second)
      yield* settled
      assert.deepStrictEqual(ended, ["interrupted"])
      assert.deepInclude(yield* stateOf(endpoints, "a"), { client: "Idle", inFlight: 0 })
      const third = yield* Effect.fork(endpoints.call(ask))
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(third), "a")
      assert.deepStrictEqual(ended, ["interrupted", "made"])
    }))

  it.scoped("that cannot be made fails the attempt as not sent, and the retry goes elsewhere", () =>
    Effect.gen(function*() {
      const { connect } = servers()
      const closed: Array<string> = []
      const endpoints = yield* of(
        ["bad", "well"],
        (endpoint) =>
          endpoint.address === "bad"
            ? Effect.andThen(
              Effect.acquireRelease(Effect.void, () => Effect.sync(() => closed.push("bad"))),
              Effect.fail(new Error("no route"))
            )
            : connect(endpoint),
        { pick: "roundRobin" }
      )
      const error = yield* Effect.flip(endpoints.call(ask))
      assert.deepInclude(error, { _tag: "Retryable", reason: "Unavailable", delivery: "NotSent", endpoint: "bad" })
      assert.deepStrictEqual(closed, ["bad"])
      yield* endpoints.call(ask)
      assert.strictEqual(yield* endpoints.call(ask).pipe(retried), "well")
    }))

  it.scoped("keeps the error that its dial failed with, where that is one of a transport or of a socket", () =>
    Effect.gen(function*() {
      const failing = (failure: unknown) =>
        Effect.flatMap(of(["a"], () => Effect.fail(failure)), (endpoints) => Effect.flip(endpoints.call(ask)))
      const fatal = new Fatal({ reason: "Unauthenticated", message: "who are you" })
      assert.strictEqual(yield* failing(fatal), fatal)
      const system = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" })
      assert.deepInclude(yield* failing(system), { reason: "ConnectionRefused", delivery: "NotSent" })
      assert.deepInclude(yield* failing(unavailable), { reason: "Unavailable", delivery: "Unknown" })
    }))

  it.scoped("does not have the deadline of the call that dials it", () =>
    Effect.gen(function*() {
      const deadlines: Array<number> = []
      const endpoints = yield* of(["a"], () =>
        Effect.flatMap(Deadline.CurrentDeadline, (deadline) => {
          deadlines.push(deadline)
          return Effect.as(Effect.sleep(500), { address: "a", ask: () => Effect.succeed("a") })
        }))
      const short = yield* Effect.fork(Effect.flip(endpoints.call(ask).pipe(withRpcRetry({ ...quiet, deadline: 100 }))))
      const long = yield* Effect.fork(endpoints.call(ask))
      yield* TestClock.adjust(100)
      const error = yield* Fiber.join(short)
      assert.deepInclude(error, { _tag: "RetryExhausted", reason: "DeadlineExceeded" })
      if (error._tag === "RetryExhausted") {
        assert.strictEqual(error.last.delivery, "NotSent")
      }
      yield* TestClock.adjust(400)
      assert.strictEqual(yield* Fiber.join(long), "a")
      assert.deepStrictEqual(deadlines, [Infinity])
    }))

  it.effect("is closed with the scope of the endpoints, and calls after that end at once", () =>
    Effect.gen(function*() {
      const { connect, open } = servers()
      const scope = yield* Scope.make()
      const endpoints = yield* Scope.extend(of(["a", "b"], connect), scope)
      yield* answers(endpoints, 20)
      assert.strictEqual(open.size, 2)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(open.size, 0)
      assert.deepInclude(yield* Effect.flip(endpoints.call(ask)), { _tag: "Fatal", reason: "Cancelled" })
    }))
})

describe("the set of endpoints", () => {
  it.scoped("is waited for by the first calls only", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect })
      const fiber = yield* Effect.fork(endpoints.call(ask))
      yield* TestClock.adjust("1 minute")
      assert.isNull(fiber.unsafePoll())
      yield* list("a")
      assert.strictEqual(yield* Fiber.join(fiber), "a")
    }))

  it.effect("lets calls go that wait for the first list, when the scope of the endpoints closes", () =>
    Effect.gen(function*() {
      const { source } = yield* manual
      const scope = yield* Scope.make()
      const endpoints = yield* Scope.extend(Endpoints.make({ source, connect: servers().connect }), scope)
      const fiber = yield* Effect.fork(Effect.flip(endpoints.call(ask)))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "Fatal", reason: "Cancelled" })
    }))

  it.scoped("gives a new endpoint calls at once, and none to one that has left", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { connect, open } = servers()
      const endpoints = yield* Endpoints.make({ source, connect, slowStart: 0 })
      yield* list("a")
      assert.strictEqual(yield* endpoints.call(ask), "a")
      yield* list("b")
      assert.strictEqual(yield* endpoints.call(ask), "b")
      yield* settled
      assert.deepStrictEqual(Array.from(open), ["b"])
    }))

  it.scoped("lets calls in flight at an endpoint that has left end, and closes its client then", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const answer = yield* Deferred.make<void>()
      const { connect, open } = servers((address) => address === "a" ? Deferred.await(answer) : Effect.void)
      const endpoints = yield* Endpoints.make({ source, connect })
      yield* list("a")
      const fiber = yield* Effect.fork(endpoints.call(ask))
      yield* settled
      yield* list("b")
      assert.deepInclude(yield* stateOf(endpoints, "a"), { state: "Leaving", inFlight: 1 })
      assert.isTrue(open.has("a"))
      yield* Deferred.succeed(answer, undefined)
      assert.strictEqual(yield* Fiber.join(fiber), "a")
      yield* settled
      assert.isFalse(open.has("a"))
      assert.isUndefined(yield* stateOf(endpoints, "a"))
    }))

  it.scoped("counts anew for an endpoint that has left and comes back with calls in flight", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const answer = yield* Deferred.make<void>()
      const endpoints = yield* Endpoints.make({ source, connect: servers(() => Deferred.await(answer)).connect })
      yield* list("a")
      const before = yield* Effect.fork(endpoints.call(ask))
      yield* settled
      yield* list("b")
      yield* list("a")
      const after = yield* Effect.fork(endpoints.call(ask))
      yield* settled
      assert.deepStrictEqual((yield* endpoints.state).map(({ inFlight, state }) => [state, inFlight]), [
        ["Ramping", 1],
        ["Leaving", 1]
      ])
      yield* Deferred.succeed(answer, undefined)
      yield* Effect.all([Fiber.join(before), Fiber.join(after)])
      assert.deepStrictEqual((yield* endpoints.state).map(({ inFlight }) => inFlight), [0])
    }))

  it.scoped("keeps the client of an endpoint whose weight, zone or priority changes, not of one with other attributes", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { connect, dialled } = servers()
      const endpoints = yield* Endpoints.make({ source, connect })
      yield* list({ address: "a", attributes: { tls: "no" } })
      yield* endpoints.call(ask)
      yield* list({ address: "a", attributes: { tls: "no" }, weight: 2, zone: "z", priority: 1 })
      yield* endpoints.call(ask)
      assert.deepStrictEqual(dialled, ["a"])
      assert.deepInclude(yield* stateOf(endpoints, "a"), { weight: 2, zone: "z", priority: 1 })
      yield* list({ address: "a", attributes: { tls: "yes" } })
      yield* endpoints.call(ask)
      assert.deepStrictEqual(dialled, ["a", "a"])
    }))

  it.scoped("keeps the last list when the source fails", () =>
    Effect.gen(function*() {
      const { fail, list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect })
      yield* list("a")
      yield* fail(new Error("dns is down"))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* endpoints.call(ask), "a")
    }))

  it.scoped("believes an empty list after a minute of emptiness, and not before", () =>
    Effect.gen(function*() {
      const { fail, list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect })
      yield* list("a")
      yield* list()
      yield* TestClock.adjust("59 seconds")
      yield* list()
      assert.strictEqual(yield* endpoints.call(ask), "a")
      yield* list("b")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* endpoints.call(ask), "b")
      yield* list()
      yield* TestClock.adjust("30 seconds")
      yield* fail("down")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* endpoints.call(ask), "b", "a failure starts the minute over")
      yield* list()
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* Effect.flip(endpoints.call(ask)), { reason: "Unavailable", delivery: "NotSent" })
      yield* list("c")
      assert.strictEqual(yield* endpoints.call(ask), "c")
    }))

  it.scoped("that fails at first fails calls as not sent, so that their retries wait for it", () =>
    Effect.gen(function*() {
      const { fail, list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect })
      yield* fail(new Error("dns is down"))
      const error = yield* Effect.flip(endpoints.call(ask))
      assert.deepInclude(error, { _tag: "Retryable", reason: "Unavailable", delivery: "NotSent" })
      assert.include(error.message, "dns is down")
      const fiber = yield* Effect.fork(endpoints.call(ask).pipe(withRpcRetry(quiet)))
      yield* TestClock.adjust(50)
      yield* list("a")
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(fiber), "a")
    }))

  it.scoped("refuses a list that is wrong as a failure of its source", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect })
      yield* list({ address: "a", weight: -1 })
      assert.include((yield* Effect.flip(endpoints.call(ask))).message, "weight")
      yield* list("a", "a")
      assert.strictEqual((yield* endpoints.state).length, 1)
    }))

  it.scoped("keeps its last list when its source ends or dies", () =>
    Effect.gen(function*() {
      for (const end of [Stream.empty, Stream.die("bug")]) {
        const source = Endpoints.makeSource(() =>
          Stream.concat(Stream.make<[Endpoints.Update]>({ _tag: "Listed", endpoints: [{ address: "a" }] }), end)
        )
        const endpoints = yield* Endpoints.make({ source, connect: servers().connect })
        yield* settled
        assert.strictEqual(yield* endpoints.call(ask), "a")
      }
      const dead = yield* Endpoints.make({
        source: Endpoints.makeSource(() => Stream.die("bug")),
        connect: servers().connect
      })
      assert.deepInclude(yield* Effect.flip(dead.call(ask)), { reason: "Unavailable", cause: "bug" })
    }))

  it.scoped("is asked for anew after a connection has failed, at most every 5 seconds, and not after other failures", () =>
    Effect.gen(function*() {
      const { list, refreshes, source } = yield* manual
      let failure = unavailable
      const endpoints = yield* Endpoints.make({ source, connect: servers(() => Effect.fail(failure)).connect })
      yield* list("a", "b", "c")
      const failing = Effect.andThen(Effect.flip(endpoints.call(ask)), settled)
      yield* failing
      assert.strictEqual(refreshes(), 0)
      failure = refused
      yield* failing
      yield* failing
      assert.strictEqual(refreshes(), 1)
      yield* TestClock.adjust(4999)
      yield* failing
      assert.strictEqual(refreshes(), 1)
      yield* TestClock.adjust(1)
      failure = new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })
      yield* failing
      assert.strictEqual(refreshes(), 2)
    }))

  it.scoped("is asked for anew later, where a connection fails less than 5 seconds after it was asked", () =>
    Effect.gen(function*() {
      const { list, refreshes, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers(() => Effect.fail(refused)).connect })
      yield* list("a", "b", "c")
      const failing = Effect.andThen(Effect.flip(endpoints.call(ask)), settled)
      yield* failing
      yield* TestClock.adjust("2 seconds")
      yield* failing
      yield* failing
      assert.strictEqual(refreshes(), 1)
      yield* TestClock.adjust("3 seconds")
      yield* settled
      assert.strictEqual(refreshes(), 2)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(refreshes(), 2)
    }))
})

describe("the health of endpoints", () => {
  /** Runs a test in which much time passes. */
  const timed = (name: string, self: Effect.Effect<void, unknown, Scope.Scope>) =>
    it(name, async () => {
      const exit = await VirtualTime.run(Effect.scoped(self).pipe(Effect.withRandom(Random.make("endpoints"))))
      assert.deepStrictEqual(exit, Exit.void)
    })

  /** Makes calls, one each so many milliseconds. */
  const calls = (endpoints: Endpoints.Endpoints<Client>, count: number, every = 10) =>
    Effect.forEach(
      Array.from({ length: count }),
      () => Effect.andThen(Effect.ignore(endpoints.call(ask)), Effect.sleep(every)),
      { discard: true }
    )

  const failsFast = (address: string) => address === "bad" ? Effect.fail(unavailable) : Effect.void

  for (const addresses of [["bad", "a"], ["bad", "a", "b"], ["bad", "a", "b", "c", "d", "e", "f", "g", "h", "i"]]) {
    for (const every of [1, 10, 100, 1_000]) {
      timed(
        `one of ${addresses.length} that fails fast gets at most 5 % by its penalty alone, at a call each ${every} ms`,
        Effect.gen(function*() {
          const { connect, share } = servers(failsFast)
          const endpoints = yield* of(addresses, connect, { ejection: "off", breaker: "off" })
          yield* calls(endpoints, 2_000, every)
          assert.isAtMost(share("bad"), 0.05)
          assert.isAbove(share("bad"), 0)
        })
      )
    }
  }

  timed(
    "one of three that fails fast gets at most 5 % also while the others are overloaded",
    Effect.gen(function*() {
      const { connect, share } = servers((address) =>
        address === "bad" ? Effect.fail(unavailable) : Effect.sleep("5 seconds")
      )
      const endpoints = yield* of(["bad", "a", "b"], connect, { ejection: "off", breaker: "off" })
      for (let i = 0; i < 5_000; i++) {
        yield* Effect.fork(Effect.ignore(endpoints.call(ask)))
        yield* Effect.sleep(5)
      }
      assert.isAtMost(share("bad"), 0.05)
    })
  )

  timed(
    "one that failed and is well again has its share back within two minutes",
    Effect.gen(function*() {
      let isBad = true
      const { connect, share, asked } = servers((address) =>
        isBad && address === "bad" ? Effect.fail(unavailable) : Effect.void
      )
      const endpoints = yield* of(["bad", "a"], connect)
      yield* calls(endpoints, 300, 100)
      isBad = false
      yield* calls(endpoints, 1_200, 100)
      asked.clear()
      yield* calls(endpoints, 1_000, 100)
      assert.approximately(share("bad"), 0.5, 0.1)
    })
  )

  it.scoped("ejects one that fails five times in a row, for 30 seconds, then longer, and ramps it up when it is back", () =>
    Effect.gen(function*() {
      let isBad = true
      const { asked, connect } = servers((address) =>
        isBad && address === "bad" ? Effect.fail(unavailable) : Effect.void
      )
      const endpoints = yield* of(["bad", "a", "b"], connect, { breaker: "off", pick: "roundRobin" })
      const rounds = (n: number) => Effect.forEach(Array.from({ length: n }), () => Effect.ignore(endpoints.call(ask)))
      yield* rounds(12)
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Healthy")
      yield* rounds(3)
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Ejected")
      asked.clear()
      yield* TestClock.adjust(29_999)
      yield* rounds(30)
      assert.isFalse(asked.has("bad"))
      yield* TestClock.adjust(1)
      yield* rounds(300)
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Ejected")
      assert.isBelow(asked.get("bad")!, 20)
      yield* TestClock.adjust(30_001)
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Ejected", "twice as long the second time")
      yield* TestClock.adjust(30_000)
      isBad = false
      asked.clear()
      yield* rounds(300)
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Ramping")
      assert.isBelow(asked.get("bad")!, 60)
      yield* TestClock.adjust("10 seconds")
      asked.clear()
      yield* rounds(300)
      assert.strictEqual(asked.get("bad"), 100)
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Healthy")
    }))

  timed(
    "ejects one whose success rate is far below that of the others",
    Effect.gen(function*() {
      let answered = 0
      const { connect } = servers((address) =>
        address === "bad" && answered++ % 2 === 0 ? Effect.fail(unavailable) : Effect.void
      )
      const endpoints = yield* of(["bad", "a", "b", "c", "d"], connect, { breaker: "off", pick: "roundRobin" })
      yield* calls(endpoints, 1_010)
      assert.deepStrictEqual((yield* endpoints.state).map(({ state }) => state), [
        "Ejected",
        "Healthy",
        "Healthy",
        "Healthy",
        "Healthy"
      ])
    })
  )

  timed(
    "ejects none whose success rate is a little below that of very even others",
    Effect.gen(function*() {
      let answered = 0
      const { connect } = servers((address) =>
        address === "bad" && answered++ % 30 === 0 ? Effect.fail(unavailable) : Effect.void
      )
      const endpoints = yield* of(["bad", "a", "b", "c", "d"], connect, { breaker: "off", pick: "roundRobin" })
      yield* calls(endpoints, 1_010)
      assert.isTrue((yield* endpoints.state).every(({ state }) => state === "Healthy"))
    })
  )

  it.scoped("never ejects the only one, nor one of two, however they fail", () =>
    Effect.gen(function*() {
      for (const addresses of [["bad"], ["bad", "a"]]) {
        const { connect } = servers(() => Effect.fail(unavailable))
        const endpoints = yield* of(addresses, connect, { breaker: "off", pick: "roundRobin" })
        yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.ignore(endpoints.call(ask)))
        assert.isTrue((yield* endpoints.state).every(({ state }) => state === "Healthy"))
      }
    }))

  it.scoped("ends an ejection when only two are left", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { asked, connect } = servers((address) => address === "bad" ? Effect.fail(unavailable) : Effect.void)
      const endpoints = yield* Endpoints.make({ source, connect, breaker: "off", pick: "roundRobin", slowStart: 0 })
      yield* list("bad", "a", "b")
      yield* Effect.forEach(Array.from({ length: 30 }), () => Effect.ignore(endpoints.call(ask)))
      assert.deepInclude(yield* stateOf(endpoints, "bad"), { state: "Ejected" })
      yield* list("bad", "a")
      asked.clear()
      yield* Effect.forEach(Array.from({ length: 30 }), () => Effect.ignore(endpoints.call(ask)))
      assert.strictEqual(asked.get("bad"), 15)
    }))

  it.scoped("sends less to one that hangs where hedges win, which cut its attempts", () =>
    Effect.gen(function*() {
      const { connect, share } = servers((address) => address === "hung" ? Effect.never : Effect.sleep("10 millis"))
      const endpoints = yield* of(["hung", "a", "b"], connect)
      const call = withRpcRetry(endpoints.call(ask), {
        ...quiet,
        idempotent: true,
        hedge: { after: "50 millis", max: 2, load: 1 }
      })
      for (let i = 0; i < 200; i++) {
        const fiber = yield* Effect.fork(call)
        yield* TestClock.adjust("100 millis")
        yield* Fiber.join(fiber)
      }
      assert.isBelow(share("hung"), 0.15)
      assert.isAbove(share("hung"), 0)
    }).pipe(Effect.withRandom(Random.make("a"))))

  for (const count of [1, 2, 3, 10]) {
    it.scoped(`with all of ${count} bad every call is still tried, and a panic is told once`, () =>
      Effect.gen(function*() {
        const { asked, connect } = servers(() => Effect.fail(unavailable))
        const addresses = Array.from({ length: count }, (_, i) => `e${i}`)
        const endpoints = yield* of(addresses, connect, { pick: "roundRobin" })
        const events: Array<Endpoints.Event> = []
        yield* Effect.fork(Stream.runForEach(endpoints.events, (event) => Effect.sync(() => events.push(event))))
        yield* settled
        for (let i = 0; i < 50 * count; i++) {
          const error = yield* Effect.flip(endpoints.call(ask))
          assert.strictEqual(error.reason, "Unavailable")
        }
        yield* settled
        assert.strictEqual(Array.from(asked.values()).reduce((sum, n) => sum + n, 0), 50 * count)
        assert.isAbove(events.length, 0)
        assert.strictEqual(events.filter(({ _tag }) => _tag === "PanicStarted").length, 1)
      }))
  }

  it.scoped("uses all of them while more than half are out, not only the ones that are left", () =>
    Effect.gen(function*() {
      const { asked, connect } = servers((address) => address === "c" ? Effect.void : Effect.fail(unavailable))
      const endpoints = yield* of(["a", "b", "c"], connect, { pick: "roundRobin" })
      yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.ignore(endpoints.call(ask)))
      asked.clear()
      yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.ignore(endpoints.call(ask)))
      assert.deepStrictEqual(["a", "b", "c"].map((address) => asked.get(address)), [20, 20, 20])
    }))

  it.scoped("takes out an endpoint whose breaker opens, which the others share nothing of, and tells it", () =>
    Effect.gen(function*() {
      const { connect, asked } = servers(failsFast)
      const endpoints = yield* of(["bad", "a"], connect, { pick: "roundRobin", name: "users" })
      const events: Array<Endpoints.Event> = []
      yield* Effect.fork(Stream.runForEach(endpoints.events, (event) => Effect.sync(() => events.push(event))))
      yield* settled
      yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.ignore(endpoints.call(ask)))
      assert.strictEqual((yield* stateOf(endpoints, "bad"))!.state, "Open")
      assert.strictEqual((yield* stateOf(endpoints, "a"))!.state, "Healthy")
      assert.strictEqual(asked.get("bad"), 20)
      yield* settled
      assert.deepStrictEqual(events.map(({ _tag, destination }) => [_tag, destination]), [["EndpointOut", "users"]])
      assert.deepInclude(events[0], { address: "bad", reason: "CircuitOpen" })
      yield* TestClock.adjust("7 seconds")
      yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.ignore(endpoints.call(ask)))
      assert.strictEqual(asked.get("bad"), 21, "one probe")
    }))

  it.scoped("counts no interruption, no answer that is a failure, and no deadline of the caller", () =>
    Effect.gen(function*() {
      const endpoints = yield* of(["a"], servers(() => Effect.never).connect)
      for (let i = 0; i < 30; i++) {
        const call = yield* Effect.fork(endpoints.call(ask))
        yield* settled
        yield* Fiber.interrupt(call)
        const bounded = yield* Effect.fork(
          Effect.exit(endpoints.call(ask).pipe(withRpcRetry({ ...quiet, deadline: 10 })))
        )
        yield* TestClock.adjust(10)
        yield* Fiber.join(bounded)
      }
      assert.deepInclude(yield* stateOf(endpoints, "a"), { state: "Healthy", penalty: 1, inFlight: 0 })
    }))

  timed(
    "ramps up a new endpoint without a surge",
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const { asked, connect } = servers(() => Effect.sleep(100))
      const endpoints = yield* Endpoints.make({ source, connect })
      yield* list("a", "b", "c")
      const load = (millis: number) =>
        Effect.gen(function*() {
          asked.clear()
          for (let i = 0; i < millis; i++) {
            yield* Effect.fork(endpoints.call(ask))
            yield* Effect.sleep(1)
          }
        })
      yield* load(300)
      yield* list("a", "b", "c", "new")
      yield* load(500)
      assert.isAbove(asked.get("new") ?? 0, 0)
      assert.isBelow(asked.get("new") ?? 0, 500 / 4 / 2)
      yield* Effect.sleep("10 seconds")
      yield* load(500)
      assert.approximately(asked.get("new")!, 125, 30)
    })
  )
})

describe("preferences", () => {
  const inZone = (zone: string, ...addresses: ReadonlyArray<string>) => addresses.map((address) => ({ address, zone }))

  it.scoped("of a zone keep calls in it, and let their retries leave it when all there were tried", () =>
    Effect.gen(function*() {
      const down = new Set<string>()
      const { connect } = servers((address) => down.has(address) ? Effect.fail(refused) : Effect.void)
      const endpoints = yield* of([...inZone("here", "a", "b"), ...inZone("there", "c")], connect, {
        prefer: { zone: "here" }
      })
      assert.deepStrictEqual(Array.from(new Set(yield* answers(endpoints, 60))).toSorted(), ["a", "b"])
      down.add("a").add("b")
      assert.strictEqual(yield* endpoints.call(ask).pipe(retried), "c")
    }))

  it.scoped("of a zone spill over when too few endpoints of it are available", () =>
    Effect.gen(function*() {
      const down = new Set(["a"])
      const { connect, asked } = servers((address) => down.has(address) ? Effect.fail(refused) : Effect.void)
      const endpoints = yield* of([...inZone("here", "a", "b"), ...inZone("there", "c", "d")], connect, {
        prefer: { zone: "here", spillBelow: 0.7 },
        pick: "roundRobin"
      })
      yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.ignore(endpoints.call(ask)))
      assert.strictEqual((yield* stateOf(endpoints, "a"))!.state, "Ejected")
      asked.clear()
      yield* answers(endpoints, 60)
      assert.deepStrictEqual(["b", "c", "d"].map((address) => asked.get(address)), [20, 20, 20])
    }))

  it.scoped("of lower priorities use the others only when none is healthy, or for retries of a call that has tried all", () =>
    Effect.gen(function*() {
      const down = new Set<string>()
      const { connect, asked } = servers((address) => down.has(address) ? Effect.fail(refused) : Effect.void)
      const endpoints = yield* of(
        [{ address: "a" }, { address: "b" }, ...["x", "y", "z"].map((address) => ({ address, priority: 1 }))],
        connect
      )
      assert.deepStrictEqual(Array.from(new Set(yield* answers(endpoints, 60))).toSorted(), ["a", "b"])
      down.add("a").add("b")
      assert.include(["x", "y", "z"], yield* endpoints.call(ask).pipe(retried))
      yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.ignore(endpoints.call(ask)))
      asked.clear()
      yield* answers(endpoints, 60)
      assert.deepStrictEqual(Array.from(asked.keys()).toSorted(), ["x", "y", "z"])
    }))
})

describe("the client of endpoints", () => {
  const make = Effect.gen(function*() {
    const down = new Set<string>()
    const endpoints = yield* Endpoints.make({
      source: Endpoints.fromList(["a", "b"]),
      connect: ({ address }) => {
        const answer = (said: string) =>
          Effect.suspend(() => down.has(address) ? Effect.fail<Retryable | Fatal>(refused) : Effect.succeed(said))
        return Effect.succeed({
          get: (id: number) => answer(`user ${id}`),
          orders: { list: (...ids: Array<number>) => answer(`orders ${ids.join()}`) }
        })
      }
    })
    return { endpoints, down }
  })

  it.scoped("has the methods of the client of one endpoint, and chooses for each run", () =>
    Effect.gen(function*() {
      const { down, endpoints } = yield* make
      const users = Endpoints.client(endpoints)
      down.add("a")
      assert.strictEqual(yield* users.get(7).pipe(retried), "user 7")
      assert.strictEqual(yield* users.orders.list(1, 2).pipe(retried), "orders 1,2")
    }))

  it.scoped("can be returned from an effect, and has no method but those asked for", () =>
    Effect.gen(function*() {
      const { endpoints } = yield* make
      const users = Endpoints.client(endpoints)
      assert.isFalse("get" in users)
      assert.strictEqual(yield* Effect.promise(() => Promise.resolve(users)), users)
      const unknown = (users as unknown as { readonly nothing: () => Effect.Effect<void> }).nothing()
      const exit = yield* Effect.exit(unknown)
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("no method nothing"))
    }))

  const nameOf = (call: unknown) => RpcCall.isRpcCall(call) ? call.method : undefined

  it.scoped("names its calls by the service, or as a function says", () =>
    Effect.gen(function*() {
      const { endpoints } = yield* make
      const named = Endpoints.client(endpoints, { service: "Users" })
      assert.strictEqual(nameOf(named.orders.list(1)), "Users.orders.list")
      const byHand = Endpoints.client(endpoints, { method: (path, [id]) => `${path.join("/")}-${String(id)}` })
      assert.strictEqual(nameOf(byHand.get(7)), "get-7")
      assert.isUndefined(nameOf(Endpoints.client(endpoints).get(7)))
    }))

  it.scoped("can be retried as a whole, its groups too", () =>
    Effect.gen(function*() {
      const { down, endpoints } = yield* make
      const users = RpcRetry.client(Endpoints.client(endpoints), { logs: false, schedule: Schedule.recurs(1) })
      down.add("b")
      assert.strictEqual(yield* users.get(7), "user 7")
      assert.strictEqual(yield* users.orders.list(3), "orders 3")
      down.add("a")
      assert.strictEqual((yield* Effect.flip(users.orders.list(3)))._tag, "RetryExhausted")
    }))
})

describe("what is seen of endpoints", () => {
  it.scoped("are on the span of each attempt, also when the call has spans of its own, without credentials", () =>
    Effect.gen(function*() {
      const { connect } = servers((address) => address === "10.0.0.1:80" ? Effect.fail(refused) : Effect.void)
      const spans: Array<Tracer.Span> = []
      const native = yield* Effect.tracer
      const tracer = Tracer.make({
        span: (...args) => {
          const span = native.span(...args)
          spans.push(span)
          return span
        },
        context: (f, fiber) => native.context(f, fiber)
      })
      const shown = (name: string) =>
        spans.filter((span) => span.name === name).map(({ attributes }) => [
          attributes.get("server.address"),
          attributes.get("server.port")
        ])
      const endpoints = yield* of(["10.0.0.1:80", "[fd00::1]:81"], connect, { pick: "pickFirst" })
      const urls = yield* of(["https://ada:secret@10.0.0.1:80/users"], connect)
      yield* endpoints.call(ask, { method: "Users.Get" }).pipe(
        Effect.withSpan("mine"),
        withRpcRetry({ ...quiet, method: "Users.Get", spans: true, schedule: Schedule.recurs(1) }),
        Effect.withTracer(tracer)
      )
      yield* urls.call(ask, { method: "Users.Get" }).pipe(
        withRpcRetry({ ...quiet, spans: true }),
        Effect.withTracer(tracer)
      )
      yield* endpoints.call(ask).pipe(Effect.retry({ times: 1 }), Effect.withSpan("bare"), Effect.withTracer(tracer))
      assert.deepStrictEqual(shown("Users.Get attempt"), [
        ["10.0.0.1", 80],
        ["fd00::1", 81],
        ["https://<redacted>@10.0.0.1:80/users", undefined]
      ])
      assert.deepStrictEqual(shown("mine"), [[undefined, undefined], [undefined, undefined]])
      assert.deepStrictEqual(shown("bare"), [[undefined, undefined]])
    }))

  it.scoped("is in inspect, without credentials in addresses", () =>
    Effect.gen(function*() {
      const endpoints = yield* of(["http://me:secret@host:80"], servers().connect, { name: "orders" })
      yield* endpoints.call(ask)
      const inspection = yield* RpcRetry.inspect
      const { endpoints: all } = inspection.endpoints.find(({ destination }) => destination === "orders")!
      assert.notInclude(JSON.stringify(inspection), "secret")
      assert.deepInclude(all[0], { state: "Healthy", client: "Connected", inFlight: 0, penalty: 1, weight: 1 })
    }).pipe(Effect.provide(RpcRetry.layer())))

  it.scoped("are gauges that add up for destinations of one name, and go back when one closes, with calls in flight", () =>
    Effect.gen(function*() {
      const name = "twice"
      const gauges = Effect.map(Metric.snapshot, (all) =>
        all.flatMap(({ metricKey, metricState }) => {
          const labels = Array.from(metricKey.tags, ({ value }) => value)
          return metricKey.name === "rpc.client.endpoints" && labels.includes(name)
            ? [`${labels.at(-1)} ${JSON.stringify(Reflect.get(metricState, "value"))}`]
            : []
        }).toSorted())
      yield* of(["a", "b"], servers().connect, { name, metrics: {} })
      const end = yield* Deferred.make<void>()
      const { connect } = servers(() => Effect.andThen(Deferred.await(end), Effect.fail(unavailable)))
      const scope = yield* Scope.make()
      const closing = yield* Scope.extend(
        of(["c", "d", "e"], connect, { name, metrics: {}, pick: "pickFirst" }),
        scope
      )
      const calls = yield* Effect.forEach([1, 2, 3, 4, 5], () => Effect.fork(Effect.flip(closing.call(ask))))
      yield* settled
      assert.deepStrictEqual(yield* gauges, ["available 5", "out 0"])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* gauges, ["available 2", "out 0"])
      yield* Deferred.succeed(end, undefined)
      yield* Fiber.join(Fiber.all(calls))
      assert.deepStrictEqual(yield* gauges, ["available 2", "out 0"])
    }))

  it.scoped("are metrics of the destination, by endpoint only where that is asked for, and for a bounded number of them", () =>
    Effect.gen(function*() {
      const { connect } = servers((address) => address === "bad" ? Effect.fail(unavailable) : Effect.void)
      const named = (name: string, metrics: Endpoints.Settings["metrics"]) =>
        Effect.gen(function*() {
          const endpoints = yield* of(["bad", "a", "b"], connect, { name, metrics, pick: "roundRobin" })
          yield* Effect.forEach(Array.from({ length: 15 }), () => Effect.ignore(endpoints.call(ask)))
        })
      yield* named("metered", { endpointLabels: 2 })
      yield* named("plain", {})
      yield* named("silent", "off")
      const all = (yield* Metric.snapshot).flatMap(({ metricKey: { name, tags }, metricState }) => {
        const labels = Array.from(tags).map(({ key, value }) => `${key}=${value}`)
        return ["metered", "plain", "silent"].some((one) => labels.includes(`rpc.destination=${one}`))
          ? [
            `${name} ${labels.filter((label) => !label.startsWith("unit=")).toSorted().join(" ")}: ${
              JSON.stringify(Reflect.get(metricState, "count") ?? Reflect.get(metricState, "value"))
            }`
          ]
          : []
      })
      const common = (name: string) => [
        `rpc.client.endpoints rpc.destination=${name} rpc.endpoint.state=available: 2`,
        `rpc.client.endpoints rpc.destination=${name} rpc.endpoint.state=out: 1`,
        `rpc.client.endpoints.out error.type=ConsecutiveFailures rpc.destination=${name}: 1`,
        `rpc.client.endpoints.panic rpc.destination=${name}: 0`
      ]
      assert.deepStrictEqual(
        all.toSorted(),
        [
          ...common("metered"),
          ...common("plain"),
          "rpc.client.endpoints.attempts rpc.destination=metered rpc.outcome=failure server.address=bad: 5",
          "rpc.client.endpoints.attempts rpc.destination=metered rpc.outcome=success server.address=a: 5",
          "rpc.client.endpoints.attempts rpc.destination=metered rpc.outcome=success server.address=other: 5"
        ].toSorted()
      )
    }))

  it.scoped("are events of the list", () =>
    Effect.gen(function*() {
      const { fail, list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect, emptyAfter: "10 seconds" })
      const tags: Array<string> = []
      yield* Effect.fork(Stream.runForEach(endpoints.events, ({ _tag }) => Effect.sync(() => tags.push(_tag))))
      yield* settled
      yield* list("a")
      yield* list("b")
      yield* fail("down")
      yield* list()
      yield* list()
      yield* TestClock.adjust("10 seconds")
      yield* settled
      assert.deepStrictEqual(tags, [
        "EndpointAdded",
        "EndpointAdded",
        "EndpointRemoved",
        "ListFailed",
        "ListEmptied",
        "EndpointRemoved"
      ])
    }))

  it.scoped("are events by which a reader has the same endpoints as the state, also where one gets a new client", () =>
    Effect.gen(function*() {
      const { list, source } = yield* manual
      const endpoints = yield* Endpoints.make({ source, connect: servers().connect, metrics: "off" })
      const there = new Set<string>()
      yield* Effect.fork(Stream.runForEach(endpoints.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "EndpointAdded") {
            there.add(event.address)
          } else if (event._tag === "EndpointRemoved") {
            there.delete(event.address)
          }
        })))
      yield* settled
      yield* list({ address: "a", attributes: { pod: "users-1" } }, "b")
      yield* list({ address: "a", attributes: { pod: "users-2" } }, "c")
      yield* settled
      assert.deepStrictEqual(Array.from(there).toSorted(), (yield* endpoints.state).map(({ address }) => address))
    }))
})

describe("options of endpoints that are wrong", () => {
  const base = { source: Endpoints.fromList(["a"]), connect: () => Effect.void }

  for (
    const [field, options] of [
      ["source", { source: ["a"] }],
      ["connect", { connect: "a" }],
      ["name", { name: "" }],
      ["pick", { pick: "random" }],
      ["prefer.zone", { prefer: { zone: "" } }],
      ["prefer.spillBelow", { prefer: { zone: "z", spillBelow: 2 } }],
      ["ejection.consecutive", { ejection: { consecutive: 0 } }],
      ["ejection.successRate.deviations", { ejection: { successRate: { deviations: 0 } } }],
      ["ejection.maxEjectFor", { ejection: { ejectFor: 1000, maxEjectFor: 999 } }],
      ["breaker.probes", { breaker: { probes: 0 } }],
      ["slowStart", { slowStart: -1 }],
      ["emptyAfter", { emptyAfter: Infinity }],
      ["metrics.endpointLabels", { metrics: { endpointLabels: -1 } }],
      ["ejections", { ejections: "off" }]
    ] as const
  ) {
    it(`names ${field}`, () => {
      const make = Endpoints.make as unknown as (options: object) => unknown
      assert.throws(() => make({ ...base, ...options }), new RegExp(`Endpoints.make: ${field} `))
    })
  }

  it("names the option of a call and of a client", () => {
    const endpoints = Effect.runSync(Effect.scoped(Endpoints.make(base)))
    assert.throws(() => endpoints.call(() => Effect.void, { idempotent: true }), /Endpoints.call: idempotent needs/)
    assert.throws(() => Endpoints.client(endpoints, { service: "" }), /Endpoints.client: service must/)
  })

  it("splits addresses into host and port, those of IPv6 too, and refuses others", () => {
    assert.deepStrictEqual(Endpoints.hostAndPort({ address: "users.internal:80" }), {
      host: "users.internal",
      port: 80
    })
    assert.deepStrictEqual(Endpoints.hostAndPort({ address: "[::1]:1234" }), { host: "::1", port: 1234 })
    for (const address of ["users", "http://a:80/x", "::1", "a:99999"]) {
      assert.throws(() => Endpoints.hostAndPort({ address }), /address must be a host and a port/)
    }
  })
})
