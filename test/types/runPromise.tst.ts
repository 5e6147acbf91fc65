import { RpcRetry } from "effect-rpc-retry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import { describe, expect, test } from "tstyche"

class Name extends Context.Tag("Name")<Name, string>() {}

declare const runtime: ManagedRuntime.ManagedRuntime<Name, "not built">
declare const signal: AbortSignal

describe("RpcRetry.runPromise", () => {
  test("gives the answer as a promise", () => {
    expect(RpcRetry.runPromise(Effect.succeed(1), { signal })).type.toBe<Promise<number>>()
  })

  test("needs a runtime for a call that requires services", () => {
    expect(RpcRetry.runPromise(Name, { runtime, signal })).type.toBe<Promise<string>>()
    expect(RpcRetry.runPromise).type.not.toBeCallableWith(Name, { signal })
  })
})
