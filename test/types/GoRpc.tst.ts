import type { Fatal, Retryable, RpcCall } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "tstyche"

class Db extends Context.Tag("Db")<Db, string>() {}

declare const rpc: GoRpc.Client
declare const withDb: Schema.Schema<string, string, Db>
declare const client: Effect.Effect<GoRpc.Client, "no client", Db>

type Failure = Retryable | Fatal

describe("GoRpc.Client.call", () => {
  it("has the type of the reply, and needs what the schemas need", () => {
    const args = Schema.Struct({ a: withDb })
    expect(rpc.call("A.B", { a: "" }, { args, reply: Gob.Int })).type.toBe<RpcCall.RpcCall<number, Failure, Db>>()
    expect(rpc.call("A.B", 1, { reply: withDb })).type.toBe<RpcCall.RpcCall<string, Failure, Db>>()
    expect(rpc.call("A.B", { a: "" }, { args })).type.toBe<RpcCall.RpcCall<unknown, Failure, Db>>()
    expect(rpc.call("A.B", 1)).type.toBe<RpcCall.RpcCall<unknown, Failure>>()
  })

  it("takes literals as the schema has them, and nothing else", () => {
    const args = Schema.Struct({ order: Schema.Literal("up", "down") })
    expect(rpc.call("A.B", { order: "up" }, { args, reply: Gob.Int })).type.toBe<RpcCall.RpcCall<number, Failure>>()
    expect(rpc.call).type.not.toBeCallableWith("A.B", { order: "left" }, { args, reply: Gob.Int })
  })
})

describe("the options of a call", () => {
  it("are looked at where they are held in a variable too", () => {
    const options = { args: Schema.Struct({ A: Gob.Int }), reply: Gob.Int, idempotent: true } as const
    expect(rpc.call("A.B", { A: 1 }, options)).type.toBe<RpcCall.RpcCall<number, Failure>>()
    expect(rpc.call).type.not.toBeCallableWith("A.B", { A: "1" }, options)
  })

  it("are those that there are", () => {
    const service = GoRpc.service
    expect(service).type.not.toBeCallableWith("A", { B: { args: Gob.Int, reply: Gob.Int, idempotnt: false } })
    expect(rpc.call).type.not.toBeCallableWith("A.B", 1, { args: Gob.Int, idempotnt: false })
  })
})

describe("GoRpc.service", () => {
  const Args = Schema.Struct({ A: Gob.Int, B: Gob.Int })

  it("has a function for each method, that needs a client", () => {
    const Arith = GoRpc.service("Arith", {
      Multiply: { args: Args, reply: Gob.Int, idempotent: true },
      Name: { args: withDb, reply: Schema.String }
    })
    expect(Arith.Multiply({ A: 1, B: 2 })).type.toBe<RpcCall.RpcCall<number, Failure, GoRpc.GoRpc>>()
    expect(Arith.Name("")).type.toBe<RpcCall.RpcCall<string, Failure, GoRpc.GoRpc | Db>>()
    expect(Arith.Multiply).type.not.toBeCallableWith({ A: 1 })
    expect(Arith).type.not.toHaveProperty("Divide")
  })

  it("or has one of its own", () => {
    const Arith = GoRpc.service("Arith", { Multiply: { args: Args, reply: Gob.Int } }, { client })
    expect(Arith.Multiply({ A: 1, B: 2 })).type.toBe<RpcCall.RpcCall<number, Failure | "no client", Db>>()
  })
})

describe("Gob.named", () => {
  it("needs what its types need", () => {
    expect(Gob.named({ a: withDb, b: Gob.Int })).type.toBe<
      Schema.Schema<
        { readonly name: "a"; readonly value: string } | { readonly name: "b"; readonly value: number } | undefined,
        { readonly name: "a"; readonly value: string } | { readonly name: "b"; readonly value: number } | undefined,
        Db
      >
    >()
  })
})
