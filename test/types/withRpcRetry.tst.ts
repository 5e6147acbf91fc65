import {
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryEvent,
  type RetryExhausted,
  RetryPolicy,
  RetrySchedule,
  RpcCall,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Faults from "effect-rpc-retry/testing/Faults"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { describe, expect, test } from "tstyche"

interface User {
  readonly name: string
}
declare class UserNotFound {
  readonly _tag: "UserNotFound"
}
interface Db {
  readonly _: unique symbol
}

declare const call: Effect.Effect<User, Retryable | Fatal | UserNotFound, Db>
declare const domain: Effect.Effect<User, UserNotFound>
declare const unknown: Effect.Effect<User, unknown>
declare const error: Effect.Effect<User, Error>
type Expected = Effect.Effect<User, Fatal | UserNotFound | RetryExhausted | CallRejected, Db>

describe("withRpcRetry", () => {
  test("the four forms: no Retryable left, domain errors and requirements kept", () => {
    expect(call.pipe(withRpcRetry)).type.toBe<Expected>()
    expect(call.pipe(withRpcRetry())).type.toBe<Expected>()
    expect(call.pipe(withRpcRetry({ method: "Users.Get", idempotent: true }))).type.toBe<Expected>()
    expect(withRpcRetry(call, { method: "Users.Get" })).type.toBe<Expected>()
    expect(withRpcRetry(call)).type.toBe<Expected>()
    expect(pipe(call, withRpcRetry)).type.toBe<Expected>()
    expect(pipe(call, withRpcRetry({}))).type.toBe<Expected>()
    expect(call.pipe(withRpcRetry(RetryPolicy.none))).type.toBe<Expected>()
  })

  test("in a longer pipe, before and after other operators", () => {
    const piped = call.pipe(
      Effect.map((user) => user.name),
      withRpcRetry,
      Effect.catchTag("RetryExhausted", (error) => Effect.succeed(error.attempts))
    )
    expect(piped).type.toBe<Effect.Effect<string | number, Fatal | UserNotFound | CallRejected, Db>>()
  })

  test("of an RpcCall, and of a call without errors", () => {
    const named = RpcCall.make(call, { method: "Users.Get" })
    expect(named.pipe(withRpcRetry)).type.toBe<Expected>()
    expect(withRpcRetry(Effect.succeed(1))).type.toBe<Effect.Effect<number, RetryExhausted | CallRejected>>()
  })

  test("a call none of whose errors can be Retryable is marked as one that is never retried", () => {
    expect(domain.pipe(withRpcRetry)).type.toBeAssignableTo<RpcRetry.NothingIsRetried>()
    expect(domain.pipe(withRpcRetry({ method: "Users.Get" }))).type.toBeAssignableTo<RpcRetry.NothingIsRetried>()
    expect(withRpcRetry(domain)).type.toBe<
      Effect.Effect<User, UserNotFound | RetryExhausted | CallRejected> & RpcRetry.NothingIsRetried
    >()
    // what may hold a Retryable is not
    expect(withRpcRetry(unknown)).type.toBe<Effect.Effect<User, unknown>>()
    expect(withRpcRetry(error)).type.toBe<Effect.Effect<User, Error | RetryExhausted | CallRejected>>()
    expect(call.pipe(Effect.mapError((error): Retryable | UserNotFound => error as Retryable), withRpcRetry)).type.toBe<
      Effect.Effect<User, UserNotFound | RetryExhausted | CallRejected, Db>
    >()
  })

  test("inside generic functions", () => {
    const retryA = <A>(self: Effect.Effect<A, Retryable | Fatal>) => self.pipe(withRpcRetry)
    expect(retryA(Effect.succeed(1))).type.toBe<Effect.Effect<number, Fatal | RetryExhausted | CallRejected>>()

    const retryAll = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(withRpcRetry({ method: "A.B" }))
    expect(retryAll(call)).type.toBe<Expected>()

    const retryData = <A, E, R>(self: Effect.Effect<A, E, R>) => withRpcRetry(self, { method: "A.B" })
    expect(retryData(call)).type.toBe<Expected>()

    const retryBare = <A, E, R>(self: Effect.Effect<A, E, R>) => pipe(self, withRpcRetry)
    expect(retryBare(call)).type.toBe<Expected>()
  })

  test("an unknown option is an error, in every form", () => {
    expect(withRpcRetry).type.not.toBeCallableWith({ method: "Users.Get", retries: 3 })
    expect(withRpcRetry).type.not.toBeCallableWith({ retries: 3 })
    expect(withRpcRetry).type.not.toBeCallableWith(call, { method: "Users.Get", retries: 3 })
    expect(withRpcRetry).type.not.toBeCallableWith({ attemptTimeout: "soon" })
    expect(withRpcRetry).type.not.toBeCallableWith({ idempotent: "yes" })
    expect(withRpcRetry).type.toBeCallableWith({ method: "Users.Get", deadline: "2 seconds" })
  })

  test("a function, a text, a number or a list in place of a call is an error", () => {
    expect(withRpcRetry).type.not.toBeCallableWith(() => Promise.resolve("an answer"))
    expect(withRpcRetry).type.not.toBeCallableWith((id: number) => Effect.succeed(id))
    expect(withRpcRetry).type.not.toBeCallableWith("Users.Get")
    expect(withRpcRetry).type.not.toBeCallableWith(3)
    expect(withRpcRetry).type.not.toBeCallableWith(["Users.Get"])
    expect(withRpcRetry).type.not.toBeCallableWith(Promise.resolve("an answer"))
    expect(withRpcRetry).type.not.toBeCallableWith(null)
  })

  test("the functions among the options know the types of their parameters", () => {
    call.pipe(withRpcRetry({
      retryIf: (error) => {
        expect(error).type.toBe<Retryable>()
        return true
      },
      onEvent: (event) => {
        expect(event).type.toBe<RetryEvent.RetryEvent>()
        return Effect.void
      }
    }))
    withRpcRetry(call, {
      onEvent: (event) => {
        expect(event).type.toBe<RetryEvent.RetryEvent>()
        return Effect.void
      }
    })
  })

  test("onEvent neither fails nor needs a service", () => {
    expect(withRpcRetry).type.not.toBeCallableWith({ onEvent: () => Effect.fail("no") })
    expect(withRpcRetry).type.not.toBeCallableWith({ onEvent: () => null as unknown as Effect.Effect<void, never, Db> })
  })

  test("a schedule that needs a narrower error is rejected, and so is one that needs a service", () => {
    const narrow = Schedule.recurs(3).pipe(
      Schedule.whileInput((error: Retryable & { readonly code: "ECONNREFUSED" }) => error.code === "ECONNREFUSED")
    )
    expect(withRpcRetry).type.not.toBeCallableWith({ schedule: narrow })
    expect(RetryPolicy.make).type.not.toBeCallableWith({ schedule: narrow })
    const strings = Schedule.recurs(3).pipe(Schedule.whileInput((error: string) => error === ""))
    expect(withRpcRetry).type.not.toBeCallableWith({ schedule: strings })
    const needy = Schedule.recurs(3).pipe(
      Schedule.tapInput((_: Retryable) => null as unknown as Effect.Effect<void, never, Db>)
    )
    expect(withRpcRetry).type.not.toBeCallableWith({ schedule: needy })

    const wider = Schedule.recurs(3).pipe(Schedule.whileInput((error: Retryable | Fatal) => error._tag === "Retryable"))
    expect(withRpcRetry).type.toBeCallableWith({ schedule: wider })
    expect(withRpcRetry).type.toBeCallableWith({ schedule: Schedule.exponential("1 second") })
  })
})

describe("the rest", () => {
  test("a layer provides nothing that a type would show", () => {
    expect<ReturnType<typeof RpcRetry.layer>>().type.toBe<Layer.Layer<never>>()
    expect<Context.Tag.Service<RpcRetry.RpcRetry>>().type.toBe<RpcRetry.Service>()
  })

  test("fromPromise fails with Retryable | Fatal", () => {
    const promised = RpcCall.fromPromise({ method: "A.B", try: () => Promise.resolve(1) })
    expect(promised).type.toBe<RpcCall.RpcCall<number, Retryable | Fatal>>()
  })

  test("GoRpc: a reply is what its schema says, and unknown without one", () => {
    const rpc = null as unknown as GoRpc.Client
    expect(rpc.call("A.B", 1)).type.toBe<RpcCall.RpcCall<unknown, Retryable | Fatal>>()
    expect(rpc.call("A.B", 1, { idempotent: true })).type.toBe<RpcCall.RpcCall<unknown, Retryable | Fatal>>()
    expect(rpc.call("A.B", 1, { reply: Schema.NumberFromString })).type.toBe<
      RpcCall.RpcCall<number, Retryable | Fatal>
    >()
    expect(GoRpc.make).type.not.toBeCallableWith({ host: "localhost" })
    expect(GoRpc.make).type.toBeCallableWith({ host: "localhost", port: 1, dialTimeout: "1 second" })
  })

  test("Faults.script has the types of its steps", () => {
    const script = Faults.script([Faults.refused, Effect.succeed(1), call])
    expect(script).type.toBe<Effect.Effect<Faults.Script<number | User, Retryable | Fatal | UserNotFound, Db>>>()
  })

  test("schedules keep their output", () => {
    expect(RetrySchedule.exponential().pipe(RetrySchedule.fullJitter, RetrySchedule.retries(3))).type.toBe<
      ReturnType<typeof RetrySchedule.exponential>
    >()
  })
})

describe("RpcRetry.client", () => {
  interface Orders {
    readonly place: (item: string) => Effect.Effect<void, Retryable>
    readonly status: RpcCall.RpcCall<string, Retryable>
    readonly items: { readonly first: () => Effect.Effect<string, Retryable>; readonly limit: number }
    readonly cached: (item: string) => Option.Option<number>
    readonly tags: ReadonlyArray<string>
    readonly since: Date
    readonly changes: Stream.Stream<string, Retryable>
    readonly plain: Effect.Effect<string, Retryable>
  }
  interface Users {
    readonly version: number
    readonly get: (id: number) => Effect.Effect<User, Retryable | Fatal | UserNotFound, Db>
    readonly list: (page?: number) => Stream.Stream<User, Retryable>
    readonly named: (id: number) => RpcCall.RpcCall<User, Retryable>
    readonly orders: Orders
    readonly health: RpcCall.RpcCall<string, Retryable | Fatal>
  }
  const users = null as unknown as Users

  test("methods have no Retryable left; arguments, requirements and other members are kept", () => {
    const retried = RpcRetry.client(users, { service: "Users" })
    expect(retried.get).type.toBe<(id: number) => Expected>()
    expect(retried.version).type.toBe<number>()
    expect(retried.list).type.toBe<Users["list"]>()
    expect(retried.named(1)).type.toBe<Effect.Effect<User, RetryExhausted | CallRejected>>()
    expect(retried.orders.place("x")).type.toBe<Effect.Effect<void, RetryExhausted | CallRejected>>()
    expect(retried.orders.status).type.toBe<Effect.Effect<string, RetryExhausted | CallRejected>>()
    expect(retried.orders.items.first()).type.toBe<Effect.Effect<string, RetryExhausted | CallRejected>>()
    expect(retried.orders.items.limit).type.toBe<number>()
    expect(retried.orders.cached).type.toBe<Orders["cached"]>()
    expect(retried.orders.tags).type.toBe<ReadonlyArray<string>>()
    expect(retried.orders.since).type.toBe<Date>()
    expect(retried.orders.changes).type.toBe<Orders["changes"]>()
    expect(retried.orders.plain).type.toBe<Orders["plain"]>()
    expect(retried.health).type.toBe<Effect.Effect<string, Fatal | RetryExhausted | CallRejected>>()
  })

  test("a method with a readonly rest parameter", () => {
    interface Rest {
      readonly get: (...ids: readonly number[]) => Effect.Effect<string, Retryable>
    }
    expect<RpcRetry.Client<Rest>["get"]>().type.toBe<
      (...ids: readonly number[]) => Effect.Effect<string, RetryExhausted | CallRejected>
    >()
  })

  test("a client without types", () => {
    const loaded = null as unknown as { readonly [method: string]: (id: number) => RpcCall.RpcCall<User, Retryable> }
    expect(RpcRetry.client(loaded)).type.toBe<
      { readonly [method: string]: (id: number) => Effect.Effect<User, RetryExhausted | CallRejected> }
    >()
  })

  test("a client that is a function", () => {
    expect(RpcRetry.client((id: number) => RpcCall.make(call, { method: `Users.${id}` }))).type.toBe<
      (id: number) => Expected
    >()
  })

  test("a client whose type says what it becomes", () => {
    const generic = null as unknown as
      & { readonly get: <A>(a: A) => Effect.Effect<A, Retryable> }
      & RpcCall.RetriesTo<{
        readonly get: <A>(a: A) => Effect.Effect<A, RetryExhausted | CallRejected>
      }>
    expect(RpcRetry.client(generic).get("x")).type.toBe<Effect.Effect<string, RetryExhausted | CallRejected>>()
  })

  test("an option that does not exist is an error", () => {
    expect(RpcRetry.client).type.not.toBeCallableWith(users, { method: "x" })
    expect(RpcRetry.client).type.not.toBeCallableWith(1)
  })
})
