import {
  type CallRejected,
  CircuitBreaker,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  withRpcRetry
} from "effect-rpc-retry"
import type * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import { describe, expect, test } from "tstyche"

interface User {
  readonly name: string
}
interface Db {
  readonly _: unique symbol
}

declare const call: Effect.Effect<User, Retryable | Fatal, Db>
declare const breaker: CircuitBreaker.CircuitBreaker
declare const breakers: CircuitBreaker.Keyed
type Protected = Effect.Effect<User, Retryable | Fatal | CallRejected, Db>

describe("CircuitBreaker", () => {
  test("protect adds CallRejected, in both forms and by key, and keeps all else", () => {
    expect(call.pipe(CircuitBreaker.protect(breaker))).type.toBe<Protected>()
    expect(CircuitBreaker.protect(call, breaker)).type.toBe<Protected>()
    expect(pipe(call, CircuitBreaker.protect(breaker))).type.toBe<Protected>()
    expect(call.pipe(breakers.protect("a"))).type.toBe<Protected>()
  })

  test("inside withRpcRetry and around it the caller sees the same errors", () => {
    type Retried = Effect.Effect<User, Fatal | RetryExhausted | CallRejected, Db>
    expect(call.pipe(CircuitBreaker.protect(breaker), withRpcRetry)).type.toBe<Retried>()
    expect(call.pipe(withRpcRetry, CircuitBreaker.protect(breaker))).type.toBe<Retried>()
  })

  test("making one cannot fail and needs nothing", () => {
    expect(CircuitBreaker.make()).type.toBe<Effect.Effect<CircuitBreaker.CircuitBreaker>>()
    expect(CircuitBreaker.keyed({ maxKeys: 5, openFor: "1 second" })).type.toBe<Effect.Effect<CircuitBreaker.Keyed>>()
  })

  test("its state is a value and its changes a stream", () => {
    expect(breaker.state).type.toBe<Effect.Effect<"Closed" | "Open" | "HalfOpen" | "Ramping">>()
    expect(breaker.changes).type.toBe<Stream.Stream<CircuitBreaker.Change>>()
  })

  test("options are checked", () => {
    expect(CircuitBreaker.make).type.toBeCallableWith({ openFor: Schedule.exponential("1 second") })
    expect(CircuitBreaker.make).type.toBeCallableWith({ classify: () => "Ignored" as const })
    expect(CircuitBreaker.make).type.not.toBeCallableWith({ openfor: "1 second" })
    expect(CircuitBreaker.make).type.not.toBeCallableWith({ trip: 5 })
    expect(CircuitBreaker.make).type.not.toBeCallableWith({ classify: () => "Sucess" })
    expect(CircuitBreaker.make).type.not.toBeCallableWith({
      openFor: Schedule.mapEffect(Schedule.spaced("1 second"), () => null as unknown as Effect.Effect<void, never, Db>)
    })
    expect(CircuitBreaker.rate).type.toBeCallableWith({ window: CircuitBreaker.calls(10) })
    expect(CircuitBreaker.rate).type.not.toBeCallableWith({ slow: { threshold: 0.5 } })
  })
})
