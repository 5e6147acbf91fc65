import {
  type CallRejected,
  type Fatal,
  Hedge,
  type Retryable,
  type RetryExhausted,
  RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import type * as Effect from "effect/Effect"
import { describe, expect, test } from "tstyche"

interface User {
  readonly name: string
}
interface Db {
  readonly _: unique symbol
}

declare const call: Effect.Effect<User, Retryable | Fatal, Db>
declare const hedge: Hedge.Hedge

describe("hedge", () => {
  test("keeps answer, errors and requirements, in both forms", () => {
    type Expected = Effect.Effect<User, Retryable | Fatal, Db>
    expect(call.pipe(Hedge.hedge(hedge, { idempotent: true }))).type.toBe<Expected>()
    expect(Hedge.hedge(call, hedge, { idempotent: true })).type.toBe<Expected>()
    expect(call.pipe(RpcCall.make({ method: "Users.Get" }), Hedge.hedge(hedge, { idempotent: true }))).type.toBe<
      Expected
    >()
  })

  test("goes with withRpcRetry", () => {
    expect(call.pipe(Hedge.hedge(hedge, { idempotent: true }), withRpcRetry)).type.toBe<
      Effect.Effect<User, Fatal | RetryExhausted | CallRejected, Db>
    >()
  })

  test("does not compile unless the call is said to be idempotent", () => {
    expect(Hedge.hedge).type.not.toBeCallableWith(hedge)
    expect(Hedge.hedge).type.not.toBeCallableWith(hedge, {})
    expect(Hedge.hedge).type.not.toBeCallableWith(hedge, { idempotent: false })
    expect(Hedge.hedge).type.not.toBeCallableWith(call, hedge)
    expect(Hedge.hedge).type.not.toBeCallableWith(call, hedge, { idempotent: false })
    expect(Hedge.hedge).type.not.toBeCallableWith(call, hedge, { idempotent: true as boolean })
  })
})

describe("make", () => {
  test("takes what it knows, and cannot fail", () => {
    expect(Hedge.make({ after: "10 millis" })).type.toBe<Effect.Effect<Hedge.Hedge>>()
    expect(Hedge.make({ after: Hedge.quantile(0.95), max: 3, load: 0.02 })).type.toBe<Effect.Effect<Hedge.Hedge>>()
    expect(Hedge.make).type.not.toBeCallableWith()
    expect(Hedge.make).type.not.toBeCallableWith({ max: 2 })
    expect(Hedge.make).type.not.toBeCallableWith({ after: 10, delay: 10 })
  })
})
