/**
 * Reads the delay of a `google.rpc.RetryInfo` from the bytes of protobuf messages, and nothing else. Bytes that are no
 * such message give "Never", as any unreadable hint does.
 *
 * @internal
 */
import * as Option from "effect/Option"
import * as ServerHint from "../../ServerHint.js"

interface Field {
  readonly number: number
  /** The value of a varint, or the bytes of a field with a length. Other fields are skipped. */
  readonly value: bigint | Uint8Array
}

/** Returns the fields of a message; `undefined` when the bytes are none. */
const fieldsOf = (bytes: Uint8Array): ReadonlyArray<Field> | undefined => {
  const fields: Array<Field> = []
  let at = 0
  const varint = (): bigint | undefined => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) {
        return undefined
      }
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        return BigInt.asUintN(64, value)
      }
    }
    return undefined
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag === undefined || tag >> 3n === 0n || tag > 0xffff_ffffn) {
      return undefined
    }
    const number = Number(tag >> 3n)
    switch (Number(tag & 7n)) {
      case 0: {
        const value = varint()
        if (value === undefined) {
          return undefined
        }
        fields.push({ number, value })
        break
      }
      case 1:
        at += 8
        break
      case 2: {
        const length = varint()
        if (length === undefined || length > BigInt(bytes.length - at)) {
          return undefined
        }
        fields.push({ number, value: bytes.subarray(at, at += Number(length)) })
        break
      }
      case 5:
        at += 4
        break
      default:
        return undefined
    }
  }
  return at === bytes.length ? fields : undefined
}

const bytesAt = (fields: ReadonlyArray<Field>, number: number): ReadonlyArray<Uint8Array> =>
  fields.flatMap((field) => field.number === number && field.value instanceof Uint8Array ? [field.value] : [])

/** Returns the last value of a field, as protobuf does for repeated values. */
const integerAt = (fields: ReadonlyArray<Field>, number: number): bigint => {
  const values = fields.flatMap((field) =>
    field.number === number && typeof field.value === "bigint" ? [field.value] : []
  )
  return BigInt.asIntN(64, values.at(-1) ?? 0n)
}

const never: Option.Option<ServerHint.ServerHint> = Option.some("Never")

/**
 * `google.rpc.RetryInfo { google.protobuf.Duration retry_delay = 1 }`.
 *
 * @internal
 */
export const fromMessage = (bytes: Uint8Array): Option.Option<ServerHint.ServerHint> => {
  const fields = fieldsOf(bytes)
  const delay = fields === undefined ? undefined : bytesAt(fields, 1).at(-1)
  if (fields !== undefined && delay === undefined) {
    return Option.none()
  }
  const duration = delay === undefined ? undefined : fieldsOf(delay)
  return duration === undefined
    ? never
    : ServerHint.fromRetryInfo({ retryDelay: { seconds: integerAt(duration, 1), nanos: integerAt(duration, 2) } })
}

const text = new TextDecoder()

/** Compares the part of a type URL after the last slash. */
const isRetryInfo = (typeUrl: string): boolean => typeUrl.slice(typeUrl.lastIndexOf("/") + 1) === "google.rpc.RetryInfo"

/**
 * Reads the delay from the trailer `grpc-status-details-bin`:
 * `google.rpc.Status { repeated google.protobuf.Any details = 3 }`. Details of other types, and bytes that are no
 * status, give `None`.
 *
 * @internal
 */
export const fromStatusDetails = (bytes: Uint8Array): Option.Option<ServerHint.ServerHint> => {
  for (const any of bytesAt(fieldsOf(bytes) ?? [], 3)) {
    const fields = fieldsOf(any) ?? []
    const typeUrl = bytesAt(fields, 1).at(-1)
    if (typeUrl !== undefined && isRetryInfo(text.decode(typeUrl))) {
      return fromMessage(bytesAt(fields, 2).at(-1) ?? new Uint8Array())
    }
  }
  return Option.none()
}
