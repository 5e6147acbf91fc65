/**
 * Long lists in gob, made without the list: the encoder would need more memory than the decoder that is tested.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"

/** A gob stream of one list: of so many items, each of these bytes. */
export const listOf = (schema: Schema.Schema.AnyNoContext, count: number, item: Uint8Array): Uint8Array => {
  const empty = Buffer.from(Either.getOrThrow(Gob.encode(Schema.Array(schema) as Schema.Schema<unknown>)([])))
  // the message of the empty list is the last: 5 bytes, its length, the type in 2, a zero, and how many items
  const items = Buffer.alloc(count * item.length).map((_, i) => item[i % item.length]!)
  const number = (n: number) => {
    const bytes = Buffer.alloc(5, 0xfc)
    bytes.writeUInt32BE(n, 1)
    return bytes
  }
  const value = Buffer.concat([empty.subarray(-4, -1), number(count), items])
  return Buffer.concat([empty.subarray(0, -5), number(value.length), value])
}
