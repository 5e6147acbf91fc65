import {
  type CallRejected,
  type Fatal,
  type Retryable,
  type RetryExhausted,
  type RpcCall,
  withRpcRetry
} from "effect-rpc-retry"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { describe, expect, it } from "tstyche"
import type { Client as ES5 } from "../support/thriftGen/es5/Probe.js"
import type { Item, Missing, Refused } from "../support/thriftGen/es5/probe_types.js"
import type { Client as ES6 } from "../support/thriftGen/es6/Probe.js"
import type { Missing as MissingES6 } from "../support/thriftGen/es6/probe_types.js"

declare const Client: typeof ES5
declare const ClientES6: typeof ES6

const options = { service: "Probe", client: Client, host: "h", port: 1 }

declare const probe: Thrift.Calls<ES5>

class Probe extends Context.Tag("Probe")<Probe, Thrift.Calls<ES5>>() {}

class Others
  extends Context.Tag("Others")<Others, Thrift.Calls<{ a(callback?: (e: void, r: string) => void): void }>>()
{}

declare class Named {
  a(): Promise<string>
  a(callback?: (error: void, response: string) => void): void
  toString(): string
  toString(): Promise<string>
  toString(callback?: (error: void, response: string) => void): void
}

interface Untyped {
  readonly [method: string]: (...args: ReadonlyArray<unknown>) => RpcCall.RpcCall<unknown, unknown>
}

describe("Thrift", () => {
  it("a client has the methods of the generated one, and nothing else", () => {
    expect(Thrift.make(options)).type.toBe<Effect.Effect<Thrift.Calls<ES5>, never, Scope.Scope>>()
    expect<keyof Thrift.Calls<ES5>>().type.toBe<
      "echo" | "once" | "item" | "control" | "nothing" | "tell" | "version"
    >()
  })

  it("the result, and what the method declares that it throws", () => {
    expect(probe.echo("x")).type.toBe<RpcCall.RpcCall<string, Retryable | Fatal | Missing>>()
    expect(probe.once("x")).type.toBe<RpcCall.RpcCall<string, Retryable | Fatal | Missing | Refused>>()
    expect(probe.item).type.toBe<(item: Item) => RpcCall.RpcCall<Item, Retryable | Fatal>>()
    expect(probe.version()).type.toBe<RpcCall.RpcCall<string, Retryable | Fatal>>()
    expect(probe.nothing()).type.toBe<RpcCall.RpcCall<void, Retryable | Fatal>>()
    expect(probe.tell("x")).type.toBe<RpcCall.RpcCall<void, Retryable | Fatal>>()
  })

  it("the same of what is generated for ES6", () => {
    expect<Thrift.Calls<ES6>["echo"]>().type.toBe<
      (text: string) => RpcCall.RpcCall<string, Retryable | Fatal | MissingES6>
    >()
    expect(Thrift.make({ ...options, client: ClientES6 })).type.toBe<
      Effect.Effect<Thrift.Calls<ES6>, never, Scope.Scope>
    >()
  })

  it("a retried call keeps what it declares", () => {
    expect(probe.echo("x").pipe(withRpcRetry)).type.toBe<
      Effect.Effect<string, Fatal | Missing | RetryExhausted | CallRejected>
    >()
  })

  it("takes only the arguments of the method", () => {
    expect(probe.echo).type.not.toBeCallableWith(1)
    expect(probe.echo).type.not.toBeCallableWith("x", () => {})
    expect(probe.echo).type.not.toBeCallableWith()
    expect(probe.version).type.not.toBeCallableWith("x")
  })

  it("options of methods that there are", () => {
    expect(Thrift.make<ES5>).type.toBeCallableWith({ ...options, methods: { echo: { idempotent: true } } })
    expect(Thrift.make<ES5>).type.not.toBeCallableWith({ ...options, methods: { ehco: { idempotent: true } } })
    expect(Thrift.make<ES5>).type.not.toBeCallableWith({ ...options, methods: { echo: { idempotnet: true } } })
    expect(Thrift.make<ES5>).type.not.toBeCallableWith({ ...options, transport: "http" })
  })

  it("but for a method that is named as what every object has", () => {
    const named = { service: "Named", client: Named, host: "h", port: 1 }
    expect(Thrift.make(named)).type.toBe<Effect.Effect<Thrift.Calls<Named>, never, Scope.Scope>>()
    expect<keyof Thrift.Calls<Named>>().type.toBe<"a" | "toString">()
    expect(Thrift.make<Named>).type.toBeCallableWith({ ...named, methods: { a: { idempotent: true } } })
    expect(Thrift.make<Named>).type.not.toBeCallableWith({ ...named, methods: { toString: { idempotent: true } } })
  })

  it("an address", () => {
    expect(Thrift.make<ES5>).type.toBeCallableWith({ service: "Probe", client: Client, path: "/tmp/probe.sock" })
    expect(Thrift.make<ES5>).type.not.toBeCallableWith({ service: "Probe", client: Client })
  })

  it("a layer for a tag of these calls", () => {
    expect(Thrift.layer(Probe, options)).type.toBe<Layer.Layer<Probe>>()
    expect(Thrift.layer).type.not.toBeCallableWith(Others, options)
  })

  it("a client without types gives calls of anything", () => {
    // as the type of a module that has none is
    const untyped = JSON.parse("")
    expect(Thrift.make({ service: "Probe", client: untyped, host: "h", port: 1, methods: { any: {} } })).type.toBe<
      Effect.Effect<Untyped, never, Scope.Scope>
    >()
  })
})
