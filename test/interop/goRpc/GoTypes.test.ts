/**
 * Types as Go programs declare them, against a real server (`go/netrpc/shop.go`): those that the documentation shows how to write.
 */
import { Fatal, withRpcRetry } from "effect-rpc-retry"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const { serve } = GoProgram.make("netrpc")

/** `time.Duration` is an `int64` of nanoseconds. */
const GoDuration = Schema.transform(Gob.Int64, Schema.DurationFromSelf, {
  strict: true,
  decode: (nanos) => Duration.nanos(nanos),
  encode: (duration) => Duration.unsafeToNanos(duration)
})

enum Size {
  Small,
  Medium,
  Large
}

/** An enumeration of Go is an integer. */
const GoSize = Gob.Int.pipe(Schema.compose(Schema.Enums(Size), { strict: false }))

const zeroId = "00".repeat(16)

/** `uuid.UUID`: the zero of a struct comes as no bytes. */
const Id = Schema.transform(Gob.external("binary", "ID"), Schema.String, {
  strict: true,
  decode: (bytes) => Buffer.from(bytes).toString("hex") || zeroId,
  encode: (id) => id === zeroId ? new Uint8Array() : new Uint8Array(Buffer.from(id, "hex"))
})

/** An embedded struct is a field with the name of its type. */
const Order = Schema.Struct({
  Base: Schema.Struct({ Created: Gob.Time, Note: Schema.String }),
  ID: Id,
  Price: Gob.external("gob", "Price"),
  Size: GoSize,
  Timeout: GoDuration,
  Shape: Gob.named({
    "effect-rpc-retry/interop/shapes.Circle": Schema.Struct({ Radius: Gob.Float }),
    "*shapes.Square": Schema.Struct({ Side: Gob.Float })
  }),
  Tags: Schema.Record({ key: Schema.String, value: Schema.String })
})

const connect = Effect.gen(function*() {
  const { host, port } = yield* serve("-codec", "gob")
  const rpc = yield* GoRpc.make({ host, port, codec: "gob" })
  const shop = GoRpc.service("Shop", {
    Echo: { args: Order, reply: Order },
    Describe: { args: Order, reply: Schema.String },
    Never: { args: Schema.Struct({}), reply: Order },
    Fail: { args: Schema.Uint8ArrayFromSelf, reply: Gob.Int }
  }, { client: Effect.succeed(rpc) })
  return { rpc, shop }
})

const zero: typeof Order.Type = {
  Base: { Created: DateTime.unsafeMake(-62_135_596_800_000), Note: "" },
  ID: zeroId,
  Price: new Uint8Array(),
  Size: Size.Small,
  Timeout: Duration.zero,
  Shape: undefined,
  Tags: {}
}

const order: typeof Order.Type = {
  Base: { Created: DateTime.unsafeMake("2026-11-26T10:00:00.5Z"), Note: "a note" },
  ID: "ab".repeat(16),
  Price: new Uint8Array([0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 4, 0xd2]),
  Size: Size.Large,
  Timeout: Duration.nanos(1_500_000_000n),
  Shape: { name: "effect-rpc-retry/interop/shapes.Circle", value: { Radius: 0.5 } },
  Tags: { k: "v" }
}

describe.skipIf(GoServer.skipped !== undefined)(`types of Go programs ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("embedded structs, durations, enumerations and registered types of a package come back as they were", () =>
    Effect.gen(function*() {
      const { shop } = yield* connect
      const square = { ...order, Shape: { name: "*shapes.Square", value: { Side: 2 } } } as const
      for (const one of [order, square]) {
        assert.deepStrictEqual(yield* shop.Echo(one).pipe(withRpcRetry), one)
      }
      assert.strictEqual(
        yield* shop.Describe(order),
        "a note abab 1234 2 1.5s shapes.Circle 2026-11-26T10:00:00.5Z"
      )
      assert.include(yield* shop.Describe(square), "*shapes.Square")
    }))

  it.scopedLive("zeros of types that write themselves, and cannot read nothing, go there and come back", () =>
    Effect.gen(function*() {
      const { shop } = yield* connect
      assert.deepStrictEqual(yield* shop.Echo(zero).pipe(withRpcRetry), zero)
    }))

  it.scopedLive("a time.Time beyond the range of JavaScript does not take the whole reply with it", () =>
    Effect.gen(function*() {
      const { rpc, shop } = yield* connect
      const never = yield* shop.Never({})
      assert.deepStrictEqual([never.Base.Note, never.Base.Created.epochMillis], ["never", 8.64e15])
      const Whole = Schema.Struct({ Base: Schema.Struct({ Created: Gob.Instant }) })
      const { Base: { Created } } = yield* rpc.call("Shop.Never", {}, { args: Schema.Struct({}), reply: Whole })
      assert.deepStrictEqual(Created, { seconds: 2n ** 63n - 1n - 62_135_596_800n, nanos: 999_999_999 })
      const echoed = yield* rpc.call("Shop.Echo", { Base: { Created } }, { args: Whole, reply: Whole })
      assert.deepStrictEqual(echoed, { Base: { Created } })
    }))

  it.scopedLive("an error text that is not UTF-8 ends its call only, and is readable", () =>
    Effect.gen(function*() {
      const { rpc, shop } = yield* connect
      const probe = GoRpc.service("Probe", { Sleep: { args: Gob.Int, reply: Gob.Int } }, {
        client: Effect.succeed(rpc)
      })
      const [failed, slept] = yield* Effect.all([
        Effect.flip(shop.Fail(new Uint8Array([0x62, 0x61, 0x64, 0xff, 0xfe, 0x21])).pipe(withRpcRetry)),
        probe.Sleep(50)
      ], { concurrency: 2 })
      assert.instanceOf(failed, Fatal)
      assert.deepStrictEqual([failed.reason, failed.message], ["ServerError", "bad\ufffd\ufffd!"])
      assert.strictEqual(slept, 50)
    }))
})
