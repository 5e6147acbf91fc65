/**
 * Reads the delay of a `google.rpc.RetryInfo` out of the bytes of protobuf messages. Nothing else of them is looked at, and
 * bytes that are no message of that type say "Never", as an unreadable hint does.
 *
 * @internal
 */
import * as Option from "effect/Option"
import * as ServerHint from "../../ServerHint.js"

interface Field {
  readonly number: number
  /** Of a varint the value, of a field with a length the bytes. Other fields are passed over. */
  readonly value: bigint | Uint8Array
}

/** The fields of a message, or `undefined` where the bytes are none. */
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

/** Of a field that is there more than once the last holds. */
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

/** The type of an `Any` is the part behind the last slash. */
const isRetryInfo = (typeUrl: string): boolean => typeUrl.slice(typeUrl.lastIndexOf("/") + 1) === "google.rpc.RetryInfo"

/**
 * `google.rpc.Status { repeated google.protobuf.Any details = 3 }`, the trailer `grpc-status-details-bin`. Details of other types
 * and bytes that are no status say nothing.
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
