/**
 * The binary format of `time.Time`.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/** The seconds from year 1 to 1970. */
const unixEpoch = 62_135_596_800n

/** Seconds since 1970, and nanoseconds from 0 to 999,999,999 in addition. @internal */
export interface Instant {
  readonly seconds: bigint
  readonly nanos: number
}

/** @internal */
export const decode = (bytes: Uint8Array): Option.Option<Instant> => {
  if (bytes.length === 0) {
    return Option.some({ seconds: -unixEpoch, nanos: 0 })
  }
  if ((bytes[0] !== 1 || bytes.length !== 15) && (bytes[0] !== 2 || bytes.length !== 16)) {
    return Option.none()
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Option.some({ seconds: view.getBigInt64(1) - unixEpoch, nanos: view.getInt32(9) })
}

/** Encodes an instant, in UTC. @internal */
export const encode = ({ nanos, seconds }: Instant): Uint8Array => {
  const bytes = new Uint8Array(15)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, 1)
  view.setBigInt64(1, seconds + unixEpoch)
  view.setInt32(9, nanos)
  // UTC
  view.setInt16(13, -1)
  return bytes
}

/** The most milliseconds before or after 1970 that a date of JavaScript can have. */
const maxMillis = 8.64e15

/** Returns a date; an instant beyond the range of JavaScript's dates becomes the end of that range. @internal */
export const toUtc = ({ nanos, seconds }: Instant): DateTime.Utc => {
  const millis = Number(seconds) * 1000 + Math.floor(nanos / 1_000_000)
  return DateTime.unsafeMake(Math.min(maxMillis, Math.max(-maxMillis, millis)))
}

/** @internal */
export const ofUtc = ({ epochMillis }: DateTime.Utc): Instant => {
  const seconds = Math.floor(epochMillis / 1000)
  return { seconds: BigInt(seconds), nanos: (epochMillis - seconds * 1000) * 1_000_000 }
}
