/**
 * What circuit breakers, bulkheads and throttles add to a call, beside cockatiel's circuit breaker and beside `Effect.retry`. Alone:
 * `npm run --silent build && node --import tsx test/bench/gates.ts`.
 */
import * as Cockatiel from "cockatiel"
import { Bulkhead, CircuitBreaker, type Retryable, RpcRetry, Throttle, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Url from "node:url"
import { measure, nanos, print } from "./support.js"

const succeeding: Effect.Effect<number, Retryable> = Effect.sync(() => 1)

const schedule = Schedule.exponential("100 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.intersect(Schedule.recurs(3))
)

const ratio = (one: number, other: number, atMost?: number) =>
  `${(one / other).toFixed(2)}x${atMost === undefined ? "" : ` (at most ${atMost}x)`}`

const succeedingPromise = () => Promise.resolve(1)

const halfOpenAfter = 3_600_000

const consecutive = () =>
  Cockatiel.circuitBreaker(Cockatiel.handleAll, { halfOpenAfter, breaker: new Cockatiel.ConsecutiveBreaker(5) })
const count = () =>
  Cockatiel.circuitBreaker(Cockatiel.handleAll, {
    halfOpenAfter,
    breaker: new Cockatiel.CountBreaker({ threshold: 0.5, size: 100 })
  })
const sampling = () =>
  Cockatiel.circuitBreaker(Cockatiel.handleAll, {
    halfOpenAfter,
    breaker: new Cockatiel.SamplingBreaker({ threshold: 0.5, duration: 10_000 })
  })

const protectedBy = (trip: CircuitBreaker.Trip) =>
  Effect.map(CircuitBreaker.make({ trip }), (breaker) => CircuitBreaker.protect(succeeding, breaker))

const alone = Effect.gen(function*() {
  const [theirConsecutive, theirCount, theirSampling] = [consecutive(), count(), sampling()]
  const bulkhead = yield* Bulkhead.make({ concurrency: 10, queue: 10 })
  const throttle = yield* Throttle.make()
  const took = yield* measure({
    bare: succeeding,
    consecutive: yield* protectedBy(CircuitBreaker.consecutive(5)),
    count: yield* protectedBy(CircuitBreaker.rate({ window: CircuitBreaker.calls(100) })),
    sampling: yield* protectedBy(CircuitBreaker.rate({ window: "10 seconds" })),
    bulkhead: Bulkhead.protect(succeeding, bulkhead),
    throttle: Throttle.protect(succeeding, throttle),
    "their bare": succeedingPromise,
    "their consecutive": () => theirConsecutive.execute(succeedingPromise),
    "their count": () => theirCount.execute(succeedingPromise),
    "their sampling": () => theirSampling.execute(succeedingPromise)
  }, { runs: 2000 })
  const ours = (name: string) => took[name]! - took["bare"]!
  const theirs = (name: string) => took[`their ${name}`]! - took["their bare"]!
  yield* print("What a gate alone adds to a call that succeeds", [
    ...(["consecutive", "count", "sampling"] as const).flatMap((name): ReadonlyArray<readonly [string, string]> => [
      [`CircuitBreaker, ${name}`, nanos(ours(name))],
      [`cockatiel's, ${name}`, nanos(theirs(name))],
      ["  ratio to cockatiel's", ratio(ours(name), theirs(name), 1)]
    ]),
    ["Bulkhead", nanos(ours("bulkhead"))],
    ["Throttle", nanos(ours("throttle"))]
  ])
})

/** A method with a policy of its own. */
const methods = { "Users.Get": { idempotent: true } }

const together = Effect.gen(function*() {
  const call = succeeding.pipe(withRpcRetry({ method: "Users.Get" }))
  const bulkhead = { concurrency: 100, queue: 100 }
  const took = yield* measure({
    bare: succeeding,
    retry: Effect.retry(succeeding, schedule),
    layer: { call, service: RpcRetry.make({ methods, metrics: "off", budget: "off" }) },
    budget: { call, service: RpcRetry.make({ methods, metrics: "off" }) },
    breaker: { call, service: RpcRetry.make({ methods, metrics: "off", budget: "off", breaker: {} }) },
    bulkhead: { call, service: RpcRetry.make({ methods, metrics: "off", budget: "off", bulkhead }) },
    throttle: { call, service: RpcRetry.make({ methods, metrics: "off", budget: "off", throttle: {} }) },
    metrics: { call, service: RpcRetry.make({ methods, budget: "off" }) },
    all: { call, service: RpcRetry.make({ methods, breaker: {}, bulkhead }) },
    "all, a throttle too": { call, service: RpcRetry.make({ methods, breaker: {}, bulkhead, throttle: {} }) }
  }, { runs: 2000 })
  const added = (name: string) => took[name]! - took["bare"]!
  const beyond = (name: string) => took[name]! - took["layer"]!
  yield* print("What gates in a layer add to a call that succeeds", [
    ["Effect.retry(schedule)", nanos(added("retry"))],
    ["a layer with a policy of the method", nanos(added("layer"))],
    ["  and a budget", nanos(beyond("budget"))],
    ["  and a breaker", nanos(beyond("breaker"))],
    ["  and a bulkhead", nanos(beyond("bulkhead"))],
    ["  and a throttle", nanos(beyond("throttle"))],
    ["  and metrics", nanos(beyond("metrics"))],
    ["layer, budget, breaker, bulkhead and metrics", nanos(added("all"))],
    ["  ratio to Effect.retry(schedule)", ratio(added("all"), added("retry"), 0.5)],
    ["all of these and a throttle", nanos(added("all, a throttle too"))],
    ["  ratio to Effect.retry(schedule)", ratio(added("all, a throttle too"), added("retry"))]
  ])
})

const open = Effect.gen(function*() {
  const breaker = yield* CircuitBreaker.make()
  yield* breaker.open
  const theirs = consecutive()
  theirs.isolate()
  const service = RpcRetry.make()
  const took = yield* measure({
    protect: Effect.ignore(CircuitBreaker.protect(succeeding, breaker)),
    call: { call: Effect.ignore(succeeding.pipe(withRpcRetry({ method: "Users.Get", breaker }))), service },
    theirs: () => theirs.execute(succeedingPromise).catch(() => undefined)
  }, { runs: 500 })
  yield* print("A call that an open breaker turns away", [
    ["CircuitBreaker.protect", nanos(took["protect"]!)],
    ["withRpcRetry, with a layer and metrics", `${nanos(took["call"]!)} (below 1 ms)`],
    ["cockatiel's", nanos(took["theirs"]!)],
    ["  ratio of protect to cockatiel's", ratio(took["protect"]!, took["theirs"]!)]
  ])
})

export const program = Effect.all([alone, together, open], { discard: true })

if (process.argv[1] === Url.fileURLToPath(import.meta.url)) {
  void Effect.runPromise(program)
}
