import {
  Bulkhead,
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  Throttle,
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
declare const pure: Effect.Effect<User>
declare const bulkhead: Bulkhead.Bulkhead
declare const throttle: Throttle.Throttle

describe("protect", () => {
  test("adds CallRejected to the errors, and keeps all else, in both forms", () => {
    type Expected = Effect.Effect<User, Retryable | Fatal | CallRejected, Db>
    expect(call.pipe(Bulkhead.protect(bulkhead))).type.toBe<Expected>()
    expect(Bulkhead.protect(call, bulkhead)).type.toBe<Expected>()
    expect(call.pipe(Throttle.protect(throttle))).type.toBe<Expected>()
    expect(Throttle.protect(call, throttle)).type.toBe<Expected>()
    expect(pure.pipe(Bulkhead.protect(bulkhead))).type.toBe<Effect.Effect<User, CallRejected>>()
  })

  test("goes with withRpcRetry", () => {
    expect(call.pipe(Bulkhead.protect(bulkhead), withRpcRetry, Throttle.protect(throttle))).type.toBe<
      Effect.Effect<User, Fatal | RetryExhausted | CallRejected, Db>
    >()
  })

  test("takes the policy that it is of", () => {
    expect(Bulkhead.protect).type.not.toBeCallableWith(throttle)
    expect(Throttle.protect).type.not.toBeCallableWith(bulkhead)
  })
})

describe("make", () => {
  test("takes what it knows, and cannot fail", () => {
    expect(Bulkhead.make({ concurrency: 1, queue: 0 })).type.toBe<Effect.Effect<Bulkhead.Bulkhead>>()
    expect(Bulkhead.make({ concurrency: 1, queue: 0, adaptive: { floor: 1 } })).type.toBe<
      Effect.Effect<Bulkhead.Bulkhead>
    >()
    expect(Bulkhead.make).type.not.toBeCallableWith({ concurrency: 1 })
    expect(Throttle.make()).type.toBe<Effect.Effect<Throttle.Throttle>>()
    expect(Throttle.make).type.not.toBeCallableWith({ K: 2 })
  })
})
