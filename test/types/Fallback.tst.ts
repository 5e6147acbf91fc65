import {
  type CallRejected,
  Fallback,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  withRpcRetry
} from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import { describe, expect, test } from "tstyche"

interface User {
  readonly name: string
}
interface Guest {
  readonly guest: true
}
declare class UserNotFound {
  readonly _tag: "UserNotFound"
}
declare class NoGuests {
  readonly _tag: "NoGuests"
}
interface Db {
  readonly _: unique symbol
}
interface Guests {
  readonly _: unique symbol
}

declare const attempt: Effect.Effect<User, Retryable | Fatal | UserNotFound, Db>
declare const call: Effect.Effect<User, Fatal | UserNotFound | RetryExhausted | CallRejected, Db>
declare const guest: Effect.Effect<Guest, never, Guests>
declare const failing: Effect.Effect<Guest, NoGuests>

type Gone = RetryExhausted | CallRejected

describe("withFallback", () => {
  test("handles RetryExhausted and CallRejected by default: they leave, and the handler is given just these", () => {
    const piped = call.pipe(Fallback.withFallback((error) => {
      expect(error).type.toBe<Gone>()
      return guest
    }))
    expect(piped).type.toBe<Effect.Effect<User | Guest, Fatal | UserNotFound, Db | Guests>>()
    const first = Fallback.withFallback(call, (error) => {
      expect(error).type.toBe<Gone>()
      return guest
    })
    expect(first).type.toBe<Effect.Effect<User | Guest, Fatal | UserNotFound, Db | Guests>>()
    expect(call.pipe(Fallback.withFallback(() => guest))).type.toBe<typeof piped>()
    expect(pipe(call, Fallback.withFallback(() => guest, {}))).type.toBe<typeof piped>()
  })

  test("right after withRpcRetry", () => {
    expect(attempt.pipe(withRpcRetry({ method: "Users.Get" }), Fallback.withFallback(() => guest))).type.toBe<
      Effect.Effect<User | Guest, Fatal | UserNotFound, Db | Guests>
    >()
  })

  test("handles what on names: any mix of the errors of the package and of the user", () => {
    const piped = call.pipe(Fallback.withFallback(
      (error) => {
        expect(error).type.toBe<Fatal | UserNotFound>()
        return guest
      },
      { on: ["Fatal", "UserNotFound"] }
    ))
    expect(piped).type.toBe<Effect.Effect<User | Guest, RetryExhausted | CallRejected, Db | Guests>>()
    const all = Fallback.withFallback(
      call,
      (error) => {
        expect(error).type.toBe<Fatal | UserNotFound | RetryExhausted | CallRejected>()
        return guest
      },
      { on: ["Fatal", "UserNotFound", "RetryExhausted", "CallRejected"] }
    )
    expect(all).type.toBe<Effect.Effect<User | Guest, never, Db | Guests>>()
  })

  test("a handler that can fail adds FallbackFailed, with both errors", () => {
    expect(call.pipe(Fallback.withFallback(() => failing))).type.toBe<
      Effect.Effect<User | Guest, Fatal | UserNotFound | Fallback.FallbackFailed<Gone, NoGuests>, Db>
    >()
    expect(call.pipe(Fallback.withFallback(() => failing, { on: ["Fatal"] }))).type.toBe<
      Effect.Effect<User | Guest, UserNotFound | Gone | Fallback.FallbackFailed<Fatal, NoGuests>, Db>
    >()
    const handled = call.pipe(
      Fallback.withFallback(() => failing),
      Effect.catchTag("FallbackFailed", ({ error, fallback }) => {
        expect(error).type.toBe<Gone>()
        expect(fallback).type.toBe<NoGuests>()
        return guest
      })
    )
    expect(handled).type.toBe<Effect.Effect<User | Guest, Fatal | UserNotFound, Db | Guests>>()
  })

  test("a handler that is given by name, for any error, changes no type", () => {
    const any = (_error: unknown) => guest
    expect(call.pipe(Fallback.withFallback(any))).type.toBe<
      Effect.Effect<User | Guest, Fatal | UserNotFound, Db | Guests>
    >()
    expect(call.pipe(Fallback.withFallback(any, { on: ["Fatal"] }))).type.toBe<
      Effect.Effect<User | Guest, UserNotFound | Gone, Db | Guests>
    >()
    expect(Fallback.withFallback(call, any, { on: ["Fatal"] })).type.toBe<
      Effect.Effect<User | Guest, UserNotFound | Gone, Db | Guests>
    >()
  })

  test("on names no error that the call does not have, nor a Retryable", () => {
    expect(Fallback.withFallback).type.not.toBeCallableWith(call, () => guest, { on: ["OrderNotFound"] })
    expect(Fallback.withFallback).type.not.toBeCallableWith(attempt, () => guest, { on: ["Retryable"] })
    expect(Fallback.withFallback).type.toBeCallableWith(attempt, () => guest, { on: ["Fatal"] })
    expect(Fallback.withFallback).type.not.toBeCallableWith(call, () => guest, { when: ["Fatal"] })
  })

  test("a call that has none of the handled errors has nothing for the handler", () => {
    Fallback.withFallback(attempt, (error) => {
      expect(error).type.toBe<never>()
      return guest
    })
  })
})

describe("lastGood", () => {
  const get = (id: number, _locale?: string) => Effect.as(call, { name: String(id) })

  test("keeps the arguments, the errors and the requirements of the calls, and says how old an answer is", () => {
    const made = Fallback.lastGood(get, {
      key: (id, locale) => {
        expect(id).type.toBe<number>()
        expect(locale).type.toBe<string | undefined>()
        return `${id} ${locale}`
      },
      maxAge: "1 minute"
    })
    expect(made).type.toBe<
      Effect.Effect<
        (
          id: number,
          _locale?: string
        ) => Effect.Effect<Fallback.Answer<{ name: string }>, Fatal | UserNotFound | RetryExhausted | CallRejected, Db>
      >
    >()
    expect(pipe(get, Fallback.lastGood({ key: (id) => id, maxAge: "1 minute", capacity: 5 }))).type.toBe<typeof made>()
  })

  test("the value of an answer is not taken for one that is fresh", () => {
    const program = Effect.flatMap(
      Fallback.lastGood(get, { key: (id) => id, maxAge: "1 minute" }),
      (last) => last(1)
    )
    expect<Effect.Effect.Success<typeof program>>().type.not.toBeAssignableTo<User>()
  })

  test("needs a key of text or of a number, and an age", () => {
    expect(Fallback.lastGood).type.not.toBeCallableWith(get, { key: (id: number) => ({ id }), maxAge: "1 minute" })
    expect(Fallback.lastGood).type.not.toBeCallableWith(get, { key: (id: number) => id })
    expect(Fallback.lastGood).type.not.toBeCallableWith(get, { maxAge: "1 minute" })
    expect(Fallback.lastGood).type.not.toBeCallableWith(get, { key: (id: number) => id, maxAge: "1 minute", ttl: 5 })
  })
})
