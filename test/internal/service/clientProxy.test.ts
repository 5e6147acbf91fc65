import {
  Deadline,
  Fatal,
  InvalidOption,
  Retryable,
  RetryExhausted,
  RetrySchedule,
  RpcCall,
  RpcRetry
} from "effect-rpc-retry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { assert, describe, it } from "../../support/vitest.js"

const busy = new Retryable({ reason: "Unavailable", delivery: "Unknown" })

/** Fails twice, then answers. */
const flaky = <A>(answer: A) =>
  Effect.flatMap(Deadline.CurrentAttempt, (attempt) => attempt < 3 ? Effect.fail(busy) : Effect.succeed(answer))

const quick = { schedule: RetrySchedule.retries(Schedule.forever, 3) }

class Users {
  readonly #prefix = "user "
  readonly version = 7
  get(id: number) {
    return flaky(`${this.#prefix}${id}`)
  }
  list() {
    return Stream.make(1, 2)
  }
  cached(id: number) {
    return Option.some(id)
  }
}

class Admins extends Users {
  override get(id: number) {
    return Effect.map(super.get(id), (name) => `admin ${name}`)
  }
  get health() {
    return RpcCall.make(flaky("well"), { method: "Admins.Health" })
  }
}

describe("RpcRetry.client", () => {
  it.effect("retries what methods return, of objects, of classes, and in groups", () =>
    Effect.gen(function*() {
      const client = RpcRetry.client({
        get: (id: number) => flaky(id),
        orders: {
          place: (item: string) => flaky(item),
          status: RpcCall.make(flaky("open"), { method: "Orders.Status" })
        },
        users: new Users()
      }, quick)
      assert.strictEqual(yield* client.get(1), 1)
      const bare = Object.assign(Object.create(null) as object, { get: (id: number) => flaky(id) })
      assert.strictEqual(yield* RpcRetry.client({ bare }, quick).bare.get(1), 1)
      assert.strictEqual(yield* client.orders.place("book"), "book")
      assert.strictEqual(yield* client.orders.status, "open")
      const users = RpcRetry.client(new Users(), quick)
      assert.strictEqual(yield* users.get(2), "user 2")
      const admins = RpcRetry.client(new Admins(), quick)
      assert.strictEqual(yield* admins.get(3), "admin user 3")
      assert.strictEqual(yield* admins.health, "well")
      assert.strictEqual(yield* client.users.get(4), "user 4")
      assert.instanceOf(client.users, Users)
    }))

  it.effect("a client that is a function is one too", () =>
    Effect.gen(function*() {
      const call = RpcRetry.client((tag: "a" | "b", id: number) => flaky(`${tag}${id}`), quick)
      assert.strictEqual(yield* call("a", 1), "a1")
    }))

  it.effect("leaves everything else as it is", () =>
    Effect.gen(function*() {
      const never = Effect.fail(busy)
      const original = {
        version: 1,
        list: () => Stream.make(1, 2),
        cached: () => Option.some(1),
        at: new Date(0),
        plain: never,
        nothing: null,
        tags: ["a"],
        [Symbol.for("key")]: "symbol"
      }
      const client = RpcRetry.client(original, quick)
      assert.strictEqual(client.version, 1)
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(client.list())), [1, 2])
      assert.isTrue(Option.isOption(client.cached()))
      assert.strictEqual(client.at, original.at)
      assert.strictEqual(client.plain, never)
      assert.isNull(client.nothing)
      assert.strictEqual(client.tags, original.tags)
      assert.strictEqual(client[Symbol.for("key")], "symbol")
      assert.deepStrictEqual(Object.keys(client), Object.keys(original))
      const users = RpcRetry.client(new Users())
      assert.strictEqual(users.version, 7)
      assert.deepStrictEqual(Object.keys(users), ["version"])
      assert.isFalse(Object.hasOwn(users, "constructor"))
      assert.strictEqual(users.constructor, Users)
      const either = RpcRetry.client({ parse: () => Either.right(1) })
      assert.isTrue(Either.isEither(either.parse()))
    }))

  it.effect("calls without a name get one of the service and the member; calls with one keep it", () =>
    Effect.gen(function*() {
      const failing = Effect.fail(busy)
      const client = RpcRetry.client({
        get: () => failing,
        orders: { place: () => failing },
        named: () => RpcCall.make(failing, { method: "Own.Name" })
      }, { service: "Users", schedule: Schedule.stop })
      const methods = [client.get(), client.orders.place(), client.named()].map((call) =>
        Effect.map(Effect.flip(call), (error) => error.method)
      )
      assert.deepStrictEqual(yield* Effect.all(methods), ["Users.get", "Users.orders.place", "Own.Name"])
      const nameless = RpcRetry.client({ get: () => failing }, { schedule: Schedule.stop })
      assert.isUndefined((yield* Effect.flip(nameless.get())).method)
    }))

  it.effect("policies of a layer hold by those names, and what a call says of itself comes first", () =>
    Effect.gen(function*() {
      let attempts = 0
      const failing = Effect.suspend(() => {
        attempts++
        return Effect.fail(busy)
      })
      const client = RpcRetry.client({
        get: () => failing,
        pay: () => RpcCall.make(failing, { method: "Users.pay", idempotent: false })
      }, { service: "Users" })
      const layered = Effect.provide(
        RpcRetry.layer({ methods: { "Users.get": "off", "Users.*": { idempotent: true } } })
      )
      const error = yield* Effect.flip(client.get()).pipe(layered)
      assert.instanceOf(error, RetryExhausted)
      assert.strictEqual(attempts, 1)
      assert.strictEqual((yield* Effect.flip(client.pay()).pipe(layered)).reason, "NotIdempotent")
    }))

  it.effect("each call has a key of its own, where that is asked for", () =>
    Effect.gen(function*() {
      const keys: Array<string | undefined> = []
      const client = RpcRetry.client({
        place: () =>
          Effect.flatMap(Deadline.facts, ({ idempotencyKey, previousAttempts }) => {
            keys.push(idempotencyKey)
            return previousAttempts === 0 ? Effect.fail(busy) : Effect.void
          })
      }, { ...quick, idempotencyKey: true })
      yield* client.place()
      yield* client.place()
      assert.strictEqual(keys[0], keys[1])
      assert.strictEqual(keys[2], keys[3])
      assert.match(keys[0] ?? "", /.{16}/)
      assert.notStrictEqual(keys[0], keys[2])
    }))

  it.effect("Fatal and errors of the method's own pass as they are", () =>
    Effect.gen(function*() {
      const fatal = new Fatal({ reason: "NotFound", message: "nobody" })
      const client = RpcRetry.client({ fatal: () => Effect.fail(fatal), own: () => Effect.fail("own" as const) })
      assert.strictEqual(yield* Effect.flip(client.fatal()), fatal)
      assert.strictEqual(yield* Effect.flip(client.own()), "own")
    }))

  it.effect("classes, schemas and functions with properties stay what they are", () =>
    Effect.gen(function*() {
      class User extends Schema.Class<User>("User")({ name: Schema.String }) {}
      class Tag extends Context.Tag("Tag")<Tag, number>() {}
      const get = Object.assign((id: number) => flaky(id), { path: "/get" })
      const client = RpcRetry.client({ User, Text: Schema.String, Tag, get }, quick)
      assert.strictEqual(new client.User({ name: "Ada" }).name, "Ada")
      assert.strictEqual(Schema.decodeUnknownSync(client.Text)("x"), "x")
      assert.strictEqual(yield* Effect.provideService(client.Tag, Tag, 7), 7)
      assert.strictEqual(Reflect.get(client.get, "path"), "/get")
      assert.strictEqual(yield* client.get(1), 1)
    }))

  it.effect("it is a view: what changes in the client is seen, what is set on the view is its own", () =>
    Effect.gen(function*() {
      class Counter {
        calls = 0
        get(id: number) {
          this.calls++
          return flaky(id)
        }
      }
      const counter = new Counter()
      const client: { calls: number; get: (id: number) => Effect.Effect<number, unknown> } = RpcRetry.client(
        counter,
        quick
      )
      assert.strictEqual(client.get, client.get)
      yield* client.get(1)
      assert.strictEqual(client.calls, 1)
      client.get = (id) => Effect.succeed(-id)
      assert.strictEqual(yield* client.get(1), -1)
      assert.strictEqual(yield* RpcRetry.client(counter, quick).get(1), 1)
      counter.calls = 7
      assert.strictEqual(client.calls, 7)
      client.calls = 8
      client.calls = 9
      assert.deepStrictEqual([client.calls, counter.calls], [9, 7])
      const added: { own?: number; calls: number } = client
      added.own = 1
      assert.deepStrictEqual(Object.keys(client), ["calls", "get", "own"])
      assert.deepStrictEqual(["calls" in RpcRetry.client(counter), "own" in added, "own" in counter], [
        true,
        true,
        false
      ])
      const hidden = RpcRetry.client(Object.defineProperty({}, "secret", { value: 1 }))
      assert.deepStrictEqual(
        [Object.keys(hidden), Object.getOwnPropertyDescriptor(hidden, "secret")],
        [[], { value: 1, enumerable: false, configurable: true, writable: true }]
      )
      assert.isTrue("get" in client)
      assert.isFalse("put" in client)
      // one that has itself for a member, one that may not be changed, one that is a proxy
      const cyclic: { self?: unknown; get: (id: number) => Effect.Effect<number, Retryable> } = { get: flaky }
      cyclic.self = cyclic
      assert.strictEqual(yield* RpcRetry.client(cyclic, quick).get(2), 2)
      assert.strictEqual(yield* RpcRetry.client(Object.freeze({ get: flaky<number> }), quick).get(3), 3)
      const dynamic = new Proxy({} as { readonly get: typeof flaky<number> }, { get: () => flaky })
      assert.strictEqual(yield* RpcRetry.client(dynamic, quick).get(4), 4)
      assert.deepStrictEqual({ ...RpcRetry.client({ version: 1, tags: ["a"] }) }, { version: 1, tags: ["a"] })
    }))

  it("throws for a bad option, when it is made", () => {
    assert.throws(() => RpcRetry.client({}, { deadline: -1 }), InvalidOption, "deadline")
    assert.throws(
      () => RpcRetry.client({}, { service: "" }),
      InvalidOption,
      "RpcRetry.client: service must be a text that is not empty, got "
    )
  })
})
