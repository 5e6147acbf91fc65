/**
 * How the cost of a call grows with what a layer holds.
 */
import { Endpoints, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { type Case, cpu, each, type Group, isQuick } from "./case.js"
import { succeeding } from "./success.js"

const quick = (n: number) => isQuick ? Math.max(2, n / 100) : n

/** Calls of so many methods in turn. */
const inTurn = (names: ReadonlyArray<string>, service: RpcRetry.Service) => {
  const made = names.map((method) => succeeding.pipe(withRpcRetry({ method })))
  return each((n) => {
    const many = Effect.suspend(() => {
      let i = 0
      return Effect.whileLoop({ while: () => i < n, body: () => made[i % made.length]!, step: () => i++ })
    })
    return Effect.runPromise(Effect.provideService(many, RpcRetry.RpcRetry, service) as Effect.Effect<void>)
  })
}

const list = <A>(n: number, item: (i: number) => A): ReadonlyArray<A> => Array.from({ length: n }, (_, i) => item(i))

const policies = (names: ReadonlyArray<string>) =>
  Object.fromEntries(names.map((name) => [name, { idempotent: true }] as const))

const methods = (count: number): Case => () => {
  const names = list(quick(count), (i) => `Service${i % 100}.Method${i}`)
  return inTurn(names, RpcRetry.make({ methods: policies(names) }))
}

const patterns = (count: number): Case => () => {
  const services = list(quick(count), (i) => `Service${i}`)
  const service = RpcRetry.make({ methods: policies(services.map((name) => `${name}.*`)) })
  return inTurn(services.map((name) => `${name}.Get`), service)
}

const destinations = (count: number): Case => () =>
  inTurn(list(quick(count), (i) => `Service${i}.Get`), RpcRetry.make({ breaker: {} }))

const endpoints = (count: number): Case => async () => {
  const set = await Effect.runPromise(
    Effect.flatMap(Scope.make(), (scope) =>
      Scope.extend(
        Endpoints.make({
          source: Endpoints.fromList(list(quick(count), (i) => `10.0.${i >> 8}.${i & 255}:80`)),
          connect: () => Effect.succeed({ get: succeeding })
        }),
        scope
      ))
  )
  const call = set.call(({ get }) => get).pipe(withRpcRetry)
  return each((n) => {
    let i = 0
    return Effect.runPromise(
      Effect.whileLoop({ while: () => i < n, body: () => call, step: () => i++ }) as Effect.Effect<void>
    )
  })
}

const inspected = (count: number): Case => () => {
  const names = list(quick(count), (i) => `Service${i}.*`)
  const service = RpcRetry.make({ methods: policies(names) })
  const inspect = Effect.provideService(RpcRetry.inspect, RpcRetry.RpcRetry, service)
  return () => cpu(() => Effect.runPromise(inspect))
}

export const group: Group = {
  title: "Growth",
  unit: "nanoseconds of processor time for a call; for `inspect` all of it",
  rounds: 11,
  cases: {
    "1,000 methods": methods(1_000),
    "10,000 methods": methods(10_000),
    "100 patterns": patterns(100),
    "1,000 patterns": patterns(1_000),
    "100 destinations": destinations(100),
    "10,000 destinations": destinations(10_000),
    "10 endpoints": endpoints(10),
    "1,000 endpoints": endpoints(1_000),
    "inspect, 20 patterns": inspected(20),
    "inspect, 200 patterns": inspected(200)
  },
  rows: [
    {
      what: "a call with 10,000 methods / with 1,000",
      ratio: (of) => of("10,000 methods") / of("1,000 methods"),
      atMost: 2
    },
    {
      what: "a call with 1,000 patterns / with 100",
      ratio: (of) => of("1,000 patterns") / of("100 patterns"),
      atMost: 2
    },
    {
      what: "a call to one of 10,000 destinations / of 100",
      ratio: (of) => of("10,000 destinations") / of("100 destinations"),
      atMost: 2
    },
    {
      what: "a call to one of 1,000 endpoints / of 10",
      ratio: (of) => of("1,000 endpoints") / of("10 endpoints"),
      atMost: 2
    },
    {
      what: "`inspect` with 200 patterns / with 20: 10 is linear",
      ratio: (of) => of("inspect, 200 patterns") / of("inspect, 20 patterns"),
      atMost: 12
    }
  ]
}
