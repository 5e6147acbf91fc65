/**
 * `google.rpc.RetryInfo` read out of bytes: real ones, malformed ones, any.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ServerHint } from "../../../src/ServerHint.js"
import { fromMessage, fromStatusDetails } from "../../../src/transport/shared/retryInfo.js"
import { assert, describe, it } from "../../support/vitest.js"

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"))

const shown = (hint: Option.Option<ServerHint>) => Option.getOrUndefined(Option.map(hint, String))

const varint = (value: bigint): ReadonlyArray<number> =>
  value < 0x80n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...varint(value >> 7n)]

const field = (number: number, value: bigint | Uint8Array): ReadonlyArray<number> =>
  typeof value === "bigint"
    ? [...varint(BigInt(number << 3)), ...varint(BigInt.asUintN(64, value))]
    : [...varint(BigInt(number << 3 | 2)), ...varint(BigInt(value.length)), ...value]

const message = (...fields: ReadonlyArray<ReadonlyArray<number>>) => Uint8Array.from(fields.flat())

const duration = (seconds: bigint, nanos: bigint) => message(field(1, seconds), field(2, nanos))

const text = (value: string) => new TextEncoder().encode(value)

const any = (typeUrl: string, value: Uint8Array) => message(field(1, text(typeUrl)), field(2, value))

const retryInfo = "type.googleapis.com/google.rpc.RetryInfo"

describe("retryInfo", () => {
  it("reads what protoc-gen-go wrote", () => {
    // status.New(codes.Unavailable, "busy").WithDetails(&RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
    const written = "080e1204627573791a360a28747970652e676f6f676c65617069732e636f6d2f" +
      "676f6f676c652e7270632e5265747279496e666f120a0a0808011080cab5ee01"
    assert.strictEqual(shown(fromStatusDetails(bytes(written))), "Duration(1s 500ms)")
  })

  it("finds it among other details, and by any prefix of its type", () => {
    const delay = message(field(1, duration(2n, 0n)))
    const details = message(
      field(1, 14n),
      field(3, any("type.googleapis.com/google.rpc.DebugInfo", text("?"))),
      field(3, any("google.rpc.RetryInfo", delay)),
      field(3, any(retryInfo, message(field(1, duration(9n, 0n)))))
    )
    assert.strictEqual(shown(fromStatusDetails(details)), "Duration(2s)")
    assert.strictEqual(
      shown(fromStatusDetails(message(field(3, any("example.org/a/google.rpc.RetryInfo", delay))))),
      "Duration(2s)"
    )
    assert.isUndefined(shown(fromStatusDetails(message(field(3, any("x.google.rpc.RetryInfo", delay))))))
    assert.isUndefined(shown(fromStatusDetails(message(field(3, any(`${retryInfo}2`, delay))))))
  })

  it("says nothing where nothing is said", () => {
    assert.isUndefined(shown(fromStatusDetails(new Uint8Array())))
    assert.isUndefined(shown(fromStatusDetails(message(field(1, 14n), field(2, text("busy"))))))
    assert.isUndefined(shown(fromStatusDetails(message(field(3, any(retryInfo, new Uint8Array()))))))
    assert.isUndefined(shown(fromMessage(new Uint8Array())))
    // an `Any` without a value, and one without a type
    assert.isUndefined(shown(fromStatusDetails(message(field(3, message(field(1, text(retryInfo))))))))
    assert.isUndefined(shown(fromStatusDetails(message(field(3, message(field(2, duration(1n, 0n))))))))
  })

  it("bytes that are no status say nothing; a RetryInfo that cannot be read says Never", () => {
    for (const hex of ["ff", "0a", "1a05 00", "00", "0800 07", "1aff ffff ffff ffff ffff 01", "0b", "0c"]) {
      assert.isUndefined(shown(fromStatusDetails(bytes(hex))), hex)
    }
    for (
      const hex of [
        "ff",
        "0a",
        "0a0508",
        "0a02 08ff",
        "0a02 0880",
        "0d0000",
        "0900",
        "0a01 07",
        "0a0c 08ffffffffffffffffffff01"
      ]
    ) {
      assert.strictEqual(shown(fromMessage(bytes(hex))), "Never", hex)
    }
  })

  it("a delay of zero is one, and the last of several fields holds", () => {
    assert.strictEqual(shown(fromMessage(message(field(1, new Uint8Array())))), "Duration(0)")
    assert.strictEqual(
      shown(fromMessage(message(field(1, duration(1n, 0n)), field(1, duration(3n, 5_000_000n))))),
      "Duration(3s 5ms)"
    )
    assert.strictEqual(shown(fromMessage(message(field(1, message(field(1, 1n), field(1, 4n)))))), "Duration(4s)")
  })

  it("a negative delay, or nanoseconds that are none, say Never", () => {
    for (const delay of [duration(-1n, 0n), duration(0n, -5n), duration(1n, 1_000_000_000n)]) {
      assert.strictEqual(shown(fromMessage(message(field(1, delay)))), "Never")
    }
  })

  it("passes over fields of other kinds and numbers", () => {
    const others = [
      [...varint(BigInt(5 << 3 | 1)), 1, 2, 3, 4, 5, 6, 7, 8],
      [...varint(BigInt(6 << 3 | 5)), 1, 2, 3, 4],
      field(1000, 5n),
      field(1, 7n)
    ]
    assert.strictEqual(shown(fromMessage(message(...others, field(1, duration(2n, 0n)), ...others))), "Duration(2s)")
    // a varint where a message is expected, and the other way round
    assert.isUndefined(shown(fromMessage(message(field(1, 7n)))))
    assert.strictEqual(shown(fromMessage(message(field(1, message(field(1, text("x"))))))), "Duration(0)")
  })

  it("never throws, whatever the bytes are, or are cut to, or changed to", () => {
    const whole = message(field(1, 14n), field(3, any(retryInfo, message(field(1, duration(123n, 456_000_000n))))))
    for (let length = 0; length <= whole.length; length++) {
      fromStatusDetails(whole.subarray(0, length))
      fromMessage(whole.subarray(length))
    }
    for (let at = 0; at < whole.length; at++) {
      for (let value = 0; value < 256; value++) {
        fromStatusDetails(whole.with(at, value))
      }
    }
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 64 }), (random) => {
        for (const hint of [fromStatusDetails(random), fromMessage(random)]) {
          assert.isTrue(Option.isNone(hint) || hint.value === "Never" || Duration.isDuration(hint.value))
        }
      }),
      { numRuns: 2000 }
    )
  })

  it("reads back each delay that can be written", () => {
    const Delay = Schema.Tuple(
      Schema.BigIntFromSelf.pipe(Schema.betweenBigInt(0n, 315_576_000_000n)),
      Schema.Int.pipe(Schema.between(0, 999))
    )
    FastCheck.assert(FastCheck.property(Arbitrary.make(Delay), ([seconds, millis]) => {
      const hint = fromMessage(message(field(1, duration(seconds, BigInt(millis) * 1_000_000n))))
      assert.deepStrictEqual(hint, Option.some(Duration.millis(Number(seconds) * 1000 + millis)))
    }))
  })
})
