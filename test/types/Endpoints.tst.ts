import type * as Rpc from "@effect/rpc/Rpc"
import type * as grpc from "@grpc/grpc-js"
import { Endpoints, type Fatal, type Retryable, type RpcCall, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import type { CallRejected, RetryExhausted } from "effect-rpc-retry"
import type * as EffectRpc from "effect-rpc-retry/EffectRpc"
import type * as GoRpc from "effect-rpc-retry/GoRpc"
import type * as Grpc from "effect-rpc-retry/Grpc"
import type * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { describe, expect, test } from "tstyche"

interface Users {
  readonly get: (id: number) => RpcCall.RpcCall<string, Retryable | Fatal>
  readonly orders: { readonly count: () => Effect.Effect<number, Retryable | Fatal | "mine", Db> }
  readonly mine: (id: number) => Effect.Effect<string, "mine">
  readonly watch: () => Stream.Stream<string>
  readonly version: string
}
interface Db {
  readonly _: unique symbol
}
interface Config {
  readonly _: "config"
}

declare const users: Endpoints.Endpoints<Users>
declare const source: Endpoints.Source<Config>
type Failed = Fatal | RetryExhausted | CallRejected

describe("make", () => {
  test("needs what the source and the clients need, and a scope for them", () => {
    expect(
      Endpoints.make({ source, connect: () => ({}) as Effect.Effect<Users, Error, Db | Scope.Scope> })
    ).type.toBe<Effect.Effect<Endpoints.Endpoints<Users>, never, Scope.Scope | Config | Db>>()
    expect(Endpoints.make({ source: Endpoints.fromList(["a"]), connect: () => Effect.succeed(1) })).type.toBe<
      Effect.Effect<Endpoints.Endpoints<number>, never, Scope.Scope>
    >()
  })
})

describe("call", () => {
  test("adds the errors of an attempt, in all forms", () => {
    expect(users.call(({ mine }) => mine(1))).type.toBe<Effect.Effect<string, "mine" | Retryable | Fatal>>()
    expect(Endpoints.call(users, ({ orders }) => orders.count())).type.toBe<
      Effect.Effect<number, "mine" | Retryable | Fatal, Db>
    >()
    expect(users.pipe(Endpoints.call((client: Users) => client.get(1)))).type.toBe<
      Effect.Effect<string, Retryable | Fatal>
    >()
  })

  test("is an RpcCall when it is named", () => {
    const named = users.call(({ get }) => get(1), { method: "Users.Get", idempotent: true })
    expect(named).type.toBe<RpcCall.RpcCall<string, Retryable | Fatal>>()
    expect(Endpoints.call(users, ({ get }) => get(1), { method: "Users.Get" })).type.toBe<
      RpcCall.RpcCall<string, Retryable | Fatal>
    >()
    expect(named.pipe(withRpcRetry)).type.toBe<Effect.Effect<string, Failed>>()
  })
})

describe("RpcRetry.client of a client of endpoints", () => {
  interface Rest {
    readonly get: (...ids: readonly number[]) => Effect.Effect<string, "mine">
  }

  test("retries its methods, also those to which the errors of attempts were added", () => {
    type Retried = RpcRetry.Client<Endpoints.Client<Users>>
    expect<Retried["get"]>().type.toBe<(id: number) => Effect.Effect<string, Failed>>()
    expect<Retried["orders"]["count"]>().type.toBe<() => Effect.Effect<number, "mine" | Failed, Db>>()
    expect<Retried["mine"]>().type.toBe<(id: number) => Effect.Effect<string, "mine" | Failed>>()
    expect<RpcRetry.Client<Endpoints.Client<Rest>>["get"]>().type.toBe<
      (...ids: readonly number[]) => Effect.Effect<string, "mine" | Failed>
    >()
  })
})

describe("client", () => {
  const client = Endpoints.client(users)

  test("keeps methods that fail as attempts do, adds the errors to others, leaves out the rest", () => {
    expect(client.get).type.toBe<Users["get"]>()
    expect(client.orders.count).type.toBe<Users["orders"]["count"]>()
    expect(client.mine).type.toBe<(id: number) => Effect.Effect<string, "mine" | Retryable | Fatal>>()
    expect<keyof typeof client>().type.toBe<"get" | "orders" | "mine">()
  })

  test("of Go servers keeps the overloads of call", () => {
    const rpc = Endpoints.client({} as Endpoints.Endpoints<GoRpc.Client>)
    expect(rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(withRpcRetry)).type.toBe<Effect.Effect<unknown, Failed>>()
    expect(rpc.call("Arith.Multiply", { A: 6, B: 7 }, { reply: Schema.Number }).pipe(withRpcRetry)).type.toBe<
      Effect.Effect<number, Failed>
    >()
  })

  test("of gRPC servers has the methods of the stub", () => {
    interface Stub extends grpc.Client {
      getUser(
        request: { id: number },
        callback: (error: grpc.ServiceError | null, user?: string) => void
      ): grpc.ClientUnaryCall
    }
    const stub = Endpoints.client({} as Endpoints.Endpoints<Grpc.Calls<Stub>>)
    expect(stub.getUser({ id: 1 }).pipe(withRpcRetry)).type.toBe<Effect.Effect<string, Failed>>()
  })

  test("of Thrift servers has the methods of the service", () => {
    interface Service {
      getName(id: number): Promise<string>
      getName(id: number, callback?: (error: void, name: string) => void): void
    }
    const service = Endpoints.client({} as Endpoints.Endpoints<Thrift.Calls<Service>>)
    expect(service.getName(1).pipe(withRpcRetry)).type.toBe<
      ReturnType<typeof retriedName>
    >()
  })

  test("of Effect servers can be retried as a whole", () => {
    type Get = Rpc.Rpc<"Get", Schema.Struct<{ readonly id: typeof Schema.Number }>, typeof Schema.String>
    type Client = Endpoints.Client<EffectRpc.Client<Get>>
    expect<RpcRetry.Client<Client>>().type.toBe<RpcRetry.Client<EffectRpc.Client<Get>>>()
  })
})

declare const name: ReturnType<
  Thrift.Calls<{
    getName(id: number): Promise<string>
    getName(id: number, callback?: (error: void, name: string) => void): void
  }>["getName"]
>
declare function retriedName(): ReturnType<typeof retryName>
declare function retryName(): Effect.Effect<string, Exclude<Effect.Effect.Error<typeof name>, Retryable> | Failed>
