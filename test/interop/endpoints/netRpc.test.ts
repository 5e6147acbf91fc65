/** Go servers behind one destination, over real sockets: one is killed, one leaves, one comes. */
import { Endpoints, RetryExhausted, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { eventually } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const netrpc = GoProgram.make("netrpc")

const servers = (count: number) => Effect.all(Array.from({ length: count }, () => netrpc.serve()))

/** A call waits for the next dial: not long, where there are other endpoints to go to. */
const connect = (endpoint: Endpoints.Endpoint) =>
  GoRpc.make({ ...Endpoints.hostAndPort(endpoint), dialBackoff: Schedule.spaced("1 millis") })

const addresses = (all: ReadonlyArray<{ readonly address: string }>) => all.map(({ address }) => address)

const of = (all: ReadonlyArray<{ readonly address: string }>, settings: Endpoints.Settings = {}) =>
  Endpoints.make({ source: Endpoints.fromList(addresses(all)), connect, ...settings })

const method = "Arith.Multiply"

/** A call that notes at which endpoint each of its attempts is made. */
const multiply = (endpoints: Endpoints.Endpoints<GoRpc.Client>, attempts: Array<string> = []) =>
  endpoints.call((rpc, { address }) => {
    attempts.push(address)
    return rpc.call(method, { A: 6, B: 7 })
  }, { method })

const many = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Ends an endpoint by its penalty alone: none is ejected, and none has a breaker. */
const penaltyOnly: Endpoints.Settings = { ejection: "off", breaker: "off" }

const quick = (retries: number) =>
  withRpcRetry({
    schedule: Schedule.spaced("1 millis").pipe(Schedule.intersect(Schedule.recurs(retries))),
    logs: false
  })

describe.skipIf(GoServer.skipped !== undefined)("three Go servers behind one destination", () => {
  it.scopedLive("lose no call under the default policy when one is killed under load, and it keeps no traffic", () =>
    Effect.gen(function*() {
      const all = yield* servers(3)
      const killed = all[0]!
      const endpoints = yield* of(all)
      let answered = 0
      let isKilled = false
      const after: Array<string> = []
      const call = Effect.suspend(() => {
        const attempts: Array<string> = []
        const wasKilled = isKilled
        return multiply(endpoints, attempts).pipe(
          withRpcRetry,
          Effect.tap(() => {
            answered++
            if (wasKilled) {
              after.push(...attempts)
            }
          })
        )
      })
      const load = yield* Effect.fork(Effect.forEach(many(4_000), () => call, { concurrency: 50 }))
      yield* eventually(() => answered > 500)
      yield* killed.kill
      isKilled = true
      const products = yield* Fiber.join(load)
      assert.strictEqual(products.length, 4_000)
      assert.isTrue(products.every((product) => product === 42))
      const share = after.filter((address) => address === killed.address).length / after.length
      assert.isAtMost(share, 0.05)
    }))

  it.scopedLive("let the calls in flight at one that leaves the list end, and use it for no other", () =>
    Effect.gen(function*() {
      const [left, stays] = yield* servers(2)
      const lists = yield* Queue.unbounded<ReadonlyArray<string>>()
      const endpoints = yield* Endpoints.make({ source: Endpoints.fromStream(Stream.fromQueue(lists)), connect })
      yield* Queue.offer(lists, [left!.address])
      const slow = yield* Effect.all(
        many(20).map(() => Effect.fork(endpoints.call((rpc) => rpc.call("Probe.Sleep", 400)).pipe(withRpcRetry)))
      )
      yield* eventually(Effect.map(endpoints.state, ([only]) => only?.client === "Connected" && only.inFlight === 20))
      yield* Queue.offer(lists, [stays!.address])
      yield* eventually(Effect.map(endpoints.state, ([first]) => first?.address === stays!.address))
      const attempts: Array<string> = []
      yield* Effect.forEach(many(50), () => multiply(endpoints, attempts).pipe(withRpcRetry), { concurrency: 10 })
      assert.deepStrictEqual(Array.from(new Set(attempts)), [stays!.address])
      assert.deepStrictEqual(yield* Fiber.join(Fiber.all(slow)), many(20).map(() => 400))
      yield* eventually(Effect.map(endpoints.state, (states) => states.length === 1))
    }))

  it.scopedLive("answer the next call where one is added by the stream and the only other is dead", () =>
    Effect.gen(function*() {
      const [dead, added] = yield* servers(2)
      const lists = yield* Queue.unbounded<ReadonlyArray<string>>()
      const endpoints = yield* Endpoints.make({ source: Endpoints.fromStream(Stream.fromQueue(lists)), connect })
      yield* Queue.offer(lists, [dead!.address])
      assert.strictEqual(yield* multiply(endpoints), 42)
      yield* dead!.kill
      assert.strictEqual((yield* Effect.flip(multiply(endpoints)))._tag, "Retryable")
      yield* Queue.offer(lists, addresses([dead!, added!]))
      yield* eventually(Effect.map(endpoints.state, (states) => states.length === 2))
      const attempts: Array<string> = []
      assert.strictEqual(yield* multiply(endpoints, attempts).pipe(withRpcRetry), 42)
      assert.strictEqual(attempts.at(-1), added!.address)
      assert.isAtMost(attempts.length, 2)
    }))

  it.scopedLive("are tried also when all are dead, and answer when one is there again", () =>
    Effect.gen(function*() {
      for (const count of [1, 3]) {
        const all = yield* servers(count)
        const endpoints = yield* of(all)
        yield* Effect.forEach(many(3 * count), () => multiply(endpoints).pipe(withRpcRetry))
        yield* Effect.forEach(all, ({ kill }) => kill)
        for (let call = 0; call < 20; call++) {
          const attempts: Array<string> = []
          const error = yield* Effect.flip(multiply(endpoints, attempts).pipe(quick(3)))
          assert.instanceOf(error, RetryExhausted)
          assert.deepStrictEqual([error.attempts, attempts.length], [4, 4])
        }
        yield* netrpc.serve("-address", all[0]!.address)
        const isAnswered = Effect.match(multiply(endpoints).pipe(quick(3)), {
          onFailure: () => false,
          onSuccess: (product) => product === 42
        })
        yield* eventually(isAnswered)
      }
    }))

  for (const pick of ["powerOfTwo", "roundRobin", "weighted", "pickFirst"] as const) {
    it.scopedLive(`are tried by each call in turn, none again before all were: ${pick}`, () =>
      Effect.gen(function*() {
        const all = yield* servers(3)
        const endpoints = yield* of(all, { pick, ...penaltyOnly })
        yield* Effect.forEach(all.slice(0, 2), ({ kill }) => kill)
        for (let call = 0; call < 60; call++) {
          const attempts: Array<string> = []
          assert.strictEqual(yield* multiply(endpoints, attempts).pipe(quick(2)), 42)
          assert.strictEqual(new Set(attempts).size, attempts.length)
        }
        yield* all[2]!.kill
        for (let call = 0; call < 20; call++) {
          const attempts: Array<string> = []
          yield* Effect.flip(multiply(endpoints, attempts).pipe(quick(8)))
          assert.strictEqual(attempts.length, 9)
          for (const round of [attempts.slice(0, 3), attempts.slice(3, 6), attempts.slice(6)]) {
            assert.deepStrictEqual(round.toSorted(), addresses(all).toSorted())
          }
        }
      }))
  }

  for (const [by, settings] of Object.entries({ "the defaults": {}, "its penalty alone": penaltyOnly })) {
    it.scopedLive(`send at most one attempt in 20 to one that fails fast: by ${by}`, () =>
      Effect.gen(function*() {
        const all = yield* servers(2)
        const fails = yield* FlakyServer.make({ methods: FlakyServer.arith })
        yield* fails.script(...many(2_000).map(() => FlakyServer.reset))
        const bad = { address: `${fails.address.host}:${fails.address.port}` }
        const endpoints = yield* of([bad, ...all], settings)
        const attempts: Array<string> = []
        yield* Effect.forEach(many(2_000), () => multiply(endpoints, attempts).pipe(withRpcRetry), { concurrency: 10 })
        assert.isAtMost(attempts.filter((address) => address === bad.address).length / attempts.length, 0.05)
      }))
  }

  it.scopedLive("give an answer and the name of the endpoint to a call that is held while its endpoint is killed", () =>
    Effect.gen(function*() {
      const all = yield* servers(3)
      const endpoints = yield* of(all)
      const at = yield* Deferred.make<string>()
      const attempts: Array<string> = []
      const endpointsOfErrors: Array<string | undefined> = []
      const held = yield* Effect.fork(
        endpoints.call((rpc, { address }) => {
          attempts.push(address)
          return Effect.andThen(Deferred.succeed(at, address), rpc.call("Probe.Sleep", 300))
        }).pipe(withRpcRetry({
          onEvent: (event) =>
            Effect.sync(() => {
              if (event._tag === "RetryScheduled") {
                endpointsOfErrors.push(event.error.endpoint)
              }
            })
        }))
      )
      const first = yield* Deferred.await(at)
      yield* eventually(
        Effect.map(
          endpoints.state,
          (states) => states.some(({ client, inFlight }) => inFlight > 0 && client === "Connected")
        )
      )
      yield* all.find(({ address }) => address === first)!.kill
      assert.strictEqual(yield* Fiber.join(held), 300)
      assert.deepStrictEqual(endpointsOfErrors, [first])
      assert.deepStrictEqual([attempts.length, new Set(attempts).size], [2, 2])
    }))
})
