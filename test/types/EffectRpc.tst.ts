import * as Rpc from "@effect/rpc/Rpc"
import type * as RpcClient from "@effect/rpc/RpcClient"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import {
  type CallRejected,
  type Fatal,
  Retryable,
  type RetryExhausted,
  type RpcCall,
  RpcRetry,
  withRpcRetry
} from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import type * as Effect from "effect/Effect"
import type * as Mailbox from "effect/Mailbox"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { describe, expect, it } from "tstyche"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

class Users extends RpcGroup.make(
  Rpc.make("Get", { payload: { id: Schema.NumberFromString }, success: Schema.DateFromString, error: NotFound }),
  Rpc.make("Ping"),
  Rpc.make("Declared", { error: Retryable }),
  Rpc.make("Watch", { success: RpcSchema.Stream({ success: Schema.Number, failure: NotFound }) })
).merge(RpcGroup.make(Rpc.make("list", { success: Schema.Array(Schema.String) })).prefix("teams.")) {}

type Rpcs = RpcGroup.Rpcs<typeof Users>

declare const users: EffectRpc.Client<Rpcs>
declare const original: RpcClient.RpcClient<Rpcs, RpcClientError>

/** A client in a service, whose type does not name the group. */
declare class UsersClient {
  readonly Get: typeof original.Get
  readonly Ping: typeof original.Ping
  readonly Declared: typeof original.Declared
  readonly Watch: typeof original.Watch
  readonly teams: typeof original.teams
}
declare const service: UsersClient

describe("EffectRpc", () => {
  it("keeps payloads, answers and declared errors", () => {
    expect(users.Get({ id: 1 })).type.toBe<RpcCall.RpcCall<Date, NotFound | Retryable | Fatal>>()
    expect(users.Ping()).type.toBe<RpcCall.RpcCall<void, Retryable | Fatal>>()
    expect(users.teams.list()).type.toBe<RpcCall.RpcCall<ReadonlyArray<string>, Retryable | Fatal>>()
    expect(users.Get).type.not.toBeCallableWith({ id: "1" })
    expect(users.Get).type.not.toBeCallableWith({})
    expect(users).type.not.toHaveProperty("teams.list")
  })

  it("what is retried has no Retryable left", () => {
    expect(users.Get({ id: 1 }).pipe(withRpcRetry)).type.toBe<
      Effect.Effect<Date, NotFound | Fatal | RetryExhausted | CallRejected>
    >()
  })

  it("so it is of a whole client", () => {
    const retried = RpcRetry.client(users)
    expect(retried.Get({ id: 1 })).type.toBe<
      Effect.Effect<Date, NotFound | Fatal | RetryExhausted | CallRejected>
    >()
    expect(retried.Get({ id: 1 }, { discard: true })).type.toBe<
      Effect.Effect<void, Fatal | RetryExhausted | CallRejected>
    >()
    expect(retried.teams.list()).type.toBe<
      Effect.Effect<ReadonlyArray<string>, Fatal | RetryExhausted | CallRejected>
    >()
    expect(retried.Declared()).type.toBe<Effect.Effect<void, Fatal | RetryExhausted | CallRejected>>()
    expect(retried.Watch()).type.toBe<Stream.Stream<number, NotFound | Retryable | Fatal>>()
    expect(retried.Get).type.not.toBeCallableWith({ id: "1" })
  })

  it("takes the options of a call", () => {
    expect(users.Get({ id: 1 }, { discard: true })).type.toBe<RpcCall.RpcCall<void, Retryable | Fatal>>()
    expect(users.Get({ id: 1 }, { headers: { "x-tenant": "acme" } })).type.toBe<
      RpcCall.RpcCall<Date, NotFound | Retryable | Fatal>
    >()
    expect(users.Get).type.not.toBeCallableWith({ id: 1 }, { asMailbox: true })
    expect(users.Watch).type.not.toBeCallableWith(void 0, { discard: true })
  })

  it("keeps streams", () => {
    expect(users.Watch()).type.toBe<Stream.Stream<number, NotFound | Retryable | Fatal>>()
    expect(users.Watch(void 0, { asMailbox: true })).type.toBe<
      RpcCall.RpcCall<Mailbox.ReadonlyMailbox<number, NotFound | Retryable | Fatal>, never, Scope.Scope>
    >()
    expect(
      users.Watch().pipe(EffectRpc.untilFirst({ method: "Users.Watch" }), withRpcRetry, Stream.unwrapScoped)
    ).type.toBe<Stream.Stream<number, NotFound | Retryable | Fatal | RetryExhausted | CallRejected>>()
  })

  it("is made of the group", () => {
    expect(EffectRpc.make(Users)).type.toBe<
      Effect.Effect<EffectRpc.Client<Rpcs>, never, RpcClient.Protocol | Scope.Scope>
    >()
    expect(EffectRpc.client(original, Users)).type.toBe<EffectRpc.Client<Rpcs>>()
    expect(EffectRpc.client(service, Users)).type.toBe<EffectRpc.Client<Rpcs>>()
    expect(EffectRpc.client).type.not.toBeCallableWith({}, Users)
  })

  it("is a client of the library, with other errors", () => {
    expect(users).type.toBeAssignableTo<RpcClient.RpcClient<Rpcs, Retryable | Fatal>>()
  })

  it("knows the tags of the group", () => {
    expect(EffectRpc.make).type.toBeCallableWith(Users, {
      service: "Users",
      idempotent: { Get: true, "teams.list": true }
    })
    expect(EffectRpc.make).type.not.toBeCallableWith(Users, { idempotent: { Fetch: true } })
    expect(EffectRpc.client).type.not.toBeCallableWith(original, Users, { idempotent: { list: true } })
    expect(EffectRpc.make).type.not.toBeCallableWith(Users, { retries: 3 })
  })
})
