import {
  type CallRejected,
  type Fatal,
  Hedge,
  type Retryable,
  type RetryExhausted,
  RetryPolicy,
  RpcCall,
  RpcRetry,
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

describe("a hedge in a policy", () => {
  const options = { after: "10 millis" } as const
  const policy = null as unknown as RetryPolicy.RetryPolicy

  test("does not compile unless idempotent: true stands beside it", () => {
    expect(RetryPolicy.make).type.toBeCallableWith({ hedge: options, idempotent: true })
    expect(RetryPolicy.make).type.toBeCallableWith({ hedge, idempotent: true })
    expect(RetryPolicy.make).type.not.toBeCallableWith({ hedge: options })
    expect(RetryPolicy.make).type.not.toBeCallableWith({ hedge, idempotent: false })
    expect(RetryPolicy.make).type.not.toBeCallableWith({ hedge, idempotent: true as boolean })
    expect(RetryPolicy.make).type.not.toBeCallableWith({ hedge: "on", idempotent: true })
    expect(RetryPolicy.make).type.not.toBeCallableWith({ hedge: { max: 2 }, idempotent: true })
    expect(RetryPolicy.make).type.toBeCallableWith({ hedge: "off" })
    expect(RetryPolicy.make).type.toBeCallableWith({ hedge: "off", idempotent: false })
  })

  test("neither in the options of a call, in both forms", () => {
    expect(call.pipe(withRpcRetry({ hedge: options, idempotent: true }))).type.toBe<
      Effect.Effect<User, Fatal | RetryExhausted | CallRejected, Db>
    >()
    expect(withRpcRetry).type.not.toBeCallableWith({ hedge: options })
    expect(withRpcRetry).type.not.toBeCallableWith({ hedge: options, idempotent: false })
    expect(withRpcRetry).type.not.toBeCallableWith(call, { hedge })
    expect(withRpcRetry).type.toBeCallableWith(call, { hedge, idempotent: true })
    expect(withRpcRetry).type.not.toBeCallableWith({ hedge, idempotent: true, retries: 3 })
  })

  test("neither in a layer, an update and a client", () => {
    expect(RpcRetry.layer).type.toBeCallableWith({ methods: { "A.B": { hedge: options, idempotent: true } } })
    expect(RpcRetry.layer).type.not.toBeCallableWith({ methods: { "A.B": { hedge: options } } })
    expect(RpcRetry.layer).type.not.toBeCallableWith({ default: { hedge: options, idempotent: false } })
    expect(RpcRetry.update).type.toBeCallableWith("A.B", { hedge, idempotent: true })
    expect(RpcRetry.update).type.not.toBeCallableWith("A.B", { hedge })
    expect(RpcRetry.client).type.not.toBeCallableWith({}, { hedge })
  })

  test("policies and options in variables are still policies and options", () => {
    expect(RetryPolicy.make).type.toBeCallableWith(policy)
    expect(withRpcRetry).type.toBeCallableWith(policy)
    expect(withRpcRetry).type.toBeCallableWith({ ...policy, method: "A.B" })
    expect(RpcRetry.layer).type.toBeCallableWith({ default: policy, methods: { "A.B": policy } })
    const wrap = (options: RpcRetry.Options) => call.pipe(withRpcRetry({ ...options, method: "A.B" }))
    expect(wrap).type.toBeCallableWith({ hedge, idempotent: true })
    expect(wrap).type.not.toBeCallableWith({ hedge })
  })
})
