/**
 * Messages with headers: Apache's THeader and Kitex's TTHeader. Both put a length, a magic number, flags, a sequence id
 * and named texts before the message, and differ in how these are counted and named.
 *
 * @internal
 */
import type { Facts } from "../../Deadline.js"
import { Problem } from "../../internal/errors/excerpt.js"

/** A message with its headers. @internal */
export interface Headed {
  readonly payload: Uint8Array
  readonly headers: ReadonlyMap<string, string>
}

/** The bytes from the length to the size of the headers. */
const fixedBytes = 14

const utf8 = new TextEncoder()

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** The largest 16-bit number: the size of the headers in words of four bytes, and of each text of TTHeader. */
const max16 = 65_535

const maxHeaderBytes = 4 * max16

/** Writes a frame. The flags are zero, and the size of the headers counts words of four bytes. */
const frame = (magic: number, id: number, headers: ReadonlyArray<number>, payload: Uint8Array): Uint8Array => {
  if (headers.length > maxHeaderBytes) {
    throw new Problem(`headers of more than ${maxHeaderBytes} bytes`)
  }
  const size = Math.ceil(headers.length / 4) * 4
  const bytes = new Uint8Array(fixedBytes + size + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length - 4)
  view.setUint16(4, magic)
  view.setInt32(8, id)
  view.setUint16(12, size / 4)
  bytes.set(headers, fixedBytes)
  bytes.set(payload, fixedBytes + size)
  return bytes
}

/** Reads numbers and texts; throws the problem at the end of the bytes. */
class Reader {
  private at = 0
  constructor(private readonly bytes: Uint8Array) {}

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length
  }

  readonly byte = (): number => this.take(1)[0]!

  readonly uint16 = (): number => this.byte() * 256 + this.byte()

  readonly varint = (): number => {
    let value = 0
    for (let factor = 1; factor <= 2 ** 28; factor *= 128) {
      const byte = this.byte()
      value += (byte % 128) * factor
      if (byte < 128) {
        return value
      }
    }
    throw new Problem("headers with a number that does not end")
  }

  readonly text = (length: () => number): string => textOf(this.take(length()))

  private take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) {
      throw new Problem("headers that end too early")
    }
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }
}

/** Splits a whole frame, with its length, into its parts. */
const parts = (bytes: Uint8Array, magic: number) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length < fixedBytes || view.getUint16(4) !== magic) {
    throw new Problem("a frame without the headers that were agreed on")
  }
  const end = fixedBytes + view.getUint16(12) * 4
  if (end > bytes.length) {
    throw new Problem("headers that are longer than their frame")
  }
  return { reader: new Reader(bytes.subarray(fixedBytes, end)), payload: bytes.subarray(end) }
}

// -----------------------------------------------------------------------------
// THeader
// -----------------------------------------------------------------------------

const theaderMagic = 0x0fff

const varint = (value: number): ReadonlyArray<number> =>
  value < 128 ? [value] : [128 + (value % 128), ...varint(Math.floor(value / 128))]

const theaderText = (text: string): ReadonlyArray<number> => {
  const bytes = utf8.encode(text)
  return [...varint(bytes.length), ...bytes]
}

/** The numbers of the protocols in THeader. */
const theaderProtocols = { binary: 0, compact: 2 } as const

/** Writes a message as THeader. The remaining time has the name that `fbthrift` gives it. @internal */
export const writeTHeader = (
  payload: Uint8Array,
  id: number,
  protocol: keyof typeof theaderProtocols,
  { idempotencyKey, previousAttempts, remaining }: Facts
): Uint8Array => {
  const headers = [
    ...(idempotencyKey === undefined ? [] : [["idempotency-key", idempotencyKey] as const]),
    ...(previousAttempts === 0 ? [] : [["x-retry-attempt", String(previousAttempts)] as const]),
    ...(remaining === undefined ? [] : [["client_timeout", String(remaining)] as const])
  ]
  const info = headers.length === 0
    ? []
    : [...varint(1), ...varint(headers.length), ...headers.flat().flatMap(theaderText)]
  return frame(theaderMagic, id, [...varint(theaderProtocols[protocol]), ...varint(0), ...info], payload)
}

/** @internal */
export const readTHeader = (bytes: Uint8Array, protocol: keyof typeof theaderProtocols): Headed => {
  const { payload, reader } = parts(bytes, theaderMagic)
  const spoken = reader.varint()
  if (spoken !== theaderProtocols[protocol]) {
    throw new Problem(`an answer in protocol ${spoken} of THeader, not in ${protocol}`)
  }
  if (reader.varint() > 0) {
    throw new Problem("an answer that is transformed, which was not asked for")
  }
  const headers = new Map<string, string>()
  // zeros pad the last word; unknown kinds of information have no known length
  while (!reader.isAtEnd && reader.varint() === 1) {
    for (let left = reader.varint(); left > 0; left--) {
      headers.set(reader.text(reader.varint), reader.text(reader.varint))
    }
  }
  return { payload, headers }
}

// -----------------------------------------------------------------------------
// TTHeader
// -----------------------------------------------------------------------------

const ttheaderMagic = 0x1000

/** The kinds of information, and Kitex's numbers for its own names. */
const kinds = { padding: 0x00, texts: 0x01, numbered: 0x10, token: 0x11 }

const numbers = { toMethod: 9, rpcTimeout: 12, messageType: 22 }

const uint16 = (value: number): ReadonlyArray<number> => [value >> 8, value & 0xff]

const ttheaderText = (text: string): ReadonlyArray<number> => {
  const bytes = utf8.encode(text)
  if (bytes.length > max16) {
    throw new Problem(`a text of more than ${max16} bytes in the headers`)
  }
  return [...uint16(bytes.length), ...bytes]
}

/**
 * Writes a message as TTHeader. A handler in Go reads the key with `metainfo.GetValue(ctx, "idempotency-key")`. The
 * number of the retry is where `retry.IsRemoteRetryRequest` finds it, and the remaining time is the RPC timeout.
 *
 * @internal
 */
export const writeTTHeader = (
  payload: Uint8Array,
  id: number,
  method: string,
  isOneway: boolean,
  { idempotencyKey, previousAttempts, remaining }: Facts
): Uint8Array => {
  const texts = [
    ...(idempotencyKey === undefined ? [] : [["RPC_TRANSIT_idempotency-key", idempotencyKey] as const]),
    ...(previousAttempts === 0 ? [] : [["RPC_PERSIST_RetryReq", String(previousAttempts)] as const])
  ]
  const numbered = [
    [numbers.toMethod, method] as const,
    [numbers.messageType, isOneway ? "4" : "1"] as const,
    ...(remaining === undefined ? [] : [[numbers.rpcTimeout, String(remaining)] as const])
  ]
  return frame(ttheaderMagic, id, [
    // the binary protocol, without transformations
    0,
    0,
    ...(texts.length === 0 ? [] : [kinds.texts, ...uint16(texts.length), ...texts.flat().flatMap(ttheaderText)]),
    kinds.numbered,
    ...uint16(numbered.length),
    ...numbered.flatMap(([key, value]) => uint16(key).concat(ttheaderText(value)))
  ], payload)
}

/** @internal */
export const readTTHeader = (bytes: Uint8Array): Headed => {
  const { payload, reader } = parts(bytes, ttheaderMagic)
  reader.byte()
  for (let left = reader.byte(); left > 0; left--) {
    reader.byte()
  }
  const headers = new Map<string, string>()
  while (!reader.isAtEnd) {
    const kind = reader.byte()
    if (kind === kinds.texts) {
      for (let left = reader.uint16(); left > 0; left--) {
        headers.set(reader.text(reader.uint16), reader.text(reader.uint16))
      }
    } else if (kind === kinds.numbered) {
      for (let left = reader.uint16(); left > 0; left--) {
        reader.uint16()
        reader.text(reader.uint16)
      }
    } else if (kind === kinds.token) {
      reader.text(reader.uint16)
    } else if (kind !== kinds.padding) {
      throw new Problem(`headers of the unknown kind ${kind}`)
    }
  }
  return { payload, headers }
}
